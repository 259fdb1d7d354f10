//! A SparkApplication as a member's watch and reads decode it: metadata, the retry policy, whether it is held, the slim
//! status.
//!
//! Owns no state. Decoding is permissive: one odd application must never stop a member's watch. Nothing else of the spec
//! is decoded, so that a member with many applications costs little memory.

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use spark_router_api::application::{
    SPARK_APPLICATION_GROUP, SPARK_APPLICATION_KIND, SPARK_APPLICATION_PLURAL, SPARK_APPLICATION_VERSION,
    SparkApplicationStatusView,
};

/// See the module.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Application {
    /// Name, uid, labels, annotations, finalizers.
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
    /// The parts of the spec that say whether a failure is tried again, and whether it is held.
    #[serde(default)]
    pub(crate) spec: Option<Spec>,
    /// What the operator wrote.
    #[serde(default)]
    pub(crate) status: Option<SparkApplicationStatusView>,
}

/// See [`Application::spec`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) restart_policy: RestartPolicy,
    /// Its operator is to hold it.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) suspend: bool,
}

/// When the operator tries again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RestartPolicy {
    #[serde(default, rename = "type")]
    pub(crate) type_: String,
    #[serde(default)]
    pub(crate) on_failure_retries: Option<i64>,
    #[serde(default)]
    pub(crate) on_submission_failure_retries: Option<i64>,
}

/// What cannot be read counts as absent: it only sharpens a display.
fn or_default<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

impl Resource for Application {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_spec_does_not_stop_the_watch() {
        for (spec, retries) in [
            (
                serde_json::json!({"restartPolicy": {"type": "OnFailure", "onFailureRetries": 2}, "driver": {}}),
                Some(2),
            ),
            (serde_json::json!({"restartPolicy": {"type": 7}}), None),
            (serde_json::json!({"restartPolicy": null}), None),
            (serde_json::json!(null), None),
        ] {
            let object = serde_json::json!({"metadata": {"name": "a"}, "spec": spec});
            let application: Application = serde_json::from_value(object).unwrap();
            assert_eq!(
                application.spec.and_then(|spec| spec.restart_policy.on_failure_retries),
                retries,
                "{spec}"
            );
        }
    }
}
