//! Routes of a queue: the members that its jobs go to.
//!
//! Owns no state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capacity, ClusterSelector, schema};

/// The largest weight of a route.
pub const LARGEST_WEIGHT: u32 = 1_000_000;
/// The largest tier of a route.
pub const LARGEST_TIER: u32 = 100;

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
    /// Members of the lowest tier that has room are taken; the next one only once there was none for spillAfter.
    #[serde(default)]
    #[schemars(range(min = 0, max = LARGEST_TIER))]
    pub tier: u32,
    /// The most that this queue may have placed on each member at once. Left out: not limited by the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Queue that the member's batch scheduler is handed. For YuniKorn its path; root is put before it where that is
    /// missing, and a job's subQueue after it. Left out: this queue's own name. A member without a batchScheduler takes
    /// nothing by a route that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::REMOTE_QUEUE))]
    pub remote_queue: Option<String>,
    /// What the members themselves say there is room for; it counts beside capacity. Exactly one; left out: declared
    /// numbers and the router's own account alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<RouteSignal>,
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

/// Where a member's own count of free room is seen. Exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::exactly_one(
    &["resourceQuota", "yunikorn", "kueue"],
    "signal must have exactly one of resourceQuota, yunikorn and kueue",
)))]
pub struct RouteSignal {
    /// The ResourceQuotas of the namespace that the job runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_quota: Option<ResourceQuotaSignal>,
    /// The YuniKorn queue that the job is handed to. The member's spec.signals.yunikorn says where it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yunikorn: Option<YuniKornSignal>,
    /// A ClusterQueue of Kueue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kueue: Option<KueueSignal>,
}

/// The ResourceQuotas of the target namespace. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceQuotaSignal {}

/// The YuniKorn queue that the job is handed to. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct YuniKornSignal {}

/// A ClusterQueue of Kueue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KueueSignal {
    /// Name of the ClusterQueue on the member.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_SUBDOMAIN))]
    pub cluster_queue: String,
}

fn default_weight() -> u32 {
    1
}
