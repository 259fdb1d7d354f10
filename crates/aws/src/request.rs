//! What StartJobRun is asked: plain data, checked when it is made, with a hash that names it.
//!
//! Owns no state. A [`Request`] exists only if AWS's model takes it: neither the SDK nor AWS's own answer would name the
//! field that the user wrote. The hash is stored with a placement and compared by later builds: the written form must
//! never change for a request that says the same.

mod check;
mod limits;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};
use spark_router_api::names;

use crate::Problem;

pub use limits::{MOST_PROPERTIES, PROPERTY, SPARK_PARAMETERS};

/// The body of StartJobRun, with the virtual cluster of its path. Written as AWS writes it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// Where it runs.
    pub virtual_cluster_id: String,
    /// By which AWS knows a repeated start.
    pub client_token: String,
    /// The remote name of the attempt.
    pub name: String,
    /// Role of the job's pods; `None` where a job template gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// Release of EMR; `None` where a job template gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_label: Option<String>,
    /// What to run; `None` where a job template gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_driver: Option<JobDriver>,
    /// Properties and logs.
    pub configuration_overrides: ConfigurationOverrides,
    /// Tags of the job run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Job template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_template_id: Option<String>,
    /// Its parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub job_template_parameters: BTreeMap<String, String>,
    /// Driver attempts by EMR itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy_configuration: Option<RetryPolicy>,
}

/// What to run.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum JobDriver {
    /// A jar, a Python or an R file.
    SparkSubmitJobDriver {
        /// The file.
        entry_point: String,
        /// Its arguments.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        entry_point_arguments: Vec<String>,
        /// Options of spark-submit.
        #[serde(skip_serializing_if = "Option::is_none")]
        spark_submit_parameters: Option<String>,
    },
    /// A file of SQL statements.
    SparkSqlJobDriver {
        /// The file.
        entry_point: String,
        /// Options of spark-sql.
        #[serde(skip_serializing_if = "Option::is_none")]
        spark_sql_parameters: Option<String>,
    },
}

/// Properties and logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationOverrides {
    /// Classifications, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub application_configuration: Vec<Classification>,
    /// Logs and web UI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring_configuration: Option<Monitoring>,
}

/// A classification of properties.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Classification {
    /// Its name.
    pub classification: String,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
}

/// Logs and web UI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// `ENABLED` or `DISABLED`.
    #[serde(rename = "persistentAppUI", skip_serializing_if = "Option::is_none")]
    pub persistent_app_ui: Option<Switch>,
    /// To S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_monitoring_configuration: Option<S3Logs>,
    /// To CloudWatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_watch_monitoring_configuration: Option<CloudWatchLogs>,
    /// In the containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_log_rotation_configuration: Option<LogRotation>,
    /// At AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_logs: Option<ManagedLogs>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

impl Switch {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
        }
    }
}

/// Logs in S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Logs {
    /// Folder.
    pub log_uri: String,
    /// Key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key_arn: Option<String>,
}

/// Logs in CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchLogs {
    /// Log group.
    pub log_group_name: String,
    /// Prefix of the streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream_name_prefix: Option<String>,
}

/// Rotation of logs in the containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRotation {
    /// Size at which a file is closed.
    pub rotation_size: String,
    /// Files to keep.
    pub max_files_to_keep: u32,
}

/// Logs that AWS keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedLogs {
    /// Whether it may.
    #[serde(rename = "allowAWSToRetainLogs")]
    pub allow_aws_to_retain_logs: Switch,
    /// Key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key_arn: Option<String>,
}

/// Driver attempts by EMR itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// The first one included.
    pub max_attempts: u32,
}

/// Where a field of a request was said, in the words of whoever said it. Fields are written as AWS writes them:
/// `tags[team]`, `jobDriver.sparkSubmitJobDriver.entryPointArguments[2]`.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, String>);

impl Origins {
    /// The field was said there.
    pub fn say(&mut self, field: impl Into<String>, at: impl Into<String>) {
        self.0.insert(field.into(), at.into());
    }

    /// Where it was said; the field itself where nobody noted it.
    pub fn of<'a>(&'a self, field: &'a str) -> &'a str {
        self.0.get(field).map_or(field, String::as_str)
    }
}

