//! What is known of the job runs of one virtual cluster, by what lists and single looks have shown.
//!
//! Owns the runs and nothing else: no clock, no I/O. A list of the active runs says what lives; a run that was in it and
//! is not any more has ended, and is asked about by itself. A run that was started a moment ago may not be in a list yet.
//! Must never let an end be undone: pages of one list are not of one moment.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::client::{JobRun, RunId};

/// The states in which a run lives, as they are asked for.
pub const ACTIVE: [&str; 4] = ["PENDING", "SUBMITTED", "RUNNING", "CANCEL_PENDING"];
/// The states in which it has ended.
pub const ENDED: [&str; 3] = ["COMPLETED", "FAILED", "CANCELLED"];

/// Whether a state is an end. One that is not known is none.
pub fn is_over(state: &str) -> bool {
    ENDED.contains(&state)
}

/// How long things are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A run that was started may be missing from lists for so long. Then it is looked at by itself, which shows an end that
    /// came between two lists, and costs a call where the list is late: it is not gone for that.
    pub unlisted: SignedDuration,
    /// A run that its server does not know is believed to be gone after so long.
    pub gone: SignedDuration,
    /// A run that is over is forgotten after so long, if nobody asks for that earlier.
    pub over: SignedDuration,
    /// And never more of them than so many, the oldest first.
    pub most_over: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            unlisted: SignedDuration::from_secs(10),
            gone: SignedDuration::from_mins(1),
            over: SignedDuration::from_hours(2),
            most_over: 20_000,
        }
    }
}

/// A run as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As it was shown last.
    pub run: JobRun,
    /// Since when it is known.
    pub known_since: Timestamp,
    /// When it was first seen in RUNNING: AWS keeps no such time.
    pub running_since: Option<Timestamp>,
    /// When it was first seen in CANCEL_PENDING.
    pub cancelling_since: Option<Timestamp>,
    /// When it was first seen to be over.
    pub over_since: Option<Timestamp>,
    /// Since when its server does not know it.
    missing_since: Option<Timestamp>,
    /// It was in a list.
    listed: bool,
}

/// What a list has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Runs that look different now, or are new.
    pub changed: Vec<RunId>,
    /// Runs to be looked at one by one: they left the list.
    pub ask: Vec<RunId>,
    /// Runs that are not shown any more.
    pub gone: Vec<JobRun>,
}

/// What became of a run by a look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// Nothing new.
    Same,
    /// It looks different now.
    Changed,
    /// It is not shown any more.
    Gone(Box<JobRun>),
}

/// What a look at a run has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is there.
    There(Box<JobRun>),
    /// Its server does not know it.
    Missing,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Rows {
    known: HashMap<RunId, Row>,
    names: HashMap<String, Vec<RunId>>,
    synced: bool,
}

impl Rows {
    /// A first list is through.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// The run of that id.
    pub fn get(&self, id: &RunId) -> Option<&Row> {
        self.known.get(id)
    }

