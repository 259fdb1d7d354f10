//! The status of a `RoutedSparkJob`: the router's log of what it decided, and the mirror of what the member says.
//!
//! Owns no state. Written whole each time, so that a field that is left out is taken away; every list is bounded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Demand, executors::ExecutorCounts};

/// The most rows that `status.history` keeps; the oldest go first.
pub const LONGEST_HISTORY: usize = 20;
/// The most members that `status.refusals` keeps; a job is given up long before.
pub const MOST_REFUSALS: usize = 32;

/// What the router decided and what the member says. Written only by the router.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutedSparkJobStatus {
    /// Generation of the spec that this status speaks of; -1 before the router has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for display: Queued, Dispatched, Submitted, Running, Retrying, Suspended, Cancelling, Succeeded, Failed
    /// or Cancelled. More may come; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why the job is in this phase, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the job is in this phase and what to do, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Accepted, Placed, Succeeded, Finished, MemberReachable, and Reconciling or Stalled only while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Hash of the template's metadata and spec, set with the first placement and kept: from then on the spec is
    /// immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_hash: Option<String>,
    /// Member that the job is or was placed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Number of the present try, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The recorded decision where the present try runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementRecord>,
    /// Members that judged this job and refused it; they are not asked again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_REFUSALS))]
    pub refusals: Vec<MemberRefusal>,
    /// Attempts that followed a failed one: what spec.retry.maxAttempts counts, less the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The next attempt is not made before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Since when the job waits for a place, where that is not since its creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// The application as the member shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationStatus>,
    /// Present while the router stops what runs of the job: written before anything is stopped, and never taken back. An
    /// end that the application comes to before it is stopped counts as what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<StoppingRecord>,
    /// Past tries, one row each, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LONGEST_HISTORY))]
    pub history: Vec<PastAttempt>,
}

/// The recorded decision: this attempt of the job runs on this member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementRecord {
    /// The member.
    pub cluster: String,
    /// Who that member was: the uid of its kube-system namespace.
    pub member_identity: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Namespace on the member.
    pub namespace: String,
    /// Name of the application on the member.
    pub remote_name: String,
    /// Uid of the application on the member, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_uid: Option<String>,
    /// The queue that it was placed from.
    pub queue: String,
    /// The queue that the member's batch scheduler was handed, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_queue: Option<String>,
    /// Tier of the route that was taken. Left out in placements older than tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u32>,
    /// Number of the placement in the queue, from 1.
    pub seq: u64,
    /// Members of the queue that were no candidates: credits are replayed from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// When it was decided.
    pub at: Time,
    /// What it reserves on the member.
    pub demand: Demand,
    /// Hash of what is created on the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_hash: Option<String>,
    /// How often the placement was written once more before its application was created: by another process than the one
    /// that decided, or by one that did not hear of a write. What was computed before takes no effect after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<u32>,
    /// Why this member, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The recorded decision to stop what runs of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoppingRecord {
    /// Why, in one word: RanTooLong, RunDeadlineExceeded, StartDeadlineExceeded or Cancelled, and the job ends with it;
    /// MemberLost or MemberDrained, and the job goes back to its queue.
    pub reason: String,
    /// Why and what to do, in words.
    pub message: String,
    /// When it was decided.
    pub at: Time,
}

/// A member that judged the job and refused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRefusal {
    /// The member.
    pub cluster: String,
    /// Why, in one word.
    pub reason: String,
    /// The member's own words.
    pub message: String,
    /// When.
    pub at: Time,
}

/// The application as the member shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// State as the member's operator writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Spark's application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The operator's id of the last submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission_id: Option<String>,
    /// When it was last submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Time>,
    /// When the driver was first seen running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Runs that the member's operator started, its own retries included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Executors by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executors: Option<ExecutorCounts>,
    /// Name of the driver's pod on the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_pod: Option<String>,
    /// Where to look further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<ApplicationLinks>,
    /// What went wrong, in the application's or the operator's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where to look further, built from the member's link templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationLinks {
    /// Spark's web UI while the driver runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ui: Option<String>,
    /// The application on the Spark history server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// The driver's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// Where its logs are kept, as programs find them: s3://bucket/folder/, cloudwatch:group:stream prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 12288)), extend("x-kubernetes-list-type" = "atomic"))]
    pub log_locations: Vec<String>,
}

/// What is left of a past try on its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Left {
    /// Its finished application.
    Ended,
    /// It may still run: the job went on elsewhere knowingly.
    MayRun,
}

/// A try that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// Its member.
    pub cluster: String,
    /// Who that member was: the uid of its kube-system namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_identity: Option<String>,
    /// Its namespace on the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name on the member.
    pub remote_name: String,
    /// Uid of its application, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_uid: Option<String>,
    /// What is left of it on the member; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// How it ended: Succeeded, Failed, Withdrawn, Vanished, Stopped or Abandoned.
    pub outcome: String,
    /// Why, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the driver was first seen running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}
