//! A queue whose hub was put back: older jobs hold, younger ones go on.

use super::*;
use crate::restored::Restored;

fn etl() -> QueueName {
    QueueName::from("etl")
}

fn held_back(d: &Dispatcher) -> usize {
    d.lines[index(d.line_of[&etl()])].held_back.len()
}

fn dispatcher() -> Dispatcher {
    let mut d = Dispatcher::default();
    d.set_namespace(Namespace::from("team-a"), Some(BTreeMap::new()));
    d.set_member(ClusterName::from("a"), member(None));
    d.set_queue(queue("etl", &[("a", 1)]), Some(Selector::default()), Checkpoint::default());
    d
}

fn born(name: &str, second: i64) -> Applicant {
    Applicant { created: at(second), ..applicant(name, "etl", 0) }
}

fn since(second: i64) -> Restored {
    Restored { before: at(second), seq: 41, seen: "m1 shows placement 41".to_owned() }
}

fn waits_for(d: &Dispatcher, name: &str) -> Option<Waits> {
    match d.answer(&JobUid::from(name)) {
        Some(Answer::Wait(waits)) => Some(waits),
        Some(Answer::Place(_)) | None => None,
    }
}

fn seq_of(d: &Dispatcher, name: &str) -> Option<u64> {
    match d.answer(&JobUid::from(name)) {
        Some(Answer::Place(decision)) => Some(decision.seq),
        Some(Answer::Wait(_)) | None => None,
    }
}

#[test]
fn older_jobs_hold_and_say_so_and_younger_ones_of_their_kind_go_on() {
    let mut d = dispatcher();
    d.set_restored(&etl(), Some(since(10)));
    d.enqueue(born("old", 10));
    d.enqueue(born("new", 11));
    let passed = d.pass(at(20));
    assert_eq!(passed.decided.len(), 1);
    assert_eq!(seq_of(&d, "new"), Some(42), "a number that was seen is not given out again");
    let waits = waits_for(&d, "old").unwrap();
    assert_eq!((waits.reason, waits.refused_by_all), ("HubRestored", false));
    assert!(waits.message.contains("m1 shows placement 41"), "{}", waits.message);
    assert!(waits.message.ends_with("spark-router acknowledge etl"), "{}", waits.message);
    assert_eq!((held_back(&d), d.standing(&etl()).0.queued), (1, 1));
    assert_eq!((d.oldest_waiting(&etl()), d.ahead_of(&JobUid::from("old"))), (Some(at(10)), None));
    assert_eq!(d.standing(&etl()).1.given, 42);
}

#[test]
fn who_is_in_line_already_is_taken_out_and_told() {
    let mut d = dispatcher();
    d.set_member(ClusterName::from("a"), member(Some(0)));
    for name in ["first", "second"] {
        d.enqueue(born(name, 1));
    }
    d.enqueue(born("young", 30));
    d.pass(at(30));
    d.set_restored(&etl(), Some(since(10)));
    let told: Vec<_> = d.pass(at(31)).rephrased.into_iter().map(|(_, key)| key.name).collect();
    assert_eq!(told, ["first", "second"]);
    d.set_member(ClusterName::from("a"), member(None));
    assert_eq!(d.pass(at(32)).decided.len(), 1);
    assert!(seq_of(&d, "young").is_some());
    // The same again, with what was seen in other words: they are told anew, and hold as before.
    let other = Restored { seen: "m2 shows placement 41".to_owned(), ..since(10) };
    d.set_restored(&etl(), Some(other));
    assert_eq!(d.pass(at(33)).decided.len(), 0);
    assert!(waits_for(&d, "first").unwrap().message.contains("m2 shows"));
}

#[test]
fn let_go_they_are_called_and_each_is_placed_once() {
    let mut d = dispatcher();
    d.set_restored(&etl(), Some(since(10)));
    for name in ["one", "two", "gone"] {
        d.enqueue(born(name, 5));
    }
    d.pass(at(20));
    d.forget(&JobUid::from("gone"));
    assert_eq!(held_back(&d), 2);
    d.set_restored(&etl(), None);
    let called: Vec<_> = d.pass(at(21)).rephrased.into_iter().map(|(uid, _)| uid).collect();
    assert_eq!(called, ["one", "two"].map(JobUid::from));
    for name in ["one", "two"] {
        d.enqueue(born(name, 5));
    }
    assert_eq!(d.pass(at(22)).decided.len(), 2);
    assert_eq!((seq_of(&d, "one"), seq_of(&d, "two")), (Some(42), Some(43)));
    assert_eq!((held_back(&d), d.standing(&etl()).0.queued), (0, 0));
    // Nothing to let go of where there is no such queue.
    d.set_restored(&QueueName::from("other"), None);
}

#[test]
fn a_queue_beside_it_goes_on() {
    let mut d = dispatcher();
    d.set_queue(queue("adhoc", &[("a", 1)]), Some(Selector::default()), Checkpoint::default());
    d.set_restored(&etl(), Some(since(10)));
    d.enqueue(born("held", 5));
    d.enqueue(Applicant { created: at(5), ..applicant("free", "adhoc", 0) });
    d.pass(at(20));
    assert_eq!((seq_of(&d, "free"), seq_of(&d, "held")), (Some(1), None));
}

#[test]
fn those_beyond_the_limit_of_the_queue_hold_too_and_leave_their_room_to_others() {
    let mut d = dispatcher();
    let limits = QueueLimits { queued: Some(1), ..QueueLimits::default() };
    let limited = QueueFacts { limits, ..queue("etl", &[("a", 1)]) };
    d.set_member(ClusterName::from("a"), MemberFacts { cordoned: true, ..member(None) });
    d.set_queue(limited, Some(Selector::default()), Checkpoint::default());
    for (name, second) in [("old-1", 1), ("old-2", 2), ("young", 30)] {
        d.enqueue(born(name, second));
    }
    d.pass(at(30));
    assert_eq!(waits_for(&d, "young").unwrap().reason, "QueueFull");
    d.set_restored(&etl(), Some(since(10)));
    let called: Vec<_> = d.pass(at(31)).rephrased.into_iter().map(|(_, key)| key.name).collect();
    assert!(
        ["old-1", "old-2", "young"].iter().all(|name| called.contains(&(*name).to_owned())),
        "{called:?}"
    );
    d.enqueue(born("young", 30));
    d.pass(at(32));
    assert_eq!(waits_for(&d, "young").unwrap().reason, "NoClusterReady");
    assert_eq!(waits_for(&d, "old-2").unwrap().reason, "HubRestored");
}
