//! Proves that the lanes of moto do what tests of EMR rely on, each by calls that share nothing with an AWS client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spark_router_testkit::chain;
use spark_router_testkit::moto::{self, CancelEnd, Fault, Lane, Moto, Run, Script, Step, What};

/// Annotations of a driver.
type Annotations = &'static [(&'static str, &'static str)];

async fn moto(lane: Lane) -> Moto {
    Moto::start(lane).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// The body of a start, with these annotations of its driver.
fn start(name: &str, annotations: &[(&str, &str)], attempts: Option<u32>) -> Value {
    let key = |name: &str| format!("spark.kubernetes.driver.annotation.spark-router.test/{name}");
    let properties: serde_json::Map<_, _> =
        annotations.iter().map(|(name, value)| (key(name), json!(value))).collect();
    let mut body = json!({
        "name": name, "clientToken": name, "releaseLabel": moto::RELEASE, "tags": {"team": "a"},
        "executionRoleArn": format!("arn:aws:iam::{}:role/spark", moto::ACCOUNT),
        "jobDriver": {"sparkSubmitJobDriver": {"entryPoint": "local:///pi.py"}},
        "configurationOverrides": {
            "applicationConfiguration": [{"classification": "spark-defaults", "properties": properties}],
        },
    });
    if let Some(attempts) = attempts {
        body["retryPolicyConfiguration"] = json!({"maxAttempts": attempts});
    }
    body
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
    let runs: [(&str, Annotations, Option<u32>); 6] = [
        ("well", &[("run-ms", "10")], None),
        ("badly", &[("run-ms", "10"), ("exit-code", "1")], None),
        ("long", &[("run-ms", "3600000")], None),
        ("again", &[("run-ms", "10"), ("fail-attempts", "1")], Some(3)),
        ("once", &[("run-ms", "10"), ("fail-attempts", "1")], None),
        ("scripted", &[("run-ms", "10")], None),
    ];
    for (name, annotations, attempts) in runs {
        moto.start_run(&cluster, &start(name, annotations, attempts)).await.unwrap();
    }
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

/// What the record of a lane says, by event.
fn recorded(moto: &Moto, event: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(moto.record()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

/// A name, annotations, and the states that come of them.
type Way = (&'static str, Annotations, &'static [&'static str]);

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_as_their_annotations_say_and_everything_is_on_record() {
    let moto = moto(Lane::Controlled).await;
    let cluster = moto.create_virtual_cluster("a", "eks", "spark").await.unwrap().id;
    moto.go_by_annotations(Duration::from_millis(10)).await.unwrap();
    let ways: [Way; 4] = [
        ("well", &[("script", "succeed")], &["SUBMITTED", "RUNNING", "COMPLETED"]),
        ("badly", &[("script", "fail"), ("run-ms", "20")], &["SUBMITTED", "RUNNING", "FAILED"]),
        ("never", &[("script", "submission-failed")], &["FAILED"]),
        ("on", &[("script", "hang-running"), ("submit-ms", "10")], &["SUBMITTED", "RUNNING"]),
    ];
    let mut ids = Vec::new();
    for (name, annotations, _) in &ways {
        ids.push(moto.start_run(&cluster, &start(name, annotations, None)).await.unwrap());
    }
    let states = |id: &str| -> Vec<String> {
        let of = recorded(&moto, "state").into_iter().filter(|line| line["run"] == id);
        of.map(|line| line["state"].as_str().unwrap().to_owned()).collect()
    };
    for ((name, _, wanted), id) in ways.iter().zip(&ids) {
        let began = Instant::now();
        // Runs move when somebody asks.
        while states(id) != *wanted {
            assert!(began.elapsed() < Duration::from_secs(20), "{name}: {:?}", states(id));
            moto.runs(None).await.unwrap();
        }
    }

    // A token that is known gives its run back, and is on record as such.
    assert_eq!(moto.start_run(&cluster, &start("on", &[], None)).await.unwrap(), ids[3]);
    assert_eq!(recorded(&moto, "deduplicated")[0]["run"], json!(ids[3]));
    // Somebody else cancels it.
    moto.cancel_run(&cluster, &ids[3]).await.unwrap();
    let cancelled = recorded(&moto, "cancelled");
    assert_eq!((&cancelled[0]["run"], &cancelled[0]["by"]), (&json!(ids[3]), &json!(moto::OTHER_KEY)));

    // One whose answer is lost has begun all the same, and lists do not show it yet.
    moto.inject(&Fault::on("StartJobRun", What::Unlisted(Duration::from_hours(1)))).await.unwrap();
    assert!(moto.start_run(&cluster, &start("unseen", &[], None)).await.is_err());
    let unseen = moto.runs(Some("unseen")).await.unwrap();
    let listed = moto.listed(&cluster).await.unwrap();
    assert!(!listed.contains(&unseen[0].id) && listed.contains(&ids[0]), "{listed:?}");
    assert_eq!(moto.unlisted().await.unwrap(), 1);
    moto.start_run(&cluster, &start("unseen", &[], None)).await.unwrap();
    assert!(moto.listed(&cluster).await.unwrap().contains(&unseen[0].id), "its token came again");
    moto.inject(&Fault::on("StartJobRun", What::Expired)).await.unwrap();
    assert!(moto.start_run(&cluster, &start("denied", &[], None)).await.is_err());
    let asked = recorded(&moto, "asked");
    let last: Vec<_> = asked
        .iter()
        .rev()
        .filter(|it| it["known"] == false)
        .take(2)
        .map(|it| (&it["run"], &it["status"]))
        .collect();
    assert_eq!(last, [(&Value::Null, &json!(403)), (&json!(unseen[0].id), &json!(0))]);
    let started = recorded(&moto, "started");
    assert_eq!(started.len(), ways.len() + 1);
    assert_eq!((&started[0]["name"], &started[0]["tags"]), (&json!("well"), &json!({"team": "a"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_caller_did_not_wait_for_is_on_record_as_unheard() {
    let moto = moto(Lane::Controlled).await;
    let cluster = moto.create_virtual_cluster("a", "eks", "spark").await.unwrap().id;
    moto.inject(&Fault::on("StartJobRun", What::Late(Duration::from_secs(1)))).await.unwrap();
    let late = start("late", &[], None);
    let asking = moto.start_run(&cluster, &late);
    assert!(tokio::time::timeout(Duration::from_millis(300), asking).await.is_err());
    let began = Instant::now();
    while recorded(&moto, "asked").is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "it is acted on all the same");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = &recorded(&moto, "asked")[0];
    assert_eq!((&asked["status"], asked["run"].is_string()), (&json!(0), true), "{asked}");
    assert_eq!(moto.end_faults().await.unwrap(), 1);
    // Of two faults by chance each strikes its part of the calls.
    for (what, seed) in [(What::Throttled, 1), (What::Internal, 2)] {
        moto.inject(&Fault::on_any(what).always().chance(50, seed)).await.unwrap();
    }
    let mut refused = [0, 0];
    for _ in 0..40 {
        let answer = moto.create_virtual_cluster("b", "eks", "b").await.err().map(|error| error.to_string());
        for (count, code) in refused.iter_mut().zip(["ThrottlingException", "InternalServerException"]) {
            *count += usize::from(answer.as_ref().is_some_and(|answer| answer.contains(code)));
        }
    }
    assert!(refused[0] > 10 && refused[1] > 3 && refused[0] + refused[1] < 40, "{refused:?}");
    assert_eq!(moto.faults_struck().await.unwrap(), u64::try_from(refused[0] + refused[1]).unwrap());
}
