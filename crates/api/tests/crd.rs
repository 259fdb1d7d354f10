//! Proves the shipped CustomResourceDefinitions on a real API server: what is taken, what is refused and with which
//! words, what is filled in, what can no longer be changed, and what kubectl shows.
//!
//! All tests share one hub; each uses names of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

use std::{future::Future, path::Path, sync::LazyLock};

use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use spark_router_api::{
    MemberCluster, MemberClusterSpec, MemberClusterStatus, RoutedSparkJob, RoutedSparkJobStatus, SparkQueue,
    SparkQueueStatus, condition, names,
};
use spark_router_testkit::{Cluster, Fleet, chain, manifest};
use tokio::{runtime::Runtime, sync::OnceCell};

/// One runtime for all tests: a client does not outlive the runtime that built it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static FLEET: OnceCell<Fleet> = OnceCell::const_new();

fn run(test: impl Future<Output = ()>) {
    RUNTIME.block_on(test);
}

async fn hub() -> &'static Cluster {
    FLEET
        .get_or_init(async || {
            let fleet =
                Fleet::builder().hub().start().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
            let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
            // Client-side on purpose: it has the smallest limit on the size of a definition.
            kubectl(fleet.hub(), &["apply", "-k", &crds.to_string_lossy()]).await;
            for plural in ["routedsparkjobs", "memberclusters", "sparkqueues"] {
                let crd = format!("crd/{plural}.sparkrouter.dev");
                kubectl(fleet.hub(), &["wait", "--for=condition=Established", "--timeout=60s", &crd]).await;
            }
            fleet
        })
        .await
        .hub()
}

async fn kubectl(cluster: &Cluster, arguments: &[&str]) -> String {
    cluster.kubectl(arguments).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Untyped, so that what is sent is what the test says.
async fn api<K: kube::Resource<DynamicType = ()>>() -> Api<DynamicObject> {
    let resource = ApiResource::erase::<K>(&());
    let client = hub().await.client();
    if resource.kind == "RoutedSparkJob" {
        Api::namespaced_with(client, "default", &resource)
    } else {
        Api::all_with(client, &resource)
    }
}

fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("not an answer of the API server: {other}"),
    }
}

async fn create<K: kube::Resource<DynamicType = ()>>(
    name: &str,
    spec: &Value,
) -> Result<DynamicObject, String> {
    let object = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": name }, "spec": spec,
    });
    let object = serde_json::from_value(object).unwrap();
    api::<K>().await.create(&PostParams::default(), &object).await.map_err(|error| message(&error))
}

/// A JSON merge patch, as `kubectl patch --type merge` sends it: `null` takes a field away.
async fn edit(name: &str, patch: Value) -> Result<DynamicObject, String> {
    let api = api::<RoutedSparkJob>().await;
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|error| message(&error))
}

async fn set_status(name: &str, status: Value) -> DynamicObject {
    let api = api::<RoutedSparkJob>().await;
    let patch = json!({
        "apiVersion": spark_router_api::API_VERSION, "kind": "RoutedSparkJob", "metadata": { "name": name }, "status": status,
    });
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    api.patch_status(name, &params, &Patch::Apply(patch)).await.unwrap()
}

fn job() -> Value {
    json!({
        "queue": "etl",
        "template": {
            "metadata": { "labels": { "team": "a" }, "annotations": { "note": "x" } },
            "spec": {
                "type": "Scala",
                "sparkVersion": "4.0.1",
                "mainApplicationFile": "local:///app.jar",
                "mainClass": "org.example.Main",
                "imaeg": "spark:4.0.1",
                "nodeSelector": null,
                "arguments": ["1000"],
                "sparkConf": { "spark.a": "1", "spark.b": "2" },
                "driver": { "cores": 1, "memory": "1g", "env": [{ "name": "A", "value": "1" }] },
                "executor": { "instances": 2 },
            },
        },
    })
}

