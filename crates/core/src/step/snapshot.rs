//! Everything that a decision about a job is made from.
//!
//! Owns no state: a snapshot is put together for one pass and never kept. What is not known is said to be so; nothing is
//! filled in.

use std::time::Duration;

use jiff::Timestamp;

use super::{PastView, Trace};
use crate::{
    health::LinkState,
    id::RemoteUid,
    job::Job,
    observe::{FailureSign, Observation, Remote},
};

/// Times that the protocol waits for.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a create that was begun may still take effect: its way through our own queues (2 s), its connection
    /// (3 s), and the server-side timeout (10 s).
    pub request: Duration,
    /// How long a former leader may still send: the lease.
    pub lease: Duration,
    /// Executor counts alone are mirrored at most this often.
    pub counts_every: Duration,
    /// Details that change without the state (an id that is known now) are mirrored this long after the last mirror, so
    /// that they usually go with the next state.
    pub details_after: Duration,
    /// A fresh application's uid alone is put on record this long after its placement: it usually goes with the first
    /// state.
    pub uid_after: Duration,
    /// An accepted create that does not appear in the member's view for this long is looked up.
    pub view_patience: Duration,
    /// A driver whose application's state proves nothing is looked at this often.
    pub examine_every: Duration,
    /// A driver that does not run this long after its placement is looked at, and less and less often after that.
    pub start_patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            lease: Duration::from_secs(10),
            counts_every: Duration::from_secs(30),
            details_after: Duration::from_secs(5),
            uid_after: Duration::from_secs(10),
            view_patience: Duration::from_secs(5),
            examine_every: Duration::from_secs(15),
            start_patience: Duration::from_secs(30),
        }
    }
}

/// What this process did for the present placement. Lost with the process: absence of a fact proves nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sends {
    /// This process committed the placement, so it knows of every create that was sent for it.
    pub placed_here: bool,
    /// This process wrote the placement's record last and was answered. Otherwise a write that was computed before may
    /// still be on its way, or has been acted on unseen: it may take the placement back.
    pub claimed: bool,
    /// The last create that may have reached the wire.
    pub last: Option<Timestamp>,
    /// The last of those creates whose answer never came. A later answer to another send does not clear it: it may still
    /// take effect.
    pub unanswered: Option<Timestamp>,
    /// A create was answered: the application's uid, and when.
    pub accepted: Option<(RemoteUid, Timestamp)>,
    /// No further create before this.
    pub not_before: Option<Timestamp>,
    /// When the driver was last looked at.
    pub looked: Option<Timestamp>,
}

/// What a quorum read by the recorded name said, made in this pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmed {
    /// Not asked, or the read failed.
    Nothing,
    /// Not there under the recorded uid.
    Gone,
    /// There, although the view does not show it yet.
    Present(Box<Observation>),
}

/// What became of the driver's pod, looked at in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverSeen {
    /// Not looked at, or the read failed.
    Nothing,
    /// Looked at in vain for some time: why nobody can tell.
    Unseen(String),
    /// Pending or running.
    Alive,
    /// Pending, for a reason that may not pass by itself: one word and the rest.
    Waiting(&'static str, String),
    /// Ended with exit code 0.
    Succeeded,
    /// Ended otherwise.
    Failed(FailureSign, String),
    /// Not there.
    Gone,
}

/// The member of the placement, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its link.
    pub link: LinkState,
    /// It can take creates: no fault.
    pub usable: bool,
    /// Its `MemberCluster` says that whatever is placed there is given up.
    pub forgotten: bool,
    /// Its `MemberCluster` says that what has not started there goes elsewhere.
    pub drained: bool,
}

impl MemberView {
    pub(super) fn takes_creates(self) -> bool {
        self.link == LinkState::Ready && self.usable
    }
}

/// What members show of a job beside its placement.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// Attempts before the present one of which something is left.
    pub past: Vec<PastView>,
    /// Whatever there is of a job whose record may be older than it: one without a placement, or with one that another
    /// process made. Empty for any other job.
    pub traces: Vec<Trace>,
    /// A member other than the placement's has shown nothing yet, neither that the job is there nor that it is not.
    pub unheard: bool,
}

/// Everything that one decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The job.
    pub job: &'a Job,
    /// What the member's view says of the placement's name. [`Remote::Unknown`] without a placement.
    pub remote: &'a Remote,
    /// The placement's member; `None` when it is not registered.
    pub member: Option<MemberView>,
    /// What this process did.
    pub sends: &'a Sends,
    /// The quorum read, if one was made.
    pub confirmed: &'a Confirmed,
    /// The driver, if it was looked at.
    pub driver: &'a DriverSeen,
    /// The attempt is proven to run nowhere.
    pub fenced: bool,
    /// What members show of the job beside its placement.
    pub elsewhere: &'a Elsewhere,
    /// Since when this process leads.
    pub leading_since: Timestamp,
    /// When the record was last written for executor counts.
    pub mirrored_at: Option<Timestamp>,
    /// How long finished applications stay on the member.
    pub retention: Duration,
    /// Most members are Suspect at once: nothing is taken back for it.
    pub fleet_in_doubt: bool,
    /// Most members were lost at once: no job moves before this for a member that is lost.
    pub frozen_until: Option<Timestamp>,
    /// How long a job of its queue may run.
    pub longest_run: Option<Duration>,
    /// How long after its end the job is deleted.
    pub expires: Option<Duration>,
    /// The clock cannot be trusted before this: nothing is stopped or deleted for its age.
    pub hold_fire_until: Option<Timestamp>,
    /// Times.
    pub timing: &'a Timing,
    /// The time.
    pub now: Timestamp,
}
