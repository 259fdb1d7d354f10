//! What to run for a container.
//!
//! Purpose: resolve a container's environment and arguments. Owns no state. It must never guess a value that it can't
//! resolve.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt as _;

use super::rewrite::Paths;

/// The environment and the words of a container, with the paths of this machine.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) environment: Vec<(String, String)>,
    pub(super) command: Vec<String>,
    pub(super) arguments: Vec<String>,
}

impl Words {
    pub(super) fn of(
        pod: &Pod,
        container: &Container,
        address: Ipv4Addr,
        node: Ipv4Addr,
        paths: &Paths,
    ) -> Result<Self, String> {
        if container.env_from.as_ref().is_some_and(|from| !from.is_empty()) {
            return Err("envFrom is not supported".to_owned());
        }
        let mut environment: Vec<(String, String)> = Vec::new();
        for variable in container.env.iter().flatten() {
            let value = value(pod, variable, address, node)?;
            let value = paths.apply(&expand(&value, &environment));
            environment.push((variable.name.clone(), value));
        }
        let words = |list: &Option<Vec<String>>| {
            list.iter().flatten().map(|word| paths.apply(&expand(word, &environment))).collect()
        };
        Ok(Self { command: words(&container.command), arguments: words(&container.args), environment })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        // The last one of a name counts.
        self.environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("the container has no environment variable {name}"))
    }
}

fn value(pod: &Pod, variable: &EnvVar, address: Ipv4Addr, node: Ipv4Addr) -> Result<String, String> {
    let Some(source) = &variable.value_from else { return Ok(variable.value.clone().unwrap_or_default()) };
    let name = &variable.name;
    let field =
        source.field_ref.as_ref().ok_or_else(|| format!("the source of variable {name} is not supported"))?;
    let path = field.field_path.as_str();
    let quoted = |map: &std::collections::BTreeMap<String, String>, prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    match path {
        "status.podIP" => Some(address.to_string()),
        "status.hostIP" => Some(node.to_string()),
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "spec.nodeName" => pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()),
        _ => quoted(pod.labels(), "metadata.labels['")
            .or_else(|| quoted(pod.annotations(), "metadata.annotations['")),
    }
    .ok_or_else(|| format!("the field {path} of variable {name} is not supported"))
}

/// `$(NAME)` of variables that came before; unknown ones stay, `$$` is a dollar.
fn expand(text: &str, environment: &[(String, String)]) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let known = after.strip_prefix('(').and_then(|named| {
            let (name, rest) = named.split_once(')')?;
            let (_, value) = environment.iter().rev().find(|(key, _)| key == name)?;
            Some((value, rest))
        });
        if let Some((value, left)) = known {
            result.push_str(value);
            rest = left;
        } else {
            result.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::rewrite::Paths;
    use super::{Words, expand};

    #[test]
    fn variables_expand_as_in_a_kubelet() {
        let environment = [("A".to_owned(), "1".to_owned())];
        for (text, expected) in [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A $", "$A $"), ("a", "a")] {
            assert_eq!(expand(text, &environment), expected);
        }
    }

    #[test]
    fn fields_and_paths_are_resolved_and_unknown_ones_refused() {
        let field =
            |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let pod = |path: &str| {
            serde_json::from_value(json!({
                "metadata": {"name": "pi-driver", "namespace": "jobs", "labels": {"team": "blue"}},
                "spec": {"containers": [{
                    "name": "c", "args": ["driver", "$(IP)", "/opt/spark/conf"],
                    "env": [field("IP", "status.podIP"), field("TEAM", "metadata.labels['team']"), field("X", path)],
                }]},
            }))
            .unwrap()
        };
        let words = |path: &str| {
            let mut paths = Paths::default();
            paths.add("/opt/spark/conf", "/tmp/conf");
            let pod: k8s_openapi::api::core::v1::Pod = pod(path);
            let container = pod.spec.clone().unwrap().containers.remove(0);
            Words::of(&pod, &container, [127, 0, 0, 9].into(), [127, 0, 0, 1].into(), &paths)
        };
        let good = words("metadata.name").unwrap();
        assert_eq!(good.arguments, ["driver", "127.0.0.9", "/tmp/conf"]);
        assert_eq!((good.get("TEAM"), good.get("X")), (Some("blue"), Some("pi-driver")));
        assert!(words("status.qosClass").unwrap_err().contains("status.qosClass"));
    }
}
