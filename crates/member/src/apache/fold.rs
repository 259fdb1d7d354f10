//! Folds an application of Apache's operator into the router's vocabulary.
//!
//! Owns no state. Only ResourceReleased and TerminatedWithoutReleaseResources are ends, and neither says of what: the last
//! state before it does. Succeeded or Failed alone may still be followed by another run. Must never read an end as proof
//! that nothing runs where the driver was left alone.

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use spark_router_core::{
    id::{RemoteName, RemoteUid},
    observe::{ExecutorCounts, FailureSign, Observation, RunState},
};

use super::{
    identity,
    view::{Application, RestartConfig, State, Status},
};
use crate::{error_line, member::Driver, operator::marks, pods::driver};

/// The driver runs, and so many executors that it needs no more.
pub(super) const HEALTHY: &str = "RunningHealthy";

/// The ends. After the second the operator lets its pods be.
const RELEASED: &str = "ResourceReleased";
const LEFT_ALONE: &str = "TerminatedWithoutReleaseResources";

/// What it says of a driver that went away.
const REMOVED: &str = "Driver removed";

/// The operator's own number of runs where nothing is said.
const RESTARTS: u64 = 3;

/// What an application shows. `None` for one without name or uid, which no API server sends.
pub(super) fn observation(application: &Application) -> Option<Observation> {
    let metadata = &application.metadata;
    let name = metadata.name.clone()?;
    let status = &application.status;
    let state = present(status);
    let decides = deciding(status);
    let run = run_state(status, &application.spec.application_tolerations.restart_config);
    let before = status.current_attempt_summary.attempt_info.id;
    let is_asked_for =
        !matches!(state.current_state_summary.as_str(), "" | "Submitted" | "ScheduledToRestart");
    let application_id = is_asked_for
        .then(|| identity::application_id(metadata.namespace.as_deref().unwrap_or_default(), &name, before));
    // To the second, as the hub keeps times: a finer one would never equal what is read back.
    let time = |state: &State| -> Option<Timestamp> {
        let time = state.last_transition_time.as_ref()?;
        Timestamp::from_second(time.0.as_second()).ok()
    };
    let requested = status
        .state_transition_history
        .values()
        .rev()
        .find(|at| at.current_state_summary == "DriverRequested");
    Some(Observation {
        name: RemoteName::new(name),
        uid: RemoteUid::new(metadata.uid.clone()?),
        owner: marks::ownership(metadata),
        deleting: metadata.deletion_timestamp.is_some(),
        held: marks::is_held(metadata),
        suspend: false,
        application_id: application_id.clone(),
        submission_id: None,
        submitted_at: requested.and_then(time),
        running_since: None,
        terminated_at: if run.is_terminal() { decides.and_then(time) } else { None },
        executions: u32::try_from(before + u64::from(is_asked_for)).unwrap_or(u32::MAX),
        // It counts none.
        executors: ExecutorCounts::default(),
        driver_pod: application_id.as_deref().map(identity::driver_pod),
        ui_address: None,
        error: decides.filter(|_| run != RunState::Succeeded).and_then(error),
        run,
        native_state: state.current_state_summary.clone(),
    })
}

/// The state that it is in; the last of its history where it does not say.
fn present(status: &Status) -> &State {
    let current = &status.current_state;
    if !current.current_state_summary.is_empty() {
        return current;
    }
    status.state_transition_history.values().next_back().unwrap_or(current)
}

/// The state that says how the run went: the last one that is no end.
fn deciding(status: &Status) -> Option<&State> {
    let is_end = |state: &&State| matches!(state.current_state_summary.as_str(), RELEASED | LEFT_ALONE);
    let mut states = status.state_transition_history.values().rev();
    let last = states.find(|state| !is_end(state));
    let says = |state: &&State| {
        let name = state.current_state_summary.as_str();
        name == "Succeeded" || is_failure(name)
    };
    let ended = is_end(&present(status));
    last.filter(|state| ended || says(state))
}

