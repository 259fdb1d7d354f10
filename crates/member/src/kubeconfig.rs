//! Reads a member's kubeconfig, and refuses everything in it that the router must not follow.
//!
//! Owns no state. A kubeconfig comes from a Secret that more people may write than may run programs or read files in the
//! router's pod: so nothing in it may start a program, name a file or switch off the check of the server.

use kube::{
    Config,
    config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

/// Why a kubeconfig is refused. The text names the entry and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No YAML, or not of the form of a kubeconfig.
    #[error("it is not a kubeconfig; write it as `kubectl config view --raw --minify --flatten` prints it")]
    Unreadable(#[source] Box<KubeconfigError>),
    /// `current-context` is not set.
    #[error("current-context is not set; set it to the context to use")]
    NoCurrentContext,
    /// An entry is named that is not there.
    #[error(
        "{kind} {name:?} is named but not there; add it, or keep one context with `kubectl config view --raw --minify --flatten`"
    )]
    Missing {
        /// `context`, `cluster` or `user`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An entry that the router must not follow.
    #[error("{entry} is not allowed; {instead}")]
    Entry {
        /// Path of the entry, e.g. `users[ci].user.exec`.
        entry: String,
        /// What to do.
        instead: &'static str,
    },
    /// Everything is allowed, but a value in it is broken.
    #[error("it names no usable server or credentials")]
    Unusable(#[source] Box<KubeconfigError>),
}

const INLINE: &str = "put the content inline, as `kubectl config view --raw --minify --flatten` does";
const TOKEN: &str = "use a token of a service account made for the router, or a client certificate, inline";

/// Reads the current context of a kubeconfig.
///
/// # Errors
/// [`Refused`] says what to change.
pub async fn read(text: &str) -> Result<Config, Refused> {
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|error| Refused::Unreadable(Box::new(error)))?;
    let context_name = kubeconfig.current_context.clone().filter(|name| !name.is_empty());
    let context_name = context_name.ok_or(Refused::NoCurrentContext)?;
    let missing = |kind, name: &str| Refused::Missing { kind, name: name.to_owned() };
    let context = kubeconfig.contexts.iter().find(|named| named.name == context_name);
    let context = context.and_then(|named| named.context.as_ref());
    let context = context.ok_or_else(|| missing("context", &context_name))?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster);
    let cluster = cluster.and_then(|named| named.cluster.as_ref());
    check_cluster(&context.cluster, cluster.ok_or_else(|| missing("cluster", &context.cluster))?)?;
    let user_name = context.user.clone().unwrap_or_default();
    let user = kubeconfig.auth_infos.iter().find(|named| named.name == user_name);
    let user = user.and_then(|named| named.auth_info.as_ref());
    check_user(&user_name, user.ok_or_else(|| missing("user", &user_name))?)?;
    let options = KubeConfigOptions { context: Some(context_name), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| Refused::Unusable(Box::new(error)))?;
    // Only the kubeconfig decides how a member is reached, never the environment of the router's pod.
    config.proxy_url = None;
    Ok(config)
}

fn check_cluster(name: &str, cluster: &Cluster) -> Result<(), Refused> {
    let refuse = |field: &str, instead| {
        Err(Refused::Entry { entry: format!("clusters[{name}].cluster.{field}"), instead })
    };
    if cluster.insecure_skip_tls_verify == Some(true) {
        return refuse(
            "insecure-skip-tls-verify",
            "put the certificate authority of the server into certificate-authority-data",
        );
    }
    if is_set(cluster.certificate_authority.as_deref()) {
        return refuse("certificate-authority", INLINE);
    }
    if is_set(cluster.proxy_url.as_deref()) {
        return refuse("proxy-url", "the router reaches members directly; give the server's own address");
    }
    let server = cluster.server.as_deref().unwrap_or_default();
    if !server.starts_with("https://") {
        return refuse("server", "it must be there and begin with https://");
    }
    Ok(())
}

fn check_user(name: &str, user: &AuthInfo) -> Result<(), Refused> {
    let refuse =
        |field: &str, instead| Err(Refused::Entry { entry: format!("users[{name}].user.{field}"), instead });
    if user.exec.is_some() {
        return refuse("exec", TOKEN);
    }
    if user.auth_provider.is_some() {
        return refuse("auth-provider", TOKEN);
    }
    if is_set(user.token_file.as_deref()) {
        return refuse("tokenFile", TOKEN);
    }
    if is_set(user.username.as_deref()) || user.password.is_some() {
        return refuse("username", TOKEN);
    }
    if is_set(user.client_certificate.as_deref()) {
        return refuse("client-certificate", INLINE);
    }
    if is_set(user.client_key.as_deref()) {
        return refuse("client-key", INLINE);
    }
    if user.token.is_none() && user.client_certificate_data.is_none() {
        return refuse("token", TOKEN);
    }
    Ok(())
}

fn is_set(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
             clusters:\n- name: k\n  cluster: {{{cluster}}}\nusers:\n- name: u\n  user: {{{user}}}\n"
        )
    }

    const SERVER: &str = "server: 'https://127.0.0.1:1'";

    #[tokio::test]
    async fn a_kubeconfig_with_everything_inline_is_read() {
        let config = read(&kubeconfig(SERVER, "token: t")).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://127.0.0.1:1/");
        assert!(config.proxy_url.is_none());
    }

    #[tokio::test]
    async fn what_must_not_be_followed_is_named() {
        for (cluster, user, entry) in [
            (
                SERVER,
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}",
                "users[u].user.exec",
            ),
            (SERVER, "auth-provider: {name: oidc, config: {}}", "users[u].user.auth-provider"),
            (SERVER, "tokenFile: /etc/passwd", "users[u].user.tokenFile"),
            (SERVER, "username: admin, password: x", "users[u].user.username"),
            (SERVER, "client-certificate: /a", "users[u].user.client-certificate"),
            (SERVER, "client-certificate-data: eA==, client-key: /a", "users[u].user.client-key"),
            (SERVER, "", "users[u].user.token"),
            (
                "server: 'https://x', insecure-skip-tls-verify: true",
                "token: t",
                "clusters[k].cluster.insecure-skip-tls-verify",
            ),
            (
                "server: 'https://x', certificate-authority: /ca",
                "token: t",
                "clusters[k].cluster.certificate-authority",
            ),
            ("server: 'https://x', proxy-url: 'http://p'", "token: t", "clusters[k].cluster.proxy-url"),
            ("server: 'http://x'", "token: t", "clusters[k].cluster.server"),
            ("", "token: t", "clusters[k].cluster.server"),
        ] {
            let refused = read(&kubeconfig(cluster, user)).await.unwrap_err();
            let text = refused.to_string();
            assert!(text.starts_with(&format!("{entry} is not allowed; ")), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_missing_or_no_kubeconfig_is_said() {
        let good = kubeconfig(SERVER, "token: t");
        for (text, expected) in [
            (good.replace("current-context: c", "current-context: ''"), "current-context is not set"),
            (
                good.replace("current-context: c", "current-context: d"),
                "context \"d\" is named but not there",
            ),
            (good.replace("cluster: k,", "cluster: z,"), "cluster \"z\" is named but not there"),
            (good.replace("user: u}", "user: z}"), "user \"z\" is named but not there"),
            ("{".to_owned(), "it is not a kubeconfig"),
            (String::new(), "current-context is not set"),
        ] {
            let refused = read(&text).await.unwrap_err();
            assert!(refused.to_string().starts_with(expected), "{text:?}: {}", chain(&refused));
        }
    }
}
