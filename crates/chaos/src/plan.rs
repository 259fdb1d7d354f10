//! What a schedule is made of: sizes, jobs with what their owners do, faults.
//!
//! Owns no state. It must never say when anything happens by itself: that is the seed's.

use std::time::Duration;

use crate::evidence::Meant;
use crate::fault::{Kind, Lane, Operators};

/// How large a run is, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Jobs.
    pub jobs: u32,
    /// The time in which all of them are submitted and all faults begin.
    pub length: Duration,
    /// Members.
    pub members: usize,
    /// Who acts on their applications.
    pub operators: Operators,
}

impl Default for Sizes {
    /// What the command runs where nothing is said.
    fn default() -> Self {
        Self { jobs: 300, length: Duration::from_mins(5), members: 3, operators: Operators::Scripted }
    }
}

/// What becomes of a job whose member is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMemberLost {
    /// It stays.
    Wait,
    /// It moves once it is proven not to run.
    FenceThenMove,
    /// It moves at once.
    AllowDuplicate,
}

/// What its owner does to a job some time after it was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Deletes it.
    Delete,
    /// Cancels it.
    Cancel,
    /// Changes its priority, or how long it is kept where that is too late.
    Edit,
    /// Holds it back, and lets it go again two seconds later.
    Suspend,
}

impl Deed {
    /// Every deed.
    pub const ALL: [Self; 4] = [Self::Delete, Self::Cancel, Self::Edit, Self::Suspend];

    /// What it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delete => "jobDeleted",
            Self::Cancel => "jobCancelled",
            Self::Edit => "jobEdited",
            Self::Suspend => "jobSuspended",
        }
    }
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPlan {
    /// When it is submitted.
    pub at: Duration,
    /// Its name.
    pub name: String,
    /// Which of the two namespaces it is in.
    pub namespace: usize,
    /// Which of the two queues it is for.
    pub queue: usize,
    /// The script that its application follows.
    pub script: &'static str,
    /// What that comes to.
    pub meant: Meant,
    /// How long it runs.
    pub run: Duration,
    /// How long its submission takes on the member.
    pub submit: Duration,
    /// Executors.
    pub executors: u64,
    /// Priority.
    pub priority: i32,
    /// Attempts that it is given.
    pub attempts: u32,
    /// The place of the only member that it may go to; `None`: any.
    pub member: Option<usize>,
    /// What becomes of it when its member is lost.
    pub on_member_lost: OnMemberLost,
    /// What its owner does to it, and how long after the submission.
    pub deed: Option<(Duration, Deed)>,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub at: Duration,
    /// When it ends, counted from its beginning.
    pub lasts: Duration,
    /// What it is.
    pub kind: Kind,
    /// What it breaks.
    pub lane: Lane,
    /// Nothing else is broken meanwhile.
    pub alone: bool,
}
