//! A kubelet that runs Spark's pods as processes of this machine.
//!
//! Purpose: run real Spark without a container runtime. Registers a node, watches the pods that the scheduler binds to
//! it, runs the driver and executor containers of Spark's image as local processes, reports their status and serves
//! their logs to the API server. Owns one node object, the folders of its pods and their processes, which end with the
//! fleet. It must never claim what a process did not do: a pod that it can't run fails and says why.
//!
//! What differs from a node with containers: `/opt/spark` is a local Spark installation, mounted paths are folders that
//! are put in place of the paths in arguments, environment and ConfigMap texts, and each pod has a loopback address.

mod command;
mod image;
mod logs;
mod node;
mod pod;
mod rewrite;
mod status;
mod volumes;

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use kube::Client;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::pyspark::PySpark;
use crate::supervise::Supervisor;
use crate::{Cluster, Error};

/// What a node offers and where its pods live.
#[derive(Debug, Clone)]
pub struct KubeletOptions {
    /// The node's name; unique in the cluster.
    pub node: String,
    /// The Spark installation that stands for `/opt/spark`.
    pub spark: PySpark,
    /// The address of the kubelet itself; its port is 10250.
    pub address: Ipv4Addr,
    /// The addresses of pods. No two kubelets of one machine may share one ([`crate::Fleet::address`] gives addresses
    /// that no other fleet has). A pod waits while all are taken.
    pub pods: Vec<Ipv4Addr>,
    /// Allocatable cpu, as a Kubernetes quantity.
    pub cpu: String,
    /// Allocatable memory, as a Kubernetes quantity.
    pub memory: String,
}

impl KubeletOptions {
    /// Node `<cluster>-processes` as number `index` (0, 1, 2) of a fleet: it takes the addresses from
    /// `10 + 80 * index` on, which leaves 2 to 9 for others.
    pub fn of(cluster: &Cluster, spark: PySpark, fleet: &crate::Fleet, index: u8) -> Self {
        let first = index.min(2) * 80 + 10;
        Self {
            node: format!("{}-processes", cluster.name()),
            spark,
            address: fleet.address(first),
            pods: (first + 1..first + 80).map(|host| fleet.address(host)).collect(),
            cpu: "16".to_owned(),
            memory: "32Gi".to_owned(),
        }
    }
}

/// A running kubelet. Dropped, it takes no more notice of its pods; processes end with the [`Supervisor`].
pub struct Kubelet {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelet").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// What all pods of a kubelet share.
struct Shared {
    client: Client,
    /// The URL of the API server and its authority, for the kubeconfigs of drivers.
    server: String,
    authority: String,
    options: KubeletOptions,
    /// Weak: pods must not keep a fleet alive.
    supervisor: Weak<Supervisor>,
    folder: PathBuf,
    free: Mutex<VecDeque<Ipv4Addr>>,
    /// By `namespace/name`; the newest pod of a name.
    logs: Mutex<HashMap<String, Arc<logs::Log>>>,
    end: CancellationToken,
}

impl Kubelet {
    /// Registers the node and starts. The cluster needs a scheduler.
    pub async fn start(
        cluster: &Cluster,
        supervisor: &Arc<Supervisor>,
        options: KubeletOptions,
    ) -> Result<Self, Error> {
        let folder = supervisor.folder().join(&options.node);
        std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let end = CancellationToken::new();
        let shared = Arc::new(Shared {
            client: cluster.client(),
            server: cluster.server().to_owned(),
            authority: cluster.authority().certificate().to_owned(),
            free: Mutex::new(options.pods.iter().copied().collect()),
            options,
            supervisor: Arc::downgrade(supervisor),
            folder,
            logs: Mutex::default(),
            end: end.clone(),
        });
        let port = logs::serve(Arc::clone(&shared)).await?;
        node::register(&shared, port).await.map_err(Error::api("registering a node", cluster.name()))?;
        let watching = node::watch(Arc::clone(&shared));
        tokio::spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = watching => {}
            }
        });
        Ok(Self { shared })
    }

    /// Kills the process of a pod's container (SIGKILL), as a node that is out of memory does; the pod's status says so
    /// as soon as it has ended. An error where no pod of that name was ever started.
    pub fn kill(&self, namespace: &str, pod: &str) -> Result<(), Error> {
        let log = self.shared.logs.lock().get(&format!("{namespace}/{pod}")).map(Arc::clone);
        let log = log.ok_or_else(|| Error::NoSuchPod(format!("{namespace}/{pod}")))?;
        log.process().kill().map(drop)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.shared.end.cancel();
    }
}
