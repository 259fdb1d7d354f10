//! What can be changed in a job before and after its first placement.

use super::*;

/// Changes of the template that a comparison could miss.
fn template_changes() -> Vec<(&'static str, Value)> {
    let spec = |patch: Value| json!({ "spec": { "template": { "spec": patch } } });
    vec![
        ("a declared value", spec(json!({ "sparkVersion": "4.0.2" }))),
        ("an undeclared value", spec(json!({ "mainClass": "org.example.Other" }))),
        ("a nested value", spec(json!({ "sparkConf": { "spark.a": "3" } }))),
        ("a value in a list", spec(json!({ "arguments": ["1001"] }))),
        (
            "a value in an object in a list",
            spec(json!({ "driver": { "env": [{ "name": "A", "value": "2" }] } })),
        ),
        (
            "a known key renamed to an unknown one",
            spec(json!({ "mainClass": null, "mainKlass": "org.example.Main" })),
        ),
        ("an unknown key renamed to a known one", spec(json!({ "imaeg": null, "image": "spark:4.0.1" }))),
        (
            "a known key renamed to another",
            spec(json!({ "mainClass": null, "proxyUser": "org.example.Main" })),
        ),
        ("a nested key renamed", spec(json!({ "sparkConf": { "spark.b": null, "spark.c": "2" } }))),
        ("a key dropped", spec(json!({ "mainClass": null }))),
        ("a nested key dropped", spec(json!({ "sparkConf": { "spark.b": null } }))),
        ("a key added", spec(json!({ "hadoopConf": {} }))),
        ("a nested key added", spec(json!({ "executor": { "cores": 2 } }))),
        ("a label", json!({ "spec": { "template": { "metadata": { "labels": { "team": "b" } } } } })),
        (
            "a label renamed",
            json!({ "spec": { "template": { "metadata": { "labels": { "team": null, "taem": "a" } } } } }),
        ),
        ("the metadata dropped", json!({ "spec": { "template": { "metadata": null } } })),
    ]
}

#[test]
fn before_the_first_placement_everything_can_be_changed() {
    run(async {
        create::<RoutedSparkJob>("open", &job()).await.unwrap();
        // Looked at, but not placed: the user mends the template in place.
        set_status(
            "open",
            json!({ "observedGeneration": 1, "phase": "Queued", "reason": "InvalidTemplate" }),
        )
        .await;
        for (what, patch) in template_changes() {
            edit("open", patch).await.unwrap_or_else(|message| panic!("{what}: {message}"));
        }
        edit("open", json!({ "spec": { "queue": "other", "priority": 3 } })).await.unwrap();
        edit("open", json!({ "spec": { "placement": { "clusterNames": ["eu-1"] } } })).await.unwrap();
        let tolerations = json!([{ "key": "phi" }]);
        for placement in [json!({ "tolerations": tolerations }), json!({ "tolerations": null }), json!(null)]
        {
            edit("open", json!({ "spec": { "placement": placement } })).await.unwrap();
        }
        for (field, value) in [("subQueue", "a.b"), ("size", "large"), ("ttlAfterFinished", "1h")] {
            for value in [json!(value), json!(null)] {
                edit("open", json!({ "spec": { field: value } })).await.unwrap();
            }
        }
    });
}

#[test]
fn from_the_first_placement_the_spec_is_immutable() {
    run(async {
        create::<RoutedSparkJob>("frozen", &job()).await.unwrap();
        set_status("frozen", placed()).await;
        let frozen = |message: String, what: &str, field: &str| {
            assert!(message.contains(&format!("{field} is immutable")), "{what}: {message}");
        };
        for (what, patch) in template_changes() {
            frozen(edit("frozen", patch).await.expect_err(what), what, "spec.template");
        }
        let queue = edit("frozen", json!({ "spec": { "queue": "other" } })).await;
        frozen(queue.unwrap_err(), "queue", "spec.queue");
        let placement =
            edit("frozen", json!({ "spec": { "placement": { "clusterNames": ["eu-1"] } } })).await;
        frozen(placement.unwrap_err(), "placement added", "spec.placement");
        for (field, value) in [("subQueue", "a.b"), ("size", "large")] {
            let added = edit("frozen", json!({ "spec": { field: value } })).await;
            frozen(added.unwrap_err(), "added", &format!("spec.{field}"));
        }
        let priority = edit("frozen", json!({ "spec": { "priority": 9 } })).await;
        frozen(priority.unwrap_err(), "priority", "spec.priority");

        // What must go on: labels, our finalizer, the same manifest again, deletion.
        let again = json!({ "metadata": { "labels": { "a": "b" }, "finalizers": [names::JOB_FINALIZER] } });
        edit("frozen", again).await.unwrap();
        edit("frozen", json!({ "metadata": { "annotations": { names::ABANDON_ANNOTATION: "true" } } }))
            .await
            .unwrap();
        let api = api::<RoutedSparkJob>().await;
        api.delete("frozen", &DeleteParams::default()).await.unwrap();
        edit("frozen", json!({ "metadata": { "finalizers": [] } })).await.unwrap();
        assert!(api.get_opt("frozen").await.unwrap().is_none());
    });
}