    /// The runs of that name, the one that was made last first.
    pub fn named(&self, name: &str) -> Vec<&Row> {
        let ids = self.names.get(name).into_iter().flatten();
        let mut rows: Vec<&Row> = ids.filter_map(|id| self.known.get(id)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.run.created_at));
        rows
    }

    /// All runs.
    pub fn all(&self) -> impl Iterator<Item = &Row> {
        self.known.values()
    }

    /// How many are known, and how many of them live.
    pub fn count(&self) -> (usize, usize) {
        (self.known.len(), self.known.values().filter(|row| row.over_since.is_none()).count())
    }

    /// A run as a start, a look or a list by name has shown it. Whether that is news.
    pub fn told(&mut self, run: JobRun, now: Timestamp) -> bool {
        self.put(run, false, now)
    }

    /// All active runs, by a walk that began at `began`.
    pub fn walked(
        &mut self,
        runs: Vec<JobRun>,
        began: Timestamp,
        now: Timestamp,
        patience: &Patience,
    ) -> News {
        let mut news = News::default();
        let mut listed = HashSet::with_capacity(runs.len());
        for run in runs {
            let id = run.id.clone();
            listed.insert(id.clone());
            if self.put(run, true, now) {
                news.changed.push(id);
            }
        }
        self.synced = true;
        news.ask = self
            .known
            .iter()
            .filter(|(id, row)| row.over_since.is_none() && !listed.contains(*id))
            // What became known while the walk was under way may have been made behind its back.
            .filter(|(_, row)| row.known_since < began)
            .filter(|(_, row)| row.listed || since(row.known_since, now) >= patience.unlisted)
            .map(|(id, _)| id.clone())
            .collect();
        news.ask.sort_unstable();
        news.gone = self.forget_old(now, patience);
        news
    }

    /// What a look at one run has brought. A run that is missing for long enough is forgotten: what its server does not know
    /// cannot be shown any more.
    pub fn looked(&mut self, id: &RunId, look: Look, now: Timestamp, patience: &Patience) -> Became {
        match look {
            Look::There(run) => {
                if self.put(*run, false, now) {
                    Became::Changed
                } else {
                    Became::Same
                }
            }
            Look::Missing => {
                let Some(row) = self.known.get_mut(id) else { return Became::Same };
                // Its end is on record here: that its history has expired says nothing.
                if row.over_since.is_some() {
                    return Became::Same;
                }
                let missing_since = *row.missing_since.get_or_insert(now);
                if since(missing_since, now) < patience.gone {
                    return Became::Same;
                }
                self.forget(id).map_or(Became::Same, |run| Became::Gone(Box::new(run)))
            }
        }
    }

    /// Nobody asks for a run any more. As it was shown last, if it was.
    pub fn forget(&mut self, id: &RunId) -> Option<JobRun> {
        let row = self.known.remove(id)?;
        if let Some(ids) = self.names.get_mut(&row.run.name) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.names.remove(&row.run.name);
            }
        }
        Some(row.run)
    }

    fn put(&mut self, run: JobRun, listed: bool, now: Timestamp) -> bool {
        let (over, running) = (is_over(&run.state), run.state == "RUNNING");
        let cancelling = run.state == "CANCEL_PENDING";
        let Some(row) = self.known.get_mut(&run.id) else {
            self.names.entry(run.name.clone()).or_default().push(run.id.clone());
            let row = Row {
                known_since: now,
                running_since: running.then_some(now),
                cancelling_since: cancelling.then_some(now),
                over_since: over.then_some(now),
                missing_since: None,
                listed,
                run,
            };
            self.known.insert(row.run.id.clone(), row);
            return true;
        };
        row.missing_since = None;
        row.listed |= listed;
        if row.over_since.is_some() && !over {
            return false;
        }
        if running {
            row.running_since.get_or_insert(now);
        }
        if cancelling {
            row.cancelling_since.get_or_insert(now);
        }
        if over {
            row.over_since.get_or_insert(now);
        }
        // A start tells only id, name and token.
        let run = JobRun {
            // Whose it is was said with its start: whoever changes tags later does not change that.
            tags: if row.run.tags.is_empty() { run.tags } else { row.run.tags.clone() },
            created_at: run.created_at.or(row.run.created_at),
            ..run
        };
        if row.run == run {
            return false;
        }
        if row.run.name != run.name {
            if let Some(ids) = self.names.get_mut(&row.run.name) {
                ids.retain(|other| *other != run.id);
            }
            self.names.entry(run.name.clone()).or_default().push(run.id.clone());
        }
        row.run = run;
        true
    }

    /// Forgets what is over for long, and the oldest of what is too much.
    fn forget_old(&mut self, now: Timestamp, patience: &Patience) -> Vec<JobRun> {
        let mut over: Vec<(Timestamp, RunId)> =
            self.known.iter().filter_map(|(id, row)| Some((row.over_since?, id.clone()))).collect();
        over.sort_unstable();
        let too_many = over.len().saturating_sub(patience.most_over);
        let old = over
            .into_iter()
            .enumerate()
            .filter(|(index, (at, _))| *index < too_many || since(*at, now) >= patience.over)
            .map(|(_, (_, id))| id);
        let old: Vec<RunId> = old.collect();
        old.iter().filter_map(|id| self.forget(id)).collect()
    }
}

/// How long ago; nothing for a clock that went back.
fn since(at: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(at).max(SignedDuration::ZERO)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
