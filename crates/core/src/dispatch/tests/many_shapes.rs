//! More waiting shapes than one pass asks: everybody is asked in the end, and those in front first.

use super::*;
use crate::place::Order;

/// A full member of 8 cores and a queue that shares fairly; each of three namespaces waits with so many shapes.
fn crowded(shapes: u64, order: Order) -> Dispatcher {
    let mut d = dispatcher(&[("a", 1, None), ("b", 1, Some(0))]);
    d.set_member(ClusterName::from("a"), cores(1000));
    let mut facts = queue("etl", &[("a", 1), ("b", 1)]);
    facts.order = order;
    open(&mut d, facts);
    d.enqueue(asking(applicant("run", "etl", 0), |request| request.demand.cpu_milli = 999_900));
    assert_eq!(decided(&mut d, now()).len(), 1);
    commit(&mut d, &JobUid::from("run"));
    for (n, team) in ["team-a", "team-b", "team-c"].into_iter().enumerate() {
        for shape in 0..shapes {
            let waiting = asking(applicant(&format!("{team}-{shape:04}"), "etl", 0), |request| {
                request.demand.cpu_milli = 200_000 + shape * 10 + u64::try_from(n).unwrap();
            });
            d.enqueue(of(waiting, team));
        }
    }
    settle(&mut d, now());
    d
}

/// Passes until nothing is due any more.
fn settle(d: &mut Dispatcher, now: Timestamp) -> Vec<String> {
    let mut through = Vec::new();
    for _ in 0..100 {
        through.extend(decided(d, now).iter().map(ToString::to_string));
        if d.next_wake().is_none_or(|at| at > now) {
            return through;
        }
    }
    panic!("it goes round in circles");
}

fn fair() -> Order {
    Order::FairShare { weights: BTreeMap::new() }
}

#[test]
fn everybody_is_asked_in_the_end_in_whatever_order() {
    for order in [fair(), Order::Fifo] {
        let mut d = crowded(300, order);
        for team in ["team-a", "team-b", "team-c"] {
            for shape in 0..300 {
                assert_eq!(outcome(&d, &format!("{team}-{shape:04}")), "NoCapacity");
            }
        }
        // Only the very last of all fits.
        d.enqueue(of(asking(applicant("zz-last", "etl", -1), |r| r.demand.cpu_milli = 99), "team-c"));
        d.set_member(ClusterName::from("b"), member(Some(1)));
        let through = settle(&mut d, at(1));
        assert!(through.contains(&"zz-last".to_owned()), "{through:?}");
    }
}

#[test]
fn room_goes_to_the_front_although_others_behind_were_not_asked_yet() {
    let mut d = crowded(300, Order::Fifo);
    d.set_member(ClusterName::from("b"), MemberFacts { cordoned: true, ..member(None) });
    d.pass(at(1));
    assert!(d.next_wake().is_some_and(|at| at <= super::at(1)), "the pass stopped on the way");
    d.forget(&JobUid::from("run"));
    let first = decided(&mut d, at(2));
    assert_eq!(first[0], JobUid::from("team-a-0000"), "the oldest by name");
    let team_a: Vec<_> = (0..4).map(|n| JobUid::new(format!("team-a-{n:04}"))).collect();
    assert_eq!(first, team_a);
}

#[test]
fn a_namespace_that_is_blocked_for_a_while_is_asked_again_when_it_is_not() {
    let mut d = dispatcher(&[("a", 1, None)]);
    let blocked = vec![(Namespace::from("team-a"), Arc::from("Terminating"), at(30))];
    d.set_member(ClusterName::from("a"), MemberFacts { blocked, ..member(None) });
    assert_eq!(cluster(&place(&mut d, "one")), "NoClusterReady");
    assert_eq!(d.next_wake(), Some(at(30)));
    assert_eq!(placed(&mut d, at(30)).len(), 1);
}

#[test]
fn what_rules_a_member_out_is_looked_at_again_after_every_change() {
    let mut d = dispatcher(&[("a", 1, None)]);
    let tainted = vec![crate::place::Taint { key: "gpu".into(), value: String::new() }];
    assert_eq!(cluster(&place(&mut d, "zero")), "a");
    d.set_member(ClusterName::from("a"), MemberFacts { taints: tainted, ..member(None) });
    assert_eq!(cluster(&place(&mut d, "one")), "NoClusterMatches");
    d.set_member(ClusterName::from("a"), member(None));
    assert_eq!(placed(&mut d, now()).len(), 1);
    open(&mut d, queue("etl", &[("a", 0)]));
    assert_eq!(cluster(&place(&mut d, "two")), "NoClusterMatches");
    open(&mut d, queue("etl", &[("a", 1)]));
    assert_eq!(placed(&mut d, now()).len(), 1);
    d.enqueue(asking(applicant("elsewhere", "etl", 0), |r| {
        r.constraints.names = vec![ClusterName::from("b")];
    }));
    d.enqueue(applicant("three", "etl", 0));
    assert_eq!(
        placed(&mut d, now()),
        [("three".to_owned(), "a".to_owned())],
        "jobs that differ are ruled by themselves"
    );
}
