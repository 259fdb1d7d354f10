//! What the tests of the whole router have in common: a fleet that is set up as an administrator would, and questions to
//! ask of it.
//!
//! Purpose: keep the tests to what they are about. Owns the router while a test runs, and shows the end of its log when
//! the test fails. It must never know more than a user with kubectl and the audit logs could.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::panic, reason = "a test ends at what it did not expect")]

use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spark_router_api::condition::{self, READY};
use spark_router_api::{MemberCluster, RoutedSparkJob};
use spark_router_testkit::audit::{Call, Mark};
use spark_router_testkit::fleet::OperatorKind;
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, Router, RouterOptions, USER, jobs, objects};
use spark_router_testkit::{Cluster, Error, Fleet, MemberOptions, chain};

/// How long anything may take, on a machine that compiles beside.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The value, or the end of the test.
pub(crate) fn sure<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// A member with the definitions of the Spark operator, for a scripted one.
pub(crate) fn crds_only() -> MemberOptions {
    MemberOptions { operator: OperatorKind::CrdsOnly, ..MemberOptions::default() }
}

/// A hub and the members m1 and m2, for scripted operators.
pub(crate) async fn two_members() -> Fleet {
    let builder = Fleet::builder().hub().member_with("m1", crds_only()).member_with("m2", crds_only());
    sure(builder.start().await)
}

/// Scripted operators with driver pods on m1 and m2.
pub(crate) fn operators(fleet: &Fleet) -> [ScriptedOperator; 2] {
    ["m1", "m2"].map(|name| {
        let options = Options { driver_pods: true, ..Options::default() };
        ScriptedOperator::start(fleet.member(name).client(), options)
    })
}

/// The namespace, on every member that is installed so far, and a queue that shares its jobs between m1 and m2.
pub(crate) async fn shared_queue(
    installation: &Installation<'_>,
    hub: &Cluster,
    namespace: &str,
    queue: &str,
) {
    sure(installation.namespace(namespace).await);
    let routes = objects::weights(&[("m1", 1), ("m2", 1)]);
    sure(hub.apply_manifest(&objects::queue(queue, &routes).to_string()).await);
}

/// A running router that tells the end of its log when the test fails.
pub(crate) struct Watched(pub(crate) Router);

impl Watched {
    /// Starts the binary under test and waits until it is ready and so are the members.
    pub(crate) async fn start(
        installation: &Installation<'_>,
        fleet: &Fleet,
        arguments: &[&str],
        members: &[&str],
    ) -> Self {
        Self::start_with(installation, fleet, arguments, Vec::new(), members).await
    }

    /// The same, with more of an environment.
    pub(crate) async fn start_with(
        installation: &Installation<'_>,
        fleet: &Fleet,
        arguments: &[&str],
        environment: Vec<(String, String)>,
        members: &[&str],
    ) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_spark-router"));
        let options =
            RouterOptions { environment, ..RouterOptions::with_arguments(arguments.iter().copied()) };
        let router = Self(sure(Router::start(fleet, binary, options).await));
        sure(router.0.wait_ready().await);
        sure(installation.wait_members(members, PATIENCE).await);
        router
    }

    /// Starts the binary under test and waits for nothing.
    pub(crate) async fn begin(fleet: &Fleet, arguments: &[&str]) -> Self {
        Self::begin_with(fleet, RouterOptions::with_arguments(arguments.iter().copied())).await
    }

    /// The same with these options.
    pub(crate) async fn begin_with(fleet: &Fleet, options: RouterOptions) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_spark-router"));
        Self(sure(Router::start(fleet, binary, options).await))
    }

    /// Waits for `course`. Meanwhile the router is started again whenever it ends by itself, as Kubernetes would: on a
    /// machine that has no time for it, a leader may not renew its lease, and leads no longer.
    pub(crate) async fn kept<T>(&mut self, course: impl Future<Output = T>) -> T {
        let keeping = async {
            loop {
                tokio::time::sleep(Duration::from_millis(250)).await;
                if self.0.process().ended().is_some() {
                    eprintln!("the router ended and is started again: {}", self.0.log_tail(1));
                    sure(self.0.restart());
                }
            }
        };
        tokio::select! {
            done = course => done,
            () = keeping => panic!("it is kept for ever"),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.0.log().unwrap_or_default();
            let lines: Vec<_> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
            eprintln!("the router's last warnings:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            eprintln!("the router's last lines:\n{}", self.0.log_tail(30));
        }
    }
}

/// Makes a job go to these members only.
pub(crate) fn pinned(mut job: Value, members: &[&str]) -> Value {
    objects::merge(&mut job, json!({"spec": {"placement": {"clusterNames": members}}}));
    job
}

/// A job of [`objects::job`] whose driver does not end within any test.
pub(crate) fn endless(namespace: &str, name: &str, queue: &str) -> Value {
    objects::job(namespace, name, queue, |template| {
        objects::annotate(template, "run-ms", "3600000");
    })
}

/// Waits for a job to be Running.
pub(crate) async fn running(hub: &Cluster, namespace: &str, name: &str) -> RoutedSparkJob {
    sure(jobs::wait_for_phase(hub, namespace, name, "Running", PATIENCE).await)
}

