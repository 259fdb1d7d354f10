//! The numbers of the demo's twenty jobs, counted again.
//!
//! Purpose: from what kubectl shows of the jobs, and from the jobs' uids on what each member holds, say what the demo's
//! object must be, and hold the two together. Owns no state. It must never share a line with the demo.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::common::{Kubectl, text};

/// The members, in each lane.
pub(crate) const MEMBERS: [&str; 3] = ["alpha", "beta", "gamma"];

/// The jobs, as any user sees them.
pub(crate) fn jobs(kubectl: &Kubectl) -> Vec<Value> {
    let jobs = kubectl.get("hub", &["routedsparkjobs", "-n", "demo"]);
    assert_eq!(jobs.len(), 20);
    jobs
}

/// The uids of the jobs that the SparkApplications of a member are for, as its administrators see it.
pub(crate) fn applications(kubectl: &Kubectl, member: &str, api_version: &str) -> Vec<String> {
    let applications = kubectl.get(member, &["sparkapplications", "--all-namespaces"]);
    let job = |application: &Value| {
        assert_eq!(text(application, "/apiVersion"), api_version);
        application["metadata"]["labels"]["sparkrouter.dev/job-uid"].as_str().unwrap().to_owned()
    };
    applications.iter().map(job).collect()
}

/// `remote`: the uid of a job for each thing that a member holds for one. `end_of`: what must be true of a job: its phase,
/// and a word of reason, message or error.
pub(crate) fn hold_against(
    report: &Value,
    jobs: &[Value],
    queue: &Value,
    remote: &BTreeMap<&str, Vec<String>>,
    end_of: impl Fn(&Value) -> (&'static str, &'static str),
) {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    let mut as_stated = true;
    for job in jobs {
        let (name, phase) = (text(job, "/metadata/name"), text(job, "/status/phase"));
        *phases.entry(phase).or_default() += 1;
        let (wanted, word) = end_of(job);
        let status = job["status"].to_string();
        if phase != wanted || !status.contains(word) {
            eprintln!("{name} is not {wanted} with {word:?}: {status}");
            as_stated = false;
        }
    }
    assert_eq!(report["jobs"], json!(phases));
    let retried = jobs.iter().find(|job| text(job, "/metadata/name") == "retried").unwrap();
    assert_eq!(retried.pointer("/status/application/attempts"), Some(&json!(2)));

    let uids: BTreeSet<&str> = jobs.iter().map(|job| text(job, "/metadata/uid")).collect();
    let placements: BTreeMap<&str, usize> =
        remote.iter().map(|(member, held)| (*member, held.len())).collect();
    let mut per_job: BTreeMap<&str, usize> = BTreeMap::new();
    for job in remote.values().flatten() {
        assert!(uids.contains(job.as_str()), "{job} is no job");
        *per_job.entry(job).or_default() += 1;
    }
    assert_eq!(report["placements"], json!(placements));
    let created: usize = per_job.values().sum();
    let most = per_job.values().max().copied().unwrap_or_default();
    let counted = json!({"jobs": per_job.len(), "created": created, "maxPerJob": most});
    assert_eq!(report["remoteApplications"], counted);

    // The weights: all members can take 17 jobs, and only alpha and beta the big one.
    let routes = queue["spec"]["routes"].as_array().unwrap();
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
    let keys: BTreeSet<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let all = ["apiCallsPerJob", "expected", "jobs", "ok", "placements", "remoteApplications", "seconds"];
    assert_eq!(keys, BTreeSet::from(all));
}
