//! The small world in the core's terms.
//!
//! Owns no state.

use std::time::Duration;

use spark_router_core::{
    application::{self, Application},
    health::LinkState,
    id::Attempt,
    job::{Finished, Job, Left, Past, Placement, Record, Refused, StopCause, Stopping},
    observe::{ExecutorCounts, FailureSign, Observation, Ownership, Remote, RunState},
    policy::{Policy, Retry},
    resources::Resources,
    step::{Confirmed, MemberView, PastView, Trace},
};

use super::names::{NAMES, cluster, uid};
use crate::{
    clock::{ago, now, ticks},
    member::{App, Link, Run, Shown, Spot, View},
    object::{self, End, Mirrored, Object, Placed, Stop},
    router::{Found, Router},
    setup::{Course, Protocol, Setup},
    world::World,
};

/// The placement as the core knows it.
pub(crate) fn placement(placed: Placed) -> Placement {
    let names = &*NAMES;
    Placement {
        cluster: cluster(placed.spot.member),
        identity: names.identities[usize::from(placed.spot.member)].clone(),
        attempt: attempt(placed.spot.attempt),
        namespace: names.namespace.clone(),
        name: names.applications[usize::from(placed.spot.attempt)].clone(),
        uid: placed.uid.map(uid),
        queue: names.queue.clone(),
        remote_queue: None,
        seq: u64::from(placed.seq),
        excluded: Vec::new(),
        at: ago(placed.age),
        demand: Resources::default(),
    }
}

pub(super) fn run_state(run: Run) -> (RunState, &'static str) {
    match run {
        Run::Fresh => (RunState::Accepted, ""),
        Run::Running => (RunState::Running, "RUNNING"),
        Run::Succeeded => (RunState::Succeeded, "COMPLETED"),
        Run::Failed => (RunState::Failed(FailureSign::Application), "FAILED"),
        Run::DriverLost => (RunState::Failed(FailureSign::DriverLost), "FAILED, NO DRIVER"),
        Run::Doubled(_) => (RunState::Failed(FailureSign::DriverExists), "FAILED, DRIVER EXISTS"),
    }
}

