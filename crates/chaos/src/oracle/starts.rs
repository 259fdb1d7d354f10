//! Counts what was started, and how starts of job runs became known to whoever had asked for them.
//!
//! Owns no state. A count, and no verdict: what is wrong with a start says [`super::doubled`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::facts::{Facts, JobFacts};
use super::life::{Kind, Life};
use crate::evidence::{Backend, Evidence};

/// An answer that takes as long is late.
const LATE: f64 = 1.0;

/// How the starts of job runs on one virtual cluster came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Starts {
    /// Job runs that were made.
    pub runs: usize,
    /// Calls of StartJobRun.
    pub asked: usize,
    /// Of these, answered a second late or later.
    pub answered_late: usize,
    /// Acted on, and nobody heard the answer.
    pub never_answered: usize,
    /// Runs of which no answer was ever heard, and which are on record on the hub: lists showed them.
    pub found_by_listing: usize,
    /// Starts that made no second run, because their token was known.
    pub deduplicated: usize,
}

/// What was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Applications and job runs, by what ran them.
    pub by_backend: BTreeMap<&'static str, usize>,
    /// By virtual cluster.
    pub virtual_clusters: BTreeMap<String, Starts>,
}

/// All of it.
pub(crate) fn of(facts: &Facts, evidence: &Evidence) -> Started {
    let mut started = Started::default();
    for side in &evidence.members {
        started.by_backend.entry(side.backend.name()).or_default();
        if side.backend == Backend::EmrContainers {
            started.virtual_clusters.insert(side.name.clone(), Starts::default());
        }
    }
    let recorded: BTreeSet<&str> = facts.jobs.iter().flat_map(JobFacts::recorded_uids).collect();
    let heard: BTreeSet<&str> = facts
        .asked
        .iter()
        .filter(|asked| asked.status != 0)
        .filter_map(|asked| asked.run.as_deref())
        .collect();
    let lives = facts.jobs.iter().flat_map(|job| &job.applications).chain(&facts.strangers);
    for life in lives.filter(|life| life.kind != Kind::Driver) {
        *started.by_backend.entry(life.backend.name()).or_default() += 1;
        if let Some(starts) = started.virtual_clusters.get_mut(&life.member) {
            starts.runs += 1;
            let is = |known: &BTreeSet<&str>, life: &Life| {
                life.uid.as_deref().is_some_and(|uid| known.contains(uid))
            };
            starts.found_by_listing += usize::from(!is(&heard, life) && is(&recorded, life));
        }
    }
    for asked in &facts.asked {
        let Some(starts) = started.virtual_clusters.get_mut(&asked.member) else { continue };
        let is_heard = asked.status != 0;
        starts.asked += 1;
        starts.answered_late += usize::from(is_heard && asked.took >= LATE);
        starts.never_answered += usize::from(!is_heard && asked.run.is_some());
        starts.deduplicated += usize::from(asked.is_known);
    }
    started
}