#[test]
fn a_placement_constraint_cannot_be_changed_or_dropped_either() {
    run(async {
        let mut spec = job();
        merge(&mut spec, &json!({ "placement": { "clusterNames": ["eu-1"] } }));
        create::<RoutedSparkJob>("pinned", &spec).await.unwrap();
        set_status("pinned", placed()).await;
        for placement in [json!(null), json!({ "clusterNames": ["eu-2"] }), json!({ "clusterNames": null })] {
            let message = edit("pinned", json!({ "spec": { "placement": placement } })).await.unwrap_err();
            assert!(message.contains("spec.placement is immutable"), "{message}");
        }
    });
}

#[test]
fn tolerations_sub_queue_and_size_cannot_be_changed_or_dropped_either() {
    run(async {
        let mut spec = job();
        let tolerations = json!([{ "key": "phi", "value": "yes" }]);
        merge(
            &mut spec,
            &json!({ "placement": { "tolerations": tolerations }, "subQueue": "a.b", "size": "large" }),
        );
        create::<RoutedSparkJob>("tolerant", &spec).await.unwrap();
        set_status("tolerant", placed()).await;
        for tolerations in [
            json!(null),
            json!([]),
            json!([{ "key": "phi", "value": "no" }]),
            json!([{ "key": "phi", "operator": "Exists" }]),
            json!([{ "key": "phi", "value": "yes", "effect": "NoSchedule" }]),
            json!([{ "key": "phi", "value": "yes" }, { "operator": "Exists" }]),
        ] {
            let patch = json!({ "spec": { "placement": { "tolerations": tolerations } } });
            let message = edit("tolerant", patch).await.expect_err(&tolerations.to_string());
            assert!(message.contains("spec.placement is immutable"), "{message}");
        }
        // One field renamed to another must not pass for the same.
        let renamed = json!({ "spec": { "placement": { "tolerations": null, "clusterNames": ["eu-1"] } } });
        let message = edit("tolerant", renamed).await.unwrap_err();
        assert!(message.contains("spec.placement is immutable"), "{message}");
        for (field, value) in [("subQueue", "a.c"), ("size", "small")] {
            for value in [json!(value), json!(null)] {
                let message = edit("tolerant", json!({ "spec": { field: value } })).await.unwrap_err();
                assert!(message.contains(&format!("spec.{field} is immutable")), "{message}");
            }
        }
        // The same written out is no change.
        let same = json!([{ "key": "phi", "operator": "Equal", "value": "yes" }]);
        edit("tolerant", json!({ "spec": { "placement": { "tolerations": same } } })).await.unwrap();
    });
}

#[test]
fn the_time_to_live_can_be_changed_at_any_time() {
    run(async {
        create::<RoutedSparkJob>("mortal", &job()).await.unwrap();
        set_status("mortal", placed()).await;
        for ttl in [json!("1h"), json!("0s"), json!(null)] {
            edit("mortal", json!({ "spec": { "ttlAfterFinished": ttl } })).await.unwrap();
            let stored = api::<RoutedSparkJob>().await.get("mortal").await.unwrap().data;
            assert_eq!(stored["spec"]["ttlAfterFinished"], ttl);
        }
    });
}

