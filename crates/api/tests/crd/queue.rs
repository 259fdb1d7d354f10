//! What queues may say, what is refused and with which words, and what is filled in.

use super::*;

#[test]
fn what_a_queue_may_say() {
    let base = json!({ "routes": [{ "clusters": { "names": ["eu-1"] } }] });
    let route = |patch: Value| {
        let mut route = base["routes"][0].clone();
        merge(&mut route, &patch);
        json!({ "routes": [route] })
    };
    let cases = [
        (json!({}), None),
        (json!({ "namespaceSelector": {} }), None),
        (
            json!({ "namespaceSelector": { "matchExpressions": [{ "key": "team", "operator": "In", "values": ["a"] }] } }),
            None,
        ),
        (route(json!({ "weight": 0, "capacity": { "jobs": 1, "cpu": 1, "memory": "1Gi" } })), None),
        (route(json!({ "clusters": { "names": null, "selector": { "matchLabels": { "a": "b" } } } })), None),
        (json!({ "routes": null }), Some("spec.routes: Required value")),
        (json!({ "routes": [] }), Some("spec.routes in body should have at least 1 items")),
        (route(json!({ "clusters": null })), Some("spec.routes[0].clusters: Required value")),
        (
            route(json!({ "clusters": { "names": null } })),
            Some("clusters must have exactly one of names and selector"),
        ),
        (
            route(json!({ "clusters": { "selector": {} } })),
            Some("clusters must have exactly one of names and selector"),
        ),
        (route(json!({ "clusters": { "names": [] } })), Some("should have at least 1 items")),
        (route(json!({ "clusters": { "names": ["a", "a"] } })), Some("Duplicate value")),
        (route(json!({ "weight": -1 })), Some("spec.routes[0].weight: Invalid value")),
        (route(json!({ "weight": 1_000_001 })), Some("spec.routes[0].weight: Invalid value")),
        (route(json!({ "weight": 0.5 })), Some("spec.routes[0].weight: Invalid value")),
        (route(json!({ "capacity": { "cpu": "x" } })), Some("spec.routes[0].capacity.cpu: Invalid value")),
    ];
    run(async {
        judge::<SparkQueue>("queue", &base, &cases).await;
        for name in ["a.b".to_owned(), "q".repeat(64)] {
            let message = create::<SparkQueue>(&name, &base).await.unwrap_err();
            assert!(
                message.contains("metadata.name of a SparkQueue must have at most 63 characters and no dots"),
                "{message}"
            );
        }
        let stored = api::<SparkQueue>().await.get("queue-0").await.unwrap().data;
        let expected = json!({
            "order": "Fifo", "priority": 0, "paused": false, "backfill": { "passFor": "10m", "holdFor": "1h" },
            "routes": [{ "clusters": { "names": ["eu-1"] }, "weight": 1, "tier": 0 }],
            "allow": { "podTemplateFiles": false, "hostPaths": false },
        });
        assert_eq!(stored["spec"], expected);
        // The type fills in the same, so code that builds a spec and the server agree.
        let typed: SparkQueueSpec = serde_json::from_value(base.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), expected);
        assert_eq!(stored["status"], json!({ "observedGeneration": -1 }));
    });
}

