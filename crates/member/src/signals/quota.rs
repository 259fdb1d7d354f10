//! What the `ResourceQuota`s of a namespace leave free for Spark's pods.
//!
//! Owns no state. The quota controller counts everybody's pods as they are created, so this is what the member's own
//! admission goes by. Must never read a quota that is not counted yet as empty.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::core::v1::{ResourceQuota, ResourceQuotaSpec},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::Api;
use spark_router_core::{id::Namespace, signal::Room};

use super::{
    Kind,
    board::Board,
    follow::{self, Source},
    line::Line,
    rooms::{Counted, Rooms, both, lower},
};
use crate::error::Error;

/// The resources of a quota that limit a job, and what they limit. Spark gives each of its pods a memory limit that is
/// the same as the request, so a quota of limits is one of requests, too; it gives them no cpu limit.
const KEYS: [(&str, Counted); 8] = [
    ("requests.cpu", Counted::Cpu),
    ("cpu", Counted::Cpu),
    ("requests.memory", Counted::Memory),
    ("memory", Counted::Memory),
    ("limits.memory", Counted::Memory),
    ("pods", Counted::Pods),
    ("count/pods", Counted::Pods),
    ("count/sparkapplications.sparkoperator.k8s.io", Counted::Jobs),
];

/// Reads until it fails: all namespaces, or the one that all jobs run in.
pub(super) async fn read(line: &dyn Line, board: &Board) -> Error {
    let api: Api<ResourceQuota> = match line.only_namespace() {
        Some(namespace) => Api::namespaced(line.client(), namespace.as_str()),
        None => Api::all(line.client()),
    };
    follow::follow::<Quotas>(api, line, board).await
}

struct Quotas;

impl Source for Quotas {
    type Object = ResourceQuota;
    type Key = (Namespace, Arc<str>);
    type Entry = Room;

    const KIND: Kind = Kind::Quota;
    const OBJECTS: &'static str = "resource quotas";

    fn key(quota: &ResourceQuota) -> Option<Self::Key> {
        let name = quota.metadata.name.as_deref()?;
        Some((Namespace::new(quota.metadata.namespace.as_deref()?), name.into()))
    }

    fn entry(quota: &ResourceQuota) -> Option<Room> {
        room(quota)
    }

    fn rooms(entries: &BTreeMap<Self::Key, Room>) -> Rooms {
        let mut rooms: BTreeMap<Namespace, Room> = BTreeMap::new();
        for ((namespace, _), room) in entries {
            let tightest = rooms.remove(namespace).map_or_else(|| room.clone(), |before| both(before, room));
            rooms.insert(namespace.clone(), tightest);
        }
        Rooms::Quotas(rooms)
    }
}

/// What one quota leaves free. `None` if it is not about Spark's pods, or if that can't be told: then the member's own
/// refusal tells.
fn room(quota: &ResourceQuota) -> Option<Room> {
    let spec = quota.spec.as_ref()?;
    if !counts_spark_pods(spec) {
        return None;
    }
    let wanted = spec.hard.as_ref()?;
    let status = quota.status.as_ref();
    let hard = status.and_then(|status| status.hard.as_ref());
    let used = status.and_then(|status| status.used.as_ref());
    let mut room = Room::default();
    let mut limits = false;
    for (key, counted) in KEYS {
        let Some(wanted) = wanted.get(key) else { continue };
        limits = true;
        // The admission of pods goes by the status. Where it lacks a resource, nothing was counted yet.
        let counts = (amount(counted, hard, key), amount(counted, used, key));
        let (most, free) = match counts {
            (Some(hard), Some(used)) => (hard, hard.saturating_sub(used)),
            _ => {
                let name = quota.metadata.name.as_deref().unwrap_or_default();
                room.closed = Some(format!("ResourceQuota {name} is not counted yet").into());
                (counted.amount(&wanted.0).unwrap_or(0), 0)
            }
        };
        lower(counted.of(&mut room.most), most);
        lower(counted.of(&mut room.free), free);
    }
    limits.then_some(room)
}

fn amount(counted: Counted, quantities: Option<&BTreeMap<String, Quantity>>, key: &str) -> Option<u64> {
    counted.amount(&quantities?.get(key)?.0)
}

