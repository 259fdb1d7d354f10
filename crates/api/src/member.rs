//! `MemberCluster`: a cluster that runs Spark, how it is reached and what it may be asked for.
//!
//! Owns no state. Holds no credentials: those are in a Secret in the router's own namespace.

pub mod eks;
pub mod emr;
mod signals;
mod status;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ApplicationParts, Capacity, DurationText, Taint, schema};

pub use signals::{Signals, YuniKornService, YuniKornSource};
pub use status::{
    AbandonedAttempt, MOST_ABANDONED, MOST_QUEUES, MOST_SIGNALS, MemberClusterStatus, QueueAtMember,
    SignalStatus,
};

/// Rules at the root of the object: rule and message.
pub(crate) const ROOT_RULES: [(&str, &str); 3] = [
    ("size(self.metadata.name) <= 63", "metadata.name of a MemberCluster must have at most 63 characters"),
    (
        "has(self.spec.connection) || (has(self.spec.backend) && has(self.spec.backend.emrContainers))",
        "spec.connection is required; only a member with backend.emrContainers can do without",
    ),
    (
        "!has(self.spec.namespace) || !has(self.spec.backend) || !has(self.spec.backend.emrContainers)",
        "spec.namespace must not be set with backend.emrContainers: a virtual cluster has one namespace of its own",
    ),
];

/// How a member is reached, what it offers and what it may be asked for. Its `metadata.labels` are what selectors of
/// queues and jobs match.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the same keys")]
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sparkrouter.dev",
    version = "v1alpha1",
    kind = "MemberCluster",
    plural = "memberclusters",
    shortname = "mc",
    category = "sparkrouter",
    status = "MemberClusterStatus",
    derive = "PartialEq",
    doc = "A cluster that runs Spark applications for the router.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether it can take jobs."
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "State of the link to it."
    ),
    printcolumn(
        name = "Jobs",
        type_ = "integer",
        json_path = ".status.activeJobs",
        description = "Jobs placed on it and not finished."
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.serverVersion",
        description = "Its Kubernetes version."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since it was added."
    ),
    printcolumn(
        name = "Cordoned",
        type_ = "boolean",
        json_path = ".spec.unschedulable",
        priority = 1,
        description = "Whether it takes no new jobs by decision."
    ),
    printcolumn(
        name = "Operator",
        type_ = "string",
        json_path = ".status.operatorVersion",
        priority = 1,
        description = "Version of its Spark operator."
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
pub struct MemberClusterSpec {
    /// What runs Spark there. Exactly one; left out: sparkOperator.
    // No default in the schema, for the same reason as with the namespace.
    #[serde(default, skip_serializing_if = "Backend::is_unset")]
    pub backend: Backend,
    /// How its Kubernetes API is reached. Exactly one way. A member with backend.emrContainers works without; there it is only
    /// for looking at pods.
    #[serde(default, skip_serializing_if = "Connection::is_unset")]
    pub connection: Connection,
    /// Namespace in which the member runs a job. Exactly one rule; left out: sameAsJob.
    // No default in the schema: it would stay beside another rule that is applied later.
    #[serde(default, skip_serializing_if = "NamespaceRule::is_unset")]
    pub namespace: NamespaceRule,
    /// Spark versions that it offers. An entry matches when equal or a dotted prefix: 4.0 offers 4.0.1. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::spark_versions")]
    pub spark_versions: Vec<String>,
    /// The most that the router may have placed there at once. Left out: not limited by the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Images by Spark version and language, for templates that name none. The first entry that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub images: Vec<ImageChoice>,
    /// Jobs that do not tolerate these go to other members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"])
    )]
    pub taints: Vec<Taint>,
    /// Parts of every application here that neither the job's template nor its queue sets.
    #[serde(default, skip_serializing_if = "ApplicationParts::is_empty")]
    pub defaults: ApplicationParts,
    /// Parts of every application here, whatever template and queue say.
    #[serde(default, skip_serializing_if = "ApplicationParts::is_empty")]
    pub fixed: ApplicationParts,
    /// Where the router sees what the member's own quotas and schedulers have room for, for routes that go by it.
    #[serde(default)]
    pub signals: Signals,
    /// How hard its API server and its operator may be worked.
    #[serde(default)]
    pub limits: Limits,
    /// True: no new jobs; what is placed there goes on. What kubectl cordon is to a node.
    #[serde(default)]
    pub unschedulable: bool,
    /// True: no new jobs, and what has not started there goes elsewhere; what runs is waited for. What kubectl drain is to
    /// a node, without killing anything.
    #[serde(default)]
    pub drain: bool,
    /// When it counts as lost and as back.
    #[serde(default)]
    pub health: HealthThresholds,
    /// Templates of the links shown on a job. {namespace}, {name}, {applicationId}, {submissionId} and {driverPod} stand for the
    /// application on the member, {jobNamespace} and {jobName} for the job, {cluster} for the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<LinkTemplates>,
    /// How long a finished application stays on the member, in Go's form: 24h, 90m. Below the router's floor (10m
    /// unless it was started with another) the floor counts.
    #[serde(default = "default_retention")]
    pub retention: DurationText,
    /// Read the end of the driver's log after a failure, to show the exception's line in the job's status.
    #[serde(default = "yes")]
    pub driver_log_tail: bool,
    /// Let go of the member for good, with everything placed there: its jobs count as over although they may still run.
    /// For a cluster that no longer exists.
    #[serde(default)]
    pub forget: bool,
}

