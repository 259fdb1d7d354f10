//! The ledger: demand that is placed and not finished, on whatever it takes room.
//!
//! Owns that account. Everything in it can be rebuilt from the hub's statuses and the members' views. An entry is made
//! when a placement is decided and goes when the job ends: never by a member's word that there is room. Beside the sums
//! it keeps what a member's own signals cannot show yet (`ledger/shadow.rs`): demand whose pods were not seen before a
//! signal was read.

mod shadow;

use std::{collections::hash_map, sync::Arc};

use foldhash::HashMap;
use jiff::Timestamp;

use self::shadow::{MemberShadow, Shadow, Shadows};
use crate::{
    id::{JobUid, Namespace},
    place::Unseen,
    resources::Resources,
};

/// A member or a queue by its number: what is looked up for every candidate of every decision is not looked up by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

/// How far a placed job has come, as far as the account goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The member's operator has not submitted it.
    Placed,
    /// It has; its pods are not all there.
    Submitted,
    /// All its pods have been seen.
    Seen(Timestamp),
}

/// What one job holds, and where.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) member: Slot,
    pub(crate) queue: Slot,
    /// The job's namespace on the hub.
    pub(crate) owner: Namespace,
    /// Its namespace on the member.
    pub(crate) target: Namespace,
    pub(crate) remote_queue: Option<Arc<str>>,
    pub(crate) cluster_queue: Option<Arc<str>>,
    pub(crate) demand: Resources,
}

#[derive(Clone, Debug)]
struct Entry {
    reservation: Reservation,
    stage: Stage,
}

impl Entry {
    /// The member's operator has submitted the job. Whether that is news.
    fn submitted(&mut self, members: &mut Vec<OnMember>) -> bool {
        let is_news = self.stage == Stage::Placed;
        if is_news {
            self.stage = Stage::Submitted;
            at_mut(members, self.reservation.member).unsubmitted -= 1;
        }
        is_news
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<JobUid, Entry>,
    /// All that is placed on each member. Apart from the rest, which a decision looks at less often.
    used: Vec<Resources>,
    members: Vec<OnMember>,
    queues: Vec<OfQueue>,
}

/// Sums on one member.
#[derive(Clone, Debug, Default)]
struct OnMember {
    /// Jobs that its operator has not submitted.
    unsubmitted: u64,
    shadows: Shadows,
}

/// Sums of one queue.
#[derive(Clone, Debug, Default)]
struct OfQueue {
    used: Resources,
    /// What it has on each member, by [`Row`].
    rows: Vec<Resources>,
    row_of: HashMap<Slot, Row>,
    owners: HashMap<Namespace, Resources>,
}

/// What a queue has on one member, as a row of its account: once given out, the number stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row(u32);

impl Row {
    fn place(self) -> usize {
        place_of(Slot(self.0))
    }
}

impl OfQueue {
    fn row(&mut self, member: Slot) -> Row {
        *self.row_of.entry(member).or_insert_with(|| {
            self.rows.push(Resources::default());
            Row(u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX))
        })
    }

    fn on(&mut self, member: Slot) -> &mut Resources {
        let row = self.row(member);
        &mut self.rows[row.place()]
    }
}

impl Ledger {
    /// Reserves a job's demand. A job holds one reservation: an earlier one is released first.
    pub(crate) fn reserve(&mut self, job: JobUid, reservation: Reservation) {
        let Reservation { member, queue, owner, demand, .. } = &reservation;
        *at_mut(&mut self.used, *member) += *demand;
        at_mut(&mut self.members, *member).unsubmitted += 1;
        let of_queue = at_mut(&mut self.queues, *queue);
        of_queue.used += *demand;
        *of_queue.on(*member) += *demand;
        match of_queue.owners.get_mut(owner) {
            Some(held) => *held += *demand,
            None => drop(of_queue.owners.insert(owner.clone(), *demand)),
        }
        shade(&mut self.members, &reservation, |shadow| shadow.unseen += reservation.demand);
        let entry = Entry { reservation, stage: Stage::Placed };
        match self.entries.entry(job) {
            hash_map::Entry::Vacant(place) => drop(place.insert(entry)),
            hash_map::Entry::Occupied(mut place) => {
                let (job, before) = (place.key().clone(), place.insert(entry));
                self.give_back(&job, &before);
            }
        }
    }

    /// Releases a job's demand, if it holds any. Returns where it was.
    pub(crate) fn release(&mut self, job: &JobUid) -> Option<Reservation> {
        let entry = self.entries.remove(job)?;
        self.give_back(job, &entry);
        Some(entry.reservation)
    }

