//! Proves the testkit itself: real Spark applications go through their states on real control planes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on shall say so and end")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use spark_router_testkit::{Cluster, Fleet, MemberOptions, chain};

/// The state of a SparkApplication must come within this time, on a machine that compiles beside.
const PATIENCE: Duration = Duration::from_secs(90);

fn application(name: &str, kind: &str, annotations: &str, restart: &str) -> String {
    format!(
        r"
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {{name: {name}, namespace: jobs, labels: {{team: blue}}}}
spec:
  type: {kind}
  mode: cluster
  sparkVersion: 4.0.1
  image: spark:4.0.1
  mainApplicationFile: local:///opt/spark/{main}
  restartPolicy: {restart}
  driver: {{cores: 1, memory: 512m, serviceAccount: spark, annotations: {annotations}}}
  executor: {{instances: 2, cores: 1, memory: 512m}}
",
        main = if kind == "Python" { "job.py" } else { "pi.jar" },
    )
}

async fn get(cluster: &Cluster, what: &str, name: &str) -> Value {
    let text = cluster.kubectl(&["get", what, name, "-n", "jobs", "-o", "json"]).await;
    serde_json::from_str(&text.unwrap_or_else(|error| panic!("{}", chain(&error)))).unwrap()
}

async fn wait_for(cluster: &Cluster, name: &str, state: &str) -> Value {
    let started = Instant::now();
    loop {
        let application = get(cluster, "sparkapplication", name).await;
        let now = application.pointer("/status/applicationState/state").and_then(Value::as_str).unwrap_or("");
        if now == state {
            return application;
        }
        assert!(started.elapsed() < PATIENCE, "{name} is {now}, not {state}: {application:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_applications_run_on_a_member() {
    let started = Instant::now();
    let fleet = Fleet::builder().hub().member_with("m1", MemberOptions::spark()).start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    eprintln!("hub and m1 ready after {:?}", started.elapsed());
    let folder = fleet.supervisor().folder().to_path_buf();
    let m1 = fleet.member("m1");
    let created = m1.kubectl(&["create", "namespace", "jobs"]).await.unwrap();
    assert!(created.contains("created"), "{created}");

    let quick = "{spark-router.test/run-ms: '1500'}";
    let failing = "{spark-router.test/run-ms: '200', spark-router.test/exit-code: '3'}";
    let flaky = "{spark-router.test/run-ms: '200', spark-router.test/fail-attempts: '1'}";
    let endless = "{spark-router.test/run-ms: '600000'}";
    let once = "{type: OnFailure, onFailureRetries: 1, onFailureRetryInterval: 1, onSubmissionFailureRetryInterval: 1}";
    for manifest in [
        application("pi", "Scala", quick, "{type: Never}"),
        application("broken", "Python", failing, "{type: Never}"),
        application("flaky", "Python", flaky, once),
        application("endless", "Scala", endless, "{type: Never}"),
        application(
            "unsubmitted",
            "Scala",
            "{spark-router.test/submit-error: no such file}",
            "{type: Never}",
        ),
    ] {
        m1.create_manifest(&manifest).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }

    // A job's pods, as the operator and Spark name, label and own them.
    let pi = wait_for(m1, "pi", "RUNNING").await;
    let driver = get(m1, "pod", "pi-driver").await;
    let labels = &driver["metadata"]["labels"];
    assert_eq!(labels["spark-role"], "driver");
    assert_eq!(labels["team"], "blue");
    assert_eq!(labels["sparkoperator.k8s.io/submission-id"], pi["status"]["submissionID"]);
    assert_eq!(driver["metadata"]["ownerReferences"][0]["uid"], pi["metadata"]["uid"]);
    let requests = &driver["spec"]["containers"][0]["resources"]["requests"];
    assert_eq!((requests["cpu"].as_str(), requests["memory"].as_str()), (Some("1"), Some("896Mi")));
    let pi = wait_for(m1, "pi", "COMPLETED").await;
    let executors = pi["status"]["executorState"].as_object().expect("executors were seen");
    assert_eq!(executors.len(), 2, "{executors:?}");
    let log = m1.kubectl(&["logs", "-n", "jobs", "pi-driver"]).await.unwrap();
    assert!(log.contains("Pi is roughly"), "{log}");

    let broken = wait_for(m1, "broken", "FAILED").await;
    let message = broken["status"]["applicationState"]["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains("ExitCode: 3"), "{message}");
    let log = m1.kubectl(&["logs", "-n", "jobs", "broken-driver", "--tail=2"]).await.unwrap();
    assert!(log.contains("ValueError: column 'amount' is missing"), "{log}");

    let flaky = wait_for(m1, "flaky", "COMPLETED").await;
    assert_eq!(flaky["status"]["executionAttempts"], 2);

    let unsubmitted = wait_for(m1, "unsubmitted", "FAILED").await;
    let message = unsubmitted["status"]["applicationState"]["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains("no such file"), "{message}");

    // A foreground delete leaves nothing of a running job.
    wait_for(m1, "endless", "RUNNING").await;
    let deleted =
        ["delete", "sparkapplication", "endless", "-n", "jobs", "--cascade=foreground", "--timeout=60s"];
    m1.kubectl(&deleted).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let left =
        m1.kubectl(&["get", "pod", "endless-driver", "-n", "jobs", "--ignore-not-found"]).await.unwrap();
    assert_eq!(left, "");

    // The audit log knows every driver by its uid: one for each submit that got that far.
    let calls = m1.audit().calls().unwrap();
    let drivers: BTreeSet<&str> = calls
        .iter()
        .filter(|call| call.resource == "pods" && call.label("spark-role") == Some("driver"))
        .filter_map(|call| call.created_uid())
        .collect();
    assert_eq!(drivers.len(), 5, "pi, broken, endless once and flaky twice");
    let operator = "system:serviceaccount:spark-operator:spark-operator-controller";
    assert!(
        calls
            .iter()
            .any(|call| call.user == operator && call.verb == "update" && call.subresource == "status")
    );

    // An outage: the same data is back on the same port.
    m1.stop_apiserver().unwrap();
    assert!(m1.kubectl(&["get", "pods", "-n", "jobs"]).await.is_err());
    m1.start_apiserver().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert!(m1.kubectl(&["get", "pods", "-n", "jobs"]).await.unwrap().contains("pi-driver"));
    fleet.check().unwrap_or_else(|error| panic!("{}", chain(&error)));

    // Members are reached by tokens, and a token of one cluster is nothing on another.
    let token = m1.token_for("spark-operator", "spark-operator-controller").await.unwrap();
    let client = m1.client_of(&m1.kubeconfig_with_token(m1.server(), &token)).await.unwrap();
    let apps =
        http::Request::get("/apis/sparkoperator.k8s.io/v1beta2/sparkapplications").body(Vec::new()).unwrap();
    // Just restarted, an API server answers 429 for custom resources until their caches are filled.
    let started = Instant::now();
    while let Err(error) = client.request_text(apps.clone()).await {
        assert!(error.to_string().contains("initializing") && started.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let hub = fleet.hub();
    let stranger = hub.client_of(&hub.kubeconfig_with_token(hub.server(), &token)).await.unwrap();
    let refused = stranger.request_text(apps).await.unwrap_err();
    assert!(refused.to_string().contains("Unauthorized"), "{refused}");

    drop(fleet);
    assert!(!folder.exists(), "{} is left", folder.display());
}
