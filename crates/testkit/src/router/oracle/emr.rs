//! What the router asked of EMR on EKS, by the server's own record.
//!
//! Purpose: job runs beside SparkApplications, and calls of AWS beside those of Kubernetes. Owns no state. It must never
//! count what goes on without jobs as a job's: walks over all runs, looks at the virtual cluster.

use spark_router_api::names::{ATTEMPT_LABEL, JOB_UID_LABEL};

use super::{Purpose, RemoteApplication, RemoteApplications, RouterCalls};
use crate::moto::{Calls, Run};

impl RemoteApplications {
    /// Adds the job runs that a member's virtual cluster holds. It keeps all that were ever made.
    pub fn add_runs(&mut self, member: &str, runs: &[Run]) {
        for run in runs {
            let Some(job) = run.tags.get(JOB_UID_LABEL) else { continue };
            let application = RemoteApplication {
                cluster: member.to_owned(),
                uid: run.id.clone(),
                attempt: run.tags.get(ATTEMPT_LABEL).cloned().unwrap_or_default(),
            };
            self.by_job.entry(job.clone()).or_default().insert(application);
        }
    }
}

impl RouterCalls {
    /// Adds the calls that came in for a member, but for so many first ones. A call that was refused counts like one that
    /// was heeded.
    pub fn add_aws(&mut self, member: &str, calls: &Calls, first: usize) {
        for (operation, _, query) in calls.calls.iter().skip(first) {
            let (purpose, kind) = purpose(operation, query);
            *self.counts.entry((purpose, member.to_owned(), kind)).or_default() += 1;
        }
    }
}

/// A list by name is a look for one run.
fn purpose(operation: &str, query: &str) -> (Purpose, String) {
    let by_name = query.split('&').any(|part| part.starts_with("name="));
    match operation {
        "StartJobRun" | "DescribeJobRun" | "CancelJobRun" => (Purpose::Job, operation.to_owned()),
        "ListJobRuns" if by_name => (Purpose::Job, "ListJobRuns by name".to_owned()),
        _ => (Purpose::Standing, operation.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn walks_and_probes_are_no_jobs() {
        let call = |operation: &str, query: &str| (operation.to_owned(), String::new(), query.to_owned());
        let calls = Calls {
            counts: BTreeMap::new(),
            calls: vec![
                call("CreateVirtualCluster", ""),
                call("StartJobRun", ""),
                call("ListJobRuns", "maxResults=100&name=daily"),
                call("ListJobRuns", "states=PENDING&states=RUNNING"),
                call("DescribeVirtualCluster", ""),
                call("DescribeJobRun", ""),
                call("CancelJobRun", ""),
            ],
            starts: Vec::new(),
        };
        let mut counted = RouterCalls::default();
        counted.add_aws("emr", &calls, 1);
        assert_eq!((counted.total(Purpose::Job), counted.total(Purpose::Standing)), (4, 2));
        let to: Vec<_> = counted.to("emr").collect();
        assert!(to.contains(&(Purpose::Job, "ListJobRuns by name", 1)), "{to:?}");
        assert!(to.contains(&(Purpose::Standing, "ListJobRuns", 1)), "{to:?}");
        assert_eq!(counted.to("other").count(), 0);
    }

    #[test]
    fn two_runs_of_a_job_are_two_applications() {
        let run = |id: &str, job: Option<&str>| Run {
            id: id.to_owned(),
            name: "daily".to_owned(),
            cluster: "v".to_owned(),
            token: "t".to_owned(),
            state: "RUNNING".to_owned(),
            tags: job.map(|job| (JOB_UID_LABEL.to_owned(), job.to_owned())).into_iter().collect(),
            cancels: 0,
            tries: 1,
        };
        let mut remote = RemoteApplications::default();
        remote.add_runs("emr", &[run("a", Some("j")), run("b", Some("j")), run("c", None)]);
        assert_eq!((remote.jobs(), remote.created(), remote.max_per_job()), (1, 2, 2));
    }
}
