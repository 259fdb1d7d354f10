//! What a waiting job waits for, in words for the person who waits.
//!
//! Owns no state. Leaves out amounts that change from minute to minute: the text goes into a condition, and a condition
//! is written only when it changes.

use crate::{
    id::{Attempt, ClusterName, Namespace, QueueName},
    place::Exclusion,
    restored,
};

/// Why a job is not placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// One word for condition, event and metric.
    pub reason: &'static str,
    /// Sentences.
    pub message: String,
    /// Members judged the job and refused it, and no other one is left that could ever take it.
    pub refused_by_all: bool,
    /// Waiting alone does not help: the job, the queue or a member has to change.
    pub needs_a_change: bool,
}

/// Most members that a message lists.
const LISTED: usize = 10;

impl Waits {
    /// The reason of a job that has to be parsed again, with what its queue sets now, and asked for again.
    pub const QUEUE_CHANGED: &'static str = "QueueChanged";
    /// The reason of a job that holds because the hub was put back to an earlier state.
    pub const RESTORED: &'static str = "HubRestored";

    fn change(reason: &'static str, message: String) -> Self {
        Self { reason, message, refused_by_all: false, needs_a_change: true }
    }

    fn time(reason: &'static str, message: String) -> Self {
        Self { reason, message, refused_by_all: false, needs_a_change: false }
    }

    pub(crate) fn unknown_queue(queue: &QueueName) -> Self {
        Self::change(
            "QueueNotFound",
            format!(
                "SparkQueue {queue} does not exist; create it, or change spec.queue. The job goes on by itself then"
            ),
        )
    }

    pub(crate) fn not_admitted(queue: &QueueName, namespace: &Namespace) -> Self {
        Self::change(
            "NamespaceNotAdmitted",
            format!(
                "SparkQueue {queue} does not admit namespace {namespace}: its namespaceSelector does not match the \
                 namespace's labels (a queue without a selector admits nobody, an empty one everybody)"
            ),
        )
    }

    pub(crate) fn priority_too_high(queue: &QueueName, priority: i32, highest: i32) -> Self {
        Self::change(
            "PriorityTooHigh",
            format!(
                "spec.priority is {priority}, and SparkQueue {queue} allows at most {highest}; lower it. The job goes \
                 on by itself then"
            ),
        )
    }

    pub(crate) fn queue_full(queue: &QueueName, most: u64) -> Self {
        Self::time(
            "QueueFull",
            format!(
                "SparkQueue {queue} takes at most {most} waiting jobs; this one gets in line when there are fewer"
            ),
        )
    }

    /// Nobody but a person can say whether the job ran in the state that is lost. The queue's own event says so once, not
    /// one of each of its jobs.
    pub(crate) fn restored(queue: &QueueName, seen: &str) -> Self {
        Self::time(
            Self::RESTORED,
            format!(
                "held, because {seen}. It was queued in that state and may have run since. To let the held jobs of \
                 SparkQueue {queue} go: {}",
                restored::command(queue.as_str())
            ),
        )
    }

    pub(crate) fn in_turn(queue: &QueueName) -> Self {
        Self::time("InLine", format!("in line in SparkQueue {queue}; it is looked at in its turn"))
    }

    pub(crate) fn queue_changed(queue: &QueueName) -> Self {
        Self::time(
            Self::QUEUE_CHANGED,
            format!("what SparkQueue {queue} sets on its jobs has changed; this one is looked at again"),
        )
    }

    pub(crate) fn queue_pace(queue: &QueueName, per_minute: u32) -> Self {
        Self::time(
            "DispatchRate",
            format!(
                "SparkQueue {queue} starts at most {per_minute} jobs a minute; this one is next in its turn"
            ),
        )
    }

    pub(crate) fn member_pace(cluster: &ClusterName, per_minute: u32) -> Self {
        Self::time(
            "DispatchRate",
            format!(
                "goes to {cluster} by its share, and {cluster} is sent at most {per_minute} jobs a minute"
            ),
        )
    }

    /// An attempt before this one was given up where its member could not be asked, and is in the way now that it can.
    pub fn earlier_attempt(attempt: Attempt, cluster: &ClusterName, waits_for: &str) -> Self {
        Self::time(
            "EarlierAttempt",
            format!(
                "attempt {attempt} may still run on {cluster} and is stopped first; that waits for {waits_for}. The job \
                 goes on by itself then"
            ),
        )
    }

    pub(crate) fn member_backlog(cluster: &ClusterName, most: u64) -> Self {
        Self::time(
            "SubmissionBacklog",
            format!(
                "goes to {cluster} by its share, and the operator there has {most} applications yet to submit: no more \
                 are sent until it has fewer"
            ),
        )
    }

    /// `excluded` are the members that the queue routes to, each with its reason; `fleet` counts all members.
    pub(crate) fn for_exclusions(
        queue: &QueueName,
        fleet: usize,
        excluded: &[(&ClusterName, &Exclusion)],
    ) -> Self {
        if excluded.is_empty() {
            let message = if fleet == 0 {
                format!("SparkQueue {queue} has no member to go to: no MemberCluster is registered")
            } else {
                format!("SparkQueue {queue} has no route to any of the {fleet} members")
            };
            return Self::change("NoRoute", message);
        }
        let (reason, lead, only_a_change_helps) =
            Self::sum_up(excluded.iter().map(|(_, exclusion)| *exclusion));
        let mut message = format!("{lead}: ");
        let told: Vec<_> =
            excluded.iter().filter(|(_, exclusion)| **exclusion != Exclusion::OtherTier).collect();
        let listed: Vec<_> =
            told.iter().take(LISTED).map(|(cluster, why)| format!("{cluster}: {why}")).collect();
        message.push_str(&listed.join("; "));
        if told.len() > LISTED {
            message.push_str(&format!("; and {} more", told.len() - LISTED));
        }
        let refused_by_all = only_a_change_helps
            && excluded.iter().any(|(_, exclusion)| matches!(exclusion, Exclusion::RefusedThisJob { .. }));
        Self { reason, message, refused_by_all, needs_a_change: only_a_change_helps }
    }

    /// The word for all of them together, how to begin the sentence, and whether waiting alone does not help.
    pub(crate) fn sum_up<'a>(
        exclusions: impl Iterator<Item = &'a Exclusion>,
    ) -> (&'static str, &'static str, bool) {
        let mut only_a_change_helps = true;
        let (mut never, mut full, mut limit, mut paused, mut stale) = (false, false, false, false, false);
        for exclusion in exclusions {
            only_a_change_helps &= exclusion.needs_a_change();
            match exclusion.reason() {
                "NeverFits" => never = true,
                "NoCapacity" | "BackingOff" | "Held" => full = true,
                "QueueLimit" => limit = true,
                "QueuePaused" => paused = true,
                "SignalStale" => stale = true,
                _ => {}
            }
        }
        let (reason, lead) = match () {
            () if only_a_change_helps && never => ("NeverFits", "no member can ever take this job"),
            () if only_a_change_helps => ("NoClusterMatches", "no member can take this job"),
            () if paused => ("QueuePaused", "the queue is paused; its jobs wait until it is not"),
            () if limit => ("QueueLimit", "the queue has all that it may have"),
            () if full => ("NoCapacity", "no member has room now"),
            () if stale => ("SignalStale", "no member is known to have room now"),
            () => ("NoClusterReady", "no member can take the job now"),
        };
        (reason, lead, only_a_change_helps)
    }
}
