//! Real control planes for the tests of a file, started once, and links to them.
//!
//! `m1` has the Kubeflow operator's CRDs and nobody who acts on them; `hub` has nothing. Tests keep out of each other's
//! way by a hub id and a namespace of their own. The supervisor takes everything away when the test process ends.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    future::Future,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use spark_router_core::{
    health::Thresholds,
    id::{Attempt, ClusterName, HubId, JobKey, JobUid, Namespace, QueueName, RemoteName, RemoteUid},
    observe::{Observation, Remote},
    place::NamespaceRule,
};
use spark_router_member::{
    Admission, Connection, Created, Limits, MaySend, Member, Order, Registry, Settings, StopOrder, Tempo,
    calls::Calls, kubeconfig, kubeflow,
};
use spark_router_testkit::{
    Fleet, MemberOptions, OperatorKind, chain, fault::FaultProxy, router::Installation,
};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Beside a compiler everything takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    runtime: Runtime,
    fleet: Fleet,
    kubeconfig: String,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (fleet, kubeconfig) = runtime.block_on(async {
        let crds = MemberOptions { operator: OperatorKind::CrdsOnly, ..MemberOptions::default() };
        let fleet = Fleet::builder().hub().member_with("m1", crds).start().await;
        let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let kubeconfig = {
            let installation = Installation::new(&fleet).await.unwrap();
            installation.prepare("m1").await.unwrap();
            installation.prepare("hub").await.unwrap();
            installation.kubeconfig("m1").await.unwrap()
        };
        (fleet, kubeconfig)
    });
    World { runtime, fleet, kubeconfig }
});

/// Runs a test on the shared control planes.
pub(crate) fn on_clusters<F: Future<Output = ()>>(test: impl FnOnce(&'static Fleet) -> F) {
    WORLD.runtime.block_on(test(&WORLD.fleet));
}

/// The kubeconfig of the router's account on `m1`, with exactly the shipped rights.
pub(crate) fn member_kubeconfig() -> &'static str {
    &WORLD.kubeconfig
}

