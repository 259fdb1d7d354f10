//! Stopping what runs of a job, on its owner's decision or the router's own.
//!
//! Owns no state. A decision is on record before anything is stopped, and nothing takes it back; an end of its own that
//! came first is recorded as what it was. Only the fence ends an attempt that is stopped.

use super::{Confirmed, Snapshot, Step, ending, is_ours, lifetime, outcome, placed, requeue, settled_at};
use crate::{
    job::{Placement, StopCause, Stopping},
    observe::{Observation, Remote},
};

/// The decision that is due now, to be put on record.
pub(super) fn due(s: Snapshot<'_>, placement: &Placement) -> Option<Stopping> {
    let (cause, message) = if s.job.policy.cancel {
        (StopCause::Cancelled, "its owner asked for it (spec.cancel)".to_owned())
    } else {
        lifetime::overdue(s, placement)?
    };
    Some(Stopping { cause, message, at: s.now })
}

/// A job whose stop is on record goes to the fence, as a deletion does.
pub(super) fn carry_out(s: Snapshot<'_>, placement: &Placement, stopping: &Stopping) -> Step {
    let shown = match s.remote {
        Remote::Present(seen) => Some(seen),
        Remote::Unknown | Remote::Unsettled { .. } | Remote::Absent => None,
    };
    let read = match s.confirmed {
        Confirmed::Present(seen) => Some(seen),
        Confirmed::Nothing | Confirmed::Gone => None,
    };
    // Also where the decision came before its uid was on record.
    let uid = placement.uid.as_ref().or(s.sends.accepted.as_ref().map(|(uid, _)| uid));
    let ended = [read, shown].into_iter().flatten();
    // Another router's create, of which only the labels tell.
    let is_it =
        |seen: &Observation| uid.map_or_else(|| is_ours(s.job, placement, seen), |uid| *uid == seen.uid);
    let mut ended = ended.filter(|seen| is_it(seen) && seen.ended_by_itself());
    if let Some(seen) = ended.next() {
        return placed::present(s, placement, seen);
    }
    if s.fenced {
        return after_the_fence(s, placement, stopping);
    }
    if s.member.is_some_and(|m| m.forgotten) {
        return outcome::abandoned(&s.job.record, placement);
    }
    ending::out_of_reach(s.member).unwrap_or_else(|| Step::Stop { settled_at: settled_at(s, placement) })
}

fn after_the_fence(s: Snapshot<'_>, placement: &Placement, stopping: &Stopping) -> Step {
    if stopping.cause.is_move() {
        return requeue::fenced(s, placement, stopping);
    }
    let again =
        stopping.cause.class().and_then(|class| requeue::again_after_stop(s, placement, stopping, class));
    again.unwrap_or_else(|| outcome::stopped(&s.job.record, placement, stopping, s.now))
}
