//! The state table.
//!
//! Purpose: say, for an application in a state, what comes next and when. Pure: owns no state, reads no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// How properties say annotations of the driver.
const DRIVER_ANNOTATION: &str = "spark.kubernetes.driver.annotation.";

/// What becomes of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Succeeded.
    Succeed,
    /// The driver exits with 1, in each of the first runs (all of them if nothing else is said).
    Fail,
    /// The first run fails, the next one succeeds, if the restart policy allows one.
    Retry,
    /// Nobody ever looks at it.
    HangEmpty,
    /// The driver stays pending.
    HangRequested,
    /// The driver runs for ever.
    HangRunning,
    /// The driver stays pending until the operator has waited long enough.
    StartTimedOut,
    /// The driver cannot be asked for.
    SchedulingFailure,
    /// The driver's pod is evicted.
    Evicted,
}

impl Script {
    /// The values of the annotation `spark-router.test/script`. Those of [`crate::operator`] that mean the same have the
    /// same names.
    pub const NAMES: [(&str, Self); 10] = [
        ("succeed", Self::Succeed),
        ("fail", Self::Fail),
        ("retry", Self::Retry),
        ("hang-empty", Self::HangEmpty),
        ("hang-submitted", Self::HangRequested),
        ("hang-running", Self::HangRunning),
        ("start-timed-out", Self::StartTimedOut),
        ("scheduling-failure", Self::SchedulingFailure),
        // The nearest that this operator has: its driver cannot be asked for.
        ("submission-failed", Self::SchedulingFailure),
        ("evicted", Self::Evicted),
    ];
}

/// What an application does and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) script: Script,
    step: Duration,
    submit: Duration,
    run: Duration,
    fail_attempts: u64,
    /// Runs after the first one.
    restarts: u64,
}

impl Plan {
    /// `annotations` are the application's own. Those of its driver, among the properties of its spec, count beneath them.
    pub(super) fn of(annotations: &BTreeMap<String, String>, spec: &Value, step: Duration) -> Self {
        let restart = &spec["applicationTolerations"]["restartConfig"];
        let text = |key: &str| {
            let key = format!("spark-router.test/{key}");
            let own = annotations.get(&key).map(String::as_str);
            own.or_else(|| spec["sparkConf"][format!("{DRIVER_ANNOTATION}{key}")].as_str())
        };
        let name = text("script").unwrap_or("succeed");
        let time =
            |key: &str| text(key).and_then(|text| text.parse().ok()).map_or(step, Duration::from_millis);
        let script = Script::NAMES.iter().find(|(known, _)| *known == name);
        let script = script.map_or(Script::SchedulingFailure, |(_, script)| *script);
        let fails_always = script == Script::Fail || text("exit-code").is_some_and(|code| code != "0");
        let fails = if fails_always { u64::MAX } else { u64::from(script == Script::Retry) };
        let restarts = restart["restartPolicy"].as_str().is_some_and(|policy| policy == "OnFailure");
        Self {
            script,
            step,
            submit: time("submit-ms"),
            run: time("run-ms"),
            fail_attempts: text("fail-attempts").and_then(|text| text.parse().ok()).unwrap_or(fails),
            restarts: if restarts { restart["maxRestartAttempts"].as_u64().unwrap_or(3) } else { 0 },
        }
    }

