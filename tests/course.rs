//! The course of a job by its owner's word, on real control planes: cancelled, held back, given deadlines, tried again,
//! and moved away from members that are drained or lost.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use spark_router_api::{
    RoutedSparkJob, condition,
    job::{Left, PastAttempt},
    names,
};
use spark_router_testkit::Cluster;
use spark_router_testkit::fault::{FaultProxy, Mode};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs, objects};

use scene::{PATIENCE, Watched, event, finished, not_ready, patch, queued, ready, running, sure, uid};

const TEAM: &str = "team";
const QUEUE: &str = "etl";

/// A job whose driver does as the script says, with these parts of a spec.
fn scripted(name: &str, script: &str, spec: &Value) -> Value {
    let mut job = objects::job(TEAM, name, QUEUE, |template| {
        objects::annotate(template, "script", script);
        objects::annotate(template, "run-ms", "3600000");
    });
    objects::merge(&mut job, json!({ "spec": spec }));
    job
}

/// Leaves an attempt's application with these finalizers beside the router's own, or what is left of it with these alone.
async fn finalizers_of_others(member: &Cluster, attempt: &PastAttempt, others: &[&str]) {
    let api = jobs::applications_in(member.client(), TEAM);
    let there = api.get(&attempt.remote_name).await.unwrap();
    let ours = there.finalizers().iter().filter(|it| it.starts_with("sparkrouter.dev/")).map(String::as_str);
    let all: Vec<_> = ours.chain(others.iter().copied()).collect();
    let patch = Patch::Merge(json!({"metadata": {"finalizers": all}}));
    api.patch(&attempt.remote_name, &PatchParams::default(), &patch).await.unwrap();
}

async fn job(hub: &Cluster, name: &str) -> RoutedSparkJob {
    Api::namespaced(hub.client(), TEAM).get(name).await.unwrap()
}

fn history(job: &RoutedSparkJob) -> &[PastAttempt] {
    job.status.as_ref().map(|status| status.history.as_slice()).unwrap_or_default()
}

fn attempt(job: &RoutedSparkJob) -> u32 {
    job.status.as_ref().and_then(|status| status.attempt).unwrap_or_default()
}

/// How many applications and driver pods of a job a member has.
async fn left_of(member: &Cluster, job: &RoutedSparkJob) -> (usize, usize) {
    let ours = ListParams::default().labels(&format!("{}={}", names::JOB_UID_LABEL, uid(job)));
    let applications = jobs::applications_in(member.client(), TEAM).list(&ours).await.unwrap().items;
    let pods: Api<Pod> = Api::namespaced(member.client(), TEAM);
    (applications.len(), pods.list(&ours).await.unwrap().items.len())
}

