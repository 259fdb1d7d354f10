//! Taints of members and the tolerations of jobs, as Kubernetes has them for nodes and pods.
//!
//! Owns no state. A taint keeps jobs away that do not name it; a toleration alone draws none near.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Keeps jobs away from a member that do not tolerate it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    /// Key, like a label's.
    #[schemars(length(min = 1, max = 317), regex(pattern = schema::LABEL_KEY))]
    pub key: String,
    /// Value that a toleration with the operator Equal must have. Left out: empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63), regex(pattern = schema::LABEL_VALUE))]
    pub value: String,
    /// What it does to jobs that do not tolerate it. Only NoSchedule: no new ones; what is placed there goes on.
    #[serde(default)]
    pub effect: TaintEffect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaintEffect {
    /// No new jobs; what is placed goes on.
    #[default]
    NoSchedule,
}

schema::words!(TaintEffect, "TaintEffect", ["NoSchedule"]);

/// A taint, or a group of taints, that a job puts up with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    (
        "self.operator == 'Exists' || (has(self.key) && size(self.key) > 0)",
        "a toleration without key must have the operator Exists: it then tolerates every taint",
    ),
    (
        "self.operator != 'Exists' || !has(self.value) || size(self.value) == 0",
        "a toleration with the operator Exists must have no value: it tolerates every value of the key",
    ),
])))]
pub struct Toleration {
    /// Key of the taint. Empty with the operator Exists: every taint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 317), regex(pattern = schema::OPTIONAL_LABEL_KEY))]
    pub key: String,
    /// Equal: the taint has this key and this value. Exists: it has this key.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// Value of the taint, for Equal. Left out: empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63), regex(pattern = schema::LABEL_VALUE))]
    pub value: String,
    /// Effect of the taint. Left out: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// How a toleration is compared with a taint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TolerationOperator {
    /// Key and value must be the taint's.
    #[default]
    Equal,
    /// The key must be the taint's; an empty one stands for all.
    Exists,
}

schema::words!(TolerationOperator, "TolerationOperator", ["Equal", "Exists"]);
