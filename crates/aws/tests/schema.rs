//! The list of fields that translation is held against is that of the operator whose version `tools/` pins.

use serde_json::Value;
use spark_router_testkit::tools;

const LIST: &str = include_str!("../schema/sparkapplication-v1beta2.txt");

fn outline(schema: &Value, depth: usize, lines: &mut Vec<String>) {
    let mut below = |name: &str, schema: &Value| {
        lines.push(format!("{}{name}", " ".repeat(depth)));
        outline(schema, depth + 1, lines);
    };
    let properties: std::collections::BTreeMap<_, _> =
        schema["properties"].as_object().into_iter().flatten().collect();
    for (name, schema) in properties {
        below(name, schema);
    }
    for (name, part) in [("{}", "additionalProperties"), ("[]", "items")] {
        if schema[part].is_object() {
            below(name, &schema[part]);
        }
    }
}

#[test]
fn the_list_is_that_of_the_pinned_operator() {
    let files = tools::ensure(&|line| println!("{line}")).unwrap().spark_operator_crds();
    let file = files.iter().find(|file| file.ends_with("sparkapplications.json")).unwrap();
    let definition: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let version =
        definition["spec"]["versions"].as_array().unwrap().iter().find(|v| v["name"] == "v1beta2").unwrap();
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut lines = Vec::new();
    outline(spec, 0, &mut lines);
    let listed: Vec<_> = LIST.lines().filter(|line| !line.starts_with('#')).collect();
    let missing: Vec<_> = lines.iter().filter(|line| !listed.contains(&line.as_str())).collect();
    assert!(missing.is_empty(), "new fields, to be decided about: {missing:#?}");
    assert_eq!(listed, lines, "write the list anew from the definition");
    let pinned = include_str!("../../../tools/spark-operator/go.mod");
    let named = LIST.split_whitespace().find(|word| word.starts_with("v2")).unwrap();
    assert!(
        pinned.contains(&format!("github.com/kubeflow/spark-operator/v2 {named}")),
        "the list names {named}"
    );
}
