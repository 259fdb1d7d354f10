//! Requests of orders, by translating what the queue and the member make of a template.
//!
//! Owns no state. Pure: the same order gives the same bytes, and what is asked about a template before it is placed is
//! answered by the very translation that makes its request.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};
use spark_router_core::{
    id::{Attempt, HubId, JobUid, QueueName, RemoteName},
    place::Inexpressible,
};
use spark_router_member::{
    Asked, Backend, Order,
    render::{MemberParts, complete, effective},
};

use super::settings::{Made, Maker};
use crate::{EmrSettings, Problem, Request, translate};

/// See the module. Clones are the same one.
#[derive(Clone)]
pub struct Translator(Arc<Inner>);

struct Inner {
    settings: EmrSettings,
    parts: Arc<MemberParts>,
    name: String,
}

impl Translator {
    /// For a member of these settings, which adds these parts to every template.
    pub fn new(settings: EmrSettings, parts: Arc<MemberParts>) -> Self {
        // Debug texts say everything that two of them can differ in, and are compared within one process only.
        let mut all = Sha256::new();
        all.update(format!("{settings:?}\n{parts:?}"));
        let mut mark = HEXLOWER.encode(&all.finalize());
        mark.truncate(16);
        Self(Arc::new(Inner { settings, parts, name: format!("emr-containers/{mark}") }))
    }

    /// What would become of a job that has no place yet.
    fn tried(&self, asked: &Asked<'_>) -> Result<translate::Translation, Vec<Problem>> {
        let mut template = asked.template.clone();
        complete(&mut template, &self.0.parts, None);
        // Who it is and what it is called decides nothing here: names that fit every limit stand for it.
        let (hub, job) = (HubId::from("00000000-0000-0000-0000-000000000000"), JobUid::from("0"));
        let (queue, name) = (QueueName::from("any"), RemoteName::from("any"));
        self.translated(&translate::Order {
            hub: &hub,
            job: &job,
            key: asked.key,
            attempt: Attempt::FIRST,
            queue: &queue,
            seq: 1,
            name: &name,
            template: &template,
            emr: asked.emr,
            start_deadline: None,
            pod_templates_allowed: asked.pod_template_files,
        })
    }

    fn translated(&self, order: &translate::Order<'_>) -> Result<translate::Translation, Vec<Problem>> {
        translate::translate(order, &self.0.settings)
    }
}

impl Maker for Translator {
    fn make(&self, order: &Order, hub: &HubId) -> Result<Made, Inexpressible> {
        let mut template = match &order.parts {
            Some(queue) => effective(&order.template, queue),
            None => Value::clone(&order.template),
        };
        complete(&mut template, &self.0.parts, order.remote_queue.as_deref());
        let allowed = order.parts.as_ref().is_some_and(|queue| queue.allow.pod_template_files);
        let translation = self.translated(&translate::Order {
            hub,
            job: &order.job,
            key: &order.key,
            attempt: order.attempt,
            queue: &order.queue,
            seq: order.seq,
            name: &order.name,
            template: &template,
            emr: order.emr.as_deref(),
            start_deadline: order.start_deadline,
            pod_templates_allowed: allowed,
        });
        match translation {
            Ok(translation) => Ok(Made { body: body(&translation.request), hash: translation.hash }),
            Err(problems) => Err(problems.into_iter().next().map_or_else(nothing_said, inexpressible)),
        }
    }

    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }
}

impl Backend for Translator {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn inexpressible(&self, asked: &Asked<'_>) -> Vec<Inexpressible> {
        let problems = self.tried(asked).err().unwrap_or_default();
        problems.into_iter().map(inexpressible).collect()
    }

    fn otherwise(&self, asked: &Asked<'_>) -> Vec<Inexpressible> {
        let notes = self.tried(asked).map(|translation| translation.notes).unwrap_or_default();
        notes.into_iter().map(|note| Inexpressible::new(note.path, note.text)).collect()
    }
}

fn inexpressible(problem: Problem) -> Inexpressible {
    Inexpressible::new(problem.path, problem.reason)
}

fn nothing_said() -> Inexpressible {
    Inexpressible::new("spec.template", "cannot be said to EMR on EKS")
}

/// What is sent: the request as it is written, without what stands in the address. Keys of maps stay sorted.
fn body(request: &Request) -> Vec<u8> {
    let mut value: Value = serde_json::from_str(&request.canonical()).unwrap_or_default();
    if let Some(body) = value.as_object_mut() {
        body.remove("virtualClusterId");
    }
    value.to_string().into_bytes()
}
