//! What placement knows of members and queues.
//!
//! Owns no state: facts are replaced whole when an object or a link changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    health::LinkState,
    id::{ClusterName, MemberIdentity, Namespace, QueueName},
    pace::Pace,
    resources::Capacity,
    signal::SignalSource,
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

/// Keeps jobs away from a member unless they tolerate it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    /// Its name.
    pub key: String,
    /// Its value, often empty.
    pub value: String,
}

/// A taint, or many, that a job puts up with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Toleration {
    /// The taint's key; `None` means every key.
    pub key: Option<String>,
    /// The taint's value; `None` means every value.
    pub value: Option<String>,
}

impl Toleration {
    /// Whether it covers a taint.
    pub fn covers(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
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

/// A batch scheduler on a member, which has queues of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchScheduler {
    /// Apache YuniKorn: queues are paths below `root`.
    YuniKorn,
    /// Volcano: queues have plain names.
    Volcano,
    /// Kueue: applications name a LocalQueue.
    Kueue,
}

/// Something that a job or a route asks for and a member's backend cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inexpressible {
    /// The field that asks for it.
    pub field: &'static str,
    /// Why it cannot be done there.
    pub why: &'static str,
}

const SUB_QUEUE: &str = "spec.subQueue";
const REMOTE_QUEUE: &str = "remoteQueue of the route";

impl BatchScheduler {
    /// The queue that a job is handed to there, if any. `below` is the job's own path below it.
    ///
    /// # Errors
    /// The field that asks for what the member cannot do: a path where there are none, or one that is longer than the
    /// label in which pods carry it.
    pub fn remote_queue(
        scheduler: Option<Self>,
        queue: &QueueName,
        named: Option<&Arc<str>>,
        below: Option<&str>,
    ) -> Result<Option<Arc<str>>, Inexpressible> {
        const LONGEST_LABEL: usize = 63;
        let path = Self::path(scheduler, queue, named, below)?;
        if path.as_ref().is_some_and(|path| path.len() > LONGEST_LABEL) {
            let field = if below.is_some() { SUB_QUEUE } else { REMOTE_QUEUE };
            let why = "its full path there has more than 63 characters, which a pod's label cannot hold";
            return Err(Inexpressible { field, why });
        }
        Ok(path)
    }

    fn path(
        scheduler: Option<Self>,
        queue: &QueueName,
        named: Option<&Arc<str>>,
        below: Option<&str>,
    ) -> Result<Option<Arc<str>>, Inexpressible> {
        let Some(scheduler) = scheduler else {
            return match (named, below) {
                (_, Some(_)) => Err(Inexpressible {
                    field: SUB_QUEUE,
                    why: "its MemberCluster names no batchScheduler to hand a queue to",
                }),
                (Some(_), None) => Err(Inexpressible {
                    field: REMOTE_QUEUE,
                    why: "its MemberCluster names no batchScheduler to hand a queue to",
                }),
                (None, None) => Ok(None),
            };
        };
        match (scheduler, below) {
            (Self::YuniKorn, below) => {
                let base: Arc<str> = match named {
                    Some(named) if **named == *"root" || named.starts_with("root.") => named.clone(),
                    Some(named) => format!("root.{named}").into(),
                    None => format!("root.{queue}").into(),
                };
                Ok(Some(below.map_or_else(|| base.clone(), |below| format!("{base}.{below}").into())))
            }
            (Self::Volcano, Some(_)) => {
                Err(Inexpressible { field: SUB_QUEUE, why: "Volcano's queues have no paths" })
            }
            (Self::Kueue, Some(_)) => {
                Err(Inexpressible { field: SUB_QUEUE, why: "Kueue's LocalQueues have no paths" })
            }
            (Self::Volcano | Self::Kueue, None) => {
                Ok(Some(named.cloned().unwrap_or_else(|| queue.as_str().into())))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_covers_a_key_a_pair_or_everything() {
        let taint = Taint { key: "phi".into(), value: "yes".into() };
        let covers = |key: Option<&str>, value: Option<&str>| {
            Toleration { key: key.map(Into::into), value: value.map(Into::into) }.covers(&taint)
        };
        assert!(covers(Some("phi"), Some("yes")) && covers(Some("phi"), None) && covers(None, None));
        assert!(!covers(Some("phi"), Some("no")) && !covers(Some("gpu"), None));
    }

    #[test]
    fn queues_are_handed_on_in_the_schedulers_own_form() {
        use BatchScheduler::{Kueue, Volcano, YuniKorn};
        let queue = QueueName::from("etl");
        let named: Arc<str> = "root.prod.etl".into();
        let plain: Arc<str> = "prod".into();
        let of = |scheduler, named: Option<&Arc<str>>, below| {
            BatchScheduler::remote_queue(scheduler, &queue, named, below)
                .map(|queue| queue.map(|queue| queue.to_string()))
                .map_err(|error| error.field)
        };
        for (scheduler, named, below, expected) in [
            (Some(YuniKorn), None, None, Ok(Some("root.etl"))),
            (Some(YuniKorn), None, Some("reports.daily"), Ok(Some("root.etl.reports.daily"))),
            (Some(YuniKorn), Some(&named), Some("daily"), Ok(Some("root.prod.etl.daily"))),
            (Some(YuniKorn), Some(&plain), None, Ok(Some("root.prod"))),
            (Some(Volcano), None, None, Ok(Some("etl"))),
            (Some(Kueue), Some(&plain), None, Ok(Some("prod"))),
            (Some(Kueue), None, Some("daily"), Err("spec.subQueue")),
            (Some(Volcano), None, Some("daily"), Err("spec.subQueue")),
            (None, None, None, Ok(None)),
            (None, None, Some("daily"), Err("spec.subQueue")),
            (None, Some(&plain), None, Err("remoteQueue of the route")),
            (Some(YuniKorn), Some(&named), Some(&"x".repeat(50)), Err("spec.subQueue")),
        ] {
            assert_eq!(of(scheduler, named, below), expected.map(|queue| queue.map(str::to_owned)));
        }
    }
}
