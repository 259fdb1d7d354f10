//! A node that is taken away, and comes back.
//!
//! Purpose: what the control plane does when a machine is gone, in the order of the real node lifecycle: it is tainted as
//! unreachable, its object is deleted, and pods that are bound to no node are failed and deleted by force, as the garbage
//! collector for pods does. Only the waiting is shorter: it takes the real one minutes. Owns no state. It must never leave
//! a pod behind that nobody runs.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeStatus, Pod, Taint};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ObjectMeta;
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::evidence::Span;
use crate::hand::insist;

/// The taint of a node whose kubelet is silent.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// A node is silent for so long before it is known to be gone, and gone for so long before its pods are.
const SILENT: Duration = Duration::from_secs(1);
/// It is looked for a driver for so long.
const MORE: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(50);

/// Takes a node away on which a driver runs, for some time; `None` where none comes to run for long.
pub(crate) async fn lose(client: &Client, lasts: Duration) -> Result<Option<Span>, Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let Some(name) = busy(client).await? else { return Ok(None) };
    let node = insist("reading a node", async || nodes.get(&name).await).await?;
    let from = Timestamp::now();
    let taint =
        |effect: &str| Taint { key: UNREACHABLE.to_owned(), effect: effect.to_owned(), ..Taint::default() };
    let taints = json!({"spec": {"taints": [taint("NoSchedule"), taint("NoExecute")]}});
    let taint = async || nodes.patch(&name, &PatchParams::default(), &Patch::Merge(&taints)).await;
    insist("tainting a node", taint).await?;
    sleep(SILENT).await;
    let delete = async || match nodes.delete(&name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(drop),
    };
    insist("deleting a node", delete).await?;
    sleep(SILENT).await;
    collect(client, &name).await?;
    sleep(lasts).await;
    // What was bound to it when the scheduler had not seen that it is gone.
    collect(client, &name).await?;
    let again = anew(node);
    let create = async || match nodes.create(&PostParams::default(), &again).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(drop),
    };
    insist("creating a node anew", create).await?;
    Ok(Some(Span { from, to: Timestamp::now() }))
}

/// The name of a node on which a driver runs.
async fn busy(client: &Client) -> Result<Option<String>, Error> {
    let pods: Api<Pod> = Api::all(client.clone());
    let drivers = ListParams::default().labels("spark-role=driver").fields("status.phase=Running");
    let started = Instant::now();
    while started.elapsed() < MORE {
        let running = insist("listing drivers", async || pods.list(&drivers).await).await?;
        let node = running.items.into_iter().find_map(|pod| pod.spec?.node_name);
        if node.is_some() {
            return Ok(node);
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// The node as its kubelet would register it.
fn anew(node: Node) -> Node {
    let status = node.status.unwrap_or_default();
    Node {
        metadata: ObjectMeta {
            name: node.metadata.name,
            labels: node.metadata.labels,
            annotations: node.metadata.annotations,
            ..ObjectMeta::default()
        },
        spec: None,
        status: Some(NodeStatus {
            capacity: status.capacity,
            allocatable: status.allocatable,
            ..NodeStatus::default()
        }),
    }
}

/// Fails and deletes all pods of a node that is gone.
async fn collect(client: &Client, node: &str) -> Result<(), Error> {
    let all: Api<Pod> = Api::all(client.clone());
    let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = insist("listing the pods of a node", async || all.list(&here).await).await?;
    for pod in pods {
        let (Some(namespace), name) = (pod.namespace(), pod.name_any()) else { continue };
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if !matches!(phase, Some("Succeeded" | "Failed")) {
            let status = json!({"metadata": {"uid": pod.uid()}, "status": {
                "phase": "Failed",
                "conditions": [{
                    "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists", "lastTransitionTime": Timestamp::now().to_string(),
                }],
            }});
            let fail = async || {
                let patch = Patch::Strategic(&status);
                gone_or(api.patch_status(&name, &PatchParams::default(), &patch).await)
            };
            insist("failing a pod", fail).await?;
        }
        let force = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        insist("deleting a pod", async || gone_or(api.delete(&name, &force).await)).await?;
    }
    Ok(())
}

/// Somebody else has deleted it, and another one may have its name.
fn gone_or<T>(answer: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}
