//! What a queue may hold, and what its jobs may ask for.
//!
//! Owns no state. A limit that is left out does not limit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DurationText, Quantity};

/// The most that a queue may hold at once over all members, and what its jobs may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueLimits {
    /// Jobs placed and not finished. More wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub active: Option<u64>,
    /// Jobs that wait. One that is created beyond it is not accepted until others have left the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub queued: Option<u64>,
    /// Initial executors of placed jobs together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub executors: Option<u64>,
    /// Processor time of placed jobs together, as a Kubernetes quantity: `40` or `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory of placed jobs together, as a Kubernetes quantity: `64Gi`. Spark's memory overhead counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Placements a minute, over all members. Jobs beyond it wait their turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub dispatches_per_minute: Option<u32>,
    /// Highest priority of a job. One with a higher one is not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_priority: Option<i32>,
    /// Longest run of a job, in Go's form: 12h. What runs longer is stopped and has Failed with RanTooLong. Counted from
    /// when its driver was first seen running (status.application.startedAt); retries by the member's own operator do not
    /// renew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_run: Option<DurationText>,
}

impl QueueLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How smaller jobs pass one that finds no room: for some time they may, then a member is held for the job that waits. The
/// two times take turns, so that neither side waits for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Backfill {
    /// How long smaller jobs may pass it, in Go's form. 0s: not at all.
    pub pass_for: DurationText,
    /// How long a member is then held for it at most: nothing that comes after it goes there until it fits, in Go's form.
    pub hold_for: DurationText,
}

impl Default for Backfill {
    fn default() -> Self {
        Self { pass_for: DurationText::new("10m"), hold_for: DurationText::new("1h") }
    }
}

/// What templates may do that is refused otherwise: both let a template reach around what queue and member fix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Allowed {
    /// Pod template files by address in Spark properties.
    pub pod_template_files: bool,
    /// Volumes from the node's own file system.
    pub host_paths: bool,
}
