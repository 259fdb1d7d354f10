//! Namespaces that are deleted under running jobs, with exactly the rights that ship: on a member, on the hub, and on
//! the hub while the member that runs the jobs is dead.
//!
//! `m1` runs the real Kubeflow operator with scheduled pods, the others a scripted one with driver pods.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use spark_router_api::condition::FINISHED;
use spark_router_api::{MemberCluster, RoutedSparkJob};
use spark_router_testkit::fault::{FaultProxy, Mode};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, MemberOptions};

use scene::{
    PATIENCE, Watched, condition, crds_only, endless, finished, member, namespace_on, not_ready, pinned,
    queued, readiness, ready, running, succeeded, sure, uid,
};

const MEMBERS: [&str; 3] = ["m1", "m2", "m3"];
/// The one whose connection is cut.
const DEAD: &str = "m3";

struct Scene<'a> {
    hub: &'a Cluster,
    m1: &'a Cluster,
    m2: &'a Cluster,
    m3: &'a Cluster,
    installation: Installation<'a>,
    proxy: FaultProxy,
}

impl Scene<'_> {
    async fn submit(&self, job: &serde_json::Value) -> RoutedSparkJob {
        sure(self.installation.submit(job).await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_namespaces_go_and_their_jobs_end() {
    let fleet = Fleet::builder()
        .hub()
        .member_with("m1", MemberOptions::spark())
        .member_with("m2", crds_only())
        .member_with("m3", crds_only());
    let fleet = sure(fleet.start().await);
    let (hub, m1, m2, m3) = (fleet.hub(), fleet.member("m1"), fleet.member("m2"), fleet.member("m3"));
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({})).await);
    sure(installation.member("m2", json!({})).await);
    let proxy = sure(FaultProxy::before(m3.kubeconfig()).await);
    let hasty = json!({"health": {"lostAfterSeconds": 2, "readyAfterSeconds": 2}});
    sure(installation.member_through(DEAD, &proxy, hasty).await);
    let options = Options { driver_pods: true, ..Options::default() };
    let _operators = [m2, m3].map(|member| ScriptedOperator::start(member.client(), options.clone()));
    for (name, members) in [("etl", &MEMBERS[..]), ("pair", &MEMBERS[..2])] {
        let weights: Vec<_> = members.iter().map(|member| (*member, 1)).collect();
        let queue = objects::queue(name, &objects::weights(&weights));
        sure(hub.apply_manifest(&queue.to_string()).await);
    }
    let scene = Scene { hub, m1, m2, m3, installation, proxy };
    let router = Watched::start(&scene.installation, &fleet, &["--sweep-every=1s"], &MEMBERS).await;

    let started = Instant::now();
    let done = |what: &str| eprintln!("{:>6.1?}: {what}", started.elapsed());
    on_a_member(&scene).await;
    done("a namespace of a member");
    on_the_hub(&scene).await;
    done("a namespace of the hub");
    with_a_dead_member(&scene).await;
    done("a namespace of the hub, with a dead member");

    let remote = sure(RemoteApplications::read(fleet.clusters()));
    assert_eq!(remote.max_per_job(), 1, "{:?}", remote.repeated().collect::<Vec<_>>());
    sure(router.0.check());
    sure(fleet.check());
}

