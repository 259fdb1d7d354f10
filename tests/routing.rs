//! Weights hold exactly, through real control planes: at every prefix of the recorded placements each member is within
//! one job of its share, also with a router that is killed in between and with members that are fed slowly.
//!
//! A thousand jobs; `SPARK_ROUTER_ROUTING_JOBS=10000 cargo test -p spark-router --test routing -- --nocapture` runs ten
//! thousand and shows how they get on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod prefixes;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::audit::{Call, Mark};
use spark_router_testkit::operator::{Detail, Options, ScriptedOperator};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, USER, jobs, objects};
use spark_router_testkit::{Cluster, Error, Fleet};

use prefixes::{OPEN, Order, placement};
use scene::{PATIENCE, Watched, crds_only, member, patch, readiness, sure, time, uid};

const SHARES: [(&str, u32); 4] = [("m1", 40), ("m2", 30), ("m3", 20), ("m4", 10)];

const FAST: &str = "fast";
const PACED: &str = "paced";
/// Users that submit at the same time.
const USERS: usize = 8;

/// A rate that a burst notices: for each member ten a second after the first five.
const PER_MINUTE: u32 = 600;
const BURST: u32 = 5;
const IN_BURST: usize = 100;

fn count_of_jobs() -> usize {
    let Ok(text) = std::env::var("SPARK_ROUTER_ROUTING_JOBS") else { return 1000 };
    text.parse().unwrap_or_else(|_| panic!("SPARK_ROUTER_ROUTING_JOBS is {text:?}, which is no number"))
}

fn name_of(number: usize) -> String {
    format!("job-{number:06}")
}

fn job(namespace: &str, number: usize) -> Value {
    objects::job(namespace, &name_of(number), namespace, |_| {})
}

/// A placement as it was written.
fn written(call: &Call) -> Option<&Value> {
    let is_status = call.user == USER && call.resource == "routedsparkjobs" && call.subresource == "status";
    let status = call.request.as_ref().filter(|_| is_status && call.succeeded())?;
    status.pointer("/status/placement")
}

/// Every number that was ever on record in a queue, with its jobs.
fn ever_recorded(hub: &Cluster, queue: &str) -> BTreeMap<u64, BTreeSet<String>> {
    let mut recorded = BTreeMap::<_, BTreeSet<_>>::new();
    for call in sure(hub.audit().calls()) {
        if let Some(placement) = written(&call).filter(|placement| placement["queue"] == queue) {
            recorded.entry(placement["seq"].as_u64().unwrap()).or_default().insert(call.name.clone());
        }
    }
    recorded
}

async fn submit(installation: &Installation<'_>, namespace: &str, numbers: Range<usize>) {
    let submitted = stream::iter(numbers)
        .map(|number| async move { installation.submit(&job(namespace, number)).await.map(drop) });
    let submitted: Result<Vec<()>, Error> = submitted.buffer_unordered(USERS).try_collect().await;
    sure(submitted);
}

/// Waits until all of so many jobs are as wanted; tells every few seconds how many are.
async fn wait_for_each(
    hub: &Cluster,
    namespace: &str,
    what: &str,
    count: usize,
    wanted: impl Fn(&RoutedSparkJob) -> bool,
) -> BTreeMap<String, RoutedSparkJob> {
    const TELL: Duration = Duration::from_secs(5);
    let started = Instant::now();
    let mut told = started;
    let patience = PATIENCE + Duration::from_millis(100) * u32::try_from(count).unwrap();
    let all = jobs::wait_for_all(hub, namespace, what, patience, |jobs| {
        if told.elapsed() > TELL {
            told = Instant::now();
            let done = jobs.values().filter(|job| wanted(job)).count();
            eprintln!("{:>6.1?}: {done} of {count}: {what}", started.elapsed());
        }
        // The youngest are the last to get there.
        jobs.len() == count && jobs.values().rev().all(&wanted)
    });
    sure(all.await)
}

async fn is_placed(hub: &Cluster, number: usize) {
    let patience = PATIENCE + Duration::from_millis(100) * u32::try_from(number).unwrap();
    let name = name_of(number);
    sure(
        jobs::wait_for_all(hub, FAST, "placement", patience, |jobs| {
            jobs.get(&name).is_some_and(|job| placement(job).is_some())
        })
        .await,
    );
}

