//! Jobs that have their place, on real control planes: held back and let go on by their owner, told what their drivers wait
//! for, and tried elsewhere where their member's scheduler refused them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod scene;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, condition, names};
use spark_router_testkit::audit::Call;
use spark_router_testkit::router::{Installation, USER, jobs, objects};
use spark_router_testkit::{Cluster, Fleet};

use scene::{PATIENCE, Watched, event, finished, patch, pinned, running, sure, time, uid};

const TEAM: &str = "team";
const QUEUE: &str = "etl";

/// A job whose driver does as the script says, on these members only.
fn scripted(name: &str, script: &str, members: &[&str], spec: &Value) -> Value {
    let mut job = objects::job(TEAM, name, QUEUE, |template| {
        objects::annotate(template, "script", script);
        objects::annotate(template, "run-ms", "3600000");
    });
    objects::merge(&mut job, json!({ "spec": spec }));
    if members.is_empty() { job } else { pinned(job, members) }
}

async fn has(
    hub: &Cluster,
    name: &str,
    what: &str,
    wanted: impl Fn(&RoutedSparkJob) -> bool,
) -> RoutedSparkJob {
    sure(jobs::wait_for(hub, TEAM, name, what, PATIENCE, wanted).await)
}

/// Waits until the job is said to be held, or not, for this reason.
async fn suspended(hub: &Cluster, name: &str, status: &str, reason: &str) -> RoutedSparkJob {
    has(hub, name, &format!("Suspended={status} ({reason})"), |job| {
        let found = scene::condition(job, condition::SUSPENDED);
        (found.0, found.1) == (status, reason)
    })
    .await
}

async fn suspend(hub: &Cluster, name: &str, suspend: bool) {
    patch(hub, "rsj", TEAM, name, json!({"spec": {"suspend": suspend}})).await;
}

/// The job's only application on a member, and its living driver pods.
async fn there(member: &Cluster, job: &RoutedSparkJob) -> (Value, usize) {
    let ours = ListParams::default().labels(&format!("{}={}", names::JOB_UID_LABEL, uid(job)));
    let applications = jobs::applications_in(member.client(), TEAM).list(&ours).await.unwrap().items;
    assert_eq!(applications.len(), 1, "{applications:?}");
    let pods: Api<Pod> = Api::namespaced(member.client(), TEAM);
    (serde_json::to_value(&applications[0]).unwrap(), pods.list(&ours).await.unwrap().items.len())
}

fn remote_name(job: &RoutedSparkJob) -> String {
    job.status.as_ref().unwrap().placement.as_ref().unwrap().remote_name.clone()
}

/// What the router wrote into `spec.suspend` of a job's application, in order.
fn written(member: &Cluster, job: &RoutedSparkJob) -> Vec<(bool, Call)> {
    let calls = sure(member.audit().calls());
    let to_spec = |call: Call| {
        let suspend = call.request.as_ref()?.pointer("/spec/suspend")?.as_bool()?;
        let is_it = call.user == USER && call.verb == "patch" && call.name == remote_name(job);
        is_it.then_some((suspend, call))
    };
    calls.into_iter().filter_map(to_spec).collect()
}

/// When the hub's record of a job first said this of its condition Suspended.
fn recorded(hub: &Cluster, name: &str, reason: &str) -> String {
    let says = |call: &Call| {
        let conditions = call.request.as_ref().and_then(|body| body.pointer("/status/conditions"));
        let all = conditions.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        call.name == name
            && call.succeeded()
            && all.iter().any(|it| it["type"] == "Suspended" && it["reason"] == reason)
    };
    let calls = sure(hub.audit().calls());
    calls.iter().find(|call| says(call)).unwrap_or_else(|| panic!("{name} was never {reason}")).done.clone()
}

/// Gives a driver's pod this status, as a scheduler or a kubelet would.
async fn pod_is(member: &Cluster, job: &RoutedSparkJob, status: Value) {
    let pods: Api<Pod> = Api::namespaced(member.client(), TEAM);
    let (name, body) = (format!("{}-driver", remote_name(job)), json!({ "status": status }));
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&body)).await.unwrap();
}

/// Takes `spec.suspend` out of the member's definition, as it was before 2.4.
async fn as_before_suspend(member: &Cluster) {
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/suspend";
    let patch = json!([{"op": "remove", "path": path}]).to_string();
    let crd = "sparkapplications.sparkoperator.k8s.io";
    sure(member.kubectl(&["patch", "crd", crd, "--type=json", "-p", &patch]).await);
}

