//! Parses what users wrote and what the hub recorded into what the decisions work with.
//!
//! Owns no state. The one place where the API's types meet the core's: after it, nothing is checked again. A record that
//! cannot be read is an error, never a guess: a placement that was misread could be created twice.
//!
//! | file | parses |
//! |---|---|
//! | here | jobs and their records |
//! | `convert/reading.rs` | jobs' specs, which are read once |
//! | `convert/queue.rs` | queues and their account |
//! | `convert/member.rs` | members |
//! | `convert/policy.rs` | what a job's owner decided about its course |
//! | `convert/lifetime.rs` | how long jobs run and stay |
//! | `convert/amounts.rs` | quantities, durations, selectors |

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use spark_router_api::{
    Demand, RoutedSparkJob,
    condition::{self, reason},
    job::{ApplicationStatus, Left as Remains, PastAttempt, PlacementRecord},
    names,
};
use spark_router_core::{
    application::Application,
    id::{Attempt, ClusterName, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName, RemoteUid},
    job::{
        Finished, Job, Left, Past, Placement, Record, Refused, Rejection, Stage, StopCause, Stopping,
        Suspension,
    },
    observe::{ExecutorCounts, FailureSign},
    policy::FailureClass,
    resources::Resources,
};

use spark_router_member::render::QueueParts;

mod amounts;
mod lifetime;
mod member;
mod policy;
mod queue;
mod reading;

pub use lifetime::{Lifetime, lifetime, times};
pub use member::{
    batch_scheduler, broken_on_record, member, member_on_record, readable, signals_on_record, wanted_signals,
};
pub use queue::{KnownQueue, parts, queue};
pub use reading::Reading;

use crate::{backends::Kinds, error::Error};

/// A job together with the parts of its object that are handed on as they are.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The job as the decisions see it.
    pub job: Job,
    /// What was read of its spec, to be given back with the next parse. `None`: there is no template to read.
    pub reading: Option<Arc<Reading>>,
    /// What its queue sets on it; nothing where the template cannot be taken or the queue is not there.
    pub parts: Option<Arc<QueueParts>>,
}

/// The identity of a job.
///
/// # Errors
/// [`Error::Incomplete`] for an object that no API server stores.
pub fn uid(object: &RoutedSparkJob) -> Result<JobUid, Error> {
    object.metadata.uid.as_ref().map(JobUid::new).ok_or(Error::Incomplete("uid"))
}

/// Parses a job with its queue, where that is there, for the kinds of members that there are. `known` is what was read of the job before: it spares reading the
/// template again, and changes nothing else.
///
/// # Errors
/// [`Error::Incomplete`] for an object that no API server stores.
pub fn job(
    object: &RoutedSparkJob,
    queue: Option<&KnownQueue>,
    kinds: &Kinds,
    known: Option<Arc<Reading>>,
) -> Result<Parsed, Error> {
    let meta = &object.metadata;
    let uid = uid(object)?;
    let key = JobKey {
        namespace: Namespace::new(meta.namespace.as_ref().ok_or(Error::Incomplete("namespace"))?),
        name: meta.name.clone().ok_or(Error::Incomplete("name"))?,
    };
    let reading = if has_template(object) {
        Some(Reading::of(object, (&uid, &key), queue, kinds, known)?)
    } else {
        None
    };
    let placed = object.status.as_ref().is_some_and(|status| status.placement.is_some());
    let (request, parts) = match &reading {
        Some(reading) => reading.verdict(placed),
        None => (Err(without_template()), None),
    };
    Ok(Parsed {
        job: Job {
            key,
            uid,
            created: meta
                .creation_timestamp
                .as_ref()
                .map(|t| t.0)
                .ok_or(Error::Incomplete("creationTimestamp"))?,
            deleting: meta.deletion_timestamp.as_ref().map(|t| t.0),
            held: object.finalizers().iter().any(|f| f == names::JOB_FINALIZER),
            abandoned: object.annotations().get(names::ABANDON_ANNOTATION).is_some_and(|v| v == "true"),
            request,
            policy: policy::policy(object),
            record: record(object),
        },
        reading,
        parts,
    })
}

/// Whether a job needs its template no more: its application exists, or the job is over.
pub(crate) fn is_beyond_its_template(object: &RoutedSparkJob) -> bool {
    let Some(status) = &object.status else { return false };
    let exists = status.placement.as_ref().is_some_and(|placement| placement.remote_uid.is_some());
    exists || condition::is_true(&status.conditions, condition::FINISHED)
}

/// Whether its template was not let go of; see [`crate::jobs::prune`].
fn has_template(object: &RoutedSparkJob) -> bool {
    !object.spec.template.spec.is_empty() || !is_beyond_its_template(object)
}

/// Nobody is told: a job is asked what it wants before its application exists.
fn without_template() -> Rejection {
    let message = "spec.template: is not kept once the application exists".to_owned();
    Rejection { reason: reason::INVALID_TEMPLATE, message }
}

