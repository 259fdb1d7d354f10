//! Members that fail job after job.

use super::*;
use crate::{
    breaker::{Broken, Start, State},
    pace::after,
};

fn fail(dispatcher: &mut Dispatcher, member: &str, job: &str, team: &str, second: i64) -> Option<State> {
    let (cluster, uid) = (ClusterName::from(member), JobUid::from(job));
    let told = dispatcher.driver_was(&cluster, &uid, &Namespace::from(team), Start::Failed, at(second));
    dispatcher.forget(&uid);
    told
}

/// Two members of one weight, the first of which has failed five jobs of two namespaces.
fn broken() -> Dispatcher {
    let mut dispatcher = dispatcher(&[("a", 1, None), ("b", 1, None)]);
    for (n, team) in ["team-a", "team-b", "team-a", "team-b"].into_iter().enumerate() {
        assert_eq!(fail(&mut dispatcher, "a", &format!("early-{n}"), team, 0), None);
    }
    let opened = fail(&mut dispatcher, "a", "early-5", "team-a", 0);
    assert_eq!(opened, Some(State::Open(Broken { since: at(0), until: Some(at(10)), is_trying: false })));
    dispatcher
}

fn ask(dispatcher: &mut Dispatcher, jobs: std::ops::Range<u32>, second: i64) -> Vec<String> {
    for n in jobs {
        dispatcher.enqueue(applicant(&format!("job-{n:03}"), "etl", 0));
    }
    placed(dispatcher, at(second)).into_iter().map(|(_, cluster)| cluster).collect()
}

#[test]
fn jobs_go_elsewhere_then_one_goes_to_see_then_all_share_again() {
    let mut dispatcher = broken();
    assert_eq!(ask(&mut dispatcher, 0..4, 1), ["b"; 4]);
    assert_eq!(dispatcher.next_wake(), Some(at(10)));
    let again = ask(&mut dispatcher, 4..10, 10);
    assert_eq!(again.iter().filter(|cluster| *cluster == "a").count(), 1, "one to see: {again:?}");
    let trying = dispatcher.breaker(&ClusterName::from("a"), at(10));
    assert!(matches!(trying, State::Open(Broken { is_trying: true, .. })), "{trying:?}");
    let told = dispatcher.driver_was(
        &ClusterName::from("a"),
        &JobUid::from("job-004"),
        &Namespace::from("team-a"),
        Start::Made,
        at(12),
    );
    assert_eq!(told, Some(State::Closed));
    let shared = ask(&mut dispatcher, 10..20, 12);
    assert_eq!(shared.iter().filter(|cluster| *cluster == "a").count(), 5, "no burst either: {shared:?}");
}

#[test]
fn a_job_that_may_go_nowhere_else_waits_and_is_woken_to_see() {
    let mut dispatcher = broken();
    let only = |name: &str| {
        asking(applicant(name, "etl", 0), |asks| asks.constraints.names = vec![ClusterName::from("a")])
    };
    dispatcher.enqueue(only("one"));
    dispatcher.enqueue(only("two"));
    assert!(placed(&mut dispatcher, at(1)).is_empty());
    assert_eq!(outcome(&dispatcher, "one"), "NoClusterReady");
    let Some(Answer::Wait(waits)) = dispatcher.answer(&JobUid::from("one")) else { panic!() };
    assert!(waits.message.contains("a: 5 jobs in a row failed there"), "{}", waits.message);
    let wake = dispatcher.next_wake().unwrap();
    assert_eq!(wake, at(10));
    assert_eq!(placed(&mut dispatcher, wake), [("one".to_owned(), "a".to_owned())]);
    assert_ne!(dispatcher.next_wake(), Some(wake), "not again and again");

    // It is deleted before anybody knows: the other one goes.
    dispatcher.forget(&JobUid::from("one"));
    assert_eq!(placed(&mut dispatcher, at(11)), [("two".to_owned(), "a".to_owned())]);
    // That one fails: the next one waits longer.
    dispatcher.enqueue(only("three"));
    assert_eq!(fail(&mut dispatcher, "a", "two", "team-a", 12), None);
    assert!(placed(&mut dispatcher, at(31)).is_empty());
    assert_eq!(dispatcher.next_wake(), Some(at(32)));
    assert_eq!(placed(&mut dispatcher, at(32)).len(), 1);
}

#[test]
fn a_decision_that_is_taken_back_is_no_try() {
    let mut dispatcher = broken();
    let only =
        asking(applicant("one", "etl", 0), |asks| asks.constraints.names = vec![ClusterName::from("a")]);
    dispatcher.enqueue(only.clone());
    assert_eq!(placed(&mut dispatcher, at(10)).len(), 1);
    dispatcher.withdraw(&JobUid::from("one"), None, Withdrawal::Other, at(11));
    dispatcher.enqueue(only);
    assert_eq!(placed(&mut dispatcher, at(11)).len(), 1);
}

#[test]
fn a_member_that_is_added_anew_and_a_router_that_starts_begin_closed() {
    let mut dispatcher = broken();
    dispatcher.remove_member(&ClusterName::from("a"));
    dispatcher.set_member(ClusterName::from("a"), member(None));
    assert_eq!(dispatcher.breaker(&ClusterName::from("a"), at(1)), State::Closed);
    let both = ask(&mut dispatcher, 0..2, 1);
    assert!(both.contains(&"a".to_owned()), "{both:?}");
}

#[test]
fn what_is_on_record_is_shown_to_who_asks() {
    let mut dispatcher = dispatcher(&[("a", 1, None), ("b", 1, None)]);
    dispatcher.set_broken(&ClusterName::from("a"), at(0));
    let verdicts = dispatcher
        .weigh(&applicant("one", "etl", 0), after(at(0), std::time::Duration::from_hours(1)))
        .unwrap();
    let why = verdicts[0].exclusion.clone().unwrap();
    assert_eq!(why.reason(), "BreakerOpen");
    assert!(!why.in_numbers().contains("not before"), "{}", why.in_numbers());
    assert_eq!(verdicts[1].exclusion, None);
}