struct Scene<'a> {
    fleet: &'a Fleet,
    installation: &'a Installation<'a>,
}

impl Scene<'_> {
    async fn submit(&self, job: &Value) -> RoutedSparkJob {
        sure(self.installation.submit(job).await)
    }
}

/// Held, let go on, held again and cancelled: one application, never two drivers, nothing written before it was on record.
async fn held_and_let_go_on(scene: &Scene<'_>) {
    let (hub, m1) = (scene.fleet.hub(), scene.fleet.member("m1"));
    let deadlines = json!({"deadlines": {"run": "1h"}});
    scene.submit(&scripted("held", "hang-running", &["m1"], &deadlines)).await;
    let first = running(hub, TEAM, "held").await;
    let started = |job: &RoutedSparkJob| jobs::application(job).and_then(|it| it.started_at.clone());
    assert!(started(&first).is_some());

    suspend(hub, "held", true).await;
    let held = suspended(hub, "held", "True", "Suspended").await;
    let shown = jobs::describe(&held);
    assert_eq!((jobs::phase(&held), jobs::reason(&held)), ("Suspended", "Suspended"), "{shown}");
    assert_eq!(started(&held), None, "its run is over: {shown}");
    let state = has(hub, "held", "SUSPENDED", |job| {
        jobs::application(job).and_then(|it| it.state.as_deref()) == Some("SUSPENDED")
    });
    state.await;
    let (application, drivers) = there(m1, &held).await;
    assert_eq!((&application["spec"]["suspend"], drivers), (&json!(true), 0));
    let member = scene::member(hub, "m1", "the ledger", |member| {
        member.status.as_ref().is_some_and(|status| status.active_jobs == Some(1))
    });
    assert!(member.await.status.unwrap().ledger.unwrap().cpu_milli > 0, "its room stays its own");

    suspend(hub, "held", false).await;
    let resumed = running(hub, TEAM, "held").await;
    let shown = jobs::describe(&resumed);
    let found = scene::condition(&resumed, condition::SUSPENDED);
    assert_eq!((found.0, found.1), ("False", "Resumed"), "{shown}");
    assert_eq!(remote_name(&resumed), remote_name(&first), "the same attempt: {shown}");
    assert_eq!(jobs::application(&resumed).and_then(|it| it.attempts), Some(2), "{shown}");
    assert!(started(&resumed) >= started(&first), "{shown}");

    suspend(hub, "held", true).await;
    suspended(hub, "held", "True", "Suspended").await;
    patch(hub, "rsj", TEAM, "held", json!({"spec": {"cancel": true}})).await;
    let over = finished(hub, TEAM, "held").await;
    assert_eq!(jobs::phase(&over), "Cancelled");
    assert_eq!(scene::condition(&over, condition::SUSPENDED).0, "", "what is over is not held");

    let writes = written(m1, &first);
    let values: Vec<_> = writes.iter().map(|(suspend, _)| *suspend).collect();
    assert_eq!(values, [true, false, true], "each once");
    for (_, call) in &writes {
        let version = call.request.as_ref().unwrap().pointer("/metadata/resourceVersion");
        assert!(version.is_some_and(Value::is_string), "only on the version that was read: {call:?}");
    }
    assert!(time(&recorded(hub, "held", "Suspending")) <= time(&writes[0].1.received));
    assert!(time(&recorded(hub, "held", "Resuming")) <= time(&writes[1].1.received));
}

/// One that its operator has not submitted is not written to, however long that takes; one on a member that cannot says so.
async fn not_held(scene: &Scene<'_>) {
    let (hub, m1, m2) = (scene.fleet.hub(), scene.fleet.member("m1"), scene.fleet.member("m2"));
    scene.submit(&scripted("fresh", "hang-empty", &["m1"], &json!({}))).await;
    let fresh = has(hub, "fresh", "its application's uid on record", |job| {
        job.status.as_ref().is_some_and(|s| s.placement.as_ref().is_some_and(|p| p.remote_uid.is_some()))
    })
    .await;
    suspend(hub, "fresh", true).await;

    scene.submit(&scripted("old", "hang-running", &["m2"], &json!({}))).await;
    running(hub, TEAM, "old").await;
    suspend(hub, "old", true).await;
    let refused = suspended(hub, "old", "False", "SuspendIgnored").await;
    let message = scene::condition(&refused, condition::SUSPENDED).2;
    assert!(message.contains("m2 does not hold it: the Spark operator there is older than 2.4"), "{message}");
    assert!(message.contains("spec.cancel"), "{message}");
    let note = event(hub, TEAM, "old", "SuspendIgnored").await;
    assert!(note.contains("spec.suspend"), "{note}");
    assert_eq!(jobs::phase(&refused), "Running");
    let (application, drivers) = there(m2, &refused).await;
    assert_eq!((application["spec"].get("suspend"), drivers), (None, 1));
    suspend(hub, "old", false).await;
    has(hub, "old", "no word of it", |job| scene::condition(job, condition::SUSPENDED).0.is_empty()).await;

    assert_eq!(written(m1, &fresh), [], "it may be being submitted");
    let (application, _) = there(m1, &fresh).await;
    assert_eq!(application["metadata"]["generation"], 1);
}

