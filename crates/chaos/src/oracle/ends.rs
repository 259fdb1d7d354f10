//! Holds the ends on the hub against what happened.
//!
//! Owns no state. One table says what each reason of a failure claims and what it excuses; a reason that is not in it is
//! itself unexplained.

use super::doubled::is_left_behind;
use super::facts::{Facts, JobFacts};
use super::life::{DRIVER_EXISTS, Life};
use super::view::{Job, Placement};
use crate::evidence::Meant;

/// What a reason of a failure claims, and what it excuses.
struct Claim {
    reason: &'static str,
    /// It comes of a fault or of a limit that was set: a job that was meant to end otherwise may end so.
    excuses: bool,
    /// What is wrong with the claim; `None` where it is true.
    check: fn(&JobFacts, &Job, &Facts) -> Option<String>,
}

/// Every reason with which a job fails.
const CLAIMS: [Claim; 15] = [
    // The application itself.
    Claim { reason: "JobFailed", excuses: false, check: application_failed },
    Claim { reason: "SubmissionFailed", excuses: false, check: application_failed },
    Claim { reason: "SchedulingFailure", excuses: false, check: application_failed },
    Claim { reason: "QuotaExceeded", excuses: true, check: application_failed },
    Claim { reason: "DriverLost", excuses: true, check: application_failed },
    // The member.
    Claim { reason: "RemoteVanished", excuses: true, check: is_gone },
    Claim { reason: "NameTaken", excuses: true, check: name_is_taken },
    Claim { reason: "ExternallyCancelled", excuses: true, check: others_cancelled },
    Claim { reason: "RejectedByMember", excuses: true, check: was_refused },
    Claim { reason: "Abandoned", excuses: true, check: member_is_forgotten },
    // Limits.
    Claim {
        reason: "RunDeadlineExceeded",
        excuses: true,
        check: |_, job, _| lacks(job.spec.deadlines.run.as_ref(), "spec.deadlines.run"),
    },
    Claim {
        reason: "StartDeadlineExceeded",
        excuses: true,
        check: |_, job, _| lacks(job.spec.deadlines.start.as_ref(), "spec.deadlines.start"),
    },
    Claim {
        reason: "QueuedDeadlineExceeded",
        excuses: true,
        check: |_, job, _| lacks(job.spec.deadlines.queued.as_ref(), "spec.deadlines.queued"),
    },
    Claim { reason: "RanTooLong", excuses: true, check: queue_has_limit },
    Claim {
        reason: "Stopped",
        excuses: false,
        check: |_, _, _| Some("nobody stops a job without a cause".to_owned()),
    },
];

/// What is wrong with the end of a job, if it has one.
pub(crate) fn of(job: &JobFacts, facts: &Facts) -> Vec<String> {
    let mut odd = job.course.oddities.clone();
    let Some(at_end) = &job.at_end else { return odd };
    odd.extend(words_agree(at_end).filter(|_| !at_end.is_deleting));
    if !at_end.status.is_true("Finished") {
        return odd;
    }
    odd.extend(match at_end.status.phase() {
        "Succeeded" => succeeded(job, at_end),
        "Failed" => failed(job, at_end, facts),
        _ => None,
    });
    odd.extend(on_record(job, at_end));
    odd.extend(too_early(job, at_end));
    odd.extend(unfenced(job, at_end));
    odd.extend(as_meant(job, at_end, facts));
    odd
}

/// Phase and conditions say the same.
fn words_agree(at_end: &Job) -> Option<String> {
    let status = &at_end.status;
    let phase = status.phase.as_deref()?;
    let (succeeded, finished) = match phase {
        "Succeeded" => ("True", "True"),
        "Failed" | "Cancelled" => ("False", "True"),
        _ => ("Unknown", "False"),
    };
    let says = |kind: &str| status.condition(kind).map_or("absent", |found| &found.status);
    let (is_succeeded, is_finished) = (says("Succeeded"), says("Finished"));
    ((is_succeeded, is_finished) != (succeeded, finished))
        .then(|| format!("phase {phase} with Succeeded={is_succeeded} and Finished={is_finished}"))
}

/// Whether the application ended well: by its own word, or by its driver's where its operator submitted twice and gave up.
fn ended_well(job: &JobFacts, application: &Life) -> bool {
    let gave_up = application.error().contains(DRIVER_EXISTS);
    application.completed() || gave_up && job.drivers_of(application).any(Life::completed)
}

