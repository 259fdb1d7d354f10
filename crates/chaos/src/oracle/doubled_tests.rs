use serde_json::json;

use super::super::life::tests::at;
use super::super::story::{Story, one, placement, row};

/// A job that runs on m1.
fn running() -> Story {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.dispatches(0, "pi", 1, "m1");
    story
}

/// Its second attempt ends well on m2; `history` is what its record says of the first.
fn ends_elsewhere(story: &mut Story, second: i64, history: &serde_json::Value) {
    let mut unseen = placement("pi", 2, "m2");
    unseen["remoteUid"] = serde_json::Value::Null;
    story.status(second, "pi", "Dispatched", "Placed", json!({"placement": unseen, "history": history}));
    story.creates(second + 1, "m2", "pi", 2);
    story.driver(second + 2, "m2", "pi", 2, "pi-2-driver");
    story.state(second + 3, "m2", "pi-2", "RUNNING");
    story.phase(second + 4, "m2", "pi-2-driver", "Succeeded");
    story.state(second + 5, "m2", "pi-2", "COMPLETED");
    let end = json!({"placement": placement("pi", 2, "m2"), "history": history, "application": {"state": "COMPLETED"}});
    story.status(second + 6, "pi", "Succeeded", "JobSucceeded", end);
}

/// The first attempt is stopped and proven gone.
fn fenced(story: &mut Story, second: i64) {
    story.pod_goes(second, "m1", "pi-1-driver");
    story.goes(second + 1, "m1", "pi-1");
}

#[test]
fn a_move_after_the_fence_is_none() {
    let mut story = running();
    fenced(&mut story, 6);
    ends_elsewhere(&mut story, 8, &json!([row(1, "m1", "Stopped", "MemberLost")]));
    let verdict = story.clean();
    assert_eq!((verdict.finished, verdict.seen.applications, verdict.seen.driver_pods), (1, 2, 2));
}

#[test]
fn two_applications_at_once_are_found() {
    let mut story = running();
    story.creates_as(8, "m2", "pi", 2, "pi-early");
    story.goes(9, "m2", "pi-early");
    fenced(&mut story, 20);
    ends_elsewhere(&mut story, 30, &json!([row(1, "m1", "Stopped", "MemberLost")]));
    one(
        &story.doubled(),
        &["team/pi", "two were alive", &at(8).to_string(), "pi-1 of attempt 1 on m1 (RUNNING"],
    );
}

#[test]
fn the_first_need_not_have_been_submitted() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.status(1, "pi", "Dispatched", "Placed", json!({"placement": placement("pi", 1, "m1")}));
    story.creates(2, "m1", "pi", 1);
    ends_elsewhere(&mut story, 3, &json!([row(1, "m1", "Stopped", "MemberLost")]));
    story.goes(5, "m1", "pi-1");
    one(&story.doubled(), &["two were alive", "(not yet submitted"]);
}

#[test]
fn one_whose_end_no_line_tells_is_alive_until_it_is_not_found() {
    let moved = |not_found: i64| {
        let mut story = running();
        story.pod_goes(6, "m1", "pi-1-driver");
        story.take("m1", "SparkApplication", "pi-1");
        story.log("m1", not_found, ("get", "sparkapplications", "pi-1"), 404, json!({}));
        ends_elsewhere(&mut story, 10, &json!([row(1, "m1", "Stopped", "MemberLost")]));
        story
    };
    moved(9).clean();
    one(&moved(12).doubled(), &["two were alive", "no line says how it went"]);
}

#[test]
fn two_driver_pods_at_once_are_found() {
    let mut story = running();
    // Its application is gone, its driver is not.
    story.goes(7, "m1", "pi-1");
    ends_elsewhere(&mut story, 8, &json!([row(1, "m1", "Stopped", "MemberLost")]));
    story.pod_goes(20, "m1", "pi-1-driver");
    one(
        &story.doubled(),
        &["driver pod team/pi-1-driver of attempt 1 on m1 (Running", "pi-2-driver of attempt 2 on m2"],
    );
}