/// The namespace goes, the jobs in it end with a reason, later ones go elsewhere or say what they wait for.
async fn on_a_member(scene: &Scene<'_>) {
    const DOOMED: &str = "doomed";
    let Scene { hub, m1, .. } = scene;
    sure(scene.installation.namespace(DOOMED).await);
    // One that has ended and is kept on the member, two that run.
    scene.submit(&pinned(objects::job(DOOMED, "ended", "pair", |_| {}), &["m1"])).await;
    for name in ["one", "two"] {
        scene.submit(&pinned(endless(DOOMED, name, "pair"), &["m1"])).await;
    }
    for name in ["one", "two"] {
        running(hub, DOOMED, name).await;
    }
    let ended = succeeded(hub, DOOMED, "ended").await;
    // Somebody's own object keeps the namespace terminating for a while.
    let anchor = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "anchor", "namespace": DOOMED, "finalizers": ["example.com/anchor"]},
    });
    sure(m1.apply_manifest(&anchor.to_string()).await);
    sure(m1.kubectl(&["delete", "namespace", DOOMED, "--wait=false"]).await);
    for name in ["one", "two"] {
        let job = finished(hub, DOOMED, name).await;
        assert_eq!(jobs::phase(&job), "Failed", "{}", jobs::describe(&job));
        let (reason, message) = (jobs::reason(&job), jobs::message(&job));
        assert!(["RemoteVanished", "DriverLost", "JobFailed"].contains(&reason), "{reason}: {message}");
        assert!(message.contains("m1"), "{message}");
        assert_eq!(condition(&job, FINISHED).1, reason);
        eprintln!("        {name}: {reason}: {message}");
    }
    let still = succeeded(hub, DOOMED, "ended").await;
    assert_eq!(still.resource_version(), ended.resource_version(), "what had ended stays as it was");

    scene.submit(&pinned(objects::job(DOOMED, "late", "pair", |_| {}), &["m1"])).await;
    let said = |why: &'static str| {
        let words = format!("m1: namespace {DOOMED} there takes nothing ({why})");
        move |job: &RoutedSparkJob| jobs::phase(job) == "Queued" && jobs::message(job).contains(&words)
    };
    let told = jobs::wait_for(hub, DOOMED, "late", "told why", PATIENCE, said("NamespaceTerminating"));
    sure(told.await);
    let blamed = |member: &MemberCluster| {
        let (status, _, message) = readiness(member);
        status == "True" && message.contains("namespace doomed is left alone: NamespaceTerminating")
    };
    member(hub, "m1", "Ready without the namespace", blamed).await;
    for number in 0..2 {
        let name = format!("elsewhere-{number}");
        scene.submit(&objects::job(DOOMED, &name, "pair", |_| {})).await;
        assert_eq!(jobs::cluster(&succeeded(hub, DOOMED, &name).await), "m2");
    }

    let free = [
        "patch",
        "configmap",
        "anchor",
        "-n",
        DOOMED,
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ];
    sure(m1.kubectl(&free).await);
    sure(jobs::wait_gone(Api::<Namespace>::all(m1.client()), DOOMED, PATIENCE).await);
    namespace_on(&[m1], DOOMED).await;
    assert_eq!(jobs::cluster(&succeeded(hub, DOOMED, "late").await), "m1", "it goes on by itself");
    sure(jobs::delete_all::<RoutedSparkJob>(hub, DOOMED, PATIENCE).await);
}

/// What runs is stopped to the fence before the namespace goes.
async fn on_the_hub(scene: &Scene<'_>) {
    const LEAVING: &str = "leaving";
    let Scene { hub, m1, m2, .. } = scene;
    sure(scene.installation.namespace(LEAVING).await);
    scene.submit(&objects::job(LEAVING, "ended", "pair", |_| {})).await;
    scene.submit(&pinned(endless(LEAVING, "on-m1", "pair"), &["m1"])).await;
    scene.submit(&pinned(endless(LEAVING, "on-m2", "pair"), &["m2"])).await;
    scene.submit(&pinned(endless(LEAVING, "waits", "pair"), &["m9"])).await;
    running(hub, LEAVING, "on-m1").await;
    running(hub, LEAVING, "on-m2").await;
    succeeded(hub, LEAVING, "ended").await;
    queued(hub, LEAVING, "waits", "NoClusterMatches").await;

    sure(hub.kubectl(&["delete", "namespace", LEAVING, "--timeout=90s"]).await);
    for member in [m1, m2] {
        let applications = jobs::applications_in(member.client(), LEAVING);
        let left = applications.list(&ListParams::default()).await.unwrap().items;
        let running: Vec<_> = left.iter().map(kube::ResourceExt::name_any).collect();
        assert!(running.is_empty(), "{} still has {running:?}", member.name());
        let drivers = Api::<Pod>::namespaced(member.client(), LEAVING);
        let left = drivers.list(&ListParams::default().labels("spark-role=driver")).await.unwrap().items;
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
        let alive: Vec<_> = left.iter().filter(|pod| phase(pod).as_deref() == Some("Running")).collect();
        assert!(alive.is_empty(), "a driver runs beyond the fence: {alive:?}");
        let namespace = Api::<Namespace>::all(member.client()).get(LEAVING).await.unwrap();
        assert!(namespace.metadata.deletion_timestamp.is_none(), "the member's namespace is its own");
    }
}

