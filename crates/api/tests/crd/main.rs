//! Proves the shipped CustomResourceDefinitions on a real API server: what is taken, what is refused and with which
//! words, what is filled in, what can no longer be changed, and what kubectl shows.
//!
//! All tests share one hub; each uses names of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod documented;
mod immutable;
mod job;
mod member;
mod parts;
mod queue;
mod shown;
mod status;

use std::{future::Future, path::Path, sync::LazyLock};

use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use spark_router_api::{
    MemberCluster, MemberClusterSpec, MemberClusterStatus, RoutedSparkJob, RoutedSparkJobSpec,
    RoutedSparkJobStatus, SparkQueue, SparkQueueSpec, SparkQueueStatus, condition, names,
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
