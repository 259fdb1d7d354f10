//! Which waiting job is placed next, and where: the fleet, the queues and the ledger in one hand.
//!
//! Owns everything that placement reads, with one writer. Inside a queue the order is priority, then age (`Fifo`) or the
//! namespace with the smallest share (`FairShare`); between queues it is guarantee, then priority, then share. A job that
//! finds no room lets others pass it for a bounded time. Must never place a job twice: a decision stays the same until it
//! is committed, withdrawn or forgotten.
//!
//! | file | holds |
//! |---|---|
//! | here | the facts, who asks, what is answered |
//! | `dispatch/line.rs` | one queue and who waits in it |
//! | `dispatch/order.rs` | who goes before whom |
//! | `dispatch/pass.rs` | a pass: who is next, until nobody can be placed |
//! | `dispatch/decide.rs` | one decision: verdicts, tiers, whose turn, how fast |
//! | `dispatch/hold.rs` | members that are held for a job that waited too long |
//! | `dispatch/age.rs` | signals that turn stale while jobs wait |
//! | `dispatch/view.rs` | what it holds, for those who show it |
//! | `dispatch/account.rs` | what becomes of a decision: committed, withdrawn, restored, over |

mod account;
mod age;
mod decide;
mod hold;
mod line;
mod order;
mod pass;
mod view;

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    ops::Bound,
    sync::Arc,
};

use foldhash::HashMap;
use jiff::Timestamp;

pub use crate::place::Verdict;
pub use decide::Choice;
pub use view::{QueueOnMember, SignalOnMember};

use self::{
    hold::Hold,
    line::{Backoff, Class, Line, Rank, Routed},
};
use crate::{
    credit::Credits,
    id::{ClusterName, JobKey, JobUid, MemberIdentity, Namespace, QueueName},
    job::{Refused, Request},
    ledger::{Ledger, Slot},
    pace::Bucket,
    place::{MemberFacts, QueueFacts, QueueLimits, SETTLES},
    resources::{Capacity, Resources},
    selector::Selector,
    signal::Signals,
    waits::Waits,
};

/// A job that asks for a place.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// The job.
    pub uid: JobUid,
    /// Its place on the hub.
    pub key: JobKey,
    /// Its age counts from here.
    pub created: Timestamp,
    /// What it wants.
    pub request: Arc<Request>,
    /// Members that refused it.
    pub refused: Vec<Refused>,
}

/// A decision that is not committed yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The job's place on the hub.
    pub key: JobKey,
    /// The member.
    pub cluster: ClusterName,
    /// Who that is.
    pub identity: MemberIdentity,
    /// Where the job runs there.
    pub namespace: Namespace,
    /// The queue.
    pub queue: QueueName,
    /// The queue of the member's batch scheduler that it is handed to.
    pub remote_queue: Option<Arc<str>>,
    /// The placement's number in the queue.
    pub seq: u64,
    /// What it reserves.
    pub demand: Resources,
    /// When it was decided.
    pub at: Timestamp,
    /// Among whom it was decided, and why not the others.
    pub choice: Arc<Choice>,
}

/// What a job that asks for a place is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Commit this.
    Place(Box<Decision>),
    /// Wait; the dispatcher calls when there is a decision.
    Wait(Waits),
}

/// Why a committed or decided placement is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// A quota was full: the route backs off.
    Capacity,
    /// Anything else: the member's health or this job's refusals keep it from being picked again.
    Other,
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Placed and not finished.
    pub active: Resources,
    /// Waiting.
    pub queued: u64,
}

/// What survives a restart of a queue's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last placement that is contained.
    pub seq: u64,
    /// Credits after it.
    pub credits: Credits,
    /// Placements so far by member; with its credit, that is what its weight entitles it to.
    pub placed: BTreeMap<ClusterName, u64>,
}

/// What a pass made of the waiting jobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passed {
    /// Jobs that have a decision now, in order of decision.
    pub decided: Vec<(JobUid, JobKey)>,
    /// Jobs that wait for something else than before, or may get in line now.
    pub rephrased: Vec<(JobUid, JobKey)>,
}

/// What a placement was booked with, to take it back exactly.
#[derive(Debug)]
struct Booking {
    queue: Slot,
    member: Slot,
    choice: Arc<Choice>,
    /// What was asked; `None` for a placement from the record.
    class: Option<Arc<Class>>,
}

/// A member as the dispatcher keeps it.
#[derive(Debug)]
struct Seat {
    name: ClusterName,
    /// `None`: registered no more, but something is still placed there.
    facts: Option<Arc<MemberFacts>>,
    signals: Arc<Signals>,
    /// When the next of them turns stale.
    stale_from: Option<Timestamp>,
    bucket: Bucket,
    hold: Option<Hold>,
    /// The queues that route to it.
    routed_from: Vec<Slot>,
    /// A job waits for its operator to submit what it has: a pass is due when it did.
    is_backed_up: bool,
}

