//! What a job costs: the router's calls to hub and members over its whole life, by the audit logs.
//!
//! Five hundred jobs with ten executors each go through three members, from their create to the deletion of the job and of
//! its application. Then, with live jobs, the router is watched doing nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, SparkApplicationView};
use spark_router_testkit::audit::{Call, Mark};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::oracle::{Purpose, RemoteApplications, RouterCalls};
use spark_router_testkit::router::{Installation, USER, jobs, objects};
use spark_router_testkit::{Cluster, Error, Fleet, chain};
use tokio::sync::mpsc;

use scene::{PATIENCE, Watched, crds_only, sure};

const MEMBERS: [(&str, u32); 3] = [("m1", 50), ("m2", 30), ("m3", 20)];
const TEAM: &str = "team";
const QUEUE: &str = "etl";

/// Both kinds of jobs together.
const JOBS: usize = 500;
/// Those that run until the test ends them.
const LIVE: usize = 100;
const EXECUTORS: u32 = 10;

/// What one job may cost, without events and executor counts. The design's budget.
const BUDGET: f64 = 10.0;

/// How long the router is watched doing nothing.
const QUIET: Duration = Duration::from_secs(12);

/// Users that submit at the same time.
const USERS: usize = 8;

fn job(number: usize) -> Value {
    let live = number < LIVE;
    let name = format!("{}-{number}", if live { "live" } else { "short" });
    objects::job(TEAM, &name, QUEUE, |template| {
        objects::merge(template, json!({"spec": {"executor": {"instances": EXECUTORS}}}));
        if live {
            objects::annotate(template, "script", "hang-running");
        }
        objects::annotate(template, "run-ms", "8000");
    })
}

fn is_short(application: &str) -> bool {
    application.starts_with("short-")
}

fn is_staffed(application: &SparkApplicationView) -> bool {
    let status = application.status.as_ref();
    status.is_some_and(|it| it.application_state.state == "RUNNING" && it.executors.running == EXECUTORS)
}

/// Gives three executors back as Spark does, one after the other: counts that change without the state. False for an
/// application that was over before.
async fn shrink(member: &Cluster, application: &str) -> bool {
    let api = jobs::applications_in(member.client(), TEAM);
    let Some(seen) = api.get_opt(application).await.unwrap() else { return false };
    let status = &seen.data["status"];
    let executors = status["executorState"].as_object().unwrap();
    for executor in executors.keys().take(3).filter(|_| status["applicationState"]["state"] == "RUNNING") {
        let change = json!({"status": {"executorState": {executor.as_str(): "COMPLETED"}}});
        match api.patch_status(application, &PatchParams::default(), &Patch::Merge(&change)).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if answer.is_not_found() => return false,
            Err(error) => panic!("{application} on {}: {error}", member.name()),
        }
    }
    status["applicationState"]["state"] == "RUNNING"
}

/// Shrinks short applications, each as soon as all its executors run, for as long as it is asked to; counts them.
async fn shrink_all(fleet: &Fleet, shrunk: &AtomicUsize) {
    let (found, staffed) = mpsc::unbounded_channel();
    let looking = MEMBERS.map(|(name, _)| {
        let (found, member) = (found.clone(), fleet.member(name));
        async move {
            let mut known = BTreeSet::new();
            let look = |applications: &BTreeMap<String, SparkApplicationView>| {
                for (application, view) in applications {
                    if is_short(application) && is_staffed(view) && known.insert(application.clone()) {
                        // Whoever listens has enough.
                        let _ = found.send((member, application.clone()));
                    }
                }
                false
            };
            jobs::wait_for_applications(member, "all executors", 2 * PATIENCE, look).await
        }
    });
    let staffed = stream::unfold(staffed, |mut staffed| async { Some((staffed.recv().await?, staffed)) });
    let shrinking = staffed.for_each_concurrent(USERS, |(member, application)| async move {
        if shrink(member, &application).await {
            shrunk.fetch_add(1, Ordering::Relaxed);
        }
    });
    tokio::select! {
        () = shrinking => {}
        ended = future::join_all(looking) => {
            let errors: Vec<_> = ended.into_iter().filter_map(|ended| ended.err().map(|error| chain(&error))).collect();
            panic!("{errors:?}")
        }
    }
}

