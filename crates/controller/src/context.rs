//! What every pass over a job may use.
//!
//! Owns nothing of its own: handles to the parts that do.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use spark_router_api::{MemberCluster, RoutedSparkJob};
use spark_router_core::{
    id::{ClusterName, HubId},
    step::Timing,
};
use spark_router_member::{Member, Providers, Registry};
use tokio_util::sync::CancellationToken;

use crate::{
    backends, clock::Clock, dispatcher, events::Publisher, hub::Hub, lease::Lease, members::Abandon,
    memory::Memory, metrics::Metrics, queues::Queues, restored::Looked,
};

/// See the module.
pub struct Context {
    /// This hub.
    pub hub_id: HubId,
    /// Writes to the hub.
    pub hub: Hub,
    /// The jobs, as the watch shows them.
    pub jobs: Store<RoutedSparkJob>,
    /// The members' links.
    pub registry: Registry,
    /// The members' objects.
    pub members: Store<MemberCluster>,
    /// The kinds of members that there are.
    pub kinds: backends::Known,
    /// The kinds of members that there may be.
    pub providers: Providers,
    /// The queues' objects.
    pub queues: Queues,
    /// Who decides where.
    pub dispatcher: dispatcher::Handle,
    /// What this process remembers.
    pub memory: Memory,
    /// Notes given-up attempts on their member.
    pub abandon: Abandon,
    /// The members that were looked at for signs of a restore.
    pub looked: Looked,
    /// Events.
    pub events: Publisher,
    /// Metrics.
    pub metrics: Metrics,
    /// Times of the protocol.
    pub timing: Timing,
    /// The clock that deadlines are held against.
    pub clock: Clock,
    /// The shortest time that finished applications stay on their member.
    pub retention_floor: Duration,
    /// Whether this process leads.
    pub lease: Lease,
    /// Cancelled when the process is going down.
    pub stop: CancellationToken,
    /// Cancelled as soon as everything that decisions rest on is loaded and this process leads.
    pub loaded: CancellationToken,
}

impl Context {
    /// Since when this process leads.
    pub fn leading_since(&self) -> Timestamp {
        self.lease.since()
    }

    /// The link of a member.
    pub fn member(&self, cluster: &ClusterName) -> Option<Arc<dyn Member>> {
        self.registry.get(cluster)
    }

    /// The object of a member.
    pub fn member_object(&self, cluster: &ClusterName) -> Option<Arc<MemberCluster>> {
        self.members.get(&ObjectRef::new(cluster.as_str()))
    }

    /// How long a finished application stays on a member.
    pub fn retention(&self, cluster: &ClusterName) -> Duration {
        let written = self.member_object(cluster).and_then(|member| member.spec.retention.get().ok());
        written.unwrap_or(DEFAULT_RETENTION).max(self.retention_floor)
    }
}

/// As the API's default, for a member whose object is gone or unreadable.
const DEFAULT_RETENTION: Duration = Duration::from_hours(24);