/// Where a waiting job stands.
#[derive(Debug)]
struct Position {
    queue: Slot,
    /// `None`: turned away from the line.
    class: Option<Arc<Class>>,
    rank: Rank,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Dispatcher {
    seats: Vec<Seat>,
    seat_of: BTreeMap<ClusterName, Slot>,
    lines: Vec<Line>,
    line_of: BTreeMap<QueueName, Slot>,
    names: Vec<QueueName>,
    namespaces: BTreeMap<Namespace, BTreeMap<String, String>>,
    /// What all members declare together: the whole that shares are parts of.
    total: Capacity,
    ledger: Ledger,
    positions: HashMap<JobUid, Position>,
    decided: HashMap<JobUid, Decision>,
    booked: HashMap<JobUid, Booking>,
    backoffs: HashMap<(Slot, Slot), Backoff>,
    /// Members that are held.
    held: Vec<Slot>,
    /// A pass left somebody unasked then: another is due.
    goes_on: Option<Timestamp>,
    /// Jobs that may get in line now.
    called_in: Vec<(JobUid, JobKey)>,
    replays: Vec<(QueueName, u64, ClusterName, Vec<ClusterName>)>,
    /// Members of which a signal is still to turn stale.
    ageing: usize,
}

impl Dispatcher {
    /// Adds or changes a member. Unchanged facts cost nothing.
    pub fn set_member(&mut self, cluster: ClusterName, facts: MemberFacts) {
        let slot = self.seat(cluster);
        let before = self.seats[index(slot)].facts.replace(Arc::new(facts));
        let Some(facts) = &self.seats[index(slot)].facts else { return };
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
        (seat.signals, seat.bucket) = (Arc::default(), Bucket::default());
        self.note_age(slot, Timestamp::MIN);
        let seat = &mut self.seats[index(slot)];
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
        let line = &mut self.lines[index(slot)];
        let before = line.facts.replace(Arc::new(facts));
        let Some(facts) = &line.facts else { return };
        if before.is_none() {
            line.seq = line.seq.max(checkpoint.seq);
            (line.credits, line.placed) = (checkpoint.credits, checkpoint.placed);
        }
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

    /// A job asks for a place; asking again replaces what it asked before. The next [`Self::pass`] decides.
    pub fn enqueue(&mut self, applicant: Applicant) {
        let Applicant { uid, key, created, request, refused } = applicant;
        let class = Class::of(&key.namespace, &request, &refused);
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
        let line = &mut self.lines[index(queue)];
        let limits = line.limits();
        let is_full = limits.queued.is_some_and(|most| line.len() >= most);
        let class = if is_full || limits.highest_priority.is_some_and(|highest| rank.priority.0 > highest) {
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

    /// When a pass is due although nothing happened.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let backoffs = self.backoffs.values().filter(|backoff| !backoff.over).map(|backoff| backoff.until);
        let lines = self.lines.iter().filter_map(|line| line.wake_at);
        backoffs.chain(lines).chain(self.goes_on).chain(self.next_hold_end()).chain(self.next_stale()).min()
    }

    fn seat(&mut self, cluster: ClusterName) -> Slot {
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
            routed_from: Vec::new(),
            is_backed_up: false,
        });
        *place.insert(slot)
    }

    fn line(&mut self, queue: &QueueName) -> Slot {
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
            && line.seq == 0
            && self.ledger.total_of(slot).jobs == 0
    }

    /// Looks up again by which route, if any, a queue leads to a member.
    fn reroute(&mut self, queue: usize, member: Slot) {
        let Some(line) = self.lines.get_mut(queue) else { return };
        let queue = number(queue);
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
                remote_queue: decide::remote_queue(&queue.name, route, facts, None),
            })
        });
        match (route, at) {
            (Some(routed), Ok(n)) => line.routed[n] = routed,
            (Some(routed), Err(n)) => {
                line.routed.insert(n, routed);
                seat.routed_from.push(queue);
            }
            (None, Ok(n)) => {
                line.routed.remove(n);
                seat.routed_from.retain(|from| *from != queue);
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

    fn leave(&mut self, uid: &JobUid) {
        let Some(Position { queue, class, rank }) = self.positions.remove(uid) else { return };
        let line = &mut self.lines[index(queue)];
        let Some(class) = class else {
            line.turned_away.remove(&rank);
            return;
        };
        if let Some(held) = line.leave(&class, &rank) {
            self.let_go(held, uid);
        }
        self.call_in(queue);
    }

    /// Takes out of the line whoever may not wait in it any more, and tells them.
    fn send_out(&mut self, queue: Slot) {
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
    fn call_in(&mut self, queue: Slot) {
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

    fn wake_all(&mut self) {
        for line in &mut self.lines {
            line.dirty |= !line.is_idle();
        }
    }

    /// Room appeared on a member, and nothing else changed.
    fn more_room_on(&mut self, member: Slot) {
        for line in &self.seats[index(member)].routed_from {
            self.lines[index(*line)].has_more_room(member);
        }
    }

    /// Anything may have changed on a member.
    fn wake_routes_to(&mut self, member: Slot) {
        for line in &self.seats[index(member)].routed_from {
            let line = &mut self.lines[index(*line)];
            line.ruled = None;
            line.dirty |= !line.is_idle();
        }
    }
}

fn index(slot: Slot) -> usize {
    // A number that was given out for a place in memory; `usize` has at least as many bits on every machine that runs it.
    usize::try_from(slot.0).unwrap_or(usize::MAX)
}

fn number(index: usize) -> Slot {
    Slot(u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
