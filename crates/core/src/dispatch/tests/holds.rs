//! A big job that waits: others pass it for a while, then a member is held for it.

use std::time::Duration;

use super::*;
use crate::place::Backfill;

const PASS: i64 = 60;
const HOLD: i64 = 600;

/// One member of 8 cores with four jobs of two cores on it, and a big one that waits for all of it.
fn full() -> Dispatcher {
    let mut d = dispatcher(&[("a", 1, None)]);
    d.set_member(ClusterName::from("a"), cores(8));
    let mut facts = queue("etl", &[("a", 1)]);
    let seconds = |seconds| Duration::from_secs(u64::try_from(seconds).unwrap());
    facts.backfill = Backfill { pass_for: seconds(PASS), hold_for: seconds(HOLD) };
    open(&mut d, facts);
    for n in 0..4 {
        assert_eq!(cluster(&place(&mut d, &format!("run-{n}"))), "a");
        commit(&mut d, &JobUid::new(format!("run-{n}")));
    }
    d.enqueue(asking(applicant("big", "etl", 0), |request| request.demand.cpu_milli = 8000));
    d.enqueue(applicant("small-0", "etl", 0));
    assert!(decided(&mut d, now()).is_empty());
    d
}

fn end(d: &mut Dispatcher, name: &str, now: Timestamp) -> Vec<String> {
    d.forget(&JobUid::from(name));
    let through = placed(d, now);
    for (name, _) in &through {
        commit(d, &JobUid::new(name));
    }
    through.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn smaller_ones_pass_for_a_while_and_then_it_has_its_turn() {
    let mut d = full();
    assert_eq!(end(&mut d, "run-0", at(10)), ["small-0"], "it may pass");
    d.pass(at(PASS));
    d.enqueue(applicant("small-1", "etl", 0));
    assert!(decided(&mut d, at(PASS)).is_empty());
    let Some(Answer::Wait(waits)) = d.answer(&JobUid::from("small-1")) else { panic!("it is held") };
    assert_eq!(waits.reason, "NoCapacity");
    for name in ["run-1", "run-2", "run-3"] {
        assert!(end(&mut d, name, at(PASS + 1)).is_empty(), "what ends is kept for the big one");
    }
    let Some(Answer::Wait(waits)) = d.answer(&JobUid::from("small-1")) else { panic!("it is held") };
    assert_eq!(waits.reason, "NoCapacity");
    let verdicts = d.weigh(&applicant("small-1", "etl", 0), at(PASS + 1)).unwrap();
    assert_eq!(
        verdicts[0].exclusion.as_ref().unwrap().to_string(),
        "held for the larger job team-a/big, which has waited longer"
    );
    assert_eq!(end(&mut d, "small-0", at(PASS + 2)), ["big"]);
    assert_eq!(end(&mut d, "big", at(PASS + 3)), ["small-1"]);
}

#[test]
fn a_hold_ends_and_others_may_pass_again() {
    let mut d = full();
    d.pass(at(PASS));
    d.enqueue(applicant("small-1", "etl", 0));
    assert!(end(&mut d, "run-0", at(PASS + 1)).is_empty());
    assert_eq!(d.next_wake(), Some(at(PASS + HOLD)));
    let through: Vec<_> = placed(&mut d, at(PASS + HOLD)).into_iter().map(|(name, _)| name).collect();
    assert_eq!(through, ["small-0"], "three runs last longer than a hold: the queue does not stand for ever");
    commit(&mut d, &JobUid::from("small-0"));
    d.pass(at(PASS + HOLD + PASS));
    for name in ["run-1", "run-2", "run-3"] {
        assert!(end(&mut d, name, at(PASS + HOLD + PASS + 1)).is_empty(), "its turn comes again");
    }
    assert_eq!(end(&mut d, "small-0", at(PASS + HOLD + PASS + 2)), ["big"]);
}

#[test]
fn whoever_goes_before_is_not_held_back() {
    let mut d = full();
    d.pass(at(PASS));
    d.enqueue(applicant("urgent", "etl", 1));
    assert_eq!(end(&mut d, "run-0", at(PASS + 1)), ["urgent"]);
    let mut important = queue("important", &[("a", 1)]);
    important.priority = 1;
    open(&mut d, important);
    open(&mut d, queue("equal", &[("a", 1)]));
    d.enqueue(applicant("equal", "equal", 0));
    d.enqueue(applicant("important", "important", 0));
    assert_eq!(end(&mut d, "run-1", at(PASS + 2)), ["important"]);
    assert!(end(&mut d, "run-2", at(PASS + 3)).is_empty());
}

#[test]
fn a_job_that_goes_away_frees_what_was_held_for_it() {
    let mut d = full();
    d.pass(at(PASS));
    assert!(end(&mut d, "run-0", at(PASS + 1)).is_empty());
    assert_eq!(end(&mut d, "big", at(PASS + 2)), ["small-0"]);
}

#[test]
fn a_member_that_takes_nothing_any_more_is_not_held() {
    let mut d = full();
    d.pass(at(PASS));
    let cordoned = MemberFacts { cordoned: true, ..cores(8) };
    d.set_member(ClusterName::from("a"), cordoned);
    d.pass(at(PASS + 1));
    d.set_member(ClusterName::from("a"), cores(8));
    d.pass(at(PASS + 1));
    assert_eq!(end(&mut d, "run-0", at(PASS + 2)), ["small-0"], "its patience begins anew");
}
