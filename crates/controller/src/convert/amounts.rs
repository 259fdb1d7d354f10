//! Amounts, times and selectors as users write them.
//!
//! Owns no state. Every refusal names the field and the value.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use spark_router_api::{DurationText, Quantity};
use spark_router_core::{
    resources::{AmountError, Capacity, cpu_milli, memory_bytes},
    selector::{Requirement, Selector},
};

/// A declared capacity; one that is left out limits nothing.
pub(super) fn capacity(
    declared: Option<&spark_router_api::Capacity>,
    path: &str,
) -> Result<Capacity, String> {
    let Some(declared) = declared else { return Ok(Capacity::default()) };
    Ok(Capacity {
        jobs: declared.jobs,
        pods: declared.pods,
        executors: None,
        cpu_milli: amount(declared.cpu.as_ref(), cpu_milli, path, "cpu")?,
        memory_bytes: amount(declared.memory.as_ref(), memory_bytes, path, "memory")?,
    })
}

/// One quantity of a field below `path`.
pub(super) fn amount(
    written: Option<&Quantity>,
    read: fn(&str) -> Result<u64, AmountError>,
    path: &str,
    field: &str,
) -> Result<Option<u64>, String> {
    written.map(|q| read(q.as_str()).map_err(|error| format!("{path}.{field}: {error}"))).transpose()
}

/// A duration.
pub(super) fn duration(written: &DurationText, path: &str) -> Result<Duration, String> {
    written.get().map_err(|error| format!("{path}: {error}"))
}

/// A selector of hub namespaces.
pub(super) fn selector(written: &LabelSelector) -> Result<Selector, String> {
    let mut requirements = Vec::new();
    for (key, value) in written.match_labels.iter().flatten() {
        requirements.push(Requirement::In(key.clone(), vec![value.clone()]));
    }
    for LabelSelectorRequirement { key, operator, values } in written.match_expressions.iter().flatten() {
        let values = values.clone().unwrap_or_default();
        requirements.push(match operator.as_str() {
            "In" => Requirement::In(key.clone(), values),
            "NotIn" => Requirement::NotIn(key.clone(), values),
            "Exists" => Requirement::Exists(key.clone()),
            "DoesNotExist" => Requirement::Absent(key.clone()),
            other => {
                return Err(format!(
                    "spec.namespaceSelector.matchExpressions: operator {other:?} is none of In, NotIn, Exists and \
                     DoesNotExist"
                ));
            }
        });
    }
    Ok(Selector::new(requirements))
}