/// A queue with every field set.
fn full() -> Value {
    let parts = json!({
        "image": "spark:4.0.1", "sparkConf": { "spark.ui.prometheus.enabled": "true" },
        "labels": { "team": "etl" }, "annotations": { "note": "x" },
        "driver": {
            "serviceAccount": "spark", "priorityClassName": "high", "nodeSelector": { "pool": "spark" },
            "tolerations": [{ "key": "spot", "operator": "Exists" }], "labels": { "a": "b" }, "annotations": { "c": "d" },
        },
        "executor": { "serviceAccount": "spark" },
    });
    json!({
        "namespaceSelector": { "matchLabels": { "team": "a" } },
        "order": "FairShare", "namespaceWeights": { "team-a": 3, "team-b": 1 }, "priority": -5,
        "guaranteed": { "jobs": 1, "pods": 10, "cpu": "10", "memory": "38Gi" }, "paused": true, "spillAfter": "5m",
        "backfill": { "passFor": "0s", "holdFor": "30m" },
        "routes": [
            {
                "clusters": { "names": ["eu-1"] }, "weight": 60, "tier": 0, "capacity": { "pods": 100 },
                "remoteQueue": "root.etl.Night_1", "signal": { "yunikorn": {} },
            },
            { "clusters": { "names": ["eu-2"] }, "weight": 40, "tier": 1, "signal": { "resourceQuota": {} } },
            { "clusters": { "names": ["eu-3"] }, "weight": 40, "tier": 100, "signal": { "kueue": { "clusterQueue": "etl" } } },
        ],
        "limits": {
            "active": 10, "queued": 100, "executors": 500, "cpu": "1k", "memory": "2Ti", "dispatchesPerMinute": 30,
            "highestPriority": 100, "longestRun": "12h",
        },
        "defaults": parts, "fixed": parts,
        "sizes": {
            "small": { "driver": { "cores": 1, "memory": "1g" }, "executor": { "cores": 1, "memory": "2g" }, "instances": 2 },
            "2xl": {
                "driver": { "cores": 4, "coreRequest": "3500m", "memory": "8g", "memoryOverhead": "1g" },
                "executor": { "cores": 8, "memory": "32g" }, "instances": 50,
            },
        },
        "ttlAfterFinished": "24h",
        "allow": { "podTemplateFiles": true, "hostPaths": true },
    })
}

#[test]
fn a_queue_with_everything_is_kept_as_written_and_read_whole() {
    run(async {
        create::<SparkQueue>("full", &full()).await.unwrap();
        assert_eq!(api::<SparkQueue>().await.get("full").await.unwrap().data["spec"], full());
        let typed: SparkQueueSpec = serde_json::from_value(full()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), full());
    });
}

