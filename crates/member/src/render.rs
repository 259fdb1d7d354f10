//! What an order is created as.
//!
//! Owns no state. Pure, so that the hash in a placement and the object in the create cannot differ. Carries everything
//! that the router needs later inside the create, because an object whose state is still empty must never be patched;
//! and fills what the operator's webhook would fill, because members may run without it. What queue and member decide is
//! decided by the tables of `table`, `keys` and `bans`, and must hold without that webhook too.

pub mod aliases;
mod bans;
mod batch;
mod decide;
pub(crate) mod keys;
pub mod native;
mod order;
mod parts;
mod place;
mod refuse;
mod rendered;
mod table;
#[cfg(test)]
mod table_tests;

use serde_json::{Map, Value, json};
use spark_router_api::{
    application::{SPARK_APPLICATION_API_VERSION, SPARK_APPLICATION_KIND},
    names,
};
use spark_router_core::id::HubId;

pub use order::Order;
pub use parts::{MemberParts, QueueParts, complete, effective};
pub use refuse::{Refusal, check_member_parts, check_queue_parts, template as refused};
pub use rendered::{Rendered, Renderer};

use crate::canonical;
use table::Fact;

/// Labels of ours on the application and its pods.
const ROUTERS: [&str; 5] =
    [names::ORIGIN_LABEL, names::JOB_UID_LABEL, names::ATTEMPT_LABEL, names::QUEUE_LABEL, names::TEAM_LABEL];

/// The application of Kubeflow's operator that runs `order`, and its hash.
pub(crate) fn application(order: &Order, hub: &HubId, member: &MemberParts) -> (Value, String) {
    let root = completed(order, member);
    let metadata = metadata(order, hub, &root);
    sealed(SPARK_APPLICATION_API_VERSION, metadata, spec(&root))
}

/// The template of an order with everything that queue and member add.
pub(crate) fn completed(order: &Order, member: &MemberParts) -> Value {
    let mut root = match &order.parts {
        Some(queue) => effective(&order.template, queue),
        None => native::lifted(&order.template).into_owned(),
    };
    parts::complete(&mut root, member, order.remote_queue.as_deref());
    // On pods the router goes by them; whatever a template says of them anywhere is not meant for it.
    for label in ROUTERS {
        decide::clear(&mut root, Fact::Label, label);
    }
    root
}

/// The metadata of an application: everything by which the router knows it again.
pub(crate) fn metadata(order: &Order, hub: &HubId, root: &Value) -> Value {
    let mut labels = copied(root, "labels");
    labels.insert(names::ORIGIN_LABEL.to_owned(), json!(hub.as_str()));
    labels.insert(names::JOB_UID_LABEL.to_owned(), json!(order.job.as_str()));
    labels.insert(names::ATTEMPT_LABEL.to_owned(), json!(order.attempt.to_string()));
    labels.insert(names::QUEUE_LABEL.to_owned(), json!(order.queue.as_str()));
    if order.parts.is_some() {
        // Jobs of many teams may share a namespace on the member; this is who pays.
        labels.insert(names::TEAM_LABEL.to_owned(), json!(order.key.namespace.as_str()));
    }
    let mut annotations = copied(root, "annotations");
    annotations.insert(names::JOB_NAMESPACE_ANNOTATION.to_owned(), json!(order.key.namespace.as_str()));
    annotations.insert(names::JOB_NAME_ANNOTATION.to_owned(), json!(order.key.name));
    annotations.insert(names::SEQ_ANNOTATION.to_owned(), json!(order.seq.to_string()));
    json!({
        "name": order.name.as_str(),
        "namespace": order.namespace.as_str(),
        "labels": labels,
        "annotations": annotations,
        "finalizers": [names::OUTCOME_FINALIZER],
    })
}

/// An application with its own hash inside, and the hash.
pub(crate) fn sealed(api_version: &str, metadata: Value, spec: Value) -> (Value, String) {
    let mut application = json!({"apiVersion": api_version, "kind": SPARK_APPLICATION_KIND});
    application["metadata"] = metadata;
    application["spec"] = spec;
    let hash = canonical::hash(&application);
    if let Some(annotations) = application.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.insert(names::RENDER_HASH_ANNOTATION.to_owned(), json!(hash));
    }
    (application, hash)
}

