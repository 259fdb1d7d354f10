//! How long Apache's operator waits for pods that a batch scheduler holds back.
//!
//! Owns no state. Its own times are five minutes each: a job that waits longer in a queue would count as failed. Where
//! the template says a time, that counts.

use serde_json::{Map, Value, json};

/// A job may wait this long in a queue: a week. How long it really may is the router's to say (`spec.deadlines.start`).
const QUEUED: u64 = 7 * 24 * 60 * 60 * 1000;

/// The times that begin to run before all pods have a node.
const TIMES: [&str; 3] =
    ["driverStartTimeoutMillis", "driverReadyTimeoutMillis", "executorStartTimeoutMillis"];

/// Raises the times of a spec whose pods go to a scheduler other than Kubernetes' own.
pub(super) fn raise(spec: &mut Value) {
    let is_queued = spec.get("sparkConf").and_then(Value::as_object).is_some_and(|conf| {
        ["spark.kubernetes.", "spark.kubernetes.driver.", "spark.kubernetes.executor."].iter().any(|start| {
            let name = conf.get(&format!("{start}scheduler.name")).and_then(Value::as_str);
            name.is_some_and(|name| name != "default-scheduler")
        })
    });
    if !is_queued {
        return;
    }
    let times = ["applicationTolerations", "applicationTimeoutConfig"].iter().try_fold(spec, |at, field| {
        let map = at.as_object_mut()?;
        let inner = map.entry(*field).or_insert(Value::Null);
        if inner.is_null() {
            *inner = Value::Object(Map::new());
        }
        Some(inner)
    });
    let Some(times) = times.and_then(Value::as_object_mut) else { return };
    for time in TIMES {
        times.entry(time).or_insert(json!(QUEUED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_waits_in_a_queue_is_waited_for_and_what_is_said_counts() {
        let mut plain = json!({"sparkConf": {"spark.kubernetes.scheduler.name": "default-scheduler"}});
        let before = plain.clone();
        raise(&mut plain);
        assert_eq!(plain, before);
        for key in ["spark.kubernetes.scheduler.name", "spark.kubernetes.driver.scheduler.name"] {
            let mut queued = json!({
                "sparkConf": {key: "yunikorn"},
                "applicationTolerations": {"applicationTimeoutConfig": {"driverStartTimeoutMillis": 5}},
            });
            raise(&mut queued);
            assert_eq!(
                queued["applicationTolerations"]["applicationTimeoutConfig"],
                json!({
                    "driverStartTimeoutMillis": 5, "driverReadyTimeoutMillis": QUEUED,
                    "executorStartTimeoutMillis": QUEUED,
                })
            );
        }
    }
}
