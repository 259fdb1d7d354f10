//! Queues that compete for one member.

use super::*;

fn two(d: &mut Dispatcher, change: impl Fn(&mut QueueFacts, &mut QueueFacts)) {
    let (mut x, mut y) = (queue("x", &[("a", 1)]), queue("y", &[("a", 1)]));
    change(&mut x, &mut y);
    open(d, x);
    open(d, y);
}

/// How many of six jobs each get in when there is room for so many.
fn shares(jobs: u64, change: impl Fn(&mut QueueFacts, &mut QueueFacts)) -> (usize, usize) {
    let mut d = dispatcher(&[("a", 1, Some(0))]);
    d.set_member(ClusterName::from("a"), MemberFacts { capacity: Capacity::default(), ..member(None) });
    two(&mut d, change);
    d.set_member(ClusterName::from("a"), member(Some(jobs)));
    for n in 0..6 {
        d.enqueue(applicant(&format!("x{n}"), "x", 0));
        d.enqueue(applicant(&format!("y{n}"), "y", 0));
    }
    let order = decided(&mut d, now());
    let of = |prefix| order.iter().filter(|uid| uid.as_str().starts_with(prefix)).count();
    (of('x'), of('y'))
}

fn jobs(jobs: u64) -> Capacity {
    Capacity { jobs: Some(jobs), ..Capacity::default() }
}

#[test]
fn equal_queues_get_equal_shares() {
    assert_eq!(shares(6, |_, _| ()), (3, 3));
}

#[test]
fn priority_goes_first() {
    assert_eq!(shares(7, |_, y| y.priority = 1), (1, 6));
}

#[test]
fn a_guarantee_goes_before_priority() {
    let guaranteed = |x: &mut QueueFacts, y: &mut QueueFacts| {
        x.guaranteed = jobs(2);
        y.priority = 1;
    };
    assert_eq!(shares(6, guaranteed), (2, 4), "until it is used");
    let both = |x: &mut QueueFacts, y: &mut QueueFacts| {
        x.guaranteed = jobs(4);
        y.guaranteed = jobs(2);
        y.priority = 1;
    };
    assert_eq!(shares(3, both), (2, 1), "the one that has used less of its own goes first");
}

#[test]
fn a_full_a_paused_and_a_broken_queue_delay_nobody() {
    let mut d = dispatcher(&[("a", 1, Some(10)), ("b", 1, Some(0))]);
    let mut full = queue("full", &[("b", 1)]);
    full.priority = 9;
    open(&mut d, full);
    let mut paused = queue("paused", &[("a", 1)]);
    (paused.priority, paused.paused) = (9, true);
    open(&mut d, paused);
    for n in 0..300 {
        for queue in ["full", "paused", "broken"] {
            d.enqueue(asking(applicant(&format!("{queue}-{n}"), queue, 0), |request| {
                request.demand.memory_bytes = n;
            }));
        }
    }
    d.enqueue(applicant("one", "etl", 0));
    assert_eq!(decided(&mut d, now()), [JobUid::from("one")]);
}
