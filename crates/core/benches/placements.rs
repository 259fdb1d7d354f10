//! Placements a second on one core, reasons included: 1,000 members, 50 queues, jobs that come and go.
//!
//! `cargo bench -p spark-router-core`. One item is the whole life of a job: it asks, a pass decides, the decision is
//! read, committed, dispatched, submitted, seen, and the oldest job ends. Beside the candidates each queue routes to five
//! members that take nothing, each for a reason of its own.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a bench ends at what it did not expect")]

use std::{collections::BTreeMap, collections::VecDeque, sync::Arc};

use divan::{Bencher, counter::ItemsCount};
use jiff::Timestamp;
use spark_router_core::{
    dispatch::{Answer, Applicant, Checkpoint, Dispatcher},
    health::LinkState,
    id::{Attempt, ClusterName, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName},
    job::{Constraints, Placement, Request},
    place::{MemberFacts, QueueFacts, Route, Taint},
    resources::{Capacity, Resources},
    selector::Selector,
};

const QUEUES: usize = 50;
/// Members that are candidates of some queue; the rest of the thousand is excluded everywhere.
const OPEN: usize = 800;
const EXCLUDED: usize = 5;
/// Jobs in flight.
const ALIVE: usize = 1000;
/// Lives in one measured step.
const STEP: usize = 200;

fn main() {
    divan::main();
}

/// As the number of jobs grows that wait beside: none of them finds room.
#[divan::bench(args = [0, 10_000, 1_000_000], sample_count = 200)]
fn beside_waiting_jobs(bencher: Bencher<'_, '_>, waiting: usize) {
    measure(bencher, Steady::new(20, waiting));
}

/// As the number of candidates of a queue grows.
#[divan::bench(args = [5, 10, 20, 40, 80], sample_count = 200)]
fn among_candidates(bencher: Bencher<'_, '_>, candidates: usize) {
    measure(bencher, Steady::new(candidates, 0));
}

fn measure(bencher: Bencher<'_, '_>, mut steady: Steady) {
    bencher.counter(ItemsCount::new(STEP)).bench_local(move || {
        for _ in 0..STEP {
            steady.live();
        }
    });
}

/// A fleet at work.
struct Steady {
    dispatcher: Dispatcher,
    /// Jobs to come, in a ring.
    jobs: Vec<Applicant>,
    next: usize,
    alive: VecDeque<JobUid>,
    now: Timestamp,
}

impl Steady {
    fn new(candidates: usize, waiting: usize) -> Self {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let mut dispatcher = Dispatcher::default();
        dispatcher.set_namespace(Namespace::from("team"), Some(BTreeMap::new()));
        for n in 0..OPEN + QUEUES * EXCLUDED {
            dispatcher.set_member(cluster(n), facts(n, now));
        }
        for queue in 0..QUEUES {
            let facts = QueueFacts::over(queue_name(queue), routes(queue, candidates));
            dispatcher.set_queue(facts, Some(Selector::default()), Checkpoint::default());
        }
        for n in 0..OPEN {
            let demand = Resources { jobs: 1, pods: 10, cpu_milli: 10_000, memory_bytes: 1 << 34 };
            let uid = JobUid::new(format!("base-{n}"));
            dispatcher.restore(
                &uid,
                &Namespace::from("team"),
                &placed_on(&cluster(n), n % QUEUES, demand),
                false,
            );
        }
        dispatcher.replay();
        for n in 0..waiting {
            // Twenty shapes a queue, none of which fits beside what is there.
            let cpu_milli = 95_000 + u64::try_from(n / QUEUES % 20).unwrap();
            dispatcher.enqueue(applicant(&format!("waiting-{n}"), n % QUEUES, cpu_milli, now));
        }
        while dispatcher.next_wake().is_some_and(|at| at <= now) {
            dispatcher.pass(now);
        }
        assert_eq!(dispatcher.pass(now).decided, []);
        let jobs = (0..2 * ALIVE).map(|n| applicant(&format!("job-{n}"), n % QUEUES, 100, now)).collect();
        let mut steady = Self { dispatcher, jobs, next: 0, alive: VecDeque::new(), now };
        for _ in 0..ALIVE {
            steady.live();
        }
        steady
    }