async fn has(
    hub: &Cluster,
    name: &str,
    what: &str,
    wanted: impl Fn(&RoutedSparkJob) -> bool,
) -> RoutedSparkJob {
    sure(jobs::wait_for(hub, TEAM, name, what, PATIENCE, wanted).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_owner_says_of_a_job_is_done() {
    let fleet = scene::two_members().await;
    let (hub, m1, m2) = (fleet.hub(), fleet.member("m1"), fleet.member("m2"));
    let _operators = scene::operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in ["m1", "m2"] {
        sure(installation.member(name, json!({"capacity": {"cpu": "20"}, "retention": "3s"})).await);
    }
    scene::shared_queue(&installation, hub, TEAM, QUEUE).await;
    let router = Watched::start(&installation, &fleet, &["--retention-floor=1s"], &["m1", "m2"]).await;
    let submit = async |job: Value| sure(installation.submit(&job).await);
    let big = json!({"template": {"spec": {"driver": {"cores": 1}, "executor": {"instances": 30}}}});

    // Cancel: one that waits, one that runs, one whose driver is not there yet.
    submit(scripted("waits", "succeed", &big)).await;
    scene::queued(hub, TEAM, "waits", "NeverFits").await;
    submit(scripted("runs", "hang-running", &json!({}))).await;
    submit(scripted("fresh", "hang-empty", &json!({}))).await;
    running(hub, TEAM, "runs").await;
    has(hub, "fresh", "its application's uid on record", |job| {
        job.status.as_ref().is_some_and(|s| s.placement.as_ref().is_some_and(|p| p.remote_uid.is_some()))
    })
    .await;
    for name in ["waits", "runs", "fresh"] {
        patch(hub, "rsj", TEAM, name, json!({"spec": {"cancel": true}})).await;
        let cancelled = finished(hub, TEAM, name).await;
        let shown = jobs::describe(&cancelled);
        assert_eq!(
            (jobs::phase(&cancelled), jobs::reason(&cancelled)),
            ("Cancelled", "Cancelled"),
            "{shown}"
        );
        assert_eq!(scene::condition(&cancelled, condition::SUCCEEDED).0, "False", "{shown}");
        for member in [m1, m2] {
            assert_eq!(left_of(member, &cancelled).await, (0, 0), "{shown}");
        }
        event(hub, TEAM, name, "Cancelled").await;
        // Reverting revives nothing.
        patch(hub, "rsj", TEAM, name, json!({"spec": {"cancel": false}})).await;
        let observed = has(hub, name, "the revert observed", |job| {
            job.status.as_ref().is_some_and(|s| s.observed_generation == job.metadata.generation)
        });
        assert_eq!(jobs::phase(&observed.await), "Cancelled");
    }

    // Suspend, while it waits; what has a place is another test's.
    submit(scripted("held", "hang-running", &json!({"suspend": true}))).await;
    let held = sure(jobs::wait_for_phase(hub, TEAM, "held", "Suspended", PATIENCE).await);
    assert_eq!(scene::condition(&held, condition::PLACED).1, "Suspended", "{}", jobs::describe(&held));
    patch(hub, "rsj", TEAM, "held", json!({"spec": {"suspend": false}})).await;
    running(hub, TEAM, "held").await;
    patch(hub, "rsj", TEAM, "held", json!({"spec": {"cancel": true}})).await;
    assert_eq!(jobs::phase(&finished(hub, TEAM, "held").await), "Cancelled");

    // Deadlines.
    let mut waiting = big;
    objects::merge(&mut waiting, json!({"deadlines": {"queued": "2s"}}));
    for (name, script, spec, reason, says) in [
        ("late", "succeed", waiting, "QueuedDeadlineExceeded", "spec.deadlines.queued"),
        (
            "slow",
            "hang-submitted",
            json!({"deadlines": {"start": "2s"}}),
            "StartDeadlineExceeded",
            "spec.deadlines.start",
        ),
        (
            "long",
            "hang-running",
            json!({"deadlines": {"run": "2s"}}),
            "RunDeadlineExceeded",
            "spec.deadlines.run",
        ),
    ] {
        submit(scripted(name, script, &spec)).await;
        let failed = finished(hub, TEAM, name).await;
        assert_eq!(
            (jobs::phase(&failed), jobs::reason(&failed)),
            ("Failed", reason),
            "{}",
            jobs::describe(&failed)
        );
        assert!(jobs::message(&failed).contains(says), "{}", jobs::message(&failed));
        for member in [m1, m2] {
            assert_eq!(left_of(member, &failed).await, (0, 0), "{name}");
        }
    }

    // Retries: the second attempt goes elsewhere, the third where there is room; then it is over.
    let retry = json!({"maxAttempts": 3, "failures": ["SubmissionFailed"], "backoff": {"initial": "1s", "max": "2s"}});
    submit(scripted("again", "submission-failed", &json!({"retry": retry}))).await;
    let first = has(hub, "again", "the first failure", |job| jobs::reason(job) == "SubmissionFailed").await;
    assert!(
        jobs::message(&first).starts_with("attempt 1 of 3 on m")
            && jobs::message(&first).ends_with("the next one in 1s"),
        "{}",
        jobs::message(&first)
    );
    let given_up = finished(hub, TEAM, "again").await;
    let shown = jobs::describe(&given_up);
    assert_eq!((jobs::phase(&given_up), jobs::reason(&given_up)), ("Failed", "SubmissionFailed"), "{shown}");
    let rows = history(&given_up);
    assert_eq!(rows.iter().map(|row| row.attempt).collect::<Vec<_>>(), [1, 2, 3], "{rows:?}");
    assert_ne!(rows[0].cluster, rows[1].cluster, "not where it had just failed: {rows:?}");
    assert!(rows.iter().all(|row| row.outcome == "Failed"), "{rows:?}");
    assert_eq!(given_up.status.as_ref().and_then(|status| status.retries), Some(2));
    let times: Vec<_> = rows.iter().map(|row| row.finished_at.as_ref().unwrap().0).collect();
    assert!(
        times[1].duration_since(times[0]).as_secs() >= 1 && times[2].duration_since(times[1]).as_secs() >= 2,
        "{times:?}"
    );
    // What failed is taken away after its time, also what failed before.
    scene::until("the failed applications to go", async || {
        let (on_m1, on_m2) = (left_of(m1, &given_up).await, left_of(m2, &given_up).await);
        if (on_m1, on_m2) == ((0, 0), (0, 0)) { Ok(()) } else { Err(format!("{on_m1:?} {on_m2:?}")) }
    })
    .await;
    has(hub, "again", "nothing left of it", |job| history(job).iter().all(|row| row.left.is_none())).await;

    // Not on the list: not tried again.
    let retry = json!({"maxAttempts": 3, "failures": ["Unschedulable"]});
    submit(scripted("once", "submission-failed", &json!({"retry": retry}))).await;
    assert_eq!(history(&finished(hub, TEAM, "once").await).len(), 1);

    // As many applications as attempts, none twice.
    let remote = RemoteApplications::read(fleet.clusters()).unwrap();
    for (name, created) in [("again", 3), ("once", 1), ("runs", 1), ("slow", 1), ("waits", 0), ("late", 0)] {
        assert_eq!(remote.of(&uid(&job(hub, name).await)).count(), created, "{name}");
    }
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_moves_only_as_its_owner_allows() {
    let fleet = scene::two_members().await;
    let (hub, m1, m2) = (fleet.hub(), fleet.member("m1"), fleet.member("m2"));
    let _operators = scene::operators(&fleet);
    let proxy = FaultProxy::start_at(fleet.address(10), m2.server(), m2.authority().certificate(), None);
    let proxy = sure(proxy.await);
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({})).await);
    let health = json!({"health": {"lostAfterSeconds": 3, "readyAfterSeconds": 1}});
    sure(installation.member_through("m2", &proxy, health).await);
    scene::shared_queue(&installation, hub, TEAM, QUEUE).await;
    let arguments = ["--retention-floor=1s", "--sweep-every=1s"];
    let router = Watched::start(&installation, &fleet, &arguments, &["m1", "m2"]).await;
    let cordon = async |name: &str, on: bool| {
        patch(hub, "mc", "", name, json!({"spec": {"unschedulable": on}})).await;
        scene::member(hub, name, "seen as it is", |member| {
            member.status.as_ref().and_then(|s| s.observed_generation) == member.metadata.generation
        })
        .await;
    };

    // Everything goes to m2 first.
    cordon("m1", true).await;
    let lost = |policy: &str| json!({"failover": {"onMemberLost": policy}});
    let mut only_m2 = lost("AllowDuplicate");
    objects::merge(&mut only_m2, json!({"placement": {"clusterNames": ["m2"]}}));
    for (name, script, spec) in [
        ("stays", "hang-running", json!({})),
        ("twice", "hang-running", lost("AllowDuplicate")),
        ("leaves", "hang-running", lost("AllowDuplicate")),
        ("blocked", "hang-running", only_m2),
        ("kept", "hang-running", lost("FenceThenMove")),
        ("fenced", "hang-empty", lost("FenceThenMove")),
    ] {
        sure(installation.submit(&scripted(name, script, &spec)).await);
    }
    for name in ["stays", "twice", "leaves", "blocked", "kept"] {
        assert_eq!(jobs::cluster(&running(hub, TEAM, name).await), "m2");
    }
    has(hub, "fenced", "its application's uid on record", |job| {
        job.status.as_ref().is_some_and(|s| s.placement.as_ref().is_some_and(|p| p.remote_uid.is_some()))
    })
    .await;
    cordon("m1", false).await;

    // m2 is gone. Only what may run twice moves.
    proxy.set(Mode::Silent).await;
    let silent = Instant::now();
    not_ready(hub, "m2", "Lost").await;
    let lost_at = Instant::now();
    for name in ["twice", "leaves"] {
        let moved = has(hub, name, "running on m1", |job| {
            jobs::cluster(job) == "m1" && jobs::phase(job) == "Running"
        })
        .await;
        let row = &history(&moved)[0];
        assert_eq!((attempt(&moved), row.cluster.as_str(), row.outcome.as_str()), (2, "m2", "Abandoned"));
        assert_eq!((row.reason.as_deref(), row.left), (Some("MemberLost"), Some(Left::MayRun)));
        let note = event(hub, TEAM, name, "MemberLost").await;
        assert!(note.contains("may still run on m2"), "{note}");
    }
    eprintln!(
        "AllowDuplicate: running elsewhere {:?} after silence, {:?} after Lost was seen",
        silent.elapsed(),
        lost_at.elapsed()
    );
    for name in ["stays", "kept", "fenced"] {
        let waits =
            has(hub, name, "told", |job| scene::condition(job, condition::MEMBER_REACHABLE).0 == "False")
                .await;
        assert_eq!((jobs::cluster(&waits), attempt(&waits)), ("m2", 1), "{}", jobs::describe(&waits));
    }
    // One of them is deleted while m2 is away: it does not wait, and m2 is told what to stop.
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    let leaves = job(hub, "leaves").await;
    api.delete("leaves", &DeleteParams::default()).await.unwrap();
    sure(jobs::wait_gone(api.clone(), "leaves", PATIENCE).await);
    let m2_object = scene::member(hub, "m2", "what was given up", |member| {
        member.status.as_ref().is_some_and(|s| s.abandoned.iter().any(|row| row.job_uid == uid(&leaves)))
    });
    m2_object.await;
    assert_eq!(left_of(m2, &leaves).await, (1, 1), "it runs there, unseen");

    // One can go nowhere but m2, and somebody's finalizer will be in the way of its first attempt there.
    let blocked = queued(hub, TEAM, "blocked", "NoClusterReady").await;
    assert_eq!(history(&blocked)[0].left, Some(Left::MayRun), "{}", jobs::describe(&blocked));
    finalizers_of_others(m2, &history(&blocked)[0], &["example.com/keep"]).await;

    // m2 is back. The attempts on record win; what was left behind is stopped, what runs is kept, what does not moves.
    proxy.set(Mode::Up).await;
    let back = Instant::now();
    ready(hub, "m2").await;
    let fenced = has(hub, "fenced", "a second attempt", |job| {
        attempt(job) == 2 && job.status.as_ref().is_some_and(|s| s.placement.is_some())
    })
    .await;
    eprintln!("FenceThenMove: placed again {:?} after the first answer", back.elapsed());
    let row = &history(&fenced)[0];
    assert_eq!(
        (row.outcome.as_str(), row.reason.as_deref(), row.left),
        ("Stopped", Some("MemberLost"), None)
    );
    has(hub, "twice", "nothing left behind", |job| history(job).iter().all(|row| row.left.is_none())).await;
    let twice = running(hub, TEAM, "twice").await;
    assert_eq!((jobs::cluster(&twice), attempt(&twice)), ("m1", 2), "the recorded attempt wins");
    assert_eq!((left_of(m1, &twice).await, left_of(m2, &twice).await), ((1, 1), (0, 0)));
    scene::until("the deleted job's run to be stopped", async || match left_of(m2, &leaves).await {
        (0, 0) => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await;
    let blocked = queued(hub, TEAM, "blocked", "EarlierAttempt").await;
    let message = blocked.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
    let first = &history(&blocked)[0];
    let named = format!(
        "attempt 1 may still run on m2 and is stopped first; that waits for the member to delete {TEAM}/{}",
        first.remote_name
    );
    assert!(message.starts_with(&named), "{message}");
    finalizers_of_others(m2, first, &[]).await;
    let unblocked = running(hub, TEAM, "blocked").await;
    assert_eq!((jobs::cluster(&unblocked), attempt(&unblocked)), ("m2", 2), "{}", jobs::describe(&unblocked));
    for name in ["stays", "kept"] {
        let kept =
            has(hub, name, "reachable", |job| scene::condition(job, condition::MEMBER_REACHABLE).0 == "True")
                .await;
        assert_eq!((jobs::cluster(&kept), jobs::phase(&kept), attempt(&kept)), ("m2", "Running", 1));
    }

    // m2 is drained: what has not started leaves, what runs stays.
    cordon("m1", true).await;
    sure(installation.submit(&scripted("idle", "hang-submitted", &json!({}))).await);
    let idle = sure(jobs::wait_for_phase(hub, TEAM, "idle", "Submitted", PATIENCE).await);
    assert_eq!(jobs::cluster(&idle), "m2");
    cordon("m1", false).await;
    patch(hub, "mc", "", "m2", json!({"spec": {"drain": true}})).await;
    let moved =
        has(hub, "idle", "on m1", |job| jobs::cluster(job) == "m1" && jobs::phase(job) == "Submitted").await;
    assert_eq!((attempt(&moved), history(&moved)[0].reason.as_deref()), (2, Some("MemberDrained")));
    assert_eq!(left_of(m2, &moved).await, (0, 0));
    for name in ["stays", "kept"] {
        assert_eq!(jobs::phase(&job(hub, name).await), "Running");
    }
    sure(installation.submit(&scripted("new", "hang-running", &json!({}))).await);
    assert_eq!(jobs::cluster(&running(hub, TEAM, "new").await), "m1", "nothing new goes there");

    // Nobody but those who allowed it had two runs at a time.
    let remote = RemoteApplications::read(fleet.clusters()).unwrap();
    let api = api.list(&ListParams::default()).await.unwrap();
    for (name, created) in
        [("stays", 1), ("kept", 1), ("twice", 2), ("blocked", 2), ("fenced", 2), ("idle", 2), ("new", 1)]
    {
        let job = api.iter().find(|job| job.name_any() == name).unwrap();
        assert_eq!(remote.of(&uid(job)).count(), created, "{name}");
    }
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
