//! What the core says, as the small world's records hold it.
//!
//! Owns no state.

use spark_router_core::{
    application::Application,
    step::{Mirror, Outcome, Trace},
};

use super::{
    names::{NAMES, number},
    tell::run_state,
};
use crate::{
    clock::age_of,
    member::{Driver, Run},
    object::{End, Mirrored, Record},
};

fn unmirrored(application: &Application) -> Mirrored {
    let doubled = Run::Doubled(Driver::Alive);
    let runs = [Run::Fresh, Run::Running, Run::Succeeded, Run::Failed, Run::DriverLost, doubled];
    let run = runs.into_iter().find(|run| run_state(*run).1 == application.state).unwrap_or(Run::Fresh);
    Mirrored { run, started: application.started_at.map(age_of) }
}

/// The member and the application of a trace.
pub(crate) fn traced(trace: &Trace) -> (u8, u8) {
    (u8::from(trace.cluster == NAMES.clusters[1]), number(&trace.seen.uid))
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
