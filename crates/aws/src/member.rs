//! A virtual cluster of EMR on EKS as a member.
//!
//! Owns one link: the poller of its runs, a view made of that, and what was sent and not answered. A run has no finalizer
//! and is never deleted: its end stays readable for as long as AWS keeps it, and what is forgotten here is asked for by
//! name. Must never start a run under a token that may already have one, but to have that one given back: every
//! start looks first.

mod below;
mod calls;
mod fold;
mod health;
mod provided;
mod recall;
mod roles;
mod settings;
mod stop;
mod submit;
mod translator;
mod unanswered;

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock, atomic::AtomicU32},
    time::Instant,
};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use spark_router_core::{
    id::{ClusterName, HubId, JobKey, JobUid, MemberIdentity, Namespace, RemoteName, RemoteUid},
    observe::{Observation, Remote},
    restored::{Accounts, Shown},
    signal::Signals,
};
use spark_router_member::{
    Backend, Cache, Confirmation, Created, Driver, Error, Fault, Fence, Ground, Health, Link, Member, Order,
    Owned, Rendered, Standing, StopOrder, Suspended, WantedSignals, pods::Pods, render::Renderer,
};
use tokio::sync::{Notify, Semaphore, mpsc};

use self::{below::Below, roles::Roles};
pub use self::{
    provided::provider,
    settings::{Beneath, Made, Maker, Settings, Tempo, blueprint},
    translator::Translator,
};
use crate::{
    Clients,
    client::{Emr, Guarding, RunId, VirtualCluster},
    poll::Poller,
};

/// See the module.
pub struct EmrLink {
    settings: Settings,
    hub: HubId,
    guarding: Guarding,
    keys: mpsc::Sender<JobKey>,
    renderer: Renderer,
    standing: Standing,
    cache: Cache,
    /// Made by the link's own task: to make a client may take a moment.
    poller: OnceLock<Arc<Poller>>,
    /// The cluster that its pods are on, where a connection to that is given.
    below: Option<Below>,
    /// As it was seen last, and when.
    seen: RwLock<Option<(VirtualCluster, Timestamp)>>,
    wanted: Mutex<WantedSignals>,
    /// Why its runs may not be listed.
    unlisted: Mutex<Option<Fault>>,
    /// Names whose start was not answered, and when.
    unanswered: Mutex<HashMap<RemoteName, Timestamp>>,
    /// Names whose start was refused when it was asked for by its token, and when.
    not_recalled: Mutex<HashMap<RemoteName, Timestamp>>,
    /// What execution roles were refused and taken lately.
    roles: Mutex<Roles>,
    /// When the end of a run was asked for last.
    cancels: Mutex<HashMap<RunId, Instant>>,
    /// Starts under way.
    window: Semaphore,
    /// Jobs that found no turn for their start, and turns that were taken for those who were called.
    waiting: Mutex<VecDeque<JobKey>>,
    turns: AtomicU32,
    someone_waits: Notify,
    probe_now: Notify,
}

impl EmrLink {
    fn new(settings: Settings, ground: &Ground) -> Result<Arc<Self>, Error> {
        let guarding = Guarding {
            cluster: settings.name.as_str().to_owned(),
            calls: ground.calls().clone(),
            may_send: ground.may_send().clone(),
        };
        let name = settings.name.as_str();
        let pods = settings.below.as_ref().map(|below| {
            Pods::new(&below.connection, name, ground.calls(), ground.may_send())
                .map(|pods| Below::new(pods, below.name.clone()))
        });
        let below = pods.transpose()?;
        Ok(Arc::new(Self {
            below,
            hub: ground.hub().clone(),
            guarding,
            keys: ground.keys().clone(),
            renderer: Renderer::new(),
            standing: ground.standing(settings.thresholds, settings.admission.clone()),
            cache: Cache::default(),
            poller: OnceLock::new(),
            seen: RwLock::default(),
            wanted: Mutex::default(),
            unlisted: Mutex::default(),
            unanswered: Mutex::default(),
            not_recalled: Mutex::default(),
            roles: Mutex::default(),
            cancels: Mutex::default(),
            window: Semaphore::new(settings.tempo.window),
            waiting: Mutex::default(),
            turns: AtomicU32::new(0),
            someone_waits: Notify::new(),
            probe_now: Notify::new(),
            settings,
        }))
    }

    /// Starts what keeps it alive.
    fn start_tasks(self: &Arc<Self>, clients: Clients, ground: &Ground) {
        let (link, spawner) = (self.clone(), ground.clone());
        ground.spawn(async move {
            let Settings { access, virtual_cluster, .. } = &link.settings;
            let emr = clients.emr(access, virtual_cluster, link.guarding.clone()).await;
            let poller = Poller::new(emr, link.settings.tempo.poll);
            if link.poller.set(poller.clone()).is_err() {
                return;
            }
            spawner.spawn(poller.run(link.clone()));
            spawner.spawn(link.clone().keep_probing());
            spawner.spawn(link.keep_calling());
        });
    }

