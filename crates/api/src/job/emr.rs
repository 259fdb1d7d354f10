//! What a job says to members with EMR on EKS alone. Other members pass over it.
//!
//! Owns no state. Bounds are those of StartJobRun where it is about one value; what depends on several is judged by the
//! translation, which names the field.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::schema;

/// A role of IAM.
pub(crate) const ROLE_ARN: &str = r"^arn:aws[a-zA-Z0-9-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$";
/// A key of KMS.
pub(crate) const KEY_ARN: &str = r"^arn:aws[a-zA-Z0-9-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-zA-Z-]+$";
/// A release of EMR.
pub(crate) const RELEASE_LABEL: &str = r"^[._/A-Za-z0-9-]+$";
/// An object in S3.
pub(crate) const S3_URI: &str = r"^s3://[^\s]+$";

/// What the job says to members with EMR on EKS. Members of other kinds pass over it. What a member fixes wins over it; it
/// wins over what the template and the member's defaults say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrJob {
    /// Role that the job's pods work with: one that the member allows the job's namespace. Left out: the first of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048), regex(pattern = ROLE_ARN))]
    pub execution_role_arn: Option<String>,
    /// Release of EMR, like emr-7.13.0-latest. Left out: the one that the member gives for the template's sparkVersion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = RELEASE_LABEL))]
    pub release_label: Option<String>,
    /// SparkSubmit (default) runs the main file; SparkSql takes it for a file of SQL statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<EmrDriver>,
    /// Driver attempts that EMR makes by itself. Each one is billed like another run, and none goes to another member:
    /// spec.retry is nearly always better. Left out: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: Option<u32>,
    /// Let EMR's vertical autoscaling size the pods, by what earlier runs of the job needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertical_autoscaling: Option<EmrVerticalAutoscaling>,
    /// Whether the web UI stays after the job's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_app_ui: Option<EmrSwitch>,
    /// Where logs go.
    #[serde(default, skip_serializing_if = "EmrMonitoring::is_empty")]
    pub monitoring: EmrMonitoring,
    /// Job template of AWS to start it with: one that the member allows the job's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_template: Option<EmrJobTemplate>,
    /// Pod templates in S3. Only where the queue allows pod template files.
    #[serde(default, skip_serializing_if = "EmrPodTemplates::is_empty")]
    pub pod_templates: EmrPodTemplates,
    /// Further classifications, like spark-log4j. Not spark-defaults: Spark properties are written in the template, where
    /// queue and member can decide them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["classification"]))]
    pub application_configuration: Vec<EmrClassification>,
    /// Tags of the job run, for the bill of AWS. Pods do not get them: those have labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "tags")]
    pub tags: BTreeMap<String, String>,
}

impl EmrJob {
    /// What a member can say too.
    pub fn parts(&self) -> EmrParts {
        EmrParts {
            persistent_app_ui: self.persistent_app_ui,
            monitoring: self.monitoring.clone(),
            job_template: self.job_template.clone(),
            pod_templates: self.pod_templates.clone(),
            application_configuration: self.application_configuration.clone(),
            tags: self.tags.clone(),
        }
    }
}

/// What a member says of every job run: where the job is silent, or always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrParts {
    /// Whether the web UI stays after the job's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_app_ui: Option<EmrSwitch>,
    /// Where logs go.
    #[serde(default, skip_serializing_if = "EmrMonitoring::is_empty")]
    pub monitoring: EmrMonitoring,
    /// Job template of AWS to start job runs with: one of this member's jobTemplates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_template: Option<EmrJobTemplate>,
    /// Pod templates in S3.
    #[serde(default, skip_serializing_if = "EmrPodTemplates::is_empty")]
    pub pod_templates: EmrPodTemplates,
    /// Classifications, like emr-job-submitter. Not spark-defaults: that is sparkConf of the member's own parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["classification"]))]
    pub application_configuration: Vec<EmrClassification>,
    /// Tags of the job runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "tags")]
    pub tags: BTreeMap<String, String>,
}

