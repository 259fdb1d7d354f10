//! Condition types, their reasons, and how a condition is set.
//!
//! Owns no state. `lastTransitionTime` moves only when the status does; `Reconciling` and `Stalled` exist only while
//! True and never together, because kstatus takes the first of them that it finds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The template and the spec can be taken (jobs).
pub const ACCEPTED: &str = "Accepted";
/// A member is chosen and the choice is on record (jobs).
pub const PLACED: &str = "Placed";
/// The application ended well; Unknown until it ended (jobs).
pub const SUCCEEDED: &str = "Succeeded";
/// The job ended, well or not (jobs).
pub const FINISHED: &str = "Finished";
/// The member that holds the job answers (jobs).
pub const MEMBER_REACHABLE: &str = "MemberReachable";
/// Its operator holds it, as its owner wants it (jobs); only present once that was asked for.
pub const SUSPENDED: &str = "Suspended";
/// Jobs fail there one after the other before their drivers start, so that it gets none but one at a time to see
/// (members); only present once it happened.
pub const BREAKER_OPEN: &str = "BreakerOpen";
/// Older jobs hold, because the hub was put back to an earlier state (queues); only present once that was seen.
pub const RESTORED: &str = "Restored";
/// Work is going on; only present while True (kstatus).
pub const RECONCILING: &str = "Reconciling";
/// Nothing will move without a change by a user; only present while True (kstatus).
pub const STALLED: &str = "Stalled";
/// Can take work (members, queues).
pub const READY: &str = "Ready";

/// Reasons: one word each, for condition, printer column, event and metric.
pub mod reason {
    /// The spec can be taken.
    pub const VALID: &str = "Valid";
    /// A field of the spec or the template cannot be taken; the message names it.
    pub const INVALID_TEMPLATE: &str = "InvalidTemplate";
    /// The queue does not exist.
    pub const QUEUE_NOT_FOUND: &str = "QueueNotFound";
    /// The queue does not admit the job's namespace.
    pub const NAMESPACE_NOT_ADMITTED: &str = "NamespaceNotAdmitted";
    /// The job's priority is above what the queue allows.
    pub const PRIORITY_TOO_HIGH: &str = "PriorityTooHigh";
    /// The spec differs from what was placed first.
    pub const SPEC_DRIFT: &str = "SpecDrift";

    /// Not looked at yet.
    pub const WAITING: &str = "Waiting";
    /// Waits for a member with room.
    pub const NO_CAPACITY: &str = "NoCapacity";
    /// No member matches what the job asks for.
    pub const NO_CLUSTER_MATCHES: &str = "NoClusterMatches";
    /// The queue routes to no member.
    pub const NO_ROUTE: &str = "NoRoute";
    /// Larger than any member's declared capacity.
    pub const NEVER_FITS: &str = "NeverFits";
    /// A member is chosen.
    pub const PLACED: &str = "Placed";
    /// Placed, and nothing could be sent to the member for some time; the message says what it waits for.
    pub const NOT_SENT: &str = "NotSent";
    /// Placed and sent, and the member has not answered for some time whether it took the job.
    pub const UNANSWERED: &str = "Unanswered";
    /// Withdrawn from a member without having run; waits again.
    pub const WITHDRAWN: &str = "Withdrawn";
    /// Waits for a placement.
    pub const WAITING_FOR_PLACEMENT: &str = "WaitingForPlacement";
    /// On its way to the member.
    pub const DISPATCHING: &str = "Dispatching";
    /// The driver runs.
    pub const RUNNING: &str = "Running";
    /// The member's operator tries again.
    pub const RETRYING: &str = "Retrying";
    /// Being stopped.
    pub const CANCELLING: &str = "Cancelling";
    /// Being deleted; waits for the proof that nothing runs any more.
    pub const TERMINATING: &str = "Terminating";

