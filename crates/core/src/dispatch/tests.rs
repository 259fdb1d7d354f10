//! The dispatcher from the outside: what is asked, what is answered.

mod age;
mod basics;
mod between;
mod broken;
mod called_in;
mod hold_scope;
mod holds;
mod many_shapes;
mod order;
mod pace;
mod properties;
mod restored;
mod signals;
mod tiers;

use super::*;
use crate::{
    id::{Attempt, RemoteName},
    job::{Constraints, Placement},
    place::{QueueFacts, QueueLimits, Route},
    selector::Selector,
};

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

/// So many seconds after [`now`].
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

pub(super) fn member(jobs: Option<u64>) -> MemberFacts {
    let capacity = Capacity { jobs, ..Capacity::default() };
    MemberFacts { capacity, ..MemberFacts::ready(MemberIdentity::from("id")) }
}

/// A member of so many cores.
pub(super) fn cores(cores: u64) -> MemberFacts {
    let capacity = Capacity { cpu_milli: Some(cores * 1000), ..Capacity::default() };
    MemberFacts { capacity, ..MemberFacts::ready(MemberIdentity::from("id")) }
}

pub(super) fn queue(name: &str, weights: &[(&str, u32)]) -> QueueFacts {
    let routes = weights.iter().map(|(cluster, weight)| Route::to([ClusterName::from(*cluster)], *weight));
    QueueFacts::over(QueueName::from(name), routes.collect())
}

pub(super) fn applicant(name: &str, queue: &str, priority: i32) -> Applicant {
    Applicant {
        uid: JobUid::from(name),
        key: JobKey { namespace: Namespace::from("team-a"), name: name.to_owned() },
        created: now(),
        request: Arc::new(Request {
            queue: QueueName::from(queue),
            priority,
            constraints: Constraints::default(),
            spark_version: "3.5.4".into(),
            expressed: <_>::default(),
            sub_queue: None,
            demand: Resources { jobs: 1, pods: 2, cpu_milli: 2000, memory_bytes: 1 },
            parts: 0,
            spec_hash: String::new(),
        }),
        refused: Vec::new(),
    }
}

/// With another request.
pub(super) fn asking(mut applicant: Applicant, change: impl FnOnce(&mut Request)) -> Applicant {
    change(Arc::make_mut(&mut applicant.request));
    applicant
}

/// Of another namespace.
pub(super) fn of(mut applicant: Applicant, namespace: &str) -> Applicant {
    applicant.key.namespace = Namespace::from(namespace);
    applicant
}

/// Members with room for that many jobs each, one queue `etl` over all of them with the given weights.
pub(super) fn dispatcher(members: &[(&str, u32, Option<u64>)]) -> Dispatcher {
    let mut dispatcher = Dispatcher::default();
    for team in ["team-a", "team-b", "team-c"] {
        dispatcher.set_namespace(Namespace::from(team), Some(BTreeMap::new()));
    }
    for (name, _, jobs) in members {
        dispatcher.set_member(ClusterName::from(*name), member(*jobs));
    }
    let weights: Vec<_> = members.iter().map(|(name, weight, _)| (*name, *weight)).collect();
    open(&mut dispatcher, queue("etl", &weights));
    dispatcher
}

/// Sets a queue that admits everybody.
pub(super) fn open(dispatcher: &mut Dispatcher, facts: QueueFacts) {
    dispatcher.set_queue(facts, Some(Selector::default()), Checkpoint::default());
}

pub(super) fn place(dispatcher: &mut Dispatcher, name: &str) -> Answer {
    dispatcher.enqueue(applicant(name, "etl", 0));
    dispatcher.pass(now());
    dispatcher.answer(&JobUid::from(name)).unwrap()
}

/// Puts a decision on record.
pub(super) fn commit(dispatcher: &mut Dispatcher, uid: &JobUid) -> Placement {
    let Some(Answer::Place(decision)) = dispatcher.answer(uid) else { panic!("{uid} is not decided") };
    let placement = placement(&decision);
    dispatcher.committed(uid, &decision.key.namespace, &placement);
    placement
}

/// The jobs that a pass decides.
pub(super) fn decided(dispatcher: &mut Dispatcher, now: Timestamp) -> Vec<JobUid> {
    dispatcher.pass(now).decided.into_iter().map(|(uid, _)| uid).collect()
}

/// The jobs that a pass decides, with their members.
pub(super) fn placed(dispatcher: &mut Dispatcher, now: Timestamp) -> Vec<(String, String)> {
    let decided = decided(dispatcher, now);
    let place = |uid: &JobUid| match dispatcher.answer(uid) {
        Some(Answer::Place(decision)) => (uid.to_string(), decision.cluster.to_string()),
        other => panic!("{uid} is decided and told {other:?}"),
    };
    decided.iter().map(place).collect()
}

/// The member, or the word for why not.
pub(super) fn outcome(dispatcher: &Dispatcher, name: &str) -> String {
    cluster(&dispatcher.answer(&JobUid::from(name)).unwrap()).to_owned()
}

pub(super) fn cluster(answer: &Answer) -> &str {
    match answer {
        Answer::Place(decision) => decision.cluster.as_str(),
        Answer::Wait(waits) => waits.reason,
    }
}

pub(super) fn placement(decision: &Decision) -> Placement {
    Placement {
        cluster: decision.cluster.clone(),
        identity: decision.identity.clone(),
        attempt: Attempt::FIRST,
        namespace: decision.namespace.clone(),
        name: RemoteName::from("x"),
        uid: None,
        queue: decision.queue.clone(),
        remote_queue: decision.remote_queue.clone(),
        seq: decision.seq,
        excluded: decision.choice.excluded().cloned().collect(),
        at: decision.at,
        demand: decision.demand,
    }
}
