//! A pass over the waiting jobs: who is next, until nobody can be placed.
//!
//! Owns no state of its own. Looks only at what changed: new classes by themselves, a whole queue when room may have
//! appeared. Queues take turns after every single placement, so that none takes what another is entitled to.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Bound,
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Dispatcher, Passed,
    class::Class,
    decide::Miss,
    index,
    line::{Cursor, Group, Rank},
    number,
    order::Turn,
};
use crate::{ledger::Slot, waits::Waits};

/// Classes of one queue that are asked in vain before the queue rests. Bounds what one event costs, however many jobs of
/// different shapes wait. A pass asks that many from the front of the queue, so that room goes to whom it belongs, and
/// that many from where the last one stopped, so that those behind have their turn in a busy queue too.
const ASKED_IN_VAIN: u32 = 256;

/// What a pass still has to ask of one queue.
#[derive(Default)]
struct Agenda {
    /// The next class of each group by its turn; without a group it is asked for its own sake.
    next: BTreeMap<Turn, (Option<Group>, Rank, Arc<Class>)>,
    in_vain: u32,
    /// Where an earlier pass stopped, while this one is at the front.
    later: Option<Cursor>,
    /// Where this one left the front.
    left: Option<Cursor>,
}

/// How asking one queue went.
enum Asked {
    /// One was placed: the queue may have another turn.
    Placed,
    /// Nobody is left.
    All,
    /// Enough for this pass, or nobody may be placed before some time.
    Enough,
}

impl Dispatcher {
    /// Places what can be placed.
    pub fn pass(&mut self, now: Timestamp) -> Passed {
        let mut passed = Passed { rephrased: std::mem::take(&mut self.called_in), ..Passed::default() };
        self.wake_up(now);
        let listed = self.due.take();
        debug_assert!(
            (0..self.lines.len()).all(|n| !self.lines[n].is_due() || listed.contains(&number(n))),
            "a queue that is due was not listed"
        );
        let mut agendas = Vec::new();
        for queue in listed {
            if !self.lines[index(queue)].is_due() {
                continue;
            }
            let agenda = self.agenda(queue, now);
            if agenda.next.is_empty() {
                self.leave_off(queue, None);
            } else {
                agendas.push((queue, agenda));
            }
        }
        let turns = agendas.iter().enumerate().map(|(n, (queue, _))| Reverse((self.queue_turn(*queue), n)));
        let mut turns: BinaryHeap<_> = turns.collect();
        while let Some(Reverse((_, n))) = turns.pop() {
            let Some((queue, agenda)) = agendas.get_mut(n) else { continue };
            let queue = *queue;
            match self.place_next(queue, agenda, now, &mut passed) {
                Asked::Placed => turns.push(Reverse((self.queue_turn(queue), n))),
                Asked::All => self.leave_off(queue, agenda.left.take()),
                Asked::Enough => self.due.list(queue),
            }
        }
        // Somebody was left unasked, or a member that was held is free now.
        let is_due = |queue: &Slot| self.lines[index(*queue)].is_due();
        self.goes_on = self.due.listed().iter().any(is_due).then_some(now);
        passed.rephrased.append(&mut self.called_in);
        passed
    }

    /// Marks what time alone has changed.
    fn wake_up(&mut self, now: Timestamp) {
        for ((queue, _), backoff) in self.backoffs.iter_mut().filter(|(_, b)| !b.over && b.until <= now) {
            backoff.over = true;
            self.lines[index(*queue)].dirty = true;
            self.due.list(*queue);
        }
        self.end_holds(now);
        self.try_again(now);
        self.grow_old(now);
        while let Some(queue) = self.due.woken(now) {
            self.lines[index(queue)].dirty = true;
            self.due.list(queue);
        }
    }

    /// Everybody was asked who had to be: whoever was left out on the way is next.
    fn leave_off(&mut self, queue: Slot, left: Option<Cursor>) {
        let line = &mut self.lines[index(queue)];
        line.resume = left.or_else(|| line.again.take());
        if line.resume.is_some() {
            self.due.list(queue);
        }
    }

    fn agenda(&mut self, queue: Slot, now: Timestamp) -> Agenda {
        let line = &mut self.lines[index(queue)];
        let roomier = std::mem::take(&mut line.roomier);
        let mut fresh: Vec<_> = line.fresh.drain().collect();
        let is_dirty = std::mem::take(&mut line.dirty);
        let resume = line.resume.take();
        let mut agenda = Agenda::default();
        if is_dirty {
            let line = &self.lines[index(queue)];
            let front = line.groups().filter_map(|group| {
                let (rank, _) = line.next_head(group, Bound::Unbounded)?;
                Some((group.clone(), rank.clone()))
            });
            let front = front.collect();
            self.go_on_at(queue, &mut agenda, front);
            agenda.later = resume;
        } else {
            fresh.extend(self.who_may_fit(queue, &roomier, now));
            self.go_on_at(queue, &mut agenda, resume.unwrap_or_default());
        }
        for class in fresh {
            self.go_on_in_class(queue, &mut agenda, &class);
        }
        agenda
    }

