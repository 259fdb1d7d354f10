//! Who waits in line, who has to stay out for now, and what either is told.
//!
//! Owns no state of its own. A queue may limit how many wait and how high a priority goes: whoever is turned away is
//! called when that changes.

use std::ops::Bound;

use jiff::Timestamp;

use super::{Answer, Applicant, Dispatcher, Position, Withdrawal, class::Class, index, line::Rank};
use crate::{
    id::{JobKey, JobUid, Namespace},
    ledger::Slot,
    place::QueueLimits,
    waits::Waits,
};

impl Dispatcher {
    /// A job asks for a place; asking again replaces what it asked before. The next [`Self::pass`] decides.
    pub fn enqueue(&mut self, applicant: Applicant) {
        let Applicant { uid, mut key, created, request, refused } = applicant;
        if let Some((namespace, _)) = self.namespaces.get_key_value(&key.namespace) {
            // One text for all jobs of a namespace: it is held once, and compared by its place.
            key.namespace = namespace.clone();
        }
        let class = Class::of(&self.hasher, &key.namespace, &request, &refused);
        if let Some(decision) = self.decided.get(&uid) {
            let asked = self.booked.get(&uid).and_then(|booking| booking.class.as_deref());
            if decision.queue == request.queue && asked == Some(&class) {
                return;
            }
        }
        if self.decided.contains_key(&uid) || self.ledger.holds(&uid) {
            // Its owner changed it before the decision was committed, or its placement was taken back by a write whose
            // answer got lost.
            self.withdraw(&uid, None, Withdrawal::Other, Timestamp::UNIX_EPOCH);
        }
        let queue = self.line(&request.queue);
        let rank = Rank::new(request.priority, created, key);
        if let Some(position) = self.positions.get(&uid)
            && position.queue == queue
            && position.rank == rank
            && position.class.as_deref() == Some(&class)
        {
            return;
        }
        self.leave(&uid);
        self.due.list(queue);
        let line = &mut self.lines[index(queue)];
        let limits = line.limits();
        let is_full = limits.queued.is_some_and(|most| line.len() >= most);
        let holds = line.restored.as_ref().is_some_and(|restored| restored.holds(created));
        let class = if holds {
            line.held_back.insert(rank.clone(), uid.clone());
            None
        } else if is_full || limits.highest_priority.is_some_and(|highest| rank.priority.0 > highest) {
            line.turned_away.insert(rank.clone(), uid.clone());
            None
        } else {
            Some(line.join(class, rank.clone(), uid.clone()))
        };
        self.positions.insert(uid, Position { queue, class, rank });
    }

    /// What the passes so far made of a job. `None` for a job that never asked.
    pub fn answer(&self, uid: &JobUid) -> Option<Answer> {
        if let Some(decision) = self.decided.get(uid) {
            return Some(Answer::Place(Box::new(decision.clone())));
        }
        let Position { queue, class, rank } = self.positions.get(uid)?;
        let line = &self.lines[index(*queue)];
        let name = &self.names[index(*queue)];
        let waits = match class {
            None if line.held_back.contains_key(rank) => {
                Waits::restored(name, line.restored.as_ref().map_or("", |restored| &restored.seen))
            }
            None => match (line.limits().highest_priority, line.limits().queued) {
                (Some(highest), _) if rank.priority.0 > highest => {
                    Waits::priority_too_high(name, rank.priority.0, highest)
                }
                (_, most) => Waits::queue_full(name, most.unwrap_or_default()),
            },
            // Not asked yet: a pass asks only so many in vain before it goes on with the next.
            Some(class) => line.waiting(class)?.waits.clone().unwrap_or_else(|| Waits::in_turn(name)),
        };
        Some(Answer::Wait(waits))
    }

    pub(super) fn leave(&mut self, uid: &JobUid) {
        let Some(Position { queue, class, rank }) = self.positions.remove(uid) else { return };
        let line = &mut self.lines[index(queue)];
        let Some(class) = class else {
            line.turned_away.remove(&rank);
            line.held_back.remove(&rank);
            return;
        };
        if let Some(held) = line.leave(&class, &rank) {
            self.let_go(held, uid);
        }
        self.call_in(queue);
    }

    /// Takes out of the line whoever may not wait in it any more, and tells them.
    pub(super) fn send_out(&mut self, queue: Slot) {
        let line = &self.lines[index(queue)];
        let Some(highest) = line.limits().highest_priority else { return };
        let too_high: Vec<_> = line
            .each_class()
            .flat_map(|(_, waiting)| waiting.jobs.iter().take_while(|(rank, _)| rank.priority.0 > highest))
            .map(|(rank, uid)| (rank.clone(), uid.clone()))
            .collect();
        for (rank, uid) in too_high {
            self.leave(&uid);
            self.called_in.push((uid.clone(), rank.key.clone()));
            self.lines[index(queue)].turned_away.insert(rank.clone(), uid.clone());
            self.positions.insert(uid, Position { queue, class: None, rank });
        }
    }

    /// Calls as many of those that were turned away as there is room for in the line.
    pub(super) fn call_in(&mut self, queue: Slot) {
        let line = &self.lines[index(queue)];
        if line.turned_away.is_empty() {
            return;
        }
        let QueueLimits { queued, highest_priority, .. } = line.limits();
        let room =
            usize::try_from(queued.unwrap_or(u64::MAX).saturating_sub(line.len())).unwrap_or(usize::MAX);
        // Those above the highest priority come first, and stay where they are.
        let from = highest_priority.map_or(Bound::Unbounded, |highest| {
            let key = JobKey { namespace: Namespace::from(""), name: String::new() };
            Bound::Included(Rank::new(highest, Timestamp::MIN, key))
        });
        let may = line.turned_away.range((from, Bound::Unbounded));
        let called = may.take(room).map(|(rank, uid)| (uid.clone(), rank.key.clone()));
        self.called_in.extend(called);
    }
}
