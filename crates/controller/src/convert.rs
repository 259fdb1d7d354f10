//! Parses what users wrote and what the hub recorded into what the decisions work with.
//!
//! Owns no state. The one place where the API's types meet the core's: after it, nothing is checked again. A record that
//! cannot be read is an error, never a guess: a placement that was misread could be created twice.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt;
use serde_json::Value;
use spark_router_api::{
    Demand, MemberCluster, RoutedSparkJob, SparkQueue, condition,
    job::{ApplicationStatus, PlacementRecord},
    names,
};
use spark_router_core::{
    application::Application,
    credit::Credits,
    dispatch::Checkpoint,
    health::LinkState,
    id::{Attempt, ClusterName, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName, RemoteUid},
    job::{Constraints, Finished, Job, Placement, Record, Refused, Rejection, Request},
    observe::ExecutorCounts,
    place::{MemberFacts, NamespaceRule, QueueFacts, Route, RouteClusters},
    resources::{AmountError, Capacity, Resources, cpu_milli, memory_bytes},
    selector::{Requirement, Selector},
};
use spark_router_member::{Member, render::QueueParts};

use crate::{error::Error, template};

/// A job together with the parts of its object that are handed on as they are.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The job as the decisions see it.
    pub job: Job,
    /// The template as JSON.
    pub template: Arc<Value>,
}

/// Parses a job.
///
/// # Errors
/// [`Error::Incomplete`] for an object that no API server stores.
pub fn job(object: &RoutedSparkJob) -> Result<Parsed, Error> {
    let meta = &object.metadata;
    let uid = JobUid::new(meta.uid.clone().ok_or(Error::Incomplete("uid"))?);
    let key = JobKey {
        namespace: Namespace::new(meta.namespace.clone().ok_or(Error::Incomplete("namespace"))?),
        name: meta.name.clone().ok_or(Error::Incomplete("name"))?,
    };
    let template = serde_json::to_value(&object.spec.template)?;
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
            request: request(object, &template),
            record: record(object),
        },
        template: Arc::new(template),
    })
}

fn request(object: &RoutedSparkJob, template: &Value) -> Result<Request, Rejection> {
    let facts = template::read(template, &QueueParts::default())?;
    let placement = object.spec.placement.clone().unwrap_or_default();
    Ok(Request {
        queue: QueueName::new(&object.spec.queue),
        priority: object.spec.priority,
        constraints: Constraints {
            names: placement.cluster_names.into_iter().map(ClusterName::new).collect(),
            labels: placement.cluster_selector.unwrap_or_default().match_labels,
        },
        spark_version: facts.spark_version,
        demand: facts.demand,
        spec_hash: spec_hash(template),
    })
}

/// The hash of a template's metadata and spec that is recorded with the first placement.
pub fn spec_hash(template: &Value) -> String {
    let parts = serde_json::json!({"metadata": template.get("metadata"), "spec": template.get("spec")});
    spark_router_member::canonical::hash(&parts)
}

