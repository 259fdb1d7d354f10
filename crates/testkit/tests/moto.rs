//! Proves that the lanes of moto do what tests of EMR rely on, each by calls that share nothing with an AWS client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spark_router_testkit::chain;
use spark_router_testkit::moto::{self, CancelEnd, Fault, Lane, Moto, Run, Script, Step, What};

async fn moto(lane: Lane) -> Moto {
    Moto::start(lane).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Starts a run as AWS's API says, with these annotations of its driver.
fn start(moto: &Moto, cluster: &str, name: &str, annotations: &[(&str, &str)], attempts: Option<u32>) {
    let key = |name: &str| format!("spark.kubernetes.driver.annotation.spark-router.test/{name}");
    let properties: serde_json::Map<_, _> =
        annotations.iter().map(|(name, value)| (key(name), json!(value))).collect();
    let mut body = json!({
        "name": name, "clientToken": name, "releaseLabel": moto::RELEASE,
        "executionRoleArn": format!("arn:aws:iam::{}:role/spark", moto::ACCOUNT),
        "jobDriver": {"sparkSubmitJobDriver": {"entryPoint": "local:///pi.py"}},
        "configurationOverrides": {
            "applicationConfiguration": [{"classification": "spark-defaults", "properties": properties}],
        },
    });
    if let Some(attempts) = attempts {
        body["retryPolicyConfiguration"] = json!({"maxAttempts": attempts});
    }
    let (host, body) = (moto.url(), body.to_string());
    let host = host.trim_start_matches("http://");
    let scope = format!("{}/20260101/{}/emr-containers/aws4_request", moto::ACCESS_KEY, moto::REGION);
    let request = format!(
        "POST /virtualclusters/{cluster}/jobruns HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    assert!(serde_json::from_str::<Value>(body).unwrap()["id"].is_string(), "{body}");
}

/// The run of that name, when it is in that state.
async fn run_in(moto: &Moto, name: &str, state: &str) -> Run {
    let started = Instant::now();
    loop {
        let run = moto.runs(Some(name)).await.unwrap().remove(0);
        if run.state == state {
            return run;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{name} is not {state}: {run:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_by_the_annotations_of_their_driver_if_no_script_says_otherwise() {
    let moto = moto(Lane::Controlled).await;
    let cluster = moto.create_virtual_cluster("a", "eks", "spark").await.unwrap().id;
    moto.go_by_annotations(Duration::ZERO).await.unwrap();
    moto.script(&Script::run_on().named("scripted")).await.unwrap();
    start(&moto, &cluster, "well", &[("run-ms", "10")], None);
    start(&moto, &cluster, "badly", &[("run-ms", "10"), ("exit-code", "1")], None);
    start(&moto, &cluster, "long", &[("run-ms", "3600000")], None);
    start(&moto, &cluster, "again", &[("run-ms", "10"), ("fail-attempts", "1")], Some(3));
    start(&moto, &cluster, "once", &[("run-ms", "10"), ("fail-attempts", "1")], None);
    start(&moto, &cluster, "scripted", &[("run-ms", "10")], None);
    assert_eq!(run_in(&moto, "well", "COMPLETED").await.tries, 1);
    run_in(&moto, "badly", "FAILED").await;
    assert_eq!(run_in(&moto, "again", "COMPLETED").await.tries, 2);
    run_in(&moto, "once", "FAILED").await;
    run_in(&moto, "long", "RUNNING").await;
    run_in(&moto, "scripted", "RUNNING").await;
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
