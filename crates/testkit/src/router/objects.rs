//! Small valid objects of ours, for tests to start from.
//!
//! Purpose: a queue, a member, a job as JSON, so that a test can also make them wrong. Owns no state. It must never set a
//! field that has a default which tests should rather see at work.

use serde_json::{Value, json};
use spark_router_api::API_VERSION;

/// A MemberCluster that refers to the Secret of the same name, and that may be fed as fast as it takes; `overrides` is
/// merged into its spec (a null removes).
pub fn member_cluster(name: &str, overrides: Value) -> Value {
    // Tests send more in a second than an operator is trusted with in a minute.
    let limits =
        json!({"dispatchesPerMinute": 1_000_000, "dispatchBurst": 10_000, "submissionBacklog": 100_000});
    let mut spec = json!({"connection": {"kubeconfigSecret": {"name": name}}, "limits": limits});
    merge(&mut spec, overrides);
    json!({"apiVersion": API_VERSION, "kind": "MemberCluster", "metadata": {"name": name}, "spec": spec})
}

/// A SparkQueue that takes jobs from all namespaces. `routes` as in its spec, or of [`weights`].
pub fn queue(name: &str, routes: &Value) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "SparkQueue",
        "metadata": {"name": name},
        "spec": {"namespaceSelector": {}, "routes": routes},
    })
}

/// Routes to members by name, each with its weight.
pub fn weights(members: &[(&str, u32)]) -> Value {
    members.iter().map(|(name, weight)| json!({"clusters": {"names": [name]}, "weight": weight})).collect()
}

/// A RoutedSparkJob with one driver and one executor that runs for half a second under KWOK or the scripted operator.
/// `edit` gets the template (`metadata`, `spec`).
pub fn job(namespace: &str, name: &str, queue: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let mut template = json!({
        "metadata": {"annotations": {"spark-router.test/run-ms": "500"}},
        "spec": {
            "type": "Scala",
            "mode": "cluster",
            "sparkVersion": "4.0.1",
            "image": "spark:4.0.1",
            "mainClass": "org.apache.spark.examples.SparkPi",
            "mainApplicationFile": "local:///opt/spark/examples/jars/spark-examples.jar",
            "restartPolicy": {"type": "Never"},
            "driver": {
                "cores": 1,
                "memory": "512m",
                "serviceAccount": "spark",
                // KWOK looks at the driver's pod, the scripted operator at the application.
                "annotations": {"spark-router.test/run-ms": "500"},
            },
            "executor": {"instances": 1, "cores": 1, "memory": "512m"},
        },
    });
    edit(&mut template);
    json!({
        "apiVersion": API_VERSION,
        "kind": "RoutedSparkJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"queue": queue, "template": template},
    })
}

/// Sets an annotation of a template where both KWOK's drivers and the scripted operator find it.
pub fn annotate(template: &mut Value, name: &str, value: &str) {
    let name = format!("{}{name}", crate::spark_submit::ANNOTATIONS);
    let patch = json!({
        "metadata": {"annotations": {name.clone(): value}},
        "spec": {"driver": {"annotations": {name: value}}},
    });
    merge(template, patch);
}

/// JSON merge patch (RFC 7386): objects are merged, null removes, everything else replaces.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_what_the_types_say() {
        let job = job("team", "pi", "etl", |template| annotate(template, "exit-code", "3"));
        let parsed: spark_router_api::RoutedSparkJob = serde_json::from_value(job.clone()).unwrap();
        assert_eq!(parsed.spec.queue, "etl");
        let template = &job["spec"]["template"];
        assert_eq!(template["spec"]["driver"]["annotations"]["spark-router.test/exit-code"], "3");
        assert_eq!(template["metadata"]["annotations"]["spark-router.test/run-ms"], "500");
        let queue = queue("etl", &weights(&[("m1", 50), ("m2", 30)]));
        let queue: spark_router_api::SparkQueue = serde_json::from_value(queue).unwrap();
        assert_eq!(queue.spec.routes.len(), 2);
        let member = member_cluster("m1", json!({"unschedulable": true}));
        let member: spark_router_api::MemberCluster = serde_json::from_value(member).unwrap();
        assert!(member.spec.unschedulable && member.spec.connection.kubeconfig_secret.is_some());
    }

    #[test]
    fn a_merge_removes_with_null() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut target, json!({"a": {"b": null, "e": {"f": null, "g": 1}}, "d": [2]}));
        assert_eq!(target, json!({"a": {"c": 2, "e": {"g": 1}}, "d": [2]}));
    }
}
