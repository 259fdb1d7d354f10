//! Who leads: what a process may do about the lease, from what it saw of the record and when.
//!
//! Owns one process's view of the record. Times are readings of that process's own monotonic clock: other clocks, and the
//! times in the record, play no part. Whatever is written is a compare-and-swap on the version that was seen, so what is
//! left to see to here is that nobody counts as leading while another may take over: a holder counts from the *start* of
//! its last answered renewal, the others from when they first saw the record as it still is, and they wait longer. Must
//! never let a process that lost the lease take it again: it ends.

use std::time::Duration;

/// How long the lease is good for. Every process must have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Others may take it when they have seen no change of the record for this long.
    pub lapse: Duration,
    /// Its holder counts as leading for this long from the start of its last renewal. What is between the two is for
    /// clocks that run at different speeds, and for what was sent at the last moment.
    pub hold: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { lapse: Duration::from_secs(10), hold: Duration::from_secs(7) }
    }
}

/// The lease as it is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Changes with every write.
    pub version: String,
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// Changes whenever it is taken, also by a process of the same name: so a process knows its own tenure.
    pub tenure: u32,
}

/// The one next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Read the record, then [`Claim::saw`].
    Read,
    /// Create the record, which fails where there is one; then [`Claim::wrote`] or [`Claim::doubt`].
    Create {
        /// The tenure to write.
        tenure: u32,
    },
    /// Replace the record if it still has this version; then [`Claim::wrote`] or [`Claim::doubt`].
    Replace {
        /// The version that was seen.
        version: String,
        /// The tenure to write.
        tenure: u32,
    },
    /// Somebody else has it: [`Claim::doubt`] after a moment, and again and again.
    Wait {
        /// It is free then, if nothing changes.
        until: Duration,
    },
    /// It is over for this process.
    Lost(Lost),
}

/// How the lease was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No renewal was answered in time.
    Lapsed,
    /// Somebody else took it.
    Taken {
        /// The name on record.
        by: String,
    },
    /// The record is older than one that was seen before: the hub was put back to an earlier state, and nothing that
    /// this process remembers of it holds any more.
    PutBack,
}

/// A process's claim to the lease.
#[derive(Clone, Debug)]
pub struct Claim {
    me: String,
    terms: Terms,
    seen: Option<Seen>,
    /// What was seen may not be so any more: it is read again before anything is decided.
    in_doubt: bool,
    /// There once was a record.
    met: bool,
    /// The highest version that was seen. A server counts upwards for as long as it lives, whatever is written:
    /// [resource versions](https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
    highest: u64,
    /// A version below that one was seen.
    put_back: bool,
    held: Option<Held>,
}

#[derive(Clone, Debug)]
struct Seen {
    record: Option<Record>,
    /// When it was first seen as it is.
    since: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    tenure: u32,
    until: Duration,
}

impl Claim {
    /// A process that has seen nothing yet. `me` is its name: no two that live at once have the same.
    pub fn new(me: impl Into<String>, terms: Terms) -> Self {
        Self {
            me: me.into(),
            terms,
            seen: None,
            in_doubt: false,
            met: false,
            highest: 0,
            put_back: false,
            held: None,
        }
    }

    /// Until when this process counts as leading; `None` as long as it never did.
    pub fn until(&self) -> Option<Duration> {
        self.held.map(|held| held.until)
    }

    /// Who held it when it was last read, if anybody did.
    pub fn holder(&self) -> Option<&str> {
        let record = self.seen.as_ref()?.record.as_ref()?;
        Some(record.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// What to do now.
    pub fn next(&self, now: Duration) -> Move {
        if self.put_back {
            return Move::Lost(Lost::PutBack);
        }
        if self.held.is_some_and(|held| now >= held.until) {
            return Move::Lost(Lost::Lapsed);
        }
        let seen = match &self.seen {
            Some(seen) if !self.in_doubt => seen,
            _ => return Move::Read,
        };
        match (self.held, &seen.record) {
            (Some(held), Some(record)) if record.holder == self.me && record.tenure == held.tenure => {
                Move::Replace { version: record.version.clone(), tenure: held.tenure }
            }
            (Some(_), Some(record)) => Move::Lost(Lost::Taken { by: record.holder.clone() }),
            // Deleted by hand. Those who have seen it wait as if it were there.
            (Some(held), None) => Move::Create { tenure: held.tenure },
            (None, record) => {
                let until = seen.since.saturating_add(self.terms.lapse);
                let lapsed = now >= until;
                match record {
                    None if lapsed || !self.met => Move::Create { tenure: 1 },
                    // A name of the own is what a process before this one left behind.
                    Some(record) if lapsed || record.holder.is_empty() || record.holder == self.me => {
                        Move::Replace {
                            version: record.version.clone(),
                            tenure: record.tenure.wrapping_add(1),
                        }
                    }
                    _ => Move::Wait { until },
                }
            }
        }
    }

    /// The record was read. `at` is a time after the answer: the later, the longer this process waits.
    pub fn saw(&mut self, record: Option<Record>, at: Duration) {
        self.in_doubt = false;
        self.met |= record.is_some();
        self.compare(record.as_ref());
        match &self.seen {
            Some(seen) if seen.record == record => {}
            _ => self.seen = Some(Seen { record, since: at }),
        }
    }

    /// A write was answered with this record; `began` is a time before it was sent.
    pub fn wrote(&mut self, record: Record, began: Duration) {
        self.in_doubt = false;
        self.met = true;
        self.compare(Some(&record));
        self.held = Some(Held { tenure: record.tenure, until: began.saturating_add(self.terms.hold) });
        self.seen = Some(Seen { record: Some(record), since: began });
    }

    /// A version that is no number says nothing.
    fn compare(&mut self, record: Option<&Record>) {
        let Some(version) = record.and_then(|record| record.version.parse().ok()) else { return };
        self.put_back |= version < self.highest;
        self.highest = self.highest.max(version);
    }

    /// What was seen may be out of date: time has passed, somebody else was faster, or a write was not answered and may
    /// have been acted on.
    pub fn doubt(&mut self) {
        self.in_doubt = true;
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
