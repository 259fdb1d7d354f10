//! When Apache's operator runs an application again, and what it keeps of it.
//!
//! Owns no state.

use serde_json::{Map, Value, json};

/// What keeps an application's pods, or takes the application away, before the router has read how it ended.
const RETENTION: [&str; 3] = ["resourceRetainPolicy", "resourceRetainDurationMillis", "ttlAfterStopMillis"];

/// The restart rules of Kubeflow's `restartPolicy`; none where it never runs again, which is the operator's own default.
pub(super) fn of(policy: Option<&Value>) -> Option<Value> {
    let policy = policy?;
    if policy.get("type").and_then(Value::as_str) != Some("OnFailure") {
        return None;
    }
    // Kubeflow's operator takes no limit for no retry.
    let number = |field: &str| policy.get(field).and_then(Value::as_u64).unwrap_or(0);
    let (failures, submissions) = (number("onFailureRetries"), number("onSubmissionFailureRetries"));
    if failures == 0 && submissions == 0 {
        return None;
    }
    let pause = |field: &str| policy.get(field).and_then(Value::as_u64).unwrap_or(5).saturating_mul(1000);
    Some(json!({
        "restartPolicy": "OnFailure",
        "maxRestartAttempts": failures.saturating_add(submissions),
        "maxRestartOnFailure": failures,
        "maxRestartOnSchedulingFailure": submissions,
        "restartBackoffMillis": pause("onFailureRetryInterval"),
        "restartBackoffMillisForFailure": pause("onFailureRetryInterval"),
        "restartBackoffMillisForSchedulingFailure": pause("onSubmissionFailureRetryInterval"),
    }))
}

/// At its end an application lets go of its pods, and stays itself: that nothing of it runs any more is what its last
/// state is to prove, and the router reads it before it deletes the application.
pub(super) fn keep_nothing(spec: &mut Map<String, Value>) {
    let tolerations = spec.entry("applicationTolerations").or_insert(Value::Null);
    if !tolerations.is_object() {
        *tolerations = Value::Object(Map::new());
    }
    let Some(tolerations) = tolerations.as_object_mut() else { return };
    for field in RETENTION {
        tolerations.remove(field);
    }
    tolerations.insert("resourceRetainPolicy".to_owned(), json!("Never"));
}
