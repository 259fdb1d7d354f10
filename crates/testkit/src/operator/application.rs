//! SparkApplications as the operator sees them.
//!
//! Purpose: reduce an object to what the script needs as soon as it arrives, and spell its status as the real operator
//! does. Owns no state. It must never keep whole objects: tests have thousands.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{ApiResource, GroupVersionKind};
use kube::core::Object;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Options, Script};

/// As it comes over the wire.
pub(super) type Wire = Object<Value, Value>;

pub(super) fn resource() -> ApiResource {
    let gvk = GroupVersionKind::gvk("sparkoperator.k8s.io", "v1beta2", "SparkApplication");
    ApiResource::from_gvk_with_plural(&gvk, "sparkapplications")
}

/// What is kept of an application.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) deleting: bool,
    pub(super) suspend: bool,
    /// Of the spec without `suspend`.
    pub(super) spec_hash: u64,
    pub(super) driver: String,
    pub(super) executors: u32,
    pub(super) restart: Restart,
    pub(super) script: Script,
    pub(super) status: Status,
}

/// `spec.restartPolicy`, with the real operator's meaning of absent fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Restart {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) on_failure_retries: Option<u32>,
    pub(super) on_failure_retry_interval: Option<u64>,
    pub(super) on_submission_failure_retries: Option<u32>,
    pub(super) on_submission_failure_retry_interval: Option<u64>,
}

/// `status`, field by field as the real operator writes it; both times are written as explicit nulls.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) application_state: ApplicationState,
    pub(super) driver_info: DriverInfo,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) executor_state: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) execution_attempts: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) submission_attempts: u32,
    #[serde(rename = "submissionID", skip_serializing_if = "String::is_empty")]
    pub(super) submission_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) spark_application_id: String,
    pub(super) last_submission_attempt_time: Option<Timestamp>,
    pub(super) termination_time: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApplicationState {
    pub(super) state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) error_message: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct DriverInfo {
    #[serde(rename = "podName", skip_serializing_if = "String::is_empty")]
    pub(super) pod_name: String,
    #[serde(rename = "webUIServiceName", skip_serializing_if = "String::is_empty")]
    pub(super) service: String,
    #[serde(rename = "webUIAddress", skip_serializing_if = "String::is_empty")]
    pub(super) address: String,
    #[serde(rename = "webUIPort", skip_serializing_if = "is_zero")]
    pub(super) port: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl View {
    /// `None` for an object without a uid or a version, which no API server sends.
    pub(super) fn of(object: &Wire, options: &Options) -> Option<Self> {
        let spec = &object.spec;
        let name = object.name_any();
        let named = spec
            .pointer("/driver/podName")
            .or_else(|| spec.pointer("/sparkConf/spark.kubernetes.driver.pod.name"));
        let driver = named.and_then(Value::as_str).map_or_else(|| format!("{name}-driver"), str::to_owned);
        let executors = spec.pointer("/executor/instances").and_then(Value::as_u64).unwrap_or(1);
        let status = object.status.as_ref().and_then(|status| Status::deserialize(status).ok());
        Some(Self {
            namespace: object.namespace()?,
            driver,
            name,
            uid: object.uid()?,
            version: object.resource_version()?,
            labels: object.labels().clone(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            suspend: spec.get("suspend").and_then(Value::as_bool).unwrap_or_default(),
            spec_hash: hash(spec),
            executors: u32::try_from(executors).unwrap_or(u32::MAX).min(1000),
            restart: spec
                .get("restartPolicy")
                .and_then(|it| Restart::deserialize(it).ok())
                .unwrap_or_default(),
            script: Script::of(object.annotations(), options),
            status: status.unwrap_or_default(),
        })
    }

    pub(super) fn state(&self) -> &str {
        &self.status.application_state.state
    }

    /// Versions of one resource grow, since Kubernetes 1.35 by promise.
    pub(super) fn newer_than(&self, other: &Self) -> bool {
        let number = |view: &Self| view.version.parse::<u64>().unwrap_or_default();
        number(self) > number(other)
    }

    /// The executors, all in this state.
    pub(super) fn all_executors(&self, state: &str) -> BTreeMap<String, String> {
        let prefix = format!("{}-{}", self.name, self.status.submission_id.get(..8).unwrap_or("0"));
        (1..=self.executors).map(|number| (format!("{prefix}-exec-{number}"), state.to_owned())).collect()
    }
}

/// Equal specs have equal hashes: the order of keys is that of the map.
fn hash(spec: &Value) -> u64 {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("suspend");
        // Free to change since operator 2.5.1.
        fields.remove("timeToLiveSeconds");
    }
    let mut hasher = DefaultHasher::new();
    spec.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ApplicationState, DriverInfo, Status, View, Wire};
    use crate::operator::Options;

    #[test]
    fn the_status_is_spelled_as_the_real_one() {
        let status = Status {
            application_state: ApplicationState { state: "SUBMITTED".into(), ..ApplicationState::default() },
            driver_info: DriverInfo { pod_name: "pi-driver".into(), ..DriverInfo::default() },
            execution_attempts: 1,
            submission_attempts: 1,
            submission_id: "u".into(),
            last_submission_attempt_time: Some("2026-11-20T11:14:35Z".parse().unwrap()),
            ..Status::default()
        };
        let expected = json!({
            "applicationState": {"state": "SUBMITTED"}, "driverInfo": {"podName": "pi-driver"},
            "executionAttempts": 1, "submissionAttempts": 1, "submissionID": "u",
            "lastSubmissionAttemptTime": "2026-11-20T11:14:35Z", "terminationTime": null,
        });
        assert_eq!(serde_json::to_value(&status).unwrap(), expected);
    }

    #[test]
    fn an_object_is_reduced() {
        let wire = |spec: serde_json::Value| -> Wire {
            serde_json::from_value(json!({
                "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
                "metadata": {"name": "pi", "namespace": "jobs", "uid": "u", "resourceVersion": "7"}, "spec": spec,
            }))
            .unwrap()
        };
        let of = |spec| View::of(&wire(spec), &Options::default()).unwrap();
        let plain = of(json!({"executor": {"instances": 3}, "restartPolicy": {"type": "OnFailure"}}));
        assert_eq!((plain.driver.as_str(), plain.executors, plain.state()), ("pi-driver", 3, ""));
        assert_eq!(plain.restart.kind, "OnFailure");
        let suspended = of(
            json!({"executor": {"instances": 3}, "restartPolicy": {"type": "OnFailure"}, "suspend": true}),
        );
        assert!(suspended.suspend && suspended.spec_hash == plain.spec_hash);
        assert_ne!(of(json!({"executor": {"instances": 4}})).spec_hash, plain.spec_hash);
    }
}
