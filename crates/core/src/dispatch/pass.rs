//! A pass over the waiting jobs: who is next, until nobody can be placed.
//!
//! Owns no state of its own. Looks only at what changed: new classes by themselves, a whole queue when room may have
//! appeared. Queues take turns after every single placement, so that none takes what another is entitled to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Dispatcher, Passed,
    decide::Miss,
    index,
    line::{Class, Errand, Group, Rank},
    order::Turn,
};
use crate::{ledger::Slot, waits::Waits};

/// Classes of one queue that are asked in vain before the queue rests; the next pass goes on behind them. Bounds what one
/// event costs, however many jobs of different shapes wait.
const ASKED_IN_VAIN: u32 = 256;

/// What a pass still has to ask of one queue.
#[derive(Default)]
struct Agenda {
    /// The next class of each group by its turn.
    next: BTreeMap<Turn, (Option<Group>, Rank, Arc<Class>)>,
    in_vain: u32,
}

impl Dispatcher {
    /// Places what can be placed.
    pub fn pass(&mut self, now: Timestamp) -> Passed {
        let mut passed = Passed { rephrased: std::mem::take(&mut self.called_in), ..Passed::default() };
        self.wake_up(now);
        let mut agendas: BTreeMap<Slot, Agenda> = BTreeMap::new();
        let mut due = BTreeSet::new();
        for queue in (0..self.lines.len()).map(super::number) {
            if self.lines[index(queue)].is_due() {
                agendas.insert(queue, self.agenda(queue));
                due.insert((self.queue_turn(queue), queue));
            }
        }
        while let Some((_, queue)) = due.pop_first() {
            let Some(agenda) = agendas.get_mut(&queue) else { continue };
            if self.place_next(queue, agenda, now, &mut passed) {
                due.insert((self.queue_turn(queue), queue));
            }
        }
        passed.rephrased.append(&mut self.called_in);
        passed
    }

    /// Marks what time alone has changed.
    fn wake_up(&mut self, now: Timestamp) {
        for ((queue, _), backoff) in self.backoffs.iter_mut().filter(|(_, b)| !b.over && b.until <= now) {
            backoff.over = true;
            self.lines[index(*queue)].dirty = true;
        }
        for line in self.lines.iter_mut().filter(|line| line.wake_at.is_some_and(|at| at <= now)) {
            line.wake_at = None;
            line.dirty = true;
        }
    }

    fn agenda(&mut self, queue: Slot) -> Agenda {
        let line = &mut self.lines[index(queue)];
        let (fresh, errand) = (std::mem::take(&mut line.fresh), line.take_errand());
        let mut agenda = Agenda::default();
        for class in fresh {
            self.go_on_in_class(queue, &mut agenda, &class);
        }
        let stopped = match errand {
            Errand::Nobody => return agenda,
            Errand::Everybody => None,
            Errand::Behind(group, rank) => Some((group, rank)),
        };
        let line = &self.lines[index(queue)];
        for group in line.groups() {
            let after = stopped.as_ref().filter(|(stopped, _)| stopped == group).map(|(_, rank)| rank);
            if let Some((rank, class)) = line.next_head(group, after) {
                let turn = self.turn(queue, class, rank);
                agenda.next.insert(turn, (Some(group.clone()), rank.clone(), class.clone()));
            }
        }
        agenda
    }

    /// Places one job of a queue. Whether it did: then the queue may have another turn.
    fn place_next(&mut self, queue: Slot, agenda: &mut Agenda, now: Timestamp, passed: &mut Passed) -> bool {
        while let Some((turn, (group, rank, class))) = agenda.next.pop_first() {
            let line = &self.lines[index(queue)];
            let Some((head, job)) = line.head_of(&class) else {
                self.go_on(queue, agenda, group, &rank);
                continue;
            };
            if *head != rank {
                // It was placed or left meanwhile; the next of its class has its own turn.
                self.go_on(queue, agenda, group, &rank);
                continue;
            }
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
                    return true;
                }
                Err(miss) => {
                    let stop = self.missed(queue, &class, miss, passed);
                    if stop {
                        return false;
                    }
                    agenda.in_vain += u32::from(group.is_some());
                    if agenda.in_vain == ASKED_IN_VAIN
                        && let Some(group) = &group
                    {
                        self.lines[index(queue)].stop_at(group.clone(), rank.clone(), now);
                        // New classes are asked in any case, once each.
                        agenda.next.retain(|_, (group, ..)| group.is_none());
                    }
                    self.go_on(queue, agenda, group, &rank);
                }
            }
        }
        false
    }

    /// Puts the next class of a group on the agenda.
    fn go_on(&self, queue: Slot, agenda: &mut Agenda, group: Option<Group>, after: &Rank) {
        let Some(group) = group.filter(|_| agenda.in_vain < ASKED_IN_VAIN) else { return };
        if let Some((rank, class)) = self.lines[index(queue)].next_head(&group, Some(after)) {
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
