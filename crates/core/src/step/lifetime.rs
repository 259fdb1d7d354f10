//! How long a job may run, and how long its record stays.
//!
//! Owns no state. Both times count from what is on record, so that a restart neither forgets nor renews them. A decision
//! to stop a job is on record before anything is stopped, and nothing takes it back; an end of its own that came first
//! is recorded as what it was. Must never act on a clock that may have jumped.

use std::time::Duration;

use jiff::Timestamp;

use super::{Confirmed, Snapshot, Step, ending, later, outcome, placed, settled_at};
use crate::{
    job::{Job, Placement, StopCause, Stopping},
    observe::Remote,
};

/// The job has run for as long as its queue allows.
pub(super) fn is_overdue(s: Snapshot<'_>) -> bool {
    run_ends(s).is_some_and(|at| has_come(s, at))
}

/// The time that the finished job stays is over.
pub(super) fn has_expired(s: Snapshot<'_>) -> bool {
    record_ends(s).is_some_and(|at| has_come(s, at))
}

/// When to look again where nothing else is to be done: at `until`, or earlier if a deadline comes before it.
pub(super) fn wake(s: Snapshot<'_>, until: Option<Timestamp>) -> Option<Timestamp> {
    let deadline = run_ends(s).or_else(|| record_ends(s));
    // One that has come is acted on or held back; then the end of the holding back counts.
    let deadline =
        deadline.map(|at| s.hold_fire_until.map_or(at, |hold| at.max(hold))).filter(|at| *at > s.now);
    [until, deadline].into_iter().flatten().min()
}

fn has_come(s: Snapshot<'_>, at: Timestamp) -> bool {
    s.now >= at && s.hold_fire_until.is_none_or(|hold| s.now >= hold)
}

fn run_ends(s: Snapshot<'_>) -> Option<Timestamp> {
    let Job { record, deleting, .. } = s.job;
    let runs = record.placement.is_some() && record.finished.is_none();
    if !runs || record.stopping.is_some() || deleting.is_some() {
        return None;
    }
    let started = record.application.as_ref()?.started_at?;
    Some(later(started, s.longest_run?))
}

fn record_ends(s: Snapshot<'_>) -> Option<Timestamp> {
    let Job { record, deleting, .. } = s.job;
    if deleting.is_some() {
        return None;
    }
    Some(later(record.finished.as_ref()?.at, s.expires?))
}

/// Puts the decision on record. Its words name the limit as it is now: it may be another one when the job is fenced.
pub(super) fn latch(s: Snapshot<'_>, placement: &Placement) -> Step {
    let limit = s.longest_run.map(spell).unwrap_or_default();
    let started = s.job.record.application.as_ref().and_then(|it| it.started_at);
    let since = started.map(|at| format!(" since {at}")).unwrap_or_default();
    let message = format!(
        "it ran{since}, longer than the {limit} that queue {} allows (spec.limits.longestRun); split the job, or \
         submit it anew to a queue that allows longer runs",
        placement.queue
    );
    Step::Latch(Box::new(Stopping { cause: StopCause::RanTooLong, message, at: s.now }))
}

/// A job whose stop is on record goes to the fence, as a deletion does, and ends there.
pub(super) fn stop(s: Snapshot<'_>, placement: &Placement, stopping: &Stopping) -> Step {
    let shown = match s.remote {
        Remote::Present(seen) => Some(seen),
        Remote::Unknown | Remote::Unsettled { .. } | Remote::Absent => None,
    };
    let read = match s.confirmed {
        Confirmed::Present(seen) => Some(seen),
        Confirmed::Nothing | Confirmed::Gone => None,
    };
    let ended = [read, shown].into_iter().flatten();
    let mut ended = ended.filter(|seen| placement.uid.as_ref() == Some(&seen.uid) && seen.ended_by_itself());
    if let Some(seen) = ended.next() {
        return placed::present(s, placement, seen);
    }
    if s.fenced {
        return outcome::stopped(&s.job.record, placement, stopping, s.now);
    }
    if s.member.is_some_and(|m| m.forgotten) {
        return outcome::abandoned(&s.job.record, placement);
    }
    ending::out_of_reach(s.member).unwrap_or_else(|| Step::Stop { settled_at: settled_at(s, placement) })
}

/// As users write durations: 12h, 1h30m, 1m30s, 500ms.
fn spell(duration: Duration) -> String {
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