/// What runs Spark on the member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::exactly_one(
    &["sparkOperator", "apacheSpark", "emrContainers"],
    "backend must have exactly one of sparkOperator, apacheSpark and emrContainers",
)))]
pub struct Backend {
    /// The Kubeflow Spark operator (sparkoperator.k8s.io/v1beta2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spark_operator: Option<SparkOperatorBackend>,
    /// The Apache Spark Kubernetes operator (spark.apache.org/v1). Templates for Kubeflow's operator are translated; a job
    /// whose template cannot be does not go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apache_spark: Option<ApacheSparkBackend>,
    /// Amazon EMR on EKS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emr_containers: Option<emr::EmrContainersBackend>,
}

impl Backend {
    /// Whether no backend is given.
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    /// The batch scheduler of the member, whichever operator runs there.
    pub fn batch_scheduler(&self) -> Option<BatchScheduler> {
        match (&self.spark_operator, &self.apache_spark) {
            (Some(operator), _) => operator.batch_scheduler,
            (None, Some(operator)) => operator.batch_scheduler.map(PodScheduler::into),
            (None, None) => None,
        }
    }
}

/// The Kubeflow Spark operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkOperatorBackend {
    /// Batch scheduler of the member: the pods are scheduled by it, in the queue that the route names. For YuniKorn and
    /// Volcano the operator must run with --enable-batch-scheduler. Left out: Kubernetes' own scheduler; routes with a
    /// remoteQueue and jobs with a subQueue do not go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_scheduler: Option<BatchScheduler>,
}

/// The Apache Spark Kubernetes operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApacheSparkBackend {
    /// Batch scheduler of the member: the pods are scheduled by it, in the queue that the route names, and the operator
    /// waits for them as long as they are queued. Left out: Kubernetes' own scheduler; routes with a remoteQueue and jobs
    /// with a subQueue do not go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_scheduler: Option<PodScheduler>,
}

/// A batch scheduler that takes pods as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodScheduler {
    /// Apache YuniKorn: queues are paths below root.
    YuniKorn,
    /// Volcano: queues are its Queue objects.
    Volcano,
}

schema::words!(PodScheduler, "PodScheduler", ["YuniKorn", "Volcano"]);

impl From<PodScheduler> for BatchScheduler {
    fn from(scheduler: PodScheduler) -> Self {
        match scheduler {
            PodScheduler::YuniKorn => Self::YuniKorn,
            PodScheduler::Volcano => Self::Volcano,
        }
    }
}

/// A batch scheduler on a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchScheduler {
    /// Apache YuniKorn: queues are paths below root.
    YuniKorn,
    /// Volcano: queues are its Queue objects.
    Volcano,
    /// Kueue: queues are LocalQueues of the namespace.
    Kueue,
}

