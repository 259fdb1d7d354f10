//! Which waiting job is placed next, and where: the fleet, the queues and the ledger in one hand.
//!
//! Owns everything that placement reads, with one writer. Order inside a queue is priority, then age, then name; a job
//! that finds no room lets others pass it. Waiting jobs that are alike for placement form a class: a pass asks once for
//! each, so a long queue costs no more than a short one. Must never place a job twice: a decision stays the same until
//! it is committed, withdrawn or forgotten.
//!
//! | file | holds |
//! |---|---|
//! | here | the facts and the account, and every change of them |
//! | `dispatch/line.rs` | one queue and who waits in it |
//! | `dispatch/pass.rs` | a pass: who is next, and where |

mod line;
mod pass;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use self::line::{BACKOFF, Backoff, Class, Line, Rank};
use crate::{
    credit::Credits,
    health::LinkState,
    id::{ClusterName, JobKey, JobUid, MemberIdentity, Namespace, QueueName},
    job::{Placement, Refused, Request},
    ledger::Ledger,
    place::{MemberFacts, QueueFacts, Verdict},
    resources::Resources,
    selector::Selector,
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
    /// What it asked for.
    pub request: Arc<Request>,
    /// The member.
    pub cluster: ClusterName,
    /// Who that is.
    pub identity: MemberIdentity,
    /// Where the job runs there.
    pub namespace: Namespace,
    /// The queue.
    pub queue: QueueName,
    /// The placement's number in the queue.
    pub seq: u64,
    /// Members of the queue that were no candidates.
    pub excluded: Vec<ClusterName>,
    /// What it reserves.
    pub demand: Resources,
    /// When it was decided.
    pub at: Timestamp,
    /// Why this member, in one line.
    pub why: String,
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
    /// Jobs that wait for something else than before.
    pub rephrased: Vec<(JobUid, JobKey)>,
}

/// What a placement was booked with, to take it back exactly.
#[derive(Debug)]
struct Booking {
    queue: QueueName,
    cluster: ClusterName,
    among: Vec<(ClusterName, u32)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Dispatcher {
    fleet: BTreeMap<ClusterName, MemberFacts>,
    namespaces: BTreeMap<Namespace, BTreeMap<String, String>>,
    lines: BTreeMap<QueueName, Line>,
    ledger: Ledger,
    ranks: HashMap<JobUid, (QueueName, Arc<Class>, Rank)>,
    decided: HashMap<JobUid, Decision>,
    booked: HashMap<JobUid, Booking>,
    backoffs: HashMap<(QueueName, ClusterName), Backoff>,
    replays: Vec<(QueueName, u64, ClusterName, Vec<ClusterName>)>,
}

impl Dispatcher {
    /// Adds or changes a member. Unchanged facts cost nothing.
    pub fn set_member(&mut self, cluster: ClusterName, facts: MemberFacts) {
        if self.fleet.get(&cluster) != Some(&facts) {
            self.fleet.insert(cluster, facts);
            self.wake_all();
        }
    }

