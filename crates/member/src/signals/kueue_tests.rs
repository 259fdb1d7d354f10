use serde_json::json;

use super::*;

fn queue(spec: &Value, status: &Value) -> ClusterQueue {
    serde_json::from_value(json!({"metadata": {"name": "etl"}, "spec": spec, "status": status})).unwrap()
}

fn capacity(cpu_milli: u64, memory_gi: u64) -> Capacity {
    Capacity { cpu_milli: Some(cpu_milli), memory_bytes: Some(memory_gi << 30), ..Capacity::default() }
}

fn flavor(name: &str, cpu: &Value, memory: &str) -> Value {
    json!({"name": name, "resources": [
        {"name": "cpu", "nominalQuota": cpu}, {"name": "memory", "nominalQuota": memory},
    ]})
}

fn reserved(name: &str, cpu: &str, memory: &str) -> Value {
    json!({"name": name, "resources": [
        {"name": "cpu", "total": cpu, "borrowed": "0"}, {"name": "memory", "total": memory, "borrowed": "0"},
    ]})
}

fn group(flavors: &[Value]) -> Value {
    json!({"coveredResources": ["cpu", "memory"], "flavors": flavors})
}

#[test]
fn a_whole_queue_of_kueue_is_read() {
    let queue: ClusterQueue = serde_json::from_str(include_str!("answers/kueue-0.18.2.json")).unwrap();
    assert_eq!(ClusterQueues::key(&queue).as_deref(), Some("etl"));
    assert_eq!(room(&queue), Room { free: capacity(6000, 30), most: capacity(9000, 36), closed: None });
}

#[test]
fn free_is_the_nominal_quota_minus_what_is_reserved() {
    let spec = json!({"resourceGroups": [group(&[flavor("any", &json!(9), "36Gi")])]});
    let fresh = room(&queue(&spec, &json!(null)));
    assert_eq!(fresh, Room { free: capacity(9000, 36), most: capacity(9000, 36), closed: None });
    let status = json!({"flavorsReservation": [reserved("any", "2500m", "4Gi")], "pendingWorkloads": 3});
    let used = room(&queue(&spec, &status));
    assert_eq!(used, Room { free: capacity(6500, 32), most: capacity(9000, 36), closed: None });
    let borrowing = json!({"flavorsReservation": [reserved("any", "12", "40Gi")]});
    assert_eq!(room(&queue(&spec, &borrowing)).free, capacity(0, 0), "what is borrowed leaves nothing");
}

#[test]
fn of_several_flavors_the_one_with_most_left_counts_as_a_whole() {
    let flavors = [
        flavor("small", &json!("4"), "8Gi"),
        flavor("large", &json!("16"), "64Gi"),
        flavor("cpu", &json!("32"), "1Gi"),
    ];
    let spec = json!({"resourceGroups": [group(&flavors)]});
    let free = |status: &Value| room(&queue(&spec, status)).free;
    assert_eq!(free(&json!({})), capacity(16_000, 64));
    let full = json!({"flavorsReservation": [reserved("large", "16", "10Gi")]});
    assert_eq!(free(&full), capacity(4000, 8), "a flavor without cpu has memory for nobody");
    let most = room(&queue(&spec, &full)).most;
    assert_eq!(most, capacity(32_000, 64), "what is above every flavor never fits");
}

#[test]
fn groups_add_up_and_what_none_names_is_not_limited() {
    let cpu = json!({"flavors": [{"name": "a", "resources": [{"name": "cpu", "nominalQuota": "2"}]}]});
    let pods = json!({"flavors": [{"name": "b", "resources": [{"name": "pods", "nominalQuota": 5}]}]});
    let gpu =
        json!({"flavors": [{"name": "c", "resources": [{"name": "nvidia.com/gpu", "nominalQuota": 0}]}]});
    let free = room(&queue(&json!({"resourceGroups": [cpu, pods, gpu]}), &json!({}))).free;
    assert_eq!(free, Capacity { cpu_milli: Some(2000), pods: Some(5), ..Capacity::default() });
}

#[test]
fn a_strict_queue_with_waiting_workloads_has_nothing_for_others() {
    let spec = |strategy: &str| json!({"queueingStrategy": strategy, "resourceGroups": [group(&[flavor("any", &json!("9"), "36Gi")])]});
    let waiting = json!({"pendingWorkloads": 2});
    let strict = room(&queue(&spec("StrictFIFO"), &waiting));
    assert_eq!(strict.free, Capacity { jobs: Some(0), ..capacity(0, 0) });
    assert_eq!(strict.closed.as_deref(), Some("StrictFIFO with 2 pending workloads"));
    assert_eq!(room(&queue(&spec("StrictFIFO"), &json!({"pendingWorkloads": 0}))).free, capacity(9000, 36));
    assert_eq!(room(&queue(&spec("BestEffortFIFO"), &waiting)).free, capacity(9000, 36));
}

#[test]
fn a_held_or_inactive_queue_is_closed_in_its_own_words() {
    let closed = |spec: &Value, status: &Value| room(&queue(spec, status)).closed;
    let active =
        json!({"conditions": [{"type": "Active", "status": "True", "message": "Can admit new workloads"}]});
    let inactive = json!({"conditions": [{"type": "Active", "status": "False", "reason": "FlavorNotFound",
        "message": "Can't admit new workloads: references missing ResourceFlavor(s): any."}]});
    assert_eq!(closed(&json!({"stopPolicy": "None"}), &active), None);
    assert_eq!(closed(&json!({"stopPolicy": "Hold"}), &active).as_deref(), Some("stopPolicy Hold"));
    assert_eq!(
        closed(&json!({"stopPolicy": "HoldAndDrain"}), &json!({})).as_deref(),
        Some("stopPolicy HoldAndDrain")
    );
    assert_eq!(
        closed(&json!({"stopPolicy": "Hold"}), &inactive).as_deref(),
        Some("Can't admit new workloads: references missing ResourceFlavor(s): any.")
    );
}

#[test]
fn what_cannot_be_read_is_nothing_free_and_hides_no_other_queue() {
    let spec = json!({"resourceGroups": [group(&[flavor("any", &json!(["?"]), "36Gi")])]});
    assert_eq!(room(&queue(&spec, &json!({}))).free, capacity(0, 36));
    for odd in [json!({}), json!({"resourceGroups": null}), json!({"resourceGroups": [{"flavors": null}]})] {
        assert_eq!(room(&queue(&odd, &json!({"conditions": null}))), Room::default(), "{odd}");
    }
}
