//! What a MemberCluster asks for, as the blueprint of its link.
//!
//! Owns the parsed kubeconfigs, so that one is parsed only when it changes. What is peculiar to a kind of member is read by
//! its provider; here is what is the same for all: whose word counts, and which Secret.

use std::{collections::HashMap, sync::Arc};

use kube::{Config, ResourceExt};
use spark_router_api::{MemberCluster, condition::reason};
use spark_router_core::id::ClusterName;
use spark_router_member::{Blueprint, Connection, Fault, Providers, canonical, error::chain, kubeconfig};

use super::secrets::Secrets;
use crate::convert;

/// Makes blueprints, and keeps what is dear to make again.
pub(super) struct Blueprints {
    hub: Config,
    secrets: Secrets,
    providers: Providers,
    parsed: HashMap<ClusterName, (String, Result<Config, Fault>)>,
}

impl Blueprints {
    pub(super) fn new(hub: Config, secrets: Secrets, providers: Providers) -> Self {
        Self { hub, secrets, providers, parsed: HashMap::new() }
    }

    /// The blueprint of a member's link.
    pub(super) async fn of(&mut self, object: &MemberCluster) -> Result<Arc<dyn Blueprint>, Fault> {
        // What placement could not read must not be connected as if it were fine.
        convert::readable(object).map_err(|why| (reason::INVALID_SPEC, why))?;
        let provider = self.providers.of(object)?;
        if object.spec.connection.is_unset() && !provider.needs_connection() {
            return provider.blueprint(object, None);
        }
        let connection = self.connection(object).await?;
        self.providers.of(object)?.blueprint(object, Some(connection))
    }

    /// The connection of a member.
    async fn connection(&mut self, object: &MemberCluster) -> Result<Connection, Fault> {
        let cluster = ClusterName::new(object.name_any());
        let (named, others) = self.providers.ways().iter().partition::<Vec<_>, _>(|way| way.connects(object));
        for other in others {
            other.forget(&cluster);
        }
        if let Some(way) = named.first() {
            return way.connection(object);
        }
        if object.spec.connection.in_cluster.is_some() {
            return Ok(Connection::fixed(self.hub.clone(), "in-cluster".to_owned()));
        }
        let Some(secret) = &object.spec.connection.kubeconfig_secret else {
            // Never the hub: another cluster is meant.
            let why = "spec.connection: this router does not know that way to a member; use another one, or a newer router";
            return Err((reason::INVALID_SPEC, why.to_owned()));
        };
        let Some(text) = self.secrets.text(&secret.name, &secret.key)? else {
            return Err((reason::CONNECTING, "the Secrets are being read".to_owned()));
        };
        // Never the text itself: fingerprints are compared and kept in many places.
        let fingerprint = canonical::hash(&serde_json::Value::String(text.clone()));
        let result = match self.parsed.get(&cluster) {
            Some((known, result)) if *known == fingerprint => result.clone(),
            _ => {
                let result = kubeconfig::read(&text).await.map_err(|refused| {
                    let message =
                        format!("key {:?} of Secret {}: {}", secret.key, secret.name, chain(&refused));
                    (reason::KUBECONFIG_REFUSED, message)
                });
                self.parsed.insert(cluster, (fingerprint.clone(), result.clone()));
                result
            }
        };
        result.map(|config| Connection::fixed(config, fingerprint))
    }

    pub(super) fn forget(&mut self, cluster: &ClusterName) {
        self.parsed.remove(cluster);
        for way in self.providers.ways() {
            way.forget(cluster);
        }
    }
}
