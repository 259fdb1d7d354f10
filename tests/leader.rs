//! Two routers on one hub, on real control planes: one leads, the other is warm and takes over, and where both lead at
//! once nothing runs twice.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod scene;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_api::names::JOB_UID_LABEL;
use spark_router_testkit::Fleet;
use spark_router_testkit::audit::{Call, Mark};
use spark_router_testkit::fault::{Action, FaultProxy, Gate, Outcome, Record, Rule};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{
    ACCOUNT, Installation, NAMESPACE, Router, RouterOptions, USER, jobs, objects,
};

use scene::{PATIENCE, Watched, crds_only, creates, succeeded, sure, time, uid, until};

const MEMBERS: [&str; 2] = ["m1", "m2"];
const TEAM: &str = "team";
const QUEUE: &str = "etl";

/// From the kill of the leader to the first write of the other: the lease of 10 s, seen within a second of its last
/// renewal, and what is to be done then.
const TAKE_OVER: Duration = Duration::from_secs(15);
/// From the request to stop to the first write of the other.
const HAND_OVER: Duration = Duration::from_secs(3);

/// A hub with two members that run whatever they are given.
struct Stage<'a> {
    fleet: &'a Fleet,
    installation: Installation<'a>,
    members: Vec<FaultProxy>,
    operators: Vec<ScriptedOperator>,
    started: Instant,
}

impl<'a> Stage<'a> {
    async fn set(fleet: &'a Fleet, started: Instant) -> Self {
        let installation = sure(Installation::new(fleet).await);
        let (mut members, mut operators) = (Vec::new(), Vec::new());
        for name in MEMBERS {
            let cluster = fleet.member(name);
            let proxy = sure(FaultProxy::start(cluster.server(), cluster.authority().certificate()).await);
            sure(installation.member_through(name, &proxy, json!({})).await);
            members.push(proxy);
            let options = Options { driver_pods: true, ..Options::default() };
            operators.push(ScriptedOperator::start(cluster.client(), options));
        }
        sure(installation.namespace(TEAM).await);
        let routes = objects::weights(&MEMBERS.map(|name| (name, 1)));
        sure(fleet.hub().apply_manifest(&objects::queue(QUEUE, &routes).to_string()).await);
        Self { fleet, installation, members, operators, started }
    }

    /// Starts a router with a way to the hub of its own.
    async fn router(&self, host: u8, arguments: &[&str]) -> Seat {
        let hub = self.fleet.hub();
        let way = sure(FaultProxy::start(hub.server(), hub.authority().certificate()).await);
        let token = sure(hub.token_for(NAMESPACE, ACCOUNT).await);
        let kubeconfig = sure(way.kubeconfig(&hub.kubeconfig_with_token(hub.server(), &token)));
        let path = hub.folder().join(format!("way-of-{host}.kubeconfig"));
        std::fs::write(&path, kubeconfig).unwrap();
        let options = RouterOptions {
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            environment: vec![("KUBECONFIG".to_owned(), path.to_string_lossy().into_owned())],
            host,
            ..RouterOptions::default()
        };
        let binary = Path::new(env!("CARGO_BIN_EXE_spark-router"));
        let router = Watched(sure(Router::start(self.fleet, binary, options).await));
        sure(router.0.wait_ready().await);
        Seat { router, way }
    }

    async fn submit(&self, job: &Value) -> RoutedSparkJob {
        sure(self.installation.submit(job).await)
    }

    /// Waits until so many jobs have ended, all of them well.
    async fn all_succeeded(&self, count: usize) -> BTreeMap<String, RoutedSparkJob> {
        let ended = |jobs: &BTreeMap<String, RoutedSparkJob>| {
            jobs.len() == count && jobs.values().all(jobs::is_finished)
        };
        let all = sure(jobs::wait_for_all(self.fleet.hub(), TEAM, "the end", PATIENCE, ended).await);
        for job in all.values() {
            assert_eq!(jobs::phase(job), "Succeeded", "{}", jobs::describe(job));
        }
        all
    }

