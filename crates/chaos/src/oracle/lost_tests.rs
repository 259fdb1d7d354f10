use serde_json::json;

use super::super::life::tests::at;
use super::super::story::{Story, one, placement};
use super::*;

#[test]
fn ends_and_asked_deletions_are_counted() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    story.submit(0, "rho", json!({})).deleted = true;
    story.job_goes(5, "rho");
    let verdict = story.clean();
    assert_eq!((verdict.finished, verdict.gone, verdict.waiting, verdict.running), (1, 1, 0, 0));
}

#[test]
fn a_job_that_nobody_deleted_and_that_is_gone_is_lost() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.job_goes(5, "pi");
    one(&story.lost(), &["team/pi", "gone from the hub", "admin asked for its deletion", "never placed"]);
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.take("hub", "RoutedSparkJob", "pi");
    one(&story.lost(), &["no line tells of a deletion"]);
}

#[test]
fn a_time_to_live_explains_that_a_finished_job_is_gone_and_nothing_else() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    story.goes(20, "m1", "pi-1");
    story.job_goes(21, "pi");
    assert_eq!(story.lost().len(), 1);
    story.change("hub", "SparkQueue", "etl", json!({"spec": {"ttlAfterFinished": "1m"}}));
    assert_eq!(story.clean().finished, 1);
    let mut story = Story::new();
    story.submit(0, "pi", json!({"ttlAfterFinished": "1m"}));
    story.job_goes(21, "pi");
    assert_eq!(story.lost().len(), 1, "it had not ended");
}

#[test]
fn one_that_waits_says_for_whom() {
    let with = |reason: &str, message: &str| {
        let mut story = Story::new();
        story.submit(0, "pi", json!({})).meant = Meant::Wait;
        let placed = json!([{
            "type": "Placed", "status": "False", "reason": reason, "message": message, "lastTransitionTime": at(1).to_string(),
        }, {"type": "Succeeded", "status": "Unknown", "lastTransitionTime": at(1).to_string()},
           {"type": "Finished", "status": "False", "lastTransitionTime": at(1).to_string()}]);
        story.status(1, "pi", "Queued", reason, json!({"conditions": placed}));
        story
    };
    assert_eq!(with("NoCapacity", "no room: m1: full; m2: full").clean().waiting, 1);
    assert_eq!(with("InLine", "in line in SparkQueue etl").clean().waiting, 1);
    assert_eq!(with("Suspended", "held back by spec.suspend").clean().waiting, 1);
    one(&with("Waiting", "please wait").lost(), &["Placed is not True", "please wait"]);
    one(&with("", "m1 is full").lost(), &["neither member, queue nor field"]);
    one(&with("NoCapacity", "m10 is full").lost(), &["m10 is full"]);
}

#[test]
fn one_that_nobody_has_looked_at_is_lost() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.change("hub", "RoutedSparkJob", "pi", json!({"status": {"observedGeneration": 1}}));
    one(&story.lost(), &["nobody has looked at it"]);
}

#[test]
fn an_attempt_that_was_due_and_not_made_is_lost() {
    let with = |due: i64| {
        let mut story = Story::new();
        story.submit(0, "pi", json!({}));
        story.status(100, "pi", "Queued", "JobFailed", json!({"notBefore": at(due).to_string()}));
        story
    };
    assert_eq!(with(90).clean().waiting, 1);
    one(&with(10).lost(), &["its next attempt was due"]);
}

#[test]
fn one_with_a_place_and_nothing_there_is_lost() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    let mut unseen = placement("pi", 1, "m1");
    unseen["remoteUid"] = serde_json::Value::Null;
    story.status(1, "pi", "Dispatched", "Placed", json!({"placement": unseen}));
    one(&story.lost(), &["has a place on m1 as team/pi-1", "nothing of it was ever there"]);
}

#[test]
fn one_whose_application_is_gone_is_lost_until_it_says_so() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.dispatches(0, "pi", 1, "m1");
    story.pod_goes(8, "m1", "pi-1-driver");
    story.goes(9, "m1", "pi-1");
    one(&story.lost(), &["Running on m1", "gone since"]);
    story.status(12, "pi", "Failed", "RemoteVanished", json!({"placement": placement("pi", 1, "m1")}));
    assert_eq!(story.clean().finished, 1);
}

#[test]
fn one_that_should_have_ended_and_runs_is_lost() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.dispatches(0, "pi", 1, "m1");
    one(&story.lost(), &["has not ended", "Running on m1", "RUNNING since"]);
    story.operator_doubles("m1-pi-1");
    assert_eq!(story.clean().running, 1, "its operator keeps it from its end");
    story.evidence.members[0].operator_doubled.clear();
    story.evidence.jobs[0].meant = Meant::RunOn;
    assert_eq!(story.clean().running, 1);
}

#[test]
fn one_on_a_silent_member_says_so() {
    let unreachable = |message: &str| {
        let mut story = Story::new();
        story.submit(0, "pi", json!({}));
        story.dispatches(0, "pi", 1, "m1");
        let is = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "MemberUnreachable", "message": message,
                   "lastTransitionTime": at(30).to_string()})
        };
        let conditions = json!([
            is("Placed", "True"),
            is("MemberReachable", "False"),
            is("Succeeded", "Unknown"),
            is("Finished", "False")
        ]);
        let more = json!({"placement": placement("pi", 1, "m1"), "conditions": conditions});
        story.log("hub", 29, ("get", "routedsparkjobs", "pi"), 200, json!({}));
        let mut status = more;
        status["phase"] = json!("Running");
        status["observedGeneration"] = json!(1);
        // Not through the log: the times of the others are not at issue.
        story.change("hub", "RoutedSparkJob", "pi", json!({"status": status}));
        story.change("hub", "MemberCluster", "m1", json!({"status": {"conditions": []}}));
        story
    };
    assert_eq!(unreachable("m1 does not answer").clean().waiting, 1);
    one(&unreachable("no answer").lost(), &["MemberReachable=False"]);
}

#[test]
fn one_that_is_stopped_or_deleted_says_what_it_waits_for() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({})).cancelled = true;
    story.dispatches(0, "pi", 1, "m1");
    let stopping = json!({"reason": "Cancelled", "message": "asked for", "at": at(6).to_string()});
    let more = json!({"placement": placement("pi", 1, "m1"), "stopping": stopping});
    story.status(6, "pi", "Cancelling", "Cancelled", more);
    assert_eq!(story.clean().waiting, 1);
    story.change("hub", "RoutedSparkJob", "pi", json!({"status": {"message": "being stopped"}}));
    one(&story.lost(), &["it is being stopped"]);

    let mut story = Story::new();
    story.submit(0, "pi", json!({})).deleted = true;
    story.dispatches(0, "pi", 1, "m1");
    story.change(
        "hub",
        "RoutedSparkJob",
        "pi",
        json!({"metadata": {"deletionTimestamp": at(6).to_string()}}),
    );
    one(&story.lost(), &["does not say what it waits for"]);
    story.change(
        "hub",
        "RoutedSparkJob",
        "pi",
        json!({"status": {"reason": "Terminating", "message": "waits for m1"}}),
    );
    assert_eq!(story.clean().waiting, 1);
}

#[test]
fn a_name_is_found_by_itself_only() {
    assert!(has_word("waits for m1, which", "m1") && has_word("m1", "m1"));
    assert!(!has_word("m10 and am1 and m1-b", "m1"));
}
