//! What an application of Kubeflow's operator is for Apache's.
//!
//! Owns no state. Pure. Apache's operator knows Spark properties and pod templates, and little else: every field of
//! Kubeflow's becomes one of them, or is refused by its path with the reason. A field that no row speaks of is refused
//! too. A template that was written for Apache's operator comes in Kubeflow's words (see [`crate::render::native`]) and is
//! taken apart again. What Kubeflow's operator reads first wins here too: typed fields beat `sparkConf`.

mod fields;
mod pods;
mod restarts;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use spark_router_core::place::Inexpressible;

use crate::render::{
    keys::{KUEUE_PREFIX, MUTATED_LABEL, VOLCANO_QUEUE, YUNIKORN_OLD_QUEUE},
    native,
};
use fields::{How, Own};
use pods::Pod;

/// Why a field is refused that no row speaks of.
const UNKNOWN: &str = "nothing is known of this field; remove it, or name other members";

/// How messages call the spec.
const ROOT: &str = "spec.template.spec";

/// Where the operator puts what it knows of pods.
const ROLES: [(&str, &str); 2] = [("driver", "driverSpec"), ("executor", "executorSpec")];

/// Labels that every pod carries. Apache's operator does not hand an application's own on to its pods.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<String, String>);

impl Marks {
    /// Those of an application's metadata. Kueue would queue pods with its own a second time.
    pub(super) fn of(metadata: &Value) -> Self {
        let labels = metadata.get("labels").and_then(Value::as_object).into_iter().flatten();
        let handed_on = labels.filter(|(key, _)| !key.starts_with(KUEUE_PREFIX));
        Self(handed_on.map(|(key, value)| (key.clone(), text(value))).collect())
    }
}

/// The spec for Apache's operator of an effective template, with everything filled that Kubeflow's webhook would fill.
///
/// # Errors
/// Everything that cannot be translated, by its path.
pub(super) fn spec(root: &Value, marks: &Marks) -> Result<Value, Vec<Inexpressible>> {
    let Some(source) = root.get("spec").and_then(Value::as_object) else {
        return Err(vec![Inexpressible::new(ROOT, "it is not a map")]);
    };
    let mut made = Made::new(source, native::is_apache(root));
    made.labels(marks);
    made.walk("", source);
    made.finish()
}

/// What was made so far.
struct Made<'a> {
    source: &'a Map<String, Value>,
    is_native: bool,
    spec: Map<String, Value>,
    conf: BTreeMap<String, String>,
    pods: [Pod; 2],
    cannot: Vec<Inexpressible>,
}

impl<'a> Made<'a> {
    fn new(source: &'a Map<String, Value>, is_native: bool) -> Self {
        let conf = source.get("sparkConf").and_then(Value::as_object).into_iter().flatten();
        let conf = conf.filter(|(_, value)| !value.is_null());
        let rest = source.get(native::REST).filter(|_| is_native).and_then(Value::as_object);
        Self {
            source,
            is_native,
            spec: rest.cloned().unwrap_or_default(),
            conf: conf.map(|(key, value)| (key.trim().to_owned(), text(value))).collect(),
            pods: ROLES.map(|(role, _)| {
                let template = source.get(role).and_then(|role| role.get("template"));
                Pod::new(role, template.and_then(Value::as_object).cloned().unwrap_or_default())
            }),
            cannot: Vec::new(),
        }
    }

    fn refuse(&mut self, path: &str, why: &str) {
        let path = format!("{ROOT}.{path}");
        let path = if self.is_native { native::path(&path) } else { path };
        self.cannot.push(Inexpressible::new(path, why.to_owned()));
    }

    fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.conf.insert(name.into(), value.into());
    }

    /// A role's own labels beat those of the application; properties do so only where the template is Apache's.
    fn labels(&mut self, marks: &Marks) {
        for (role, _) in ROLES {
            for (key, value) in &marks.0 {
                let name = format!("spark.kubernetes.{role}.label.{key}");
                if !(self.is_native && self.conf.contains_key(&name)) {
                    self.set(name, value);
                }
            }
        }
    }

    fn walk(&mut self, above: &str, fields: &'a Map<String, Value>) {
        for (field, value) in fields {
            let path = if above.is_empty() { field.clone() } else { format!("{above}.{field}") };
            match fields::how(&path) {
                // Go writes what is absent as null, and takes what is empty for absent.
                _ if is_empty(value) => {}
                Some((role, how)) => self.take(&path, role, how, value),
                None => match value.as_object() {
                    Some(inner) if fields::is_above_a_row(&path) => self.walk(&path, inner),
                    _ => self.refuse(&path, UNKNOWN),
                },
            }
        }
    }

    fn take(&mut self, path: &str, role: usize, how: How, value: &'a Value) {
        let name = ROLES.get(role).map_or("", |(name, _)| name);
        match how {
            How::Conf(property) => self.set(property.replace("{role}", name), text(value)),
            How::Weak(property) => {
                self.conf.entry(property.to_owned()).or_insert_with(|| text(value));
            }
            How::List(property) => self.set(property, joined(value)),
            How::Map(start) => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if key != MUTATED_LABEL {
                        self.set(format!("{}{key}", start.replace("{role}", name)), text(value));
                    }
                }
            }
            How::Pod(field) => self.pods[role].add(field, value),
            How::Container(field) => self.pods[role].add_to_container(field, value),
            How::Own(own) => self.own(own, path, role, value),
            How::Dropped(_) => {}
            How::Refused(why) => self.refuse(path, why),
        }
    }

    fn own(&mut self, own: Own, path: &str, role: usize, value: &'a Value) {
        let name = ROLES.get(role).map_or("", |(name, _)| name);
        match own {
            // Read in their time: before, or at the end.
            Own::Elsewhere => {}
            Own::Arguments => drop(self.spec.insert("driverArgs".to_owned(), value.clone())),
            Own::MainClass => drop(self.spec.insert("mainClass".to_owned(), value.clone())),
            Own::Options => {
                let property = format!("spark.{name}.extraJavaOptions");
                let own = text(value);
                let all = match self.conf.get(&property) {
                    Some(before) if *before != own => format!("{before} {own}"),
                    _ => own,
                };
                self.set(property, all);
            }
            Own::Secrets => self.secrets(path, name, value),
            Own::SecretKeys => {
                for (key, at) in value.as_object().into_iter().flatten() {
                    let part = |part: &str| at.get(part).map(text).unwrap_or_default();
                    let value = format!("{}:{}", part("name"), part("key"));
                    self.set(format!("spark.kubernetes.{name}.secretKeyRef.{key}"), value);
                }
            }
            Own::ConfigMaps => self.pods[role].mount_config_maps(value),
            Own::Gpu => match (value.get("name").and_then(Value::as_str), value.get("quantity")) {
                (Some(resource), Some(quantity)) => self.pods[role].limit(resource, quantity),
                _ => self.refuse(path, "it has no name and quantity"),
            },
            Own::HostNetwork => {
                self.pods[role].add("hostNetwork", value);
                if value == &Value::Bool(true) {
                    self.pods[role].add("dnsPolicy", &json!("ClusterFirstWithHostNet"));
                }
            }
            Own::Sidecars => self.pods[role].add("containers", value),
            Own::BatchScheduler => self.batch_scheduler(path, value),
            Own::BatchQueue => self.batch_queue(path, value),
        }
    }

    fn secrets(&mut self, path: &str, role: &str, value: &Value) {
        for (number, secret) in value.as_array().into_iter().flatten().enumerate() {
            let part = |part: &str| secret.get(part).map(text).unwrap_or_default();
            if !matches!(part("secretType").as_str(), "" | "Generic") {
                let at = format!("{path}[{number}].secretType");
                self.refuse(
                    &at,
                    "its operator sets no variables for it; mount it as Generic and set them in env",
                );
            }
            self.set(format!("spark.kubernetes.{role}.secrets.{}", part("name")), part("path"));
        }
    }

    /// A scheduler that a role names beats it.
    fn batch_scheduler(&mut self, path: &str, value: &Value) {
        match value.as_str() {
            Some(scheduler @ ("yunikorn" | "volcano")) => {
                self.conf.entry("spark.kubernetes.scheduler.name".to_owned()).or_insert(scheduler.to_owned());
            }
            _ => self.refuse(
                path,
                "its operator knows yunikorn and volcano only; name the scheduler of the pods instead",
            ),
        }
    }

    fn batch_queue(&mut self, path: &str, value: &Value) {
        let kind = match self.source.get("batchScheduler").and_then(Value::as_str) {
            Some("yunikorn") => ("label", YUNIKORN_OLD_QUEUE),
            Some("volcano") => ("annotation", VOLCANO_QUEUE),
            _ => return self.refuse(path, "there is no batchScheduler that it could be a queue of"),
        };
        for (role, _) in ROLES {
            self.set(format!("spark.kubernetes.{role}.{}.{}", kind.0, kind.1), text(value));
        }
    }

    fn finish(mut self) -> Result<Value, Vec<Inexpressible>> {
        if !self.is_native {
            self.run();
            if let Some(restarts) = restarts::of(self.source.get("restartPolicy")) {
                self.spec.insert("applicationTolerations".to_owned(), json!({"restartConfig": restarts}));
            }
        }
        restarts::keep_nothing(&mut self.spec);
        if self.conf.contains_key("spark.app.id") {
            self.refuse("sparkConf[spark.app.id]", "its operator names the application; remove it");
        }
        let volumes =
            self.source.get("volumes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let pods = std::mem::take(&mut self.pods);
        for (mut pod, (role, theirs)) in pods.into_iter().zip(ROLES) {
            pod.mount(volumes);
            let Some((template, container)) = pod.made() else { continue };
            let file = format!("spark.kubernetes.{role}.podTemplateFile");
            if self.conf.contains_key(&file) {
                let why = "beside it the application has settings that only fit into a pod template of its own there";
                self.refuse(&format!("sparkConf[{file}]"), why);
            }
            if let Some(container) = container.filter(|_| !self.is_native) {
                // Without it the operator would wait for the end of every container.
                let property = format!("spark.kubernetes.{role}.podTemplateContainerName");
                self.conf.entry(property).or_insert(container);
            }
            let role = self.spec.entry(theirs).or_insert(Value::Null);
            if !role.is_object() {
                *role = Value::Object(Map::new());
            }
            role["podTemplateSpec"] = template;
        }
        if !self.conf.is_empty() {
            self.spec.insert("sparkConf".to_owned(), json!(self.conf));
        }
        if self.cannot.is_empty() { Ok(Value::Object(self.spec)) } else { Err(self.cannot) }
    }

    /// What runs, and in which Spark.
    fn run(&mut self) {
        let source = self.source;
        let text_of = |field: &str| source.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let file = text_of("mainApplicationFile");
        let deps = |field: &str| source.get("deps").and_then(|deps| deps.get(field)).map(joined);
        let (field, class) = match text_of("type").as_str() {
            "Python" => ("pyFiles", Some("org.apache.spark.deploy.PythonRunner")),
            "R" => ("sparkRFiles", Some("org.apache.spark.deploy.RRunner")),
            _ => ("jars", None),
        };
        if let Some(more) = deps("jars").filter(|more| !more.is_empty()) {
            // Only where nothing is said does the operator add the file that runs.
            let is_jar = field == "jars" && !file.is_empty();
            self.set("spark.jars", if is_jar { format!("{more},{file}") } else { more });
        }
        if !file.is_empty() {
            self.spec.insert(field.to_owned(), json!(file));
        }
        if let Some(class) = class {
            self.spec.insert("mainClass".to_owned(), json!(class));
        }
        self.spec.insert("runtimeVersions".to_owned(), json!({"sparkVersion": text_of("sparkVersion")}));
    }
}

/// As it stands in a property.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn joined(value: &Value) -> String {
    let items: Vec<_> = value.as_array().into_iter().flatten().map(text).collect();
    items.join(",")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
