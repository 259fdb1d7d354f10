//! What is mirrored of a remote application.
//!
//! Owns no state.

use jiff::Timestamp;

use crate::observe::{ExecutorCounts, Observation, RunState};

/// The remote application as mirrored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Application {
    /// The operator's own state.
    pub state: String,
    /// Spark's id.
    pub id: Option<String>,
    /// The operator's submission.
    pub submission_id: Option<String>,
    /// Last submission.
    pub submitted_at: Option<Timestamp>,
    /// First seen running.
    pub started_at: Option<Timestamp>,
    /// End of the run.
    pub finished_at: Option<Timestamp>,
    /// Runs by the member's own operator.
    pub attempts: u32,
    /// Executors.
    pub executors: ExecutorCounts,
    /// The driver's pod.
    pub driver_pod: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What is mirrored of an observation, after what was mirrored `before`. Where nobody saw since when it runs, `now`
/// becomes the start when it is seen running for the first time. One that is held back has no start: its driver is gone, and
/// it starts anew.
pub fn mirror(seen: &Observation, before: Option<&Application>, now: Timestamp) -> Application {
    let running = matches!(seen.run, RunState::Running);
    let started_at = match seen.run {
        RunState::Suspended => None,
        _ => before
            .and_then(|before| before.started_at)
            .or(seen.running_since)
            .or_else(|| running.then_some(now)),
    };
    Application {
        state: seen.native_state.clone(),
        id: seen.application_id.clone(),
        submission_id: seen.submission_id.clone(),
        submitted_at: seen.submitted_at,
        started_at,
        // Operators set it early and clear it on a retry: only at the end is it the end.
        finished_at: seen.run.is_terminal().then_some(seen.terminated_at).flatten(),
        attempts: seen.executions,
        executors: seen.executors,
        driver_pod: seen.driver_pod.clone(),
        error: seen.error.clone(),
    }
}

/// Whether two mirrors differ in nothing but executor counts.
pub fn differs_in_counts_only(a: &Application, b: &Application) -> bool {
    a.executors != b.executors && *a == Application { executors: a.executors, ..b.clone() }
}
