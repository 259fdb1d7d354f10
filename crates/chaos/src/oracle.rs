//! Says from evidence alone what became of the jobs of a run.
//!
//! Purpose: find every job that was **lost** (no end and no stated reason), **doubled** (two of its applications or driver
//! pods alive at one instant, or run again after its end) or left **unexplained** (a status that is not the truth). Owns
//! what it has read while it judges. It shares no code with the router and must never believe it: what happened is what
//! the API servers' audit logs and last objects show, and what the servers of virtual clusters recorded; what the router
//! wrote is what is judged.

mod audit;
mod doubled;
mod ends;
mod facts;
mod failover;
mod hub;
mod leftovers;
mod life;
mod lives;
mod look;
mod lost;
mod mirror;
mod names;
mod resubmitted;
mod runs;
mod starts;
#[cfg(test)]
mod story;
mod view;
mod words;

use std::fmt;

use crate::error::Error;
use crate::evidence::Evidence;

use facts::Facts;
pub use failover::{Failover, Measured, Spread};
use lost::Standing;
pub(crate) use resubmitted::doubled_in;
pub use starts::{Started, Starts};

/// Something that is wrong with one job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The job, as `namespace/name`.
    pub job: String,
    /// What is wrong, with who, where and when.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.job, self.what)
    }
}

/// What became of the jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Jobs whose end is on the hub.
    pub finished: usize,
    /// Jobs that were deleted as asked and are gone, with everything of them.
    pub gone: usize,
    /// Jobs that wait or are held, and say why.
    pub waiting: usize,
    /// Jobs whose application is alive at the end, on record and on its member.
    pub running: usize,
    /// Jobs without an end or a stated reason.
    pub lost: Vec<Finding>,
    /// Jobs of which two ran at once, or one after the end.
    pub doubled: Vec<Finding>,
    /// Jobs whose status is not the truth.
    pub unexplained: Vec<Finding>,
    /// Applications whose drivers the operator itself doubled under its injected hazard: not the router's doing.
    pub operator_doubled: usize,
    /// Jobs of which two ran at once by their owner's leave, on record as such.
    pub duplicated_by_leave: usize,
    /// How long it took to go on elsewhere.
    pub failover: Failover,
    /// What was started where, and how starts became known.
    pub started: Started,
    /// What there was to judge by: a clean verdict over nothing is worth nothing.
    pub seen: Seen,
}

/// What there was to judge by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Remote applications that there have ever been.
    pub applications: usize,
    /// Job runs of EMR on EKS that there have ever been.
    pub job_runs: usize,
    /// Driver pods that there have ever been.
    pub driver_pods: usize,
    /// Objects whose create is in no log, found by later signs.
    pub inferred: usize,
    /// Lines of all logs.
    pub lines: u64,
    /// Half lines that servers left behind that were killed.
    pub torn: u64,
    /// Lines that were too long to be looked at.
    pub too_long: u64,
}

impl Verdict {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.unexplained.is_empty()
    }
}

impl fmt::Display for Verdict {
    /// The counts on one line, then each finding on its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} finished, {} gone, {} waiting, {} running; {} lost, {} doubled, {} unexplained; doubled by the operator: \
             {}, by leave: {}; {} applications, {} job runs and {} driver pods in {} lines",
            self.finished,
            self.gone,
            self.waiting,
            self.running,
            self.lost.len(),
            self.doubled.len(),
            self.unexplained.len(),
            self.operator_doubled,
            self.duplicated_by_leave,
            self.seen.applications,
            self.seen.job_runs,
            self.seen.driver_pods,
            self.seen.lines,
        )?;
        let kinds = [("lost", &self.lost), ("doubled", &self.doubled), ("unexplained", &self.unexplained)];
        for (kind, findings) in kinds {
            for finding in findings {
                write!(f, "\n{kind}: {finding}")?;
            }
        }
        Ok(())
    }
}

/// Judges a run.
///
/// # Errors
/// Where evidence is missing or cannot be read. There is no verdict over half of it.
pub fn judge(evidence: &Evidence) -> Result<Verdict, Error> {
    let facts = Facts::gather(evidence)?;
    let mut verdict = Verdict { seen: facts.seen, ..Verdict::default() };
    for job in &facts.jobs {
        let finding = |what: String| Finding { job: job.title(), what };
        match lost::standing(job, &facts) {
            Standing::Finished => verdict.finished += 1,
            Standing::Gone => verdict.gone += 1,
            Standing::Waits => verdict.waiting += 1,
            Standing::Runs => verdict.running += 1,
            Standing::Lost(what) => verdict.lost.push(finding(what)),
        }
        let twice = doubled::of(job);
        verdict.duplicated_by_leave += usize::from(twice.by_leave);
        verdict.doubled.extend(twice.findings.into_iter().map(finding));
        let odd = [ends::of(job, &facts), mirror::of(job, &facts), leftovers::of(job, &facts)].concat();
        verdict.unexplained.extend(odd.into_iter().map(finding));
    }
    verdict.unexplained.extend(leftovers::strangers(&facts));
    verdict.failover = failover::of(&facts, evidence);
    verdict.started = starts::of(&facts, evidence);
    verdict.operator_doubled = evidence.members.iter().map(|member| member.operator_doubled.len()).sum();
    Ok(verdict)
}

#[cfg(test)]
mod tests;
