//! Parses a `SparkQueue`: its routes and rules, the namespaces it admits, its account, and its parts of applications.
//!
//! Owns no state. A queue that cannot be read takes nothing: a limit that was misread would be none.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use kube::ResourceExt;
use spark_router_api::{SizeClass, SparkQueue, SparkQueueSpec, queue as api};
use spark_router_core::{
    credit::Credits,
    dispatch::Checkpoint,
    id::{ClusterName, Namespace, QueueName},
    job::Rejection,
    pace::Pace,
    place::{Backfill, Order, QueueFacts, QueueLimits, Route, RouteClusters, RouteSignal},
    resources::{Capacity, cpu_milli, memory_bytes},
    selector::Selector,
};

use spark_router_member::render::{QueueParts, check_queue_parts};

use super::{
    amounts::{amount, capacity, duration, selector},
    lifetime,
};
use crate::template;

/// A queue's own rate has no burst of its own to set: a second's worth, and at least one.
fn pace(per_minute: u32) -> Pace {
    Pace { per_minute, burst: (per_minute / 60).max(1) }
}

/// A queue as placement sees it, the namespaces it admits (`None`: nobody), and its checkpoint.
///
/// # Errors
/// The field and the value that cannot be read.
pub fn queue(object: &SparkQueue) -> Result<(QueueFacts, Option<Selector>, Checkpoint), String> {
    lifetime::check(object)?;
    let spec = &object.spec;
    let routes = spec.routes.iter().enumerate().map(|(n, written)| route(n, written));
    let facts = QueueFacts {
        name: QueueName::new(object.name_any()),
        routes: routes.collect::<Result<_, _>>()?,
        order: match spec.order {
            api::QueueOrder::Fifo => Order::Fifo,
            api::QueueOrder::FairShare => {
                let weights = spec.namespace_weights.iter();
                let weights = weights.map(|(namespace, weight)| (Namespace::new(namespace), *weight));
                Order::FairShare { weights: weights.collect() }
            }
        },
        priority: spec.priority,
        guaranteed: capacity(spec.guaranteed.as_ref(), "spec.guaranteed")?,
        paused: spec.paused,
        spill_after: spec.spill_after.as_ref().map(|d| duration(d, "spec.spillAfter")).transpose()?,
        backfill: Backfill {
            pass_for: duration(&spec.backfill.pass_for, "spec.backfill.passFor")?,
            hold_for: duration(&spec.backfill.hold_for, "spec.backfill.holdFor")?,
        },
        limits: limits(&spec.limits)?,
        parts: parts(spec),
    };
    check_queue_parts(spec)?;
    let admits = spec.namespace_selector.as_ref().map(selector).transpose()?;
    Ok((facts, admits, checkpoint(object)?))
}

/// A queue, with what it sets on its jobs made once for all of them. Neither is ever changed: they fit each other.
#[derive(Debug)]
pub struct KnownQueue {
    object: Arc<SparkQueue>,
    number: u64,
    /// For jobs without a size class.
    plain: Arc<QueueParts>,
    by_size: BTreeMap<String, Arc<QueueParts>>,
}

impl KnownQueue {
    /// Of a queue's object.
    pub fn new(object: Arc<SparkQueue>) -> Self {
        let spec = &object.spec;
        let of = |class: &SizeClass| Arc::new(QueueParts::of_class(spec, class.clone()));
        Self {
            number: parts(spec),
            plain: of(&SizeClass::default()),
            by_size: spec.sizes.iter().map(|(name, class)| (name.clone(), of(class))).collect(),
            object,
        }
    }

    /// The queue itself.
    pub fn object(&self) -> &SparkQueue {
        &self.object
    }

    /// Number of what it sets on its jobs; see [`parts`].
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it sets on a job of that size class; none is the template's own size.
    ///
    /// # Errors
    /// When it has no such class.
    pub fn parts(&self, size: Option<&str>) -> Result<Arc<QueueParts>, Rejection> {
        let Some(size) = size else { return Ok(self.plain.clone()) };
        match self.by_size.get(size) {
            Some(parts) => Ok(parts.clone()),
            None => template::parts(&self.object.spec, size).map(Arc::new),
        }
    }
}

