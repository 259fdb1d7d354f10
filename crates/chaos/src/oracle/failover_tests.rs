use std::time::Duration;

use serde_json::{Value, json};

use super::super::life::tests::at;
use super::super::story::{Story, merge, placement, row};
use super::*;

fn fault(kind: Kind, from: i64, to: i64, alone: bool) -> Injected {
    let member = (kind != Kind::LeaderKilled).then(|| "m1".to_owned());
    Injected { kind, member, alone, from: at(from), to: at(to) }
}

fn measure(story: &mut Story, faults: Vec<Injected>) -> Failover {
    story.evidence.faults = faults;
    story.evidence.lost_after = Duration::from_secs(3);
    story.verdict().failover
}

/// A job is given a place.
fn place(story: &mut Story, second: i64, job: &str, attempt: u32, member: &str, more: Value) {
    let mut status = placement(job, attempt, member);
    merge(&mut status, json!({"remoteUid": null}));
    let mut status = json!({ "placement": status });
    merge(&mut status, more);
    story.status(second, job, "Dispatched", "Placed", status);
}

fn one(ms: i64) -> Spread {
    Spread { count: 1, p50_ms: ms, p99_ms: ms, max_ms: ms }
}

#[test]
fn a_spread_is_by_nearest_rank() {
    let found = spread((1..=200).rev().collect()).unwrap();
    assert_eq!((found.count, found.p50_ms, found.p99_ms, found.max_ms), (200, 100, 198, 200));
    assert_eq!(spread(vec![7]), Some(one(7)));
    assert_eq!(spread(Vec::new()), None);
}

#[test]
fn a_black_hole_is_measured_by_the_jobs_that_come_into_it() {
    let mut story = Story::new();
    for (second, name) in [(5, "before"), (11, "a"), (11, "b"), (12, "c"), (13, "d"), (16, "late")] {
        story.submit(second, name, json!({}));
    }
    place(&mut story, 12, "before", 1, "m2", json!({}));
    place(&mut story, 13, "a", 1, "m2", json!({}));
    // Given to the silent one, and taken back before it was sent.
    place(&mut story, 12, "b", 1, "m1", json!({}));
    story.status(13, "b", "Queued", "Suspect", json!({}));
    place(&mut story, 16, "b", 1, "m2", json!({}));
    // Stranded, and moved only when the member was lost.
    place(&mut story, 12, "c", 1, "m1", json!({}));
    place(&mut story, 15, "c", 2, "m2", json!({}));
    // Stranded until the member is back.
    place(&mut story, 14, "d", 1, "m1", json!({}));
    place(&mut story, 16, "late", 1, "m2", json!({}));

    let hole = fault(Kind::MemberLost, 10, 17, true);
    let found = measure(&mut story, vec![hole.clone()]);
    assert_eq!((found.black_holes, found.stranded), (1, 2));
    let jobs = Spread { count: 2, p50_ms: 2000, p99_ms: 5000, max_ms: 5000 };
    assert_eq!(found.placed_elsewhere, Measured { alone: Some(jobs), amid_others: None });
    assert_eq!(found.next_placement.alone, Some(one(3000)), "from the begin of the hole");

    let amid = measure(&mut story, vec![Injected { alone: false, ..hole }]);
    assert_eq!(amid.placed_elsewhere, Measured { alone: None, amid_others: Some(jobs) });
}

#[test]
fn a_job_that_gets_its_place_only_after_the_hole_counts_with_all_its_time() {
    let mut story = Story::new();
    story.submit(11, "a", json!({}));
    place(&mut story, 41, "a", 1, "m1", json!({}));
    let found = measure(&mut story, vec![fault(Kind::MemberSilent, 10, 13, true)]);
    assert_eq!((found.stranded, found.placed_elsewhere.alone), (0, Some(one(30_000))));
    assert_eq!(found.next_placement.alone, Some(one(31_000)));
}

#[test]
fn a_move_counts_from_the_return_and_from_the_proof() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({"failover": {"onMemberLost": "FenceThenMove"}}));
    place(&mut story, 1, "pi", 1, "m1", json!({}));
    story.creates(2, "m1", "pi", 1);
    let stopping = json!({"stopping": {"reason": "MemberLost", "message": "m1 was lost"}});
    place(&mut story, 12, "pi", 1, "m1", stopping);
    story.goes(14, "m1", "pi-1");
    let history = json!({"history": [row(1, "m1", "Stopped", "MemberLost")]});
    story.status(15, "pi", "Queued", "MemberLost", history.clone());
    place(&mut story, 16, "pi", 2, "m2", history);
    let holes = || vec![fault(Kind::MemberLost, 4, 10, true), fault(Kind::MemberLost, 13, 15, false)];
    let found = measure(&mut story, holes());
    assert_eq!(found.moved_after_return, Measured { alone: Some(one(6000)), amid_others: None });
    assert_eq!(found.moved_after_fence.alone, Some(one(2000)));
    assert_eq!(found.duplicated, Measured::default());
    // Of another member's hole nothing is measured.
    let mut others = holes();
    for hole in &mut others {
        hole.member = Some("m2".to_owned());
    }
    assert_eq!(measure(&mut story, others).moved_after_return, Measured::default());
}

#[test]
fn a_duplicate_counts_from_when_the_member_is_lost() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({"failover": {"onMemberLost": "AllowDuplicate"}}));
    place(&mut story, 1, "pi", 1, "m1", json!({}));
    let history = json!({"history": [row(1, "m1", "Abandoned", "MemberLost")]});
    story.status(8, "pi", "Queued", "MemberLost", history.clone());
    place(&mut story, 9, "pi", 2, "m2", history);
    let found = measure(&mut story, vec![fault(Kind::MemberLost, 4, 12, false)]);
    assert_eq!(found.duplicated, Measured { alone: None, amid_others: Some(one(2000)) });
    assert_eq!(found.moved_after_return, Measured::default());
    // One that was too short, and one that was over long ago, are not why it was left behind.
    for other in [fault(Kind::MemberSilent, 4, 6, true), fault(Kind::MemberLost, -9, -2, true)] {
        assert_eq!(measure(&mut story, vec![other]).duplicated, Measured::default());
    }
}

#[test]
fn the_next_leader_is_another_router_or_the_next_life_of_the_same() {
    let mut story = Story::new();
    let writes = [(1, "a"), (5, "a"), (6, "a"), (18, "b"), (30, "b"), (32, "b")];
    for (second, token) in writes {
        let extra = json!({"user": {"extra": {"authentication.kubernetes.io/credential-id": [token]}}});
        story.log("hub", second, ("patch", "routedsparkjobs/status", "none"), 200, extra);
    }
    // What was under way when it died may come in a moment later: it is not the next leader's.
    let first = fault(Kind::LeaderKilled, 5, 20, true);
    let again = fault(Kind::LeaderKilled, 25, 28, false);
    let found = measure(&mut story, vec![first, again]);
    assert_eq!(found.led_again, Measured { alone: Some(one(13_000)), amid_others: Some(one(5000)) });
}
