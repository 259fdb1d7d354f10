//! The command lines of a control plane.
//!
//! Purpose: flags, with why each is there, and the files that they name. Owns no state. It must never start anything:
//! [`super::Cluster`] does, and starts it again the same way after an outage.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use super::Cluster;
use crate::{Error, pki};

const AUDIT_POLICY: &str = include_str!("../audit-policy.yaml");

/// kube-apiserver, on its own prefix of an etcd that it shares with others.
pub(super) fn api_server(cluster: &Cluster, etcd: &str) -> Result<Command, Error> {
    let served = cluster.authority.server(&[cluster.address.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST)])?;
    let (private, public) = pki::signing_key()?;
    let mut command = Command::new(cluster.tools.program("kube-apiserver"));
    let files = [
        ("--tls-cert-file", "server.crt", served.certificate.as_str()),
        ("--tls-private-key-file", "server.key", &served.key),
        ("--client-ca-file", "ca.crt", cluster.authority.certificate()),
        ("--service-account-signing-key-file", "sa.key", &private),
        ("--service-account-key-file", "sa.pub", &public),
        ("--audit-policy-file", "audit-policy.yaml", AUDIT_POLICY),
    ];
    for (flag, file, text) in files {
        command.arg(format!("{flag}={}", cluster.write(file, text)?.display()));
    }
    command.arg(format!("--audit-log-path={}", cluster.audit.path().display()));
    // Never rotate: tests count lines.
    command.arg("--audit-log-maxsize=100000");
    command.arg(format!("--cert-dir={}", cluster.folder.display()));
    // One prefix wherever an etcd is one cluster's alone: a copy of it serves any other.
    let prefix = if cluster.etcd.is_some() { "registry" } else { &cluster.name };
    command.arg(format!("--etcd-servers={etcd}")).arg(format!("--etcd-prefix=/{prefix}"));
    let ip = cluster.address.ip();
    command.arg(format!("--bind-address={ip}")).arg(format!("--advertise-address={ip}"));
    command.arg(format!("--secure-port={}", cluster.address.port()));
    command.args([
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",
        // Without kubelets and node controllers, TaintNodesByCondition would keep every node closed for ever;
        // ServiceAccount would refuse pods whose account nobody has filled in yet.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        // The names of these nodes resolve to nothing.
        "--kubelet-preferred-address-types=InternalIP",
    ]);
    Ok(command)
}

/// The controllers that deletions, namespaces and quotas need.
pub(super) fn controllers(cluster: &Cluster) -> Result<Command, Error> {
    let mut command = Command::new(cluster.tools.program("kube-controller-manager"));
    let kubeconfig = cluster.system_kubeconfig("system:kube-controller-manager")?;
    command.arg(format!("--kubeconfig={}", kubeconfig.display()));
    command.arg(format!("--service-account-private-key-file={}", cluster.folder.join("sa.key").display()));
    command.arg(format!("--root-ca-file={}", cluster.folder.join("ca.crt").display()));
    command
        .arg(format!("--bind-address={}", cluster.address.ip()))
        .arg(format!("--secure-port={}", cluster.port(1000)));
    command.args([
        "--authentication-skip-lookup=true",
        "--leader-elect=false",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--controllers=garbage-collector-controller,namespace-controller,resourcequota-controller,\
         serviceaccount-controller,root-ca-certificate-publisher-controller",
    ]);
    Ok(command)
}
