//! What a member says of an attempt, in one vocabulary for all backends.
//!
//! Owns no state. Must never turn a state it does not know into an end: an unknown string is not terminal.

use jiff::Timestamp;

use crate::{
    breaker::Start,
    id::{Attempt, HubId, JobKey, JobUid, RemoteName, RemoteUid},
    policy::FailureClass,
};

/// What is known of a remote application by its name.
#[derive(Clone, Debug, PartialEq)]
pub enum Remote {
    /// The member's view is not in sync: nothing may be concluded.
    Unknown,
    /// The member answers, but an earlier request may still take effect until then.
    Unsettled {
        /// When a further look is worth something.
        until: Timestamp,
    },
    /// Not in the member's synced view. From a cache this is a hint, not a proof.
    Absent,
    /// It is there.
    Present(Box<Observation>),
}

/// One remote application as its member shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Its name on the member.
    pub name: RemoteName,
    /// Its own uid.
    pub uid: RemoteUid,
    /// Whose it is, as written inside the create. `None` for an object that is not ours.
    pub owner: Option<Ownership>,
    /// Its deletion has been asked for.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub held: bool,
    /// Its operator is asked to hold it (`spec.suspend`).
    pub suspend: bool,
    /// The state, folded.
    pub run: RunState,
    /// The state as the member's operator writes it; empty before it wrote any.
    pub native_state: String,
    /// Spark's application id.
    pub application_id: Option<String>,
    /// The operator's id of the submission.
    pub submission_id: Option<String>,
    /// Last submission.
    pub submitted_at: Option<Timestamp>,
    /// Since when it runs, as seen here: operators record no start. What runs for a moment may never be looked at meanwhile.
    pub running_since: Option<Timestamp>,
    /// End of the run. Not a sign of an end: operators set it early and clear it on a retry.
    pub terminated_at: Option<Timestamp>,
    /// Runs that the member's own operator has started for this application.
    pub executions: u32,
    /// Executors by state.
    pub executors: ExecutorCounts,
    /// The driver's pod.
    pub driver_pod: Option<String>,
    /// Address of the driver's web UI inside the member.
    pub ui_address: Option<String>,
    /// What the operator says went wrong.
    pub error: Option<String>,
}

impl Observation {
    /// Whether it came to an end that is its own. A failure that appears while it is being deleted may be no more than
    /// what the deletion did to its driver.
    pub fn ended_by_itself(&self) -> bool {
        self.run.proves_end() && (self.run == RunState::Succeeded || !self.deleting)
    }
}

/// The origin written into each remote application at its creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The hub that created it.
    pub hub: HubId,
    /// The job that it runs.
    pub job: JobUid,
    /// The job's place on the hub, for people.
    pub key: JobKey,
    /// The attempt that it is.
    pub attempt: Attempt,
    /// The placement's sequence number in its queue.
    pub seq: u64,
    /// Hash of what was rendered.
    pub render_hash: String,
}

/// Executors by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutorCounts {
    /// Asked for, not running yet.
    pub pending: u32,
    /// Running.
    pub running: u32,
    /// Ended well.
    pub completed: u32,
    /// Ended badly or in an unknown way.
    pub failed: u32,
}

/// A remote application's state, folded from the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// The member has it; its operator has not submitted it yet.
    Accepted,
    /// Submitted; the driver is not running yet.
    Submitted,
    /// The driver runs.
    Running,
    /// Failed once and will be tried again by the member's own operator.
    Retrying,
    /// Held by `suspend`.
    Suspended,
    /// About to end, or in a state that says nothing of its own: keeps the phase it came from.
    Passing,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed(FailureSign),
}

impl RunState {
    /// Whether this is an end.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed(_))
    }

    /// Whether this proves that nothing of the attempt runs any more.
    pub fn proves_end(&self) -> bool {
        match self {
            Self::Succeeded => true,
            Self::Failed(sign) => sign.proves_end(),
            Self::Accepted
            | Self::Submitted
            | Self::Running
            | Self::Retrying
            | Self::Suspended
            | Self::Passing => false,
        }
    }

    /// Whether the operator may be starting a driver right now, unseen: a hung submission may still create a pod after
    /// the application is gone.
    pub fn is_submitting(&self) -> bool {
        matches!(self, Self::Accepted | Self::Retrying)
    }
}

/// What a failure tells, from the operator's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureSign {
    /// The driver ended with an exit code: the application's own failure.
    Application,
    /// The driver used more memory than it had asked for.
    OutOfMemory,
    /// The operator could not submit it.
    Submission,
    /// Submission refused by a quota of the namespace.
    Quota,
    /// The batch scheduler did not take it, for its queue.
    QueueRefused,
    /// The batch scheduler held no room for all of its pods in time.
    NoReservation,
    /// Its operator gave up waiting for its pods: they did not get to run in time.
    StartTimedOut,
    /// Its operator could not ask for its pods.
    Unscheduled,
    /// The driver's pod was given to a node that could not take it after all.
    NodeRefused,
    /// The driver's pod was taken away by its node or by the scheduler.
    Evicted,
    /// The driver's pod is gone; the job may even have ended well.
    DriverLost,
    /// A driver of that name is already there and may be running: **no proof that nothing runs**.
    DriverExists,
    /// Whoever watches the run for us lost sight of it and calls it failed; its driver may go on: **no proof that nothing
    /// runs** (EMR on EKS: "Trouble monitoring your JobRun").
    MonitoringLost,
    /// The driver's pod failed or was killed, and its operator does not say how: the pod itself may.
    PodFailed,
    /// The member took it and then found something in it that it does not take: it will judge it the same way again.
    Rejected,
    /// The member had no room for its driver in time.
    NoResources,
    /// Somebody else than the router stopped it on its member.
    ExternallyCancelled,
    /// Nothing more specific.
    Other,
}

