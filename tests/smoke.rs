//! The router's first promise, on real control planes: a job that is applied on the hub runs on one member, its end is
//! seen on the hub, and nothing is left of it when it is deleted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, condition};
use spark_router_testkit::router::oracle::{Purpose, RemoteApplications, RouterCalls};
use spark_router_testkit::router::{Installation, Router, RouterOptions, jobs, objects};
use spark_router_testkit::{Error, Fleet, MemberOptions, chain};

/// On a machine that compiles beside.
const PATIENCE: Duration = Duration::from_mins(2);

const MEMBERS: [&str; 2] = ["m1", "m2"];

/// The value, or the end of the test with what the router said last.
fn sure<T>(result: Result<T, Error>, router: &Router) -> T {
    result.unwrap_or_else(|error| panic!("{}\nthe router said:\n{}", chain(&error), router.log_tail(40)))
}

fn failing(template: &mut Value) {
    objects::merge(
        template,
        json!({"spec": {"type": "Python", "mainApplicationFile": "local:///opt/spark/job.py"}}),
    );
    objects::annotate(template, "exit-code", "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_on_members_and_their_ends_come_back() {
    let started = Instant::now();
    let fleet = Fleet::builder()
        .hub()
        .member_with("m1", MemberOptions::spark())
        .member_with("m2", MemberOptions::spark())
        .start()
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let hub = fleet.hub();
    eprintln!("{:?}: control planes are ready", started.elapsed());

    let installation = Installation::new(&fleet).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    for member in MEMBERS {
        installation.member(member, json!({})).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }
    installation.namespace("team").await.unwrap();
    let queue = objects::queue("etl", &objects::weights(&[("m1", 50), ("m2", 50)]));
    hub.apply_manifest(&queue.to_string()).await.unwrap_or_else(|error| panic!("{}", chain(&error)));

    let binary = Path::new(env!("CARGO_BIN_EXE_spark-router"));
    let start = Instant::now();
    let router = Router::start(&fleet, binary, RouterOptions::default()).await.unwrap();
    sure(router.wait_ready().await, &router);
    // A second when the machine is idle; a wake-up that is lost at the start costs a minute.
    assert!(start.elapsed() < Duration::from_secs(30), "ready only after {:?}", start.elapsed());
    sure(installation.wait_members(&MEMBERS, PATIENCE).await, &router);
    eprintln!("{:?}: the router and its members are ready", started.elapsed());

    let marks = fleet.clusters().map(|cluster| (cluster, cluster.audit().mark())).collect::<Vec<_>>();
    for name in ["one", "two", "three"] {
        sure(installation.submit(&objects::job("team", name, "etl", |_| {})).await, &router);
    }
    sure(installation.submit(&objects::job("team", "broken", "etl", failing)).await, &router);

    // As a script of a user would wait.
    let wait = ["wait", "--for=condition=Finished", "rsj", "--all", "-n", "team", "--timeout=120s"];
    sure(hub.kubectl(&wait).await, &router);
    eprintln!("{:?}: all jobs have ended", started.elapsed());
    let wait =
        ["wait", "--for=condition=Succeeded", "rsj", "one", "two", "three", "-n", "team", "--timeout=1s"];
    sure(hub.kubectl(&wait).await, &router);

    let all =
        sure(jobs::wait_for_all(hub, "team", "the list", PATIENCE, |jobs| jobs.len() == 4).await, &router);
    for job in all.values() {
        let expected = if job.name_any() == "broken" { "Failed" } else { "Succeeded" };
        assert_eq!(jobs::phase(job), expected, "{}", jobs::describe(job));
        let application = jobs::application(job).unwrap();
        assert!(application.id.as_deref().is_some_and(|id| id.starts_with("spark-")), "{application:?}");
        assert!(application.started_at.is_some() && application.finished_at.is_some(), "{application:?}");
    }
    let broken = jobs::application(&all["broken"]).unwrap();
    let error = broken.error.as_deref().unwrap_or_default();
    assert!(error.contains("ValueError: column 'amount' is missing"), "{error}");
    assert!(!jobs::is_true(&all["broken"], condition::SUCCEEDED));

    // Equal weights, four jobs: two each, each of them once, by the members' own word.
    let remote = RemoteApplications::read(fleet.clusters()).unwrap();
    assert_eq!((remote.jobs(), remote.created(), remote.max_per_job()), (4, 4, 1));
    for member in MEMBERS {
        let placed = all.values().filter(|job| jobs::cluster(job) == member).count();
        assert_eq!(placed, 2, "{member}");
        let applications = jobs::applications(fleet.member(member)).await.unwrap();
        assert_eq!(applications.len(), 2, "{member}");
    }

    let calls = RouterCalls::read(marks).unwrap();
    calls.lines().for_each(|line| eprintln!("{line}"));
    assert!(calls.total(Purpose::Job) > 0);
    let metrics = sure(router.metrics().await, &router);
    assert!(metrics.contains("sparkrouter_api_calls"), "{metrics}");
    let wide = sure(hub.kubectl(&["get", "rsj", "-n", "team", "-o", "wide"]).await, &router);
    eprintln!("{wide}");

    // Deleted, finished jobs take their remote applications with them, and those their pods.
    sure(jobs::delete_all::<RoutedSparkJob>(hub, "team", PATIENCE).await, &router);
    for member in MEMBERS.map(|name| fleet.member(name)) {
        let gone = jobs::wait_for_applications(member, "the end", PATIENCE, BTreeMap::is_empty).await;
        sure(gone, &router);
        let pods: Api<Pod> = Api::namespaced(member.client(), "team");
        for driver in pods.list(&kube::api::ListParams::default()).await.unwrap() {
            sure(jobs::wait_gone(pods.clone(), &driver.name_any(), PATIENCE).await, &router);
        }
    }
    eprintln!("{:?}: nothing is left", started.elapsed());

    // So does one that is still running.
    let endless =
        objects::job("team", "endless", "etl", |template| objects::annotate(template, "run-ms", "600000"));
    sure(installation.submit(&endless).await, &router);
    sure(jobs::wait_for_phase(hub, "team", "endless", "Running", PATIENCE).await, &router);
    sure(jobs::delete_all::<RoutedSparkJob>(hub, "team", PATIENCE).await, &router);
    for member in MEMBERS.map(|name| fleet.member(name)) {
        assert_eq!(jobs::applications(member).await.unwrap().len(), 0, "gone from the hub means fenced");
        let pods: Api<Pod> = Api::namespaced(member.client(), "team");
        let drivers = pods.list(&kube::api::ListParams::default().labels("spark-role=driver")).await.unwrap();
        assert_eq!(drivers.items.len(), 0, "no driver runs beyond the fence");
    }

    let status = sure(router.terminate().await, &router);
    assert!(status.success(), "{status}: {}", router.log_tail(20));
    fleet.check().unwrap_or_else(|error| panic!("{}", chain(&error)));
    eprintln!("{:?}: done", started.elapsed());
}
