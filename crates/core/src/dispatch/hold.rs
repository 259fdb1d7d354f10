//! Members that are held for a job that has waited too long for room.
//!
//! Owns the holds. A hold keeps away those that would take the room that is missing: all jobs where the member itself is
//! full, those of the same namespace, remote queue or queue where only that is, so that a full queue never delays
//! another. A job that finds no room lets smaller ones pass for the queue's `passFor`. Then the member that is
//! nearest to having room for it takes nothing that comes after it, for at most `holdFor`: what runs there ends and the
//! job fits. After that, others may pass again. So a job waits at most `passFor` and the longest run on that member, as
//! long as no run is longer than `holdFor` and nothing that goes before it arrives.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Dispatcher,
    class::Class,
    index,
    line::{Blocked, Excluded, Rank},
    order::{QueueTurn, Turn},
};
use crate::{
    id::{JobKey, JobUid, Namespace},
    ledger::Slot,
    pace::after,
    place::{Exclusion, QueueFacts, RouteSignal, Whose, remote_queue},
};

/// A member takes nothing that comes after this job.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    job: JobUid,
    queue: Slot,
    class: Arc<Class>,
    rank: Rank,
    until: Timestamp,
    scope: Scope,
}

/// Whose room is kept: only those who would take of it are kept away.
#[derive(Clone, Debug)]
enum Scope {
    /// The member's.
    Member,
    /// A namespace's there.
    Namespace(Namespace),
    /// A remote queue's and of those below it.
    RemoteQueue(Arc<str>),
    /// A ClusterQueue's.
    ClusterQueue(Arc<str>),
    /// The queue's own there.
    Queue,
}

/// Who asks whether a hold concerns it.
pub(super) struct Asker<'a> {
    pub(super) job: &'a JobUid,
    pub(super) queue: Slot,
    pub(super) turn: Turn,
    pub(super) queue_turn: QueueTurn,
}

/// Of what the asker would take there.
pub(super) struct Takes<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) remote_queue: Option<&'a str>,
    pub(super) cluster_queue: Option<&'a str>,
}

impl Dispatcher {
    /// The job that a member is held for, where that keeps the asker away.
    pub(super) fn held_from(&self, member: Slot, asker: &Asker<'_>, takes: &Takes<'_>) -> Option<&JobKey> {
        let hold = self.seats[index(member)].hold.as_ref()?;
        let concerns = match &hold.scope {
            Scope::Member => true,
            Scope::Queue => hold.queue == asker.queue,
            Scope::Namespace(namespace) => namespace == takes.namespace,
            Scope::ClusterQueue(name) => takes.cluster_queue == Some(&**name),
            Scope::RemoteQueue(path) => takes
                .remote_queue
                .and_then(|taken| taken.strip_prefix(&**path))
                .is_some_and(|below| below.is_empty() || below.starts_with('.')),
        };
        if !concerns || hold.job == *asker.job {
            return None;
        }
        let goes_before = if hold.queue == asker.queue {
            // As things are now: its namespace may hold less than when the hold began.
            asker.turn < self.turn(hold.queue, &hold.class, &hold.rank)
        } else {
            asker.queue_turn.outranks(&self.queue_turn(hold.queue))
        };
        (!goes_before).then_some(&hold.rank.key)
    }

