//! A member that runs the Kubeflow Spark operator.
//!
//! Owns one link: clients, probe, checks, watch, cache and window of one set of credentials. Other credentials are
//! another link (see [`crate::registry`]); its identity never changes under it. All calls are bounded in time.

mod finish;
mod stop;
mod submit;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use jiff::Timestamp;
use kube::{Api, Client, Config};
use parking_lot::Mutex;
use spark_router_core::{
    health::{LinkState, Thresholds},
    id::{Attempt, ClusterName, HubId, JobKey, JobUid, MemberIdentity, Namespace, RemoteName, RemoteUid},
    observe::{Observation, Remote},
    place::NamespaceRule,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::MissedTickBehavior,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    cache::{Cache, Owned},
    calls::Calls,
    error::Error,
    fold,
    link::{self, Limits},
    member::{Confirmation, Created, Driver, Fence, Health, Member, Order, StopOrder},
    preflight::{self, Found},
    render,
    standing::{Admission, Standing, Taken},
    view::Application,
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

/// Out of reach for at least this long: connections may have died unseen, so new ones are made.
const LONG_GAP: Duration = Duration::from_secs(5);
/// A probe that failed at once is repeated after this long, until its deadline.
const PROBE_AGAIN: Duration = Duration::from_millis(100);
/// The silence of an operator is looked at every so many probes: it goes through the whole cache.
const SILENCE_EVERY: u32 = 5;
/// Reads are given up after this long.
const READ: Duration = Duration::from_secs(10);

/// See the module.
pub struct Kubeflow {
    settings: Settings,
    hub: HubId,
    config: Config,
    calls: Calls,
    work: ArcSwap<Client>,
    probe: ArcSwap<Client>,
    standing: Standing,
    cache: Arc<Cache>,
    window: Arc<Window>,
    proofs: Mutex<HashMap<(JobUid, Attempt), stop::Proof>>,
    told: applications::Told,
    probe_now: Notify,
    check_now: Notify,
    watch_anew: Notify,
}

impl Kubeflow {
    /// A link that is not running yet.
    pub(crate) fn new(
        settings: Settings,
        config: Config,
        hub: HubId,
        calls: Calls,
        revision: Arc<watch::Sender<u64>>,
    ) -> Result<Arc<Self>, Error> {
        let (work, probe) = clients(&settings, &config, &calls)?;
        Ok(Arc::new(Self {
            work: ArcSwap::from_pointee(work),
            probe: ArcSwap::from_pointee(probe),
            standing: Standing::new(settings.thresholds, settings.admission.clone(), revision),
            cache: Arc::default(),
            window: Window::new(settings.tempo.window),
            proofs: Mutex::default(),
            told: applications::Told { synced: Notify::new(), refused: Notify::new() },
            probe_now: Notify::new(),
            check_now: Notify::new(),
            watch_anew: Notify::new(),
            settings,
            hub,
            config,
            calls,
        }))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The jobs of all its applications.
    pub(crate) fn cached_keys(&self) -> Vec<JobKey> {
        self.cache.keys()
    }

    /// All its applications of ours, once the view is in sync.
    pub(crate) fn owned(&self) -> Option<Vec<Owned>> {
        self.cache.is_synced().then(|| self.cache.owned(Instant::now()))
    }

    fn client(&self) -> Client {
        Client::clone(&self.work.load())
    }

    fn applications(&self, namespace: &Namespace) -> Api<Application> {
        Api::namespaced(self.client(), namespace.as_str())
    }

    /// Starts everything that keeps the link alive, until stopped.
    pub(crate) fn start(
        self: &Arc<Self>,
        keys: &mpsc::Sender<JobKey>,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        let (member, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { stopped.run_until_cancelled_owned(member.keep_probing()).await });
        let (member, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { stopped.run_until_cancelled_owned(member.keep_checking()).await });
        let (member, stopped, sender) = (self.clone(), stop.clone(), keys.clone());
        tasks.spawn(async move { stopped.run_until_cancelled_owned(member.keep_watching(sender)).await });
        let (member, stopped, sender) = (self.clone(), stop.clone(), keys.clone());
        tasks.spawn(async move { stopped.run_until_cancelled_owned(member.keep_calling(sender)).await });
    }

    /// New connections: the old ones may have died without a word, or hold credentials that were replaced.
    fn renew(&self) {
        match clients(&self.settings, &self.config, &self.calls) {
            Ok((work, probe)) => {
                self.work.store(Arc::new(work));
                self.probe.store(Arc::new(probe));
            }
            Err(error) => {
                warn!(cluster.name = %self.settings.name, %error, "the link is kept: no new one can be built");
            }
        }
    }

    async fn keep_probing(self: Arc<Self>) {
        let tempo = self.settings.tempo;
        let mut ticks = tokio::time::interval(tempo.probe_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered: Option<Instant> = None;
        let mut count = 0_u32;
        let mut refused = 0_u32;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.probe_now.notified() => {}
            }
            let started = Instant::now();
            let answer = tokio::time::timeout(tempo.probe_deadline, self.probe_until_answered()).await;
            let was = self.standing.link();
            if let Ok(taken) = answer {
                let back = self.standing.answered(taken);
                let gap = unanswered.take().map(|since| since.elapsed());
                if back && gap.is_some_and(|gap| gap >= LONG_GAP) {
                    self.renew();
                    self.watch_anew.notify_one();
                    self.check_now.notify_one();
                }
                if taken == Taken::Unauthorized {
                    // A client reads token files anew; a static token stays refused until its Secret changes.
                    if refused.is_multiple_of(10) {
                        self.renew();
                    }
                    refused = refused.saturating_add(1);
                } else if refused > 0 {
                    refused = 0;
                    self.watch_anew.notify_one();
                    self.check_now.notify_one();
                }
            } else {
                unanswered.get_or_insert(started);
                self.standing.missed();
            }
            let is = self.standing.link();
            if was.as_str() != is.as_str() {
                info!(cluster.name = %self.settings.name, from = was.as_str(), to = is.as_str(), "a member's link changed");
            }
            count = count.wrapping_add(1);
            if count.is_multiple_of(SILENCE_EVERY) {
                self.standing.silent(self.cache.silent(tempo.operator_patience, Instant::now()));
            }
        }
    }

    /// Asks whether the API server is ready to serve. Any answer that is not its own failure counts: also one that the
    /// account may not ask.
    async fn probe_until_answered(&self) -> Taken {
        loop {
            let client = Client::clone(&self.probe.load());
            let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
                return Taken::Yes;
            };
            match client.request_text(request).await {
                Ok(_) => return Taken::Yes,
                Err(kube::Error::Api(status)) if status.code == 401 => return Taken::Unauthorized,
                Err(kube::Error::Api(status)) if status.code < 500 => return Taken::Yes,
                Err(_) => tokio::time::sleep(PROBE_AGAIN).await,
            }
        }
    }

    async fn keep_checking(self: Arc<Self>) {
        let tempo = self.settings.tempo;
        let mut wait = tempo.recheck.0;
        let mut was_well = false;
        loop {
            let found = tokio::time::timeout(READ * 2, preflight::look(&self.client())).await;
            let well = match found {
                Ok(Found::Member { identity, version, fault }) => {
                    let fine = fault.is_none();
                    if let Some((reason, message)) = &fault {
                        warn!(cluster.name = %self.settings.name, reason, message, "a member cannot be used");
                    }
                    self.standing.checked(&identity, version, fault);
                    Some(fine)
                }
                Ok(Found::Closed(fault)) => {
                    self.standing.check_failed(fault);
                    Some(false)
                }
                Ok(Found::Unreachable(why)) => {
                    tracing::debug!(cluster.name = %self.settings.name, why, "a member could not be looked at");
                    None
                }
                Err(_) => None,
            };
            let pause = match well {
                Some(true) => {
                    if !was_well {
                        self.watch_anew.notify_one();
                    }
                    wait = tempo.recheck.0;
                    tempo.check_every
                }
                // Unreachable is the probe's business: look again as soon as it may answer.
                None if self.standing.identity().is_none() => tempo.recheck.0.min(Duration::from_secs(1)),
                Some(false) | None => {
                    let now = wait;
                    wait = (wait * 2).min(tempo.recheck.1);
                    now
                }
            };
            was_well = well.unwrap_or(was_well);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.check_now.notified() => tokio::time::sleep(Duration::from_millis(200)).await,
                () = self.told.refused.notified() => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn keep_watching(self: Arc<Self>, keys: mpsc::Sender<JobKey>) {
        // The first check says when there is something to watch.
        self.watch_anew.notified().await;
        loop {
            let watching = applications::run(
                &self.settings.name,
                self.client(),
                &self.hub,
                &self.cache,
                &keys,
                &self.told,
            );
            tokio::pin!(watching);
            loop {
                tokio::select! {
                    () = &mut watching => return,
                    () = self.told.synced.notified() => self.standing.synced(),
                    () = self.watch_anew.notified() => break,
                }
            }
        }
    }

    /// Calls jobs that found no place for their create.
    async fn keep_calling(self: Arc<Self>, keys: mpsc::Sender<JobKey>) {
        loop {
            let key = self.window.next().await;
            if keys.send(key).await.is_err() {
                return;
            }
        }
    }

    /// A quorum read by name.
    async fn read(&self, namespace: &Namespace, name: &RemoteName) -> Result<Option<Application>, Error> {
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

fn clients(settings: &Settings, config: &Config, calls: &Calls) -> Result<(Client, Client), Error> {
    let name = settings.name.as_str();
    Ok((
        link::work_client(config.clone(), name, settings.limits, calls)?,
        link::probe_client(config.clone(), name, calls)?,
    ))
}

#[async_trait]
impl Member for Kubeflow {
    fn name(&self) -> &ClusterName {
        &self.settings.name
    }

    fn identity(&self) -> Option<MemberIdentity> {
        self.standing.identity().cloned()
    }

    fn health(&self) -> Health {
        self.standing.health()
    }

    fn target_namespace(&self, namespace: &Namespace) -> Namespace {
        self.settings.namespace.target(namespace).clone()
    }

    fn render_hash(&self, order: &Order) -> String {
        render::application(order, &self.hub).1
    }

    fn observe(&self, namespace: &Namespace, name: &RemoteName) -> Remote {
        if self.standing.is_other_cluster() {
            return Remote::Unknown;
        }
        self.cache.observe(namespace, name)
    }

    async fn confirm(&self, namespace: &Namespace, name: &RemoteName) -> Confirmation {
        if let Err(why) = self.standing.may_be_asked() {
            return Confirmation::Unclear(why);
        }
        match self.read(namespace, name).await {
            Ok(None) => Confirmation::Gone,
            Ok(Some(application)) => match fold::observation(&application) {
                Some(observation) => Confirmation::Present(Box::new(observation)),
                None => Confirmation::Unclear("the application came without name or uid".to_owned()),
            },
            Err(error) => Confirmation::Unclear(crate::error::chain(&error)),
        }
    }

    async fn submit(&self, order: &Order) -> Created {
        self.create(order).await
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

    async fn driver(&self, namespace: &Namespace, name: &RemoteName, driver_pod: Option<&str>) -> Driver {
        self.look_at_driver(namespace, name, driver_pod).await
    }

    async fn driver_log_tail(&self, namespace: &Namespace, driver_pod: &str, bytes: u32) -> Option<String> {
        self.read_log_tail(namespace, driver_pod, bytes).await
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

impl Kubeflow {
    /// What the registry shows of a link.
    pub(crate) fn link(&self) -> LinkState {
        self.standing.link()
    }
}