fn record(object: &RoutedSparkJob) -> Record {
    let Some(status) = &object.status else { return Record::default() };
    let finished = condition::find(&status.conditions, condition::FINISHED).filter(|c| c.status == "True");
    Record {
        phase: status.phase.as_deref().and_then(|phase| phase.parse().ok()),
        placement: status.placement.as_ref().map(placement),
        attempt: status.attempt.map(Attempt),
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
        finished: finished.map(|c| Finished {
            at: c.last_transition_time.0,
            succeeded: condition::is_true(&status.conditions, condition::SUCCEEDED),
        }),
    }
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

/// A member as placement sees it: what its object declares and what its link says. One whose object cannot be read is at
/// fault, not gone: a typing error must not make others look like the last ones left.
pub fn member(object: &MemberCluster, link: Option<&dyn Member>) -> MemberFacts {
    let spec = &object.spec;
    let health = link.map(Member::health);
    let (capacity, unreadable) = match capacity(spec.capacity.as_ref(), "spec.capacity") {
        Ok(capacity) => (capacity, None),
        Err(why) => (Capacity::default(), Some((condition::reason::INVALID_SPEC.to_owned(), why))),
    };
    let fault = match &health {
        Some(health) => {
            health.fault.as_ref().map(|(reason, message)| ((*reason).to_owned(), message.clone()))
        }
        // The object is known and no link could be made of it: its own condition says why.
        None => {
            let ready = object.status.as_ref().and_then(|s| condition::find(&s.conditions, condition::READY));
            ready.filter(|c| c.status == "False").map(|c| (c.reason.clone(), c.message.clone()))
        }
    };
    MemberFacts {
        identity: link.and_then(Member::identity),
        link: health.as_ref().map_or(LinkState::Connecting, |h| h.link),
        fault: unreadable.or(fault),
        cordoned: spec.unschedulable || object.metadata.deletion_timestamp.is_some() || spec.forget,
        labels: object.labels().clone(),
        spark_versions: spec.spark_versions.clone(),
        capacity,
        namespace: match &spec.namespace.fixed {
            Some(fixed) => NamespaceRule::Fixed(Namespace::new(fixed)),
            None => NamespaceRule::SameAsJob,
        },
        blocked: health.map(|h| h.blocked).unwrap_or_default(),
    }
}

/// Whether everything that a member's object declares can be read.
///
/// # Errors
/// The field and the value that cannot.
pub fn readable(object: &MemberCluster) -> Result<(), String> {
    capacity(object.spec.capacity.as_ref(), "spec.capacity").map(drop)
}

/// A queue as placement sees it: its routes, the namespaces it admits (`None`: nobody), and its checkpoint.
///
/// # Errors
/// The field and the value that cannot be read.
pub fn queue(object: &SparkQueue) -> Result<(QueueFacts, Option<Selector>, Checkpoint), String> {
    let mut routes = Vec::with_capacity(object.spec.routes.len());
    for (n, route) in object.spec.routes.iter().enumerate() {
        let clusters = match (&route.clusters.names, &route.clusters.selector) {
            (Some(names), _) => RouteClusters::Names(names.iter().map(ClusterName::new).collect()),
            (None, Some(selector)) => RouteClusters::Labels(selector.match_labels.clone()),
            (None, None) => return Err(format!("spec.routes[{n}].clusters: names or selector is required")),
        };
        let capacity = capacity(route.capacity.as_ref(), &format!("spec.routes[{n}].capacity"))?;
        routes.push(Route { clusters, weight: route.weight, capacity });
    }
    let admits = object.spec.namespace_selector.as_ref().map(selector).transpose()?;
    let status = object.status.as_ref();
    let mut credits = Vec::new();
    for entry in status.map(|s| s.credits.as_slice()).unwrap_or_default() {
        let credit = entry.credit.parse().map_err(|error| format!("status.credits: {error}"))?;
        credits.push((ClusterName::new(&entry.cluster), credit));
    }
    let shares = status.map(|s| s.clusters.as_slice()).unwrap_or_default();
    let checkpoint = Checkpoint {
        seq: status.and_then(|s| s.credits_seq).unwrap_or(0),
        credits: Credits::restore(credits),
        placed: shares.iter().map(|share| (ClusterName::new(&share.name), share.placed)).collect(),
    };
    Ok((QueueFacts { name: QueueName::new(object.name_any()), routes }, admits, checkpoint))
}

fn capacity(declared: Option<&spark_router_api::Capacity>, path: &str) -> Result<Capacity, String> {
    let Some(declared) = declared else { return Ok(Capacity::default()) };
    let amount = |field: &str,
                  written: Option<&spark_router_api::Quantity>,
                  read: fn(&str) -> Result<u64, AmountError>| {
        written.map(|q| read(q.as_str()).map_err(|error| format!("{path}.{field}: {error}"))).transpose()
    };
    Ok(Capacity {
        jobs: declared.jobs,
        pods: None,
        executors: None,
        cpu_milli: amount("cpu", declared.cpu.as_ref(), cpu_milli)?,
        memory_bytes: amount("memory", declared.memory.as_ref(), memory_bytes)?,
    })
}

fn selector(written: &LabelSelector) -> Result<Selector, String> {
    let mut requirements = Vec::new();
    for (key, value) in written.match_labels.iter().flatten() {
        requirements.push(Requirement::In(key.clone(), vec![value.clone()]));
    }
    for LabelSelectorRequirement { key, operator, values } in written.match_expressions.iter().flatten() {
        let values = values.clone().unwrap_or_default();
        requirements.push(match operator.as_str() {
            "In" => Requirement::In(key.clone(), values),
            "NotIn" => Requirement::NotIn(key.clone(), values),
            "Exists" => Requirement::Exists(key.clone()),
            "DoesNotExist" => Requirement::Absent(key.clone()),
            other => {
                return Err(format!(
                    "spec.namespaceSelector.matchExpressions: operator {other:?} is none of In, NotIn, Exists and \
                     DoesNotExist"
                ));
            }
        });
    }
    Ok(Selector::new(requirements))
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
                "finalizers": ["sparkrouter.dev/job"], "annotations": {"sparkrouter.dev/abandon": "true"}
            },
            "spec": {
                "queue": "etl", "priority": 3,
                "placement": {"clusterNames": ["eu-1"], "clusterSelector": {"matchLabels": {"region": "eu"}}},
                "template": {"spec": {"sparkVersion": "4.0.1", "driver": {}, "executor": {"instances": 2}}}
            },
            "status": {
                "phase": "Failed", "attempt": 2, "observedGeneration": 1,
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
        let Parsed { job, .. } = job(&object).unwrap();
        assert!(job.held && job.abandoned && job.deleting.is_none());
        let request = job.request.unwrap();
        assert_eq!((request.priority, request.demand.pods), (3, 3));
        assert_eq!(request.constraints.names, [ClusterName::from("eu-1")]);
        let placement = job.record.placement.unwrap();
        assert_eq!((placement.uid, placement.seq), (Some(RemoteUid::from("r-1")), 7));
        assert_eq!(job.record.attempt, Some(Attempt(2)));
        assert!(job.record.unreachable);
        let finished = job.record.finished.unwrap();
        assert!(!finished.succeeded);
        assert_eq!(finished.at.to_string(), "2026-01-02T00:00:00Z");
    }

    #[test]
    fn a_queue_is_parsed_with_its_account() {
        let object: SparkQueue = serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue", "metadata": {"name": "etl"},
            "spec": {
                "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
                "routes": [{"clusters": {"names": ["eu-1"]}, "weight": 50, "capacity": {"cpu": "2.5", "memory": "1Gi", "jobs": 3}}]
            },
            "status": {
                "creditsSeq": 9, "credits": [{"cluster": "eu-1", "credit": "-1/3"}],
                "clusters": [{"name": "eu-1", "weight": 50, "placed": 4, "expected": "3.667"}]
            }
        }))
        .unwrap();
        let (facts, admits, checkpoint) = queue(&object).unwrap();
        let expected = Capacity {
            jobs: Some(3),
            cpu_milli: Some(2500),
            memory_bytes: Some(1 << 30),
            ..Capacity::default()
        };
        assert_eq!(facts.routes[0].capacity, expected);
        assert!(admits.unwrap().matches(&BTreeMap::from([("team".to_owned(), "a".to_owned())])));
        assert_eq!((checkpoint.seq, checkpoint.placed[&ClusterName::from("eu-1")]), (9, 4));
        assert_eq!(checkpoint.credits.of(&ClusterName::from("eu-1")).to_string(), "-1/3");
    }
}