/// A registry, and what comes out of it.
pub(crate) struct Bench {
    pub(crate) registry: Registry,
    pub(crate) hub: HubId,
    pub(crate) namespace: Namespace,
    pub(crate) calls: Calls,
    pub(crate) admin: Client,
    keys: mpsc::Receiver<JobKey>,
    stop: CancellationToken,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Bench {
    /// A hub id and a namespace on `m1` that no other test has.
    pub(crate) async fn new(fleet: &Fleet) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (hub, namespace) = (HubId::new(format!("hub-{number}")), Namespace::new(format!("ns-{number}")));
        let admin = fleet.member("m1").client();
        let namespaces: Api<NamespaceObject> = Api::all(admin.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace.as_str()}})).unwrap();
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        let (sender, keys) = mpsc::channel(1024);
        let (calls, stop) = (Calls::default(), CancellationToken::new());
        let registry = Registry::new(hub.clone(), sender, calls.clone(), MaySend::always(), stop.clone());
        Self { registry, hub, namespace, calls, admin, keys, stop }
    }

    /// Adds or changes a member; `proxy` puts a fault proxy between.
    pub(crate) async fn put(&self, name: &str, kubeconfig: &str, proxy: Option<&FaultProxy>, tempo: Tempo) {
        let text = match proxy {
            Some(proxy) => proxy.kubeconfig(kubeconfig).unwrap(),
            None => kubeconfig.to_owned(),
        };
        let config = kubeconfig::read(&text).await.unwrap();
        self.registry
            .put(kubeflow::blueprint(settings(name, tempo), Connection::fixed(config, text)))
            .unwrap();
    }

    /// A member that is ready.
    pub(crate) async fn member(
        &self,
        name: &str,
        proxy: Option<&FaultProxy>,
        tempo: Tempo,
    ) -> Arc<dyn Member> {
        self.put(name, member_kubeconfig(), proxy, tempo).await;
        self.ready(name).await
    }

    pub(crate) async fn ready(&self, name: &str) -> Arc<dyn Member> {
        let cluster = ClusterName::from(name);
        let mut changed = self.registry.subscribe();
        let started = Instant::now();
        loop {
            let member = self.registry.get(&cluster).unwrap();
            let health = member.health();
            if health.link == spark_router_core::health::LinkState::Ready && health.fault.is_none() {
                return member;
            }
            assert!(started.elapsed() < PATIENCE, "{name} is not ready: {health:?}");
            let _ = tokio::time::timeout(Duration::from_millis(100), changed.changed()).await;
        }
    }

    /// Waits until the key of that job comes up.
    pub(crate) async fn called(&mut self, name: &str) {
        let waiting = async {
            while let Some(key) = self.keys.recv().await {
                if key.name == name {
                    return;
                }
            }
            panic!("the channel is closed");
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{name} was not called"));
    }

    /// Takes what has come up so far.
    pub(crate) fn drain(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        while let Ok(key) = self.keys.try_recv() {
            keys.push(key.name);
        }
        keys
    }

    /// An order for a job of that name.
    pub(crate) fn order(&self, name: &str, annotations: &Value) -> Order {
        let job = JobUid::new(format!("uid-{name}"));
        Order {
            key: JobKey { namespace: Namespace::from("team"), name: name.to_owned() },
            attempt: Attempt::FIRST,
            queue: QueueName::from("etl"),
            seq: 1,
            namespace: self.namespace.clone(),
            name: RemoteName::of(&self.hub, &job, Attempt::FIRST, name),
            template: Arc::new(json!({
                "metadata": {"annotations": annotations},
                "spec": {
                    "type": "Scala", "sparkVersion": "4.0.1", "mode": "cluster", "mainClass": "Pi",
                    "image": "spark", "mainApplicationFile": "local:///a.jar", "driver": {}, "executor": {},
                },
            })),
            remote_queue: None,
            parts: None,
            emr: None,
            start_deadline: None,
            job,
        }
    }

    /// Creates it; it must be accepted.
    pub(crate) async fn create(&self, member: &Arc<dyn Member>, order: &Order) -> RemoteUid {
        accepted(submit(member, order).await)
    }

    /// SparkApplications as the administrator sees them.
    pub(crate) fn applications(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("sparkoperator.k8s.io", "v1beta2", "SparkApplication");
        Api::namespaced_with(self.admin.clone(), self.namespace.as_str(), &ApiResource::from_gvk(&kind))
    }

    /// Plays the operator: writes a state.
    pub(crate) async fn set_state(&self, name: &RemoteName, state: &str) {
        let status = json!({"status": {
            "applicationState": {"state": state}, "driverInfo": {}, "terminationTime": null,
            "lastSubmissionAttemptTime": "2026-01-01T00:00:00Z",
        }});
        let params = PatchParams::default();
        self.applications().patch_status(name.as_str(), &params, &Patch::Merge(&status)).await.unwrap();
    }

    /// Waits until the member's view of a name satisfies `wanted`.
    pub(crate) async fn seen(
        &self,
        member: &Arc<dyn Member>,
        name: &RemoteName,
        wanted: impl Fn(&Remote) -> bool,
    ) -> Remote {
        let started = Instant::now();
        loop {
            let remote = member.observe(&self.namespace, name);
            if wanted(&remote) {
                return remote;
            }
            assert!(started.elapsed() < PATIENCE, "{name} looks like {remote:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the member's view shows that state.
    pub(crate) async fn state(
        &self,
        member: &Arc<dyn Member>,
        name: &RemoteName,
        state: &str,
    ) -> Observation {
        match self
            .seen(member, name, |remote| matches!(remote, Remote::Present(o) if o.native_state == state))
            .await
        {
            Remote::Present(observation) => *observation,
            other => panic!("{other:?}"),
        }
    }

    /// What to stop of an order.
    pub(crate) fn stop_order(order: &Order, uid: Option<RemoteUid>) -> StopOrder {
        StopOrder {
            job: order.job.clone(),
            attempt: order.attempt,
            namespace: order.namespace.clone(),
            name: order.name.clone(),
            uid,
            settled_at: Timestamp::MIN,
            spare_ended: false,
            rendered: None,
        }
    }
}

pub(crate) fn settings(name: &str, tempo: Tempo) -> Settings {
    Settings {
        name: ClusterName::from(name),
        namespace: NamespaceRule::SameAsJob,
        limits: Limits { requests_per_second: 500, concurrent: 32 },
        thresholds: Thresholds { lost_after: Duration::from_secs(4), ready_after: Duration::from_secs(1) },
        admission: Admission::Granted,
        tempo,
        parts: Arc::default(),
    }
}

/// Renders it and sends it.
pub(crate) async fn submit(member: &Arc<dyn Member>, order: &Order) -> Created {
    member.submit(&member.render(order.clone(), None), Timestamp::MIN).await
}

pub(crate) fn accepted(created: Created) -> RemoteUid {
    match created {
        Created::Accepted(uid) => uid,
        other => panic!("expected to be accepted: {other:?}"),
    }
}
