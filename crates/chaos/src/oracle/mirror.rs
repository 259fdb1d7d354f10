//! Holds the status of jobs that have not ended against the members' last state.
//!
//! Owns no state. What changed within the last moments of the evidence is not held against anybody: a status takes its time
//! to be written. A status that says that its member cannot be asked is believed if the member's own object says so too.

use jiff::SignedDuration;

use super::facts::{Facts, JobFacts};
use super::life::{DRIVER_EXISTS, Life};
use super::view::{Job, Placement};
use super::words;

/// A state that is older than this is on the hub.
const MIRRORED: SignedDuration = SignedDuration::from_secs(10);
/// An application that is older than this is on record with its uid.
const RECORDED: SignedDuration = SignedDuration::from_secs(30);
/// Times of objects have whole seconds, and clocks of two processes are read one after the other.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

/// What is wrong with the status of a job at the end.
pub(crate) fn of(job: &JobFacts, facts: &Facts) -> Vec<String> {
    let Some(at_end) = &job.at_end else { return Vec::new() };
    let mut odd = times(at_end, facts);
    if at_end.is_deleting {
        return odd;
    }
    odd.extend(observed(at_end));
    if !at_end.status.is_true("Finished") && at_end.status.phase.is_some() {
        odd.extend(unfinished(job, at_end, facts));
    }
    odd
}

fn observed(at_end: &Job) -> Option<String> {
    let (generation, observed) = (at_end.generation?, at_end.status.observed_generation.unwrap_or(-1));
    (observed != generation)
        .then(|| format!("its status speaks of generation {observed}, and it is at {generation}"))
}

fn times(at_end: &Job, facts: &Facts) -> Vec<String> {
    let mut odd = Vec::new();
    for condition in &at_end.status.conditions {
        let Some(time) = condition.last_transition_time else {
            odd.push(format!("condition {} has no lastTransitionTime", condition.kind));
            continue;
        };
        let is_early = at_end.created.is_some_and(|created| created.duration_since(time) > SLACK);
        if is_early || time.duration_since(facts.end) > SLACK {
            odd.push(format!(
                "condition {} turned {} at {time}, which is before the job or after the run",
                condition.kind, condition.status
            ));
        }
    }
    odd
}

fn unfinished(job: &JobFacts, at_end: &Job, facts: &Facts) -> Vec<String> {
    let status = &at_end.status;
    let placement = status.placement.as_ref();
    if let Some(cluster) = placement.map(|it| &it.cluster).filter(|_| status.is("MemberReachable", "False")) {
        let since = facts.members.get(cluster).and_then(|member| member.ready_since);
        let since = since.filter(|since| facts.end.duration_since(*since) > MIRRORED);
        let odd = since.map(|at| format!("MemberReachable is False, and {cluster} is Ready since {at}"));
        return odd.into_iter().collect();
    }
    let has_place = status.is_true("Placed");
    let Some(placement) = placement else {
        let odd = has_place.then(|| "Placed is True, and there is no placement".to_owned());
        return odd.into_iter().collect();
    };
    let mut odd = Vec::new();
    if !has_place {
        odd.push(format!("it has a placement on {}, and Placed is not True", placement.cluster));
    }
    odd.extend(identity(placement, facts));
    match job.recorded() {
        Some(life) => odd.extend(against(job, at_end, placement, life, facts)),
        None => odd.extend(placement.remote_uid.as_ref().map(|uid| {
            format!(
                "on record is {}/{} on {}, uid {uid}, and there never was such an application",
                placement.namespace, placement.remote_name, placement.cluster
            )
        })),
    }
    odd
}

fn identity(placement: &Placement, facts: &Facts) -> Option<String> {
    let known = facts.members.get(&placement.cluster)?.identity.as_ref()?;
    (*known != placement.member_identity).then(|| {
        format!(
            "it is placed on {} of identity {}, which is {known}",
            placement.cluster, placement.member_identity
        )
    })
}

/// The record against the application.
fn against(job: &JobFacts, at_end: &Job, placement: &Placement, life: &Life, facts: &Facts) -> Vec<String> {
    let (status, mut odd) = (&at_end.status, Vec::new());
    let is_older = |than: SignedDuration, at| facts.end.duration_since(at) > than;
    if placement.remote_uid.is_none() && life.gone.is_none() && is_older(RECORDED, life.begin) {
        odd.push(format!("{} is there since {}, and its uid is not on record", life.title(), life.begin));
    }
    let same = (&placement.namespace, &placement.remote_name, Some(placement.attempt));
    if (&life.namespace, &life.name, life.attempt) != same {
        odd.push(format!(
            "on record is attempt {} as {}/{}, and it is {}",
            placement.attempt,
            placement.namespace,
            placement.remote_name,
            life.title()
        ));
    }
    let changed = life.states.last().map_or(life.begin, |stated| stated.at);
    let by_operator = life.uid.as_ref().is_some_and(|uid| job.operator_doubled.contains(uid));
    if status.stopping.is_some() || life.gone.is_some() || by_operator || !is_older(MIRRORED, changed) {
        return odd;
    }
    let phase = status.phase();
    if !phases_of(life).contains(&phase) {
        odd.push(format!("phase {phase}, and {} is {:?} since {changed}", life.title(), life.native()));
    }
    let mirrored = status.application.as_ref().map_or("", |application| &application.state);
    // Of states that mean the same, one is enough.
    if says_something(life.state()) && words::common(life.backend, "", mirrored) != life.state() {
        odd.push(format!(
            "its status says {mirrored:?}, and {} is {:?} since {changed}",
            life.title(),
            life.native()
        ));
    }
    odd
}

/// States that last, and are mirrored as they are.
fn says_something(state: &str) -> bool {
    matches!(state, "SUBMITTED" | "RUNNING" | "PENDING_RERUN" | "SUSPENDED" | "COMPLETED" | "FAILED")
}

/// The phases of a job that has not ended while its application is in this state.
fn phases_of(life: &Life) -> &'static [&'static str] {
    match life.state() {
        "" | "RESUMING" | words::ACCEPTED => &["Dispatched"],
        "SUBMITTED" => &["Submitted"],
        "RUNNING" => &["Running"],
        "PENDING_RERUN" | "INVALIDATING" => &["Retrying"],
        "SUSPENDING" | "SUSPENDED" => &["Suspended"],
        "COMPLETED" | "CANCELLED" => &[],
        // Its driver may be running: an operator says so of a driver that it started itself.
        "FAILED" if !life.error().contains(DRIVER_EXISTS) => &[],
        _ => &["Dispatched", "Submitted", "Running", "Retrying"],
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
