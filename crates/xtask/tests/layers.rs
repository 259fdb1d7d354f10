//! Holds the crates to their directions: who may know whom, and what may be linked at all.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::{collections::BTreeSet, process::Command};

/// Every package that a crate links, itself included, by name and version. Features are those that it asks for by
/// itself, so what another crate of the workspace turns on does not count.
fn linked(package: &str) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    assert!(packages.iter().any(|(name, _)| name == package), "{package} is not in its own tree: {tree}");
    packages
}

fn names(package: &str) -> BTreeSet<String> {
    linked(package).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn crates_know_only_what_is_below_them() {
    for (package, allowed) in [
        ("spark-router-core", &[][..]),
        ("spark-router-api", &[]),
        ("spark-router-member", &["api", "core"]),
        ("spark-router-aws", &["api", "core", "member"]),
        ("spark-router-controller", &["api", "core", "member"]),
        ("spark-router-simulator", &["core"]),
        ("spark-router-model", &["core"]),
        ("spark-router", &["api", "aws", "controller", "core", "member", "simulator"]),
    ] {
        let known: Vec<_> = names(package)
            .into_iter()
            .filter(|name| name.starts_with("spark-router") && name != package)
            .collect();
        let allowed: Vec<_> = allowed.iter().map(|name| format!("spark-router-{name}")).collect();
        let beyond: Vec<_> = known.iter().filter(|name| !allowed.contains(name)).collect();
        assert!(beyond.is_empty(), "{package} may know {allowed:?}, but links {beyond:?} too");
    }
}

#[test]
fn the_core_does_no_io_and_the_types_need_no_client() {
    let core = names("spark-router-core");
    for banned in ["kube", "k8s-openapi", "tokio", "futures", "serde", "serde_json", "rand", "tracing"] {
        assert!(!core.contains(banned), "spark-router-core must stay pure, but links {banned}");
    }
    let api = names("spark-router-api");
    for banned in ["kube-client", "kube-runtime", "tokio", "hyper", "rustls"] {
        assert!(!api.contains(banned), "spark-router-api is types only, but links {banned}");
    }
}

#[test]
fn the_binary_has_one_tls_and_one_http() {
    let binary = linked("spark-router");
    for single in ["rustls", "ring", "hyper", "http", "tokio", "tower", "axum", "kube", "k8s-openapi", "jiff"]
    {
        let versions: Vec<_> = binary.iter().filter(|(name, _)| name == single).collect();
        assert_eq!(versions.len(), 1, "{versions:?}");
    }
    for banned in [
        "openssl",
        "openssl-sys",
        "native-tls",
        "aws-lc-rs",
        "aws-lc-sys",
        "chrono",
        "spark-router-chaos",
        "spark-router-model",
        "spark-router-testkit",
    ] {
        assert!(!binary.iter().any(|(name, _)| name == banned), "the binary links {banned}");
    }
}
