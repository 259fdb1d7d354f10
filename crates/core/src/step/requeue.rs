//! An attempt that is over and followed by another: retries after failures, and moves away from a member.
//!
//! Owns no state. A retry follows an end that proves that nothing of the attempt runs; a move follows a fence, except
//! where the job's owner allows that it runs twice. A move is no retry and uses up none. How often and when is counted
//! on record, so that a restart neither forgets nor renews it.

use std::time::Duration;

use jiff::Timestamp;

use super::{DriverSeen, Snapshot, Step, is_ours, later, lifetime::spell, may_withdraw_unsent};
use crate::{
    application::Application,
    breaker::Start,
    health::LinkState,
    id::RemoteUid,
    job::{Left, Placement, Stage, StopCause, Stopping},
    observe::{FailureSign, Observation, Remote, RunState},
    policy::{FailureClass, OnMemberLost},
};

/// The end of an attempt that is not the end of the job.
#[derive(Clone, Debug, PartialEq)]
pub struct Requeue {
    /// How the attempt ended, in the words of the history: Failed, Stopped or Abandoned.
    pub outcome: &'static str,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, and what comes next, in words.
    pub message: String,
    /// The application's uid, where there is one.
    pub uid: Option<RemoteUid>,
    /// Its fields, where it was seen.
    pub application: Option<Application>,
    /// What is left of the attempt on its member.
    pub left: Option<Left>,
    /// It counts as one of the attempts that the job's owner allows.
    pub is_retry: bool,
    /// The next attempt is not made before this.
    pub not_before: Option<Timestamp>,
    /// What the end says of the member.
    pub start: Start,
}

/// Another attempt after a failure that proves the end of this one; `None` where there is to be none.
pub(super) fn again(
    s: Snapshot<'_>,
    placement: &Placement,
    seen: &Observation,
    application: &Application,
    (sign, message, start): (FailureSign, &str, Start),
) -> Option<Step> {
    let wait = allowed(s, sign.class()?)?;
    Some(Step::Requeue(Box::new(Requeue {
        outcome: "Failed",
        reason: sign.reason(),
        message: announce(s, placement, message, wait),
        uid: Some(seen.uid.clone()),
        application: Some(application.clone()),
        left: Some(Left::Ended),
        is_retry: true,
        not_before: Some(later(s.now, wait)),
        start,
    })))
}

/// Another attempt after one that was stopped for a reason that counts as a failure of this class.
pub(super) fn again_after_stop(
    s: Snapshot<'_>,
    placement: &Placement,
    stopping: &Stopping,
    class: FailureClass,
) -> Option<Step> {
    let wait = allowed(s, class)?;
    Some(Step::Requeue(Box::new(Requeue {
        outcome: "Stopped",
        reason: stopping.cause.as_str(),
        message: announce(s, placement, &stopping.message, wait),
        is_retry: true,
        not_before: Some(later(s.now, wait)),
        start: stopping.cause.start(),
        ..gone(s, placement)
    })))
}

/// The move that was on record, now that nothing of the attempt runs.
pub(super) fn fenced(s: Snapshot<'_>, placement: &Placement, stopping: &Stopping) -> Step {
    Step::Requeue(Box::new(Requeue {
        outcome: "Stopped",
        reason: stopping.cause.as_str(),
        message: format!("moves away from {}: {}", placement.cluster, stopping.message),
        ..gone(s, placement)
    }))
}

/// The step towards a move, where the member of the placement gives cause for one.
pub(super) fn moved(s: Snapshot<'_>, placement: &Placement) -> Option<Step> {
    let member = s.member?;
    match member.link {
        LinkState::Lost { since } => left_behind(s, placement, since),
        LinkState::Ready if member.usable => {
            let back = s.job.record.unreachable && s.job.policy.on_member_lost == OnMemberLost::FenceThenMove;
            if back {
                return returned(s, placement);
            }
            let leaves = member.drained && has_not_started(s, placement);
            leaves.then(|| {
                latch(s, StopCause::Drained, format!("{} is drained (spec.drain)", placement.cluster))
            })
        }
        LinkState::Ready | LinkState::Connecting | LinkState::Suspect { .. } => None,
    }
}

