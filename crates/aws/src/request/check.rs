//! Every rule of StartJobRun over a whole request.
//!
//! Owns no state. Finds everything at once: whoever has to mend a template mends it once.

use std::collections::{BTreeMap, BTreeSet};

use spark_router_api::member::emr::EmrGiven;

use super::{
    Classification, JobDriver, Monitoring, Origins, Parts,
    limits::{
        ARGUMENT, CLASSIFICATION, ENTRY_POINT, KEY, LOG_GROUP, LOG_PREFIX, LOG_URI, MOST_ATTEMPTS,
        MOST_CLASSIFICATIONS, MOST_FILES, MOST_PROPERTIES, MOST_TAGS, MOST_TEMPLATE_PARAMETERS, NAME,
        PARAMETERS, PROPERTY_TEXT, RELEASE, ROLE, ROTATION_SIZE, TAG_KEY, TAG_VALUE, TEMPLATE,
        TEMPLATE_PARAMETER, TEMPLATE_VALUE, TOKEN, Text, VIRTUAL_CLUSTER, fault, is_rotation_size,
    },
};
use crate::Problem;

/// Everything that AWS would not take.
pub(super) fn problems(parts: &Parts, origins: &Origins, given: &BTreeSet<EmrGiven>) -> Vec<Problem> {
    let mut check = Check { origins, found: Vec::new() };
    check.text("virtualClusterId", &parts.virtual_cluster_id, VIRTUAL_CLUSTER);
    check.text("clientToken", &parts.client_token, TOKEN);
    check.text("name", &parts.name, NAME);
    check.given(
        "executionRoleArn",
        parts.execution_role_arn.as_deref(),
        given.contains(&EmrGiven::ExecutionRole),
    );
    check.given("releaseLabel", parts.release_label.as_deref(), given.contains(&EmrGiven::ReleaseLabel));
    check.optional("executionRoleArn", parts.execution_role_arn.as_deref(), ROLE);
    check.optional("releaseLabel", parts.release_label.as_deref(), RELEASE);
    match &parts.job_driver {
        Some(driver) => check.driver(driver),
        None if given.contains(&EmrGiven::Driver) => {}
        None => check.missing("jobDriver"),
    }
    check.classifications(&parts.configuration_overrides.application_configuration);
    if let Some(monitoring) = &parts.configuration_overrides.monitoring_configuration {
        check.monitoring(monitoring);
    }
    check.map("tags", &parts.tags, MOST_TAGS, TAG_KEY, TAG_VALUE);
    for key in parts.tags.keys().filter(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        check.say(&format!("tags[{key}]"), "begins with aws:, which belongs to AWS; rename it");
    }
    check.optional("jobTemplateId", parts.job_template_id.as_deref(), TEMPLATE);
    check.map(
        "jobTemplateParameters",
        &parts.job_template_parameters,
        MOST_TEMPLATE_PARAMETERS,
        TEMPLATE_PARAMETER,
        TEMPLATE_VALUE,
    );
    if let Some(policy) = parts.retry_policy_configuration
        && !(1..=MOST_ATTEMPTS).contains(&policy.max_attempts)
    {
        let reason = format!("is {}; EMR on EKS takes 1 to {MOST_ATTEMPTS}: correct it", policy.max_attempts);
        check.say("retryPolicyConfiguration.maxAttempts", reason);
    }
    check.found
}

struct Check<'a> {
    origins: &'a Origins,
    found: Vec<Problem>,
}