    /// The next state and when it comes; `None`: none, until the application is deleted. `run` is counted from 0.
    pub(super) fn next(self, state: &str, run: u64) -> Option<(Duration, &'static str)> {
        let fails = run < self.fail_attempts;
        let next = match (state, self.script) {
            ("", Script::HangEmpty)
            | ("DriverRequested", Script::HangRequested)
            | ("RunningHealthy", Script::HangRunning) => return None,
            ("", _) => "Submitted",
            ("Submitted", Script::SchedulingFailure) => return Some((self.submit, "SchedulingFailure")),
            ("ScheduledToRestart", Script::SchedulingFailure) => "SchedulingFailure",
            ("Submitted", _) => return Some((self.submit, "DriverRequested")),
            ("ScheduledToRestart", _) => "DriverRequested",
            ("DriverRequested", Script::StartTimedOut) => "DriverStartTimedOut",
            ("DriverRequested", _) => "DriverStarted",
            ("DriverStarted", _) => "DriverReady",
            ("DriverReady", _) => "RunningHealthy",
            ("RunningHealthy", Script::Evicted) => return Some((self.run, "DriverEvicted")),
            ("RunningHealthy", _) if fails => return Some((self.run, "Failed")),
            ("RunningHealthy", _) => return Some((self.run, "Succeeded")),
            ("Succeeded", _) => "ResourceReleased",
            ("Failed" | "SchedulingFailure" | "DriverStartTimedOut" | "DriverEvicted", _) => {
                if run < self.restarts { "ScheduledToRestart" } else { "ResourceReleased" }
            }
            _ => return None,
        };
        Some((self.step, next))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn course(script: &str, restart: &Value) -> Vec<&'static str> {
        let annotations = BTreeMap::from([("spark-router.test/script".to_owned(), script.to_owned())]);
        let spec = json!({"applicationTolerations": {"restartConfig": restart}});
        walk(Plan::of(&annotations, &spec, Duration::ZERO))
    }

    fn walk(plan: Plan) -> Vec<&'static str> {
        let (mut states, mut run) = (Vec::new(), 0);
        while let Some((_, next)) = plan.next(states.last().copied().unwrap_or_default(), run) {
            run += u64::from(next == "ScheduledToRestart");
            states.push(next);
        }
        states
    }

    #[test]
    fn it_follows_the_table() {
        let started = ["Submitted", "DriverRequested", "DriverStarted", "DriverReady", "RunningHealthy"];
        let ending = |end: &'static [&'static str]| [started.as_slice(), end].concat();
        assert_eq!(course("succeed", &Value::Null), ending(&["Succeeded", "ResourceReleased"]));
        assert_eq!(course("fail", &Value::Null), ending(&["Failed", "ResourceReleased"]));
        assert_eq!(course("hang-running", &Value::Null), started);
        assert!(course("hang-empty", &Value::Null).is_empty());
        let restart = json!({"restartPolicy": "OnFailure", "maxRestartAttempts": 1});
        let again = ["Failed", "ScheduledToRestart", "DriverRequested", "DriverStarted", "DriverReady"];
        let again = [again.as_slice(), &["RunningHealthy", "Succeeded", "ResourceReleased"]].concat();
        assert_eq!(course("retry", &restart), [started.as_slice(), &again].concat());
        assert_eq!(
            course("start-timed-out", &Value::Null),
            ["Submitted", "DriverRequested", "DriverStartTimedOut", "ResourceReleased"]
        );
    }
    #[test]
    fn annotations_of_the_driver_count_beneath_its_own() {
        let driver = |pairs: &[(&str, &str)]| {
            let key = |key| format!("spark.kubernetes.driver.annotation.spark-router.test/{key}");
            let conf: serde_json::Map<_, _> =
                pairs.iter().map(|(name, value)| (key(name), json!(value))).collect();
            json!({"sparkConf": conf, "applicationTolerations": {
                "restartConfig": {"restartPolicy": "OnFailure", "maxRestartAttempts": 2},
            }})
        };
        let none = BTreeMap::new();
        let failed = driver(&[("exit-code", "1"), ("run-ms", "40")]);
        let plan = Plan::of(&none, &failed, Duration::ZERO);
        assert_eq!(plan.next("RunningHealthy", 7), Some((Duration::from_millis(40), "Failed")));
        let own = BTreeMap::from([("spark-router.test/exit-code".to_owned(), "0".to_owned())]);
        assert!(walk(Plan::of(&own, &failed, Duration::ZERO)).contains(&"Succeeded"));
        let once = driver(&[("fail-attempts", "1")]);
        let states = walk(Plan::of(&none, &once, Duration::ZERO));
        let ends = states.iter().filter(|state| matches!(**state, "Failed" | "Succeeded"));
        assert_eq!(ends.copied().collect::<Vec<_>>(), ["Failed", "Succeeded"]);
    }
}
