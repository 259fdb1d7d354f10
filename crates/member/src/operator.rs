//! A member that runs a Spark operator.
//!
//! Owns one link: clients, probe, checks, watch, cache and window of one set of credentials. Other credentials are
//! another link (see [`crate::registry`]); its identity never changes under it. All calls are bounded in time. What is
//! peculiar to one operator is in its [`Dialect`].

pub(crate) mod dialect;
mod finish;
mod keep;
pub(crate) mod marks;
pub(crate) mod provided;
mod stop;
mod submit;
mod suspend;

pub(crate) use provided::namespace_rule;
pub use provided::thresholds;

use std::{
    any::Any,
    collections::HashMap,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use jiff::Timestamp;
use kube::{Api, Client};
use parking_lot::Mutex;
use spark_router_core::{
    health::{LinkState, Thresholds},
    id::{Attempt, ClusterName, HubId, JobKey, JobUid, MemberIdentity, Namespace, RemoteName, RemoteUid},
    observe::{Observation, Remote},
    place::NamespaceRule,
    restored::{Accounts, Shown},
    signal::Signals,
};
use tokio::sync::Notify;

use crate::{
    cache::{Cache, Owned},
    calls::Calls,
    clients::{self, Limits, MaySend},
    connection::Connection,
    error::Error,
    link::{self, Blueprint, Ground, Link},
    member::{Backend, Confirmation, Created, Driver, Fence, Health, Member, StopOrder, Suspended},
    operator::dialect::Dialect,
    render::{MemberParts, Order, Rendered, Renderer},
    signals::{Line, Readers, WantedSignals},
    standing::{Admission, Standing},
    watch as applications,
    window::Window,
};

/// How a member is used. A change of any of it makes another link.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The name of its `MemberCluster`.
    pub name: ClusterName,
    /// Where jobs run there.
    pub namespace: NamespaceRule,
    /// How hard it may be worked.
    pub limits: Limits,
    /// When it counts as lost and as back.
    pub thresholds: Thresholds,
    /// Whether somebody has to agree to what the link turns out to reach before it is used ([`crate::Registry::admit`]).
    pub admission: Admission,
    /// Times of its machinery.
    pub tempo: Tempo,
    /// What it adds to every application.
    pub parts: Arc<MemberParts>,
}

/// Times of a link's machinery. The defaults are the design's; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// Between probes.
    pub probe_every: Duration,
    /// A probe unanswered for this long is missed.
    pub probe_deadline: Duration,
    /// Between two proofs that nothing runs, for an attempt whose submission may hang unseen: a submission that was
    /// under way when the application went still makes a driver within about this time.
    pub settle: Duration,
    /// A create unanswered for this long is overdue.
    pub overdue: Duration,
    /// A fresh application that nobody picks up for this long shows that nobody runs an operator for it.
    pub operator_patience: Duration,
    /// Between checks of rights and CRD while all is well.
    pub check_every: Duration,
    /// Between checks while something is wrong, at first and at most.
    pub recheck: (Duration, Duration),
    /// Creates on their way at once.
    pub window: usize,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            probe_every: Duration::from_secs(1),
            probe_deadline: Duration::from_secs(1),
            settle: Duration::from_secs(10),
            overdue: Duration::from_millis(250),
            operator_patience: Duration::from_mins(1),
            check_every: Duration::from_mins(5),
            recheck: (Duration::from_secs(2), Duration::from_mins(5)),
            window: 16,
        }
    }
}

/// Reads are given up after this long.
const READ: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Operator<D> {
    settings: Settings,
    hub: HubId,
    renderer: Renderer,
    connection: Connection,
    calls: Calls,
    may_send: MaySend,
    work: ArcSwap<Client>,
    probe: ArcSwap<Client>,
    signal: ArcSwap<Client>,
    standing: Standing,
    cache: Arc<Cache>,
    window: Arc<Window>,
    readers: Arc<Readers>,
    proofs: Mutex<HashMap<(JobUid, Attempt), stop::Proof>>,
    told: applications::Told,
    probe_now: Notify,
    check_now: Notify,
    watch_anew: Notify,
    dialect: PhantomData<D>,
}

/// What such a link is made of.
struct Plan<D> {
    settings: Settings,
    connection: Connection,
    dialect: PhantomData<D>,
}

/// The blueprint of a link.
pub(crate) fn blueprint<D: Dialect>(settings: Settings, connection: Connection) -> Arc<dyn Blueprint> {
    Arc::new(Plan::<D> { settings, connection, dialect: PhantomData })
}

