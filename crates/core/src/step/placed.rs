//! A placed job that lives: created, mirrored, brought to its end.
//!
//! Owns no state. What a member's view shows is believed, what it does not show is only a hint.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Cause, Confirmed, DriverSeen, Mirror, Outcome, Snapshot, Step, Trouble, adopt, is_ours, later,
    may_withdraw_unsent, name_may_go_at, outcome, requeue, settled_at,
};
use crate::{
    application::{self, Application},
    breaker::Start,
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
            start: Start::Unknown,
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
            if let Some(until) = adopt::hear_first(s, placement) {
                return Step::Rest { until: Some(until) };
            }
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
    let mut application = application::mirror(seen, record.application.as_ref(), s.now);
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
    let look = look_at_driver(s, placement, seen);
    if look.is_some_and(|at| at <= s.now) && *s.driver == DriverSeen::Nothing {
        return Step::Examine;
    }
    if seen.run == RunState::Submitted {
        application.error = what_it_waits_for(s, application.error);
    }
    let mirror = Mirror { phase: Phase::of(&seen.run, record.phase), uid: seen.uid.clone(), application };
    if let Some(due) = mirror_due(s, placement, seen, &mirror) {
        let until = [Some(due), look].into_iter().flatten().min();
        return if due <= s.now { Step::Mirror(Box::new(mirror)) } else { Step::Rest { until } };
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
    Step::Rest { until: look }
}

/// When to look at the driver of an application that was submitted and does not run: its state does not say what it waits
/// for. Less and less often, so that many that wait long cost little.
fn look_at_driver(s: Snapshot<'_>, placement: &Placement, seen: &Observation) -> Option<Timestamp> {
    const SELDOM: Duration = Duration::from_mins(10);
    let reachable = s.member.is_some_and(|member| member.link == LinkState::Ready);
    if seen.run != RunState::Submitted || seen.deleting || !reachable {
        return None;
    }
    let from = seen.submitted_at.map_or(placement.at, |at| at.max(placement.at));
    let patience = s.timing.start_patience;
    let at = match s.sends.looked {
        None => later(from, patience),
        Some(at) => {
            let waited = Duration::try_from(at.duration_since(from)).unwrap_or_default();
            later(at, waited.clamp(patience, SELDOM.max(patience)))
        }
    };
    (at < Timestamp::MAX).then_some(at)
}

/// What a submitted application waits for: as its driver was just seen, or as it is on record.
fn what_it_waits_for(s: Snapshot<'_>, said: Option<String>) -> Option<String> {
    match s.driver {
        DriverSeen::Waiting(reason, message) => Some(format!("{reason}: {message}")),
        DriverSeen::Unseen(why) => Some(format!("DriverUnseen: {CANNOT_LOOK}: {why}")),
        DriverSeen::Nothing => said.or_else(|| {
            let before = s.job.record.application.as_ref()?;
            before.error.clone().filter(|_| s.job.record.phase == Some(Phase::Submitted))
        }),
        DriverSeen::Alive | DriverSeen::Succeeded | DriverSeen::Failed(..) | DriverSeen::Gone => said,
    }
}

const CANNOT_LOOK: &str = "what became of its driver is not known";

/// What is said of an end that leaves open whether the driver runs: what the operator said, and why nobody can look, as was
/// just found or as is on record.
fn what_is_open(s: Snapshot<'_>, said: Option<String>) -> Option<String> {
    match s.driver {
        DriverSeen::Unseen(why) => {
            let said = said.map(|said| format!("{said}; ")).unwrap_or_default();
            Some(format!("{said}{CANNOT_LOOK}: {why}"))
        }
        DriverSeen::Nothing => {
            let before = s.job.record.application.as_ref().and_then(|before| before.error.clone());
            let goes_on = |text: &String| text.starts_with(said.as_deref().unwrap_or(CANNOT_LOOK));
            before.filter(goes_on).or(said)
        }
        _ => said,
    }
}

/// When to look again at a driver that was just looked at in vain, as the record says. Why may read differently each time,
/// and is written each time.
fn unseen_until(s: Snapshot<'_>) -> Option<Timestamp> {
    let before = s.job.record.application.as_ref()?.error.as_deref()?;
    let again = later(s.sends.looked?, s.timing.examine_every);
    (before.contains(CANNOT_LOOK) && s.now < again).then_some(again)
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
    if before.error != mirror.application.error {
        // It was found out just now, and is not found out again soon.
        return Some(s.now);
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
    // What was seen running has been told.
    let ran = s.job.record.application.as_ref().is_some_and(|it| it.started_at.is_some());
    let told = |start: Start| if ran { Start::Unknown } else { start };
    let end = |phase, reason, message, read_log, start| {
        let uid = Some(seen.uid.clone());
        Step::Finish(Box::new(Outcome {
            phase,
            reason,
            message,
            uid,
            application: Some(application.clone()),
            read_log,
            start: told(start),
        }))
    };
    let failure = |sign: FailureSign, message: String| {
        let start = sign.start();
        let again = requeue::again(s, placement, seen, &application, (sign, &message, told(start)));
        let read_log = sign == FailureSign::Application;
        again.unwrap_or_else(|| end(Phase::Failed, sign.reason(), message, read_log, start))
    };
    let said = seen.error.as_deref().unwrap_or("the operator gives no cause");
    match &seen.run {
        RunState::Succeeded => {
            end(Phase::Succeeded, "JobSucceeded", format!("completed on {member}"), false, Start::Made)
        }
        RunState::Failed(open) if !open.proves_end() => match s.driver {
            // The operator submitted twice and gave up on the second, or lost sight of it: the driver there is decides.
            DriverSeen::Succeeded => end(
                Phase::Succeeded,
                "JobSucceeded",
                format!("the driver completed on {member}; its operator says: {said}"),
                false,
                Start::Made,
            ),
            DriverSeen::Failed(sign, how) => failure(*sign, format!("the driver failed on {member}: {how}")),
            DriverSeen::Gone => failure(
                FailureSign::DriverLost,
                format!("no driver is left on {member}; its operator says: {said}"),
            ),
            DriverSeen::Alive | DriverSeen::Waiting(..) | DriverSeen::Unseen(_) => {
                let look = later(s.now, s.timing.examine_every);
                told_while_open(s, placement, seen, application).unwrap_or(Step::Rest { until: Some(look) })
            }
            DriverSeen::Nothing if unseen_until(s).is_some() => Step::Rest { until: unseen_until(s) },
            // Where nobody can look, the record says at least what the job waits for.
            DriverSeen::Nothing if *open == FailureSign::MonitoringLost => {
                told_while_open(s, placement, seen, application).unwrap_or(Step::Examine)
            }
            DriverSeen::Nothing => Step::Examine,
        },
        RunState::Failed(FailureSign::PodFailed) => match s.driver {
            DriverSeen::Failed(sign, how) => failure(*sign, format!("failed on {member}: {how}")),
            // Its pod tells more, as long as it can be asked.
            DriverSeen::Nothing => match s.member.map(|member| member.link) {
                Some(LinkState::Ready) => Step::Examine,
                // It passes, or ends in Lost.
                Some(LinkState::Suspect { .. }) => Step::Rest { until: None },
                Some(LinkState::Connecting | LinkState::Lost { .. }) | None => {
                    failure(FailureSign::PodFailed, format!("failed on {member}: {said}"))
                }
            },
            // Failed without an end of its container, and gone: so it is when its node is.
            DriverSeen::Gone => failure(
                FailureSign::DriverLost,
                format!("no driver is left on {member}; its operator says: {said}"),
            ),
            DriverSeen::Alive | DriverSeen::Waiting(..) | DriverSeen::Unseen(_) | DriverSeen::Succeeded => {
                failure(FailureSign::PodFailed, format!("failed on {member}: {said}"))
            }
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

/// The mirror of an application that failed in a way that leaves open whether its driver runs, where it is due.
fn told_while_open(
    s: Snapshot<'_>,
    placement: &Placement,
    seen: &Observation,
    mut application: Application,
) -> Option<Step> {
    application.error = what_is_open(s, application.error);
    let phase = Phase::of(&seen.run, s.job.record.phase);
    let mirror = Mirror { phase, uid: seen.uid.clone(), application };
    let due = mirror_due(s, placement, seen, &mirror)?;
    (due <= s.now).then(|| Step::Mirror(Box::new(mirror)))
}
