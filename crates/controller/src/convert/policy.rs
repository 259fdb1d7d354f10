//! What a job's owner decided about its course.
//!
//! Owns no state. A time that cannot be read keeps a new job from being accepted; on a placed one it limits nothing.

use spark_router_api::{
    DurationText, RoutedSparkJob,
    job::{Backoff, OnMemberLost as Written, RetryOn, RetryPolicy},
};
use spark_router_core::policy::{Deadlines, FailureClass, OnMemberLost, Policy, Retry};

use super::amounts::duration;

/// The policy, as far as it can be read.
pub(super) fn policy(job: &RoutedSparkJob) -> Policy {
    let spec = &job.spec;
    let get = |written: Option<&DurationText>| written.and_then(|written| written.get().ok());
    let deadlines = spec.deadlines.as_ref();
    let lost = spec.failover.as_ref().map(|failover| failover.on_member_lost).unwrap_or_default();
    Policy {
        cancel: spec.cancel,
        suspend: spec.suspend,
        deadlines: Deadlines {
            queued: get(deadlines.and_then(|d| d.queued.as_ref())),
            start: get(deadlines.and_then(|d| d.start.as_ref())),
            run: get(deadlines.and_then(|d| d.run.as_ref())),
        },
        retry: spec.retry.as_ref().map(retry).unwrap_or_default(),
        on_member_lost: match lost {
            Written::Wait => OnMemberLost::Wait,
            Written::FenceThenMove => OnMemberLost::FenceThenMove,
            Written::AllowDuplicate => OnMemberLost::AllowDuplicate,
        },
    }
}

/// Reads all times of the policy, for those who only want to know whether they can be read.
///
/// # Errors
/// The field and the value that cannot be read.
pub(super) fn check(job: &RoutedSparkJob) -> Result<(), String> {
    let deadlines = job.spec.deadlines.as_ref();
    let backoff = job.spec.retry.as_ref().and_then(|retry| retry.backoff.as_ref());
    for (written, path) in [
        (deadlines.and_then(|d| d.queued.as_ref()), "spec.deadlines.queued"),
        (deadlines.and_then(|d| d.start.as_ref()), "spec.deadlines.start"),
        (deadlines.and_then(|d| d.run.as_ref()), "spec.deadlines.run"),
        (backoff.and_then(|b| b.initial.as_ref()), "spec.retry.backoff.initial"),
        (backoff.and_then(|b| b.max.as_ref()), "spec.retry.backoff.max"),
    ] {
        written.map(|written| duration(written, path)).transpose()?;
    }
    Ok(())
}

fn retry(written: &RetryPolicy) -> Retry {
    let Backoff { initial, max } = written.backoff.clone().unwrap_or_default();
    let default = Retry::default();
    let get = |written: Option<DurationText>| written.and_then(|written| written.get().ok());
    Retry {
        max_attempts: written.max_attempts,
        on: written.failures.iter().map(|class| failure(*class)).collect(),
        initial: get(initial).unwrap_or(default.initial),
        longest: get(max).unwrap_or(default.longest),
    }
}

fn failure(written: RetryOn) -> FailureClass {
    match written {
        RetryOn::SubmissionFailed => FailureClass::SubmissionFailed,
        RetryOn::Unschedulable => FailureClass::Unschedulable,
        RetryOn::DriverLost => FailureClass::DriverLost,
        RetryOn::ApplicationFailed => FailureClass::ApplicationFailed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn job(spec: &Value) -> RoutedSparkJob {
        let mut object = json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob", "metadata": {"name": "daily"},
            "spec": {"queue": "etl", "template": {"spec": {}}},
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_left_out_asks_for_nothing() {
        assert_eq!(policy(&job(&json!({}))), Policy::default());
        let empty = json!({"failover": {}, "retry": {}, "deadlines": {}, "suspend": false, "cancel": false});
        assert_eq!(policy(&job(&empty)), Policy::default());
    }

    #[test]
    fn every_field_is_read() {
        let read = policy(&job(&json!({
            "failover": {"onMemberLost": "FenceThenMove"}, "suspend": true, "cancel": true,
            "retry": {"maxAttempts": 4, "failures": ["DriverLost"], "backoff": {"initial": "1s", "max": "1m"}},
            "deadlines": {"queued": "2h", "start": "10m", "run": "1h30m"},
        })));
        let expected = Policy {
            cancel: true,
            suspend: true,
            deadlines: Deadlines {
                queued: Some(Duration::from_hours(2)),
                start: Some(Duration::from_mins(10)),
                run: Some(Duration::from_mins(90)),
            },
            retry: Retry {
                max_attempts: 4,
                on: vec![FailureClass::DriverLost],
                initial: Duration::from_secs(1),
                longest: Duration::from_mins(1),
            },
            on_member_lost: OnMemberLost::FenceThenMove,
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_time_that_cannot_be_read_is_named_and_limits_nothing() {
        for (spec, path) in [
            (json!({"deadlines": {"queued": "a day"}}), "spec.deadlines.queued"),
            (json!({"deadlines": {"start": "1"}}), "spec.deadlines.start"),
            (json!({"deadlines": {"run": ""}}), "spec.deadlines.run"),
            (json!({"retry": {"backoff": {"initial": "x"}}}), "spec.retry.backoff.initial"),
            (json!({"retry": {"backoff": {"max": "x"}}}), "spec.retry.backoff.max"),
        ] {
            let why = check(&job(&spec)).unwrap_err();
            assert!(why.starts_with(&format!("{path}: ")), "{why}");
            assert_eq!(policy(&job(&spec)).deadlines, Deadlines::default());
        }
    }
}
