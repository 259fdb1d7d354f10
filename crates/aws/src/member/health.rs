//! Whether the virtual cluster can be used: by looks at it, and by the age of what is known of its runs.
//!
//! Owns no state but what it hands to the link's standing. A look that is not answered is a missed probe; an answer of any
//! kind is one. Its runs are never failed for it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use jiff::Timestamp;
use spark_router_api::condition::reason;
use spark_router_core::{
    id::MemberIdentity,
    place::NamespaceRule,
    resources::Capacity,
    signal::{Observed, Room, Signals},
};
use spark_router_member::{Fault, Taken};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::EmrLink;
use crate::{
    bucket::Api,
    client::{Class, Failure, VirtualCluster},
};

/// The only state in which a virtual cluster takes runs.
const RUNNING: &str = "RUNNING";

impl EmrLink {
    /// Looks at the virtual cluster for ever.
    pub(super) async fn keep_probing(self: Arc<Self>) {
        let tempo = self.settings.tempo;
        loop {
            let was = self.standing.link();
            let answered = self.probe().await;
            let is = self.standing.link();
            if was.as_str() != is.as_str() {
                info!(cluster.name = %self.settings.name, from = was.as_str(), to = is.as_str(), "a member's link changed");
            }
            let is_well = answered && is == spark_router_core::health::LinkState::Ready;
            let pause = if is_well { tempo.probe_every } else { tempo.probe_again };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.probe_now.notified() => {}
            }
        }
    }

    /// One look. Whether it was answered.
    async fn probe(&self) -> bool {
        let Ok(emr) = self.emr() else { return false };
        let began = Timestamp::now();
        match timeout(self.settings.tempo.probe_deadline, emr.describe_virtual_cluster()).await {
            Ok(Ok(cluster)) => {
                self.standing.answered(Taken::Yes);
                let unlisted = || self.unlisted.lock().clone();
                let fault = fault(&cluster).or_else(unlisted).or_else(|| self.stale());
                self.standing.checked(&MemberIdentity::new(&cluster.arn), None, fault);
                let changed = self.seen.write().replace((cluster.clone(), began));
                if changed.is_none_or(|(before, _)| before != cluster) {
                    self.standing.tell();
                }
                true
            }
            Ok(Err(failure)) if failure.class == Class::NotSent || failure.class == Class::Unclear => {
                debug!(cluster.name = %self.settings.name, %failure, "a virtual cluster does not answer");
                self.standing.missed();
                false
            }
            Ok(Err(failure)) => {
                self.standing.answered(Taken::Yes);
                if failure.class != Class::Throttled {
                    self.unusable(&failure);
                }
                true
            }
            Err(_) => {
                self.standing.missed();
                false
            }
        }
    }

    /// Something is wrong that no waiting mends.
    fn unusable(&self, failure: &Failure) {
        let Settled { reason, message } = settled(failure, &self.settings.virtual_cluster);
        warn!(cluster.name = %self.settings.name, reason, message, "a member cannot be used");
        self.standing.check_failed((reason, message));
    }

    /// A walk over the runs ended.
    pub(super) fn poll_ended(&self, result: Result<(), &Failure>) {
        if result.is_ok() {
            *self.unlisted.lock() = None;
        }
        match result {
            Ok(()) if !self.cache.is_synced() => {
                let Some(poller) = self.poller.get() else { return };
                // Whatever was shown before is in the poller's rows as well.
                self.cache.list_begins();
                for run in poller.read(|rows| rows.all().map(|row| row.run.clone()).collect::<Vec<_>>()) {
                    self.show(&run);
                }
                self.cache.list_ends();
                self.standing.synced();
            }
            Err(failure) if failure.class == Class::Access => {
                let Settled { reason, message } = settled(failure, &self.settings.virtual_cluster);
                *self.unlisted.lock() = Some((reason, message));
                self.unusable(failure);
            }
            // After a failed walk the next look at the virtual cluster says whether the last one is too old by then.
            Ok(()) | Err(_) => {}
        }
    }

    /// Whether what is known of its runs is too old to start more.
    fn stale(&self) -> Option<Fault> {
        let last = self.poller.get()?.last_success()?;
        let age = std::time::Duration::try_from(Timestamp::now().duration_since(last)).unwrap_or_default();
        (age > self.settings.tempo.stale_after).then(|| {
            let message = format!("its job runs could not be listed since {last}; see the router's log");
            ("PollStale", message)
        })
    }

    /// Whether the queue of the virtual cluster was full when it was seen last, or is by the starts that are on their way
    /// beside the caller's own. No more than those: else a request that AWS cannot take would wait for room for ever.
    pub(super) fn is_queue_full(&self) -> bool {
        let places = self.settings.tempo.window.saturating_sub(self.window.available_permits());
        let others = u64::try_from(places.saturating_sub(1)).unwrap_or(u64::MAX);
        let seen = self.seen.read();
        seen.as_ref().is_some_and(|(cluster, _)| match (cluster.limits.1, cluster.used.1) {
            (Some(most), Some(used)) => u64::from(used).saturating_add(others) >= u64::from(most),
            _ => false,
        })
    }

    /// Looks at the virtual cluster once more, for the sake of a refusal that may be about its queue.
    pub(super) async fn look_at_queue(&self) {
        let Ok(emr) = self.emr() else { return };
        let began = Timestamp::now();
        let look = timeout(self.settings.tempo.probe_deadline, emr.describe_virtual_cluster());
        if let Ok(Ok(cluster)) = look.await {
            *self.seen.write() = Some((cluster, began));
        }
    }

    /// What the virtual cluster's own limits leave, as a quota of the namespace that placements name.
    pub(super) fn room(&self) -> Arc<Signals> {
        let NamespaceRule::Fixed(namespace) = &self.settings.namespace else { return Arc::default() };
        if !self.wanted.lock().quotas || self.standing.is_other_cluster() {
            return Arc::default();
        }
        let seen = self.seen.read();
        let Some((cluster, at)) = seen.as_ref() else { return Arc::default() };
        let value = BTreeMap::from([(namespace.clone(), room(cluster))]);
        Arc::new(Signals { quotas: Some(Observed { value, at: *at }), ..Signals::default() })
    }

    /// Calls jobs that found no turn for their start, one for each turn.
    pub(super) async fn keep_calling(self: Arc<Self>) {
        use std::sync::atomic::Ordering;
        loop {
            self.someone_waits.notified().await;
            while let Some(key) = { self.waiting.lock().pop_front() } {
                let Ok(emr) = self.emr() else { return };
                while let Err(at) = emr.pace().take(Api::Start) {
                    let wait = std::time::Duration::try_from(at.duration_since(Timestamp::now()))
                        .unwrap_or_default();
                    tokio::time::sleep_until((Instant::now() + wait.max(MOMENT)).into()).await;
                }
                self.turns.fetch_add(1, Ordering::AcqRel);
                if self.keys.send(key).await.is_err() {
                    return;
                }
            }
        }
    }
}

