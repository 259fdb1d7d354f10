//! How long jobs run and stay, on real control planes: one that runs longer than its queue allows is stopped, also by a
//! router that is killed in between and on a member that is away for a while; a finished one is deleted when its time is
//! over, unless a repository would create it again.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, condition, names};
use spark_router_testkit::fault::{Action, FaultProxy, Gate, Mode, Rule};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, USER, jobs, objects};
use spark_router_testkit::{Cluster, Fleet};

use scene::{PATIENCE, Watched, crds_only, endless, event, finished, patch, ready, running, sure, uid};

const TEAM: &str = "team";
const M1: &[(&str, u32)] = &[("m1", 1)];

/// A queue to `m1` with these parts of a spec.
fn queue(name: &str, spec: &Value) -> String {
    let mut queue = objects::queue(name, &objects::weights(M1));
    objects::merge(&mut queue, json!({"spec": spec}));
    queue.to_string()
}

/// A short job with these parts of an object.
fn short(name: &str, queue: &str, parts: Value) -> Value {
    let mut job = objects::job(TEAM, name, queue, |_| {});
    objects::merge(&mut job, parts);
    job
}

async fn job(hub: &Cluster, name: &str) -> RoutedSparkJob {
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    api.get(name).await.unwrap()
}

/// The applications and the pods of a job that its member has.
async fn left_of(member: &Cluster, job: &RoutedSparkJob) -> (Vec<DynamicObject>, Vec<Pod>) {
    let ours = ListParams::default().labels(&format!("{}={}", names::JOB_UID_LABEL, uid(job)));
    let applications = jobs::applications_in(member.client(), TEAM).list(&ours).await.unwrap().items;
    let pods: Api<Pod> = Api::namespaced(member.client(), TEAM);
    (applications, pods.list(&ours).await.unwrap().items)
}

