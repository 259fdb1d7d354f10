//! Fences, finished applications and the sweep, on a real API server with its garbage collector.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod common;

use std::{
    collections::BTreeSet,
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use common::{Bench, PATIENCE, member_kubeconfig, on_clusters, submit};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use parking_lot::Mutex;
use serde_json::json;
use spark_router_core::{
    id::{Attempt, ClusterName, JobKey, JobUid, RemoteUid},
    observe::{Remote, RunState},
};
use spark_router_member::{Created, Driver, Fence, Member, Order, StopOrder, Tempo, sweep};
use spark_router_testkit::{
    fault::{Action, FaultProxy, Gate, Mode, Rule},
    operator::{Options, ScriptedOperator},
};

const SETTLE: Duration = Duration::from_secs(2);

fn tempo() -> Tempo {
    Tempo { settle: SETTLE, ..Tempo::default() }
}

/// Stops until the proof is there; what it waited for on the way.
async fn fenced(member: &Arc<dyn Member>, order: &StopOrder) -> BTreeSet<String> {
    let started = Instant::now();
    let mut waited = BTreeSet::new();
    loop {
        match member.stop(order).await {
            Fence::Proven => return waited,
            Fence::Pending { until, waits_for } | Fence::Unanswered { until, waits_for } => {
                assert!(started.elapsed() < PATIENCE, "no fence: {waits_for}");
                waited.insert(waits_for);
                let pause = until
                    .duration_since(Timestamp::now())
                    .clamp(SignedDuration::from_millis(10), SignedDuration::from_secs(3));
                tokio::time::sleep(pause.unsigned_abs()).await;
            }
            Fence::Impossible(why) => panic!("{why}"),
            Fence::Ended(end) => panic!("it had ended: {end:?}"),
        }
    }
}

fn operator(bench: &Bench) -> ScriptedOperator {
    let namespaces = vec![bench.namespace.as_str().to_owned()];
    ScriptedOperator::start(
        bench.admin.clone(),
        Options { namespaces, driver_pods: true, ..Options::default() },
    )
}

fn pods(bench: &Bench) -> Api<Pod> {
    Api::namespaced(bench.admin.clone(), bench.namespace.as_str())
}

#[test]
fn a_running_attempt_is_stopped_and_proven_gone() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let _operator = operator(&bench);
        let member = bench.member("m1", None, tempo()).await;
        let order = bench.order("daily", &json!({"spark-router.test/script": "hang-running"}));
        let uid = bench.create(&member, &order).await;
        let seen = bench.state(&member, &order.name, "RUNNING").await;
        assert_eq!(
            member.driver(&order.namespace, &order.name, seen.driver_pod.as_deref()).await,
            Driver::Alive
        );
        assert_eq!(pods(&bench).list(&ListParams::default()).await.unwrap().items.len(), 1);
        let waited = fenced(&member, &Bench::stop_order(&order, Some(uid))).await;
        assert!(!waited.is_empty());
        assert!(
            !waited.iter().any(|text| text.contains("unseen")),
            "past SUBMITTED one proof is enough: {waited:?}"
        );
        assert!(bench.applications().get_opt(order.name.as_str()).await.unwrap().is_none());
        assert!(pods(&bench).list(&ListParams::default()).await.unwrap().items.is_empty());
        assert_eq!(member.driver(&order.namespace, &order.name, None).await, Driver::Gone);
    });
}

#[test]
fn an_attempt_that_may_be_submitting_unseen_takes_two_proofs() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, tempo()).await;
        let order = bench.order("fresh", &json!({}));
        let uid = bench.create(&member, &order).await;
        let started = Instant::now();
        let waited = fenced(&member, &Bench::stop_order(&order, Some(uid))).await;
        assert!(started.elapsed() >= SETTLE, "{:?}", started.elapsed());
        assert!(waited.iter().any(|text| text.contains("unseen")), "{waited:?}");
    });
}

#[test]
fn a_pod_of_the_attempt_keeps_the_fence_open_and_starts_the_settling_anew() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, tempo()).await;
        let order = bench.order("ghost", &json!({}));
        let stop = Bench::stop_order(&order, None);
        assert!(matches!(member.stop(&stop).await, Fence::Pending { .. }));
        // The hung submission makes its driver after all.
        let pod = json!({
            "metadata": {"name": "late-driver", "labels": {
                "sparkrouter.dev/job-uid": order.job.as_str(), "sparkrouter.dev/attempt": "1",
            }},
            "spec": {"containers": [{"name": "spark-kubernetes-driver", "image": "x"}], "terminationGracePeriodSeconds": 0},
        });
        pods(&bench).create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        tokio::time::sleep(SETTLE + Duration::from_millis(200)).await;
        match member.stop(&stop).await {
            Fence::Pending { waits_for, .. } => assert!(waits_for.contains("late-driver"), "{waits_for}"),
            other => panic!("{other:?}"),
        }
        pods(&bench).delete("late-driver", &DeleteParams::default().grace_period(0)).await.unwrap();
        let gone = Instant::now();
        fenced(&member, &stop).await;
        // The pod went a moment before it was seen gone.
        assert!(gone.elapsed() + Duration::from_millis(100) >= SETTLE, "{:?}", gone.elapsed());
    });
}

