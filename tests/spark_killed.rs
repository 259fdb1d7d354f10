//! Real Spark whose processes are killed: an executor is replaced by Spark itself, a driver is the router's matter.
//!
//! Needs Java 17 and Python; without them it says so and is skipped, unless `SPARK_ROUTER_REQUIRE_SPARK=1`.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use serde_json::json;
use spark_router_api::{RoutedSparkJob, names};
use spark_router_testkit::kubelet::{Kubelet, KubeletOptions};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, pyspark};

use scene::{Watched, sure, time, uid};

const TEAM: &str = "team";
const QUEUE: &str = "etl";

/// Spark takes half a minute alone on two cores, and minutes beside a compiler.
const PATIENCE: Duration = Duration::from_mins(8);

/// Pi in so many parts, with an executor of its own.
fn pi(name: &str, parts: &str, spec: &serde_json::Value) -> serde_json::Value {
    let mut job = objects::job(TEAM, name, QUEUE, |_| {});
    objects::merge(
        &mut job,
        json!({"spec": {"template": {"spec": {
            "type": "Python",
            "pythonVersion": "3",
            "mode": "cluster",
            "sparkVersion": "4.0.1",
            "image": "spark:4.0.1-python3",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "arguments": [parts],
            "restartPolicy": {"type": "Never"},
            "driver": {"cores": 1, "memory": "512m", "serviceAccount": "spark"},
            "executor": {"instances": 1, "cores": 1, "memory": "512m"},
        }}}}),
    );
    objects::merge(&mut job, json!({ "spec": spec }));
    job
}

/// The pods that a job ever showed in this role, once there is one that `wanted` takes.
async fn pod(m1: &Cluster, job: &RoutedSparkJob, role: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
    let pods: Api<Pod> = Api::namespaced(m1.client(), TEAM);
    let selector = format!("{}={},spark-role={role}", names::JOB_UID_LABEL, uid(job));
    let started = std::time::Instant::now();
    loop {
        let all = pods.list(&ListParams::default().labels(&selector)).await.unwrap().items;
        if let Some(pod) = all.iter().find(|pod| wanted(pod)) {
            return pod.clone();
        }
        let seen: Vec<_> = all.iter().map(|pod| (pod.name_any(), phase(pod).to_owned())).collect();
        assert!(started.elapsed() < PATIENCE, "no such {role} of {}, only {seen:?}", job.name_any());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Waits for a line in a driver's log.
async fn said(m1: &Cluster, driver: &str, words: &str) {
    let pods: Api<Pod> = Api::namespaced(m1.client(), TEAM);
    let started = std::time::Instant::now();
    loop {
        let log = pods.logs(driver, &LogParams::default()).await.unwrap_or_default();
        if log.contains(words) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{driver} never said {words:?}:\n{log}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ended(hub: &Cluster, name: &str) -> RoutedSparkJob {
    sure(jobs::wait_for(hub, TEAM, name, "finished", PATIENCE, jobs::is_finished).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_executors_are_spark_s_matter_and_killed_drivers_the_router_s() {
    let Some(spark) = sure(pyspark::installed().await) else { return };
    let fleet = sure(Fleet::builder().hub().member_with("m1", spark.member()).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({})).await);
    sure(installation.namespace(TEAM).await);
    sure(m1.apply_manifest(&pyspark::account(TEAM)).await);
    sure(hub.apply_manifest(&objects::queue(QUEUE, &objects::weights(&[("m1", 1)])).to_string()).await);
    let kubelet =
        sure(Kubelet::start(m1, fleet.supervisor(), KubeletOptions::of(m1, spark, &fleet, 0)).await);
    let _router = Watched::start(&installation, &fleet, &[], &["m1"]).await;

    let again =
        json!({"retry": {"maxAttempts": 2, "failures": ["ApplicationFailed"], "backoff": {"initial": "1s"}}});
    let survives = sure(installation.submit(&pi("survives", "80", &again)).await);
    let repeated = sure(installation.submit(&pi("repeated", "80", &again)).await);

    let lose_executor = async {
        let first = pod(m1, &survives, "executor", |pod| phase(pod) == "Running").await.name_any();
        let driver = pod(m1, &survives, "driver", |pod| phase(pod) == "Running").await.name_any();
        said(m1, &driver, "Registered executor").await;
        sure(kubelet.kill(TEAM, &first));
        let other = |pod: &Pod| pod.name_any() != first && !phase(pod).is_empty();
        let second = pod(m1, &survives, "executor", other).await.name_any();
        eprintln!("{first} was killed, {second} took its place");
        ended(hub, "survives").await
    };
    let lose_driver = async {
        let driver = pod(m1, &repeated, "driver", |pod| phase(pod) == "Running").await.name_any();
        said(m1, &driver, "Registered executor").await;
        sure(kubelet.kill(TEAM, &driver));
        eprintln!("{driver} was killed");
        ended(hub, "repeated").await
    };
    let (survived, repeated) = tokio::join!(lose_executor, lose_driver);

    // Spark asked for another executor: for the router nothing happened.
    let shown = jobs::describe(&survived);
    let status = survived.status.as_ref().unwrap();
    assert_eq!((jobs::phase(&survived), status.attempt), ("Succeeded", Some(1)), "{shown}");
    let [only] = status.history.as_slice() else { panic!("{shown}: {:?}", status.history) };
    assert_eq!(only.outcome, "Succeeded", "{shown}");

    // A driver is not replaced by Spark: its owner wants a second attempt, which is made once the first is over.
    let shown = jobs::describe(&repeated);
    let status = repeated.status.as_ref().unwrap();
    assert_eq!((jobs::phase(&repeated), status.attempt), ("Succeeded", Some(2)), "{shown}");
    let [first, second] = status.history.as_slice() else { panic!("{shown}: {:?}", status.history) };
    assert_eq!((first.attempt, first.outcome.as_str()), (1, "Failed"), "{shown}");
    assert_eq!((second.attempt, second.outcome.as_str()), (2, "Succeeded"), "{shown}");
    let over = first.finished_at.as_ref().unwrap().0;
    let creates: Vec<_> = scene::creates(m1, spark_router_testkit::audit::Mark::default())
        .into_iter()
        .filter(|call| call.label(names::JOB_UID_LABEL) == Some(&*uid(&repeated)))
        .collect();
    let [_, second] = creates.as_slice() else { panic!("{creates:?}") };
    // The time of an end is kept to the second.
    assert!(time(&second.received).as_second() >= over.as_second(), "{} before {over}", second.received);

    let remote = sure(RemoteApplications::read(fleet.clusters()));
    assert_eq!((remote.jobs(), remote.created()), (2, 3));
}
