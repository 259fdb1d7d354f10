//! What member and job say to EMR beside the template, and who wins.
//!
//! Owns no state. From the strongest to the weakest: what the member fixes, `spec.emr` of the job, the template and what
//! follows from it, the defaults of the member. Maps are merged entry by entry; logs of one kind are taken as a whole.

use std::collections::BTreeMap;

use spark_router_api::{
    job::emr::{EmrCloudWatchLogs, EmrLogRotation, EmrManagedLogs, EmrParts, EmrS3Logs, EmrSwitch},
    names,
};

use super::{
    classification::{self, SPARK_DEFAULTS},
    properties::Said,
};
use crate::{
    Problem,
    request::{
        Classification, CloudWatchLogs, LogRotation, ManagedLogs, Monitoring, Origins, S3Logs, Switch,
    },
    settings,
};

/// How messages call what the job says.
pub(super) const JOB: &str = "spec.emr";

/// Whoever says something, and how messages call him.
#[derive(Clone, Debug)]
pub(super) struct Layer<'a> {
    pub(super) root: String,
    pub(super) parts: &'a EmrParts,
    pub(super) is_job: bool,
}

/// The three that are written out; the template comes between the second and the third.
#[derive(Clone, Debug)]
pub(super) struct Layers<'a> {
    pub(super) fixed: Layer<'a>,
    pub(super) job: Layer<'a>,
    pub(super) defaults: Layer<'a>,
}

/// Two levels of names.
pub(super) type Classified = BTreeMap<String, BTreeMap<String, Said>>;

impl<'a> Layers<'a> {
    pub(super) fn new(settings: &'a settings::EmrSettings, job: &'a EmrParts) -> Self {
        let member =
            |name: &str, parts| Layer { root: format!("{}.{name}", settings::ROOT), parts, is_job: false };
        Self {
            fixed: member("fixed", &settings.fixed),
            job: Layer { root: JOB.to_owned(), parts: job, is_job: true },
            defaults: member("defaults", &settings.defaults),
        }
    }

    /// From the strongest to the weakest.
    pub(super) fn each(&self) -> [&Layer<'a>; 3] {
        [&self.fixed, &self.job, &self.defaults]
    }

