//! Order inside a queue, its limits, and what is turned away.

use super::*;
use crate::place::{Order, QueueLimits};

fn etl(change: impl FnOnce(&mut QueueFacts)) -> QueueFacts {
    let mut facts = queue("etl", &[("a", 1)]);
    change(&mut facts);
    facts
}

/// Lets the jobs through one at a time and returns them in their order.
fn drain(d: &mut Dispatcher) -> Vec<String> {
    let mut order = Vec::new();
    loop {
        let through = decided(d, now());
        let [uid] = through.as_slice() else {
            assert!(through.is_empty(), "there is room for one at a time");
            return order;
        };
        commit(d, uid);
        order.push(uid.to_string());
        d.forget(uid);
    }
}

#[test]
fn fair_share_goes_by_what_a_namespace_holds() {
    let mut d = dispatcher(&[("a", 1, Some(7))]);
    open(&mut d, etl(|q| q.order = Order::FairShare { weights: BTreeMap::new() }));
    for n in 0..6 {
        d.enqueue(of(applicant(&format!("a{n}"), "etl", 0), "team-a"));
    }
    for n in 0..3 {
        d.enqueue(of(applicant(&format!("b{n}"), "etl", 0), "team-b"));
    }
    d.enqueue(of(applicant("c0", "etl", 0), "team-c"));
    let order: Vec<_> = decided(&mut d, now()).iter().map(ToString::to_string).collect();
    assert_eq!(order, ["a0", "b0", "c0", "a1", "b1", "a2", "b2"], "three each, and one who wants no more");
}

#[test]
fn a_namespaces_weight_is_its_share() {
    let mut d = dispatcher(&[("a", 1, Some(6))]);
    let weights = BTreeMap::from([(Namespace::from("team-a"), 2)]);
    open(&mut d, etl(|q| q.order = Order::FairShare { weights }));
    for n in 0..6 {
        d.enqueue(of(applicant(&format!("a{n}"), "etl", 0), "team-a"));
        d.enqueue(of(applicant(&format!("b{n}"), "etl", 0), "team-b"));
    }
    let order = decided(&mut d, now());
    assert_eq!(order.iter().filter(|uid| uid.as_str().starts_with('a')).count(), 4);
}

#[test]
fn priority_goes_before_a_fair_share() {
    let mut d = dispatcher(&[("a", 1, Some(1))]);
    open(&mut d, etl(|q| q.order = Order::FairShare { weights: BTreeMap::new() }));
    d.enqueue(of(applicant("small", "etl", 0), "team-b"));
    d.enqueue(of(applicant("urgent", "etl", 9), "team-a"));
    assert_eq!(drain(&mut d), ["urgent", "small"]);
}

#[test]
fn an_order_that_changes_orders_everybody_anew() {
    let mut d = dispatcher(&[("a", 1, Some(0))]);
    for (name, team) in [("a0", "team-a"), ("a1", "team-a"), ("b0", "team-b")] {
        d.enqueue(of(applicant(name, "etl", 0), team));
    }
    d.pass(now());
    open(&mut d, etl(|q| q.order = Order::FairShare { weights: BTreeMap::new() }));
    d.set_member(ClusterName::from("a"), member(Some(2)));
    let order: Vec<_> = decided(&mut d, now()).iter().map(ToString::to_string).collect();
    assert_eq!(order, ["a0", "b0"]);
}

#[test]
fn a_queue_holds_no_more_than_its_limits() {
    let mut d = dispatcher(&[("a", 1, None)]);
    let held = Capacity { jobs: Some(2), executors: Some(10), ..Capacity::default() };
    open(&mut d, etl(|q| q.limits = QueueLimits { held, ..QueueLimits::default() }));
    for n in 0..3 {
        d.enqueue(applicant(&format!("job-{n}"), "etl", 0));
    }
    assert_eq!(decided(&mut d, now()).len(), 2);
    let Some(Answer::Wait(waits)) = d.answer(&JobUid::from("job-2")) else { panic!("the queue is full") };
    assert_eq!((waits.reason, waits.needs_a_change), ("QueueLimit", false));
    assert_eq!(
        waits.message,
        "the queue has all that it may have: a: the queue's own limit of 2 jobs is in use"
    );
    d.enqueue(asking(applicant("wide", "etl", 0), |request| request.demand.pods = 12));
    d.pass(now());
    let Some(Answer::Wait(waits)) = d.answer(&JobUid::from("wide")) else { panic!("it never fits") };
    assert_eq!((waits.reason, waits.needs_a_change), ("NeverFits", true));
    commit(&mut d, &JobUid::from("job-0"));
    d.forget(&JobUid::from("job-0"));
    assert_eq!(decided(&mut d, now()), [JobUid::from("job-2")]);
}

