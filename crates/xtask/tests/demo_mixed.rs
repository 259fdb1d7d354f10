//! Runs the demo on three kinds of members as a user does, and counts again: with kubectl on the two clusters, and for EMR
//! on EKS by the API that AWS has.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at what it did not expect")]

mod common;
mod recount;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use common::{Demo, Kubectl, text};

/// The member with EMR on EKS; the first has Kubeflow's operator, the third Apache's.
const EMR: &str = "beta";

/// All job runs of the virtual cluster that the MemberCluster names, as ListJobRuns gives them.
fn job_runs(kubectl: &Kubectl) -> Vec<Value> {
    let members = kubectl.get("hub", &["memberclusters"]);
    let member = members.iter().find(|member| text(member, "/metadata/name") == EMR).unwrap();
    let backend = &member["spec"]["backend"]["emrContainers"];
    let (url, cluster) = (text(backend, "/endpointUrl"), text(backend, "/virtualClusterId"));
    let host = url.strip_prefix("http://").unwrap();
    // moto reads from the signature which service is meant, and checks none.
    let scope = "testing/20260101/eu-west-1/emr-containers/aws4_request";
    let request = format!(
        "GET /virtualclusters/{cluster}/jobruns?maxResults=100 HTTP/1.0\r\nHost: {host}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\r\n"
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    let list: Value = serde_json::from_str(body).unwrap();
    assert!(list["nextToken"].is_null(), "{list}");
    list["jobRuns"].as_array().unwrap().clone()
}

#[test]
fn the_mixed_demo_tells_the_truth_and_leaves_nothing() {
    let demo = Demo::start(&["--mixed"]);
    let report = demo.report();
    let kubectl = demo.kubectl();
    let jobs = recount::jobs(&kubectl);
    let queues = kubectl.get("hub", &["sparkqueues"]);
    let runs = job_runs(&kubectl);
    let job_of = |run: &Value| run["tags"]["sparkrouter.dev/job-uid"].as_str().unwrap().to_owned();
    let remote = BTreeMap::from([
        ("alpha", recount::applications(&kubectl, "alpha", "sparkoperator.k8s.io/v1beta2")),
        (EMR, runs.iter().map(job_of).collect()),
        ("gamma", recount::applications(&kubectl, "gamma", "spark.apache.org/v1")),
    ]);
    for (member, held) in &remote {
        assert!(held.len() > 1, "{member} should have had its share: {held:?}");
    }
    recount::hold_against(&report, &jobs, &queues[0], &remote, |job| match text(job, "/metadata/name") {
        "fails" if text(job, "/status/cluster") == "alpha" => ("Failed", "ValueError"),
        "fails" => ("Failed", "exit code 1"),
        "rejected" => ("Failed", "should be greater than or equal to 1"),
        "never-fits" => ("Queued", "NeverFits"),
        _ => ("Succeeded", ""),
    });

    // Each run is the one that its job's status speaks of, and ended as it says.
    for run in &runs {
        let job = jobs.iter().find(|job| text(job, "/metadata/uid") == job_of(run)).unwrap();
        assert_eq!(text(job, "/status/cluster"), EMR);
        assert_eq!(text(job, "/status/placement/remoteName"), text(run, "/name"));
        assert_eq!(text(job, "/status/application/submissionId"), text(run, "/id"));
        let ended = if text(job, "/status/phase") == "Succeeded" { "COMPLETED" } else { "FAILED" };
        assert_eq!(text(run, "/state"), ended, "{job:#}");
    }
    demo.end(&kubectl);
}
