//! How one value of a template becomes part of a request.
//!
//! Owns no state. Each rule reads its value strictly: what is not of the kind that the operator's schema has is a problem
//! with the place of just that value.

use serde_json::Value;
use spark_router_core::resources::spark_size_bytes;

use super::{
    properties::Said,
    reserved,
    table::{Role, Rule},
    walk::{Found, is_operators, is_set},
};
use crate::Note;

/// Sizes that Spark reads as mebibytes where they have no unit.
const SIZES: [&str; 5] = [
    "spark.driver.memory",
    "spark.driver.memoryOverhead",
    "spark.executor.memory",
    "spark.executor.memoryOverhead",
    "spark.executor.pyspark.memory",
];

impl Found {
    pub(super) fn apply(&mut self, rule: Rule, role: Option<Role>, at: &str, value: &Value) {
        let fill = |pattern: &str| role.map_or_else(|| pattern.to_owned(), |role| role.fill(pattern));
        match rule {
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
            Rule::Property(to) | Rule::Image(to) => {
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
                    self.problem(
                        at,
                        "is run by no operator here; use Never, and spec.retry for new attempts",
                    );
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
    pub(super) fn texts(&mut self, at: &str, value: &Value) -> Vec<(String, String, String)> {
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
                    self.problem(&at, "has no value, and EMR on EKS takes none that is blank; remove it");
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
}
