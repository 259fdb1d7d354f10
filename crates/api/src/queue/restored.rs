//! What a queue's status says of a hub that was put back to an earlier state.
//!
//! Owns no state. It is there from the first sign until somebody acknowledges it, and it is the record: what members show
//! may be gone by then.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most signs that are listed.
pub const MOST_SIGNS: usize = 10;

/// Why the queue's older jobs hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredQueue {
    /// Jobs created up to then hold, younger ones go on.
    pub before: Time,
    /// Number of the last placement that the hub's records knew.
    pub known_seq: u64,
    /// The highest number that a member shows and no record knows. The annotation sparkrouter.dev/acknowledge with this
    /// number lets the jobs go; a sign with a higher one holds them again.
    pub seq: u64,
    /// What members show, the highest number first, ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub signs: Vec<RestoredSign>,
}

/// An application that no record of the hub knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredSign {
    /// The member that shows it.
    pub cluster: String,
    /// Its namespace there.
    pub namespace: String,
    /// Its name there.
    pub remote_name: String,
    /// Namespace of its job on the hub.
    pub job_namespace: String,
    /// Name of its job on the hub.
    pub job_name: String,
    /// Uid of its job.
    pub job_uid: String,
    /// Which attempt it is.
    pub attempt: u32,
    /// Number of its placement in the queue.
    pub seq: u64,
    /// The job is on the hub, in an older state, and takes it up; otherwise nobody on the hub knows it.
    pub job_exists: bool,
    /// It was over when it was seen.
    #[serde(default)]
    pub over: bool,
}
