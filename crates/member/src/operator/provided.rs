//! Links to members with a Spark operator, as their objects describe them.
//!
//! Owns no state.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use kube::ResourceExt;
use spark_router_api::{MemberCluster, condition::reason};
use spark_router_core::{
    health::Thresholds,
    id::{ClusterName, Namespace},
    place::NamespaceRule,
};

use super::{Settings, Tempo, blueprint, dialect::Dialect};
use crate::{
    clients::Limits,
    connection::Connection,
    link::Blueprint,
    member::Backend,
    provider::Provider,
    render::{MemberParts, check_member_parts},
    standing::{Admission, Fault},
};

/// The provider of members with an operator.
pub(crate) fn provider<D: Dialect>() -> Arc<dyn Provider> {
    Arc::new(Provided::<D>(PhantomData))
}

struct Provided<D>(PhantomData<fn() -> D>);

impl<D: Dialect> Provider for Provided<D> {
    fn provides(&self, object: &MemberCluster) -> bool {
        D::is_named(&object.spec.backend)
    }

    fn needs_connection(&self) -> bool {
        true
    }

    fn backend(&self, _: &MemberCluster) -> Arc<dyn Backend> {
        D::backend()
    }

    fn blueprint(
        &self,
        object: &MemberCluster,
        connection: Option<Connection>,
    ) -> Result<Arc<dyn Blueprint>, Fault> {
        let settings = settings(object)?;
        let connection = connection.ok_or_else(|| {
            let why =
                "spec.connection: is required; name a kubeconfigSecret, or inCluster for the hub itself";
            (reason::INVALID_SPEC, why.to_owned())
        })?;
        Ok(blueprint::<D>(settings, connection))
    }
}

/// How the link of a member is used.
fn settings(object: &MemberCluster) -> Result<Settings, Fault> {
    let spec = &object.spec;
    check_member_parts(spec).map_err(|why| (reason::INVALID_SPEC, why))?;
    Ok(Settings {
        name: ClusterName::new(object.name_any()),
        namespace: namespace_rule(object),
        limits: Limits {
            requests_per_second: spec.limits.requests_per_second,
            concurrent: spec.limits.max_concurrent_requests,
        },
        thresholds: thresholds(object),
        admission: Admission::Awaited,
        tempo: Tempo::default(),
        parts: Arc::new(MemberParts::from(spec)),
    })
}

/// Where a member runs jobs.
pub(crate) fn namespace_rule(object: &MemberCluster) -> NamespaceRule {
    match &object.spec.namespace.fixed {
        Some(fixed) => NamespaceRule::Fixed(Namespace::new(fixed)),
        None => NamespaceRule::SameAsJob,
    }
}

/// When a member counts as lost and as back.
pub fn thresholds(object: &MemberCluster) -> Thresholds {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let health = &object.spec.health;
    Thresholds {
        lost_after: seconds(health.lost_after_seconds),
        ready_after: seconds(health.ready_after_seconds),
    }
}