/// A request that AWS's model takes.
#[derive(Clone, PartialEq, Eq)]
pub struct Request(Parts);

impl Request {
    /// Checks every length, pattern and count. `given` is what a job template gives.
    ///
    /// # Errors
    /// Everything that AWS would not take, each by where it was said.
    pub fn new(
        parts: Parts,
        origins: &Origins,
        given: &BTreeSet<spark_router_api::member::emr::EmrGiven>,
    ) -> Result<Self, Vec<Problem>> {
        let problems = check::problems(&parts, origins, given);
        if problems.is_empty() { Ok(Self(parts)) } else { Err(problems) }
    }

    /// What is asked.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// The request as one text, always the same for the same request: fields in a fixed order, keys of maps sorted.
    pub fn canonical(&self) -> String {
        written(&self.0)
    }

    /// Puts the hash into the tag for it, which the hash itself does not cover.
    pub(crate) fn tag_with_hash(&mut self, hash: &str) {
        self.0.tags.insert(names::RENDER_HASH_ANNOTATION.to_owned(), hash.to_owned());
    }

    /// The first 128 bits, in hex, of SHA-256 over the canonical form without the tag that carries this very hash.
    pub fn hash(&self) -> String {
        let text = if self.0.tags.contains_key(names::RENDER_HASH_ANNOTATION) {
            let mut parts = self.0.clone();
            parts.tags.remove(names::RENDER_HASH_ANNOTATION);
            written(&parts)
        } else {
            self.canonical()
        };
        let mut hex = HEXLOWER.encode(&Sha256::digest(text));
        hex.truncate(32);
        hex
    }
}

fn written(parts: &Parts) -> String {
    // Texts and numbers alone, in structs and sorted maps: there is nothing that JSON could not say.
    serde_json::to_string(parts).unwrap_or_default()
}

/// Without anything that AWS itself calls sensitive: files, arguments, parameters and the values of properties.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("virtual_cluster_id", &self.virtual_cluster_id)
            .field("client_token", &self.client_token)
            .field("name", &self.name)
            .field("execution_role_arn", &self.execution_role_arn)
            .field("release_label", &self.release_label)
            .field("job_driver", &self.job_driver)
            .field("configuration_overrides", &self.configuration_overrides)
            .field("tags", &self.tags.keys())
            .field("job_template_id", &self.job_template_id)
            .field("job_template_parameters", &self.job_template_parameters.keys())
            .field("retry_policy_configuration", &self.retry_policy_configuration)
            .finish()
    }
}

impl fmt::Debug for JobDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::SparkSubmitJobDriver { entry_point: _, entry_point_arguments, spark_submit_parameters } => {
                f.debug_struct("SparkSubmitJobDriver")
                    .field("arguments", &entry_point_arguments.len())
                    .field("parameter_bytes", &length(spark_submit_parameters))
                    .finish_non_exhaustive()
            }
            Self::SparkSqlJobDriver { entry_point: _, spark_sql_parameters } => f
                .debug_struct("SparkSqlJobDriver")
                .field("parameter_bytes", &length(spark_sql_parameters))
                .finish_non_exhaustive(),
        }
    }
}

