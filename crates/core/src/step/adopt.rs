//! What members show of a job whose record says nothing of it.
//!
//! Owns no state. A hub that was restored, or copied, shows a job as it was before it was placed; its application goes on
//! all the same. What a member shows was created by a placement that was on record then, so it is put back on record,
//! and the job is never placed beside it. Must never take up anything that is not newer than the record: what is older
//! was fenced, or is left to be stopped.

use super::Snapshot;
use crate::{
    id::{Attempt, ClusterName, MemberIdentity, Namespace},
    observe::{Observation, Ownership},
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
    if record.placement.is_some() {
        return None;
    }
    let attempt =
        |trace: &Trace| trace.owner().filter(|owner| owner.job == s.job.uid).map(|owner| owner.attempt);
    let known = record.attempt.unwrap_or(Attempt(0));
    let newer = s.elsewhere.traces.iter().filter(|trace| attempt(trace).is_some_and(|it| it > known));
    newer.max_by(|a, b| {
        let rank = |trace: &Trace| (attempt(trace), !trace.seen.run.is_terminal());
        rank(a).cmp(&rank(b)).then_with(|| b.cluster.cmp(&a.cluster))
    })
}