    /// Places one job of a queue.
    fn place_next(&mut self, queue: Slot, agenda: &mut Agenda, now: Timestamp, passed: &mut Passed) -> Asked {
        while let Some((turn, (group, rank, class))) = agenda.next.pop_first() {
            let line = &self.lines[index(queue)];
            let Some((_, job)) = line.head_of(&class).filter(|(head, _)| **head == rank) else {
                // It was placed or left meanwhile; the next of its class has its own turn.
                self.go_on(queue, agenda, group, &rank);
                continue;
            };
            let is_turn = self.turn(queue, &class, &rank);
            if is_turn != turn {
                // Its namespace got more since.
                agenda.next.insert(is_turn, (group, rank, class));
                continue;
            }
            let job = job.clone();
            match self.decide(queue, &class, &rank, &job, now) {
                Ok(()) => {
                    passed.decided.push((job.clone(), rank.key.clone()));
                    if let Some(waiting) = self.lines[index(queue)].waiting_mut(&class) {
                        // Those behind it are asked next: what they waited for is not known any more.
                        waiting.waits = None;
                    }
                    self.leave(&job);
                    match group {
                        Some(_) => self.go_on(queue, agenda, group, &rank),
                        None => self.go_on_in_class(queue, agenda, &class),
                    }
                    return Asked::Placed;
                }
                Err(miss) => {
                    let stop = self.missed(queue, &class, miss, passed);
                    if stop {
                        let line = &mut self.lines[index(queue)];
                        line.resume = agenda.later.take().or_else(|| agenda.left.take());
                        return Asked::Enough;
                    }
                    agenda.in_vain += u32::from(group.is_some());
                    self.go_on(queue, agenda, group, &rank);
                    if agenda.in_vain == ASKED_IN_VAIN && self.turn_the_page(queue, agenda) {
                        return Asked::Enough;
                    }
                }
            }
        }
        Asked::All
    }

    /// Enough were asked in vain: goes on where the last pass stopped, or leaves the rest to the next one. Whether it is
    /// the end: new classes are asked in any case, once each.
    fn turn_the_page(&mut self, queue: Slot, agenda: &mut Agenda) -> bool {
        let mut rest = Cursor::new();
        agenda.next.retain(|_, (group, rank, _)| {
            if let Some(group) = group {
                rest.insert(group.clone(), rank.clone());
            }
            group.is_none()
        });
        let line = &mut self.lines[index(queue)];
        if let Some(later) = agenda.later.take() {
            // A group of which nothing is left was asked whole just now.
            let from = later.into_iter().filter_map(|(group, rank)| {
                let rank = rank.max(rest.get(&group)?.clone());
                Some((group, rank))
            });
            let from = from.collect();
            (agenda.in_vain, agenda.left) = (0, Some(rest));
            self.go_on_at(queue, agenda, from);
            return false;
        }
        line.resume = Some(rest).filter(|rest| !rest.is_empty());
        if let Some(left) = agenda.left.take() {
            line.again = Some(left);
        }
        agenda.next.is_empty()
    }

    /// Puts the classes from a cursor on on the agenda.
    fn go_on_at(&self, queue: Slot, agenda: &mut Agenda, cursor: Cursor) {
        for (group, rank) in cursor {
            self.go_on_from(queue, agenda, group, Bound::Included(&rank));
        }
    }

    /// Puts the next class of a group on the agenda.
    fn go_on(&self, queue: Slot, agenda: &mut Agenda, group: Option<Group>, after: &Rank) {
        if let Some(group) = group {
            self.go_on_from(queue, agenda, group, Bound::Excluded(after));
        }
    }

    fn go_on_from(&self, queue: Slot, agenda: &mut Agenda, group: Group, from: Bound<&Rank>) {
        if let Some((rank, class)) = self.lines[index(queue)].next_head(&group, from) {
            let turn = self.turn(queue, class, rank);
            agenda.next.insert(turn, (Some(group), rank.clone(), class.clone()));
        }
    }

    /// Puts the next job of a class on the agenda.
    fn go_on_in_class(&self, queue: Slot, agenda: &mut Agenda, class: &Arc<Class>) {
        if let Some((rank, _)) = self.lines[index(queue)].head_of(class) {
            let turn = self.turn(queue, class, rank);
            // Where its group has it on the agenda, the group goes on from there.
            agenda.next.entry(turn).or_insert_with(|| (None, rank.clone(), class.clone()));
        }
    }

    /// Notes what a class waits for, and whom that is news to. Whether its whole queue has to wait.
    fn missed(&mut self, queue: Slot, class: &Arc<Class>, miss: Miss, passed: &mut Passed) -> bool {
        let (waits, stop) = match miss {
            Miss::AsBefore => return false,
            Miss::Waits(waits) => (waits, false),
            Miss::Queue(waits) => (waits, true),
            Miss::Outdated(waits) => {
                if let Some(waiting) = self.lines[index(queue)].waiting_mut(class)
                    && waiting.waits.as_ref() != Some(&waits)
                {
                    let jobs = waiting.jobs.iter().map(|(rank, job)| (job.clone(), rank.key.clone()));
                    passed.rephrased.extend(jobs);
                    waiting.told = Some((waits.reason, waits.refused_by_all));
                    waiting.waits = Some(*waits);
                }
                return false;
            }
        };
        if stop {
            // Nobody else is asked: what they wait for is the same.
            let classes: Vec<_> =
                self.lines[index(queue)].each_class().map(|(class, _)| class.clone()).collect();
            for class in classes {
                self.rephrase(queue, &class, &waits, passed);
            }
        } else {
            self.rephrase(queue, class, &waits, passed);
        }
        stop
    }

    fn rephrase(&mut self, queue: Slot, class: &Arc<Class>, waits: &Waits, passed: &mut Passed) {
        let Some(waiting) = self.lines[index(queue)].waiting_mut(class) else { return };
        waiting.waits = Some(waits.clone());
        let news = (waits.reason, waits.refused_by_all);
        if waiting.told.replace(news).is_some_and(|told| told != news) {
            passed.rephrased.extend(waiting.jobs.iter().map(|(rank, job)| (job.clone(), rank.key.clone())));
        }
    }
}
