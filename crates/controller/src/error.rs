//! What can go wrong in a pass, and how long to wait before the next.

use std::time::Duration;

/// An error of the hub loop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub's API server said no or could not be reached.
    #[error("{doing} failed on the hub")]
    Hub {
        /// What was being done.
        doing: &'static str,
        /// Boxed: the type is large.
        #[source]
        source: Box<kube::Error>,
    },
    /// Somebody wrote the object first: this pass saw an old one and is dropped.
    #[error("the job changed while this pass ran")]
    Conflict,
    /// The write to the hub was not answered in time; it may have been acted on.
    #[error("{doing} was not answered by the hub within {} s", .after.as_secs())]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// A call to a member failed.
    #[error("a call to member {member} failed")]
    Member {
        /// Which.
        member: String,
        /// How.
        #[source]
        source: spark_router_member::Error,
    },
    /// The object on the hub lacks what every stored object has.
    #[error("an object without {0}")]
    Incomplete(&'static str),
    /// A status could not be written as JSON.
    #[error("cannot serialize a status")]
    Serialize(#[from] serde_json::Error),
    /// The process is going down.
    #[error("the router is stopping")]
    Stopping,
    /// Another router leads, or may.
    #[error("this router does not lead now: nothing is written")]
    NotLeading,
    /// The lease cannot be had.
    #[error(
        "the hub refuses the lease {lease}; grant get, create and update on leases there as deploy/kustomize/hub/role.yaml does, or run a single router with --lease=false"
    )]
    Lease {
        /// Namespace and name.
        lease: String,
        /// Boxed: the type is large.
        #[source]
        source: Box<kube::Error>,
    },
    /// The lease is over: what this process remembers may be out of date.
    #[error("the lease {lease} is lost: {why}; this process ends, and stands by when it is started again")]
    LeaseLost {
        /// Namespace and name.
        lease: String,
        /// How.
        why: String,
    },
}

impl Error {
    /// Wraps an error of the hub's API server.
    pub fn hub(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| match &source {
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict,
            _ => Self::Hub { doing, source: Box::new(source) },
        }
    }

    /// One word for metric and log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Hub { .. } => "HubError",
            Self::Conflict => "Conflict",
            Self::Timeout { .. } => "HubTimeout",
            Self::Member { .. } => "MemberError",
            Self::Incomplete(_) => "Incomplete",
            Self::Serialize(_) => "Serialize",
            Self::Stopping => "Stopping",
            Self::NotLeading => "NotLeading",
            Self::Lease { .. } => "LeaseRefused",
            Self::LeaseLost { .. } => "LeaseLost",
        }
    }

    /// How long to wait after `failures` failed passes in a row (1 for the first): conflicts briefly, all else doubling
    /// from one second to fifteen: after a storm nobody waits long, and the hub's own limits hold the many apart.
    pub fn retry_after(&self, failures: u32) -> Duration {
        match self {
            Self::Conflict => Duration::from_millis(50),
            Self::Hub { .. }
            | Self::Timeout { .. }
            | Self::Member { .. }
            | Self::Incomplete(_)
            | Self::Serialize(_)
            | Self::Stopping
            | Self::NotLeading
            | Self::Lease { .. }
            | Self::LeaseLost { .. } => {
                const LONGEST: Duration = Duration::from_secs(15);
                let doublings = failures.saturating_sub(1).min(9);
                Duration::from_secs(1 << doublings).min(LONGEST)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_up_to_fifteen_seconds() {
        let waits: Vec<_> = [1, 2, 3, 4, 5, 50].map(|n| Error::Stopping.retry_after(n).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 8, 15, 15]);
        assert!(Error::Conflict.retry_after(50) < Duration::from_secs(1));
    }
}
