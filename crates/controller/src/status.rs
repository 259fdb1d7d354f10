//! What a job's status says after each step.
//!
//! Owns no state. Pure: the object as it is and one change go in, the whole next status comes out. Conditions are the
//! record that programs read; phase, reason and message are the same thing for people. `Reconciling` and `Stalled` are
//! there only while True and never together, as kstatus wants it.

mod attempts;
mod held;
mod stop;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use spark_router_api::{
    RoutedSparkJob, RoutedSparkJobStatus,
    condition::{self, Finding, Truth, reason},
    executors::ExecutorCounts,
    job::{ApplicationLinks, ApplicationStatus, PastAttempt, PlacementRecord},
};
use spark_router_core::{
    application::Application,
    job::{Past, Rejection, Stopping},
    phase::Phase,
    step::{Cause, DeletionWaits, Mirror, Outcome, Pause, Requeue, Trouble},
    waits::Waits,
};

/// One change of a job's status.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// The template cannot be taken.
    Rejected(&'a Rejection),
    /// It waits for a place.
    Waiting(&'a Waits),
    /// A member is chosen.
    Placed {
        /// The decision.
        placement: Box<PlacementRecord>,
        /// Freezes the spec.
        spec_hash: String,
    },
    /// An attempt was found on a member that the record did not know.
    Adopted {
        /// It, as a placement.
        placement: Box<PlacementRecord>,
        /// Freezes the spec.
        spec_hash: String,
        /// What else was found of the job.
        older: Vec<PastAttempt>,
    },
    /// What the placement is created as is not what it was when it was made.
    Rendered(&'a str),
    /// The placement stands, and this process is about to send for it.
    Claimed,
    /// The placement stands, and its create gets no further.
    Delayed {
        /// One word.
        reason: &'static str,
        /// What it waits for.
        why: &'a str,
    },
    /// The placement is taken back.
    Withdrawn(&'a Cause),
    /// The application was observed.
    Mirrored(&'a Mirror, ApplicationLinks),
    /// Nothing can be seen or done on the member.
    Unreachable(Trouble),
    /// The end.
    Finished(&'a Outcome, ApplicationLinks),
    /// It is to be stopped.
    Stopping(&'a Stopping),
    /// Its stop waits.
    StopWaits(&'a DeletionWaits),
    /// Its deletion waits.
    Terminating(&'a DeletionWaits),
    /// The spec was edited after the end; what is on record holds.
    Observed,
    /// The stored template is not what was placed first; nothing is created from it.
    Drifted,
    /// The attempt is over and is followed by another.
    Requeued(&'a Requeue),
    /// It is held back.
    Suspended,
    /// Its operator is to hold it, or to let it go on.
    Pausing(&'a Pause),
    /// Its member cannot hold it, for this reason.
    NotPaused(&'a str),
    /// Nothing is left of a past attempt.
    Closed(&'a Past),
}

/// The status after `change`, or `None` when it would say what it says already.
pub fn after(object: &RoutedSparkJob, change: &Change<'_>, now: Timestamp) -> Option<RoutedSparkJobStatus> {
    let before = object.status.clone().unwrap_or_default();
    let mut next =
        Next { object, status: before.clone(), generation: object.metadata.generation, now: Time(now) };
    next.status.observed_generation = object.metadata.generation;
    match change {
        Change::Rejected(rejection) => next.rejected(rejection.reason, &rejection.message),
        Change::Waiting(waits) => next.waiting(waits),
        Change::Placed { placement, spec_hash } => next.placed(placement, spec_hash),
        Change::Adopted { placement, spec_hash, older } => {
            next.placed(placement, spec_hash);
            next.status.history.extend(older.iter().cloned());
            next.bound_history();
        }
        Change::Rendered(hash) => next.rendered(hash),
        Change::Claimed => next.claimed(),
        Change::Delayed { reason, why } => next.delayed(reason, why),
        Change::Withdrawn(cause) => next.withdrawn(cause),
        Change::Mirrored(mirror, links) => next.mirrored(mirror, links),
        Change::Unreachable(trouble) => next.unreachable(*trouble),
        Change::Finished(outcome, links) => next.finished(outcome, links),
        Change::Stopping(stopping) => next.stopping(stopping),
        Change::StopWaits(waits) => next.stop_waits(waits),
        Change::Terminating(waits) => next.terminating(waits),
        Change::Observed => next.observed(),
        Change::Drifted => next.drifted(),
        Change::Requeued(requeue) => next.requeued(requeue),
        Change::Suspended => next.suspended(),
        Change::Pausing(pause) => next.pausing(pause),
        Change::NotPaused(why) => next.not_paused(why),
        Change::Closed(past) => next.closed(past),
    }
    (next.status != before).then_some(next.status)
}

struct Next<'a> {
    object: &'a RoutedSparkJob,
    status: RoutedSparkJobStatus,
    generation: Option<i64>,
    now: Time,
}

impl Next<'_> {
    fn set(&mut self, type_: &'static str, status: Truth, reason: &str, message: &str) {
        let finding = Finding { type_, status, reason: reason.to_owned(), message: message.to_owned() };
        condition::set(&mut self.status.conditions, finding, self.generation, &self.now);
    }

    fn show(&mut self, phase: Phase, reason: &str, message: &str) {
        self.status.phase = Some(phase.as_str().to_owned());
        self.status.reason = Some(reason.to_owned());
        self.status.message = Some(message.to_owned());
    }

    fn going_on(&mut self, reason: &str, message: &str) {
        condition::remove(&mut self.status.conditions, condition::STALLED);
        self.set(condition::RECONCILING, Truth::True, reason, message);
    }

    fn stalled(&mut self, reason: &str, message: &str) {
        condition::remove(&mut self.status.conditions, condition::RECONCILING);
        self.set(condition::STALLED, Truth::True, reason, message);
    }

    fn unfinished(&mut self, reason: &str) {
        self.set(condition::SUCCEEDED, Truth::Unknown, reason, "the job has not ended");
        self.set(condition::FINISHED, Truth::False, reason, "the job has not ended");
    }

    fn accepted(&mut self) {
        self.set(condition::ACCEPTED, Truth::True, reason::VALID, "the template can be taken");
    }

    fn rejected(&mut self, why: &str, message: &str) {
        self.set(condition::ACCEPTED, Truth::False, why, message);
        self.set(condition::PLACED, Truth::False, why, "the job is not placed until it is mended");
        self.unfinished(why);
        self.stalled(why, message);
        self.show(Phase::Queued, why, message);
    }

    fn waiting(&mut self, waits: &Waits) {
        let Waits { reason: why, message, .. } = waits;
        let words = [reason::QUEUE_NOT_FOUND, reason::NAMESPACE_NOT_ADMITTED, reason::PRIORITY_TOO_HIGH];
        if words.contains(why) {
            return self.rejected(why, message);
        }
        let was_held = condition::find(&self.status.conditions, condition::PLACED)
            .is_some_and(|c| c.reason == reason::SUSPENDED);
        if was_held {
            self.status.waiting_since = Some(self.now.clone());
        }
        self.accepted();
        self.set(condition::PLACED, Truth::False, why, message);
        self.unfinished(reason::WAITING_FOR_PLACEMENT);
        self.going_on(reason::WAITING_FOR_PLACEMENT, message);
        self.show(Phase::Queued, why, message);
    }

    fn placed(&mut self, placement: &PlacementRecord, spec_hash: &str) {
        let why = placement.why.as_deref().unwrap_or("chosen");
        let message = format!("{}: {why}", placement.cluster);
        self.accepted();
        self.set(condition::PLACED, Truth::True, reason::PLACED, &message);
        self.unfinished(reason::DISPATCHING);
        self.going_on(reason::DISPATCHING, &message);
        self.show(Phase::Dispatched, reason::PLACED, &message);
        condition::remove(&mut self.status.conditions, condition::MEMBER_REACHABLE);
        condition::remove(&mut self.status.conditions, condition::SUSPENDED);
        self.status.cluster = Some(placement.cluster.clone());
        self.status.attempt = Some(placement.attempt);
        self.status.placement = Some(placement.clone());
        self.status.application = None;
        self.status.stopping = None;
        self.status.waiting_since = None;
        self.status.not_before = None;
        if self.status.spec_hash.is_none() {
            self.status.spec_hash = Some(spec_hash.to_owned());
        }
    }

    fn rendered(&mut self, hash: &str) {
        if let Some(placement) = &mut self.status.placement {
            placement.render_hash = Some(hash.to_owned());
        }
    }

    fn claimed(&mut self) {
        if let Some(placement) = &mut self.status.placement {
            placement.claims = Some(placement.claims.unwrap_or(0).saturating_add(1));
        }
    }

    fn delayed(&mut self, reason: &str, why: &str) {
        let cluster = self.status.cluster.clone().unwrap_or_default();
        let message = match reason {
            reason::UNANSWERED => {
                format!("{cluster} has not answered whether it took the job, and is asked again: {why}")
            }
            _ => format!("not sent to {cluster} yet: {why}"),
        };
        self.going_on(reason, &message);
        self.status.reason = Some(reason.to_owned());
        self.status.message = Some(message);
    }

    fn record(&mut self, application: &Application, links: &ApplicationLinks) {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let counts = application.executors;
        self.status.application = Some(ApplicationStatus {
            state: text(&application.state),
            id: application.id.clone(),
            submission_id: application.submission_id.clone(),
            submitted_at: application.submitted_at.map(Time),
            started_at: application.started_at.map(|at| Time(crate::convert::to_the_second(at))),
            finished_at: application.finished_at.map(|at| Time(crate::convert::to_the_second(at))),
            attempts: (application.attempts > 0).then_some(application.attempts),
            executors: (counts != spark_router_core::observe::ExecutorCounts::default()).then_some(
                ExecutorCounts {
                    pending: counts.pending,
                    running: counts.running,
                    completed: counts.completed,
                    failed: counts.failed,
                },
            ),
            driver_pod: application.driver_pod.clone(),
            links: (*links != ApplicationLinks::default()).then(|| links.clone()),
            error: application.error.clone(),
        });
    }

    fn mirrored(&mut self, mirror: &Mirror, links: &ApplicationLinks) {
        let Mirror { phase, uid, application } = mirror;
        if let Some(placement) = &mut self.status.placement {
            placement.remote_uid = Some(uid.as_str().to_owned());
        }
        self.record(application, links);
        if condition::find(&self.status.conditions, condition::MEMBER_REACHABLE).is_some() {
            self.set(condition::MEMBER_REACHABLE, Truth::True, reason::REACHABLE, "the member answers");
        }
        let why = match phase {
            Phase::Running => reason::RUNNING,
            Phase::Retrying => reason::RETRYING,
            Phase::Cancelling => reason::CANCELLING,
            Phase::Suspended => reason::SUSPENDED,
            // What its driver waits for begins with a word.
            Phase::Submitted => application.error.as_deref().and_then(word).unwrap_or(reason::DISPATCHING),
            Phase::Queued | Phase::Dispatched | Phase::Succeeded | Phase::Failed | Phase::Cancelled => {
                reason::DISPATCHING
            }
        };
        self.held_or_on(*phase == Phase::Suspended);
        let cluster = self.status.cluster.clone().unwrap_or_default();
        let state = if application.state.is_empty() { "created" } else { &application.state };
        let message = match &application.error {
            Some(error) => format!("{state} on {cluster}: {error}"),
            None => format!("{state} on {cluster}"),
        };
        self.unfinished(why);
        self.going_on(why, &message);
        self.show(*phase, why, &message);
    }

    fn unreachable(&mut self, trouble: Trouble) {
        let cluster = self.status.cluster.clone().unwrap_or_default();
        let (why, message) = match trouble {
            Trouble::Silent { since } => (
                reason::MEMBER_UNREACHABLE,
                format!(
                    "{cluster} does not answer since {since}; the job may go on there, its state is shown again when \
                     {cluster} is back"
                ),
            ),
            Trouble::Missing => (
                reason::MEMBER_MISSING,
                format!(
                    "{cluster} is no registered MemberCluster any more, or another cluster than the one that was placed \
                     on; the job may go on there, its state is shown again when that cluster is back under its name"
                ),
            ),
            Trouble::Faulty => (
                reason::MEMBER_NOT_READY,
                format!("{cluster} cannot be worked with; kubectl get mc {cluster} -o wide says why"),
            ),
        };
        self.set(condition::MEMBER_REACHABLE, Truth::False, why, &message);
        self.going_on(why, &message);
        self.status.reason = Some(why.to_owned());
        self.status.message = Some(message);
    }

    fn finished(&mut self, outcome: &Outcome, links: &ApplicationLinks) {
        let Outcome { phase, reason: why, message, uid, application, .. } = outcome;
        if let (Some(placement), Some(uid)) = (&mut self.status.placement, uid) {
            placement.remote_uid = Some(uid.as_str().to_owned());
        }
        if let Some(application) = application {
            self.record(application, links);
        }
        let succeeded = *phase == Phase::Succeeded;
        let message = match application.as_ref().and_then(|a| a.error.as_ref()) {
            Some(error) if !succeeded && !message.contains(error.as_str()) => format!("{message}: {error}"),
            _ => message.clone(),
        };
        self.accepted();
        condition::remove(&mut self.status.conditions, condition::SUSPENDED);
        self.set(condition::SUCCEEDED, Truth::from(succeeded), why, &message);
        self.set(condition::FINISHED, Truth::True, why, &message);
        if *why != reason::ABANDONED
            && condition::find(&self.status.conditions, condition::MEMBER_REACHABLE).is_some()
        {
            self.set(condition::MEMBER_REACHABLE, Truth::True, reason::REACHABLE, "the member answered");
        }
        if condition::find(&self.status.conditions, condition::PLACED).is_some_and(|c| c.status != "True") {
            self.set(condition::PLACED, Truth::False, why, &message);
        }
        if succeeded {
            condition::remove(&mut self.status.conditions, condition::RECONCILING);
            condition::remove(&mut self.status.conditions, condition::STALLED);
        } else {
            self.stalled(why, &message);
        }
        self.status.stopping = None;
        self.status.not_before = None;
        self.status.waiting_since = None;
        self.show(*phase, why, &message);
        self.remember(phase.as_str(), why, None);
    }

    fn suspended(&mut self) {
        let message = "held back by spec.suspend; it waits for a place again when that is false";
        self.accepted();
        self.set(condition::PLACED, Truth::False, reason::SUSPENDED, message);
        self.unfinished(reason::SUSPENDED);
        self.going_on(reason::SUSPENDED, message);
        self.show(Phase::Suspended, reason::SUSPENDED, message);
    }

    fn observed(&mut self) {
        for condition in &mut self.status.conditions {
            condition.observed_generation = self.generation;
        }
    }

    fn drifted(&mut self) {
        let message = "spec.template differs from what was placed first, and nothing was created yet; put it back, or \
                       delete the job and create it anew";
        self.set(condition::ACCEPTED, Truth::False, reason::SPEC_DRIFT, message);
        self.stalled(reason::SPEC_DRIFT, message);
        self.status.reason = Some(reason::SPEC_DRIFT.to_owned());
        self.status.message = Some(message.to_owned());
    }
}

/// The word that a text begins with, before a colon.
fn word(text: &str) -> Option<&str> {
    let (word, _) = text.split_once(": ")?;
    let is_word = word.len() <= 64 && word.chars().all(|c| c.is_ascii_alphanumeric());
    (is_word && word.starts_with(|c: char| c.is_ascii_uppercase())).then_some(word)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
