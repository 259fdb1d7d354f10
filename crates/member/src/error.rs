//! What can go wrong between the hub and a member.

use std::time::Duration;

use crate::kubeconfig::Refused;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] Refused),
    /// What somebody told of an API server cannot be used.
    #[error("the API server {server} cannot be used: {why}")]
    Server {
        /// Its address.
        server: String,
        /// What is wrong with it.
        why: String,
    },
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
    /// A watch could not be set up or broke.
    #[error("watching {objects} failed")]
    Watch {
        /// What was watched.
        objects: &'static str,
        /// Boxed: the type is large.
        #[source]
        source: Box<kube::runtime::watcher::Error>,
    },
    /// The member has no Kueue that can be read.
    #[error(
        "the member serves no ClusterQueues of kueue.x-k8s.io; install Kueue there, or let no route go by it"
    )]
    NoKueue,
    /// Something other than an API server refused a question.
    #[error("{who} answered {said}")]
    Refused {
        /// Who was asked.
        who: &'static str,
        /// What was answered, cut short.
        said: String,
    },
    /// What answered is not a YuniKorn.
    #[error("what answers there is not YuniKorn's REST service")]
    NotYuniKorn(#[source] serde_json::Error),
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

    /// What the API server said, where it was the API server that refused.
    pub(crate) fn status(&self) -> Option<&kube::core::Status> {
        use kube::runtime::watcher::Error as Watch;
        let cause = if let Self::Call { source, .. } = self {
            source
        } else if let Self::Watch { source, .. } = self {
            match &**source {
                Watch::WatchError(status) => return Some(status),
                Watch::InitialListFailed(cause)
                | Watch::WatchStartFailed(cause)
                | Watch::WatchFailed(cause) => cause,
                Watch::NoResourceVersion => return None,
            }
        } else {
            return None;
        };
        if let kube::Error::Api(status) = cause { Some(status) } else { None }
    }

    /// One word for metric, condition and event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kubeconfig(_) => spark_router_api::condition::reason::KUBECONFIG_REFUSED,
            Self::Server { .. } => "ServerUnusable",
            Self::Client { .. } => "ClientFailed",
            Self::Call { .. } => "CallFailed",
            Self::Timeout { .. } => "Timeout",
            Self::Watch { .. } => "WatchFailed",
            Self::NoKueue => "NoKueue",
            Self::Refused { .. } => "Refused",
            Self::NotYuniKorn(_) => "NotYuniKorn",
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
