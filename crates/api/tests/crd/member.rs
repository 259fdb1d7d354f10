//! What members may say, what is refused and with which words, and what is filled in.

use super::*;

#[test]
fn what_a_member_may_say() {
    let base = json!({ "connection": { "kubeconfigSecret": { "name": "eu-1" } } });
    let cases = [
        (json!({}), None),
        (json!({ "connection": { "kubeconfigSecret": null, "inCluster": {} } }), None),
        (json!({ "namespace": { "fixed": "jobs" }, "sparkVersions": ["3.5", "4"] }), None),
        (json!({ "capacity": { "jobs": 5, "cpu": 40, "memory": "64Gi" } }), None),
        (json!({ "capacity": { "pods": 0 } }), None),
        (json!({ "capacity": { "pods": -1 } }), Some("spec.capacity.pods: Invalid value")),
        (json!({ "capacity": { "cpu": "500m", "memory": "1.5e9" }, "retention": "1h30m" }), None),
        (json!({ "links": { "ui": "https://x/{namespace}", "history": "http://y/{applicationId}" } }), None),
        (
            json!({ "connection": null }),
            Some("spec.connection is required; only a member with backend.emrContainers can do without"),
        ),
        (
            json!({ "connection": { "inCluster": {} } }),
            Some("connection must have exactly one of kubeconfigSecret, inCluster and eks"),
        ),
        (
            json!({ "connection": { "kubeconfigSecret": null } }),
            Some("connection must have exactly one of kubeconfigSecret, inCluster and eks"),
        ),
        (
            json!({ "connection": { "kubeconfigSecret": { "name": null } } }),
            Some("kubeconfigSecret.name: Required value"),
        ),
        (
            json!({ "connection": { "kubeconfigSecret": { "key": "a/b" } } }),
            Some("kubeconfigSecret.key: Invalid value"),
        ),
        (
            json!({ "backend": {} }),
            Some("backend must have exactly one of sparkOperator, apacheSpark and emrContainers"),
        ),
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
            "signals": { "staleAfterSeconds": 30 },
            "limits": {
                "requestsPerSecond": 50, "maxConcurrentRequests": 16, "dispatchesPerMinute": 60, "dispatchBurst": 20,
                "submissionBacklog": 100,
            },
            "unschedulable": false,
            "drain": false,
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
        assert_eq!(half["spec"]["limits"]["requestsPerSecond"], 5);
        assert_eq!(half["spec"]["limits"]["dispatchesPerMinute"], 60);
    });
}

