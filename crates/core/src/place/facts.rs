//! What placement knows of members and queues.
//!
//! Owns no state: facts are replaced whole when an object or a link changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{BatchScheduler, Inexpressible};
use crate::{
    health::LinkState,
    id::{ClusterName, MemberIdentity, Namespace, QueueName},
    pace::Pace,
    resources::Capacity,
    signal::SignalSource,
    taint::Taint,
};

/// A member as placement sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberFacts {
    /// Who it is; `None` until it was reached once.
    pub identity: Option<MemberIdentity>,
    /// Its link.
    pub link: LinkState,
    /// Why it takes nothing although it may answer: (reason, message).
    pub fault: Option<(Arc<str>, Arc<str>)>,
    /// Cordoned: takes nothing new.
    pub cordoned: bool,
    /// Labels for selectors.
    pub labels: BTreeMap<String, String>,
    /// Keep away every job that does not tolerate them.
    pub taints: Vec<Taint>,
    /// Spark versions that it runs, each also as a dotted prefix; empty means any.
    pub spark_versions: Arc<[String]>,
    /// Declared capacity.
    pub capacity: Capacity,
    /// The namespace rule.
    pub namespace: NamespaceRule,
    /// Target namespaces that refuse everything: (namespace, reason, until).
    pub blocked: Vec<(Namespace, Arc<str>, Timestamp)>,
    /// What its applications are written for; see [`super::Expressed`]. `None`: it takes whatever there is.
    pub backend: Option<Arc<str>>,
    /// The batch scheduler that queues are handed to.
    pub batch_scheduler: Option<BatchScheduler>,
    /// YuniKorn there makes queues as they are named: one that it does not list yet is no reason to stay away.
    pub dynamic_queues: bool,
    /// A signal older than this is not believed any more.
    pub stale_after: Duration,
    /// How fast it may be fed.
    pub pace: Pace,
    /// Applications that its operator has not yet submitted: at this many, the next waits.
    pub backlog: u64,
}

impl MemberFacts {
    /// A member that is ready and limits nothing.
    pub fn ready(identity: MemberIdentity) -> Self {
        Self {
            identity: Some(identity),
            link: LinkState::Ready,
            fault: None,
            cordoned: false,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            spark_versions: Arc::new([]),
            capacity: Capacity::default(),
            namespace: NamespaceRule::SameAsJob,
            blocked: Vec::new(),
            backend: None,
            batch_scheduler: None,
            dynamic_queues: false,
            stale_after: Duration::from_secs(30),
            pace: Pace::UNLIMITED,
            backlog: u64::MAX,
        }
    }

    /// Whether nothing about it keeps any job away, whatever the time: then room alone decides.
    pub(crate) fn is_open(&self) -> bool {
        self.link == LinkState::Ready
            && self.fault.is_none()
            && self.identity.is_some()
            && !self.cordoned
            && self.blocked.is_empty()
    }
}

/// Which namespace a job runs in on the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceRule {
    /// All jobs in this one.
    Fixed(Namespace),
    /// Each in the namespace of the same name as the job's.
    SameAsJob,
}

impl NamespaceRule {
    /// The target namespace of a job of `namespace`.
    pub fn target<'a>(&'a self, namespace: &'a Namespace) -> &'a Namespace {
        match self {
            Self::Fixed(fixed) => fixed,
            Self::SameAsJob => namespace,
        }
    }
}

/// A queue as placement sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueFacts {
    /// Its name.
    pub name: QueueName,
    /// Where its jobs may go; the first route that matches a member holds.
    pub routes: Vec<Route>,
    /// Order of its jobs.
    pub order: Order,
    /// Before queues of lower priority where they compete for a member.
    pub priority: i32,
    /// What it is served first for, before all queues that have theirs.
    pub guaranteed: Capacity,
    /// Takes nothing for now.
    pub paused: bool,
    /// How long a lower tier may have no room before the next one is used; `None`: it is used at once, and a tier that is
    /// merely slow is waited for.
    pub spill_after: Option<Duration>,
    /// How smaller jobs pass one that finds no room.
    pub backfill: Backfill,
    /// What it may hold at all.
    pub limits: QueueLimits,
    /// Number of what it sets on its jobs (defaults, sizes, fixed parts): it is part of what they ask for. A job that was
    /// parsed with another number has to be looked at again before it is placed.
    pub parts: u64,
}

