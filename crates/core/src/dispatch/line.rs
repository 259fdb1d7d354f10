//! One queue: its facts, its credits, and who waits in it in which order.
//!
//! Owns the parts of the dispatcher's state that belong to one queue. Waiting jobs that are alike for placement form a
//! class, and each class is represented by its first job: a pass asks once for each class, so that a long queue costs no
//! more than a short one.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::BTreeMap,
    ops::{Bound, Deref},
    sync::Arc,
    time::Duration,
};

use foldhash::{HashMap, HashSet};
use jiff::Timestamp;

use super::{Checkpoint, Choice, class::Class};
use crate::{
    credit::Credits,
    id::{ClusterName, JobKey, JobUid, Namespace},
    ledger::{Row, Slot},
    pace::Bucket,
    place::{Bounds, Exclusion, Inexpressible, Order, QueueFacts, QueueLimits},
    resources::Resources,
    restored::Restored,
    selector::Selector,
    waits::Waits,
};

/// The shortest and the longest time that a route backs off after a full quota.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Placements that one decision without a record may keep out of checkpoints. Beyond it counts as recorded, so that a job
/// that can never be written does not grow the account for ever.
const MOST_YOUNG: usize = 4096;

/// Order of jobs of one namespace, and of all jobs of a `Fifo` queue: priority, then age, then name. Shared by all that
/// know the job's place: a million jobs may wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Rank(Arc<Standing>);

/// What a rank is made of.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Standing {
    pub(super) priority: Reverse<i32>,
    pub(super) created: Timestamp,
    pub(super) key: JobKey,
}

impl Rank {
    pub(super) fn new(priority: i32, created: Timestamp, key: JobKey) -> Self {
        Self(Arc::new(Standing { priority: Reverse(priority), created, key }))
    }
}

impl Deref for Rank {
    type Target = Standing;

    fn deref(&self) -> &Standing {
        &self.0
    }
}

/// Jobs that are ordered among themselves by rank alone: all of a `Fifo` queue, one namespace of a `FairShare` one.
pub(super) type Group = Option<Namespace>;

/// The next job of each group that has to be asked; a group that is not listed is done.
pub(super) type Cursor = BTreeMap<Group, Rank>;

/// Members with more room that are noted one by one; with more of them everybody is asked about everything.
const ROOMIER: usize = 8;

/// Classes that are looked at one by one for the sake of one member; with more of them they are asked in order, and only
/// some at a time.
const LOOKED_AT: usize = 1024;

/// One queue: its facts, its credits and who waits in it.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) facts: Option<Arc<QueueFacts>>,
    pub(super) admits: Option<Selector>,
    pub(super) credits: Credits,
    pub(super) placed: HashMap<ClusterName, u64>,
    pub(super) seq: u64,
    /// Numbers up to this one were given out, also where no record is left of them.
    pub(super) given: u64,
    /// Placements by number, from the first one on that is decided and not on record: no part of a checkpoint.
    young: BTreeMap<u64, Young>,
    /// Members that it routes to, by name.
    pub(super) routed: Vec<Routed>,
    /// Its tiers, lowest first.
    pub(super) tiers: Vec<u32>,
    pub(super) bucket: Bucket,
    classes: HashMap<Arc<Class>, Waiting>,
    /// The first job of each class.
    heads: BTreeMap<Group, BTreeMap<Rank, Arc<Class>>>,
    waiting: u64,
    /// Jobs that may not wait in line: beyond the queue's limit, or of too high a priority. They are called when they may.
    pub(super) turned_away: BTreeMap<Rank, JobUid>,
    /// The hub was put back to an earlier state: its older jobs hold.
    pub(super) restored: Option<Restored>,
    /// Those that do, out of the line.
    pub(super) held_back: BTreeMap<Rank, JobUid>,
    /// Classes that nobody was asked for yet.
    pub(super) fresh: HashSet<Arc<Class>>,
    /// Anything may have changed since the last pass.
    pub(super) dirty: bool,
    /// Members on which room appeared since the last pass, and nothing else changed.
    pub(super) roomier: Vec<Slot>,
    /// Where the next pass goes on: whoever comes from there on was not asked yet.
    pub(super) resume: Option<Cursor>,
    /// Where the one after that begins again: whoever comes between there and `resume` was asked before the last change.
    pub(super) again: Option<Cursor>,
    /// What rules out members for good for the jobs that were asked last.
    pub(super) ruled: Option<Ruled>,
    /// The last choice made, for the next one that is the same.
    pub(super) last_choice: Option<Arc<Choice>>,
}

/// A placement that a checkpoint leaves to the jobs' records.
#[derive(Debug)]
struct Young {
    cluster: ClusterName,
    choice: Arc<Choice>,
    recorded: bool,
}

