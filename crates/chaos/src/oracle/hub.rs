//! The course of each job as the hub's audit log has it: who wrote what when.
//!
//! Owns what one pass over the log has found so far. Only writes that were taken count. It reads what the router wrote
//! about jobs, because that is what is judged; it must never take it for what happened.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use super::audit::{Line, Reader, Tally};
use super::names;
use super::view::{Condition, JobView, Past, Placement};
use crate::error::Error;
use crate::evidence::{Side, Submitted};

/// Lines without one of these are of no interest.
const WORDS: [&str; 2] = ["\"apiGroup\":\"sparkrouter.dev\"", "\"username\":\"system:apiserver\""];

/// The course of one job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    /// `namespace/name`, where its create is in the log.
    pub(crate) title: Option<String>,
    /// When its create came in.
    pub(crate) created: Option<Timestamp>,
    /// The first end that was written, and when it came in.
    pub(crate) finished: Option<(Timestamp, String)>,
    /// Every placement, by attempt.
    pub(crate) placements: BTreeMap<u32, Placement>,
    /// Every time that it was given a place, in order.
    pub(crate) placed: Vec<Placed>,
    /// When a stop was first on record, by attempt.
    pub(crate) stopped: BTreeMap<u32, Timestamp>,
    /// When each row of its history was first on record, by attempt.
    pub(crate) left: BTreeMap<u32, Timestamp>,
    /// Every row of its history, by attempt; also those that left a long history.
    pub(crate) past: BTreeMap<u32, Past>,
    /// Who asked for its deletion, and when.
    pub(crate) deletion: Option<(Timestamp, String)>,
    /// When our finalizer was taken from it for good.
    pub(crate) let_go: Option<Timestamp>,
    /// Its owner let go of it knowingly.
    pub(crate) is_abandoned: bool,
    /// Its spec was given a `ttlAfterFinished`.
    pub(crate) has_ttl: bool,
    /// Writes that no job's course has: what was wrong with them.
    pub(crate) oddities: Vec<String>,
    conditions: BTreeMap<String, Condition>,
    /// The last status had a placement.
    has_place: bool,
}

/// A place that a job was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) at: Timestamp,
    pub(crate) attempt: u32,
    pub(crate) cluster: String,
}

/// A write of the router on the hub that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) at: Timestamp,
    /// Of the token that came with it: one for each router.
    pub(crate) credential: String,
}

/// The courses of all jobs, by uid.
#[derive(Debug, Default)]
pub(crate) struct Courses {
    pub(crate) by_uid: HashMap<String, Course>,
    /// What routers wrote, in the order of the log.
    pub(crate) writes: Vec<Write>,
    pub(crate) tally: Tally,
    pub(crate) last: Option<Timestamp>,
}

/// Reads the hub's log.
pub(crate) fn of(side: &Side, jobs: &[Submitted]) -> Result<Courses, Error> {
    let mut reader = Reader::open(&side.audit, &WORDS)?;
    let mut watch = Watch::new(jobs);
    while let Some(line) = reader.next_line()? {
        watch.line(&line);
    }
    let last = watch.last.max(reader.passed_at());
    Ok(Courses { by_uid: watch.by_uid, writes: watch.writes, tally: reader.tally, last })
}

struct Watch {
    /// Which job has a name now.
    named: HashMap<(String, String), String>,
    by_uid: HashMap<String, Course>,
    writes: Vec<Write>,
    last: Option<Timestamp>,
}

impl Watch {
    /// A job whose create is not in the log is found by its name.
    fn new(jobs: &[Submitted]) -> Self {
        let named = jobs.iter().rev().map(|job| ((job.namespace.clone(), job.name.clone()), job.uid.clone()));
        Self { named: named.collect(), by_uid: HashMap::new(), writes: Vec::new(), last: None }
    }

