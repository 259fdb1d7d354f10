//! What becomes of a decision: committed, taken back, made real, restored from the record, over.
//!
//! Owns no state of its own. Every way out gives back exactly what the decision took: the room, and where no application
//! came of it also the step of the credits.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Booking, Checkpoint, Choice, Dispatcher, Withdrawal, index,
    line::{BACKOFF, Backoff},
};
use crate::{
    id::{ClusterName, JobUid, Namespace, QueueName},
    job::Placement,
    ledger::{Reservation, Slot},
    pace::after,
    place::RouteSignal,
};

impl Dispatcher {
    /// Takes over a queue's account as it is on record now, where another process kept it up to here. Call before
    /// [`Self::restore`], and never with decisions of one's own in the account.
    pub fn resume(&mut self, queue: &QueueName, checkpoint: Checkpoint) {
        let Some(&slot) = self.line_of.get(queue) else { return };
        self.lines[index(slot)].resume(checkpoint);
    }

    /// Takes a placement from the hub's record into the account, after a start. Call for every job that has one, with
    /// members and queues set; then [`Self::replay`]. `owner` is the job's namespace on the hub.
    pub fn restore(&mut self, job: &JobUid, owner: &Namespace, placement: &Placement, finished: bool) {
        if !finished {
            self.hold_room(job, owner, placement);
        }
        let Placement { queue, seq, cluster, excluded, .. } = placement;
        let known = self.line_of.get(queue).map_or(0, |slot| self.lines[index(*slot)].seq);
        if *seq > known {
            self.replays.push((queue.clone(), *seq, cluster.clone(), excluded.clone()));
        }
    }

    /// Books the placements that are younger than their queue's checkpoint.
    pub fn replay(&mut self) {
        let mut replays = std::mem::take(&mut self.replays);
        replays.sort_by_key(|(_, seq, ..)| *seq);
        for (queue, seq, cluster, excluded) in replays {
            let among = self.among(&queue, &excluded, &cluster);
            let slot = self.line(&queue);
            let line = &mut self.lines[index(slot)];
            line.book(&among, &cluster);
            line.seq = line.seq.max(seq);
        }
    }

    /// A placement is on the hub's record, by this process's decision or by anybody else's.
    pub fn committed(&mut self, uid: &JobUid, owner: &Namespace, placement: &Placement) {
        let ours =
            self.decided.get(uid).is_some_and(|d| d.cluster == placement.cluster && d.seq == placement.seq);
        if ours {
            self.decided.remove(uid);
            let booked = self.booked.get(uid).map(|booking| booking.queue);
            let slot = booked.unwrap_or_else(|| self.line(&placement.queue));
            self.lines[index(slot)].recorded(placement.seq);
            return;
        }
        // Another process's, or one whose commit was not answered and then decided anew.
        let booked =
            self.booked.get(uid).is_some_and(|b| self.seats[index(b.member)].name == placement.cluster);
        if self.decided.contains_key(uid) || !booked {
            self.withdraw(uid, None, Withdrawal::Other, Timestamp::UNIX_EPOCH);
            self.leave(uid);
            self.hold_room(uid, owner, placement);
            let slot = self.line(&placement.queue);
            let line = &mut self.lines[index(slot)];
            line.seq = line.seq.max(placement.seq);
        }
    }

    /// The application exists: there is nothing to take back any more, and its route works.
    pub fn dispatched(&mut self, uid: &JobUid) {
        let Some(Booking { queue, member, .. }) = self.booked.remove(uid) else { return };
        if self.backoffs.remove(&(queue, member)).is_some() {
            self.lines[index(queue)].dirty = true;
            self.due.list(queue);
        }
    }

    /// The member's operator has submitted the job.
    pub fn submitted(&mut self, uid: &JobUid) {
        if let Some(member) = self.ledger.submitted(uid) {
            self.backlog_shrank(member);
        }
    }

    /// All pods of the job have been seen at `at`: a signal that is read later shows its demand.
    pub fn seen(&mut self, uid: &JobUid, at: Timestamp) {
        let is_signalled = |member| {
            let signals = &self.seats[index(member)].signals;
            signals.quotas.is_some() || signals.yunikorn.is_some() || signals.kueue.is_some()
        };
        if let Some((member, true)) = self.ledger.seen(uid, at, is_signalled) {
            self.backlog_shrank(member);
        }
    }

    /// A member's operator has one application less to submit.
    fn backlog_shrank(&mut self, member: Slot) {
        if std::mem::take(&mut self.seats[index(member)].is_backed_up) {
            self.wake_routes_to(member);
        }
    }

