//! Queues whose jobs hold because the hub was put back to an earlier state.
//!
//! Owns no state of its own: a line keeps who is held back. Those jobs are out of the line, so that younger ones of the
//! same kind go on; whoever is let go of is called, and asks again.

use super::{Dispatcher, Position, index};
use crate::{id::QueueName, restored::Restored};

impl Dispatcher {
    /// Holds a queue's older jobs back, or lets them go. The same again costs nothing.
    pub fn set_restored(&mut self, queue: &QueueName, restored: Option<Restored>) {
        if restored.is_none() && !self.line_of.contains_key(queue) {
            return;
        }
        let slot = self.line(queue);
        let line = &mut self.lines[index(slot)];
        if line.restored == restored {
            return;
        }
        // Whoever was held back for another reason, or for none any more, asks again.
        let held_back = std::mem::take(&mut line.held_back);
        self.called_in.extend(held_back.iter().map(|(rank, uid)| (uid.clone(), rank.key.clone())));
        line.turned_away.extend(held_back);
        line.restored = restored;
        self.due.list(slot);
        let Some(restored) = &line.restored else { return };
        line.given = line.given.max(restored.seq);
        let in_line = line.each_class().flat_map(|(_, waiting)| &waiting.jobs);
        // Those outside go first: each that leaves the line makes room for one of them.
        let all = line.turned_away.iter().chain(in_line);
        let older = all.filter(|(rank, _)| restored.holds(rank.created));
        let older: Vec<_> = older.map(|(rank, uid)| (rank.clone(), uid.clone())).collect();
        for (rank, uid) in older {
            self.leave(&uid);
            self.called_in.push((uid.clone(), rank.key.clone()));
            self.lines[index(slot)].held_back.insert(rank.clone(), uid.clone());
            self.positions.insert(uid, Position { queue: slot, class: None, rank });
        }
    }
}