    fn emr(&self) -> Result<&Emr, String> {
        self.poller.get().map(|poller| poller.emr()).ok_or_else(|| "its client is not made yet".to_owned())
    }

    fn poller(&self) -> Result<&Arc<Poller>, String> {
        self.poller.get().ok_or_else(|| "its client is not made yet".to_owned())
    }
}

#[async_trait]
impl Member for EmrLink {
    fn name(&self) -> &ClusterName {
        &self.settings.name
    }

    fn backend(&self) -> Arc<dyn Backend> {
        self.settings.maker.backend()
    }

    fn identity(&self) -> Option<MemberIdentity> {
        self.standing.identity().cloned()
    }

    fn health(&self) -> Health {
        self.standing.health()
    }

    fn signals(&self) -> Arc<Signals> {
        self.room()
    }

    fn want_signals(&self, wanted: WantedSignals) {
        *self.wanted.lock() = wanted;
    }

    fn target_namespace(&self, namespace: &Namespace) -> Namespace {
        self.settings.namespace.target(namespace).clone()
    }

    fn render(&self, order: Order, before: Option<Arc<Rendered>>) -> Arc<Rendered> {
        Rendered::of(&self.renderer, order, before, |order| {
            self.settings.maker.make(order, &self.hub).map(|made| (made.body, made.hash))
        })
    }

    fn observe(&self, namespace: &Namespace, name: &RemoteName) -> Remote {
        if self.standing.is_other_cluster() {
            return Remote::Unknown;
        }
        match (self.cache.observe(namespace, name), self.unsettled_until(name)) {
            (Remote::Absent, Some(until)) => Remote::Unsettled { until },
            (seen, _) => seen,
        }
    }

    fn shows_all(&self, _: &Observation, _: u64) -> bool {
        // It counts runs, from their start.
        true
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

    async fn confirm(&self, _: &Namespace, name: &RemoteName, uid: Option<&RemoteUid>) -> Confirmation {
        self.look_up(name, uid).await
    }

    async fn submit(&self, rendered: &Rendered, settled_at: Timestamp) -> Created {
        self.start(rendered, settled_at).await
    }

    async fn release(&self, _: &Namespace, _: &RemoteName, _: &RemoteUid) -> Result<(), Error> {
        // Nothing holds a run.
        Ok(())
    }

    async fn retire(&self, namespace: &Namespace, name: &RemoteName, uid: &RemoteUid) -> Result<(), Error> {
        // There is nothing to delete: AWS forgets it in its own time.
        self.forget(namespace, name, uid);
        Ok(())
    }

    fn recalls(&self) -> bool {
        true
    }

    async fn stop(&self, order: &StopOrder) -> Fence {
        self.drive_to_fence(order).await
    }

    async fn suspend(
        &self,
        _: &Namespace,
        _: &RemoteName,
        _: &RemoteUid,
        _: bool,
    ) -> Result<Suspended, Error> {
        Ok(Suspended::Never("EMR on EKS cannot hold a job run; cancel it instead".to_owned()))
    }

    async fn driver(&self, _: &Namespace, name: &RemoteName, _: Option<&str>) -> Driver {
        self.driver_of(name).await
    }

    async fn driver_log_tail(&self, _: &Namespace, _: &str, _: u32) -> Option<String> {
        // Its pods are on a cluster that this link does not know; logs are where monitoring puts them.
        None
    }
}

impl Link for EmrLink {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn wanted_signals(&self) -> WantedSignals {
        self.wanted.lock().clone()
    }

    fn inherit_signals(&self, older: &dyn Link) {
        let older: &dyn Any = older;
        if let Some(older) = older.downcast_ref::<Self>() {
            let before = older.seen.read().clone();
            let mut seen = self.seen.write();
            if seen.is_none() {
                *seen = before;
            }
        }
    }

    fn cached_keys(&self) -> Vec<JobKey> {
        self.cache.keys()
    }

    fn owned(&self) -> Option<Vec<Owned>> {
        self.cache.is_synced().then(|| self.cache.owned(Instant::now()))
    }
}

/// What is later by some time.
fn later(at: Timestamp, by: std::time::Duration) -> Timestamp {
    let by = jiff::SignedDuration::try_from(by).unwrap_or(jiff::SignedDuration::MAX);
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// What is earlier by some time.
fn earlier(at: Timestamp, by: std::time::Duration) -> Timestamp {
    let by = jiff::SignedDuration::try_from(by).unwrap_or(jiff::SignedDuration::MAX);
    at.saturating_sub(by).unwrap_or(Timestamp::MIN)
}