#[test]
fn a_create_under_way_is_waited_for_and_then_caught() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        let member = bench.member("m1", Some(&proxy), tempo()).await;
        let gate = Gate::new();
        proxy.add(
            Rule::new(Action::HoldThenForward(gate.clone()))
                .method("POST")
                .containing("/sparkapplications?")
                .first(1),
        );
        let order = bench.order("late", &json!({}));
        let sending = tokio::spawn({
            let (member, order) = (member.clone(), order.clone());
            async move { submit(&member, &order).await }
        });
        gate.wait_arrived(1).await;
        let mut stop = Bench::stop_order(&order, None);
        stop.settled_at = Timestamp::now() + SignedDuration::from_secs(3);
        match member.stop(&stop).await {
            Fence::Pending { until, .. } => assert_eq!(until, stop.settled_at),
            other => panic!("{other:?}"),
        }
        gate.release_one();
        assert!(matches!(sending.await.unwrap(), Created::Accepted(_)));
        let waited = fenced(&member, &stop).await;
        assert!(waited.iter().any(|text| text.contains("to delete")), "{waited:?}");
        assert!(bench.applications().get_opt(order.name.as_str()).await.unwrap().is_none());
    });
}

#[test]
fn an_end_that_came_before_the_stop_is_told_and_not_deleted() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, tempo()).await;
        let order = bench.order("done", &json!({}));
        let uid = bench.create(&member, &order).await;
        bench.set_state(&order.name, "COMPLETED").await;
        let stop = StopOrder { spare_ended: true, ..Bench::stop_order(&order, Some(uid.clone())) };
        // Also where it ended before its uid was on record: the labels tell whose it is.
        let unmirrored = StopOrder { uid: None, ..stop.clone() };
        for stop in [&stop, &unmirrored] {
            match member.stop(stop).await {
                Fence::Ended(end) => assert_eq!((end.uid, end.run), (uid.clone(), RunState::Succeeded)),
                other => panic!("{other:?}"),
            }
        }
        let there = bench.applications().get(order.name.as_str()).await.unwrap();
        assert!(there.metadata.deletion_timestamp.is_none());
        // Not the one on record: it is none of the job's ends.
        let other = StopOrder { uid: Some(RemoteUid::from("another")), ..stop.clone() };
        assert!(matches!(member.stop(&other).await, Fence::Pending { .. }));
    });
}

#[test]
fn an_end_that_comes_while_the_stop_is_on_its_way_is_told_too() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        let member = bench.member("m1", Some(&proxy), tempo()).await;
        let gate = Gate::new();
        proxy.add(Rule::new(Action::HoldThenForward(gate.clone())).method("DELETE").first(1));
        let order = bench.order("late-end", &json!({}));
        let uid = bench.create(&member, &order).await;
        bench.set_state(&order.name, "RUNNING").await;
        let stop = StopOrder { spare_ended: true, ..Bench::stop_order(&order, Some(uid)) };
        let stopping = tokio::spawn({
            let (member, stop) = (member.clone(), stop.clone());
            async move { member.stop(&stop).await }
        });
        gate.wait_arrived(1).await;
        bench.set_state(&order.name, "COMPLETED").await;
        gate.release_one();
        match stopping.await.unwrap() {
            Fence::Pending { waits_for, .. } => assert!(waits_for.contains("to be read"), "{waits_for}"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(member.stop(&stop).await, Fence::Ended(_)));
    });
}

#[test]
fn somebody_elses_object_is_not_stopped_and_an_unreachable_member_proves_nothing() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        let member = bench.member("m1", Some(&proxy), tempo()).await;
        let order = bench.order("daily", &json!({}));
        bench.create(&member, &order).await;
        let version = bench.applications().get(order.name.as_str()).await.unwrap().resource_version();
        let mut other = Bench::stop_order(&order, None);
        other.attempt = Attempt(2);
        fenced(&member, &other).await;
        assert_eq!(bench.applications().get(order.name.as_str()).await.unwrap().resource_version(), version);
        proxy.set(Mode::Refuse).await;
        let stop = Bench::stop_order(&order, None);
        assert!(matches!(member.stop(&stop).await, Fence::Impossible(_)));
        proxy.set(Mode::Up).await;
        let member = bench.ready("m1").await;
        fenced(&member, &stop).await;
    });
}

