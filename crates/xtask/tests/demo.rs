//! Runs the demo as a user does and does not believe it: every number of its JSON is counted again with kubectl.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at what it did not expect")]

mod common;
mod recount;

use common::{Demo, text};

#[test]
fn the_demo_tells_the_truth_and_leaves_nothing() {
    let demo = Demo::start(&[]);
    let report = demo.report();
    let kubectl = demo.kubectl();
    let jobs = recount::jobs(&kubectl);
    let queues = kubectl.get("hub", &["sparkqueues"]);
    let remote = recount::MEMBERS
        .map(|member| (member, recount::applications(&kubectl, member, "sparkoperator.k8s.io/v1beta2")));
    recount::hold_against(&report, &jobs, &queues[0], &remote.into(), |job| {
        match text(job, "/metadata/name") {
            "fails" => ("Failed", "ValueError"),
            "rejected" => ("Failed", "should be greater than or equal to 1"),
            "never-fits" => ("Queued", "NeverFits"),
            _ => ("Succeeded", ""),
        }
    });
    demo.end(&kubectl);
}
