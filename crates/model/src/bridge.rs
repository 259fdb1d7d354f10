//! Between the small world and the core: a router's part of the world becomes a snapshot, and the step that the core
//! names for it becomes something to do in the world.
//!
//! Owns no state but the names that everything is called by. Must never decide anything itself: what is asked is the
//! core's own [`step`] and [`after_refusal`].

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use spark_router_core::{
    application::{self, Application},
    health::LinkState,
    id::{
        Attempt, ClusterName, HubId, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName,
        RemoteUid,
    },
    job::{Constraints, Finished, Job, Placement, Refused, Request, StopCause, Stopping},
    observe::{ExecutorCounts, FailureSign, Observation, Ownership, Remote, RunState},
    policy::Policy,
    refusal::{Refusal, RefusalClass},
    resources::Resources,
    step::{
        Confirmed, DriverSeen, Elsewhere, MemberView, Outcome, Sends, Snapshot, Step, Timing, Trace,
        after_refusal, step,
    },
};

use crate::{
    setup::Protocol,
    world::{
        Age, App, Driver, End, Found, Link, MEMBERS, Mirrored, Object, Pending, Placed, Record, Router, Run,
        View, World,
    },
};

/// One tick in the core's time.
const TICK: SignedDuration = SignedDuration::from_secs(1);
/// Highest number of a uid that has a name.
const UIDS: u8 = 32;

struct Names {
    key: JobKey,
    job: JobUid,
    hub: HubId,
    clusters: [ClusterName; MEMBERS],
    identities: [MemberIdentity; MEMBERS],
    namespace: Namespace,
    application: RemoteName,
    queue: QueueName,
    uids: Vec<RemoteUid>,
    request: Arc<Request>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let namespace = Namespace::from("spark");
    let queue = QueueName::from("q");
    Names {
        key: JobKey { namespace: namespace.clone(), name: "job".to_owned() },
        job: JobUid::from("job"),
        hub: HubId::from("hub"),
        clusters: [ClusterName::from("m0"), ClusterName::from("m1")],
        identities: [MemberIdentity::from("id0"), MemberIdentity::from("id1")],
        namespace,
        application: RemoteName::from("job-1"),
        queue: queue.clone(),
        uids: (0..UIDS).map(|uid| RemoteUid::new(uid.to_string())).collect(),
        request: Arc::new(Request {
            queue,
            priority: 0,
            constraints: Constraints::default(),
            spark_version: "3.5".into(),
            sub_queue: None,
            parts: 0,
            demand: Resources::default(),
            spec_hash: String::new(),
        }),
    }
});

/// The time of every decision. What happened before lies as many ticks back as its age says.
fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn ago(age: Age) -> Timestamp {
    now().checked_sub(TICK * i32::from(age)).unwrap_or(Timestamp::MIN)
}

/// A number of ticks.
pub(crate) fn ticks(ticks: Age) -> Duration {
    Duration::from_secs(u64::from(ticks))
}

fn uid(number: u8) -> RemoteUid {
    NAMES.uids[usize::from(number % UIDS)].clone()
}

/// The number of a uid that a step names.
pub(crate) fn number(uid: &RemoteUid) -> u8 {
    uid.as_str().parse().unwrap_or(0)
}

fn cluster(member: u8) -> ClusterName {
    NAMES.clusters[usize::from(member)].clone()
}

/// The placement as the core knows it.
pub(crate) fn placement(placed: Placed) -> Placement {
    let names = &*NAMES;
    Placement {
        cluster: cluster(placed.member),
        identity: names.identities[usize::from(placed.member)].clone(),
        attempt: Attempt::FIRST,
        namespace: names.namespace.clone(),
        name: names.application.clone(),
        uid: placed.uid.map(uid),
        queue: names.queue.clone(),
        remote_queue: None,
        seq: u64::from(placed.seq),
        excluded: Vec::new(),
        at: ago(placed.age),
        demand: Resources::default(),
    }
}

fn run_state(run: Run) -> (RunState, &'static str) {
    match run {
        Run::Fresh => (RunState::Accepted, ""),
        Run::Running => (RunState::Running, "RUNNING"),
        Run::Succeeded => (RunState::Succeeded, "COMPLETED"),
        Run::Failed => (RunState::Failed(FailureSign::Application), "FAILED"),
        Run::DriverLost => (RunState::Failed(FailureSign::DriverLost), "FAILED, NO DRIVER"),
        Run::Doubled(_) => (RunState::Failed(FailureSign::DriverExists), "FAILED, DRIVER EXISTS"),
    }
}

