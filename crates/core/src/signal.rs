//! What a member's own scheduler or quota says there is room for, with its age.
//!
//! Owns no state. A signal is what an outsider sees: it counts everybody's load, and ours only once the member shows it.
//! Must never be trusted beyond its age, and never be read as "empty" where it says nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{id::Namespace, resources::Capacity};

/// Which of a member's signals a route goes by. Declared numbers and the ledger count beside it in any case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SignalSource {
    /// The `ResourceQuota`s of the namespace that the job runs in.
    ResourceQuota,
    /// The YuniKorn queue that the job is handed to, by its full path (`root.etl`).
    YuniKorn {
        /// Full path.
        queue: Arc<str>,
    },
    /// A Kueue `ClusterQueue`.
    Kueue {
        /// Its name.
        cluster_queue: Arc<str>,
    },
}

impl SignalSource {
    /// One word for tables and messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ResourceQuota => "ResourceQuota",
            Self::YuniKorn { .. } => "YuniKorn",
            Self::Kueue { .. } => "Kueue",
        }
    }
}

/// The room that one quota or remote queue has left, as its owner counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What is free for another job now. A dimension that is absent is not limited there. Never negative: an overdrawn
    /// queue has nothing free.
    pub free: Capacity,
    /// The most that it could ever hold: what is above it never fits. Absent where its owner names no bound.
    pub most: Capacity,
    /// Why it takes nothing at all now (stopped, draining, held), in its owner's words.
    pub closed: Option<Arc<str>>,
}

/// A signal and when it was true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed<T> {
    /// What was seen.
    pub value: T,
    /// When: the start of the read that brought it, or for a watch the last moment at which it was known to be live.
    pub at: Timestamp,
}

impl<T> Observed<T> {
    /// Whether it is older than `limit`.
    pub fn is_stale(&self, limit: Duration, now: Timestamp) -> bool {
        let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
        now.duration_since(self.at) > limit
    }

    /// The first moment at which it is older than `limit`; `None` where it never is.
    pub fn stale_from(&self, limit: Duration) -> Option<Timestamp> {
        let limit = SignedDuration::try_from(limit).ok()?.checked_add(SignedDuration::from_nanos(1))?;
        self.at.checked_add(limit).ok()
    }
}

/// Everything that one member signals. `None`: never observed since it was connected, or not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Quotas by namespace: the tightest of those in one namespace, dimension by dimension. A namespace that is not
    /// listed has none.
    pub quotas: Option<Observed<BTreeMap<Namespace, Room>>>,
    /// YuniKorn queues by full path.
    pub yunikorn: Option<Observed<BTreeMap<Arc<str>, Room>>>,
    /// Kueue's ClusterQueues by name.
    pub kueue: Option<Observed<BTreeMap<Arc<str>, Room>>>,
    /// Why a signal could not be read the last time it was tried: (kind, message).
    pub failures: BTreeMap<&'static str, Arc<str>>,
}

impl Signals {
    /// The first moment after `now` at which one of them is older than `limit`, as far as is known now.
    pub fn next_stale(&self, limit: Duration, now: Timestamp) -> Option<Timestamp> {
        let quotas = self.quotas.as_ref().and_then(|seen| seen.stale_from(limit));
        let yunikorn = self.yunikorn.as_ref().and_then(|seen| seen.stale_from(limit));
        let kueue = self.kueue.as_ref().and_then(|seen| seen.stale_from(limit));
        [quotas, yunikorn, kueue].into_iter().flatten().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_stale_once_it_is_older_than_its_limit() {
        let at = Timestamp::from_second(1000).unwrap();
        let seen = Observed { value: (), at };
        let after = |seconds: i64| Timestamp::from_second(1000 + seconds).unwrap();
        assert!(!seen.is_stale(Duration::from_secs(30), after(30)));
        assert!(seen.is_stale(Duration::from_secs(30), after(31)));
        assert!(
            !seen.is_stale(Duration::from_secs(30), after(-5)),
            "a clock that went back makes nothing old"
        );
        assert!(!seen.is_stale(Duration::MAX, after(1_000_000)));
    }

    #[test]
    fn the_moment_at_which_a_signal_grows_stale_is_the_first_at_which_it_is() {
        let seen = Observed { value: (), at: Timestamp::from_second(1000).unwrap() };
        let limit = Duration::from_secs(30);
        let from = seen.stale_from(limit).unwrap();
        assert!(seen.is_stale(limit, from));
        assert!(!seen.is_stale(limit, from - SignedDuration::from_nanos(1)));
        assert_eq!(seen.stale_from(Duration::MAX), None);
        let nobodys = Signals::default();
        assert_eq!(nobodys.next_stale(limit, Timestamp::MIN), None);
        let quotas = Observed { value: BTreeMap::new(), at: Timestamp::from_second(1000).unwrap() };
        let kueue = Observed { value: BTreeMap::new(), at: Timestamp::from_second(1010).unwrap() };
        let later = kueue.stale_from(limit);
        let signals = Signals { quotas: Some(quotas), kueue: Some(kueue), ..Signals::default() };
        assert_eq!(signals.next_stale(limit, Timestamp::MIN), Some(from));
        assert_eq!(signals.next_stale(limit, from), later, "what is stale grows stale no more");
        assert_eq!(signals.next_stale(limit, Timestamp::MAX), None);
    }
}