fn is_failure(state: &str) -> bool {
    matches!(
        state,
        "DriverStartTimedOut"
            | "ExecutorsStartTimedOut"
            | "DriverReadyTimedOut"
            | "Failed"
            | "SchedulingFailure"
            | "DriverEvicted"
    )
}

fn run_state(status: &Status, restarts: &RestartConfig) -> RunState {
    let state = present(status).current_state_summary.as_str();
    match state {
        "" | "Submitted" => RunState::Accepted,
        "DriverRequested" => RunState::Submitted,
        "DriverStarted"
        | "DriverReady"
        | "InitializedBelowThresholdExecutors"
        | HEALTHY
        | "RunningWithPartialCapacity"
        | "RunningWithBelowThresholdExecutors" => RunState::Running,
        "ScheduledToRestart" => RunState::Retrying,
        RELEASED | LEFT_ALONE => ended(deciding(status), state == LEFT_ALONE),
        failure if is_failure(failure) && again(status, restarts, failure) => RunState::Retrying,
        // Succeeded, failures without another run, and states of operators to come.
        _ => RunState::Passing,
    }
}

/// The operator's own rule.
fn again(status: &Status, restarts: &RestartConfig, failure: &str) -> bool {
    let is_infrastructure =
        matches!(failure, "DriverStartTimedOut" | "ExecutorsStartTimedOut" | "SchedulingFailure");
    let wants = match restarts.restart_policy.as_str() {
        "Always" | "OnFailure" => true,
        "OnInfrastructureFailure" => is_infrastructure,
        _ => false,
    };
    wants
        && status.current_attempt_summary.attempt_info.id < restarts.max_restart_attempts.unwrap_or(RESTARTS)
}

fn ended(decides: Option<&State>, left_alone: bool) -> RunState {
    let Some(state) = decides else { return RunState::Failed(FailureSign::Other) };
    let name = state.current_state_summary.as_str();
    match name {
        "Succeeded" => RunState::Succeeded,
        // Its driver has come to an end by itself.
        "Failed" => RunState::Failed(failed(state)),
        "DriverEvicted" => RunState::Failed(FailureSign::Evicted),
        // The driver may be pending still, and run when there is room.
        _ if left_alone => RunState::Failed(FailureSign::DriverExists),
        "DriverStartTimedOut" | "ExecutorsStartTimedOut" => RunState::Failed(FailureSign::StartTimedOut),
        "SchedulingFailure" if state.message.contains("exceeded quota") => {
            RunState::Failed(FailureSign::Quota)
        }
        "SchedulingFailure" => RunState::Failed(FailureSign::Unscheduled),
        _ => RunState::Failed(FailureSign::Other),
    }
}

/// How the driver of a failed run ended.
fn failed(state: &State) -> FailureSign {
    match driver(state) {
        Some((sign, _)) => sign,
        None if state.message.starts_with(REMOVED) => FailureSign::DriverLost,
        None => FailureSign::Application,
    }
}

/// What the driver's pod told, where it was seen after its end.
fn driver(state: &State) -> Option<(FailureSign, String)> {
    let status = state.last_observed_driver_status.clone()?;
    match driver::driver(&Pod { status: Some(status), ..Pod::default() }) {
        Driver::Failed(sign, how) => Some((sign, how)),
        _ => None,
    }
}

