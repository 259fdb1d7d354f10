//! Templates that are written for Apache's operator, in Kubeflow's words.
//!
//! Owns no state. Pure. What queue and member decide, and what a template must not say, is written down once, for
//! Kubeflow's form (see `table`); a template of Apache's is brought into it, and what has no place in that form is kept
//! beside it as it is. A member with Apache's operator takes it apart again, all others cannot run it. Must never lose a
//! field: what is not known here is kept too.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use spark_router_api::application::APACHE_API_VERSION;

/// Where the rest of a template of Apache's is kept in its `spec`.
pub const REST: &str = "apache";

/// Fields that have another path in Kubeflow's words: theirs, and the user's.
const PATHS: [(&str, &str); 5] = [
    (".spec.driver.template", ".spec.driverSpec.podTemplateSpec"),
    (".spec.executor.template", ".spec.executorSpec.podTemplateSpec"),
    (".spec.sparkVersion", ".spec.runtimeVersions.sparkVersion"),
    (".spec.restartPolicy.type", ".spec.applicationTolerations.restartConfig.restartPolicy"),
    (".spec.apache.", ".spec."),
];

/// Whether a template, or an effective one, is written for Apache's operator.
pub fn is_apache(template: &Value) -> bool {
    template.get("apiVersion").and_then(Value::as_str) == Some(APACHE_API_VERSION)
}

/// The template in Kubeflow's words: itself where it is Kubeflow's.
pub fn lifted(template: &Value) -> Cow<'_, Value> {
    if !is_apache(template) {
        return Cow::Borrowed(template);
    }
    let mut root = template.clone();
    let mut rest = match root.get_mut("spec").map(Value::take) {
        Some(Value::Object(rest)) => rest,
        _ => Map::new(),
    };
    let mut spec = Map::new();
    for field in ["sparkConf", "proxyUser", "suspend"] {
        if let Some(value) = rest.remove(field) {
            spec.insert(field.to_owned(), value);
        }
    }
    for (theirs, ours) in [("driverSpec", "driver"), ("executorSpec", "executor")] {
        let pods = rest.get_mut(theirs).and_then(Value::as_object_mut);
        if let Some(pods) = pods.and_then(|role| role.remove("podTemplateSpec")) {
            spec.insert(ours.to_owned(), json!({"template": pods}));
        }
    }
    // The first of them is what runs, as the operator takes them.
    let text = |field: &str| rest.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let run = [("jars", "Scala"), ("pyFiles", "Python"), ("sparkRFiles", "R")];
    if let Some((file, language)) = run.iter().find_map(|(field, language)| Some((text(field)?, language))) {
        spec.insert("mainApplicationFile".to_owned(), json!(file));
        spec.insert("type".to_owned(), json!(language));
    }
    let at = |pointer: &str| Value::pointer(&Value::Object(rest.clone()), pointer).cloned();
    if let Some(version) = at("/runtimeVersions/sparkVersion") {
        spec.insert("sparkVersion".to_owned(), version);
    }
    if let Some(policy) = at("/applicationTolerations/restartConfig/restartPolicy") {
        spec.insert("restartPolicy".to_owned(), json!({"type": policy}));
    }
    spec.insert(REST.to_owned(), Value::Object(rest));
    root["spec"] = Value::Object(spec);
    Cow::Owned(root)
}

/// A path of a lifted template as its user wrote it.
pub fn path(lifted: &str) -> String {
    let row = PATHS.iter().find(|(theirs, _)| lifted.contains(theirs));
    row.map_or_else(|| lifted.to_owned(), |(theirs, ours)| lifted.replacen(theirs, ours, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tables_speak_of_is_lifted_and_all_else_is_kept() {
        let template = json!({
            "apiVersion": APACHE_API_VERSION, "kind": "SparkApplication", "metadata": {"labels": {"a": "b"}},
            "spec": {
                "pyFiles": "local:///x.py", "driverArgs": ["1"], "sparkConf": {"spark.executor.cores": "2"},
                "runtimeVersions": {"sparkVersion": "4.0.1", "scalaVersion": "2.13"},
                "driverSpec": {"podTemplateSpec": {"spec": {"hostNetwork": true}}, "fieldOfTomorrow": 1},
                "applicationTolerations": {"restartConfig": {"restartPolicy": "Never"}},
            },
        });
        let lifted = lifted(&template);
        assert_eq!(
            lifted["spec"],
            json!({
                "type": "Python", "mainApplicationFile": "local:///x.py", "sparkVersion": "4.0.1",
                "sparkConf": {"spark.executor.cores": "2"}, "restartPolicy": {"type": "Never"},
                "driver": {"template": {"spec": {"hostNetwork": true}}},
                "apache": {
                    "pyFiles": "local:///x.py", "driverArgs": ["1"],
                    "runtimeVersions": {"sparkVersion": "4.0.1", "scalaVersion": "2.13"},
                    "driverSpec": {"fieldOfTomorrow": 1},
                    "applicationTolerations": {"restartConfig": {"restartPolicy": "Never"}},
                },
            })
        );
        assert_eq!(lifted["metadata"], template["metadata"]);
    }

    #[test]
    fn kubeflows_own_is_left_alone() {
        let template = json!({"apiVersion": "sparkoperator.k8s.io/v1beta2", "spec": {"jars": "x"}});
        assert!(matches!(lifted(&template), Cow::Borrowed(same) if *same == template));
        assert!(matches!(lifted(&json!({})), Cow::Borrowed(_)));
    }

    #[test]
    fn messages_name_the_paths_that_were_written() {
        for (lifted, written) in [
            (
                "spec.template.spec.driver.template.spec.volumes[1].hostPath",
                "spec.template.spec.driverSpec.podTemplateSpec.spec.volumes[1].hostPath",
            ),
            ("spec.template.spec.sparkVersion", "spec.template.spec.runtimeVersions.sparkVersion"),
            ("spec.template.spec.sparkConf[spark.master]", "spec.template.spec.sparkConf[spark.master]"),
        ] {
            assert_eq!(path(lifted), written);
        }
    }
}
