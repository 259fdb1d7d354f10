//! What holds for every template.

use std::collections::BTreeMap;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Map, Value, json};

use super::{
    Case, ETL,
    case::{classified, options, properties},
};
use crate::translate::table::{Fate, ROWS};

/// Texts as people write them, and such as nobody should.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        60 => "[a-zA-Z0-9._/:=-]{1,20}",
        20 => "[a-zA-Z0-9]( |[a-zA-Z0-9@#!?*'\"]){0,20}",
        2 => "[ -~]{0,40}",
        1 => ".{0,20}",
        1 => "[a-z]{100}[a-z ]{900,950}",
    ]
}

fn conf() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop_oneof![
        3 => prop::collection::btree_map("spark\\.[a-z]{1,8}(\\.[a-zA-Z]{1,6}){0,2}", text(), 0..12),
        1 => prop::collection::btree_map("spark\\.x\\.[a-z0-9]{3,6}", "[a-z]{1,10}( [a-z])?", 90..160),
    ]
}

fn role() -> impl Strategy<Value = Value> {
    let parts = (
        prop::option::of(0u32..100),
        prop::option::of(prop_oneof![30 => "[1-9][0-9]{0,3}[mMgG]?", 1 => text()]),
        prop::collection::btree_map("[a-z][a-z0-9/.]{0,8}", "[a-zA-Z0-9]([a-z.]{0,8}[a-z])?", 0..4),
        prop::collection::btree_map("[A-Z_]{1,8}", text(), 0..4),
    );
    parts.prop_map(|(cores, memory, labels, env)| {
        json!({ "cores": cores, "memory": memory, "labels": labels, "envVars": env })
    })
}

fn spec() -> impl Strategy<Value = Value> {
    let (arguments, jars) = (prop::collection::vec(text(), 0..4), prop::collection::vec(text(), 0..40));
    (conf(), arguments, text(), role(), role(), jars).prop_map(
        |(conf, arguments, file, driver, executor, jars)| {
            json!({
                "sparkConf": conf, "arguments": arguments, "mainApplicationFile": file,
                "driver": driver, "executor": executor, "deps": { "jars": jars },
            })
        },
    )
}

/// The same value with the keys of its objects in another order, as far as there is one.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            map.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// What is said is in the request, once, or it is named.
    #[test]
    fn nothing_is_lost_and_nothing_said_twice(spec in spec()) {
        let case = Case::new(spec.clone());
        let conf = spec["sparkConf"].as_object().unwrap();
        match case.translate() {
            Ok(taken) => {
                let parts = taken.request.parts();
                let map = classified(parts, "spark-defaults");
                // Panics where the map and the options say the same key.
                let all = properties(parts);
                let sizes = |text: &str| text.trim().to_ascii_lowercase();
                for (key, value) in conf {
                    let said = &all[key];
                    let value = value.as_str().unwrap();
                    prop_assert!(said == value || key.contains("emory") && said.starts_with(&sizes(value)), "{key}");
                }
                for role in ["driver", "executor"] {
                    for (key, value) in spec[role]["labels"].as_object().unwrap() {
                        prop_assert_eq!(&json!(all[&format!("spark.kubernetes.{role}.label.{key}")]), value);
                    }
                    let env = if role == "driver" { "spark.kubernetes.driverEnv." } else { "spark.executorEnv." };
                    for (key, value) in spec[role]["envVars"].as_object().unwrap() {
                        prop_assert_eq!(&json!(all[&format!("{env}{key}")]), value);
                    }
                }
                let jars: Vec<_> = spec["deps"]["jars"].as_array().unwrap().iter().map(|jar| jar.as_str().unwrap()).collect();
                prop_assert_eq!(all.get("spark.jars").cloned().unwrap_or_default(), jars.join(","));
                prop_assert!(map.len() <= 100);
                prop_assert!(map.values().all(|value| value.chars().count() <= 1024 && value.trim() == value));
                let conf_options = options(parts).iter().filter(|option| *option == "--conf").count();
                prop_assert_eq!(conf_options, all.len() - map.len());
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(problem.path.starts_with("spec.template.spec."), "{problem}");
                }
            }
        }
    }

    /// No limit of AWS is passed without a word. The limits are written down again here, on purpose.
    #[test]
    fn no_limit_is_passed(spec in spec()) {
        let Ok(taken) = Case::new(spec).translate() else { return Ok(()) };
        let request: Value = serde_json::from_str(&taken.request.canonical()).unwrap();
        let length = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
        prop_assert!(length(&request["clientToken"]) <= 64 && length(&request["name"]) <= 64);
        let driver = &request["jobDriver"]["sparkSubmitJobDriver"];
        prop_assert!((1..=256).contains(&length(&driver["entryPoint"])));
        prop_assert!(length(&driver["sparkSubmitParameters"]) <= 102_400);
        for argument in driver["entryPointArguments"].as_array().into_iter().flatten() {
            prop_assert!((1..=10_280).contains(&length(argument)));
            let has_brackets = argument.as_str().unwrap().contains(['(', ')', '{', '}', '[', ']']);
            prop_assert!(!has_brackets);
        }
        for class in request["configurationOverrides"]["applicationConfiguration"].as_array().unwrap() {
            let properties = class["properties"].as_object().unwrap();
            prop_assert!(properties.len() <= 100);
            for (key, value) in properties {
                prop_assert!(key.chars().count() <= 1024 && (1..=1024).contains(&length(value)));
            }
        }
        prop_assert!(request["tags"].as_object().unwrap().len() <= 50);
    }

    /// The same input gives the same bytes, whatever the order of its keys.
    #[test]
    fn it_is_deterministic_and_the_order_of_keys_does_not_count(spec in spec()) {
        let case = Case::new(spec);
        let again = case.translate();
        prop_assert_eq!(case.translate(), again.clone());
        let mut turned = case.clone();
        turned.template = reversed(&case.template);
        let other = turned.translate();
        prop_assert_eq!(other.as_ref().map(|taken| &taken.hash), again.as_ref().map(|taken| &taken.hash));
        prop_assert_eq!(other, again);
    }

    /// A change of anything that matters is another hash.
    #[test]
    fn another_value_is_another_hash(one in "[a-z]{1,8}", other in "[a-z]{1,8}") {
        let hash = |value: &str| Case::new(json!({ "sparkConf": { "spark.x": value } })).taken().hash;
        prop_assert_eq!(one == other, hash(&one) == hash(&other));
    }
}

