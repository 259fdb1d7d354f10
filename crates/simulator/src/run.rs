//! The clock and its events.
//!
//! Owns the virtual time and the jobs in it. A job arrives, is placed, is submitted by its member's operator after some
//! time, has its pods after some more, runs, and ends. A pass follows whatever happens in one instant, and every time at
//! which the dispatcher asks to be woken. Must never look inside the dispatcher to help it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use spark_router_core::{
    dispatch::{Answer, Applicant, Decision, Dispatcher},
    id::{Attempt, ClusterName, JobKey, JobUid, Namespace, QueueName, RemoteName},
    job::Placement,
    resources::Resources,
};

use crate::{
    Error,
    account::Account,
    fleet::Fleet,
    report::{Outcome, Unplaced},
    trace::Arrival,
};

/// Passes at one instant that decide nothing; more are a defect.
const IDLE_PASSES: u32 = 100_000;
/// Wakes in a row without any decision and with nothing running, after which what waits is said to be unplaced.
const IDLE_WAKES: u32 = 1000;

/// How members take their time.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From the placement until the member's operator has submitted the job.
    pub submitted_after: Duration,
    /// From there until all its pods are there.
    pub running_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { submitted_after: Duration::from_secs(2), running_after: Duration::from_secs(15) }
    }
}

/// How far a simulation has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Jobs that have arrived.
    pub arrived: u64,
    /// Jobs that were placed.
    pub placed: u64,
    /// Time since the first arrival, on the virtual clock.
    pub clock: Duration,
}

/// What happens to a placed job next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Submitted,
    Running,
    Over,
}

struct Waiting {
    arrival: Arrival,
    uid: JobUid,
}

struct Live {
    uid: JobUid,
    queue: QueueName,
    namespace: Namespace,
    cluster: ClusterName,
    demand: Resources,
    duration: Duration,
}

struct Simulation<'a> {
    dispatcher: Dispatcher,
    settings: Settings,
    account: Account,
    fleet: &'a Fleet,
    start: Timestamp,
    now: Timestamp,
    /// Namespaces that the dispatcher knows.
    namespaces: HashSet<Namespace>,
    waiting: HashMap<u64, Waiting>,
    live: HashMap<u64, Live>,
    events: BinaryHeap<Reverse<(Timestamp, u64, Stage)>>,
    arrived: u64,
    placed: u64,
}

/// Runs jobs, which come in order of their arrival, over a fleet.
///
/// # Errors
/// Where there is nothing to run, and where the dispatcher turns in circles.
pub fn run(
    fleet: &Fleet,
    jobs: impl IntoIterator<Item = Arrival>,
    settings: Settings,
    mut progress: impl FnMut(Progress),
) -> Result<Outcome, Error> {
    if fleet.members.is_empty() {
        return Err(Error::Nothing("MemberCluster"));
    }
    if fleet.queues.is_empty() {
        return Err(Error::Nothing("SparkQueue"));
    }
    let began = Instant::now();
    let mut jobs = jobs.into_iter().peekable();
    let start = jobs.peek().ok_or(Error::NoJobs)?.at;
    let mut simulation = Simulation {
        dispatcher: fleet.dispatcher(),
        settings,
        account: Account::over(fleet),
        fleet,
        start,
        now: start,
        namespaces: HashSet::new(),
        waiting: HashMap::new(),
        live: HashMap::new(),
        events: BinaryHeap::new(),
        arrived: 0,
        placed: 0,
    };
    let (mut idle_wakes, mut steps) = (0u32, 0u64);
    loop {
        let event = simulation.events.peek().map(|Reverse((at, ..))| *at);
        let next = [event, jobs.peek().map(|job| job.at)].into_iter().flatten().min();
        let wake = simulation.dispatcher.next_wake();
        if next.is_none() {
            idle_wakes += 1;
            if wake.is_none() || idle_wakes > IDLE_WAKES || simulation.waiting.is_empty() {
                break;
            }
        }
        let Some(at) = [next, wake].into_iter().flatten().min() else { break };
        // Never backwards: a wake may lie in the past.
        simulation.now = simulation.now.max(at);
        while let Some(job) = jobs.next_if(|job| job.at <= simulation.now) {
            simulation.arrive(job);
        }
        simulation.happen();
        if simulation.passes()? {
            idle_wakes = 0;
        }
        steps += 1;
        if steps.is_multiple_of(1024) {
            let Simulation { arrived, placed, .. } = simulation;
            progress(Progress { arrived, placed, clock: simulation.clock() });
        }
    }
    Ok(simulation.finish(began.elapsed()))
}

