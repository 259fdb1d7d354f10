//! What a job may say, what is refused and with which words, and what is filled in.

use super::*;

#[test]
fn a_job_is_kept_as_written_and_gets_its_defaults() {
    run(async {
        create::<RoutedSparkJob>("kept", &job()).await.unwrap();
        let stored = api::<RoutedSparkJob>().await.get("kept").await.unwrap().data;
        let mut expected = job();
        merge(
            &mut expected,
            &json!({ "priority": 0, "suspend": false, "cancel": false, "template": { "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication" } }),
        );
        assert_eq!(stored["spec"], expected);
        assert_eq!(stored["status"], json!({ "observedGeneration": -1 }));
    });
}

#[test]
fn a_toleration_gets_its_operator() {
    run(async {
        let mut spec = job();
        merge(&mut spec, &json!({ "placement": { "tolerations": [{ "key": "phi" }] } }));
        create::<RoutedSparkJob>("tolerates", &spec).await.unwrap();
        let stored = api::<RoutedSparkJob>().await.get("tolerates").await.unwrap().data["spec"].clone();
        assert_eq!(stored["placement"], json!({ "tolerations": [{ "key": "phi", "operator": "Equal" }] }));
        // The type fills in the same.
        let typed: RoutedSparkJobSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap()["placement"], stored["placement"]);
    });
}

#[test]
fn a_status_in_a_manifest_does_not_place_a_job() {
    run(async {
        let object = json!({
            "apiVersion": spark_router_api::API_VERSION, "kind": "RoutedSparkJob", "metadata": { "name": "forged" },
            "spec": job(), "status": placed(),
        });
        let api = api::<RoutedSparkJob>().await;
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        assert_eq!(api.get("forged").await.unwrap().data["status"], json!({ "observedGeneration": -1 }));
    });
}