    /// Notes that the first job of a class found no room, and holds a member for it once its patience is over.
    pub(super) fn blocked(
        &mut self,
        queue: Slot,
        class: &Arc<Class>,
        (rank, job): (&Rank, &JobUid),
        exclusions: &[Excluded<'_>],
        now: Timestamp,
    ) {
        let line = &mut self.lines[index(queue)];
        let Some(facts) = line.facts.clone() else { return };
        let is_full = |member: Slot| {
            let at = |(n, exclusion): &Excluded<'_>| {
                line.routed.get(*n).is_some_and(|routed| routed.member == member) && exclusion.is_full()
            };
            exclusions.iter().any(at)
        };
        let held = line.waiting(class).and_then(|waiting| waiting.blocked.as_ref()?.holds);
        let is_worth_it = held.is_some_and(is_full);
        if held.is_none() && !exclusions.iter().any(|(_, exclusion)| exclusion.is_full()) {
            return;
        }
        let Some(waiting) = line.waiting_mut(class) else { return };
        let mut blocked =
            waiting.blocked.take().unwrap_or_else(|| Blocked { job: job.clone(), since: now, holds: None });
        if blocked.job != *job {
            // Another of the class goes first now. They are alike: what is held for one will do for the other.
            let hold = blocked.holds.and_then(|held| self.seats[index(held)].hold.as_mut());
            if let Some(hold) = hold.filter(|hold| hold.job == blocked.job) {
                (hold.job, hold.rank) = (job.clone(), rank.clone());
            }
            blocked.job = job.clone();
        }
        if let Some(held) = blocked.holds {
            let hold = self.seats[index(held)].hold.as_ref().filter(|hold| hold.job == *job);
            if is_worth_it && let Some(until) = hold.map(|hold| hold.until).filter(|until| now < *until) {
                self.due.wake_at(queue, until);
                let line = &mut self.lines[index(queue)];
                if let Some(waiting) = line.waiting_mut(class) {
                    waiting.blocked = Some(blocked);
                }
                return;
            }
            self.let_go(held, job);
            (blocked.holds, blocked.since) = (None, now);
        }
        if now >= after(blocked.since, facts.backfill.pass_for)
            && let Some((member, scope)) = self.nearest(queue, &facts, class, exclusions)
        {
            let (class, rank, until) = (class.clone(), rank.clone(), after(now, facts.backfill.hold_for));
            self.seats[index(member)].hold =
                Some(Hold { job: job.clone(), queue, class, rank, until, scope });
            self.held.push(member);
            (blocked.holds, blocked.since) = (Some(member), now);
        }
        let turn_over =
            if blocked.holds.is_some() { facts.backfill.hold_for } else { facts.backfill.pass_for };
        let next = after(blocked.since, turn_over);
        if next > now {
            // Where no member could be held, its next chance comes with the next change.
            self.due.wake_at(queue, next);
        }
        if let Some(waiting) = self.lines[index(queue)].waiting_mut(class) {
            waiting.blocked = Some(blocked);
        }
    }

    /// The class cannot be placed for another reason than room: nothing is held for it.
    pub(super) fn unblock(&mut self, queue: Slot, class: &Class) {
        let waiting = self.lines[index(queue)].waiting_mut(class);
        if let Some(Blocked { job, holds: Some(member), .. }) =
            waiting.and_then(|waiting| waiting.blocked.take())
        {
            self.let_go(member, &job);
        }
    }

    /// Of the members that are merely full, the one that lacks the smallest part of what the job needs and is not held.
    fn nearest(
        &self,
        queue: Slot,
        facts: &QueueFacts,
        class: &Class,
        exclusions: &[Excluded<'_>],
    ) -> Option<(Slot, Scope)> {
        let line = &self.lines[index(queue)];
        let full = exclusions.iter().filter(|(_, exclusion)| exclusion.is_full());
        let (_, routed, whose) = full
            .filter_map(|(n, exclusion)| {
                let routed = line.routed.get(*n)?;
                let Exclusion::NoRoom { whose, shortage } = &**exclusion else { return None };
                if self.seats[index(routed.member)].hold.is_some() {
                    return None;
                }
                let lacks = u128::from(shortage.needed.saturating_sub(shortage.free)) << 20;
                Some((lacks / u128::from(shortage.needed.max(1)), routed, *whose))
            })
            .min_by_key(|(lacks, ..)| *lacks)?;
        let member = self.seats[index(routed.member)].facts.as_ref()?;
        let route = facts.routes.get(routed.route)?;
        let scope = match whose {
            Whose::Member => Scope::Member,
            Whose::Route | Whose::Queue => Scope::Queue,
            Whose::Quota => Scope::Namespace(member.namespace.target(&class.namespace).clone()),
            Whose::RemoteQueue(_) => match &route.signal {
                Some(RouteSignal::Kueue { cluster_queue }) => Scope::ClusterQueue(cluster_queue.clone()),
                _ => remote_queue(&facts.name, route, member, class.asks.sub_queue.as_deref())
                    .ok()
                    .flatten()
                    .map_or(Scope::Queue, Scope::RemoteQueue),
            },
        };
        Some((routed.member, scope))
    }

    /// A member is not held for a job any more.
    pub(super) fn let_go(&mut self, member: Slot, job: &JobUid) {
        if self.seats[index(member)].hold.take_if(|hold| hold.job == *job).is_some() {
            self.held.retain(|held| *held != member);
            self.more_room_on(member);
        }
    }

    /// Ends the holds whose time is over.
    pub(super) fn end_holds(&mut self, now: Timestamp) {
        let over = |member: &Slot| self.seats[index(*member)].hold.as_ref().filter(|hold| hold.until <= now);
        let over: Vec<_> =
            self.held.iter().filter_map(|member| Some((*member, over(member)?.job.clone()))).collect();
        for (member, job) in over {
            self.let_go(member, &job);
        }
    }

    /// When the first hold ends.
    pub(super) fn next_hold_end(&self) -> Option<Timestamp> {
        self.held
            .iter()
            .filter_map(|member| self.seats[index(*member)].hold.as_ref())
            .map(|hold| hold.until)
            .min()
    }
}
