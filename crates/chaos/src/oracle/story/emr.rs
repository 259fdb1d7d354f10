//! Stories of other kinds of members: what Apache's operator would write, and what a server of EMR on EKS record.
//!
//! Owns no state.

use serde_json::{Value, json};

use super::super::life::tests::at;
use super::{Story, TEAM, merge, placement};
use crate::evidence::Backend;

/// Both, the second one on top.
pub(crate) fn merged(mut into: Value, change: Value) -> Value {
    merge(&mut into, change);
    into
}

/// That a start made a run.
pub(crate) fn started(job: &str, attempt: u32, run: &str) -> Value {
    json!({
        "event": "started", "run": run, "cluster": TEAM, "name": format!("{job}-{attempt}"),
        "token": format!("uid-{job}-{attempt}"),
        "tags": {"sparkrouter.dev/job-uid": format!("uid-{job}"), "sparkrouter.dev/attempt": attempt.to_string()},
    })
}

impl Story {
    /// A member is a virtual cluster.
    pub(crate) fn on_emr(&mut self, member: &str) {
        self.backends.insert(member.to_owned(), Backend::EmrContainers);
    }

    /// Apache's operator acts on a member.
    pub(crate) fn on_apache(&mut self, member: &str) {
        self.backends.insert(member.to_owned(), Backend::Apache);
    }

    /// Apache's operator writes a state.
    pub(crate) fn apache_state(&mut self, second: i64, member: &str, name: &str, state: &str) {
        let current = json!({
            "currentStateSummary": state, "message": "", "lastTransitionTime": at(second).to_string(),
        });
        let status = json!({"currentState": current});
        let body = json!({
            "objectRef": {"apiGroup": "spark.apache.org"},
            "requestObject": {"status": status.clone()}, "user": {"username": "admin"},
        });
        self.log(member, second, ("patch", "sparkapplications/status", name), 200, body);
        self.change(member, "SparkApplication", name, json!({"status": status}));
    }

    /// A line of a record.
    pub(crate) fn event(&mut self, member: &str, second: i64, event: Value) {
        let line = merged(event, json!({"at": at(second).to_string()}));
        self.raw(member, &line.to_string());
    }

    /// How a start came out: whether its token was known, its status, and how long that took.
    pub(crate) fn asked(
        &mut self,
        second: i64,
        member: &str,
        job: &str,
        attempt: u32,
        run: Option<&str>,
        (known, status, done): (bool, u16, f64),
    ) {
        let event = json!({
            "event": "asked", "operation": "StartJobRun", "name": format!("{job}-{attempt}"), "job": format!("uid-{job}"),
            "token": format!("uid-{job}-{attempt}"), "run": run, "known": known, "done": done, "status": status,
            "code": match status { 400 => "ValidationException", 403 => "ExpiredTokenException", _ => "Other" },
        });
        self.event(member, second, event);
    }

    /// A start makes a run; how it is answered is another matter.
    pub(crate) fn begins(&mut self, second: i64, member: &str, job: &str, attempt: u32, run: &str) {
        let started = started(job, attempt, run);
        self.event(member, second, started.clone());
        let object = json!({"kind": "JobRun", "id": run, "state": "PENDING", "metadata": {"name": run}});
        self.set(member, merged(started, object));
    }

    /// A run is started, and the answer is heard.
    pub(crate) fn starts(&mut self, second: i64, member: &str, job: &str, attempt: u32, run: &str) {
        self.begins(second, member, job, attempt, run);
        self.asked(second, member, job, attempt, Some(run), (false, 200, 0.1));
    }

    /// A run is started, and nobody hears of it.
    pub(crate) fn starts_unheard(&mut self, second: i64, member: &str, job: &str, attempt: u32, run: &str) {
        self.begins(second, member, job, attempt, run);
        self.asked(second, member, job, attempt, Some(run), (false, 0, 0.1));
    }

    /// A run comes to a state.
    pub(crate) fn run_state(&mut self, second: i64, member: &str, run: &str, state: &str) {
        let event = json!({"event": "state", "run": run, "state": state, "details": null, "reason": null});
        self.event(member, second, event);
        self.change(member, "JobRun", run, json!({"state": state}));
    }

    /// A run is RUNNING, and on record as the job's.
    pub(crate) fn runs(&mut self, second: i64, job: &str, attempt: u32, member: &str, run: &str) {
        self.run_state(second, member, run, "RUNNING");
        let placement = merged(placement(job, attempt, member), json!({"remoteUid": run}));
        let status = json!({"placement": placement, "application": {"state": "RUNNING"}});
        self.status(second + 1, job, "Running", "Running", status);
    }

    /// A job comes to an end on record: phase, reason, and the state of its run.
    pub(crate) fn ends(
        &mut self,
        second: i64,
        job: &str,
        attempt: u32,
        member: &str,
        run: &str,
        (phase, reason, state): (&str, &str, &str),
    ) {
        let placement = merged(placement(job, attempt, member), json!({"remoteUid": run}));
        let status = json!({"placement": placement, "application": {"state": state}});
        self.status(second, job, phase, reason, status);
    }
}
