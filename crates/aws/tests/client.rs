//! The calls of EMR on EKS against moto: as it is, and with faults on the wire.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Bench, CLUSTER, access, body};
use parking_lot::Mutex;
use serde_json::json;
use spark_router_aws::client::{Access, Class, Clients, Credentials, Guarding, Query, Role, RunId, Start};
use spark_router_member::{MaySend, calls::Calls};
use spark_router_testkit::moto::{self, Fault, Lane, Step, What};

const ACTIVE: [&str; 4] = ["PENDING", "SUBMITTED", "RUNNING", "CANCEL_PENDING"];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_found_described_and_cancelled() {
    let bench = Bench::start(Lane::Plain).await;
    let emr = bench.emr().await;
    let cluster = emr.describe_virtual_cluster().await.unwrap();
    assert_eq!((cluster.arn.as_str(), cluster.state.as_str()), (bench.made.arn.as_str(), "RUNNING"));
    assert_eq!(cluster.eks, Some(("eks-1".to_owned(), "spark".to_owned())));

    let id = emr.start(Start { name: "daily", token: "t-1", body: &body("daily", "t-1") }).await.unwrap();
    let all = emr.list(Query { name: Some("daily"), ..Query::default() }).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0].id, all[0].name.as_str(), all[0].token.as_str()), (&id, "daily", "t-1"));
    assert_eq!(all[0].tags["a"], "2");
    assert_eq!(emr.describe(&id).await.unwrap().state, "RUNNING");

    emr.cancel(&id).await.unwrap();
    let again = emr.cancel(&id).await.unwrap_err();
    assert_eq!(again.class, Class::NotCancellable, "{again}");
    assert!(emr.list(Query { states: &ACTIVE, ..Query::default() }).await.unwrap().is_empty());
    assert_eq!(emr.describe(&id).await.unwrap().state, "CANCELLED");
    for wrong in ["0000000000000000000", "short"] {
        let failure = emr.describe(&RunId(wrong.to_owned())).await.unwrap_err();
        assert_eq!(failure.class, Class::NoRun, "{failure}");
    }
    let count = |verb, resource| bench.calls.total(CLUSTER, verb, resource);
    assert_eq!((count("create", "jobruns"), count("list", "jobruns")), (1, 2));
    assert_eq!((count("get", "jobruns"), count("delete", "jobruns")), (4, 2));
    assert_eq!(count("get", "virtualclusters"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_start_say_whose_they_are() {
    let bench = Bench::start(Lane::Plain).await;
    let elsewhere = bench.clients.emr(&bench.access(), "0nowhere", bench.guarding(MaySend::always())).await;
    let missing = elsewhere.start(Start { name: "a", token: "t", body: &body("a", "t") }).await.unwrap_err();
    assert_eq!(missing.class, Class::NoVirtualCluster, "{missing}");
    let unknown = elsewhere.describe_virtual_cluster().await.unwrap_err();
    assert_eq!(unknown.class, Class::NoVirtualCluster, "{unknown}");
    let release = String::from_utf8(body("a", "t")).unwrap().replace(moto::RELEASE, "emr-99.0.0-latest");
    let start = Start { name: "a", token: "t", body: release.as_bytes() };
    let refused = bench.emr().await.start(start).await.unwrap_err();
    assert_eq!(refused.class, Class::NoRelease, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_sent_once_with_the_very_bytes_that_were_rendered() {
    let bench = Bench::start(Lane::Controlled).await;
    let emr = bench.emr().await;
    for (what, class, runs) in [
        (What::ResponseLost, Class::Unclear, 1),
        (What::RequestLost, Class::Unclear, 0),
        (What::Internal, Class::Unclear, 0),
        (What::Page, Class::Unclear, 0),
        (What::Throttled, Class::Throttled, 0),
        (What::TooMany, Class::Throttled, 0),
        (What::Denied, Class::Access, 0),
        (What::Invalid("1 validation error detected".to_owned()), Class::Invalid, 0),
    ] {
        bench.moto.forget_calls().await.unwrap();
        let name = format!("{what:?}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let token = format!("token-{name}");
        let rendered = body(&name, &token);
        bench.moto.inject(&Fault::on("StartJobRun", what.clone())).await.unwrap();
        let start = Start { name: &name, token: &token, body: &rendered };
        let failure = emr.start(start).await.unwrap_err();
        assert_eq!(failure.class, class, "{what:?}: {failure}");
        let calls = bench.moto.calls().await.unwrap();
        assert_eq!(calls.starts.len(), 1, "{what:?}");
        assert_eq!(calls.starts[0].body.as_bytes(), rendered, "{what:?}");
        assert_eq!(bench.moto.runs(Some(&name)).await.unwrap().len(), runs, "{what:?}");
        // The same start again is the same request, and gives the one run that there is.
        let id = emr.start(start).await.unwrap();
        let calls = bench.moto.calls().await.unwrap();
        assert_eq!(calls.starts[0].body, calls.starts[1].body);
        let there = bench.moto.runs(Some(&name)).await.unwrap();
        assert_eq!((there.len(), &there[0].id), (1, &id.0), "{what:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_is_tried_again() {
    let bench = Bench::start(Lane::Controlled).await;
    let emr = bench.emr().await;
    bench.moto.inject(&Fault::on("ListJobRuns", What::Internal).times(2)).await.unwrap();
    emr.list(Query::default()).await.unwrap();
    assert_eq!(bench.moto.calls().await.unwrap().of("ListJobRuns"), 3);
    assert_eq!(bench.calls.total(CLUSTER, "list", "jobruns"), 3, "every try is counted");
    bench.moto.inject(&Fault::on("DescribeVirtualCluster", What::Page).always()).await.unwrap();
    let failure = emr.describe_virtual_cluster().await.unwrap_err();
    assert_eq!(failure.class, Class::Unclear, "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_walked_to_its_end() {
    let bench = Bench::start(Lane::Controlled).await;
    let emr = bench.emr().await;
    bench.moto.seed(&bench.made.id, "old", 250, "RUNNING", &json!({})).await.unwrap();
    bench.moto.seed(&bench.made.id, "over", 20, "COMPLETED", &json!({})).await.unwrap();
    bench
        .moto
        .advance("old-7", &Step::to("FAILED", Duration::ZERO).reason("USER_ERROR").details("exit 1"))
        .await
        .unwrap();
    let runs = emr.list(Query { states: &ACTIVE, ..Query::default() }).await.unwrap();
    assert_eq!(runs.len(), 249);
    assert_eq!(bench.moto.calls().await.unwrap().of("ListJobRuns"), 3);
    let failed = emr.list(Query { states: &["FAILED"], ..Query::default() }).await.unwrap();
    assert_eq!(failed[0].failure.as_deref(), Some("USER_ERROR"));
    assert_eq!(failed[0].details.as_deref(), Some("exit 1"));
    assert!(failed[0].finished_at.is_some() && failed[0].created_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_changes_nothing() {
    let bench = Bench::start(Lane::Controlled).await;
    let guarding = bench.guarding(MaySend::when(|| false));
    let emr = bench.clients.emr(&bench.access(), &bench.made.id, guarding).await;
    let start = Start { name: "a", token: "t", body: &body("a", "t") };
    assert_eq!(emr.start(start).await.unwrap_err().class, Class::NotSent);
    assert_eq!(emr.cancel(&RunId("0000000000000000000".to_owned())).await.unwrap_err().class, Class::NotSent);
    emr.list(Query::default()).await.unwrap();
    let calls = bench.moto.calls().await.unwrap();
    assert_eq!((calls.of("StartJobRun"), calls.of("CancelJobRun"), calls.of("ListJobRuns")), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_was_sent_nothing() {
    let bench = Bench::start(Lane::Controlled).await;
    let emr = bench.emr().await;
    bench.moto.process().kill().unwrap();
    let start = Start { name: "a", token: "t", body: &body("a", "t") };
    let failure = emr.start(start).await.unwrap_err();
    assert_eq!(failure.class, Class::NotSent, "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_answer_is_given_up_in_time() {
    let bench = Bench::start(Lane::Controlled).await;
    let emr = bench.emr().await;
    bench.moto.process().pause().unwrap();
    let started = Instant::now();
    let start = Start { name: "a", token: "t", body: &body("a", "t") };
    let failure = emr.start(start).await.unwrap_err();
    bench.moto.process().resume().unwrap();
    assert_eq!(failure.class, Class::Unclear, "{failure}");
    // Neither earlier nor later: what is waited for afterwards counts from then.
    let took = started.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(20)).contains(&took), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_once_for_all_members_that_use_it() {
    let bench = Bench::start(Lane::Controlled).await;
    let role = |name: &str| Role {
        arn: format!("arn:aws:iam::{}:role/{name}", moto::ACCOUNT),
        external_id: Some("given".to_owned()),
    };
    let access = Access { role: Some(role("spark")), ..bench.access() };
    let clients = &bench.clients;
    assert_eq!(clients.made(), 0, "nothing is made before a member asks");
    for _ in 0..3 {
        let emr = clients.emr(&access, &bench.made.id, bench.guarding(MaySend::always())).await;
        emr.list(Query::default()).await.unwrap();
    }
    let calls = bench.moto.calls().await.unwrap();
    assert_eq!((calls.of("AssumeRole"), calls.of("ListJobRuns"), clients.made()), (1, 3, 1));
    let access = Access { role: Some(role("other")), ..access };
    let emr = clients.emr(&access, &bench.made.id, bench.guarding(MaySend::always())).await;
    emr.list(Query::default()).await.unwrap();
    assert_eq!((bench.moto.calls().await.unwrap().of("AssumeRole"), clients.made()), (2, 2));

    bench.moto.inject(&Fault::on("AssumeRole", What::Denied).always()).await.unwrap();
    let access = Access { role: Some(role("denied")), ..access };
    let emr = clients.emr(&access, &bench.made.id, bench.guarding(MaySend::always())).await;
    let start = Start { name: "a", token: "t", body: &body("a", "t") };
    let failure = emr.start(start).await.unwrap_err();
    assert_eq!(failure.class, Class::Access, "{failure}");
    assert_eq!(bench.moto.calls().await.unwrap().of("StartJobRun"), 0);
}

/// What the process without an environment runs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of without_credentials_nothing_is_sent_anywhere, which runs it in a process of its own"]
async fn ask_without_credentials() {
    let url = std::env::var("MOTO_URL").unwrap();
    let access = Access { credentials: Credentials::Chain { instance_metadata: false }, ..access(&url) };
    let guarding =
        Guarding { cluster: CLUSTER.to_owned(), calls: Calls::default(), may_send: MaySend::always() };
    let emr = Clients::default().emr(&access, "0any", guarding).await;
    let failure = emr.list(Query::default()).await.unwrap_err();
    assert_eq!(failure.class, Class::Access, "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_nothing_is_sent_anywhere() {
    let bench = Bench::start(Lane::Controlled).await;
    bench.moto.forget_calls().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ask_without_credentials", "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("MOTO_URL", bench.moto.url())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(bench.moto.calls().await.unwrap().counts.is_empty());
}

/// What a subscriber of everything would write.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_job_is_started_with_is_in_no_log_however_fine() {
    let bench = Bench::start(Lane::Controlled).await;
    let emr = bench.emr().await;
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let logging = tracing::subscriber::set_default(subscriber);
    for (index, what) in [None, Some(What::Internal), Some(What::ResponseLost)].into_iter().enumerate() {
        if let Some(what) = what {
            bench.moto.inject(&Fault::on("StartJobRun", what)).await.unwrap();
        }
        let name = format!("n-{index}");
        let body = body(&name, &name);
        let _ = emr.start(Start { name: &name, token: &name, body: &body }).await;
        emr.list(Query { name: Some(&name), ..Query::default() }).await.unwrap();
    }
    drop(logging);
    let text = String::from_utf8_lossy(&written.0.lock()).into_owned();
    assert!(text.contains("transmitting request"), "nothing was written: {}", text.len());
    for line in text.lines() {
        assert!(!line.contains("examples/pi.py"), "{line}");
    }
}
