//! Finds jobs that ran twice.
//!
//! Owns no state. Two objects alive at one instant are a finding even if the first never got to run: nothing but its
//! operator's leisure kept it from it. Two job runs of one attempt are one as well, also where the first had ended: one
//! start made both. What the operator itself doubled is not counted here. A job whose owner allows
//! duplicates may have two, if its record says that the first was left behind.

use super::facts::JobFacts;
use super::life::{Kind, Life};

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Twice {
    pub(crate) findings: Vec<String>,
    /// Two were alive at once, by the owner's leave.
    pub(crate) by_leave: bool,
}

/// All that is to be said of one job.
pub(crate) fn of(job: &JobFacts) -> Twice {
    let mut twice = Twice::default();
    at_once(job, &mut twice);
    after_the_end(job, &mut twice);
    one_after_the_other(job, &mut twice);
    one_start(job, &mut twice);
    twice
}

/// Pairs of lives, the earlier one first.
fn pairs(lives: &[Life]) -> impl Iterator<Item = (&Life, &Life)> {
    lives.iter().enumerate().flat_map(|(index, first)| {
        lives.get(index + 1..).unwrap_or_default().iter().map(move |second| (first, second))
    })
}

/// What two lives have in common in time, in words.
fn overlap(first: &Life, second: &Life) -> Option<String> {
    let (a, b) = first
        .spans()
        .into_iter()
        .find_map(|a| second.spans().into_iter().find(|b| a.meets(*b)).map(|b| (a, b)))?;
    let at = a.from.max(b.from);
    let until = |life: &Life, to: Option<_>| match (to, life.gone) {
        (None, _) => "still alive at the end".to_owned(),
        (Some(to), Some(gone)) if to == gone && life.went_unseen => {
            format!("alive until {to} at the latest, no line says how it went")
        }
        (Some(to), _) => format!("alive until {to}"),
    };
    Some(format!(
        "at {at} two were alive: {} ({}, {}) and {} (created {}, {})",
        first.title(),
        first.state_at(at),
        until(first, a.to),
        second.title(),
        second.begin,
        until(second, b.to),
    ))
}

fn at_once(job: &JobFacts, twice: &mut Twice) {
    for (first, second) in pairs(&job.applications).chain(pairs(&job.drivers)) {
        let Some(what) = overlap(first, second).filter(|_| !is_operators(job, first, second)) else {
            continue;
        };
        if !job.submitted.duplicates_allowed {
            twice.findings.push(what);
        } else if is_left_behind(job, first) || is_left_behind(job, second) {
            twice.by_leave = true;
        } else {
            twice
                .findings
                .push(format!("{what}; duplicates are allowed, but no row of its history says Abandoned"));
        }
    }
}

/// Whether both are drivers of one application that its operator doubled.
fn is_operators(job: &JobFacts, first: &Life, second: &Life) -> bool {
    first.member == second.member
        && first.owner == second.owner
        && first.owner.as_ref().is_some_and(|owner| job.operator_doubled.contains(owner))
}

/// Whether the record says that the attempt was left behind although it may still run.
pub(crate) fn is_left_behind(job: &JobFacts, life: &Life) -> bool {
    life.attempt
        .and_then(|attempt| job.course.past.get(&attempt))
        .is_some_and(|row| row.outcome == "Abandoned")
}

fn after_the_end(job: &JobFacts, twice: &mut Twice) {
    let Some((ended, phase)) = &job.course.finished else { return };
    // A driver that is late belongs to an application that was there before.
    for life in job.applications.iter().filter(|life| life.begin > *ended) {
        twice.findings.push(format!(
            "{} was created at {} ({}), after the job had ended as {phase} at {ended}",
            life.title(),
            life.begin,
            if life.ran() { "and ran" } else { "and did not get to run" },
        ));
    }
    for life in &job.applications {
        // The first time is the one that the end on record may speak of.
        for span in life.spans().into_iter().skip(1).filter(|span| span.from > *ended) {
            twice.findings.push(format!(
                "{} was brought back at {}, after the job had ended as {phase} at {ended}",
                life.title(),
                span.from,
            ));
        }
    }
}

/// Two that ran, if not at once: only a retry that the owner asked for, or a move on record, explains it.
fn one_after_the_other(job: &JobFacts, twice: &mut Twice) {
    let ran: Vec<&Life> = job.applications.iter().filter(|life| life.ran()).collect();
    let Some((last, earlier)) = ran.split_last() else { return };
    for first in earlier {
        if let Some(what) = unjustified(job, first, last) {
            twice.findings.push(format!("{} ran, and so did {}: {what}", first.title(), last.title()));
        }
    }
}

/// Two job runs of one attempt that nothing else here tells of: they neither met nor both ran.
fn one_start(job: &JobFacts, twice: &mut Twice) {
    for (first, second) in pairs(&job.applications) {
        let is_one = first.kind == Kind::Run && second.kind == Kind::Run && first.attempt == second.attempt;
        if is_one && overlap(first, second).is_none() && !(first.ran() && second.ran()) {
            twice.findings.push(format!(
                "one attempt was started twice: {} at {}, {} at {}",
                first.title(),
                first.begin,
                second.title(),
                second.begin,
            ));
        }
    }
}

fn unjustified(job: &JobFacts, first: &Life, last: &Life) -> Option<String> {
    if first.attempt == last.attempt {
        return Some("one attempt ran twice".to_owned());
    }
    let Some(row) = first.attempt.and_then(|attempt| job.course.past.get(&attempt)) else {
        return Some("no row of its history tells of the first".to_owned());
    };
    if row.outcome == "Abandoned" {
        let allowed = job.submitted.duplicates_allowed;
        return (!allowed).then(|| "it was left behind, and duplicates are not allowed".to_owned());
    }
    if first.completed() {
        return Some("the first had completed".to_owned());
    }
    let is_move = matches!(row.reason.as_str(), "MemberLost" | "MemberDrained");
    let most = job.at_end.as_ref().and_then(|at_end| at_end.spec.retry.as_ref()).map(|it| it.max_attempts);
    match most {
        _ if is_move => None,
        // A job that is gone took its policy with it.
        None if job.at_end.is_none() => None,
        Some(most) if most > 1 => None,
        _ => Some(format!(
            "the first ended as {} ({}), and the job asks for no retry",
            row.outcome, row.reason
        )),
    }
}

#[cfg(test)]
#[path = "doubled_tests.rs"]
mod tests;