    /// Ended well.
    pub const JOB_SUCCEEDED: &str = "JobSucceeded";
    /// The application failed.
    pub const JOB_FAILED: &str = "JobFailed";
    /// The member's operator could not submit it.
    pub const SUBMISSION_FAILED: &str = "SubmissionFailed";
    /// Members judged the job and refused it.
    pub const REJECTED_BY_MEMBER: &str = "RejectedByMember";
    /// The remote application was there and is gone.
    pub const REMOTE_VANISHED: &str = "RemoteVanished";
    /// An object that is not ours has the name.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// Ran longer than its queue allows, and was stopped.
    pub const RAN_TOO_LONG: &str = "RanTooLong";
    /// Ran longer than its own deadline allows, and was stopped.
    pub const RUN_DEADLINE_EXCEEDED: &str = "RunDeadlineExceeded";
    /// Its driver did not run in time, and it was stopped.
    pub const START_DEADLINE_EXCEEDED: &str = "StartDeadlineExceeded";
    /// Waited for a place for longer than its own deadline allows.
    pub const QUEUED_DEADLINE_EXCEEDED: &str = "QueuedDeadlineExceeded";
    /// A quota of the member kept the application from being submitted.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// Holds, because the hub was put back to an earlier state, until somebody acknowledges it.
    pub const HUB_RESTORED: &str = "HubRestored";
    /// Somebody acknowledged that the hub was put back: the queue's older jobs are let go.
    pub const ACKNOWLEDGED: &str = "Acknowledged";
    /// Found on its member although the record did not know of it.
    pub const ADOPTED: &str = "Adopted";
    /// The driver used more memory than it had asked for.
    pub const OOM_KILLED: &str = "OOMKilled";
    /// The member's batch scheduler did not take the application for its queue.
    pub const APPLICATION_REJECTED: &str = "ApplicationRejected";
    /// The member's batch scheduler held no room for all of its pods in time.
    pub const RESOURCE_RESERVATION_TIMEOUT: &str = "ResourceReservationTimeout";
    /// The driver's node could not take it after all.
    pub const NODE_REFUSED: &str = "NodeRefused";
    /// The driver was taken away by its node or by the scheduler.
    pub const EVICTED: &str = "Evicted";
    /// The driver's pod is gone.
    pub const DRIVER_LOST: &str = "DriverLost";
    /// The member had no room for its driver in time.
    pub const NO_RESOURCES: &str = "NoResources";
    /// Its member lost sight of it: it failed, or it still runs.
    pub const MONITORING_LOST: &str = "MonitoringLost";
    /// Somebody else than the router stopped it on its member.
    pub const EXTERNALLY_CANCELLED: &str = "ExternallyCancelled";
    /// Its owner stopped it.
    pub const CANCELLED: &str = "Cancelled";
    /// Its member was lost, and it goes elsewhere.
    pub const MEMBER_LOST: &str = "MemberLost";
    /// Its member is drained, and it goes elsewhere.
    pub const MEMBER_DRAINED: &str = "MemberDrained";
    /// Held back by its owner.
    pub const SUSPENDED: &str = "Suspended";
    /// Its operator is to hold it, and does not yet.
    pub const SUSPENDING: &str = "Suspending";
    /// Its operator is to let it go on, and does not yet.
    pub const RESUMING: &str = "Resuming";
    /// It goes on.
    pub const RESUMED: &str = "Resumed";
    /// `suspend` does not count, because the job has a place on a member that cannot hold it.
    pub const SUSPEND_IGNORED: &str = "SuspendIgnored";
    /// Its `ttlAfterFinished` does not count (events).
    pub const TTL_IGNORED: &str = "TTLIgnored";
    /// Its owner let go of it while it may still run.
    pub const ABANDONED: &str = "Abandoned";

    /// Answers.
    pub const REACHABLE: &str = "Reachable";
    /// Does not answer.
    pub const MEMBER_UNREACHABLE: &str = "MemberUnreachable";
    /// It answers and cannot be worked with.
    pub const MEMBER_NOT_READY: &str = "MemberNotReady";
    /// The member's MemberCluster is gone.
    pub const MEMBER_MISSING: &str = "MemberMissing";