#[test]
fn what_the_operator_doubled_is_counted_apart() {
    let mut story = running();
    story.driver(6, "m1", "pi", 1, "pi-1-second");
    story.phase(7, "m1", "pi-1-second", "Failed");
    story.phase(8, "m1", "pi-1-driver", "Succeeded");
    story.state(9, "m1", "pi-1", "COMPLETED");
    let end = json!({"placement": placement("pi", 1, "m1"), "application": {"state": "COMPLETED"}});
    story.status(10, "pi", "Succeeded", "JobSucceeded", end);
    one(&story.doubled(), &["pi-1-second"]);
    story.operator_doubles("m1-pi-1");
    assert_eq!(story.clean().operator_doubled, 1);
}

#[test]
fn that_an_operator_doubles_excuses_no_second_application() {
    let mut story = running();
    ends_elsewhere(&mut story, 8, &json!([row(1, "m1", "Stopped", "MemberLost")]));
    fenced(&mut story, 30);
    story.operator_doubles("m1-pi-1");
    assert_eq!(story.doubled().len(), 2, "the applications and the driver pods");
}

#[test]
fn duplicates_by_leave_are_counted_apart_if_they_are_on_record() {
    let with = |outcome: &str| {
        let mut story = running();
        story.evidence.jobs[0].duplicates_allowed = true;
        ends_elsewhere(&mut story, 8, &json!([row(1, "m1", outcome, "MemberLost")]));
        fenced(&mut story, 30);
        story
    };
    let verdict = with("Abandoned").clean();
    assert_eq!(verdict.duplicated_by_leave, 1);
    assert_eq!(with("Stopped").doubled().len(), 2, "the applications and the driver pods");
}

#[test]
fn what_is_created_after_the_end_is_found() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    story.creates(20, "m2", "pi", 2);
    story.goes(21, "m2", "pi-2");
    one(
        &story.doubled(),
        &["pi-2 of attempt 2 on m2 was created", "did not get to run", "ended as Succeeded"],
    );
}

#[test]
fn what_is_brought_back_after_the_end_is_found() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    story.state(20, "m1", "pi-1", "INVALIDATING");
    story.state(21, "m1", "pi-1", "FAILED");
    one(&story.doubled(), &["was brought back", "ended as Succeeded"]);
}

/// The first attempt fails, and another ends well.
fn tried_again(spec: serde_json::Value, history: &serde_json::Value) -> Story {
    let mut story = Story::new();
    story.submit(0, "pi", spec);
    story.dispatches(0, "pi", 1, "m1");
    story.phase(6, "m1", "pi-1-driver", "Failed");
    story.state(7, "m1", "pi-1", "FAILED");
    ends_elsewhere(&mut story, 8, history);
    story
}

#[test]
fn two_that_ran_need_a_retry_that_was_asked_for() {
    let failed = json!([row(1, "m1", "Failed", "JobFailed")]);
    tried_again(json!({"retry": {"maxAttempts": 2}}), &failed).clean();
    one(&tried_again(json!({}), &failed).doubled(), &["ran, and so did", "asks for no retry"]);
    let silent = tried_again(json!({"retry": {"maxAttempts": 2}}), &json!([]));
    one(&{ silent }.doubled(), &["no row of its history"]);
    let left = json!([row(1, "m1", "Abandoned", "MemberLost")]);
    one(&tried_again(json!({}), &left).doubled(), &["duplicates are not allowed"]);
}

#[test]
fn one_that_completed_is_not_run_again() {
    let mut story = running();
    story.phase(6, "m1", "pi-1-driver", "Succeeded");
    story.state(7, "m1", "pi-1", "COMPLETED");
    ends_elsewhere(&mut story, 8, &json!([row(1, "m1", "Stopped", "MemberLost")]));
    one(&story.doubled(), &["the first had completed"]);
}

#[test]
fn one_attempt_runs_once() {
    let mut story = running();
    fenced(&mut story, 6);
    story.creates(9, "m1", "pi", 1);
    story.state(10, "m1", "pi-1", "COMPLETED");
    let mut again = placement("pi", 1, "m1");
    again["remoteUid"] = json!("m1-pi-1-again");
    let end = json!({"placement": again, "application": {"state": "COMPLETED"}});
    story.status(11, "pi", "Succeeded", "JobSucceeded", end);
    one(&story.doubled(), &["one attempt ran twice"]);
}