#[test]
fn what_a_queue_may_say_about_order_and_limits() {
    let base = json!({ "routes": [{ "clusters": { "names": ["eu-1"] } }] });
    let limits = |patch: Value| json!({ "limits": patch });
    let route = |patch: Value| {
        let mut route = base["routes"][0].clone();
        merge(&mut route, &patch);
        json!({ "routes": [route] })
    };
    let size = |patch: Value| json!({ "sizes": { "s": patch } });
    let one_signal = Some("signal must have exactly one of resourceQuota, yunikorn and kueue");
    let size_name = Some("names of sizes must be lower case letters, digits and -, at most 63 characters");
    let cases = [
        (json!({ "order": "Lifo" }), Some(r#"supported values: "Fifo", "FairShare""#)),
        (json!({ "namespaceWeights": { "team-a": 0 } }), Some("spec.namespaceWeights.team-a: Invalid value")),
        (
            json!({ "namespaceWeights": { "team-a": 1_000_001 } }),
            Some("spec.namespaceWeights.team-a: Invalid value"),
        ),
        (json!({ "priority": 3_000_000_000_u64 }), Some("spec.priority")),
        (json!({ "guaranteed": { "cpu": "lots" } }), Some("spec.guaranteed.cpu: Invalid value")),
        (json!({ "paused": "yes" }), Some("spec.paused: Invalid value")),
        (json!({ "spillAfter": "1d" }), Some("spec.spillAfter: Invalid value")),
        (json!({ "backfill": { "passFor": "-1s" } }), Some("spec.backfill.passFor: Invalid value")),
        (json!({ "backfill": { "holdFor": "" } }), Some("spec.backfill.holdFor: Invalid value")),
        (json!({ "ttlAfterFinished": "soon" }), Some("spec.ttlAfterFinished: Invalid value")),
        (json!({ "allow": { "hostPaths": 1 } }), Some("spec.allow.hostPaths: Invalid value")),
        (route(json!({ "tier": -1 })), Some("spec.routes[0].tier: Invalid value")),
        (route(json!({ "tier": 101 })), Some("spec.routes[0].tier: Invalid value")),
        (route(json!({ "remoteQueue": "" })), Some("spec.routes[0].remoteQueue: Invalid value")),
        (route(json!({ "remoteQueue": "root etl" })), Some("spec.routes[0].remoteQueue: Invalid value")),
        (route(json!({ "remoteQueue": "q".repeat(254) })), Some("spec.routes[0].remoteQueue: Too long")),
        (route(json!({ "capacity": { "pods": -1 } })), Some("spec.routes[0].capacity.pods: Invalid value")),
        (route(json!({ "signal": {} })), one_signal),
        (route(json!({ "signal": { "yunikorn": {}, "resourceQuota": {} } })), one_signal),
        (
            route(json!({ "signal": { "kueue": {} } })),
            Some("spec.routes[0].signal.kueue.clusterQueue: Required value"),
        ),
        (limits(json!({})), None),
        (limits(json!({ "active": 0, "queued": 0, "executors": 0, "highestPriority": -1 })), None),
        (limits(json!({ "active": -1 })), Some("spec.limits.active: Invalid value")),
        (limits(json!({ "queued": -1 })), Some("spec.limits.queued: Invalid value")),
        (limits(json!({ "executors": 10_000_001 })), Some("spec.limits.executors: Invalid value")),
        (limits(json!({ "cpu": "x" })), Some("spec.limits.cpu: Invalid value")),
        (limits(json!({ "memory": "x" })), Some("spec.limits.memory: Invalid value")),
        (limits(json!({ "dispatchesPerMinute": 0 })), Some("spec.limits.dispatchesPerMinute: Invalid value")),
        (limits(json!({ "highestPriority": 3_000_000_000_u64 })), Some("spec.limits.highestPriority")),
        (limits(json!({ "longestRun": "12 hours" })), Some("spec.limits.longestRun: Invalid value")),
        (json!({ "sizes": { "Large": {} } }), size_name),
        (json!({ "sizes": { "a.b": {} } }), size_name),
        (json!({ "sizes": { "x".repeat(64): {} } }), size_name),
        (
            json!({ "sizes": (0..33).map(|n| (format!("s{n}"), json!({}))).collect::<serde_json::Map<_, _>>() }),
            Some("spec.sizes: Too many: 33: must have at most 32 items"),
        ),
        (size(json!({ "instances": 0 })), Some("spec.sizes.s.instances: Invalid value")),
        (size(json!({ "driver": { "cores": 0 } })), Some("spec.sizes.s.driver.cores: Invalid value")),
        (
            size(json!({ "executor": { "memory": "4Gi" } })),
            Some("spec.sizes.s.executor.memory: Invalid value"),
        ),
        (
            size(json!({ "executor": { "memoryOverhead": "x" } })),
            Some("spec.sizes.s.executor.memoryOverhead: Invalid value"),
        ),
        (
            size(json!({ "executor": { "coreRequest": "many" } })),
            Some("spec.sizes.s.executor.coreRequest: Invalid value"),
        ),
    ];
    run(async {
        judge::<SparkQueue>("ordering", &base, &cases).await;
        let mut half = base.clone();
        merge(&mut half, &json!({ "backfill": { "passFor": "1m" }, "allow": { "hostPaths": true } }));
        create::<SparkQueue>("ordering-half", &half).await.unwrap();
        let stored = api::<SparkQueue>().await.get("ordering-half").await.unwrap().data;
        assert_eq!(stored["spec"]["backfill"], json!({ "passFor": "1m", "holdFor": "1h" }));
        assert_eq!(stored["spec"]["allow"], json!({ "podTemplateFiles": false, "hostPaths": true }));
    });
}
