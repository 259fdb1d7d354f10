use std::time::Duration;

use serde_json::{Value, json};

use super::super::life::tests::at;
use super::super::story::{Story, one, placement, row};
use crate::evidence::Meant;

/// A job that was deleted, with an application that runs.
fn orphaned() -> Story {
    let mut story = Story::new();
    story.submit(0, "pi", json!({})).deleted = true;
    story.dispatches(0, "pi", 1, "m1");
    story.phase(6, "m1", "pi-1-driver", "Failed");
    story.job_goes(10, "pi");
    story
}

fn abandon(story: &mut Story) {
    let rows = json!([{"jobUid": "uid-pi", "attempt": 1, "namespace": "team", "remoteName": "pi-1", "at": at(9).to_string()}]);
    story.change("hub", "MemberCluster", "m1", json!({"status": {"abandoned": rows}}));
}

#[test]
fn what_runs_of_a_job_that_is_gone_is_found_unless_the_record_says_so() {
    let mut story = orphaned();
    one(
        &story.unexplained(),
        &["the job is gone", "application team/pi-1 of attempt 1 on m1 is alive: RUNNING"],
    );
    abandon(&mut story);
    story.clean();
}

#[test]
fn a_driver_of_a_job_that_is_gone_is_found() {
    let mut story = orphaned();
    story.goes(11, "m1", "pi-1");
    story.clean();
    story.phase(12, "m1", "pi-1-driver", "Running");
    one(&story.unexplained(), &["the job is gone", "driver pod team/pi-1-driver"]);
}

#[test]
fn a_job_is_let_go_of_when_nothing_of_it_runs() {
    let with = |let_go: i64| {
        let mut story = Story::new();
        story.submit(0, "pi", json!({})).deleted = true;
        story.dispatches(0, "pi", 1, "m1");
        story.pod_goes(11, "m1", "pi-1-driver");
        story.goes(12, "m1", "pi-1");
        story.lets_go(10, let_go, "pi");
        story
    };
    with(13).clean();
    let found = with(11).unexplained();
    one(&found, &["let go of at", "application team/pi-1", &format!("alive until {}", at(12))]);
    let mut knowingly = with(11);
    let annotated =
        json!({"requestObject": {"metadata": {"annotations": {"sparkrouter.dev/abandon": "true"}}}});
    knowingly.log("hub", 10, ("patch", "routedsparkjobs", "pi"), 200, annotated);
    knowingly.clean();
    // A create that comes late is alive later, too.
    let mut late = with(13);
    late.creates(20, "m2", "pi", 2);
    late.goes(21, "m2", "pi-2");
    one(&late.unexplained(), &["let go of at", "application team/pi-2"]);
}

#[test]
fn what_is_over_of_a_job_that_is_gone_is_swept_in_time() {
    let mut story = orphaned();
    story.state(12, "m1", "pi-1", "FAILED");
    story.log("m1", 100, ("get", "sparkapplications", "pi-1"), 200, json!({}));
    one(&story.unexplained(), &["still there, held by our finalizer"]);
    story.evidence.sweep_within = Duration::from_secs(200);
    story.clean();
    story.evidence.sweep_within = Duration::ZERO;
    story.goes(101, "m1", "pi-1");
    story.clean();
}

#[test]
fn what_runs_of_a_job_that_ended_is_found() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({})).meant = Meant::Fail;
    story.dispatches(0, "pi", 1, "m1");
    story.state(6, "m1", "pi-1", "FAILED");
    story.status(9, "pi", "Failed", "JobFailed", json!({"placement": placement("pi", 1, "m1")}));
    one(&story.unexplained(), &["the job ended as Failed", "driver pod team/pi-1-driver", "Running"]);
    story.phase(10, "m1", "pi-1-driver", "Failed");
    story.clean();
}

/// The first attempt still runs on m1, the second on m2 is on record.
fn two_attempts(history: &Value) -> Story {
    let mut story = Story::new();
    let job = story.submit(0, "pi", json!({}));
    (job.meant, job.duplicates_allowed) = (Meant::RunOn, true);
    story.creates(1, "m1", "pi", 1);
    story.dispatches(1, "pi", 2, "m2");
    let running = json!({
        "placement": placement("pi", 2, "m2"), "application": {"state": "RUNNING"}, "history": history,
    });
    story.status(8, "pi", "Running", "Running", running);
    story
}

#[test]
fn a_stale_attempt_is_on_record_or_found() {
    let mut left = row(1, "m1", "Abandoned", "MemberLost");
    one(
        &two_attempts(&json!([left])).unexplained(),
        &["pi-1 of attempt 1 on m1 is alive", "on record is application team/pi-2"],
    );
    left["left"] = json!("MayRun");
    let verdict = two_attempts(&json!([left])).clean();
    assert_eq!((verdict.running, verdict.duplicated_by_leave), (1, 1));
}

#[test]
fn what_runs_of_a_job_that_waits_is_found() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.creates(2, "m1", "pi", 1);
    story.status(5, "pi", "Queued", "NoCapacity", json!({}));
    one(&story.unexplained(), &["is alive (not submitted), and on record is nothing"]);
}

#[test]
fn what_nobody_submitted_is_found() {
    let mut story = Story::new();
    story.creates(2, "m1", "pi", 1);
    one(&story.unexplained(), &["uid uid-pi", "of a job that nobody submitted"]);
    let mut story = Story::new();
    story.succeeds(0, "pi");
    story.evidence.jobs.clear();
    let taken_in = "team/pi: the hub took it in, and nobody submitted it";
    let found = story.unexplained();
    assert!(found.iter().any(|it| it == taken_in), "{found:?}");
    // Also one that is gone again.
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.job_goes(5, "pi");
    story.evidence.jobs.clear();
    one(&story.unexplained(), &[taken_in]);
}
