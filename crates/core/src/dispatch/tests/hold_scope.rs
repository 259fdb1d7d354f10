//! Holds end with what they are for, and keep away only those who would take the room that is missing.

use std::time::Duration;

use super::*;
use crate::place::{Backfill, Order};

const PASS: i64 = 60;
const HOLD: i64 = 600;

fn patient(name: &str) -> QueueFacts {
    let seconds = |seconds| Duration::from_secs(u64::try_from(seconds).unwrap());
    let backfill = Backfill { pass_for: seconds(PASS), hold_for: seconds(HOLD) };
    QueueFacts { backfill, ..queue(name, &[("a", 1)]) }
}

/// One member of 8 cores, full of jobs of two.
fn full(facts: QueueFacts) -> Dispatcher {
    let mut d = dispatcher(&[("a", 1, None)]);
    d.set_member(ClusterName::from("a"), cores(8));
    open(&mut d, facts);
    for n in 0..4 {
        assert_eq!(cluster(&place(&mut d, &format!("run-{n}"))), "a");
        commit(&mut d, &JobUid::new(format!("run-{n}")));
    }
    d
}

fn big(name: &str, priority: i32) -> Applicant {
    asking(applicant(name, "etl", priority), |request| request.demand.cpu_milli = 8000)
}

/// The jobs that passes decide until nothing is due any more.
fn through(d: &mut Dispatcher, now: Timestamp) -> Vec<String> {
    let mut through = Vec::new();
    for _ in 0..10 {
        through.extend(decided(d, now).iter().map(ToString::to_string));
        if d.next_wake().is_none_or(|at| at > now) {
            return through;
        }
    }
    panic!("it goes round in circles");
}

#[test]
fn a_hold_goes_over_to_the_job_that_goes_first_now_and_ends_with_it() {
    let mut d = full(patient("etl"));
    d.enqueue(big("big", 0));
    d.pass(now());
    d.pass(at(PASS));
    d.enqueue(big("urgent", 5));
    d.enqueue(applicant("small", "etl", 0));
    assert!(through(&mut d, at(PASS + 1)).is_empty());
    d.forget(&JobUid::from("run-0"));
    assert!(through(&mut d, at(PASS + 2)).is_empty(), "held for urgent now, which is like big");
    d.forget(&JobUid::from("urgent"));
    d.forget(&JobUid::from("big"));
    assert_eq!(through(&mut d, at(PASS + 3)), ["small"], "nobody is left for whom it could be held");
}

#[test]
fn a_hold_ends_with_its_queue_and_with_its_namespaces_admission() {
    for end in [(|d: &mut Dispatcher| d.remove_queue(&QueueName::from("etl"))) as fn(&mut Dispatcher), |d| {
        d.set_namespace(Namespace::from("team-a"), None);
    }] {
        let mut d = full(patient("etl"));
        open(&mut d, patient("other"));
        d.enqueue(big("big", 0));
        d.pass(now());
        d.pass(at(PASS));
        d.enqueue(of(applicant("other", "other", 0), "team-b"));
        d.forget(&JobUid::from("run-0"));
        assert!(through(&mut d, at(PASS + 1)).is_empty(), "it is held");
        end(&mut d);
        assert_eq!(through(&mut d, at(PASS + 2)), ["other"]);
    }
}

#[test]
fn a_full_route_holds_nothing_back_for_other_queues() {
    let mut facts = patient("etl");
    facts.routes[0].capacity.cpu_milli = Some(4000);
    let mut d = dispatcher(&[("a", 1, None)]);
    d.set_member(ClusterName::from("a"), cores(80));
    open(&mut d, facts);
    open(&mut d, patient("other"));
    for n in 0..2 {
        place(&mut d, &format!("run-{n}"));
        commit(&mut d, &JobUid::new(format!("run-{n}")));
    }
    d.enqueue(asking(applicant("big", "etl", 0), |request| request.demand.cpu_milli = 4000));
    d.pass(now());
    d.pass(at(PASS));
    d.enqueue(applicant("other", "other", 0));
    assert_eq!(through(&mut d, at(PASS + 1)), ["other"], "it takes nothing of etl's share");
    d.forget(&JobUid::from("run-0"));
    d.enqueue(applicant("small", "etl", 0));
    assert!(through(&mut d, at(PASS + 2)).is_empty(), "etl's own share is kept for the big one");
    d.forget(&JobUid::from("run-1"));
    assert_eq!(through(&mut d, at(PASS + 3)), ["big"]);
}

#[test]
fn a_hold_goes_by_what_its_namespace_holds_now_and_not_when_it_began() {
    let mut facts = patient("etl");
    facts.order = Order::FairShare { weights: BTreeMap::new() };
    let mut d = full(facts);
    d.enqueue(big("big", 0));
    d.pass(now());
    d.pass(at(PASS));
    for n in 0..4 {
        d.forget(&JobUid::new(format!("run-{n}")));
        d.enqueue(of(applicant(&format!("small-{n}"), "etl", 0), "team-b"));
        for name in through(&mut d, at(PASS + 1 + n)) {
            commit(&mut d, &JobUid::new(&name));
        }
    }
    // Once its namespace holds no more than team-b, nothing of team-b goes before it.
    assert!(d.of_queue(&QueueName::from("etl")).jobs <= 2, "{:?}", d.of_queue(&QueueName::from("etl")));
    for n in 0..4 {
        d.forget(&JobUid::new(format!("small-{n}")));
        d.enqueue(of(applicant(&format!("more-{n}"), "etl", 0), "team-b"));
        let through = through(&mut d, at(PASS + 10 + n));
        if through.contains(&"big".to_owned()) {
            return;
        }
    }
    panic!("it waits for ever beside small ones");
}
