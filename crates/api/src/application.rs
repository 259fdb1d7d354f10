//! Kubeflow's SparkApplication as the router watches it: metadata and a slim status.
//!
//! Owns no state. Decoding is permissive: an application of a newer operator, or an odd one of somebody else, must never
//! stop a member's watch. The spec is never decoded, and executors are counted while decoding instead of kept, because
//! a thousand of them would be 70 kB an application.

use std::{borrow::Cow, fmt};

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use serde::{Deserialize, Deserializer, de};

use crate::executors::ExecutorCounts;

/// Group and version of the SparkApplications that are routed.
pub const SPARK_APPLICATION_API_VERSION: &str = "sparkoperator.k8s.io/v1beta2";
/// Their kind.
pub const SPARK_APPLICATION_KIND: &str = "SparkApplication";
/// Their group.
pub const SPARK_APPLICATION_GROUP: &str = "sparkoperator.k8s.io";
/// Their version.
pub const SPARK_APPLICATION_VERSION: &str = "v1beta2";
/// Their plural.
pub const SPARK_APPLICATION_PLURAL: &str = "sparkapplications";

/// Group and version of the SparkApplications of Apache's operator.
pub const APACHE_API_VERSION: &str = "spark.apache.org/v1";
/// Their group.
pub const APACHE_GROUP: &str = "spark.apache.org";
/// Their version. Kind and plural are the same as Kubeflow's.
pub const APACHE_VERSION: &str = "v1";

/// A SparkApplication without its spec.
#[derive(Clone, Debug, Deserialize)]
pub struct SparkApplicationView {
    /// Name, uid, labels, annotations, finalizers.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What its operator wrote; none before it wrote anything.
    #[serde(default)]
    pub status: Option<SparkApplicationStatusView>,
}

impl kube::Resource for SparkApplicationView {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        SPARK_APPLICATION_KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        SPARK_APPLICATION_GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        SPARK_APPLICATION_VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        SPARK_APPLICATION_PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The status of a SparkApplication, as far as it is mirrored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SparkApplicationStatusView {
    /// State and error.
    #[serde(default, deserialize_with = "or_default")]
    pub application_state: ApplicationStateView,
    /// Spark's application id.
    #[serde(default)]
    pub spark_application_id: Option<String>,
    /// Id of the last submission.
    #[serde(default, rename = "submissionID")]
    pub submission_id: Option<String>,
    /// Last submission.
    #[serde(default, deserialize_with = "lenient_time")]
    pub last_submission_attempt_time: Option<Time>,
    /// End of the run. Set before the state is final, cleared on a retry.
    #[serde(default, deserialize_with = "lenient_time")]
    pub termination_time: Option<Time>,
    /// The driver.
    #[serde(default, deserialize_with = "or_default")]
    pub driver_info: DriverInfoView,
    /// Submissions that worked, from the operator's own retries.
    #[serde(default)]
    pub execution_attempts: Option<i64>,
    /// All submissions.
    #[serde(default)]
    pub submission_attempts: Option<i64>,
    /// Executors, counted.
    #[serde(default, rename = "executorState", deserialize_with = "count_executors")]
    pub executors: ExecutorCounts,
}

/// State of a SparkApplication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStateView {
    /// The state as written; empty before the first submission.
    #[serde(default, deserialize_with = "or_default")]
    pub state: String,
    /// What went wrong.
    #[serde(default)]
    pub error_message: Option<String>,
}

/// The driver of a SparkApplication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriverInfoView {
    /// Its pod.
    #[serde(default)]
    pub pod_name: Option<String>,
    /// Address of its web UI inside the member.
    #[serde(default, rename = "webUIAddress")]
    pub web_ui_address: Option<String>,
    /// Service of its web UI.
    #[serde(default, rename = "webUIServiceName")]
    pub web_ui_service_name: Option<String>,
    /// Address of its web UI from outside the member.
    #[serde(default, rename = "webUIIngressAddress")]
    pub web_ui_ingress_address: Option<String>,
}

/// An explicit `null`, which Go writes for empty pointers, reads as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A time that cannot be read is left out: it is only shown.
fn lenient_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text: Option<Cow<'de, str>> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()).map(Time))
}

fn count_executors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ExecutorCounts, D::Error> {
    struct Tally;

    impl<'de> de::Visitor<'de> for Tally {
        type Value = ExecutorCounts;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("executors and their states")
        }

        fn visit_unit<E: de::Error>(self) -> Result<ExecutorCounts, E> {
            Ok(ExecutorCounts::default())
        }

        fn visit_none<E: de::Error>(self) -> Result<ExecutorCounts, E> {
            Ok(ExecutorCounts::default())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<ExecutorCounts, D::Error> {
            deserializer.deserialize_map(self)
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<ExecutorCounts, A::Error> {
            let mut counts = ExecutorCounts::default();
            while let Some((de::IgnoredAny, state)) = map.next_entry::<_, Cow<'de, str>>()? {
                let count = match &*state {
                    "PENDING" => &mut counts.pending,
                    "RUNNING" => &mut counts.running,
                    "COMPLETED" => &mut counts.completed,
                    _ => &mut counts.failed,
                };
                *count = count.saturating_add(1);
            }
            Ok(counts)
        }
    }

    deserializer.deserialize_option(Tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_status_is_read_and_executors_are_counted() {
        let view: SparkApplicationView = serde_json::from_value(serde_json::json!({
            "apiVersion": SPARK_APPLICATION_API_VERSION,
            "kind": SPARK_APPLICATION_KIND,
            "metadata": { "name": "a", "uid": "u" },
            "spec": { "anything": ["goes"] },
            "status": {
                "applicationState": { "state": "RUNNING" },
                "sparkApplicationId": "spark-1",
                "submissionID": "s",
                "lastSubmissionAttemptTime": "2026-01-01T00:00:00Z",
                "terminationTime": null,
                "driverInfo": { "podName": "a-driver", "webUIPort": 4040, "webUIAddress": "10.0.0.1:4040" },
                "executorState": { "e1": "RUNNING", "e2": "RUNNING", "e3": "PENDING", "e4": "FAILED", "e5": "UNKNOWN", "e6": "COMPLETED" },
                "executionAttempts": 1,
                "submissionAttempts": 2,
                "fieldOfTomorrow": {},
            },
        }))
        .unwrap();
        let status = view.status.unwrap();
        assert_eq!(status.application_state.state, "RUNNING");
        assert_eq!(status.executors, ExecutorCounts { pending: 1, running: 2, completed: 1, failed: 2 });
        assert_eq!(status.driver_info.pod_name.as_deref(), Some("a-driver"));
        assert_eq!(status.submission_id.as_deref(), Some("s"));
        assert!(status.last_submission_attempt_time.is_some() && status.termination_time.is_none());
    }

    #[test]
    fn odd_and_empty_statuses_are_read_too() {
        for status in [
            serde_json::json!(null),
            serde_json::json!({}),
            serde_json::json!({ "executorState": null, "driverInfo": null, "applicationState": null }),
            serde_json::json!({ "applicationState": { "state": "NEW_STATE" }, "terminationTime": "soon" }),
        ] {
            let object = serde_json::json!({ "metadata": {}, "status": status });
            let from_value: SparkApplicationView = serde_json::from_value(object.clone()).unwrap();
            let from_text: SparkApplicationView = serde_json::from_str(&object.to_string()).unwrap();
            assert_eq!(from_value.status, from_text.status);
        }
    }
}
