//! `spark-router simulate` as people call it: the documented example, the JSON, and what it says of bad input.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a failure is a failure")]

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn example(file: &str) -> String {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/simulate");
    docs.join(file).display().to_string()
}

fn simulate(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_spark-router");
    Command::new(program).arg("simulate").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = simulate(&[arguments, &["--format", "json", "--quiet"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn error(arguments: &[&str]) -> String {
    let output = simulate(arguments);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_documented_example_gives_what_the_page_says() {
    let page =
        std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulate.md"))
            .unwrap();
    let pictures = tempfile::tempdir().unwrap();
    let (fleet, trace) = (example("fleet.yaml"), example("hours.csv"));
    let directory = pictures.path().display().to_string();
    let output = simulate(&["--members", &fleet, "--trace", &trace, "--plots", &directory]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        // How fast it was is another machine's.
        let is_told = line.starts_with("decisions a second") || page.lines().any(|told| told == line);
        assert!(is_told, "the page does not have: {line}");
    }
    for picture in ["utilisation.svg", "wait.svg"] {
        let svg = std::fs::read_to_string(pictures.path().join(picture)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("<polyline"), "{picture}");
    }
}

#[test]
fn the_json_has_the_documented_keys_and_no_others() {
    let report = json(&["--generate", "jobs=500,members=2"]);
    let mut keys: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = [
        "decisionsPerSecond",
        "fairness",
        "jobs",
        "maxWeightError",
        "placed",
        "unplaced",
        "utilisation",
        "waitSeconds",
    ];
    assert_eq!(keys, expected);
    assert_eq!(report["placed"], 500);
    assert!(report["waitSeconds"]["p99"].is_number() && report["utilisation"]["member-0001"].is_number());
}

#[test]
fn weights_hold_after_every_placement() {
    for weights in ["40/30/20/10", "60/40x1"] {
        let report = json(&["--generate", &format!("jobs=2000,cores=0,weights={weights}")]);
        assert!(report["maxWeightError"].as_f64().unwrap() < 1.0, "{report}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let fleet = example("fleet.yaml");
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let trace =
        file("t.csv", "arrival,queue,namespace,cpu,memory,executors,duration\n0,etl,a,1,1Gi,many,5\n");
    let said = error(&["--members", &fleet, "--trace", &trace]);
    assert!(said.contains("line 2, column executors: \"many\" is not a number of executors"), "{said}");
    let said = error(&["--members", &file("m.yaml", "kind: Pod\n"), "--generate", "jobs=1"]);
    assert!(said.contains("document 1: kind \"Pod\" is not read"), "{said}");
    let bad = "kind: MemberCluster\napiVersion: sparkrouter.dev/v1alpha1\nmetadata: {name: a}\nspec:\n  backend: {sparkOperator: {}}\n  \
               connection: {inCluster: {}}\n  capacity: {cpu: lots}\n";
    let said = error(&["--members", &file("c.yaml", bad), "--generate", "jobs=1"]);
    assert!(said.contains("spec.capacity.cpu: \"lots\""), "{said}");
    let said = error(&["--generate", "nodes=5"]);
    assert!(said.contains("there are members, jobs, queues"), "{said}");
}