/// Spark's pods have requests and no deadline: they are neither `BestEffort` nor `Terminating`. Any other scope asks for
/// something of the pod that is not known here.
fn counts_spark_pods(spec: &ResourceQuotaSpec) -> bool {
    let selects = spec.scope_selector.as_ref().is_some_and(|selector| {
        selector.match_expressions.as_ref().is_some_and(|expressions| !expressions.is_empty())
    });
    let mut scopes = spec.scopes.iter().flatten();
    !selects && scopes.all(|scope| matches!(scope.as_str(), "NotTerminating" | "NotBestEffort"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use spark_router_core::resources::Capacity;

    use super::*;

    fn quota(name: &str, spec: &Value, status: &Value) -> ResourceQuota {
        let metadata = json!({"name": name, "namespace": "team"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    fn counted(name: &str, hard: &Value, used: &Value) -> ResourceQuota {
        quota(name, &json!({"hard": hard}), &json!({"hard": hard, "used": used}))
    }

    fn together(quotas: &[ResourceQuota]) -> Option<Room> {
        let entries =
            quotas.iter().filter_map(|quota| Some((Quotas::key(quota)?, Quotas::entry(quota)?))).collect();
        let Rooms::Quotas(mut rooms) = Quotas::rooms(&entries) else { panic!("no quotas") };
        rooms.remove(&Namespace::from("team"))
    }

    #[test]
    fn free_is_what_is_hard_minus_what_is_used() {
        let counted_for_real = serde_json::from_str(include_str!("answers/kubernetes-1.36.3.json")).unwrap();
        let free = room(&counted_for_real).unwrap().free;
        assert_eq!((free.pods, free.cpu_milli, free.memory_bytes), (Some(3), Some(2000), Some(4 << 30)));

        let quota = counted(
            "compute",
            &json!({"count/sparkapplications.sparkoperator.k8s.io": "4", "pods": "10", "requests.cpu": "8",
                    "requests.memory": "16Gi", "persistentvolumeclaims": "0"}),
            &json!({"count/sparkapplications.sparkoperator.k8s.io": "1", "pods": "3", "requests.cpu": "2500m",
                    "requests.memory": "3Gi", "persistentvolumeclaims": "0"}),
        );
        let room = together(&[quota]).unwrap();
        let capacity = |jobs, pods, cpu_milli, memory: u64| Capacity {
            jobs: Some(jobs),
            pods: Some(pods),
            cpu_milli: Some(cpu_milli),
            memory_bytes: Some(memory << 30),
            executors: None,
        };
        assert_eq!(
            room,
            Room { free: capacity(3, 7, 5500, 13), most: capacity(4, 10, 8000, 16), closed: None }
        );
    }

    #[test]
    fn the_tightest_of_all_names_and_all_quotas_counts() {
        let both_names = counted(
            "both",
            &json!({"cpu": "10", "requests.cpu": "6", "count/pods": "3", "memory": "8Gi", "limits.memory": "4Gi"}),
            &json!({"cpu": "9", "requests.cpu": "1", "count/pods": "5", "memory": "0", "limits.memory": "1Gi"}),
        );
        let other = counted("other", &json!({"pods": "2"}), &json!({"pods": "0"}));
        let room = together(&[both_names, other]).unwrap();
        assert_eq!((room.free.cpu_milli, room.most.cpu_milli), (Some(1000), Some(6000)));
        assert_eq!((room.free.pods, room.most.pods), (Some(0), Some(2)), "overdrawn is nothing free");
        assert_eq!(room.free.memory_bytes, Some(3 << 30));
        assert_eq!(room.free.jobs, None, "what no quota names is not limited");
    }

    #[test]
    fn quotas_of_other_pods_do_not_count() {
        let spec = |scopes: Value| json!({"hard": {"pods": "0"}, "scopes": scopes});
        let status = json!({"hard": {"pods": "0"}, "used": {"pods": "0"}});
        for scopes in
            [json!(null), json!([]), json!(["NotTerminating"]), json!(["NotBestEffort", "NotTerminating"])]
        {
            assert!(room(&quota("q", &spec(scopes.clone()), &status)).is_some(), "{scopes}");
        }
        for scopes in [
            "BestEffort",
            "Terminating",
            "PriorityClass",
            "CrossNamespacePodAffinity",
            "VolumeAttributesClass",
        ] {
            assert!(room(&quota("q", &spec(json!([scopes])), &status)).is_none(), "{scopes}");
        }
        assert!(room(&quota("q", &spec(json!(["NotTerminating", "BestEffort"])), &status)).is_none());
        let selector = json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
        let selecting = json!({"hard": {"pods": "0"}, "scopeSelector": selector});
        assert!(room(&quota("q", &selecting, &status)).is_none());
        let elsewhere = counted("q", &json!({"services": "0"}), &json!({"services": "0"}));
        assert!(room(&elsewhere).is_none());
    }

    #[test]
    fn a_quota_that_is_not_counted_yet_has_nothing_free_and_says_so() {
        let spec = json!({"hard": {"pods": "10", "requests.cpu": "4"}});
        for status in [json!({}), json!({"hard": {"pods": "10"}, "used": {}}), json!(null)] {
            let room = room(&quota("fresh", &spec, &status)).unwrap();
            assert_eq!((room.free.pods, room.free.cpu_milli), (Some(0), Some(0)), "{status}");
            assert_eq!((room.most.pods, room.most.cpu_milli), (Some(10), Some(4000)), "{status}");
            assert_eq!(room.closed.as_deref(), Some("ResourceQuota fresh is not counted yet"));
        }
        // Changed a moment ago: what counts is what the member goes by, until it is counted anew.
        let raised = quota(
            "raised",
            &json!({"hard": {"pods": "10"}}),
            &json!({"hard": {"pods": "5"}, "used": {"pods": "1"}}),
        );
        assert_eq!(room(&raised).unwrap().free.pods, Some(4));
    }
}