    /// Takes an entry out of all sums.
    fn give_back(&mut self, job: &JobUid, Entry { reservation, stage }: &Entry) {
        let Reservation { member, queue, owner, demand, .. } = reservation;
        let used = at_mut(&mut self.used, *member);
        *used = *used - *demand;
        at_mut(&mut self.members, *member).unsubmitted -= u64::from(*stage == Stage::Placed);
        let of_queue = at_mut(&mut self.queues, *queue);
        of_queue.used = of_queue.used - *demand;
        let held = of_queue.on(*member);
        *held = *held - *demand;
        if let Some(held) = of_queue.owners.get_mut(owner) {
            *held = *held - *demand;
            if *held == Resources::default() {
                of_queue.owners.remove(owner);
            }
        }
        match stage {
            Stage::Placed | Stage::Submitted => {
                let shown = |shadow: &mut Shadow| shadow.unseen = shadow.unseen - reservation.demand;
                shade(&mut self.members, reservation, shown);
            }
            Stage::Seen(at) => {
                let key = (*at, job.clone());
                let gone = |shadow: &mut Shadow| {
                    shadow.lately.remove(&key);
                };
                shade(&mut self.members, reservation, gone);
            }
        }
    }

    /// The member's operator has submitted the job. Returns the member if that is news.
    pub(crate) fn submitted(&mut self, job: &JobUid) -> Option<Slot> {
        let entry = self.entries.get_mut(job)?;
        entry.submitted(&mut self.members).then_some(entry.reservation.member)
    }

    /// All pods of the job have been seen. `is_signalled`: the member's signals are read, so that the next one is waited
    /// for. Returns the member, and whether it is news that its operator has submitted the job.
    pub(crate) fn seen(
        &mut self,
        job: &JobUid,
        at: Timestamp,
        is_signalled: impl FnOnce(Slot) -> bool,
    ) -> Option<(Slot, bool)> {
        let entry = self.entries.get_mut(job)?;
        let is_news = entry.submitted(&mut self.members);
        let member = entry.reservation.member;
        if entry.stage == Stage::Submitted {
            entry.stage = Stage::Seen(at);
            let (reservation, is_signalled) = (&entry.reservation, is_signalled(member));
            shade(&mut self.members, reservation, |shadow| {
                shadow.unseen = shadow.unseen - reservation.demand;
                if is_signalled {
                    shadow.lately.insert((at, job.clone()), reservation.demand);
                }
            });
        }
        Some((member, is_news))
    }

    /// Signals of a member that were read at `at` or later are all there will be: what was seen before is in them.
    pub(crate) fn signalled(&mut self, member: Slot, at: Timestamp) {
        if let Some(OnMember { shadows, .. }) = self.members.get_mut(place_of(member)) {
            shadows.signalled(at);
        }
    }

    /// Whether the job holds a reservation.
    pub(crate) fn holds(&self, job: &JobUid) -> bool {
        self.entries.contains_key(job)
    }

    /// The jobs that hold a reservation.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &JobUid> {
        self.entries.keys()
    }

    /// All that is placed on a member.
    pub(crate) fn on(&self, member: Slot) -> Resources {
        self.used.get(place_of(member)).copied().unwrap_or_default()
    }

    /// Jobs on a member that its operator has not submitted.
    pub(crate) fn unsubmitted(&self, member: Slot) -> u64 {
        self.members.get(place_of(member)).map_or(0, |sums| sums.unsubmitted)
    }

    /// What one queue has placed on a member.
    pub(crate) fn of(&self, queue: Slot, member: Slot) -> Resources {
        let found = self.queues.get(place_of(queue)).and_then(|sums| {
            let row = sums.row_of.get(&member)?;
            sums.rows.get(row.place())
        });
        found.copied().unwrap_or_default()
    }

    /// The row of a queue's account that says what it has placed on a member.
    pub(crate) fn row(&mut self, queue: Slot, member: Slot) -> Row {
        at_mut(&mut self.queues, queue).row(member)
    }

    /// What the rows of a queue's account say.
    pub(crate) fn rows(&self, queue: Slot) -> impl Fn(Row) -> Resources + '_ {
        let rows = self.queues.get(place_of(queue)).map(|sums| sums.rows.as_slice()).unwrap_or_default();
        move |row| rows.get(row.place()).copied().unwrap_or_default()
    }

    /// What one queue has placed anywhere.
    pub(crate) fn total_of(&self, queue: Slot) -> Resources {
        self.queues.get(place_of(queue)).map(|sums| sums.used).unwrap_or_default()
    }

    /// What one namespace has placed anywhere from a queue.
    pub(crate) fn of_owner(&self, queue: Slot, owner: &Namespace) -> Resources {
        let held = self.queues.get(place_of(queue)).and_then(|sums| sums.owners.get(owner));
        held.copied().unwrap_or_default()
    }

    /// The part of a member's load that its signals may not show.
    pub(crate) fn shadow(&self, member: Slot) -> impl Unseen + '_ {
        MemberShadow(self.members.get(place_of(member)).map(|sums| &sums.shadows))
    }
}

/// Changes what signals may not show of a reservation.
fn shade(members: &mut Vec<OnMember>, reservation: &Reservation, change: impl Fn(&mut Shadow)) {
    at_mut(members, reservation.member).shadows.change(reservation, change);
}

