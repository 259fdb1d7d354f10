//! Amounts as users write them, and as the router accounts for them.
//!
//! Owns no state. A quantity is kept exactly as written: anything else would show as a difference in GitOps tools.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// A Kubernetes quantity as written: `500m`, `40`, `64Gi`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

impl Quantity {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity like 500m, 40 or 64Gi")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A bare number is what most people write for cores; both forms are valid in every other Kubernetes object.
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]+))?$",
            "maxLength": 64,
        })
    }
}

/// The most that a place may hold at once. A dimension that is left out is not limited by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Applications at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub jobs: Option<u64>,
    /// Pods at once: a driver and its initial executors each count as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub pods: Option<u64>,
    /// Processor time, as a Kubernetes quantity: `40` or `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory, as a Kubernetes quantity: `64Gi`. Spark's memory overhead counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

impl Capacity {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What jobs reserve: driver and initial executors, with Spark's memory overhead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// Applications.
    #[serde(default)]
    pub jobs: u64,
    /// Pods.
    #[serde(default)]
    pub pods: u64,
    /// Processor time in thousandths of a core.
    #[serde(default)]
    pub cpu_milli: u64,
    /// Memory in bytes.
    #[serde(default)]
    pub memory_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_text_or_whole_numbers() {
        let capacity: Capacity = serde_json::from_str(r#"{"cpu": 40, "memory": "64Gi"}"#).unwrap();
        assert_eq!(capacity.cpu.unwrap().as_str(), "40");
        assert_eq!(capacity.memory.unwrap().as_str(), "64Gi");
        assert!(serde_json::from_str::<Capacity>(r#"{"cpu": 0.5}"#).is_err());
    }
}
