//! What makes waiting jobs alike for placement.
//!
//! Owns no state. A class is compared and hashed far more often than it is made: its hash is kept, and what its jobs ask
//! for is shared with the first of them.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
};

use crate::{
    id::{ClusterName, Namespace},
    job::{Refused, Request},
};

/// What makes two applicants of a queue equal for placement.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) namespace: Namespace,
    /// What is asked for; all of it counts but queue, priority and hash of the spec.
    pub(super) asks: Arc<Request>,
    /// Members that refused it, and their reasons.
    pub(super) refused: Vec<(ClusterName, Arc<str>)>,
    /// Of everything above that counts.
    hash: u64,
}

impl Class {
    /// The class of a request. Classes are compared only with others of the same `hasher`.
    pub(super) fn of(
        hasher: &impl BuildHasher,
        namespace: &Namespace,
        asks: &Arc<Request>,
        refused: &[Refused],
    ) -> Self {
        let refused = refused.iter().map(|r| (r.cluster.clone(), r.reason.as_str().into())).collect();
        let mut class = Self { namespace: namespace.clone(), asks: asks.clone(), refused, hash: 0 };
        let Request { constraints, spark_version, expressed, sub_queue, demand, parts, .. } = &**asks;
        class.hash = hasher.hash_one((
            namespace,
            constraints,
            spark_version,
            expressed,
            sub_queue,
            demand,
            parts,
            &class.refused,
        ));
        class
    }

    /// Whether the same members are ruled out for both.
    pub(super) fn is_ruled_like(&self, other: &Self) -> bool {
        let (a, b) = (&*self.asks, &*other.asks);
        (Arc::ptr_eq(&self.asks, &other.asks)
            || a.constraints == b.constraints
                && a.spark_version == b.spark_version
                && a.expressed == b.expressed
                && a.sub_queue == b.sub_queue)
            && self.refused == other.refused
    }
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&*self.asks, &*other.asks);
        std::ptr::eq(self, other)
            || self.hash == other.hash
                && self.namespace == other.namespace
                && a.demand == b.demand
                && a.parts == b.parts
                && self.is_ruled_like(other)
    }
}

impl Eq for Class {}

impl Hash for Class {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
