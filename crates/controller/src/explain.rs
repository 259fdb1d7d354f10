//! Why a job is where it is, or what it waits for: for each member the first reason, with the numbers of this moment.
//!
//! Owns no state. Rebuilds the dispatcher from what is on the hub's record, as a start of the router does, and asks it:
//! the answer comes from the very code that decides. What only the router's memory has (tokens of rate limits, a quota
//! that was full a second ago) is not in it. Writes nothing.

mod picture;

use jiff::Timestamp;
use serde::Serialize;
use spark_router_api::RoutedSparkJob;
use spark_router_core::{dispatch::Answer, id::QueueName, place::Verdict};

pub use picture::Picture;

use crate::{convert, dispatcher::applicant, error::Error};

/// Why a job is where it is, or what it waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `namespace/name`.
    pub job: String,
    /// Its queue.
    pub queue: String,
    /// The phase on record; absent for a manifest that is not on the hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The member that it was placed on, and why, as recorded then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
    /// Where it would go now, if it could be placed now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_go_to: Option<String>,
    /// One word for what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Waiting jobs of its queue that go before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    /// Every member as it is for this job now, by name.
    pub members: Vec<MemberRow>,
}

/// A recorded placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// The member.
    pub cluster: String,
    /// Why, as recorded with the decision.
    pub why: String,
}

/// One member, for one job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberRow {
    /// The member.
    pub name: String,
    /// Tier of the queue's route to it.
    pub tier: u32,
    /// Weight in the queue; 0 without a route.
    pub weight: u32,
    /// Jobs that the queue owes it (or that it had in advance), as an exact fraction.
    pub credit: String,
    /// `Possible`, or the first reason why not.
    pub verdict: String,
    /// The reason in words, with the numbers of this moment.
    pub detail: String,
    /// What it would run otherwise than the job says: fields, and what becomes of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<String>,
}

/// Explains a job: one of the picture, or a manifest that is not on the hub.
///
/// # Errors
/// [`Error::Incomplete`] for an object that no API server would store.
pub fn explain(object: &RoutedSparkJob, picture: &Picture, now: Timestamp) -> Result<Explanation, Error> {
    let parsed = convert::job(object, picture.queue(&object.spec.queue).as_ref(), &picture.kinds(), None)?;
    let otherwise = picture.otherwise(object, &parsed)?;
    let job = parsed.job;
    let status = object.status.as_ref();
    let mut explanation = Explanation {
        job: job.key.to_string(),
        queue: object.spec.queue.clone(),
        phase: status.and_then(|status| status.phase.clone()),
        placed: status.and_then(|status| status.placement.as_ref()).map(|placement| Placed {
            cluster: placement.cluster.clone(),
            why: placement.why.clone().unwrap_or_default(),
        }),
        would_go_to: None,
        reason: status.and_then(|status| status.reason.clone()),
        message: status.and_then(|status| status.message.clone()),
        ahead: None,
        members: Vec::new(),
    };
    let request = match &job.request {
        Ok(request) => request,
        Err(rejection) => {
            if explanation.placed.is_none() {
                explanation.reason = Some(rejection.reason.to_owned());
                explanation.message = Some(rejection.message.clone());
            }
            return Ok(explanation);
        }
    };
    let applicant = applicant(&job, request);
    let mut dispatcher = picture.dispatcher(now);
    let waits = explanation.placed.is_none() && job.record.finished.is_none();
    if waits {
        dispatcher.enqueue(applicant.clone());
        explanation.ahead = dispatcher.ahead_of(&job.uid);
    }
    // As things are before anything more is placed: what the job would be told now.
    let verdicts = dispatcher.weigh(&applicant, now).unwrap_or_default();
    explanation.members = rows(&request.queue, &verdicts, &dispatcher.standing(&request.queue).1.credits);
    for row in explanation.members.iter_mut().filter(|row| row.verdict != "NoRoute") {
        row.otherwise = otherwise.get(&row.name).cloned().unwrap_or_default();
    }
    if waits {
        dispatcher.pass(now);
        match dispatcher.answer(&job.uid) {
            Some(Answer::Place(decision)) => {
                explanation.would_go_to = Some(decision.cluster.as_str().to_owned());
                explanation.reason = Some("CanBePlaced".to_owned());
                explanation.message =
                    Some(format!("{}: {}", decision.cluster, decision.choice.why(&decision.cluster)));
            }
            Some(Answer::Wait(waits)) => {
                explanation.reason = Some(waits.reason.to_owned());
                explanation.message = Some(waits.message);
            }
            None => {}
        }
    }
    Ok(explanation)
}

fn rows(
    queue: &QueueName,
    verdicts: &[Verdict],
    credits: &spark_router_core::credit::Credits,
) -> Vec<MemberRow> {
    verdicts
        .iter()
        .map(|verdict| MemberRow {
            name: verdict.cluster.as_str().to_owned(),
            tier: verdict.tier,
            weight: verdict.weight,
            credit: credits.of(&verdict.cluster).to_string(),
            verdict: verdict.exclusion.as_ref().map_or("Possible", |exclusion| exclusion.reason()).to_owned(),
            detail: match &verdict.exclusion {
                Some(exclusion) => exclusion.in_numbers(),
                None => {
                    format!("{} of 1000 parts free of what is scarcest for queue {queue}", verdict.headroom)
                }
            },
            otherwise: Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
