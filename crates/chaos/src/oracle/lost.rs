//! Finds jobs without an end or a stated reason.
//!
//! Owns no state. A reason counts if it has a word and a message that names a member, the queue or what the owner asked
//! for. That an application runs is a reason for a job that shall run on, and none for one that should have ended.

use jiff::SignedDuration;

use super::facts::{Facts, JobFacts};
use super::view::Job;
use crate::evidence::Meant;

/// How a job stands at the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its end is on the hub.
    Finished,
    /// It was deleted as asked.
    Gone,
    /// It says what it waits for.
    Waits,
    /// Its application is alive.
    Runs,
    /// None of these.
    Lost(String),
}

/// A time to wait until that is past by this much is no reason any more.
const OVERDUE: SignedDuration = SignedDuration::from_secs(60);

/// How an attempt ends that is followed by another: a job says so until it asks for a place again.
const FAILED: [&str; 8] = [
    "JobFailed",
    "SubmissionFailed",
    "SchedulingFailure",
    "QuotaExceeded",
    "DriverLost",
    "Unschedulable",
    "ImagePullBackOff",
    "StartDeadlineExceeded",
];

/// How it stands.
pub(crate) fn standing(job: &JobFacts, facts: &Facts) -> Standing {
    let Some(at_end) = &job.at_end else { return vanished(job, facts) };
    if at_end.status.is_true("Finished") {
        return Standing::Finished;
    }
    if at_end.is_deleting {
        return deleting(at_end, facts);
    }
    let status = &at_end.status;
    if status.phase.is_none() {
        return Standing::Lost("nobody has looked at it: it has no phase".to_owned());
    }
    for (condition, holds) in [("Accepted", "False"), ("MemberReachable", "False")] {
        if let Some(found) = status.condition(condition).filter(|found| found.status == holds) {
            return stated(&format!("{condition}={holds}"), &found.reason, &found.message, at_end, facts);
        }
    }
    if let Some(stopping) = &status.stopping {
        return stated("it is being stopped", &stopping.reason, status.message(), at_end, facts);
    }
    match status.condition("Placed") {
        Some(placed) if placed.status == "True" => has_a_place(job, at_end),
        Some(placed) => {
            // One that is asked for since says what it waits for instead of how its last attempt failed.
            let is_asked_for = !FAILED.contains(&&*placed.reason);
            let overdue =
                status.not_before.filter(|at| facts.end.duration_since(*at) > OVERDUE && !is_asked_for);
            match overdue {
                Some(at) => Standing::Lost(format!("its next attempt was due at {at} and was not made")),
                None => stated("Placed is not True", &placed.reason, &placed.message, at_end, facts),
            }
        }
        None => Standing::Lost(format!("{} without a condition Placed", status.phase())),
    }
}

fn vanished(job: &JobFacts, facts: &Facts) -> Standing {
    if job.submitted.deleted {
        return Standing::Gone;
    }
    let has_ttl = job.course.has_ttl || facts.queues.values().any(|queue| queue.has_ttl);
    if has_ttl && job.course.finished.is_some() {
        return Standing::Finished;
    }
    let asked = match &job.course.deletion {
        Some((at, user)) => format!("{user} asked for its deletion at {at}"),
        None => "no line tells of a deletion".to_owned(),
    };
    let place = match job.course.placements.values().next_back() {
        Some(last) => format!("last placed on {}", last.cluster),
        None => "never placed".to_owned(),
    };
    Standing::Lost(format!("it is gone from the hub, and nobody was to delete it ({asked}; {place})"))
}

fn deleting(at_end: &Job, facts: &Facts) -> Standing {
    let status = &at_end.status;
    if status.reason() == "Terminating" {
        return stated("it is being deleted", status.reason(), status.message(), at_end, facts);
    }
    Standing::Lost(format!("it is being deleted and does not say what it waits for ({})", status.reason()))
}

/// A reason that is stated has a word, and a message that says something of somebody.
fn stated(what: &str, reason: &str, message: &str, at_end: &Job, facts: &Facts) -> Standing {
    let names_somebody = facts.members.keys().any(|member| has_word(message, member))
        || (!at_end.spec.queue.is_empty() && has_word(message, &at_end.spec.queue))
        || message.contains("spec.")
        || message.contains("MemberCluster");
    if !reason.is_empty() && names_somebody {
        return Standing::Waits;
    }
    Standing::Lost(format!("{what}, and neither member, queue nor field is named: {reason:?}, {message:?}"))
}

/// Whether a name stands in a text by itself: `m1` is not in `m10`.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    text.match_indices(word).any(|(at, _)| {
        let bytes = text.as_bytes();
        let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
        !is_part(before) && !is_part(bytes.get(at + word.len()).copied())
    })
}

fn has_a_place(job: &JobFacts, at_end: &Job) -> Standing {
    let status = &at_end.status;
    let Some(placement) = &status.placement else {
        return Standing::Lost("Placed is True and there is no placement".to_owned());
    };
    let place = format!("{} as {}/{}", placement.cluster, placement.namespace, placement.remote_name);
    match job.recorded() {
        None => Standing::Lost(format!("it has a place on {place}, and nothing of it was ever there")),
        Some(life) if life.gone.is_some() => Standing::Lost(format!(
            "{} on {place}, which is gone since {}",
            status.phase(),
            life.gone.unwrap_or(life.last_seen)
        )),
        Some(life) => {
            let by_operator = life.uid.as_ref().is_some_and(|uid| job.operator_doubled.contains(uid));
            if job.submitted.meant == Meant::RunOn && life.is_alive() || by_operator {
                return Standing::Runs;
            }
            let state = if life.state().is_empty() { "not submitted" } else { life.native() };
            Standing::Lost(format!(
                "it has not ended: {} on {place}, {state} since {}",
                status.phase(),
                life.states.last().map_or(life.begin, |stated| stated.at)
            ))
        }
    }
}

#[cfg(test)]
#[path = "lost_tests.rs"]
mod tests;
