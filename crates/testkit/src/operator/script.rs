//! The state table.
//!
//! Purpose: say, for an application in a state, what comes next and when. Pure: owns no state, reads no clock. It must
//! follow the real operator's table wherever the script doesn't say otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use super::application::View;
use super::{Detail, Options};

/// A state that no operator of today knows, for the script `unknown-state`.
pub(super) const UNHEARD: &str = "REBALANCING";

/// What becomes of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// COMPLETED.
    Succeed,
    /// The driver exits with 1, in each of the first runs (all of them if nothing else is said).
    Fail,
    /// The first run fails, the next one succeeds, if the restart policy allows one.
    Retry,
    /// `spark-submit` exits with an error.
    SubmissionFailed,
    /// `spark-submit` says that the namespace's quota is exceeded.
    Quota,
    /// `spark-submit` finds a driver pod of that name (and there is one, with driver pods on).
    DriverExists,
    /// Nobody ever looks at it.
    HangEmpty,
    /// The driver stays pending.
    HangSubmitted,
    /// The driver runs for ever.
    HangRunning,
    /// The retry never begins.
    HangRerun,
    /// The driver pod vanishes while it runs.
    DriverLost,
    /// RUNNING, then for a step a state that is not in the table, then the usual end.
    UnknownState,
    /// RUNNING, then for a step UNKNOWN (the node is lost), then the usual end.
    NodeLost,
    /// The annotation names no script.
    NoSuchScript,
}

/// What an application does and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// What becomes of it.
    pub wish: Wish,
    /// The time in each passing state.
    pub step: Duration,
    /// The time in RUNNING.
    pub run: Duration,
    /// The time that `spark-submit` takes.
    pub submit: Duration,
    /// How many first runs fail.
    pub fail_attempts: u32,
    /// Which states are written.
    pub detail: Detail,
}

impl Script {
    /// The values of the annotation `spark-router.test/script`.
    pub const NAMES: [(&str, Wish); 13] = [
        ("succeed", Wish::Succeed),
        ("fail", Wish::Fail),
        ("retry", Wish::Retry),
        ("submission-failed", Wish::SubmissionFailed),
        ("quota", Wish::Quota),
        ("driver-exists", Wish::DriverExists),
        ("hang-empty", Wish::HangEmpty),
        ("hang-submitted", Wish::HangSubmitted),
        ("hang-running", Wish::HangRunning),
        ("hang-rerun", Wish::HangRerun),
        ("driver-lost", Wish::DriverLost),
        ("unknown-state", Wish::UnknownState),
        ("node-lost", Wish::NodeLost),
    ];

    pub(super) fn of(annotations: &BTreeMap<String, String>, options: &Options) -> Self {
        let text = |key: &str| annotations.get(&format!("spark-router.test/{key}")).map(String::as_str);
        let time = |key| text(key).and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let name = text("script").unwrap_or("succeed");
        let wish = Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(Wish::NoSuchScript, |(_, wish)| *wish);
        let step = time("step-ms").unwrap_or(options.step);
        let fails = match wish {
            Wish::Fail => u32::MAX,
            Wish::Retry | Wish::HangRerun => 1,
            _ => 0,
        };
        Self {
            wish,
            step,
            run: time("run-ms").unwrap_or(step),
            submit: time("submit-ms").unwrap_or(step),
            fail_attempts: text("fail-attempts").and_then(|text| text.parse().ok()).unwrap_or(fails),
            detail: options.detail,
        }
    }
}

/// What happens next to an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until the object changes.
    Rest,
    /// After this time in the state as it is, this.
    Go(Duration, Turn),
}

