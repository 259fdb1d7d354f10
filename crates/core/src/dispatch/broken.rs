//! Members that fail job after job before their drivers start.
//!
//! Owns no state of its own: each member's breaker stands with its seat (see [`crate::breaker`]). It is fed with what is
//! put on record of attempts, and lost with the process: a router that starts believes every member until it knows better.

use jiff::Timestamp;

use super::{Dispatcher, index};
use crate::{
    breaker::{Breaker, Start, State},
    id::{ClusterName, JobUid, Namespace},
    ledger::Slot,
};

impl Dispatcher {
    /// It is on record what became of an attempt's driver on a member; `owner` is the job's namespace on the hub. How the
    /// member's breaker stands, where this opened it or closed it.
    pub fn driver_was(
        &mut self,
        cluster: &ClusterName,
        job: &JobUid,
        owner: &Namespace,
        start: Start,
        now: Timestamp,
    ) -> Option<State> {
        let &member = self.seat_of.get(cluster)?;
        let breaker = &mut self.seats[index(member)].breaker;
        let turned = match start {
            Start::Unknown => false,
            Start::Made => breaker.started(),
            Start::Failed => breaker.failed(job, owner, now),
        };
        let state = breaker.state(now);
        if !turned {
            return None;
        }
        self.broken.retain(|broken| *broken != member);
        if state != State::Closed {
            self.broken.push(member);
        }
        self.wake_routes_to(member);
        Some(state)
    }

    /// How a member's breaker stands.
    pub fn breaker(&self, cluster: &ClusterName, now: Timestamp) -> State {
        let seat = self.seat_of.get(cluster).map(|member| &self.seats[index(*member)]);
        seat.map_or(State::Closed, |seat| seat.breaker.state(now))
    }

    /// Takes over that a member's breaker was open, for those who explain and decide nothing.
    pub fn set_broken(&mut self, cluster: &ClusterName, since: Timestamp) {
        if let Some(&member) = self.seat_of.get(cluster) {
            self.seats[index(member)].breaker = Breaker::opened(since);
            self.broken.push(member);
        }
    }

    /// A job comes to nothing: one that was let through to see makes place for another.
    pub(super) fn gave_up(&mut self, job: &JobUid, now: Timestamp) {
        let tried =
            self.broken.iter().copied().find(|member| self.seats[index(*member)].breaker.gave_up(job, now));
        if let Some(member) = tried {
            self.wake_routes_to(member);
        }
    }

    /// Wakes those who may send a job to see.
    pub(super) fn try_again(&mut self, now: Timestamp) {
        let due: Vec<Slot> = self
            .broken
            .iter()
            .copied()
            .filter(|member| self.seats[index(*member)].breaker.wakes(now))
            .collect();
        for member in due {
            self.wake_routes_to(member);
        }
    }

    /// When the first member may be sent a job to see.
    pub(super) fn next_try(&self) -> Option<Timestamp> {
        self.broken.iter().filter_map(|member| self.seats[index(*member)].breaker.next_wake()).min()
    }
}