/// It was stopped for its queue's longest run, and nothing of it is left on its member.
async fn is_stopped(member: &Cluster, job: &RoutedSparkJob) {
    let shown = jobs::describe(job);
    assert_eq!((jobs::phase(job), jobs::reason(job)), ("Failed", "RanTooLong"), "{shown}");
    for part in ["stopped on m1: it ran since", "longer than the 5s that queue brief allows", "longestRun"] {
        assert!(jobs::message(job).contains(part), "{part}: {shown}");
    }
    assert_eq!(scene::condition(job, condition::SUCCEEDED).1, "RanTooLong");
    assert!(job.status.as_ref().unwrap().stopping.is_none(), "{shown}");
    let application = jobs::application(job).unwrap();
    let (started, ended) =
        (application.started_at.as_ref().unwrap(), application.finished_at.as_ref().unwrap());
    assert!(ended.0.duration_since(started.0).as_secs() >= 5, "{started:?} {ended:?}");
    let (applications, pods) = left_of(member, job).await;
    assert!(applications.is_empty() && pods.is_empty(), "{applications:?} {pods:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_too_long_is_stopped_whatever_comes_between() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let _operator = ScriptedOperator::start(m1.client(), Options { driver_pods: true, ..Options::default() });
    let proxy = FaultProxy::start_at(fleet.address(10), m1.server(), m1.authority().certificate(), None);
    let proxy = sure(proxy.await);
    let installation = sure(Installation::new(&fleet).await);
    let health = json!({"health": {"lostAfterSeconds": 2, "readyAfterSeconds": 1}});
    sure(installation.member_through("m1", &proxy, health).await);
    sure(installation.namespace(TEAM).await);
    sure(hub.apply_manifest(&queue("brief", &json!({"limits": {"longestRun": "5s"}}))).await);
    let mut router = Watched::start(&installation, &fleet, &["--retention-floor=1s"], &["m1"]).await;

    // The plain case.
    sure(installation.submit(&endless(TEAM, "plain", "brief")).await);
    let stopped = finished(hub, TEAM, "plain").await;
    is_stopped(m1, &stopped).await;
    let note = event(hub, TEAM, "plain", "RanTooLong").await;
    assert!(note.contains("queue brief"), "{note}");

    // Its member is away when its time is over.
    sure(installation.submit(&endless(TEAM, "away", "brief")).await);
    running(hub, TEAM, "away").await;
    proxy.set(Mode::Refuse).await;
    let waits = jobs::wait_for(hub, TEAM, "away", "waiting for m1", PATIENCE, |job| {
        jobs::phase(job) == "Cancelling" && jobs::message(job).contains("waits for m1, which does not answer")
    });
    let waiting = sure(waits.await);
    assert!(waiting.status.as_ref().unwrap().stopping.is_some() && !jobs::is_finished(&waiting));
    assert_eq!(scene::condition(&waiting, condition::MEMBER_REACHABLE).1, "MemberUnreachable");
    let (applications, pods) = left_of(m1, &waiting).await;
    assert_eq!((applications.len(), pods.len()), (1, 1), "it runs on, unseen");
    proxy.set(Mode::Up).await;
    is_stopped(m1, &finished(hub, TEAM, "away").await).await;
    ready(hub, "m1").await;

    // The router is killed when the decision is on record and nothing is stopped yet.
    let gate = Gate::new();
    let rule =
        Rule::new(Action::HoldThenForward(gate.clone())).method("DELETE").containing("/sparkapplications/");
    let trap = proxy.add(rule);
    sure(installation.submit(&endless(TEAM, "killed", "brief")).await);
    assert!(tokio::time::timeout(PATIENCE, gate.wait_arrived(1)).await.is_ok(), "nothing was stopped");
    sure(router.0.kill());
    let latched = job(hub, "killed").await;
    let record = latched.status.as_ref().unwrap().stopping.as_ref();
    assert_eq!(
        record.map(|record| record.reason.as_str()),
        Some("RanTooLong"),
        "{}",
        jobs::describe(&latched)
    );
    assert!(!jobs::is_finished(&latched));
    let (applications, pods) = left_of(m1, &latched).await;
    assert_eq!((applications.len(), pods.len()), (1, 1), "nothing was stopped before");
    // What is decided is decided.
    patch(hub, "sparkqueue", "", "brief", json!({"spec": {"limits": {"longestRun": "1000h"}}})).await;
    proxy.remove(trap);
    gate.drop_waiting();
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    is_stopped(m1, &finished(hub, TEAM, "killed").await).await;

    // By the new limit jobs run on, until it is lowered again; a job that came to its end keeps that.
    sure(installation.submit(&short("free", "brief", json!({}))).await);
    scene::succeeded(hub, TEAM, "free").await;
    sure(installation.submit(&endless(TEAM, "lowered", "brief")).await);
    running(hub, TEAM, "lowered").await;
    patch(hub, "sparkqueue", "", "brief", json!({"spec": {"limits": {"longestRun": "5s"}}})).await;
    is_stopped(m1, &finished(hub, TEAM, "lowered").await).await;
    assert_eq!(jobs::phase(&job(hub, "free").await), "Succeeded");

    // None of them ran twice.
    let remote = RemoteApplications::read(fleet.clusters()).unwrap();
    assert_eq!((remote.jobs(), remote.created(), remote.max_per_job()), (5, 5, 1));
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_goes_when_its_time_is_over_unless_it_would_come_back() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let _operator = ScriptedOperator::start(m1.client(), Options { driver_pods: true, ..Options::default() });
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({})).await);
    sure(installation.namespace(TEAM).await);
    sure(hub.apply_manifest(&queue("kept", &json!({"ttlAfterFinished": "2s"}))).await);
    let router = Watched::start(&installation, &fleet, &["--retention-floor=1s"], &["m1"]).await;
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);

    let tracking = json!({"argocd.argoproj.io/tracking-id": "app:sparkrouter.dev/RoutedSparkJob:team/argo"});
    let argo = json!({"metadata": {"annotations": tracking.clone()}, "spec": {"ttlAfterFinished": "1s"}});
    let flux = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}});
    for (name, parts) in
        [("argo", argo), ("flux", flux), ("long", json!({"spec": {"ttlAfterFinished": "1h"}}))]
    {
        sure(installation.submit(&short(name, "kept", parts)).await);
        scene::succeeded(hub, TEAM, name).await;
    }
    let note = event(hub, TEAM, "argo", "TTLIgnored").await;
    assert!(note.contains("Argo CD owns the job and would create it again"), "{note}");

    // Those that ended later and may go are gone, and what they left on their member too.
    let own = json!({"spec": {"ttlAfterFinished": "1s"}});
    for (name, parts) in [("default", json!({})), ("own", own)] {
        sure(installation.submit(&short(name, "kept", parts)).await);
        sure(jobs::wait_gone(api.clone(), name, PATIENCE).await);
        event(hub, TEAM, name, "JobSucceeded").await;
    }
    let gone = jobs::wait_for_applications(m1, "the end", PATIENCE, |applications| {
        applications.keys().all(|name| !name.starts_with("default-") && !name.starts_with("own-"))
    });
    assert_eq!(sure(gone.await).len(), 3, "the others' are kept for the time of retention");
    for name in ["argo", "flux", "long"] {
        let kept = job(hub, name).await;
        assert!(jobs::is_finished(&kept) && kept.metadata.deletion_timestamp.is_none(), "{name}");
    }

    // An edit after the end is answered, and taken for what it says once nobody would create the job again.
    patch(hub, "rsj", TEAM, "argo", json!({"spec": {"ttlAfterFinished": "2s"}})).await;
    let observed = |job: &RoutedSparkJob| {
        let status = job.status.as_ref().unwrap();
        let finished = condition::find(&status.conditions, condition::FINISHED);
        job.metadata.generation == Some(2)
            && status.observed_generation == Some(2)
            && finished.is_some_and(|finished| finished.observed_generation == Some(2))
    };
    sure(jobs::wait_for(hub, TEAM, "argo", "observed", PATIENCE, observed).await);
    patch(
        hub,
        "rsj",
        TEAM,
        "argo",
        json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": null}}}),
    )
    .await;
    sure(jobs::wait_gone(api.clone(), "argo", PATIENCE).await);
    // And a time that is shortened after the end.
    patch(hub, "rsj", TEAM, "long", json!({"spec": {"ttlAfterFinished": "1s"}})).await;
    sure(jobs::wait_gone(api.clone(), "long", PATIENCE).await);

    // Exactly those were deleted, each as it was when that was decided.
    let calls = sure(hub.audit().calls());
    let deletes: Vec<_> = calls
        .iter()
        .filter(|call| call.user == USER && call.resource == "routedsparkjobs" && call.verb == "delete")
        .collect();
    let mut names: Vec<_> =
        deletes.iter().filter(|call| call.succeeded()).map(|call| call.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["argo", "default", "long", "own"]);
    for call in deletes {
        let conditions = call.request.as_ref().map(|body| body["preconditions"].clone()).unwrap_or_default();
        assert!(conditions["uid"].is_string() && conditions["resourceVersion"].is_string(), "{call:?}");
    }
    let left: Vec<_> =
        api.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["flux"]);
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
