//! Shares of a queue's members at every prefix of its recorded placements.
//!
//! Purpose: judge from the jobs' records alone whether weights held. Owns no state.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet};

use spark_router_api::RoutedSparkJob;
use spark_router_api::job::PlacementRecord;
use spark_router_testkit::router::jobs;

/// One job in parts: every sum of some of the weights divides it, so that all shares are whole numbers.
const JOB: i64 = 25_200;
/// Decisions that a killed router can have had open at most: its passes at once, by default.
pub(crate) const OPEN: u64 = 128;
/// Placements in which the smallest share comes to one job.
const CATCH_UP: u64 = 10;

pub(crate) fn placement(job: &RoutedSparkJob) -> Option<&PlacementRecord> {
    job.status.as_ref()?.placement.as_ref()
}

/// The recorded placements of one queue, in their order.
pub(crate) struct Order {
    shares: &'static [(&'static str, u32)],
    pub(crate) by_seq: BTreeMap<u64, PlacementRecord>,
}

impl Order {
    /// Reads the jobs' records; two with one number end the test.
    pub(crate) fn of<'a>(
        shares: &'static [(&'static str, u32)],
        jobs: impl Iterator<Item = &'a RoutedSparkJob>,
    ) -> Self {
        let mut by_seq = BTreeMap::new();
        for job in jobs {
            let record = placement(job).unwrap_or_else(|| panic!("not placed: {}", jobs::describe(job)));
            let other = by_seq.insert(record.seq, record.clone());
            assert!(
                other.is_none(),
                "two placements have the number {}: {record:?} and {other:?}",
                record.seq
            );
        }
        Self { shares, by_seq }
    }

    /// Numbers that no job has: decisions that never got onto the record, and placements that were taken back.
    pub(crate) fn gaps(&self) -> BTreeSet<u64> {
        let last = self.by_seq.keys().next_back().copied().unwrap_or_default();
        (1..=last).filter(|seq| !self.by_seq.contains_key(seq)).collect()
    }

    /// Placements that were decided without some member, because it missed a probe.
    pub(crate) fn without_all(&self) -> usize {
        self.by_seq.values().filter(|record| !record.excluded.is_empty()).count()
    }

    pub(crate) fn on(&self, cluster: &str) -> usize {
        self.by_seq.values().filter(|record| record.cluster == cluster).count()
    }

    /// Asserts that every member is within one job of its share at every prefix, and says how far off the worst is.
    ///
    /// A member that missed a probe was no candidate and neither gained nor lost: then shares follow the candidates of
    /// each placement, and the bound is two jobs. A decision that is lost with a killed router, or taken back, leaves its
    /// members off by it at most, until those made beside it are through and later ones have made up for it. From then
    /// on the bound holds again.
    pub(crate) fn assert_shares(&self, what: &str) {
        let bound = if self.without_all() == 0 { JOB } else { 2 * JOB };
        let mut owed: BTreeMap<&str, i64> = self.shares.iter().map(|(name, _)| (*name, 0)).collect();
        let (mut gaps, mut last_gap, mut expected) = (0, None, 1);
        let (mut worst, mut late) = ((0, 0), 0);
        for (seq, record) in &self.by_seq {
            if *seq > expected {
                gaps += i64::try_from(seq - expected).unwrap();
                last_gap = Some(*seq);
            }
            expected = seq + 1;
            self.book(&mut owed, record);
            let error = owed.values().map(|owed| owed.abs()).max().unwrap_or_default();
            worst = worst.max((error, *seq));
            if error < bound {
                last_gap = last_gap.filter(|gap| *seq <= gap + OPEN);
                continue;
            }
            late += 1;
            assert!(
                last_gap.is_some() && error < bound + gaps * JOB,
                "{what}: after placement {seq} a member is {error}/{JOB} jobs off its share, with {gaps} gaps before: \
                 {owed:?}"
            );
            let most = last_gap.unwrap_or_default() + OPEN + CATCH_UP * u64::try_from(gaps).unwrap();
            assert!(
                *seq <= most,
                "{what}: after placement {seq}, lost decisions are not made up for: {owed:?}"
            );
        }
        let counts: Vec<_> =
            self.shares.iter().map(|(name, _)| format!("{name} {}", self.on(name))).collect();
        eprintln!(
            "{what}: {} placements, {}; furthest off its share at any prefix: {}/1000 job, after placement {}; {gaps} \
             gaps in the numbers, {late} prefixes out of bound after them; {} placements without a member that missed a \
             probe",
            self.by_seq.len(),
            counts.join(", "),
            worst.0 * 1000 / JOB,
            worst.1,
            self.without_all()
        );
    }

    /// What a placement gives its candidates, and what the member that got it pays, in parts of a job.
    fn book(&self, owed: &mut BTreeMap<&str, i64>, record: &PlacementRecord) {
        let candidates =
            || self.shares.iter().filter(|(name, _)| !record.excluded.iter().any(|it| it == name));
        let part = JOB / candidates().map(|(_, weight)| i64::from(*weight)).sum::<i64>();
        for (name, weight) in candidates() {
            *owed.get_mut(name).unwrap() += i64::from(*weight) * part;
        }
        *owed.get_mut(record.cluster.as_str()).unwrap() -= JOB;
    }
}