/// What is shown of a failure.
fn error(state: &State) -> Option<String> {
    let how = driver(state).map(|(_, how)| how);
    let text = how.unwrap_or_else(|| error_line::shown(&state.message));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use spark_router_core::id::Attempt;

    use super::*;

    /// An application that went through these states, each a second after the one before.
    fn application(states: &[Value], restart: &Value) -> Application {
        let state = |(number, state): (usize, &Value)| {
            let mut state = match state {
                Value::String(name) => json!({"currentStateSummary": name, "message": "as it is"}),
                other => other.clone(),
            };
            state["lastTransitionTime"] = json!(format!("2026-01-01T00:00:{number:02}.123456Z"));
            (number.to_string(), state)
        };
        let history: serde_json::Map<_, _> = states.iter().enumerate().map(state).collect();
        let last = history.get(&(states.len().wrapping_sub(1)).to_string()).cloned();
        serde_json::from_value(json!({
            "metadata": {
                "name": "a", "namespace": "spark", "uid": "u",
                "finalizers": ["sparkapplications.spark.apache.org/finalizer", "sparkrouter.dev/outcome"],
                "labels": {
                    "sparkrouter.dev/origin": "hub", "sparkrouter.dev/job-uid": "j", "sparkrouter.dev/attempt": "2",
                },
                "annotations": {
                    "sparkrouter.dev/job-namespace": "team", "sparkrouter.dev/job-name": "daily",
                    "sparkrouter.dev/seq": "7", "sparkrouter.dev/render-hash": "h",
                },
            },
            "spec": {"applicationTolerations": {"restartConfig": restart}},
            "status": {"currentState": last, "stateTransitionHistory": history},
        }))
        .unwrap()
    }

    fn run(states: &[&str]) -> RunState {
        let states: Vec<_> = states.iter().map(|state| json!(state)).collect();
        observation(&application(&states, &Value::Null)).unwrap().run
    }

    #[test]
    fn every_state_is_folded_and_only_two_are_ends() {
        use RunState::{Accepted, Passing, Retrying, Running, Submitted};
        for (state, expected) in [
            ("Submitted", Accepted),
            ("ScheduledToRestart", Retrying),
            ("DriverRequested", Submitted),
            ("DriverStarted", Running),
            ("DriverReady", Running),
            ("InitializedBelowThresholdExecutors", Running),
            ("RunningHealthy", Running),
            ("RunningWithPartialCapacity", Running),
            ("RunningWithBelowThresholdExecutors", Running),
            ("DriverStartTimedOut", Passing),
            ("ExecutorsStartTimedOut", Passing),
            ("DriverReadyTimedOut", Passing),
            ("Succeeded", Passing),
            ("Failed", Passing),
            ("SchedulingFailure", Passing),
            ("DriverEvicted", Passing),
            ("StateOfTomorrow", Passing),
            ("resourcereleased", Passing),
        ] {
            assert_eq!(run(&["Submitted", state]), expected, "{state}");
        }
        assert_eq!(run(&[]), Accepted);
    }

    #[test]
    fn the_last_state_before_an_end_says_what_it_was() {
        use FailureSign::{Application, DriverExists, Evicted, Other, StartTimedOut, Unscheduled};
        let failed = RunState::Failed;
        for (before, released, left_alone) in [
            ("Succeeded", RunState::Succeeded, RunState::Succeeded),
            ("Failed", failed(Application), failed(Application)),
            ("DriverEvicted", failed(Evicted), failed(Evicted)),
            ("DriverStartTimedOut", failed(StartTimedOut), failed(DriverExists)),
            ("ExecutorsStartTimedOut", failed(StartTimedOut), failed(DriverExists)),
            ("DriverReadyTimedOut", failed(Other), failed(DriverExists)),
            ("SchedulingFailure", failed(Unscheduled), failed(DriverExists)),
            // Ended from outside.
            ("RunningHealthy", failed(Other), failed(DriverExists)),
        ] {
            assert_eq!(run(&["Submitted", before, RELEASED]), released, "{before}");
            assert_eq!(run(&["Submitted", before, LEFT_ALONE]), left_alone, "{before}");
            // Its resources were released later.
            let twice = run(&["Submitted", before, LEFT_ALONE, RELEASED]);
            assert_eq!(twice, released, "{before}");
            assert_eq!(left_alone.proves_end(), left_alone != failed(DriverExists));
        }
        assert_eq!(run(&[RELEASED]), failed(Other));
        // A run before this one failed.
        assert_eq!(run(&["Failed", "ScheduledToRestart", "Succeeded", RELEASED]), RunState::Succeeded);
        assert_eq!(run(&["Succeeded", "ScheduledToRestart", "Failed", RELEASED]), failed(Application));
    }

    #[test]
    fn a_failure_that_is_tried_again_is_none() {
        for (policy, most, state, expected) in [
            ("OnFailure", None, "Failed", true),
            ("OnFailure", Some(0), "Failed", false),
            ("OnInfrastructureFailure", None, "Failed", false),
            ("OnInfrastructureFailure", None, "SchedulingFailure", true),
            ("Never", None, "Failed", false),
            ("OnFailure", None, "Succeeded", false),
        ] {
            let restart = json!({"restartPolicy": policy, "maxRestartAttempts": most});
            let seen = observation(&application(&[json!("Submitted"), json!(state)], &restart)).unwrap();
            assert_eq!(seen.run == RunState::Retrying, expected, "{policy} {most:?} {state}");
        }
    }

    #[test]
    fn the_drivers_pod_tells_more_than_the_state() {
        let ended = |code: i32, reason: &str| {
            json!({"phase": "Failed", "containerStatuses": [{
                "name": "spark-kubernetes-driver", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "reason": reason}},
            }]})
        };
        let failed = |message: &str, status: Value| json!({"currentStateSummary": "Failed", "message": message, "lastObservedDriverStatus": status});
        for (state, sign, error) in [
            (
                failed("Driver has failed", ended(1, "Error")),
                FailureSign::Application,
                "the driver ended with exit code 1 (Error)",
            ),
            (
                failed("Driver has failed", ended(137, "OOMKilled")),
                FailureSign::OutOfMemory,
                "the driver ended with exit code 137 (OOMKilled)",
            ),
            (
                failed("Driver removed. This could be", Value::Null),
                FailureSign::DriverLost,
                "Driver removed. This could be",
            ),
            (failed("it failed", json!({"odd": []})), FailureSign::Application, "it failed"),
            (
                json!({"currentStateSummary": "SchedulingFailure", "message": "pods is forbidden: exceeded quota: q"}),
                FailureSign::Quota,
                "pods is forbidden: exceeded quota: q",
            ),
        ] {
            let seen = observation(&application(
                &[json!("Submitted"), json!("DriverRequested"), state.clone(), json!(RELEASED)],
                &Value::Null,
            ))
            .unwrap();
            assert_eq!(seen.run, RunState::Failed(sign), "{state}");
            assert_eq!(seen.error.as_deref(), Some(error));
        }
    }

    #[test]
    fn a_whole_status_is_carried_over() {
        let states = ["Submitted", "DriverRequested", "RunningHealthy", "Succeeded", RELEASED];
        let seen = |many: usize| {
            let states: Vec<_> = states.iter().take(many).map(|state| json!(state)).collect();
            observation(&application(&states, &Value::Null)).unwrap()
        };
        let fresh = seen(1);
        assert!(fresh.held && !fresh.deleting && fresh.error.is_none());
        assert_eq!((fresh.executions, &fresh.application_id, &fresh.driver_pod), (0, &None, &None));
        let running = seen(3);
        assert_eq!((running.executions, running.native_state.as_str()), (1, "RunningHealthy"));
        assert_eq!(running.application_id.as_deref(), Some("a-0"));
        assert_eq!(running.driver_pod.as_deref(), Some("a-0-driver"));
        assert_eq!(running.submitted_at.unwrap().to_string(), "2026-01-01T00:00:01Z");
        assert!(running.terminated_at.is_none());
        let over = seen(5);
        assert_eq!(over.terminated_at.unwrap().to_string(), "2026-01-01T00:00:03Z");
        assert!(over.error.is_none());
        let owner = over.owner.unwrap();
        assert_eq!((owner.job.as_str(), owner.attempt, owner.seq), ("j", Attempt(2), 7));
    }
}
