//! What the dispatcher is told of members, queues and namespaces.
//!
//! Owns no state of its own. A change wakes exactly those whom it may concern; what did not change costs nothing.

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Checkpoint, Dispatcher, Door, Seat, index,
    line::{Line, Routed},
    number,
};
use crate::{
    breaker::Breaker,
    id::{ClusterName, Namespace, QueueName},
    ledger::Slot,
    pace::Bucket,
    place::{self, Bounds, MemberFacts, QueueFacts, SETTLES},
    selector::Selector,
    signal::Signals,
};

impl Dispatcher {
    /// Adds or changes a member. Unchanged facts cost nothing.
    pub fn set_member(&mut self, cluster: ClusterName, facts: MemberFacts) {
        let slot = self.seat(cluster);
        let before = self.seats[index(slot)].facts.replace(Arc::new(facts));
        let Some(facts) = &self.seats[index(slot)].facts else { return };
        self.doors[index(slot)] = Door::of(Some(facts));
        if before.as_ref().is_some_and(|before| before == facts) {
            return;
        }
        let leads_elsewhere = before.as_ref().is_none_or(|before| {
            before.labels != facts.labels || before.batch_scheduler != facts.batch_scheduler
        });
        if before.is_none_or(|before| before.capacity != facts.capacity) {
            self.sum_up();
        }
        if leads_elsewhere {
            for line in 0..self.lines.len() {
                self.reroute(line, slot);
            }
        }
        self.note_age(slot, Timestamp::MIN);
        self.wake_routes_to(slot);
    }

    /// Sets what a member signals.
    pub fn set_signals(&mut self, cluster: &ClusterName, signals: Arc<Signals>) {
        let Some(&slot) = self.seat_of.get(cluster) else { return };
        let seat = &mut self.seats[index(slot)];
        if *seat.signals == *signals {
            return;
        }
        let read = [
            signals.quotas.as_ref().map(|seen| seen.at),
            signals.yunikorn.as_ref().map(|seen| seen.at),
            signals.kueue.as_ref().map(|seen| seen.at),
        ];
        seat.signals = signals;
        if let Some(earliest) = read.into_iter().flatten().min() {
            self.ledger.signalled(slot, earliest.checked_sub(SETTLES).unwrap_or(earliest));
        }
        self.note_age(slot, Timestamp::MIN);
        self.wake_routes_to(slot);
    }

    /// Forgets a member.
    pub fn remove_member(&mut self, cluster: &ClusterName) {
        let Some(&slot) = self.seat_of.get(cluster) else { return };
        let seat = &mut self.seats[index(slot)];
        seat.hold = None;
        self.held.retain(|held| *held != slot);
        seat.breaker = Breaker::default();
        self.broken.retain(|broken| *broken != slot);
        (seat.signals, seat.bucket) = (Arc::default(), Bucket::default());
        self.note_age(slot, Timestamp::MIN);
        let seat = &mut self.seats[index(slot)];
        self.doors[index(slot)] = Door::of(None);
        if seat.facts.take().is_some() {
            for line in 0..self.lines.len() {
                self.reroute(line, slot);
            }
            self.sum_up();
            self.wake_all();
        }
    }

    /// Sets a hub namespace's labels, for the queues' selectors; `None` when it is gone.
    pub fn set_namespace(&mut self, namespace: Namespace, labels: Option<BTreeMap<String, String>>) {
        let changed = match labels {
            Some(labels) if self.namespaces.get(&namespace) != Some(&labels) => {
                self.namespaces.insert(namespace, labels);
                true
            }
            Some(_) => false,
            None => self.namespaces.remove(&namespace).is_some(),
        };
        if changed {
            self.wake_all();
        }
    }

    /// Adds or changes a queue. The first call for a queue takes over its checkpoint.
    pub fn set_queue(&mut self, facts: QueueFacts, admits: Option<Selector>, checkpoint: Checkpoint) {
        let slot = self.line(&facts.name);
        self.due.list(slot);
        let line = &mut self.lines[index(slot)];
        let before = line.facts.replace(Arc::new(facts));
        if before.is_none() {
            line.resume(checkpoint);
        }
        let Some(facts) = &line.facts else { return };
        if line.admits != admits {
            (line.admits, line.dirty) = (admits, true);
        }
        if before.as_ref() == Some(facts) {
            return;
        }
        line.dirty = true;
        if before.as_ref().is_none_or(|before| before.order != facts.order) {
            line.regroup();
        }
        let known = before.is_some();
        for member in 0..self.seats.len() {
            self.reroute(index(slot), number(member));
        }
        if known {
            // A member that the queue routes to no more, and again later, starts anew.
            let line = &mut self.lines[index(slot)];
            let routed: HashSet<_> = line.routed.iter().map(|routed| routed.cluster.clone()).collect();
            line.credits.retain(|cluster| routed.contains(cluster));
        }
        self.send_out(slot);
        self.call_in(slot);
    }

