//! What a status says while an attempt is being stopped: why, and whom it waits for.
//!
//! Owns no state. Must never say that something is stopped before the fence is proven.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use spark_router_api::{
    condition::{self, Truth, reason},
    job::StoppingRecord,
};
use spark_router_core::{job::Stopping, phase::Phase, step::DeletionWaits};

use super::Next;

impl Next<'_> {
    pub(super) fn stopping(&mut self, stopping: &Stopping) {
        let Stopping { cause, message, at } = stopping;
        let why = cause.as_str();
        self.status.stopping = Some(StoppingRecord {
            reason: why.to_owned(),
            message: message.clone(),
            at: Time(crate::convert::to_the_second(*at)),
        });
        let cluster = self.status.cluster.clone().unwrap_or_default();
        self.being_stopped(why, &format!("being stopped on {cluster}: {message}"));
    }

    pub(super) fn being_stopped(&mut self, why: &str, message: &str) {
        self.unfinished(why);
        self.going_on(why, message);
        self.show(Phase::Cancelling, why, message);
    }

    pub(super) fn stop_waits(&mut self, waits: &DeletionWaits) {
        let Some(StoppingRecord { reason: why, message, .. }) = self.status.stopping.clone() else { return };
        let cluster = self.status.cluster.clone().unwrap_or_default();
        let (trouble, waits_for) = match waits {
            DeletionWaits::Unreachable { since: Some(since) } => {
                (Some(reason::MEMBER_UNREACHABLE), format!("which does not answer since {since}"))
            }
            DeletionWaits::Unreachable { since: None } => {
                (Some(reason::MEMBER_UNREACHABLE), "which is not connected".to_owned())
            }
            DeletionWaits::Unregistered => {
                (Some(reason::MEMBER_MISSING), "which is no MemberCluster any more".to_owned())
            }
            DeletionWaits::Member(why) => (None, why.clone()),
        };
        let waits = match trouble {
            Some(trouble) => {
                let waits = format!(
                    "waits for {cluster}, {waits_for}: the job may still run there, and ends when {cluster} is back; \
                     to let go of it earlier, delete it"
                );
                self.set(condition::MEMBER_REACHABLE, Truth::False, trouble, &waits);
                waits
            }
            None => {
                if condition::find(&self.status.conditions, condition::MEMBER_REACHABLE).is_some() {
                    let found = "the member answers";
                    self.set(condition::MEMBER_REACHABLE, Truth::True, reason::REACHABLE, found);
                }
                format!("waits for {cluster}: {waits_for}")
            }
        };
        self.being_stopped(&why, &format!("being stopped on {cluster}: {message}. It {waits}"));
    }

    pub(super) fn terminating(&mut self, waits: &DeletionWaits) {
        let cluster = self.status.cluster.clone().unwrap_or_default();
        let meta = &self.object.metadata;
        let way_out = format!(
            "To let go of it although it may still run there: kubectl annotate rsj -n {} {} {}=true",
            meta.namespace.as_deref().unwrap_or("default"),
            meta.name.as_deref().unwrap_or_default(),
            spark_router_api::names::ABANDON_ANNOTATION
        );
        let message = match waits {
            DeletionWaits::Unreachable { since: Some(since) } => {
                format!(
                    "waits for {cluster}, which does not answer since {since}: the job may still run there. {way_out}"
                )
            }
            DeletionWaits::Unreachable { since: None } => {
                format!("waits for {cluster}, which is not connected: the job may still run there. {way_out}")
            }
            DeletionWaits::Unregistered => {
                format!(
                    "waits for {cluster}, which is no MemberCluster any more: the job may still run there. {way_out}"
                )
            }
            DeletionWaits::Member(why) => format!("waits for {cluster}: {why}. {way_out}"),
        };
        self.going_on(reason::TERMINATING, &message);
        self.show(Phase::Cancelling, reason::TERMINATING, &message);
    }
}
