//! One job as the decisions see it: what was asked, and what is on record.
//!
//! Owns no state: a [`Job`] is parsed from the hub's object at the start of each pass and thrown away after it. What it
//! asks for is shared with whoever read it, and with the dispatcher's line.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    application::Application,
    breaker::Start,
    id::{Attempt, ClusterName, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName, RemoteUid},
    phase::Phase,
    place::Expressed,
    policy::{FailureClass, Policy},
    resources::Resources,
    taint::Toleration,
};

/// A `RoutedSparkJob` in one pass.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its place on the hub.
    pub key: JobKey,
    /// Its identity.
    pub uid: JobUid,
    /// When it was created.
    pub created: Timestamp,
    /// Since when its deletion is asked for.
    pub deleting: Option<Timestamp>,
    /// Our finalizer is on it.
    pub held: bool,
    /// Somebody let go of whatever may still run for it.
    pub abandoned: bool,
    /// What is asked for, or why it cannot be taken.
    pub request: Result<Arc<Request>, Rejection>,
    /// What its owner decided about its course.
    pub policy: Policy,
    /// What is on record.
    pub record: Record,
}

/// What a job asks for, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The queue.
    pub queue: QueueName,
    /// Higher goes first inside the queue.
    pub priority: i32,
    /// Where it may run.
    pub constraints: Constraints,
    /// The application's Spark version.
    pub spark_version: Arc<str>,
    /// Which kinds of backends can run it.
    pub expressed: Expressed,
    /// Path below the queue, for the member's batch scheduler.
    pub sub_queue: Option<Arc<str>>,
    /// What it reserves.
    pub demand: Resources,
    /// Number of what the queue set on its jobs when this was parsed; see [`crate::place::QueueFacts::parts`].
    pub parts: u64,
    /// Hash of the template's metadata and spec.
    pub spec_hash: String,
}

/// Where a job may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Constraints {
    /// Only these members; empty means any.
    pub names: Vec<ClusterName>,
    /// Only members with these labels.
    pub labels: BTreeMap<String, String>,
    /// Taints of members that do not keep the job away.
    pub tolerations: Vec<Toleration>,
}

/// Why a template cannot be taken. The user edits it in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// One word for condition, event and metric.
    pub reason: &'static str,
    /// Which field, which value, what to do.
    pub message: String,
}

/// What the job's status holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The phase shown last.
    pub phase: Option<Phase>,
    /// The committed placement of the present attempt.
    pub placement: Option<Placement>,
    /// The highest attempt ever placed.
    pub attempt: Option<Attempt>,
    /// Attempts that followed a failed one.
    pub retries: u32,
    /// Attempts before the present one of which something is left on a member, oldest first.
    pub past: Vec<Past>,
    /// Members that failed the attempts before for reasons of their own: the next one had better go elsewhere.
    pub avoided: Vec<ClusterName>,
    /// It is not placed before this.
    pub not_before: Option<Timestamp>,
    /// Since when it waits, where that is not its creation.
    pub waiting_since: Option<Timestamp>,
    /// Members that judged this job and refused it.
    pub refusals: Vec<Refused>,
    /// What was mirrored last.
    pub application: Option<Application>,
    /// The condition `MemberReachable` is False.
    pub unreachable: bool,
    /// The decision to stop it, once there is one. Nothing takes it back.
    pub stopping: Option<Stopping>,
    /// How far holding it back on its member is, once that was asked for.
    pub suspension: Option<Suspension>,
    /// The end, once there is one.
    pub finished: Option<Finished>,
    /// The spec was edited after the status was written.
    pub outdated: bool,
}

/// What is on record of holding a placed job back on its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// How far it is.
    pub stage: Stage,
    /// Since when.
    pub at: Timestamp,
}

/// How far holding a placed job back is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its operator is to hold it, or does.
    Asked,
    /// Its operator is to let it go on.
    Resuming,
    /// It goes on.
    Resumed,
    /// Its member cannot hold it.
    Refused,
}

