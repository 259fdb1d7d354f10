//! Proves the scripted operator: the state table, its hazards and its speed, on a real API server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use serde_json::{Value, json};
use spark_router_testkit::operator::{Detail, Options, ScriptedOperator, Seen};
use spark_router_testkit::{Cluster, Fleet, MemberOptions, OperatorKind, chain};

const PATIENCE: Duration = Duration::from_mins(1);

struct Applications {
    api: Api<DynamicObject>,
    resource: ApiResource,
}

impl Applications {
    async fn new(cluster: &Cluster, namespace: &str) -> Self {
        let yaml = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}");
        cluster.apply_manifest(&yaml).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let gvk = GroupVersionKind::gvk("sparkoperator.k8s.io", "v1beta2", "SparkApplication");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "sparkapplications");
        Self { api: Api::namespaced_with(cluster.client(), namespace, &resource), resource }
    }

    async fn create(&self, name: &str, annotations: Value, restart: Value) -> String {
        let mut object = DynamicObject::new(name, &self.resource).data(json!({"spec": {
            "type": "Scala", "mode": "cluster", "sparkVersion": "4.0.1", "mainApplicationFile": "local:///pi.jar",
            "restartPolicy": restart, "driver": {"cores": 1}, "executor": {"instances": 2},
        }}));
        object.metadata.annotations = serde_json::from_value(annotations).unwrap();
        object.metadata.labels = Some([("team".to_owned(), "blue".to_owned())].into());
        self.api.create(&PostParams::default(), &object).await.unwrap().uid().unwrap()
    }

    async fn script(&self, script: &str) -> String {
        let annotations = json!({"spark-router.test/script": script, "spark-router.test/step-ms": "20"});
        self.create(&format!("app-{script}"), annotations, json!({"type": "Never"})).await
    }

    async fn get(&self, name: &str) -> Value {
        self.api.get_opt(name).await.unwrap().map(|object| object.data).unwrap_or_default()
    }

    /// The status once it is in this state.
    async fn wait(&self, name: &str, state: &str) -> Value {
        let started = Instant::now();
        loop {
            let object = self.get(name).await;
            let now = object.pointer("/status/applicationState/state").and_then(Value::as_str).unwrap_or("");
            if now == state {
                return object["status"].clone();
            }
            assert!(started.elapsed() < PATIENCE, "{name} is {now:?}, not {state:?}: {object:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn patch(&self, name: &str, patch: Value) {
        self.api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

async fn fleet() -> Fleet {
    let options = MemberOptions { operator: OperatorKind::CrdsOnly, ..MemberOptions::default() };
    Fleet::builder()
        .member_with("m1", options)
        .start()
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// What the operator did for an application up to this state: it notes a write when that is answered, and others may see
/// the object earlier.
async fn written(operator: &ScriptedOperator, uid: &str, state: &str) -> Seen {
    let started = Instant::now();
    loop {
        let seen = operator.seen().remove(uid).unwrap_or_default();
        if seen.states.last().is_some_and(|last| last == state) {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "{uid} is not noted as {state:?}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn options() -> Options {
    Options { step: Duration::from_millis(20), ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_follow_the_table() {
    let fleet = fleet().await;
    let m1 = fleet.member("m1");
    let operator = ScriptedOperator::start(m1.client(), options());
    let apps = Applications::new(m1, "jobs").await;

    let uid = apps.script("succeed").await;
    let status = apps.wait("app-succeed", "COMPLETED").await;
    assert_eq!(status["executionAttempts"], 1);
    assert_eq!(status["driverInfo"]["podName"], "app-succeed-driver");
    assert_eq!(status["executorState"].as_object().unwrap().len(), 2);
    assert!(status["terminationTime"].is_string() && status["submissionID"].as_str().unwrap().len() == 36);
    let seen = written(&operator, &uid, "COMPLETED").await;
    assert_eq!(seen.states, ["SUBMITTED", "RUNNING", "SUCCEEDING", "COMPLETED"]);
    assert_eq!((seen.submits, seen.drivers), (1, 1));

    let states = async |script: &str, end: &str| {
        let uid = apps.script(script).await;
        let status = apps.wait(&format!("app-{script}"), end).await;
        let seen = written(&operator, &uid, end).await;
        let message =
            status.pointer("/applicationState/errorMessage").and_then(Value::as_str).unwrap_or_default();
        (seen.states, message.to_owned(), status)
    };
    let (path, message, _) = states("fail", "FAILED").await;
    assert_eq!(path, ["SUBMITTED", "RUNNING", "FAILING", "FAILED"]);
    assert!(message.contains("ExitCode: 1"), "{message}");
    let (path, message, _) = states("submission-failed", "FAILED").await;
    assert_eq!(path, ["SUBMISSION_FAILED", "FAILED"]);
    assert!(message.contains("spark-submit"), "{message}");
    assert!(states("quota", "FAILED").await.1.contains("exceeded quota"));
    assert!(states("driver-exists", "FAILED").await.1.contains("driver pod already exist"));
    assert!(states("driver-lost", "FAILED").await.1.contains("driver pod not found"));
    let (path, ..) = states("unknown-state", "COMPLETED").await;
    assert_eq!(path, ["SUBMITTED", "RUNNING", "REBALANCING", "SUCCEEDING", "COMPLETED"]);
    let (path, ..) = states("node-lost", "COMPLETED").await;
    assert_eq!(path, ["SUBMITTED", "RUNNING", "UNKNOWN", "SUCCEEDING", "COMPLETED"]);
    // While a driver waits, its termination time is an explicit null.
    let (.., status) = states("hang-submitted", "SUBMITTED").await;
    assert!(status.as_object().unwrap().contains_key("terminationTime"), "{status:#}");
    apps.script("hang-empty").await;

    // Retries take the real operator's seconds.
    let once = json!({"type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 1,
        "onSubmissionFailureRetries": 1, "onSubmissionFailureRetryInterval": 1});
    let uid = apps.create("retried", json!({"spark-router.test/script": "retry"}), once).await;
    let status = apps.wait("retried", "COMPLETED").await;
    assert_eq!((&status["executionAttempts"], &status["submissionAttempts"]), (&json!(2), &json!(2)));
    let seen = written(&operator, &uid, "COMPLETED").await;
    let path = [
        "SUBMITTED",
        "RUNNING",
        "FAILING",
        "PENDING_RERUN",
        "SUBMITTED",
        "RUNNING",
        "SUCCEEDING",
        "COMPLETED",
    ];
    assert_eq!(seen.states, path);

    suspend_edit_delete(&apps, &operator).await;

    // A pause, and the end of the operator: the next one goes on where it was.
    operator.pause();
    apps.script("hang-running").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(apps.get("app-hang-running").await["status"], Value::Null);
    operator.resume();
    apps.wait("app-hang-running", "RUNNING").await;
    operator.stop().await;
    apps.patch(
        "app-hang-running",
        json!({"metadata": {"annotations": {"spark-router.test/script": "fail"}}}),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    apps.wait("app-hang-running", "RUNNING").await;
    let operator = ScriptedOperator::start(m1.client(), options());
    apps.wait("app-hang-running", "FAILED").await;
    assert!(operator.seen().values().all(|seen| seen.submits == 0), "nothing ran twice");
    assert_eq!(apps.get("app-hang-empty").await["status"], Value::Null);
}

async fn suspend_edit_delete(apps: &Applications, operator: &ScriptedOperator) {
    let endless = json!({"spark-router.test/script": "hang-running"});
    let uid = apps.create("endless", endless, json!({"type": "Never"})).await;
    let seen = |uid: &str| -> Seen { operator.seen().remove(uid).unwrap() };
    apps.wait("endless", "RUNNING").await;
    apps.patch("endless", json!({"spec": {"suspend": true}})).await;
    apps.wait("endless", "SUSPENDED").await;
    apps.patch("endless", json!({"spec": {"suspend": false}})).await;
    let status = apps.wait("endless", "RUNNING").await;
    assert_eq!(status["executionAttempts"], 2, "suspend does not reset the counters");
    // Labels do nothing; an edit of the spec kills and reruns, a finished application too.
    apps.patch("endless", json!({"metadata": {"labels": {"team": "red"}}})).await;
    apps.patch("endless", json!({"spec": {"executor": {"instances": 3}}})).await;
    while !seen(&uid).states.ends_with(&["PENDING_RERUN", "SUBMITTED", "RUNNING"].map(String::from)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(seen(&uid).states.contains(&"INVALIDATING".to_owned()));
    let status = apps.wait("endless", "RUNNING").await;
    assert_eq!((&status["executionAttempts"], &status["submissionAttempts"]), (&json!(1), &json!(1)));
    apps.patch("app-succeed", json!({"spec": {"executor": {"instances": 3}}})).await;
    apps.wait("app-succeed", "RUNNING").await;

    apps.api.delete("endless", &DeleteParams::background()).await.unwrap();
    let started = Instant::now();
    while !seen(&uid).deleted {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(apps.get("endless").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn driver_pods_and_the_double_submit() {
    let fleet = fleet().await;
    let m1 = fleet.member("m1");
    let hazard = ScriptedOperator::start(
        m1.client(),
        Options { namespaces: vec!["hazard".into()], driver_pods: true, ..options() },
    );
    let apps = Applications::new(m1, "hazard").await;
    let pods: Api<Pod> = Api::namespaced(m1.client(), "hazard");
    let phase = async |name: &str| {
        let pod = pods.get_opt(name).await.unwrap();
        pod.and_then(|pod| pod.status).and_then(|status| status.phase)
    };

    // A label patched while spark-submit runs: FAILED, and the driver runs.
    let slow = json!({"spark-router.test/submit-ms": "3000"});
    let uid = apps.create("patched", slow.clone(), json!({"type": "Never"})).await;
    while !hazard.seen().contains_key(&uid) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    apps.patch("patched", json!({"metadata": {"labels": {"late": "yes"}}})).await;
    let status = apps.wait("patched", "FAILED").await;
    assert_eq!(status["applicationState"]["errorMessage"], "driver pod already exist");
    let seen = hazard.seen().remove(&uid).unwrap();
    assert_eq!((seen.submits, seen.drivers), (2, 1));
    assert_eq!(phase("patched-driver").await.as_deref(), Some("Running"));
    let driver = pods.get("patched-driver").await.unwrap();
    assert_ne!(
        driver.labels().get("sparkoperator.k8s.io/submission-id"),
        Some(&status["submissionID"].to_string())
    );

    // The usual life, its driver's labels and owner, and a foreground delete by the garbage collector.
    let uid =
        apps.create("usual", json!({"spark-router.test/run-ms": "3000"}), json!({"type": "Never"})).await;
    let status = apps.wait("usual", "RUNNING").await;
    assert_eq!(phase("usual-driver").await.as_deref(), Some("Running"));
    let driver = pods.get("usual-driver").await.unwrap();
    for (key, value) in [
        ("team", "blue"),
        ("spark-role", "driver"),
        ("spark-app-selector", status["sparkApplicationId"].as_str().unwrap()),
        ("sparkoperator.k8s.io/submission-id", status["submissionID"].as_str().unwrap()),
    ] {
        assert_eq!(driver.labels().get(key).map(String::as_str), Some(value));
    }
    assert_eq!(driver.owner_references()[0].uid, uid);
    apps.wait("usual", "COMPLETED").await;
    assert_eq!(phase("usual-driver").await.as_deref(), Some("Succeeded"));
    apps.api.delete("usual", &DeleteParams::foreground()).await.unwrap();
    let started = Instant::now();
    while apps.get("usual").await != Value::Null {
        assert!(started.elapsed() < PATIENCE, "the garbage collector finishes a foreground delete");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(phase("usual-driver").await, None);

    // Without the hazard the same patch does no harm; the other operator's namespace is left alone.
    drop(hazard);
    let gentle = Options { namespaces: vec!["gentle".into()], double_submit: false, ..options() };
    let gentle = ScriptedOperator::start(m1.client(), gentle);
    let apps = Applications::new(m1, "gentle").await;
    let uid = apps.create("patched", slow, json!({"type": "Never"})).await;
    while !gentle.seen().contains_key(&uid) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    apps.patch("patched", json!({"metadata": {"labels": {"late": "yes"}}})).await;
    apps.wait("patched", "COMPLETED").await;
    assert_eq!(gentle.seen().remove(&uid).unwrap().submits, 1);
    assert_eq!(gentle.seen().len(), 1);
}

/// The operator must not be what a test of the router measures.
#[tokio::test(flavor = "multi_thread")]
async fn it_carries_many_jobs() {
    const JOBS: usize = 1000;
    let fleet = fleet().await;
    let m1 = fleet.member("m1");
    let apps = &Applications::new(m1, "many").await;
    for (detail, prefix) in [(Detail::Least, "least"), (Detail::Brief, "brief"), (Detail::Full, "full")] {
        let options = Options { step: Duration::from_millis(5), detail, ..Options::default() };
        let started = Instant::now();
        futures::stream::iter(0..JOBS)
            .for_each_concurrent(16, async |number| {
                apps.create(&format!("{prefix}-{number}"), json!({}), json!({"type": "Never"})).await;
            })
            .await;
        let created = started.elapsed();
        let started = Instant::now();
        let operator = ScriptedOperator::start(m1.client(), options);
        let done =
            || operator.seen().values().filter(|seen| seen.states.ends_with(&["COMPLETED".into()])).count();
        while done() < JOBS {
            assert!(started.elapsed() < PATIENCE, "{} of {JOBS}", done());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = started.elapsed();
        let rate = f64::from(u32::try_from(JOBS).unwrap()) / took.as_secs_f64();
        eprintln!("{prefix}: {JOBS} created in {created:?}, carried in {took:?}: {rate:.0} jobs/s");
        operator.stop().await;
        let names = apps.api.list_metadata(&ListParams::default()).await.unwrap().items.len();
        assert_eq!(names, JOBS);
        apps.api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    }
}