#[test]
fn what_a_member_may_say_about_placement() {
    let base = json!({ "connection": { "inCluster": {} } });
    let taint = |patch: Value| {
        let mut taint = json!({ "key": "phi" });
        merge(&mut taint, &patch);
        json!({ "taints": [taint] })
    };
    let operator = |patch: Value| json!({ "backend": { "sparkOperator": patch } });
    let yunikorn = |source: Value| json!({ "signals": { "yunikorn": source } });
    let image = |patch: Value| {
        let mut image = json!({ "sparkVersion": "4.0", "image": "spark:4" });
        merge(&mut image, &patch);
        json!({ "images": [image] })
    };
    let one_source = Some("yunikorn must have exactly one of url and service");
    let cases = [
        (taint(json!({ "value": "yes", "effect": "NoSchedule" })), None),
        (taint(json!({ "key": "example.com/PHI_1.x" })), None),
        (
            taint(json!({ "effect": "NoExecute" })),
            Some(r#"spec.taints[0].effect: Unsupported value: "NoExecute": supported values: "NoSchedule""#),
        ),
        (taint(json!({ "key": null })), Some("spec.taints[0].key: Required value")),
        (taint(json!({ "key": "Bad.Prefix/x" })), Some("spec.taints[0].key: Invalid value")),
        (taint(json!({ "value": "-a" })), Some("spec.taints[0].value: Invalid value")),
        (json!({ "taints": [{ "key": "a" }, { "key": "a", "value": "b" }] }), Some("Duplicate value")),
        (
            json!({ "taints": (0..33).map(|n| json!({ "key": format!("k{n}") })).collect::<Vec<_>>() }),
            Some("spec.taints: Too many: 33: must have at most 32 items"),
        ),
        (operator(json!({ "batchScheduler": "YuniKorn" })), None),
        (operator(json!({ "batchScheduler": "Volcano" })), None),
        (operator(json!({ "batchScheduler": "Kueue" })), None),
        (
            operator(json!({ "batchScheduler": "Slurm" })),
            Some(r#"supported values: "YuniKorn", "Volcano", "Kueue""#),
        ),
        (image(json!({})), None),
        (image(json!({ "type": "Python", "sparkVersion": "3.5.6" })), None),
        (image(json!({ "type": "Go" })), Some(r#"supported values: "Java", "Scala", "Python", "R""#)),
        (image(json!({ "sparkVersion": null })), Some("spec.images[0].sparkVersion: Required value")),
        (image(json!({ "sparkVersion": "latest" })), Some("spec.images[0].sparkVersion: Invalid value")),
        (image(json!({ "image": null })), Some("spec.images[0].image: Required value")),
        (image(json!({ "image": "" })), Some("spec.images[0].image: Invalid value")),
        (json!({ "signals": { "staleAfterSeconds": 5 } }), None),
        (
            json!({ "signals": { "staleAfterSeconds": 4 } }),
            Some("spec.signals.staleAfterSeconds: Invalid value"),
        ),
        (
            json!({ "signals": { "staleAfterSeconds": 3601 } }),
            Some("spec.signals.staleAfterSeconds: Invalid value"),
        ),
        (yunikorn(json!({ "url": "https://yunikorn.eu-1.example.com:9080/ws" })), None),
        (yunikorn(json!({ "service": { "namespace": "yk" }, "partition": "gpu", "pollSeconds": 300 })), None),
        (yunikorn(json!({})), one_source),
        (yunikorn(json!({ "url": "http://a", "service": {} })), one_source),
        (yunikorn(json!({ "url": "ftp://a" })), Some("spec.signals.yunikorn.url: Invalid value")),
        (yunikorn(json!({ "url": "https://me:secret@a" })), Some("spec.signals.yunikorn.url: Invalid value")),
        (
            yunikorn(json!({ "url": "http://a", "pollSeconds": 0 })),
            Some("spec.signals.yunikorn.pollSeconds: Invalid value"),
        ),
        (
            yunikorn(json!({ "url": "http://a", "partition": "a/b" })),
            Some("spec.signals.yunikorn.partition: Invalid value"),
        ),
        (
            yunikorn(json!({ "service": { "port": 65_536 } })),
            Some("spec.signals.yunikorn.service.port: Invalid value"),
        ),
        (
            yunikorn(json!({ "service": { "name": "a/b" } })),
            Some("spec.signals.yunikorn.service.name: Invalid value"),
        ),
        (json!({ "limits": { "dispatchesPerMinute": 1_000_000, "dispatchBurst": 10_000 } }), None),
        (
            json!({ "limits": { "dispatchesPerMinute": 0 } }),
            Some("spec.limits.dispatchesPerMinute: Invalid value"),
        ),
        (json!({ "limits": { "dispatchBurst": 0 } }), Some("spec.limits.dispatchBurst: Invalid value")),
        (
            json!({ "limits": { "submissionBacklog": 100_001 } }),
            Some("spec.limits.submissionBacklog: Invalid value"),
        ),
    ];
    run(async {
        judge::<MemberCluster>("placing", &base, &cases).await;
        let filled = json!({
            "taints": [{ "key": "phi" }], "signals": { "yunikorn": { "service": {} } },
            "backend": { "sparkOperator": {} },
        });
        let mut spec = base.clone();
        merge(&mut spec, &filled);
        create::<MemberCluster>("placing-filled", &spec).await.unwrap();
        let stored = api::<MemberCluster>().await.get("placing-filled").await.unwrap().data;
        assert_eq!(stored["spec"]["taints"], json!([{ "key": "phi", "effect": "NoSchedule" }]));
        assert_eq!(stored["spec"]["backend"], json!({ "sparkOperator": {} }));
        let source = json!({
            "service": { "namespace": "yunikorn", "name": "yunikorn-service", "port": 9080 },
            "partition": "default", "pollSeconds": 2, "dynamicQueues": false,
        });
        assert_eq!(stored["spec"]["signals"], json!({ "staleAfterSeconds": 30, "yunikorn": source }));
        // The type fills in the same.
        let typed: MemberClusterSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), stored["spec"]);
    });
}

#[test]
fn what_a_connection_to_eks_may_say() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/jobs/router";
    let base = json!({ "connection": { "eks": { "cluster": "etl_1", "region": "eu-central-1" } } });
    let eks = |patch: Value| json!({ "connection": { "eks": patch } });
    let one_way = Some("connection must have exactly one of kubeconfigSecret, inCluster and eks");
    let cases = [
        (json!({}), None),
        (json!({ "backend": { "apacheSpark": {} } }), None),
        (json!({ "connection": { "inCluster": {} } }), one_way),
        (json!({ "connection": { "kubeconfigSecret": { "name": "eu-1" } } }), one_way),
        (eks(json!({ "cluster": null })), Some("connection.eks.cluster: Required value")),
        (eks(json!({ "cluster": "-etl" })), Some("connection.eks.cluster: Invalid value")),
        (eks(json!({ "cluster": "e".repeat(100) })), None),
        (eks(json!({ "cluster": "e".repeat(101) })), Some("connection.eks.cluster: Too long")),
        (eks(json!({ "region": null })), Some("connection.eks.region: Required value")),
        (eks(json!({ "region": "us-iso-east-1" })), None),
        (eks(json!({ "region": "Frankfurt" })), Some("connection.eks.region: Invalid value")),
        (eks(json!({ "roleArn": ROLE })), None),
        (eks(json!({ "roleArn": "arn:aws-cn:iam::123456789012:role/router" })), None),
        (eks(json!({ "roleArn": ROLE, "externalId": "hub-1" })), None),
        (
            eks(json!({ "roleArn": "arn:aws:iam::123456789012:user/router" })),
            Some("connection.eks.roleArn: Invalid value"),
        ),
        (
            eks(json!({ "externalId": "hub-1" })),
            Some("externalId is told to the owner of a role: set roleArn too, or leave it out"),
        ),
        (
            eks(json!({ "roleArn": ROLE, "externalId": "a b" })),
            Some("connection.eks.externalId: Invalid value"),
        ),
        (
            eks(json!({
                "eksEndpointUrl": "https://vpce-1.eks.eu-central-1.vpce.amazonaws.com",
                "stsEndpointUrl": "https://vpce-2.sts.eu-central-1.vpce.amazonaws.com",
            })),
            None,
        ),
        (eks(json!({ "eksEndpointUrl": "ftp://x" })), Some("connection.eks.eksEndpointUrl: Invalid value")),
        (eks(json!({ "stsEndpointUrl": "sts" })), Some("connection.eks.stsEndpointUrl: Invalid value")),
    ];
    run(async {
        judge::<MemberCluster>("eks-member", &base, &cases).await;
    });
}

#[test]
fn what_a_member_with_emr_containers_may_say() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/jobs/spark-etl";
    let base =
        json!({ "backend": { "emrContainers": { "virtualClusterId": "0a1b2c", "region": "eu-central-1" } } });
    let emr = |patch: Value| json!({ "backend": { "emrContainers": patch } });
    let cases = [
        (json!({}), None),
        (json!({ "connection": { "inCluster": {} } }), None),
        (
            json!({ "backend": { "sparkOperator": {} } }),
            Some("backend must have exactly one of sparkOperator, apacheSpark and emrContainers"),
        ),
        (emr(json!({ "virtualClusterId": null })), Some("emrContainers.virtualClusterId: Required value")),
        (emr(json!({ "virtualClusterId": "A-1" })), Some("emrContainers.virtualClusterId: Invalid value")),
        (emr(json!({ "region": "us-gov-west-1" })), None),
        (emr(json!({ "region": "Frankfurt" })), Some("emrContainers.region: Invalid value")),
        (
            emr(json!({ "endpointUrl": "https://vpce-1.emr-containers.eu-central-1.vpce.amazonaws.com" })),
            None,
        ),
        (emr(json!({ "endpointUrl": "ftp://x" })), Some("emrContainers.endpointUrl: Invalid value")),
        (emr(json!({ "assumeRole": { "arn": ROLE, "externalId": "hub-1" } })), None),
        (
            emr(json!({ "assumeRole": { "arn": "spark" } })),
            Some("emrContainers.assumeRole.arn: Invalid value"),
        ),
        (emr(json!({ "releases": [{ "sparkVersion": "3.5", "releaseLabel": "emr-7.13.0-latest" }] })), None),
        (
            emr(json!({ "releases": [{ "sparkVersion": "3.5", "releaseLabel": "emr 7" }] })),
            Some("releases[0].releaseLabel: Invalid value"),
        ),
        (emr(json!({ "executionRoles": [{ "arn": ROLE, "namespaces": ["team-a", "team-b"] }] })), None),
        (emr(json!({ "executionRoles": [{ "arn": ROLE }, { "arn": ROLE }] })), Some("Duplicate value")),
        (emr(json!({ "jobTemplates": [{ "id": "0a1b", "gives": ["Driver", "ReleaseLabel"] }] })), None),
        (
            emr(json!({ "jobTemplates": [{ "id": "0a1b", "gives": ["Everything"] }] })),
            Some(r#"supported values: "ExecutionRole", "ReleaseLabel", "Driver""#),
        ),
        (emr(json!({ "images": "Ignore", "tagLabels": ["team", "cost-centre"] })), None),
        (emr(json!({ "images": "Drop" })), Some(r#"supported values: "Use", "Ignore""#)),
        (
            emr(json!({ "fixed": {
                "persistentAppUi": "Disabled",
                "monitoring": { "s3": { "logUri": "s3://logs/spark/" }, "logRotation": { "rotationSize": "64MB", "maxFilesToKeep": 5 } },
                "tags": { "cost-centre": "4711" },
                "applicationConfiguration": [{ "classification": "emr-job-submitter", "properties": { "jobsubmitter.gracefulTermination": "true" } }],
            } })),
            None,
        ),
        (
            emr(json!({ "defaults": { "monitoring": { "s3": { "logUri": "https://logs" } } } })),
            Some("defaults.monitoring.s3.logUri: Invalid value"),
        ),
        (
            emr(
                json!({ "defaults": { "monitoring": { "logRotation": { "rotationSize": "64", "maxFilesToKeep": 51 } } } }),
            ),
            Some("maxFilesToKeep: Invalid value"),
        ),
    ];
    run(async {
        judge::<MemberCluster>("emr-member", &base, &cases).await;
    });
}
