//! What a member's own quota or scheduler says, and our own demand that it cannot show yet.

use super::*;
use crate::{
    place::{BatchScheduler, Exclusion, RouteSignal},
    signal::{Observed, Room},
};

fn room(cpu: u64) -> Room {
    let capacity = |cpu: u64| Capacity { cpu_milli: Some(cpu * 1000), ..Capacity::default() };
    Room { free: capacity(cpu), most: capacity(100), closed: None }
}

fn over(signal: RouteSignal, scheduler: Option<BatchScheduler>) -> Dispatcher {
    let mut d = dispatcher(&[("a", 1, None)]);
    d.set_member(ClusterName::from("a"), MemberFacts { batch_scheduler: scheduler, ..member(None) });
    let mut facts = queue("etl", &[("a", 1)]);
    facts.routes[0].signal = Some(signal);
    open(&mut d, facts);
    d
}

fn quotas(rooms: &[(&str, Room)], at: Timestamp) -> Arc<Signals> {
    let value = rooms.iter().map(|(name, room)| (Namespace::from(*name), room.clone())).collect();
    Arc::new(Signals { quotas: Some(Observed { value, at }), ..Signals::default() })
}

fn yunikorn(rooms: &[(&str, Room)], at: Timestamp) -> Arc<Signals> {
    let value = rooms.iter().map(|(name, room)| (Arc::from(*name), room.clone())).collect();
    Arc::new(Signals { yunikorn: Some(Observed { value, at }), ..Signals::default() })
}

fn tell(d: &mut Dispatcher, signals: Arc<Signals>) {
    d.set_signals(&ClusterName::from("a"), signals);
}

#[test]
fn what_others_took_is_not_there() {
    let mut d = over(RouteSignal::ResourceQuota, None);
    tell(&mut d, quotas(&[("team-a", room(1))], now()));
    let Answer::Wait(waits) = place(&mut d, "one") else { panic!("a job needs two cores") };
    assert_eq!(waits.reason, "NoCapacity");
    assert_eq!(
        waits.message,
        "no member has room now: a: the ResourceQuota of the namespace there of 100 cpu is in use"
    );
    let exclusion = d.weigh(&applicant("one", "etl", 0), now()).unwrap().remove(0).exclusion.unwrap();
    assert_eq!(
        exclusion.in_numbers(),
        "the ResourceQuota of the namespace there: needs 2 cpu, 1 of 100 free"
    );
    tell(&mut d, quotas(&[("team-a", room(2))], at(1)));
    assert_eq!(decided(&mut d, at(1)), [JobUid::from("one")]);
    d.enqueue(of(applicant("free", "etl", 0), "team-b"));
    assert_eq!(decided(&mut d, at(1)), [JobUid::from("free")], "a namespace without a quota is not limited");
}

#[test]
fn our_own_demand_counts_until_the_signal_shows_it() {
    let mut d = over(RouteSignal::ResourceQuota, None);
    tell(&mut d, quotas(&[("team-a", room(4))], now()));
    for n in 0..3 {
        d.enqueue(applicant(&format!("job-{n}"), "etl", 0));
    }
    let through = decided(&mut d, now());
    assert_eq!(through.len(), 2, "there is room for two");
    for uid in &through {
        commit(&mut d, uid);
        d.dispatched(uid);
    }
    // The quota was read again before their pods were there.
    tell(&mut d, quotas(&[("team-a", room(4))], at(1)));
    assert!(decided(&mut d, at(1)).is_empty());
    // One has its pods now, and the quota shows them.
    d.seen(&through[0], at(2));
    tell(&mut d, quotas(&[("team-a", room(2))], at(3)));
    assert!(decided(&mut d, at(3)).is_empty(), "two cores are free, and the other's are on their way");
    d.seen(&through[1], at(4));
    tell(&mut d, quotas(&[("team-a", room(2))], at(5)));
    assert_eq!(decided(&mut d, at(5)), [JobUid::from("job-2")], "somebody else's ended");
}

