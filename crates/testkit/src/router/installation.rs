//! The router on a fleet, before it runs: what an administrator applies.
//!
//! Purpose: apply `deploy/kustomize` to hub and members as it is shipped, give the hub the members' kubeconfigs, register
//! the members. Owns the list of members that it has installed. It must never leave out a right or add one: only the
//! Deployment is left out, because the router runs as a process of this machine.

use std::path::Path;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::{Value, json};
use spark_router_api::{MemberCluster, RoutedSparkJob};

use super::{ACCOUNT, NAMESPACE, objects};
use crate::cluster::Cluster;
use crate::fault::FaultProxy;
use crate::{Error, Fleet, manifest};

/// Where `deploy/kustomize` is.
const KUSTOMIZE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/kustomize");

/// A hub with the router's definitions and rights, and its members.
#[derive(Debug)]
pub struct Installation<'a> {
    fleet: &'a Fleet,
    members: Mutex<Vec<String>>,
}

impl<'a> Installation<'a> {
    /// Applies `deploy/kustomize/hub` to the hub, without the Deployment. Of its admission policy jobs of the admin see
    /// nothing: the group `system:masters` has every verb.
    pub async fn new(fleet: &'a Fleet) -> Result<Self, Error> {
        apply(fleet.hub(), "hub").await?;
        Ok(Self { fleet, members: Mutex::default() })
    }

    /// Makes a cluster of the fleet a member: `deploy/kustomize/member` on it, its kubeconfig in a Secret of its name on
    /// the hub, and a MemberCluster of its name. `overrides` is merged into the spec of
    /// [`objects::member_cluster`]; `json!({})` for none.
    pub async fn member(&self, name: &str, overrides: Value) -> Result<&Self, Error> {
        self.connect(name).await?;
        self.register(name, overrides).await?;
        Ok(self)
    }

    /// Like [`Self::member`], with a fault proxy between the router and the member.
    pub async fn member_through(
        &self,
        name: &str,
        proxy: &FaultProxy,
        overrides: Value,
    ) -> Result<&Self, Error> {
        self.prepare(name).await?;
        let kubeconfig = proxy.kubeconfig(&self.kubeconfig(name).await?)?;
        self.write_secret(name, &kubeconfig).await?;
        self.register(name, overrides).await?;
        Ok(self)
    }

    /// [`Self::prepare`] and the Secret; the MemberCluster is left to the caller.
    pub async fn connect(&self, name: &str) -> Result<(), Error> {
        self.prepare(name).await?;
        let kubeconfig = self.kubeconfig(name).await?;
        self.write_secret(name, &kubeconfig).await
    }

    /// Applies `deploy/kustomize/member` to a cluster.
    pub async fn prepare(&self, name: &str) -> Result<(), Error> {
        apply(self.fleet.find(name)?, "member").await?;
        self.members.lock().push(name.to_owned());
        Ok(())
    }

    /// A kubeconfig for the router's account on a member, with a new token.
    pub async fn kubeconfig(&self, name: &str) -> Result<String, Error> {
        let member = self.fleet.find(name)?;
        let token = member.token_for(NAMESPACE, ACCOUNT).await?;
        Ok(member.kubeconfig_with_token(member.server(), &token))
    }

    /// Writes the Secret that a MemberCluster of [`objects::member_cluster`] of that name refers to.
    pub async fn write_secret(&self, name: &str, kubeconfig: &str) -> Result<(), Error> {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "stringData": {"kubeconfig": kubeconfig},
        });
        let hub = self.fleet.hub();
        let api: Api<Secret> = Api::namespaced(hub.client(), NAMESPACE);
        api.patch(name, &params(), &Patch::Apply(&secret))
            .await
            .map(drop)
            .map_err(Error::api(format!("writing the Secret {name}"), hub.name()))
    }

    /// Writes a MemberCluster that refers to the Secret of the same name; see [`objects::member_cluster`].
    pub async fn register(&self, name: &str, overrides: Value) -> Result<MemberCluster, Error> {
        let object = objects::member_cluster(name, overrides);
        let hub = self.fleet.hub();
        let api: Api<MemberCluster> = Api::all(hub.client());
        api.patch(name, &params(), &Patch::Apply(&object))
            .await
            .map_err(Error::api(format!("writing the MemberCluster {name}"), hub.name()))
    }

    /// Creates a namespace on the hub and on every member that is installed so far; one that exists stays.
    pub async fn namespace(&self, name: &str) -> Result<(), Error> {
        let members = self.members.lock().clone();
        let mut clusters = vec![self.fleet.hub()];
        for member in &members {
            clusters.push(self.fleet.find(member)?);
        }
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        for cluster in clusters {
            let api: Api<Namespace> = Api::all(cluster.client());
            api.patch(name, &params(), &Patch::Apply(&namespace))
                .await
                .map_err(Error::api(format!("creating the namespace {name}"), cluster.name()))?;
        }
        Ok(())
    }

    /// Creates a job as of [`objects::job`] on the hub; a refusal is an error with the API server's words.
    pub async fn submit(&self, job: &Value) -> Result<RoutedSparkJob, Error> {
        let hub = self.fleet.hub();
        let bad = |error: serde_json::Error| Error::Manifest(format!("no RoutedSparkJob: {error}"));
        let job: RoutedSparkJob = serde_json::from_value(job.clone()).map_err(bad)?;
        let name = job.metadata.name.clone().unwrap_or_default();
        let namespace = job.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), &namespace);
        api.create(&kube::api::PostParams::default(), &job)
            .await
            .map_err(Error::api(format!("creating the job {namespace}/{name}"), hub.name()))
    }

    /// Waits until the members are Ready, which is when jobs can go to them.
    pub async fn wait_members(&self, names: &[&str], timeout: std::time::Duration) -> Result<(), Error> {
        for name in names {
            let api: Api<MemberCluster> = Api::all(self.fleet.hub().client());
            super::jobs::wait_until(api, name, "Ready", timeout, |member: &MemberCluster| {
                let conditions = member.status.as_ref().map(|status| status.conditions.as_slice());
                spark_router_api::condition::is_true(
                    conditions.unwrap_or_default(),
                    spark_router_api::condition::READY,
                )
            })
            .await?;
        }
        Ok(())
    }
}

fn params() -> PatchParams {
    PatchParams::apply("testkit").force()
}

/// Applies a folder of `deploy/kustomize` as kubectl renders it, without Deployments.
async fn apply(cluster: &Cluster, base: &str) -> Result<(), Error> {
    let folder = Path::new(KUSTOMIZE).join(base);
    let rendered = cluster.kubectl(&["kustomize", &folder.to_string_lossy()]).await?;
    let mut kept = String::new();
    for object in manifest::parse(&rendered)? {
        if object.types.as_ref().is_some_and(|types| types.kind == "Deployment") {
            continue;
        }
        let text = serde_json::to_string(&object).map_err(|error| Error::Manifest(error.to_string()))?;
        kept.push_str("---\n");
        kept.push_str(&text);
        kept.push('\n');
    }
    cluster.apply_manifest(&kept).await.map(drop)
}
