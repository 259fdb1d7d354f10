//! What a run came to, for people and for programs.
//!
//! Owns no state.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::oracle::{Failover, Spread, Started, Starts, Verdict};

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Jobs that were submitted.
    pub jobs: usize,
    /// How many faults of each kind met somebody.
    pub faults: BTreeMap<&'static str, u64>,
    /// What became of the jobs.
    pub verdict: Verdict,
    /// How often a router ended by itself, as one does that lost its lease.
    pub routers_ended: u64,
    /// From the first job until all rested.
    pub seconds: u64,
    /// Where the evidence is, if anything was found.
    pub evidence: Option<PathBuf>,
}

/// The object that programs get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts<'a> {
    jobs: usize,
    finished: usize,
    lost: usize,
    doubled: usize,
    unexplained: usize,
    operator_doubled: usize,
    faults: &'a BTreeMap<&'static str, u64>,
    failover: Failover,
    started: &'a Started,
    seed: u64,
    seconds: u64,
}

impl Report {
    /// Whether no job was lost, doubled or left unexplained.
    pub fn is_clean(&self) -> bool {
        self.verdict.is_clean()
    }

    /// `{jobs, finished, lost, doubled, unexplained, operatorDoubled, faults: {<kind>: n}, failover, started, seed, seconds}`.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Counts {
            jobs: self.jobs,
            finished: self.verdict.finished,
            lost: self.verdict.lost.len(),
            doubled: self.verdict.doubled.len(),
            unexplained: self.verdict.unexplained.len(),
            operator_doubled: self.verdict.operator_doubled,
            faults: &self.faults,
            failover: self.verdict.failover,
            started: &self.verdict.started,
            seed: self.seed,
            seconds: self.seconds,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} INJECTED", "FAULT")?;
        for (kind, count) in &self.faults {
            writeln!(f, "{kind:<22} {count:>8}")?;
        }
        let all: u64 = self.faults.values().sum();
        writeln!(f, "{:<22} {all:>8}\n", "all")?;
        times(f, &self.verdict.failover)?;
        starts(f, &self.verdict.started)?;
        writeln!(f, "seed {}: {} jobs in {} s; {}", self.seed, self.jobs, self.seconds, self.verdict)?;
        write!(f, "routers that ended by themselves and were started again: {}", self.routers_ended)?;
        if let Some(folder) = &self.evidence {
            write!(f, "\nthe evidence is in {}", folder.display())?;
        }
        Ok(())
    }
}

/// The times of failover, each after faults that came alone and after those amid all others.
fn times(f: &mut fmt::Formatter<'_>, failover: &Failover) -> fmt::Result {
    writeln!(
        f,
        "{:<42} {:<12} {:>6} {:>10} {:>10} {:>10}",
        "FAILOVER", "BESIDE IT", "TIMES", "P50", "P99", "MAX"
    )?;
    for (what, measured) in failover.rows() {
        for (beside, spread) in [("nothing", measured.alone), ("all else", measured.amid_others)] {
            let Some(Spread { count, p50_ms, p99_ms, max_ms }) = spread else {
                writeln!(f, "{what:<42} {beside:<12} {:>6}", 0)?;
                continue;
            };
            let [p50, p99, max] = [p50_ms, p99_ms, max_ms].map(|ms| format!("{ms} ms"));
            writeln!(f, "{what:<42} {beside:<12} {count:>6} {p50:>10} {p99:>10} {max:>10}")?;
        }
    }
    let (holes, stranded) = (failover.black_holes, failover.stranded);
    writeln!(f, "{stranded} jobs were stranded on silent members in {holes} black holes\n")
}

/// What was started on each kind of member, and how starts of job runs became known. Nothing where there is one kind.
fn starts(f: &mut fmt::Formatter<'_>, started: &Started) -> fmt::Result {
    if started.virtual_clusters.is_empty() {
        return Ok(());
    }
    let each = started.by_backend.iter().map(|(backend, count)| format!("{backend} {count}"));
    writeln!(f, "started: {}", each.collect::<Vec<_>>().join(", "))?;
    writeln!(
        f,
        "{:<22} {:>6} {:>6} {:>6} {:>15} {:>17} {:>13}",
        "STARTS OF JOB RUNS", "ASKED", "RUNS", "LATE", "NEVER ANSWERED", "FOUND BY LISTING", "DEDUPLICATED"
    )?;
    for (name, starts) in &started.virtual_clusters {
        let Starts { runs, asked, answered_late, never_answered, found_by_listing, deduplicated } = starts;
        writeln!(
            f,
            "{name:<22} {asked:>6} {runs:>6} {answered_late:>6} {never_answered:>15} {found_by_listing:>17} \
             {deduplicated:>13}"
        )?;
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::oracle::Measured;

    fn report() -> Report {
        let spread = Spread { count: 3, p50_ms: 40, p99_ms: 900, max_ms: 900 };
        let failover = Failover {
            black_holes: 4,
            stranded: 2,
            placed_elsewhere: Measured { alone: Some(spread), amid_others: None },
            ..Failover::default()
        };
        let counts =
            Starts { runs: 20, asked: 23, never_answered: 4, found_by_listing: 3, ..Starts::default() };
        let started = Started {
            by_backend: [("kubeflow", 30), ("emrContainers", 20)].into(),
            virtual_clusters: [("emr-1".to_owned(), counts)].into(),
        };
        Report {
            seed: 7,
            jobs: 60,
            faults: [("hubCut", 3), ("memberLost", 4)].into(),
            verdict: Verdict { finished: 58, failover, started, ..Verdict::default() },
            routers_ended: 1,
            seconds: 130,
            evidence: None,
        }
    }

    #[test]
    fn programs_get_counts_and_times() {
        let value: Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!((&value["jobs"], &value["finished"], &value["lost"]), (&json!(60), &json!(58), &json!(0)));
        assert_eq!(value["faults"], json!({"hubCut": 3, "memberLost": 4}));
        let times = &value["failover"];
        assert_eq!((&times["blackHoles"], &times["stranded"]), (&json!(4), &json!(2)));
        let alone = json!({"count": 3, "p50Ms": 40, "p99Ms": 900, "maxMs": 900});
        let starts = &value["started"];
        assert_eq!(starts["byBackend"], json!({"kubeflow": 30, "emrContainers": 20}));
        let counts = json!({
            "runs": 20, "asked": 23, "answeredLate": 0, "neverAnswered": 4, "foundByListing": 3, "deduplicated": 0,
        });
        assert_eq!(starts["virtualClusters"], json!({ "emr-1": counts }));
        assert_eq!(times["placedElsewhere"], json!({"alone": alone, "amidOthers": null}));
    }

    #[test]
    fn people_get_a_row_for_each_time_also_where_there_is_none() {
        let text = report().to_string();
        let row = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        let words =
            |line: String| line.split_whitespace().rev().take(7).map(str::to_owned).collect::<Vec<_>>();
        let measured = words(row("job comes into a black hole"));
        assert_eq!(measured, ["ms", "900", "ms", "900", "ms", "40", "3"], "{text}");
        assert!(row("AllowDuplicate: member lost").ends_with(" 0"), "{text}");
        assert!(text.contains("\nstarted: emrContainers 20, kubeflow 30\n"), "{text}");
        let words: Vec<_> = row("emr-1").split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["emr-1", "23", "20", "0", "4", "3", "0"], "{text}");
        assert!(text.contains("\n2 jobs were stranded on silent members in 4 black holes\n"), "{text}");
    }
}
