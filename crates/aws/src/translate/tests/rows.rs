//! Every row of the table, one by one.

use serde_json::{Value, json};

use super::{Case, case::properties};
use crate::translate::table::{Fate, ROWS, Role, Rule};

/// A spec that has `value` at a path of the table.
fn spec_with(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, step| {
        let (name, kind) = step.find(['[', '{']).map_or((step, ""), |at| step.split_at(at));
        let value = match kind {
            "[]" => json!([value]),
            "{}" => json!({ "k": value }),
            _ => value,
        };
        json!({ name: value })
    })
}

/// The path as messages write it.
fn shown(path: &str) -> String {
    format!("spec.template.spec.{}", path.replace("[]", "[0]").replace("{}", "[k]"))
}

fn paths(path: &str) -> Vec<String> {
    if path.contains("{role}") {
        Role::ALL.map(|role| role.fill(path)).to_vec()
    } else {
        vec![path.to_owned()]
    }
}

#[test]
fn everything_refused_is_refused_with_its_path_and_reason() {
    for row in ROWS {
        let Fate::Refused(why) = row.fate else { continue };
        for path in paths(row.path) {
            for value in [json!({ "x": 1 }), json!("x"), json!(7), json!([{ "name": "x" }]), json!(true)] {
                let mut spec = spec_with(&path, value.clone());
                if path.contains("env[]") {
                    // The rest of the variable is as it should be.
                    let item =
                        spec.pointer_mut(&format!("/{}/env/0", &path[..path.find('.').unwrap()])).unwrap();
                    item["name"] = json!("X");
                    if path.contains("optional") {
                        item["valueFrom"]["secretKeyRef"]["name"] = json!("s");
                        item["valueFrom"]["secretKeyRef"]["key"] = json!("k");
                    }
                }
                assert_eq!(Case::new(spec).problem(), format!("{}: {why}", shown(&path)), "{value}");
            }
            for silent in [json!(null), json!(""), json!([]), json!({}), json!(false)] {
                let mut spec = spec_with(&path, silent.clone());
                if path.contains("env[]") {
                    spec = json!({});
                }
                assert!(Case::new(spec).translate().is_ok(), "{path}: {silent} asks for nothing");
            }
        }
    }
}

#[test]
fn everything_ignored_changes_nothing() {
    let plain = Case::new(json!({ "restartPolicy": { "type": "Never" } })).taken();
    for row in ROWS.iter().filter(|row| matches!(row.fate, Fate::Ignored(_))) {
        for path in paths(row.path) {
            let mut case = Case::new(json!({ "restartPolicy": { "type": "Never" } }));
            super::case::merge(&mut case.template["spec"], spec_with(&path, json!(60)));
            assert_eq!(case.taken(), plain, "{path}");
        }
    }
}

