//! The hub's side of members: their objects and Secrets in, links and statuses out.
//!
//! Owns the watches of MemberClusters and of the router's Secrets, and is the one writer of MemberCluster statuses. A
//! pass looks at everything again: it makes links of what is written, says which of them may be used, and writes what
//! shows. While another router leads the links are made all the same, and nothing is written. Must never wait for a
//! member, and never log what a Secret holds.

mod blueprints;
mod judge;
mod notes;
mod placements;
mod report;
mod secrets;
mod swept;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher,
    },
};
use serde_json::json;
use spark_router_api::{
    API_VERSION, MemberCluster, MemberClusterStatus, RoutedSparkJob, condition::reason, names,
};
use spark_router_core::{
    breaker::State,
    dispatch::{Dispatcher, QueueOnMember},
    id::ClusterName,
    resources::Resources,
};
use spark_router_member::{Admission, Claim, Fault, Providers, Registry, Which, sweep};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::notes::Abandon;
use self::{blueprints::Blueprints, notes::Note, secrets::Secrets, swept::SweptJobs};
use crate::{
    dispatcher,
    error::Error,
    hub::{Hub, in_time},
    lease::Lease,
};

/// A pass comes at least this often: blocks and counters change without an event.
const TICK: Duration = Duration::from_secs(2);
/// What happens within this time is looked at in one pass.
const COALESCE: Duration = Duration::from_millis(20);
/// Counters alone are written at most this often.
const COUNTERS: Duration = Duration::from_secs(10);

/// What the members' part is made of.
pub struct Parts {
    /// The hub.
    pub client: Client,
    /// The router's own namespace: Secrets are read only there.
    pub namespace: String,
    /// How the hub itself is reached as a member.
    pub hub_config: kube::Config,
    /// The kinds of members that there may be.
    pub providers: Providers,
    /// Where links are kept.
    pub registry: Registry,
    /// Knows what is placed where.
    pub dispatcher: dispatcher::Handle,
    /// Knows which jobs exist.
    pub hub: Hub,
    /// Says whether anything may be written.
    pub lease: Lease,
    /// Cancelled when the dispatcher's account is complete: what is placed on a member is not known before.
    pub deciding: CancellationToken,
    /// The jobs, to ask the hub only for those that are not among them.
    pub jobs: Store<RoutedSparkJob>,
    /// How often members are swept.
    pub sweep_every: Duration,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// The running part.
pub struct Members {
    /// The members' objects.
    pub store: Store<MemberCluster>,
    /// Changes with each change of an object.
    pub changed: watch::Receiver<u64>,
    /// Whether the objects have been listed once. Not the store's own signal: that wakes only the last of those who wait.
    pub listed: watch::Receiver<bool>,
    /// Notes attempts that were let go of.
    pub abandon: Abandon,
    /// Ends when everything has ended.
    pub task: JoinHandle<()>,
}

/// Starts the watches, the keeper of links and statuses, and the sweep.
pub fn start(parts: Parts) -> Members {
    let (store, writer) = reflector::store();
    let (changing, changed) = watch::channel(0);
    let (listing, listed) = watch::channel(false);
    let (abandon, notes) = Abandon::channel();
    let secrets = Secrets::default();
    let watching = watch_objects(parts.client.clone(), writer, changing, listing);
    let keeper = Keeper {
        client: parts.client.clone(),
        registry: parts.registry.clone(),
        dispatcher: parts.dispatcher,
        lease: parts.lease,
        deciding: parts.deciding,
        store: store.clone(),
        blueprints: Blueprints::new(parts.hub_config, secrets.clone(), parts.providers),
        notes: Vec::new(),
        newest: HashMap::new(),
        counted: HashMap::new(),
        known: BTreeSet::new(),
    };
    sweep::start(
        &parts.registry,
        Arc::new(SweptJobs { hub: parts.hub, jobs: parts.jobs, store: store.clone() }),
        sweep::Pace::every(parts.sweep_every),
    );
    let looking_at_secrets = secrets.watch(parts.client, parts.namespace);
    let (stop, registry) = (parts.stop, parts.registry);
    let objects = changed.clone();
    let ready = listed.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = watching => {}
            () = looking_at_secrets => {}
            () = keeper.run(ready, objects, secrets, notes) => {}
        }
        // Links end with the same stop.
        stop.cancelled().await;
        registry.closed().await;
    });
    Members { store, changed, listed, abandon, task }
}

async fn watch_objects(
    client: Client,
    writer: reflector::store::Writer<MemberCluster>,
    changing: watch::Sender<u64>,
    listing: watch::Sender<bool>,
) {
    let mut stream = std::pin::pin!(
        watcher(Api::<MemberCluster>::all(client), watcher::Config::default())
            .default_backoff()
            .modify(|object| object.managed_fields_mut().clear())
            .reflect(writer)
    );
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                if matches!(event, watcher::Event::InitDone) {
                    listing.send_replace(true);
                }
                changing.send_modify(|count| *count += 1);
            }
            Err(error) => warn!(%error, "the watch of MemberClusters failed; it is set up again"),
        }
    }
}

