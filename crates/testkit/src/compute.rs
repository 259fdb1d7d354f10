//! Nodes without machines: the real kube-scheduler and KWOK.
//!
//! Purpose: pods get scheduled by their requests (so a full member really leaves drivers pending) and then live as
//! their annotations say (`kwok-stages.yaml` lists them). Owns no state of its own; the processes belong to the
//! cluster. It must never touch nodes without KWOK's annotation: others may run pods as processes on theirs.

use std::process::Command;

use jiff::Timestamp;

use crate::Error;
use crate::cluster::{Cluster, Part};

/// What a driver's log says on a cluster with KWOK, unless it fails.
const LOG: &[&str] = &[
    "INFO SparkContext: Running Spark version 4.0.1",
    "INFO DAGScheduler: Job 0 finished: reduce at pi.py:42",
    "Pi is roughly 3.141592",
    "INFO SparkContext: Successfully stopped SparkContext",
];

/// The nodes that KWOK plays. Every node has the same size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KwokOptions {
    /// How many.
    pub nodes: u16,
    /// Allocatable cpu of each, as a Kubernetes quantity.
    pub cpu: String,
    /// Allocatable memory of each, as a Kubernetes quantity.
    pub memory: String,
}

impl Default for KwokOptions {
    /// One node with room for every test.
    fn default() -> Self {
        Self::sized(1, "1000", "4000Gi")
    }
}

impl KwokOptions {
    /// `nodes` nodes with this cpu and memory each.
    pub fn sized(nodes: u16, cpu: &str, memory: &str) -> Self {
        Self { nodes, cpu: cpu.to_owned(), memory: memory.to_owned() }
    }
}

pub(crate) fn start_scheduler(cluster: &Cluster) -> Result<(), Error> {
    let kubeconfig = cluster.system_kubeconfig("system:kube-scheduler")?;
    // Short back-off: tests free room and want the waiting pod to go on at once.
    let config = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\n\
         kind: KubeSchedulerConfiguration\n\
         clientConnection: {{kubeconfig: {}, qps: 500, burst: 1000}}\n\
         leaderElection: {{leaderElect: false}}\n\
         podInitialBackoffSeconds: 1\n\
         podMaxBackoffSeconds: 2\n",
        kubeconfig.display()
    );
    let config = cluster.write("scheduler.yaml", &config)?;
    let mut command = Command::new(cluster.tools().program("kube-scheduler"));
    command.arg(format!("--config={}", config.display()));
    command.arg(format!("--bind-address={}", cluster.address().ip()));
    command.arg(format!("--secure-port={}", cluster.port(2000)));
    // Without it the scheduler waits for ever for a front-proxy authority that nobody made.
    command.arg("--authentication-skip-lookup=true");
    cluster.launch(Part::Scheduler, command)
}

pub(crate) async fn start_kwok(cluster: &Cluster, options: &KwokOptions) -> Result<(), Error> {
    cluster.apply_files(&[cluster.tools().file("kwok-logs-crd.json")]).await?;
    let ip = cluster.address().ip();
    let port = cluster.port(3000);
    let kubeconfig = cluster.system_kubeconfig("system:kwok")?;
    let served = cluster.authority().server(&[ip])?;
    let certificate = cluster.write("kwok.crt", &served.certificate)?;
    let key = cluster.write("kwok.key", &served.key)?;
    let stages = cluster.write("kwok-stages.yaml", include_str!("kwok-stages.yaml"))?;
    let log = cluster.write("driver.log", &cri_log(LOG.iter().copied()))?;
    let logs = cluster.write("kwok-logs.yaml", &cluster_logs(&log.display().to_string()))?;

    let mut command = Command::new(cluster.tools().program("kwok"));
    command.arg("--kubeconfig").arg(kubeconfig);
    command.arg("--manage-all-nodes=false");
    command.arg("--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake");
    // No lease renewals: nobody watches the nodes' health here, and they would fill the audit log.
    command.arg("--node-lease-duration-seconds=0");
    command.arg("--cidr=10.0.0.1/8");
    // Failing drivers have a log of their own, named by an object of this kind.
    command.arg("--enable-crds=Logs");
    for config in [stages, logs, cluster.tools().file("node-initialize.yaml")] {
        command.arg("--config").arg(config);
    }
    command.arg(format!("--server-address={ip}:{port}"));
    command.arg(format!("--node-ip={ip}")).arg(format!("--node-port={port}"));
    command.arg("--tls-cert-file").arg(certificate).arg("--tls-private-key-file").arg(key);
    cluster.launch(Part::Kwok, command)?;
    cluster.apply_manifest(&nodes(cluster.name(), options)).await.map(drop)
}

fn nodes(cluster: &str, options: &KwokOptions) -> String {
    let KwokOptions { nodes, cpu, memory } = options;
    let size = format!("{{cpu: \"{cpu}\", memory: \"{memory}\", pods: \"100000\"}}");
    let node = |index| {
        format!(
            "---\napiVersion: v1\nkind: Node\nmetadata:\n  name: {cluster}-node-{index}\n  \
             annotations: {{kwok.x-k8s.io/node: fake}}\n  \
             labels: {{kubernetes.io/hostname: {cluster}-node-{index}, kubernetes.io/os: linux, type: kwok}}\n\
             status:\n  capacity: {size}\n  allocatable: {size}\n"
        )
    };
    (0..*nodes).map(node).collect()
}

fn cluster_logs(file: &str) -> String {
    format!(
        "apiVersion: kwok.x-k8s.io/v1alpha1\nkind: ClusterLogs\nmetadata: {{name: drivers}}\n\
         spec:\n  logs:\n  - {{logsFile: {file}, follow: false}}\n"
    )
}

/// Lines as a container runtime writes them, which is what KWOK reads.
pub(crate) fn cri_log<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let now = Timestamp::now();
    lines.fold(String::new(), |text, line| text + &format!("{now:.9} stdout F {line}\n"))
}
