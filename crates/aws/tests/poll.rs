//! The poller against moto's controlled lane: what it sees, and what that costs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Bench, body};
use jiff::SignedDuration;
use parking_lot::Mutex;
use serde_json::json;
use spark_router_aws::{
    client::{Failure, JobRun, RunId, Start},
    poll::{
        Listener, Poller, Tempo,
        rows::{Patience, Rows},
    },
};
use spark_router_testkit::moto::{Fault, Lane, Script, Step, What};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Default)]
struct Heard {
    changed: Mutex<Vec<(String, String)>>,
    gone: Mutex<Vec<String>>,
    failed: Mutex<usize>,
}

#[async_trait::async_trait]
impl Listener for Heard {
    fn is_ours(&self, run: &JobRun) -> bool {
        run.tags.get("origin").is_none_or(|origin| origin == "us")
    }

    async fn changed(&self, runs: Vec<JobRun>) {
        self.changed.lock().extend(runs.into_iter().map(|run| (run.id.0, run.state)));
    }

    async fn gone(&self, runs: Vec<JobRun>) {
        self.gone.lock().extend(runs.into_iter().map(|run| run.id.0));
    }

    fn walked(&self, result: Result<(), &Failure>) {
        *self.failed.lock() += usize::from(result.is_err());
    }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn quick() -> Tempo {
    Tempo {
        every: Duration::from_millis(100),
        jitter: Duration::from_millis(20),
        again: Duration::from_millis(50),
        ..Tempo::default()
    }
}

async fn polling(bench: &Bench, tempo: Tempo) -> (Arc<Poller>, Arc<Heard>, tokio::task::JoinHandle<()>) {
    let (poller, heard) = (Poller::new(bench.emr().await, tempo), Arc::<Heard>::default());
    let task = tokio::spawn(poller.clone().run(heard.clone()));
    (poller, heard, task)
}

fn state(poller: &Poller, id: &RunId) -> Option<String> {
    poller.read(|rows| rows.get(id).map(|row| row.run.state.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_to_its_end_and_then_left_alone() {
    let bench = Bench::start(Lane::Controlled).await;
    let emr = bench.emr().await;
    let (poller, heard, task) = polling(&bench, quick()).await;
    until("the first walk", async || poller.read(Rows::is_synced)).await;
    let id = emr.start(Start { name: "a", token: "t", body: &body("a", "t") }).await.unwrap();
    for word in ["PENDING", "SUBMITTED", "RUNNING"] {
        bench.moto.advance("a", &Step::to(word, Duration::ZERO)).await.unwrap();
        until(word, async || state(&poller, &id).as_deref() == Some(word)).await;
    }
    assert_eq!(bench.moto.calls().await.unwrap().of("DescribeJobRun"), 0, "lists show what lives");
    let failed = Step::to("FAILED", Duration::ZERO).reason("USER_ERROR").details("exit 1");
    bench.moto.advance("a", &failed).await.unwrap();
    until("the end", async || state(&poller, &id).as_deref() == Some("FAILED")).await;
    let walks = poller.walks();
    until("more walks", async || poller.walks() > walks + 3).await;
    assert_eq!(bench.moto.calls().await.unwrap().of("DescribeJobRun"), 1);
    poller.read(|rows| {
        let row = rows.get(&id).unwrap();
        assert_eq!(
            (row.run.details.as_deref(), row.run.failure.as_deref()),
            (Some("exit 1"), Some("USER_ERROR"))
        );
        assert!(row.running_since.is_some());
    });
    let told: Vec<String> = heard.changed.lock().iter().map(|(_, state)| state.clone()).collect();
    assert_eq!(told, ["PENDING", "SUBMITTED", "RUNNING", "FAILED"]);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_walk_is_no_news_of_any_run() {
    let bench = Bench::start(Lane::Controlled).await;
    let ids = bench.moto.seed(&bench.made.id, "old", 150, "RUNNING", &json!({"origin": "us"})).await.unwrap();
    bench.moto.seed(&bench.made.id, "foreign", 20, "RUNNING", &json!({"origin": "them"})).await.unwrap();
    let (poller, heard, task) = polling(&bench, quick()).await;
    until("all runs", async || poller.read(Rows::count) == (150, 150)).await;
    let success = poller.last_success().unwrap();
    // The second page fails, for all tries of the SDK, again and again: half a list is none.
    bench.moto.inject(&Fault::on("ListJobRuns", What::Internal).after(1).always()).await.unwrap();
    until("failed walks", async || *heard.failed.lock() >= 2).await;
    assert_eq!(poller.read(Rows::count), (150, 150));
    let last = poller.last_success().unwrap();
    assert_eq!(bench.moto.calls().await.unwrap().of("DescribeJobRun"), 0);
    bench.moto.end_faults().await.unwrap();
    until("a walk again", async || poller.last_success().unwrap() > last).await;
    assert!(last >= success);
    assert!(ids.iter().all(|id| state(&poller, &RunId(id.clone())).is_some()));
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_history_is_gone_is_forgotten_after_a_grace_and_not_before() {
    let bench = Bench::start(Lane::Controlled).await;
    let ids = bench.moto.seed(&bench.made.id, "old", 2, "RUNNING", &json!({})).await.unwrap();
    let patience = Patience { gone: SignedDuration::from_secs(1), ..Patience::default() };
    let (poller, heard, task) = polling(&bench, Tempo { patience, ..quick() }).await;
    until("both runs", async || poller.read(Rows::count) == (2, 2)).await;
    bench.moto.remove_run(&ids[0]).await.unwrap();
    until("a look", async || bench.moto.calls().await.unwrap().of("DescribeJobRun") >= 2).await;
    until("its end", async || poller.read(Rows::count) == (1, 1)).await;
    assert_eq!(*heard.gone.lock(), [ids[0].clone()]);
    assert!(bench.moto.calls().await.unwrap().of("DescribeJobRun") >= 3, "one answer is not enough");
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_live_runs_cost_one_walk_an_interval() {
    const RUNS: u32 = 5_000;
    let bench = Bench::start(Lane::Controlled).await;
    bench.moto.script(&Script::run_on()).await.unwrap();
    bench.moto.seed(&bench.made.id, "old", RUNS, "RUNNING", &json!({})).await.unwrap();
    let tempo = Tempo { every: Duration::from_millis(200), jitter: Duration::ZERO, ..Tempo::default() };
    let (poller, _, task) = polling(&bench, tempo).await;
    until("all runs", async || poller.read(Rows::count).1 == RUNS as usize).await;
    until("two walks", async || poller.walks() >= 3).await;
    task.abort();
    let calls = bench.moto.calls().await.unwrap();
    // A page of moto has a hundred rows; the last walk was cut off.
    let pages = u64::from(RUNS / 100);
    let walks = poller.walks();
    println!("{RUNS} live runs: {} pages in {walks} walks", calls.of("ListJobRuns"));
    assert!(calls.of("ListJobRuns") <= walks * pages, "{} pages in {walks} walks", calls.of("ListJobRuns"));
    assert!(calls.of("ListJobRuns") >= (walks - 1) * pages);
    assert_eq!(calls.of("DescribeJobRun"), 0);
}
