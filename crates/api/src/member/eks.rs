//! Amazon EKS as the way to a member's Kubernetes API.
//!
//! Owns no state. Holds no credentials: the router's own identity at AWS is used, or a role that it may assume.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{job::emr::ROLE_ARN, schema};

/// A cluster of Amazon EKS: its address and its certificate authority are read from EKS, and tokens are made from the
/// identity that is used at AWS. The cluster must know that identity, by an access entry or by aws-auth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "!has(self.externalId) || has(self.roleArn)", "externalId is told to the owner of a role: set roleArn too, or leave it out",
)])))]
pub struct EksConnection {
    /// Name of the cluster.
    #[schemars(length(min = 1, max = 100), regex(pattern = "^[0-9A-Za-z][-_0-9A-Za-z]*$"))]
    pub cluster: String,
    /// Its region.
    #[schemars(length(min = 1, max = 64), regex(pattern = schema::AWS_REGION))]
    pub region: String,
    /// Role to work with: for clusters of other accounts, or to give each cluster a role of its own. Left out: the router's
    /// own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048), regex(pattern = ROLE_ARN))]
    pub role_arn: Option<String>,
    /// External id that the role's trust policy asks for. It is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[\w+=,.@:/-]+$"))]
    pub external_id: Option<String>,
    /// Address of EKS, for VPC endpoints without a private name. Left out: AWS's own for the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = schema::URL))]
    pub eks_endpoint_url: Option<String>,
    /// Address of STS, where the role is assumed, for VPC endpoints without a private name. Left out: AWS's own for the
    /// region. Tokens always speak of that one: clusters take no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = schema::URL))]
    pub sts_endpoint_url: Option<String>,
}
