//! A placed job that lives: created, mirrored, brought to its end.
//!
//! Owns no state. What a member's view shows is believed, what it does not show is only a hint.

use jiff::Timestamp;

use super::{
    Cause, Confirmed, DriverSeen, Mirror, Outcome, Snapshot, Step, Trouble, is_ours, later,
    may_withdraw_unsent, name_may_go_at, outcome, requeue, settled_at,
};
use crate::{
    application::{self, Application},
    health::LinkState,
    job::{Job, Placement},
    observe::{FailureSign, Observation, RunState},
    phase::Phase,
    refusal::{Refusal, RefusalClass},
};

/// What a definite refusal of a create leads to. `None`: an earlier create may still take effect, so the same create is
/// sent again when that time is over, and its answer counts.
///
/// A refusal speaks of the create that it answers and of no other: admission comes before "already exists", so a name
/// that an earlier, unanswered create has taken is answered with "exceeded quota" too. Where there may be such a create,
/// a quorum read decides.
pub fn after_refusal(s: Snapshot<'_>, placement: &Placement, refusal: Refusal) -> Option<Step> {
    if s.now < settled_at(s, placement) {
        return None;
    }
    if s.sends.unanswered.is_some() || !s.sends.placed_here {
        match s.confirmed {
            Confirmed::Gone => {}
            Confirmed::Nothing => return Some(Step::Confirm),
            Confirmed::Present(seen) => return Some(present(s, placement, seen)),
        }
    }
    let refused_before = s.job.record.refusals.iter().filter(|r| r.cluster != placement.cluster).count();
    if refusal.class == RefusalClass::Job && refused_before >= 1 {
        return Some(Step::Finish(Box::new(Outcome {
            phase: Phase::Failed,
            reason: "RejectedByMember",
            message: format!("refused by two members; {}: {}", placement.cluster, refusal.message),
            uid: None,
            application: None,
            read_log: false,
        })));
    }
    Some(Step::Withdraw(Cause::Refused(refusal)))
}

pub(super) fn blind(s: Snapshot<'_>, placement: &Placement) -> Step {
    if may_withdraw_unsent(s, placement) {
        return Step::Withdraw(Cause::Unsent);
    }
    match trouble(s) {
        Some(trouble) if !s.job.record.unreachable => Step::Unreachable(trouble),
        _ => Step::Rest { until: None },
    }
}

/// What is worth telling of a member that cannot be worked with. Not a missed probe, which passes, nor a first contact,
/// which ends one way or the other.
fn trouble(s: Snapshot<'_>) -> Option<Trouble> {
    let Some(member) = s.member else { return Some(Trouble::Missing) };
    match member.link {
        LinkState::Lost { since } => Some(Trouble::Silent { since }),
        LinkState::Suspect { .. } => None,
        LinkState::Connecting | LinkState::Ready => (!member.usable).then_some(Trouble::Faulty),
    }
}

pub(super) fn absent(s: Snapshot<'_>, placement: &Placement) -> Step {
    if s.member.is_some_and(|m| m.link != LinkState::Ready) {
        return blind(s, placement);
    }
    match (&placement.uid, s.confirmed) {
        (_, Confirmed::Present(seen)) => return present(s, placement, seen),
        (Some(uid), Confirmed::Gone) => return outcome::vanished(s.job, uid),
        // The view is only a hint.
        (Some(_), Confirmed::Nothing) => return Step::Confirm,
        (None, _) => {}
    }
    if let Some((uid, at)) = &s.sends.accepted {
        let patience = later(*at, s.timing.view_patience);
        return match s.confirmed {
            _ if s.now < patience => Step::Rest { until: Some(patience) },
            // It was there and is not any more, although our finalizer was on it.
            Confirmed::Gone => outcome::vanished(s.job, uid),
            Confirmed::Nothing | Confirmed::Present(_) => Step::Confirm,
        };
    }
    if may_withdraw_unsent(s, placement) {
        return Step::Withdraw(Cause::Unsent);
    }
    match s.sends.not_before {
        Some(at) if s.now < at => Step::Rest { until: Some(at) },
        _ if s.member.is_some_and(super::MemberView::takes_creates) => {
            // A withdrawal that nobody heard of must not overtake the create, nor the other way round.
            if s.sends.claimed { Step::Submit } else { Step::Claim }
        }
        _ => blind(s, placement),
    }
}