    /// Each job has one application, one driver, and a status that tells of both.
    fn each_ran_once(&self, all: &BTreeMap<String, RoutedSparkJob>) {
        let remote = sure(RemoteApplications::read(self.fleet.clusters()));
        assert!(remote.max_per_job() == 1, "run twice: {:?}", remote.repeated().collect::<Vec<_>>());
        assert_eq!((remote.jobs(), remote.created()), (all.len(), all.len()));
        let mut drivers = BTreeMap::<String, usize>::new();
        for name in MEMBERS {
            for call in sure(self.fleet.member(name).audit().calls()) {
                if call.resource == "pods"
                    && call.created_uid().is_some()
                    && let Some(job) = call.label(JOB_UID_LABEL)
                {
                    *drivers.entry(job.to_owned()).or_default() += 1;
                }
            }
        }
        for job in all.values() {
            let shown = jobs::describe(job);
            assert_eq!(drivers.get(&uid(job)), Some(&1), "driver pods of {shown}");
            let application = remote.of(&uid(job)).next().unwrap();
            let placement = job.status.as_ref().and_then(|status| status.placement.as_ref()).unwrap();
            assert_eq!(placement.remote_uid.as_ref(), Some(&application.uid), "{shown}");
            assert_eq!(
                (&placement.cluster, jobs::cluster(job)),
                (&application.cluster, &*application.cluster)
            );
        }
        for seen in self.operators.iter().flat_map(|operator| operator.seen().into_values()) {
            assert_eq!((seen.submits, seen.drivers), (1, 1), "{seen:?}");
        }
    }

    /// What a router did on the hub after a moment, reading and the lease left out: the first of it, and all lists before.
    fn first_write(&self, mark: Mark, after: Timestamp) -> Option<(Call, Vec<Call>)> {
        let calls = sure(self.fleet.hub().audit().since(mark));
        let mut calls: Vec<_> =
            calls.into_iter().filter(|call| call.user == USER && time(&call.received) > after).collect();
        calls.sort_by_key(|call| time(&call.received));
        let is_write = |call: &Call| {
            call.resource != "leases" && matches!(&*call.verb, "create" | "update" | "patch" | "delete")
        };
        let at = calls.iter().position(is_write)?;
        let lists = calls[..at].iter().filter(|call| call.verb == "list").cloned().collect();
        Some((calls[at].clone(), lists))
    }

    fn say(&self, what: &str) {
        eprintln!("{:.1?}: {what}", self.started.elapsed());
    }
}

/// A router and its way to the hub.
struct Seat {
    router: Watched,
    way: FaultProxy,
}

impl Seat {
    async fn leads(&self) -> bool {
        let metrics = sure(self.router.0.metrics().await);
        let leads = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let stock = leads("leader_election_master_status{name=\"spark-router\"}");
        assert_eq!(leads("sparkrouter_leading"), stock, "{metrics}");
        match stock {
            Some("1") => true,
            Some("0") => false,
            other => panic!("it leads and it does not: {other:?}"),
        }
    }

    async fn wait_leads(&self) {
        until("a leader", async || if self.leads().await { Ok(()) } else { Err("it stands by") }).await;
    }
}

/// A job that runs for so long.
fn job(name: &str, run: Duration) -> Value {
    objects::job(TEAM, name, QUEUE, |template| {
        objects::annotate(template, "run-ms", &run.as_millis().to_string());
    })
}

