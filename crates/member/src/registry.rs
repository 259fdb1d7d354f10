//! All members, and the one place where they come, change and go at run time.
//!
//! Owns the links, and what each was made of. Knows no backend by name (see [`crate::link`]). Readers see one consistent map without waiting. Other credentials make another link, which takes the
//! place of the old one only when it works, or when the old one does not: a wrong Secret must not cut off a member that
//! answers. Must never wait for a member.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use spark_router_core::{
    health::LinkState,
    id::{ClusterName, HubId, JobKey, MemberIdentity},
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use crate::{
    calls::Calls,
    clients::MaySend,
    error::Error,
    link::{Blueprint, Ground, Link},
    member::{Health, Member},
    standing::{Admission, Fault},
};

/// See the module. Clones share the members.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    /// Its stop ends all of them; each link has one of its own below it.
    ground: Ground,
    /// What readers see. Written only while `slots` is locked.
    shown: ArcSwap<BTreeMap<ClusterName, Arc<dyn Link>>>,
    slots: Mutex<BTreeMap<ClusterName, Slot>>,
}

struct Slot {
    current: Running,
    replacement: Option<Running>,
}

struct Running {
    link: Arc<dyn Link>,
    blueprint: Arc<dyn Blueprint>,
    stop: CancellationToken,
}

/// Which link of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one in use.
    Current,
    /// The one that is to take its place.
    Replacement,
}

/// A link that has been somewhere: who it found there.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The member.
    pub cluster: ClusterName,
    /// Its link.
    pub which: Which,
    /// Who is there.
    pub identity: MemberIdentity,
    /// What was said of it so far.
    pub admission: Admission,
}

/// What a member's status says of its link.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its health.
    pub health: Health,
    /// Who it is.
    pub identity: Option<MemberIdentity>,
    /// Its Kubernetes version.
    pub server_version: Option<String>,
    /// The last answered probe.
    pub last_answer: Option<Timestamp>,
    /// Changed settings or credentials are being tried and are not in use yet; with what is wrong with them, if
    /// anything is.
    pub replacement: Option<Option<Fault>>,
}

impl Registry {
    /// No members yet. `keys` takes the keys of jobs whose application changed; nothing is changed on members but while
    /// `may_send` says so; everything ends with `stop`.
    pub fn new(
        hub: HubId,
        keys: mpsc::Sender<JobKey>,
        calls: Calls,
        may_send: MaySend,
        stop: CancellationToken,
    ) -> Self {
        let (revision, tasks) = (Arc::new(watch::channel(0).0), TaskTracker::new());
        Self(Arc::new(Shared {
            ground: Ground { hub, keys, calls, may_send, revision, stop, tasks },
            shown: ArcSwap::default(),
            slots: Mutex::default(),
        }))
    }

    /// The member of that name.
    pub fn get(&self, cluster: &ClusterName) -> Option<Arc<dyn Member>> {
        self.0.shown.load().get(cluster).map(|link| link.clone() as Arc<dyn Member>)
    }

    /// All members, by name.
    pub fn all(&self) -> Vec<Arc<dyn Member>> {
        self.0.shown.load().values().map(|link| link.clone() as Arc<dyn Member>).collect()
    }

