//! Members that are held for a job that has waited too long for room.
//!
//! Owns the holds. A job that finds no room lets smaller ones pass for the queue's `passFor`. Then the member that is
//! nearest to having room for it takes nothing that comes after it, for at most `holdFor`: what runs there ends and the
//! job fits. After that, others may pass again. So a job waits at most `passFor` and the longest run on that member, as
//! long as no run is longer than `holdFor` and nothing that goes before it arrives.

use jiff::Timestamp;

use super::{
    Dispatcher, index,
    line::{Blocked, Class, Rank},
    order::{QueueTurn, Turn},
};
use crate::{
    id::{JobKey, JobUid},
    ledger::Slot,
    pace::after,
    place::Exclusion,
};

/// A member takes nothing that comes after this job.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) job: JobUid,
    pub(super) key: JobKey,
    queue: Slot,
    turn: Turn,
}

/// Who asks whether a hold concerns it.
pub(super) struct Asker<'a> {
    pub(super) job: &'a JobUid,
    pub(super) queue: Slot,
    pub(super) turn: Turn,
    pub(super) queue_turn: QueueTurn,
}

impl Dispatcher {
    /// The job that a member is held for, where that keeps the asker away.
    pub(super) fn held_from(&self, member: Slot, asker: &Asker<'_>) -> Option<&JobKey> {
        let hold = self.seats[index(member)].hold.as_ref()?;
        let goes_before = hold.job == *asker.job
            || if hold.queue == asker.queue {
                asker.turn < hold.turn
            } else {
                asker.queue_turn.outranks(&self.queue_turn(hold.queue))
            };
        (!goes_before).then_some(&hold.key)
    }

    /// Notes that the first job of a class found no room, and holds a member for it once its patience is over.
    pub(super) fn blocked(
        &mut self,
        queue: Slot,
        class: &Class,
        (rank, job): (&Rank, &JobUid),
        exclusions: &[(usize, Exclusion)],
        now: Timestamp,
    ) {
        let line = &mut self.lines[index(queue)];
        let Some(facts) = line.facts.clone() else { return };
        let still_full = |member: Slot| {
            let at = |(n, exclusion): &(usize, Exclusion)| {
                line.routed.get(*n).is_some_and(|routed| routed.member == member) && exclusion.is_full()
            };
            exclusions.iter().any(at)
        };
        let held = line.waiting(class).and_then(|waiting| waiting.blocked.as_ref()?.holds);
        let is_worth_it = held.is_some_and(still_full);
        if held.is_none() && !exclusions.iter().any(|(_, exclusion)| exclusion.is_full()) {
            return;
        }
        let Some(waiting) = line.waiting_mut(class) else { return };
        let blocked = waiting.blocked.take_if(|blocked| blocked.job == *job);
        let mut blocked = blocked.unwrap_or(Blocked { job: job.clone(), since: now, holds: None });
        if let Some(held) = blocked.holds {
            if is_worth_it && now < after(blocked.since, facts.backfill.hold_for) {
                let until = after(blocked.since, facts.backfill.hold_for);
                waiting.blocked = Some(blocked);
                line.wake_at(until);
                return;
            }
            self.let_go(held, job);
            (blocked.holds, blocked.since) = (None, now);
        }
        if now >= after(blocked.since, facts.backfill.pass_for)
            && let Some(member) = self.nearest(queue, exclusions)
        {
            let turn = self.turn(queue, class, rank);
            let hold = Hold { job: job.clone(), key: rank.key.clone(), queue, turn };
            self.seats[index(member)].hold = Some(hold);
            self.holds += 1;
            (blocked.holds, blocked.since) = (Some(member), now);
        }
        let line = &mut self.lines[index(queue)];
        let turn_over =
            if blocked.holds.is_some() { facts.backfill.hold_for } else { facts.backfill.pass_for };
        let next = after(blocked.since, turn_over);
        if next > now {
            // Where no member could be held, its next chance comes with the next change.
            line.wake_at(next);
        }
        if let Some(waiting) = line.waiting_mut(class) {
            waiting.blocked = Some(blocked);
        }
    }

    /// Of the members that are merely full, the one that lacks the smallest part of what the job needs and is not held.
    fn nearest(&self, queue: Slot, exclusions: &[(usize, Exclusion)]) -> Option<Slot> {
        let line = &self.lines[index(queue)];
        exclusions
            .iter()
            .filter_map(|(n, exclusion)| {
                let routed = line.routed.get(*n)?;
                let Exclusion::NoRoom { shortage, .. } = exclusion else { return None };
                let free = self.seats[index(routed.member)].hold.is_none();
                if !exclusion.is_full() || !free {
                    return None;
                }
                let lacks = u128::from(shortage.needed.saturating_sub(shortage.free)) << 20;
                Some((lacks / u128::from(shortage.needed.max(1)), routed.member))
            })
            .min_by_key(|(lacks, _)| *lacks)
            .map(|(_, member)| member)
    }

    /// A member is not held for a job any more.
    pub(super) fn let_go(&mut self, member: Slot, job: &JobUid) {
        if self.seats[index(member)].hold.take_if(|hold| hold.job == *job).is_some() {
            self.holds -= 1;
            self.wake_routes_to(member);
        }
    }
}
