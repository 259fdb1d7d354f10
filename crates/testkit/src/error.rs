//! Everything that can go wrong while control planes are built, started or used.
//!
//! Purpose: messages that say what to do next. Owns no state. It must never drop a cause: [`chain`] prints them all.

use std::fmt::Write as _;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("can't {action} {}", path.display())]
    File {
        /// What was tried, as a verb: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No folder to keep built programs in.
    #[error("no cache folder: set SPARK_ROUTER_CACHE, XDG_CACHE_HOME or HOME")]
    NoCache,
    /// Go is missing.
    #[error(
        "can't run `go`: install Go 1.26 or newer (https://go.dev/dl), it builds the programs that tests run"
    )]
    GoMissing(#[source] std::io::Error),
    /// Go is too old.
    #[error("go is {found}, but 1.26 or newer is needed: update it (https://go.dev/dl)")]
    GoTooOld {
        /// What `go env GOVERSION` said.
        found: String,
    },
    /// A Go command failed.
    #[error("building {what} failed; the last lines of go were:\n{output}")]
    Build {
        /// The program or step.
        what: String,
        /// The end of Go's output.
        output: String,
    },
    /// A program is not in the tools folder.
    #[error("{} is missing: run `cargo xtask tools`", path.display())]
    ToolMissing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// A process could not be started or signalled.
    #[error("can't {action} {name}")]
    Process {
        /// What was tried: `start`, `pause`, `stop`.
        action: &'static str,
        /// The process, as named by who started it.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A process ended although it was still needed.
    #[error("{name} ended early ({status}); the last lines of {} were:\n{log}", path.display())]
    Ended {
        /// The process.
        name: String,
        /// Its exit status.
        status: String,
        /// Its log file.
        path: PathBuf,
        /// The end of its log.
        log: String,
    },
    /// Something did not become ready in time.
    #[error("{what} was not ready after {seconds} s{detail}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// The last answer or log lines, empty where there are none.
        detail: String,
    },
    /// All loopback addresses are in use by other runs.
    #[error("all {0} loopback addresses are taken by other runs: end some, or look for left processes")]
    NoSlot(u16),
    /// A certificate could not be made.
    #[error("can't make a certificate for {what}")]
    Certificate {
        /// Whose certificate.
        what: String,
        /// The cause.
        source: rcgen::Error,
    },
    /// A kubeconfig of ours was not taken by the client.
    #[error("can't use the kubeconfig of cluster {cluster}")]
    Kubeconfig {
        /// The cluster.
        cluster: String,
        /// The cause.
        source: kube::config::KubeconfigError,
    },
    /// An API server refused a call.
    #[error("{action} on cluster {cluster} failed")]
    Api {
        /// What was tried.
        action: String,
        /// The cluster.
        cluster: String,
        /// The cause.
        source: kube::Error,
    },
    /// A manifest could not be read.
    #[error("bad manifest: {0}")]
    Manifest(String),
    /// `kubectl` said no.
    #[error("kubectl {arguments} failed: {stderr}")]
    Kubectl {
        /// Its arguments.
        arguments: String,
        /// What it printed on stderr.
        stderr: String,
    },
    /// A cluster of that name was not asked for.
    #[error("the fleet has no cluster named {0}: ask the builder for it")]
    NoCluster(String),
    /// A line of an audit log could not be understood.
    #[error("line {line} of {} is no audit event", path.display())]
    Audit {
        /// The audit log.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
    /// Java is missing or too old.
    #[error(
        "real Spark needs Java 17 or newer, but {0}: install it (on Debian: openjdk-17-jre-headless) or set JAVA_HOME"
    )]
    Java(String),
    /// Python is missing or too old.
    #[error(
        "Spark and moto need Python 3.9 or newer with venv, but {0}: install it (on Debian: python3-venv)"
    )]
    Python(String),
    /// Kueue needs a mount namespace.
    #[error(
        "Kueue needs `unshare -rm` or `unshare -m` to give it files below /etc, but: {0}; allow user namespaces \
         (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns) or run as root"
    )]
    Unshare(String),
    /// Spark could not be installed.
    #[error("can't install Spark from PyPI: {0}")]
    PySpark(String),
    /// moto could not be installed, or refused what it was told.
    #[error("moto: {0}")]
    Moto(String),
    /// A kubelet was asked for a pod that it never started.
    #[error("the kubelet has started no pod {0}")]
    NoSuchPod(String),
}

impl Error {
    /// Wraps an I/O error with the file it is about; for `map_err`.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// Wraps an error of a process with its name; for `map_err`.
    pub(crate) fn process(action: &'static str, name: &str) -> impl FnOnce(std::io::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Process { action, name, source }
    }

    /// Wraps an API error with what was tried where; for `map_err`.
    pub(crate) fn api(action: impl Into<String>, cluster: &str) -> impl FnOnce(kube::Error) -> Self {
        let (action, cluster) = (action.into(), cluster.to_owned());
        move |source| Self::Api { action, cluster, source }
    }
}

/// An error with all its causes in one line, for people. What an API server said is given in its own words.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a String never fails.
        if let Some(kube::Error::Api(status)) = inner.downcast_ref() {
            let _ = write!(text, ": {} ({})", status.message, status.code);
            return text;
        }
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