    fn line(&mut self, line: &Line) {
        self.last = self.last.max(Some(line.done));
        if line.is_new_life() {
            // What was written last before it may not be in the log.
            self.by_uid.values_mut().for_each(|course| course.conditions.clear());
        }
        if line.group == "sparkrouter.dev" && line.user == names::ROUTER && line.is_ok() && !line.is_dry_run {
            let is_write = matches!(line.verb.as_str(), "create" | "update" | "patch" | "delete");
            if let Some(credential) = line.credential.clone().filter(|_| is_write) {
                self.writes.push(Write { at: line.received, credential });
            }
        }
        if line.group != "sparkrouter.dev" || line.resource != "routedsparkjobs" || line.is_dry_run {
            return;
        }
        match (line.verb.as_str(), line.subresource.as_str()) {
            ("create", "") if line.is_ok() => self.create(line),
            ("delete", "") if line.is_ok() || line.is_unclear() => {
                if let Some(course) = self.course(line) {
                    course.deletion.get_or_insert((line.received, line.user.clone()));
                }
            }
            ("patch" | "update", "status") if line.is_ok() => {
                let status = line.request.as_ref().and_then(|body| body.get("status"));
                if let (Some(status), Some(course)) = (status, self.course(line)) {
                    course.written(status, line.received);
                }
            }
            ("patch", "") if line.is_ok() => {
                if let (Some(body), Some(course)) = (&line.request, self.course(line)) {
                    course.edited(body, line.received);
                }
            }
            ("patch" | "update", "status") if line.is_unclear() => {
                if let Some(course) = self.course(line) {
                    course.conditions.clear();
                }
            }
            _ => {}
        }
    }

    fn create(&mut self, line: &Line) {
        let Some(object) = line.object() else { return };
        let (Some(uid), Some(name)) = (names::uid(object), names::name(object)) else { return };
        let ttl = object.pointer("/spec/ttlAfterFinished").is_some_and(|ttl| !ttl.is_null());
        let title = Some(format!("{}/{name}", line.namespace));
        self.named.insert((line.namespace.clone(), name), uid.clone());
        let created = Some(line.received);
        self.by_uid.insert(uid, Course { title, created, has_ttl: ttl, ..Course::default() });
    }

    fn course(&mut self, line: &Line) -> Option<&mut Course> {
        let uid = self.named.get(&(line.namespace.clone(), line.name.clone()))?;
        Some(self.by_uid.entry(uid.clone()).or_default())
    }
}

impl Course {
    /// Somebody changed something beside the status.
    fn edited(&mut self, body: &Value, at: Timestamp) {
        let filled = |path: &str| body.pointer(path).filter(|value| !value.is_null());
        self.has_ttl |= filled("/spec/ttlAfterFinished").is_some();
        self.is_abandoned |= filled("/metadata/annotations/sparkrouter.dev~1abandon").is_some();
        let finalizers = filled("/metadata/finalizers").and_then(Value::as_array);
        if finalizers.is_some_and(|left| self.deletion.is_some() && !left.iter().any(|it| it == names::JOB)) {
            self.let_go.get_or_insert(at);
        }
    }

    fn written(&mut self, status: &Value, at: Timestamp) {
        let Some(view) = JobView::of_status(status) else {
            self.oddities.push(format!("at {at} a status was written that cannot be read"));
            return;
        };
        let phase = view.phase.clone().unwrap_or_default();
        let is_finished = view.is_true("Finished");
        match &self.finished {
            None if is_finished => self.finished = Some((at, phase)),
            Some((_, end)) if !is_finished || *end != phase => {
                let odd = format!("it had ended as {end}, and at {at} its status became {phase}");
                self.oddities.push(odd);
            }
            _ => {}
        }
        for condition in &view.conditions {
            self.oddities
                .extend(self.conditions.get(&condition.kind).and_then(|before| moved(before, condition)));
        }
        self.conditions = view.conditions.iter().map(|it| (it.kind.clone(), it.clone())).collect();
        let is_new = view.placement.as_ref().is_some_and(|it| {
            let last = self.placed.last().filter(|_| self.has_place);
            last.is_none_or(|last| (last.attempt, &last.cluster) != (it.attempt, &it.cluster))
        });
        self.has_place = view.placement.is_some();
        if let Some(placement) = view.placement {
            let attempt = placement.attempt;
            if is_new {
                self.placed.push(Placed { at, attempt, cluster: placement.cluster.clone() });
            }
            if view.stopping.is_some() {
                self.stopped.entry(attempt).or_insert(at);
            }
            self.placements.insert(attempt, placement);
        }
        for row in view.history {
            self.left.entry(row.attempt).or_insert(at);
            self.past.insert(row.attempt, row);
        }
    }
}

/// `lastTransitionTime` moves when the status does, and only then.
fn moved(before: &Condition, after: &Condition) -> Option<String> {
    let (was, is) = (before.last_transition_time?, after.last_transition_time?);
    let kind = &after.kind;
    if before.status == after.status && was != is {
        return Some(format!(
            "condition {kind} stayed {} and its lastTransitionTime went from {was} to {is}",
            after.status
        ));
    }
    (before.status != after.status && is < was).then(|| {
        format!(
            "condition {kind} went from {} to {} and its lastTransitionTime back from {was} to {is}",
            before.status, after.status
        )
    })
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
