//! Names and identities as types, and the remote name of an attempt.
//!
//! Owns no state. Must never derive an identity from a name that somebody else may re-use: jobs are told apart by uid.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use sha2::{Digest, Sha256};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq)]
        pub struct $name(Arc<str>);

        // Names are shared more often than not: the same place in memory needs no look at the text.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(text.as_ref().into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

text_id! {
    /// The hub's identity: the uid of its `kube-system` namespace unless overridden.
    HubId
}
text_id! {
    /// The uid of a `RoutedSparkJob`.
    JobUid
}
text_id! {
    /// The name of a `MemberCluster`.
    ClusterName
}
text_id! {
    /// What a member is, whatever it is called: the uid of its `kube-system` namespace.
    MemberIdentity
}
text_id! {
    /// The name of a `SparkQueue`.
    QueueName
}
text_id! {
    /// A Kubernetes namespace, on the hub or on a member.
    Namespace
}
text_id! {
    /// The uid of a remote application. Opaque: each backend has its own form.
    RemoteUid
}
text_id! {
    /// The name of a remote application, computed once by [`RemoteName::of`] and stored in the placement.
    RemoteName
}

/// Where a job lives on the hub. For display and look-up; decisions use [`JobUid`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey {
    /// Namespace on the hub.
    pub namespace: Namespace,
    /// Name of the `RoutedSparkJob`.
    pub name: String,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The number of a try to run a job, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// The attempt after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Longest part of the job's own name that a remote name keeps.
const READABLE: usize = 43;
/// Length of the hash in a remote name: 12 base32 characters carry 60 bits.
const HASH: usize = 12;

impl RemoteName {
    /// The name of the application that runs `attempt` of the job: the job's name made DNS-1035 and cut to 43
    /// characters, `-`, and 12 base32 characters of a hash of (hub id, job uid, attempt). At most 56 characters, so
    /// that the operator's `<name>-driver` still fits a host name of 63.
    ///
    /// ```
    /// use spark_router_core::id::{Attempt, HubId, JobUid, RemoteName};
    /// let name = RemoteName::of(&HubId::from("hub"), &JobUid::from("uid"), Attempt::FIRST, "2024.daily");
    /// assert!(name.as_str().starts_with("j2024-daily-"));
    /// ```
    pub fn of(hub: &HubId, job: &JobUid, attempt: Attempt, job_name: &str) -> Self {
        let mut readable = String::with_capacity(READABLE);
        if !job_name.starts_with(|c: char| c.is_ascii_lowercase()) {
            readable.push('j');
        }
        readable.extend(
            job_name.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }),
        );
        readable.truncate(READABLE);
        let readable = readable.trim_end_matches('-');

        // Length-prefixed, so that no two different triples hash the same bytes.
        let mut hash = Sha256::new();
        for part in [hub.as_str(), job.as_str()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(attempt.0.to_be_bytes());
        let mut tail = data_encoding::BASE32_NOPAD.encode(&hash.finalize()).to_ascii_lowercase();
        tail.truncate(HASH);
        Self(format!("{readable}-{tail}").into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(job_name: &str, uid: &str, attempt: u32) -> RemoteName {
        RemoteName::of(&HubId::from("hub"), &JobUid::from(uid), Attempt(attempt), job_name)
    }

    #[test]
    fn the_name_is_stable() {
        // A change here would make a new build create every unconfirmed attempt a second time.
        assert_eq!(name("daily-report", "0b1c", 1).as_str(), name("daily-report", "0b1c", 1).as_str());
        assert_eq!(name("daily-report", "0b1c", 1).as_str(), "daily-report-udlxjuo67p5h");
    }

    proptest! {
        #[test]
        fn every_name_is_dns_1035_and_short(job_name in "[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", attempt in 1u32..9) {
            let remote = name(&job_name, "uid", attempt);
            let text = remote.as_str();
            prop_assert!(text.len() <= 56);
            prop_assert!(text.starts_with(|c: char| c.is_ascii_lowercase()));
            prop_assert!(text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()));
            prop_assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        }

        #[test]
        fn attempts_and_jobs_never_share_a_name(a in "[a-f0-9]{8}", b in "[a-f0-9]{8}", n in 1u32..50, m in 1u32..50) {
            prop_assume!((&a, n) != (&b, m));
            prop_assert_ne!(name("x", &a, n), name("x", &b, m));
        }
    }
}
