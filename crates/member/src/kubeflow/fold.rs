//! Folds a SparkApplication of the Kubeflow operator into the router's vocabulary.
//!
//! Owns no state. Only COMPLETED and FAILED are ends; a state that this build does not know is none. Must never read a
//! failure as proof of an end where the operator itself is not sure.

mod texts;

use jiff::Timestamp;
use spark_router_core::{
    id::{RemoteName, RemoteUid},
    observe::{ExecutorCounts, FailureSign, Observation, RunState},
};

use super::view::{Application, RestartPolicy};
use crate::{error_line, operator::marks};

/// What an application shows. `None` for one without name or uid, which no API server sends.
pub(crate) fn observation(application: &Application) -> Option<Observation> {
    let metadata = &application.metadata;
    let status = application.status.clone().unwrap_or_default();
    let native_state = status.application_state.state;
    let error = status.application_state.error_message.filter(|message| !message.is_empty());
    let retry = application.spec.as_ref().map(|spec| &spec.restart_policy);
    let attempts = Attempts {
        executions: status.execution_attempts.unwrap_or(0),
        submissions: status.submission_attempts.unwrap_or(0),
    };
    let time = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| -> Option<Timestamp> {
        time.map(|time| time.0)
    };
    Some(Observation {
        name: RemoteName::new(metadata.name.clone()?),
        uid: RemoteUid::new(metadata.uid.clone()?),
        owner: marks::ownership(metadata),
        deleting: metadata.deletion_timestamp.is_some(),
        held: marks::is_held(metadata),
        suspend: application.spec.as_ref().is_some_and(|spec| spec.suspend),
        run: run_state(&native_state, error.as_deref(), retry, attempts),
        application_id: filled(status.spark_application_id),
        submission_id: filled(status.submission_id),
        submitted_at: time(status.last_submission_attempt_time),
        running_since: None,
        terminated_at: time(status.termination_time),
        executions: u32::try_from(attempts.executions).unwrap_or(0),
        executors: ExecutorCounts {
            pending: status.executors.pending,
            running: status.executors.running,
            completed: status.executors.completed,
            failed: status.executors.failed,
        },
        driver_pod: filled(status.driver_info.pod_name),
        ui_address: filled(status.driver_info.web_ui_ingress_address)
            .or_else(|| filled(status.driver_info.web_ui_address)),
        // Operators put whole outputs of spark-submit here.
        error: error.as_deref().map(error_line::shown),
        native_state,
    })
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Counters of the operator's own retries.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    executions: i64,
    submissions: i64,
}

fn run_state(
    state: &str,
    error: Option<&str>,
    retry: Option<&RestartPolicy>,
    attempts: Attempts,
) -> RunState {
    match state {
        "" | "RESUMING" => RunState::Accepted,
        "SUBMITTED" => RunState::Submitted,
        "RUNNING" => RunState::Running,
        "PENDING_RERUN" | "INVALIDATING" => RunState::Retrying,
        "FAILING"
            if retry.is_some_and(|policy| again(policy, policy.on_failure_retries, attempts.executions)) =>
        {
            RunState::Retrying
        }
        "SUBMISSION_FAILED"
            if retry.is_some_and(|policy| {
                again(policy, policy.on_submission_failure_retries, attempts.submissions)
            }) =>
        {
            RunState::Retrying
        }
        "SUSPENDING" | "SUSPENDED" => RunState::Suspended,
        "COMPLETED" => RunState::Succeeded,
        "FAILED" => RunState::Failed(error.map_or(FailureSign::Other, texts::sign)),
        // SUCCEEDING, FAILING and SUBMISSION_FAILED without retry, UNKNOWN, and states of operators to come.
        _ => RunState::Passing,
    }
}