/// Waits for a job to end.
pub(crate) async fn finished(hub: &Cluster, namespace: &str, name: &str) -> RoutedSparkJob {
    sure(jobs::wait_for(hub, namespace, name, "finished", PATIENCE, jobs::is_finished).await)
}

/// Waits for a job to end well.
pub(crate) async fn succeeded(hub: &Cluster, namespace: &str, name: &str) -> RoutedSparkJob {
    let job = finished(hub, namespace, name).await;
    assert_eq!(jobs::phase(&job), "Succeeded", "{}", jobs::describe(&job));
    job
}

/// Waits until a job waits for this reason.
pub(crate) async fn queued(hub: &Cluster, namespace: &str, name: &str, reason: &str) -> RoutedSparkJob {
    let wanted = |job: &RoutedSparkJob| jobs::phase(job) == "Queued" && jobs::reason(job) == reason;
    sure(jobs::wait_for(hub, namespace, name, &format!("Queued, {reason}"), PATIENCE, wanted).await)
}

/// Status, reason and message of a job's condition; empty where it has none.
pub(crate) fn condition<'a>(job: &'a RoutedSparkJob, type_: &str) -> (&'a str, &'a str, &'a str) {
    let found = job.status.as_ref().and_then(|status| condition::find(&status.conditions, type_));
    found.map_or(("", "", ""), |found| (&found.status, &found.reason, &found.message))
}

/// Status, reason and message of a member's Ready condition; empty before it has one.
pub(crate) fn readiness(member: &MemberCluster) -> (&str, &str, &str) {
    let found = member.status.as_ref().and_then(|status| condition::find(&status.conditions, READY));
    found.map_or(("", "", ""), |found| (&found.status, &found.reason, &found.message))
}

/// Waits until a member is as wanted.
pub(crate) async fn member(
    hub: &Cluster,
    name: &str,
    what: &str,
    wanted: impl Fn(&MemberCluster) -> bool,
) -> MemberCluster {
    sure(jobs::wait_until(Api::all(hub.client()), name, what, PATIENCE, wanted).await)
}

/// Waits until a member is not Ready for this reason, and returns the message.
pub(crate) async fn not_ready(hub: &Cluster, name: &str, reason: &str) -> String {
    let is = |member: &MemberCluster| readiness(member).0 == "False" && readiness(member).1 == reason;
    readiness(&member(hub, name, reason, is).await).2.to_owned()
}

/// Waits until a member is Ready.
pub(crate) async fn ready(hub: &Cluster, name: &str) -> MemberCluster {
    member(hub, name, "Ready", |member| readiness(member).0 == "True").await
}

/// Merges a change into an object of the hub, as a user with kubectl would; `namespace` is empty where there is none.
pub(crate) async fn patch(hub: &Cluster, kind: &str, namespace: &str, name: &str, change: Value) {
    let change = change.to_string();
    let mut arguments = vec!["patch", kind, name, "--type=merge", "-p", &change];
    if !namespace.is_empty() {
        arguments.extend(["-n", namespace]);
    }
    sure(hub.kubectl(&arguments).await);
}

/// The creates of SparkApplications that the router sent to a member, refused ones too.
pub(crate) fn creates(member: &Cluster, since: Mark) -> Vec<Call> {
    let calls = sure(member.audit().since(since));
    let is_create =
        |call: &Call| call.user == USER && call.verb == "create" && call.resource == "sparkapplications";
    calls.into_iter().filter(is_create).collect()
}

/// Tries until it is Ok; the last Err says on timeout what was there instead.
pub(crate) async fn until<T, E: Display>(what: &str, attempt: impl AsyncFn() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{what} in {PATIENCE:?}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for an event about an object with this reason and returns its note.
pub(crate) async fn event(hub: &Cluster, namespace: &str, name: &str, reason: &str) -> String {
    let api: Api<Event> = Api::namespaced(hub.client(), namespace);
    until(&format!("an event {reason} about {name}"), async || {
        let events = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let about =
            |event: &&Event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name);
        let seen: Vec<_> = events.iter().filter(about).collect();
        match seen.iter().find(|event| event.reason.as_deref() == Some(reason)) {
            Some(event) => Ok(event.note.clone().unwrap_or_default()),
            None => {
                Err(format!("there is {:?}", seen.iter().map(|e| e.reason.as_deref()).collect::<Vec<_>>()))
            }
        }
    })
    .await
}

/// The row of `kubectl get rsj -o wide`.
pub(crate) async fn row(hub: &Cluster, namespace: &str, name: &str) -> String {
    sure(hub.kubectl(&["get", "rsj", name, "-n", namespace, "-o", "wide", "--no-headers"]).await)
}

/// A namespace that exists on these clusters.
pub(crate) async fn namespace_on(clusters: &[&Cluster], name: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    for cluster in clusters {
        sure(cluster.apply_manifest(&namespace.to_string()).await);
    }
}

/// The time in an audit log.
pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text:?} is no time: {error}"))
}

/// The job's uid.
pub(crate) fn uid(job: &RoutedSparkJob) -> String {
    job.uid().unwrap_or_else(|| panic!("{} has no uid", job.name_any()))
}
