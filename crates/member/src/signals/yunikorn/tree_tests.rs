use serde_json::{Value, json};

use super::*;

fn read(tree: &Value) -> BTreeMap<Arc<str>, Room> {
    rooms(tree.to_string().as_bytes()).unwrap()
}

fn leaf(name: &str, more: &Value) -> Value {
    let mut queue = json!({"queuename": name, "status": "Active", "partition": "", "isLeaf": true});
    queue.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    queue
}

fn root(children: &[Value]) -> Value {
    json!({
        "queuename": "root", "status": "Active", "partition": "default", "isLeaf": false,
        "maxResource": {"memory": 100, "pods": 200, "vcore": 32000},
        "headroom": {"memory": 100, "pods": 200, "vcore": 32000}, "children": children,
    })
}

/// As YuniKorn 1.8.0 answered: four gangs of three pods in a queue of 10 cores for three applications, the fourth waits.
const GANGS: &str = r#"{"queuename":"root.etl","status":"Active","partition":"","pendingResource":{"memory":2818572288,"pods":3,"vcore":3000},"maxResource":{"memory":21474836480,"vcore":10000},"guaranteedResource":{"memory":8589934592,"vcore":4000},"allocatedResource":{"memory":8455716864,"pods":9,"vcore":9000},"headroom":{"memory":13019119616,"pods":211,"vcore":1000},"isLeaf":true,"isManaged":true,"parent":"root","absUsedCapacity":{"memory":39,"vcore":90},"maxRunningApps":3,"runningApps":3,"currentPriority":0,"sortingPolicy":"fifo","prioritySorting":true,"preemptionEnabled":true,"isPreemptionFence":false,"preemptionDelay":"30s","quotaPreemptionDelay":"0s","isPriorityFence":false}"#;

/// The whole answer of YuniKorn 1.8.0 over two nodes: `root.etl` is full, and one pod more waits there.
#[test]
fn a_whole_answer_is_read() {
    let rooms = rooms(include_bytes!("../answers/yunikorn-1.8.0.json")).unwrap();
    let free = |queue: &str| {
        let free = rooms[queue].free;
        (free.jobs, free.pods, free.cpu_milli, free.memory_bytes.map(|bytes| bytes >> 30))
    };
    assert_eq!(
        rooms.keys().map(|queue| &**queue).collect::<Vec<_>>(),
        ["root", "root.analytics", "root.etl", "root.old"]
    );
    assert_eq!(free("root"), (None, Some(199_995), Some(27_000), Some(123)));
    assert_eq!(free("root.analytics"), (None, Some(199_996), Some(10_000), Some(20)));
    assert_eq!(free("root.etl"), (Some(1), Some(199_995), Some(0), Some(3)));
    assert_eq!(rooms["root.old"].most, Capacity::default());
    assert!(rooms.values().all(|room| room.closed.is_none()));
}

#[test]
fn what_others_wait_for_is_not_free() {
    let etl = read(&root(&[serde_json::from_str(GANGS).unwrap()])).remove("root.etl").unwrap();
    assert_eq!(
        etl.free,
        Capacity {
            jobs: Some(0),
            pods: Some(208),
            cpu_milli: Some(0),
            memory_bytes: Some(13_019_119_616 - 2_818_572_288),
            executors: None,
        }
    );
    assert_eq!(
        etl.most,
        Capacity {
            jobs: Some(3),
            pods: None,
            cpu_milli: Some(10_000),
            memory_bytes: Some(21_474_836_480),
            executors: None,
        }
    );
    assert_eq!(etl.closed, None);
}

#[test]
fn limits_hold_over_the_whole_path_and_nodes_are_no_bound() {
    let inner =
        leaf("root.a.b", &json!({"maxResource": {"vcore": 8000}, "headroom": {"vcore": 3000, "memory": 50}}));
    let outer = leaf(
        "root.a",
        &json!({
            "maxResource": {"vcore": 4000, "memory": 60}, "headroom": {"vcore": 3000, "memory": 50},
            "maxRunningApps": 5, "runningApps": 2, "allocatingAcceptedApps": ["x"], "children": [inner],
        }),
    );
    let rooms = read(&root(&[outer]));
    let b = &rooms["root.a.b"];
    assert_eq!((b.most.cpu_milli, b.most.memory_bytes, b.most.jobs), (Some(4000), Some(60), Some(5)));
    assert_eq!((b.free.cpu_milli, b.free.memory_bytes, b.free.jobs), (Some(3000), Some(50), Some(2)));
    assert_eq!(b.free.pods, None, "what headroom does not name is not limited");
    let root = &rooms["root"];
    assert_eq!(root.most, Capacity::default());
    assert_eq!(root.free.cpu_milli, Some(32_000));
    assert_eq!(rooms.len(), 3);
}

#[test]
fn a_queue_that_is_not_active_is_closed_with_all_below_it() {
    let inner = leaf("root.a.b", &json!({}));
    let draining = leaf("root.a", &json!({"status": "Draining", "children": [inner]}));
    let rooms = read(&root(&[draining, leaf("root.c", &json!({"status": "Stopped"}))]));
    assert_eq!(rooms["root"].closed, None);
    assert_eq!(rooms["root.a"].closed.as_deref(), Some("root.a is Draining"));
    assert_eq!(rooms["root.a.b"].closed.as_deref(), Some("root.a is Draining"));
    assert_eq!(rooms["root.c"].closed.as_deref(), Some("root.c is Stopped"));
}

#[test]
fn overdrawn_is_nothing_free_and_odd_answers_are_refused() {
    let queue = leaf(
        "root.a",
        &json!({"headroom": {"vcore": -500, "memory": 5}, "pendingResource": {"memory": 9},
        "maxResource": null, "children": null, "somethingNew": [1]}),
    );
    let free = read(&root(&[queue]))["root.a"].free;
    assert_eq!((free.cpu_milli, free.memory_bytes), (Some(0), Some(0)));
    for odd in ["", "[]", "{}", "<html>", r#"{"queuename": 1}"#] {
        assert!(rooms(odd.as_bytes()).is_err(), "{odd}");
    }
}
