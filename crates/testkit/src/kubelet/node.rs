//! The node object and the pods bound to it.
//!
//! Purpose: one task per pod. Owns the node object and the list of tasks. It must never run a pod twice, nor one that
//! has ended.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_all};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Shared, pod};

pub(super) async fn register(shared: &Shared, port: u16) -> kube::Result<()> {
    let options = &shared.options;
    let nodes: Api<Node> = Api::all(shared.client.clone());
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": options.node, "labels": {
            "kubernetes.io/hostname": options.node, "kubernetes.io/os": "linux", "type": "processes",
        }},
    }))
    .map_err(kube::Error::SerdeError)?;
    match nodes.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(error),
    }
    let now = Timestamp::now();
    let size = json!({"cpu": options.cpu, "memory": options.memory, "pods": options.pods.len().to_string()});
    let status = json!({"status": {
        "capacity": size, "allocatable": size,
        "addresses": [{"type": "InternalIP", "address": options.address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "pods run as processes",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    }});
    nodes.patch_status(&options.node, &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
}

/// Runs for ever.
pub(super) async fn watch(shared: Arc<Shared>) {
    let pods: Api<Pod> = Api::all(shared.client.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", shared.options.node));
    let mut events = pin!(watch_all(pods, config).default_backoff());
    // By uid: cancelled when the pod shall end.
    let mut running: HashMap<String, CancellationToken> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                let Some(uid) = pod.metadata.uid.clone() else { continue };
                let ends = pod.metadata.deletion_timestamp.is_some();
                if let Some(stop) = running.get(&uid) {
                    if ends {
                        stop.cancel();
                    }
                    continue;
                }
                let stop = shared.end.child_token();
                if ends {
                    stop.cancel();
                }
                running.insert(uid, stop.clone());
                tokio::spawn(pod::run(Arc::clone(&shared), pod, stop));
            }
            Ok(Event::Delete(pod)) => {
                if let Some(stop) = pod.metadata.uid.and_then(|uid| running.remove(&uid)) {
                    stop.cancel();
                }
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => tracing::warn!(%error, "the watch of a process kubelet broke and starts again"),
        }
    }
}