/// A member that the queue routes to.
#[derive(Clone, Debug)]
pub(super) struct Routed {
    pub(super) member: Slot,
    pub(super) cluster: ClusterName,
    /// Which of the queue's routes it is.
    pub(super) route: usize,
    pub(super) weight: u32,
    pub(super) tier: u32,
    /// What the queue may hold there.
    pub(super) bounds: Bounds,
    /// What it does hold there.
    pub(super) row: Row,
    /// Declared numbers alone say what it has room for.
    pub(super) is_unsignalled: bool,
    /// The queue of its batch scheduler, for jobs that name none below it.
    pub(super) remote_queue: Result<Option<Arc<str>>, Inexpressible>,
}

/// Which members are ruled out for good, for jobs that are alike in all that this depends on. In a burst that is all of
/// them, and nine in ten members of a large queue need no second look.
#[derive(Clone, Debug)]
pub(super) struct Ruled {
    pub(super) like: Arc<Class>,
    /// Those that are, as places among the routed ones, in their order.
    pub(super) out: Arc<[(usize, Exclusion)]>,
}

/// A member that could take a job, as a place among the routed ones, and what the scarcest thing that it signals has
/// free.
pub(super) type Open = (usize, u64);

/// A member that does not take a job, as a place among the routed ones, and why: often as for the job before.
pub(super) type Excluded<'a> = (usize, Cow<'a, Exclusion>);

/// The first job of a class, which finds no room.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) job: JobUid,
    /// Since when smaller jobs pass it, or since when a member is held for it.
    pub(super) since: Timestamp,
    /// The member that is held for it.
    pub(super) holds: Option<Slot>,
}

/// The waiting jobs of one class, and what they wait for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) jobs: BTreeMap<Rank, JobUid>,
    /// What each of them reserves: looked at for all classes whenever room appears.
    pub(super) demand: Resources,
    pub(super) waits: Option<Waits>,
    /// What they were told last: the word, and whether all refused them. Kept while it is open what they wait for.
    pub(super) told: Option<(&'static str, bool)>,
    /// Since when each tier has had no room for them. Kept as long as some of them wait: whatever room appeared since
    /// was taken by those before them.
    pub(super) full_since: BTreeMap<u32, Timestamp>,
    /// Its first job finds no room while others may.
    pub(super) blocked: Option<Blocked>,
}

/// A route that met a full quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) until: Timestamp,
    pub(super) delay: Duration,
    /// When the delay last grew: a burst that meets the same full quota is one sign, not many.
    pub(super) grown: Timestamp,
    /// Its end has been looked at.
    pub(super) over: bool,
}

impl Line {
    /// Adds a waiting job. Returns its class.
    pub(super) fn join(&mut self, class: Class, rank: Rank, uid: JobUid) -> Arc<Class> {
        let known = self.classes.get_key_value(&class).map(|(class, _)| class.clone());
        let class = known.unwrap_or_else(|| Arc::new(class));
        let group = self.group(&class);
        let waiting = self.classes.entry(class.clone()).or_default();
        waiting.demand = class.asks.demand;
        let head = waiting.jobs.first_key_value().map(|(rank, _)| rank.clone());
        // One of higher priority may pass a member that is held for another.
        if waiting.waits.is_none() || head.as_ref().is_some_and(|head| rank.priority < head.priority) {
            self.fresh.insert(class.clone());
        }
        if head.as_ref().is_none_or(|head| rank < *head) {
            let heads = self.heads.entry(group).or_default();
            if let Some(head) = head {
                heads.remove(&head);
            }
            heads.insert(rank.clone(), class.clone());
        }
        waiting.jobs.insert(rank, uid);
        self.waiting += 1;
        class
    }

    /// Takes a waiting job out. Returns the member that was held for it.
    pub(super) fn leave(&mut self, class: &Arc<Class>, rank: &Rank) -> Option<Slot> {
        let group = self.group(class);
        let waiting = self.classes.get_mut(class)?;
        let was_head = waiting.jobs.first_key_value().is_some_and(|(head, _)| head == rank);
        let uid = waiting.jobs.remove(rank)?;
        self.waiting -= 1;
        let next = waiting.jobs.first_key_value().map(|(rank, _)| rank.clone());
        if was_head {
            let heads = self.heads.entry(group.clone()).or_default();
            heads.remove(rank);
            if let Some(next) = &next {
                heads.insert(next.clone(), class.clone());
            }
            if heads.is_empty() {
                self.heads.remove(&group);
            }
        }
        let held = waiting.blocked.take_if(|blocked| blocked.job == uid).and_then(|blocked| blocked.holds);
        if next.is_none() {
            self.classes.remove(class);
            self.fresh.remove(class);
        }
        held
    }

    /// Whether somebody has to be asked.
    pub(super) fn is_due(&self) -> bool {
        self.dirty || self.resume.is_some() || !self.fresh.is_empty() || !self.roomier.is_empty()
    }

    /// Room appeared on a member that it routes to. Whether somebody is to be asked for it.
    pub(super) fn has_more_room(&mut self, member: Slot) -> bool {
        if self.is_idle() || self.dirty || self.roomier.contains(&member) {
            return false;
        }
        if self.roomier.len() < ROOMIER && self.classes.len() <= LOOKED_AT {
            self.roomier.push(member);
        } else {
            (self.dirty, self.roomier) = (true, Vec::new());
        }
        true
    }

