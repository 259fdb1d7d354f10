//! Schemas that the derive cannot express: bounds on maps and list items, lists with a set or map nature, rules.
//!
//! Owns no state. Everything that a rule reads is bounded here, or the API server refuses the rule as too dear.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A name without dots: lower case letters, digits and `-`, at most 63.
pub(crate) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A name with dots.
pub(crate) const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A list of CEL rules with the message that a user reads when one does not hold.
pub(crate) fn rules(rules: &[(&str, &str)]) -> Value {
    rules.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })).collect()
}

/// Exactly one of these fields is set.
pub(crate) fn exactly_one(fields: &[&str], message: &str) -> Value {
    let set: Vec<String> = fields.iter().map(|field| format!("has(self.{field})")).collect();
    let rule = if let [only] = set.as_slice() {
        only.clone()
    } else {
        format!("[{}].exists_one(set, set)", set.join(", "))
    };
    rules(&[(&rule, message)])
}

/// The labels of a selector.
pub(crate) fn selector_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// The labels of a template.
pub(crate) fn template_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 63 },
        "x-kubernetes-validations": rules(&[(
            "self.all(key, !key.startsWith('sparkrouter.dev/'))",
            "labels that start with sparkrouter.dev/ are the router's own; remove them",
        )]),
    })
}

/// The annotations of a template.
pub(crate) fn template_annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 262_144 },
        "x-kubernetes-validations": rules(&[(
            "self.all(key, !key.startsWith('sparkrouter.dev/'))",
            "annotations that start with sparkrouter.dev/ are the router's own; remove them",
        )]),
    })
}

/// Names of members, each once.
pub(crate) fn cluster_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "items": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": DNS_SUBDOMAIN },
        "x-kubernetes-list-type": "set",
    })
}

/// Spark versions or dotted prefixes of them, each once.
pub(crate) fn spark_versions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": { "type": "string", "maxLength": 32, "pattern": r"^[0-9]+(\.[0-9A-Za-z_+-]+)*$" },
        "x-kubernetes-list-type": "set",
    })
}

/// The `spec` of a Kubeflow SparkApplication: kept as it is, with the few fields declared that a rule or the router
/// needs. The full schema is over 400 kB, would pin one version of the operator and repeat the member's own checks.
pub(crate) fn application_spec(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "required": ["type", "sparkVersion", "mainApplicationFile"],
        "properties": {
            "type": {
                "description": "Language of the application.",
                "type": "string",
                "enum": ["Java", "Python", "Scala", "R"],
            },
            "sparkVersion": {
                "description": "Spark version, like 4.0.1. Only members that offer it are considered.",
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
            },
            "mainApplicationFile": {
                "description": "The jar, Python or R file to run, as the member sees it: local:///, s3a://, https:// and the like.",
                "type": "string",
                "minLength": 1,
                "maxLength": 4096,
            },
            "mode": {
                "description": "Deploy mode. Only cluster: the driver runs on the member.",
                "type": "string",
                "enum": ["cluster"],
            },
            "suspend": {
                "description": "Not allowed to be true: the router decides when an application starts.",
                "type": "boolean",
            },
        },
        "x-kubernetes-validations": rules(&[(
            "!has(self.suspend) || !self.suspend",
            "suspend must not be true in a template: the router decides when an application starts; remove it",
        )]),
    })
}