schema::words!(BatchScheduler, "BatchScheduler", ["YuniKorn", "Volcano", "Kueue"]);

/// An image for applications whose template names none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageChoice {
    /// Spark version of the application, or a dotted prefix of it: 4.0 stands for 4.0.1 too.
    #[schemars(length(min = 1, max = 32), regex(pattern = schema::SPARK_VERSION))]
    pub spark_version: String,
    /// Language of the application. Left out: every language.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// The image of driver and executors.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
}

/// Language of an application, as `type` of its template has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// Java.
    Java,
    /// Scala.
    Scala,
    /// Python.
    Python,
    /// R.
    R,
}

schema::words!(Language, "Language", ["Java", "Scala", "Python", "R"]);

/// How a member is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::exactly_one(
    &["kubeconfigSecret", "inCluster", "eks"],
    "connection must have exactly one of kubeconfigSecret, inCluster and eks",
)))]
pub struct Connection {
    /// A Secret in the router's namespace that holds a kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret: Option<KubeconfigSecret>,
    /// The hub is the member: the router's own service account is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_cluster: Option<InCluster>,
    /// A cluster of Amazon EKS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eks: Option<eks::EksConnection>,
}

impl Connection {
    /// Whether no way is given.
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}

/// A Secret that holds a kubeconfig with everything inline. One with exec or auth-provider entries, file paths or
/// insecure TLS is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_SUBDOMAIN))]
    pub name: String,
    /// Key in the Secret.
    #[serde(default = "default_kubeconfig_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// The hub is the member. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InCluster {}

/// Namespace in which the member runs a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::exactly_one(
    &["fixed", "sameAsJob"], "namespace must have exactly one of fixed and sameAsJob",
)))]
pub struct NamespaceRule {
    /// All jobs run in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
    pub fixed: Option<String>,
    /// A job runs in the namespace that has the name of its own on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as_job: Option<SameAsJob>,
}

impl NamespaceRule {
    /// Whether no rule is given.
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}

/// A job runs in the namespace that has the name of its own on the hub. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SameAsJob {}

/// How hard a member's API server and its operator may be worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Requests a second, probes apart.
    #[schemars(range(min = 1, max = 10_000))]
    pub requests_per_second: u32,
    /// Requests in flight at once, watches and probes apart.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_concurrent_requests: u32,
    /// Applications created there a minute. More are not sent elsewhere: they wait their turn.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub dispatches_per_minute: u32,
    /// Applications that may be created at once after a quiet time.
    #[schemars(range(min = 1, max = 10_000))]
    pub dispatch_burst: u32,
    /// Applications that its operator has not yet submitted; more are not sent until it catches up.
    #[schemars(range(min = 1, max = 100_000))]
    pub submission_backlog: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 50,
            max_concurrent_requests: 16,
            dispatches_per_minute: 60,
            dispatch_burst: 20,
            submission_backlog: 100,
        }
    }
}

/// When a member counts as lost and as back. A single missed probe already keeps new jobs away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthThresholds {
    /// Seconds without an answer until it is lost.
    #[schemars(range(min = 1, max = 86_400))]
    pub lost_after_seconds: u32,
    /// Seconds of unbroken answers until a lost one is back.
    #[schemars(range(min = 1, max = 86_400))]
    pub ready_after_seconds: u32,
}

impl Default for HealthThresholds {
    fn default() -> Self {
        Self { lost_after_seconds: 30, ready_after_seconds: 30 }
    }
}

/// Templates of the links shown on a job: http or https URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkTemplates {
    /// Spark's web UI while the driver runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = "^https?://"))]
    pub ui: Option<String>,
    /// The Spark history server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = "^https?://"))]
    pub history: Option<String>,
    /// The driver's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = "^https?://"))]
    pub logs: Option<String>,
}

fn default_retention() -> DurationText {
    DurationText::new("24h")
}

fn default_kubeconfig_key() -> String {
    "kubeconfig".to_owned()
}

fn yes() -> bool {
    true
}
