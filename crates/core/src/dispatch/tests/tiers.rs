//! Tiers: the lower goes first; the next one is used once the lower has had no room for long enough.

use std::time::Duration;

use super::*;
use crate::pace::Pace;

fn tiers(spill_after: Option<u64>) -> Dispatcher {
    let mut d = dispatcher(&[("home", 1, Some(1)), ("cloud", 1, None)]);
    let mut facts = queue("etl", &[("home", 1), ("cloud", 1)]);
    facts.routes[1].tier = 1;
    facts.spill_after = spill_after.map(Duration::from_secs);
    open(&mut d, facts);
    d
}

#[test]
fn the_lower_tier_goes_first_and_the_next_takes_what_it_cannot() {
    let mut d = tiers(None);
    assert_eq!(cluster(&place(&mut d, "one")), "home");
    assert_eq!(cluster(&place(&mut d, "two")), "cloud", "without a time to wait it goes on at once");
    d.forget(&JobUid::from("one"));
    let Answer::Place(decision) = place(&mut d, "three") else { panic!("there is room") };
    assert_eq!(decision.cluster.as_str(), "home");
    assert_eq!(decision.choice.why(&decision.cluster), "weight 1 of 1 in tier 0; not cloud (OtherTier)");
}

#[test]
fn it_spills_over_only_after_a_time_without_room() {
    let mut d = tiers(Some(30));
    assert_eq!(cluster(&place(&mut d, "one")), "home");
    for name in ["two", "three"] {
        assert_eq!(cluster(&place(&mut d, name)), "NoCapacity");
    }
    assert_eq!(d.next_wake(), Some(at(30)));
    assert!(decided(&mut d, at(29)).is_empty());
    let spilled = placed(&mut d, at(30));
    let expected = [("three", "cloud"), ("two", "cloud")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(spilled, expected, "by name, as they are of one age");
}

#[test]
fn room_in_time_keeps_a_job_in_the_lower_tier() {
    let mut d = tiers(Some(30));
    place(&mut d, "one");
    commit(&mut d, &JobUid::from("one"));
    place(&mut d, "two");
    d.forget(&JobUid::from("one"));
    assert_eq!(placed(&mut d, at(20)), [("two".to_owned(), "home".to_owned())]);
}

#[test]
fn a_tier_that_can_never_take_the_job_is_not_waited_for() {
    let mut d = tiers(Some(30));
    d.enqueue(asking(applicant("picky", "etl", 0), |request| {
        request.constraints.names = vec![ClusterName::from("cloud")];
    }));
    assert_eq!(placed(&mut d, now()), [("picky".to_owned(), "cloud".to_owned())]);
}

#[test]
fn a_slow_tier_is_left_only_where_a_time_is_set() {
    for (spill_after, expected) in [(None, "DispatchRate"), (Some(5), "cloud")] {
        let mut d = tiers(spill_after);
        let pace = Pace { per_minute: 1, burst: 1 };
        d.set_member(ClusterName::from("home"), MemberFacts { pace, ..member(None) });
        assert_eq!(cluster(&place(&mut d, "one")), "home");
        assert_eq!(cluster(&place(&mut d, "two")), "DispatchRate");
        d.pass(at(5));
        assert_eq!(outcome(&d, "two"), expected);
    }
}

#[test]
fn a_waiting_job_is_told_of_the_tier_that_it_waits_for() {
    let mut d = tiers(Some(30));
    place(&mut d, "one");
    let Answer::Wait(waits) = place(&mut d, "two") else { panic!("there is no room at home") };
    assert_eq!(waits.message, "no member has room now: home: its capacity of 1 jobs is in use");
    let verdicts = d.weigh(&applicant("two", "etl", 0), now()).unwrap();
    let table: Vec<_> = verdicts
        .iter()
        .map(|v| (v.cluster.as_str(), v.tier, v.exclusion.as_ref().map(Exclusion::in_numbers)))
        .collect();
    assert_eq!(
        table,
        [("cloud", 1, None), ("home", 0, Some("its capacity: needs 1 jobs, 0 of 1 free".to_owned()))]
    );
}

use crate::place::Exclusion;