/// A value for a rule, and the ends of the properties that it must become.
fn sample(rule: Rule) -> Option<(Value, Vec<(String, &'static str)>)> {
    let one = |to: &str, value| vec![(to.to_owned(), value)];
    Some(match rule {
        Rule::Property(to) if to.contains("Factor") => (json!("0.3"), one(to, "0.3")),
        Rule::Property(to) | Rule::Image(to) => (json!("some text"), one(to, "some text")),
        Rule::Count(to) => (json!(7), one(to, "7")),
        Rule::Flag(to) => (json!(true), one(to, "true")),
        Rule::Size(to) => (json!("4G"), one(to, "4g")),
        Rule::List(to) => (json!(["a", "b"]), one(to, "a,b")),
        Rule::Texts(to) => (json!({ "x.y/z": "v" }), one(&format!("{to}x.y/z"), "v")),
        Rule::RoleSelector => (json!({ "k": "v" }), one("spark.kubernetes.{role}.node.selector.k", "v")),
        Rule::EnvTexts => (json!({ "K": "v" }), one("{env}K", "v")),
        Rule::EnvList => (
            json!([{ "name": "A", "value": "v" }, { "name": "B", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }]),
            [one("{env}A", "v"), one("spark.kubernetes.{role}.secretKeyRef.B", "s:k")].concat(),
        ),
        Rule::EnvSecrets => (
            json!({ "B": { "name": "s", "key": "k" } }),
            one("spark.kubernetes.{role}.secretKeyRef.B", "s:k"),
        ),
        Rule::SecretFiles => (
            json!([{ "name": "s", "path": "/p", "secretType": "Generic" }]),
            one("spark.kubernetes.{role}.secrets.s", "/p"),
        ),
        Rule::SparkConf => (json!({ "spark.any.thing": "v" }), one("spark.any.thing", "v")),
        // Tested below.
        Rule::MainFile
        | Rule::MainClass
        | Rule::Arguments
        | Rule::Language
        | Rule::Version
        | Rule::Mode
        | Rule::Restart
        | Rule::ServiceAccount => return None,
    })
}

#[test]
fn everything_mapped_becomes_its_property() {
    let plain = properties(Case::new(json!({})).taken().request.parts());
    let mut tested = 0;
    for row in ROWS {
        let Fate::Mapped(rule, _) = row.fate else { continue };
        let Some((value, expected)) = sample(rule) else { continue };
        for path in paths(row.path) {
            let role = path.split('.').next().unwrap();
            let environment =
                if role == "driver" { "spark.kubernetes.driverEnv." } else { "spark.executorEnv." };
            let all = properties(Case::new(spec_with(&path, value.clone())).taken().request.parts());
            for (key, value) in &expected {
                let key = key.replace("{role}", role).replace("{env}", environment);
                assert_eq!(all.get(&key).map(String::as_str), Some(*value), "{path}: {key}");
                let more: Vec<_> = all.keys().filter(|key| !plain.contains_key(*key)).collect();
                assert!(more.len() <= expected.len() + 1, "{path}: {more:?}");
            }
            tested += 1;
        }
    }
    assert!(tested > 50, "{tested} rows");
}

#[test]
fn what_is_no_property_is_tested_too() {
    let file = Case::new(json!({ "mainApplicationFile": "--conf" })).problem();
    assert!(file.starts_with("spec.template.spec.mainApplicationFile: is an option"), "{file}");
    let missing = Case::new(json!({ "mainApplicationFile": null })).problem();
    assert!(missing.starts_with("spec.template.spec.mainApplicationFile: is blank"), "{missing}");
    for language in ["Java", "Scala"] {
        let class = Case::new(json!({ "type": language })).problem();
        assert_eq!(class, "spec.template.spec.mainClass: is missing; EMR on EKS needs it for Java and Scala");
        assert!(Case::new(json!({ "type": language, "mainClass": "org.X" })).translate().is_ok());
    }
    assert!(Case::new(json!({ "type": "R" })).translate().is_ok());
    assert!(Case::new(json!({ "type": "Go" })).problem().starts_with("spec.template.spec.type: is none of"));
    assert!(Case::new(json!({ "type": null })).problem().starts_with("spec.template.spec.type: is missing"));
    assert!(Case::new(json!({ "mode": "cluster" })).translate().is_ok());
    assert!(
        Case::new(json!({ "mode": "client" }))
            .problem()
            .starts_with("spec.template.spec.mode: EMR on EKS runs")
    );
    let restart = |kind: &str| Case::new(json!({ "restartPolicy": { "type": kind, "onFailureRetries": 2 } }));
    assert!(restart("Never").taken().notes.is_empty());
    assert!(restart("OnFailure").taken().notes[0].text.contains("spec.retry"));
    assert!(
        restart("Always")
            .problem()
            .starts_with("spec.template.spec.restartPolicy.type: is run by no operator")
    );
    let class = Case::new(json!({ "type": "Scala", "mainClass": "org.X$Main" })).problem();
    assert_eq!(class, "spec.template.spec.mainClass: has '$', which is in no name of a class");
}

#[test]
fn values_of_a_wrong_kind_are_named() {
    for (spec, expected) in [
        (json!({ "driver": { "cores": "two" } }), "driver.cores: \"two\" is not a whole number"),
        (json!({ "driver": { "cores": 1.5 } }), "driver.cores: 1.5 is not a whole number"),
        (json!({ "executor": { "instances": -1 } }), "executor.instances: -1 is not a whole number"),
        (json!({ "driver": { "memory": "4Gi" } }), "driver.memory: "),
        (json!({ "driver": { "memory": " " } }), "driver.memory: is blank"),
        (json!({ "driver": { "memory": {"a": 1} } }), "driver.memory: is not a text"),
        (json!({ "executor": { "memoryOverhead": "1.5g" } }), "executor.memoryOverhead: "),
        (json!({ "sparkConf": { "spark.executor.memory": "1Gi" } }), "sparkConf[spark.executor.memory]: "),
        (json!({ "sparkConf": { "spark.a": "" } }), "sparkConf[spark.a]: is blank"),
        (json!({ "sparkConf": ["a"] }), "sparkConf: is not a map of texts"),
        (json!({ "sparkConf": { "spark.a": {} } }), "sparkConf[spark.a]: is not a text"),
        (json!({ "deps": "x" }), "deps: is not of the kind"),
        (json!({ "deps": { "jars": "x" } }), "deps.jars: is not a list"),
        (json!({ "deps": { "jars": ["a,b"] } }), "deps.jars[0]: has a comma"),
        (json!({ "deps": { "jars": ["a", " "] } }), "deps.jars[1]: is blank"),
        (json!({ "arguments": ["a", ""] }), "arguments[1]: is blank"),
        (json!({ "arguments": [1] }), "arguments[0]: is not a text"),
        (json!({ "arguments": "a" }), "arguments: is not a list"),
        (json!({ "driver": { "env": [{ "value": "x" }] } }), "driver.env[0]: needs a name"),
        (json!({ "driver": { "env": [{ "name": "X" }] } }), "driver.env[0]: has no value"),
        (json!({ "driver": { "env": [{ "name": "X", "value": "" }] } }), "driver.env[0].value: is blank"),
        (
            json!({ "driver": { "envVars": { "SPARK_CONTAINER_ID": "x" } } }),
            "driver.envVars[SPARK_CONTAINER_ID]: EMR",
        ),
        (
            json!({ "driver": { "envSecretKeyRefs": { "X": { "name": "s" } } } }),
            "driver.envSecretKeyRefs[X]: needs",
        ),
        (
            json!({ "driver": { "env": [{ "name": "X", "value": "v", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }] } }),
            "driver.env[0]: has a value and a source",
        ),
        (
            json!({ "driver": { "secrets": [{ "name": "s", "path": "/p", "secretType": "GCPServiceAccount" }] } }),
            "driver.secrets[0]: is of a type",
        ),
        (
            json!({ "driver": { "labels": { "spark-role": "x" } } }),
            "driver.labels[spark-role]: belongs to Spark",
        ),
        (
            json!({ "executor": { "labels": { "emr-containers.amazonaws.com/job.id": "x" } } }),
            "executor.labels[emr-containers.amazonaws.com/job.id]: belongs to EMR",
        ),
        (json!({ "sparkConf": { "spark.master": "local" } }), "sparkConf[spark.master]: EMR on EKS decides"),
        (
            json!({ "sparkConf": { "spark.kubernetes.authenticate.driver.serviceAccountName": "x" } }),
            "sparkConf[spark.kubernetes.authenticate.driver.serviceAccountName]: EMR on EKS has service accounts",
        ),
        (
            json!({ "sparkVersion": "3.2.1", "driver": { "nodeSelector": { "a": "b" } } }),
            "driver.nodeSelector: Spark knows node selectors of one role since 3.3",
        ),
    ] {
        let case = Case::new(spec)
            .backend(json!({ "releases": [{ "sparkVersion": "3", "releaseLabel": "emr-7" }] }));
        let problem = case.problem();
        assert!(problem.starts_with(&format!("spec.template.spec.{expected}")), "{expected}: {problem}");
    }
}

#[test]
fn a_typed_field_and_a_property_must_agree() {
    for (typed, conf, value) in [
        (json!({ "driver": { "memory": "4G" } }), "spark.driver.memory", "4g"),
        (json!({ "driver": { "memory": "4096" } }), "spark.driver.memory", "4096M"),
        (json!({ "driver": { "javaOptions": "-Da=b" } }), "spark.driver.extraJavaOptions", "-Da=b"),
        (json!({ "executor": { "instances": 3 } }), "spark.executor.instances", "3"),
        (json!({ "deps": { "jars": ["a", "b"] } }), "spark.jars", "a,b"),
        (json!({ "driver": { "labels": { "a": "b" } } }), "spark.kubernetes.driver.label.a", "b"),
        (json!({ "executor": { "envVars": { "A": "b" } } }), "spark.executorEnv.A", "b"),
        (json!({ "hadoopConf": { "a": "b" } }), "spark.hadoop.a", "b"),
        (json!({ "nodeSelector": { "a": "b" } }), "spark.kubernetes.node.selector.a", "b"),
    ] {
        let with = |value: &str| {
            let mut spec = typed.clone();
            spec["sparkConf"] = json!({ conf: value });
            Case::new(spec)
        };
        assert!(with(value).translate().is_ok(), "{conf}: {:?}", with(value).translate());
        let other = if conf.contains("memory") { "1g" } else { "9" };
        let problem = with(other).problem();
        assert!(
            problem.contains(&format!("says another value of {conf} than spec.template.spec.")),
            "{problem}"
        );
    }
}

#[test]
fn labels_of_the_application_are_both_roles_and_their_own_win() {
    let case = Case::new(json!({ "executor": { "labels": { "a": "own" } } })).metadata(json!({ "labels": {
        "a": "all", "app.kubernetes.io/instance": "x", "argocd.argoproj.io/instance": "x",
        "sparkoperator.k8s.io/mutated-by-spark-operator": "true", "kueue.x-k8s.io/queue-name": "q",
    } }));
    let taken = case.taken();
    let all = properties(taken.request.parts());
    let labels: Vec<_> =
        all.iter().filter(|(key, _)| key.contains(".label.") && !key.contains("sparkrouter.dev")).collect();
    assert_eq!(
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
        ["spark.kubernetes.driver.label.a=all", "spark.kubernetes.executor.label.a=own"]
    );
    let notes: Vec<_> = taken.notes.iter().map(|note| note.path.as_str()).collect();
    assert_eq!(notes, ["spec.template.metadata.labels[kueue.x-k8s.io/queue-name]"]);
    let mut conf = case;
    conf.template["spec"]["sparkConf"] = json!({ "spark.kubernetes.driver.label.a": "other" });
    assert!(
        conf.problem().starts_with("spec.template.metadata.labels[a]: says another value"),
        "{}",
        conf.problem()
    );
}

#[test]
fn what_is_no_spark_application_is_not_translated() {
    let mut case = Case::new(json!({}));
    case.template["apiVersion"] = json!("spark.apache.org/v1");
    assert!(case.problem().starts_with("spec.template.apiVersion: only sparkoperator.k8s.io/v1beta2"));
    let named = Case::new(json!({})).metadata(json!({ "name": "x" }));
    assert!(named.problem().starts_with("spec.template.metadata.name: is no field"), "{}", named.problem());
    let mut odd = Case::new(json!({}));
    odd.template["status"] = json!({ "x": 1 });
    assert!(odd.problem().starts_with("spec.template.status: is no field"), "{}", odd.problem());
}

#[test]
fn a_silent_template_gets_what_it_is_accounted_for() {
    let all = |spec: Value| properties(Case::new(spec).taken().request.parts());
    let plain = all(json!({}));
    for (key, value) in [
        ("spark.driver.cores", "1"),
        ("spark.driver.memory", "1g"),
        ("spark.executor.cores", "1"),
        ("spark.executor.memory", "1g"),
        ("spark.executor.instances", "1"),
    ] {
        assert_eq!(plain[key], value);
        let said = all(json!({ "sparkConf": { key: "2g" } }));
        assert_eq!(said[key], "2g");
    }
    for dynamic in [
        json!({ "dynamicAllocation": { "enabled": true } }),
        json!({ "sparkConf": { "spark.dynamicAllocation.enabled": "true" } }),
    ] {
        let all = all(dynamic.clone());
        assert!(!all.contains_key("spark.executor.instances"), "{dynamic}");
        let tracking = all.get("spark.dynamicAllocation.shuffleTracking.enabled").map(String::as_str);
        assert_eq!(tracking, dynamic.get("dynamicAllocation").map(|_| "true"));
    }
}