    /// Answers, may be written to, and its operator works.
    pub const READY: &str = "Ready";
    /// First contact is going on.
    pub const CONNECTING: &str = "Connecting";
    /// Missed a probe.
    pub const SUSPECT: &str = "Suspect";
    /// Unreachable for longer than its threshold.
    pub const LOST: &str = "Lost";
    /// The kubeconfig Secret or its key is missing.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// The kubeconfig is unreadable or holds something that is refused.
    pub const KUBECONFIG_REFUSED: &str = "KubeconfigRefused";
    /// The credentials are not taken.
    pub const UNAUTHORIZED: &str = "Unauthorized";
    /// Rights are missing.
    pub const FORBIDDEN: &str = "Forbidden";
    /// The SparkApplication resource is not installed.
    pub const CRD_MISSING: &str = "CrdMissing";
    /// A target namespace is missing.
    pub const NAMESPACE_MISSING: &str = "NamespaceMissing";
    /// A target namespace is being deleted.
    pub const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
    /// Jobs fail there one after the other before their drivers start: nothing goes there for a while.
    pub const FAILS_JOBS: &str = "FailsJobs";
    /// The next job goes there, to see.
    pub const NEXT_TRIES: &str = "NextTries";
    /// A job went there, to see.
    pub const TRYING: &str = "Trying";
    /// A driver started there, or nothing is known of failures any more.
    pub const CLOSED: &str = "Closed";
    /// Nobody moves fresh applications.
    pub const OPERATOR_SILENT: &str = "OperatorSilent";
    /// Another MemberCluster has the same target.
    pub const DUPLICATE_MEMBER: &str = "DuplicateMember";
    /// The credentials now point at another cluster while jobs are placed.
    pub const IDENTITY_CHANGED: &str = "IdentityChanged";
    /// The spec cannot be taken; the message names the field.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Let go of, with everything placed there.
    pub const FORGOTTEN: &str = "Forgotten";
    /// No route of the queue matches a member.
    pub const NO_MEMBERS: &str = "NoMembers";
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not known yet.
    Unknown,
}

impl Truth {
    /// As written in a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A condition as it is now, before it is set on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition's type.
    pub type_: &'static str,
    /// Whether it holds.
    pub status: Truth,
    /// One CamelCase word.
    pub reason: String,
    /// Full sentences for a person, with the next step.
    pub message: String,
}

/// Longest message that a condition takes, in bytes.
const LONGEST_MESSAGE: usize = 32_768;

/// Sets a condition in place. The time of the last transition is `now` only if the status changed.
pub fn set(conditions: &mut Vec<Condition>, finding: Finding, observed_generation: Option<i64>, now: &Time) {
    let Finding { type_, status, reason, mut message } = finding;
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
    }
    let mut condition = Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason,
        message,
        observed_generation,
        last_transition_time: now.clone(),
    };
    match conditions.iter_mut().find(|c| c.type_ == condition.type_) {
        Some(present) => {
            if present.status == condition.status {
                condition.last_transition_time = present.last_transition_time.clone();
            }
            *present = condition;
        }
        None => conditions.push(condition),
    }
}

/// Takes a condition away.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|c| c.type_ != type_);
}

/// The condition of that type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of that type is True; an absent one is not.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == "True")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn finding(status: Truth, message: &str) -> Finding {
        Finding { type_: PLACED, status, reason: reason::PLACED.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut conditions = Vec::new();
        set(&mut conditions, finding(Truth::False, "a"), Some(1), &at(1));
        set(&mut conditions, finding(Truth::False, "b"), Some(2), &at(2));
        assert_eq!(conditions.len(), 1);
        assert_eq!((conditions[0].message.as_str(), &conditions[0].last_transition_time), ("b", &at(1)));
        set(&mut conditions, finding(Truth::True, "c"), Some(2), &at(3));
        assert_eq!(conditions[0].last_transition_time, at(3));
        assert!(is_true(&conditions, PLACED) && !is_true(&conditions, FINISHED));
        remove(&mut conditions, PLACED);
        assert!(find(&conditions, PLACED).is_none());
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        let mut conditions = Vec::new();
        set(&mut conditions, finding(Truth::True, &"ä".repeat(20_000)), None, &at(1));
        assert_eq!(conditions[0].message.len(), 32_768);
        set(&mut conditions, finding(Truth::True, &format!("x{}", "ä".repeat(20_000))), None, &at(1));
        assert_eq!(conditions[0].message.len(), 32_767);
    }
}