pub(super) fn present(s: Snapshot<'_>, placement: &Placement, seen: &Observation) -> Step {
    let Job { record, .. } = s.job;
    // The run on record stays the job's own also where somebody took our labels off it.
    if placement.uid.as_ref() != Some(&seen.uid) && !is_ours(s.job, placement, seen) {
        return Step::Finish(Box::new(outcome::name_taken(placement, &outcome::whose(seen))));
    }
    if let Some(recorded) = &placement.uid
        && *recorded != seen.uid
    {
        // Somebody re-created it: it is not the run that is on record, and is not believed. The recorded one is gone
        // when a quorum read says so.
        return match s.confirmed {
            Confirmed::Gone => outcome::vanished(s.job, recorded),
            Confirmed::Nothing | Confirmed::Present(_) => Step::Confirm,
        };
    }
    let application = application::mirror(seen, record.application.as_ref(), s.now);
    if seen.run.proves_end() {
        return terminal(s, placement, seen, application);
    }
    if s.member.is_none_or(|m| matches!(m.link, LinkState::Lost { .. })) {
        // What the view shows is old.
        return blind(s, placement);
    }
    if seen.run.is_terminal() {
        return terminal(s, placement, seen, application);
    }
    let mirror = Mirror { phase: Phase::of(&seen.run, record.phase), uid: seen.uid.clone(), application };
    if let Some(due) = mirror_due(s, placement, seen, &mirror) {
        return if due <= s.now { Step::Mirror(Box::new(mirror)) } else { Step::Rest { until: Some(due) } };
    }
    if seen.deleting && seen.held {
        // Somebody deletes it on the member. Its uid is on record, so its going will not be taken for "never created".
        // But as long as an earlier create may still come, its name must not become free for it.
        let name_may_go_at = name_may_go_at(s);
        return if s.now < name_may_go_at {
            Step::Rest { until: Some(name_may_go_at) }
        } else {
            Step::Release(seen.uid.clone())
        };
    }
    Step::Rest { until: None }
}

/// When the mirror is to be written; `None` when the record already says it.
fn mirror_due(
    s: Snapshot<'_>,
    placement: &Placement,
    seen: &Observation,
    mirror: &Mirror,
) -> Option<Timestamp> {
    let record = &s.job.record;
    let back = record.unreachable && s.member.is_some_and(|m| m.link == LinkState::Ready);
    let Some(before) = &record.application else {
        // Until its uid is on record it must not go unseen.
        let fresh = seen.run == RunState::Accepted && !seen.deleting && !back;
        return Some(if fresh { later(placement.at, s.timing.uid_after) } else { s.now });
    };
    let same_head =
        placement.uid.as_ref() == Some(&mirror.uid) && record.phase == Some(mirror.phase) && !back;
    // A state that passes within milliseconds is a detail: the end that follows is what counts.
    let moved = seen.run != RunState::Passing && before.state != mirror.application.state;
    if !same_head || moved || seen.deleting {
        return (!same_head || *before != mirror.application).then_some(s.now);
    }
    if *before == mirror.application {
        return None;
    }
    let wait = if application::differs_in_counts_only(before, &mirror.application) {
        s.timing.counts_every
    } else {
        s.timing.details_after
    };
    Some(s.mirrored_at.map_or(s.now, |at| later(at, wait)))
}

fn terminal(s: Snapshot<'_>, placement: &Placement, seen: &Observation, application: Application) -> Step {
    let member = &placement.cluster;
    let end = |phase, reason, message, read_log| {
        let uid = Some(seen.uid.clone());
        Step::Finish(Box::new(Outcome {
            phase,
            reason,
            message,
            uid,
            application: Some(application.clone()),
            read_log,
        }))
    };
    let failure = |sign: FailureSign, message: String| {
        let again = sign.class().and_then(|class| {
            requeue::again(s, placement, seen, &application, (class, sign.reason(), &message))
        });
        again.unwrap_or_else(|| end(Phase::Failed, sign.reason(), message, sign == FailureSign::Application))
    };
    let said = seen.error.as_deref().unwrap_or("the operator gives no cause");
    match &seen.run {
        RunState::Succeeded => end(Phase::Succeeded, "JobSucceeded", format!("completed on {member}"), false),
        RunState::Failed(FailureSign::DriverExists) => match s.driver {
            // The operator submitted twice and gave up on the second: the first driver decides.
            DriverSeen::Succeeded => end(
                Phase::Succeeded,
                "JobSucceeded",
                format!("the driver completed on {member}; its operator says: {said}"),
                false,
            ),
            DriverSeen::Failed(how) => {
                failure(FailureSign::Application, format!("the driver failed on {member}: {how}"))
            }
            DriverSeen::Gone => failure(
                FailureSign::DriverLost,
                format!("no driver is left on {member}; its operator says: {said}"),
            ),
            DriverSeen::Alive => {
                let mirror = Mirror {
                    phase: Phase::of(&seen.run, s.job.record.phase),
                    uid: seen.uid.clone(),
                    application,
                };
                let look = later(s.now, s.timing.examine_every);
                match mirror_due(s, placement, seen, &mirror) {
                    Some(due) if due <= s.now => Step::Mirror(Box::new(mirror)),
                    _ => Step::Rest { until: Some(look) },
                }
            }
            DriverSeen::Nothing => Step::Examine,
        },
        RunState::Failed(sign) => failure(*sign, format!("failed on {member}: {said}")),
        RunState::Accepted
        | RunState::Submitted
        | RunState::Running
        | RunState::Retrying
        | RunState::Suspended
        | RunState::Passing => Step::Rest { until: None },
    }
}
