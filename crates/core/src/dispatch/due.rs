//! Which queues the next pass looks at, and when one is due although nothing happens.
//!
//! Owns that list and the queues' alarms, so that a pass costs nothing for queues that nothing happened to. May list a
//! queue in vain; must never miss one: it would wait for ever.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::index;
use crate::ledger::Slot;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Due {
    listed: Vec<Slot>,
    /// By queue.
    is_listed: Vec<bool>,
    /// By queue: the time at which it is due, at the latest.
    alarms: Vec<Option<Timestamp>>,
    by_time: BTreeSet<(Timestamp, Slot)>,
}

impl Due {
    /// Something happened to a queue.
    pub(super) fn list(&mut self, queue: Slot) {
        let n = index(queue);
        if n >= self.is_listed.len() {
            self.is_listed.resize(n + 1, false);
        }
        if !std::mem::replace(&mut self.is_listed[n], true) {
            self.listed.push(queue);
        }
    }

    /// The queues that something happened to, which from now on are not listed.
    pub(super) fn take(&mut self) -> Vec<Slot> {
        let listed = std::mem::take(&mut self.listed);
        for queue in &listed {
            self.is_listed[index(*queue)] = false;
        }
        listed
    }

    /// The queues that something happened to.
    pub(super) fn listed(&self) -> &[Slot] {
        &self.listed
    }

    /// A queue is due at `at`, or earlier if it is due earlier already.
    pub(super) fn wake_at(&mut self, queue: Slot, at: Timestamp) {
        let n = index(queue);
        if n >= self.alarms.len() {
            self.alarms.resize(n + 1, None);
        }
        let alarm = &mut self.alarms[n];
        if alarm.is_some_and(|alarm| alarm <= at) {
            return;
        }
        if let Some(later) = alarm.replace(at) {
            self.by_time.remove(&(later, queue));
        }
        self.by_time.insert((at, queue));
    }

    /// A queue has no alarm any more.
    pub(super) fn let_sleep(&mut self, queue: Slot) {
        if let Some(alarm) = self.alarms.get_mut(index(queue)).and_then(Option::take) {
            self.by_time.remove(&(alarm, queue));
        }
    }

    /// A queue whose time has come. It has no alarm any more.
    pub(super) fn woken(&mut self, now: Timestamp) -> Option<Slot> {
        let (_, queue) = *self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.let_sleep(queue);
        Some(queue)
    }

    /// The first alarm.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::number, *};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    proptest! {
        /// Each queue wakes at the earliest time that was asked for since it woke last, and once.
        #[test]
        fn a_queue_wakes_once_at_its_earliest_time(asked in prop::collection::vec((0usize..4, 0i64..50, any::<bool>()), 0..60)) {
            let mut due = Due::default();
            let mut expected = [None::<i64>; 4];
            for (queue, second, wakes) in asked {
                if wakes {
                    let mut woken: Vec<_> = std::iter::from_fn(|| due.woken(at(second))).map(index).collect();
                    woken.sort_unstable();
                    let over: Vec<_> = (0..4).filter(|n| expected[*n].is_some_and(|at| at <= second)).collect();
                    for n in &over {
                        expected[*n] = None;
                    }
                    prop_assert_eq!(woken, over);
                } else {
                    due.wake_at(number(queue), at(second));
                    expected[queue] = Some(expected[queue].map_or(second, |before| before.min(second)));
                }
                prop_assert_eq!(due.next_wake(), expected.iter().flatten().min().map(|second| at(*second)));
            }
        }
    }

    #[test]
    fn a_queue_is_listed_once() {
        let mut due = Due::default();
        for queue in [2, 0, 2] {
            due.list(number(queue));
        }
        assert_eq!(due.take(), [number(2), number(0)]);
        assert_eq!(due.take(), []);
        due.list(number(2));
        assert_eq!(due.listed(), [number(2)]);
    }
}
