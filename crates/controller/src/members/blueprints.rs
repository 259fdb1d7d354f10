//! What a MemberCluster asks for, as the blueprint of its link: the one place that knows backends by name.
//!
//! Owns the parsed kubeconfigs, so that one is parsed only when it changes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::{Config, ResourceExt};
use spark_router_api::{MemberCluster, condition::reason};
use spark_router_core::{
    health::Thresholds,
    id::{ClusterName, Namespace},
    place::NamespaceRule,
};
use spark_router_member::{
    Admission, Backend, Blueprint, Fault, Limits, Settings, Tempo, apache, canonical,
    error::chain,
    kubeconfig, kubeflow,
    render::{MemberParts, check_member_parts},
};

use super::secrets::Secrets;
use crate::convert;

/// What a member can run, as its object says.
pub(crate) fn backend(object: &MemberCluster) -> Arc<dyn Backend> {
    if object.spec.backend.apache_spark.is_some() { apache::backend() } else { kubeflow::backend() }
}

/// How the link of a member is used.
fn settings(object: &MemberCluster) -> Result<Settings, Fault> {
    // What placement could not read must not be connected as if it were fine.
    convert::readable(object).map_err(|why| (reason::INVALID_SPEC, why))?;
    let spec = &object.spec;
    if spec.backend.emr_containers.is_some() {
        // Else the hub itself would be taken for it.
        let why =
            "spec.backend.emrContainers: this router does not run jobs on EMR on EKS; use another backend";
        return Err((reason::INVALID_SPEC, why.to_owned()));
    }
    check_member_parts(spec).map_err(|why| (reason::INVALID_SPEC, why))?;
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    Ok(Settings {
        name: ClusterName::new(object.name_any()),
        namespace: match &spec.namespace.fixed {
            Some(fixed) => NamespaceRule::Fixed(Namespace::new(fixed)),
            None => NamespaceRule::SameAsJob,
        },
        limits: Limits {
            requests_per_second: spec.limits.requests_per_second,
            concurrent: spec.limits.max_concurrent_requests,
        },
        thresholds: Thresholds {
            lost_after: seconds(spec.health.lost_after_seconds),
            ready_after: seconds(spec.health.ready_after_seconds),
        },
        admission: Admission::Awaited,
        tempo: Tempo::default(),
        parts: Arc::new(MemberParts::from(spec)),
    })
}

/// Makes blueprints, and keeps what is dear to make again.
pub(super) struct Blueprints {
    hub: Config,
    secrets: Secrets,
    parsed: HashMap<ClusterName, (String, Result<Config, Fault>)>,
}

impl Blueprints {
    pub(super) fn new(hub: Config, secrets: Secrets) -> Self {
        Self { hub, secrets, parsed: HashMap::new() }
    }

    /// The blueprint of a member's link.
    pub(super) async fn of(&mut self, object: &MemberCluster) -> Result<Arc<dyn Blueprint>, Fault> {
        let settings = settings(object)?;
        let (config, fingerprint) = self.config(object).await?;
        Ok(if object.spec.backend.apache_spark.is_some() {
            apache::blueprint(settings, config, fingerprint)
        } else {
            kubeflow::blueprint(settings, config, fingerprint)
        })
    }

    /// The connection of a member, and what stands for it.
    async fn config(&mut self, object: &MemberCluster) -> Result<(Config, String), Fault> {
        let Some(secret) = &object.spec.connection.kubeconfig_secret else {
            return Ok((self.hub.clone(), "in-cluster".to_owned()));
        };
        let Some(text) = self.secrets.text(&secret.name, &secret.key)? else {
            return Err((reason::CONNECTING, "the Secrets are being read".to_owned()));
        };
        let cluster = ClusterName::new(object.name_any());
        // Never the text itself: fingerprints are compared and kept in many places.
        let fingerprint = canonical::hash(&serde_json::Value::String(text.clone()));
        match self.parsed.get(&cluster) {
            Some((known, result)) if *known == fingerprint => {
                result.clone().map(|config| (config, fingerprint))
            }
            _ => {
                let result = kubeconfig::read(&text).await.map_err(|refused| {
                    let message =
                        format!("key {:?} of Secret {}: {}", secret.key, secret.name, chain(&refused));
                    (reason::KUBECONFIG_REFUSED, message)
                });
                self.parsed.insert(cluster, (fingerprint.clone(), result.clone()));
                result.map(|config| (config, fingerprint))
            }
        }
    }

    pub(super) fn forget(&mut self, cluster: &ClusterName) {
        self.parsed.remove(cluster);
    }
}
