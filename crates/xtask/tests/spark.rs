//! The demo's lane with real Spark, as a user runs it: each result is looked up again with kubectl.
//!
//! Needs Java 17 and Python; without them it says so and is skipped, unless `SPARK_ROUTER_REQUIRE_SPARK=1`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod common;

use std::collections::BTreeSet;

use serde_json::json;
use spark_router_testkit::{chain, pyspark};

use common::{Demo, text};

#[test]
fn real_spark_runs_where_the_router_puts_it() {
    if !pyspark::wanted().unwrap_or_else(|error| panic!("{}", chain(&error))) {
        return;
    }
    let demo = Demo::start(&["--spark"]);
    let report = demo.report();
    let kubectl = demo.kubectl();

    assert_eq!(report["ok"], json!(true));
    assert_eq!(report["jobs"], json!({"Succeeded": 2, "Failed": 1}));
    assert_eq!(report["placements"], json!({"alpha": 1, "beta": 1, "gamma": 1}));
    assert_eq!(report["expected"], json!({"alpha": 1.0, "beta": 1.0, "gamma": 1.0}));
    assert_eq!(report["remoteApplications"], json!({"jobs": 3, "created": 3, "maxPerJob": 1}));
    let calls = report["apiCallsPerJob"].as_f64().unwrap();
    assert!(calls > 3.0 && calls <= 12.0, "{calls} API calls a job");

    // The hub has what the report says, and the logs on the members have the drivers' own words for it.
    let jobs = kubectl.get("hub", &["routedsparkjobs", "-n", "demo"]);
    assert_eq!(jobs.len(), 3);
    let mut members = BTreeSet::new();
    for job in &jobs {
        let (name, phase) = (text(job, "/metadata/name"), text(job, "/status/phase"));
        let (cluster, error) = (text(job, "/status/cluster"), text(job, "/status/application/error"));
        let log = kubectl.run(cluster, &["logs", "-n", "demo", text(job, "/status/application/driverPod")]);
        let (wanted, line) = match name {
            "pi" => ("Succeeded", report["spark"]["piLine"].as_str().unwrap().to_owned()),
            "csv-to-parquet" => ("Succeeded", format!("Parquet rows: {}", report["spark"]["parquetRows"])),
            "raises" => {
                ("Failed", "ValueError: column 'amount' is missing, there are only ['id']".to_owned())
            }
            other => panic!("nobody sent {other}"),
        };
        assert_eq!(phase, wanted, "{job:#}");
        assert!(log.lines().any(|it| it == line), "no {line:?} in the log of {name}:\n{log}");
        if name == "raises" {
            assert_eq!(error, line);
            assert_eq!(report["spark"]["error"], json!(error));
        } else {
            assert_eq!(error, "", "{job:#}");
            // It computed on an executor, not alone.
            assert!(log.contains("Registered executor"), "{log}");
        }
        members.insert(cluster);
    }
    assert_eq!(members, BTreeSet::from(["alpha", "beta", "gamma"]));
    assert!(report["spark"]["piLine"].as_str().unwrap().starts_with("Pi is roughly 3.1"), "{report}");
    assert_eq!(report["spark"]["parquetRows"], json!(4));
    demo.end(&kubectl);
}
