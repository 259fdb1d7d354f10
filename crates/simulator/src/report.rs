//! What came out of a simulation, as text and as JSON.
//!
//! Owns no state beyond the results.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;
use spark_router_core::id::{ClusterName, QueueName};

use crate::{Error, account::Account, series::Series};

pub use crate::account::Share;

/// Members of a queue whose shares the text lists.
const LISTED: usize = 50;

/// Everything that was measured.
#[derive(Debug)]
pub struct Outcome {
    /// The numbers.
    pub summary: Summary,
    /// Each queue's members and their shares, by name.
    pub shares: BTreeMap<QueueName, Vec<(ClusterName, Share)>>,
    /// Jobs that were never placed, by the word for what they wait for.
    pub unplaced: BTreeMap<&'static str, Unplaced>,
    /// Use of each member over time, for those that declare a capacity.
    pub use_over_time: BTreeMap<ClusterName, Series>,
    /// Wait in seconds over the time of arrival.
    pub wait_over_time: Series,
    /// From the first arrival to the last end, on the virtual clock.
    pub span: Duration,
}

/// Jobs that were never placed for one reason.
#[derive(Clone, Debug)]
pub struct Unplaced {
    /// How many.
    pub jobs: u64,
    /// What the first of them is told.
    pub message: String,
}

/// The numbers of a report, as `--format json` prints them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Jobs that arrived.
    pub jobs: u64,
    /// Of these, jobs that were placed.
    pub placed: u64,
    /// The others.
    pub unplaced: u64,
    /// Placements by the time that the whole simulation took, so that the simulation's own work counts against it.
    pub decisions_per_second: f64,
    /// The largest difference in jobs between what a member of a queue got and what its weight entitles it to, after any
    /// placement.
    pub max_weight_error: f64,
    /// From arrival to placement, of placed jobs.
    pub wait_seconds: Waits,
    /// The mean of the scarcest declared resource that was taken, from 0 to 1; `None` where nothing is declared.
    pub utilisation: BTreeMap<String, Option<f64>>,
    /// Jain's index over namespaces, of dominant share by weight while they competed.
    pub fairness: f64,
}

/// Waits in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Waits {
    /// Half of the jobs waited no longer.
    pub p50: f64,
    /// 99 of a hundred waited no longer.
    pub p99: f64,
    /// Nobody waited longer.
    pub max: f64,
}

impl Waits {
    fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        // The smallest wait that so many of a hundred do not exceed.
        let at = |percent: usize| {
            let rank = (waits.len() * percent).div_ceil(100).max(1) - 1;
            waits.get(rank).map_or(0.0, Duration::as_secs_f64)
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

impl Outcome {
    pub(crate) fn of(
        account: Account,
        jobs: u64,
        placed: u64,
        unplaced: BTreeMap<&'static str, Unplaced>,
        span: Duration,
        took: Duration,
    ) -> Self {
        let fairness = account.fairness();
        let Account { members, queues, worst, waits, wait_series, .. } = account;
        let utilisation = members.iter().map(|(name, used)| (name.to_string(), used.mean(span)));
        let placements = f64::from(u32::try_from(placed).unwrap_or(u32::MAX));
        let summary = Summary {
            jobs,
            placed,
            unplaced: jobs - placed,
            decisions_per_second: (placements / took.as_secs_f64().max(1e-9)).round(),
            max_weight_error: worst,
            wait_seconds: Waits::of(waits),
            utilisation: utilisation.collect(),
            fairness,
        };
        let declared = members.into_iter().filter(|(_, used)| used.mean(span).is_some());
        Self {
            summary,
            shares: queues,
            unplaced,
            use_over_time: declared.map(|(name, used)| (name, used.series)).collect(),
            wait_over_time: wait_series,
            span,
        }
    }

    /// The numbers as one JSON object.
    ///
    /// # Errors
    /// [`Error::Json`], which a number that is none would cause.
    pub fn json(&self) -> Result<String, Error> {
        Ok(serde_json::to_string_pretty(&self.summary)?)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { jobs, placed, unplaced, wait_seconds: Waits { p50, p99, max }, .. } = &self.summary;
        writeln!(f, "{placed} of {jobs} jobs placed in {} of virtual time", Clock(self.span))?;
        writeln!(f, "decisions a second  {}", self.summary.decisions_per_second)?;
        writeln!(f, "wait in seconds     p50 {p50:.1}, p99 {p99:.1}, max {max:.1}")?;
        writeln!(
            f,
            "weight error        {:.3} jobs at most, after any placement",
            self.summary.max_weight_error
        )?;
        writeln!(f, "fairness            {:.4} (1: all namespaces alike)", self.summary.fairness)?;
        if *unplaced > 0 {
            writeln!(f, "\nNot placed: {unplaced}")?;
            for (reason, Unplaced { jobs, message }) in &self.unplaced {
                writeln!(f, "  {jobs} {reason}: {message}")?;
            }
        }
        for (queue, shares) in &self.shares {
            writeln!(
                f,
                "\n{:<30} {:>8} {:>10} {:>12} {:>6}",
                format!("QUEUE {queue}"),
                "WEIGHT",
                "PLACED",
                "EXPECTED",
                "USED"
            )?;
            for (cluster, share) in shares.iter().take(LISTED) {
                let used = self.summary.utilisation.get(cluster.as_str()).copied().flatten();
                let used = used.map_or_else(|| "-".to_owned(), |used| format!("{:.0}%", used * 100.0));
                let Share { weight, placed, expected, .. } = share;
                writeln!(f, "{:<30} {weight:>8} {placed:>10} {expected:>12.1} {used:>6}", cluster.as_str())?;
            }
            if shares.len() > LISTED {
                writeln!(f, "and {} more", shares.len() - LISTED)?;
            }
        }
        Ok(())
    }
}

/// `2d 03:04:05`.
pub struct Clock(
    /// The time since the start.
    pub Duration,
);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds >= 86_400 {
            write!(f, "{}d ", seconds / 86_400)?;
        }
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_waits_that_somebody_had() {
        let waits = Waits::of((1..=200).map(Duration::from_secs).collect());
        assert_eq!(
            [waits.p50, waits.p99, waits.max].map(Duration::from_secs_f64),
            [100, 198, 200].map(Duration::from_secs)
        );
        assert!(Waits::of(Vec::new()).max.abs() < 1e-9, "nobody waited");
    }

    #[test]
    fn a_clock_is_written_as_people_read_it() {
        assert_eq!(Clock(Duration::from_secs(183_845)).to_string(), "2d 03:04:05");
        assert_eq!(Clock(Duration::from_secs(59)).to_string(), "00:00:59");
    }
}
