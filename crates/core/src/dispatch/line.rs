//! One queue: its facts, its credits, and who waits in it.
//!
//! Owns the parts of the dispatcher's state that belong to one queue.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::Applicant;
use crate::{
    credit::Credits,
    id::{ClusterName, JobKey, Namespace},
    job::Constraints,
    place::QueueFacts,
    resources::Resources,
    selector::Selector,
    waits::Waits,
};

/// The shortest and the longest time that a route backs off after a full quota.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

pub(super) type Rank = (Reverse<i32>, Timestamp, JobKey);

/// One queue: its facts, its credits and who waits in it.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) facts: Option<QueueFacts>,
    pub(super) admits: Option<Selector>,
    pub(super) credits: Credits,
    pub(super) placed: BTreeMap<ClusterName, u64>,
    pub(super) seq: u64,
    pub(super) classes: HashMap<Arc<Class>, Waiting>,
    /// Classes that nobody was asked for yet.
    pub(super) fresh: HashSet<Arc<Class>>,
    /// Room may have appeared since the last pass.
    pub(super) dirty: bool,
}

/// The waiting jobs of one class, and what they wait for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) jobs: BTreeMap<Rank, Applicant>,
    pub(super) waits: Option<Waits>,
}

/// A route that met a full quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) until: Timestamp,
    pub(super) delay: Duration,
    /// When the delay last grew: a burst that meets the same full quota is one sign, not many.
    pub(super) grown: Timestamp,
    /// Its end has been looked at.
    pub(super) over: bool,
}

impl Line {
    pub(super) fn book(&mut self, among: &[(ClusterName, u32)], picked: &ClusterName) {
        self.credits.book(among.iter().map(|(cluster, weight)| (cluster, *weight)), picked);
        let placed = self.placed.entry(picked.clone()).or_default();
        *placed = placed.saturating_add(1);
    }

    pub(super) fn unbook(&mut self, among: &[(ClusterName, u32)], picked: &ClusterName) {
        self.credits.unbook(among.iter().map(|(cluster, weight)| (cluster, *weight)), picked);
        let placed = self.placed.entry(picked.clone()).or_default();
        *placed = placed.saturating_sub(1);
    }
}

/// What makes two applicants of a queue equal for placement.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    pub(super) namespace: Namespace,
    pub(super) constraints: Constraints,
    pub(super) spark_version: String,
    pub(super) demand: Resources,
    pub(super) refused: Vec<ClusterName>,
}

impl Class {
    pub(super) fn of(applicant: &Applicant) -> Self {
        Self {
            namespace: applicant.key.namespace.clone(),
            constraints: applicant.request.constraints.clone(),
            spark_version: applicant.request.spark_version.clone(),
            demand: applicant.request.demand,
            refused: applicant.refused.iter().map(|r| r.cluster.clone()).collect(),
        }
    }
}