impl FailureSign {
    /// Every sign.
    pub const ALL: [Self; 18] = [
        Self::Application,
        Self::OutOfMemory,
        Self::Submission,
        Self::Quota,
        Self::QueueRefused,
        Self::NoReservation,
        Self::StartTimedOut,
        Self::Unscheduled,
        Self::NodeRefused,
        Self::Evicted,
        Self::DriverLost,
        Self::DriverExists,
        Self::MonitoringLost,
        Self::PodFailed,
        Self::Rejected,
        Self::NoResources,
        Self::ExternallyCancelled,
        Self::Other,
    ];

    /// Whether the state proves that nothing of this attempt runs any more.
    pub fn proves_end(self) -> bool {
        !matches!(self, Self::DriverExists | Self::MonitoringLost)
    }

    /// The failure as a job's owner tells it apart. `None` where it is no failure of the attempt.
    pub fn class(self) -> Option<FailureClass> {
        match self {
            // The one that is tried again for nothing else.
            Self::Application | Self::OutOfMemory | Self::PodFailed | Self::Other => {
                Some(FailureClass::ApplicationFailed)
            }
            Self::Submission => Some(FailureClass::SubmissionFailed),
            Self::Quota
            | Self::QueueRefused
            | Self::NoReservation
            | Self::StartTimedOut
            | Self::Unscheduled
            | Self::NodeRefused
            | Self::NoResources => Some(FailureClass::Unschedulable),
            Self::Evicted | Self::DriverLost => Some(FailureClass::DriverLost),
            // No end yet; an end that comes again; an end that somebody wanted.
            Self::DriverExists | Self::MonitoringLost | Self::Rejected | Self::ExternallyCancelled => None,
        }
    }

    /// The reason shown on the job.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Application | Self::PodFailed | Self::Other => "JobFailed",
            Self::OutOfMemory => "OOMKilled",
            Self::Submission => "SubmissionFailed",
            Self::Quota => "QuotaExceeded",
            Self::QueueRefused => "ApplicationRejected",
            Self::NoReservation => "ResourceReservationTimeout",
            Self::StartTimedOut => "StartTimedOut",
            Self::Unscheduled => "SchedulingFailure",
            Self::NodeRefused => "NodeRefused",
            Self::Evicted => "Evicted",
            Self::DriverLost => "DriverLost",
            Self::DriverExists => "DriverAlreadyExists",
            Self::MonitoringLost => "MonitoringLost",
            Self::Rejected => "RejectedByMember",
            Self::NoResources => "NoResources",
            Self::ExternallyCancelled => "ExternallyCancelled",
        }
    }

    /// What an attempt that was never seen running says of its member.
    pub fn start(self) -> Start {
        match self {
            Self::Application | Self::OutOfMemory => Start::Made,
            Self::Submission
            | Self::Quota
            | Self::QueueRefused
            | Self::NoReservation
            | Self::StartTimedOut
            | Self::Unscheduled
            | Self::NodeRefused
            | Self::NoResources
            | Self::DriverLost => Start::Failed,
            // It may have run and been missed, or the member is not to blame.
            Self::Evicted
            | Self::DriverExists
            | Self::MonitoringLost
            | Self::PodFailed
            | Self::Rejected
            | Self::ExternallyCancelled
            | Self::Other => Start::Unknown,
        }
    }

    /// The class of a failure that is on record by its reason; of the attempt's own failures only.
    pub fn class_of(reason: &str) -> Option<FailureClass> {
        Self::ALL.into_iter().find(|sign| sign.reason() == reason).and_then(Self::class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_on_record_leads_back_to_its_class() {
        for sign in FailureSign::ALL {
            assert_eq!(FailureSign::class_of(sign.reason()), sign.class(), "{sign:?}");
        }
        assert_eq!(FailureSign::class_of("Cancelled"), None);
    }

    #[test]
    fn two_signs_leave_open_whether_something_runs() {
        let open: Vec<_> = FailureSign::ALL.into_iter().filter(|sign| !sign.proves_end()).collect();
        assert_eq!(open, [FailureSign::DriverExists, FailureSign::MonitoringLost]);
        for sign in open {
            let run = RunState::Failed(sign);
            assert!(run.is_terminal() && !run.proves_end(), "{sign:?}");
            assert_eq!((sign.class(), sign.start()), (None, Start::Unknown), "{sign:?}");
        }
    }

    #[test]
    fn what_was_refused_or_stopped_by_others_is_not_tried_again() {
        for sign in [FailureSign::Rejected, FailureSign::ExternallyCancelled] {
            assert!(sign.proves_end() && sign.class().is_none(), "{sign:?}");
            assert_eq!(sign.start(), Start::Unknown, "no word against the member: {sign:?}");
        }
        assert_eq!(FailureSign::NoResources.class(), Some(FailureClass::Unschedulable));
    }
}