pub(super) fn observation(app: App, number: u8) -> Observation {
    let names = &*NAMES;
    let (run, native_state) = run_state(app.run);
    Observation {
        name: names.applications[usize::from(number)].clone(),
        uid: uid(app.uid),
        owner: app.ours.then(|| Ownership {
            hub: names.hub.clone(),
            job: names.job.clone(),
            key: names.key.clone(),
            attempt: attempt(number),
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
        running_since: None,
        terminated_at: None,
        executions: 1,
        executors: ExecutorCounts::default(),
        driver_pod: None,
        ui_address: None,
        error: None,
    }
}

pub(super) fn mirrored(record: Mirrored) -> Application {
    let app = App { uid: 0, ours: true, run: record.run, deleting: false, held: true, hung: false };
    let before = Application { started_at: record.started.map(ago), ..Application::default() };
    let mut mirrored = application::mirror(&observation(app, 0), Some(&before), now());
    mirrored.started_at = before.started_at;
    mirrored
}

pub(super) fn job(object: &Object, setup: &Setup) -> Job {
    let names = &*NAMES;
    let record = &object.record;
    let unlatched = (object.cancel && !setup.protocol.latches).then_some(Stop::Cancelled);
    let refusals = (0..).zip(record.refused).filter(|(_, refused)| *refused);
    Job {
        key: names.key.clone(),
        uid: names.job.clone(),
        created: now(),
        deleting: object.deleting.then(now),
        held: object.held,
        abandoned: object.abandoned,
        request: Ok(names.request.clone()),
        policy: policy(object, &setup.course),
        record: Record {
            phase: record.phase,
            placement: record.placement.map(placement),
            attempt: record.attempts.checked_sub(1).map(attempt),
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
            stopping: record.stopping.or(unlatched).map(|stop| Stopping {
                cause: cause(stop),
                message: String::new(),
                at: now(),
            }),
            finished: record
                .finished
                .map(|(end, age)| Finished { at: ago(age), succeeded: end == End::Succeeded }),
            suspension: None,
            outdated: object.outdated,
            retries: u32::from(record.retries),
            past: record.past.into_iter().flatten().map(past).collect(),
            avoided: Vec::new(),
            not_before: None,
            waiting_since: None,
        },
    }
}

pub(super) fn confirmed(found: Found, attempt: u8) -> Confirmed {
    match found {
        Found::Nothing => Confirmed::Nothing,
        Found::Gone => Confirmed::Gone,
        Found::Present(app) => Confirmed::Present(Box::new(observation(app, attempt))),
    }
}

pub(super) fn remote(router: &Router, placed: Placed) -> Remote {
    if router.memory.retired {
        return Remote::Absent;
    }
    match shown(router, placed.spot) {
        Remote::Present(mut seen) => {
            seen.held &= !router.memory.released;
            Remote::Present(seen)
        }
        other => other,
    }
}

/// What the view shows of one attempt.
fn shown(router: &Router, spot: Spot) -> Remote {
    match router.views[usize::from(spot.member)].of(spot.attempt) {
        Shown::Unknown => Remote::Unknown,
        Shown::Absent => Remote::Absent,
        Shown::App(app) => Remote::Present(Box::new(observation(app, spot.attempt))),
    }
}

/// A member as the core knows it.
pub(super) fn member(world: &World, member: u8) -> MemberView {
    let member = &world.members[usize::from(member)];
    MemberView { link: link(member.link), usable: true, forgotten: false, drained: member.drained }
}

/// The past attempts on record, and what is shown of them.
pub(super) fn past_views(
    world: &World,
    router: &Router,
    object: &Object,
    protocol: &Protocol,
) -> Vec<PastView> {
    let rows = object.record.past.into_iter().flatten();
    rows.map(|row| PastView {
        past: past(row),
        member: Some(member(world, row.spot.member)),
        remote: shown(router, row.spot),
        retention: ticks(protocol.retention),
    })
    .collect()
}

fn past(row: object::Past) -> Past {
    let names = &*NAMES;
    Past {
        attempt: attempt(row.spot.attempt),
        cluster: cluster(row.spot.member),
        identity: names.identities[usize::from(row.spot.member)].clone(),
        namespace: names.namespace.clone(),
        name: names.applications[usize::from(row.spot.attempt)].clone(),
        uid: row.uid.map(uid),
        at: ago(row.age),
        left: if row.may_run { Left::MayRun } else { Left::Ended },
    }
}

fn attempt(number: u8) -> Attempt {
    Attempt(u32::from(number) + 1)
}

fn cause(stop: Stop) -> StopCause {
    match stop {
        Stop::RanTooLong => StopCause::RanTooLong,
        Stop::Cancelled => StopCause::Cancelled,
        Stop::MemberLost => StopCause::MemberLost,
        Stop::Drained => StopCause::Drained,
    }
}

fn policy(object: &Object, course: &Course) -> Policy {
    // The next attempt is due at once: a pass that is made later covers a wait.
    let retry =
        Retry { max_attempts: u32::from(course.retries) + 1, initial: Duration::ZERO, ..Retry::default() };
    Policy { cancel: object.cancel, retry, on_member_lost: course.on_member_lost, ..Policy::default() }
}

/// The other member has shown nothing yet.
pub(super) fn unheard(router: &Router, placed: Placed) -> bool {
    router.views[usize::from(1 - placed.spot.member)] == View::Unknown
}

/// What members show of a job that this process did not place.
pub(super) fn traces(router: &Router) -> Vec<Trace> {
    let shown =
        Spot::all().filter_map(|spot| match router.views[usize::from(spot.member)].of(spot.attempt) {
            Shown::App(app) if app.ours => Some((spot, app)),
            Shown::App(_) | Shown::Absent | Shown::Unknown => None,
        });
    let names = &*NAMES;
    shown
        .map(|(spot, app)| Trace {
            cluster: cluster(spot.member),
            identity: names.identities[usize::from(spot.member)].clone(),
            namespace: names.namespace.clone(),
            seen: observation(app, spot.attempt),
        })
        .collect()
}

fn link(link: Link) -> LinkState {
    // Since when it is silent is told to people only.
    match link {
        Link::Ready => LinkState::Ready,
        Link::Suspect => LinkState::Suspect { since: now() },
        Link::Lost => LinkState::Lost { since: now() },
    }
}

/// The record as the core knows it.
pub(crate) fn record_of(object: &Object, setup: &Setup) -> Record {
    job(object, setup).record
}

/// Its state proves that nothing of it runs.
pub(crate) fn proves_end(app: App) -> bool {
    run_state(app.run).0.proves_end()
}
