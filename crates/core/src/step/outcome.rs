//! How jobs end without an end of their own, in words.
//!
//! Owns no state.

use jiff::Timestamp;

use super::{Outcome, Snapshot, Step, lifetime::spell};
use crate::{
    application::Application,
    breaker::Start,
    id::RemoteUid,
    job::{Job, Placement, Record, Refused, StopCause, Stopping},
    observe::Observation,
    phase::Phase,
};

pub(super) fn abandoned(record: &Record, placement: &Placement) -> Step {
    Step::Finish(Box::new(Outcome {
        phase: Phase::Failed,
        reason: "Abandoned",
        message: format!("{} was forgotten (spec.forget) with everything placed on it", placement.cluster),
        uid: placement.uid.clone(),
        application: record.application.clone(),
        read_log: false,
        start: Start::Unknown,
    }))
}

/// The end of a job that members refused and that no other one can take.
pub fn refused_by_all(record: &Record) -> Outcome {
    let message = match record.refusals.last() {
        Some(Refused { cluster, message, .. }) => {
            format!("refused by {cluster}, and no other member can take it: {message}")
        }
        None => "no member can take it".to_owned(),
    };
    Outcome {
        phase: Phase::Failed,
        reason: "RejectedByMember",
        message,
        uid: None,
        application: None,
        read_log: false,
        start: Start::Unknown,
    }
}

pub(super) fn whose(seen: &Observation) -> String {
    match &seen.owner {
        Some(owner) => format!("it belongs to attempt {} of job {}", owner.attempt, owner.key),
        None => "it was not created by this router".to_owned(),
    }
}

/// The end of a job whose remote name is in use by something that is not its own.
pub fn name_taken(placement: &Placement, whose: &str) -> Outcome {
    let Placement { cluster, namespace, name, .. } = placement;
    Outcome {
        phase: Phase::Failed,
        reason: "NameTaken",
        message: format!("{namespace}/{name} exists on {cluster} and was not touched: {whose}"),
        uid: None,
        application: None,
        read_log: false,
        start: Start::Unknown,
    }
}

pub(super) fn vanished(job: &Job, uid: &RemoteUid) -> Step {
    let member = job.record.placement.as_ref().map_or("its member", |p| p.cluster.as_str());
    Step::Finish(Box::new(Outcome {
        phase: Phase::Failed,
        reason: "RemoteVanished",
        message: format!(
            "its application (uid {uid}) was deleted on {member} before it ended; it is not run again by itself"
        ),
        uid: Some(uid.clone()),
        application: job.record.application.clone(),
        read_log: false,
        start: Start::Unknown,
    }))
}

/// The end of a job that is cancelled while it has no place.
pub(super) fn cancelled(record: &Record) -> Step {
    let ran = if record.attempt.is_some() { "between two attempts" } else { "before it was placed" };
    unplaced(Phase::Cancelled, StopCause::Cancelled.as_str(), format!("cancelled {ran} (spec.cancel)"))
}

/// The end of a job that has waited for a place for as long as it may.
pub(super) fn never_placed(s: Snapshot<'_>) -> Step {
    let limit = s.job.policy.deadlines.queued.map(spell).unwrap_or_default();
    let message = format!("it waited for a place for {limit} (spec.deadlines.queued)");
    unplaced(Phase::Failed, "QueuedDeadlineExceeded", message)
}

fn unplaced(phase: Phase, reason: &'static str, message: String) -> Step {
    let start = Start::Unknown;
    Step::Finish(Box::new(Outcome {
        phase,
        reason,
        message,
        uid: None,
        application: None,
        read_log: false,
        start,
    }))
}

/// The end of a job that was stopped on a decision, and is proven to run nowhere.
pub(super) fn stopped(record: &Record, placement: &Placement, stopping: &Stopping, now: Timestamp) -> Step {
    let application = record.application.clone();
    let phase = if stopping.cause == StopCause::Cancelled { Phase::Cancelled } else { Phase::Failed };
    Step::Finish(Box::new(Outcome {
        phase,
        reason: stopping.cause.as_str(),
        message: format!("stopped on {}: {}", placement.cluster, stopping.message),
        uid: placement.uid.clone(),
        application: application.map(|it| Application { finished_at: Some(now), ..it }),
        read_log: false,
        start: stopping.cause.start(),
    }))
}
