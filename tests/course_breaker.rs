//! A member whose operator fails every job before its driver starts, on real control planes: jobs go elsewhere, then one
//! goes to see, and after that it has its share again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod scene;

use std::process::Stdio;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use serde_json::{Value, json};
use spark_router_api::{MemberCluster, RoutedSparkJob, condition};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet};

use scene::{PATIENCE, Watched, event, finished, patch, pinned, succeeded, sure};

const TEAMS: [&str; 2] = ["team-a", "team-b"];
const QUEUE: &str = "etl";
/// Nothing goes there for this long when the breaker opens; the record has whole seconds.
const CLOSED_FOR: SignedDuration = SignedDuration::from_secs(9);

fn job(team: &str, name: &str, script: &str) -> Value {
    objects::job(team, name, QUEUE, |template| {
        objects::annotate(template, "script", script);
    })
}

/// Status, reason and message of m2's breaker; empty before it ever opened.
fn breaker(member: &MemberCluster) -> (&str, &str, &str) {
    let conditions = member.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let found = condition::find(conditions, condition::BREAKER_OPEN);
    found.map_or(("", "", ""), |found| (&found.status, &found.reason, &found.message))
}

async fn breaker_is(hub: &Cluster, status: &str, reasons: &[&str]) -> MemberCluster {
    let what = format!("BreakerOpen={status} for {reasons:?}");
    scene::member(hub, "m2", &what, |member| {
        breaker(member).0 == status && reasons.contains(&breaker(member).1)
    })
    .await
}

fn ended_at(job: &RoutedSparkJob) -> Timestamp {
    let conditions = &job.status.as_ref().unwrap().conditions;
    condition::find(conditions, condition::FINISHED).unwrap().last_transition_time.0
}

fn placed_at(job: &RoutedSparkJob) -> Timestamp {
    job.status.as_ref().unwrap().placement.as_ref().unwrap().at.0
}

/// What `spark-router explain` says of m2.
async fn explained(fleet: &Fleet, job: &str) -> (String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_spark-router"))
        .args(["explain", job, "-o", "json"])
        .env("KUBECONFIG", fleet.hub().kubeconfig_path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let rows = said["members"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "m2").unwrap();
    (row["verdict"].as_str().unwrap().to_owned(), row["detail"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_fails_job_after_job_is_tried_with_one_at_a_time() {
    let fleet = scene::two_members().await;
    let hub = fleet.hub();
    let operators = scene::operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in ["m1", "m2"] {
        sure(installation.member(name, json!({})).await);
    }
    for team in TEAMS {
        scene::shared_queue(&installation, hub, team, QUEUE).await;
    }
    let router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;
    let submit = async |job: &Value| sure(installation.submit(job).await);

    // One namespace's failures alone prove nothing.
    operators[1].break_submits(true);
    for number in 0..6 {
        let name = format!("alone-{number}");
        submit(&pinned(job(TEAMS[0], &name, "succeed"), &["m2"])).await;
        assert_eq!(jobs::reason(&finished(hub, TEAMS[0], &name).await), "SubmissionFailed");
    }
    assert_eq!(breaker(&Api::<MemberCluster>::all(hub.client()).get("m2").await.unwrap()).0, "");
    // One more of another, and it is the first sign; a second one is enough.
    let mut opened = Timestamp::MIN;
    for number in 0..2 {
        let name = format!("early-{number}");
        submit(&pinned(job(TEAMS[1], &name, "succeed"), &["m2"])).await;
        opened = ended_at(&finished(hub, TEAMS[1], &name).await);
    }

    // Whoever can go elsewhere does, and is not told of it.
    for number in 0..6 {
        let name = format!("elsewhere-{number}");
        submit(&job(TEAMS[number % 2], &name, "succeed")).await;
        let done = finished(hub, TEAMS[number % 2], &name).await;
        let shown = jobs::describe(&done);
        if jobs::cluster(&done) == "m2" {
            // On a slow machine one of them may be the one that goes to see.
            assert!(placed_at(&done).duration_since(opened) >= CLOSED_FOR, "{shown}");
            opened = ended_at(&done);
        } else {
            assert_eq!((jobs::cluster(&done), jobs::phase(&done)), ("m1", "Succeeded"), "{shown}");
        }
    }
    let shown = breaker_is(hub, "True", &["FailsJobs", "NextTries"]).await;
    assert!(
        breaker(&shown).2.starts_with("5 jobs in a row, of more than one namespace, failed"),
        "{}",
        breaker(&shown).2
    );
    assert_eq!(scene::readiness(&shown).0, "True", "it answers");
    let note = event(hub, "default", "m2", "FailsJobs").await;
    assert!(note.contains("then one job at a time"), "{note}");
    let metrics = sure(router.0.metrics().await);
    assert!(metrics.contains("sparkrouter_breaker_open{member_cluster=\"m2\"} 1"), "{metrics}");
    assert!(metrics.contains("sparkrouter_breaker_opened_total{member_cluster=\"m2\"} 1"), "{metrics}");

    // Its operator is mended. Of two that can go nowhere else one goes to see, in its time; the other waits for it.
    operators[1].break_submits(false);
    submit(&pinned(job(TEAMS[0], "to-see", "hang-submitted"), &["m2"])).await;
    let to_see = sure(jobs::wait_for_phase(hub, TEAMS[0], "to-see", "Submitted", PATIENCE).await);
    let waited = placed_at(&to_see).duration_since(opened);
    eprintln!("the job that went to see was placed {waited:?} after the breaker opened");
    assert!(waited >= CLOSED_FOR, "{waited:?}");
    let trying = breaker_is(hub, "True", &["Trying"]).await;
    assert!(breaker(&trying).2.contains("a job went there, to see"), "{}", breaker(&trying).2);
    submit(&pinned(job(TEAMS[1], "waits", "succeed"), &["m2"])).await;
    let waits = scene::queued(hub, TEAMS[1], "waits", "NoClusterReady").await;
    assert!(
        jobs::message(&waits).contains("m2: 5 jobs in a row failed there before their drivers started"),
        "{}",
        jobs::message(&waits)
    );
    let (verdict, detail) = explained(&fleet, "team-b/waits").await;
    assert_eq!(verdict, "BreakerOpen", "{detail}");

    // The one that went comes to nothing: the next one goes, and closes the breaker as its driver starts.
    patch(hub, "rsj", TEAMS[0], "to-see", json!({"spec": {"cancel": true}})).await;
    assert_eq!(jobs::phase(&finished(hub, TEAMS[0], "to-see").await), "Cancelled");
    assert_eq!(jobs::cluster(&succeeded(hub, TEAMS[1], "waits").await), "m2");
    breaker_is(hub, "False", &["Closed"]).await;
    event(hub, "default", "m2", "Closed").await;
    let metrics = sure(router.0.metrics().await);
    assert!(metrics.contains("sparkrouter_breaker_open{member_cluster=\"m2\"} 0"), "{metrics}");
    let mut there = 0;
    for number in 0..8 {
        let name = format!("shared-{number}");
        submit(&job(TEAMS[number % 2], &name, "succeed")).await;
        there += usize::from(jobs::cluster(&succeeded(hub, TEAMS[number % 2], &name).await) == "m2");
    }
    assert!((3..=5).contains(&there), "its share again, and no burst: {there} of 8");

    let remote = RemoteApplications::read(fleet.clusters()).unwrap();
    assert_eq!(remote.max_per_job(), 1);
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
