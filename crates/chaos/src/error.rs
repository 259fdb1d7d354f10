//! What can go wrong while evidence is kept, read and judged.
//!
//! Owns no state. Evidence that cannot be read is an error, never a clean verdict.

use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("can't {action} {}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{} is not what it should be", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A whole line of an audit log cannot be read.
    #[error("line {line} of {} is no audit event", path.display())]
    Audit {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The cause.
        source: serde_json::Error,
    },
    /// An object has a form that the oracle does not know.
    #[error("{what} of {side} cannot be read")]
    Object {
        /// The control plane.
        side: String,
        /// Kind and name.
        what: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// Control planes, routers or operators could not be started.
    #[error(transparent)]
    Testkit(#[from] spark_router_testkit::Error),
    /// An API server refused what the run has to do.
    #[error("{what} was refused")]
    Call {
        /// What was to be done.
        what: String,
        /// The cause.
        source: Box<kube::Error>,
    },
    /// An API server did not answer for longer than any fault lasts.
    #[error("{0} was not answered")]
    NoAnswer(String),
    /// The sizes of the run do not go together.
    #[error(transparent)]
    TooShort(#[from] crate::schedule::TooShort),
    /// A control plane's name that cannot be a folder's.
    #[error("{0:?} cannot be the name of a folder: use a DNS label")]
    FolderName(String),
}

impl Error {
    pub(crate) fn call(what: &str, source: kube::Error) -> Self {
        Self::Call { what: what.to_owned(), source: Box::new(source) }
    }

    /// Whether an API server refused with this code.
    pub(crate) fn is_refusal(&self, code: u16) -> bool {
        matches!(self, Self::Call { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == code))
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