/// One application for each job, on the member that the record names.
fn assert_each_ran_once(fleet: &Fleet, all: &BTreeMap<String, RoutedSparkJob>) {
    let remote = sure(RemoteApplications::read(fleet.clusters()));
    assert_eq!(remote.max_per_job(), 1, "{:?}", remote.repeated().collect::<Vec<_>>());
    for job in all.values() {
        let clusters: Vec<_> = remote.of(&uid(job)).map(|application| application.cluster.as_str()).collect();
        assert_eq!(clusters, [jobs::cluster(job)], "{}", jobs::describe(job));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_hold_at_every_prefix() {
    let total = count_of_jobs();
    let started = Instant::now();
    let builder =
        SHARES.iter().fold(Fleet::builder().hub(), |it, (name, _)| it.member_with(name, crds_only()));
    let fleet = sure(builder.start().await);
    let hub = fleet.hub();
    let installation = sure(Installation::new(&fleet).await);
    let mut operators = Vec::new();
    for (name, _) in SHARES {
        let limits = json!({"limits": {"requestsPerSecond": 1000, "maxConcurrentRequests": 64}});
        sure(installation.member(name, limits).await);
        let options = Options { detail: Detail::Least, ..Options::default() };
        operators.push(ScriptedOperator::start(fleet.member(name).client(), options));
    }
    for queue in [FAST, PACED] {
        sure(installation.namespace(queue).await);
    }
    sure(hub.apply_manifest(&objects::queue(FAST, &objects::weights(&SHARES)).to_string()).await);
    let names = SHARES.map(|(name, _)| name);
    let mut router = Watched::start(&installation, &fleet, &[], &names).await;
    eprintln!("{:.1?}: the router and its members are ready", started.elapsed());

    // Killed when every decision is on record: nothing at all may be lost, checkpoint or not.
    let (calm, busy) = (total * 4 / 10, total * 7 / 10);
    let began = Instant::now();
    submit(&installation, FAST, 0..calm).await;
    let placed = wait_for_each(hub, FAST, "placed", calm, |job| placement(job).is_some());
    let all = router.kept(placed).await;
    let order = Order::of(&SHARES, all.values());
    order.assert_shares("before the first kill");
    let gaps = order.gaps();
    sure(router.0.restart());
    sure(router.0.wait_ready().await);

    // Killed in the middle of it.
    let killing = async {
        router.kept(is_placed(hub, busy)).await;
        sure(router.0.restart());
        sure(router.0.wait_ready().await);
    };
    tokio::join!(submit(&installation, FAST, calm..total), killing);
    let all = router.kept(wait_for_each(hub, FAST, "ended", total, jobs::is_finished)).await;
    let took = began.elapsed();
    eprintln!(
        "{:.1?}: {total} jobs took {took:.1?}, two kills and restarts included: {:.0} jobs a second",
        started.elapsed(),
        f64::from(u32::try_from(total).unwrap()) / took.as_secs_f64()
    );
    for job in all.values() {
        assert_eq!(jobs::phase(job), "Succeeded", "{}", jobs::describe(job));
    }
    let order = Order::of(&SHARES, all.values());
    order.assert_shares("all of them");
    let recorded = ever_recorded(hub, FAST);
    let (withdrawn, lost): (Vec<_>, Vec<_>) =
        order.gaps().into_iter().partition(|seq| recorded.contains_key(seq));
    eprintln!(
        "gaps: {} placements were taken back, {} decisions never got onto the record",
        withdrawn.len(),
        lost.len()
    );
    // One kill amid decisions, and every time that it ended by itself.
    let ends = 1 + sure(router.0.log()).lines().filter(|line| line.contains("spark-router stops")).count();
    let most = OPEN * u64::try_from(ends).unwrap();
    assert!(u64::try_from(lost.len()).unwrap() <= most, "more decisions were lost than were open: {lost:?}");
    // The kill between two bursts left no gap: only what was missing before it is missing up to there.
    let at_rest = u64::try_from(calm + gaps.len()).unwrap();
    assert!(!lost.iter().any(|seq| *seq <= at_rest && !gaps.contains(seq)), "lost at rest: {lost:?}");
    assert_each_ran_once(&fleet, &all);
    let mut refused = BTreeMap::<String, usize>::new();
    for cluster in fleet.clusters() {
        let calls = sure(cluster.audit().calls());
        for call in calls.iter().filter(|call| call.user == USER && call.code >= 400) {
            *refused.entry(format!("{} {} on {}", call.code, call.kind(), cluster.name())).or_default() += 1;
        }
    }
    eprintln!("{:.1?}: each ran once; calls of the router that were refused: {refused:?}", started.elapsed());

    a_rate_delays_and_moves_nothing(&fleet, &installation).await;
    sure(router.0.check());
    sure(fleet.check());
    eprintln!("{:.1?}: done", started.elapsed());
}

/// A burst that members may only be fed slowly: it takes its time, and every member has its share at every prefix.
async fn a_rate_delays_and_moves_nothing(fleet: &Fleet, installation: &Installation<'_>) {
    let hub = fleet.hub();
    for (name, _) in SHARES {
        let limits =
            json!({"dispatchesPerMinute": PER_MINUTE, "dispatchBurst": BURST, "submissionBacklog": 100});
        patch(hub, "mc", "", name, json!({"spec": {"limits": limits}})).await;
        member(hub, name, "seen with its new limits", |member| {
            let seen = member.status.as_ref().and_then(|status| status.observed_generation);
            seen == member.metadata.generation && readiness(member).0 == "True"
        })
        .await;
    }
    let mut queue = objects::queue(PACED, &objects::weights(&SHARES));
    objects::merge(&mut queue, json!({"spec": {"paused": true}}));
    sure(hub.apply_manifest(&queue.to_string()).await);
    submit(installation, PACED, 0..IN_BURST).await;
    wait_for_each(hub, PACED, "held by the pause", IN_BURST, |job| jobs::reason(job) == "QueuePaused").await;

    let mark = hub.audit().mark();
    let began = Instant::now();
    patch(hub, "sq", "", PACED, json!({"spec": {"paused": false}})).await;
    let all = wait_for_each(hub, PACED, "placed", IN_BURST, |job| placement(job).is_some()).await;
    let took = began.elapsed();
    let order = Order::of(&SHARES, all.values());
    order.assert_shares("a burst under a rate limit");
    assert_eq!(order.gaps(), BTreeSet::new(), "nothing was killed or taken back");

    let (waited, times) = rates(hub, mark);
    assert!(waited > 0, "no job was told that it waits for a rate limit");
    for (name, times) in &times {
        let (first, last) = (times.first().unwrap(), times.last().unwrap());
        eprintln!("{name}: {} placements over {}", times.len(), last.duration_since(*first));
    }
    // The largest share is what is waited for: all of it but the burst takes a tenth of a second each. Half a second of
    // grace, for the first of them may have been written late.
    let most = u32::try_from(times["m1"].len()).unwrap();
    let least = Duration::from_mins(1) / PER_MINUTE * (most - BURST);
    assert!(
        took + Duration::from_millis(500) > least,
        "{most} jobs were placed in {took:?}, sooner than {least:?}"
    );
    eprintln!(
        "{IN_BURST} jobs at {PER_MINUTE} a minute and member took {took:.1?}, at least {least:.1?}; {waited} were told so"
    );
}

/// How many jobs were told that they wait for a rate limit, and when jobs were placed on each member.
fn rates(hub: &Cluster, since: Mark) -> (usize, BTreeMap<String, Vec<Timestamp>>) {
    let (mut waited, mut times) = (BTreeSet::new(), BTreeMap::<String, Vec<_>>::new());
    let mut placed = BTreeSet::new();
    for call in sure(hub.audit().since(since)) {
        if let Some(placement) = written(&call) {
            if placed.insert(call.name.clone()) {
                let cluster = placement["cluster"].as_str().unwrap().to_owned();
                times.entry(cluster).or_default().push(time(&call.received));
            }
        } else if call.request.as_ref().is_some_and(|body| body["status"]["reason"] == "DispatchRate") {
            waited.insert(call.name);
        }
    }
    for times in times.values_mut() {
        times.sort_unstable();
    }
    (waited.len(), times)
}
