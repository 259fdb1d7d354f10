//! Which waiting job is placed next, and where: the fleet, the queues and the ledger in one hand.
//!
//! Owns everything that placement reads, with one writer. Inside a queue the order is priority, then age (`Fifo`) or the
//! namespace with the smallest share (`FairShare`); between queues it is guarantee, then priority, then share. A job that
//! finds no room lets others pass it for a bounded time. Must never place a job twice: a decision stays the same until it
//! is committed, withdrawn or forgotten.
//!
//! | file | holds |
//! |---|---|
//! | here | who asks, what is answered, the state that they all share |
//! | `dispatch/fleet.rs` | what it is told of members, queues and namespaces |
//! | `dispatch/admit.rs` | who gets in line, and what those who wait are told |
//! | `dispatch/line.rs` | one queue and who waits in it |
//! | `dispatch/class.rs` | what makes waiting jobs alike |
//! | `dispatch/due.rs` | which queues a pass looks at, and when |
//! | `dispatch/order.rs` | who goes before whom |
//! | `dispatch/pass.rs` | a pass: who is next, until nobody can be placed |
//! | `dispatch/decide.rs` | one decision: tiers, whose turn, how fast |
//! | `dispatch/judge.rs` | the verdicts it is made from |
//! | `dispatch/choice.rs` | among whom it was made, as a value |
//! | `dispatch/hold.rs` | members that are held for a job that waited too long |
//! | `dispatch/broken.rs` | members that fail job after job |
//! | `dispatch/restored.rs` | who holds because the hub was put back to an earlier state |
//! | `dispatch/age.rs` | signals that turn stale while jobs wait |
//! | `dispatch/view.rs` | what it holds, for those who show it |
//! | `dispatch/account.rs` | what becomes of a decision: committed, withdrawn, restored, over |

mod account;
mod admit;
mod age;
mod broken;
mod choice;
mod class;
mod decide;
mod due;
mod fleet;
mod hold;
mod judge;
mod line;
mod order;
mod pass;
mod restored;
mod view;

use std::{collections::BTreeMap, sync::Arc};

use foldhash::{HashMap, fast::RandomState};
use jiff::Timestamp;

pub use crate::place::Verdict;
pub use choice::Choice;
pub use view::{QueueOnMember, SignalOnMember};

use self::{
    class::Class,
    due::Due,
    hold::Hold,
    line::{Backoff, Line, Rank},
};
use crate::{
    breaker::Breaker,
    credit::Credits,
    id::{ClusterName, JobKey, JobUid, MemberIdentity, Namespace, QueueName},
    job::{Refused, Request},
    ledger::{Ledger, Slot},
    pace::Bucket,
    place::{Bounds, MemberFacts},
    resources::{Capacity, Resources},
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
    /// The highest number that was given out.
    pub given: u64,
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
    breaker: Breaker,
    /// The queues that route to it.
    routed_from: Vec<Slot>,
    /// A job waits for its operator to submit what it has: a pass is due when it did.
    is_backed_up: bool,
}

/// What most verdicts need of a member: apart from the rest, which is looked at less often.
#[derive(Debug)]
struct Door {
    /// Its declared capacity.
    bounds: Bounds,
    /// Nothing about it keeps any job away: room alone decides.
    is_open: bool,
}

impl Door {
    fn of(facts: Option<&MemberFacts>) -> Self {
        let capacity = facts.map(|facts| facts.capacity).unwrap_or_default();
        Self { bounds: Bounds::of(&capacity), is_open: facts.is_some_and(MemberFacts::is_open) }
    }
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
    /// Of classes.
    hasher: RandomState,
    seats: Vec<Seat>,
    /// What most verdicts need of each of them.
    doors: Vec<Door>,
    seat_of: BTreeMap<ClusterName, Slot>,
    lines: Vec<Line>,
    line_of: HashMap<QueueName, Slot>,
    names: Vec<QueueName>,
    /// Labels by namespace.
    namespaces: HashMap<Namespace, BTreeMap<String, String>>,
    /// What all members declare together: the whole that shares are parts of.
    total: Capacity,
    ledger: Ledger,
    positions: HashMap<JobUid, Position>,
    decided: HashMap<JobUid, Decision>,
    booked: HashMap<JobUid, Booking>,
    backoffs: HashMap<(Slot, Slot), Backoff>,
    /// Members that are held.
    held: Vec<Slot>,
    /// Members whose breaker is not closed.
    broken: Vec<Slot>,
    due: Due,
    /// A pass left somebody unasked then: another is due.
    goes_on: Option<Timestamp>,
    /// Jobs that may get in line now.
    called_in: Vec<(JobUid, JobKey)>,
    replays: Vec<(QueueName, u64, ClusterName, Vec<ClusterName>)>,
    /// Members of which a signal is still to turn stale.
    ageing: usize,
}

impl Dispatcher {
    /// When a pass is due although nothing happened.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let backoffs = self.backoffs.values().filter(|backoff| !backoff.over).map(|backoff| backoff.until);
        let others = self.goes_on.into_iter().chain(self.next_hold_end()).chain(self.next_stale());
        let others = others.chain(self.next_try());
        backoffs.chain(self.due.next_wake()).chain(others).min()
    }

    fn wake_all(&mut self) {
        for (n, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| !line.is_idle()) {
            line.dirty = true;
            self.due.list(number(n));
        }
    }

    /// Room appeared on a member, and nothing else changed.
    fn more_room_on(&mut self, member: Slot) {
        for line in &self.seats[index(member)].routed_from {
            if self.lines[index(*line)].has_more_room(member) {
                self.due.list(*line);
            }
        }
    }

    /// Anything may have changed on a member.
    fn wake_routes_to(&mut self, member: Slot) {
        for queue in &self.seats[index(member)].routed_from {
            let line = &mut self.lines[index(*queue)];
            line.ruled = None;
            if !line.is_idle() {
                line.dirty = true;
                self.due.list(*queue);
            }
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
