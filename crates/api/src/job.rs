//! `RoutedSparkJob`: one Spark job, submitted once, routed to one member.
//!
//! Owns no state. The status is the router's log of what it decided; a field that is set there with the first placement
//! (`specHash`) freezes the spec.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ClusterSelector, Demand,
    application::{SPARK_APPLICATION_API_VERSION, SPARK_APPLICATION_KIND},
    schema,
};

/// The most rows that `status.history` keeps; the oldest go first.
pub const LONGEST_HISTORY: usize = 20;
/// The most members that `status.refusals` keeps; a job is given up long before.
pub const MOST_REFUSALS: usize = 32;
/// The longest job name: leaves room for what events append.
pub const LONGEST_NAME: usize = 200;

/// Rules at the root of the object, where the status can be read: rule and message.
pub(crate) const ROOT_RULES: [(&str, &str); 5] = [
    ("size(self.metadata.name) <= 200", "metadata.name must have at most 200 characters"),
    (
        "!has(self.status) || !has(self.status.specHash) || self.spec.queue == oldSelf.spec.queue",
        "spec.queue is immutable once the job has been placed; create a new job for another queue",
    ),
    (
        // Both ways round: a field is only missed in the other object if it is declared and in this one.
        "!has(self.status) || !has(self.status.specHash) || (self.spec.template == oldSelf.spec.template && \
         oldSelf.spec.template == self.spec.template)",
        "spec.template is immutable once the job has been placed; create a new job for another template",
    ),
    (
        "!has(self.status) || !has(self.status.specHash) || (has(self.spec.placement) == has(oldSelf.spec.placement) \
         && (!has(self.spec.placement) || self.spec.placement == oldSelf.spec.placement))",
        "spec.placement is immutable once the job has been placed; create a new job to run it elsewhere",
    ),
    (
        "!has(self.status) || !has(self.status.placement) || self.spec.priority == oldSelf.spec.priority",
        "spec.priority is immutable while the job is placed; it orders only jobs that wait in their queue",
    ),
];

/// What to run, through which queue, and where it may run.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the same keys")]
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sparkrouter.dev",
    version = "v1alpha1",
    kind = "RoutedSparkJob",
    plural = "routedsparkjobs",
    shortname = "rsj",
    category = "all",
    category = "sparkrouter",
    namespaced,
    status = "RoutedSparkJobStatus",
    derive = "PartialEq",
    doc = "A Spark job that the router sends to one of the member clusters of its queue.",
    selectable = ".spec.queue",
    selectable = ".status.phase",
    selectable = ".status.cluster",
    printcolumn(
        name = "Queue",
        type_ = "string",
        json_path = ".spec.queue",
        description = "Queue of the job."
    ),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".status.cluster",
        description = "Member that runs it."
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.phase",
        description = "Phase of the job."
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
        json_path = ".status.reason",
        priority = 1,
        description = "Why it is in this phase."
    ),
    printcolumn(
        name = "Priority",
        type_ = "integer",
        json_path = ".spec.priority",
        priority = 1,
        description = "Higher goes first inside the queue."
    ),
    printcolumn(
        name = "Attempt",
        type_ = "integer",
        json_path = ".status.attempt",
        priority = 1,
        description = "Number of the present try."
    ),
    printcolumn(
        name = "App-ID",
        type_ = "string",
        json_path = ".status.application.id",
        priority = 1,
        description = "Spark's application id."
    ),
    printcolumn(
        name = "Started",
        type_ = "date",
        json_path = ".status.application.startedAt",
        priority = 1,
        description = "Time since the driver was first seen running."
    ),
    printcolumn(
        name = "Finished",
        type_ = "date",
        json_path = ".status.application.finishedAt",
        priority = 1,
        description = "Time since it ended."
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1,
        description = "What to know about it, in words."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RoutedSparkJobSpec {
    /// Name of the SparkQueue that admits and routes the job.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
    pub queue: String,
    /// Order inside the queue: higher goes first, equal ones by age. May be changed while the job waits.
    #[serde(default)]
    pub priority: i32,
    /// The Spark application to run: an existing SparkApplication manifest, indented, without name and namespace.
    pub template: ApplicationTemplate,
    /// Which members may run the job. Left out: every member that the queue routes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementConstraints>,
}

/// A SparkApplication manifest without name and namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationTemplate {
    /// API version of the manifest.
    #[serde(default = "default_api_version")]
    #[schemars(extend("enum" = [SPARK_APPLICATION_API_VERSION]))]
    pub api_version: String,
    /// Kind of the manifest.
    #[serde(default = "default_kind")]
    #[schemars(extend("enum" = [SPARK_APPLICATION_KIND]))]
    pub kind: String,
    /// Labels and annotations of the application on the member.
    #[serde(default, skip_serializing_if = "TemplateMetadata::is_empty")]
    pub metadata: TemplateMetadata,
    /// Spec of the SparkApplication, kept as it is. The member's own operator checks what is not declared here.
    #[schemars(schema_with = "schema::application_spec")]
    pub spec: Map<String, Value>,
}

/// The metadata that a template may carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    ("!has(self.name)", "metadata.name is not allowed in a template: the router names the application on the member; remove it"),
    ("!has(self.namespace)", "metadata.namespace is not allowed in a template: the member's namespace rule decides; remove it"),
])))]
pub struct TemplateMetadata {
    /// Not allowed: the router names the application on the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// Not allowed: the member's namespace rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub namespace: Option<String>,
    /// Labels of the application on the member; the operator hands them on to its pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the application on the member.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_annotations")]
    pub annotations: BTreeMap<String, String>,
}

impl TemplateMetadata {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which members may run the job; all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementConstraints {
    /// Only these members. Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::cluster_names")]
    pub cluster_names: Vec<String>,
    /// Only members with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_selector: Option<ClusterSelector>,
}

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
    /// The application as the member shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationStatus>,
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
    /// Why this member, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
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
}

/// A try that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// Its member.
    pub cluster: String,
    /// Its name on the member.
    pub remote_name: String,
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

fn default_api_version() -> String {
    SPARK_APPLICATION_API_VERSION.to_owned()
}

fn default_kind() -> String {
    SPARK_APPLICATION_KIND.to_owned()
}
