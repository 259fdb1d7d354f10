//! Tells the dispatcher what its members are, and the jobs of a member that it changed.
//!
//! Owns what was told last. Facts come from two places, a member's object and its link; a change of either is told at
//! once. A member that was not looked at for signs of a restore takes nothing yet: what waits for it might have run there.
//! Must never wait for a member.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::{ResourceExt, runtime::reflector::Store};
use spark_router_api::{
    MemberCluster, RoutedSparkJob, condition,
    job::{PastAttempt, PlacementRecord},
};
use spark_router_core::{
    dispatch::Dispatcher,
    health::LinkState,
    id::{ClusterName, JobKey, Namespace, RemoteName},
    observe::Remote,
    place::MemberFacts,
    signal::Signals,
};
use spark_router_member::{Providers, Registry};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{backends, convert, dispatcher, jobs, restored::Looked};

/// Blocks on namespaces end by themselves: the facts are looked at again this often.
const REFRESH: Duration = Duration::from_secs(5);

/// What the dispatcher was told of each member.
pub type Told = BTreeMap<ClusterName, (MemberFacts, Arc<Signals>, Drained)>;

/// A member is being drained.
type Drained = bool;

/// See the module.
pub struct Fleet {
    /// The members' links.
    pub registry: Registry,
    /// The members' objects.
    pub members: Store<MemberCluster>,
    /// The kinds of members that there may be.
    pub providers: Providers,
    /// Those that there are, as jobs are read for them.
    pub kinds: backends::Known,
    /// The jobs.
    pub jobs: Store<RoutedSparkJob>,
    /// Who is told.
    pub dispatcher: dispatcher::Handle,
    /// Takes the keys of jobs that have something new to see.
    pub called: mpsc::Sender<JobKey>,
    /// The members that were looked at for signs of a restore.
    pub looked: Looked,
    /// What was told last.
    pub told: tokio::sync::Mutex<Told>,
}

