//! An order and a member to begin with.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spark_router_api::{job::emr::EmrJob, member::emr::EmrContainersBackend};
use spark_router_core::id::{Attempt, HubId, JobKey, JobUid, Namespace, QueueName, RemoteName};

use crate::{
    EmrSettings, Order, Problem, Translation,
    request::{JobDriver, Parts},
    translate,
};

pub(super) const ETL: &str = "arn:aws:iam::123456789012:role/etl";
pub(super) const ANY: &str = "arn:aws:iam::123456789012:role/any";

/// A test's whole input, all of it to be changed.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) template: Value,
    pub(super) emr: Value,
    pub(super) backend: Value,
    pub(super) namespace: &'static str,
    pub(super) start_deadline: Option<std::time::Duration>,
    pub(super) pod_templates_allowed: bool,
}

impl Case {
    /// With `spec` merged into a small Python application.
    pub(super) fn new(spec: Value) -> Self {
        let mut template = json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "spec": { "type": "Python", "sparkVersion": "3.5.6", "mainApplicationFile": "s3://jobs/daily.py" },
        });
        merge(&mut template["spec"], spec);
        Self {
            template,
            emr: Value::Null,
            backend: json!({
                "virtualClusterId": "0a1b2c3d4e5f",
                "region": "eu-central-1",
                "releases": [
                    { "sparkVersion": "3.5", "releaseLabel": "emr-7.13.0-latest" },
                    { "sparkVersion": "4", "releaseLabel": "emr-spark-8.0.0-latest" },
                ],
                "executionRoles": [{ "arn": ETL, "namespaces": ["team-a"] }, { "arn": ANY }],
            }),
            namespace: "team-a",
            start_deadline: None,
            pod_templates_allowed: false,
        }
    }

    pub(super) fn emr(mut self, emr: Value) -> Self {
        self.emr = emr;
        self
    }

    pub(super) fn backend(mut self, patch: Value) -> Self {
        merge(&mut self.backend, patch);
        self
    }

    pub(super) fn metadata(mut self, metadata: Value) -> Self {
        self.template["metadata"] = metadata;
        self
    }

    pub(super) fn translate(&self) -> Result<Translation, Vec<Problem>> {
        let backend: EmrContainersBackend = serde_json::from_value(self.backend.clone()).unwrap();
        let settings = EmrSettings::new(&backend)?;
        let emr: Option<EmrJob> = serde_json::from_value(self.emr.clone()).unwrap();
        let order = Order {
            hub: &HubId::from("hub-1"),
            job: &JobUid::from("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"),
            key: &JobKey { namespace: Namespace::from(self.namespace), name: "daily".to_owned() },
            attempt: Attempt(2),
            queue: &QueueName::from("etl"),
            seq: 7,
            name: &RemoteName::from("daily-udlxjuo67p5h"),
            template: &self.template,
            emr: emr.as_ref(),
            start_deadline: self.start_deadline,
            pod_templates_allowed: self.pod_templates_allowed,
        };
        translate(&order, &settings)
    }

    /// The translation of what is to be taken.
    pub(super) fn taken(&self) -> Translation {
        self.translate().unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// Path and reason of everything for which it is refused.
    pub(super) fn problems(&self) -> Vec<String> {
        let found = self.translate().map(|taken| taken.request.canonical());
        found.expect_err("it was to be refused").iter().map(ToString::to_string).collect()
    }

    /// The one problem that there is.
    pub(super) fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.into_iter().next().unwrap_or_default()
    }
}

/// Merges as `kubectl patch --type merge` does, but for null.
pub(super) fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, patch) => *base = patch,
    }
}

/// Properties of a classification.
pub(super) fn classified(parts: &Parts, name: &str) -> BTreeMap<String, String> {
    let all = &parts.configuration_overrides.application_configuration;
    all.iter().find(|one| one.classification == name).map(|one| one.properties.clone()).unwrap_or_default()
}

/// Options of the driver, as a shell takes them apart.
pub(super) fn options(parts: &Parts) -> Vec<String> {
    let text = match &parts.job_driver {
        Some(JobDriver::SparkSubmitJobDriver { spark_submit_parameters, .. }) => {
            spark_submit_parameters.clone()
        }
        Some(JobDriver::SparkSqlJobDriver { spark_sql_parameters, .. }) => spark_sql_parameters.clone(),
        None => None,
    };
    shlex::split(&text.unwrap_or_default()).unwrap()
}

/// Every Spark property of a request, wherever it is.
pub(super) fn properties(parts: &Parts) -> BTreeMap<String, String> {
    let mut all = classified(parts, "spark-defaults");
    let options = options(parts);
    for pair in options.windows(2).filter(|pair| pair[0] == "--conf") {
        let (key, value) = pair[1].split_once('=').unwrap();
        let twice = all.insert(key.to_owned(), value.to_owned());
        assert_eq!(twice, None, "{key} is said twice");
    }
    all
}
