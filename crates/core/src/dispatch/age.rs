//! What members signal grows too old although nothing happens: a pass is due then for whoever waits by it.
//!
//! Owns the moments at which that is. Whether a signal is stale is judged with each job, by its age; here it is only
//! noticed.

use jiff::Timestamp;

use super::{Dispatcher, index, number};
use crate::ledger::Slot;

impl Dispatcher {
    /// Notes when the next of a member's signals turns stale that is not so by `now`.
    pub(super) fn note_age(&mut self, member: Slot, now: Timestamp) {
        let seat = &mut self.seats[index(member)];
        let before = seat.stale_from.is_some();
        let limit = seat.facts.as_ref().map(|facts| facts.stale_after);
        seat.stale_from = limit.and_then(|limit| seat.signals.next_stale(limit, now));
        match (before, seat.stale_from.is_some()) {
            (false, true) => self.ageing += 1,
            (true, false) => self.ageing -= 1,
            _ => {}
        }
    }

    /// When the next signal turns stale by which somebody waits.
    pub(super) fn next_stale(&self) -> Option<Timestamp> {
        self.waited_by().map(|(_, _, moment)| moment).min()
    }

    /// Marks the queues of those who wait by a signal that has turned stale.
    pub(super) fn grow_old(&mut self, now: Timestamp) {
        let due: Vec<_> = self.waited_by().filter(|(_, _, moment)| *moment <= now).collect();
        for (queue, member, _) in due {
            self.lines[index(queue)].dirty = true;
            self.due.list(queue);
            self.note_age(member, now);
        }
    }

    /// Queues in which somebody waits, the members whose signals they go by, and when the next of those turns stale.
    fn waited_by(&self) -> impl Iterator<Item = (Slot, Slot, Timestamp)> {
        // Most fleets signal nothing: that costs nothing.
        let lines = if self.ageing == 0 { &[] } else { self.lines.as_slice() };
        lines.iter().enumerate().filter(|(_, line)| !line.is_idle()).flat_map(move |(queue, line)| {
            let routes = line.facts.as_ref().map(|facts| facts.routes.as_slice()).unwrap_or_default();
            line.routed.iter().filter_map(move |routed| {
                routes.get(routed.route)?.signal.as_ref()?;
                let moment = self.seats[index(routed.member)].stale_from?;
                Some((number(queue), routed.member, moment))
            })
        })
    }
}