impl<D> PartialEq for Plan<D> {
    fn eq(&self, other: &Self) -> bool {
        self.connection.fingerprint == other.connection.fingerprint && self.settings == other.settings
    }
}

impl<D: Dialect> Blueprint for Plan<D> {
    fn name(&self) -> &ClusterName {
        &self.settings.name
    }

    fn is_same(&self, other: &dyn Blueprint) -> bool {
        link::same(self, other)
    }

    fn start(&self, ground: &Ground) -> Result<Arc<dyn Link>, Error> {
        let link = Operator::<D>::new(self.settings.clone(), self.connection.clone(), ground)?;
        link.start(ground);
        Ok(link)
    }
}

impl<D: Dialect> Link for Operator<D> {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn wanted_signals(&self) -> WantedSignals {
        self.readers.wanted()
    }

    fn inherit_signals(&self, older: &dyn Link) {
        let older: &dyn Any = older;
        if let Some(older) = older.downcast_ref::<Self>() {
            self.readers.inherit(&older.readers);
        }
    }

    fn cached_keys(&self) -> Vec<JobKey> {
        self.cache.keys()
    }

    fn owned(&self) -> Option<Vec<Owned>> {
        self.cache.is_synced().then(|| self.cache.owned(Instant::now()))
    }
}

impl<D: Dialect> Operator<D> {
    /// A link that is not running yet.
    fn new(settings: Settings, connection: Connection, ground: &Ground) -> Result<Arc<Self>, Error> {
        let (calls, may_send) = (ground.calls().clone(), ground.may_send().clone());
        let Clients { work, probe, signal } = clients(&settings, &connection, &calls, &may_send)?;
        Ok(Arc::new(Self {
            work: ArcSwap::from_pointee(work),
            probe: ArcSwap::from_pointee(probe),
            signal: ArcSwap::from_pointee(signal),
            standing: ground.standing(settings.thresholds, settings.admission.clone()),
            cache: Arc::default(),
            window: Window::new(settings.tempo.window),
            readers: Arc::default(),
            proofs: Mutex::default(),
            told: applications::Told { synced: Notify::new(), refused: Notify::new() },
            probe_now: Notify::new(),
            check_now: Notify::new(),
            watch_anew: Notify::new(),
            dialect: PhantomData,
            renderer: Renderer::new(),
            settings,
            hub: ground.hub().clone(),
            connection,
            calls,
            may_send,
        }))
    }

    fn client(&self) -> Client {
        Client::clone(&self.work.load())
    }

    fn applications(&self, namespace: &Namespace) -> Api<D::Application> {
        Api::namespaced(self.client(), namespace.as_str())
    }

    /// A quorum read by name.
    async fn read(&self, namespace: &Namespace, name: &RemoteName) -> Result<Option<D::Application>, Error> {
        const DOING: &str = "reading an application";
        let applications = self.applications(namespace);
        match tokio::time::timeout(READ, applications.get(name.as_str())).await {
            Ok(Ok(application)) => Ok(Some(application)),
            Ok(Err(kube::Error::Api(status))) if is_absent(&status, name.as_str()) => Ok(None),
            Ok(Err(error)) => Err(Error::call(DOING)(error)),
            Err(_) => Err(Error::Timeout { doing: DOING, after: READ }),
        }
    }
}

/// Whether a 404 speaks of this very object. That the whole resource is not served is no proof of anything.
fn is_absent(status: &kube::core::Status, name: &str) -> bool {
    status.code == 404 && status.details.as_ref().is_some_and(|details| details.name == name)
}

/// The clients of one set of connections.
struct Clients {
    work: Client,
    probe: Client,
    signal: Client,
}

fn clients(
    settings: &Settings,
    connection: &Connection,
    calls: &Calls,
    may_send: &MaySend,
) -> Result<Clients, Error> {
    let name = settings.name.as_str();
    Ok(Clients {
        work: clients::work_client(connection, name, settings.limits, calls, may_send)?,
        probe: clients::probe_client(connection, name, calls)?,
        signal: clients::signal_client(connection, name, calls)?,
    })
}

#[async_trait]
impl<D: Dialect> Member for Operator<D> {
    fn name(&self) -> &ClusterName {
        &self.settings.name
    }

    fn backend(&self) -> Arc<dyn Backend> {
        D::backend()
    }

    fn identity(&self) -> Option<MemberIdentity> {
        self.standing.identity().cloned()
    }

    fn health(&self) -> Health {
        self.standing.health()
    }

    fn signals(&self) -> Arc<Signals> {
        if self.standing.is_other_cluster() {
            return Arc::default();
        }
        self.readers.shown()
    }

