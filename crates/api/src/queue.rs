//! `SparkQueue`: who may submit, in what order, and to which members with which weights and capacity.
//!
//! Owns no state. The status carries the checkpoint of the queue's credits: exact fractions as text, never floats.

mod limits;
mod restored;
mod route;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ApplicationParts, Capacity, DurationText, SizeClass, schema};

pub use limits::{Allowed, Backfill, QueueLimits};
pub use restored::{MOST_SIGNS, RestoredQueue, RestoredSign};
pub use route::{
    KueueSignal, LARGEST_TIER, LARGEST_WEIGHT, ResourceQuotaSignal, Route, RouteClusters, RouteSignal,
    YuniKornSignal,
};

/// Rules at the root of the object: rule and message. The name travels as a label value.
pub(crate) const ROOT_RULES: [(&str, &str); 1] = [(
    "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
    "metadata.name of a SparkQueue must have at most 63 characters and no dots",
)];

/// Who may submit to the queue, in what order its jobs go, and where.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the same keys")]
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sparkrouter.dev",
    version = "v1alpha1",
    kind = "SparkQueue",
    plural = "sparkqueues",
    shortname = "sq",
    category = "sparkrouter",
    status = "SparkQueueStatus",
    derive = "PartialEq",
    doc = "A queue of Spark jobs and the member clusters that they are routed to.",
    printcolumn(
        name = "Queued",
        type_ = "integer",
        json_path = ".status.queued",
        description = "Jobs that wait."
    ),
    printcolumn(
        name = "Active",
        type_ = "integer",
        json_path = ".status.active",
        description = "Jobs that are placed and not finished."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether jobs can be placed from it."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since it was created."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1,
        description = "Why it is ready or not."
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1,
        description = "What to know about it, in words."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SparkQueueSpec {
    /// Namespaces of the hub whose jobs may use the queue. Left out: none. Empty ({}): all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Order of jobs with equal priority. Fifo: the oldest first. FairShare: the namespace that has least in use by its
    /// weight first, then the oldest.
    #[serde(default)]
    pub order: QueueOrder,
    /// Weights of namespaces for FairShare: one with 3 gets three times what one with 1 gets. Those not named have 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::namespace_weights")]
    pub namespace_weights: BTreeMap<String, u32>,
    /// Order between queues that compete for a member: higher goes first, after those that have less than they are
    /// guaranteed.
    #[serde(default)]
    pub priority: i32,
    /// What the queue should always be able to have placed, over all members. Queues below it are served first, the one
    /// that has the smallest part of it before the others. It reserves nothing that nobody asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guaranteed: Option<Capacity>,
    /// True: no new placements; what is placed goes on, and jobs may still be submitted.
    #[serde(default)]
    pub paused: bool,
    /// How long a job must have found no room in a tier until it goes to the next one, in Go's form: 5m. Left out: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spill_after: Option<DurationText>,
    /// How smaller jobs pass one that finds no room: for some time they may, then a member is held for the job that waits.
    #[serde(default)]
    pub backfill: Backfill,
    /// Members that jobs go to. The first route that names or selects a member counts for it.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Vec<Route>,
    /// The most that the queue may hold at once, and what its jobs may ask for.
    #[serde(default, skip_serializing_if = "QueueLimits::is_empty")]
    pub limits: QueueLimits,
    /// Parts of every application of the queue that the job's template does not set.
    #[serde(default, skip_serializing_if = "ApplicationParts::is_empty")]
    pub defaults: ApplicationParts,
    /// Parts of every application of the queue, whatever the job's template says. A member's own fixed parts win.
    #[serde(default, skip_serializing_if = "ApplicationParts::is_empty")]
    pub fixed: ApplicationParts,
    /// Size classes by name: what spec.size of a job stands for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-validations" = schema::size_names()))]
    pub sizes: BTreeMap<String, SizeClass>,
    /// How long after their end jobs are deleted that say nothing about it, in Go's form: 24h. Left out: they stay.
    /// Never counts for jobs that Argo CD or Flux own: they would create them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_after_finished: Option<DurationText>,
    /// What templates may do that is refused otherwise.
    #[serde(default)]
    pub allow: Allowed,
}

/// Order of jobs with equal priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueOrder {
    /// The oldest first.
    #[default]
    Fifo,
    /// The namespace that has least in use by its weight first, then the oldest.
    FairShare,
}

schema::words!(QueueOrder, "QueueOrder", ["Fifo", "FairShare"]);

/// What the queue holds. Written only by the router.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkQueueStatus {
    /// Generation of the spec that this status speaks of; -1 before the router has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: whether jobs can be placed from it, and if not, why. Restored: whether older jobs hold because the hub was put
    /// back to an earlier state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Jobs that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// Jobs that are placed and not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// When the job was created that has waited longest. Left out: none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_waiting: Option<Time>,
    /// The highest number that a placement from this queue was given, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Exact credit of each member, as of the placement creditsSeq.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cluster"]))]
    pub credits: Vec<MemberCredit>,
    /// Number of the last placement that the credits contain; later ones are replayed from the jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits_seq: Option<u64>,
    /// Expected and actual share of each member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub clusters: Vec<MemberShare>,
    /// Members show placements that the hub has no record of: it was put back to an earlier state. The queue's older jobs
    /// hold until somebody acknowledges it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredQueue>,
}

/// The credit of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberCredit {
    /// The member.
    pub cluster: String,
    /// Jobs that it is owed (positive) or had in advance (negative), as an exact fraction: 3/10 or -1/3.
    pub credit: String,
}

/// What one member gets of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberShare {
    /// The member.
    pub name: String,
    /// Its weight.
    pub weight: u32,
    /// Jobs placed on it since the router counts.
    pub placed: u64,
    /// Jobs that its weight entitles it to in the same time, as a decimal number.
    pub expected: String,
}
