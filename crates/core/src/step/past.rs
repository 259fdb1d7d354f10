//! What is left of attempts before the present one.
//!
//! Owns no state. The attempt on record always wins: what is left of an earlier one is stopped where it runs, let go of
//! where it is over, and taken away when its time has come. Must never touch anything that is not that very attempt.

use std::time::Duration;

use jiff::Timestamp;

use super::{MemberView, Snapshot, Step, later};
use crate::{
    health::LinkState,
    id::RemoteUid,
    job::{Job, Left, Past},
    observe::{Observation, Remote},
};

/// A past attempt and what its member shows of it.
#[derive(Clone, Debug)]
pub struct PastView {
    /// What is on record.
    pub past: Past,
    /// Its member; `None` when it is not registered, or is another cluster by now.
    pub member: Option<MemberView>,
    /// What the member's view says of its name.
    pub remote: Remote,
    /// How long finished applications stay on that member.
    pub retention: Duration,
}

/// What is to be done about a past attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PastStep {
    /// Drive it towards its fence; an end that it came to by itself is spared.
    Stop {
        /// When a create that was sent for it can no longer take effect.
        settled_at: Timestamp,
    },
    /// Take our finalizer from its application: its end is in the history.
    Release(RemoteUid),
    /// Delete its finished application.
    Retire(RemoteUid),
    /// Note on its member that it was given up, so that the member's return stops it; then nothing is left to see to.
    Abandon,
    /// Write that nothing is left of it.
    Close,
}

/// What is due now; else when to look again.
pub(super) fn next(s: Snapshot<'_>) -> Step {
    let mut until: Option<Timestamp> = None;
    for view in &s.elsewhere.past {
        match due(s, view) {
            Ok(step) => return Step::Past(Box::new(view.past.clone()), step),
            Err(again) => until = [until, again].into_iter().flatten().min(),
        }
    }
    Step::Rest { until }
}

/// What is to be done although the job itself waits for something else: what may still run is stopped. Only where that
/// should work: the job does not wait for it otherwise.
pub(super) fn while_waiting(s: Snapshot<'_>) -> Option<Step> {
    let works = |view: &&PastView| view.member.is_some_and(|m| m.usable);
    s.elsewhere.past.iter().filter(works).filter(|view| view.past.left == Left::MayRun).find_map(|view| {
        let step = due(s, view).ok()?;
        let stops = matches!(step, PastStep::Stop { .. } | PastStep::Close);
        stops.then(|| Step::Past(Box::new(view.past.clone()), step))
    })
}

/// What is to be done before the job may go. What may still run is stopped where its member can be asked; it waits for no
/// other member, because whoever left something behind allowed that it runs twice. The sweep takes what is over.
pub(super) fn before_letting_go(s: Snapshot<'_>) -> Option<Step> {
    s.elsewhere.past.iter().filter(|view| view.past.left == Left::MayRun).find_map(|view| {
        let reachable = view.member.is_some_and(|m| m.link == LinkState::Ready);
        let step = match due(s, view) {
            Ok(step @ (PastStep::Stop { .. } | PastStep::Close)) => step,
            // A view that is not in sync shows nothing yet: its member is told for later.
            Err(_) if !reachable || view.remote == Remote::Unknown => PastStep::Abandon,
            Ok(_) | Err(_) => return None,
        };
        Some(Step::Past(Box::new(view.past.clone()), step))
    })
}

fn due(s: Snapshot<'_>, view: &PastView) -> Result<PastStep, Option<Timestamp>> {
    let PastView { past, member, remote, retention } = view;
    if member.is_some_and(|m| m.forgotten) {
        return Ok(PastStep::Close);
    }
    if !member.is_some_and(|m| m.link == LinkState::Ready) {
        // Its return calls.
        return Err(None);
    }
    match remote {
        Remote::Unknown => Err(None),
        Remote::Unsettled { until } => Err(Some(*until)),
        Remote::Present(seen) if !is_it(s.job, past, seen) => Ok(PastStep::Close),
        Remote::Present(seen) if seen.run.proves_end() => over(s, past, *retention, seen),
        // By the name of what is there another create of it may still arrive.
        Remote::Present(_) => Ok(PastStep::Stop { settled_at: settled(s, past) }),
        Remote::Absent => match past.left {
            Left::Ended => Ok(PastStep::Close),
            // A create of it may still arrive.
            Left::MayRun => Ok(PastStep::Stop { settled_at: settled(s, past) }),
        },
    }
}

/// As long as a create of it may still arrive, what is over keeps the name taken.
fn over(
    s: Snapshot<'_>,
    past: &Past,
    retention: Duration,
    seen: &Observation,
) -> Result<PastStep, Option<Timestamp>> {
    let settled = settled(s, past);
    let ends = later(past.at, retention).max(settled);
    if seen.held && s.now < settled {
        Err(Some(settled))
    } else if seen.held {
        Ok(PastStep::Release(seen.uid.clone()))
    } else if seen.deleting {
        Err(None)
    } else if s.now >= ends {
        Ok(PastStep::Retire(seen.uid.clone()))
    } else {
        Err(Some(ends))
    }
}

/// By job and attempt, as written inside the create.
fn is_it(job: &Job, past: &Past, seen: &Observation) -> bool {
    seen.owner.as_ref().is_some_and(|owner| owner.job == job.uid && owner.attempt == past.attempt)
}

fn settled(s: Snapshot<'_>, past: &Past) -> Timestamp {
    later(past.at.max(s.leading_since), s.timing.lease + s.timing.request)
}
