//! Everything of the hub that decisions rest on, as lists.
//!
//! Owns copies of what was read. The dispatcher made from it is what the router itself would make after a start.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace as HubNamespace;
use kube::{ResourceExt, core::PartialObjectMeta};
use spark_router_api::{MemberCluster, RoutedSparkJob, SparkQueue, condition};
use spark_router_core::{
    dispatch::Dispatcher,
    id::{ClusterName, JobUid, Namespace, QueueName},
};
use spark_router_member::{Asked, Providers, render};

use crate::{
    backends::Kinds,
    convert::{self, KnownQueue, Parsed},
    dispatcher::applicant,
    error::Error,
    restored::record,
};

fn known(queue: &SparkQueue) -> KnownQueue {
    KnownQueue::new(Arc::new(queue.clone()))
}

/// See the module.
#[derive(Clone)]
pub struct Picture {
    /// The jobs of all namespaces.
    pub jobs: Vec<RoutedSparkJob>,
    /// The queues.
    pub queues: Vec<SparkQueue>,
    /// The members.
    pub members: Vec<MemberCluster>,
    /// The hub's namespaces.
    pub namespaces: Vec<PartialObjectMeta<HubNamespace>>,
    /// The kinds of members that the router knows.
    pub providers: Providers,
}

impl Picture {
    /// The dispatcher that a start from this picture makes, with every waiting job in its line.
    pub fn dispatcher(&self, now: Timestamp) -> Dispatcher {
        let mut dispatcher = Dispatcher::default();
        for namespace in &self.namespaces {
            let labels = namespace.metadata.labels.clone().unwrap_or_default();
            dispatcher.set_namespace(Namespace::new(namespace.name_any()), Some(labels));
        }
        for object in &self.members {
            let cluster = ClusterName::new(object.name_any());
            dispatcher.set_member(cluster.clone(), convert::member_on_record(object, &self.providers));
            dispatcher.set_signals(&cluster, convert::signals_on_record(object, now).into());
            if let Some(since) = convert::broken_on_record(object) {
                dispatcher.set_broken(&cluster, since);
            }
        }
        // One that cannot be read takes nothing, as in the router.
        for (facts, admits, checkpoint) in self.queues.iter().filter_map(|queue| convert::queue(queue).ok()) {
            dispatcher.set_queue(facts, admits, checkpoint);
        }
        for queue in &self.queues {
            dispatcher.set_restored(&QueueName::new(queue.name_any()), record::restored(queue));
        }
        for job in &self.jobs {
            let (Some(uid), Some(status)) = (job.uid(), &job.status) else { continue };
            let Some(placement) = &status.placement else { continue };
            let finished = condition::is_true(&status.conditions, condition::FINISHED);
            let owner = Namespace::new(job.namespace().unwrap_or_default());
            dispatcher.restore(&JobUid::new(&uid), &owner, &convert::placement(placement), finished);
            if status.application.as_ref().is_some_and(|application| application.submission_id.is_some()) {
                dispatcher.submitted(&JobUid::new(&uid));
            }
        }
        dispatcher.replay();
        let queues: BTreeMap<_, _> =
            self.queues.iter().map(|queue| (queue.name_any(), known(queue))).collect();
        let kinds = self.kinds();
        let parse = |job: &RoutedSparkJob| convert::job(job, queues.get(&job.spec.queue), &kinds, None).ok();
        for job in self.jobs.iter().filter_map(parse).map(|parsed| parsed.job) {
            let waits =
                job.record.placement.is_none() && job.record.finished.is_none() && job.deleting.is_none();
            if let (true, Ok(request)) = (waits, &job.request) {
                dispatcher.enqueue(applicant(&job, request));
            }
        }
        dispatcher
    }

    /// The kinds of members.
    pub fn kinds(&self) -> Kinds {
        Kinds::of(&self.members, &self.providers)
    }

    /// What each member would run otherwise than the job says.
    ///
    /// # Errors
    /// A template that is no JSON.
    pub(super) fn otherwise(
        &self,
        object: &RoutedSparkJob,
        parsed: &Parsed,
    ) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let Some(parts) = &parsed.parts else { return Ok(BTreeMap::new()) };
        let effective = render::effective(&serde_json::to_value(&object.spec.template)?, parts);
        let asked = Asked {
            key: &parsed.job.key,
            template: &effective,
            emr: object.spec.emr.as_ref(),
            pod_template_files: parts.allow.pod_template_files,
        };
        let of = |member: &MemberCluster| {
            let said = self.providers.backend(member).otherwise(&asked).into_iter();
            (member.name_any(), said.map(|it| format!("{}: {}", it.field, it.why)).collect())
        };
        Ok(self.members.iter().map(of).collect())
    }

    /// The queue of that name.
    pub fn queue(&self, name: &str) -> Option<KnownQueue> {
        self.queues.iter().find(|queue| queue.name_any() == name).map(known)
    }

    /// The job of that name.
    pub fn job(&self, namespace: &str, name: &str) -> Option<&RoutedSparkJob> {
        self.jobs.iter().find(|job| job.namespace().as_deref() == Some(namespace) && job.name_any() == name)
    }

    /// A manifest as if it had been created just now.
    pub fn as_created(mut object: RoutedSparkJob, now: Timestamp) -> RoutedSparkJob {
        let metadata = &mut object.metadata;
        metadata.uid.get_or_insert_with(|| "not-on-the-hub".to_owned());
        metadata.creation_timestamp.get_or_insert(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
        metadata.namespace.get_or_insert_with(|| "default".to_owned());
        metadata.name.get_or_insert_with(|| "unnamed".to_owned());
        object.status = None;
        object
    }
}
