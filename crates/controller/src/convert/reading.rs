//! What a job's spec says, read with what its queue sets on it.
//!
//! Owns no state. A reading knows what it was made from, and is taken for nothing else: whoever keeps one can only give
//! it back to be compared. Holds no template: waiting jobs have it in their object, and the others need it no more.

use std::sync::Arc;

use serde_json::Value;
use spark_router_api::{RoutedSparkJob, Toleration as Written, condition::reason, taint::TolerationOperator};
use spark_router_core::{
    id::{ClusterName, JobKey, JobUid, QueueName},
    job::{Constraints, Rejection, Request},
    place::Toleration,
};
use spark_router_member::render::QueueParts;

use super::{KnownQueue, lifetime, policy, spec_hash};
use crate::{backends::Kinds, error::Error, template};

/// See the module.
#[derive(Debug)]
pub struct Reading {
    /// `None` for an object that does not say which version of it this is: never used again.
    of: Option<Version>,
    request: Result<Arc<Request>, Rejection>,
    parts: Option<Arc<QueueParts>>,
    /// What else keeps it from being placed; what is placed goes on.
    course: Result<(), Rejection>,
}

/// What a reading was made from.
#[derive(Debug, PartialEq)]
struct Version {
    job: JobUid,
    generation: i64,
    /// Number of what the queue sets on its jobs. `None`: there was no such queue, which is not one that sets nothing.
    queue: Option<u64>,
    /// Number of the kinds of backends that it was read for.
    kinds: u64,
}

impl Reading {
    /// Reads a job: `known` again, where nothing of what it was made from has changed.
    ///
    /// # Errors
    /// A template that is no JSON.
    pub(super) fn of(
        object: &RoutedSparkJob,
        job: (&JobUid, &JobKey),
        queue: Option<&KnownQueue>,
        kinds: &Kinds,
        known: Option<Arc<Self>>,
    ) -> Result<Arc<Self>, Error> {
        let (uid, key) = job;
        let version = object.metadata.generation.map(|generation| Version {
            job: uid.clone(),
            generation,
            queue: queue.map(KnownQueue::number),
            kinds: kinds.number(),
        });
        match known {
            Some(known) if version.is_some() && known.of == version => Ok(known),
            _ => Self::anew(object, key, queue, kinds, version).map(Arc::new),
        }
    }

    fn anew(
        object: &RoutedSparkJob,
        key: &JobKey,
        queue: Option<&KnownQueue>,
        kinds: &Kinds,
        of: Option<Version>,
    ) -> Result<Self, Error> {
        let template = serde_json::to_value(&object.spec.template)?;
        let parts = match queue {
            Some(queue) => queue.parts(object.spec.size.as_deref()),
            // Nothing is known of it yet; the dispatcher says that there is no such queue.
            None => Ok(Arc::default()),
        };
        let number = queue.map_or(0, KnownQueue::number);
        let request =
            parts.and_then(|parts| Ok((request(object, key, &template, &parts, number, kinds)?, parts)));
        let (request, parts) = match request {
            Ok((request, parts)) => (Ok(Arc::new(request)), queue.map(|_| parts)),
            Err(rejection) => (Err(rejection), None),
        };
        let course = lifetime::own_time_to_live(object)
            .and_then(|_| policy::check(object))
            .map_err(|message| Rejection { reason: reason::INVALID_TEMPLATE, message });
        Ok(Self { of, request, parts, course })
    }

    /// What is asked for, or why it cannot be taken, and what the queue sets on it.
    pub(super) fn verdict(&self, placed: bool) -> (Result<Arc<Request>, Rejection>, Option<Arc<QueueParts>>) {
        match (&self.request, &self.course) {
            (Ok(_), Err(rejection)) if !placed => (Err(rejection.clone()), None),
            (request, _) => (request.clone(), self.parts.clone()),
        }
    }
}