impl EmrParts {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What EMR runs the main file with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmrDriver {
    /// spark-submit.
    SparkSubmit,
    /// spark-sql.
    SparkSql,
}

schema::words!(EmrDriver, "EmrDriver", ["SparkSubmit", "SparkSql"]);

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmrSwitch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

schema::words!(EmrSwitch, "EmrSwitch", ["Enabled", "Disabled"]);

/// Sizing by EMR's vertical autoscaling. The EKS cluster must have AWS's operator for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrVerticalAutoscaling {
    /// Runs with the same signature learn from each other. Left out: namespace and name of the job. Set it where each
    /// run of a job has a name of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::LABEL_VALUE))]
    pub signature: Option<String>,
    /// Off only gives advice, Initial sizes pods as they are made, Auto also while they run. Left out: Off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<EmrScaling>,
    /// Memory. Left out: scaled, without bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<EmrScale>,
    /// Processor time. Left out: not scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<EmrScale>,
}

/// When pods are sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmrScaling {
    /// Never: advice only.
    Off,
    /// When they are made.
    Initial,
    /// Always.
    Auto,
}

schema::words!(EmrScaling, "EmrScaling", ["Off", "Initial", "Auto"]);

impl EmrScaling {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::Initial => "Initial",
            Self::Auto => "Auto",
        }
    }
}

/// How one resource is scaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrScale {
    /// Whether it is.
    pub scale: bool,
    /// Not below this, as Kubernetes writes amounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[0-9]+(\\.[0-9]+)?[A-Za-z]*$"))]
    pub min: Option<String>,
    /// Not above this, as Kubernetes writes amounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[0-9]+(\\.[0-9]+)?[A-Za-z]*$"))]
    pub max: Option<String>,
}

/// Where the logs of a job run go; each part is taken as a whole from whoever wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrMonitoring {
    /// To S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<EmrS3Logs>,
    /// To CloudWatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_watch: Option<EmrCloudWatchLogs>,
    /// How containers keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_rotation: Option<EmrLogRotation>,
    /// Kept by AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<EmrManagedLogs>,
}

impl EmrMonitoring {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Logs in S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrS3Logs {
    /// Folder, like s3://logs/spark/.
    #[schemars(length(min = 6, max = 10_280), regex(pattern = S3_URI))]
    pub log_uri: String,
    /// Key to encrypt them with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048), regex(pattern = KEY_ARN))]
    pub encryption_key_arn: Option<String>,
}

/// Logs in CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrCloudWatchLogs {
    /// The log group.
    #[schemars(length(min = 1, max = 512), regex(pattern = "^[._/#A-Za-z0-9-]+$"))]
    pub log_group_name: String,
    /// What the names of the streams begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub log_stream_name_prefix: Option<String>,
}

/// Rotation of the logs in containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrLogRotation {
    /// Size at which a file is closed: 2KB to 2GB.
    #[schemars(length(min = 3, max = 12), regex(pattern = r"^[0-9]+(\.[0-9]+)?[KMG][Bb]?$"))]
    pub rotation_size: String,
    /// Files to keep.
    #[schemars(range(min = 1, max = 50))]
    pub max_files_to_keep: u32,
}

/// Logs that AWS keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrManagedLogs {
    /// Whether AWS may keep them.
    pub allow_aws_to_retain: EmrSwitch,
    /// Key to encrypt them with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048), regex(pattern = KEY_ARN))]
    pub encryption_key_arn: Option<String>,
}

/// A job template of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrJobTemplate {
    /// Its id.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[0-9a-z]+$"))]
    pub id: String,
    /// Values of its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters")]
    pub parameters: BTreeMap<String, String>,
}

/// Pod templates in S3, read with the execution role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrPodTemplates {
    /// Of the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 1024), regex(pattern = S3_URI))]
    pub driver: Option<String>,
    /// Of the executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 1024), regex(pattern = S3_URI))]
    pub executor: Option<String>,
}

impl EmrPodTemplates {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A classification of applicationConfiguration. Nested ones are not offered: a schema cannot hold itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrClassification {
    /// Its name, like spark-log4j.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._A-Za-z0-9]+$"))]
    pub classification: String,
    /// Its properties.
    #[schemars(schema_with = "properties")]
    pub properties: BTreeMap<String, String>,
}

fn texts(most: u32, value: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": most,
        "additionalProperties": { "type": "string", "maxLength": value },
    })
}

/// Tags: AWS takes 50, some of which are the router's.
fn tags(_: &mut SchemaGenerator) -> Schema {
    texts(40, 256)
}

fn parameters(_: &mut SchemaGenerator) -> Schema {
    texts(100, 1024)
}

fn properties(_: &mut SchemaGenerator) -> Schema {
    texts(100, 1024)
}
