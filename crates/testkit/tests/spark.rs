//! Proves the process kubelet: real Spark, submitted by the real operator, runs to its end, and its logs can be read.
//! What else Spark can do there, the demo's lane with Spark and the test of killed processes show.
//!
//! Needs Java 17 and Python; without them it says so and is skipped, unless `SPARK_ROUTER_REQUIRE_SPARK=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::Value;
use spark_router_testkit::kubelet::{Kubelet, KubeletOptions};
use spark_router_testkit::{Cluster, Fleet, chain, pyspark};

/// Spark takes half a minute alone on two cores, and minutes beside a compiler.
const PATIENCE: Duration = Duration::from_mins(10);

/// Pi in so many parts.
fn application(name: &str, parts: u32) -> String {
    format!(
        r#"
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {{name: {name}, namespace: jobs}}
spec:
  type: Python
  pythonVersion: "3"
  mode: cluster
  sparkVersion: 4.0.1
  image: spark:4.0.1
  mainApplicationFile: local:///opt/spark/examples/src/main/python/pi.py
  arguments: ["{parts}"]
  restartPolicy: {{type: Never}}
  driver: {{cores: 1, memory: 512m, serviceAccount: spark}}
  executor: {{instances: 1, cores: 1, memory: 512m}}
"#
    )
}

async fn end(cluster: &Cluster, name: &str) -> Value {
    let started = Instant::now();
    loop {
        let text = cluster.kubectl(&["get", "sparkapplication", name, "-n", "jobs", "-o", "json"]).await;
        let object: Value =
            serde_json::from_str(&text.unwrap_or_else(|error| panic!("{}", chain(&error)))).unwrap();
        let state =
            object.pointer("/status/applicationState/state").and_then(Value::as_str).unwrap_or("").to_owned();
        if matches!(state.as_str(), "COMPLETED" | "FAILED") {
            eprintln!("{name}: {state} after {:?}", started.elapsed());
            return object["status"].clone();
        }
        if started.elapsed() > PATIENCE {
            let pods =
                cluster.kubectl(&["get", "pods", "-n", "jobs", "-o", "yaml"]).await.unwrap_or_default();
            let log = cluster.kubectl(&["logs", "-n", "jobs", &format!("{name}-driver")]).await;
            panic!("{name} is {state:?}\n{object:#}\n{pods}\n{}", log.unwrap_or_else(|error| chain(&error)));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn driver_log(cluster: &Cluster, name: &str, more: &[&str]) -> String {
    let driver = format!("{name}-driver");
    let words = [&["logs", "-n", "jobs", &driver], more].concat();
    cluster.kubectl(&words).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

#[tokio::test(flavor = "multi_thread")]
async fn real_spark_runs_as_processes() {
    let installed = pyspark::installed().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let Some(spark) = installed else { return };
    let fleet = Fleet::builder().member_with("m1", spark.member()).start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let m1 = fleet.member("m1");
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: jobs}\n---\n";
    let prepared = format!("{namespace}{}", pyspark::account("jobs"));
    m1.apply_manifest(&prepared).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let kubelet = Kubelet::start(m1, fleet.supervisor(), KubeletOptions::of(m1, spark, &fleet, 0)).await;
    let _kubelet = kubelet.unwrap_or_else(|error| panic!("{}", chain(&error)));

    // Pi, with an executor of its own.
    m1.create_manifest(&application("pi", 2)).await.unwrap();
    // While it runs, its log can be followed to the end.
    let follow = async {
        let started = Instant::now();
        loop {
            let followed = m1.kubectl(&["logs", "-f", "-n", "jobs", "pi-driver"]).await;
            match followed {
                Ok(log) => return log,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{}", chain(&error)),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (status, followed) = tokio::join!(end(m1, "pi"), follow);
    let log = driver_log(m1, "pi", &[]).await;
    assert_eq!(status["applicationState"]["state"], "COMPLETED", "{status:#}\n{log}");
    assert!(log.contains("Pi is roughly 3.1"), "{log}");
    assert!(followed.contains("Pi is roughly 3.1"), "{followed}");
    assert_eq!(status["executorState"].as_object().map(serde_json::Map::len), Some(1), "{status:#}");
    let tail = driver_log(m1, "pi", &["--tail=3", "--timestamps"]).await;
    assert_eq!(tail.lines().count(), 3, "{tail}");
    assert!(tail.lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{tail}");
    let bytes = driver_log(m1, "pi", &["--limit-bytes=100"]).await;
    assert_eq!(bytes.len(), 100);

    // A job that runs is deleted in the foreground: its processes end, its pods go.
    m1.create_manifest(&application("endless", 100_000)).await.unwrap();
    let started = Instant::now();
    loop {
        let pods = m1
            .kubectl(&["get", "pods", "-n", "jobs", "--field-selector=status.phase=Running"])
            .await
            .unwrap();
        if pods.contains("exec-1") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{pods}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let delete =
        ["delete", "sparkapplication", "endless", "-n", "jobs", "--cascade=foreground", "--timeout=120s"];
    m1.kubectl(&delete).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let left =
        m1.kubectl(&["get", "pod", "endless-driver", "-n", "jobs", "--ignore-not-found"]).await.unwrap();
    assert_eq!(left, "");
    let folder = fleet.supervisor().folder().to_path_buf();
    drop(fleet);
    assert!(!folder.exists(), "{} is left", folder.display());
}