#[test]
fn a_withdrawn_job_waits_again_and_its_priority_counts_again() {
    run(async {
        create::<RoutedSparkJob>("withdrawn", &job()).await.unwrap();
        set_status("withdrawn", placed()).await;
        set_status("withdrawn", json!({ "observedGeneration": 1, "phase": "Queued", "specHash": "abc" }))
            .await;
        let stored = api::<RoutedSparkJob>().await.get("withdrawn").await.unwrap();
        assert!(
            stored.data["status"].get("placement").is_none(),
            "an apply of the whole status takes fields away"
        );
        edit("withdrawn", json!({ "spec": { "priority": 9 } })).await.unwrap();
        let message = edit("withdrawn", json!({ "spec": { "queue": "other" } })).await.unwrap_err();
        assert!(message.contains("spec.queue is immutable"), "{message}");
    });
}

#[test]
fn the_same_manifest_can_be_applied_again_while_the_job_runs() {
    run(async {
        let hub = hub().await;
        let client_side = &["apply"][..];
        let server_side = &["apply", "--server-side", "--force-conflicts"][..];
        // A client-side apply leaves nulls out by itself, so a change of the way of applying with one is a change.
        let mut without_null = job();
        merge(&mut without_null, &json!({ "template": { "spec": { "nodeSelector": null } } }));
        for (name, first, second, spec) in [
            ("again-cc", client_side, client_side, job()),
            ("again-cs", client_side, server_side, without_null),
            ("again-ss", server_side, server_side, job()),
        ] {
            let file = hub.folder().join(format!("{name}.json"));
            let object = json!({
                "apiVersion": spark_router_api::API_VERSION, "kind": "RoutedSparkJob",
                "metadata": { "name": name, "namespace": "default" }, "spec": spec,
            });
            std::fs::write(&file, object.to_string()).unwrap();
            let file = file.to_string_lossy();
            kubectl(hub, &[first, &["-f", &file]].concat()).await;
            set_status(name, placed()).await;
            kubectl(hub, &[second, &["-f", &file]].concat()).await;
            let generation = api::<RoutedSparkJob>().await.get(name).await.unwrap().metadata.generation;
            assert_eq!(generation, Some(1), "{name}");
        }
    });
}

/// What a job's owner says of its course, field by field: a value and another one.
fn course() -> [(&'static str, Value, Value); 4] {
    [
        ("failover", json!({ "onMemberLost": "AllowDuplicate" }), json!({ "onMemberLost": "FenceThenMove" })),
        (
            "retry",
            json!({ "maxAttempts": 2, "failures": ["DriverLost"] }),
            json!({ "maxAttempts": 3, "failures": ["DriverLost"] }),
        ),
        ("deadlines", json!({ "run": "1h" }), json!({ "queued": "1h" })),
        ("emr", json!({ "releaseLabel": "emr-7.13.0-latest" }), json!({ "maxAttempts": 2 })),
    ]
}

#[test]
fn the_course_can_be_changed_until_the_first_placement_and_not_after() {
    run(async {
        create::<RoutedSparkJob>("course", &job()).await.unwrap();
        for (field, one, other) in course() {
            for value in [&one, &other, &json!(null), &one] {
                edit("course", json!({ "spec": { field: value } })).await.unwrap();
            }
        }
        set_status("course", placed()).await;
        for (field, one, other) in course() {
            for value in [other, json!(null)] {
                // A merge patch would merge: the old keys go, so that the new ones alone are there.
                let mut value = value;
                if let (Some(value), Some(old)) = (value.as_object_mut(), one.as_object()) {
                    for key in old.keys() {
                        value.entry(key.clone()).or_insert(Value::Null);
                    }
                }
                let message = edit("course", json!({ "spec": { field: value } })).await.unwrap_err();
                assert!(message.contains(&format!("spec.{field} is immutable")), "{message}");
            }
        }
        create::<RoutedSparkJob>("plain", &job()).await.unwrap();
        set_status("plain", placed()).await;
        for (field, one, _) in course() {
            let message = edit("plain", json!({ "spec": { field: one } })).await.unwrap_err();
            assert!(message.contains(&format!("spec.{field} is immutable")), "{message}");
        }
    });
}

#[test]
fn a_job_can_be_held_back_and_cancelled_at_any_time() {
    run(async {
        create::<RoutedSparkJob>("steered", &job()).await.unwrap();
        set_status("steered", placed()).await;
        for field in ["suspend", "cancel"] {
            for value in [true, false] {
                edit("steered", json!({ "spec": { field: value } })).await.unwrap();
                let stored = api::<RoutedSparkJob>().await.get("steered").await.unwrap().data;
                assert_eq!(stored["spec"][field], json!(value));
            }
        }
    });
}
