//! The status of a `MemberCluster`: what the router knows of it.
//!
//! Owns no state. Written whole each time, so that a field that is left out is taken away; every list is bounded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Demand;

/// The most rows that `status.abandoned` keeps; the oldest go first.
pub const MOST_ABANDONED: usize = 500;
/// The most queues that `status.queues` shows.
pub const MOST_QUEUES: usize = 256;
/// The most rows that `signals` of one queue keeps.
pub const MOST_SIGNALS: usize = 32;

/// What the router knows of the member. Written only by the router.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberClusterStatus {
    /// Generation of the spec that this status speaks of; -1 before the router has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: whether it can take jobs, and if not, why and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Who the member is: the uid of its kube-system namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// State of the link: Connecting, Ready, Suspect or Lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Since when the state is Suspect or Lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered_since: Option<Time>,
    /// Last answered probe; written with other changes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Time>,
    /// Its Kubernetes version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// Version of its Spark operator, where it shows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
    /// Jobs placed on it and not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_jobs: Option<u64>,
    /// What those jobs reserve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Demand>,
    /// What it holds of each queue, and what its own quota or scheduler says there is room for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MOST_QUEUES),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub queues: Vec<QueueAtMember>,
    /// Attempts that were let go of while they may still run there; stopped when they are found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_ABANDONED))]
    pub abandoned: Vec<AbandonedAttempt>,
}

/// An attempt that was let go of while it may still run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AbandonedAttempt {
    /// The job's uid.
    pub job_uid: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Its namespace on the member.
    pub namespace: String,
    /// Its name on the member.
    pub remote_name: String,
    /// When it was let go of.
    pub at: Time,
}

/// What a member holds of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueAtMember {
    /// The queue.
    pub name: String,
    /// What its jobs reserve here.
    pub placed: Demand,
    /// What the signal of the queue's route says, a row for each quota or remote queue. Left out: the route goes by
    /// declared numbers alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_SIGNALS))]
    pub signals: Vec<SignalStatus>,
}

/// What a member's own quota or scheduler says there is room for. A dimension that is left out is not limited there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalStatus {
    /// Where it comes from: ResourceQuota, YuniKorn or Kueue.
    pub source: String,
    /// The namespace, the remote queue or the ClusterQueue that it is about; * where none is known yet.
    pub name: String,
    /// Free processor time in thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_cpu_milli: Option<u64>,
    /// Free memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_memory_bytes: Option<u64>,
    /// Pods that may still be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_pods: Option<u64>,
    /// Applications that may still be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_jobs: Option<u64>,
    /// When it was true. Left out: it was never read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
    /// Whether it is too old to go by.
    #[serde(default)]
    pub stale: bool,
    /// Why it could not be read, or why there is no room, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