/// An attempt before the present one, of which something is left on its member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its number.
    pub attempt: Attempt,
    /// Its member.
    pub cluster: ClusterName,
    /// Who that was.
    pub identity: MemberIdentity,
    /// Its namespace there.
    pub namespace: Namespace,
    /// Its name there.
    pub name: RemoteName,
    /// Its uid there, where it was known.
    pub uid: Option<RemoteUid>,
    /// When the job went on without it.
    pub at: Timestamp,
    /// What is left.
    pub left: Left,
}

/// What is left of a past attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its finished application.
    Ended,
    /// It may still run, or be created late: it was left behind knowingly.
    MayRun,
}

/// The recorded decision to stop what runs of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// Why.
    pub cause: StopCause,
    /// Why, in words that stay true when the limit is changed afterwards.
    pub message: String,
    /// When it was decided.
    pub at: Timestamp,
}

/// Why the router itself stops a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// It ran longer than its queue allows.
    RanTooLong,
    /// It ran longer than its own deadline allows.
    RunDeadline,
    /// Its driver did not run in time.
    StartDeadline,
    /// Its owner asked for it.
    Cancelled,
    /// Its member was lost, and what is there did not get to run: it moves.
    MemberLost,
    /// Its member is drained, and it had not started: it moves.
    Drained,
    /// A cause that this build does not know. The decision stands.
    Other,
}

impl StopCause {
    const ALL: [Self; 7] = [
        Self::RanTooLong,
        Self::RunDeadline,
        Self::StartDeadline,
        Self::Cancelled,
        Self::MemberLost,
        Self::Drained,
        Self::Other,
    ];

    /// The one word for condition, event and metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RanTooLong => "RanTooLong",
            Self::RunDeadline => "RunDeadlineExceeded",
            Self::StartDeadline => "StartDeadlineExceeded",
            Self::Cancelled => "Cancelled",
            Self::MemberLost => "MemberLost",
            Self::Drained => "MemberDrained",
            Self::Other => "Stopped",
        }
    }

    /// What the attempt's end counts as; `None` where the job ends with it, or moves.
    pub fn class(self) -> Option<FailureClass> {
        (self == Self::StartDeadline).then_some(FailureClass::Unschedulable)
    }

    /// What it says of the member.
    pub fn start(self) -> Start {
        if self == Self::StartDeadline { Start::Failed } else { Start::Unknown }
    }

    /// Whether no attempt follows the one that is stopped.
    pub fn ends_the_job(self) -> bool {
        self.class().is_none() && !self.is_move()
    }

    /// Whether the job goes back to its queue when the attempt is proven to run nowhere.
    pub fn is_move(self) -> bool {
        matches!(self, Self::MemberLost | Self::Drained)
    }
}

impl From<&str> for StopCause {
    fn from(word: &str) -> Self {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word).unwrap_or(Self::Other)
    }
}

/// A committed decision: attempt n of this job runs on this member.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The member's name when it was picked.
    pub cluster: ClusterName,
    /// Who that was.
    pub identity: MemberIdentity,
    /// The attempt.
    pub attempt: Attempt,
    /// Where it goes on the member.
    pub namespace: Namespace,
    /// Its name there.
    pub name: RemoteName,
    /// Its uid there, once known.
    pub uid: Option<RemoteUid>,
    /// The queue.
    pub queue: QueueName,
    /// The queue of the member's batch scheduler that it is handed to.
    pub remote_queue: Option<Arc<str>>,
    /// The placement's number in the queue.
    pub seq: u64,
    /// Members of the queue that were no candidates.
    pub excluded: Vec<ClusterName>,
    /// When it was decided.
    pub at: Timestamp,
    /// What it reserves.
    pub demand: Resources,
}

/// A member that refused this job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The member.
    pub cluster: ClusterName,
    /// One word.
    pub reason: String,
    /// Its own words.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// When the end was recorded.
    pub at: Timestamp,
    /// It ended well.
    pub succeeded: bool,
}
