//! What the core says, as the small world's records hold it.
//!
//! Owns no state.

use spark_router_core::{
    application::Application,
    id::{Attempt, ClusterName},
    job::{Past, StopCause, Stopping},
    step::{Mirror, Outcome, Trace},
};

use super::{
    names::{NAMES, number},
    tell::run_state,
};
use crate::{
    clock::age_of,
    member::{Driver, Run, Spot},
    object::{End, Mirrored, Record, Stop},
};

fn unmirrored(application: &Application) -> Mirrored {
    let doubled = Run::Doubled(Driver::Alive);
    let runs = [Run::Fresh, Run::Running, Run::Succeeded, Run::Failed, Run::DriverLost, doubled];
    let run = runs.into_iter().find(|run| run_state(*run).1 == application.state).unwrap_or(Run::Fresh);
    Mirrored { run, started: application.started_at.map(age_of) }
}

/// Where a trace is, and its application.
pub(crate) fn traced(trace: &Trace) -> (Spot, u8) {
    let attempt = trace.owner().map_or(Attempt::FIRST, |owner| owner.attempt);
    (spot(&trace.cluster, attempt), number(&trace.seen.uid))
}

/// Where a past attempt is.
pub(crate) fn spot_of(past: &Past) -> Spot {
    spot(&past.cluster, past.attempt)
}

fn spot(cluster: &ClusterName, attempt: Attempt) -> Spot {
    let attempt = u8::try_from(attempt.0.saturating_sub(1)).unwrap_or(0);
    Spot { member: u8::from(*cluster == NAMES.clusters[1]), attempt }
}

/// Why the core wants it stopped.
pub(crate) fn latched(stopping: &Stopping) -> Stop {
    match stopping.cause {
        StopCause::Cancelled => Stop::Cancelled,
        StopCause::MemberLost => Stop::MemberLost,
        StopCause::Drained => Stop::Drained,
        StopCause::RanTooLong | StopCause::RunDeadline | StopCause::StartDeadline | StopCause::Other => {
            Stop::RanTooLong
        }
    }
}

/// What the core wants mirrored, as the record holds it.
pub(crate) fn mirror(before: &Record, mirror: &Mirror) -> Record {
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
        "Cancelled" => End::Cancelled,
        "Abandoned" => End::Abandoned,
        _ => End::Failed,
    };
    next.phase = Some(outcome.phase);
    if end != End::Abandoned {
        next.unreachable = false;
    }
    next.stopping = None;
    next.finished = Some((end, 0));
    next
}
