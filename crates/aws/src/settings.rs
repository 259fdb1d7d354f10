//! What a MemberCluster says of its virtual cluster, read and checked.
//!
//! Owns no state. Plain data: what is on a member's object and wrong in a way that its schema cannot see is found here,
//! before a job meets it.

use std::collections::BTreeSet;

use spark_router_api::{
    job::emr::{EmrClassification, EmrParts},
    member::emr::{
        AssumedRole, EmrAllowedTemplate, EmrContainersBackend, EmrExecutionRole, EmrImages, EmrRelease,
    },
    names,
};

use crate::{Problem, translate::classification};

/// How messages call it.
pub const ROOT: &str = "spec.backend.emrContainers";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmrSettings {
    /// The virtual cluster.
    pub virtual_cluster_id: String,
    /// Its region.
    pub region: String,
    /// Address of the service, where it is not the usual one.
    pub endpoint_url: Option<String>,
    /// Role to work with.
    pub assume_role: Option<AssumedRole>,
    /// Releases by Spark version.
    pub releases: Vec<EmrRelease>,
    /// Roles of job pods, by preference.
    pub execution_roles: Vec<EmrExecutionRole>,
    /// Job templates that may be used.
    pub job_templates: Vec<EmrAllowedTemplate>,
    /// Images that anybody names are passed over.
    pub ignores_images: bool,
    /// Labels whose values become tags.
    pub tag_labels: BTreeSet<String>,
    /// Where jobs are silent.
    pub defaults: EmrParts,
    /// Whatever jobs say.
    pub fixed: EmrParts,
}