#[test]
fn a_priority_above_the_highest_is_named_and_mends_itself() {
    let mut d = dispatcher(&[("a", 1, None)]);
    let limits = QueueLimits { highest_priority: Some(5), ..QueueLimits::default() };
    open(&mut d, etl(|q| q.limits = limits));
    d.enqueue(applicant("keen", "etl", 6));
    d.enqueue(applicant("calm", "etl", 5));
    assert_eq!(decided(&mut d, now()), [JobUid::from("calm")]);
    let Some(Answer::Wait(waits)) = d.answer(&JobUid::from("keen")) else { panic!("too high") };
    assert_eq!((waits.reason, waits.needs_a_change), ("PriorityTooHigh", true));
    assert_eq!(
        waits.message,
        "spec.priority is 6, and SparkQueue etl allows at most 5; lower it. The job goes on by itself then"
    );
    d.enqueue(applicant("keen", "etl", 5));
    assert_eq!(decided(&mut d, now()), [JobUid::from("keen")]);
}

#[test]
fn a_line_that_is_full_turns_away_and_calls_in() {
    let mut d = dispatcher(&[("a", 1, Some(1))]);
    open(&mut d, etl(|q| q.limits.queued = Some(2)));
    for n in 0..5 {
        d.enqueue(applicant(&format!("job-{n}"), "etl", 0));
    }
    assert_eq!(outcome_after(&mut d, "job-4"), "QueueFull");
    assert_eq!(d.standing(&QueueName::from("etl")).0.queued, 4, "one is placed");
    assert_eq!(d.ahead_of(&JobUid::from("job-4")), Some(3));
    commit(&mut d, &JobUid::from("job-0"));
    d.forget(&JobUid::from("job-0"));
    let mut order = vec!["job-0".to_owned()];
    loop {
        let passed = d.pass(now());
        let (decided, called) = (passed.decided, passed.rephrased);
        for (uid, key) in &called {
            assert_ne!(key.name, order[0]);
            d.enqueue(applicant(uid.as_str(), "etl", 0));
        }
        for (uid, _) in &decided {
            commit(&mut d, uid);
            d.forget(uid);
            order.push(uid.to_string());
        }
        if decided.is_empty() && called.is_empty() {
            break;
        }
    }
    assert_eq!(order, ["job-0", "job-1", "job-2", "job-3", "job-4"]);
}

fn outcome_after(d: &mut Dispatcher, name: &str) -> String {
    d.pass(now());
    outcome(d, name)
}

#[test]
fn a_paused_queue_waits_and_says_so() {
    let mut d = dispatcher(&[("a", 1, None)]);
    open(&mut d, etl(|q| q.paused = true));
    assert_eq!(cluster(&place(&mut d, "one")), "QueuePaused");
    open(&mut d, etl(|_| ()));
    assert_eq!(decided(&mut d, now()), [JobUid::from("one")]);
}

#[test]
fn a_job_that_was_sized_by_other_rules_asks_again_before_it_is_placed() {
    let mut d = dispatcher(&[("a", 1, Some(0))]);
    place(&mut d, "one");
    open(&mut d, etl(|q| q.parts = 7));
    d.set_member(ClusterName::from("a"), member(None));
    let passed = d.pass(now());
    assert!(passed.decided.is_empty());
    assert_eq!(passed.rephrased.len(), 1);
    assert_eq!(outcome(&d, "one"), Waits::QUEUE_CHANGED);
    assert_eq!(d.pass(now()), Passed::default(), "it is called once");
    d.enqueue(asking(applicant("one", "etl", 0), |request| request.parts = 7));
    assert_eq!(decided(&mut d, now()), [JobUid::from("one")]);
}

#[test]
fn the_position_counts_whoever_goes_before() {
    let mut d = dispatcher(&[("a", 1, Some(0))]);
    for n in 0..4 {
        d.enqueue(applicant(&format!("job-{n}"), "etl", 0));
    }
    d.enqueue(asking(applicant("big", "etl", 3), |request| request.demand.cpu_milli = 9000));
    d.pass(now());
    let ahead = |name: &str| d.ahead_of(&JobUid::from(name));
    assert_eq!((ahead("big"), ahead("job-0"), ahead("job-3")), (Some(0), Some(1), Some(4)));
    assert_eq!(ahead("nobody"), None);
    assert_eq!(d.oldest_waiting(&QueueName::from("etl")), Some(now()));
}

#[test]
fn many_shapes_that_do_not_fit_keep_nobody_from_being_asked() {
    let mut d = dispatcher(&[("a", 1, None)]);
    d.set_member(ClusterName::from("a"), cores(8));
    for n in 0..2000 {
        d.enqueue(asking(applicant(&format!("big-{n:04}"), "etl", 0), |request| {
            request.demand.cpu_milli = 8001 + n;
        }));
    }
    d.enqueue(applicant("small", "etl", -1));
    let mut through = decided(&mut d, now());
    // As when everything was asked before, and then room appears.
    for _ in 0..20 {
        through.extend(decided(&mut d, now()));
    }
    assert_eq!(through, [JobUid::from("small")]);
    commit(&mut d, &through[0]);
    d.forget(&through[0]);
    d.enqueue(applicant("next", "etl", -1));
    assert_eq!(decided(&mut d, now()), [JobUid::from("next")], "a new job is asked at once");
}
