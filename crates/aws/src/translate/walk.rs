//! Reads a template field by field, as the table says.
//!
//! Owns no state. Everything in a template ends in a property, in a part of the driver, in a note or in a problem: a field
//! that no row is about is a problem too.

use serde_json::{Map, Value};
use spark_router_api::{
    application::SPARK_APPLICATION_API_VERSION, application::SPARK_APPLICATION_KIND, names,
};

use super::{
    properties::{Properties, Said},
    reserved,
    table::{self, Fate, Role},
};
use crate::{Note, Problem};

/// How messages call the template.
pub(super) const ROOT: &str = "spec.template";

/// What a template says.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) properties: Properties,
    pub(super) main_file: Option<Said>,
    pub(super) main_class: Option<Said>,
    pub(super) arguments: Vec<Said>,
    pub(super) language: Option<Said>,
    pub(super) version: Option<Said>,
    pub(super) notes: Vec<Note>,
    pub(super) problems: Vec<Problem>,
    pub(super) ignores_images: bool,
}

/// Reads `template` (`{apiVersion, kind, metadata, spec}`).
pub(super) fn read(template: &Value, ignores_images: bool) -> Found {
    let mut found = Found { ignores_images, ..Found::default() };
    for (key, value) in template.as_object().into_iter().flatten().filter(|(_, value)| is_set(value)) {
        let at = format!("{ROOT}.{key}");
        match (key.as_str(), value) {
            ("apiVersion", value) => found.only(value, SPARK_APPLICATION_API_VERSION, &at),
            ("kind", value) => found.only(value, SPARK_APPLICATION_KIND, &at),
            // Read last: what a role says itself wins.
            ("metadata", Value::Object(_)) => {}
            ("spec", Value::Object(spec)) => {
                for (key, value) in spec {
                    found.field(key, &format!("{at}.{key}"), value);
                }
            }
            _ => found.unknown(&at),
        }
    }
    if let Some(Value::Object(metadata)) = template.get("metadata") {
        found.metadata(metadata);
    }
    found.defaults();
    found
}

impl Found {
    pub(super) fn problem(&mut self, at: &str, reason: impl Into<String>) {
        self.problems.push(Problem::new(at, reason));
    }

    fn unknown(&mut self, at: &str) {
        self.problem(at, "is no field that this build can say to EMR on EKS; correct or remove it");
    }

    fn only(&mut self, value: &Value, allowed: &str, at: &str) {
        if value.as_str() != Some(allowed) {
            self.problem(at, format!("only {allowed} is translated for EMR on EKS"));
        }
    }

    fn metadata(&mut self, metadata: &Map<String, Value>) {
        let at = format!("{ROOT}.metadata");
        for (key, value) in metadata.iter().filter(|(_, value)| is_set(value)) {
            match key.as_str() {
                "labels" => self.labels(&format!("{at}.labels"), value),
                // The operator does not hand them on to pods either.
                "annotations" => {}
                _ => self.unknown(&format!("{at}.{key}")),
            }
        }
    }

    /// Labels of the application are its pods' too; what a role says itself wins.
    fn labels(&mut self, at: &str, value: &Value) {
        for (key, value, at) in self.texts(at, value) {
            if names::is_owners_mark(&key) || is_operators(&key) {
                continue;
            }
            if key.starts_with(reserved::KUEUE) {
                self.notes.push(Note::new(at, "is a mark for Kueue, which the pods of a job do not get"));
                continue;
            }
            for role in Role::ALL {
                let property = role.fill(&format!("spark.kubernetes.{{role}}.label.{key}"));
                let own = format!("{ROOT}.spec.{}.labels[{key}]", role.as_str());
                if self.properties.get(&property).is_some_and(|said| said.at == own) {
                    continue;
                }
                self.properties.say(&property, &value, &at);
            }
        }
    }

    fn field(&mut self, path: &str, at: &str, value: &Value) {
        if !is_set(value) {
            return;
        }
        match table::find(path) {
            Some((row, role)) => match row.fate {
                Fate::Mapped(rule, _) => {
                    self.apply(rule, role, at, value);
                    if table::is_parent(path) {
                        self.below(path, at, value);
                    }
                }
                Fate::Part if value.is_object() || value.is_array() => self.below(path, at, value),
                Fate::Part | Fate::Ignored(_) => {}
                // What is switched off is not asked for.
                Fate::Refused(_) if *value == Value::Bool(false) => {}
                Fate::Refused(why) => self.problem(at, why),
            },
            None if table::is_parent(path) => self.below(path, at, value),
            None => self.unknown(at),
        }
    }

    fn below(&mut self, path: &str, at: &str, value: &Value) {
        let (map, list) = (format!("{path}{{}}"), format!("{path}[]"));
        match value {
            Value::Object(entries) if table::is_parent(&map) => {
                for (key, value) in entries {
                    self.field(&map, &format!("{at}[{key}]"), value);
                }
            }
            Value::Object(fields) if !table::is_parent(&list) => {
                for (key, value) in fields {
                    self.field(&format!("{path}.{key}"), &format!("{at}.{key}"), value);
                }
            }
            Value::Array(items) if table::is_parent(&list) => {
                for (n, value) in items.iter().enumerate() {
                    self.field(&list, &format!("{at}[{n}]"), value);
                }
            }
            _ => self.problem(at, "is not of the kind that the operator's schema has here; correct it"),
        }
    }

    /// What the operator's webhook fills in, and what a job is accounted for: without it EMR's own defaults would count.
    fn defaults(&mut self) {
        let spec = format!("{ROOT}.spec");
        for role in Role::ALL {
            for (field, value) in [("cores", "1"), ("memory", "1g")] {
                let property = format!("spark.{}.{field}", role.as_str());
                self.properties.fill(&property, value, &format!("{spec}.{}.{field}", role.as_str()));
            }
        }
        let dynamic = self.properties.get("spark.dynamicAllocation.enabled");
        let is_dynamic = dynamic.is_some_and(|said| said.value.trim().eq_ignore_ascii_case("true"));
        let is_typed = dynamic.is_some_and(|said| said.at == format!("{spec}.dynamicAllocation.enabled"));
        if is_dynamic && is_typed {
            let at = format!("{spec}.dynamicAllocation.shuffleTrackingEnabled");
            self.properties.fill("spark.dynamicAllocation.shuffleTracking.enabled", "true", &at);
        } else if !is_dynamic {
            self.properties.fill("spark.executor.instances", "1", &format!("{spec}.executor.instances"));
        }
    }

    /// Node selectors of one role, which older Sparks do not know.
    pub(super) fn check_version(&mut self, template: &Value) {
        let Some(version) = &self.version else { return };
        let mut numbers = version.value.split('.').map(|number| number.parse().unwrap_or(u32::MAX));
        let version = (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(u32::MAX));
        for role in Role::ALL {
            let selector = template.pointer(&format!("/spec/{}/nodeSelector", role.as_str()));
            if version < (3, 3) && selector.is_some_and(is_set) {
                let at = format!("{ROOT}.spec.{}.nodeSelector", role.as_str());
                self.problem(&at, "Spark knows node selectors of one role since 3.3; use spec.nodeSelector");
            }
        }
    }

    /// The labels of the driver's pod.
    pub(super) fn label(&self, key: &str) -> Option<&Said> {
        self.properties.get(&format!("spark.kubernetes.driver.label.{key}"))
    }
}

pub(super) fn is_operators(key: &str) -> bool {
    key.starts_with(reserved::OPERATORS)
}

/// Whether a value says anything. Go writes absent pointers as null, and takes empty texts, lists and maps for absent.
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}
