//! Kubeconfig files, written by hand because tests also want to write bad ones.
//!
//! Purpose: one cluster, one user, everything inline. Owns no state. It must never refer to files or commands: the
//! router refuses such kubeconfigs, and these are what it is given.

use std::fmt;

use data_encoding::BASE64;

use crate::pki::Identity;

/// Who the kubeconfig speaks for.
#[derive(Debug, Clone, Copy)]
pub enum User<'a> {
    /// A bearer token.
    Token(&'a str),
    /// A client certificate.
    Certificate(&'a Identity),
}

/// The parts of a kubeconfig; `to_string()` gives the YAML.
#[derive(Debug, Clone, Copy)]
pub struct Kubeconfig<'a> {
    /// The name of cluster, user and context.
    pub name: &'a str,
    /// The URL of the API server.
    pub server: &'a str,
    /// The authority to trust, PEM.
    pub authority: &'a str,
    /// The credentials.
    pub user: User<'a>,
}

impl fmt::Display for Kubeconfig<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, server, authority, .. } = self;
        let encode = |text: &str| BASE64.encode(text.as_bytes());
        writeln!(f, "apiVersion: v1\nkind: Config\ncurrent-context: {name}")?;
        writeln!(f, "contexts:\n- name: {name}\n  context: {{cluster: {name}, user: {name}}}")?;
        writeln!(f, "clusters:\n- name: {name}\n  cluster:\n    server: {server}")?;
        writeln!(f, "    certificate-authority-data: {}", encode(authority))?;
        writeln!(f, "users:\n- name: {name}\n  user:")?;
        match self.user {
            User::Token(token) => writeln!(f, "    token: {token}"),
            User::Certificate(Identity { certificate, key }) => {
                writeln!(f, "    client-certificate-data: {}", encode(certificate))?;
                writeln!(f, "    client-key-data: {}", encode(key))
            }
        }
    }
}