impl QueueFacts {
    /// A queue over some routes that limits nothing.
    pub fn over(name: QueueName, routes: Vec<Route>) -> Self {
        Self {
            name,
            routes,
            order: Order::Fifo,
            priority: 0,
            guaranteed: Capacity::default(),
            paused: false,
            spill_after: None,
            backfill: Backfill::default(),
            limits: QueueLimits::default(),
            parts: 0,
        }
    }

    /// The route that leads to a member.
    pub fn route_to(&self, cluster: &ClusterName, labels: &BTreeMap<String, String>) -> Option<&Route> {
        self.routes.iter().find(|route| match &route.clusters {
            RouteClusters::Names(names) => names.contains(cluster),
            RouteClusters::Labels(wanted) => carries(labels, wanted),
        })
    }
}

/// Whether `labels` has all that is `wanted`.
pub(crate) fn carries(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Order of the jobs in a queue. Priority goes first in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By age.
    Fifo,
    /// By namespace: the one with the smallest dominant share of what there is goes first, then by age.
    FairShare {
        /// Weights by namespace; 1 where none is given.
        weights: BTreeMap<Namespace, u32>,
    },
}

/// How smaller jobs pass one that finds no room: for some time they may, then one member is held for the job that
/// waits. The two times take turns, so that neither side waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// They may pass for this long.
    pub pass_for: Duration,
    /// Then the member is held for at most this long.
    pub hold_for: Duration,
}

impl Default for Backfill {
    fn default() -> Self {
        Self { pass_for: Duration::from_mins(10), hold_for: Duration::from_hours(1) }
    }
}

/// What a queue may hold at all, on whatever members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLimits {
    /// Placed and not finished.
    pub held: Capacity,
    /// Jobs that wait; later ones are turned away until some are gone.
    pub queued: Option<u64>,
    /// How fast it may place.
    pub pace: Option<Pace>,
    /// The highest priority that a job may ask for.
    pub highest_priority: Option<i32>,
}

/// One route of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which members it means.
    pub clusters: RouteClusters,
    /// The share; 0 takes nothing new.
    pub weight: u32,
    /// Lower ones go first.
    pub tier: u32,
    /// What this queue may hold on each of them.
    pub capacity: Capacity,
    /// The queue of the member's batch scheduler; `None`: the one of the queue's own name.
    pub remote_queue: Option<Arc<str>>,
    /// The signal that room is read from, beside declared numbers.
    pub signal: Option<RouteSignal>,
}

impl Route {
    /// A route to members by name that limits nothing.
    pub fn to(names: impl IntoIterator<Item = ClusterName>, weight: u32) -> Self {
        let clusters = RouteClusters::Names(names.into_iter().collect());
        Self { clusters, weight, tier: 0, capacity: Capacity::default(), remote_queue: None, signal: None }
    }
}

/// The kind of signal that a route goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteSignal {
    /// Quotas of the target namespace.
    ResourceQuota,
    /// The YuniKorn queue that the job is handed to.
    YuniKorn,
    /// This ClusterQueue of Kueue.
    Kueue {
        /// Its name.
        cluster_queue: Arc<str>,
    },
}

impl RouteSignal {
    /// The kind, as [`SignalSource::kind`] names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ResourceQuota => SignalSource::ResourceQuota.kind(),
            Self::YuniKorn => "YuniKorn",
            Self::Kueue { .. } => "Kueue",
        }
    }
}

/// Members by name or by label.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteClusters {
    /// These.
    Names(Vec<ClusterName>),
    /// Those that carry all these labels.
    Labels(BTreeMap<String, String>),
}

/// The queue of the member's batch scheduler that a job is handed to over a route.
pub(crate) fn remote_queue(
    queue: &QueueName,
    route: &Route,
    member: &MemberFacts,
    below: Option<&str>,
) -> Result<Option<Arc<str>>, Inexpressible> {
    let by_yunikorn = matches!(route.signal, Some(RouteSignal::YuniKorn));
    if by_yunikorn && member.batch_scheduler != Some(BatchScheduler::YuniKorn) {
        let why = "its MemberCluster does not name YuniKorn as its batchScheduler";
        return Err(Inexpressible::new("signal of the route", why));
    }
    BatchScheduler::remote_queue(member.batch_scheduler, queue, route.remote_queue.as_ref(), below)
}