#[test]
fn a_yunikorn_queue_has_no_more_than_those_above_it() {
    let mut d = over(RouteSignal::YuniKorn, Some(BatchScheduler::YuniKorn));
    let tree = |leaf, parent| {
        yunikorn(&[("root", room(50)), ("root.etl", room(parent)), ("root.etl.daily", room(leaf))], now())
    };
    let ask = |d: &mut Dispatcher, name: &str| {
        d.enqueue(asking(applicant(name, "etl", 0), |request| request.sub_queue = Some("daily".into())));
        d.pass(now());
        outcome(d, name)
    };
    tell(&mut d, tree(10, 1));
    assert_eq!(ask(&mut d, "one"), "NoCapacity");
    tell(&mut d, tree(10, 5));
    assert_eq!(ask(&mut d, "one"), "a");
    let Some(Answer::Place(decision)) = d.answer(&JobUid::from("one")) else { panic!("it is decided") };
    assert_eq!(decision.remote_queue.as_deref(), Some("root.etl.daily"));
    assert_eq!(ask(&mut d, "two"), "a");
    d.enqueue(applicant("parent", "etl", 0));
    d.pass(now());
    assert_eq!(outcome(&d, "parent"), "NoCapacity", "what is on its way below counts above");
}

#[test]
fn yunikorn_shows_what_is_there_only_after_a_while() {
    let mut d = over(RouteSignal::YuniKorn, Some(BatchScheduler::YuniKorn));
    let tree = |free, at| yunikorn(&[("root", room(50)), ("root.etl", room(free))], at);
    tell(&mut d, tree(3, now()));
    assert_eq!(cluster(&place(&mut d, "one")), "a");
    commit(&mut d, &JobUid::from("one"));
    d.seen(&JobUid::from("one"), at(1));
    tell(&mut d, tree(3, at(3)));
    d.enqueue(applicant("two", "etl", 0));
    assert!(decided(&mut d, at(3)).is_empty(), "its pods are there, and YuniKorn may not count them yet");
    tell(&mut d, tree(3, at(5)));
    assert_eq!(decided(&mut d, at(5)), [JobUid::from("two")]);
}

#[test]
fn a_queue_that_is_closed_or_missing_takes_nothing_and_says_why() {
    let mut d = over(RouteSignal::YuniKorn, Some(BatchScheduler::YuniKorn));
    let closed = Room { closed: Some("it is Draining".into()), ..room(9) };
    tell(&mut d, yunikorn(&[("root", room(9)), ("root.etl", closed)], now()));
    let Answer::Wait(waits) = place(&mut d, "one") else { panic!("it is closed") };
    assert_eq!(waits.reason, "NoClusterReady");
    assert!(
        waits.message.ends_with("a: its YuniKorn queue takes nothing: it is Draining"),
        "{}",
        waits.message
    );
    tell(&mut d, yunikorn(&[("root", room(9))], now()));
    d.pass(now());
    let exclusion = |d: &Dispatcher| d.weigh(&applicant("one", "etl", 0), now()).unwrap().remove(0).exclusion;
    assert_eq!(
        exclusion(&d).unwrap().to_string(),
        "its YuniKorn queue takes nothing: there is no queue root.etl"
    );
    let dynamic =
        MemberFacts { batch_scheduler: Some(BatchScheduler::YuniKorn), dynamic_queues: true, ..member(None) };
    d.set_member(ClusterName::from("a"), dynamic);
    assert_eq!(exclusion(&d), None, "it is made when the first job names it");
}

#[test]
fn a_stale_signal_falls_back_to_what_is_declared_and_else_to_nothing() {
    let mut d = over(RouteSignal::Kueue { cluster_queue: "etl-cq".into() }, Some(BatchScheduler::Kueue));
    let kueue = |cpu, at| {
        let value = BTreeMap::from([(Arc::from("etl-cq"), room(cpu))]);
        Arc::new(Signals { kueue: Some(Observed { value, at }), ..Signals::default() })
    };
    d.enqueue(applicant("one", "etl", 0));
    d.pass(now());
    let Some(Answer::Wait(waits)) = d.answer(&JobUid::from("one")) else { panic!("nothing is known") };
    assert_eq!(waits.reason, "SignalStale");
    tell(&mut d, kueue(1, now()));
    d.pass(at(1));
    assert_eq!(outcome(&d, "one"), "NoCapacity");
    tell(&mut d, kueue(9, now()));
    assert!(decided(&mut d, at(31)).is_empty(), "it was read more than 30 s ago");
    let exclusion = d.weigh(&applicant("one", "etl", 0), at(31)).unwrap().remove(0).exclusion.unwrap();
    assert_eq!(exclusion, Exclusion::SignalStale { kind: "Kueue", at: Some(now()) });
    let declared = MemberFacts { batch_scheduler: Some(BatchScheduler::Kueue), ..member(Some(1)) };
    d.set_member(ClusterName::from("a"), declared);
    assert_eq!(decided(&mut d, at(31)), [JobUid::from("one")]);
    d.enqueue(applicant("two", "etl", 0));
    assert!(decided(&mut d, at(31)).is_empty(), "and what is declared holds");
}
