//! Who goes before whom: jobs inside a queue, and queues that compete for a member.
//!
//! Owns no state of its own. Shares are parts of all that the members declare together; where nothing is declared, plain
//! amounts are compared, which orders the same way. They are kept in 2^-20ths: a difference below that is a tie, and
//! ties go by age and name.

use std::cmp::Reverse;

use super::{Dispatcher, class::Class, index, line::Rank};
use crate::{
    id::{Namespace, QueueName},
    ledger::Slot,
    place::Order,
    resources::{Capacity, Resources},
};

/// A job's turn in its queue: the smallest goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    priority: Reverse<i32>,
    share: u64,
    /// Age and name, where both are the same.
    rank: Rank,
}

/// A queue's turn among queues: the smallest goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueTurn {
    /// Below its guarantee, and how much of it is used; queues that have theirs come after.
    guarantee: (bool, u64),
    priority: Reverse<i32>,
    share: u64,
    name: QueueName,
}

impl QueueTurn {
    /// Whether it goes before another for good: not only because it holds a little less at this moment.
    pub(super) fn outranks(&self, other: &Self) -> bool {
        (self.guarantee.0, self.priority) < (other.guarantee.0, other.priority)
    }
}

impl Dispatcher {
    /// The turn of a job.
    pub(super) fn turn(&self, queue: Slot, class: &Class, rank: &Rank) -> Turn {
        let share = self.share_of_owner(queue, &class.namespace);
        Turn { priority: rank.priority, share, rank: rank.clone() }
    }

    /// The turn of a queue.
    pub(super) fn queue_turn(&self, queue: Slot) -> QueueTurn {
        let line = &self.lines[index(queue)];
        let used = self.ledger.total_of(queue);
        let facts = line.facts.as_ref();
        let used_up = facts.and_then(|facts| facts.guaranteed.taken(used)).filter(|taken| *taken < 1 << 20);
        QueueTurn {
            guarantee: (used_up.is_none(), used_up.unwrap_or_default()),
            priority: Reverse(facts.map(|facts| facts.priority).unwrap_or_default()),
            share: dominant(&self.total, used),
            name: self.names[index(queue)].clone(),
        }
    }

    /// What a namespace holds of a `FairShare` queue, by its weight; nothing in a `Fifo` queue.
    fn share_of_owner(&self, queue: Slot, owner: &Namespace) -> u64 {
        let Some(facts) = &self.lines[index(queue)].facts else { return 0 };
        let Order::FairShare { weights } = &facts.order else { return 0 };
        let weight = weights.get(owner).copied().unwrap_or(1).max(1);
        dominant(&self.total, self.ledger.of_owner(queue, owner)) / u64::from(weight)
    }
}

/// The largest part of the whole that is used (dominant resource share; Ghodsi et al., *Dominant Resource Fairness*,
/// 2011).
fn dominant(total: &Capacity, used: Resources) -> u64 {
    total.taken(used).unwrap_or_else(|| used.cpu_milli.saturating_mul(1 << 10).saturating_add(used.jobs))
}
