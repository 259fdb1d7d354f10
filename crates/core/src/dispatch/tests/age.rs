//! A signal that turns stale is noticed although nothing happens, by those who wait for it and by nobody else.

use super::*;
use crate::{
    place::RouteSignal,
    signal::{Observed, Room},
};

const LIMIT: i64 = 30;
/// A pass is due then in any case: whoever waited for so long lets nobody pass any more.
const HOLDS: i64 = 600;

/// A quota of nothing, read at some time: nobody finds room by it.
fn full(read: Timestamp) -> Arc<Signals> {
    let capacity = |cpu: u64| Capacity { cpu_milli: Some(cpu), ..Capacity::default() };
    let room = Room { free: capacity(0), most: capacity(100_000), closed: None };
    let value = BTreeMap::from([(Namespace::from("team-a"), room)]);
    Arc::new(Signals { quotas: Some(Observed { value, at: read }), ..Signals::default() })
}

/// One member of which a full quota was read just now; the queue goes by it, or by nothing.
fn fleet(declared: Option<u64>, goes_by_it: bool) -> Dispatcher {
    let mut d = dispatcher(&[("a", 1, declared)]);
    let mut facts = queue("etl", &[("a", 1)]);
    facts.routes[0].signal = goes_by_it.then_some(RouteSignal::ResourceQuota);
    open(&mut d, facts);
    tell(&mut d, full(now()));
    d
}

fn tell(d: &mut Dispatcher, signals: Arc<Signals>) {
    d.set_signals(&ClusterName::from("a"), signals);
}

/// The first moment at which what was read so many seconds after [`now`] is stale.
fn stale(read: i64) -> Timestamp {
    at(read + LIMIT) + jiff::SignedDuration::from_nanos(1)
}

#[test]
fn whoever_waits_is_woken_when_the_signal_turns_stale() {
    let mut d = fleet(Some(5), true);
    assert_eq!(cluster(&place(&mut d, "one")), "NoCapacity");
    assert_eq!(d.next_wake(), Some(stale(0)));
    assert_eq!(d.pass(at(LIMIT)), Passed::default(), "it may still be believed");
    assert_eq!(d.next_wake(), Some(stale(0)));
    // What is declared stands in for it.
    assert_eq!(decided(&mut d, stale(0)), [JobUid::from("one")]);
    assert_eq!(d.next_stale(), None, "nobody waits any more");
}

#[test]
fn whoever_waits_on_is_told_what_for() {
    let mut d = fleet(None, true);
    assert_eq!(cluster(&place(&mut d, "one")), "NoCapacity");
    let passed = d.pass(d.next_wake().unwrap());
    assert!(passed.decided.is_empty());
    assert_eq!(passed.rephrased.len(), 1, "nothing is declared: it is called to say so");
    assert_eq!(outcome(&d, "one"), "SignalStale");
    assert_eq!(d.next_wake(), Some(at(HOLDS)), "what is stale turns stale no more");
}

#[test]
fn a_signal_that_is_read_again_is_young_again() {
    let mut d = fleet(Some(5), true);
    place(&mut d, "one");
    tell(&mut d, full(at(20)));
    d.pass(at(20));
    assert_eq!(d.next_wake(), Some(stale(20)));
    // A member whose signals are believed for less long.
    let facts = MemberFacts { stale_after: std::time::Duration::from_secs(5), ..member(Some(5)) };
    d.set_member(ClusterName::from("a"), facts);
    assert_eq!(cluster(&d.answer(&JobUid::from("one")).unwrap()), "NoCapacity");
    assert_eq!(d.next_wake(), Some(at(25) + jiff::SignedDuration::from_nanos(1)));
    d.remove_member(&ClusterName::from("a"));
    d.pass(at(21));
    assert_eq!(d.next_wake(), Some(at(HOLDS)));
}

#[test]
fn nobody_is_woken_who_does_not_wait_by_it() {
    let mut d = fleet(Some(5), true);
    assert_eq!(d.next_wake(), None, "nobody waits");
    // It turned stale unnoticed; whoever comes then is judged by that at once.
    assert_eq!(d.pass(at(60)), Passed::default());
    d.enqueue(applicant("one", "etl", 0));
    assert_eq!(decided(&mut d, at(60)), [JobUid::from("one")]);

    let mut d = fleet(Some(0), false);
    assert_eq!(cluster(&place(&mut d, "one")), "NeverFits");
    assert_eq!(d.next_wake(), None, "its queue goes by what is declared");
}
