//! A hub, its members and the router, ready for jobs.
//!
//! Purpose: what every lane of the demo starts with. Owns all processes and the folder; dropping it takes them away. It
//! must never do more for the router than an administrator does: manifests, Secrets, MemberClusters.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use spark_router_testkit::apache::ScriptedApacheOperator;
use spark_router_testkit::fleet::Builder;
use spark_router_testkit::kubelet::Kubelet;
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, Router, RouterOptions};
use spark_router_testkit::{Cluster, Fleet, spark_submit, tools};

use super::cloud::Cloud;
use super::{Error, Progress};
use crate::binary;

/// How long the members may take to become Ready, on a machine that is busy.
const MEMBERS: Duration = Duration::from_mins(2);

/// The namespace of the jobs, on the hub and on members.
pub(super) const NAMESPACE: &str = "demo";

/// Control planes and a built router, before an administrator has come.
#[derive(Debug)]
pub(super) struct Ground {
    /// The control planes.
    pub(super) fleet: Fleet,
    binary: PathBuf,
}

/// What an administrator of the hub does.
pub(super) struct Setting<'a> {
    /// Clusters of the fleet that are connected: a Secret of the name for each.
    pub(super) clusters: &'a [&'a str],
    /// MemberClusters, of those clusters and others, that must become Ready.
    pub(super) members: &'a [&'a str],
    /// MemberClusters and queues, with the names of their files.
    pub(super) manifests: &'a [(&'a str, &'a str)],
    /// How the router is started.
    pub(super) router: RouterOptions,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Stage {
    /// Nodes that run pods as processes; none unless a lane adds some. First, so that they end before what they talk to.
    pub(super) kubelets: Vec<Kubelet>,
    /// The member with Apache's operator, and the operator; none unless a lane adds one.
    pub(super) apache: Option<(&'static str, ScriptedApacheOperator)>,
    /// The virtual cluster of EMR on EKS; none unless a lane adds one.
    pub(super) cloud: Option<Cloud>,
    /// The control planes.
    pub(super) fleet: Fleet,
    /// The router.
    pub(super) router: Router,
}

impl Ground {
    /// Builds what is missing and starts the control planes, which `what` names.
    pub(super) async fn lay(progress: Progress, fleet: Builder, what: &str) -> Result<Self, Error> {
        tools().await?;
        progress.say("building the router (minutes the first time)");
        let binary = binary::build().await?;
        progress.say(&format!("starting {what}"));
        let fleet = fleet.start().await?;
        Ok(Self { fleet, binary })
    }

    /// Installs and starts the router. Returns when the members are Ready.
    pub(super) async fn furnish(self, progress: Progress, setting: Setting<'_>) -> Result<Stage, Error> {
        let Self { fleet, binary } = self;
        progress.say("control planes are ready; installing the router as deploy/kustomize says");
        let installation = Installation::new(&fleet).await?;
        for cluster in setting.clusters {
            installation.connect(cluster).await?;
        }
        installation.namespace(NAMESPACE).await?;
        for (name, yaml) in setting.manifests {
            apply(&fleet, name, yaml).await?;
        }
        let router = Router::start(&fleet, &binary, setting.router).await?;
        router.wait_ready().await?;
        installation.wait_members(setting.members, MEMBERS).await?;
        progress.say("the router is ready, and so are its members");
        Ok(Stage { kubelets: Vec::new(), apache: None, cloud: None, fleet, router })
    }
}

impl Stage {
    /// A hub and clusters as members, by [`Ground`]. The MemberClusters refer to Secrets of the clusters' names.
    pub(super) async fn set(
        progress: Progress,
        fleet: Builder,
        members: &[&str],
        manifests: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let what = format!("a hub and {} members", members.len());
        let ground = Ground::lay(progress, fleet, &what).await?;
        let setting = Setting { clusters: members, members, manifests, router: RouterOptions::default() };
        ground.furnish(progress, setting).await
    }

    /// `kubectl apply` on the hub, from a file as a user has it; returns what kubectl said.
    pub(super) async fn apply(&self, name: &str, yaml: &str) -> Result<String, Error> {
        apply(&self.fleet, name, yaml).await
    }

    /// What to paste into a shell to look around.
    pub(super) fn invitation(&self) -> String {
        let configs = self.fleet.clusters().map(Cluster::kubeconfig_path);
        // The hub first: its context is then the current one.
        let (hub, members): (Vec<PathBuf>, Vec<PathBuf>) =
            configs.partition(|path| *path == self.fleet.hub().kubeconfig_path());
        let paths: Vec<_> = hub.iter().chain(&members).map(|path| path.display().to_string()).collect();
        let names: Vec<_> = self.fleet.clusters().map(Cluster::name).filter(|name| *name != "hub").collect();
        let bin = self.fleet.tools().program("kubectl");
        let bin = bin.parent().map(|path| path.display().to_string()).unwrap_or_default();
        let mut more = String::new();
        if let Some(cloud) = &self.cloud {
            // Writing to a String never fails.
            let _ = writeln!(more, "  {}   # job runs of {}", cloud.invitation(), cloud.member());
        }
        format!(
            "Everything is left running. Paste into another shell:\n\n  \
             export KUBECONFIG={}\n  \
             export KUBECACHEDIR={}   # what these clusters know, not what others did at their addresses\n  \
             export PATH=\"{bin}:$PATH\"   # kubectl, as it was built for the demo\n  \
             kubectl get routedsparkjobs -n {NAMESPACE} -o wide\n  \
             kubectl get memberclusters,sparkqueues\n  \
             kubectl --context {} get sparkapplications,pods -n {NAMESPACE}   # members: {}\n{more}\n\
             The router's log: {}\n\
             Ctrl-C here ends everything and removes all of it.",
            paths.join(":"),
            self.fleet.supervisor().folder().join("kubectl").display(),
            names.first().unwrap_or(&"hub"),
            names.join(", "),
            self.router.process().log().display(),
        )
    }
}

impl Drop for Stage {
    /// Takes away what operators keep outside of the fleet's folder for drivers that have not ended.
    fn drop(&mut self) {
        // Without the audit logs nobody knows which of it is ours: then it stays.
        if let Ok(applications) = RemoteApplications::read(self.fleet.clusters()) {
            let uids = applications.all().map(|application| application.uid.as_str()).collect();
            spark_submit::remove_templates_of(&uids);
        }
    }
}

async fn tools() -> Result<(), Error> {
    let built = tokio::task::spawn_blocking(|| tools::ensure(&|line| eprintln!("{line}"))).await;
    built.map_err(|error| Error::System("build the control planes", std::io::Error::other(error)))??;
    Ok(())
}

async fn apply(fleet: &Fleet, name: &str, yaml: &str) -> Result<String, Error> {
    let folder = fleet.supervisor().folder().join("manifests");
    std::fs::create_dir_all(&folder)
        .map_err(|source| Error::System("create a folder for manifests", source))?;
    let path = folder.join(format!("{name}.yaml"));
    std::fs::write(&path, yaml).map_err(|source| Error::System("write a manifest", source))?;
    Ok(fleet.hub().kubectl(&["apply", "-n", NAMESPACE, "-f", &path.to_string_lossy()]).await?)
}
