//! Certificates of one cluster.
//!
//! Purpose: a certificate authority per cluster, so that a kubeconfig of one is refused by the others as in real life.
//! Owns the authority's key. It must never be used outside tests: keys are not protected.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::Error;

/// A certificate with its private key, both PEM (the key is PKCS#8, P-256).
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    name: String,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// A new authority; `name` shows in its subject.
    pub fn new(name: &str) -> Result<Self, Error> {
        let failed = |source| Error::Certificate { what: format!("the authority {name}"), source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { name: name.to_owned(), issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's own certificate, PEM: what a client must trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A server certificate for these addresses and for `localhost`.
    pub fn server(&self, addresses: &[IpAddr]) -> Result<Identity, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("server", None);
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        params.subject_alt_names.push(SanType::DnsName(
            "localhost"
                .try_into()
                .map_err(|source| Error::Certificate { what: "localhost".into(), source })?,
        ));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, "a server")
    }

    /// A client certificate: `user` is the Kubernetes user name, `group` its group.
    pub fn client(&self, user: &str, group: &str) -> Result<Identity, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(user, Some(group));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, user)
    }

    fn sign(&self, mut params: CertificateParams, what: &str) -> Result<Identity, Error> {
        let failed = |source| Error::Certificate { what: format!("{what} of {}", self.name), source };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

/// A key pair for service-account tokens: (private, public), PEM.
pub(crate) fn signing_key() -> Result<(String, String), Error> {
    let key = KeyPair::generate()
        .map_err(|source| Error::Certificate { what: "service-account tokens".into(), source })?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn subject(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    subject.push(DnType::CommonName, name);
    subject
}