/// The member is lost and the job's owner would rather have it run twice than wait.
fn left_behind(s: Snapshot<'_>, placement: &Placement, since: Timestamp) -> Option<Step> {
    let frozen = s.frozen_until.is_some_and(|until| s.now < until);
    let allowed = s.job.policy.on_member_lost == OnMemberLost::AllowDuplicate;
    if !allowed || frozen || s.fleet_in_doubt || may_withdraw_unsent(s, placement) {
        return None;
    }
    let cluster = &placement.cluster;
    Some(Step::Requeue(Box::new(Requeue {
        outcome: "Abandoned",
        reason: StopCause::MemberLost.as_str(),
        message: format!(
            "{cluster} does not answer since {since}, and spec.failover.onMemberLost is AllowDuplicate: it runs elsewhere, \
             although it may still run on {cluster}; what is there is stopped when {cluster} is back"
        ),
        left: Some(Left::MayRun),
        ..gone(s, placement)
    })))
}

/// The member is back. An attempt that runs or is over is kept; one that did not get to run is fenced and moves.
fn returned(s: Snapshot<'_>, placement: &Placement) -> Option<Step> {
    let idle = match s.remote {
        Remote::Unknown | Remote::Unsettled { .. } => false,
        Remote::Absent => never_seen(s, placement),
        Remote::Present(seen) if !is_ours(s.job, placement, seen) => false,
        Remote::Present(seen) => match seen.run {
            RunState::Accepted => true,
            RunState::Submitted => match s.driver {
                DriverSeen::Nothing => return Some(Step::Examine),
                DriverSeen::Gone => true,
                DriverSeen::Unseen(_)
                | DriverSeen::Alive
                | DriverSeen::Waiting(..)
                | DriverSeen::Succeeded
                | DriverSeen::Failed(..) => false,
            },
            _ => false,
        },
    };
    idle.then(|| {
        let cluster = &placement.cluster;
        latch(s, StopCause::MemberLost, format!("{cluster} was lost, and the job had not begun to run there"))
    })
}

/// Nothing of it was ever seen running, and it is not known to be about to end.
fn has_not_started(s: Snapshot<'_>, placement: &Placement) -> bool {
    let ran = s.job.record.application.as_ref().is_some_and(|it| it.started_at.is_some());
    match s.remote {
        _ if ran => false,
        Remote::Unknown | Remote::Unsettled { .. } => false,
        Remote::Absent => never_seen(s, placement),
        Remote::Present(seen) => {
            // What its owner holds back has no driver to lose, whatever ran before.
            let is_held = seen.run == RunState::Suspended
                && s.job.record.suspension.is_some_and(|it| it.stage == Stage::Asked);
            let is_early = seen.executions <= 1
                && matches!(seen.run, RunState::Accepted | RunState::Submitted | RunState::Suspended);
            is_ours(s.job, placement, seen) && (is_held || is_early)
        }
    }
}

/// No application of it was ever seen; one that was and is not there any more is another matter.
fn never_seen(s: Snapshot<'_>, placement: &Placement) -> bool {
    placement.uid.is_none() && s.sends.accepted.is_none()
}

fn latch(s: Snapshot<'_>, cause: StopCause, message: String) -> Step {
    Step::Latch(Box::new(Stopping { cause, message, at: s.now }))
}

fn allowed(s: Snapshot<'_>, class: FailureClass) -> Option<Duration> {
    let policy = &s.job.policy;
    // A decision that ends the job stands, also where its cause is gone by now.
    let is_over = s.job.record.stopping.as_ref().is_some_and(|stopping| stopping.cause.ends_the_job());
    if policy.cancel || is_over { None } else { policy.retry.after(class, s.job.record.retries) }
}

fn announce(s: Snapshot<'_>, placement: &Placement, message: &str, wait: Duration) -> String {
    let (attempt, most) = (s.job.record.retries.saturating_add(1), s.job.policy.retry.max_attempts);
    format!(
        "attempt {attempt} of {most} on {}: {message}; the next one in {}",
        placement.cluster,
        spell(wait)
    )
}

/// An attempt of which nothing is left.
fn gone(s: Snapshot<'_>, placement: &Placement) -> Requeue {
    Requeue {
        outcome: "Stopped",
        reason: StopCause::Other.as_str(),
        message: String::new(),
        uid: placement.uid.clone(),
        application: s.job.record.application.clone(),
        left: None,
        is_retry: false,
        not_before: None,
        start: Start::Unknown,
    }
}