/// Keeps links and statuses.
struct Keeper {
    client: Client,
    registry: Registry,
    dispatcher: dispatcher::Handle,
    lease: Lease,
    deciding: CancellationToken,
    store: Store<MemberCluster>,
    blueprints: Blueprints,
    notes: Vec<Note>,
    /// What was written last, by the version it was written on, until the watch has caught up.
    newest: HashMap<String, (Option<String>, Arc<MemberCluster>)>,
    /// When a status was last written.
    counted: HashMap<String, Instant>,
    /// Members that have an object.
    known: BTreeSet<ClusterName>,
}

impl Keeper {
    async fn run(
        mut self,
        mut listed: watch::Receiver<bool>,
        mut objects: watch::Receiver<u64>,
        secrets: Secrets,
        mut notes: notes::Inbox,
    ) {
        if listed.wait_for(|listed| *listed).await.is_err() {
            return;
        }
        let mut links = self.registry.subscribe();
        let mut secrets_changed = secrets.subscribe();
        let (lease, deciding) = (self.lease.clone(), self.deciding.clone());
        let (mut leads, mut decides) = (false, false);
        loop {
            self.pass().await;
            tokio::select! {
                () = lease.taken(), if !leads => leads = true,
                () = deciding.cancelled(), if !decides => {
                    decides = true;
                    // What was counted before was not worth a write.
                    self.counted.clear();
                }
                // A closed channel means that its task ended; the stop follows.
                _ = objects.changed() => {}
                _ = links.changed() => {}
                _ = secrets_changed.changed() => {}
                note = notes.recv() => self.notes.extend(note),
                () = tokio::time::sleep(TICK) => {}
            }
            tokio::time::sleep(COALESCE).await;
            while let Ok(note) = notes.try_recv() {
                self.notes.push(note);
            }
        }
    }

    async fn pass(&mut self) {
        let objects: Vec<Arc<MemberCluster>> = self
            .store
            .state()
            .into_iter()
            .map(|object| self.newest(object))
            .filter(|object| !is_gone(object))
            .collect();
        let mut faults = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for object in &objects {
            let cluster = ClusterName::new(object.name_any());
            seen.insert(cluster.clone());
            if let Err(fault) = self.link(object).await {
                faults.insert(cluster, fault);
            }
        }
        for gone in self.known.difference(&seen) {
            self.registry.remove(gone);
            self.blueprints.forget(gone);
            self.newest.remove(gone.as_str());
            self.counted.remove(gone.as_str());
        }
        self.known = seen;
        self.admit(&objects, &faults).await;
        let is_ours = self.lease.holds();
        for object in objects.iter().filter(|_| is_ours) {
            if let Err(error) = self.keep(object, &faults).await {
                match error {
                    Error::Conflict | Error::NotLeading => debug!(
                        cluster.name = object.name_any(),
                        %error,
                        "a member's status waits"
                    ),
                    error => warn!(
                        cluster.name = object.name_any(),
                        error = &error as &dyn std::error::Error,
                        "a member's object was not written"
                    ),
                }
            }
        }
        // Notes about members that are gone have nowhere to go.
        let known = &self.known;
        self.notes.retain_mut(|note| known.contains(&note.cluster) || note.done());
    }

    /// The object, or what was written of it where the watch is behind.
    fn newest(&mut self, shown: Arc<MemberCluster>) -> Arc<MemberCluster> {
        let name = shown.name_any();
        match self.newest.get(&name) {
            Some((on, written)) if *on == shown.resource_version() => written.clone(),
            Some(_) => {
                self.newest.remove(&name);
                shown
            }
            None => shown,
        }
    }

    /// Makes or changes a member's link.
    async fn link(&mut self, object: &MemberCluster) -> Result<(), Fault> {
        let blueprint = self.blueprints.of(object).await?;
        self.registry
            .put(blueprint)
            .map_err(|error| (reason::KUBECONFIG_REFUSED, spark_router_member::error::chain(&error)))
    }

    /// Says which links may be used.
    async fn admit(&self, objects: &[Arc<MemberCluster>], faults: &BTreeMap<ClusterName, Fault>) {
        let claims = self.registry.claims();
        let mut held = BTreeMap::new();
        for claim in judge::moved(&claims, objects) {
            // A read that fails says nothing: nobody may be cut off from placements that cannot be counted.
            let holds = match placements::exist(&self.client, &claim.cluster).await {
                Ok(holds) => holds,
                Err(error) => {
                    warn!(cluster.name = %claim.cluster, error = &error as &dyn std::error::Error, "placements could not be counted");
                    true
                }
            };
            held.insert(claim.cluster.clone(), holds);
        }
        for (Claim { cluster, which, admission: before, .. }, mut verdict) in
            judge::verdicts(&claims, objects, &held)
        {
            if let (Which::Current, Admission::Granted, Some(fault)) = (which, &verdict, faults.get(&cluster))
            {
                // What is placed there goes on over the old link; nothing new starts.
                verdict = Admission::Barred(fault.clone());
            }
            if verdict != before {
                if let Admission::Barred((reason, message)) = &verdict {
                    warn!(cluster.name = %cluster, reason, message, "a member takes nothing new");
                }
                self.registry.admit(&cluster, which, verdict);
            }
        }
    }

