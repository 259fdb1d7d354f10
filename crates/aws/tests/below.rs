//! A run that EMR lost sight of, and the pods of the EKS cluster below it: on a real API server, over moto.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Bench, scene::*};
use serde_json::json;
use spark_router_api::names;
use spark_router_core::{
    id::RemoteUid,
    observe::{FailureSign, RunState},
};
use spark_router_member::{Connection, Driver, Fence, Order, kubeconfig};
use spark_router_testkit::{
    Cluster, Fleet, chain,
    moto::{Lane, Script, Step},
};

/// The namespace of the virtual cluster.
const NAMESPACE: &str = "spark";

async fn connection(cluster: &Cluster) -> Connection {
    let config = kubeconfig::read(cluster.kubeconfig()).await.unwrap();
    Connection::fixed(config, cluster.name().to_owned())
}

/// A run that AWS calls failed, and cannot say more of.
async fn lost(scene: &Scene, name: &str) -> (Order, RemoteUid) {
    scene.bench.moto.script(&Script::run_on()).await.unwrap();
    let order = order(name);
    let uid = scene.accepted(order.clone()).await;
    scene.until_run(&order, &RunState::Running).await;
    let trouble = Step::to("FAILED", Duration::ZERO)
        .reason("CLUSTER_UNAVAILABLE")
        .details("Trouble monitoring your JobRun. Cluster eks-1 is not reachable.");
    scene.bench.moto.advance(uid.as_str(), &trouble).await.unwrap();
    scene.until_run(&order, &RunState::Failed(FailureSign::MonitoringLost)).await;
    (order, uid)
}

/// A pod of a run as EMR makes it; with the router's labels where they are given.
async fn pod(cluster: &Cluster, scene: &Scene, uid: &RemoteUid, role: &str, whose: Option<&Order>) -> String {
    let name = format!("spark-{uid}-{role}");
    let mut labels = json!({
        "emr-containers.amazonaws.com/job.id": uid.as_str(),
        "emr-containers.amazonaws.com/virtual-cluster-id": scene.bench.made.id,
        "spark-role": role,
    });
    if let Some(order) = whose {
        labels[names::ORIGIN_LABEL] = json!(hub().as_str());
        labels[names::JOB_UID_LABEL] = json!(order.job.as_str());
        labels[names::ATTEMPT_LABEL] = json!(order.attempt.to_string());
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "spark-kubernetes-driver", "image": "emr"}],
        },
    });
    cluster.apply_manifest(&object.to_string()).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    name
}

async fn pods(cluster: &Cluster) -> String {
    cluster.kubectl(&["get", "pods", "-n", NAMESPACE, "-o", "name"]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_emr_lost_sight_of_is_ended_by_its_pods() {
    let fleet = Fleet::builder().hub().member("eks").start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let (cluster, other) = (fleet.member("eks"), fleet.hub());
    for cluster in [cluster, other] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        cluster.apply_manifest(&namespace.to_string()).await.unwrap();
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": NAMESPACE},
        });
        cluster.apply_manifest(&account.to_string()).await.unwrap();
    }

    // Another cluster has no pod of it either, and that proves nothing.
    let scene = Scene::above(Bench::start(Lane::Controlled).await, connection(other).await).await;
    let (order, uid) = lost(&scene, "elsewhere").await;
    let fence = scene.member().stop(&stop(&order, Some(uid), false)).await;
    assert!(matches!(&fence, Fence::Impossible(why) if why.contains("is not certain")), "{fence:?}");
    let driver = scene.member().driver(&order.namespace, &order.name, None).await;
    assert!(matches!(&driver, Driver::Unclear(why) if why.contains("is not certain")), "{driver:?}");

    // On the right one its driver lives: it is deleted, and looked for until it is gone for some time.
    let scene = Scene::above(Bench::start(Lane::Controlled).await, connection(cluster).await).await;
    let (order, uid) = lost(&scene, "lost").await;
    let name = pod(cluster, &scene, &uid, "driver", Some(&order)).await;
    assert_eq!(scene.member().driver(&order.namespace, &order.name, None).await, Driver::Alive);
    let wanted = stop(&order, Some(uid.clone()), false);
    let fence = scene.member().stop(&wanted).await;
    assert!(matches!(&fence, Fence::Pending { waits_for, .. } if waits_for.contains(&name)), "{fence:?}");
    assert_eq!(pods(cluster).await, "");
    let early = scene.member().stop(&wanted).await;
    assert!(
        matches!(&early, Fence::Pending { waits_for, .. } if waits_for.contains("no pod of")),
        "{early:?}"
    );
    let driver = scene.member().driver(&order.namespace, &order.name, None).await;
    assert!(matches!(&driver, Driver::Unclear(why) if why.contains("may still come")), "{driver:?}");
    until("the proof", async || match scene.member().stop(&wanted).await {
        Fence::Proven => true,
        Fence::Pending { .. } => false,
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(scene.member().driver(&order.namespace, &order.name, None).await, Driver::Gone);

    // Whose pod it is stands on the pod: what does not say that it is ours is left alone.
    let (order, uid) = lost(&scene, "unlabelled").await;
    let name = pod(cluster, &scene, &uid, "executor", None).await;
    let fence = scene.member().stop(&stop(&order, Some(uid), false)).await;
    let Fence::Pending { waits_for, .. } = &fence else { panic!("{fence:?}") };
    assert!(waits_for.contains(&name) && waits_for.contains("leaves them alone"), "{waits_for}");
    assert_eq!(pods(cluster).await.trim(), format!("pod/{name}"));
    assert_eq!(scene.bench.moto.calls().await.unwrap().of("CancelJobRun"), 0);
}
