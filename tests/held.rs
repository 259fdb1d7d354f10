//! The hub's etcd is restored from a snapshot that was taken before jobs were placed, one of which left no trace: what
//! waits there holds and says so until somebody acknowledges it, then runs once. What is left of a job that was taken away
//! by force is no sign of a restore.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt as _, api::DeleteParams};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, SparkQueue, condition};
use spark_router_testkit::Cluster;
use spark_router_testkit::router::{Installation, jobs, objects};

use scene::{
    PATIENCE, Watched, condition as of_job, creates, event, patch, queued, running, succeeded, sure, uid,
};

const TEAM: &str = "team";
const QUEUE: &str = "etl";

/// `spark-router` as an administrator of the hub runs it: what it printed. It must end well.
async fn command(hub: &Cluster, arguments: &[&str]) -> String {
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_spark-router"));
    process.args(arguments).env("KUBECONFIG", hub.kubeconfig_path()).stdin(Stdio::null());
    let output = process.output().await.unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {err}");
    out
}

/// Waits until the queue is as wanted.
async fn queue(hub: &Cluster, what: &str, wanted: impl Fn(&SparkQueue) -> bool) -> SparkQueue {
    sure(jobs::wait_until(Api::all(hub.client()), QUEUE, what, PATIENCE, wanted).await)
}

/// Status and reason of the queue's condition Restored; empty where it has none.
fn restored(queue: &SparkQueue) -> (&str, &str) {
    let conditions = queue.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, condition::RESTORED).map_or(("", ""), |it| (&it.status, &it.reason))
}

fn seq(job: &RoutedSparkJob) -> u64 {
    job.status.as_ref().and_then(|status| Some(status.placement.as_ref()?.seq)).unwrap()
}