    /// Forgets a member.
    pub fn remove_member(&mut self, cluster: &ClusterName) {
        if self.fleet.remove(cluster).is_some() {
            for line in self.lines.values_mut() {
                // One that comes back starts anew.
                line.credits.retain(|owed| owed != cluster);
            }
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
        let line = self.lines.entry(facts.name.clone()).or_default();
        if line.facts.is_none() {
            line.seq = line.seq.max(checkpoint.seq);
            (line.credits, line.placed) = (checkpoint.credits, checkpoint.placed);
        }
        if line.facts.as_ref() != Some(&facts) || line.admits != admits {
            line.dirty = true;
        }
        if line.facts.is_some() && line.facts.as_ref() != Some(&facts) {
            // A member that the queue routes to no more, and again later, starts anew.
            let fleet = &self.fleet;
            line.credits.retain(|cluster| {
                fleet.get(cluster).is_some_and(|member| facts.route_to(cluster, &member.labels).is_some())
            });
        }
        (line.facts, line.admits) = (Some(facts), admits);
    }

    /// A queue is gone: its jobs wait until it comes back or they name another.
    pub fn remove_queue(&mut self, queue: &QueueName) {
        if let Some(line) = self.lines.get_mut(queue) {
            line.facts = None;
            line.dirty = true;
        }
    }

    /// Takes a placement from the hub's record into the account, after a start. Call for every job that has one, with
    /// members and queues set; then [`Self::replay`].
    pub fn restore(&mut self, job: &JobUid, placement: &Placement, finished: bool) {
        if !finished {
            let Placement { cluster, queue, demand, .. } = placement;
            self.ledger.reserve(job.clone(), cluster.clone(), queue.clone(), *demand);
        }
        let Placement { queue, seq, cluster, excluded, .. } = placement;
        if *seq > self.lines.get(queue).map_or(0, |line| line.seq) {
            self.replays.push((queue.clone(), *seq, cluster.clone(), excluded.clone()));
        }
    }

    /// Books the placements that are younger than their queue's checkpoint.
    pub fn replay(&mut self) {
        let mut replays = std::mem::take(&mut self.replays);
        replays.sort_by_key(|(_, seq, ..)| *seq);
        for (queue, seq, cluster, excluded) in replays {
            let among = self.among(&queue, &excluded, &cluster);
            let line = self.lines.entry(queue).or_default();
            line.book(&among, &cluster);
            line.seq = line.seq.max(seq);
        }
    }

    /// A job asks for a place; asking again replaces what it asked before. The next [`Self::pass`] decides.
    pub fn enqueue(&mut self, applicant: Applicant) {
        let uid = applicant.uid.clone();
        match self.decided.get(&uid) {
            Some(decision) if *decision.request == *applicant.request => return,
            // Its owner changed it before the decision was committed.
            Some(_) => self.withdraw(&uid, None, Withdrawal::Other, Timestamp::UNIX_EPOCH),
            // Its placement was taken back by a write whose answer got lost.
            None if self.ledger.holds(&uid) => {
                self.withdraw(&uid, None, Withdrawal::Other, Timestamp::UNIX_EPOCH);
            }
            None => {}
        }
        let queue = applicant.request.queue.clone();
        let rank = (Reverse(applicant.request.priority), applicant.created, applicant.key.clone());
        let class = Arc::new(Class::of(&applicant));
        self.leave(&uid);
        let line = self.lines.entry(queue.clone()).or_default();
        let waiting = line.classes.entry(class.clone()).or_default();
        waiting.jobs.insert(rank.clone(), applicant);
        if waiting.waits.is_none() {
            line.fresh.insert(class.clone());
        }
        self.ranks.insert(uid, (queue, class, rank));
    }

    /// What the last pass made of a job. `None` for a job that never asked.
    pub fn answer(&self, uid: &JobUid) -> Option<Answer> {
        if let Some(decision) = self.decided.get(uid) {
            return Some(Answer::Place(Box::new(decision.clone())));
        }
        let (queue, class, _) = self.ranks.get(uid)?;
        self.lines.get(queue)?.classes.get(class)?.waits.clone().map(Answer::Wait)
    }

    /// A placement is on the hub's record, by this process's decision or by anybody else's.
    pub fn committed(&mut self, uid: &JobUid, placement: &Placement) {
        let ours =
            self.decided.get(uid).is_some_and(|d| d.cluster == placement.cluster && d.seq == placement.seq);
        if ours {
            self.decided.remove(uid);
            return;
        }
        // Another process's, or one whose commit was not answered and then decided anew.
        let booked = self.booked.get(uid).is_some_and(|b| b.cluster == placement.cluster);
        if self.decided.contains_key(uid) || !booked {
            self.withdraw(uid, None, Withdrawal::Other, Timestamp::UNIX_EPOCH);
            self.leave(uid);
            let Placement { cluster, queue, demand, seq, .. } = placement;
            self.ledger.reserve(uid.clone(), cluster.clone(), queue.clone(), *demand);
            let line = self.lines.entry(queue.clone()).or_default();
            line.seq = line.seq.max(*seq);
        }
    }

    /// The application exists: there is nothing to take back any more, and its route works.
    pub fn dispatched(&mut self, uid: &JobUid) {
        if let Some(Booking { queue, cluster, .. }) = self.booked.remove(uid)
            && self.backoffs.remove(&(queue.clone(), cluster)).is_some()
            && let Some(line) = self.lines.get_mut(&queue)
        {
            line.dirty = true;
        }
    }

    /// Takes a decided or committed placement back: the reservation goes, the credit step is undone, no attempt is used.
    pub fn withdraw(&mut self, uid: &JobUid, placement: Option<&Placement>, why: Withdrawal, now: Timestamp) {
        self.decided.remove(uid);
        self.release(uid);
        let booking = self.booked.remove(uid).or_else(|| {
            let Placement { queue, cluster, excluded, .. } = placement?;
            let among = self.among(queue, excluded, cluster);
            Some(Booking { queue: queue.clone(), cluster: cluster.clone(), among })
        });
        let Some(Booking { queue, cluster, among }) = booking else { return };
        if let Some(line) = self.lines.get_mut(&queue) {
            line.unbook(&among, &cluster);
        }
        if why == Withdrawal::Capacity {
            let route = (queue, cluster);
            let (delay, grown) = match self.backoffs.get(&route) {
                None => (BACKOFF.0, now),
                Some(backoff) if now < later(backoff.grown, backoff.delay) => (backoff.delay, backoff.grown),
                Some(backoff) => ((backoff.delay * 2).min(BACKOFF.1), now),
            };
            self.backoffs.insert(route, Backoff { until: later(now, delay), delay, grown, over: false });
        }
    }

    /// The job is over, deleted or cannot be taken: it gives up its place, wherever it is.
    pub fn forget(&mut self, uid: &JobUid) {
        // A decision that never got onto the record must not cost its member a share.
        if self.decided.contains_key(uid) {
            self.withdraw(uid, None, Withdrawal::Other, Timestamp::UNIX_EPOCH);
        }
        self.leave(uid);
        self.booked.remove(uid);
        self.release(uid);
    }

    /// Forgets every job that is not kept: after a list that says what there is.
    pub fn retain(&mut self, keep: impl Fn(&JobUid) -> bool) {
        let known = self.ledger.jobs().chain(self.ranks.keys()).chain(self.decided.keys());
        let gone: HashSet<JobUid> = known.filter(|uid| !keep(uid)).cloned().collect();
        for uid in &gone {
            self.forget(uid);
        }
    }

    /// When a pass is due although nothing happened: the first back-off to end.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.backoffs.values().filter(|backoff| !backoff.over).map(|backoff| backoff.until).min()
    }