/// Number of what a queue sets on its jobs; 0 for nothing.
pub fn parts(spec: &SparkQueueSpec) -> u64 {
    let set = (&spec.defaults, &spec.fixed, &spec.sizes, &spec.allow);
    if set == (&<_>::default(), &<_>::default(), &<_>::default(), &<_>::default()) {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    // Only compared within one process. What cannot be written as JSON was not read from it.
    serde_json::to_string(&set).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

fn route(n: usize, written: &api::Route) -> Result<Route, String> {
    let clusters = match (&written.clusters.names, &written.clusters.selector) {
        (Some(names), _) => RouteClusters::Names(names.iter().map(ClusterName::new).collect()),
        (None, Some(selector)) => RouteClusters::Labels(selector.match_labels.clone()),
        (None, None) => return Err(format!("spec.routes[{n}].clusters: names or selector is required")),
    };
    let signal = written.signal.as_ref().map(|signal| match signal {
        api::RouteSignal { kueue: Some(kueue), .. } => {
            Ok(RouteSignal::Kueue { cluster_queue: kueue.cluster_queue.as_str().into() })
        }
        api::RouteSignal { yunikorn: Some(_), .. } => Ok(RouteSignal::YuniKorn),
        api::RouteSignal { resource_quota: Some(_), .. } => Ok(RouteSignal::ResourceQuota),
        api::RouteSignal { .. } => {
            Err(format!("spec.routes[{n}].signal: one of resourceQuota, yunikorn and kueue is required"))
        }
    });
    Ok(Route {
        clusters,
        weight: written.weight,
        tier: written.tier,
        capacity: capacity(written.capacity.as_ref(), &format!("spec.routes[{n}].capacity"))?,
        remote_queue: written.remote_queue.as_deref().map(Into::into),
        signal: signal.transpose()?,
    })
}

fn limits(written: &api::QueueLimits) -> Result<QueueLimits, String> {
    const PATH: &str = "spec.limits";
    Ok(QueueLimits {
        held: Capacity {
            jobs: written.active,
            pods: None,
            executors: written.executors,
            cpu_milli: amount(written.cpu.as_ref(), cpu_milli, PATH, "cpu")?,
            memory_bytes: amount(written.memory.as_ref(), memory_bytes, PATH, "memory")?,
        },
        queued: written.queued,
        pace: written.dispatches_per_minute.map(pace),
        highest_priority: written.highest_priority,
    })
}

fn checkpoint(object: &SparkQueue) -> Result<Checkpoint, String> {
    let status = object.status.as_ref();
    let mut credits = Vec::new();
    for entry in status.map(|s| s.credits.as_slice()).unwrap_or_default() {
        let credit = entry.credit.parse().map_err(|error| format!("status.credits: {error}"))?;
        credits.push((ClusterName::new(&entry.cluster), credit));
    }
    let shares = status.map(|s| s.clusters.as_slice()).unwrap_or_default();
    Ok(Checkpoint {
        seq: status.and_then(|s| s.credits_seq).unwrap_or(0),
        given: crate::restored::record::given(object),
        credits: Credits::restore(credits),
        placed: shares.iter().map(|share| (ClusterName::new(&share.name), share.placed)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use serde_json::{Value, json};

    use super::*;

    fn parse(spec: &Value) -> Result<QueueFacts, String> {
        let object = json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue", "metadata": {"name": "etl"}, "spec": spec,
        });
        queue(&serde_json::from_value(object).unwrap()).map(|(facts, ..)| facts)
    }

    #[test]
    fn every_rule_of_a_queue_is_read() {
        let facts = parse(&json!({
            "order": "FairShare", "namespaceWeights": {"team-a": 3}, "priority": 7, "paused": true,
            "guaranteed": {"cpu": "10"}, "spillAfter": "5m", "backfill": {"passFor": "1m"},
            "limits": {
                "active": 9, "queued": 100, "executors": 40, "cpu": "64", "memory": "1Ti", "dispatchesPerMinute": 120,
                "highestPriority": 5
            },
            "routes": [
                {"clusters": {"names": ["eu-1"]}, "weight": 2, "tier": 1, "remoteQueue": "root.prod", "signal": {"yunikorn": {}}},
                {"clusters": {"names": ["eu-2"]}, "signal": {"kueue": {"clusterQueue": "etl"}}},
                {"clusters": {"names": ["eu-3"]}, "signal": {"resourceQuota": {}}}
            ]
        }))
        .unwrap();
        let weights = BTreeMap::from([(Namespace::from("team-a"), 3)]);
        assert_eq!(facts.order, Order::FairShare { weights });
        assert_eq!((facts.priority, facts.paused, facts.guaranteed.cpu_milli), (7, true, Some(10_000)));
        assert_eq!(facts.spill_after, Some(Duration::from_mins(5)));
        assert_eq!(
            facts.backfill,
            Backfill { pass_for: Duration::from_mins(1), hold_for: Duration::from_hours(1) }
        );
        let held = Capacity {
            jobs: Some(9),
            executors: Some(40),
            cpu_milli: Some(64_000),
            memory_bytes: Some(1 << 40),
            ..Capacity::default()
        };
        let pace = Some(Pace { per_minute: 120, burst: 2 });
        assert_eq!(facts.limits, QueueLimits { held, queued: Some(100), pace, highest_priority: Some(5) });
        let signals: Vec<_> =
            facts.routes.iter().map(|route| route.signal.as_ref().unwrap().kind()).collect();
        assert_eq!(signals, ["YuniKorn", "Kueue", "ResourceQuota"]);
        assert_eq!((facts.routes[0].tier, facts.routes[0].remote_queue.as_deref()), (1, Some("root.prod")));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let route = json!([{"clusters": {"names": ["eu-1"]}}]);
        for (spec, expected) in [
            (json!({"routes": route, "spillAfter": "soon"}), "spec.spillAfter: \"soon\" is not a duration"),
            (json!({"routes": route, "guaranteed": {"cpu": "much"}}), "spec.guaranteed.cpu: \"much\" is not"),
            (json!({"routes": route, "limits": {"memory": "1X"}}), "spec.limits.memory: \"1X\" is not"),
            (
                json!({"routes": route, "limits": {"longestRun": "ever"}}),
                "spec.limits.longestRun: \"ever\" is not a duration",
            ),
            (
                json!({"routes": route, "ttlAfterFinished": "1d"}),
                "spec.ttlAfterFinished: \"1d\" is not a duration",
            ),
        ] {
            let why = parse(&spec).unwrap_err();
            assert!(why.starts_with(expected), "{why}");
        }
    }

    #[test]
    fn a_queue_is_parsed_with_its_account() {
        let object: SparkQueue = serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue", "metadata": {"name": "etl"},
            "spec": {
                "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
                "routes": [{"clusters": {"names": ["eu-1"]}, "weight": 50, "capacity": {"cpu": "2.5", "memory": "1Gi", "jobs": 3}}]
            },
            "status": {
                "seq": 11, "creditsSeq": 9, "credits": [{"cluster": "eu-1", "credit": "-1/3"}],
                "clusters": [{"name": "eu-1", "weight": 50, "placed": 4, "expected": "3.667"}]
            }
        }))
        .unwrap();
        let (facts, admits, checkpoint) = queue(&object).unwrap();
        let expected = Capacity {
            jobs: Some(3),
            cpu_milli: Some(2500),
            memory_bytes: Some(1 << 30),
            ..Capacity::default()
        };
        assert_eq!(facts.routes[0].capacity, expected);
        assert!(admits.unwrap().matches(&BTreeMap::from([("team".to_owned(), "a".to_owned())])));
        assert_eq!((checkpoint.seq, checkpoint.given), (9, 11));
        assert_eq!(checkpoint.placed[&ClusterName::from("eu-1")], 4);
        assert_eq!(checkpoint.credits.of(&ClusterName::from("eu-1")).to_string(), "-1/3");
    }
}