    /// A job comes and is placed; once enough are alive, the oldest ends.
    fn live(&mut self) {
        let job = self.jobs[self.next].clone();
        self.next = (self.next + 1) % self.jobs.len();
        if self.alive.len() == ALIVE
            && let Some(oldest) = self.alive.pop_front()
        {
            self.dispatcher.forget(&oldest);
        }
        let (uid, owner) = (job.uid.clone(), job.key.namespace.clone());
        self.dispatcher.enqueue(job);
        let passed = self.dispatcher.pass(self.now);
        assert_eq!(passed.decided.len(), 1);
        let Some(Answer::Place(decision)) = self.dispatcher.answer(&uid) else { panic!("there is room") };
        let placement = Placement {
            cluster: decision.cluster,
            identity: decision.identity,
            attempt: Attempt::FIRST,
            namespace: decision.namespace,
            name: RemoteName::from("remote"),
            uid: None,
            queue: decision.queue,
            remote_queue: decision.remote_queue,
            seq: decision.seq,
            excluded: decision.choice.excluded().cloned().collect(),
            at: decision.at,
            demand: decision.demand,
        };
        self.dispatcher.committed(&uid, &owner, &placement);
        self.dispatcher.dispatched(&uid);
        self.dispatcher.submitted(&uid);
        self.dispatcher.seen(&uid, self.now);
        self.alive.push_back(uid);
    }
}

fn cluster(n: usize) -> ClusterName {
    ClusterName::new(format!("member-{n:04}"))
}

fn queue_name(n: usize) -> QueueName {
    QueueName::new(format!("queue-{n:02}"))
}

/// A member with room, or one of five that take nothing.
fn facts(n: usize, now: Timestamp) -> MemberFacts {
    let capacity = Capacity {
        jobs: Some(1000),
        cpu_milli: Some(100_000),
        memory_bytes: Some(1 << 40),
        ..Capacity::default()
    };
    let mut facts = MemberFacts { capacity, ..MemberFacts::ready(MemberIdentity::new(format!("id-{n}"))) };
    facts.labels =
        BTreeMap::from([("region".to_owned(), "eu".to_owned()), ("tier".to_owned(), "gold".to_owned())]);
    facts.spark_versions = Arc::new(["3.5".to_owned(), "4.0".to_owned()]);
    match n.checked_sub(OPEN).map(|n| n % EXCLUDED) {
        None => {}
        Some(0) => facts.cordoned = true,
        Some(1) => facts.link = LinkState::Suspect { since: now },
        Some(2) => facts.taints = vec![Taint { key: "gpu".into(), value: String::new() }],
        Some(3) => facts.spark_versions = Arc::new(["2.4".to_owned()]),
        Some(_) => facts.capacity.jobs = Some(0),
    }
    facts
}

fn routes(queue: usize, candidates: usize) -> Vec<Route> {
    let open =
        (0..candidates).map(|n| ((queue * OPEN / QUEUES + n) % OPEN, 1 + u32::try_from(n % 7).unwrap()));
    let shut = (0..EXCLUDED).map(|n| (OPEN + queue * EXCLUDED + n, 1));
    open.chain(shut)
        .map(|(n, weight)| Route {
            capacity: Capacity { cpu_milli: Some(100_000), ..Capacity::default() },
            ..Route::to([cluster(n)], weight)
        })
        .collect()
}

fn applicant(name: &str, queue: usize, cpu_milli: u64, created: Timestamp) -> Applicant {
    Applicant {
        uid: JobUid::from(name),
        key: JobKey { namespace: Namespace::from("team"), name: name.to_owned() },
        created,
        request: Arc::new(Request {
            queue: queue_name(queue),
            priority: 0,
            constraints: Constraints {
                labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
                ..Constraints::default()
            },
            spark_version: "3.5.4".into(),
            expressed: <_>::default(),
            sub_queue: None,
            demand: Resources { jobs: 1, pods: 3, cpu_milli, memory_bytes: 1 << 30 },
            parts: 0,
            spec_hash: String::new(),
        }),
        refused: Vec::new(),
    }
}

fn placed_on(cluster: &ClusterName, queue: usize, demand: Resources) -> Placement {
    Placement {
        cluster: cluster.clone(),
        identity: MemberIdentity::from("id"),
        attempt: Attempt::FIRST,
        namespace: Namespace::from("team"),
        name: RemoteName::from("remote"),
        uid: None,
        queue: queue_name(queue),
        remote_queue: None,
        seq: 0,
        excluded: Vec::new(),
        at: Timestamp::UNIX_EPOCH,
        demand,
    }
}
