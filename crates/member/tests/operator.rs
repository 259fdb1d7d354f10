//! A member with the real Kubeflow operator: what its applications look like, how they fail, how they are stopped.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::Bench;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;
use spark_router_core::observe::{FailureSign, RunState};
use spark_router_member::{Driver, Fence, Order, Suspended, Tempo, error_line};
use spark_router_testkit::{Fleet, MemberOptions, chain, router::Installation};

/// A driver under KWOK that ends as the annotations of its pod say.
fn order(bench: &Bench, name: &str, driver: &serde_json::Value, restart: &serde_json::Value) -> Order {
    let mut order = bench.order(name, &json!({}));
    order.template = Arc::new(json!({"spec": {
        "type": "Python", "sparkVersion": "4.0.1", "mode": "cluster", "image": "spark:4.0.1",
        "mainApplicationFile": "local:///opt/spark/job.py", "restartPolicy": restart,
        "driver": {"serviceAccount": "spark", "annotations": driver}, "executor": {"instances": 1},
    }}));
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_operator_is_read_right_and_its_drivers_are_stopped() {
    let fleet = Fleet::builder().hub().member_with("m1", MemberOptions::spark()).start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let installation = Installation::new(&fleet).await.unwrap();
    installation.prepare("m1").await.unwrap();
    let kubeconfig = installation.kubeconfig("m1").await.unwrap();
    let mut bench = Bench::new(&fleet).await;
    let tempo = Tempo { settle: Duration::from_secs(2), ..Tempo::default() };
    bench.put("m1", &kubeconfig, None, tempo).await;
    let member = bench.ready("m1").await;

    // One that ends well: every state is seen, none is an end before the end.
    let never = json!({"type": "Never"});
    let good = order(&bench, "good", &json!({"spark-router.test/run-ms": "700"}), &never);
    bench.create(&member, &good).await;
    bench.state(&member, &good.name, "RUNNING").await;
    let pods: Api<Pod> = Api::namespaced(bench.admin.clone(), bench.namespace.as_str());
    let labels = format!("sparkrouter.dev/job-uid={},sparkrouter.dev/attempt=1", good.job);
    let ours = pods.list(&ListParams::default().labels(&labels)).await.unwrap();
    assert!(
        ours.items.iter().any(|pod| pod.name_any() == format!("{}-driver", good.name)),
        "labels reach the driver"
    );
    let seen = bench.state(&member, &good.name, "COMPLETED").await;
    assert_eq!((seen.run.clone(), seen.executions), (RunState::Succeeded, 1));
    assert!(seen.application_id.is_some() && seen.submission_id.is_some() && seen.submitted_at.is_some());
    assert_eq!(
        member.driver(&good.namespace, &good.name, seen.driver_pod.as_deref()).await,
        Driver::Succeeded
    );

    // One whose code raises, at the second try too.
    let again = json!({"type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 1,
                       "onSubmissionFailureRetryInterval": 1});
    let annotations = json!({"spark-router.test/run-ms": "300", "spark-router.test/exit-code": "3"});
    let bad = order(&bench, "bad", &annotations, &again);
    bench.create(&member, &bad).await;
    bench.drain();
    let seen = bench.state(&member, &bad.name, "FAILED").await;
    assert_eq!((seen.run.clone(), seen.executions), (RunState::Failed(FailureSign::Application), 2));
    let pod = seen.driver_pod.unwrap();
    match member.driver(&bad.namespace, &bad.name, Some(&pod)).await {
        Driver::Failed(FailureSign::Application, how) => assert!(how.contains("exit code 3"), "{how}"),
        other => panic!("{other:?}"),
    }
    let tail = member.driver_log_tail(&bad.namespace, &pod, 8192).await.unwrap();
    assert_eq!(error_line::find(&tail).as_deref(), Some("ValueError: column 'amount' is missing"), "{tail}");
    let short = member.driver_log_tail(&bad.namespace, &pod, 20).await.unwrap();
    assert!(short.len() <= 20 && tail.ends_with(&short), "{short:?}");
    assert_eq!(member.driver_log_tail(&bad.namespace, "no-such-pod", 8192).await, None);

    // One that is stopped while it runs.
    let long = order(&bench, "long", &json!({"spark-router.test/run-ms": "600000"}), &never);
    let uid = bench.create(&member, &long).await;
    bench.state(&member, &long.name, "RUNNING").await;

    // It is held and let go on first. The operator may write between the read and the write: then it is asked again.
    let asked = async |suspend: bool| {
        let started = Instant::now();
        loop {
            match member.suspend(&long.namespace, &long.name, &uid, suspend).await.unwrap() {
                Suspended::NotNow(why) => assert!(started.elapsed() < common::PATIENCE, "not yet: {why}"),
                answer => break answer,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(asked(false).await, Suspended::Done, "it is not held");
    assert_eq!(asked(true).await, Suspended::Done);
    let held = bench.state(&member, &long.name, "SUSPENDED").await;
    assert_eq!((held.run.clone(), held.suspend), (RunState::Suspended, true));
    let driver = member.driver(&long.namespace, &long.name, held.driver_pod.as_deref()).await;
    assert_eq!(driver, Driver::Gone, "its driver is deleted");
    assert_eq!(asked(false).await, Suspended::Done);
    let on = bench.state(&member, &long.name, "RUNNING").await;
    assert_eq!((on.executions, on.suspend), (2, false));

    let stop = Bench::stop_order(&long, Some(uid));
    let started = Instant::now();
    loop {
        match member.stop(&stop).await {
            Fence::Proven => break,
            Fence::Pending { until, waits_for } | Fence::Unanswered { until, waits_for } => {
                assert!(started.elapsed() < common::PATIENCE, "no fence: {waits_for}");
                let pause = until.duration_since(Timestamp::now()).max(SignedDuration::from_millis(10));
                tokio::time::sleep(pause.unsigned_abs()).await;
            }
            Fence::Impossible(why) => panic!("{why}"),
            Fence::Ended(end) => panic!("it had ended: {end:?}"),
        }
    }
    let labels = format!("sparkrouter.dev/job-uid={}", long.job);
    let left = pods.list(&ListParams::default().labels(&labels)).await.unwrap();
    let alive = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
        !matches!(phase.as_deref(), Some("Succeeded" | "Failed"))
    };
    assert!(!left.items.iter().any(|pod| alive(&pod)), "{:?}", left.items);
}
