//! How a cluster's API server is reached: where it is, whom to trust, and as whom to speak.
//!
//! Owns no state. Credentials are in the configuration, or come from a [`Bearer`]: somebody who knows the cluster's cloud
//! and has a token at hand for every request. Who that is, a [`Connector`] knows. Must never know whose tokens they are.

use std::{fmt, sync::Arc};

use kube::{
    Config,
    config::{AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig},
    config::{NamedAuthInfo, NamedCluster, NamedContext},
};

use spark_router_api::MemberCluster;
use spark_router_core::id::ClusterName;

use crate::{error::Error, standing::Fault};

/// See the module.
#[derive(Clone)]
pub struct Connection {
    /// Server, authority, and credentials that do not change.
    pub config: Config,
    /// Who has the tokens, where the configuration has no credentials.
    pub bearer: Option<Arc<dyn Bearer>>,
    /// Stands for everything that it was made of: links over connections of the same one and with the same settings are the
    /// same. Never a credential itself: it is compared and kept in many places.
    pub fingerprint: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A configuration holds credentials.
        f.debug_struct("Connection").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Whoever finds connections that no kubeconfig says: by what is known of a member's cloud.
pub trait Connector: Send + Sync + 'static {
    /// Whether the object names this way.
    fn connects(&self, object: &MemberCluster) -> bool;

    /// The connection, as far as it is known now; the first question begins the search. Must not wait: it is asked in each
    /// pass over all members.
    ///
    /// # Errors
    /// Why there is none, also for as long as it is being looked for.
    fn connection(&self, object: &MemberCluster) -> Result<Connection, Fault>;

    /// The member is gone, or reached in another way.
    fn forget(&self, cluster: &ClusterName);
}

/// Has a token for every request, and makes another one before it is too old.
///
/// What is asked here is asked on the way of each request, so nothing may wait: tokens are made ahead.
pub trait Bearer: Send + Sync + 'static {
    /// The token for a request that leaves now.
    ///
    /// # Errors
    /// When there is none that the server could take. Nothing is sent then.
    fn token(&self) -> Result<Arc<str>, NoToken>;

    /// The server took a request with this token for nobody's (401). Another one is made at once, unless that has been
    /// done since.
    fn refused(&self, token: &str);

    /// The server does not answer, or could not show that it is the one: it may be elsewhere by now.
    fn unanswered(&self);
}

/// There is no token, so nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not sent: there is no token to sign in with: {0}")]
pub struct NoToken(pub String);

impl Connection {
    /// By credentials that do not change.
    pub fn fixed(config: Config, fingerprint: String) -> Self {
        Self { config, bearer: None, fingerprint }
    }

    /// To a server whose address and authority (PEM in base64, as in a kubeconfig) somebody else told, by the tokens of
    /// `bearer`.
    ///
    /// # Errors
    /// When they cannot be used.
    pub async fn borne(
        server: &str,
        authority: &str,
        bearer: Arc<dyn Bearer>,
        fingerprint: String,
    ) -> Result<Self, Error> {
        let unusable = |why: String| Error::Server { server: server.to_owned(), why };
        if !server.starts_with("https://") {
            return Err(unusable("it must begin with https://".to_owned()));
        }
        // As a kubeconfig, so that it is read exactly as others are.
        let name = || "member".to_owned();
        let cluster = Cluster {
            server: Some(server.to_owned()),
            certificate_authority_data: Some(authority.to_owned()),
            ..Cluster::default()
        };
        let context = Context { cluster: name(), user: Some(name()), ..Context::default() };
        let kubeconfig = Kubeconfig {
            clusters: vec![NamedCluster { name: name(), cluster: Some(cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo {
                name: name(),
                auth_info: Some(AuthInfo::default()),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext { name: name(), context: Some(context), ..NamedContext::default() }],
            current_context: Some(name()),
            ..Kubeconfig::default()
        };
        let read = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = read.map_err(|error| unusable(crate::error::chain(&error)))?;
        if config.root_cert.as_ref().is_none_or(Vec::is_empty) {
            return Err(unusable("no certificate authority came with it".to_owned()));
        }
        // As with kubeconfigs: the environment of the router's pod does not decide how a member is reached.
        config.proxy_url = None;
        Ok(Self { config, bearer: Some(bearer), fingerprint })
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    struct Nobody;

    impl Bearer for Nobody {
        fn token(&self) -> Result<Arc<str>, NoToken> {
            Err(NoToken("nobody".to_owned()))
        }

        fn refused(&self, _: &str) {}

        fn unanswered(&self) {}
    }

    async fn borne(server: &str, authority: &str) -> Result<Connection, String> {
        let made = Connection::borne(server, authority, Arc::new(Nobody), "x".to_owned()).await;
        made.map_err(|error| crate::error::chain(&error))
    }

    #[tokio::test]
    async fn a_server_is_trusted_by_its_own_authority_only() {
        let authority = spark_router_testkit::pki::Authority::new("eks").unwrap();
        let authority = BASE64.encode(authority.certificate().as_bytes());
        let made = borne("https://a.example.com", &authority).await.unwrap();
        assert_eq!(made.config.cluster_url, "https://a.example.com/");
        assert_eq!(made.config.root_cert.map(|all| all.len()), Some(1));
        assert!(!made.config.accept_invalid_certs);
        for (server, authority, why) in [
            ("http://a.example.com", authority.as_str(), "must begin with https://"),
            ("https://a.example.com", "", "no certificate authority"),
            ("https://a.example.com", "not base64!", "https://a.example.com"),
            ("https://a b", authority.as_str(), "https://a b"),
        ] {
            let refused = borne(server, authority).await.map(drop).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