fn succeeded(job: &JobFacts, at_end: &Job) -> Option<String> {
    if !job.applications.iter().any(|life| ended_well(job, life)) {
        let states: Vec<_> =
            job.applications.iter().map(|life| format!("{}: {}", life.title(), life.native())).collect();
        return Some(format!(
            "Succeeded, and none of its applications ever completed: [{}]",
            states.join("; ")
        ));
    }
    match job.recorded() {
        Some(recorded) if ended_well(job, recorded) => None,
        Some(recorded) => Some(format!(
            "Succeeded, and the one on record did not complete: {}, {}",
            recorded.title(),
            recorded.native()
        )),
        None => Some(format!("Succeeded, and nothing on record completed: {}", recorded_as(at_end))),
    }
}

fn recorded_as(at_end: &Job) -> String {
    at_end.status.placement.as_ref().map_or_else(
        || "no placement".to_owned(),
        |it| {
            let uid = it.remote_uid.as_deref().unwrap_or("none");
            format!("{}/{} on {}, uid {uid}", it.namespace, it.remote_name, it.cluster)
        },
    )
}

fn failed(job: &JobFacts, at_end: &Job, facts: &Facts) -> Option<String> {
    let reason = at_end.status.reason();
    let Some(claim) = CLAIMS.iter().find(|claim| claim.reason == reason) else {
        return Some(format!(
            "Failed for a reason that is not known: {reason:?}, {}",
            at_end.status.message()
        ));
    };
    (claim.check)(job, at_end, facts).map(|wrong| format!("Failed with {reason}, but {wrong}"))
}

fn application_failed(job: &JobFacts, at_end: &Job, _: &Facts) -> Option<String> {
    let Some(life) = job.recorded() else {
        return Some(format!("nothing on record was ever there: {}", recorded_as(at_end)));
    };
    if life.completed() {
        return Some(format!("{} completed", life.title()));
    }
    (!life.failed()).then(|| format!("{} did not fail: {:?}", life.title(), life.native()))
}

fn others_cancelled(job: &JobFacts, at_end: &Job, _: &Facts) -> Option<String> {
    let Some(life) = job.recorded() else {
        return Some(format!("nothing on record was ever there: {}", recorded_as(at_end)));
    };
    if !life.reached("CANCELLED") {
        return Some(format!("{} is no job run that was cancelled: {:?}", life.title(), life.native()));
    }
    (!life.cancelled_by_others).then(|| format!("nobody but a router cancelled {}", life.title()))
}

fn is_gone(job: &JobFacts, at_end: &Job, _: &Facts) -> Option<String> {
    // One that was never seen can be gone all the same: its create was accepted, and the log of it lost.
    let life = job.recorded()?;
    if life.is_left {
        return Some(format!("{} is there: {}", life.title(), recorded_as(at_end)));
    }
    life.completed().then(|| format!("{} had completed before it was gone", life.title()))
}

fn name_is_taken(job: &JobFacts, at_end: &Job, facts: &Facts) -> Option<String> {
    let placement = at_end.status.placement.as_ref();
    let Some(Placement { cluster, namespace, remote_name, .. }) = placement else {
        return Some("it has no placement".to_owned());
    };
    let has_name =
        |life: &Life| life.member == *cluster && life.namespace == *namespace && life.name == *remote_name;
    let is_foreign = facts.foreign.contains(&(cluster.clone(), namespace.clone(), remote_name.clone()));
    let others = facts.jobs.iter().filter(|other| other.submitted.uid != job.submitted.uid);
    let by_another = others.flat_map(|other| &other.applications).chain(&facts.strangers).any(has_name);
    (!is_foreign && !by_another)
        .then(|| format!("nothing foreign was ever {namespace}/{remote_name} on {cluster}"))
}

fn was_refused(job: &JobFacts, _: &Job, _: &Facts) -> Option<String> {
    (job.refused == 0).then(|| "no member ever refused its create".to_owned())
}

fn member_is_forgotten(_: &JobFacts, at_end: &Job, facts: &Facts) -> Option<String> {
    let cluster = at_end.status.placement.as_ref().map(|placement| placement.cluster.as_str());
    let member = cluster.and_then(|cluster| facts.members.get(cluster));
    member.filter(|member| !member.is_forgotten).map(|member| format!("{} is not forgotten", member.name))
}

fn queue_has_limit(_: &JobFacts, at_end: &Job, facts: &Facts) -> Option<String> {
    let queue = facts.queues.get(&at_end.spec.queue);
    (!queue.is_some_and(|queue| queue.has_longest_run)).then(|| "its queue sets no limit".to_owned())
}

fn lacks(field: Option<&String>, name: &str) -> Option<String> {
    field.is_none().then(|| format!("{name} is not set"))
}

