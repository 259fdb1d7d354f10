//! How many executors an application has, by state: what a member reports and what a job's status shows.
//!
//! Owns no state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Executors by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorCounts {
    /// Asked for, not running yet.
    #[serde(default)]
    pub pending: u32,
    /// Running.
    #[serde(default)]
    pub running: u32,
    /// Ended well.
    #[serde(default)]
    pub completed: u32,
    /// Ended badly or in an unknown way.
    #[serde(default)]
    pub failed: u32,
}
