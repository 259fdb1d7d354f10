//! What members show of a job whose record says nothing of it.
//!
//! Owns no state. A hub that was restored, or copied, shows a job as it was before it was placed, or at a place that was
//! taken back since; its application goes on all the same. What a member shows was created by a placement that was on record then, so it is put back on record,
//! and the job is never placed beside it. Must never take up anything that is not newer than the record: what is older
//! was fenced, or is left to be stopped.

use jiff::Timestamp;

use super::{Snapshot, is_ours, settled_at};
use crate::{
    id::{Attempt, ClusterName, MemberIdentity, Namespace},
    job::Placement,
    observe::{Observation, Ownership, Remote},
};

/// An application of the job on a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The member.
    pub cluster: ClusterName,
    /// Who that is.
    pub identity: MemberIdentity,
    /// Where it is there.
    pub namespace: Namespace,
    /// The application.
    pub seen: Observation,
}

impl Trace {
    /// Whose it is, as written inside the create.
    pub fn owner(&self) -> Option<&Ownership> {
        self.seen.owner.as_ref()
    }
}

/// The newest attempt that is shown and newer than the record; of two of one number the one that is not over, then the
/// first by its member's name.
pub(super) fn newest(s: Snapshot<'_>) -> Option<&Trace> {
    let record = &s.job.record;
    let attempt =
        |trace: &Trace| trace.owner().filter(|owner| owner.job == s.job.uid).map(|owner| owner.attempt);
    let known = record.attempt.unwrap_or(Attempt(0));
    let newer = s.elsewhere.traces.iter().filter(|trace| {
        attempt(trace).is_some_and(|it| match &record.placement {
            None => it > known,
            Some(placement) => {
                it > placement.attempt || (it == placement.attempt && went_there(s, placement, trace))
            }
        })
    });
    newer.max_by(|a, b| {
        let rank = |trace: &Trace| (attempt(trace), !trace.seen.run.is_terminal());
        rank(a).cmp(&rank(b)).then_with(|| b.cluster.cmp(&a.cluster))
    })
}

/// The placement on record was taken back since it was recorded, and the job went there instead: a placement taken back
/// uses up no attempt, so the number is the same. Not where its own application is known, or was sent from here.
fn went_there(s: Snapshot<'_>, placement: &Placement, trace: &Trace) -> bool {
    let unconfirmed = !s.sends.placed_here && s.sends.accepted.is_none() && placement.uid.is_none();
    let is_its_own = trace.identity == placement.identity && trace.namespace == placement.namespace;
    let shown = matches!(s.remote, Remote::Present(seen) if is_ours(s.job, placement, seen));
    unconfirmed && !is_its_own && !shown
}

/// Until when a placement that another process made is not created: as long as a member that may run the job by a later
/// placement has shown nothing at all, though not longer than a create of a former leader needs to settle.
pub(super) fn hear_first(s: Snapshot<'_>, placement: &Placement) -> Option<Timestamp> {
    let settled = settled_at(s, placement);
    (!s.sends.placed_here && s.elsewhere.unheard && s.now < settled).then_some(settled)
}