fn observation(app: App) -> Observation {
    let names = &*NAMES;
    let (run, native_state) = run_state(app.run);
    Observation {
        name: names.application.clone(),
        uid: uid(app.uid),
        owner: app.ours.then(|| Ownership {
            hub: names.hub.clone(),
            job: names.job.clone(),
            key: names.key.clone(),
            attempt: Attempt::FIRST,
            seq: 0,
            render_hash: String::new(),
        }),
        deleting: app.deleting,
        held: app.held,
        suspend: false,
        run,
        native_state: native_state.to_owned(),
        application_id: None,
        submission_id: None,
        submitted_at: None,
        terminated_at: None,
        executions: 1,
        executors: ExecutorCounts::default(),
        driver_pod: None,
        ui_address: None,
        error: None,
    }
}

fn mirrored(record: Mirrored) -> Application {
    let app = App { uid: 0, ours: true, run: record.run, deleting: false, held: true, hung: false };
    let before = Application { started_at: record.started.map(ago), ..Application::default() };
    let mut mirrored = application::mirror(&observation(app), Some(&before), now());
    mirrored.started_at = before.started_at;
    mirrored
}

fn unmirrored(application: &Application) -> Mirrored {
    let doubled = Run::Doubled(Driver::Alive);
    let runs = [Run::Fresh, Run::Running, Run::Succeeded, Run::Failed, Run::DriverLost, doubled];
    let run = runs.into_iter().find(|run| run_state(*run).1 == application.state).unwrap_or(Run::Fresh);
    let age = |at: Timestamp| {
        let seconds = now().duration_since(at).as_secs();
        Age::try_from(seconds).unwrap_or(Age::MAX)
    };
    Mirrored { run, started: application.started_at.map(age) }
}

fn job(object: &Object) -> Job {
    let names = &*NAMES;
    let record = &object.record;
    let refusals = (0..).zip(record.refused).filter(|(_, refused)| *refused);
    Job {
        key: names.key.clone(),
        uid: names.job.clone(),
        created: now(),
        deleting: object.deleting.then(now),
        held: object.held,
        abandoned: object.abandoned,
        request: Ok(names.request.clone()),
        policy: Policy::default(),
        record: spark_router_core::job::Record {
            phase: record.phase,
            placement: record.placement.map(placement),
            attempt: record.placement.map(|_| Attempt::FIRST),
            refusals: refusals
                .map(|(member, _)| Refused {
                    cluster: cluster(member),
                    reason: String::new(),
                    message: String::new(),
                    at: now(),
                })
                .collect(),
            application: record.application.map(mirrored),
            unreachable: record.unreachable,
            stopping: record.stopping.then(|| Stopping {
                cause: StopCause::RanTooLong,
                message: String::new(),
                at: now(),
            }),
            finished: record
                .finished
                .map(|(end, age)| Finished { at: ago(age), succeeded: end == End::Succeeded }),
            suspension: None,
            outdated: object.outdated,
            retries: 0,
            past: Vec::new(),
            avoided: Vec::new(),
            not_before: None,
            waiting_since: None,
        },
    }
}

fn confirmed(found: Found) -> Confirmed {
    match found {
        Found::Nothing => Confirmed::Nothing,
        Found::Gone => Confirmed::Gone,
        Found::Present(app) => Confirmed::Present(Box::new(observation(app))),
    }
}

fn remote(router: &Router, placed: Placed) -> Remote {
    if router.memory.retired {
        return Remote::Absent;
    }
    match router.views[usize::from(placed.member)] {
        View::Unknown => Remote::Unknown,
        View::Absent => Remote::Absent,
        View::Shows(app) => {
            let held = app.held && !router.memory.released;
            Remote::Present(Box::new(observation(App { held, ..app })))
        }
    }
}

/// What a router does next, as the core says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// A step.
    Step(Step),
    /// A refusal that may not be believed yet.
    NotYet,
}

