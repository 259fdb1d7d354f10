//! Whose an application is, as written inside its create: the same for every operator.
//!
//! Owns no state.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use spark_router_api::names;
use spark_router_core::{
    id::{Attempt, HubId, JobKey, JobUid, Namespace},
    observe::Ownership,
};

/// Whose it is. `None` unless every part is there.
pub(crate) fn ownership(metadata: &ObjectMeta) -> Option<Ownership> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name);
    let annotation = |name: &str| metadata.annotations.as_ref()?.get(name);
    Some(Ownership {
        hub: HubId::new(label(names::ORIGIN_LABEL)?),
        job: JobUid::new(label(names::JOB_UID_LABEL)?),
        key: JobKey {
            namespace: Namespace::new(annotation(names::JOB_NAMESPACE_ANNOTATION)?),
            name: annotation(names::JOB_NAME_ANNOTATION)?.clone(),
        },
        attempt: Attempt(label(names::ATTEMPT_LABEL)?.parse().ok()?),
        seq: annotation(names::SEQ_ANNOTATION)?.parse().ok()?,
        render_hash: annotation(names::RENDER_HASH_ANNOTATION)?.clone(),
    })
}

/// Whether our finalizer is on it.
pub(crate) fn is_held(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.iter().flatten().any(|finalizer| finalizer == names::OUTCOME_FINALIZER)
}
