//! The real Kueue: ClusterQueues with quotas that workloads reserve.
//!
//! Purpose: install its CRDs and start it without webhooks. Owns no state; the process belongs to the cluster. It must
//! never write outside the cluster's folder: the one path that is fixed in the program, below `/etc`, is given to it in a
//! mount namespace of its own (`unshare`), which not every machine allows.

use std::env;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::cluster::{Cluster, Part};
use crate::supervise;
use crate::{Error, plain, tools};

/// Its namespace.
pub const NAMESPACE: &str = "kueue-system";

/// Puts a folder in the place of `/etc` and becomes the program.
const MOUNT: &str = r#"mount --bind "$1" /etc && shift && exec "$@""#;

/// For tests: whether Kueue can run here. Where it can't, says why on stderr, so that the test can end there; an error
/// instead if `SPARK_ROUTER_REQUIRE_KUEUE=1`, as CI sets it: nothing is skipped unseen.
pub fn wanted() -> Result<bool, Error> {
    match namespace_flag() {
        Ok(_) => Ok(true),
        Err(error) if env::var("SPARK_ROUTER_REQUIRE_KUEUE").is_ok_and(|value| value == "1") => Err(error),
        Err(error) => {
            eprintln!("skipped, because Kueue can't run here: {error}");
            Ok(false)
        }
    }
}

/// Installs Kueue and starts it; returns when it is ready. Builds the program first if it is missing, which takes minutes
/// and says so on stderr.
pub async fn start(cluster: &Cluster) -> Result<(), Error> {
    let flag = namespace_flag()?;
    let tools = tools::built(tools::Set::Kueue).await?;
    cluster.apply_files(&tools.files()).await?;
    cluster
        .apply_manifest(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"))
        .await?;

    let ip = cluster.address().ip();
    let ports = [6000, 7000, 8000].map(|offset| cluster.port(offset));
    let [health, metrics, webhook] = ports;
    let served = cluster.authority().server(&[ip])?;
    // Where it looks for them, and the name it gives them in both places.
    for folder in ["kueue-etc/kueue/metrics/certs", "kueue-webhook"] {
        let path = cluster.folder().join(folder);
        std::fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
        cluster.write(&format!("{folder}/tls.crt"), &served.certificate)?;
        cluster.write(&format!("{folder}/tls.key"), &served.key)?;
    }
    let certificates = cluster.folder().join("kueue-webhook");
    let configuration = cluster.write(
        "kueue.yaml",
        &format!(
            "apiVersion: config.kueue.x-k8s.io/v1beta2\nkind: Configuration\nnamespace: {NAMESPACE}\n\
             health: {{healthProbeBindAddress: '{ip}:{health}'}}\n\
             metrics: {{bindAddress: '{ip}:{metrics}'}}\n\
             webhook: {{host: '{ip}', port: {webhook}, certDir: '{}'}}\n\
             leaderElection: {{leaderElect: false}}\n\
             internalCertManagement: {{enable: false}}\n\
             clientConnection: {{qps: 500, burst: 1000}}\n\
             integrations: {{frameworks: [batch/job]}}\n",
            certificates.display()
        ),
    )?;
    let kubeconfig = cluster.system_kubeconfig("system:kueue")?;

    let mut command = Command::new("unshare");
    command.args([flag, "/bin/sh", "-c", MOUNT, "kueue"]).arg(cluster.folder().join("kueue-etc"));
    command.arg(tools.program("kueue"));
    command.arg(format!("--config={}", configuration.display()));
    command.arg(format!("--kubeconfig={}", kubeconfig.display()));
    // Its own API service would need an aggregator that knows the way to it.
    command.arg("--feature-gates=VisibilityOnDemand=false");
    // Its client asks for lists as streams, which this combination of versions never ends.
    command.env("KUBE_FEATURE_WatchListClient", "false");
    cluster.launch(Part::Kueue, command)?;
    let process = cluster.process(Part::Kueue)?;
    let what = format!("Kueue of cluster {}", cluster.name());
    supervise::wait(&what, &process, async || {
        plain::get(SocketAddr::from((ip, health)), "/readyz").await.map(drop)
    })
    .await
}

/// How `unshare` gives a mount namespace here: to a user with a user namespace around it, to root also without.
fn namespace_flag() -> Result<&'static str, Error> {
    let mut refusals = Vec::new();
    for flag in ["-rm", "-m"] {
        let mut command = Command::new("unshare");
        command.args([flag, "/bin/sh", "-c", MOUNT, "probe", "/etc", "true"]);
        let output =
            command.stdin(Stdio::null()).output().map_err(|error| Error::Unshare(error.to_string()))?;
        if output.status.success() {
            return Ok(flag);
        }
        refusals.push(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Err(Error::Unshare(refusals.join("; ")))
}