/// Asks the core what the router does next for the job that it knows.
pub(crate) fn ask(world: &World, router: &Router, object: &Object, protocol: &Protocol) -> Next {
    let job = job(object);
    let placed = object.record.placement;
    let remote = placed.map_or(Remote::Unknown, |placed| remote(router, placed));
    let member = placed.map(|placed| MemberView {
        link: link(world.members[usize::from(placed.member)].link),
        usable: true,
        forgotten: false,
        drained: false,
    });
    let memory = &router.memory;
    let sends = Sends {
        placed_here: memory.placed_here,
        claimed: memory.claimed || !protocol.claims,
        last: memory.sent.then(|| ago(memory.unanswered.unwrap_or(0))),
        unanswered: memory.unanswered.map(ago),
        accepted: memory.accepted.map(|(number, age)| (uid(number), ago(age))),
        not_before: None,
        looked: None,
    };
    let found = match router.pending {
        Pending::Confirmed(found) | Pending::Refused { found, .. } => found,
        Pending::None | Pending::Taken | Pending::Looked(_) => Found::Nothing,
    };
    let driver = match router.pending {
        Pending::Looked(Driver::Alive) => DriverSeen::Alive,
        Pending::Looked(Driver::Succeeded) => DriverSeen::Succeeded,
        Pending::Looked(Driver::Failed) => DriverSeen::Failed(FailureSign::Application, String::new()),
        Pending::Looked(Driver::Gone) => DriverSeen::Gone,
        Pending::None | Pending::Confirmed(_) | Pending::Refused { .. } | Pending::Taken => {
            DriverSeen::Nothing
        }
    };
    let confirmed = confirmed(found);
    let inherited = object.record.finished.is_none() && !memory.placed_here;
    let traces = if inherited { traces(router) } else { Vec::new() };
    let elsewhere =
        Elsewhere { past: Vec::new(), traces, unheard: placed.is_some_and(|placed| unheard(router, placed)) };
    let timing: Timing = protocol.timing();
    let suspects = world.members.iter().filter(|member| member.link == Link::Suspect).count();
    let snapshot = Snapshot {
        job: &job,
        remote: &remote,
        member,
        sends: &sends,
        confirmed: &confirmed,
        driver: &driver,
        fenced: memory.fenced,
        elsewhere: &elsewhere,
        leading_since: ago(router.leading),
        mirrored_at: None,
        retention: ticks(protocol.retention),
        fleet_in_doubt: suspects * 2 > MEMBERS,
        frozen_until: None,
        longest_run: protocol.longest_run.map(ticks),
        expires: None,
        hold_fire_until: None,
        timing: &timing,
        now: now(),
    };
    match (router.pending, &job.record.placement) {
        (Pending::Refused { judged, .. }, Some(placement)) => {
            let class = if judged { RefusalClass::Job } else { RefusalClass::Capacity };
            let refusal = Refusal { class, reason: "Refused", message: String::new() };
            after_refusal(snapshot, placement, refusal).map_or(Next::NotYet, Next::Step)
        }
        _ => Next::Step(step(snapshot)),
    }
}

/// The other member has shown nothing yet.
fn unheard(router: &Router, placed: Placed) -> bool {
    router.views[usize::from(1 - placed.member)] == View::Unknown
}

/// What members show of a job that this process did not place.
fn traces(router: &Router) -> Vec<Trace> {
    let shown = (0_u8..).zip(router.views).filter_map(|(member, view)| match view {
        View::Shows(app) if app.ours => Some((member, app)),
        View::Shows(_) | View::Absent | View::Unknown => None,
    });
    let names = &*NAMES;
    shown
        .map(|(member, app)| Trace {
            cluster: cluster(member),
            identity: names.identities[usize::from(member)].clone(),
            namespace: names.namespace.clone(),
            seen: observation(app),
        })
        .collect()
}

/// The member and the application of a trace.
pub(crate) fn traced(trace: &Trace) -> (u8, u8) {
    (u8::from(trace.cluster == NAMES.clusters[1]), number(&trace.seen.uid))
}

fn link(link: Link) -> LinkState {
    // Since when it is silent is told to people only.
    match link {
        Link::Ready => LinkState::Ready,
        Link::Suspect => LinkState::Suspect { since: now() },
        Link::Lost => LinkState::Lost { since: now() },
    }
}

/// Whether that time has come.
pub(crate) fn has_come(at: Timestamp) -> bool {
    at <= now()
}

/// The record as the core knows it.
pub(crate) fn record_of(object: &Object) -> spark_router_core::job::Record {
    job(object).record
}

/// What the core wants mirrored, as the record holds it.
pub(crate) fn mirror(before: &Record, mirror: &spark_router_core::step::Mirror) -> Record {
    let mut next = *before;
    next.phase = Some(mirror.phase);
    next.unreachable = false;
    next.application = Some(unmirrored(&mirror.application));
    if let Some(placed) = &mut next.placement {
        placed.uid = Some(number(&mirror.uid));
    }
    next
}

/// An end, as the record holds it.
pub(crate) fn finish(before: &Record, outcome: &Outcome) -> Record {
    let mut next = *before;
    if let (Some(placed), Some(uid)) = (&mut next.placement, &outcome.uid) {
        placed.uid = Some(number(uid));
    }
    if let Some(application) = &outcome.application {
        next.application = Some(unmirrored(application));
    }
    let end = match outcome.reason {
        "JobSucceeded" => End::Succeeded,
        "DriverLost" => End::DriverLost,
        "RemoteVanished" => End::Vanished,
        "NameTaken" => End::NameTaken,
        "RejectedByMember" => End::Rejected,
        "RanTooLong" => End::Stopped,
        "Abandoned" => End::Abandoned,
        _ => End::Failed,
    };
    next.phase = Some(outcome.phase);
    if end != End::Abandoned {
        next.unreachable = false;
    }
    next.stopping = false;
    next.finished = Some((end, 0));
    next
}
