//! Runs the demo as a user does and does not believe it: every number of its JSON is counted again with kubectl.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at what it did not expect")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use common::{Demo, text};

const MEMBERS: [&str; 3] = ["alpha", "beta", "gamma"];

/// What must be true of each job, by name: phase, and a word of reason, message or error.
fn end_of(name: &str) -> (&'static str, &'static str) {
    match name {
        "fails" => ("Failed", "ValueError"),
        "rejected" => ("Failed", "should be greater than or equal to 1"),
        "never-fits" => ("Queued", "NeverFits"),
        _ => ("Succeeded", ""),
    }
}

#[test]
fn the_demo_tells_the_truth_and_leaves_nothing() {
    let demo = Demo::start(&[]);
    let report = demo.report();
    let kubectl = demo.kubectl();

    // The jobs, as any user sees them.
    let jobs = kubectl.get("hub", &["routedsparkjobs", "-n", "demo"]);
    assert_eq!(jobs.len(), 20);
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    let mut as_stated = true;
    for job in &jobs {
        let (name, phase) = (text(job, "/metadata/name"), text(job, "/status/phase"));
        *phases.entry(phase).or_default() += 1;
        let (wanted, word) = end_of(name);
        let status = job["status"].to_string();
        if phase != wanted || !status.contains(word) {
            eprintln!("{name} is not {wanted} with {word:?}: {status}");
            as_stated = false;
        }
    }
    assert_eq!(report["jobs"], json!(phases));
    let retried = jobs.iter().find(|job| text(job, "/metadata/name") == "retried").unwrap();
    assert_eq!(retried.pointer("/status/application/attempts"), Some(&json!(2)));

    // What members hold, as their administrators see it.
    let uids: BTreeSet<&str> = jobs.iter().map(|job| text(job, "/metadata/uid")).collect();
    let mut placements: BTreeMap<&str, usize> = BTreeMap::new();
    let mut per_job: BTreeMap<String, usize> = BTreeMap::new();
    for member in MEMBERS {
        let applications = kubectl.get(member, &["sparkapplications", "--all-namespaces"]);
        placements.insert(member, applications.len());
        for application in &applications {
            let job = application["metadata"]["labels"]["sparkrouter.dev/job-uid"].as_str().unwrap();
            assert!(uids.contains(job), "{application:#}");
            *per_job.entry(job.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(report["placements"], json!(placements));
    let created: usize = per_job.values().sum();
    let most = per_job.values().max().copied().unwrap_or_default();
    let remote = json!({"jobs": per_job.len(), "created": created, "maxPerJob": most});
    assert_eq!(report["remoteApplications"], remote);

    // The weights: all members can take 17 jobs, and only alpha and beta the big one.
    let queues = kubectl.get("hub", &["sparkqueues"]);
    let routes = queues[0]["spec"]["routes"].as_array().unwrap();
    let weight = |member: &str| {
        let route = routes.iter().find(|route| route["clusters"]["names"][0] == member).unwrap();
        route["weight"].as_f64().unwrap()
    };
    let mut expected: BTreeMap<&str, f64> = BTreeMap::new();
    for job in jobs.iter().filter(|job| per_job.contains_key(text(job, "/metadata/uid"))) {
        // On a machine that is overloaded a member may miss probes, and is then no candidate for a moment.
        let excluded: Vec<String> =
            serde_json::from_value(job["status"]["placement"]["excluded"].clone()).unwrap_or_default();
        let is_big = text(job, "/metadata/name") == "big";
        assert!(!is_big || excluded.contains(&"gamma".to_owned()), "{job:#}");
        let candidates = || MEMBERS.into_iter().filter(|member| !excluded.iter().any(|it| it == member));
        let sum: f64 = candidates().map(weight).sum();
        for member in candidates() {
            *expected.entry(member).or_default() += weight(member) / sum;
        }
    }
    let mut fair = true;
    for member in MEMBERS {
        let (expected, reported) = (expected[member], report["expected"][member].as_f64().unwrap());
        assert!((reported - expected).abs() < 0.01, "{member}: {reported} instead of {expected}");
        let placed = f64::from(u32::try_from(placements[member]).unwrap());
        fair &= (placed - expected).abs() <= 1.0;
    }
    let once = per_job.len() == 18 && created == 18 && most == 1;
    assert_eq!(report["ok"], json!(as_stated && fair && once));
    assert_eq!(report["ok"], json!(true));
    let calls = report["apiCallsPerJob"].as_f64().unwrap();
    assert!(calls > 3.0 && calls <= 12.0, "{calls} API calls a job");
    assert!(report["seconds"].as_f64().unwrap() > 1.0);
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys.iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([
            "apiCallsPerJob",
            "expected",
            "jobs",
            "ok",
            "placements",
            "remoteApplications",
            "seconds"
        ])
    );

    demo.end(&kubectl);
}