/// The operator's last word on a job that runs until it is told.
async fn end_live(fleet: &Fleet) {
    let end = json!({"status": {"applicationState": {"state": "COMPLETED"}, "terminationTime": "2026-01-01T00:00:00Z"}});
    for (name, _) in MEMBERS {
        let api = jobs::applications_in(fleet.member(name).client(), TEAM);
        for application in api.list(&ListParams::default()).await.unwrap() {
            let patch = Patch::Merge(&end);
            api.patch_status(&application.name_any(), &PatchParams::default(), &patch).await.unwrap();
        }
    }
}

/// What the router asked of every cluster since the marks, watches left out: they are how it does nothing. So does the
/// lease, which is renewed by the clock.
fn asked(marks: &[(&Cluster, Mark)]) -> Vec<String> {
    let mut asked = Vec::new();
    for (cluster, mark) in marks {
        let calls = sure(cluster.audit().since(*mark));
        let is_quiet = |call: &&Call| call.verb == "watch" || call.resource == "leases";
        let ours = calls.iter().filter(|call| call.user == USER && !is_quiet(call));
        asked.extend(
            ours.map(|call| format!("{} {} {}/{}", cluster.name(), call.kind(), call.namespace, call.name)),
        );
    }
    asked
}

/// Phase and reason of a job's status as written, and the state of the application.
fn status_written(call: &Call) -> Option<String> {
    let status = call.request.as_ref()?.get("status").filter(|_| call.resource == "routedsparkjobs")?;
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let [phase, reason, state] =
        [&status["phase"], &status["reason"], &status["application"]["state"]].map(text);
    Some(format!("{phase:<10} {reason:<12} application {state}"))
}

fn marks(fleet: &Fleet) -> Vec<(&Cluster, Mark)> {
    fleet.clusters().map(|cluster| (cluster, cluster.audit().mark())).collect()
}

/// Returns after a time without any call. What may still come at first is what is never in a hurry: events that wait
/// their turn, and members and queues that are counted anew some seconds after the last change.
async fn wait_until_quiet(fleet: &Fleet, started: Instant) {
    let began = Instant::now();
    loop {
        let before = marks(fleet);
        tokio::time::sleep(QUIET).await;
        let asked = asked(&before);
        let calls = RouterCalls::read(before).unwrap();
        if asked.is_empty() {
            let renewals = calls.total(Purpose::Lease);
            eprintln!(
                "{:.1?}: {LIVE} live jobs cost no call in {QUIET:?}, the lease {renewals}",
                started.elapsed()
            );
            assert!(
                u64::try_from(renewals).unwrap() <= QUIET.as_secs() + 1,
                "{renewals} calls about the lease"
            );
            return;
        }
        print(&calls);
        for purpose in [Purpose::Job, Purpose::ExecutorCounts] {
            assert_eq!(calls.total(purpose), 0, "{purpose:?}, with nothing new: {asked:#?}");
        }
        assert!(began.elapsed() < PATIENCE, "with nothing new, the router goes on asking: {asked:#?}");
    }
}

fn print(calls: &RouterCalls) {
    calls.lines().for_each(|line| eprintln!("{line}"));
}