impl Fleet {
    /// Tells every change until stopped. `changed` fires when an object changed.
    pub async fn run(
        self: Arc<Self>,
        mut changed: watch::Receiver<u64>,
        mut queues: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        let mut links = self.registry.subscribe();
        let mut looked = self.looked.subscribe();
        loop {
            self.tell().await;
            tokio::select! {
                () = stop.cancelled() => return,
                // A closed channel means that its task ended; the stop follows.
                _ = changed.changed() => {}
                _ = links.changed() => {}
                _ = looked.changed() => {}
                // Their routes say which signals are wanted.
                _ = queues.changed() => {}
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    }

    /// Tells what differs from what was told. How many members there are.
    pub async fn tell(&self) -> usize {
        let mut told = self.told.lock().await;
        // A dispatcher that is gone goes down with us: nothing is wanted any more.
        let wanted = self.dispatcher.read(|d: &mut Dispatcher| d.signals_wanted()).await.unwrap_or_default();
        let mut gone: Vec<_> = told.keys().cloned().collect();
        let objects = self.members.state();
        let backend = |object: &Arc<MemberCluster>| {
            let link = self.registry.get(&ClusterName::new(object.name_any()));
            link.map_or_else(|| self.providers.backend(object), |link| link.backend())
        };
        let others = self.kinds.set(objects.iter().map(backend));
        for object in objects {
            let cluster = ClusterName::new(object.name_any());
            let link = self.registry.get(&cluster);
            let mut facts = convert::member(&object, link.as_deref(), &self.providers);
            let is_passed = |identity| self.looked.passes(&cluster, identity);
            if facts.link == LinkState::Ready && !facts.identity.as_ref().is_some_and(is_passed) {
                facts.link = LinkState::Connecting;
            }
            gone.retain(|name| *name != cluster);
            let signals = match &link {
                Some(link) => {
                    let routes = wanted.get(&cluster).map(Vec::as_slice).unwrap_or_default();
                    link.want_signals(convert::wanted_signals(&object, routes));
                    link.signals()
                }
                None => Arc::default(),
            };
            let drained = object.spec.drain;
            let before = told.get(&cluster);
            let is_new = before.is_none_or(|(before, ..)| *before != facts);
            let is_signalled = before.is_none_or(|(_, before, _)| *before != signals);
            // What makes a placed job look again.
            let moved = before.is_none_or(|(before, _, was_drained)| {
                before.link != facts.link || before.fault != facts.fault || *was_drained != drained
            });
            if is_new || is_signalled || moved {
                told.insert(cluster.clone(), (facts.clone(), signals.clone(), drained));
            }
            if is_new {
                let name = cluster.clone();
                self.dispatcher.change(move |dispatcher| dispatcher.set_member(name, facts)).await;
            }
            if is_signalled {
                let name = cluster.clone();
                self.dispatcher.change(move |dispatcher| dispatcher.set_signals(&name, signals)).await;
            }
            if moved {
                self.call_jobs_of(&cluster).await;
            }
        }
        for cluster in gone {
            told.remove(&cluster);
            let name = cluster.clone();
            self.dispatcher.change(move |dispatcher| dispatcher.remove_member(&name)).await;
            self.call_jobs_of(&cluster).await;
        }
        if others {
            // What waits was read for other kinds of members.
            jobs::call_waiting(&self.jobs, |_| true, &self.called).await;
        }
        told.len()
    }

    /// Calls the jobs that a member concerns. A finished one among them whose application is still held: its end came
    /// while the member could not be asked to let go of it.
    async fn call_jobs_of(&self, cluster: &ClusterName) {
        let member = self.registry.get(cluster);
        let is_held = |placement: &PlacementRecord| {
            let (namespace, name) =
                (Namespace::new(&placement.namespace), RemoteName::new(&placement.remote_name));
            let seen = member.as_ref().map(|member| member.observe(&namespace, &name));
            matches!(seen, Some(Remote::Present(seen)) if seen.held)
        };
        for job in placed_on(&self.jobs, cluster, is_held) {
            let Some(namespace) = job.namespace() else { continue };
            let key = JobKey { namespace: Namespace::new(namespace), name: job.name_any() };
            if self.called.send(key).await.is_err() {
                return;
            }
        }
    }

    /// Whether every member has been reached once or is known to be at fault.
    pub fn is_settled(&self) -> bool {
        self.members.state().iter().all(|object| {
            let link = self.registry.get(&ClusterName::new(object.name_any()));
            match link {
                Some(link) => {
                    let health = link.health();
                    health.link != LinkState::Connecting || health.fault.is_some()
                }
                None => object
                    .status
                    .as_ref()
                    .and_then(|status| condition::find(&status.conditions, condition::READY))
                    // Connecting is said also while its Secret is being read, in the first moments of a process.
                    .is_some_and(|ready| {
                        ready.status == "False" && ready.reason != condition::reason::CONNECTING
                    }),
            }
        })
    }
}

/// The jobs that a member concerns: placed there, and unfinished, being deleted or still held; or with something left
/// there of a past attempt.
fn placed_on(
    jobs: &Store<RoutedSparkJob>,
    cluster: &ClusterName,
    is_held: impl Fn(&PlacementRecord) -> bool,
) -> Vec<Arc<RoutedSparkJob>> {
    jobs.state()
        .into_iter()
        .filter(|job| {
            let Some(status) = &job.status else { return false };
            let left = |row: &PastAttempt| row.left.is_some() && row.cluster == cluster.as_str();
            if status.history.iter().any(left) {
                return true;
            }
            let Some(placement) = &status.placement else { return false };
            placement.cluster == cluster.as_str()
                && (job.metadata.deletion_timestamp.is_some()
                    || !condition::is_true(&status.conditions, condition::FINISHED)
                    || is_held(placement))
        })
        .collect()
}