/// The properties above say something of templates that are taken and of such that are not.
#[test]
fn both_kinds_of_templates_are_tried() {
    let mut runner = TestRunner::deterministic();
    let taken = (0..200).filter(|_| {
        let spec = spec().new_tree(&mut runner).unwrap().current();
        Case::new(spec).translate().is_ok()
    });
    let taken = taken.count();
    assert!((40..=180).contains(&taken), "{taken} of 200 are taken");
}

/// Where a text of the request stands in the documentation, it is the one of the table.
#[test]
fn the_table_is_in_the_documentation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/emr.md")).unwrap();
    let table = crate::translate::table::markdown();
    assert!(page.contains(&table), "docs/emr.md must hold this table:\n{table}");
    let reserved = crate::translate::reserved::markdown();
    assert!(page.contains(&reserved), "docs/emr.md must hold this table:\n{reserved}");
    let decided = ROWS.iter().filter(|row| row.fate != Fate::Part).count();
    assert_eq!(table.lines().count(), decided + 2);
}

#[test]
fn what_is_wrong_in_a_member_is_told_in_its_own_words() {
    let case =
        Case::new(json!({})).backend(json!({ "executionRoles": [{ "arn": ETL }], "virtualClusterId": "A" }));
    assert!(case.problem().starts_with("spec.backend.emrContainers.virtualClusterId: has the character 'A'"));
    let release = Case::new(json!({}))
        .backend(json!({ "releases": [{ "sparkVersion": "3.5", "releaseLabel": "emr 7" }] }));
    assert!(
        release
            .problem()
            .starts_with("spec.backend.emrContainers.releases[0].releaseLabel: has the character ' '")
    );
    let logs =
        Case::new(json!({})).backend(json!({ "defaults": { "monitoring": { "s3": { "logUri": "logs" } } } }));
    assert!(
        logs.problem().starts_with("spec.backend.emrContainers.defaults.monitoring.s3.logUri: is no address")
    );
    let properties: Map<_, _> = (0..101).map(|n| (format!("k{n}"), json!("v"))).collect();
    let many = Case::new(json!({}))
        .backend(json!({ "fixed": { "applicationConfiguration": [{ "classification": "c", "properties": properties }] } }));
    assert!(many.problem().contains("has 101 entries; EMR on EKS takes 100"), "{}", many.problem());
}
