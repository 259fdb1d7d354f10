use serde_json::{Value, json};

use super::super::life::tests::at;
use super::super::story::{Story, one, placement};
use super::*;
use crate::evidence::Injected;
use crate::fault::Kind;

/// A job that ends on m1 in a state, and on the hub for a reason.
fn ends(state: &str, phase: &str, reason: &str) -> Story {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.dispatches(0, "pi", 1, "m1");
    let pod = if state == "COMPLETED" { "Succeeded" } else { "Failed" };
    story.phase(7, "m1", "pi-1-driver", pod);
    story.state(8, "m1", "pi-1", state);
    ended(&mut story, phase, reason);
    story
}

fn ended(story: &mut Story, phase: &str, reason: &str) {
    let end = json!({"placement": placement("pi", 1, "m1"), "application": {}});
    story.status(9, "pi", phase, reason, end);
}

/// A job that was never placed.
fn unplaced(reason: &str, spec: Value) -> Story {
    let mut story = Story::new();
    story.submit(0, "pi", spec);
    story.status(9, "pi", "Failed", reason, json!({}));
    story
}

fn meant(mut story: Story, meant: Meant) -> Story {
    story.evidence.jobs[0].meant = meant;
    story
}

#[test]
fn true_ends_are_not_found() {
    ends("COMPLETED", "Succeeded", "JobSucceeded").clean();
    meant(ends("FAILED", "Failed", "JobFailed"), Meant::Fail).clean();
    ends("FAILED", "Failed", "DriverLost").clean();
}

#[test]
fn a_success_without_an_application_that_completed_is_found() {
    one(
        &ends("FAILED", "Succeeded", "JobSucceeded").unexplained(),
        &["none of its applications ever completed", "FAILED"],
    );
    let mut never = unplaced("JobFailed", json!({}));
    never.status(10, "pi", "Succeeded", "JobSucceeded", json!({}));
    assert!(never.unexplained().iter().any(|found| found.contains("none of its applications")));
}

#[test]
fn a_success_by_another_application_than_the_one_on_record_is_found() {
    let mut story = ends("COMPLETED", "Succeeded", "JobSucceeded");
    story.change("hub", "RoutedSparkJob", "pi", json!({"status": {"placement": {"remoteUid": "m1-other"}}}));
    let found = story.unexplained();
    assert!(found.iter().any(|it| it.contains("nothing on record completed")), "{found:?}");
    assert!(found.iter().any(|it| it.contains("there never was such an application")), "{found:?}");
}

#[test]
fn a_driver_that_completed_counts_only_where_its_operator_submitted_twice() {
    let with = |error: &str| {
        let mut story = Story::new();
        story.submit(0, "pi", json!({}));
        story.dispatches(0, "pi", 1, "m1");
        story.state_because(6, "m1", "pi-1", "FAILED", error);
        story.phase(7, "m1", "pi-1-driver", "Succeeded");
        ended(&mut story, "Succeeded", "JobSucceeded");
        story
    };
    with("driver pod already exist").clean();
    one(&with("exit code 1").unexplained(), &["none of its applications ever completed"]);
}

#[test]
fn an_application_whose_uid_nobody_saw_is_the_one_on_record_by_its_name() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    let placed = json!({"placement": placement("pi", 1, "m1")});
    story.status(1, "pi", "Dispatched", "Placed", placed.clone());
    story.creates_unheard(2, "m1", "pi", 1);
    story.state(8, "m1", "pi-1", "COMPLETED");
    story.take("m1", "SparkApplication", "pi-1");
    story.status(9, "pi", "Succeeded", "JobSucceeded", placed);
    assert_eq!(story.clean().seen.inferred, 1);
}

#[test]
fn a_failure_of_an_application_that_did_not_fail_is_found() {
    for reason in ["JobFailed", "SubmissionFailed", "QuotaExceeded", "DriverLost"] {
        let mut story = meant(ends("COMPLETED", "Failed", reason), Meant::Fail);
        one(&story.unexplained(), &[reason, "completed"]);
    }
    let mut story = meant(unplaced("JobFailed", json!({})), Meant::Fail);
    one(&story.unexplained(), &["nothing on record was ever there"]);
}

