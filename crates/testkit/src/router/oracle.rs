//! What the router really did, by the audit logs of the API servers, and by the record of whoever plays AWS.
//!
//! Purpose: count remote applications per job and API calls per job. Owns no state. It must never ask the router or read
//! what the router wrote about itself: these are the witnesses against it.

mod emr;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use spark_router_api::names::{ATTEMPT_LABEL, JOB_UID_LABEL};

use super::USER;
use crate::Error;
use crate::audit::{Call, Mark};
use crate::cluster::Cluster;

/// A SparkApplication that a member has ever created for a job, of either operator's kind; or a job run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemoteApplication {
    /// The member.
    pub cluster: String,
    /// Its uid there.
    pub uid: String,
    /// The attempt on its label.
    pub attempt: String,
}

/// All SparkApplications that members have ever created for jobs, by the job's uid. Two for one attempt of a job would be
/// a job that ran twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteApplications {
    by_job: BTreeMap<String, BTreeSet<RemoteApplication>>,
}

impl RemoteApplications {
    /// Reads the audit logs of the members from their start.
    pub fn read<'a>(members: impl IntoIterator<Item = &'a Cluster>) -> Result<Self, Error> {
        let mut by_job: BTreeMap<String, BTreeSet<RemoteApplication>> = BTreeMap::new();
        for member in members {
            for call in member.audit().calls()? {
                if call.resource != "sparkapplications" {
                    continue;
                }
                let (Some(uid), Some(job)) = (call.created_uid(), call.label(JOB_UID_LABEL)) else {
                    continue;
                };
                let application = RemoteApplication {
                    cluster: member.name().to_owned(),
                    uid: uid.to_owned(),
                    attempt: call.label(ATTEMPT_LABEL).unwrap_or_default().to_owned(),
                };
                by_job.entry(job.to_owned()).or_default().insert(application);
            }
        }
        Ok(Self { by_job })
    }

    /// How many jobs have had one.
    pub fn jobs(&self) -> usize {
        self.by_job.len()
    }

    /// How many there have been: distinct uids.
    pub fn created(&self) -> usize {
        self.by_job.values().map(BTreeSet::len).sum()
    }

    /// The most that one job has had.
    pub fn max_per_job(&self) -> usize {
        self.by_job.values().map(BTreeSet::len).max().unwrap_or_default()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &RemoteApplication> {
        self.by_job.values().flatten()
    }

    /// Those of one job.
    pub fn of(&self, job_uid: &str) -> impl Iterator<Item = &RemoteApplication> {
        self.by_job.get(job_uid).into_iter().flatten()
    }

    /// Jobs with more than one, for failed tests.
    pub fn repeated(&self) -> impl Iterator<Item = (&str, &BTreeSet<RemoteApplication>)> {
        self.by_job.iter().filter(|(_, all)| all.len() > 1).map(|(job, all)| (job.as_str(), all))
    }
}

/// What a call of the router is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The life of one job: it would not have been made without the job.
    Job,
    /// A write of a job's status that changed only executor counts.
    ExecutorCounts,
    /// An event.
    Event,
    /// A look at the lease, or its renewal: by the clock, whatever else goes on.
    Lease,
    /// Everything that goes on without jobs too: lists, watches, probes, status of members and queues.
    Standing,
}

/// The calls of the router, counted by purpose, cluster and [`Call::kind`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouterCalls {
    counts: BTreeMap<(Purpose, String, String), usize>,
}

impl RouterCalls {
    /// Reads the audit logs from the marks on. A write that was refused counts like one that was taken.
    pub fn read<'a>(clusters: impl IntoIterator<Item = (&'a Cluster, Mark)>) -> Result<Self, Error> {
        let mut counts = BTreeMap::new();
        for (cluster, mark) in clusters {
            let mut statuses = BTreeMap::new();
            for call in cluster.audit().since(mark)?.iter().filter(|call| call.user == USER) {
                let key = (purpose(call, &mut statuses), cluster.name().to_owned(), call.kind());
                *counts.entry(key).or_default() += 1;
            }
        }
        Ok(Self { counts })
    }

    /// How many calls of that purpose there were.
    pub fn total(&self, purpose: Purpose) -> usize {
        self.counts.iter().filter(|((of, ..), _)| *of == purpose).map(|(_, count)| count).sum()
    }

    /// The calls to one cluster: what each was for, its kind, and how many there were.
    pub fn to(&self, cluster: &str) -> impl Iterator<Item = (Purpose, &str, usize)> {
        let to = self.counts.iter().filter(move |((_, to, _), _)| to == cluster);
        to.map(|((purpose, _, kind), count)| (*purpose, kind.as_str(), *count))
    }

    /// Calls for the jobs' lives, divided by their number.
    pub fn per_job(&self, jobs: usize) -> f64 {
        let whole = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
        if jobs == 0 { 0.0 } else { whole(self.total(Purpose::Job)) / whole(jobs) }
    }

    /// One line for each purpose, cluster and kind, with its count.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.counts.iter().map(|((purpose, cluster, kind), count)| {
            format!("{count:>6}  {cluster:<8} {kind:<36} {purpose:?}")
        })
    }
}

/// `statuses` holds the last status that was written to each job.
fn purpose(call: &Call, statuses: &mut BTreeMap<String, Value>) -> Purpose {
    match (call.resource.as_str(), call.verb.as_str()) {
        ("events", _) => Purpose::Event,
        ("leases", _) => Purpose::Lease,
        ("routedsparkjobs" | "sparkapplications", "list" | "watch") | ("pods", "watch") => Purpose::Standing,
        ("routedsparkjobs", "patch") if call.subresource == "status" => {
            let job = format!("{}/{}", call.namespace, call.name);
            let Some(status) = call.request.as_ref().and_then(|body| body.get("status")) else {
                return Purpose::Job;
            };
            match statuses.insert(job, status.clone()) {
                // The very same once more is no news of executors: it is a call too many.
                Some(before)
                    if before != *status && without_executors(&before) == without_executors(status) =>
                {
                    Purpose::ExecutorCounts
                }
                _ => Purpose::Job,
            }
        }
        ("routedsparkjobs" | "sparkapplications" | "pods", _) => Purpose::Job,
        _ => Purpose::Standing,
    }
}

fn without_executors(status: &Value) -> Value {
    let mut status = status.clone();
    if let Some(application) = status.get_mut("application").and_then(Value::as_object_mut) {
        application.remove("executors");
    }
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status_write(status: &Value) -> Call {
        Call {
            id: String::new(),
            verb: "patch".to_owned(),
            group: "sparkrouter.dev".to_owned(),
            resource: "routedsparkjobs".to_owned(),
            subresource: "status".to_owned(),
            namespace: "team".to_owned(),
            name: "pi".to_owned(),
            user: USER.to_owned(),
            agent: String::new(),
            uri: String::new(),
            code: 200,
            received: String::new(),
            done: String::new(),
            request: Some(json!({"status": status})),
            response: None,
        }
    }

    #[test]
    fn a_write_of_executor_counts_alone_is_told_apart() {
        let mut statuses = BTreeMap::new();
        let mut write = |status| purpose(&status_write(&status), &mut statuses);
        let running = |n: u32| json!({"phase": "Running", "application": {"executors": {"running": n}}});
        assert_eq!(write(running(1)), Purpose::Job);
        assert_eq!(write(running(2)), Purpose::ExecutorCounts);
        assert_eq!(write(running(2)), Purpose::Job, "nothing is new");
        assert_eq!(write(json!({"phase": "Succeeded", "application": {}})), Purpose::Job);
    }
}