/// The operator's own rule: no limit means no retry.
fn again(policy: &RestartPolicy, limit: Option<i64>, done: i64) -> bool {
    policy.type_ == "Always" || (policy.type_ == "OnFailure" && limit.is_some_and(|limit| done <= limit))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spark_router_core::id::Attempt;

    use super::*;

    fn application(status: &serde_json::Value) -> Application {
        serde_json::from_value(json!({
            "metadata": {
                "name": "a", "uid": "u", "finalizers": ["sparkrouter.dev/outcome"],
                "labels": {
                    "sparkrouter.dev/origin": "hub", "sparkrouter.dev/job-uid": "j", "sparkrouter.dev/attempt": "2",
                },
                "annotations": {
                    "sparkrouter.dev/job-namespace": "team", "sparkrouter.dev/job-name": "daily",
                    "sparkrouter.dev/seq": "7", "sparkrouter.dev/render-hash": "h",
                },
            },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn every_state_is_folded_and_only_two_are_ends() {
        use RunState::{Accepted, Passing, Retrying, Running, Submitted, Succeeded, Suspended};
        let never = None;
        let twice = Some(RestartPolicy {
            type_: "OnFailure".to_owned(),
            on_failure_retries: Some(1),
            on_submission_failure_retries: Some(1),
        });
        let unlimited = Some(RestartPolicy { type_: "OnFailure".to_owned(), ..RestartPolicy::default() });
        for (state, policy, tries, expected) in [
            ("", &never, 0, Accepted),
            ("RESUMING", &never, 1, Accepted),
            ("SUBMITTED", &never, 1, Submitted),
            ("RUNNING", &never, 1, Running),
            ("SUCCEEDING", &never, 1, Passing),
            ("FAILING", &never, 1, Passing),
            ("FAILING", &twice, 1, Retrying),
            ("FAILING", &twice, 2, Passing),
            ("FAILING", &unlimited, 1, Passing),
            ("SUBMISSION_FAILED", &never, 1, Passing),
            ("SUBMISSION_FAILED", &twice, 1, Retrying),
            ("SUBMISSION_FAILED", &twice, 2, Passing),
            ("PENDING_RERUN", &twice, 1, Retrying),
            ("INVALIDATING", &never, 0, Retrying),
            ("SUSPENDING", &never, 1, Suspended),
            ("SUSPENDED", &never, 1, Suspended),
            ("UNKNOWN", &never, 1, Passing),
            ("STATE_OF_TOMORROW", &never, 1, Passing),
            ("completed", &never, 1, Passing),
            ("COMPLETED", &never, 1, Succeeded),
            ("FAILED", &never, 1, RunState::Failed(FailureSign::Other)),
        ] {
            let attempts = Attempts { executions: tries, submissions: tries };
            let folded = run_state(state, None, policy.as_ref(), attempts);
            assert_eq!(folded, expected, "{state:?} after {tries}");
            assert_eq!(folded.is_terminal(), matches!(state, "COMPLETED" | "FAILED"), "{state:?}");
        }
    }

    #[test]
    fn a_failure_is_what_its_text_says_and_the_text_is_kept() {
        let text = "driver pod not found";
        let status = json!({"applicationState": {"state": "FAILED", "errorMessage": text}});
        let seen = observation(&application(&status)).unwrap();
        assert_eq!(seen.run, RunState::Failed(FailureSign::DriverLost));
        assert_eq!(seen.error.as_deref(), Some(text));
    }

    #[test]
    fn a_whole_status_is_carried_over() {
        let seen = observation(&application(&json!({
            "applicationState": {"state": "RUNNING", "errorMessage": ""},
            "sparkApplicationId": "spark-1", "submissionID": "s", "executionAttempts": 1, "submissionAttempts": 1,
            "lastSubmissionAttemptTime": "2026-01-01T00:00:00Z", "terminationTime": null,
            "driverInfo": {"podName": "a-driver", "webUIAddress": "10.0.0.1:4040", "webUIIngressAddress": ""},
            "executorState": {"e1": "RUNNING", "e2": "PENDING"},
        })))
        .unwrap();
        assert!(seen.held && !seen.deleting && seen.error.is_none());
        assert_eq!(seen.executors, ExecutorCounts { pending: 1, running: 1, completed: 0, failed: 0 });
        assert_eq!(
            (seen.driver_pod.as_deref(), seen.ui_address.as_deref()),
            (Some("a-driver"), Some("10.0.0.1:4040"))
        );
        assert_eq!((seen.executions, seen.native_state.as_str()), (1, "RUNNING"));
        assert!(seen.submitted_at.is_some() && seen.terminated_at.is_none());
        let owner = seen.owner.unwrap();
        assert_eq!((owner.job.as_str(), owner.attempt, owner.seq), ("j", Attempt(2), 7));
        assert_eq!(owner.key.to_string(), "team/daily");
    }

    #[test]
    fn an_object_without_our_marks_has_no_owner() {
        let mut foreign = application(&json!(null));
        foreign
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .insert("sparkrouter.dev/attempt".to_owned(), "x".to_owned());
        assert_eq!(observation(&foreign).unwrap().owner, None);
        foreign.metadata.labels = None;
        assert_eq!(observation(&foreign).unwrap().owner, None);
        foreign.metadata.uid = None;
        assert_eq!(observation(&foreign), None);
    }
}