    /// A queue is gone: its jobs wait until it comes back or they name another.
    pub fn remove_queue(&mut self, queue: &QueueName) {
        if let Some(&slot) = self.line_of.get(queue) {
            self.due.list(slot);
            let line = &mut self.lines[index(slot)];
            (line.facts, line.dirty) = (None, true);
            line.regroup();
            for routed in std::mem::take(&mut line.routed) {
                self.seats[index(routed.member)].routed_from.retain(|from| *from != slot);
            }
            let line = &mut self.lines[index(slot)];
            line.tiers.clear();
        }
    }

    pub(super) fn seat(&mut self, cluster: ClusterName) -> Slot {
        let place = match self.seat_of.entry(cluster) {
            Entry::Occupied(place) => return *place.get(),
            Entry::Vacant(place) => place,
        };
        let slot = number(self.seats.len());
        self.seats.push(Seat {
            name: place.key().clone(),
            facts: None,
            signals: Arc::default(),
            stale_from: None,
            bucket: Bucket::default(),
            hold: None,
            breaker: Breaker::default(),
            routed_from: Vec::new(),
            is_backed_up: false,
        });
        self.doors.push(Door::of(None));
        *place.insert(slot)
    }

    pub(super) fn line(&mut self, queue: &QueueName) -> Slot {
        if let Some(&slot) = self.line_of.get(queue) {
            return slot;
        }
        // A place that a mistyped name left behind is used again: users choose these names.
        let idle = (0..self.lines.len()).map(number).find(|slot| self.is_unused(*slot));
        let slot = idle.unwrap_or_else(|| {
            self.lines.push(Line::default());
            self.names.push(queue.clone());
            number(self.lines.len() - 1)
        });
        self.line_of.remove(&self.names[index(slot)]);
        self.due.let_sleep(slot);
        self.lines[index(slot)] = Line::default();
        self.names[index(slot)] = queue.clone();
        self.line_of.insert(queue.clone(), slot);
        slot
    }

    fn is_unused(&self, slot: Slot) -> bool {
        let line = &self.lines[index(slot)];
        line.facts.is_none()
            && line.is_idle()
            && line.turned_away.is_empty()
            && line.held_back.is_empty()
            && line.restored.is_none()
            && line.seq == 0
            && line.given == 0
            && self.ledger.total_of(slot).jobs == 0
    }

    /// Looks up again by which route, if any, a queue leads to a member.
    fn reroute(&mut self, queue: usize, member: Slot) {
        let Some(line) = self.lines.get_mut(queue) else { return };
        let slot = number(queue);
        let seat = &mut self.seats[index(member)];
        let at = line.routed.binary_search_by(|routed| routed.cluster.cmp(&seat.name));
        let route = line.facts.as_ref().zip(seat.facts.as_ref()).and_then(|(queue, facts)| {
            let route = queue.route_to(&seat.name, &facts.labels)?;
            let route_number = queue.routes.iter().position(|other| std::ptr::eq(other, route))?;
            Some(Routed {
                member,
                cluster: seat.name.clone(),
                route: route_number,
                weight: route.weight,
                tier: route.tier,
                bounds: Bounds::of(&route.capacity),
                row: self.ledger.row(slot, member),
                is_unsignalled: route.signal.is_none(),
                remote_queue: place::remote_queue(&queue.name, route, facts, None),
            })
        });
        match (route, at) {
            (Some(routed), Ok(n)) => line.routed[n] = routed,
            (Some(routed), Err(n)) => {
                line.routed.insert(n, routed);
                seat.routed_from.push(slot);
            }
            (None, Ok(n)) => {
                line.routed.remove(n);
                seat.routed_from.retain(|from| *from != slot);
                // One that comes back starts anew.
                line.credits.retain(|owed| *owed != seat.name);
            }
            (None, Err(_)) => {}
        }
        line.ruled = None;
        line.tiers = line.routed.iter().map(|routed| routed.tier).collect();
        line.tiers.sort_unstable();
        line.tiers.dedup();
    }

    fn sum_up(&mut self) {
        let facts = self.seats.iter().filter_map(|seat| seat.facts.as_ref());
        self.total =
            facts.map(|facts| facts.capacity).reduce(|sum, next| sum.plus(&next)).unwrap_or_default();
    }
}
