//! Amazon EMR on EKS as what runs Spark on a member.
//!
//! Owns no state. Holds no credentials: the router's own identity at AWS is used, or a role that it may assume.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    job::emr::{EmrParts, RELEASE_LABEL, ROLE_ARN},
    schema,
};

/// A virtual cluster of Amazon EMR on EKS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrContainersBackend {
    /// Id of the virtual cluster.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[0-9a-z]+$"))]
    pub virtual_cluster_id: String,
    /// Its region.
    #[schemars(length(min = 1, max = 64), regex(pattern = schema::AWS_REGION))]
    pub region: String,
    /// Address of the service, for VPC endpoints. Left out: AWS's own for the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = schema::URL))]
    pub endpoint_url: Option<String>,
    /// Role to work with: for virtual clusters of other accounts. Left out: the router's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumedRole>,
    /// Job runs are listed this often, in seconds: so late an end is seen, and so many calls are made. AWS allows an account
    /// few calls for all that it runs. Default 15.
    #[serde(default = "fifteen")]
    #[schemars(range(min = 1, max = 300))]
    pub poll_seconds: u32,
    /// Release of EMR for each Spark version that it offers. The longest entry that matches counts. Jobs of other versions
    /// go elsewhere, unless they name a release themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["sparkVersion"]))]
    pub releases: Vec<EmrRelease>,
    /// Roles that job pods may work with. A job that names none gets the first that its namespace may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["arn"]))]
    pub execution_roles: Vec<EmrExecutionRole>,
    /// Job templates of AWS that job runs may be started with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub job_templates: Vec<EmrAllowedTemplate>,
    /// Images that templates, queues and this member name. Use (default): they must come from EMR's base image. Ignore:
    /// job runs get the release's own image, so that one manifest can also run elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<EmrImages>,
    /// Keys of labels whose values become tags of the job run too, under the same key: team, cost centre.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub tag_labels: Vec<String>,
    /// Where jobs are silent.
    #[serde(default, skip_serializing_if = "EmrParts::is_empty")]
    pub defaults: EmrParts,
    /// Whatever jobs say.
    #[serde(default, skip_serializing_if = "EmrParts::is_empty")]
    pub fixed: EmrParts,
}

fn fifteen() -> u32 {
    15
}

/// A role that the router assumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssumedRole {
    /// The role.
    #[schemars(length(min = 20, max = 2048), regex(pattern = ROLE_ARN))]
    pub arn: String,
    /// External id that its trust policy asks for. It is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[\w+=,.@:/-]+$"))]
    pub external_id: Option<String>,
}

/// A release of EMR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrRelease {
    /// Spark version of the application, or a dotted prefix of it: 3.5 stands for 3.5.6 too.
    #[schemars(length(min = 1, max = 32), regex(pattern = schema::SPARK_VERSION))]
    pub spark_version: String,
    /// The release, like emr-7.13.0-latest.
    #[schemars(length(min = 1, max = 64), regex(pattern = RELEASE_LABEL))]
    pub release_label: String,
}

/// A role that job pods may work with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrExecutionRole {
    /// The role.
    #[schemars(length(min = 20, max = 2048), regex(pattern = ROLE_ARN))]
    pub arn: String,
    /// Namespaces of the hub whose jobs may have it. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL)), extend("x-kubernetes-list-type" = "set"))]
    pub namespaces: Vec<String>,
}

/// A job template of AWS that job runs may be started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmrAllowedTemplate {
    /// Its id.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[0-9a-z]+$"))]
    pub id: String,
    /// Namespaces of the hub whose jobs may use it. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL)), extend("x-kubernetes-list-type" = "set"))]
    pub namespaces: Vec<String>,
    /// What it gives, so that the router leaves it out of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub gives: Vec<EmrGiven>,
}

/// What a job template gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EmrGiven {
    /// The execution role.
    ExecutionRole,
    /// The release.
    ReleaseLabel,
    /// The main file, its arguments and its parameters.
    Driver,
}

schema::words!(EmrGiven, "EmrGiven", ["ExecutionRole", "ReleaseLabel", "Driver"]);

/// What becomes of images that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmrImages {
    /// They are used.
    Use,
    /// They are passed over.
    Ignore,
}

schema::words!(EmrImages, "EmrImages", ["Use", "Ignore"]);
