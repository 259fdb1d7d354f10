//! Applies YAML as `kubectl apply --server-side` would.
//!
//! Purpose: take any number of documents of any kind, ask the API server for each kind's plural and scope, apply. Owns
//! no state. It must never guess a plural: custom resources are what tests are about.

use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, oneshot};
use kube::{Client, ResourceExt as _};

use crate::Error;

/// How long a kind may stay unknown after its CRD was applied.
const KIND_PATIENCE: Duration = Duration::from_secs(20);

/// The documents of a YAML text; empty ones are left out.
pub fn parse(yaml: &str) -> Result<Vec<DynamicObject>, Error> {
    let documents: Vec<Option<serde_json::Value>> =
        serde_saphyr::from_multiple(yaml).map_err(|error| Error::Manifest(error.to_string()))?;
    let objects = documents.into_iter().flatten().filter(|document| !document.is_null());
    objects
        .map(|document| serde_json::from_value(document).map_err(|error| Error::Manifest(error.to_string())))
        .collect()
}

/// Applies every document in order, server-side, by force, as field manager `testkit`. Returns what the server stored.
/// `namespace` is for namespaced objects that name none.
pub async fn apply(
    client: &Client,
    cluster: &str,
    yaml: &str,
    namespace: &str,
) -> Result<Vec<DynamicObject>, Error> {
    let mut stored = Vec::new();
    for object in parse(yaml)? {
        let api = api(client, cluster, &object, namespace).await?;
        let name = object.name_any();
        let action = format!("applying {} {name}", kind(&object));
        let params = PatchParams::apply("testkit").force();
        stored.push(
            api.patch(&name, &params, &Patch::Apply(&object)).await.map_err(Error::api(action, cluster))?,
        );
    }
    Ok(stored)
}

/// Creates every document in order and returns what the server stored; an object that exists is an error.
pub async fn create(
    client: &Client,
    cluster: &str,
    yaml: &str,
    namespace: &str,
) -> Result<Vec<DynamicObject>, Error> {
    let mut stored = Vec::new();
    for object in parse(yaml)? {
        let api = api(client, cluster, &object, namespace).await?;
        let action = format!("creating {} {}", kind(&object), object.name_any());
        stored.push(api.create(&PostParams::default(), &object).await.map_err(Error::api(action, cluster))?);
    }
    Ok(stored)
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("object", |types| &types.kind)
}

async fn api(
    client: &Client,
    cluster: &str,
    object: &DynamicObject,
    namespace: &str,
) -> Result<Api<DynamicObject>, Error> {
    let types = object
        .types
        .as_ref()
        .ok_or_else(|| Error::Manifest(format!("{} has no apiVersion and kind", object.name_any())))?;
    let gvk = GroupVersionKind::try_from(types).map_err(|error| Error::Manifest(error.to_string()))?;
    let (resource, capabilities) = lookup(client, cluster, &gvk).await?;
    Ok(match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_else(|| namespace.to_owned());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    })
}

/// The kind that a CRD defines, if the object is one that was not changed since it was created.
pub(crate) fn new_kind(object: &DynamicObject) -> Option<GroupVersionKind> {
    let new = kind(object) == "CustomResourceDefinition" && object.metadata.generation == Some(1);
    let text = |pointer: &str| object.data.pointer(pointer)?.as_str().map(str::to_owned);
    let spec = new.then(|| (text("/spec/group"), text("/spec/versions/0/name"), text("/spec/names/kind")))?;
    Some(GroupVersionKind { group: spec.0?, version: spec.1?, kind: spec.2? })
}

/// The plural and scope of a kind. A kind whose CRD was just applied appears a moment later.
pub async fn lookup(
    client: &Client,
    cluster: &str,
    gvk: &GroupVersionKind,
) -> Result<(ApiResource, ApiCapabilities), Error> {
    let started = Instant::now();
    loop {
        match oneshot::pinned_kind(client, gvk).await {
            Ok(found) => return Ok(found),
            Err(error) if started.elapsed() > KIND_PATIENCE => {
                return Err(Error::api(format!("looking up the kind {}", gvk.kind), cluster)(error));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