#[test]
fn what_a_job_may_say() {
    let template = |patch: Value| json!({ "template": patch });
    let spec = |patch: Value| json!({ "template": { "spec": patch } });
    let metadata = |patch: Value| json!({ "template": { "metadata": patch } });
    let tolerating = |toleration: Value| json!({ "placement": { "tolerations": [toleration] } });
    let cases = [
        (json!({}), None),
        (json!({ "priority": -5 }), None),
        (json!({ "priority": 3_000_000_000_u64 }), Some("spec.priority")),
        (
            json!({ "placement": { "clusterNames": ["eu-1", "us.east"], "clusterSelector": { "matchLabels": { "a": "b" } } } }),
            None,
        ),
        (spec(json!({ "mode": "cluster", "suspend": false, "timeToLiveSeconds": 5 })), None),
        (template(json!({ "metadata": null })), None),
        (
            json!({
                "failover": { "onMemberLost": "FenceThenMove" }, "suspend": true, "cancel": true,
                "retry": { "maxAttempts": 5, "failures": ["DriverLost", "Unschedulable"], "backoff": { "initial": "30s", "max": "10m" } },
                "deadlines": { "queued": "2h", "start": "10m", "run": "12h" },
            }),
            None,
        ),
        (json!({ "failover": {}, "retry": {}, "deadlines": {} }), None),
        (
            json!({ "failover": { "onMemberLost": "Move" } }),
            Some("spec.failover.onMemberLost: Unsupported value"),
        ),
        (json!({ "retry": { "maxAttempts": 0 } }), Some("spec.retry.maxAttempts: Invalid value")),
        (json!({ "retry": { "maxAttempts": 101 } }), Some("spec.retry.maxAttempts: Invalid value")),
        (json!({ "retry": { "failures": [] } }), Some("spec.retry.failures: Invalid value")),
        (
            json!({ "retry": { "failures": ["DriverLost", "DriverLost"] } }),
            Some("spec.retry.failures[1]: Duplicate value"),
        ),
        (
            json!({ "retry": { "failures": ["Everything"] } }),
            Some("spec.retry.failures[0]: Unsupported value"),
        ),
        (
            json!({ "retry": { "backoff": { "initial": "a while" } } }),
            Some("spec.retry.backoff.initial: Invalid value"),
        ),
        (json!({ "deadlines": { "run": "1d" } }), Some("spec.deadlines.run: Invalid value")),
        (json!({ "queue": null }), Some("spec.queue: Required value")),
        (json!({ "queue": "Etl.daily" }), Some("spec.queue: Invalid value")),
        (json!({ "queue": "q".repeat(64) }), Some("spec.queue: Too long")),
        (json!({ "template": null }), Some("spec.template: Required value")),
        (template(json!({ "spec": null })), Some("spec.template.spec: Required value")),
        (
            template(json!({ "apiVersion": "spark.apache.org/v1alpha1" })),
            Some(r#"supported values: "sparkoperator.k8s.io/v1beta2", "spark.apache.org/v1""#),
        ),
        (
            template(json!({ "apiVersion": "spark.apache.org/v1" })),
            Some("spec.template.spec.runtimeVersions: Required value"),
        ),
        (
            template(json!({
                "apiVersion": "spark.apache.org/v1",
                "spec": { "jars": "local:///x.jar", "runtimeVersions": { "sparkVersion": "4.0.1" } },
            })),
            None,
        ),
        (
            template(json!({ "kind": "ScheduledSparkApplication" })),
            Some(r#"supported values: "SparkApplication""#),
        ),
        (spec(json!({ "type": null })), Some("spec.template.spec.type: Required value")),
        (spec(json!({ "type": "Go" })), Some(r#"supported values: "Java", "Python", "Scala", "R""#)),
        (spec(json!({ "sparkVersion": null })), Some("spec.template.spec.sparkVersion: Required value")),
        (spec(json!({ "sparkVersion": "" })), Some("spec.template.spec.sparkVersion: Invalid value")),
        (
            spec(json!({ "mainApplicationFile": null })),
            Some("spec.template.spec.mainApplicationFile: Required value"),
        ),
        (spec(json!({ "mode": "client" })), Some(r#"supported values: "cluster""#)),
        (
            spec(json!({ "suspend": true })),
            Some("suspend must not be true in a template: the router decides when an application starts"),
        ),
        (
            metadata(json!({ "labels": { "long": "l".repeat(64) } })),
            Some("template.metadata.labels.long: Too long"),
        ),
        (json!({ "subQueue": "reports.daily", "size": "large", "ttlAfterFinished": "24h" }), None),
        (json!({ "subQueue": "" }), Some("spec.subQueue: Invalid value")),
        (json!({ "subQueue": "reports..daily" }), Some("spec.subQueue: Invalid value")),
        (json!({ "subQueue": "Reports" }), Some("spec.subQueue: Invalid value")),
        (json!({ "subQueue": "q".repeat(200) }), None),
        (json!({ "subQueue": "q".repeat(201) }), Some("spec.subQueue: Too long")),
        (json!({ "size": "x.large" }), Some("spec.size: Invalid value")),
        (json!({ "size": "l".repeat(64) }), Some("spec.size: Too long")),
        (json!({ "ttlAfterFinished": "1d" }), Some("spec.ttlAfterFinished: Invalid value")),
        (tolerating(json!({ "key": "phi" })), None),
        (
            tolerating(json!({ "key": "phi", "operator": "Equal", "value": "yes", "effect": "NoSchedule" })),
            None,
        ),
        (tolerating(json!({ "key": "example.com/phi", "operator": "Exists" })), None),
        (tolerating(json!({ "operator": "Exists" })), None),
        (tolerating(json!({ "key": "", "operator": "Exists", "value": "" })), None),
        (
            tolerating(json!({ "value": "yes" })),
            Some("a toleration without key must have the operator Exists: it then tolerates every taint"),
        ),
        (
            tolerating(json!({ "key": "", "value": "yes" })),
            Some("a toleration without key must have the operator Exists: it then tolerates every taint"),
        ),
        (
            tolerating(json!({ "key": "phi", "operator": "Exists", "value": "yes" })),
            Some(
                "a toleration with the operator Exists must have no value: it tolerates every value of the key",
            ),
        ),
        (
            tolerating(json!({ "key": "phi", "operator": "In" })),
            Some(r#"supported values: "Equal", "Exists""#),
        ),
        (
            tolerating(json!({ "key": "phi", "effect": "NoExecute" })),
            Some(r#"supported values: "NoSchedule""#),
        ),
        (tolerating(json!({ "key": "a b" })), Some("spec.placement.tolerations[0].key: Invalid value")),
        (
            tolerating(json!({ "key": "phi", "value": "a b" })),
            Some("spec.placement.tolerations[0].value: Invalid value"),
        ),
        (
            json!({ "placement": { "tolerations": vec![json!({ "key": "a" }); 33] } }),
            Some("spec.placement.tolerations: Too many: 33: must have at most 32 items"),
        ),
        (json!({ "placement": { "clusterNames": ["a", "a"] } }), Some("Duplicate value")),
        (
            json!({ "placement": { "clusterNames": ["A"] } }),
            Some("spec.placement.clusterNames[0]: Invalid value"),
        ),
    ];
    run(async {
        judge::<RoutedSparkJob>("may", &job(), &cases).await;
        let long = create::<RoutedSparkJob>(&"n".repeat(201), &job()).await.unwrap_err();
        assert!(long.contains("metadata.name must have at most 200 characters"), "{long}");
        create::<RoutedSparkJob>(&"n".repeat(200), &job()).await.unwrap();
    });
}

/// The router itself says what is reserved, in `Accepted` and with the path: so the server must take such a template, and
/// must not prune the fields, or the router would never see them.
#[test]
fn reserved_metadata_of_a_template_is_taken_and_kept() {
    let metadata = json!({
        "name": "x",
        "namespace": "y",
        "labels": { "sparkrouter.dev/origin": "x", "team": "a" },
        "annotations": { "sparkrouter.dev/seq": "1" },
    });
    run(async {
        let mut spec = job();
        merge(&mut spec, &json!({ "template": { "metadata": metadata } }));
        create::<RoutedSparkJob>("reserved", &spec).await.unwrap();
        let api = api::<RoutedSparkJob>().await;
        assert_eq!(
            api.get("reserved").await.unwrap().data["spec"]["template"]["metadata"],
            spec["template"]["metadata"]
        );

        // Not accepted is not placed: its owner mends it in place.
        let mended = json!({ "name": null, "namespace": null, "annotations": null, "labels": { "sparkrouter.dev/origin": null } });
        edit("reserved", json!({ "spec": { "template": { "metadata": mended } } })).await.unwrap();
        let kept = api.get("reserved").await.unwrap().data["spec"]["template"]["metadata"].clone();
        assert_eq!(kept, json!({ "labels": { "team": "a" } }));
    });
}

/// Fields of `ApplicationSpec` of Apache's operator that Kubeflow's has not; its definition is in no registry.
const OF_APACHE: [&str; 12] = [
    "applicationTolerations",
    "configMapSpecs",
    "deploymentMode",
    "driverArgs",
    "driverServiceIngressList",
    "driverSpec",
    "executorSpec",
    "files",
    "jars",
    "pyFiles",
    "runtimeVersions",
    "sparkRFiles",
];

/// The fields that are declared so that renames are seen are the operators' own.
#[test]
fn every_field_of_the_operators_schema_is_declared() {
    run(async {
        hub().await;
        let files = FLEET.get().unwrap().tools().spark_operator_crds();
        let documents =
            files.iter().flat_map(|file| manifest::parse(&std::fs::read_to_string(file).unwrap()).unwrap());
        let theirs = documents
            .map(|crd| crd.data)
            .find(|crd| crd["spec"]["names"]["kind"] == "SparkApplication")
            .expect("a CRD of SparkApplication among the built files");
        let fields = |crd: &Value, path: &str| -> Vec<String> {
            crd.pointer(path).unwrap_or_else(|| panic!("no {path}"))["properties"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect()
        };
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
        let theirs = fields(&theirs, spec);
        let ours =
            spark_router_api::crds().into_iter().find(|crd| crd.spec.names.kind == "RoutedSparkJob").unwrap();
        let ours = serde_json::to_value(ours).unwrap();
        let (apaches, ours): (Vec<_>, Vec<_>) =
            fields(&ours, &format!("{spec}/properties/template/properties/spec"))
                .into_iter()
                .partition(|field| OF_APACHE.contains(&field.as_str()));
        assert_eq!(ours, theirs);
        assert_eq!(apaches, OF_APACHE);
    });
}

#[test]
fn what_a_job_may_say_to_emr_containers() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/jobs/spark-etl";
    let emr = |patch: Value| json!({ "emr": patch });
    let cases = [
        (emr(json!({})), None),
        (
            emr(json!({ "executionRoleArn": ROLE, "releaseLabel": "emr-7.13.0-latest", "maxAttempts": 2 })),
            None,
        ),
        (emr(json!({ "executionRoleArn": "spark" })), Some("spec.emr.executionRoleArn: Invalid value")),
        (emr(json!({ "releaseLabel": "emr 7" })), Some("spec.emr.releaseLabel: Invalid value")),
        (emr(json!({ "maxAttempts": 0 })), Some("spec.emr.maxAttempts: Invalid value")),
        (emr(json!({ "driver": "SparkSql" })), None),
        (emr(json!({ "driver": "Hive" })), Some(r#"supported values: "SparkSubmit", "SparkSql""#)),
        (emr(json!({ "persistentAppUi": "Disabled" })), None),
        (
            emr(
                json!({ "verticalAutoscaling": { "mode": "Auto", "memory": { "scale": true, "max": "16Gi" }, "cpu": { "scale": false } } }),
            ),
            None,
        ),
        (
            emr(json!({ "verticalAutoscaling": { "signature": "-a" } })),
            Some("spec.emr.verticalAutoscaling.signature: Invalid value"),
        ),
        (
            emr(json!({ "verticalAutoscaling": { "memory": { "max": "16Gi" } } })),
            Some("spec.emr.verticalAutoscaling.memory.scale: Required value"),
        ),
        (emr(json!({ "podTemplates": { "driver": "s3://templates/driver.yaml" } })), None),
        (
            emr(json!({ "podTemplates": { "driver": "file:///driver.yaml" } })),
            Some("spec.emr.podTemplates.driver: Invalid value"),
        ),
        (emr(json!({ "jobTemplate": { "id": "0a1b", "parameters": { "Day": "monday" } } })), None),
        (emr(json!({ "jobTemplate": { "id": "0A" } })), Some("spec.emr.jobTemplate.id: Invalid value")),
        (
            emr(json!({ "applicationConfiguration": [
                { "classification": "spark-log4j", "properties": { "rootLogger.level": "warn" } },
                { "classification": "spark-log4j", "properties": {} },
            ] })),
            Some("Duplicate value"),
        ),
        (
            emr(
                json!({ "applicationConfiguration": [{ "classification": "a", "properties": { "x": "v".repeat(1025) } }] }),
            ),
            Some("spec.emr.applicationConfiguration[0].properties.x: Too long"),
        ),
        (emr(json!({ "tags": { "cost-centre": "4711" } })), None),
        (emr(json!({ "tags": { "a": "v".repeat(257) } })), Some("spec.emr.tags.a: Too long")),
    ];
    run(async {
        judge::<RoutedSparkJob>("emr-job", &job(), &cases).await;
    });
}
