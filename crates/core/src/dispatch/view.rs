//! What the dispatcher holds, for those who show it: statuses, explanations, metrics.
//!
//! Owns no state of its own and changes nothing.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{Checkpoint, Dispatcher, Held, Position, index};
use crate::{
    health::{LinkState, frozen_until},
    id::{ClusterName, JobUid, QueueName},
    ledger::Slot,
    place::{NamespaceRule, RouteSignal},
    resources::Resources,
    signal::{Observed, Room},
};

/// Most namespaces of one member that are shown with their quotas for one queue.
const MOST_QUOTAS: usize = 32;

/// What one queue has on one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOnMember {
    /// The queue.
    pub queue: QueueName,
    /// What it has placed there and that is not finished.
    pub placed: Resources,
    /// The signals that its route there goes by.
    pub signals: Vec<SignalOnMember>,
}

/// One signal of a member, as a route sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalOnMember {
    /// The kind.
    pub kind: &'static str,
    /// The namespace, the remote queue or the ClusterQueue that it is about; `*` where none is known yet.
    pub name: Arc<str>,
    /// What was seen; `None`: nothing of that name.
    pub room: Option<Room>,
    /// When.
    pub at: Option<Timestamp>,
    /// It is too old to be believed.
    pub is_stale: bool,
    /// Why the last read failed.
    pub failure: Option<Arc<str>>,
}

impl Dispatcher {
    /// How many jobs of its queue go before a waiting job, as things are now; `None` for one that does not wait, or holds
    /// because the hub was put back. Costs a
    /// look at each of them: for somebody who asks, not for every pass.
    pub fn ahead_of(&self, uid: &JobUid) -> Option<u64> {
        let Position { queue, class, rank } = self.positions.get(uid)?;
        let line = &self.lines[index(*queue)];
        if line.held_back.contains_key(rank) {
            return None;
        }
        let Some(class) = class else {
            let before = line.turned_away.range(..rank).count();
            return Some(line.len().saturating_add(u64::try_from(before).unwrap_or(u64::MAX)));
        };
        let mine = self.turn(*queue, class, rank);
        let before = line.each_class().map(|(other, waiting)| {
            waiting.jobs.keys().take_while(|rank| self.turn(*queue, other, rank) < mine).count()
        });
        Some(before.map(|count| u64::try_from(count).unwrap_or(u64::MAX)).sum())
    }

    /// What a queue holds, its account for a checkpoint, and the members that it routes to with their weights.
    pub fn standing(&self, queue: &QueueName) -> (Held, Checkpoint, Vec<(ClusterName, u32)>) {
        let Some(&slot) = self.line_of.get(queue) else { return <_>::default() };
        let line = &self.lines[index(slot)];
        let outside = line.turned_away.len().saturating_add(line.held_back.len());
        let outside = u64::try_from(outside).unwrap_or(u64::MAX);
        let held = Held { active: self.ledger.total_of(slot), queued: line.len().saturating_add(outside) };
        (
            held,
            line.checkpoint(),
            line.routed.iter().map(|routed| (routed.cluster.clone(), routed.weight)).collect(),
        )
    }

    /// When the first job of a queue that still waits was created.
    pub fn oldest_waiting(&self, queue: &QueueName) -> Option<Timestamp> {
        let &slot = self.line_of.get(queue)?;
        let line = &self.lines[index(slot)];
        let oldest = line.classes().filter_map(|waiting| waiting.jobs.keys().map(|rank| rank.created).min());
        let outside = line.turned_away.keys().chain(line.held_back.keys());
        oldest.chain(outside.map(|rank| rank.created)).min()
    }

    /// All that is placed on a member.
    pub fn on_member(&self, cluster: &ClusterName) -> Resources {
        self.seat_of.get(cluster).map(|slot| self.ledger.on(*slot)).unwrap_or_default()
    }

    /// Which signals of each member the queues' routes to it go by; a member that is not listed needs none.
    pub fn signals_wanted(&self) -> BTreeMap<ClusterName, Vec<RouteSignal>> {
        let mut wanted: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in &self.lines {
            let Some(facts) = line.facts.as_ref().filter(|f| f.routes.iter().any(|r| r.signal.is_some()))
            else {
                continue;
            };
            for routed in &line.routed {
                if let Some(signal) = facts.routes.get(routed.route).and_then(|route| route.signal.clone()) {
                    let of_member = wanted.entry(routed.cluster.clone()).or_default();
                    of_member.extend(Some(signal).filter(|signal| !of_member.contains(signal)));
                }
            }
        }
        wanted
    }

