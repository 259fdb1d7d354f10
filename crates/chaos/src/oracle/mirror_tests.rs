use serde_json::{Value, json};

use super::super::life::tests::at;
use super::super::story::{Story, one, placement};
use crate::evidence::Meant;

/// A job that runs on, as its status says; the run ends long after.
fn running() -> Story {
    let mut story = Story::new();
    story.submit(0, "pi", json!({})).meant = Meant::RunOn;
    story.dispatches(0, "pi", 1, "m1");
    story.log("hub", 100, ("get", "routedsparkjobs", "pi"), 200, json!({}));
    story
}

fn with(change: Value) -> Story {
    let mut story = running();
    story.change("hub", "RoutedSparkJob", "pi", change);
    story
}

#[test]
fn a_true_status_is_not_found() {
    assert_eq!(running().clean().running, 1);
}

#[test]
fn a_phase_that_is_not_the_applications_is_found() {
    one(&with(json!({"status": {"phase": "Submitted"}})).unexplained(), &["phase Submitted", "\"RUNNING\""]);
    let mut over = running();
    over.state(50, "m1", "pi-1", "COMPLETED");
    let verdict = over.verdict();
    assert!(verdict.unexplained.iter().any(|it| it.what.contains("phase Running")), "{verdict}");
    assert_eq!(verdict.lost.len(), 1, "and it has not ended: {verdict}");
}

#[test]
fn what_changed_a_moment_ago_is_on_its_way() {
    let mut story = running();
    story.state(95, "m1", "pi-1", "PENDING_RERUN");
    story.clean();
    story.log("hub", 120, ("get", "routedsparkjobs", "pi"), 200, json!({}));
    assert_eq!(story.unexplained().len(), 2, "phase and state");
}

#[test]
fn a_quiet_end_of_the_run_excuses_nothing() {
    let mut story = running();
    story.state(95, "m1", "pi-1", "PENDING_RERUN");
    story.log("m2", 120, ("get", "leases", "x"), 200, json!({}));
    assert_eq!(story.unexplained().len(), 2, "phase and state");
}

#[test]
fn a_state_that_was_not_mirrored_is_found() {
    one(
        &with(json!({"status": {"application": {"state": "SUBMITTED"}}})).unexplained(),
        &["says \"SUBMITTED\""],
    );
}

#[test]
fn an_operator_that_is_not_sure_leaves_the_phase() {
    let mut story = running();
    story.state(50, "m1", "pi-1", "REBALANCING");
    story.clean();
}

#[test]
fn a_record_that_is_not_the_application_is_found() {
    let record = |change: Value| with(json!({"status": {"placement": change}}));
    one(&record(json!({"attempt": 2})).unexplained(), &["on record is attempt 2"]);
    one(&record(json!({"memberIdentity": "id-m2"})).unexplained(), &["of identity id-m2, which is id-m1"]);
    one(&record(json!({"remoteUid": null})).unexplained(), &["its uid is not on record"]);
    let verdict = record(json!({"remoteUid": "other"})).verdict();
    assert!(verdict.unexplained.iter().any(|it| it.what.contains("there never was")), "{verdict}");
}

#[test]
fn a_generation_that_was_not_observed_is_found() {
    one(
        &with(json!({"metadata": {"generation": 2}})).unexplained(),
        &["speaks of generation 1, and it is at 2"],
    );
}

#[test]
fn times_of_conditions_are_within_the_run() {
    let placed = |since: i64| {
        let is = |kind: &str, status: &str, since: i64| json!({"type": kind, "status": status, "reason": "x", "message": "m1", "lastTransitionTime": at(since).to_string()});
        with(
            json!({"status": {"conditions": [is("Placed", "True", since), is("Succeeded", "Unknown", 1), is("Finished", "False", 1)]}}),
        )
    };
    placed(5).clean();
    one(&placed(-60).unexplained(), &["condition Placed turned True", "before the job or after the run"]);
    one(&placed(900).unexplained(), &["condition Placed turned True"]);
}

#[test]
fn a_placement_and_placed_go_together() {
    let mut story = running();
    let is = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "Withdrawn", "message": "m1", "lastTransitionTime": at(1).to_string()});
    let conditions = json!([is("Placed", "False"), is("Succeeded", "Unknown"), is("Finished", "False")]);
    story.change("hub", "RoutedSparkJob", "pi", json!({"status": {"conditions": conditions}}));
    one(&story.unexplained(), &["Placed is not True"]);
}

#[test]
fn a_member_that_is_ready_is_not_unreachable() {
    let mut story = running();
    let is = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "MemberUnreachable", "message": "m1", "lastTransitionTime": at(1).to_string()});
    let conditions = json!([
        is("Placed", "True"),
        is("MemberReachable", "False"),
        is("Succeeded", "Unknown"),
        is("Finished", "False")
    ]);
    let status = json!({"conditions": conditions, "placement": placement("pi", 1, "m1")});
    story.change("hub", "RoutedSparkJob", "pi", json!({"status": status}));
    one(&story.unexplained(), &["MemberReachable is False, and m1 is Ready"]);
    let ready = json!([{"type": "Ready", "status": "True", "lastTransitionTime": at(95).to_string()}]);
    story.change("hub", "MemberCluster", "m1", json!({"status": {"conditions": ready}}));
    story.clean();
    story.change("hub", "MemberCluster", "m1", json!({"status": {"conditions": []}}));
    story.clean();
}
