//! Proves that the lanes of moto do what tests of EMR rely on, each by calls that share nothing with an AWS client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use spark_router_testkit::chain;
use spark_router_testkit::moto::{CancelEnd, Fault, Lane, Moto, Script, Step, What};

async fn moto(lane: Lane) -> Moto {
    Moto::start(lane).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_moto_serves_virtual_clusters_and_has_no_controls() {
    let moto = moto(Lane::Plain).await;
    let made = moto.create_virtual_cluster("a", "eks", "spark").await.unwrap();
    assert!(made.arn.ends_with(&format!("/virtualclusters/{}", made.id)), "{made:?}");
    let again = moto.create_virtual_cluster("b", "other", "spark").await.unwrap_err().to_string();
    assert!(again.contains("already exists in the given namespace"), "{again}");
    assert!(moto.script(&Script::run_on()).await.unwrap_err().to_string().contains("has no controls"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_them_know_nothing_of_each_other() {
    let (one, other) = tokio::join!(moto(Lane::Controlled), moto(Lane::Controlled));
    let made = one.create_virtual_cluster("a", "eks", "spark").await.unwrap();
    one.seed(&made.id, "old", 3, "RUNNING", &serde_json::json!({"a": "b"})).await.unwrap();
    assert_eq!(one.runs(None).await.unwrap().len(), 3);
    assert!(other.runs(None).await.unwrap().is_empty());
    one.process().kill().unwrap();
    assert!(one.runs(None).await.is_err());
    other.runs(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_test_asks_for_is_refused_where_it_makes_no_sense() {
    let moto = moto(Lane::Controlled).await;
    let unknown = moto.advance("nobody", &Step::to("RUNNING", Duration::ZERO)).await.unwrap_err().to_string();
    assert!(unknown.contains("no run nobody"), "{unknown}");
    moto.cancelled_runs_end(CancelEnd::Never).await.unwrap();
    moto.inject(&Fault::on("CreateVirtualCluster", What::Throttled)).await.unwrap();
    let throttled = moto.create_virtual_cluster("a", "eks", "spark").await.unwrap_err().to_string();
    assert!(throttled.contains("ThrottlingException"), "{throttled}");
    moto.create_virtual_cluster("a", "eks", "spark").await.unwrap();
    assert_eq!(moto.end_faults().await.unwrap(), 1);
    assert_eq!(moto.calls().await.unwrap().of("CreateVirtualCluster"), 2);
}
