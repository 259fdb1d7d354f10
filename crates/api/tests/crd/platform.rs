//! What members and queues may say, what is refused and with which words, and what is filled in.

use super::*;

#[test]
fn what_a_member_may_say() {
    let base = json!({ "connection": { "kubeconfigSecret": { "name": "eu-1" } } });
    let cases = [
        (json!({}), None),
        (json!({ "connection": { "kubeconfigSecret": null, "inCluster": {} } }), None),
        (json!({ "namespace": { "fixed": "jobs" }, "sparkVersions": ["3.5", "4"] }), None),
        (json!({ "capacity": { "jobs": 5, "cpu": 40, "memory": "64Gi" } }), None),
        (json!({ "capacity": { "cpu": "500m", "memory": "1.5e9" }, "retention": "1h30m" }), None),
        (json!({ "links": { "ui": "https://x/{namespace}", "history": "http://y/{applicationId}" } }), None),
        (json!({ "connection": null }), Some("spec.connection: Required value")),
        (
            json!({ "connection": { "inCluster": {} } }),
            Some("connection must have exactly one of kubeconfigSecret and inCluster"),
        ),
        (
            json!({ "connection": { "kubeconfigSecret": null } }),
            Some("connection must have exactly one of kubeconfigSecret and inCluster"),
        ),
        (
            json!({ "connection": { "kubeconfigSecret": { "name": null } } }),
            Some("kubeconfigSecret.name: Required value"),
        ),
        (
            json!({ "connection": { "kubeconfigSecret": { "key": "a/b" } } }),
            Some("kubeconfigSecret.key: Invalid value"),
        ),
        (json!({ "backend": {} }), Some("backend must have exactly one entry")),
        (json!({ "namespace": {} }), Some("namespace must have exactly one of fixed and sameAsJob")),
        (
            json!({ "namespace": { "fixed": "a", "sameAsJob": {} } }),
            Some("namespace must have exactly one of fixed and sameAsJob"),
        ),
        (json!({ "namespace": { "fixed": "A" } }), Some("spec.namespace.fixed: Invalid value")),
        (json!({ "sparkVersions": ["4", "4"] }), Some("Duplicate value")),
        (json!({ "sparkVersions": ["latest"] }), Some("spec.sparkVersions[0]: Invalid value")),
        (json!({ "capacity": { "cpu": "many" } }), Some("spec.capacity.cpu: Invalid value")),
        (json!({ "capacity": { "memory": "-1Gi" } }), Some("spec.capacity.memory: Invalid value")),
        (json!({ "capacity": { "jobs": -1 } }), Some("spec.capacity.jobs: Invalid value")),
        (
            json!({ "limits": { "requestsPerSecond": 0 } }),
            Some("spec.limits.requestsPerSecond: Invalid value"),
        ),
        (
            json!({ "limits": { "maxConcurrentRequests": 0 } }),
            Some("spec.limits.maxConcurrentRequests: Invalid value"),
        ),
        (json!({ "health": { "lostAfterSeconds": 0 } }), Some("spec.health.lostAfterSeconds: Invalid value")),
        (json!({ "links": { "logs": "javascript:alert(1)" } }), Some("spec.links.logs: Invalid value")),
        (json!({ "retention": "1d" }), Some("spec.retention: Invalid value")),
        (json!({ "retention": "" }), Some("spec.retention: Invalid value")),
    ];
    run(async {
        judge::<MemberCluster>("member", &base, &cases).await;
        let long = create::<MemberCluster>(&"m".repeat(64), &base).await.unwrap_err();
        assert!(long.contains("metadata.name of a MemberCluster must have at most 63 characters"), "{long}");
    });
}

#[test]
fn a_member_gets_its_defaults_and_reads_as_the_type_says() {
    run(async {
        create::<MemberCluster>(
            "defaults",
            &json!({ "connection": { "kubeconfigSecret": { "name": "s" } } }),
        )
        .await
        .unwrap();
        let stored = api::<MemberCluster>().await.get("defaults").await.unwrap().data;
        let expected = json!({
            "connection": { "kubeconfigSecret": { "name": "s", "key": "kubeconfig" } },
            "limits": { "requestsPerSecond": 50, "maxConcurrentRequests": 16 },
            "unschedulable": false,
            "health": { "lostAfterSeconds": 30, "readyAfterSeconds": 30 },
            "retention": "24h",
            "driverLogTail": true,
            "forget": false,
        });
        assert_eq!(stored["spec"], expected);
        assert_eq!(stored["status"], json!({ "observedGeneration": -1 }));
        // The type fills in the same, so code that builds a spec and the server agree.
        let typed: MemberClusterSpec =
            serde_json::from_value(json!({ "connection": stored["spec"]["connection"] })).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), expected);
        // A default inside a part that is only half written.
        create::<MemberCluster>(
            "half",
            &json!({ "connection": { "inCluster": {} }, "limits": { "requestsPerSecond": 5 } }),
        )
        .await
        .unwrap();
        let half = api::<MemberCluster>().await.get("half").await.unwrap().data;
        assert_eq!(half["spec"]["limits"], json!({ "requestsPerSecond": 5, "maxConcurrentRequests": 16 }));
    });
}

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
        assert_eq!(stored["spec"], json!({ "routes": [{ "clusters": { "names": ["eu-1"] }, "weight": 1 }] }));
        assert_eq!(stored["status"], json!({ "observedGeneration": -1 }));
    });
}
