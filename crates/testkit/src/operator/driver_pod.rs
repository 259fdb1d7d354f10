//! Driver pods without a kubelet.
//!
//! Purpose: for tests that must see a driver: a real pod with the labels and the owner that spark-submit and the
//! operator give it, whose phase the script sets. Owns the pods that it makes. It must never let a scheduler or another
//! node agent take them: their scheduler does not exist.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use serde_json::json;

use super::application::View;

/// The container that the real operator looks at.
const CONTAINER: &str = "spark-kubernetes-driver";

pub(super) struct DriverPod<'a> {
    api: Api<Pod>,
    view: &'a View,
}

impl<'a> DriverPod<'a> {
    pub(super) fn of(client: Client, view: &'a View) -> Self {
        Self { api: Api::namespaced(client, &view.namespace), view }
    }

    /// False if a pod of that name exists already.
    pub(super) async fn create(&self, submission: &str, application: &str) -> Result<bool, Error> {
        let view = self.view;
        let mut labels: serde_json::Map<_, _> = view
            .labels
            .iter()
            .filter(|(key, _)| !key.starts_with("kueue.x-k8s.io/"))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        for (key, value) in [
            ("spark-role", "driver"),
            ("spark-app-selector", application),
            ("sparkoperator.k8s.io/app-name", &view.name),
            ("sparkoperator.k8s.io/launched-by-spark-operator", "true"),
            ("sparkoperator.k8s.io/submission-id", submission),
        ] {
            labels.insert(key.to_owned(), json!(value));
        }
        let pod = json!({
            "metadata": {
                "name": view.driver, "namespace": view.namespace, "labels": labels,
                "ownerReferences": [{
                    "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "name": view.name,
                    "uid": view.uid, "controller": true, "blockOwnerDeletion": true,
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

    /// Running, or ended with this exit code. A pod that is gone is none of our business.
    pub(super) async fn set(&self, exit_code: Option<u8>) -> Result<(), Error> {
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
        let patch = Patch::Merge(json!({"status": {"phase": phase, "containerStatuses": [container]}}));
        ignore_missing(
            self.api.patch_status(&self.view.driver, &PatchParams::default(), &patch).await.map(drop),
        )
    }

    /// Deletes it and returns when it is gone.
    pub(super) async fn remove(&self) -> Result<(), Error> {
        let now = DeleteParams::default().grace_period(0);
        ignore_missing(self.api.delete(&self.view.driver, &now).await.map(drop))?;
        while self.api.get_metadata_opt(&self.view.driver).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

fn ignore_missing(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}