const MOMENT: std::time::Duration = std::time::Duration::from_millis(1);

/// What a virtual cluster's state says against it.
fn fault(cluster: &VirtualCluster) -> Option<Fault> {
    let message = match cluster.state.as_str() {
        RUNNING => return None,
        "ARRESTED" => {
            "the virtual cluster is ARRESTED: EMR has lost its rights on the EKS cluster; give them back"
                .to_owned()
        }
        state => format!("the virtual cluster is {state} and takes no job runs; make another one"),
    };
    Some(("VirtualClusterNotReady", message))
}

struct Settled {
    reason: &'static str,
    message: String,
}

/// A definite failure of a look, in words for who can mend it.
fn settled(failure: &Failure, virtual_cluster: &str) -> Settled {
    let (reason, message) = match (failure.class, &failure.code) {
        (Class::Access, None) => (
            reason::UNAUTHORIZED,
            format!("no credentials for AWS: {failure}; give the router a role (IRSA or Pod Identity)"),
        ),
        (Class::Access, Some(_)) => {
            (reason::FORBIDDEN, format!("AWS refuses the router: {failure}; see the policy in the docs"))
        }
        (Class::NoVirtualCluster, _) => (
            "VirtualClusterMissing",
            format!(
                "there is no virtual cluster {virtual_cluster} in this account and region; correct virtualClusterId"
            ),
        ),
        _ => ("CallRefused", format!("AWS refuses to show virtual cluster {virtual_cluster}: {failure}")),
    };
    Settled { reason, message }
}

/// What both limits leave: a run that is waiting takes a place of those that run, too.
fn room(cluster: &VirtualCluster) -> Room {
    let left = |most: Option<u32>, used: Option<u32>| Some(u64::from(most?).saturating_sub(u64::from(used?)));
    let (running, waiting) = (cluster.used.0, cluster.used.1);
    let to_run = left(cluster.limits.0, running).map(|left| left.saturating_sub(waiting.unwrap_or(0).into()));
    let to_wait = left(cluster.limits.1, waiting);
    let jobs = match (to_run, to_wait) {
        (Some(run), Some(wait)) => Some(run.min(wait)),
        (one, other) => one.or(other),
    };
    let closed = fault(cluster).map(|(_, message)| message.into());
    Room { free: Capacity { jobs, ..Capacity::default() }, most: Capacity::default(), closed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(limits: (Option<u32>, Option<u32>), used: (Option<u32>, Option<u32>)) -> VirtualCluster {
        VirtualCluster { arn: "arn".to_owned(), state: RUNNING.to_owned(), eks: None, limits, used }
    }

    #[test]
    fn room_is_what_both_limits_leave() {
        for (limits, used, expected) in [
            ((None, None), (Some(5), Some(5)), None),
            ((Some(10), None), (Some(4), Some(1)), Some(5)),
            ((Some(10), None), (None, None), None),
            ((None, Some(10)), (Some(4), Some(3)), Some(7)),
            ((Some(10), Some(3)), (Some(4), Some(1)), Some(2)),
            ((Some(10), Some(100)), (Some(9), Some(20)), Some(0)),
        ] {
            assert_eq!(room(&cluster(limits, used)).free.jobs, expected, "{limits:?} {used:?}");
        }
    }

    #[test]
    fn only_a_running_virtual_cluster_takes_runs() {
        assert_eq!(fault(&cluster((None, None), (None, None))), None);
        for state in ["ARRESTED", "TERMINATING", "TERMINATED", "SOMETHING_NEW", ""] {
            let cluster = VirtualCluster { state: state.to_owned(), ..cluster((None, None), (None, None)) };
            assert!(fault(&cluster).is_some_and(|(_, message)| message.contains(state)), "{state}");
            assert!(room(&cluster).closed.is_some());
        }
    }
}