impl fmt::Debug for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classification")
            .field("classification", &self.classification)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.0).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request with something in every part.
    pub(crate) fn parts() -> Parts {
        let texts = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        Parts {
            virtual_cluster_id: "0a1b2c".to_owned(),
            client_token: "0b1c-1-12345678".to_owned(),
            name: "daily-abc".to_owned(),
            execution_role_arn: Some("arn:aws:iam::123456789012:role/etl".to_owned()),
            release_label: Some("emr-7.13.0-latest".to_owned()),
            job_driver: Some(JobDriver::SparkSubmitJobDriver {
                entry_point: "s3://secret-bucket/main.py".to_owned(),
                entry_point_arguments: vec!["secret-argument".to_owned()],
                spark_submit_parameters: Some("--conf spark.x=secret".to_owned()),
            }),
            configuration_overrides: ConfigurationOverrides {
                application_configuration: vec![Classification {
                    classification: "spark-defaults".to_owned(),
                    properties: texts(&[("spark.b", "secret-value"), ("spark.a", "1")]),
                }],
                monitoring_configuration: Some(Monitoring {
                    persistent_app_ui: Some(Switch::Disabled),
                    s3_monitoring_configuration: Some(S3Logs {
                        log_uri: "s3://logs/".to_owned(),
                        encryption_key_arn: None,
                    }),
                    cloud_watch_monitoring_configuration: Some(CloudWatchLogs {
                        log_group_name: "spark".to_owned(),
                        log_stream_name_prefix: Some("etl".to_owned()),
                    }),
                    container_log_rotation_configuration: Some(LogRotation {
                        rotation_size: "64MB".to_owned(),
                        max_files_to_keep: 5,
                    }),
                    managed_logs: Some(ManagedLogs {
                        allow_aws_to_retain_logs: Switch::Enabled,
                        encryption_key_arn: None,
                    }),
                }),
            },
            tags: texts(&[("team", "a")]),
            job_template_id: Some("0a".to_owned()),
            job_template_parameters: texts(&[("Day", "secret-day")]),
            retry_policy_configuration: Some(RetryPolicy { max_attempts: 2 }),
        }
    }

    #[test]
    fn it_is_written_as_aws_writes_it_and_the_hash_is_stable() {
        let request = Request::new(parts(), &Origins::default(), &BTreeSet::new()).unwrap();
        let expected = [
            r#"{"virtualClusterId":"0a1b2c","clientToken":"0b1c-1-12345678","name":"daily-abc","executionRoleArn":"arn:aws:iam::123456789012:role/etl","releaseLabel":"emr-7.13.0-latest","#,
            r#""jobDriver":{"sparkSubmitJobDriver":{"entryPoint":"s3://secret-bucket/main.py","entryPointArguments":["secret-argument"],"sparkSubmitParameters":"--conf spark.x=secret"}},"#,
            r#""configurationOverrides":{"applicationConfiguration":[{"classification":"spark-defaults","properties":{"spark.a":"1","spark.b":"secret-value"}}],"#,
            r#""monitoringConfiguration":{"persistentAppUI":"DISABLED","s3MonitoringConfiguration":{"logUri":"s3://logs/"},"cloudWatchMonitoringConfiguration":{"logGroupName":"spark","logStreamNamePrefix":"etl"},"#,
            r#""containerLogRotationConfiguration":{"rotationSize":"64MB","maxFilesToKeep":5},"managedLogs":{"allowAWSToRetainLogs":"ENABLED"}}},"#,
            r#""tags":{"team":"a"},"jobTemplateId":"0a","jobTemplateParameters":{"Day":"secret-day"},"retryPolicyConfiguration":{"maxAttempts":2}}"#,
        ];
        assert_eq!(request.canonical(), expected.concat());
        // Stored in placements: a change of it makes every unconfirmed start look changed.
        assert_eq!(request.hash(), "71919e7240e49383abbfc86c146a2b90");
    }

    #[test]
    fn the_hash_names_everything_but_itself() {
        let hash = |parts: Parts| Request(parts).hash();
        let mut tagged = parts();
        tagged.tags.insert(names::RENDER_HASH_ANNOTATION.to_owned(), "x".to_owned());
        assert_eq!(hash(tagged), hash(parts()));
        let changes: [fn(&mut Parts); 5] = [
            |parts| parts.client_token.push('1'),
            |parts| drop(parts.tags.insert("team".to_owned(), "b".to_owned())),
            |parts| parts.job_driver = None,
            |parts| parts.configuration_overrides.application_configuration.clear(),
            |parts| parts.retry_policy_configuration = None,
        ];
        for change in changes {
            let mut changed = parts();
            change(&mut changed);
            assert_ne!(hash(changed.clone()), hash(parts()), "{changed:?}");
        }
    }

    #[test]
    fn what_aws_calls_sensitive_is_not_shown() {
        let shown = format!("{:?}", Request(parts()));
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("spark.b") && shown.contains("daily-abc"), "{shown}");
        let sql = JobDriver::SparkSqlJobDriver {
            entry_point: "secret".to_owned(),
            spark_sql_parameters: Some("secret".to_owned()),
        };
        assert_eq!(format!("{sql:?}"), "SparkSqlJobDriver { parameter_bytes: 6, .. }");
    }
}