fn executors(job: &RoutedSparkJob) -> u32 {
    jobs::application(job).and_then(|it| it.executors.as_ref()).map_or(0, |counts| counts.running)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_costs_ten_calls_and_a_live_one_none() {
    let started = Instant::now();
    let mut builder = Fleet::builder().hub();
    for (name, _) in MEMBERS {
        builder = builder.member_with(name, crds_only());
    }
    let fleet = sure(builder.start().await);
    let hub = fleet.hub();
    let installation = sure(Installation::new(&fleet).await);
    let mut operators = Vec::new();
    for (name, _) in MEMBERS {
        sure(installation.member(name, json!({"retention": "1s"})).await);
        operators.push(ScriptedOperator::start(fleet.member(name).client(), Options::default()));
    }
    sure(installation.namespace(TEAM).await);
    let queue = objects::queue(QUEUE, &objects::weights(&MEMBERS));
    sure(hub.apply_manifest(&queue.to_string()).await);
    let names = MEMBERS.map(|(name, _)| name);
    let mut router = Watched::start(&installation, &fleet, &["--retention-floor=1s"], &names).await;
    eprintln!("{:.1?}: the router and its members are ready", started.elapsed());

    let all_marks = marks(&fleet);
    let submitting = async {
        let submitted = stream::iter(0..JOBS).map(|number| {
            let installation = &installation;
            async move { installation.submit(&job(number)).await }
        });
        let submitted: Result<Vec<_>, Error> = submitted.buffer_unordered(USERS).try_collect().await;
        sure(submitted);
        eprintln!("{:.1?}: {JOBS} jobs are submitted", started.elapsed());
    };
    let is_settled = |name: &str, job: &RoutedSparkJob| {
        let is_staffed = || jobs::phase(job) == "Running" && executors(job) == EXECUTORS;
        if is_short(name) { jobs::is_finished(job) } else { is_staffed() }
    };
    let waits = Mutex::new(Vec::new());
    let settled = |jobs: &BTreeMap<String, RoutedSparkJob>| {
        let unsettled = jobs.iter().filter(|(name, job)| !is_settled(name, job));
        let unsettled: Vec<_> = unsettled
            .map(|(_, job)| format!("{}; {} executors", jobs::describe(job), executors(job)))
            .collect();
        let all = jobs.len() == JOBS && unsettled.is_empty();
        *waits.lock().unwrap() = unsettled;
        all
    };
    let course = async {
        submitting.await;
        let what = "the short ones' end, the others' executors";
        let waited = jobs::wait_for_all(hub, TEAM, what, PATIENCE, settled).await;
        assert!(waited.is_ok(), "{what}, after {PATIENCE:?} without: {:#?}", waits.lock().unwrap());
    };
    let shrunk = AtomicUsize::new(0);
    tokio::select! {
        () = router.kept(course) => {}
        () = shrink_all(&fleet, &shrunk) => panic!("nobody looks for executors any more"),
    }
    let shrunk = shrunk.into_inner();
    eprintln!("{:.1?}: {} have ended, {LIVE} run", started.elapsed(), JOBS - LIVE);
    eprintln!("{shrunk} jobs gave executors back while they ran");
    assert!(shrunk > (JOBS - LIVE) / 2, "only {shrunk} jobs changed their counts");
    for name in names {
        let retired = |left: &BTreeMap<String, SparkApplicationView>| !left.keys().any(|name| is_short(name));
        sure(jobs::wait_for_applications(fleet.member(name), "retention", PATIENCE, retired).await);
    }

    wait_until_quiet(&fleet, started).await;

    end_live(&fleet).await;
    let ended =
        |jobs: &BTreeMap<String, RoutedSparkJob>| jobs.len() == JOBS && jobs.values().all(jobs::is_finished);
    let all = sure(jobs::wait_for_all(hub, TEAM, "the end", PATIENCE, ended).await);
    for job in all.values() {
        assert_eq!(jobs::phase(job), "Succeeded", "{}", jobs::describe(job));
    }
    for name in names {
        sure(jobs::wait_for_applications(fleet.member(name), "the end", PATIENCE, BTreeMap::is_empty).await);
    }
    sure(jobs::delete_all::<RoutedSparkJob>(hub, TEAM, PATIENCE).await);
    eprintln!("{:.1?}: all jobs and applications are gone", started.elapsed());

    let remote = RemoteApplications::read(fleet.clusters()).unwrap();
    assert_eq!((remote.jobs(), remote.created(), remote.max_per_job()), (JOBS, JOBS, 1));
    let (mut refused, mut said) = (Vec::new(), BTreeMap::<String, usize>::new());
    for (cluster, mark) in &all_marks {
        let calls = sure(cluster.audit().since(*mark));
        for call in calls.iter().filter(|call| call.user == USER && call.verb != "watch") {
            if call.code >= 400 {
                refused.push(format!("{} {} on {}", call.code, call.kind(), cluster.name()));
            }
            if let Some(status) = status_written(call) {
                *said.entry(status).or_default() += 1;
            }
        }
    }
    let calls = RouterCalls::read(all_marks).unwrap();
    eprintln!("calls of the router for {JOBS} jobs with {EXECUTORS} executors each, whole life:");
    print(&calls);
    let per_job = calls.per_job(JOBS);
    eprintln!(
        "{per_job:.2} a job; beside them {} events, {} writes of executor counts; {} calls were refused: {refused:?}",
        calls.total(Purpose::Event),
        calls.total(Purpose::ExecutorCounts),
        refused.len()
    );
    assert!(per_job <= BUDGET, "{per_job:.2} calls a job, of {BUDGET} at most");
    eprintln!("what the writes of statuses said:");
    for (status, count) in &said {
        eprintln!("{count:>6}  {status}");
    }
    // A member that is slow for a second is left alone for a while, and what was not sent there goes elsewhere: that is
    // the one reason here to write that a job waits.
    let waited = said.keys().find(|status| status.starts_with("Queued") && !status.contains("Withdrawn"));
    assert_eq!(waited, None, "jobs that were placed at once were written as Queued first");

    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
    eprintln!("{:.1?}: done", started.elapsed());
}
