//! Limits of speed: they delay, and never shift a share.

use super::*;
use crate::pace::Pace;

fn slow(d: &mut Dispatcher, name: &str, per_minute: u32, burst: u32) {
    d.set_member(ClusterName::from(name), MemberFacts { pace: Pace { per_minute, burst }, ..member(None) });
}

/// Runs until nobody waits, or for so many seconds; the members in the order of the placements, with the seconds.
fn run(d: &mut Dispatcher, seconds: i64) -> Vec<(i64, String)> {
    let mut order = Vec::new();
    let mut now = now();
    loop {
        let second = now.as_second() - self::now().as_second();
        for (name, cluster) in placed(d, now) {
            commit(d, &JobUid::new(&name));
            d.dispatched(&JobUid::new(&name));
            d.submitted(&JobUid::new(&name));
            order.push((second, cluster));
        }
        match d.next_wake() {
            Some(wake) if wake <= at(seconds) => now = wake,
            _ => return order,
        }
    }
}

#[test]
fn a_burst_under_a_rate_limit_keeps_the_weights() {
    let mut d = dispatcher(&[("a", 50, None), ("b", 30, None), ("c", 20, None)]);
    for name in ["a", "b", "c"] {
        slow(&mut d, name, 60, 20);
    }
    for n in 0..1000 {
        d.enqueue(applicant(&format!("job-{n:04}"), "etl", 0));
    }
    let order = run(&mut d, 10_000);
    assert_eq!(order.len(), 1000);
    for (name, weight) in [("a", 50u64), ("b", 30), ("c", 20)] {
        let mut placed = 0;
        for (n, (_, cluster)) in (1u64..).zip(&order) {
            placed += u64::from(cluster == name);
            assert!((placed * 100).abs_diff(n * weight) < 100, "{name} has {placed} of {n}");
        }
    }
    let last = order.last().unwrap().0;
    // Its burst of 20 goes at once; the other 480 of the member with the largest share take a second each.
    assert_eq!(last, 480, "the member with the largest share sets the speed");
}

#[test]
fn who_waits_for_a_token_says_for_which() {
    let mut d = dispatcher(&[("a", 1, None)]);
    slow(&mut d, "a", 60, 1);
    for name in ["one", "two"] {
        d.enqueue(applicant(name, "etl", 0));
    }
    assert_eq!(decided(&mut d, now()).len(), 1);
    let Some(Answer::Wait(waits)) = d.answer(&JobUid::from("two")) else { panic!("no token") };
    assert_eq!(waits.reason, "DispatchRate");
    assert_eq!(waits.message, "goes to a by its share, and a is sent at most 60 jobs a minute");
    assert_eq!(d.next_wake(), Some(at(1)));
    d.enqueue(applicant("urgent", "etl", 5));
    assert!(decided(&mut d, now()).is_empty());
    assert_eq!(decided(&mut d, at(1)), [JobUid::from("urgent")], "the token goes to whoever is first then");
}

#[test]
fn a_new_job_does_not_take_the_token_of_those_before_it() {
    let mut d = dispatcher(&[("a", 1, None)]);
    slow(&mut d, "a", 60, 1);
    for name in ["first", "second"] {
        d.enqueue(applicant(name, "etl", 0));
    }
    decided(&mut d, now());
    d.enqueue(of(applicant("late", "etl", -1), "team-b"));
    assert_eq!(decided(&mut d, at(1)), [JobUid::from("second")]);
}

#[test]
fn a_queues_own_rate_holds_for_all_of_it() {
    let mut d = dispatcher(&[("a", 1, None), ("b", 1, None)]);
    let mut facts = queue("etl", &[("a", 1), ("b", 1)]);
    facts.limits.pace = Some(Pace { per_minute: 30, burst: 2 });
    open(&mut d, facts);
    open(&mut d, queue("other", &[("a", 1)]));
    for n in 0..5 {
        d.enqueue(applicant(&format!("job-{n}"), "etl", 0));
    }
    d.enqueue(applicant("free", "other", 0));
    assert_eq!(decided(&mut d, now()).len(), 3);
    assert_eq!(outcome(&d, "job-4"), "DispatchRate");
    let order = run(&mut d, 100);
    assert_eq!(order.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [2, 4, 6]);
}

#[test]
fn an_operator_that_is_behind_is_waited_for_and_not_passed_by() {
    let mut d = dispatcher(&[("a", 1, None), ("b", 1, None)]);
    d.set_member(ClusterName::from("a"), MemberFacts { backlog: 1, ..member(None) });
    for n in 0..4 {
        d.enqueue(applicant(&format!("job-{n}"), "etl", 0));
    }
    let through = placed(&mut d, now());
    let clusters: Vec<_> = through.iter().map(|(_, cluster)| cluster.as_str()).collect();
    assert_eq!(clusters, ["a", "b"], "the third is a's");
    assert_eq!(outcome(&d, "job-2"), "SubmissionBacklog");
    for (name, _) in &through {
        commit(&mut d, &JobUid::new(name));
        d.dispatched(&JobUid::new(name));
    }
    assert!(decided(&mut d, at(60)).is_empty(), "it has not submitted what it has");
    d.submitted(&JobUid::new(&through[0].0));
    let clusters: Vec<_> = placed(&mut d, at(61)).into_iter().map(|(_, cluster)| cluster).collect();
    assert_eq!(clusters, ["a", "b"]);
}