    fn want_signals(&self, wanted: WantedSignals) {
        self.readers.want(wanted);
    }

    fn target_namespace(&self, namespace: &Namespace) -> Namespace {
        self.settings.namespace.target(namespace).clone()
    }

    fn render(&self, order: Order, before: Option<Arc<Rendered>>) -> Arc<Rendered> {
        Rendered::of(&self.renderer, order, before, |order| {
            let (application, hash) = D::render(order, &self.hub, &self.settings.parts)?;
            Ok((application.to_string().into_bytes(), hash))
        })
    }

    fn observe(&self, namespace: &Namespace, name: &RemoteName) -> Remote {
        if self.standing.is_other_cluster() {
            return Remote::Unknown;
        }
        self.cache.observe(namespace, name)
    }

    fn shows_all(&self, seen: &Observation, executors: u64) -> bool {
        D::shows_all(seen, executors)
    }

    fn traces(&self, job: &JobUid) -> Vec<(Namespace, Observation)> {
        if self.standing.is_other_cluster() {
            return Vec::new();
        }
        self.cache.traces(job, &self.hub)
    }

    fn beyond(&self, accounts: &Accounts) -> Option<Vec<Shown>> {
        if self.standing.is_other_cluster() {
            return None;
        }
        self.cache.beyond(&self.settings.name, &self.identity()?, &self.hub, accounts)
    }

    async fn confirm(&self, namespace: &Namespace, name: &RemoteName, _: Option<&RemoteUid>) -> Confirmation {
        if let Err(why) = self.standing.may_be_asked() {
            return Confirmation::Unclear(why);
        }
        match self.read(namespace, name).await {
            Ok(None) => Confirmation::Gone,
            Ok(Some(application)) => match D::observation(&application) {
                Some(observation) => Confirmation::Present(Box::new(observation)),
                None => Confirmation::Unclear("the application came without name or uid".to_owned()),
            },
            Err(error) => Confirmation::Unclear(crate::error::chain(&error)),
        }
    }

    async fn submit(&self, rendered: &Rendered, _: Timestamp) -> Created {
        // An API server takes a name once, whoever sends it and however late.
        self.create(rendered).await
    }

    async fn release(&self, namespace: &Namespace, name: &RemoteName, uid: &RemoteUid) -> Result<(), Error> {
        self.let_go(namespace, name, uid).await
    }

    async fn retire(&self, namespace: &Namespace, name: &RemoteName, uid: &RemoteUid) -> Result<(), Error> {
        self.delete_finished(namespace, name, uid).await
    }

    async fn stop(&self, order: &StopOrder) -> Fence {
        self.drive_to_fence(order).await
    }

    async fn suspend(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
        suspend: bool,
    ) -> Result<Suspended, Error> {
        self.hold(namespace, name, uid, suspend).await
    }

    async fn driver(&self, namespace: &Namespace, name: &RemoteName, driver_pod: Option<&str>) -> Driver {
        self.look_at_driver(namespace, name, driver_pod).await
    }

    async fn driver_log_tail(&self, namespace: &Namespace, driver_pod: &str, bytes: u32) -> Option<String> {
        self.read_log_tail(namespace, driver_pod, bytes).await
    }
}

#[async_trait]
impl<D: Dialect> Line for Operator<D> {
    fn cluster(&self) -> &ClusterName {
        &self.settings.name
    }

    fn client(&self) -> Client {
        Client::clone(&self.signal.load())
    }

    fn only_namespace(&self) -> Option<&Namespace> {
        match &self.settings.namespace {
            NamespaceRule::Fixed(namespace) => Some(namespace),
            NamespaceRule::SameAsJob => None,
        }
    }

    fn is_ready(&self) -> bool {
        self.standing.link() == LinkState::Ready && !self.standing.is_other_cluster()
    }

    async fn ready(&self) {
        let mut changed = self.standing.subscribe();
        while !Line::is_ready(self) && changed.changed().await.is_ok() {}
    }

    fn tell(&self) {
        self.standing.tell();
    }
}

/// Whether an observation is this attempt of this hub's job.
fn is_attempt(observation: &Observation, hub: &HubId, job: &JobUid, attempt: Attempt) -> bool {
    observation
        .owner
        .as_ref()
        .is_some_and(|owner| owner.hub == *hub && owner.job == *job && owner.attempt == attempt)
}

/// Now, and some time from now.
fn in_time(by: Duration) -> Timestamp {
    let by = jiff::SignedDuration::try_from(by).unwrap_or(jiff::SignedDuration::MAX);
    Timestamp::now().saturating_add(by).unwrap_or(Timestamp::MAX)
}
