//! `SparkQueue`: who may submit, and to which members with which weights and capacity.
//!
//! Owns no state. The status carries the checkpoint of the queue's credits: exact fractions as text, never floats.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capacity, ClusterSelector, schema};

/// The largest weight of a route.
pub const LARGEST_WEIGHT: u32 = 1_000_000;

/// Rules at the root of the object: rule and message. The name travels as a label value.
pub(crate) const ROOT_RULES: [(&str, &str); 1] = [(
    "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
    "metadata.name of a SparkQueue must have at most 63 characters and no dots",
)];

/// Who may submit to the queue and where its jobs go.
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
    /// Members that jobs go to. The first route that names or selects a member counts for it.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Vec<Route>,
}

/// Members that jobs of the queue go to, with one weight and one capacity for each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The members: by name or by label.
    pub clusters: RouteClusters,
    /// Share of each member, relative to the weights of the queue's other members. 0: no new jobs.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = LARGEST_WEIGHT))]
    pub weight: u32,
    /// The most that this queue may have placed on each member at once. Left out: not limited by the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
}

/// Members by name or by label. Exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::exactly_one(
    &["names", "selector"], "clusters must have exactly one of names and selector",
)))]
pub struct RouteClusters {
    /// Names of MemberClusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::cluster_names", extend("minItems" = 1))]
    pub names: Option<Vec<String>>,
    /// Labels of MemberClusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<ClusterSelector>,
}

/// What the queue holds. Written only by the router.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkQueueStatus {
    /// Generation of the spec that this status speaks of; -1 before the router has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: whether jobs can be placed from it, and if not, why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Jobs that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// Jobs that are placed and not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// Number of the last placement from this queue that is known.
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

fn default_weight() -> u32 {
    1
}