#[test]
fn a_finished_application_is_released_and_retired_by_one_call_each() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, tempo()).await;
        let order = bench.order("daily", &json!({}));
        let uid = bench.create(&member, &order).await;
        bench.set_state(&order.name, "RUNNING").await;
        bench.state(&member, &order.name, "RUNNING").await;
        let error = member.release(&order.namespace, &order.name, &uid).await.unwrap_err();
        assert_eq!(error.reason(), "NotEnded");
        assert_eq!(
            member.retire(&order.namespace, &order.name, &uid).await.unwrap_err().reason(),
            "NotEnded"
        );

        bench.set_state(&order.name, "COMPLETED").await;
        bench.state(&member, &order.name, "COMPLETED").await;
        let count = |verb| bench.calls.total("m1", verb, "sparkapplications");
        let (gets, patches, deletes) = (count("get"), count("patch"), count("delete"));
        let another = RemoteUid::from("another");
        member.release(&order.namespace, &order.name, &another).await.unwrap();
        member.retire(&order.namespace, &order.name, &another).await.unwrap();
        assert_eq!((count("patch"), count("delete")), (patches, deletes), "another uid is nothing of ours");
        let gets_before = count("get");
        assert!(gets_before > gets);
        member.release(&order.namespace, &order.name, &uid).await.unwrap();
        bench.seen(&member, &order.name, |remote| matches!(remote, Remote::Present(o) if !o.held)).await;
        member.release(&order.namespace, &order.name, &uid).await.unwrap();
        member.retire(&order.namespace, &order.name, &uid).await.unwrap();
        bench.seen(&member, &order.name, |remote| *remote == Remote::Absent).await;
        assert_eq!((count("get"), count("patch"), count("delete")), (gets_before, patches + 1, deletes + 1));
        member.release(&order.namespace, &order.name, &uid).await.unwrap();
        member.retire(&order.namespace, &order.name, &uid).await.unwrap();
    });
}

#[test]
fn finalizers_of_others_stay() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, tempo()).await;
        let order = bench.order("daily", &json!({}));
        let uid = bench.create(&member, &order).await;
        let finalizers = json!({"metadata": {"finalizers": ["example.com/first", "sparkrouter.dev/outcome", "example.com/last"]}});
        bench
            .applications()
            .patch(order.name.as_str(), &PatchParams::default(), &Patch::Merge(&finalizers))
            .await
            .unwrap();
        bench.set_state(&order.name, "FAILED").await;
        bench.state(&member, &order.name, "FAILED").await;
        member.release(&order.namespace, &order.name, &uid).await.unwrap();
        let there = bench.applications().get(order.name.as_str()).await.unwrap();
        assert_eq!(there.finalizers(), ["example.com/first", "example.com/last"]);
        let none = json!({"metadata": {"finalizers": null}});
        bench
            .applications()
            .patch(order.name.as_str(), &PatchParams::default(), &Patch::Merge(&none))
            .await
            .unwrap();
    });
}

/// A hub on which exactly these jobs exist.
struct Hub {
    jobs: BTreeSet<JobUid>,
    abandoned: Vec<(JobUid, Attempt)>,
    broken: Mutex<bool>,
}

#[async_trait]
impl sweep::Jobs for Hub {
    fn is_known(&self, _: &JobKey, _: &JobUid) -> bool {
        false
    }

    async fn exists(&self, _: &JobKey, uid: &JobUid) -> Result<bool, Box<dyn StdError + Send + Sync>> {
        if *self.broken.lock() {
            return Err("the hub does not answer".into());
        }
        Ok(self.jobs.contains(uid))
    }

    fn abandoned(&self, _: &ClusterName) -> Vec<(JobUid, Attempt)> {
        self.abandoned.clone()
    }
}

#[test]
fn the_sweep_takes_what_is_over_and_nobodys_and_nothing_else() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, tempo()).await;
        let state = async |name: &str, state: &str| -> Order {
            let order = bench.order(name, &json!({}));
            bench.create(&member, &order).await;
            bench.set_state(&order.name, state).await;
            bench.state(&member, &order.name, state).await;
            order
        };
        let over = state("over", "COMPLETED").await;
        let kept = state("kept", "COMPLETED").await;
        let running = state("running", "RUNNING").await;
        let abandoned = state("abandoned", "RUNNING").await;
        let mut foreign =
            serde_json::to_value(bench.applications().get(over.name.as_str()).await.unwrap()).unwrap();
        foreign["metadata"] = json!({"name": "foreign", "labels": {"sparkrouter.dev/origin": "another-hub"}});
        bench
            .applications()
            .create(&PostParams::default(), &serde_json::from_value(foreign).unwrap())
            .await
            .unwrap();
        let age = Duration::from_secs(2);
        let pace = sweep::Pace { every: Duration::from_millis(300), age, most: 100, pause: Duration::ZERO };
        let hub = Arc::new(Hub {
            jobs: BTreeSet::from([kept.job.clone()]),
            abandoned: vec![(abandoned.job.clone(), Attempt::FIRST)],
            broken: Mutex::new(true),
        });
        sweep::start(&bench.registry, hub.clone(), pace);
        tokio::time::sleep(age + Duration::from_secs(1)).await;
        let names = async || -> BTreeSet<String> {
            let list = bench.applications().list(&ListParams::default()).await.unwrap();
            list.items.iter().map(ResourceExt::name_any).collect()
        };
        assert_eq!(names().await.len(), 5, "while the hub says nothing, nothing goes");
        *hub.broken.lock() = false;
        let left: BTreeSet<String> =
            [kept.name.as_str(), running.name.as_str(), "foreign"].map(str::to_owned).into();
        let started = Instant::now();
        while names().await != left {
            assert!(started.elapsed() < PATIENCE, "{:?} is left", names().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(names().await, left);
    });
}