    /// What each queue has on a member, by the queue's name: those that have something there or go by its signals.
    pub fn on_member_by_queue(&self, cluster: &ClusterName, now: Timestamp) -> Vec<QueueOnMember> {
        let Some(&member) = self.seat_of.get(cluster) else { return Vec::new() };
        let each = self.line_of.iter().map(|(name, queue)| QueueOnMember {
            queue: name.clone(),
            placed: self.ledger.of(*queue, member),
            signals: self.signals_of(*queue, member, now),
        });
        let mut on: Vec<_> = each.filter(|on| on.placed.jobs > 0 || !on.signals.is_empty()).collect();
        on.sort_unstable_by(|a, b| a.queue.cmp(&b.queue));
        on
    }

    fn signals_of(&self, queue: Slot, member: Slot, now: Timestamp) -> Vec<SignalOnMember> {
        let (line, seat) = (&self.lines[index(queue)], &self.seats[index(member)]);
        let routed = line.routed.iter().find(|routed| routed.member == member);
        let (Some(routed), Some(queue), Some(facts)) = (routed, &line.facts, &seat.facts) else {
            return Vec::new();
        };
        let Some(signal) = queue.routes.get(routed.route).and_then(|route| route.signal.as_ref()) else {
            return Vec::new();
        };
        let signals = &seat.signals;
        let failure = signals.failures.get(signal.kind());
        let shown = |name: Arc<str>, room: Option<&Room>, at: Option<Timestamp>| SignalOnMember {
            kind: signal.kind(),
            name,
            room: room.cloned(),
            at,
            is_stale: at.is_none_or(|at| Observed { value: (), at }.is_stale(facts.stale_after, now)),
            failure: failure.cloned(),
        };
        match signal {
            RouteSignal::YuniKorn => {
                let Ok(Some(path)) = &routed.remote_queue else { return Vec::new() };
                let seen = signals.yunikorn.as_ref();
                let room = seen.and_then(|seen| seen.value.get(path));
                vec![shown(path.clone(), room, seen.map(|seen| seen.at))]
            }
            RouteSignal::Kueue { cluster_queue } => {
                let seen = signals.kueue.as_ref();
                let room = seen.and_then(|seen| seen.value.get(cluster_queue));
                vec![shown(cluster_queue.clone(), room, seen.map(|seen| seen.at))]
            }
            RouteSignal::ResourceQuota => {
                let seen = signals.quotas.as_ref();
                let at = seen.map(|seen| seen.at);
                let limited = seen.map(|seen| &seen.value).into_iter().flatten();
                let concerned = limited.filter(|(namespace, _)| match &facts.namespace {
                    NamespaceRule::Fixed(fixed) => *namespace == fixed,
                    NamespaceRule::SameAsJob => self.namespaces.contains_key(*namespace),
                });
                let rows: Vec<_> = concerned
                    .take(MOST_QUOTAS)
                    .map(|(namespace, room)| shown(namespace.as_str().into(), Some(room), at))
                    .collect();
                // That nothing is known must show too.
                if rows.is_empty() && (at.is_none() || failure.is_some()) {
                    return vec![shown("*".into(), None, at)];
                }
                rows
            }
        }
    }

    /// All that a queue has placed.
    pub fn of_queue(&self, queue: &QueueName) -> Resources {
        self.line_of.get(queue).map(|slot| self.ledger.total_of(*slot)).unwrap_or_default()
    }

    /// Whether most members are Suspect at once: then the router or its own network is at fault, and nothing that is
    /// placed may be taken back for it.
    pub fn is_fleet_in_doubt(&self) -> bool {
        let fleet: Vec<_> = self.seats.iter().filter_map(|seat| seat.facts.as_ref()).collect();
        let suspect = fleet.iter().filter(|m| matches!(m.link, LinkState::Suspect { .. })).count();
        fleet.len() > 1 && suspect * 2 > fleet.len()
    }

    /// Until when no job moves away from a lost member; see [`crate::health::frozen_until`].
    pub fn frozen_until(&self) -> Option<Timestamp> {
        let links: Vec<_> =
            self.seats.iter().filter_map(|seat| seat.facts.as_ref()).map(|m| m.link).collect();
        frozen_until(&links)
    }
}