/// What a finished job has on record is what there was.
fn on_record(job: &JobFacts, at_end: &Job) -> Option<String> {
    let placement = at_end.status.placement.as_ref()?;
    let uid = placement.remote_uid.as_ref()?;
    let Some(life) = job.recorded() else {
        let elsewhere = job.applications.iter().find(|life| life.uid.as_ref() == Some(uid));
        return Some(match elsewhere {
            Some(life) => format!("on record is {}, and that uid is {}", recorded_as(at_end), life.title()),
            None => format!("on record is {}, and there never was such an application", recorded_as(at_end)),
        });
    };
    let is_same = (&life.namespace, &life.name, life.attempt)
        == (&placement.namespace, &placement.remote_name, Some(placement.attempt));
    (!is_same).then(|| {
        format!(
            "on record is attempt {} as {}, and it is {}",
            placement.attempt,
            recorded_as(at_end),
            life.title()
        )
    })
}

/// An end is not on the hub before it came about on the member.
fn too_early(job: &JobFacts, at_end: &Job) -> Option<String> {
    let (written, _) = job.course.finished.as_ref()?;
    let is_own_end = at_end.status.phase() == "Succeeded"
        || matches!(
            at_end.status.reason(),
            "JobFailed" | "SubmissionFailed" | "SchedulingFailure" | "QuotaExceeded" | "ExternallyCancelled"
        );
    let life = job.recorded().filter(|_| is_own_end)?;
    let drivers = job.drivers_of(life).filter_map(Life::ended);
    let ended = life.ended().into_iter().chain(drivers).min()?;
    (*written < ended)
        .then(|| format!("its end was written at {written}, and {} ended only at {ended}", life.title()))
}

/// A job that was stopped, or whose driver is lost, ran nowhere any more when that was written.
fn unfenced(job: &JobFacts, at_end: &Job) -> Vec<String> {
    let (status, course) = (&at_end.status, &job.course);
    let reason = status.reason();
    let claims_fence = status.phase() == "Cancelled"
        || matches!(reason, "DriverLost" | "RunDeadlineExceeded" | "StartDeadlineExceeded" | "RanTooLong");
    let Some((written, _)) = course.finished.as_ref().filter(|_| claims_fence) else { return Vec::new() };
    let lives = job.applications.iter().chain(&job.drivers).filter(|life| !is_left_behind(job, life));
    lives
        .filter(|life| life.was_alive(*written))
        .map(|life| {
            let until = life.ended().map_or("the end".to_owned(), |ended| ended.to_string());
            format!("{reason} was written at {written}, and {} was alive until {until}", life.title())
        })
        .collect()
}

/// Where nothing disturbed it, it ended as it was meant to.
fn as_meant(job: &JobFacts, at_end: &Job, facts: &Facts) -> Option<String> {
    let (meant, status) = (job.submitted.meant, &at_end.status);
    let phase = status.phase();
    let is_excused = CLAIMS.iter().any(|claim| claim.reason == status.reason() && claim.excuses);
    let by_operator = !job.operator_doubled.is_empty();
    let is_right = match phase {
        "Cancelled" => job.submitted.cancelled || at_end.spec.cancel,
        "Succeeded" => meant == Meant::Succeed,
        _ => meant == Meant::Fail || is_excused || by_operator || could_not_be_submitted(job, at_end, facts),
    };
    (!is_right).then(|| {
        format!(
            "it was meant to {}, and ended as {phase} ({}): {}",
            verb(meant),
            status.reason(),
            status.message()
        )
    })
}

/// A real operator gives up where its API server refuses it, as one does that has just been started: its submission met
/// a fault of the run.
fn could_not_be_submitted(job: &JobFacts, at_end: &Job, facts: &Facts) -> bool {
    let life = job.recorded().filter(|_| at_end.status.reason() == "SubmissionFailed");
    life.is_some_and(|life| {
        let failed =
            life.states.iter().find(|it| matches!(it.state.as_str(), "SUBMISSION_FAILED" | "FAILED"));
        let failed = failed.map_or(life.last_seen, |stated| stated.at);
        let mut here = facts.down.iter().filter(|fault| fault.member.as_ref() == Some(&life.member));
        here.any(|fault| fault.from < failed && fault.to > life.begin)
    })
}

fn verb(meant: Meant) -> &'static str {
    match meant {
        Meant::Succeed => "succeed",
        Meant::Fail => "fail",
        Meant::RunOn => "run on",
        Meant::Wait => "wait",
    }
}

#[cfg(test)]
#[path = "ends_tests.rs"]
mod tests;
