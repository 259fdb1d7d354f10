//! The small world in the core's terms.
//!
//! Owns no state.

use spark_router_core::{
    application::{self, Application},
    health::LinkState,
    id::Attempt,
    job::{Finished, Job, Placement, Refused, StopCause, Stopping},
    observe::{ExecutorCounts, FailureSign, Observation, Ownership, Remote, RunState},
    policy::Policy,
    resources::Resources,
    step::{Confirmed, Trace},
};

use super::names::{NAMES, cluster, uid};
use crate::{
    clock::{ago, now},
    member::{App, Link, Run, View},
    object::{End, Mirrored, Object, Placed},
    router::{Found, Router},
};

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

pub(super) fn observation(app: App) -> Observation {
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

pub(super) fn mirrored(record: Mirrored) -> Application {
    let app = App { uid: 0, ours: true, run: record.run, deleting: false, held: true, hung: false };
    let before = Application { started_at: record.started.map(ago), ..Application::default() };
    let mut mirrored = application::mirror(&observation(app), Some(&before), now());
    mirrored.started_at = before.started_at;
    mirrored
}

pub(super) fn job(object: &Object) -> Job {
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

pub(super) fn confirmed(found: Found) -> Confirmed {
    match found {
        Found::Nothing => Confirmed::Nothing,
        Found::Gone => Confirmed::Gone,
        Found::Present(app) => Confirmed::Present(Box::new(observation(app))),
    }
}

pub(super) fn remote(router: &Router, placed: Placed) -> Remote {
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

/// The other member has shown nothing yet.
pub(super) fn unheard(router: &Router, placed: Placed) -> bool {
    router.views[usize::from(1 - placed.member)] == View::Unknown
}

/// What members show of a job that this process did not place.
pub(super) fn traces(router: &Router) -> Vec<Trace> {
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

pub(super) fn link(link: Link) -> LinkState {
    // Since when it is silent is told to people only.
    match link {
        Link::Ready => LinkState::Ready,
        Link::Suspect => LinkState::Suspect { since: now() },
        Link::Lost => LinkState::Lost { since: now() },
    }
}

/// The record as the core knows it.
pub(crate) fn record_of(object: &Object) -> spark_router_core::job::Record {
    job(object).record
}
