//! What a waiting job waits for, in words for the person who waits.
//!
//! Owns no state. Leaves out amounts that change from minute to minute: the text goes into a condition, and a condition
//! is written only when it changes.

use crate::{
    id::{Namespace, QueueName},
    place::{Exclusion, Verdict},
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
    pub(crate) fn unknown_queue(queue: &QueueName) -> Self {
        Self {
            reason: "QueueNotFound",
            message: format!(
                "SparkQueue {queue} does not exist; create it, or change spec.queue. The job goes on by itself then"
            ),
            refused_by_all: false,
            needs_a_change: true,
        }
    }

    pub(crate) fn not_admitted(queue: &QueueName, namespace: &Namespace) -> Self {
        Self {
            reason: "NamespaceNotAdmitted",
            message: format!(
                "SparkQueue {queue} does not admit namespace {namespace}: its namespaceSelector does not match the \
                 namespace's labels (a queue without a selector admits nobody, an empty one everybody)"
            ),
            refused_by_all: false,
            needs_a_change: true,
        }
    }

    pub(crate) fn for_verdicts(queue: &QueueName, verdicts: &[Verdict]) -> Self {
        let excluded: Vec<_> =
            verdicts.iter().filter_map(|v| Some((&v.cluster, v.exclusion.as_ref()?))).collect();
        if excluded.iter().all(|(_, exclusion)| **exclusion == Exclusion::NoRoute) {
            let message = if verdicts.is_empty() {
                format!("SparkQueue {queue} has no member to go to: no MemberCluster is registered")
            } else {
                format!("SparkQueue {queue} has no route to any of the {} members", verdicts.len())
            };
            return Self { reason: "NoRoute", message, refused_by_all: false, needs_a_change: true };
        }
        let has = |reason: &str| excluded.iter().any(|(_, exclusion)| exclusion.reason() == reason);
        let only_a_change_helps = excluded.iter().all(|(_, exclusion)| exclusion.needs_a_change());
        let (reason, lead) = if only_a_change_helps && has("NeverFits") {
            ("NeverFits", "no member can ever take this job")
        } else if only_a_change_helps {
            ("NoClusterMatches", "no member can take this job")
        } else if has("NoCapacity") || has("BackingOff") {
            ("NoCapacity", "no member has room now")
        } else {
            ("NoClusterReady", "no member can take the job now")
        };
        let routed: Vec<_> =
            excluded.iter().filter(|(_, exclusion)| **exclusion != Exclusion::NoRoute).collect();
        let mut message = format!("{lead}: ");
        let listed: Vec<_> =
            routed.iter().take(LISTED).map(|(cluster, why)| format!("{cluster}: {why}")).collect();
        message.push_str(&listed.join("; "));
        if routed.len() > LISTED {
            message.push_str(&format!("; and {} more", routed.len() - LISTED));
        }
        let refused_by_all = only_a_change_helps && has("RefusedThisJob");
        Self { reason, message, refused_by_all, needs_a_change: only_a_change_helps }
    }
}