    /// Changes whenever a member comes, goes, or looks different.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.ground.revision.subscribe()
    }

    /// Adds a member, or changes it. With a blueprint that is the same as the one in use nothing happens.
    ///
    /// # Errors
    /// When no link can be made of it; whatever was in use stays.
    pub fn put(&self, blueprint: Arc<dyn Blueprint>) -> Result<(), Error> {
        let cluster = blueprint.name().clone();
        let is_same = |running: &Running| running.blueprint.is_same(&*blueprint);
        {
            let mut slots = self.0.slots.lock();
            if let Some(slot) = slots.get_mut(&cluster) {
                if is_same(&slot.current) {
                    // Back to what is in use: what was tried meanwhile is dropped.
                    if let Some(replacement) = slot.replacement.take() {
                        replacement.stop.cancel();
                        drop(slots);
                        self.bump();
                    }
                    return Ok(());
                }
                if slot.replacement.as_ref().is_some_and(is_same) {
                    return Ok(());
                }
            }
        }
        let running = self.start(blueprint)?;
        let link = running.link.clone();
        let mut slots = self.0.slots.lock();
        match slots.get_mut(&cluster) {
            None => {
                info!(cluster.name = %cluster, "a member is added");
                slots.insert(cluster, Slot { current: running, replacement: None });
                self.show(&slots);
            }
            Some(slot) => {
                // Its readers start now, so that it has something to say when it takes over.
                running.link.want_signals(slot.current.link.wanted_signals());
                if let Some(old) = slot.replacement.replace(running) {
                    old.stop.cancel();
                }
                drop(slots);
                self.promote(&cluster);
                self.0.ground.tasks.spawn(self.clone().promote_when_ready(cluster, link));
                self.bump();
                return Ok(());
            }
        }
        drop(slots);
        self.bump();
        Ok(())
    }

    /// Removes a member. Its jobs are not touched.
    pub fn remove(&self, cluster: &ClusterName) {
        let mut slots = self.0.slots.lock();
        let Some(slot) = slots.remove(cluster) else { return };
        slot.current.stop.cancel();
        if let Some(replacement) = slot.replacement {
            replacement.stop.cancel();
        }
        self.show(&slots);
        drop(slots);
        self.0.ground.calls.forget(cluster.as_str());
        info!(cluster.name = %cluster, "a member is removed");
        self.bump();
    }

    /// Who the links have found.
    pub fn claims(&self) -> Vec<Claim> {
        let slots = self.0.slots.lock();
        let mut claims = Vec::new();
        for (cluster, slot) in slots.iter() {
            let both =
                [(Which::Current, Some(&slot.current)), (Which::Replacement, slot.replacement.as_ref())];
            for (which, running) in both {
                let Some(link) = running.map(|running| &running.link) else { continue };
                let Some(identity) = link.identity() else { continue };
                claims.push(Claim {
                    cluster: cluster.clone(),
                    which,
                    identity,
                    admission: link.standing().admission(),
                });
            }
        }
        claims
    }

    /// Says whether a link may be used.
    pub fn admit(&self, cluster: &ClusterName, which: Which, admission: Admission) {
        let link = {
            let slots = self.0.slots.lock();
            let Some(slot) = slots.get(cluster) else { return };
            match which {
                Which::Current => Some(slot.current.link.clone()),
                Which::Replacement => slot.replacement.as_ref().map(|running| running.link.clone()),
            }
        };
        if let Some(link) = link {
            link.standing().admit(admission);
        }
    }

    /// What a member's status says of its link.
    pub fn report(&self, cluster: &ClusterName) -> Option<Report> {
        let slots = self.0.slots.lock();
        let slot = slots.get(cluster)?;
        let standing = slot.current.link.standing();
        Some(Report {
            health: standing.health(),
            identity: standing.identity().cloned(),
            server_version: standing.server_version(),
            last_answer: standing.last_answer(),
            replacement: slot.replacement.as_ref().map(|running| running.link.standing().health().fault),
        })
    }

    /// Waits until all tasks of all members have ended; call after the stop.
    pub async fn closed(&self) {
        self.0.ground.tasks.close();
        self.0.ground.tasks.wait().await;
    }

    pub(crate) fn links(&self) -> Vec<Arc<dyn Link>> {
        self.0.shown.load().values().cloned().collect()
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.0.ground.calls
    }

    pub(crate) fn may_send(&self) -> &MaySend {
        &self.0.ground.may_send
    }

    pub(crate) fn hub(&self) -> &HubId {
        &self.0.ground.hub
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.ground.spawn(task);
    }

    fn start(&self, blueprint: Arc<dyn Blueprint>) -> Result<Running, Error> {
        let stop = self.0.ground.stop.child_token();
        let ground = Ground { stop: stop.clone(), ..self.0.ground.clone() };
        let link = blueprint.start(&ground)?;
        Ok(Running { link, blueprint, stop })
    }

    /// Puts a replacement in use if it is ready, or if the link in use is not.
    fn promote(&self, cluster: &ClusterName) {
        let mut slots = self.0.slots.lock();
        let Some(slot) = slots.get_mut(cluster) else { return };
        let Some(replacement) = &slot.replacement else { return };
        let ready = replacement.link.standing().link() == LinkState::Ready;
        let barred = matches!(replacement.link.standing().admission(), Admission::Barred(_));
        let in_use = &slot.current.link;
        let works = in_use.standing().link() == LinkState::Ready && in_use.identity().is_some();
        if barred || (works && !ready) {
            return;
        }
        if !ready {
            // Since when the member is out of reach does not begin anew with other credentials.
            replacement.link.standing().inherit(in_use.standing().probed());
        }
        let Some(replacement) = slot.replacement.take() else { return };
        let link = replacement.link.clone();
        let old = std::mem::replace(&mut slot.current, replacement);
        link.want_signals(old.link.wanted_signals());
        if link.identity().is_some() && link.identity() == old.link.identity() {
            link.inherit_signals(&*old.link);
        }
        old.stop.cancel();
        self.show(&slots);
        drop(slots);
        info!(cluster.name = %cluster, "a member's link is replaced");
        self.bump();
        // What was sent up while the old link was still in use was looked at there.
        let keys = self.0.ground.keys.clone();
        self.spawn(async move {
            for key in link.cached_keys() {
                if keys.send(key).await.is_err() {
                    return;
                }
            }
        });
    }

    async fn promote_when_ready(self, cluster: ClusterName, link: Arc<dyn Link>) {
        let mut changed = self.subscribe();
        loop {
            let is_waiting = {
                let slots = self.0.slots.lock();
                let replacement = slots.get(&cluster).and_then(|slot| slot.replacement.as_ref());
                replacement.is_some_and(|running| Arc::ptr_eq(&running.link, &link))
            };
            if !is_waiting {
                return;
            }
            self.promote(&cluster);
            tokio::select! {
                () = self.0.ground.stop.cancelled() => return,
                _ = changed.changed() => {}
            }
        }
    }

    fn show(&self, slots: &BTreeMap<ClusterName, Slot>) {
        let shown = slots.iter().map(|(name, slot)| (name.clone(), slot.current.link.clone())).collect();
        self.0.shown.store(Arc::new(shown));
    }

    fn bump(&self) {
        self.0.ground.revision.send_modify(|revision| *revision += 1);
    }
}