/// The hash of a template's metadata and spec that is recorded with the first placement.
pub fn spec_hash(template: &Value) -> String {
    let parts = serde_json::json!({"metadata": template.get("metadata"), "spec": template.get("spec")});
    spark_router_member::canonical::hash(&parts)
}

/// What is on record of a job.
pub(crate) fn record(object: &RoutedSparkJob) -> Record {
    let Some(status) = &object.status else { return Record::default() };
    let finished = condition::find(&status.conditions, condition::FINISHED).filter(|c| c.status == "True");
    Record {
        phase: status.phase.as_deref().and_then(|phase| phase.parse().ok()),
        placement: status.placement.as_ref().map(placement),
        attempt: status.attempt.map(Attempt),
        retries: status.retries.unwrap_or_default(),
        past: status.history.iter().filter_map(past).collect(),
        avoided: avoided(&status.history),
        not_before: status.not_before.as_ref().map(|t| t.0),
        waiting_since: status.waiting_since.as_ref().map(|t| t.0),
        refusals: status
            .refusals
            .iter()
            .map(|refusal| Refused {
                cluster: ClusterName::new(&refusal.cluster),
                reason: refusal.reason.clone(),
                message: refusal.message.clone(),
                at: refusal.at.0,
            })
            .collect(),
        application: status.application.as_ref().map(application),
        unreachable: condition::find(&status.conditions, condition::MEMBER_REACHABLE)
            .is_some_and(|c| c.status == "False"),
        stopping: status.stopping.as_ref().map(|stopping| Stopping {
            cause: stopping.reason.as_str().into(),
            message: stopping.message.clone(),
            at: stopping.at.0,
        }),
        suspension: condition::find(&status.conditions, condition::SUSPENDED).and_then(|c| {
            let stage = match c.reason.as_str() {
                reason::SUSPENDING | reason::SUSPENDED => Stage::Asked,
                reason::RESUMING => Stage::Resuming,
                reason::RESUMED => Stage::Resumed,
                reason::SUSPEND_IGNORED => Stage::Refused,
                _ => return None,
            };
            Some(Suspension { stage, at: c.last_transition_time.0 })
        }),
        outdated: status.observed_generation.is_some()
            && status.observed_generation != object.metadata.generation,
        finished: finished.map(|c| Finished {
            at: c.last_transition_time.0,
            succeeded: condition::is_true(&status.conditions, condition::SUCCEEDED),
        }),
    }
}

/// A past attempt of which something is left.
fn past(row: &PastAttempt) -> Option<Past> {
    Some(Past {
        attempt: Attempt(row.attempt),
        cluster: ClusterName::new(&row.cluster),
        identity: MemberIdentity::new(row.member_identity.as_ref()?),
        namespace: Namespace::new(row.namespace.as_ref()?),
        name: RemoteName::new(&row.remote_name),
        uid: row.remote_uid.as_ref().map(RemoteUid::new),
        at: row.finished_at.as_ref()?.0,
        left: match row.left? {
            Remains::Ended => Left::Ended,
            Remains::MayRun => Left::MayRun,
        },
    })
}