/// One change of the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// `spark-submit`; how it ends is seen then.
    Submit,
    /// The driver's UI service and Spark's application id.
    Register,
    /// The driver runs, executors are asked for.
    Run,
    /// The executors run.
    Staff,
    /// To a state without more.
    To(&'static str),
    /// The driver ended well.
    Succeed,
    /// The driver ended badly, for this reason.
    Fail(&'static str),
    /// COMPLETED or FAILED.
    End(&'static str),
    /// PENDING_RERUN; true: with all counters reset.
    Rerun(bool),
    /// SUSPENDING: the driver is deleted.
    Suspend,
}

const NOW: Duration = Duration::ZERO;

pub(super) fn next(view: &View) -> Next {
    let script = view.script;
    let state = view.state();
    let terminal = matches!(state, "COMPLETED" | "FAILED");
    if view.deleting || terminal {
        return Next::Rest;
    }
    if view.suspend && !matches!(state, "SUSPENDING" | "SUSPENDED" | "INVALIDATING") {
        return Next::Go(NOW, Turn::Suspend);
    }
    match state {
        "" if script.wish == Wish::HangEmpty => Next::Rest,
        // The time that it takes is part of the submit.
        "" | "RESUMING" => Next::Go(NOW, Turn::Submit),
        "SUBMITTED" => submitted(view),
        "RUNNING" => running(view),
        // Both come to their senses with the next event of the driver.
        "UNKNOWN" | UNHEARD => Next::Go(script.step, Turn::Succeed),
        "SUCCEEDING" if view.restart.kind == "Always" => Next::Go(NOW, Turn::Rerun(false)),
        "SUCCEEDING" => Next::Go(NOW, Turn::End("COMPLETED")),
        "FAILING" => failing(view),
        "SUBMISSION_FAILED" => submission_failed(view),
        "PENDING_RERUN" if script.wish == Wish::HangRerun => Next::Rest,
        "PENDING_RERUN" => Next::Go(NOW, Turn::Submit),
        "INVALIDATING" => Next::Go(NOW, Turn::Rerun(true)),
        "SUSPENDING" => Next::Go(script.step, Turn::To("SUSPENDED")),
        "SUSPENDED" if !view.suspend => Next::Go(NOW, Turn::To("RESUMING")),
        _ => Next::Rest,
    }
}

fn submitted(view: &View) -> Next {
    let script = view.script;
    if view.status.spark_application_id.is_empty() {
        return Next::Go(NOW, Turn::Register);
    }
    match script.wish {
        Wish::HangSubmitted => Next::Rest,
        Wish::Succeed if script.detail == Detail::Least && view.restart.kind != "Always" => {
            Next::Go(script.step + script.run, Turn::End("COMPLETED"))
        }
        _ => Next::Go(script.step, Turn::Run),
    }
}

fn running(view: &View) -> Next {
    let script = view.script;
    let staffed = view.status.executor_state.values().all(|state| state != "PENDING");
    if !staffed {
        return Next::Go(script.step.min(script.run / 2), Turn::Staff);
    }
    if view.status.execution_attempts <= script.fail_attempts {
        return Next::Go(script.run, Turn::Fail("driver container failed with ExitCode: 1, Reason: Error"));
    }
    match script.wish {
        Wish::HangRunning => Next::Rest,
        Wish::DriverLost => Next::Go(script.run, Turn::Fail("driver pod not found")),
        Wish::UnknownState => Next::Go(script.run, Turn::To(UNHEARD)),
        Wish::NodeLost => Next::Go(script.run, Turn::To("UNKNOWN")),
        _ if script.detail != Detail::Full && view.restart.kind != "Always" => {
            Next::Go(script.run, Turn::End("COMPLETED"))
        }
        _ => Next::Go(script.run, Turn::Succeed),
    }
}

fn failing(view: &View) -> Next {
    let (restart, status) = (&view.restart, &view.status);
    let again = match restart.kind.as_str() {
        "Always" => true,
        "OnFailure" => restart.on_failure_retries.is_some_and(|retries| status.execution_attempts <= retries),
        _ => false,
    };
    match (again, restart.on_failure_retry_interval) {
        (false, _) => Next::Go(NOW, Turn::End("FAILED")),
        (true, Some(interval)) => Next::Go(wait(interval, status.submission_attempts), Turn::Rerun(false)),
        // The real operator reports an error and stays where it is.
        (true, None) => Next::Rest,
    }
}

fn submission_failed(view: &View) -> Next {
    let (restart, status) = (&view.restart, &view.status);
    let again = match restart.kind.as_str() {
        "Always" => true,
        "OnFailure" => {
            restart.on_submission_failure_retries.is_some_and(|retries| status.submission_attempts <= retries)
        }
        _ => false,
    };
    match (again, restart.on_submission_failure_retry_interval) {
        (false, _) => Next::Go(NOW, Turn::End("FAILED")),
        (true, Some(interval)) => Next::Go(wait(interval, status.submission_attempts), Turn::Submit),
        (true, None) => Next::Rest,
    }
}

/// Linear, not exponential.
fn wait(interval: u64, attempts: u32) -> Duration {
    Duration::from_secs(interval.saturating_mul(u64::from(attempts)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Next, Turn, UNHEARD, next};
    use crate::operator::Options;
    use crate::operator::application::View;

    #[expect(clippy::needless_pass_by_value, reason = "callers write the JSON in place")]
    fn view(script: &str, spec: Value, status: Value) -> View {
        let object = serde_json::from_value(json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
            "metadata": {
                "name": "pi", "namespace": "jobs", "uid": "u", "resourceVersion": "7",
                "annotations": {"spark-router.test/script": script, "spark-router.test/step-ms": "10"},
            },
            "spec": spec, "status": status,
        }));
        View::of(&object.unwrap(), &Options::default()).unwrap()
    }

    fn in_state(script: &str, state: &str) -> Next {
        let status =
            json!({"applicationState": {"state": state}, "sparkApplicationId": "s", "executionAttempts": 1});
        next(&view(script, json!({}), status))
    }

    const STEP: Duration = Duration::from_millis(10);
    const NOW: Duration = Duration::ZERO;

    #[test]
    fn the_usual_way() {
        assert_eq!(in_state("succeed", ""), Next::Go(NOW, Turn::Submit));
        assert_eq!(in_state("succeed", "SUBMITTED"), Next::Go(STEP, Turn::Run));
        assert_eq!(in_state("succeed", "RUNNING"), Next::Go(STEP, Turn::Succeed));
        assert_eq!(in_state("succeed", "SUCCEEDING"), Next::Go(NOW, Turn::End("COMPLETED")));
        for terminal in ["COMPLETED", "FAILED", "NEVER_HEARD_OF"] {
            assert_eq!(in_state("succeed", terminal), Next::Rest);
        }
    }

    #[test]
    fn scripts_stray_from_it() {
        assert_eq!(in_state("hang-empty", ""), Next::Rest);
        assert_eq!(in_state("hang-submitted", "SUBMITTED"), Next::Rest);
        assert_eq!(in_state("hang-running", "RUNNING"), Next::Rest);
        assert_eq!(in_state("unknown-state", "RUNNING"), Next::Go(STEP, Turn::To(UNHEARD)));
        assert_eq!(in_state("unknown-state", UNHEARD), Next::Go(STEP, Turn::Succeed));
        assert_eq!(in_state("driver-lost", "RUNNING"), Next::Go(STEP, Turn::Fail("driver pod not found")));
        assert!(matches!(in_state("fail", "RUNNING"), Next::Go(STEP, Turn::Fail(_))));
    }

    #[test]
    fn retries_follow_the_restart_policy() {
        let failing = |attempts: u32, policy: Value| {
            let status = json!({
                "applicationState": {"state": "FAILING"}, "executionAttempts": attempts, "submissionAttempts": attempts,
            });
            next(&view("retry", json!({"restartPolicy": policy}), status))
        };
        let once = json!({"type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 3});
        assert_eq!(failing(1, once.clone()), Next::Go(Duration::from_secs(3), Turn::Rerun(false)));
        assert_eq!(failing(2, once), Next::Go(NOW, Turn::End("FAILED")));
        assert_eq!(
            failing(1, json!({"type": "OnFailure", "onFailureRetryInterval": 3})),
            Next::Go(NOW, Turn::End("FAILED"))
        );
        assert_eq!(failing(1, json!({"type": "Never"})), Next::Go(NOW, Turn::End("FAILED")));
        assert_eq!(failing(1, json!({"type": "Always"})), Next::Rest);
    }

    #[test]
    fn suspend_and_delete_come_first() {
        let status = |state: &str| json!({"applicationState": {"state": state}});
        let suspended = |state: &str| next(&view("succeed", json!({"suspend": true}), status(state)));
        assert_eq!(suspended("RUNNING"), Next::Go(NOW, Turn::Suspend));
        assert_eq!(suspended("SUSPENDED"), Next::Rest);
        assert_eq!(suspended("COMPLETED"), Next::Rest);
        assert_eq!(in_state("succeed", "SUSPENDED"), Next::Go(NOW, Turn::To("RESUMING")));
        let mut deleting = view("succeed", json!({}), status("RUNNING"));
        deleting.deleting = true;
        assert_eq!(next(&deleting), Next::Rest);
    }
}
