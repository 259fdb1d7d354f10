//! An application of Apache's operator as a member's watch and reads decode it.
//!
//! Owns no state. Decoding is permissive: one odd application must never stop a member's watch. Of the spec only the retry
//! policy is decoded, so that a member with many applications costs little memory.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use spark_router_api::application::{
    APACHE_GROUP, APACHE_VERSION, SPARK_APPLICATION_KIND, SPARK_APPLICATION_PLURAL,
};

/// See the module.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Application {
    /// Name, uid, labels, annotations, finalizers.
    #[serde(default)]
    pub(super) metadata: ObjectMeta,
    /// Whether a failure is tried again.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) spec: Spec,
    /// What the operator wrote.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: Status,
}

/// See [`Application::spec`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) application_tolerations: Tolerations,
}

/// What the operator puts up with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tolerations {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) restart_config: RestartConfig,
}

/// When the operator tries again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RestartConfig {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) restart_policy: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) max_restart_attempts: Option<u64>,
}

/// The status, as far as it is mirrored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) current_state: State,
    /// Every state of this run by its number, which is written as a text.
    #[serde(default, deserialize_with = "numbered")]
    pub(super) state_transition_history: BTreeMap<u64, State>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) current_attempt_summary: Attempt,
}

/// One state.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) current_state_summary: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) last_transition_time: Option<Time>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) message: String,
    /// The status of the driver's pod when it was seen last.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) last_observed_driver_status: Option<k8s_openapi::api::core::v1::PodStatus>,
}

/// The present run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) attempt_info: AttemptInfo,
}

/// Its number, from 0.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct AttemptInfo {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) id: u64,
}

/// What cannot be read counts as absent.
fn or_default<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Entries whose number cannot be read are left out.
fn numbered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, State>, D::Error> {
    let Value::Object(entries) = Value::deserialize(deserializer)? else { return Ok(BTreeMap::new()) };
    let entry = |(number, state): (String, Value)| {
        Some((number.parse().ok()?, serde_json::from_value(state).unwrap_or_default()))
    };
    Ok(entries.into_iter().filter_map(entry).collect())
}

impl Resource for Application {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        SPARK_APPLICATION_KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        APACHE_GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        APACHE_VERSION.into()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_odd_application_does_not_stop_the_watch() {
        for (spec, status) in [
            (json!(null), json!(null)),
            (
                json!({"applicationTolerations": 7}),
                json!({"currentState": [], "stateTransitionHistory": "x"}),
            ),
            (
                json!({"applicationTolerations": {"restartConfig": {"restartPolicy": 1}}}),
                json!({"stateTransitionHistory": {"one": {}, "0": 5}, "currentAttemptSummary": null}),
            ),
        ] {
            let object = json!({"metadata": {"name": "a"}, "spec": spec, "status": status});
            let application: Application = serde_json::from_value(object).unwrap();
            assert_eq!(application.status.current_state.current_state_summary, "", "{spec} {status}");
        }
    }

    #[test]
    fn states_are_in_the_order_of_their_numbers() {
        let history = json!({"10": {"currentStateSummary": "c"}, "9": {"currentStateSummary": "b"}, "2": {"currentStateSummary": "a"}});
        let status: Status = serde_json::from_value(json!({"stateTransitionHistory": history})).unwrap();
        let states: Vec<_> = status
            .state_transition_history
            .values()
            .map(|state| state.current_state_summary.as_str())
            .collect();
        assert_eq!(states, ["a", "b", "c"]);
    }
}
