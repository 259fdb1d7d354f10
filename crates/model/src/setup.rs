//! What is checked: the protocol's rules and times, and how much may happen.
//!
//! Owns no state.

use spark_router_core::{policy::OnMemberLost, step::Timing};

use crate::{age::Caps, clock::ticks};

/// What is checked.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The rules. Anything but the default breaks the protocol, to see that it is found.
    pub protocol: Protocol,
    /// What the job's owner asks for.
    pub course: Course,
    /// How much may happen.
    pub bounds: Bounds,
}

/// What the job's owner asks for.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// How often a failed attempt is followed by another.
    pub retries: u8,
    /// What is done when its member is lost.
    pub on_member_lost: OnMemberLost,
}

/// The protocol's times in ticks, and its rules around the core's step.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "rules that can be broken one by one")]
pub struct Protocol {
    /// How long a create may take effect after it was begun.
    pub request: u8,
    /// How long a lease holds without its holder.
    pub lease: u8,
    /// How long a finished application stays.
    pub retention: u8,
    /// An accepted create that no view shows is looked up after this long; a fresh uid is put on record after this long.
    pub patience: u8,
    /// How long a submission may hang unseen; between the two proofs of a fence.
    pub hang: u8,
    /// How long a job may run.
    pub longest_run: Option<u8>,
    /// Mirrors carry the version that they were computed from, as every write does.
    pub mirrors_carry_their_version: bool,
    /// Absence is asked for with a quorum read, instead of being taken from the view.
    pub absence_is_read: bool,
    /// The core is told the real times; otherwise that nothing needs to settle.
    pub settles: bool,
    /// A process whose last write of the record was not answered, or that never wrote it, writes it once more before it
    /// sends a create.
    pub claims: bool,
    /// A process that begins to lead reads the hub first. Otherwise it begins with what its watch showed last.
    pub leader_reads: bool,
    /// A cancel is on record before anything is stopped for it.
    pub latches: bool,
    /// A job that moves waits for the fence of the attempt that it leaves.
    pub fences: bool,
    /// The core is told of past attempts.
    pub remembers: bool,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            request: 1,
            lease: 1,
            retention: 1,
            patience: 1,
            hang: 1,
            longest_run: None,
            mirrors_carry_their_version: true,
            absence_is_read: true,
            settles: true,
            claims: true,
            leader_reads: true,
            latches: true,
            fences: true,
            remembers: true,
        }
    }
}

/// How much may happen on one path.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "kinds of faults, each of which can be left out")]
pub struct Bounds {
    /// Faults of any kind.
    pub faults: u8,
    /// Edits of the job by its user.
    pub edits: u8,
    /// The edits have the job cancelled, and take that back.
    pub cancel: bool,
    /// Placements.
    pub placements: u8,
    /// Attempts. No more than two have names.
    pub attempts: u8,
    /// The user may delete the job, and let go of it.
    pub deletion: bool,
    /// Members may refuse creates.
    pub refusals: bool,
    /// Members may fall silent.
    pub silence: bool,
    /// Members may be drained.
    pub drains: bool,
    /// Processes may be killed or stopped, and watches may hang.
    pub processes: bool,
    /// Somebody else may delete the application on the member, or have put something under its name.
    pub hands: bool,
    /// Submissions may hang.
    pub hangs: bool,
    /// Operators may start an application twice.
    pub doubles: bool,
    /// Writes to the hub may take effect after their writer gave up on them.
    pub late_writes: bool,
    /// The hub may be restored from a backup.
    pub restores: bool,
    /// Worlds that differ only in which member or router is which count as one.
    pub symmetry: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            faults: 2,
            edits: 0,
            cancel: false,
            placements: 3,
            attempts: 1,
            deletion: true,
            refusals: true,
            silence: true,
            drains: false,
            processes: true,
            hands: true,
            hangs: true,
            doubles: true,
            late_writes: false,
            restores: false,
            symmetry: true,
        }
    }
}

impl Protocol {
    /// The times as the core wants them.
    pub(crate) fn timing(&self) -> Timing {
        let (request, lease) = if self.settles { (self.request, self.lease) } else { (0, 0) };
        Timing {
            request: ticks(request),
            lease: ticks(lease),
            counts_every: ticks(0),
            details_after: ticks(0),
            uid_after: ticks(self.patience),
            view_patience: ticks(self.patience),
            examine_every: ticks(1),
            // Nothing is only submitted here.
            start_patience: ticks(0),
        }
    }

    /// Where ages stop to matter.
    pub(crate) fn caps(&self) -> Caps {
        let settle = (self.lease + self.request).max(self.patience);
        Caps {
            settle,
            lease: self.lease,
            patience: self.patience,
            retention: self.retention,
            hang: self.hang,
            run: self.longest_run.unwrap_or(0),
        }
    }
}
