//! Removes what is left on members of jobs that are gone from the hub.
//!
//! Owns no state but its pace. Only applications of this hub that are over, or already being deleted, for a while, and
//! whose job is gone by a quorum read, are removed. One that still runs without a job is reported, and stopped only if
//! its attempt was knowingly abandoned. Foreign objects are not even seen. A router that does not lead sweeps nothing.

use std::{
    collections::{BTreeSet, HashSet},
    error::Error as StdError,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use spark_router_core::{
    health::LinkState,
    id::{Attempt, ClusterName, JobKey, JobUid},
};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    cache::Owned,
    error::chain,
    link::Link,
    member::{Fence, StopOrder},
    registry::Registry,
};

/// What the sweep asks the hub.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Whether a cache shows the job. Asked for every application; makes no call.
    fn is_known(&self, key: &JobKey, uid: &JobUid) -> bool;

    /// Whether the job exists, by a quorum read. One that is being deleted exists.
    async fn exists(&self, key: &JobKey, uid: &JobUid) -> Result<bool, Box<dyn StdError + Send + Sync>>;

    /// The attempts on a member that were knowingly let go of.
    fn abandoned(&self, cluster: &ClusterName) -> Vec<(JobUid, Attempt)>;
}

/// Changes of members are looked at together, at most this often.
const TOGETHER: Duration = Duration::from_millis(500);
/// Members that are back are looked for at least this often.
const LOOK: Duration = Duration::from_secs(10);

/// How members are swept.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two sweeps.
    pub every: Duration,
    /// Applications are left alone until they are over for this long, as seen by this process.
    pub age: Duration,
    /// Applications removed from one member in one sweep at most.
    pub most: usize,
    /// Between two of them.
    pub pause: Duration,
}

impl Pace {
    /// The design's ages and rates, at this interval.
    pub fn every(every: Duration) -> Self {
        Self { every, age: Duration::from_mins(10), most: 500, pause: Duration::from_millis(100) }
    }
}

/// Starts the sweep of all members, until the registry stops. A member that returns, or is seen for the first time, is
/// swept at once if something was let go of on it: that may run for nobody.
pub fn start(registry: &Registry, jobs: Arc<dyn Jobs>, pace: Pace) {
    let sweeping = registry.clone();
    registry.spawn(async move {
        let mut changes = sweeping.subscribe();
        let mut present: BTreeSet<ClusterName> = BTreeSet::new();
        let mut due = Instant::now() + pace.every;
        loop {
            // Who takes over the lead is told by nobody.
            let look = due.min(Instant::now() + LOOK);
            tokio::select! {
                () = tokio::time::sleep_until(look) => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(TOGETHER).await;
                }
            }
            let is_due = Instant::now() >= due;
            if is_due {
                due = Instant::now() + pace.every;
            }
            if !sweeping.may_send().now() {
                continue;
            }
            let links = sweeping.links();
            let ready = links.iter().filter(|link| link.standing().link() == LinkState::Ready);
            let ready: BTreeSet<_> = ready.map(|link| link.name().clone()).collect();
            let back = |name: &ClusterName| !present.contains(name) && !jobs.abandoned(name).is_empty();
            for link in links {
                if is_due || (ready.contains(link.name()) && back(link.name())) {
                    sweep(&sweeping, &*link, &*jobs, pace).await;
                }
            }
            present = ready;
        }
    });
}

async fn sweep(registry: &Registry, link: &dyn Link, jobs: &dyn Jobs, pace: Pace) {
    // Only a link that works: its view is what the sweep goes by, and its calls must not pile up on a dead member.
    if link.standing().may_be_asked().is_err() {
        return;
    }
    let Some(owned) = link.owned() else { return };
    let cluster = link.name();
    let abandoned: HashSet<(JobUid, Attempt)> = jobs.abandoned(cluster).into_iter().collect();
    let (mut removed, mut running) = (0_usize, 0_usize);
    for one in owned {
        let Some(owner) = one.observation.owner.clone().filter(|owner| owner.hub == *registry.hub()) else {
            continue;
        };
        let is_over = one.ended_for.is_some_and(|ended_for| ended_for >= pace.age);
        if one.ended_for.is_some() && !is_over {
            continue;
        }
        if jobs.is_known(&owner.key, &owner.job) {
            continue;
        }
        let let_go = abandoned.contains(&(owner.job.clone(), owner.attempt));
        if removed >= pace.most {
            return;
        }
        match jobs.exists(&owner.key, &owner.job).await {
            Ok(false) => {}
            Ok(true) => continue,
            Err(error) => {
                warn!(cluster.name = %cluster, error = chain(&*error), "the sweep stops: the hub does not say which jobs exist");
                return;
            }
        }
        if is_over {
            removed += 1;
            remove(link, &one).await;
        } else if let_go {
            removed += 1;
            stop(link, &one, &owner.job, owner.attempt).await;
        } else {
            running += 1;
            warn!(
                cluster.name = %cluster,
                application.namespace = %one.namespace,
                application.name = %one.observation.name,
                job.namespace = %owner.key.namespace,
                job.name = owner.key.name,
                "an application still runs although its job is gone; delete it on the member if nobody needs it"
            );
        }
        tokio::time::sleep(pace.pause).await;
    }
    registry.calls().set_orphans(cluster.as_str(), running);
}

async fn remove(link: &dyn Link, one: &Owned) {
    let (namespace, name, uid) = (&one.namespace, &one.observation.name, &one.observation.uid);
    let result = async {
        link.release(namespace, name, uid).await?;
        link.retire(namespace, name, uid).await
    };
    match result.await {
        Ok(()) => info!(
            cluster.name = %link.name(),
            application.namespace = %namespace,
            application.name = %name,
            "a finished application whose job is gone was removed"
        ),
        Err(error) => warn!(
            cluster.name = %link.name(),
            application.namespace = %namespace,
            application.name = %name,
            error = chain(&error),
            "a finished application whose job is gone could not be removed"
        ),
    }
}

async fn stop(link: &dyn Link, one: &Owned, job: &JobUid, attempt: Attempt) {
    let order = StopOrder {
        job: job.clone(),
        attempt,
        namespace: one.namespace.clone(),
        name: one.observation.name.clone(),
        uid: Some(one.observation.uid.clone()),
        settled_at: Timestamp::MIN,
        spare_ended: false,
        rendered: None,
    };
    match link.stop(&order).await {
        Fence::Proven | Fence::Pending { .. } | Fence::Unanswered { .. } | Fence::Ended(_) => info!(
            cluster.name = %link.name(),
            application.namespace = %one.namespace,
            application.name = %one.observation.name,
            "an abandoned application is being stopped"
        ),
        Fence::Impossible(why) => warn!(
            cluster.name = %link.name(),
            application.namespace = %one.namespace,
            application.name = %one.observation.name,
            why,
            "an abandoned application could not be stopped"
        ),
    }
}