fn request(
    object: &RoutedSparkJob,
    key: &JobKey,
    template: &Value,
    parts: &QueueParts,
    number: u64,
    kinds: &Kinds,
) -> Result<Request, Rejection> {
    let own = template::Own { key, template, emr: object.spec.emr.as_ref() };
    let facts = template::read(&own, parts, kinds)?;
    let placement = object.spec.placement.clone().unwrap_or_default();
    Ok(Request {
        queue: QueueName::new(&object.spec.queue),
        priority: object.spec.priority,
        constraints: Constraints {
            names: placement.cluster_names.into_iter().map(ClusterName::new).collect(),
            labels: placement.cluster_selector.unwrap_or_default().match_labels,
            tolerations: placement.tolerations.into_iter().map(toleration).collect(),
        },
        spark_version: facts.spark_version.into(),
        expressed: facts.expressed,
        sub_queue: object.spec.sub_queue.as_deref().map(Into::into),
        demand: facts.demand,
        parts: number,
        spec_hash: spec_hash(template),
    })
}

fn toleration(written: Written) -> Toleration {
    let value = match written.operator {
        TolerationOperator::Equal => Some(written.value),
        TolerationOperator::Exists => None,
    };
    Toleration { key: Some(written.key).filter(|key| !key.is_empty()), value }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spark_router_api::SparkQueue;

    use super::*;

    fn key() -> JobKey {
        JobKey { namespace: "team-a".into(), name: "daily".to_owned() }
    }

    fn object() -> RoutedSparkJob {
        serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
            "metadata": {"name": "daily", "namespace": "team-a", "uid": "u-1", "generation": 1},
            "spec": {
                "queue": "etl",
                "template": {"spec": {"sparkVersion": "4.0.1", "driver": {}, "executor": {}}}
            }
        }))
        .unwrap()
    }

    fn queue(cores: u32) -> KnownQueue {
        let object: SparkQueue = serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue", "metadata": {"name": "etl"},
            "spec": {"routes": [], "fixed": {"sparkConf": {"spark.driver.cores": cores.to_string()}}},
        }))
        .unwrap();
        KnownQueue::new(Arc::new(object))
    }

    fn read(object: &RoutedSparkJob, queue: Option<&KnownQueue>, known: &Arc<Reading>) -> Arc<Reading> {
        let uid = JobUid::new(object.metadata.uid.as_ref().unwrap());
        Reading::of(object, (&uid, &key()), queue, &Kinds::default(), Some(known.clone())).unwrap()
    }

    #[test]
    fn it_is_taken_for_nothing_but_what_it_was_made_from() {
        let etl = queue(2);
        let first =
            Reading::of(&object(), (&JobUid::from("u-1"), &key()), Some(&etl), &Kinds::default(), None)
                .unwrap();
        assert!(Arc::ptr_eq(&first, &read(&object(), Some(&etl), &first)));
        // The queue's object was written again, with a status for example, and sets the same.
        assert!(Arc::ptr_eq(&first, &read(&object(), Some(&queue(2)), &first)));
        let cpu = |reading: &Reading| reading.request.as_ref().unwrap().demand.cpu_milli;
        assert_eq!(cpu(&first), 3000);

        let resized = read(&object(), Some(&queue(4)), &first);
        assert_eq!(cpu(&resized), 5000, "the queue sets something else");
        let nowhere = read(&object(), None, &first);
        assert_eq!((cpu(&nowhere), nowhere.parts.is_none()), (2000, true), "the queue is gone");
        let plain: SparkQueue = serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue", "metadata": {"name": "etl"},
            "spec": {"routes": []},
        }))
        .unwrap();
        let plain = read(&object(), Some(&KnownQueue::new(Arc::new(plain))), &nowhere);
        assert!(plain.parts.is_some(), "no queue is not a queue that sets nothing");

        let mut edited = object();
        edited.metadata.generation = Some(2);
        edited.spec.priority = 7;
        let again = read(&edited, Some(&etl), &first);
        assert_eq!(again.request.as_ref().unwrap().priority, 7, "the spec was edited");
        let mut other = object();
        other.metadata.uid = Some("u-2".to_owned());
        assert!(!Arc::ptr_eq(&first, &read(&other, Some(&etl), &first)), "another job");
    }

    #[test]
    fn an_object_without_a_version_is_read_each_time() {
        let mut object = object();
        object.metadata.generation = None;
        let first =
            Reading::of(&object, (&JobUid::from("u-1"), &key()), None, &Kinds::default(), None).unwrap();
        assert!(!Arc::ptr_eq(&first, &read(&object, None, &first)));
    }
}