/// Labels or annotations of the template, without marks of other owners.
fn copied(template: &Value, part: &str) -> Map<String, Value> {
    let all = template.get("metadata").and_then(|metadata| metadata.get(part)).and_then(Value::as_object);
    all.into_iter()
        .flatten()
        .filter(|(key, _)| !names::is_owners_mark(key) && !key.starts_with(names::PREFIX))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The spec with what Kubeflow's webhook would fill: what a template means wherever it is silent.
pub(crate) fn spec(root: &Value) -> Value {
    let mut spec = root.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    // The hub deletes finished applications itself, once their outcome is on record.
    spec.remove("timeToLiveSeconds");
    set_default(&mut spec, "type", json!("Scala"));
    spec.insert("mode".to_owned(), json!("cluster"));
    let mut policy = take(&mut spec, "restartPolicy");
    set_default(&mut policy, "type", json!("Never"));
    if policy.get("type") != Some(&json!("Never")) {
        // Without them the operator reports an error and never leaves the failed state.
        set_default(&mut policy, "onFailureRetryInterval", json!(5));
        set_default(&mut policy, "onSubmissionFailureRetryInterval", json!(5));
    }
    spec.insert("restartPolicy".to_owned(), policy.into());
    let dynamic = parts::is_dynamic(root);
    let has_property = |name: &str| decide::property(name).raw(root).is_some();
    for role in ["driver", "executor"] {
        let mut part = take(&mut spec, role);
        for (field, value) in [("cores", json!(1)), ("memory", json!("1g"))] {
            if !has_property(&format!("spark.{role}.{field}")) {
                set_default(&mut part, field, value);
            }
        }
        if role == "executor" && !dynamic && !has_property("spark.executor.instances") {
            set_default(&mut part, "instances", json!(1));
        }
        spec.insert(role.to_owned(), part.into());
    }
    if let Some(allocation) = spec.get_mut("dynamicAllocation").and_then(Value::as_object_mut)
        && allocation.get("enabled") == Some(&Value::Bool(true))
    {
        set_default(allocation, "shuffleTrackingEnabled", json!(true));
    }
    Value::Object(spec)
}

/// Takes the object in a field out; empty where there is none.
fn take(map: &mut Map<String, Value>, field: &str) -> Map<String, Value> {
    match map.remove(field) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Go writes absent pointers as `null` too.
fn set_default(map: &mut Map<String, Value>, field: &str, value: Value) {
    let entry = map.entry(field).or_insert(Value::Null);
    if entry.is_null() || entry.as_str() == Some("") {
        *entry = value;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spark_router_core::id::{Attempt, JobKey, JobUid, Namespace, QueueName, RemoteName};

    use super::*;

    fn order(template: Value) -> Order {
        Order {
            job: JobUid::from("0b1c"),
            key: JobKey { namespace: Namespace::from("team"), name: "daily".to_owned() },
            attempt: Attempt(2),
            queue: QueueName::from("etl"),
            seq: 7,
            namespace: Namespace::from("spark"),
            name: RemoteName::from("daily-abc"),
            template: Arc::new(template),
            remote_queue: None,
            parts: None,
            emr: None,
            start_deadline: None,
        }
    }

    fn rendered(spec: &Value) -> Value {
        application(&order(json!({"spec": spec})), &HubId::from("hub"), &MemberParts::default()).0["spec"]
            .clone()
    }

    #[test]
    fn marks_of_ours_go_in_and_marks_of_other_owners_stay_out() {
        let template = json!({
            "metadata": {
                "labels": {
                    "team": "a", "app.kubernetes.io/instance": "x", "argocd.argoproj.io/instance": "x",
                    "kustomize.toolkit.fluxcd.io/name": "x", "helm.toolkit.fluxcd.io/name": "x", "helm.sh/chart": "x",
                    "sparkrouter.dev/origin": "forged", "kueue.x-k8s.io/queue-name": "q",
                },
                "annotations": {
                    "note": "b", "argocd.argoproj.io/tracking-id": "x", "meta.helm.sh/release-name": "x",
                    "kubectl.kubernetes.io/last-applied-configuration": "{}", "sparkrouter.dev/seq": "99",
                },
            },
            "spec": {"type": "Scala"},
        });
        let (application, hash) = application(&order(template), &HubId::from("hub"), &MemberParts::default());
        assert_eq!(
            application["metadata"],
            json!({
                "name": "daily-abc", "namespace": "spark", "finalizers": ["sparkrouter.dev/outcome"],
                "labels": {
                    "team": "a", "kueue.x-k8s.io/queue-name": "q", "sparkrouter.dev/origin": "hub",
                    "sparkrouter.dev/job-uid": "0b1c", "sparkrouter.dev/attempt": "2", "sparkrouter.dev/queue": "etl",
                },
                "annotations": {
                    "note": "b", "sparkrouter.dev/job-namespace": "team", "sparkrouter.dev/job-name": "daily",
                    "sparkrouter.dev/seq": "7", "sparkrouter.dev/render-hash": hash,
                },
            })
        );
        assert_eq!(application["apiVersion"], "sparkoperator.k8s.io/v1beta2");
    }

    #[test]
    fn an_empty_spec_gets_what_the_webhook_would_fill() {
        assert_eq!(
            rendered(&json!({"timeToLiveSeconds": 60})),
            json!({
                "type": "Scala", "mode": "cluster", "restartPolicy": {"type": "Never"},
                "driver": {"cores": 1, "memory": "1g"}, "executor": {"cores": 1, "memory": "1g", "instances": 1},
            })
        );
    }

    #[test]
    fn what_is_set_stays() {
        let spec = json!({
            "type": "Python", "mode": "cluster", "sparkVersion": "4.0.1",
            "restartPolicy": {"type": "OnFailure", "onFailureRetries": 2, "onFailureRetryInterval": 9},
            "driver": {"cores": 2, "memory": "2g", "labels": {"a": "b"}},
            "executor": {"cores": 3, "memory": "3g", "instances": 0},
            "batchScheduler": "yunikorn", "batchSchedulerOptions": {"queue": "root.a"},
        });
        let mut expected = spec.clone();
        expected["restartPolicy"]["onSubmissionFailureRetryInterval"] = json!(5);
        assert_eq!(rendered(&spec), expected);
    }

    #[test]
    fn sizes_in_spark_conf_are_not_overruled() {
        let spec = rendered(&json!({"sparkConf": {
            "spark.driver.cores": "2", "spark.driver.memory": "2g", "spark.executor.cores": "2",
            "spark.executor.memory": "2g", "spark.executor.instances": "4",
        }}));
        assert_eq!((&spec["driver"], &spec["executor"]), (&json!({}), &json!({})));
    }

    #[test]
    fn executors_are_left_to_dynamic_allocation_in_every_spelling() {
        for (spec, instances) in [
            (json!({"dynamicAllocation": {"enabled": true}}), Value::Null),
            (json!({"dynamicAllocation": {"enabled": false}}), json!(1)),
            (
                json!({"dynamicAllocation": {"enabled": false}, "sparkConf": {"spark.dynamicAllocation.enabled": "true"}}),
                json!(1),
            ),
            (json!({"sparkConf": {"spark.dynamicAllocation.enabled": "true"}}), Value::Null),
            (json!({"sparkConf": {"spark.dynamicallocation.enabled": "True"}}), Value::Null),
            (json!({"sparkConf": {"spark.dynamicAllocation.enabled": "false"}}), json!(1)),
            (json!({"executor": {"instances": null}}), json!(1)),
        ] {
            assert_eq!(rendered(&spec)["executor"]["instances"], instances, "{spec}");
        }
        let spec = rendered(&json!({"dynamicAllocation": {"enabled": true}}));
        assert_eq!(spec["dynamicAllocation"]["shuffleTrackingEnabled"], true);
    }

    #[test]
    fn the_hash_names_what_is_sent() {
        let hub = HubId::from("hub");
        let one = order(json!({"spec": {"type": "Scala", "sparkConf": {"a": "1", "b": "2"}}}));
        let same = order(json!({"spec": {"sparkConf": {"b": "2", "a": "1"}, "type": "Scala"}}));
        let other = Order { seq: 8, ..one.clone() };
        let hash = |order| application(order, &hub, &MemberParts::default()).1;
        assert_eq!(hash(&one), hash(&same));
        assert_ne!(hash(&one), hash(&other));
        // Stored in placements and on members: a change of it makes every unconfirmed create look changed.
        assert_eq!(hash(&one), "d1543117211318ac19f4a7c6deb8e3af");
    }
}