fn place_of(slot: Slot) -> usize {
    // A number that was given out for a place in memory; `usize` has at least as many bits on every machine that runs it.
    usize::try_from(slot.0).unwrap_or(usize::MAX)
}

/// The sums at a slot, which are made when they are first needed.
fn at_mut<T: Default>(sums: &mut Vec<T>, slot: Slot) -> &mut T {
    let n = place_of(slot);
    if n >= sums.len() {
        sums.resize_with(n + 1, T::default);
    }
    &mut sums[n]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn reservation(member: u32, queue: u32, cpu_milli: u64) -> Reservation {
        Reservation {
            member: Slot(member),
            queue: Slot(queue),
            owner: Namespace::new(format!("team-{}", cpu_milli % 3)),
            target: Namespace::from("spark"),
            remote_queue: Some("root.etl.daily".into()),
            cluster_queue: None,
            demand: Resources { jobs: 1, pods: 2, cpu_milli, memory_bytes: cpu_milli },
        }
    }

    #[test]
    fn demand_is_unseen_until_a_signal_is_read_after_its_pods_were() {
        let mut ledger = Ledger::default();
        let job = JobUid::from("a");
        ledger.reserve(job.clone(), reservation(0, 0, 500));
        let unseen = |ledger: &Ledger, second| {
            let shadow = ledger.shadow(Slot(0));
            let namespace = shadow.in_namespace(&Namespace::from("spark"), at(second)).cpu_milli;
            for path in ["root", "root.etl", "root.etl.daily"] {
                assert_eq!(shadow.in_remote_queue(path, at(second)).cpu_milli, namespace);
            }
            assert_eq!(shadow.in_remote_queue("root.other", at(second)).cpu_milli, 0);
            namespace
        };
        assert_eq!(unseen(&ledger, 100), 500);
        ledger.submitted(&job);
        assert_eq!(unseen(&ledger, 100), 500);
        ledger.seen(&job, at(50), |_| true);
        assert_eq!(unseen(&ledger, 49), 500, "read before");
        assert_eq!(unseen(&ledger, 50), 500, "read in the same moment");
        assert_eq!(unseen(&ledger, 51), 0, "read after");
        ledger.signalled(Slot(0), at(51));
        assert_eq!(unseen(&ledger, 49), 0, "that signal is gone for good");
        assert_eq!(ledger.on(Slot(0)).cpu_milli, 500, "the account itself keeps it until the end");
        ledger.release(&job);
        assert_eq!(ledger.on(Slot(0)).cpu_milli, 0);
        assert!(ledger.members[0].shadows.namespaces.is_empty());
    }

    proptest! {
        /// The running sums are always the sums of the entries, whatever happens to them in whatever order.
        #[test]
        fn the_sums_match_the_entries(steps in prop::collection::vec((0u8..12, 0u32..3, 0u32..3, 1u64..100, 0u8..5), 0..200)) {
            let mut ledger = Ledger::default();
            for (n, (job, member, queue, cpu_milli, what)) in steps.into_iter().enumerate() {
                let job = JobUid::new(job.to_string());
                match what {
                    0 | 1 => ledger.reserve(job, reservation(member, queue, cpu_milli)),
                    2 => { ledger.submitted(&job); }
                    3 => { ledger.seen(&job, at(i64::try_from(n).unwrap()), |_| cpu_milli % 2 == 0); }
                    _ => { ledger.release(&job); }
                }
                let sum = |keep: &dyn Fn(&Entry) -> bool| {
                    ledger.entries.values().filter(|e| keep(e)).fold(Resources::default(), |sum, e| sum + e.reservation.demand)
                };
                for member in (0..3).map(Slot) {
                    let on = |e: &Entry| e.reservation.member == member;
                    prop_assert_eq!(ledger.on(member), sum(&on));
                    let placed = ledger.entries.values().filter(|e| on(e) && e.stage == Stage::Placed).count();
                    prop_assert_eq!(ledger.unsubmitted(member), u64::try_from(placed).unwrap());
                    let unseen = sum(&|e| on(e) && !matches!(e.stage, Stage::Seen(_)));
                    let later = at(1_000_000);
                    prop_assert_eq!(ledger.shadow(member).in_namespace(&Namespace::from("spark"), later), unseen);
                    prop_assert_eq!(ledger.shadow(member).in_remote_queue("root.etl", later), unseen);
                    for queue in (0..3).map(Slot) {
                        prop_assert_eq!(ledger.of(queue, member), sum(&|e| on(e) && e.reservation.queue == queue));
                    }
                }
                for queue in (0..3).map(Slot) {
                    prop_assert_eq!(ledger.total_of(queue), sum(&|e| e.reservation.queue == queue));
                    for team in ["team-0", "team-1", "team-2"].map(Namespace::from) {
                        let of = sum(&|e| e.reservation.queue == queue && e.reservation.owner == team);
                        prop_assert_eq!(ledger.of_owner(queue, &team), of);
                    }
                }
            }
        }
    }
}
