//! Parts of an application that an administrator sets: where a template leaves them out (defaults), or always (fixed).
//!
//! Owns no state. The order in which they win is: defaults of the member, defaults of the queue, the job's size class,
//! the job's template, what the queue fixes, what the member fixes. Only what is declared here can be set from outside
//! of a template.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Quantity, schema};

/// Parts that a queue or a member sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::no_reserved_keys_or_properties()))]
pub struct ApplicationParts {
    /// Container image of driver and executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Spark properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::spark_conf")]
    pub spark_conf: BTreeMap<String, String>,
    /// Labels of the application and of its driver and executor pods: team, cost centre.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of its driver and executor pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_annotations")]
    pub annotations: BTreeMap<String, String>,
    /// The driver's pod.
    #[serde(default, skip_serializing_if = "RoleParts::is_empty")]
    pub driver: RoleParts,
    /// The executors' pods.
    #[serde(default, skip_serializing_if = "RoleParts::is_empty")]
    pub executor: RoleParts,
}

impl ApplicationParts {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Parts of the driver's or the executors' pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::no_reserved_keys()))]
pub struct RoleParts {
    /// Service account of the pods, on the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_SUBDOMAIN))]
    pub service_account: Option<String>,
    /// Priority class of the pods, on the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_SUBDOMAIN))]
    pub priority_class_name: Option<String>,
    /// Labels of the nodes to run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations of the pods, as in Kubernetes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::pod_tolerations")]
    pub tolerations: Vec<Map<String, Value>>,
    /// Labels of the pods of this role alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods of this role alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::template_annotations")]
    pub annotations: BTreeMap<String, String>,
}

impl RoleParts {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A size class: what `spec.size` of a job stands for. Fields that the job's template sets itself win.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SizeClass {
    /// The driver.
    #[serde(default, skip_serializing_if = "RoleSize::is_empty")]
    pub driver: RoleSize,
    /// One executor.
    #[serde(default, skip_serializing_if = "RoleSize::is_empty")]
    pub executor: RoleSize,
    /// Executors to start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub instances: Option<u32>,
}

/// Size of one pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleSize {
    /// Cores that Spark uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub cores: Option<u32>,
    /// Processor time to ask Kubernetes for, where it differs from the cores: `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_request: Option<Quantity>,
    /// Heap, as Spark writes sizes: `4g`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::SPARK_SIZE))]
    pub memory: Option<String>,
    /// Memory beside the heap, as Spark writes sizes: `512m`. Left out: by Spark's factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::SPARK_SIZE))]
    pub memory_overhead: Option<String>,
}

impl RoleSize {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