    /// The group that a class is ordered in.
    pub(super) fn group(&self, class: &Class) -> Group {
        match self.facts.as_ref().map(|facts| &facts.order) {
            Some(Order::FairShare { .. }) => Some(class.namespace.clone()),
            Some(Order::Fifo) | None => None,
        }
    }

    /// Orders everybody anew, after the queue's order changed.
    pub(super) fn regroup(&mut self) {
        self.heads.clear();
        let heads: Vec<_> = self
            .classes
            .iter()
            .filter_map(|(class, waiting)| {
                let (rank, _) = waiting.jobs.first_key_value()?;
                Some((self.group(class), rank.clone(), class.clone()))
            })
            .collect();
        for (group, rank, class) in heads {
            self.heads.entry(group).or_default().insert(rank, class);
        }
    }

    /// The groups in which somebody waits.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.heads.keys()
    }

    /// The first job of a class in a group from some rank on, with its class.
    pub(super) fn next_head(&self, group: &Group, from: Bound<&Rank>) -> Option<(&Rank, &Arc<Class>)> {
        self.heads.get(group)?.range((from, Bound::Unbounded)).next()
    }

    /// The first job of a class.
    pub(super) fn head_of(&self, class: &Class) -> Option<(&Rank, &JobUid)> {
        self.classes.get(class)?.jobs.first_key_value()
    }

    pub(super) fn waiting(&self, class: &Class) -> Option<&Waiting> {
        self.classes.get(class)
    }

    pub(super) fn waiting_mut(&mut self, class: &Class) -> Option<&mut Waiting> {
        self.classes.get_mut(class)
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = &Waiting> {
        self.classes.values()
    }

    pub(super) fn each_class(&self) -> impl Iterator<Item = (&Arc<Class>, &Waiting)> {
        self.classes.iter()
    }

    /// What it may hold; nothing is limited where its facts are not known.
    pub(super) fn limits(&self) -> QueueLimits {
        self.facts.as_ref().map(|facts| facts.limits).unwrap_or_default()
    }

    /// How many wait.
    pub(super) fn len(&self) -> u64 {
        self.waiting
    }

    /// Whether anybody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    pub(super) fn book(&mut self, among: &[(ClusterName, u32)], picked: &ClusterName) {
        self.credits.book(among.iter().map(|(cluster, weight)| (cluster, *weight)), picked);
        match self.placed.get_mut(picked) {
            Some(placed) => *placed = placed.saturating_add(1),
            None => drop(self.placed.insert(picked.clone(), 1)),
        }
    }

    pub(super) fn unbook(&mut self, among: &[(ClusterName, u32)], picked: &ClusterName) {
        self.credits.unbook(among.iter().map(|(cluster, weight)| (cluster, *weight)), picked);
        if let Some(placed) = self.placed.get_mut(picked) {
            *placed = placed.saturating_sub(1);
        }
    }

    /// The placement `seq` is decided and booked, and not on record yet.
    pub(super) fn decided(&mut self, seq: u64, cluster: &ClusterName, choice: &Arc<Choice>) {
        let young = Young { cluster: cluster.clone(), choice: choice.clone(), recorded: false };
        self.young.insert(seq, young);
        if self.young.len() > MOST_YOUNG {
            self.young.pop_first();
            self.settle();
        }
    }

    /// The placement `seq` is on record.
    pub(super) fn recorded(&mut self, seq: u64) {
        if let Some(young) = self.young.get_mut(&seq) {
            young.recorded = true;
            self.settle();
        }
    }

    /// The placement `seq` is not booked any more.
    pub(super) fn taken_back(&mut self, seq: u64) {
        if self.young.remove(&seq).is_some() {
            self.settle();
        }
    }

    fn settle(&mut self) {
        while self.young.first_entry().is_some_and(|first| first.get().recorded) {
            self.young.pop_first();
        }
    }

    /// Goes on from what is on record.
    pub(super) fn resume(&mut self, checkpoint: Checkpoint) {
        self.seq = self.seq.max(checkpoint.seq);
        self.given = self.given.max(checkpoint.given);
        (self.credits, self.placed) = (checkpoint.credits, checkpoint.placed.into_iter().collect());
    }

    /// The account up to the last placement before which all are on record: later ones are replayed from the jobs, and one
    /// that never gets there leaves no trace.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let mut credits = self.credits.clone();
        let mut placed: BTreeMap<_, _> =
            self.placed.iter().map(|(cluster, placed)| (cluster.clone(), *placed)).collect();
        for Young { cluster, choice, .. } in self.young.values() {
            credits.unbook(choice.among.iter().map(|(cluster, weight)| (cluster, *weight)), cluster);
            if let Some(placed) = placed.get_mut(cluster) {
                *placed = placed.saturating_sub(1);
            }
        }
        let seq = self.young.first_key_value().map_or(self.seq, |(first, _)| first.saturating_sub(1));
        Checkpoint { seq, given: self.given.max(self.seq), credits, placed }
    }
}
