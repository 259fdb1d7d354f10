//! The hub's objects at the end, as far as they are judged.
//!
//! Owns no state. Read by field names as users see them, not by the router's types. A field that is missing is missing; an
//! object that cannot be read is an error.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::names;

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) message: String,
    pub(crate) last_transition_time: Option<Timestamp>,
}

/// A placement on record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Placement {
    pub(crate) cluster: String,
    pub(crate) member_identity: String,
    pub(crate) attempt: u32,
    pub(crate) namespace: String,
    pub(crate) remote_name: String,
    pub(crate) remote_uid: Option<String>,
}

/// A row of the history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Past {
    pub(crate) attempt: u32,
    pub(crate) cluster: String,
    pub(crate) outcome: String,
    #[serde(default)]
    pub(crate) reason: String,
    pub(crate) left: Option<String>,
}

/// What the status says of the application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Mirror {
    pub(crate) state: String,
    pub(crate) driver_pod: Option<String>,
}

/// A stop on record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Stopping {
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) message: String,
}

/// The status of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct JobView {
    pub(crate) observed_generation: Option<i64>,
    pub(crate) phase: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) placement: Option<Placement>,
    pub(crate) application: Option<Mirror>,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) history: Vec<Past>,
}

impl JobView {
    /// `None` where it cannot be read.
    pub(crate) fn of_status(status: &Value) -> Option<Self> {
        Self::deserialize(status).ok()
    }

    /// A condition.
    pub(crate) fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Whether a condition has this status.
    pub(crate) fn is(&self, kind: &str, status: &str) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == status)
    }

    /// Whether a condition is True.
    pub(crate) fn is_true(&self, kind: &str) -> bool {
        self.is(kind, "True")
    }

    /// The phase, `no phase` where it has none.
    pub(crate) fn phase(&self) -> &str {
        self.phase.as_deref().unwrap_or("no phase")
    }

    /// The reason, empty where it has none.
    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    /// The message, empty where it has none.
    pub(crate) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }
}

/// What a job's owner asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct JobSpec {
    pub(crate) queue: String,
    pub(crate) suspend: bool,
    pub(crate) cancel: bool,
    pub(crate) retry: Option<Retry>,
    pub(crate) deadlines: Deadlines,
}

/// When a failed attempt is followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Retry {
    #[serde(default = "one")]
    pub(crate) max_attempts: u32,
}

fn one() -> u32 {
    1
}

/// How long it may take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Deadlines {
    pub(crate) queued: Option<String>,
    pub(crate) start: Option<String>,
    pub(crate) run: Option<String>,
}

/// A job at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) generation: Option<i64>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) is_deleting: bool,
    pub(crate) spec: JobSpec,
    pub(crate) status: JobView,
}

/// A `MemberCluster` at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) identity: Option<String>,
    /// Since when it is Ready, if it is.
    pub(crate) ready_since: Option<Timestamp>,
    pub(crate) is_forgotten: bool,
    /// Job uid and attempt of what was let go of there.
    pub(crate) abandoned: BTreeSet<(String, u32)>,
}

/// A `SparkQueue` at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) has_ttl: bool,
    pub(crate) has_longest_run: bool,
}

impl Job {
    /// Reads it.
    pub(crate) fn of(object: &Value) -> Result<Self, serde_json::Error> {
        let part = |name: &str| object.get(name).filter(|part| !part.is_null());
        Ok(Self {
            uid: names::uid(object).unwrap_or_default(),
            namespace: names::namespace(object),
            name: names::name(object).unwrap_or_default(),
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64),
            created: names::created(object),
            is_deleting: object.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string),
            spec: part("spec").map(JobSpec::deserialize).transpose()?.unwrap_or_default(),
            status: part("status").map(JobView::deserialize).transpose()?.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Abandoned {
    job_uid: String,
    attempt: u32,
}

impl Member {
    /// Reads it.
    pub(crate) fn of(object: &Value) -> Result<Self, serde_json::Error> {
        let abandoned = match object.pointer("/status/abandoned") {
            Some(rows) => Vec::<Abandoned>::deserialize(rows)?,
            None => Vec::new(),
        };
        let conditions = match object.pointer("/status/conditions") {
            Some(rows) => Vec::<Condition>::deserialize(rows)?,
            None => Vec::new(),
        };
        Ok(Self {
            name: names::name(object).unwrap_or_default(),
            identity: object.pointer("/status/identity").and_then(Value::as_str).map(str::to_owned),
            ready_since: conditions
                .iter()
                .find(|it| it.kind == "Ready" && it.status == "True")
                .and_then(|it| it.last_transition_time),
            is_forgotten: object.pointer("/spec/forget").and_then(Value::as_bool).unwrap_or_default(),
            abandoned: abandoned.into_iter().map(|row| (row.job_uid, row.attempt)).collect(),
        })
    }
}

impl Queue {
    /// Reads it.
    pub(crate) fn of(object: &Value) -> Self {
        let has = |path: &str| object.pointer(path).is_some_and(|it| !it.is_null());
        Self {
            name: names::name(object).unwrap_or_default(),
            has_ttl: has("/spec/ttlAfterFinished"),
            has_longest_run: has("/spec/limits/longestRun"),
        }
    }
}
