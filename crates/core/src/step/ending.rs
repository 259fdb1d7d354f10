//! A job that is over or is being deleted: what is left of it on its member.
//!
//! Owns no state. A finished job is let go of at once; one that may still run keeps its finalizer until the fence.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    DeletionWaits, MemberView, Snapshot, Step, is_ours, later, lifetime, name_may_go_at, settled_at,
};
use crate::{
    health::LinkState,
    job::{Job, Record},
    observe::{Observation, Remote},
};

/// What is due on a member that is suspect is tried again after this long.
const SUSPECT_AGAIN: Duration = Duration::from_secs(10);

pub(super) fn after_the_end(s: Snapshot<'_>) -> Step {
    let Job { record, deleting, held, .. } = s.job;
    let ours = match (&record.placement, s.remote) {
        (Some(placement), Remote::Present(seen)) if is_ours(s.job, placement, seen) => {
            Some((placement, seen))
        }
        _ => None,
    };
    let reachable = s.member.is_some_and(|m| m.link == LinkState::Ready);
    if let Some((placement, seen)) = ours
        && reachable
        && !s.fenced
        && !may_retire(record, seen)
        && (*held || deleting.is_none())
    {
        // A finished job never runs again: neither by a create that came late nor by somebody's hand on the member.
        return Step::Stop { settled_at: settled_at(s, placement) };
    }
    if deleting.is_none() && record.outdated {
        return Step::Observe;
    }
    if lifetime::has_expired(s) {
        // Without our finalizer its application would be left to the sweep.
        return if *held { Step::Expire } else { Step::Hold };
    }
    // As long as its application is there, or its job waits, a create that comes late finds the name taken or is found.
    let name_may_go_at = name_may_go_at(s);
    if deleting.is_some() {
        return match ours {
            _ if !*held => Step::Rest { until: None },
            _ if s.now < name_may_go_at => Step::Rest { until: Some(name_may_go_at) },
            Some((_, seen)) if reachable && may_retire(record, seen) => Step::Retire(seen.uid.clone()),
            // A missed probe passes, or ends in Lost.
            Some(_) if s.member.is_some_and(|m| matches!(m.link, LinkState::Suspect { .. })) => {
                Step::Rest { until: None }
            }
            // The sweep takes what an unreachable member still shows when it returns: it is finished.
            _ => Step::LetGo,
        };
    }
    let (Some((_, seen)), Some(finished)) = (ours, &record.finished) else {
        return Step::Rest { until: None };
    };
    if !may_retire(record, seen) {
        return Step::Rest { until: None };
    }
    let ends = later(finished.at, s.retention);
    if !reachable {
        return Step::Rest { until: wake_for_retention(s, seen, ends) };
    }
    if seen.held {
        return if s.now < name_may_go_at {
            Step::Rest { until: Some(name_may_go_at) }
        } else {
            Step::Release(seen.uid.clone())
        };
    }
    if seen.deleting {
        Step::Rest { until: None }
    } else if s.now >= ends {
        Step::Retire(seen.uid.clone())
    } else {
        Step::Rest { until: Some(ends) }
    }
}

/// When to look again at a finished application whose member cannot be asked now. At its return a member calls only for
/// those that are still held: the others may be very many, and are only waiting for their time.
fn wake_for_retention(s: Snapshot<'_>, seen: &Observation, ends: Timestamp) -> Option<Timestamp> {
    let suspect = s.member.is_some_and(|m| matches!(m.link, LinkState::Suspect { .. }));
    match seen {
        Observation { held: true, .. } | Observation { deleting: true, .. } => None,
        _ if s.now < ends => Some(ends),
        // It passes soon, or ends in Lost.
        _ if suspect => Some(later(s.now, SUSPECT_AGAIN)),
        // Nobody waits for a finished application: it is looked at when every job is.
        _ => None,
    }
}

/// A finished job's application is taken away only where it is over itself, or is the recorded one whose driver was
/// seen to its end.
fn may_retire(record: &Record, seen: &Observation) -> bool {
    let recorded = record.placement.as_ref().and_then(|p| p.uid.as_ref());
    seen.run.is_terminal() && recorded.is_none_or(|uid| *uid == seen.uid)
}

pub(super) fn deletion(s: Snapshot<'_>) -> Step {
    let Job { record, held, abandoned, .. } = s.job;
    if !*held {
        return Step::Rest { until: None };
    }
    let Some(placement) = &record.placement else { return Step::LetGo };
    if s.fenced {
        return Step::LetGo;
    }
    let never_sent = s.sends.placed_here && s.sends.last.is_none() && placement.uid.is_none();
    if never_sent {
        return Step::LetGo;
    }
    if *abandoned || s.member.is_some_and(|m| m.forgotten) {
        return Step::Abandon;
    }
    if let Some(wait) = out_of_reach(s.member) {
        return wait;
    }
    if let Remote::Present(seen) = s.remote
        && is_ours(s.job, placement, seen)
        && seen.run.proves_end()
        && may_retire(record, seen)
    {
        return Step::Retire(seen.uid.clone());
    }
    Step::Stop { settled_at: settled_at(s, placement) }
}

/// What is done instead where the member cannot be asked to stop anything now.
pub(super) fn out_of_reach(member: Option<MemberView>) -> Option<Step> {
    let Some(member) = member else { return Some(Step::Explain(DeletionWaits::Unregistered)) };
    match member.link {
        // Also where a fault keeps new work away: the member itself says what it cannot do.
        LinkState::Ready => None,
        LinkState::Connecting => Some(Step::Explain(DeletionWaits::Unreachable { since: None })),
        LinkState::Suspect { .. } => Some(Step::Rest { until: None }),
        LinkState::Lost { since } => Some(Step::Explain(DeletionWaits::Unreachable { since: Some(since) })),
    }
}