impl EmrSettings {
    /// Reads what a member's object says.
    ///
    /// # Errors
    /// Everything that no job could be run with, by its field.
    pub fn new(backend: &EmrContainersBackend) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        for (name, parts) in [("defaults", &backend.defaults), ("fixed", &backend.fixed)] {
            let root = format!("{ROOT}.{name}");
            for own in &parts.application_configuration {
                problems.extend(check_classification(&root, own));
            }
            if let Some(template) = &parts.job_template
                && !backend.job_templates.iter().any(|allowed| allowed.id == template.id)
            {
                problems.push(Problem::new(
                    format!("{root}.jobTemplate.id"),
                    format!("{:?} is not in {ROOT}.jobTemplates; add it there", template.id),
                ));
            }
            for key in parts.tags.keys().filter(|key| key.starts_with(names::PREFIX)) {
                problems
                    .push(Problem::new(format!("{root}.tags[{key}]"), "belongs to the router; rename it"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            virtual_cluster_id: backend.virtual_cluster_id.clone(),
            region: backend.region.clone(),
            endpoint_url: backend.endpoint_url.clone(),
            assume_role: backend.assume_role.clone(),
            releases: backend.releases.clone(),
            execution_roles: backend.execution_roles.clone(),
            job_templates: backend.job_templates.clone(),
            ignores_images: backend.images == Some(EmrImages::Ignore),
            tag_labels: backend.tag_labels.iter().cloned().collect(),
            defaults: backend.defaults.clone(),
            fixed: backend.fixed.clone(),
        })
    }

    /// The release for a Spark version: the longest entry that is the version or a dotted prefix of it.
    pub fn release(&self, spark_version: &str) -> Option<(usize, &EmrRelease)> {
        let fits = |release: &EmrRelease| {
            let rest = spark_version.strip_prefix(release.spark_version.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let all = self.releases.iter().enumerate().filter(|(_, release)| fits(release));
        all.max_by_key(|(_, release)| release.spark_version.len())
    }

    /// The roles that jobs of a namespace may have, by preference.
    pub fn roles<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (usize, &'a EmrExecutionRole)> {
        let all = self.execution_roles.iter().enumerate();
        all.filter(move |(_, role)| is_for(&role.namespaces, namespace))
    }

    /// A job template, if jobs of the namespace may use it.
    pub fn job_template(&self, id: &str, namespace: &str) -> Option<&EmrAllowedTemplate> {
        self.job_templates.iter().find(|known| known.id == id && is_for(&known.namespaces, namespace))
    }
}

fn is_for(namespaces: &[String], namespace: &str) -> bool {
    namespaces.is_empty() || namespaces.iter().any(|one| one == namespace)
}

fn check_classification(root: &str, own: &EmrClassification) -> Vec<Problem> {
    let path = format!("{root}.applicationConfiguration[{}]", own.classification);
    if own.classification == classification::SPARK_DEFAULTS {
        let reason = "belongs to the translation; write Spark properties into spec.defaults.sparkConf or \
                      spec.fixed.sparkConf of the member";
        return vec![Problem::new(path, reason)];
    }
    let is_ours = |key: &&String| classification::is_ours(&own.classification, key);
    let ours = own.properties.keys().filter(is_ours);
    ours.map(|key| Problem::new(format!("{path}.properties[{key}]"), "belongs to the router; remove it"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backend(patch: serde_json::Value) -> EmrContainersBackend {
        let mut base = json!({ "virtualClusterId": "0a1b", "region": "eu-central-1" });
        if let (Some(base), serde_json::Value::Object(patch)) = (base.as_object_mut(), patch) {
            base.extend(patch);
        }
        serde_json::from_value(base).unwrap()
    }

    #[test]
    fn the_longest_release_that_fits_counts() {
        let releases = json!([
            { "sparkVersion": "3", "releaseLabel": "emr-6.9.0-latest" },
            { "sparkVersion": "3.5", "releaseLabel": "emr-7.0.0-latest" },
            { "sparkVersion": "3.5.6", "releaseLabel": "emr-7.13.0-latest" },
        ]);
        let settings = EmrSettings::new(&backend(json!({ "releases": releases }))).unwrap();
        for (version, expected) in [
            ("3.5.6", Some("emr-7.13.0-latest")),
            ("3.5.60", Some("emr-7.0.0-latest")),
            ("3.5.1", Some("emr-7.0.0-latest")),
            ("3.3.0", Some("emr-6.9.0-latest")),
            ("35.1", None),
            ("4.0.1", None),
            ("", None),
        ] {
            let label = settings.release(version).map(|(_, release)| release.release_label.as_str());
            assert_eq!(label, expected, "{version}");
        }
    }

    #[test]
    fn what_no_job_could_be_run_with_is_found_at_once() {
        let parts = json!({
            "applicationConfiguration": [
                { "classification": "spark-defaults", "properties": { "spark.a": "1" } },
                { "classification": "emr-job-submitter", "properties": {
                    "jobsubmitter.label.sparkrouter.dev/origin": "x", "jobsubmitter.container.image": "mine",
                } },
            ],
            "jobTemplate": { "id": "0b" },
            "tags": { "sparkrouter.dev/origin": "x" },
        });
        let problems =
            EmrSettings::new(&backend(json!({ "fixed": parts, "jobTemplates": [{ "id": "0a" }] })));
        let found: Vec<_> = problems.unwrap_err().into_iter().map(|problem| problem.path).collect();
        assert_eq!(
            found,
            [
                "spec.backend.emrContainers.fixed.applicationConfiguration[spark-defaults]",
                "spec.backend.emrContainers.fixed.applicationConfiguration[emr-job-submitter].properties[jobsubmitter.label.sparkrouter.dev/origin]",
                "spec.backend.emrContainers.fixed.jobTemplate.id",
                "spec.backend.emrContainers.fixed.tags[sparkrouter.dev/origin]",
            ]
        );
    }

    #[test]
    fn roles_and_templates_are_for_namespaces() {
        const ETL: &str = "arn:aws:iam::123456789012:role/etl";
        const ANY: &str = "arn:aws:iam::123456789012:role/any";
        let settings = EmrSettings::new(&backend(json!({
            "executionRoles": [{ "arn": ETL, "namespaces": ["team-a"] }, { "arn": ANY }],
            "jobTemplates": [{ "id": "0a", "namespaces": ["team-a"] }, { "id": "0b" }],
        })))
        .unwrap();
        let roles =
            |namespace| settings.roles(namespace).map(|(_, role)| role.arn.as_str()).collect::<Vec<_>>();
        assert_eq!(roles("team-a"), [ETL, ANY]);
        assert_eq!(roles("team-b"), [ANY]);
        assert!(
            settings.job_template("0a", "team-a").is_some() && settings.job_template("0a", "b").is_none()
        );
        assert!(settings.job_template("0b", "b").is_some() && settings.job_template("0c", "b").is_none());
    }
}