#[test]
fn one_that_vanished_is_not_there() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.dispatches(0, "pi", 1, "m1");
    story.pod_goes(6, "m1", "pi-1-driver");
    ended(&mut story, "Failed", "RemoteVanished");
    let found = story.unexplained();
    assert!(found.iter().any(|it| it.contains("RemoteVanished") && it.contains("is there")), "{found:?}");
    story.goes(8, "m1", "pi-1");
    story.clean();
    let mut story = ends("COMPLETED", "Failed", "RemoteVanished");
    story.goes(10, "m1", "pi-1");
    one(&story.unexplained(), &["had completed before it was gone"]);
}

#[test]
fn a_name_that_was_taken_is_somebody_elses() {
    let story = |foreign: bool| {
        let mut story = Story::new();
        if foreign {
            let object = json!({"kind": "SparkApplication", "metadata": {"name": "pi-1", "namespace": "team", "uid": "f"}});
            story.log(
                "m1",
                0,
                ("create", "sparkapplications", "pi-1"),
                201,
                json!({"responseObject": object}),
            );
            story.set("m1", object);
        }
        story.submit(1, "pi", json!({}));
        let mut unseen = placement("pi", 1, "m1");
        unseen["remoteUid"] = Value::Null;
        story.status(9, "pi", "Failed", "NameTaken", json!({"placement": unseen}));
        story
    };
    story(true).clean();
    one(&story(false).unexplained(), &["NameTaken", "nothing foreign was ever team/pi-1 on m1"]);
}

#[test]
fn a_refusal_left_a_refused_create() {
    let mut story = unplaced("RejectedByMember", json!({}));
    one(&story.unexplained(), &["no member ever refused"]);
    let asked = json!({"requestObject": {"metadata": {"name": "pi-1", "labels": {"sparkrouter.dev/job-uid": "uid-pi"}}}});
    story.log("m1", 5, ("create", "sparkapplications", "pi-1"), 422, asked);
    story.clean();
}

#[test]
fn limits_must_have_been_set() {
    for (reason, field) in [
        ("RunDeadlineExceeded", "run"),
        ("StartDeadlineExceeded", "start"),
        ("QueuedDeadlineExceeded", "queued"),
    ] {
        one(
            &unplaced(reason, json!({})).unexplained(),
            &[reason, &format!("spec.deadlines.{field} is not set")],
        );
        unplaced(reason, json!({"deadlines": {field: "1m"}})).clean();
    }
    let mut story = unplaced("RanTooLong", json!({}));
    one(&story.unexplained(), &["its queue sets no limit"]);
    story.change("hub", "SparkQueue", "etl", json!({"spec": {"limits": {"longestRun": "1h"}}}));
    story.clean();
}

#[test]
fn an_abandoned_job_was_on_a_forgotten_member() {
    let mut story = ends("FAILED", "Failed", "Abandoned");
    one(&story.unexplained(), &["m1 is not forgotten"]);
    story.change("hub", "MemberCluster", "m1", json!({"spec": {"forget": true}}));
    story.clean();
}

#[test]
fn unknown_and_causeless_reasons_are_found() {
    let found = ends("FAILED", "Failed", "Whatever").unexplained();
    assert!(found.iter().any(|it| it.contains("a reason that is not known")), "{found:?}");
    let found = ends("FAILED", "Failed", "Stopped").unexplained();
    assert!(found.iter().any(|it| it.contains("without a cause")), "{found:?}");
}

#[test]
fn only_a_fault_excuses_another_end_than_the_one_that_was_meant() {
    one(
        &ends("FAILED", "Failed", "JobFailed").unexplained(),
        &["meant to succeed", "ended as Failed (JobFailed)"],
    );
    one(
        &meant(ends("COMPLETED", "Succeeded", "JobSucceeded"), Meant::Fail).unexplained(),
        &["meant to fail"],
    );
    one(
        &meant(ends("COMPLETED", "Succeeded", "JobSucceeded"), Meant::RunOn).unexplained(),
        &["meant to run on"],
    );
    one(
        &meant(ends("COMPLETED", "Succeeded", "JobSucceeded"), Meant::Wait).unexplained(),
        &["meant to wait"],
    );
    let mut doubled = ends("FAILED", "Failed", "JobFailed");
    doubled.operator_doubles("m1-pi-1");
    doubled.clean();
}

#[test]
fn nobody_is_cancelled_who_was_not_to_be() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.status(9, "pi", "Cancelled", "Cancelled", json!({}));
    one(&story.unexplained(), &["team/pi", "ended as Cancelled"]);
    story.evidence.jobs[0].cancelled = true;
    story.clean();
}