/// The names of the applications of a job on both members.
async fn applications(members: &[&Cluster], job: &str) -> Vec<String> {
    let mut names = Vec::new();
    for member in members {
        let all = sure(jobs::applications(member).await);
        names.extend(all.iter().map(kube::ResourceExt::name_any).filter(|name| name.starts_with(job)));
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_on_a_restored_hub_holds_until_somebody_lets_it_go() {
    let fleet = scene::two_members().await;
    let (hub, members) = (fleet.hub(), [fleet.member("m1"), fleet.member("m2")]);
    let _operators = scene::operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in ["m1", "m2"] {
        sure(installation.member(name, json!({})).await);
    }
    scene::shared_queue(&installation, hub, TEAM, QUEUE).await;
    patch(hub, "sq", "", QUEUE, json!({"spec": {"paused": true}})).await;
    let mut router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;
    let job = |name: &str, script: &str| -> Value {
        objects::job(TEAM, name, QUEUE, |template| objects::annotate(template, "script", script))
    };
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    for (name, script) in [("runs", "hang-running"), ("waits", "succeed")] {
        sure(installation.submit(&job(name, script)).await);
        queued(hub, TEAM, name, "QueuePaused").await;
    }
    let snapshot = sure(hub.records().await);

    // After it: one runs, one runs to its end and goes without a trace, one comes that the snapshot does not know.
    patch(hub, "sq", "", QUEUE, json!({"spec": {"paused": false}})).await;
    let before = running(hub, TEAM, "runs").await;
    let first_run = succeeded(hub, TEAM, "waits").await;
    sure(installation.submit(&job("later", "hang-running")).await);
    let later = running(hub, TEAM, "later").await;
    api.delete("waits", &DeleteParams::default()).await.unwrap();
    sure(jobs::wait_gone(api.clone(), "waits", PATIENCE).await);
    assert_eq!(applications(&members, "waits-").await, Vec::<String>::new());
    sure(router.0.kill());
    sure(hub.put_back(&snapshot).await);
    patch(hub, "sq", "", QUEUE, json!({"spec": {"paused": false}})).await;
    let mark = members.map(|member| member.audit().mark());
    let sent = || -> Vec<String> {
        let calls = members.iter().zip(mark).flat_map(|(member, mark)| creates(member, mark));
        calls.map(|call| call.name).collect()
    };
    sure(router.0.restart());
    sure(router.0.wait_ready().await);

    // What runs is taken up; what waits holds, and each of them says why.
    let taken_up = running(hub, TEAM, "runs").await;
    assert_eq!((uid(&taken_up), seq(&taken_up)), (uid(&before), seq(&before)));
    let held = queued(hub, TEAM, "waits", "HubRestored").await;
    assert_eq!(uid(&held), uid(&first_run), "it is the very job that ran");
    let (status, reason, message) = of_job(&held, condition::PLACED);
    assert_eq!((status, reason), ("False", "HubRestored"));
    let unknown = format!("of job team/later, placement {} of the queue", seq(&later));
    assert!(message.contains(&unknown), "{message}");
    assert!(message.ends_with("spark-router acknowledge etl"), "{message}");
    let found = queue(hub, "Restored", |queue| restored(queue) == ("True", "HubRestored")).await;
    let record = found.status.and_then(|status| status.restored).unwrap();
    assert_eq!((record.known_seq, record.seq), (0, seq(&later)));
    let signs: Vec<_> = record.signs.iter().map(|sign| (sign.job_name.as_str(), sign.job_exists)).collect();
    assert_eq!(signs, [("later", false), ("runs", true)]);
    let note = event(hub, "default", QUEUE, "HubRestored").await;
    assert!(note.contains(&unknown), "{note}");
    let metrics = sure(router.0.metrics().await);
    assert!(metrics.contains("sparkrouter_queue_restored{queue=\"etl\"} 1"), "{metrics}");
    let explained: Value =
        serde_json::from_str(&command(hub, &["explain", "team/waits", "-o", "json"]).await).unwrap();
    assert_eq!(explained["reason"], "HubRestored", "{explained}");

    // A restart changes nothing, although by now the record knows what runs; younger jobs go on.
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    let second = Duration::from_secs(1);
    let younger = record.before.0.checked_add(second).unwrap();
    tokio::time::sleep(younger.duration_since(Timestamp::now()).try_into().unwrap_or_default()).await;
    sure(installation.submit(&job("young", "succeed")).await);
    let young = succeeded(hub, TEAM, "young").await;
    assert!(seq(&young) > seq(&later), "no number is given out twice");
    queued(hub, TEAM, "waits", "HubRestored").await;
    assert!(sent().iter().all(|name| name.starts_with("young-")), "{:?}", sent());

    // It is shown, then let go, and runs once.
    let shown = command(hub, &["acknowledge"]).await;
    for part in
        ["SparkQueue etl: the hub's records end at placement 0", "  team/waits\n", "team/later   unknown"]
    {
        assert!(shown.contains(part), "{part:?} in\n{shown}");
    }
    assert!(shown.ends_with("To let them go: spark-router acknowledge etl\n"), "{shown}");
    queued(hub, TEAM, "waits", "HubRestored").await;
    let done = command(hub, &["acknowledge", QUEUE]).await;
    assert!(done.ends_with("Let go: the router places them like any other.\n"), "{done}");
    succeeded(hub, TEAM, "waits").await;
    let settled = |queue: &SparkQueue| restored(queue) == ("False", "Acknowledged");
    let after = queue(hub, "acknowledged", settled).await;
    assert!(after.status.is_some_and(|status| status.restored.is_none()));
    assert_eq!(sent().iter().filter(|name| name.starts_with("waits-")).count(), 1, "{:?}", sent());
    assert!(command(hub, &["acknowledge", QUEUE]).await.contains("holds no jobs"));

    // The same signs do not hold again, and what was taken away by force is none: its number is on the queue's record.
    sure(installation.submit(&job("forced", "hang-running")).await);
    let forced = seq(&running(hub, TEAM, "forced").await);
    let counted = |queue: &SparkQueue| queue.status.as_ref().and_then(|status| status.seq) >= Some(forced);
    queue(hub, "its account written", counted).await;
    sure(router.0.kill());
    api.delete("forced", &DeleteParams::background()).await.unwrap();
    patch(hub, "rsj", TEAM, "forced", json!({"metadata": {"finalizers": null}})).await;
    sure(installation.submit(&job("after", "succeed")).await);
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    succeeded(hub, TEAM, "after").await;
    assert!(settled(&queue(hub, "there", |_| true).await));
    let metrics = sure(router.0.metrics().await);
    assert!(metrics.contains("sparkrouter_queue_restored{queue=\"etl\"} 0"), "{metrics}");

    // What nobody on the hub knows runs on.
    for name in ["later", "forced"] {
        assert_eq!(applications(&members, &format!("{name}-")).await.len(), 1, "{name}");
    }
    assert_eq!(uid(&running(hub, TEAM, "runs").await), uid(&before));
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