    /// Takes a decided or committed placement back: the reservation goes, the credit step is undone, no attempt is used.
    pub fn withdraw(&mut self, uid: &JobUid, placement: Option<&Placement>, why: Withdrawal, now: Timestamp) {
        self.gave_up(uid, now);
        let decided = self.decided.remove(uid).map(|decision| decision.seq);
        let seq = decided.or(placement.map(|placement| placement.seq));
        self.release(uid);
        let booking = match self.booked.remove(uid) {
            Some(booking) => Some((booking.queue, booking.member, booking.choice)),
            None => placement.map(|placement| {
                let Placement { queue, cluster, excluded, .. } = placement;
                let among = self.among(queue, excluded, cluster);
                let choice = Choice { tier: 0, tiered: false, among, not: Vec::new() };
                (self.line(queue), self.seat(cluster.clone()), Arc::new(choice))
            }),
        };
        let Some((queue, member, choice)) = booking else { return };
        let line = &mut self.lines[index(queue)];
        line.unbook(&choice.among, &self.seats[index(member)].name);
        if let Some(seq) = seq {
            line.taken_back(seq);
        }
        if why == Withdrawal::Capacity {
            self.back_off((queue, member), now);
        }
    }

    /// The job is over, deleted or cannot be taken: it gives up its place, wherever it is.
    pub fn forget(&mut self, uid: &JobUid) {
        // A decision that never got onto the record must not cost its member a share.
        if self.decided.contains_key(uid) {
            self.withdraw(uid, None, Withdrawal::Other, Timestamp::UNIX_EPOCH);
        }
        self.leave(uid);
        // At once, whenever that is.
        self.gave_up(uid, Timestamp::UNIX_EPOCH);
        self.booked.remove(uid);
        self.release(uid);
    }

    /// Forgets every job that is not kept: after a list that says what there is.
    pub fn retain(&mut self, keep: impl Fn(&JobUid) -> bool) {
        let known = self.ledger.jobs().chain(self.positions.keys()).chain(self.decided.keys());
        let gone: HashSet<JobUid> = known.filter(|uid| !keep(uid)).cloned().collect();
        for uid in &gone {
            self.forget(uid);
        }
    }

    fn hold_room(&mut self, job: &JobUid, owner: &Namespace, placement: &Placement) {
        let Placement { cluster, queue, demand, namespace, remote_queue, .. } = placement;
        let (member, line) = (self.seat(cluster.clone()), self.line(queue));
        let facts = self.lines[index(line)].facts.as_ref();
        let routed = self.lines[index(line)].routed.iter().find(|routed| routed.member == member);
        let route = facts.zip(routed).and_then(|(facts, routed)| facts.routes.get(routed.route));
        let cluster_queue = match route.and_then(|route| route.signal.as_ref()) {
            Some(RouteSignal::Kueue { cluster_queue }) => Some(cluster_queue.clone()),
            Some(RouteSignal::ResourceQuota | RouteSignal::YuniKorn) | None => None,
        };
        let reservation = Reservation {
            member,
            queue: line,
            owner: owner.clone(),
            target: namespace.clone(),
            remote_queue: remote_queue.clone(),
            cluster_queue,
            demand: *demand,
        };
        self.ledger.reserve(job.clone(), reservation);
    }

    fn back_off(&mut self, route: (Slot, Slot), now: Timestamp) {
        let (delay, grown) = match self.backoffs.get(&route) {
            None => (BACKOFF.0, now),
            Some(backoff) if now < after(backoff.grown, backoff.delay) => (backoff.delay, backoff.grown),
            Some(backoff) => (doubled(backoff.delay).min(BACKOFF.1), now),
        };
        self.backoffs.insert(route, Backoff { until: after(now, delay), delay, grown, over: false });
    }

    /// Members and weights that a recorded placement was booked with, as far as today's routes tell, by name.
    fn among(
        &self,
        queue: &QueueName,
        excluded: &[ClusterName],
        picked: &ClusterName,
    ) -> Vec<(ClusterName, u32)> {
        let line = self.line_of.get(queue).map(|slot| &self.lines[index(*slot)]);
        let routed = line.map(|line| line.routed.as_slice()).unwrap_or_default();
        let among: Vec<_> = routed
            .iter()
            .filter(|routed| routed.weight > 0 && !excluded.contains(&routed.cluster))
            .map(|routed| (routed.cluster.clone(), routed.weight))
            .collect();
        if among.iter().any(|(cluster, _)| cluster == picked) { among } else { vec![(picked.clone(), 1)] }
    }

    fn release(&mut self, uid: &JobUid) {
        if let Some(reservation) = self.ledger.release(uid) {
            self.more_room_on(reservation.member);
            // What it held of the queue's own limits is free on every member.
            let line = &mut self.lines[index(reservation.queue)];
            if !line.is_idle() && !line.limits().held.is_unlimited() {
                line.dirty = true;
                self.due.list(reservation.queue);
            }
        }
    }
}

fn doubled(delay: Duration) -> Duration {
    delay.saturating_mul(2)
}
