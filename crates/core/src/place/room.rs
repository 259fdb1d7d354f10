//! Whether a job fits into what a member's own quota or scheduler has left.
//!
//! Owns no state. The rule for every signal: what was observed free, minus our own demand that it cannot show yet. A
//! signal that is too old falls back to declared numbers and the ledger; with nothing declared, the member takes nothing
//! new. Must never read silence as "empty".

use std::{borrow::Borrow, collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{ALL_FREE, Exclusion, RouteSignal, Site, Whose, shortage_in};
use crate::{
    id::Namespace,
    resources::Resources,
    signal::{Observed, Room},
};

/// What was seen on a member this long before a signal was read is in it, whatever the signal.
pub(crate) const SETTLES: SignedDuration = SignedDuration::from_secs(3);

/// Our own demand on a member that a signal observed at some time cannot show yet.
pub trait Unseen {
    /// In a namespace there, whatever queue it came from.
    fn in_namespace(&self, namespace: &Namespace, observed: Timestamp) -> Resources;

    /// In a queue of its batch scheduler or in any below it.
    fn in_remote_queue(&self, path: &str, observed: Timestamp) -> Resources;

    /// In a ClusterQueue.
    fn in_cluster_queue(&self, name: &str, observed: Timestamp) -> Resources;
}

/// What the scarcest observed thing has free, in thousandths of the most there can be.
///
/// # Errors
/// Why the job does not fit, or why nothing can be said.
pub(super) fn observed(
    demand: Resources,
    site: &Site<'_>,
    target: &Namespace,
    now: Timestamp,
) -> Result<u64, Exclusion> {
    let Some(signal) = &site.route.signal else { return Ok(ALL_FREE) };
    match signal {
        RouteSignal::ResourceQuota => {
            let Some(Observed { value, at }) = fresh(site, signal, site.signals.quotas.as_ref(), now)? else {
                return Ok(ALL_FREE);
            };
            let Some(room) = value.get(target) else { return Ok(ALL_FREE) };
            fit(Whose::Quota, room, site.unseen.in_namespace(target, *at), demand)
        }
        RouteSignal::YuniKorn => {
            let Some(Observed { value, at }) = fresh(site, signal, site.signals.yunikorn.as_ref(), now)?
            else {
                return Ok(ALL_FREE);
            };
            let Ok(Some(path)) = site.remote_queue else { return Ok(ALL_FREE) };
            if !value.contains_key(&**path) && !site.member.dynamic_queues {
                return Err(missing(signal, path));
            }
            // A queue has no more than what is left above it, and what we have on the way to its siblings counts there.
            let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
            let mut least = ALL_FREE;
            for above in ends.map(|end| &path[..end]) {
                if let Some(room) = value.get(above) {
                    let unseen = site.unseen.in_remote_queue(above, settled(*at));
                    least = least.min(fit(Whose::RemoteQueue(signal.kind()), room, unseen, demand)?);
                }
            }
            Ok(least)
        }
        RouteSignal::Kueue { cluster_queue } => {
            let Some(Observed { value, at }) = fresh(site, signal, site.signals.kueue.as_ref(), now)? else {
                return Ok(ALL_FREE);
            };
            let Some(room) = lookup(value, cluster_queue) else {
                return Err(missing(signal, cluster_queue));
            };
            let unseen = site.unseen.in_cluster_queue(cluster_queue, *at);
            fit(Whose::RemoteQueue(signal.kind()), room, unseen, demand)
        }
    }
}

/// YuniKorn counts a pod only once it has taken up its application, up to three seconds after the pod is there: until
/// then it shows it neither as pending nor as allocated (seen with 1.8).
fn settled(observed: Timestamp) -> Timestamp {
    observed.checked_sub(SETTLES).unwrap_or(observed)
}

fn lookup<'a, K: Borrow<str> + Ord>(rooms: &'a BTreeMap<K, Room>, name: &str) -> Option<&'a Room> {
    rooms.get(name)
}

fn missing(signal: &RouteSignal, name: &str) -> Exclusion {
    Exclusion::RemoteQueueClosed { kind: signal.kind(), why: format!("there is no queue {name}").into() }
}

/// The signal if it may be believed; `None` where declared numbers stand in for it.
fn fresh<'a, T>(
    site: &Site<'_>,
    signal: &RouteSignal,
    seen: Option<&'a Observed<T>>,
    now: Timestamp,
) -> Result<Option<&'a Observed<T>>, Exclusion> {
    if let Some(seen) = seen.filter(|seen| !seen.is_stale(site.member.stale_after, now)) {
        return Ok(Some(seen));
    }
    let declared = !site.member.capacity.is_unlimited() || !site.route.capacity.is_unlimited();
    if declared {
        return Ok(None);
    }
    Err(Exclusion::SignalStale { kind: signal.kind(), at: seen.map(|seen| seen.at) })
}

fn fit(whose: Whose, room: &Room, unseen: Resources, demand: Resources) -> Result<u64, Exclusion> {
    if let Some(why) = &room.closed {
        let kind = match whose {
            Whose::RemoteQueue(kind) => kind,
            Whose::Quota | Whose::Member | Whose::Route | Whose::Queue => "ResourceQuota",
        };
        return Err(Exclusion::RemoteQueueClosed { kind, why: Arc::clone(why) });
    }
    if let Some(shortage) = shortage_in(&room.free, &room.most, unseen, demand) {
        return Err(Exclusion::NoRoom { whose, shortage });
    }
    let share = |free: Option<u64>, most: Option<u64>, unseen: u64| {
        let most = most?.max(1);
        u64::try_from(u128::from(free?.saturating_sub(unseen).min(most)) * 1000 / u128::from(most)).ok()
    };
    let least = [
        share(room.free.jobs, room.most.jobs, unseen.jobs),
        share(room.free.pods, room.most.pods, unseen.pods),
        share(room.free.cpu_milli, room.most.cpu_milli, unseen.cpu_milli),
        share(room.free.memory_bytes, room.most.memory_bytes, unseen.memory_bytes),
    ]
    .into_iter()
    .flatten()
    .min();
    Ok(least.unwrap_or(ALL_FREE))
}
