use serde_json::json;

use super::super::life::tests::at;
use super::super::story::{Story, merge, one, placement, row};
use super::*;

fn course(story: &mut Story) -> Course {
    let evidence = story.close();
    of(&evidence.hub, &evidence.jobs).unwrap().by_uid["uid-pi"].clone()
}

#[test]
fn a_course_is_read() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    let course = course(&mut story);
    assert_eq!(course.finished, Some((at(9), "Succeeded".to_owned())));
    assert_eq!(course.placements[&1].remote_uid.as_deref(), Some("m1-pi-1"));
    assert!(course.oddities.is_empty() && course.deletion.is_none() && !course.has_ttl, "{course:?}");
}

#[test]
fn rows_that_left_the_history_and_deletions_are_kept() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({"ttlAfterFinished": "1m"}));
    story.status(
        1,
        "pi",
        "Queued",
        "MemberLost",
        json!({"history": [row(1, "m1", "Stopped", "MemberLost")]}),
    );
    story.status(2, "pi", "Queued", "NoCapacity", json!({}));
    story.job_goes(3, "pi");
    let course = course(&mut story);
    assert_eq!(course.past[&1].reason, "MemberLost");
    assert_eq!((course.deletion, course.has_ttl), (Some((at(3), "admin".to_owned())), true));
}

#[test]
fn edits_beside_the_status_are_noted() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    let held = json!({"requestObject": {"metadata": {"finalizers": ["sparkrouter.dev/job"]}}});
    story.log("hub", 1, ("patch", "routedsparkjobs", "pi"), 200, held);
    let ttl = json!({"requestObject": {"spec": {"ttlAfterFinished": "1m"}}});
    story.log("hub", 2, ("patch", "routedsparkjobs", "pi"), 200, ttl);
    let before = course(&mut story);
    assert_eq!((before.has_ttl, before.is_abandoned, before.let_go), (true, false, None));
    story.lets_go(3, 4, "pi");
    assert_eq!(course(&mut story).let_go, Some(at(4)));
}

#[test]
fn a_job_whose_create_was_not_logged_is_found_by_its_name() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    let evidence = story.close().clone();
    let log = std::fs::read_to_string(&evidence.hub.audit).unwrap();
    let without: String = log
        .lines()
        .filter(|line| !line.contains("\"create\""))
        .fold(String::new(), |all, line| all + line + "\n");
    assert!(without.len() < log.len());
    std::fs::write(&evidence.hub.audit, without).unwrap();
    assert!(of(&evidence.hub, &evidence.jobs).unwrap().by_uid["uid-pi"].finished.is_some());
}

#[test]
fn an_end_that_is_taken_back_is_odd() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    story.status(12, "pi", "Running", "Running", json!({"placement": placement("pi", 1, "m1")}));
    let course = course(&mut story);
    one(&course.oddities, &["had ended as Succeeded", "became Running"]);
    assert_eq!(course.finished, Some((at(9), "Succeeded".to_owned())));
}

fn with_placed(second: i64, status: &str, since: i64) -> Value {
    json!({"phase": "Queued", "conditions": [{
        "type": "Placed", "status": status, "reason": "NoCapacity", "message": "m1", "lastTransitionTime": at(since).to_string(),
    }], "notBefore": at(second).to_string()})
}

#[test]
fn a_transition_time_moves_only_with_its_status() {
    let story_of = |writes: &[(i64, &str, i64)]| {
        let mut story = Story::new();
        story.submit(0, "pi", json!({}));
        for (second, status, since) in writes {
            story.write_status(*second, "pi", with_placed(*second, status, *since));
        }
        course(&mut story).oddities
    };
    assert_eq!(story_of(&[(1, "False", 1), (2, "False", 1), (3, "True", 3)]), Vec::<String>::new());
    one(&story_of(&[(1, "False", 1), (2, "False", 2)]), &["Placed stayed False", "lastTransitionTime"]);
    one(&story_of(&[(5, "False", 5), (6, "True", 3)]), &["from False to True", "back"]);
}

#[test]
fn what_a_killed_server_may_have_lost_is_not_held_against_a_condition() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.write_status(1, "pi", with_placed(1, "False", 1));
    let mut started = json!({"verb": "list", "user": {"username": "system:apiserver"}});
    merge(&mut started, json!({"objectRef": {"resource": "clusterroles", "namespace": null}}));
    story.log("hub", 2, ("list", "clusterroles", ""), 200, started);
    story.write_status(3, "pi", with_placed(3, "False", 2));
    let unclear = json!({"requestObject": {"status": with_placed(4, "True", 4)}});
    story.log("hub", 4, ("patch", "routedsparkjobs/status", "pi"), 504, unclear);
    story.write_status(5, "pi", with_placed(5, "False", 5));
    assert_eq!(course(&mut story).oddities, Vec::<String>::new());
}
