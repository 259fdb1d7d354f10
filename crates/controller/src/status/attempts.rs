//! What a status says of attempts that are over, and of members that would not have the job.
//!
//! Owns no state. The lists are bounded; what may still run is never forgotten for the length of one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use spark_router_api::{
    condition::{self, Truth, reason},
    job::{ApplicationLinks, LONGEST_HISTORY, Left as Remains, MOST_REFUSALS, MemberRefusal, PastAttempt},
};
use spark_router_core::{
    id::ClusterName,
    job::{Left, Past},
    phase::Phase,
    refusal::{Refusal, RefusalClass},
    step::{Cause, Requeue},
};

use super::Next;

impl Next<'_> {
    pub(super) fn withdrawn(&mut self, cause: &Cause) {
        let Some(placement) = self.status.placement.take() else { return };
        let message = match cause {
            Cause::Unsent => {
                format!("withdrawn from {}: it stopped answering before anything was sent", placement.cluster)
            }
            Cause::Refused(Refusal { reason, message, .. }) => {
                format!("withdrawn from {}: {reason}: {message}", placement.cluster)
            }
        };
        if let Cause::Refused(refusal) = cause
            && refusal.class == RefusalClass::Job
        {
            let cluster = ClusterName::new(&placement.cluster);
            self.refused(&cluster, refusal);
        }
        // A withdrawal uses up no attempt.
        self.status.attempt = placement.attempt.checked_sub(1).filter(|attempt| *attempt > 0);
        self.status.cluster = None;
        self.status.application = None;
        condition::remove(&mut self.status.conditions, condition::MEMBER_REACHABLE);
        self.set(condition::PLACED, Truth::False, reason::WITHDRAWN, &message);
        self.going_on(reason::WAITING_FOR_PLACEMENT, &message);
        self.show(Phase::Queued, reason::WITHDRAWN, &message);
    }

    pub(super) fn refused(&mut self, cluster: &ClusterName, refusal: &Refusal) {
        self.status.refusals.retain(|r| r.cluster != cluster.as_str());
        self.status.refusals.push(MemberRefusal {
            cluster: cluster.as_str().to_owned(),
            reason: refusal.reason.to_owned(),
            message: refusal.message.clone(),
            at: self.now.clone(),
        });
        let excess = self.status.refusals.len().saturating_sub(MOST_REFUSALS);
        self.status.refusals.drain(..excess);
    }

    pub(super) fn remember(&mut self, outcome: &str, why: &str, left: Option<Remains>) {
        let Some(placement) = &self.status.placement else { return };
        let application = self.status.application.as_ref();
        self.status.history.push(PastAttempt {
            attempt: placement.attempt,
            cluster: placement.cluster.clone(),
            member_identity: Some(placement.member_identity.clone()),
            namespace: Some(placement.namespace.clone()),
            remote_name: placement.remote_name.clone(),
            remote_uid: placement.remote_uid.clone(),
            left,
            outcome: outcome.to_owned(),
            reason: Some(why.to_owned()),
            started_at: application.and_then(|a| a.started_at.clone()),
            finished_at: application.and_then(|a| a.finished_at.clone()).or_else(|| Some(self.now.clone())),
        });
        self.bound_history();
    }

    pub(super) fn bound_history(&mut self) {
        // What may still run is never forgotten for the length of the list.
        while self.status.history.len() > LONGEST_HISTORY {
            let oldest = self.status.history.iter().position(|row| row.left != Some(Remains::MayRun));
            self.status.history.remove(oldest.unwrap_or_default());
        }
    }

    pub(super) fn requeued(&mut self, requeue: &Requeue) {
        let Requeue { outcome, reason: why, message, uid, application, left, is_retry, not_before, .. } =
            requeue;
        if let (Some(placement), Some(uid)) = (&mut self.status.placement, uid) {
            placement.remote_uid = Some(uid.as_str().to_owned());
        }
        if let Some(application) = application {
            self.record(application, &ApplicationLinks::default());
        }
        let left = left.map(|left| match left {
            Left::Ended => Remains::Ended,
            Left::MayRun => Remains::MayRun,
        });
        self.remember(outcome, why, left);
        self.status.placement = None;
        self.status.application = None;
        self.status.stopping = None;
        self.status.cluster = None;
        self.status.waiting_since = Some(self.now.clone());
        self.status.not_before = not_before.map(|at| Time(crate::convert::to_the_second(at)));
        if *is_retry {
            self.status.retries = Some(self.status.retries.unwrap_or_default().saturating_add(1));
        }
        condition::remove(&mut self.status.conditions, condition::MEMBER_REACHABLE);
        condition::remove(&mut self.status.conditions, condition::SUSPENDED);
        self.set(condition::PLACED, Truth::False, why, message);
        self.unfinished(reason::WAITING_FOR_PLACEMENT);
        self.going_on(reason::WAITING_FOR_PLACEMENT, message);
        self.show(Phase::Queued, why, message);
    }

    pub(super) fn closed(&mut self, past: &Past) {
        // Found on two members after a restore, attempts have one number: what is left of the other stays on record.
        let is_it = |row: &&mut PastAttempt| {
            row.attempt == past.attempt.0
                && row.cluster == past.cluster.as_str()
                && row.member_identity.as_deref() == Some(past.identity.as_str())
        };
        for row in self.status.history.iter_mut().filter(is_it) {
            row.left = None;
        }
    }
}
