//! The CustomResourceDefinitions, finished.
//!
//! Owns no state. Adds to the derived schema what the derive cannot say: rules at the root, the default status, formats
//! that Kubernetes knows, and no `nullable`: an API server that drops a `null` keeps GitOps tools in sync.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::{MemberCluster, RoutedSparkJob, SparkQueue, UNOBSERVED, job, member, queue, schema};

/// Every CustomResourceDefinition of the group, as installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        finish(MemberCluster::crd(), &member::ROOT_RULES),
        finish(RoutedSparkJob::crd(), &job::ROOT_RULES),
        finish(SparkQueue::crd(), &queue::ROOT_RULES),
    ]
}

fn finish(mut crd: CustomResourceDefinition, root_rules: &[(&str, &str)]) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else {
            continue;
        };
        tidy(root);
        // The list is built as JSON in one place for all rules; it is read back into the typed form here.
        root.x_kubernetes_validations = serde_json::from_value(schema::rules(root_rules)).ok();
        if let Some(status) = root.properties.as_mut().and_then(|p| p.get_mut("status")) {
            status.default = Some(JSON(json!({ "observedGeneration": UNOBSERVED })));
        }
    }
    crd
}

/// Walks the whole schema. Done on JSON, where one loop reaches properties, items and additional properties alike.
fn tidy(root: &mut JSONSchemaProps) {
    let Ok(mut value) = serde_json::to_value(&*root) else { return };
    tidy_value(&mut value);
    if let Ok(tidied) = serde_json::from_value(value) {
        *root = tidied;
    }
}

fn tidy_value(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // What is kept as it is keeps its nulls too.
            if object.get("x-kubernetes-preserve-unknown-fields") != Some(&Value::Bool(true)) {
                object.remove("nullable");
            }
            if let Some(format) = object.get_mut("format")
                && matches!(format.as_str(), Some("uint32" | "uint64"))
            {
                *format = json!("int64");
            }
            // An optional word is one that may be left out, not one that may be null.
            if let Some(Value::Array(words)) = object.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            object.values_mut().for_each(tidy_value);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy_value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every object schema below `schema` with its path.
    fn walk<'a>(schema: &'a Value, path: &str, visit: &mut impl FnMut(&str, &'a Value)) {
        visit(path, schema);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(property, &format!("{path}.{name}"), visit);
        }
        for part in ["items", "additionalProperties"] {
            if schema[part].is_object() {
                walk(&schema[part], &format!("{path}[]"), visit);
            }
        }
    }

    fn schemas() -> Vec<(String, Value)> {
        crds()
            .into_iter()
            .map(|crd| {
                let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
                (crd.spec.names.kind, serde_json::to_value(schema).unwrap())
            })
            .collect()
    }

    #[test]
    fn every_field_has_a_description() {
        for (kind, schema) in schemas() {
            walk(&schema, &kind, &mut |path, schema| {
                // Items and values of maps are described by the field that holds them.
                if !path.ends_with("[]") && path != format!("{kind}.metadata") {
                    let description = schema["description"].as_str().unwrap_or_default();
                    assert!(description.len() > 3, "{path} has no description: {schema}");
                }
            });
        }
    }

    #[test]
    fn schemas_hold_only_what_every_api_server_takes() {
        for (kind, schema) in schemas() {
            walk(&schema, &kind, &mut |path, schema| {
                let kept = schema["x-kubernetes-preserve-unknown-fields"] == true;
                assert!(schema.get("nullable").is_none() || kept, "{path} is nullable");
                assert!(
                    schema.get("oneOf").is_none() && schema.get("anyOf").is_none(),
                    "{path} has alternatives"
                );
                let format = schema["format"].as_str().unwrap_or("int64");
                assert!(["int32", "int64", "date-time"].contains(&format), "{path} has the format {format}");
                let typed =
                    schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true || kept;
                assert!(typed, "{path} has no type: {schema}");
            });
        }
    }

    #[test]
    fn a_crd_fits_the_annotation_of_a_client_side_apply() {
        for crd in crds() {
            let size = serde_json::to_string(&crd).unwrap().len();
            assert!(size < 200_000, "{} has {size} bytes", crd.spec.names.kind);
        }
    }

    #[test]
    fn rules_and_defaults_are_in_place() {
        assert!(job::ROOT_RULES[0].0.ends_with(&format!("<= {}", job::LONGEST_NAME)));
        for (kind, schema) in schemas() {
            assert_eq!(
                schema["properties"]["status"]["default"],
                json!({ "observedGeneration": -1 }),
                "{kind}"
            );
            assert!(
                schema["x-kubernetes-validations"].as_array().is_some_and(|rules| !rules.is_empty()),
                "{kind}"
            );
        }
    }
}
