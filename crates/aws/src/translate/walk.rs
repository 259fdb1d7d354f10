//! Reads a template field by field, as the table says.
//!
//! Owns no state. Everything in a template ends in a property, in a part of the driver, in a note or in a problem: a field
//! that no row is about is a problem too.

use serde_json::{Map, Value};
use spark_router_api::{
    application::SPARK_APPLICATION_API_VERSION, application::SPARK_APPLICATION_KIND, names,
};
use spark_router_core::resources::spark_size_bytes;

use super::{
    properties::{Properties, Said},
    reserved,
    table::{self, Fate, Role, Rule},
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
    ignores_images: bool,
}

/// Sizes that Spark reads as mebibytes where they have no unit.
const SIZES: [&str; 5] = [
    "spark.driver.memory",
    "spark.driver.memoryOverhead",
    "spark.executor.memory",
    "spark.executor.memoryOverhead",
    "spark.executor.pyspark.memory",
];

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
    fn problem(&mut self, at: &str, reason: impl Into<String>) {
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

    fn apply(&mut self, rule: Rule, role: Option<Role>, at: &str, value: &Value) {
        let fill = |pattern: &str| role.map_or_else(|| pattern.to_owned(), |role| role.fill(pattern));
        match rule {
            Rule::Property(to) => {
                if let Some(text) = self.text(at, value) {
                    self.properties.say(&fill(to), &text, at);
                }
            }
            Rule::Size(to) => {
                if let Some(text) = self.text(at, value).and_then(|text| self.size(at, &text)) {
                    self.properties.say(&fill(to), &text, at);
                }
            }
            Rule::Count(to) => match value.as_u64() {
                Some(count) => self.properties.say(&fill(to), &count.to_string(), at),
                None => self.problem(at, format!("{value} is not a whole number of 0 or more")),
            },
            Rule::Flag(to) => match value.as_bool() {
                Some(flag) => self.properties.say(&fill(to), &flag.to_string(), at),
                None => self.problem(at, format!("{value} is neither true nor false")),
            },
            Rule::Image(_) if self.ignores_images => {
                let text = "is passed over: this member runs jobs in the image of their EMR release";
                self.notes.push(Note::new(at, text));
            }
            Rule::Image(to) => {
                if let Some(text) = self.text(at, value) {
                    self.properties.say(&fill(to), &text, at);
                }
            }
            Rule::List(to) => self.list(to, at, value),
            Rule::Texts(to) => {
                let prefix = fill(to);
                for (key, value, at) in self.texts(at, value) {
                    if !(prefix.ends_with(".label.") && is_operators(&key)) {
                        self.properties.say(&format!("{prefix}{key}"), &value, &at);
                    }
                }
            }
            Rule::RoleSelector => {
                for (key, value, at) in self.texts(at, value) {
                    self.properties.say(
                        &format!("{}{key}", fill("spark.kubernetes.{role}.node.selector.")),
                        &value,
                        &at,
                    );
                }
            }
            Rule::EnvTexts => {
                for (name, value, at) in self.texts(at, value) {
                    self.variable(role, &name, &value, &at);
                }
            }
            Rule::EnvList => self.env_list(role, at, value),
            Rule::EnvSecrets => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    self.secret(role, name, value, &format!("{at}[{name}]"));
                }
            }
            Rule::SecretFiles => self.secret_files(role, at, value),
            Rule::SparkConf => self.conf(at, value),
            Rule::MainFile => self.main_file = self.said(at, value),
            Rule::MainClass => self.main_class = self.said(at, value),
            Rule::Arguments => self.arguments(at, value),
            Rule::Language => {
                self.language = self.said(at, value);
                let is_known = self
                    .language
                    .as_ref()
                    .is_none_or(|said| ["Java", "Scala", "Python", "R"].contains(&said.value.as_str()));
                if !is_known {
                    self.problem(at, "is none of Java, Scala, Python and R");
                }
            }
            Rule::Version => self.version = self.said(at, value),
            Rule::Mode => {
                if value.as_str() != Some("cluster") {
                    self.problem(
                        at,
                        "EMR on EKS runs drivers in the cluster alone; use cluster, or remove it",
                    );
                }
            }
            Rule::Restart => match value.as_str() {
                Some("Never") => {}
                Some("OnFailure") => {
                    let text =
                        "EMR on EKS does not run the job again; spec.retry makes new attempts, on any member";
                    self.notes.push(Note::new(at, text));
                }
                _ => {
                    self.problem(at, "is run by no operator here; use Never, and spec.retry for new attempts")
                }
            },
            Rule::ServiceAccount => {
                if self.text(at, value).is_some() {
                    let text =
                        "gives way to the execution role: EMR on EKS has service accounts of its own for it";
                    self.notes.push(Note::new(at, text));
                }
            }
        }
    }

    /// A text that is there; numbers and truth values are taken as they are written.
    fn text(&mut self, at: &str, value: &Value) -> Option<String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.problem(at, "is not a text");
                return None;
            }
        };
        if text.trim().is_empty() {
            self.problem(at, "is blank, which EMR on EKS does not take; set it or leave it out");
            return None;
        }
        Some(text)
    }

    fn said(&mut self, at: &str, value: &Value) -> Option<Said> {
        self.text(at, value).map(|value| Said { value, at: at.to_owned() })
    }

    /// The entries of a map of texts, each with its place. What is null is not there.
    fn texts(&mut self, at: &str, value: &Value) -> Vec<(String, String, String)> {
        let Value::Object(entries) = value else {
            self.problem(at, "is not a map of texts");
            return Vec::new();
        };
        let set = entries.iter().filter(|(_, value)| !value.is_null());
        let mut texts = Vec::new();
        for (key, value) in set {
            let at = format!("{at}[{key}]");
            if let Some(text) = self.text(&at, value) {
                texts.push((key.clone(), text, at));
            }
        }
        texts
    }

    /// A size with its unit written out, in lower case: releases differ in what they make of one without.
    fn size(&mut self, at: &str, text: &str) -> Option<String> {
        if let Err(error) = spark_size_bytes(text) {
            self.problem(at, error.to_string());
            return None;
        }
        let text = text.trim().to_ascii_lowercase();
        Some(if text.ends_with(|c: char| c.is_ascii_digit()) { format!("{text}m") } else { text })
    }

    fn items(&mut self, at: &str, value: &Value) -> Vec<Said> {
        let Value::Array(items) = value else {
            self.problem(at, "is not a list");
            return Vec::new();
        };
        let each = items.iter().enumerate();
        each.filter_map(|(n, item)| self.said(&format!("{at}[{n}]"), item)).collect()
    }

    fn list(&mut self, to: &str, at: &str, value: &Value) {
        let items = self.items(at, value);
        for item in items.iter().filter(|item| item.value.contains(',')) {
            self.problem(&item.at, "has a comma, which would make two of it; write it in two entries");
        }
        if !items.is_empty() {
            let joined: Vec<_> = items.into_iter().map(|item| item.value).collect();
            self.properties.say(to, &joined.join(","), at);
        }
    }

    fn arguments(&mut self, at: &str, value: &Value) {
        let Value::Array(items) = value else {
            self.problem(at, "is not a list");
            return;
        };
        // The request checks them, blank ones too: each keeps its place.
        for (n, item) in items.iter().enumerate() {
            let at = format!("{at}[{n}]");
            match item {
                Value::String(text) => self.arguments.push(Said { value: text.clone(), at }),
                _ => self.problem(&at, "is not a text"),
            }
        }
    }

    fn variable(&mut self, role: Option<Role>, name: &str, value: &str, at: &str) {
        let prefix = match role {
            Some(Role::Driver) => "spark.kubernetes.driverEnv.",
            Some(Role::Executor) | None => "spark.executorEnv.",
        };
        self.properties.say(&format!("{prefix}{name}"), value, at);
    }

    /// `{name, key}` of a Secret.
    fn secret(&mut self, role: Option<Role>, variable: &str, value: &Value, at: &str) {
        let field =
            |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        match (field("name"), field("key")) {
            (Some(name), Some(key)) => {
                let property = role.map_or("", Role::as_str);
                let property = format!("spark.kubernetes.{property}.secretKeyRef.{variable}");
                self.properties.say(&property, &format!("{name}:{key}"), at);
            }
            _ => self.problem(at, "needs the name of a Secret and a key in it"),
        }
    }

    fn env_list(&mut self, role: Option<Role>, at: &str, value: &Value) {
        let Value::Array(items) = value else { return };
        for (n, item) in items.iter().enumerate() {
            let at = format!("{at}[{n}]");
            let Some(name) = item.get("name").and_then(Value::as_str).filter(|name| !name.trim().is_empty())
            else {
                self.problem(&at, "needs a name");
                continue;
            };
            match (
                item.get("value").filter(|value| !value.is_null()),
                item.get("valueFrom").filter(|from| is_set(from)),
            ) {
                (Some(_), Some(_)) => self.problem(&at, "has a value and a source of one; keep one of them"),
                (_, Some(from)) => {
                    if let Some(secret) = from.get("secretKeyRef") {
                        self.secret(role, name, secret, &format!("{at}.valueFrom.secretKeyRef"));
                    }
                }
                (Some(value), None) => {
                    if let Some(text) = self.text(&format!("{at}.value"), value) {
                        self.variable(role, name, &text, &format!("{at}.value"));
                    }
                }
                (None, None) => {
                    self.problem(&at, "has no value, and EMR on EKS takes none that is blank; remove it")
                }
            }
        }
    }

    fn secret_files(&mut self, role: Option<Role>, at: &str, value: &Value) {
        let Value::Array(items) = value else { return };
        for (n, item) in items.iter().enumerate() {
            let at = format!("{at}[{n}]");
            let field =
                |name: &str| item.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
            match (field("name"), field("path"), field("secretType")) {
                (Some(name), Some(path), Some("Generic")) => {
                    let property =
                        format!("spark.kubernetes.{}.secrets.{name}", role.map_or("", Role::as_str));
                    self.properties.say(&property, path, &at);
                }
                (Some(_), Some(_), _) => {
                    self.problem(&at, "is of a type that only the operator knows to set up; use Generic, and set the variables it needs");
                }
                _ => self.problem(&at, "needs the name of a Secret and a path"),
            }
        }
    }

    fn conf(&mut self, at: &str, value: &Value) {
        for (key, value, at) in self.texts(at, value) {
            let name = key.trim();
            // What is run in any case may be said.
            if name.eq_ignore_ascii_case("spark.submit.deployMode") && value == "cluster" {
                continue;
            }
            let is_image = ["spark.kubernetes.container.image"]
                .into_iter()
                .map(str::to_owned)
                .chain(Role::ALL.map(|role| role.fill("spark.kubernetes.{role}.container.image")))
                .any(|image| image.eq_ignore_ascii_case(name));
            if is_image && self.ignores_images {
                self.apply(Rule::Image(""), None, &at, &Value::String(value));
                continue;
            }
            if reserved::pod_label(name).is_some_and(is_operators) {
                continue;
            }
            let value = if SIZES.contains(&name) { self.size(&at, &value) } else { Some(value) };
            if let Some(value) = value {
                self.properties.say(&key, &value, &at);
            }
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

fn is_operators(key: &str) -> bool {
    key.starts_with(reserved::OPERATORS)
}

/// Whether a value says anything. Go writes absent pointers as null, and takes empty texts, lists and maps for absent.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}
