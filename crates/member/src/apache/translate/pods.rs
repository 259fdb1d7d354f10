//! A role's pod template, as it is put together.
//!
//! Owns no state. Spark's container is the one of its name, or the first. What is added to a list comes behind what the
//! template has, once; what is added to a map beats it.

use serde_json::{Map, Value, json};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pod {
    role: &'static str,
    template: Map<String, Value>,
}

impl Pod {
    pub(super) fn new(role: &'static str, template: Map<String, Value>) -> Self {
        Self { role, template }
    }

    /// Adds to a field of the pod.
    pub(super) fn add(&mut self, field: &str, value: &Value) {
        if field == "containers" {
            // Spark takes the first one that has no name of its own to go by.
            self.container();
        }
        add(self.spec(), field, value);
    }

    /// Adds to a field of Spark's container.
    pub(super) fn add_to_container(&mut self, field: &str, value: &Value) {
        if let Some(container) = self.container() {
            add(container, field, value);
        }
    }

    /// Limits a resource that is not cpu or memory, which is to ask for it too.
    pub(super) fn limit(&mut self, resource: &str, quantity: &Value) {
        let quantity = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
        self.add_to_container("resources", &json!({"limits": {resource: quantity}}));
    }

    /// Mounts ConfigMaps, each in a folder.
    pub(super) fn mount_config_maps(&mut self, maps: &Value) {
        for map in maps.as_array().into_iter().flatten() {
            let (Some(name), Some(path)) = (map.get("name").and_then(Value::as_str), map.get("path")) else {
                continue;
            };
            let volume = format!("{name}-vol");
            self.add("volumes", &json!([{"name": volume, "configMap": {"name": name}}]));
            self.add_to_container("volumeMounts", &json!([{"name": volume, "mountPath": path}]));
        }
    }

    /// Adds those volumes of the application that a container mounts.
    pub(super) fn mount(&mut self, volumes: &[Value]) {
        let Some(spec) = self.template.get("spec") else { return };
        let containers = ["containers", "initContainers"]
            .into_iter()
            .filter_map(|field| spec.get(field)?.as_array())
            .flatten();
        let mounted: Vec<String> = containers
            .filter_map(|container| container.get("volumeMounts")?.as_array())
            .flatten()
            .filter_map(|mount| Some(mount.get("name")?.as_str()?.to_owned()))
            .collect();
        for volume in volumes {
            let name = volume.get("name").and_then(Value::as_str);
            if name.is_some_and(|name| mounted.iter().any(|mounted| mounted == name)) {
                self.add("volumes", &json!([volume]));
            }
        }
    }

    /// The template, where there is anything in it; and the name of Spark's container where it is not the only one.
    pub(super) fn made(self) -> Option<(Value, Option<String>)> {
        let containers = self.template.get("spec").and_then(|spec| spec.get("containers")?.as_array());
        let several = containers.is_some_and(|containers| containers.len() > 1);
        let name = containers.filter(|_| several).and_then(|containers| {
            let own = self.own_name();
            let named = |container: &&Value| container.get("name").and_then(Value::as_str) == Some(&own);
            let container = containers.iter().find(named).or_else(|| containers.first())?;
            Some(container.get("name")?.as_str()?.to_owned())
        });
        (!self.template.is_empty()).then_some((Value::Object(self.template), name))
    }

    fn own_name(&self) -> String {
        format!("spark-kubernetes-{}", self.role)
    }

    fn spec(&mut self) -> &mut Value {
        let spec = self.template.entry("spec").or_insert(Value::Null);
        if !spec.is_object() {
            *spec = Value::Object(Map::new());
        }
        spec
    }

    /// Spark's container; made where there is none.
    fn container(&mut self) -> Option<&mut Value> {
        let own = self.own_name();
        let containers = &mut self.spec()["containers"];
        if containers.as_array().is_none_or(Vec::is_empty) {
            *containers = json!([{"name": own}]);
        }
        let containers = containers.as_array_mut()?;
        let named = |container: &Value| container.get("name").and_then(Value::as_str) == Some(&own);
        let at = containers.iter().position(named).unwrap_or(0);
        let container = containers.get_mut(at)?;
        if !container.is_object() {
            *container = Value::Object(Map::new());
        }
        if container.get("name").is_none() {
            container["name"] = json!(own);
        }
        Some(container)
    }
}

/// Adds to a field of a map.
fn add(map: &mut Value, field: &str, value: &Value) {
    merge(&mut map[field], value);
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (field, value) in more {
                merge(into.entry(field).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(more)) => {
            for item in more {
                if !into.contains(item) {
                    into.push(item.clone());
                }
            }
        }
        (into, more) => *into = more.clone(),
    }
}