impl Check<'_> {
    fn say(&mut self, field: &str, reason: impl Into<String>) {
        self.found.push(Problem::new(self.origins.of(field), reason));
    }

    fn missing(&mut self, field: &str) {
        self.say(field, "is missing; EMR on EKS does not start a job without it: set it");
    }

    fn text(&mut self, field: &str, value: &str, limit: Text) {
        if let Some(reason) = fault(value, limit) {
            self.say(field, reason);
        }
    }

    fn optional(&mut self, field: &str, value: Option<&str>, limit: Text) {
        if let Some(value) = value {
            self.text(field, value, limit);
        }
    }

    /// Exactly one of request and job template has it.
    fn given(&mut self, field: &str, value: Option<&str>, is_given: bool) {
        if value.is_none() && !is_given {
            self.missing(field);
        }
    }

    fn driver(&mut self, driver: &JobDriver) {
        match driver {
            JobDriver::SparkSubmitJobDriver {
                entry_point,
                entry_point_arguments,
                spark_submit_parameters,
            } => {
                const DRIVER: &str = "jobDriver.sparkSubmitJobDriver";
                self.text(&format!("{DRIVER}.entryPoint"), entry_point, ENTRY_POINT);
                for (n, argument) in entry_point_arguments.iter().enumerate() {
                    self.text(&format!("{DRIVER}.entryPointArguments[{n}]"), argument, ARGUMENT);
                }
                let parameters = spark_submit_parameters.as_deref();
                self.optional(&format!("{DRIVER}.sparkSubmitParameters"), parameters, PARAMETERS);
            }
            JobDriver::SparkSqlJobDriver { entry_point, spark_sql_parameters } => {
                const DRIVER: &str = "jobDriver.sparkSqlJobDriver";
                self.text(&format!("{DRIVER}.entryPoint"), entry_point, ENTRY_POINT);
                let parameters = spark_sql_parameters.as_deref();
                self.optional(&format!("{DRIVER}.sparkSqlParameters"), parameters, PARAMETERS);
            }
        }
    }

    fn classifications(&mut self, all: &[Classification]) {
        const FIELD: &str = "configurationOverrides.applicationConfiguration";
        if all.len() > MOST_CLASSIFICATIONS {
            self.say(FIELD, too_many(all.len(), MOST_CLASSIFICATIONS));
        }
        let mut known = BTreeSet::new();
        for Classification { classification, properties } in all {
            let field = format!("{FIELD}[{classification}]");
            self.text(&field, classification, CLASSIFICATION);
            if !known.insert(classification) {
                self.say(&field, "is there twice, and nobody knows which one EMR on EKS takes; merge them");
            }
            self.map(
                &format!("{field}.properties"),
                properties,
                MOST_PROPERTIES,
                PROPERTY_TEXT,
                PROPERTY_TEXT,
            );
        }
    }

    fn monitoring(&mut self, monitoring: &Monitoring) {
        let field = |name: &str| format!("configurationOverrides.monitoringConfiguration.{name}");
        if let Some(s3) = &monitoring.s3_monitoring_configuration {
            self.text(&field("s3MonitoringConfiguration.logUri"), &s3.log_uri, LOG_URI);
            let key = s3.encryption_key_arn.as_deref();
            self.optional(&field("s3MonitoringConfiguration.encryptionKeyArn"), key, KEY);
        }
        if let Some(logs) = &monitoring.cloud_watch_monitoring_configuration {
            self.text(
                &field("cloudWatchMonitoringConfiguration.logGroupName"),
                &logs.log_group_name,
                LOG_GROUP,
            );
            let prefix = logs.log_stream_name_prefix.as_deref();
            self.optional(
                &field("cloudWatchMonitoringConfiguration.logStreamNamePrefix"),
                prefix,
                LOG_PREFIX,
            );
        }
        if let Some(rotation) = &monitoring.container_log_rotation_configuration {
            let size = field("containerLogRotationConfiguration.rotationSize");
            if let Some(reason) = fault(&rotation.rotation_size, ROTATION_SIZE) {
                self.say(&size, reason);
            } else if !is_rotation_size(&rotation.rotation_size) {
                self.say(&size, "is no size between 2KB and 2GB; it is written like 64MB");
            }
            if !(1..=MOST_FILES).contains(&rotation.max_files_to_keep) {
                let reason = format!(
                    "is {}; EMR on EKS takes 1 to {MOST_FILES}: correct it",
                    rotation.max_files_to_keep
                );
                self.say(&field("containerLogRotationConfiguration.maxFilesToKeep"), reason);
            }
        }
        if let Some(managed) = &monitoring.managed_logs {
            let key = managed.encryption_key_arn.as_deref();
            self.optional(&field("managedLogs.encryptionKeyArn"), key, KEY);
        }
    }

    fn map(&mut self, field: &str, entries: &BTreeMap<String, String>, most: usize, key: Text, value: Text) {
        if entries.len() > most {
            self.say(field, too_many(entries.len(), most));
        }
        for (name, text) in entries {
            let entry = format!("{field}[{name}]");
            if let Some(reason) = fault(name, key) {
                self.say(&entry, format!("its key {reason}"));
            }
            self.text(&entry, text, value);
        }
    }
}