/// The members that failed past attempts for reasons of their own.
fn avoided(history: &[PastAttempt]) -> Vec<ClusterName> {
    let against = |row: &&PastAttempt| {
        let why = row.reason.as_deref().unwrap_or_default();
        let class = FailureSign::class_of(why).or_else(|| StopCause::from(why).class());
        class.is_some_and(FailureClass::speaks_against_the_member)
    };
    let mut names: Vec<_> =
        history.iter().filter(against).map(|row| ClusterName::new(&row.cluster)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Parses a recorded placement.
pub fn placement(record: &PlacementRecord) -> Placement {
    Placement {
        cluster: ClusterName::new(&record.cluster),
        identity: MemberIdentity::new(&record.member_identity),
        attempt: Attempt(record.attempt),
        namespace: Namespace::new(&record.namespace),
        name: RemoteName::new(&record.remote_name),
        uid: record.remote_uid.as_ref().map(RemoteUid::new),
        queue: QueueName::new(&record.queue),
        remote_queue: record.remote_queue.as_deref().map(Into::into),
        seq: record.seq,
        excluded: record.excluded.iter().map(ClusterName::new).collect(),
        at: record.at.0,
        demand: resources(record.demand),
    }
}

fn application(mirrored: &ApplicationStatus) -> Application {
    let executors = mirrored.executors.unwrap_or_default();
    Application {
        state: mirrored.state.clone().unwrap_or_default(),
        id: mirrored.id.clone(),
        submission_id: mirrored.submission_id.clone(),
        submitted_at: mirrored.submitted_at.as_ref().map(|t| t.0),
        started_at: mirrored.started_at.as_ref().map(|t| t.0),
        finished_at: mirrored.finished_at.as_ref().map(|t| t.0),
        attempts: mirrored.attempts.unwrap_or_default(),
        executors: ExecutorCounts {
            pending: executors.pending,
            running: executors.running,
            completed: executors.completed,
            failed: executors.failed,
        },
        driver_pod: mirrored.driver_pod.clone(),
        error: mirrored.error.clone(),
    }
}

fn resources(demand: Demand) -> Resources {
    let Demand { jobs, pods, cpu_milli, memory_bytes } = demand;
    Resources { jobs, pods, cpu_milli, memory_bytes }
}

/// The recorded form of a demand.
pub fn demand(resources: Resources) -> Demand {
    let Resources { jobs, pods, cpu_milli, memory_bytes } = resources;
    Demand { jobs, pods, cpu_milli, memory_bytes }
}

/// Labels of a hub namespace.
pub fn namespace_labels(object: &k8s_openapi::api::core::v1::Namespace) -> BTreeMap<String, String> {
    object.labels().clone()
}

/// A time to the second: the precision that the API keeps. A finer one would never equal what is read back.
pub fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Now, to the second.
pub fn now_to_the_second() -> Timestamp {
    to_the_second(Timestamp::now())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_to_live_that_cannot_be_read_is_named() {
        let mut object: RoutedSparkJob = serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
            "metadata": {
                "name": "daily", "namespace": "team-a", "uid": "u-1", "creationTimestamp": "2026-01-01T00:00:00Z"
            },
            "spec": {
                "queue": "etl", "ttlAfterFinished": "a day",
                "template": {"spec": {"sparkVersion": "4.0.1", "driver": {}, "executor": {}}}
            }
        }))
        .unwrap();
        let rejection = job(&object, None, &Kinds::default(), None).unwrap().job.request.unwrap_err();
        assert_eq!(rejection.reason, "InvalidTemplate");
        assert!(
            rejection.message.starts_with("spec.ttlAfterFinished: \"a day\" is not"),
            "{}",
            rejection.message
        );
        let placement = json!({
            "cluster": "eu-1", "memberIdentity": "id", "attempt": 1, "namespace": "spark", "remoteName": "daily-abc",
            "queue": "etl", "seq": 7, "at": "2026-01-01T00:00:01Z", "demand": {"jobs": 1}
        });
        object.status = Some(serde_json::from_value(json!({"placement": placement})).unwrap());
        assert!(
            job(&object, None, &Kinds::default(), None).unwrap().job.request.is_ok(),
            "what is placed goes on"
        );
    }

    #[test]
    fn times_of_a_pass_are_what_the_api_keeps() {
        let at: Timestamp = "2026-01-01T00:00:05.7Z".parse().unwrap();
        assert_eq!(to_the_second(at).to_string(), "2026-01-01T00:00:05Z");
    }

    #[test]
    fn a_job_is_parsed_whole() {
        let object: RoutedSparkJob = serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
            "metadata": {
                "name": "daily", "namespace": "team-a", "uid": "u-1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "generation": 2,
                "finalizers": ["sparkrouter.dev/job"], "annotations": {"sparkrouter.dev/abandon": "true"}
            },
            "spec": {
                "queue": "etl", "priority": 3,
                "placement": {"clusterNames": ["eu-1"], "clusterSelector": {"matchLabels": {"region": "eu"}}},
                "template": {"spec": {"sparkVersion": "4.0.1", "driver": {}, "executor": {"instances": 2}}}
            },
            "status": {
                "phase": "Failed", "attempt": 2, "observedGeneration": 1,
                "stopping": {"reason": "RanTooLong", "message": "it ran", "at": "2026-01-01T12:00:00Z"},
                "conditions": [
                    {"type": "Finished", "status": "True", "reason": "JobFailed", "message": "", "lastTransitionTime": "2026-01-02T00:00:00Z"},
                    {"type": "MemberReachable", "status": "False", "reason": "MemberUnreachable", "message": "", "lastTransitionTime": "2026-01-02T00:00:00Z"}
                ],
                "placement": {
                    "cluster": "eu-1", "memberIdentity": "id", "attempt": 2, "namespace": "spark", "remoteName": "daily-abc",
                    "remoteUid": "r-1", "queue": "etl", "seq": 7, "excluded": ["us-1"], "at": "2026-01-01T00:00:01Z",
                    "demand": {"jobs": 1, "pods": 3, "cpuMilli": 3000, "memoryBytes": 5}
                }
            }
        }))
        .unwrap();
        let Parsed { job, .. } = job(&object, None, &Kinds::default(), None).unwrap();
        assert!(job.held && job.abandoned && job.deleting.is_none());
        let request = job.request.unwrap();
        assert_eq!((request.priority, request.demand.pods), (3, 3));
        assert_eq!(request.constraints.names, [ClusterName::from("eu-1")]);
        let placement = job.record.placement.unwrap();
        assert_eq!((placement.uid, placement.seq), (Some(RemoteUid::from("r-1")), 7));
        assert_eq!(job.record.attempt, Some(Attempt(2)));
        assert!(job.record.unreachable && job.record.outdated);
        let stopping = job.record.stopping.unwrap();
        assert_eq!((stopping.cause, stopping.message.as_str()), (StopCause::RanTooLong, "it ran"));
        let finished = job.record.finished.unwrap();
        assert!(!finished.succeeded);
        assert_eq!(finished.at.to_string(), "2026-01-02T00:00:00Z");
    }
}
