//! How long a job may wait, start and run, and how long its record stays.
//!
//! Owns no state. All times count from what is on record, so that a restart neither forgets nor renews them. Must never
//! act on a clock that may have jumped.

use std::time::Duration;

use jiff::Timestamp;

use super::{Snapshot, later};
use crate::{
    job::{Job, Placement, Stage, StopCause},
    observe::{Remote, RunState},
};

/// The decision that a placed job's deadline asks for now, and why, in words.
///
/// The words name the limit as it is now: it may be another one when the job is fenced.
pub(super) fn overdue(s: Snapshot<'_>, placement: &Placement) -> Option<(StopCause, String)> {
    let (cause, at) = attempt_ends(s)?;
    if !has_come(s, at) {
        return None;
    }
    let deadlines = s.job.policy.deadlines;
    let started = s.job.record.application.as_ref().and_then(|it| it.started_at);
    let since = started.map(|at| format!(" since {at}")).unwrap_or_default();
    let (cluster, queue) = (&placement.cluster, &placement.queue);
    let message = match cause {
        StopCause::StartDeadline => {
            let from = match resumed_at(s) {
                Some(at) => format!("going on at {at}"),
                None => format!("its placement at {}", placement.at),
            };
            // What is known of a driver that waits.
            let error = s.job.record.application.as_ref().and_then(|it| it.error.as_ref());
            let why = error.map(|error| format!("; {error}")).unwrap_or_default();
            format!(
                "its driver did not run on {cluster} within {} of {from} (spec.deadlines.start){why}",
                spell(deadlines.start?)
            )
        }
        StopCause::RunDeadline => {
            format!("it ran{since}, longer than the {} of spec.deadlines.run", spell(deadlines.run?))
        }
        _ => format!(
            "it ran{since}, longer than the {} that queue {queue} allows (spec.limits.longestRun); split the job, or \
             submit it anew to a queue that allows longer runs",
            spell(s.longest_run?)
        ),
    };
    Some((cause, message))
}

/// A job without a place has waited for as long as it may.
pub(super) fn waited_too_long(s: Snapshot<'_>) -> bool {
    wait_ends(s).is_some_and(|at| has_come(s, at))
}

/// The time that the finished job stays is over.
pub(super) fn has_expired(s: Snapshot<'_>) -> bool {
    record_ends(s).is_some_and(|at| has_come(s, at))
}

/// When a job that waits for an answer of its queue is to be looked at again without one.
pub fn look_again(s: Snapshot<'_>) -> Option<Timestamp> {
    wake(s, None)
}

/// When to look again where nothing else is to be done: at `until`, or earlier if a deadline comes before it.
pub(super) fn wake(s: Snapshot<'_>, until: Option<Timestamp>) -> Option<Timestamp> {
    let deadline = attempt_ends(s).map(|(_, at)| at).or_else(|| wait_ends(s)).or_else(|| record_ends(s));
    // One that has come is acted on or held back; then the end of the holding back counts.
    let deadline =
        deadline.map(|at| s.hold_fire_until.map_or(at, |hold| at.max(hold))).filter(|at| *at > s.now);
    let thaw = s.frozen_until.filter(|at| *at > s.now);
    [until, deadline, thaw].into_iter().flatten().min()
}

fn has_come(s: Snapshot<'_>, at: Timestamp) -> bool {
    s.now >= at && s.hold_fire_until.is_none_or(|hold| s.now >= hold)
}

/// The first deadline of the present attempt.
fn attempt_ends(s: Snapshot<'_>) -> Option<(StopCause, Timestamp)> {
    let Job { record, deleting, policy, .. } = s.job;
    let placement = record.placement.as_ref().filter(|_| record.finished.is_none())?;
    // What is held back has all the time that its owner gives it.
    let is_held = matches!(s.remote, Remote::Present(seen) if seen.run == RunState::Suspended);
    if record.stopping.is_some() || deleting.is_some() || is_held {
        return None;
    }
    let Some(started) = record.application.as_ref().and_then(|it| it.started_at) else {
        let runs = matches!(s.remote, Remote::Present(seen) if seen.run == RunState::Running);
        let start = policy.deadlines.start.filter(|_| !runs)?;
        let from = resumed_at(s).map_or(placement.at, |at| at.max(placement.at));
        return Some((StopCause::StartDeadline, later(from, start)));
    };
    let own = policy.deadlines.run.map(|run| (StopCause::RunDeadline, later(started, run)));
    let queues = s.longest_run.map(|run| (StopCause::RanTooLong, later(started, run)));
    [own, queues].into_iter().flatten().min_by_key(|(_, at)| *at)
}

/// When a job that had been held back went on.
fn resumed_at(s: Snapshot<'_>) -> Option<Timestamp> {
    let suspension = s.job.record.suspension.filter(|it| it.stage == Stage::Resumed);
    suspension.map(|it| it.at)
}

fn wait_ends(s: Snapshot<'_>) -> Option<Timestamp> {
    let Job { record, deleting, policy, created, .. } = s.job;
    let waits = record.placement.is_none() && record.finished.is_none() && deleting.is_none();
    let longest = policy.deadlines.queued.filter(|_| waits && !policy.suspend && !policy.cancel)?;
    let since = record.waiting_since.unwrap_or(*created);
    Some(later(record.not_before.map_or(since, |at| at.max(since)), longest))
}

fn record_ends(s: Snapshot<'_>) -> Option<Timestamp> {
    let Job { record, deleting, .. } = s.job;
    if deleting.is_some() {
        return None;
    }
    Some(later(record.finished.as_ref()?.at, s.expires?))
}

/// As users write durations: 12h, 1h30m, 1m30s, 500ms.
pub(super) fn spell(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), u64::from(duration.subsec_millis()));
    let mut text = String::new();
    for (count, unit) in
        [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (millis, "ms")]
    {
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spelled_as_users_write_them() {
        for (millis, text) in
            [(0, "0s"), (500, "500ms"), (90_000, "1m30s"), (43_200_000, "12h"), (5_400_000, "1h30m")]
        {
            assert_eq!(spell(Duration::from_millis(millis)), text);
        }
    }
}