fn placed() -> Value {
    json!({
        "observedGeneration": 1, "phase": "Running", "specHash": "abc", "cluster": "eu-1", "attempt": 1,
        "placement": {
            "cluster": "eu-1", "memberIdentity": "id", "attempt": 1, "namespace": "default", "remoteName": "r", "queue": "etl",
            "seq": 1, "at": "2026-01-01T00:00:00Z", "demand": { "jobs": 1, "pods": 3, "cpuMilli": 3000, "memoryBytes": 1 },
        },
    })
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        let fields = target.as_object_mut().unwrap();
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Creates `base` with each patch merged in; every patch names words of the answer, or none if it is to be taken.
async fn judge<K: kube::Resource<DynamicType = ()>>(
    prefix: &str,
    base: &Value,
    cases: &[(Value, Option<&str>)],
) {
    for (number, (patch, expected)) in cases.iter().enumerate() {
        let mut spec = base.clone();
        merge(&mut spec, patch);
        match (create::<K>(&format!("{prefix}-{number}"), &spec).await, expected) {
            (Ok(_), None) => {}
            (Err(message), Some(expected)) => {
                assert!(message.contains(expected), "{patch}: {message:?} does not say {expected:?}");
            }
            (Ok(_), Some(expected)) => panic!("{patch} was taken, but {expected:?} was to be said"),
            (Err(message), None) => panic!("{patch} was refused: {message}"),
        }
    }
}

#[test]
fn a_job_is_kept_as_written_and_gets_its_defaults() {
    run(async {
        create::<RoutedSparkJob>("kept", &job()).await.unwrap();
        let stored = api::<RoutedSparkJob>().await.get("kept").await.unwrap().data;
        let mut expected = job();
        merge(
            &mut expected,
            &json!({ "priority": 0, "template": { "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication" } }),
        );
        assert_eq!(stored["spec"], expected);
        assert_eq!(stored["status"], json!({ "observedGeneration": -1 }));
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
    let cases = [
        (json!({}), None),
        (json!({ "priority": -5 }), None),
        (
            json!({ "placement": { "clusterNames": ["eu-1", "us.east"], "clusterSelector": { "matchLabels": { "a": "b" } } } }),
            None,
        ),
        (spec(json!({ "mode": "cluster", "suspend": false, "timeToLiveSeconds": 5 })), None),
        (template(json!({ "metadata": null })), None),
        (json!({ "queue": null }), Some("spec.queue: Required value")),
        (json!({ "queue": "Etl.daily" }), Some("spec.queue: Invalid value")),
        (json!({ "queue": "q".repeat(64) }), Some("spec.queue: Too long")),
        (json!({ "template": null }), Some("spec.template: Required value")),
        (template(json!({ "spec": null })), Some("spec.template.spec: Required value")),
        (
            template(json!({ "apiVersion": "spark.apache.org/v1" })),
            Some(r#"supported values: "sparkoperator.k8s.io/v1beta2""#),
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
            metadata(json!({ "name": "x" })),
            Some("metadata.name is not allowed in a template: the router names the application"),
        ),
        (
            metadata(json!({ "namespace": "x" })),
            Some("metadata.namespace is not allowed in a template: the member's namespace rule decides"),
        ),
        (
            metadata(json!({ "labels": { "sparkrouter.dev/origin": "x" } })),
            Some("labels that start with sparkrouter.dev/ are the router's own"),
        ),
        (
            metadata(json!({ "annotations": { "sparkrouter.dev/seq": "1" } })),
            Some("annotations that start with sparkrouter.dev/ are the router's own"),
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

/// The fields that are declared so that renames are seen are the operator's own.
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
        assert_eq!(fields(&ours, &format!("{spec}/properties/template/properties/spec")), theirs);
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
            "backend": { "sparkOperator": {} },
            "connection": { "kubeconfigSecret": { "name": "s", "key": "kubeconfig" } },
            "namespace": { "sameAsJob": {} },
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

#[test]
fn kubectl_shows_what_is_promised() {
    run(async {
        create::<RoutedSparkJob>("shown", &job()).await.unwrap();
        let mut status = placed();
        merge(
            &mut status,
            &json!({ "reason": "Running", "message": "runs on eu-1",
                "application": { "id": "spark-1", "startedAt": "2026-01-01T00:00:00Z" } }),
        );
        set_status("shown", status).await;
        let hub = hub().await;
        let words = |text: &str, line: usize| -> Vec<String> {
            text.lines().nth(line).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let short = kubectl(hub, &["get", "rsj", "shown"]).await;
        assert_eq!(words(&short, 0), ["NAME", "QUEUE", "CLUSTER", "STATUS", "AGE"], "{short}");
        assert_eq!(words(&short, 1)[..4], ["shown", "etl", "eu-1", "Running"], "{short}");
        let wide = kubectl(hub, &["get", "rsj", "shown", "-o", "wide"]).await;
        let columns = "NAME QUEUE CLUSTER STATUS AGE REASON PRIORITY ATTEMPT APP-ID STARTED FINISHED MESSAGE";
        assert_eq!(words(&wide, 0).join(" "), columns, "{wide}");
        let row = words(&wide, 1);
        assert_eq!(row[5..9], ["Running", "0", "1", "spark-1"], "{wide}");
        assert!(wide.trim_end().ends_with("runs on eu-1"), "{wide}");
        for (what, header) in
            [("mc", "NAME READY STATE JOBS VERSION AGE"), ("sq", "NAME QUEUED ACTIVE READY AGE")]
        {
            let spec = if what == "mc" {
                create::<MemberCluster>("shown", &json!({ "connection": { "inCluster": {} } })).await
            } else {
                create::<SparkQueue>("shown", &json!({ "routes": [{ "clusters": { "names": ["a"] } }] }))
                    .await
            };
            spec.unwrap();
            let table = kubectl(hub, &["get", what, "shown"]).await;
            assert_eq!(words(&table, 0).join(" "), header, "{table}");
        }
        assert!(kubectl(hub, &["get", "all"]).await.contains("routedsparkjob.sparkrouter.dev/shown"));
        let ours = kubectl(hub, &["get", "sparkrouter", "-o", "name"]).await;
        for kind in ["routedsparkjob", "membercluster", "sparkqueue"] {
            assert!(ours.contains(&format!("{kind}.sparkrouter.dev/shown")), "{ours}");
        }
        let explained = kubectl(hub, &["explain", "rsj.spec.template.spec.sparkVersion"]).await;
        assert!(explained.contains("Only members that offer it"), "{explained}");
    });
}

#[test]
fn jobs_can_be_selected_by_queue_phase_and_cluster() {
    run(async {
        for (name, queue) in [("select-a", "select-1"), ("select-b", "select-2")] {
            let mut spec = job();
            merge(&mut spec, &json!({ "queue": queue }));
            create::<RoutedSparkJob>(name, &spec).await.unwrap();
        }
        let mut status = placed();
        merge(&mut status, &json!({ "phase": "SelectedPhase", "cluster": "selected-cluster" }));
        set_status("select-b", status).await;
        let api = api::<RoutedSparkJob>().await;
        for (selector, expected) in [
            ("spec.queue=select-1", "select-a"),
            ("status.phase=SelectedPhase", "select-b"),
            ("status.cluster=selected-cluster", "select-b"),
        ] {
            let found = api.list(&ListParams::default().fields(selector)).await.unwrap().items;
            let found: Vec<_> = found.iter().filter_map(|job| job.metadata.name.as_deref()).collect();
            assert_eq!(found, [expected], "{selector}");
        }
    });
}

#[test]
fn the_types_write_and_read_what_the_server_keeps() {
    run(async {
        create::<RoutedSparkJob>("typed", &job()).await.unwrap();
        let api: Api<RoutedSparkJob> = Api::namespaced(hub().await.client(), "default");
        let job = api.get("typed").await.unwrap();
        assert_eq!(job.status.as_ref().unwrap().observed_generation, Some(spark_router_api::UNOBSERVED));
        let mut status = full_status();
        status.observed_generation = job.metadata.generation;
        let body = |version: &Option<String>, status: &RoutedSparkJobStatus| {
            json!({
                "apiVersion": spark_router_api::API_VERSION, "kind": "RoutedSparkJob",
                "metadata": { "name": "typed", "resourceVersion": version }, "status": status,
            })
        };
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let written = body(&job.metadata.resource_version, &status);
        let stored = api.patch_status("typed", &params, &Patch::Apply(&written)).await.unwrap();
        assert_eq!(stored.status.as_ref(), Some(&status));

        // The very same content again is no write; from an old version it is refused.
        let again = body(&stored.metadata.resource_version, &status);
        let same = api.patch_status("typed", &params, &Patch::Apply(&again)).await.unwrap();
        assert_eq!(same.metadata.resource_version, stored.metadata.resource_version);
        status.phase = Some("Succeeded".to_owned());
        let stale = body(&job.metadata.resource_version, &status);
        match api.patch_status("typed", &params, &Patch::Apply(&stale)).await.unwrap_err() {
            kube::Error::Api(status) => assert!(status.is_conflict(), "{status:?}"),
            other => panic!("{other}"),
        }
        kubectl(hub().await, &["wait", "--for=condition=Finished", "--timeout=10s", "rsj/typed"]).await;
    });
}

/// Writes a status as the router does and expects every field of it back.
async fn round_trip<K>(name: &str, status: Value)
where
    K: kube::Resource<DynamicType = ()>,
{
    let api = api::<K>().await;
    let body = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": name }, "status": status,
    });
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let stored = api.patch_status(name, &params, &Patch::Apply(&body)).await.unwrap();
    assert_eq!(stored.data["status"], status);
}

#[test]
fn the_statuses_of_members_and_queues_are_kept_whole() {
    run(async {
        let ready = json!({
            "type": condition::READY, "status": "True", "reason": "Ready", "message": "takes jobs",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        });
        let member = json!({
            "observedGeneration": 1, "conditions": [ready], "identity": "id", "state": "Suspect",
            "unansweredSince": "2026-01-01T00:00:00Z", "lastProbeTime": "2026-01-01T00:00:00Z",
            "serverVersion": "v1.36.3", "operatorVersion": "2.5.2", "activeJobs": 3,
            "ledger": { "jobs": 3, "pods": 9, "cpuMilli": 9000, "memoryBytes": 1 },
            "abandoned": [{ "jobUid": "u", "attempt": 1, "namespace": "n", "remoteName": "r", "at": "2026-01-01T00:00:00Z" }],
        });
        let typed: MemberClusterStatus = serde_json::from_value(member.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), member);
        create::<MemberCluster>("whole", &json!({ "connection": { "inCluster": {} } })).await.unwrap();
        round_trip::<MemberCluster>("whole", member).await;

        let queue = json!({
            "observedGeneration": 1, "conditions": [ready], "queued": 1, "active": 2, "seq": 7,
            "credits": [{ "cluster": "a", "credit": "-1/3" }, { "cluster": "b", "credit": "1/3" }], "creditsSeq": 5,
            "clusters": [{ "name": "a", "weight": 2, "placed": 5, "expected": "4.67" }],
        });
        let typed: SparkQueueStatus = serde_json::from_value(queue.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), queue);
        create::<SparkQueue>("whole", &json!({ "routes": [{ "clusters": { "names": ["a"] } }] }))
            .await
            .unwrap();
        round_trip::<SparkQueue>("whole", queue).await;
    });
}

/// A status with every field set.
fn full_status() -> RoutedSparkJobStatus {
    let status: RoutedSparkJobStatus = serde_json::from_value(json!({
        "observedGeneration": 1, "phase": "Failed", "reason": "JobFailed", "message": "it failed", "conditions": [{
            "type": condition::FINISHED, "status": "True", "reason": "JobFailed", "message": "it failed",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        }],
        "specHash": "abc", "cluster": "eu-1", "attempt": 2,
        "placement": {
            "cluster": "eu-1", "memberIdentity": "id", "attempt": 2, "namespace": "default", "remoteName": "r", "remoteUid": "u",
            "queue": "etl", "seq": 9_007_199_254_740_993_i64, "excluded": ["us-1"], "at": "2026-01-01T00:00:00Z",
            "demand": { "jobs": 1, "pods": 3, "cpuMilli": 3000, "memoryBytes": 1_099_511_627_776_i64 },
            "renderHash": "def", "why": "least served",
        },
        "refusals": [{ "cluster": "us-1", "reason": "RejectedByMember", "message": "no", "at": "2026-01-01T00:00:00Z" }],
        "application": {
            "state": "FAILED", "id": "spark-1", "submissionId": "s", "submittedAt": "2026-01-01T00:00:00Z",
            "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:02Z", "attempts": 1,
            "executors": { "pending": 1, "running": 2, "completed": 3, "failed": 4 }, "driverPod": "r-driver",
            "links": { "ui": "https://a", "history": "https://b", "logs": "https://c" }, "error": "boom",
        },
        "history": [{
            "attempt": 1, "cluster": "us-1", "remoteName": "q", "outcome": "Withdrawn", "reason": "QuotaExceeded",
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z",
        }],
    }))
    .unwrap();
    status
}
