//! Parses a `MemberCluster` and its link into what placement sees of it.
//!
//! Owns no state. A member that cannot be read is at fault, not gone: a typing error must not make others look like the
//! last ones left.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt;
use spark_router_api::{MemberCluster, condition, member::BatchScheduler as Written};
use spark_router_core::{
    health::LinkState,
    id::Namespace,
    pace::Pace,
    place::{BatchScheduler, MemberFacts, NamespaceRule, Taint},
    resources::Capacity,
};
use spark_router_member::{Health, Member};

use super::amounts::capacity;

/// A member as placement sees it: what its object declares and what its link says.
pub fn member(object: &MemberCluster, link: Option<&dyn Member>) -> MemberFacts {
    let spec = &object.spec;
    let health = link.map(Member::health);
    let (capacity, unreadable) = match capacity(spec.capacity.as_ref(), "spec.capacity") {
        Ok(capacity) => (capacity, None),
        Err(why) => (Capacity::default(), Some((condition::reason::INVALID_SPEC.into(), why.into()))),
    };
    MemberFacts {
        identity: link.and_then(Member::identity),
        link: health.as_ref().map_or(LinkState::Connecting, |h| h.link),
        fault: unreadable.or_else(|| fault(object, health.as_ref())),
        cordoned: spec.unschedulable || object.metadata.deletion_timestamp.is_some() || spec.forget,
        labels: object.labels().clone(),
        taints: spec
            .taints
            .iter()
            .map(|taint| Taint { key: taint.key.clone(), value: taint.value.clone() })
            .collect(),
        spark_versions: spec.spark_versions.clone().into(),
        capacity,
        namespace: match &spec.namespace.fixed {
            Some(fixed) => NamespaceRule::Fixed(Namespace::new(fixed)),
            None => NamespaceRule::SameAsJob,
        },
        blocked: health
            .map(|health| health.blocked)
            .unwrap_or_default()
            .into_iter()
            .map(|(namespace, reason, until)| (namespace, reason.into(), until))
            .collect(),
        batch_scheduler: batch_scheduler(object),
        dynamic_queues: spec.signals.yunikorn.as_ref().is_some_and(|source| source.dynamic_queues),
        stale_after: Duration::from_secs(u64::from(spec.signals.stale_after_seconds)),
        pace: Pace { per_minute: spec.limits.dispatches_per_minute, burst: spec.limits.dispatch_burst },
        backlog: u64::from(spec.limits.submission_backlog),
    }
}

fn fault(object: &MemberCluster, health: Option<&Health>) -> Option<(Arc<str>, Arc<str>)> {
    match health {
        Some(health) => {
            health.fault.as_ref().map(|(reason, message)| ((*reason).into(), message.as_str().into()))
        }
        // The object is known and no link could be made of it: its own condition says why.
        None => {
            let ready = object.status.as_ref().and_then(|s| condition::find(&s.conditions, condition::READY));
            ready
                .filter(|c| c.status == "False")
                .map(|c| (c.reason.as_str().into(), c.message.as_str().into()))
        }
    }
}

/// The batch scheduler that a member hands queues to.
pub fn batch_scheduler(object: &MemberCluster) -> Option<BatchScheduler> {
    let scheduler = object.spec.backend.spark_operator.as_ref()?.batch_scheduler?;
    Some(match scheduler {
        Written::YuniKorn => BatchScheduler::YuniKorn,
        Written::Volcano => BatchScheduler::Volcano,
        Written::Kueue => BatchScheduler::Kueue,
    })
}

/// Whether everything that a member's object declares can be read.
///
/// # Errors
/// The field and the value that cannot.
pub fn readable(object: &MemberCluster) -> Result<(), String> {
    capacity(object.spec.capacity.as_ref(), "spec.capacity").map(drop)
}
