//! Demand that a member's own signals may not show yet.
//!
//! Owns that part of the account, by place: a namespace, a remote queue and those above it, a ClusterQueue. Must never
//! drop demand before a signal was read after its pods were seen.

use std::{collections::BTreeMap, sync::Arc};

use foldhash::HashMap;
use jiff::Timestamp;

use super::Reservation;
use crate::{
    id::{JobUid, Namespace},
    place::Unseen,
    resources::Resources,
};

/// Demand in one place that a signal may not show yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Shadow {
    /// Of jobs whose pods were not all seen.
    pub(super) unseen: Resources,
    /// Of jobs whose pods were seen a moment ago, by that moment.
    pub(super) lately: BTreeMap<(Timestamp, JobUid), Resources>,
}

impl Shadow {
    fn since(&self, observed: Timestamp) -> Resources {
        // A few entries at most: each goes with the next signal.
        let later = self.lately.iter().rev().take_while(|((seen, _), _)| *seen >= observed);
        later.fold(self.unseen, |sum, (_, demand)| sum + *demand)
    }

    fn is_empty(&self) -> bool {
        self.unseen == Resources::default() && self.lately.is_empty()
    }
}

/// The places on one member that signals speak of.
#[derive(Clone, Debug, Default)]
pub(super) struct Shadows {
    pub(super) namespaces: HashMap<Namespace, Shadow>,
    remote_queues: HashMap<Arc<str>, Shadow>,
    cluster_queues: HashMap<Arc<str>, Shadow>,
}

impl Shadows {
    /// Changes each of the places that a reservation takes of.
    pub(super) fn change(&mut self, reservation: &Reservation, change: impl Fn(&mut Shadow)) {
        touch(&mut self.namespaces, &reservation.target, &change);
        if let Some(path) = &reservation.remote_queue {
            for (end, _) in path.match_indices('.') {
                touch(&mut self.remote_queues, &Arc::from(&path[..end]), &change);
            }
            touch(&mut self.remote_queues, path, &change);
        }
        if let Some(name) = &reservation.cluster_queue {
            touch(&mut self.cluster_queues, name, &change);
        }
    }

    /// Signals that were read at `at` or later are all there will be: what was seen before is in them.
    pub(super) fn signalled(&mut self, at: Timestamp) {
        let settle = |shadow: &mut Shadow| {
            shadow.lately.retain(|(seen, _), _| *seen >= at);
            !shadow.is_empty()
        };
        self.namespaces.retain(|_, shadow| settle(shadow));
        self.remote_queues.retain(|_, shadow| settle(shadow));
        self.cluster_queues.retain(|_, shadow| settle(shadow));
    }
}

fn touch<K: std::hash::Hash + Eq + Clone>(
    shadows: &mut HashMap<K, Shadow>,
    key: &K,
    change: &impl Fn(&mut Shadow),
) {
    if let Some(shadow) = shadows.get_mut(key) {
        change(shadow);
        if shadow.is_empty() {
            shadows.remove(key);
        }
    } else {
        let mut shadow = Shadow::default();
        change(&mut shadow);
        if !shadow.is_empty() {
            shadows.insert(key.clone(), shadow);
        }
    }
}

pub(super) struct MemberShadow<'a>(pub(super) Option<&'a Shadows>);

impl Unseen for MemberShadow<'_> {
    fn in_namespace(&self, namespace: &Namespace, observed: Timestamp) -> Resources {
        let shadow = self.0.and_then(|shadows| shadows.namespaces.get(namespace));
        shadow.map(|shadow| shadow.since(observed)).unwrap_or_default()
    }

    fn in_remote_queue(&self, path: &str, observed: Timestamp) -> Resources {
        let shadow = self.0.and_then(|shadows| shadows.remote_queues.get(path));
        shadow.map(|shadow| shadow.since(observed)).unwrap_or_default()
    }

    fn in_cluster_queue(&self, name: &str, observed: Timestamp) -> Resources {
        let shadow = self.0.and_then(|shadows| shadows.cluster_queues.get(name));
        shadow.map(|shadow| shadow.since(observed)).unwrap_or_default()
    }
}
