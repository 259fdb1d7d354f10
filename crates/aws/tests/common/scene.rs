//! A registry with one virtual cluster, as the tests of its link use it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use spark_router_aws::{
    Clients, EmrSettings,
    member::{Beneath, Settings, Tempo, Translator, blueprint},
    poll,
};
use spark_router_core::{
    health::{LinkState, Thresholds},
    id::{Attempt, ClusterName, HubId, JobKey, JobUid, Namespace, QueueName, RemoteName, RemoteUid},
    observe::{Observation, Remote, RunState},
    place::{Inexpressible, NamespaceRule},
};
use spark_router_member::{
    Admission, Asked, Connection, Created, MaySend, Member, Order, Registry, Rendered, StopOrder,
};
use spark_router_testkit::moto::{self, Lane};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Bench;

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The role of jobs that ask for it.
pub(crate) const OTHER_ROLE: &str = "another-role";

pub(crate) fn role(name: &str) -> String {
    format!("arn:aws:iam::{}:role/{name}", moto::ACCOUNT)
}

/// A registry with one virtual cluster.
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    pub(crate) registry: Registry,
    pub(crate) keys: mpsc::Receiver<JobKey>,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn tempo() -> Tempo {
    let poll = poll::Tempo {
        every: Duration::from_millis(200),
        jitter: Duration::from_millis(50),
        again: Duration::from_millis(100),
        ..poll::Tempo::default()
    };
    Tempo {
        poll,
        probe_every: Duration::from_millis(200),
        probe_deadline: Duration::from_secs(1),
        probe_again: Duration::from_millis(100),
        settle: Duration::from_secs(1),
        unheard: Duration::from_secs(3),
        stale_after: Duration::from_secs(4),
        stop_look: Duration::from_millis(100),
        ..Tempo::default()
    }
}

pub(crate) fn settings(bench: &Bench, tempo: &Tempo) -> Settings {
    let backend = json!({
        "virtualClusterId": bench.made.id,
        "region": moto::REGION,
        "releases": [{"sparkVersion": "3.5", "releaseLabel": moto::RELEASE}],
        "executionRoles": [{"arn": role("spark-job-role")}, {"arn": role(OTHER_ROLE)}],
    });
    let backend = EmrSettings::new(&serde_json::from_value(backend).unwrap()).unwrap();
    let thresholds =
        Thresholds { lost_after: Duration::from_secs(3), ready_after: Duration::from_millis(500) };
    Settings {
        name: ClusterName::from(super::CLUSTER),
        access: bench.access(),
        virtual_cluster: bench.made.id.clone(),
        namespace: NamespaceRule::Fixed(Namespace::from("spark")),
        thresholds,
        admission: Admission::Granted,
        tempo: *tempo,
        below: None,
        maker: Arc::new(Translator::new(backend, Arc::default())),
    }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Bench::start(Lane::Controlled).await, &tempo()).await
    }

    pub(crate) async fn with(bench: Bench, tempo: &Tempo) -> Self {
        let scene = Self::unready(bench, tempo);
        let member = scene.member();
        until("a ready member", async || member.health().link == LinkState::Ready).await;
        scene
    }

    pub(crate) fn unready(bench: Bench, tempo: &Tempo) -> Self {
        let settings = settings(&bench, tempo);
        Self::linked(bench, settings)
    }

    fn linked(bench: Bench, settings: Settings) -> Self {
        let (sender, keys) = mpsc::channel(10_000);
        let stop = CancellationToken::new();
        let registry = Registry::new(hub(), sender, bench.calls.clone(), MaySend::always(), stop.clone());
        registry.put(blueprint(settings, bench.clients.clone())).unwrap();
        Self { bench, registry, keys, stop }
    }

    /// With a way to a cluster that is taken for the one below.
    pub(crate) async fn above(bench: Bench, connection: Connection) -> Self {
        let below = Some(Beneath { connection, name: None });
        let settings = Settings { below, ..settings(&bench, &tempo()) };
        let scene = Self::linked(bench, settings);
        let member = scene.member();
        until("a ready member", async || member.health().link == LinkState::Ready).await;
        scene
    }

    pub(crate) fn member(&self) -> Arc<dyn Member> {
        self.registry.get(&ClusterName::from(super::CLUSTER)).unwrap()
    }

    /// As another process begins: it knows nothing.
    pub(crate) async fn again(self, tempo: &Tempo) -> Self {
        self.stop.cancel();
        self.registry.closed().await;
        Self::with(Bench { clients: Clients::with_limits(super::limits()), ..self.bench }, tempo).await
    }

    pub(crate) async fn submit(&self, order: Order) -> (Arc<Rendered>, Created) {
        let member = self.member();
        let rendered = member.render(order, None);
        let created = member.submit(&rendered, Timestamp::MIN).await;
        (rendered, created)
    }

    pub(crate) async fn accepted(&self, order: Order) -> RemoteUid {
        match self.submit(order).await.1 {
            Created::Accepted(uid) => uid,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn seen(&self, order: &Order) -> Remote {
        self.member().observe(&order.namespace, &order.name)
    }

    pub(crate) async fn until_run(&self, order: &Order, state: &RunState) -> Observation {
        until(
            &format!("{state:?}"),
            async || matches!(self.seen(order), Remote::Present(seen) if seen.run == *state),
        )
        .await;
        match self.seen(order) {
            Remote::Present(seen) => *seen,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn starts(&self) -> u64 {
        self.bench.moto.calls().await.unwrap().of("StartJobRun")
    }
}

pub(crate) fn hub() -> HubId {
    HubId::from("5f2b7b0e-0000-4000-8000-000000000001")
}

pub(crate) fn template() -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "metadata": {},
        "spec": {
            "type": "Python", "mode": "cluster", "sparkVersion": "3.5.1",
            "mainApplicationFile": "s3://secret-bucket/pi.py", "arguments": ["hush"],
            "driver": {"cores": 1, "memory": "1g"}, "executor": {"cores": 1, "instances": 2, "memory": "1g"},
        },
    })
}

pub(crate) fn order(name: &str) -> Order {
    let (job, attempt) = (JobUid::from(format!("0b1c2d3e-{name}").as_str()), Attempt::FIRST);
    Order {
        name: RemoteName::of(&hub(), &job, attempt, name),
        key: JobKey { namespace: Namespace::from("team-a"), name: name.to_owned() },
        job,
        attempt,
        queue: QueueName::from("etl"),
        seq: 7,
        namespace: Namespace::from("spark"),
        template: Arc::new(template()),
        remote_queue: None,
        parts: Some(Arc::default()),
        emr: None,
        start_deadline: None,
    }
}

pub(crate) fn cannot_run(scene: &Scene, template: &Value) -> Vec<Inexpressible> {
    let key = JobKey { namespace: Namespace::from("team-a"), name: "daily".to_owned() };
    let asked = Asked { key: &key, template, emr: None, pod_template_files: false };
    scene.member().backend().inexpressible(&asked)
}

pub(crate) fn stop(order: &Order, uid: Option<RemoteUid>, spare_ended: bool) -> StopOrder {
    StopOrder {
        job: order.job.clone(),
        attempt: order.attempt,
        namespace: order.namespace.clone(),
        name: order.name.clone(),
        uid,
        settled_at: Timestamp::now(),
        spare_ended,
        rendered: None,
    }
}

pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