fn between(from: Timestamp, call: &Call) -> Duration {
    Duration::try_from(time(&call.received).duration_since(from)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_other_takes_over() {
    let started = Instant::now();
    let fleet = sure(
        Fleet::builder().hub().member_with("m1", crds_only()).member_with("m2", crds_only()).start().await,
    );
    let stage = Stage::set(&fleet, started).await;
    let mut first = stage.router(251, &[]).await;
    first.wait_leads().await;
    let mut second = stage.router(252, &[]).await;
    sure(stage.installation.wait_members(&MEMBERS, PATIENCE).await);
    stage.say("one leads, the other is ready and stands by");
    assert!(first.leads().await && !second.leads().await);
    succeeded_after(&stage, "warm").await;

    let killed = the_leader_is_killed(&stage, &first, &second).await;
    sure(first.router.0.restart());
    sure(first.router.0.wait_ready().await);
    assert!(second.leads().await && !first.leads().await, "it stands by when it is back");

    let stopped = the_leader_is_stopped(&stage, &second, &first, killed).await;
    sure(second.router.0.restart());
    sure(second.router.0.wait_ready().await);
    assert!(first.leads().await && !second.leads().await);

    the_leader_is_frozen_before_a_create(&stage, &first, &second, stopped).await;
    second.router.0.check().unwrap();
    sure(second.router.0.terminate().await);
    sure(fleet.check());
    stage.say("done");
}

/// The API servers take seconds over the first objects of a kind: that is not what is measured.
async fn succeeded_after(stage: &Stage<'_>, name: &str) {
    stage.submit(&job(name, Duration::from_millis(100))).await;
    succeeded(stage.fleet.hub(), TEAM, name).await;
}

/// SIGKILL: the other leads when the lease has lapsed, from caches that were warm all along. Returns how many jobs there
/// are.
async fn the_leader_is_killed(stage: &Stage<'_>, leader: &Seat, other: &Seat) -> usize {
    let hub = stage.fleet.hub();
    for number in 0..8 {
        stage.submit(&job(&format!("k-{number}"), Duration::from_secs(6))).await;
    }
    scene::running(hub, TEAM, "k-7").await;
    // It had all this time to write: it has not even sent an event.
    let before = other.way.records();
    let written: Vec<_> = before.iter().filter(|it| changes(it) && !it.path.contains("/leases")).collect();
    assert!(written.is_empty(), "written by a router that stands by: {written:?}");

    let mark = hub.audit().mark();
    sure(leader.router.0.kill());
    let killed = Timestamp::now();
    for number in 8..12 {
        stage.submit(&job(&format!("k-{number}"), Duration::from_secs(1))).await;
    }
    let first = format!("a write after the kill at {killed}");
    let (write, lists) = until(&first, async || stage.first_write(mark, killed).ok_or("none yet")).await;
    let took = between(killed, &write);
    stage.say(&format!("killed; first write of the other after {took:.1?}: {}", write.kind()));
    assert!(took <= TAKE_OVER, "{took:?}: {write:?}");
    assert!(lists.is_empty(), "its caches were cold: {lists:?}");
    assert!(other.leads().await);
    let all = stage.all_succeeded(13).await;
    stage.each_ran_once(&all);
    stage.say("all jobs have ended, each ran once");
    all.len()
}

/// SIGTERM: the lease is given back.
async fn the_leader_is_stopped(stage: &Stage<'_>, leader: &Seat, other: &Seat, jobs: usize) -> usize {
    let hub = stage.fleet.hub();
    stage.submit(&job("t-0", Duration::from_secs(2))).await;
    scene::running(hub, TEAM, "t-0").await;
    let mark = hub.audit().mark();
    let asked = Timestamp::now();
    let ended = sure(leader.router.0.terminate().await);
    // Whatever is written from here on is the other's.
    let gone = Timestamp::now();
    assert!(ended.success(), "{ended}");
    stage.submit(&job("t-1", Duration::from_millis(500))).await;
    let (write, lists) =
        until("a write after the stop", async || stage.first_write(mark, gone).ok_or("none yet")).await;
    let took = between(asked, &write);
    let stopping = Duration::try_from(gone.duration_since(asked)).unwrap();
    stage.say(&format!(
        "stopped in {stopping:.1?}; first write of the other after {took:.1?}: {}",
        write.kind()
    ));
    assert!(took <= HAND_OVER, "{took:?}: {write:?}");
    assert!(lists.is_empty(), "its caches were cold: {lists:?}");
    assert!(other.leads().await);
    let all = stage.all_succeeded(jobs + 2).await;
    stage.each_ran_once(&all);
    all.len()
}

/// SIGSTOP with one job between the commit of its placement and its create, and the create of another one on its way.
/// When the old leader wakes up, its lease is over: the one create is never sent, the other comes second.
async fn the_leader_is_frozen_before_a_create(stage: &Stage<'_>, leader: &Seat, other: &Seat, jobs: usize) {
    let (placed, sent) = (Gate::new(), Gate::new());
    let on_record = |status: &Value| status["placement"].is_object();
    leader.way.add(
        Rule::new(Action::HoldAnswer(placed.clone()))
            .method("PATCH")
            .containing("/routedsparkjobs/placed/status")
            .when(move |asked| {
                on_record(&serde_json::from_slice::<Value>(&asked.body).unwrap_or_default()["status"])
            }),
    );
    let rules: Vec<_> = stage
        .members
        .iter()
        .map(|way| {
            let hold = Rule::new(Action::HoldThenForward(sent.clone()));
            (way, way.add(hold.method("POST").containing("/sparkapplications").body("\"sent\"").first(1)))
        })
        .collect();
    for (name, gate) in [("sent", &sent), ("placed", &placed)] {
        stage.submit(&job(name, Duration::from_millis(500))).await;
        let caught = tokio::time::timeout(PATIENCE, gate.wait_arrived(1)).await;
        assert!(caught.is_ok(), "{name} was not caught");
        if name == "sent" {
            // The other one's create shall pass.
            for (way, rule) in &rules {
                way.remove(*rule);
            }
        }
    }
    sure(leader.router.0.pause());
    let marks = MEMBERS.map(|name| stage.fleet.member(name).audit().mark());
    stage.say("the leader is frozen in front of a create");
    other.wait_leads().await;
    let all = stage.all_succeeded(jobs + 2).await;
    stage.each_ran_once(&all);
    stage.say("the other one leads and has run both jobs");

    // What it had sent before is through by now.
    let asleep = leader.way.requests();
    sure(leader.router.0.resume());
    placed.open();
    sent.open();
    until("the end of the old leader", async || leader.router.0.process().ended().ok_or("it runs")).await;
    let ended = leader.router.0.process().ended().unwrap();
    assert!(!ended.success(), "it lost the lease: {ended}");
    let log = leader.router.0.log_tail(20);
    assert!(log.contains("the lease spark-router/spark-router is lost: "), "{log}");
    let late: Vec<_> = leader.way.records().into_iter().filter(|it| it.id >= asleep && changes(it)).collect();
    assert!(late.is_empty(), "sent by a leader whose time was over: {late:?}");

    let (way, held) = rules
        .iter()
        .find(|(way, rule)| way.records().iter().any(|record| record.rule == Some(*rule)))
        .unwrap();
    let held = *held;
    let answered =
        move |it: &Record| it.rule == Some(held) && !matches!(it.outcome, Outcome::Pending | Outcome::Held);
    let answer = sure(way.wait_for(answered, PATIENCE).await);
    stage.say(&format!("the old leader has ended; its create that was on its way: {:?}", answer.outcome));
    let sent: Vec<_> = MEMBERS
        .iter()
        .zip(marks)
        .flat_map(|(name, mark)| creates(stage.fleet.member(name), mark))
        .map(|call| call.code)
        .collect();
    assert_eq!(sent.iter().filter(|code| **code == 201).count(), 2, "{sent:?}");
    assert!(sent.iter().all(|code| matches!(code, 201 | 409)), "{sent:?}");
    assert!(sent.len() <= 3, "two by the new leader, and the one that was on its way: {sent:?}");
    let all = stage.all_succeeded(jobs + 2).await;
    stage.each_ran_once(&all);
}

fn changes(record: &Record) -> bool {
    record.method != "GET"
}

/// What the lease is there to save is calls. Without it two routers do everything twice, and no job runs twice.
#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_at_once_run_no_job_twice() {
    const JOBS: usize = 60;
    let started = Instant::now();
    let fleet = sure(
        Fleet::builder().hub().member_with("m1", crds_only()).member_with("m2", crds_only()).start().await,
    );
    let stage = Stage::set(&fleet, started).await;
    let alone = ["--lease=false"];
    let (first, second) = tokio::join!(stage.router(251, &alone), stage.router(252, &alone));
    sure(stage.installation.wait_members(&MEMBERS, PATIENCE).await);
    assert!(first.leads().await && second.leads().await, "nobody asks for the lease");
    stage.say("two routers lead");
    for number in 0..JOBS {
        let run = Duration::from_millis(200 + u64::try_from(number % 7).unwrap() * 300);
        stage.submit(&job(&format!("job-{number}"), run)).await;
    }
    let all = stage.all_succeeded(JOBS).await;
    stage.each_ran_once(&all);
    let placed = |cluster: &str| all.values().filter(|job| jobs::cluster(job) == cluster).count();
    let conflicts = sure(fleet.hub().audit().calls());
    let conflicts = conflicts.iter().filter(|call| call.user == USER && call.code == 409).count();
    let twice: usize = MEMBERS
        .iter()
        .map(|name| creates(fleet.member(name), Mark::default()).iter().filter(|it| it.code == 409).count())
        .sum();
    stage.say(&format!(
        "{JOBS} jobs on {MEMBERS:?}: {:?}; {conflicts} writes lost their race, {twice} creates came second",
        MEMBERS.map(placed)
    ));
    assert!(conflicts > 0, "the two never met: this shows nothing");
    let leases = sure(fleet.hub().audit().calls()).into_iter().filter(|call| call.user == USER);
    assert_eq!(leases.filter(|call| call.resource == "leases").count(), 0);
    for seat in [&first, &second] {
        assert!(sure(seat.router.0.terminate().await).success());
    }
    sure(fleet.check());
    stage.say("done");
}
