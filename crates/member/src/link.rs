//! The seam between the registry and whatever keeps a member's link: how one is made, and what else than jobs is asked of
//! it.
//!
//! Owns no state. A backend has a [`Blueprint`], which says what a link is made of and makes it, and a [`Link`], which is
//! a [`Member`] that can be kept, replaced and swept. The registry and the sweep know no backend by name. Must never
//! need a Kubernetes client: a member may be something else.

use std::{any::Any, sync::Arc};

use spark_router_core::{
    health::Thresholds,
    id::{ClusterName, HubId, JobKey},
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cache::Owned,
    calls::Calls,
    clients::MaySend,
    error::Error,
    member::Member,
    signals::WantedSignals,
    standing::{Admission, Standing},
};

/// What a link is made of: settings and credentials of one member.
pub trait Blueprint: Any + Send + Sync {
    /// The member.
    fn name(&self) -> &ClusterName;

    /// Whether `other` would make the very same link: same backend, settings and credentials. [`same`] does it for those
    /// that can be compared.
    fn is_same(&self, other: &dyn Blueprint) -> bool;

    /// Makes the link and starts everything that keeps it alive, until the ground's stop. Must not wait.
    ///
    /// # Errors
    /// When no client can be made of it.
    fn start(&self, ground: &Ground) -> Result<Arc<dyn Link>, Error>;
}

/// Whether a blueprint is equal to another one of its own kind.
pub fn same<B: Blueprint + PartialEq>(one: &B, other: &dyn Blueprint) -> bool {
    let other: &dyn Any = other;
    other.downcast_ref::<B>().is_some_and(|other| one == other)
}

/// A member's link: a member that is kept, replaced and swept.
pub trait Link: Member + Any {
    /// What it may be used for, and why not.
    fn standing(&self) -> &Standing;

    /// Which signals it was asked for last.
    fn wanted_signals(&self) -> WantedSignals;

    /// Goes on with what `older`, a link of the same member to the same target, has read of its signals.
    fn inherit_signals(&self, older: &dyn Link);

    /// The jobs of all its applications.
    fn cached_keys(&self) -> Vec<JobKey>;

    /// All its applications of ours, once the view is in sync.
    fn owned(&self) -> Option<Vec<Owned>>;
}

/// What every link of a registry stands on.
#[derive(Clone)]
pub struct Ground {
    pub(crate) hub: HubId,
    pub(crate) keys: mpsc::Sender<JobKey>,
    pub(crate) calls: Calls,
    pub(crate) may_send: MaySend,
    pub(crate) revision: Arc<watch::Sender<u64>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Ground {
    /// The hub that everything is done for.
    pub fn hub(&self) -> &HubId {
        &self.hub
    }

    /// Takes the keys of jobs that have something new to see. Bounded: who sends waits for its reader.
    pub fn keys(&self) -> &mpsc::Sender<JobKey> {
        &self.keys
    }

    /// Counts calls.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Says whether anything may be changed on a member at this moment: to be asked as a request leaves.
    pub fn may_send(&self) -> &MaySend {
        &self.may_send
    }

    /// The standing of a new link. Its changes are told to whoever subscribed to the registry.
    pub fn standing(&self, thresholds: Thresholds, admission: Admission) -> Standing {
        Standing::new(thresholds, admission, self.revision.clone())
    }

    /// Runs a task until the link is stopped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(task).await;
        });
    }
}
