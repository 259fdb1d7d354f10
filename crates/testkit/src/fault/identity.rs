//! Certificates and kubeconfigs of a proxy.
//!
//! Purpose: a server certificate for a loopback address, and kubeconfigs that point elsewhere. Owns no state. It must
//! never read a file that a kubeconfig names: what tests use is inline.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::pki::{Authority, Identity};

/// What a kubeconfig points at.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) ca_pem: String,
    pub(super) identity: Option<Identity>,
}

/// A TLS acceptor for `address` under an authority of its own, and that authority's certificate (PEM). HTTP/1.1 only.
pub fn loopback_tls(name: &str, address: IpAddr) -> Result<(TlsAcceptor, String), Error> {
    let authority = Authority::new(&format!("{name} {address}"))?;
    let Identity { certificate, key } = authority.server(&[address])?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certificates(&certificate)?, private_key(&key)?)
        .map_err(|error| bad(&error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), authority.certificate().to_owned()))
}

/// The kubeconfig with every cluster at `url`, checked with `ca_pem`, and without client certificates.
pub fn reroute(kubeconfig: &str, url: &str, ca_pem: &str) -> Result<String, Error> {
    let mut config = parse(kubeconfig)?;
    for entry in entries(&mut config, "clusters") {
        entry["cluster"] =
            json!({"server": url, "certificate-authority-data": BASE64.encode(ca_pem.as_bytes())});
    }
    for entry in entries(&mut config, "users") {
        if let Some(user) = entry.get_mut("user").and_then(Value::as_object_mut) {
            user.retain(|key, _| !key.starts_with("client-"));
        }
    }
    serde_saphyr::to_string(&config).map_err(|error| Error::Manifest(format!("kubeconfig: {error}")))
}

/// Where the current context of a kubeconfig leads, and as whom.
pub(super) fn target(kubeconfig: &str) -> Result<Target, Error> {
    let mut config = parse(kubeconfig)?;
    let lacks = |what: &str| Error::Manifest(format!("kubeconfig: the current context has no {what}"));
    let current = config["current-context"].clone();
    let context = named(&mut config, "contexts", &current)["context"].clone();
    let cluster = named(&mut config, "clusters", &context["cluster"])["cluster"].clone();
    let user = named(&mut config, "users", &context["user"])["user"].clone();
    let url = cluster["server"].as_str().ok_or_else(|| lacks("cluster with a server"))?.to_owned();
    let ca_pem =
        decoded(&cluster["certificate-authority-data"]).ok_or_else(|| lacks("certificate-authority-data"))?;
    let identity = decoded(&user["client-certificate-data"])
        .zip(decoded(&user["client-key-data"]))
        .map(|(certificate, key)| Identity { certificate, key });
    Ok(Target { url, ca_pem, identity })
}

fn parse(kubeconfig: &str) -> Result<Value, Error> {
    serde_saphyr::from_str(kubeconfig).map_err(|error| Error::Manifest(format!("kubeconfig: {error}")))
}

fn entries<'a>(config: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    config.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

fn named(config: &mut Value, list: &str, name: &Value) -> Value {
    entries(config, list).find(|entry| entry["name"] == *name).map(|entry| entry.clone()).unwrap_or_default()
}

fn decoded(value: &Value) -> Option<String> {
    String::from_utf8(BASE64.decode(value.as_str()?.as_bytes()).ok()?).ok()
}

fn bad(why: &str) -> Error {
    Error::Manifest(format!("TLS: {why}"))
}

pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    all.map_err(|error| bad(&format!("no certificate in the PEM text: {error}")))
}

pub(super) fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| bad(&format!("no key in the PEM text: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{reroute, target};

    const ADMIN: &str = "
apiVersion: v1
kind: Config
current-context: two
clusters:
- {name: a, cluster: {server: 'https://127.0.0.1:1', certificate-authority-data: b25l}}
- {name: b, cluster: {server: 'https://127.0.0.1:2', certificate-authority-data: dHdv, tls-server-name: x}}
contexts:
- {name: one, context: {cluster: a, user: token}}
- {name: two, context: {cluster: b, user: admin, namespace: spark}}
users:
- {name: token, user: {token: t}}
- {name: admin, user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}}
";

    #[test]
    fn the_current_context_decides() {
        let target = target(ADMIN).unwrap();
        assert_eq!((target.url.as_str(), target.ca_pem.as_str()), ("https://127.0.0.1:2", "two"));
        let identity = target.identity.unwrap();
        assert_eq!((identity.certificate.as_str(), identity.key.as_str()), ("cert", "key"));
    }

    #[test]
    fn tokens_stay_and_client_certificates_go() {
        let config: Value =
            serde_saphyr::from_str(&reroute(ADMIN, "https://127.0.0.1:9", "ca").unwrap()).unwrap();
        for cluster in config["clusters"].as_array().unwrap() {
            assert_eq!(cluster["cluster"]["server"], "https://127.0.0.1:9");
            assert_eq!(cluster["cluster"]["certificate-authority-data"], "Y2E=");
            assert_eq!(cluster["cluster"]["tls-server-name"], Value::Null);
        }
        assert_eq!(config["users"][0]["user"]["token"], "t");
        assert_eq!(config["users"][1]["user"], serde_json::json!({}));
        assert_eq!(config["contexts"][1]["context"]["namespace"], "spark");
    }

    #[test]
    fn an_incomplete_kubeconfig_says_what_it_lacks() {
        let error = target("current-context: x").unwrap_err().to_string();
        assert!(error.contains("no cluster with a server"), "{error}");
    }
}
