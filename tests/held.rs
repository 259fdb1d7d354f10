//! The hub is put back to a backup that was taken before jobs were placed, one of which left no trace: what
//! waits there holds and says so until somebody acknowledges it, then runs once. A member that comes only later is looked at
//! before it takes anything. What is left of a job that was taken away by force is no sign of a restore.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, SparkQueue, condition};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, MemberOptions};

use scene::{
    PATIENCE, Watched, condition as of_job, crds_only, creates, event, patch, queued, running, succeeded,
    sure, uid,
};

const TEAM: &str = "team";
/// Goes to m1.
const QUEUE: &str = "etl";
/// Goes to m2, which is away when the router starts on the restored hub.
const LATE: &str = "late";

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
async fn queue(hub: &Cluster, name: &str, what: &str, wanted: impl Fn(&SparkQueue) -> bool) -> SparkQueue {
    sure(jobs::wait_until(Api::all(hub.client()), name, what, PATIENCE, wanted).await)
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
    let own = MemberOptions { own_etcd: true, ..MemberOptions::default() };
    let builder =
        Fleet::builder().hub_with(own).member_with("m1", crds_only()).member_with("m2", crds_only());
    let fleet = sure(builder.start().await);
    let (hub, members) = (fleet.hub(), [fleet.member("m1"), fleet.member("m2")]);
    let _operators = scene::operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in ["m1", "m2"] {
        sure(installation.member(name, json!({})).await);
    }
    sure(installation.namespace(TEAM).await);
    let pause = async |paused: bool| {
        for name in [QUEUE, LATE] {
            patch(hub, "sq", "", name, json!({"spec": {"paused": paused}})).await;
        }
    };
    for (name, member) in [(QUEUE, "m1"), (LATE, "m2")] {
        let routes = objects::weights(&[(member, 1)]);
        sure(hub.apply_manifest(&objects::queue(name, &routes).to_string()).await);
    }
    pause(true).await;
    let mut router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;
    let job_of = |queue: &str, name: &str, script: &str| -> Value {
        objects::job(TEAM, name, queue, |template| objects::annotate(template, "script", script))
    };
    let job = |name: &str, script: &str| job_of(QUEUE, name, script);
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    for (name, script) in [("runs", "hang-running"), ("waits", "succeed")] {
        sure(installation.submit(&job(name, script)).await);
        queued(hub, TEAM, name, "QueuePaused").await;
    }
    sure(installation.submit(&job_of(LATE, "waits-for-m2", "succeed")).await);
    queued(hub, TEAM, "waits-for-m2", "QueuePaused").await;
    let backup = sure(hub.back_up());

    // After it: one runs, one runs to its end and goes without a trace, one comes that the backup does not know.
    pause(false).await;
    let before = running(hub, TEAM, "runs").await;
    let first_run = succeeded(hub, TEAM, "waits").await;
    sure(installation.submit(&job("later", "hang-running")).await);
    let later = running(hub, TEAM, "later").await;
    sure(installation.submit(&job_of(LATE, "later-on-m2", "hang-running")).await);
    running(hub, TEAM, "later-on-m2").await;
    for name in ["waits", "waits-for-m2"] {
        succeeded(hub, TEAM, name).await;
        api.delete(name, &DeleteParams::default()).await.unwrap();
        sure(jobs::wait_gone(api.clone(), name, PATIENCE).await);
    }
    assert_eq!(applications(&members, "waits-").await, Vec::<String>::new());
    sure(router.0.kill());
    sure(hub.put_back(&backup).await);
    pause(false).await;
    let mark = members.map(|member| member.audit().mark());
    let sent = || -> Vec<String> {
        let calls = members.iter().zip(mark).flat_map(|(member, mark)| creates(member, mark));
        calls.map(|call| call.name).collect()
    };
    sure(members[1].stop_apiserver());
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
    let found = queue(hub, QUEUE, "Restored", |queue| restored(queue) == ("True", "HubRestored")).await;
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

    // A member that comes later is looked at before it takes what waits for it.
    queued(hub, TEAM, "waits-for-m2", "NoClusterReady").await;
    assert_eq!(restored(&queue(hub, LATE, "there", |_| true).await), ("", ""));
    sure(members[1].start_apiserver().await);
    let held = queued(hub, TEAM, "waits-for-m2", "HubRestored").await;
    assert!(
        jobs::message(&held).contains("m2 shows application team/later-on-m2-"),
        "{}",
        jobs::message(&held)
    );

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
    assert!(shown.contains("To let them go: spark-router acknowledge etl\n"), "{shown}");
    queued(hub, TEAM, "waits", "HubRestored").await;
    let done = command(hub, &["acknowledge", QUEUE, LATE]).await;
    assert_eq!(done.matches("Let go: the router places them like any other.\n").count(), 2, "{done}");
    for name in ["waits", "waits-for-m2"] {
        succeeded(hub, TEAM, name).await;
    }
    let settled = |queue: &SparkQueue| restored(queue) == ("False", "Acknowledged");
    let after = queue(hub, QUEUE, "acknowledged", settled).await;
    assert!(after.status.is_some_and(|status| status.restored.is_none()));
    // Each once: the one name begins as the other does.
    assert_eq!(sent().iter().filter(|name| name.starts_with("waits-")).count(), 2, "{:?}", sent());
    assert!(command(hub, &["acknowledge", QUEUE]).await.contains("holds no jobs"));

    // The same signs do not hold again, and what was taken away by force is none: its number is on the queue's record.
    sure(installation.submit(&job("forced", "hang-running")).await);
    let forced = seq(&running(hub, TEAM, "forced").await);
    let counted = |queue: &SparkQueue| queue.status.as_ref().and_then(|status| status.seq) >= Some(forced);
    queue(hub, QUEUE, "its account written", counted).await;
    sure(router.0.kill());
    api.delete("forced", &DeleteParams::background()).await.unwrap();
    patch(hub, "rsj", TEAM, "forced", json!({"metadata": {"finalizers": null}})).await;
    sure(installation.submit(&job("after", "succeed")).await);
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    succeeded(hub, TEAM, "after").await;
    assert!(settled(&queue(hub, QUEUE, "there", |_| true).await));
    let metrics = sure(router.0.metrics().await);
    assert!(metrics.contains("sparkrouter_queue_restored{queue=\"etl\"} 0"), "{metrics}");

    // What nobody on the hub knows runs on.
    for (name, count) in [("later-", 2), ("forced-", 1)] {
        assert_eq!(applications(&members, name).await.len(), count, "{name}");
    }
    assert_eq!(uid(&running(hub, TEAM, "runs").await), uid(&before));
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