impl Simulation<'_> {
    fn clock(&self) -> Duration {
        Duration::try_from(self.now.duration_since(self.start)).unwrap_or_default()
    }

    fn arrive(&mut self, arrival: Arrival) {
        let number = self.arrived;
        self.arrived += 1;
        if self.namespaces.insert(arrival.namespace.clone()) {
            let labels = self.fleet.labels_of(&arrival.namespace);
            self.dispatcher.set_namespace(arrival.namespace.clone(), Some(labels));
        }
        self.account.arrived(&arrival.request.queue, &arrival.namespace, self.clock());
        let waiting = Waiting { arrival, uid: JobUid::new(number.to_string()) };
        self.dispatcher.enqueue(applicant(number, &waiting));
        self.waiting.insert(number, waiting);
    }

    /// What is due on members.
    fn happen(&mut self) {
        while let Some(Reverse((at, number, stage))) =
            self.events.peek().copied().filter(|Reverse((at, ..))| *at <= self.now)
        {
            self.events.pop();
            let Some(job) = self.live.get(&number) else { continue };
            let mut then = |after: Duration, stage| {
                let at = at.checked_add(after).unwrap_or(Timestamp::MAX);
                self.events.push(Reverse((at, number, stage)));
            };
            match stage {
                Stage::Submitted => {
                    then(self.settings.running_after, Stage::Running);
                    self.dispatcher.submitted(&job.uid);
                }
                Stage::Running => {
                    then(job.duration, Stage::Over);
                    self.dispatcher.seen(&job.uid, at);
                }
                Stage::Over => {
                    self.dispatcher.forget(&job.uid);
                    let clock = self.clock();
                    if let Some(Live { queue, namespace, cluster, demand, .. }) = self.live.remove(&number) {
                        self.account.ended((&queue, &namespace), &cluster, demand, clock);
                    }
                }
            }
        }
    }

    /// Passes until nothing more is decided in this instant. Whether anything was.
    fn passes(&mut self) -> Result<bool, Error> {
        let (mut any, mut idle) = (false, 0);
        loop {
            let passed = self.dispatcher.pass(self.now);
            let decided = !passed.decided.is_empty();
            for (uid, _) in passed.decided {
                self.commit(&uid);
            }
            for (uid, _) in passed.rephrased {
                // Whoever was turned away may get in line now; for the others it changes nothing.
                if let Some((number, waiting)) =
                    number_of(&uid).and_then(|n| Some((n, self.waiting.get(&n)?)))
                {
                    self.dispatcher.enqueue(applicant(number, waiting));
                }
            }
            any |= decided;
            idle = if decided { 0 } else { idle + 1 };
            if self.dispatcher.next_wake().is_none_or(|at| at > self.now) {
                return Ok(any);
            }
            if idle > IDLE_PASSES {
                return Err(Error::Stuck(self.now));
            }
        }
    }

    fn commit(&mut self, uid: &JobUid) {
        let Some(Answer::Place(decision)) = self.dispatcher.answer(uid) else { return };
        let Some((number, Waiting { arrival, uid })) =
            number_of(uid).and_then(|number| Some((number, self.waiting.remove(&number)?)))
        else {
            return;
        };
        let arrived = Duration::try_from(arrival.at.duration_since(self.start)).unwrap_or_default();
        self.account.placed(&decision, &arrival.namespace, arrived, self.clock());
        self.placed += 1;
        self.dispatcher.committed(&uid, &arrival.namespace, &on_record(&decision));
        self.dispatcher.dispatched(&uid);
        let at = self.now.checked_add(self.settings.submitted_after).unwrap_or(Timestamp::MAX);
        self.events.push(Reverse((at, number, Stage::Submitted)));
        let Decision { queue, cluster, demand, .. } = *decision;
        let Arrival { namespace, duration, .. } = arrival;
        self.live.insert(number, Live { uid, queue, namespace, cluster, demand, duration });
    }

    fn finish(mut self, took: Duration) -> Outcome {
        let end = self.clock();
        self.account.close(end);
        let mut unplaced: BTreeMap<&'static str, Unplaced> = BTreeMap::new();
        let mut left: Vec<_> = self.waiting.iter().collect();
        left.sort_by_key(|(number, _)| **number);
        for (_, waiting) in left {
            let Some(Answer::Wait(waits)) = self.dispatcher.answer(&waiting.uid) else { continue };
            let message = waits.message;
            let reason = unplaced.entry(waits.reason).or_insert(Unplaced { jobs: 0, message });
            reason.jobs += 1;
        }
        Outcome::of(self.account, self.arrived, self.placed, unplaced, end, took)
    }
}

fn applicant(number: u64, waiting: &Waiting) -> Applicant {
    let Waiting { arrival, uid } = waiting;
    Applicant {
        uid: uid.clone(),
        // As wide as the largest number, so that the order of names is the order of arrival.
        key: JobKey { namespace: arrival.namespace.clone(), name: format!("job-{number:07}") },
        created: arrival.at,
        request: arrival.request.clone(),
        refused: Vec::new(),
    }
}

fn number_of(uid: &JobUid) -> Option<u64> {
    uid.as_str().parse().ok()
}

/// The decision as the hub would record it.
fn on_record(decision: &Decision) -> Placement {
    Placement {
        cluster: decision.cluster.clone(),
        identity: decision.identity.clone(),
        attempt: Attempt::FIRST,
        namespace: decision.namespace.clone(),
        name: RemoteName::from("simulated"),
        uid: None,
        queue: decision.queue.clone(),
        remote_queue: decision.remote_queue.clone(),
        seq: decision.seq,
        excluded: Vec::new(),
        at: decision.at,
        demand: decision.demand,
    }
}
