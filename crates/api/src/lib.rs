//! The custom resources of `sparkrouter.dev`, and every name that travels on the wire.
//!
//! Owns no state. The Rust types are the source; `cargo xtask crds` writes `crds/` from [`crds`]. Must never decide
//! anything: parsing what a user wrote into what the router works with is the controller's job. Fields are only ever
//! added, and only optional ones.

mod amount;
mod crd;
mod duration;
mod schema;

pub mod application;
pub mod condition;
pub mod executors;
pub mod job;
pub mod member;
pub mod names;
pub mod parts;
pub mod queue;
pub mod taint;

pub use amount::{Capacity, Demand, Quantity};
pub use application::SparkApplicationView;
pub use crd::crds;
pub use duration::{DurationError, DurationText};
pub use job::{RoutedSparkJob, RoutedSparkJobSpec, RoutedSparkJobStatus};
pub use member::{MemberCluster, MemberClusterSpec, MemberClusterStatus};
pub use parts::{ApplicationParts, RoleParts, RoleSize, SizeClass};
pub use queue::{SparkQueue, SparkQueueSpec, SparkQueueStatus};
pub use taint::{Taint, TaintEffect, Toleration, TolerationOperator};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API group of all our resources.
pub const GROUP: &str = "sparkrouter.dev";
/// The one version of the group.
pub const VERSION: &str = "v1alpha1";
/// Group and version, as `apiVersion` has it.
pub const API_VERSION: &str = "sparkrouter.dev/v1alpha1";

/// The default of `status.observedGeneration` before the router has seen an object: keeps kstatus from reading a new
/// object as done.
pub const UNOBSERVED: i64 = -1;

/// Picks member clusters by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSelector {
    /// Labels that a MemberCluster must have, all of them. Empty matches every member.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::selector_labels")]
    pub match_labels: BTreeMap<String, String>,
}
