//! The job on the hub, in small: its object, what its status holds, and what is written to it.
//!
//! Owns no behaviour but aging.

use std::fmt;

use spark_router_core::phase::Phase;

use crate::{
    age::{Age, Caps, older},
    member::{MEMBERS, Run, Spot},
};

/// The job's object in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Object {
    pub(crate) version: u8,
    pub(crate) held: bool,
    pub(crate) deleting: bool,
    pub(crate) abandoned: bool,
    /// Its owner wants it cancelled.
    pub(crate) cancel: bool,
    pub(crate) outdated: bool,
    pub(crate) record: Record,
}

/// What its status holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) phase: Option<Phase>,
    pub(crate) placement: Option<Placed>,
    /// Attempts that were placed.
    pub(crate) attempts: u8,
    /// Attempts that followed a failed one.
    pub(crate) retries: u8,
    /// Attempts before the present one of which something is left, oldest first.
    pub(crate) past: [Option<Past>; PAST],
    /// There was no room for one of them: the model is too small for what it is asked.
    pub(crate) crowded: bool,
    pub(crate) refused: [bool; MEMBERS],
    pub(crate) application: Option<Mirrored>,
    pub(crate) unreachable: bool,
    /// Why it has no place is stated.
    pub(crate) waiting: bool,
    /// What its deletion waits for is stated.
    pub(crate) explained: bool,
    pub(crate) stopping: Option<Stop>,
    pub(crate) finished: Option<(End, Age)>,
}

/// A placement on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Placed {
    pub(crate) spot: Spot,
    pub(crate) seq: u8,
    pub(crate) age: Age,
    pub(crate) uid: Option<u8>,
}

/// Past attempts that a record has room for.
pub(crate) const PAST: usize = 3;

/// An attempt before the present one, of which something is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Past {
    pub(crate) spot: Spot,
    pub(crate) uid: Option<u8>,
    pub(crate) age: Age,
    /// It may still run: it was left behind knowingly. Else its finished application is left.
    pub(crate) may_run: bool,
}

/// Why it is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stop {
    RanTooLong,
    Cancelled,
    MemberLost,
    Drained,
}

/// What was mirrored of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Mirrored {
    pub(crate) run: Run,
    /// Since when it was seen running, if it ever was.
    pub(crate) started: Option<Age>,
}

/// How a job ended, on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum End {
    Succeeded,
    Failed,
    DriverLost,
    Vanished,
    NameTaken,
    Rejected,
    Stopped,
    Cancelled,
    Abandoned,
}

/// A write on its way to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LateWrite {
    pub(crate) from: u8,
    pub(crate) write: Write,
    pub(crate) left: Age,
}

/// A write to the hub.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Write {
    /// The version that it was computed from; `None` writes over whatever there is.
    pub(crate) version: Option<u8>,
    pub(crate) change: Change,
}

/// In short: it stands in each line of a way.
impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "from version {version}")?,
            None => write!(f, "over any version")?,
        }
        let Change::Status(record) = self.change else { return Ok(()) };
        match (record.placement, record.finished) {
            (_, Some((end, _))) => write!(f, ", {end:?}"),
            (Some(Placed { spot: Spot { member, attempt }, seq, .. }), None) => {
                write!(f, ", placement {seq} of attempt {attempt} on member {member}")?;
                record.stopping.map_or(Ok(()), |why| write!(f, ", {why:?}"))
            }
            (None, None) => write!(f, ", no placement"),
        }
    }
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Change {
    Status(Record),
    Hold,
    LetGo,
    Delete,
}

impl Object {
    /// As it is created, but for what is on record.
    pub(crate) fn new(record: Record) -> Self {
        Self {
            version: 0,
            held: false,
            deleting: false,
            abandoned: false,
            cancel: false,
            outdated: false,
            record,
        }
    }

    pub(crate) fn grow_older(&mut self, caps: Caps) {
        let record = &mut self.record;
        if let Some(placed) = &mut record.placement {
            // After the end nothing asks since when it is placed.
            older(&mut placed.age, caps.settle);
        }
        if let Some(started) = record.application.as_mut().and_then(|it| it.started.as_mut()) {
            older(started, caps.run);
        }
        for past in record.past.iter_mut().flatten() {
            older(&mut past.age, caps.retention.max(caps.settle));
        }
        if let Some((_, age)) = &mut record.finished {
            older(age, caps.retention.max(caps.settle));
        }
    }
}

impl Stop {
    /// It goes to another member when nothing of it runs.
    pub(crate) fn is_move(self) -> bool {
        matches!(self, Self::MemberLost | Self::Drained)
    }
}

impl Record {
    /// Adds an attempt of which something is left.
    pub(crate) fn remember(&mut self, past: Past) {
        match self.past.iter_mut().find(|row| row.is_none()) {
            Some(row) => *row = Some(past),
            None => self.crowded = true,
        }
    }

    /// Nothing is left of an attempt.
    pub(crate) fn close(&mut self, spot: Spot) {
        let rows = self.past;
        self.past = [None; PAST];
        for past in rows.into_iter().flatten().filter(|past| past.spot != spot) {
            self.remember(past);
        }
    }
}
