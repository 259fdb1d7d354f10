//! Who was turned away from a line is called when there is room in it: as many as fit, the first ones first, and nobody
//! who may not wait in it anyway.

use super::*;

/// A queue of which a member has no room for anything: whoever may, waits in line.
fn full(limits: QueueLimits) -> Dispatcher {
    let mut d = dispatcher(&[("a", 1, Some(0))]);
    limit(&mut d, limits);
    d
}

fn limit(d: &mut Dispatcher, limits: QueueLimits) {
    open(d, QueueFacts { limits, ..queue("etl", &[("a", 1)]) });
}

fn most(queued: u64) -> QueueLimits {
    QueueLimits { queued: Some(queued), ..QueueLimits::default() }
}

fn highest(priority: i32, queued: Option<u64>) -> QueueLimits {
    QueueLimits { highest_priority: Some(priority), queued, ..QueueLimits::default() }
}

/// Jobs of these names and priorities ask, one after the other.
fn ask(d: &mut Dispatcher, jobs: &[(&str, i32)]) {
    for (name, priority) in jobs {
        d.enqueue(applicant(name, "etl", *priority));
    }
    d.pass(now());
}

/// Whom the next pass calls although nothing is decided for them.
fn called(d: &mut Dispatcher) -> Vec<String> {
    let passed = d.pass(now());
    assert!(passed.decided.is_empty());
    passed.rephrased.into_iter().map(|(_, key)| key.name).collect()
}

#[test]
fn a_longer_line_calls_as_many_as_it_has_room_for() {
    let mut d = full(most(1));
    ask(&mut d, &[("first", 0), ("late", 0), ("early", 1), ("last", -1)]);
    assert_eq!(outcome(&d, "early"), "QueueFull");
    limit(&mut d, most(3));
    assert_eq!(called(&mut d), ["early", "late"], "by their turn, not by when they came");
    assert_eq!(called(&mut d), [""; 0], "once");
    ask(&mut d, &[("early", 1), ("late", 0)]);
    assert_eq!([outcome(&d, "late"), outcome(&d, "last")], ["NeverFits", "QueueFull"].map(str::to_owned));
    limit(&mut d, QueueLimits::default());
    assert_eq!(called(&mut d), ["last"], "without a limit everybody may");
}

#[test]
fn whoever_leaves_makes_room_for_one() {
    let mut d = full(most(2));
    ask(&mut d, &[("one", 0), ("two", 0), ("three", 0), ("xray", 0)]);
    d.forget(&JobUid::from("two"));
    assert_eq!(called(&mut d), ["three"]);
    ask(&mut d, &[("three", 0)]);
    // Somebody who was turned away goes: that is no room.
    d.enqueue(applicant("yankee", "etl", 0));
    d.forget(&JobUid::from("yankee"));
    assert_eq!(called(&mut d), [""; 0]);
    assert_eq!(outcome(&d, "xray"), "QueueFull");
}

#[test]
fn nobody_is_called_who_may_not_wait_anyway() {
    let mut d = full(highest(5, Some(1)));
    ask(&mut d, &[("one", 0), ("keen", 9), ("keener", 7), ("two", 5), ("three", 0)]);
    assert_eq!(
        [outcome(&d, "keen"), outcome(&d, "two")],
        ["PriorityTooHigh", "QueueFull"].map(str::to_owned)
    );
    d.forget(&JobUid::from("one"));
    assert_eq!(called(&mut d), ["two"], "those of too high a priority come first, and keep nobody from it");
    ask(&mut d, &[("two", 5)]);
    limit(&mut d, highest(7, Some(2)));
    assert_eq!(called(&mut d), ["keener"]);
    limit(&mut d, highest(9, None));
    assert_eq!(called(&mut d), ["keen", "keener", "three"]);
}