#[test]
fn phase_and_conditions_say_the_same() {
    let mut story = ends("COMPLETED", "Succeeded", "JobSucceeded");
    let conditions = json!([
        {"type": "Succeeded", "status": "False", "lastTransitionTime": at(9).to_string()},
        {"type": "Finished", "status": "True", "lastTransitionTime": at(9).to_string()},
    ]);
    story.change("hub", "RoutedSparkJob", "pi", json!({"status": {"conditions": conditions}}));
    one(&story.unexplained(), &["phase Succeeded with Succeeded=False and Finished=True"]);
}

#[test]
fn the_record_names_the_very_application() {
    let mut story = ends("COMPLETED", "Succeeded", "JobSucceeded");
    story.change("hub", "RoutedSparkJob", "pi", json!({"status": {"placement": {"attempt": 2}}}));
    one(&story.unexplained(), &["on record is attempt 2", "of attempt 1 on m1"]);
    let mut story = ends("COMPLETED", "Succeeded", "JobSucceeded");
    story.change("hub", "RoutedSparkJob", "pi", json!({"status": {"placement": {"cluster": "m2"}}}));
    assert!(
        story
            .unexplained()
            .iter()
            .any(|it| it.contains("that uid is application team/pi-1 of attempt 1 on m1"))
    );
}

#[test]
fn an_end_is_not_written_before_it_came_about() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.dispatches(0, "pi", 1, "m1");
    ended(&mut story, "Succeeded", "JobSucceeded");
    story.phase(14, "m1", "pi-1-driver", "Succeeded");
    story.state(15, "m1", "pi-1", "COMPLETED");
    one(&story.unexplained(), &["its end was written at", "ended only at"]);
}

#[test]
fn what_was_stopped_runs_nowhere_when_that_is_written() {
    let with = |written: i64| {
        let mut story = Story::new();
        story.submit(0, "pi", json!({})).cancelled = true;
        story.dispatches(0, "pi", 1, "m1");
        story.pod_goes(7, "m1", "pi-1-driver");
        story.goes(8, "m1", "pi-1");
        story.status(written, "pi", "Cancelled", "Cancelled", json!({"placement": placement("pi", 1, "m1")}));
        story
    };
    with(9).clean();
    assert_eq!(with(6).unexplained().len(), 2, "the application and its driver");
    // An operator that lost track of its driver is not believed.
    let mut story = ends("FAILED", "Failed", "DriverLost");
    story.driver(8, "m1", "pi", 1, "pi-1-second");
    story.phase(10, "m1", "pi-1-second", "Succeeded");
    one(&story.unexplained(), &["DriverLost was written", "pi-1-second"]);
}

#[test]
fn an_end_that_was_taken_back_is_found() {
    let mut story = ends("COMPLETED", "Succeeded", "JobSucceeded");
    story.status(10, "pi", "Failed", "DriverLost", json!({"placement": placement("pi", 1, "m1")}));
    assert!(story.unexplained().iter().any(|it| it.contains("had ended as Succeeded")));
}

#[test]
fn a_submission_that_met_a_fault_of_its_member_may_fail_and_no_other_one() {
    // It is created at 2 and fails at 8.
    let judged = |kind, member: &str, from, to, reason| {
        let mut story = ends("FAILED", "Failed", reason);
        let member = Some(member.to_owned());
        story.evidence.faults = vec![Injected { kind, member, alone: false, from: at(from), to: at(to) }];
        story
    };
    judged(Kind::MemberRestarted, "m1", 4, 6, "SubmissionFailed").clean();
    judged(Kind::OperatorCrashed, "m1", 1, 3, "SubmissionFailed").clean();
    for mut story in [
        judged(Kind::MemberRestarted, "m1", 0, 2, "SubmissionFailed"),
        judged(Kind::MemberRestarted, "m1", 8, 9, "SubmissionFailed"),
        judged(Kind::MemberRestarted, "m2", 4, 6, "SubmissionFailed"),
        judged(Kind::MemberLate, "m1", 4, 6, "SubmissionFailed"),
        judged(Kind::MemberRestarted, "m1", 4, 6, "JobFailed"),
    ] {
        one(&story.unexplained(), &["it was meant to succeed, and ended as Failed"]);
    }
}