    /// The strongest that says something, with the field's path.
    pub(super) fn first<T>(
        &self,
        field: &str,
        get: impl Fn(&'a EmrParts) -> Option<T>,
    ) -> Option<(T, String)> {
        self.each().into_iter().find_map(|layer| Some((get(layer.parts)?, format!("{}.{field}", layer.root))))
    }

    /// Classifications, between which `ours` stands as the template does.
    pub(super) fn classifications(&self, ours: Classified, problems: &mut Vec<Problem>) -> Classified {
        let mut all = Classified::new();
        let mut add = |layer: Classified| {
            for (name, properties) in layer {
                let known = all.entry(name).or_default();
                for (key, said) in properties {
                    known.entry(key).or_insert(said);
                }
            }
        };
        add(own_classifications(&self.fixed, problems));
        add(own_classifications(&self.job, problems));
        add(ours);
        add(own_classifications(&self.defaults, problems));
        all
    }

    /// Tags, between which those that come from labels stand as the template does; the router's own beat all.
    pub(super) fn tags(
        &self,
        ours: BTreeMap<String, Said>,
        from_labels: BTreeMap<String, Said>,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<String, Said> {
        let mut tags = ours;
        let own = |layer: &Layer<'_>, problems: &mut Vec<Problem>| {
            let mut said = BTreeMap::new();
            for (key, value) in &layer.parts.tags {
                let at = format!("{}.tags[{key}]", layer.root);
                if key.starts_with(names::PREFIX) {
                    problems.push(Problem::new(at, "belongs to the router; rename it"));
                } else {
                    said.insert(key.clone(), Said { value: value.clone(), at });
                }
            }
            said
        };
        let (fixed, job) = (own(&self.fixed, problems), own(&self.job, problems));
        for layer in [fixed, job, from_labels, own(&self.defaults, problems)] {
            for (key, said) in layer {
                tags.entry(key).or_insert(said);
            }
        }
        tags
    }

    /// Logs and web UI.
    pub(super) fn monitoring(&self, origins: &mut Origins) -> Option<Monitoring> {
        const FIELD: &str = "configurationOverrides.monitoringConfiguration";
        let mut say = |field: &str, at: String| origins.say(format!("{FIELD}.{field}"), at);
        let monitoring = Monitoring {
            persistent_app_ui: self
                .first("persistentAppUi", |parts| parts.persistent_app_ui)
                .map(|(switch, _)| on_or_off(switch)),
            s3_monitoring_configuration: self
                .first("monitoring.s3", |parts| parts.monitoring.s3.as_ref())
                .map(|(EmrS3Logs { log_uri, encryption_key_arn }, at)| {
                    say("s3MonitoringConfiguration.logUri", format!("{at}.logUri"));
                    say("s3MonitoringConfiguration.encryptionKeyArn", format!("{at}.encryptionKeyArn"));
                    S3Logs { log_uri: log_uri.clone(), encryption_key_arn: encryption_key_arn.clone() }
                }),
            cloud_watch_monitoring_configuration: self
                .first("monitoring.cloudWatch", |parts| parts.monitoring.cloud_watch.as_ref())
                .map(|(EmrCloudWatchLogs { log_group_name, log_stream_name_prefix }, at)| {
                    say("cloudWatchMonitoringConfiguration.logGroupName", format!("{at}.logGroupName"));
                    say(
                        "cloudWatchMonitoringConfiguration.logStreamNamePrefix",
                        format!("{at}.logStreamNamePrefix"),
                    );
                    CloudWatchLogs {
                        log_group_name: log_group_name.clone(),
                        log_stream_name_prefix: log_stream_name_prefix.clone(),
                    }
                }),
            container_log_rotation_configuration: self
                .first("monitoring.logRotation", |parts| parts.monitoring.log_rotation.as_ref())
                .map(|(EmrLogRotation { rotation_size, max_files_to_keep }, at)| {
                    say("containerLogRotationConfiguration.rotationSize", format!("{at}.rotationSize"));
                    say("containerLogRotationConfiguration.maxFilesToKeep", format!("{at}.maxFilesToKeep"));
                    LogRotation {
                        rotation_size: rotation_size.clone(),
                        max_files_to_keep: *max_files_to_keep,
                    }
                }),
            managed_logs: self.first("monitoring.managed", |parts| parts.monitoring.managed.as_ref()).map(
                |(EmrManagedLogs { allow_aws_to_retain, encryption_key_arn }, at)| {
                    say("managedLogs.encryptionKeyArn", format!("{at}.encryptionKeyArn"));
                    ManagedLogs {
                        allow_aws_to_retain_logs: on_or_off(*allow_aws_to_retain),
                        encryption_key_arn: encryption_key_arn.clone(),
                    }
                },
            ),
        };
        (monitoring != Monitoring::default()).then_some(monitoring)
    }
}

/// What one layer says, as far as it may.
fn own_classifications(layer: &Layer<'_>, problems: &mut Vec<Problem>) -> Classified {
    let mut said = Classified::new();
    for own in &layer.parts.application_configuration {
        let name = &own.classification;
        let path = format!("{}.applicationConfiguration[{name}]", layer.root);
        if name == SPARK_DEFAULTS {
            let reason = "belongs to the translation; write Spark properties into sparkConf of the template";
            problems.push(Problem::new(path, reason));
            continue;
        }
        for (key, value) in &own.properties {
            let at = format!("{path}.properties[{key}]");
            let not_for_jobs = classification::not_for_jobs(name, key).filter(|_| layer.is_job);
            if classification::is_ours(name, key) {
                problems.push(Problem::new(at, "belongs to the router; remove it"));
            } else if let Some(reason) = not_for_jobs {
                problems.push(Problem::new(at, reason));
            } else {
                said.entry(name.clone()).or_default().insert(key.clone(), Said { value: value.clone(), at });
            }
        }
    }
    said
}

/// As the request has them, with where each was said.
pub(super) fn written(all: Classified, origins: &mut Origins) -> Vec<Classification> {
    const FIELD: &str = "configurationOverrides.applicationConfiguration";
    let each = all.into_iter().filter(|(_, properties)| !properties.is_empty());
    each.map(|(classification, properties)| {
        let field = format!("{FIELD}[{classification}]");
        let property = |(key, said): (String, Said)| {
            origins.say(format!("{field}.properties[{key}]"), said.at);
            (key, said.value)
        };
        let properties = properties.into_iter().map(property).collect();
        Classification { classification, properties }
    })
    .collect()
}

fn on_or_off(switch: EmrSwitch) -> Switch {
    match switch {
        EmrSwitch::Enabled => Switch::Enabled,
        EmrSwitch::Disabled => Switch::Disabled,
    }
}
