//! `RoutedSparkJob`: one Spark job, submitted once, routed to one member.
//!
//! Owns no state. What the user asks for is here, what became of it in the status; a field that is set there with the
//! first placement (`specHash`) freezes the spec.

mod course;
pub mod emr;
mod status;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ClusterSelector, DurationText, Toleration,
    application::{APACHE_API_VERSION, SPARK_APPLICATION_API_VERSION, SPARK_APPLICATION_KIND},
    schema,
};

pub use course::{Backoff, Failover, JobDeadlines, OnMemberLost, RetryOn, RetryPolicy};
pub use status::{
    ApplicationLinks, ApplicationStatus, LONGEST_HISTORY, Left, MOST_REFUSALS, MemberRefusal, PastAttempt,
    PlacementRecord, RoutedSparkJobStatus, StoppingRecord,
};

/// The longest job name: leaves room for what events append.
pub const LONGEST_NAME: usize = 200;

/// Rules at the root of the object, where the status can be read: rule and message.
pub(crate) const ROOT_RULES: [(&str, &str); 11] = [
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
        "!has(self.status) || !has(self.status.specHash) || (has(self.spec.subQueue) == has(oldSelf.spec.subQueue) && \
         (!has(self.spec.subQueue) || self.spec.subQueue == oldSelf.spec.subQueue))",
        "spec.subQueue is immutable once the job has been placed; create a new job for another sub-queue",
    ),
    (
        "!has(self.status) || !has(self.status.specHash) || (has(self.spec.size) == has(oldSelf.spec.size) && \
         (!has(self.spec.size) || self.spec.size == oldSelf.spec.size))",
        "spec.size is immutable once the job has been placed; create a new job of another size",
    ),
    (
        "!has(self.status) || !has(self.status.specHash) || (has(self.spec.failover) == has(oldSelf.spec.failover) && \
         (!has(self.spec.failover) || self.spec.failover == oldSelf.spec.failover))",
        "spec.failover is immutable once the job has been placed; create a new job with another policy",
    ),
    (
        "!has(self.status) || !has(self.status.specHash) || (has(self.spec.retry) == has(oldSelf.spec.retry) && \
         (!has(self.spec.retry) || self.spec.retry == oldSelf.spec.retry))",
        "spec.retry is immutable once the job has been placed; create a new job with another policy",
    ),
    (
        "!has(self.status) || !has(self.status.specHash) || (has(self.spec.deadlines) == has(oldSelf.spec.deadlines) && \
         (!has(self.spec.deadlines) || self.spec.deadlines == oldSelf.spec.deadlines))",
        "spec.deadlines is immutable once the job has been placed; create a new job with other deadlines, or cancel this one (spec.cancel)",
    ),
    (
        "!has(self.status) || !has(self.status.specHash) || (has(self.spec.emr) == has(oldSelf.spec.emr) && \
         (!has(self.spec.emr) || self.spec.emr == oldSelf.spec.emr))",
        "spec.emr is immutable once the job has been placed; create a new job with other settings for EMR on EKS",
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
    /// Dotted path below the queue, like reports.daily: handed to the member's batch scheduler below the queue's own name
    /// there. Only members with YuniKorn, whose queues have paths, can run such a job. The router itself does not tell
    /// sub-queues apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = schema::DNS_SUBDOMAIN))]
    pub sub_queue: Option<String>,
    /// Name of a size class of the queue: cores, memory and number of executors where the template leaves them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
    pub size: Option<String>,
    /// Order inside the queue: higher goes first, equal ones by age. May be changed while the job waits.
    #[serde(default)]
    pub priority: i32,
    /// The Spark application to run: an existing SparkApplication manifest, indented, without name and namespace.
    pub template: ApplicationTemplate,
    /// What the job says to members with EMR on EKS alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emr: Option<emr::EmrJob>,
    /// Which members may run the job. Left out: every member that the queue routes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementConstraints>,
    /// What becomes of the job when its member is lost. Left out: it waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// When a failed attempt is followed by another. Left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// How long the job may wait, start and run. Left out: as long as it takes, as far as its queue allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<JobDeadlines>,
    /// Hold the job. While it waits for a place it is taken out of its queue; where it has one, its operator there deletes
    /// its driver and keeps the application, as far as it can (Kubeflow 2.4 and later, not under Kueue). Taken back, it
    /// starts anew. May be changed at any time.
    #[serde(default)]
    pub suspend: bool,
    /// Stop the job and keep its record: it ends as Cancelled, unless it came to an end before. Cannot be taken back; to
    /// stop a job and forget it, delete it. May be set at any time.
    #[serde(default)]
    pub cancel: bool,
    /// How long after its end the job is deleted, in Go's form: 24h, 90m. Left out: as its queue says, and if that says
    /// nothing the job stays. Mind that a manifest applied again after that runs again; for that reason it does not count,
    /// and a Warning event says so, where Argo CD or Flux own the job (Argo CD's hooks excepted). May be changed at any
    /// time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_after_finished: Option<DurationText>,
}

/// A SparkApplication manifest without name and namespace, of Kubeflow's operator or of Apache's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::required_by_version()))]
pub struct ApplicationTemplate {
    /// API version of the manifest.
    #[serde(default = "default_api_version")]
    #[schemars(extend("enum" = [SPARK_APPLICATION_API_VERSION, APACHE_API_VERSION]))]
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

/// The metadata of a template. What the router decides itself is taken here and then answered by the router with the
/// condition `Accepted=False` and the field's path, like every other reserved field: one place that a user has to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Reserved: the router names the application on the member. A job that sets it is not accepted until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// Reserved: the member's namespace rule decides. A job that sets it is not accepted until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub namespace: Option<String>,
    /// Labels of the application on the member; the operator hands them on to its pods. Keys that start with
    /// sparkrouter.dev/ are reserved: a job that sets one is not accepted until it is removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the application on the member. Keys that start with sparkrouter.dev/ are reserved: a job that sets
    /// one is not accepted until it is removed.
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
    /// Taints of members that the job puts up with; a member with any other taint is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,
}

fn default_api_version() -> String {
    SPARK_APPLICATION_API_VERSION.to_owned()
}

fn default_kind() -> String {
    SPARK_APPLICATION_KIND.to_owned()
}
