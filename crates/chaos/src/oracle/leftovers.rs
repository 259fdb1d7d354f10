//! Finds what runs or is left on members and should not be.
//!
//! Owns no state. Nothing of a job may run when it has ended, is let go of or is gone, and nothing but what is on record
//! while it has not, unless the record itself says that something was let go of: a row of the history, or the member's own list.

use super::Finding;
use super::doubled::is_left_behind;
use super::facts::{Facts, JobFacts};
use super::life::{Kind, Life};

/// What is left of one job.
pub(crate) fn of(job: &JobFacts, facts: &Facts) -> Vec<String> {
    let lives = job.applications.iter().chain(&job.drivers);
    lives.filter_map(|life| left(job, life, facts).or_else(|| outlived(job, life, facts))).collect()
}

/// A job is let go of when nothing of it runs any more, and nothing ever will.
fn outlived(job: &JobFacts, life: &Life, facts: &Facts) -> Option<String> {
    let course = &job.course;
    let let_go = course.let_go.filter(|_| job.at_end.is_none() && !course.is_abandoned)?;
    let is_later = life.spans().iter().any(|span| span.to.is_none_or(|to| to > let_go));
    if !is_later || is_let_go(job, life, facts) || is_left_behind(job, life) {
        return None;
    }
    let until = life.ended().map_or("the end".to_owned(), |ended| ended.to_string());
    Some(format!("the job was let go of at {let_go}, and {} was alive until {until}", life.title()))
}

fn left(job: &JobFacts, life: &Life, facts: &Facts) -> Option<String> {
    if !life.is_left || is_let_go(job, life, facts) {
        return None;
    }
    let state = if life.state().is_empty() { "not submitted" } else { life.native() };
    let Some(at_end) = &job.at_end else {
        if life.is_alive() {
            return Some(format!("the job is gone, and {} is alive: {state}", life.title()));
        }
        if life.kind == Kind::Driver {
            return None;
        }
        let over = life.ended().unwrap_or(life.last_seen);
        let is_due = facts.end.duration_since(over).unsigned_abs() > facts.sweep_within;
        let held = if life.is_held { ", held by our finalizer" } else { "" };
        return is_due.then(|| {
            format!("the job is gone, and {} is still there{held}: {state} since {over}", life.title())
        });
    };
    if !life.is_alive() {
        return None;
    }
    if at_end.status.is_true("Finished") {
        let phase = at_end.status.phase();
        return Some(format!("the job ended as {phase}, and {} is alive: {state}", life.title()));
    }
    let recorded = job.recorded();
    let is_recorded = recorded.is_some_and(|recorded| match life.kind {
        Kind::Application | Kind::Run => std::ptr::eq(recorded, life),
        Kind::Driver => life.owner.is_none() || life.owner == recorded.uid,
    });
    (!is_recorded).then(|| {
        let record = recorded.map_or_else(|| "nothing".to_owned(), Life::title);
        format!("{} is alive ({state}), and on record is {record}", life.title())
    })
}

/// Whether the record says that it was let go of and may still run.
fn is_let_go(job: &JobFacts, life: &Life, facts: &Facts) -> bool {
    let Some(attempt) = life.attempt else { return false };
    let key = (job.submitted.uid.clone(), attempt);
    let is_listed = facts.members.get(&life.member).is_some_and(|member| member.abandoned.contains(&key));
    let status = job.at_end.as_ref().map(|at_end| &at_end.status);
    let mut rows = status.into_iter().flat_map(|status| &status.history);
    let in_history = rows.any(|row| row.attempt == attempt && row.left.as_deref() == Some("MayRun"));
    let is_forgotten = status.is_some_and(|status| {
        status.reason() == "Abandoned"
            && status.placement.as_ref().is_some_and(|it| it.cluster == life.member)
    });
    is_listed || in_history || is_forgotten
}

/// What belongs to no job that was submitted.
pub(crate) fn strangers(facts: &Facts) -> Vec<Finding> {
    let of_nobody = facts.strangers.iter().map(|life| Finding {
        job: format!("uid {}", life.job.as_deref().unwrap_or("unknown")),
        what: format!("{}, created {}, is of a job that nobody submitted", life.title(), life.begin),
    });
    let unknown = facts.unknown_jobs.iter().map(|job| Finding {
        job: job.clone(),
        what: "the hub took it in, and nobody submitted it".to_owned(),
    });
    of_nobody.chain(unknown).collect()
}

#[cfg(test)]
#[path = "leftovers_tests.rs"]
mod tests;
