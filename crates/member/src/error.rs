//! What can go wrong between the hub and a member.

use std::time::Duration;

use crate::kubeconfig::Refused;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] Refused),
    /// No client could be made of a configuration.
    #[error("cannot build a client for {cluster}; check its certificates and keys")]
    Client {
        /// The cluster.
        cluster: String,
        /// Boxed: the type is large.
        #[source]
        source: Box<kube::Error>,
    },
    /// A call failed or was refused.
    #[error("{doing} failed")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// Boxed: the type is large.
        #[source]
        source: Box<kube::Error>,
    },
    /// A call was not answered in time; it may have been acted on.
    #[error("{doing} was not answered within {} s", .after.as_secs())]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The member must not be talked to now.
    #[error("the member cannot be used now: {0}")]
    Unusable(String),
    /// The object of that name is somebody else's.
    #[error("{name} is not an application of this hub; it was not touched")]
    NotOurs {
        /// Namespace and name.
        name: String,
    },
    /// The application still lives: what was asked for is only allowed after its end.
    #[error("{name} has not ended (state {state:?}); it was not touched")]
    NotEnded {
        /// Namespace and name.
        name: String,
        /// The operator's state.
        state: String,
    },
}

impl Error {
    /// Wraps a failed call.
    pub(crate) fn call(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Call { doing, source: Box::new(source) }
    }

    /// One word for metric, condition and event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kubeconfig(_) => spark_router_api::condition::reason::KUBECONFIG_REFUSED,
            Self::Client { .. } => "ClientFailed",
            Self::Call { .. } => "CallFailed",
            Self::Timeout { .. } => "Timeout",
            Self::Unusable(_) => "Unusable",
            Self::NotOurs { .. } => "NotOurs",
            Self::NotEnded { .. } => "NotEnded",
        }
    }
}

/// An error and its causes in one line, for messages that people read.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