/// It stays, says for whom it waits and how to let go; and what was let go of is stopped when the member is back.
async fn with_a_dead_member(scene: &Scene<'_>) {
    const STUCK: &str = "stuck";
    let Scene { hub, m3, .. } = scene;
    sure(scene.installation.namespace(STUCK).await);
    let names = ["left-1", "left-2"];
    for name in names {
        scene.submit(&pinned(endless(STUCK, name, "etl"), &[DEAD])).await;
    }
    let mut lost = Vec::new();
    for name in names {
        lost.push(running(hub, STUCK, name).await);
    }
    scene.proxy.set(Mode::Silent).await;
    let message = not_ready(hub, DEAD, "Lost").await;
    assert!(message.contains("does not answer since"), "{message}");
    sure(hub.kubectl(&["delete", "namespace", STUCK, "--wait=false"]).await);

    for name in names {
        let explained = |job: &RoutedSparkJob| jobs::message(job).contains("waits for m3");
        let job = sure(jobs::wait_for(hub, STUCK, name, "explained", PATIENCE, explained).await);
        assert!(job.metadata.deletion_timestamp.is_some());
        let message = jobs::message(&job);
        assert!(message.contains("which does not answer since 2"), "{message}");
        // It is still so after everything that could make it go by mistake had its time.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let again = sure(jobs::wait_for(hub, STUCK, name, "still there", PATIENCE, explained).await);
        assert_eq!(again.uid(), job.uid());
        let namespace = Api::<Namespace>::all(hub.client()).get(STUCK).await.unwrap();
        assert!(namespace.metadata.deletion_timestamp.is_some());
        // The way out, word for word as the message gives it.
        let command = message.split("kubectl ").nth(1).unwrap();
        let words: Vec<_> = command.split_whitespace().collect();
        assert_eq!(
            words,
            ["annotate", "rsj", "-n", STUCK, name, "sparkrouter.dev/abandon=true"],
            "{message}"
        );
        sure(hub.kubectl(&words).await);
    }
    sure(jobs::wait_gone(Api::<Namespace>::all(hub.client()), STUCK, PATIENCE).await);
    let listed = |member: &MemberCluster| {
        let rows = member.status.as_ref().map(|status| status.abandoned.clone()).unwrap_or_default();
        lost.iter().all(|job| {
            let name = &job.status.as_ref().unwrap().placement.as_ref().unwrap().remote_name;
            rows.iter().any(|row| {
                row.job_uid == uid(job)
                    && row.attempt == 1
                    && row.namespace == STUCK
                    && row.remote_name == *name
            })
        })
    };
    member(hub, DEAD, "with what was abandoned", listed).await;
    let applications = jobs::applications_in(m3.client(), STUCK);
    assert_eq!(
        applications.list(&ListParams::default()).await.unwrap().items.len(),
        2,
        "they run on, unseen"
    );

    scene.proxy.set(Mode::Up).await;
    ready(hub, DEAD).await;
    for job in &lost {
        let name = &job.status.as_ref().unwrap().placement.as_ref().unwrap().remote_name;
        sure(jobs::wait_gone(applications.clone(), name, PATIENCE).await);
    }
}