/// A driver that its member's scheduler refuses: the next attempt goes elsewhere.
async fn refused_by_the_scheduler(scene: &Scene<'_>) {
    let (hub, m1) = (scene.fleet.hub(), scene.fleet.member("m1"));
    let retry =
        json!({"retry": {"maxAttempts": 2, "failures": ["Unschedulable"], "backoff": {"initial": "1s"}}});
    patch(hub, "mc", "", "m2", json!({"spec": {"unschedulable": true}})).await;
    scene.submit(&scripted("refused", "hang-submitted", &[], &retry)).await;
    let submitted = sure(jobs::wait_for_phase(hub, TEAM, "refused", "Submitted", PATIENCE).await);
    assert_eq!(jobs::cluster(&submitted), "m1");
    patch(hub, "mc", "", "m2", json!({"spec": {"unschedulable": false}})).await;
    let reason =
        json!({"phase": "Failed", "reason": "ApplicationRejected", "message": "queue root.etl is draining"});
    pod_is(m1, &submitted, reason).await;
    let state = json!({"status": {"applicationState": {
        "state": "FAILED", "errorMessage": "driver container status missing"
    }}});
    let applications = jobs::applications_in(m1.client(), TEAM);
    let name = remote_name(&submitted);
    applications.patch_status(&name, &PatchParams::default(), &Patch::Merge(&state)).await.unwrap();
    let elsewhere = has(hub, "refused", "its second attempt", |job| jobs::cluster(job) == "m2").await;
    let row = &elsewhere.status.as_ref().unwrap().history[0];
    assert_eq!((row.cluster.as_str(), row.reason.as_deref()), ("m1", Some("ApplicationRejected")), "{row:?}");
    let note = event(hub, TEAM, "refused", "ApplicationRejected").await;
    assert!(note.contains("queue root.etl is draining"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_its_place_is_held_let_go_on_and_explained() {
    let fleet = scene::two_members().await;
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    as_before_suspend(fleet.member("m2")).await;
    let operators = scene::operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in ["m1", "m2"] {
        sure(installation.member(name, json!({})).await);
    }
    scene::shared_queue(&installation, hub, TEAM, QUEUE).await;
    let router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;
    let scene = Scene { fleet: &fleet, installation: &installation };
    held_and_let_go_on(&scene).await;

    // One that finds no node: it is looked at only after some time.
    scene
        .submit(&scripted("no-node", "hang-submitted", &["m1"], &json!({"deadlines": {"start": "45s"}})))
        .await;
    let submitted = sure(jobs::wait_for_phase(hub, TEAM, "no-node", "Submitted", PATIENCE).await);
    let unschedulable = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu."
    }]});
    pod_is(m1, &submitted, unschedulable).await;

    not_held(&scene).await;
    refused_by_the_scheduler(&scene).await;

    let waits = has(hub, "no-node", "Unschedulable", |job| jobs::reason(job) == "Unschedulable").await;
    assert_eq!(jobs::phase(&waits), "Submitted");
    assert!(jobs::message(&waits).contains("0/3 nodes are available"), "{}", jobs::message(&waits));
    let late = finished(hub, TEAM, "no-node").await;
    assert_eq!(jobs::reason(&late), "StartDeadlineExceeded");
    assert!(
        jobs::message(&late).ends_with("Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."),
        "{}",
        jobs::message(&late)
    );
    let read = |call: &Call| call.user == USER && call.verb == "get" && call.resource == "pods";
    let looks = sure(m1.audit().calls()).iter().filter(|call| read(call)).count();
    assert!(looks <= 6, "drivers are looked at seldom: {looks}");

    for operator in &operators {
        for seen in operator.seen().values() {
            assert_eq!(seen.submits, seen.drivers, "nothing is submitted beside what runs: {seen:?}");
        }
    }
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