fn too_many(count: usize, most: usize) -> String {
    format!("has {count} entries; EMR on EKS takes {most}: remove some")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{RetryPolicy, tests::parts};

    fn found(change: impl FnOnce(&mut Parts)) -> Vec<String> {
        let mut parts = parts();
        change(&mut parts);
        let mut origins = Origins::default();
        origins.say("jobDriver.sparkSubmitJobDriver.entryPoint", "spec.template.spec.mainApplicationFile");
        problems(&parts, &origins, &BTreeSet::new()).iter().map(ToString::to_string).collect()
    }

    fn driver(parts: &mut Parts) -> (&mut String, &mut Vec<String>, &mut Option<String>) {
        match &mut parts.job_driver {
            Some(JobDriver::SparkSubmitJobDriver {
                entry_point,
                entry_point_arguments,
                spark_submit_parameters,
            }) => (entry_point, entry_point_arguments, spark_submit_parameters),
            _ => panic!("another driver"),
        }
    }

    fn monitoring(parts: &mut Parts) -> &mut Monitoring {
        parts.configuration_overrides.monitoring_configuration.as_mut().unwrap()
    }

    #[test]
    fn a_request_within_all_limits_is_taken() {
        assert!(found(|_| {}).is_empty(), "{:?}", found(|_| {}));
    }

    #[test]
    fn every_field_is_checked_and_named() {
        type Change = fn(&mut Parts);
        let many = |n: usize| (0..n).map(|n| (format!("k{n}"), "v".to_owned())).collect::<BTreeMap<_, _>>();
        let cases: Vec<(Change, &str)> = vec![
            (|p| p.virtual_cluster_id = "A".to_owned(), "virtualClusterId: has the character 'A'"),
            (|p| p.client_token = "t".repeat(65), "clientToken: has 65 characters"),
            (|p| p.name = "a b".to_owned(), "name: has the character ' '"),
            (|p| p.execution_role_arn = None, "executionRoleArn: is missing"),
            (|p| p.execution_role_arn = Some("x".repeat(30)), "executionRoleArn: is no role"),
            (|p| p.release_label = None, "releaseLabel: is missing"),
            (|p| p.release_label = Some("emr 7".to_owned()), "releaseLabel: has the character ' '"),
            (|p| p.job_driver = None, "jobDriver: is missing"),
            (
                |p| *driver(p).0 = "a".repeat(257),
                "spec.template.spec.mainApplicationFile: has 257 characters; EMR on EKS takes 1 to 256",
            ),
            (|p| driver(p).1.push("{}".to_owned()), "entryPointArguments[1]: has the character '{'"),
            (|p| driver(p).1.push(String::new()), "entryPointArguments[1]: is blank"),
            (|p| *driver(p).2 = Some("a".repeat(102_401)), "sparkSubmitParameters: has 102401 characters"),
            (
                |p| {
                    let all = &mut p.configuration_overrides.application_configuration;
                    let one = all[0].clone();
                    all.push(one);
                },
                "applicationConfiguration[spark-defaults]: is there twice",
            ),
            (
                |p| {
                    let all = &mut p.configuration_overrides.application_configuration;
                    let one =
                        |n| Classification { classification: format!("c{n}"), properties: BTreeMap::new() };
                    all.extend((0..100).map(one));
                },
                "applicationConfiguration: has 101 entries; EMR on EKS takes 100",
            ),
            (
                |p| monitoring(p).s3_monitoring_configuration.as_mut().unwrap().log_uri = "x".to_owned(),
                "s3MonitoringConfiguration.logUri: is no address in S3",
            ),
            (
                |p| {
                    monitoring(p).s3_monitoring_configuration.as_mut().unwrap().encryption_key_arn =
                        Some("k".repeat(30));
                },
                "s3MonitoringConfiguration.encryptionKeyArn: is no key",
            ),
            (
                |p| {
                    let logs = monitoring(p).cloud_watch_monitoring_configuration.as_mut().unwrap();
                    logs.log_group_name = "a b".to_owned();
                },
                "cloudWatchMonitoringConfiguration.logGroupName: has the character ' '",
            ),
            (
                |p| {
                    let logs = monitoring(p).cloud_watch_monitoring_configuration.as_mut().unwrap();
                    logs.log_stream_name_prefix = Some("p".repeat(257));
                },
                "logStreamNamePrefix: has 257 characters",
            ),
            (
                |p| {
                    let rotation = monitoring(p).container_log_rotation_configuration.as_mut().unwrap();
                    rotation.rotation_size = "1KB".to_owned();
                },
                "rotationSize: is no size between 2KB and 2GB",
            ),
            (
                |p| {
                    let rotation = monitoring(p).container_log_rotation_configuration.as_mut().unwrap();
                    rotation.max_files_to_keep = 51;
                },
                "maxFilesToKeep: is 51; EMR on EKS takes 1 to 50",
            ),
            (
                |p| monitoring(p).managed_logs.as_mut().unwrap().encryption_key_arn = Some("k".repeat(30)),
                "managedLogs.encryptionKeyArn: is no key",
            ),
            (|p| drop(p.tags.insert("aws:x".to_owned(), "v".to_owned())), "tags[aws:x]: begins with aws:"),
            (|p| drop(p.tags.insert("x".to_owned(), " ".to_owned())), "tags[x]: is blank"),
            (|p| drop(p.tags.insert("k".repeat(129), "v".to_owned())), "its key has 129 characters"),
            (|p| p.job_template_id = Some("A".to_owned()), "jobTemplateId: has the character 'A'"),
            (
                |p| drop(p.job_template_parameters.insert("a/b".to_owned(), "v".to_owned())),
                "jobTemplateParameters[a/b]: its key has the character '/'",
            ),
            (
                |p| p.retry_policy_configuration = Some(RetryPolicy { max_attempts: 0 }),
                "retryPolicyConfiguration.maxAttempts: is 0",
            ),
        ];
        for (change, expected) in cases {
            let found = found(change);
            assert_eq!(found.len(), 1, "{expected}: {found:?}");
            assert!(found[0].contains(expected), "{expected}: {found:?}");
        }
        assert!(found(|p| p.tags = many(50))[0].contains("tags: has 50 entries; EMR on EKS takes 49"));
        let found = found(|p| p.configuration_overrides.application_configuration[0].properties = many(101));
        assert!(found[0].contains("[spark-defaults].properties: has 101 entries"), "{found:?}");
    }

    #[test]
    fn everything_is_found_at_once_and_what_a_template_gives_may_be_missing() {
        let found = found(|p| {
            p.name = "a b".to_owned();
            p.release_label = None;
            p.job_driver = None;
        });
        assert_eq!(found.len(), 3, "{found:?}");
        let mut given = parts();
        given.execution_role_arn = None;
        given.release_label = None;
        given.job_driver = None;
        let all = BTreeSet::from([EmrGiven::ExecutionRole, EmrGiven::ReleaseLabel, EmrGiven::Driver]);
        assert!(problems(&given, &Origins::default(), &all).is_empty());
    }
}