    /// The verdicts on a job as they would be now, for explanations. `None` without such a queue.
    pub fn weigh(&self, applicant: &Applicant, now: Timestamp) -> Option<Vec<Verdict>> {
        let queue = self.lines.get(&applicant.request.queue)?.facts.as_ref()?;
        Some(self.verdicts(applicant, queue, now))
    }

    /// What a queue holds, its account as of now, and the members that it routes to with their weights.
    pub fn standing(&self, queue: &QueueName) -> (Held, Checkpoint, Vec<(ClusterName, u32)>) {
        let Some(line) = self.lines.get(queue) else { return <_>::default() };
        let queued = line.classes.values().map(|waiting| waiting.jobs.len()).fold(0, u64_sum);
        let held = Held { active: self.ledger.total_of(queue), queued };
        let Line { seq, credits, placed, facts, .. } = line;
        let account = Checkpoint { seq: *seq, credits: credits.clone(), placed: placed.clone() };
        let route = |(cluster, member): (&ClusterName, &MemberFacts)| {
            Some((cluster.clone(), facts.as_ref()?.route_to(cluster, &member.labels)?.weight))
        };
        (held, account, self.fleet.iter().filter_map(route).collect())
    }

    /// The account.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The members.
    pub fn fleet(&self) -> &BTreeMap<ClusterName, MemberFacts> {
        &self.fleet
    }

    /// Whether most members are Suspect at once: then the router or its own network is at fault, and nothing that is
    /// placed may be taken back for it.
    pub fn is_fleet_in_doubt(&self) -> bool {
        let suspect = self.fleet.values().filter(|m| matches!(m.link, LinkState::Suspect { .. })).count();
        self.fleet.len() > 1 && suspect * 2 > self.fleet.len()
    }

    /// Members and weights that a recorded placement was booked with, as far as today's routes tell.
    fn among(
        &self,
        queue: &QueueName,
        excluded: &[ClusterName],
        picked: &ClusterName,
    ) -> Vec<(ClusterName, u32)> {
        let facts = self.lines.get(queue).and_then(|line| line.facts.as_ref());
        let mut among: Vec<_> = self
            .fleet
            .iter()
            .filter(|(cluster, _)| !excluded.contains(cluster))
            .filter_map(|(cluster, member)| {
                let weight = facts?.route_to(cluster, &member.labels)?.weight;
                (weight > 0).then(|| (cluster.clone(), weight))
            })
            .collect();
        if !among.iter().any(|(cluster, _)| cluster == picked) {
            among = vec![(picked.clone(), 1)];
        }
        among
    }

    fn release(&mut self, uid: &JobUid) {
        if let Some(cluster) = self.ledger.release(uid) {
            for line in self.lines.values_mut() {
                let reaches = |facts: &QueueFacts| {
                    self.fleet.get(&cluster).is_some_and(|m| facts.route_to(&cluster, &m.labels).is_some())
                };
                line.dirty |= !line.classes.is_empty() && line.facts.as_ref().is_some_and(reaches);
            }
        }
    }

    fn leave(&mut self, uid: &JobUid) {
        let Some((queue, class, rank)) = self.ranks.remove(uid) else { return };
        let Some(line) = self.lines.get_mut(&queue) else { return };
        let Some(waiting) = line.classes.get_mut(&class) else { return };
        waiting.jobs.remove(&rank);
        if waiting.jobs.is_empty() {
            line.classes.remove(&class);
            line.fresh.remove(&class);
        }
    }

    fn wake_all(&mut self) {
        for line in self.lines.values_mut() {
            line.dirty = true;
        }
    }
}

fn u64_sum(sum: u64, count: usize) -> u64 {
    sum.saturating_add(u64::try_from(count).unwrap_or(u64::MAX))
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
