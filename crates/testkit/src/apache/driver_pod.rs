//! Driver pods without a kubelet.
//!
//! Purpose: a real pod with the labels that Spark gives it: those of its properties and the operator's own, and none of the
//! application's metadata. Owns the pods that it makes. It must never let a scheduler take them: theirs does not exist.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Error, ResourceExt as _};
use serde_json::{Map, Value, json};

use super::Wire;

const CONTAINER: &str = "spark-kubernetes-driver";
const LABEL: &str = "spark.operator/spark-app-name";

pub(super) struct DriverPods<'a> {
    api: Api<Pod>,
    application: &'a Wire,
}

impl<'a> DriverPods<'a> {
    pub(super) fn of(client: Client, application: &'a Wire) -> Self {
        let namespace = application.namespace().unwrap_or_default();
        Self { api: Api::namespaced(client, &namespace), application }
    }

    /// Makes it, or finds it made before. Returns whether it was made now.
    pub(super) async fn create(&self, application_id: &str) -> Result<bool, Error> {
        let application = self.application;
        let conf = application.spec.get("sparkConf").and_then(Value::as_object).into_iter().flatten();
        let mut labels: Map<String, Value> = conf
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("spark.kubernetes.driver.label.")?.to_owned(), value.clone()))
            })
            .collect();
        let name = application.name_any();
        for (key, value) in
            [(LABEL, name.as_str()), ("spark-role", "driver"), ("spark-app-selector", application_id)]
        {
            labels.insert(key.to_owned(), json!(value));
        }
        let pod = json!({
            "metadata": {
                "name": format!("{application_id}-driver"), "labels": labels,
                "ownerReferences": [{
                    "apiVersion": "spark.apache.org/v1", "kind": "SparkApplication", "name": name,
                    "uid": application.uid(), "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "schedulerName": "scripted-operator", "restartPolicy": "Never",
                "containers": [{"name": CONTAINER, "image": "none"}],
            },
        });
        let pod = serde_json::from_value(pod).map_err(Error::SerdeError)?;
        match self.api.create(&PostParams::default(), &pod).await {
            Ok(_) => Ok(true),
            Err(Error::Api(status)) if status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Running, or ended with this exit code; returns the status that it has then. A pod that is gone has none.
    pub(super) async fn set(&self, application_id: &str, exit_code: Option<u8>) -> Result<Value, Error> {
        let (phase, state) = match exit_code {
            None => ("Running", json!({"running": {"startedAt": jiff::Timestamp::now()}})),
            Some(code) => (
                if code == 0 { "Succeeded" } else { "Failed" },
                json!({"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }}}),
            ),
        };
        let container = json!({
            "name": CONTAINER, "image": "none", "imageID": "", "restartCount": 0, "ready": exit_code.is_none(),
            "state": state,
        });
        let status = json!({"phase": phase, "containerStatuses": [container]});
        let patch = Patch::Merge(json!({"status": status}));
        let name = format!("{application_id}-driver");
        match self.api.patch_status(&name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(status),
            Err(Error::Api(answer)) if answer.code == 404 => Ok(Value::Null),
            Err(error) => Err(error),
        }
    }

    /// Deletes all of the application and returns when they are gone.
    pub(super) async fn remove(&self) -> Result<(), Error> {
        let ours = ListParams::default().labels(&format!("{LABEL}={}", self.application.name_any()));
        loop {
            let pods = self.api.list(&ours).await?.items;
            if pods.is_empty() {
                return Ok(());
            }
            for pod in pods {
                match self.api.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await {
                    Ok(_) => {}
                    Err(Error::Api(answer)) if answer.code == 404 => {}
                    Err(error) => return Err(error),
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