    /// Finalizer and status of one object.
    async fn keep(
        &mut self,
        object: &Arc<MemberCluster>,
        faults: &BTreeMap<ClusterName, Fault>,
    ) -> Result<(), Error> {
        let name = object.name_any();
        let cluster = ClusterName::new(&name);
        let is_held = is_held(object);
        let deleting = object.metadata.deletion_timestamp.is_some();
        let (asked, now) = (cluster.clone(), Timestamp::now());
        let (held, queues, breaker): (Resources, Vec<QueueOnMember>, State) = self
            .dispatcher
            .read(move |d: &mut Dispatcher| {
                (d.on_member(&asked), d.on_member_by_queue(&asked, now), d.breaker(&asked, now))
            })
            .await?;
        // Decisions that are not on record yet count in the ledger, others' on the hub.
        let is_empty =
            async || Ok::<_, Error>(held.jobs == 0 && !placements::exist(&self.client, &cluster).await?);
        let is_counted = self.deciding.is_cancelled();
        if deleting && is_counted && (object.spec.forget || is_empty().await?) {
            info!(cluster.name = name, forgotten = object.spec.forget, "a deleted member is let go of");
            self.registry.remove(&cluster);
            return self.set_held(object, false).await;
        }
        if !deleting && !is_held {
            return self.set_held(object, true).await;
        }
        let facts = report::Facts {
            fault: faults.get(&cluster),
            report: self.registry.report(&cluster),
            held,
            queues,
            breaker: is_counted.then_some(breaker),
            notes: self.notes.iter().filter(|note| note.cluster == cluster).collect(),
            now: Time(now),
        };
        let mut next = report::status(object, &facts);
        let present = object.status.clone().unwrap_or_default();
        if !is_counted {
            // What another process counted last is closer to it than what is known here.
            next.active_jobs = present.active_jobs;
            next.ledger.clone_from(&present.ledger);
            next.queues.clone_from(&present.queues);
        }
        let due = self.counted.get(&name).is_none_or(|at| at.elapsed() >= COUNTERS);
        if !report::differs(&present, &next, due) {
            self.noted(&cluster, &present);
            return Ok(());
        }
        let written = self.write(object, &next).await?;
        self.counted.insert(name.clone(), Instant::now());
        self.newest.insert(name, (object.resource_version(), Arc::new(written)));
        self.noted(&cluster, &next);
        Ok(())
    }

    /// Answers those whose note is on record.
    fn noted(&mut self, cluster: &ClusterName, status: &MemberClusterStatus) {
        self.notes.retain_mut(|note| {
            let on_record = note.cluster == *cluster && status.abandoned.iter().any(|row| note.is(row));
            !on_record || note.done()
        });
    }

    async fn write(
        &self,
        object: &MemberCluster,
        status: &MemberClusterStatus,
    ) -> Result<MemberCluster, Error> {
        self.lease.check()?;
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": "MemberCluster",
            "metadata": {"name": object.name_any(), "resourceVersion": object.resource_version()},
            "status": status,
        });
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let (members, name) = (Api::<MemberCluster>::all(self.client.clone()), object.name_any());
        let (doing, patch) = ("writing a member's status", Patch::Apply(&body));
        in_time(doing, members.patch_status(&name, &params, &patch)).await
    }

    async fn set_held(&mut self, object: &MemberCluster, held: bool) -> Result<(), Error> {
        self.lease.check()?;
        let mut finalizers = object.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != names::PLACEMENTS_FINALIZER);
        if held {
            finalizers.push(names::PLACEMENTS_FINALIZER.to_owned());
        }
        let body =
            json!({"metadata": {"resourceVersion": object.resource_version(), "finalizers": finalizers}});
        let params =
            PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let (members, name) = (Api::<MemberCluster>::all(self.client.clone()), object.name_any());
        let patch = Patch::Merge(&body);
        let written = in_time("writing a member's finalizers", members.patch(&name, &params, &patch)).await?;
        self.newest.insert(name, (object.resource_version(), Arc::new(written)));
        Ok(())
    }
}

fn is_held(object: &MemberCluster) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == names::PLACEMENTS_FINALIZER)
}

/// Let go of: only others may still hold the object.
fn is_gone(object: &MemberCluster) -> bool {
    object.metadata.deletion_timestamp.is_some() && !is_held(object)
}
