//! A Kubeflow SparkApplication becomes a request to start a job run.
//!
//! Owns no state. Pure: the same order and the same member give the same request to the byte, whoever asks and whenever.
//! Everything that a template says is in the request once, or it is named as a problem or in a note; what EMR might
//! understand otherwise is refused rather than guessed.

pub(crate) mod classification;
mod layers;
mod properties;
mod quote;
mod reserved;
mod rules;
mod scaling;
mod table;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use spark_router_api::{
    job::emr::{EmrDriver, EmrJob, EmrJobTemplate, EmrParts},
    member::emr::{EmrAllowedTemplate, EmrGiven},
    names,
};
use spark_router_core::id::{Attempt, HubId, JobKey, JobUid, QueueName, RemoteName};

use crate::{
    EmrSettings, Note, Problem, Request,
    request::{ConfigurationOverrides, JobDriver, Origins, Parts, RetryPolicy},
    settings, token,
};
use classification::{EMR_DEFAULTS, JOB_SUBMITTER, SPARK_DEFAULTS, START_TIMEOUT, SUBMITTER_LABEL};
use layers::{Classified, JOB, Layers};
use properties::{Placed, Said};
use table::Role;
use walk::Found;

/// How much later than the job's own deadline EMR gives a start up: the router's word is the one that is on record.
const START_GRACE: Duration = Duration::from_mins(1);

/// One attempt of one job, as it was placed.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The hub that starts it.
    pub hub: &'a HubId,
    /// The job.
    pub job: &'a JobUid,
    /// Its place on the hub.
    pub key: &'a JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// The queue that placed it.
    pub queue: &'a QueueName,
    /// The placement's number there.
    pub seq: u64,
    /// The attempt's remote name.
    pub name: &'a RemoteName,
    /// The template (`{apiVersion, kind, metadata, spec}`) with everything that queue and member add to it.
    pub template: &'a Value,
    /// What the job says to EMR on EKS alone.
    pub emr: Option<&'a EmrJob>,
    /// How long its driver may take to run.
    pub start_deadline: Option<Duration>,
    /// Its queue lets it name pod templates.
    pub pod_templates_allowed: bool,
}

/// What an order becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// What is asked of AWS. A tag of it carries the hash.
    pub request: Request,
    /// The hash of the request, to be stored before it is sent.
    pub hash: String,
    /// What is run otherwise than it was said.
    pub notes: Vec<Note>,
}

/// Translates an order.
///
/// # Errors
/// Everything for which this member cannot run it, each with its field.
pub fn translate(order: &Order<'_>, settings: &EmrSettings) -> Result<Translation, Vec<Problem>> {
    let none = EmrJob::default();
    let emr = order.emr.unwrap_or(&none);
    let own = emr.parts();
    let mut work = Work {
        order,
        settings,
        emr,
        layers: Layers::new(settings, &own),
        origins: Origins::default(),
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let parts = work.parts();
    let Work { origins, mut problems, mut notes, .. } = work;
    let (parts, given) = parts;
    let mut request = match Request::new(parts, &origins, &given) {
        Ok(request) => request,
        Err(more) => {
            problems.extend(more);
            return Err(sorted(problems));
        }
    };
    if !problems.is_empty() {
        return Err(sorted(problems));
    }
    let hash = request.hash();
    request.tag_with_hash(&hash);
    notes.sort();
    notes.dedup();
    Ok(Translation { request, hash, notes })
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

struct Work<'a> {
    order: &'a Order<'a>,
    settings: &'a EmrSettings,
    emr: &'a EmrJob,
    layers: Layers<'a>,
    origins: Origins,
    problems: Vec<Problem>,
    notes: Vec<Note>,
}

impl Work<'_> {
    fn problem(&mut self, at: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(Problem::new(at, reason));
    }

    fn parts(&mut self) -> (Parts, BTreeSet<EmrGiven>) {
        let order = self.order;
        let mut found = walk::read(order.template, self.settings.ignores_images);
        found.check_version(order.template);
        let template = self.job_template();
        let given: BTreeSet<_> =
            template.as_ref().map(|(_, allowed)| allowed.gives.iter().copied().collect()).unwrap_or_default();
        self.say_properties(&mut found);
        let execution_role_arn = self.execution_role(&given);
        let release_label = self.release(&found, &given);
        let from_labels = self.tags_of_labels(&found);
        let Found { properties, notes, problems, main_file, main_class, arguments, language, .. } = found;
        self.notes.extend(notes);
        self.problems.extend(problems);
        let mut placed = properties.place();
        self.notes.append(&mut placed.notes);
        self.problems.append(&mut placed.problems);
        let main = Main { file: main_file, class: main_class, arguments, language };
        let job_driver = self.driver(main, &placed, given.contains(&EmrGiven::Driver));
        let application_configuration = {
            let ours = self.our_classifications(placed.defaults);
            let all = self.layers.classifications(ours, &mut self.problems);
            layers::written(all, &mut self.origins)
        };
        let tags = self.layers.tags(self.our_tags(), from_labels, &mut self.problems);
        let tags = tags.into_iter().map(|(key, said)| {
            self.origins.say(format!("tags[{key}]"), said.at);
            (key, said.value)
        });
        let tags = tags.collect();
        let max_attempts = self.emr.max_attempts;
        for (field, at) in [
            ("virtualClusterId", format!("{}.virtualClusterId", settings::ROOT)),
            ("retryPolicyConfiguration.maxAttempts", format!("{JOB}.maxAttempts")),
            ("name", "metadata.name".to_owned()),
            ("clientToken", "metadata.uid".to_owned()),
        ] {
            self.origins.say(field, at);
        }
        let parts = Parts {
            virtual_cluster_id: self.settings.virtual_cluster_id.clone(),
            client_token: token::client_token(order.job, order.attempt, &self.settings.virtual_cluster_id),
            name: order.name.as_str().to_owned(),
            execution_role_arn,
            release_label,
            job_driver,
            configuration_overrides: ConfigurationOverrides {
                application_configuration,
                monitoring_configuration: self.layers.monitoring(&mut self.origins),
            },
            tags,
            job_template_id: template.as_ref().map(|(template, _)| template.id.clone()),
            job_template_parameters: template
                .map(|(template, _)| template.parameters.clone())
                .unwrap_or_default(),
            retry_policy_configuration: max_attempts.map(|max_attempts| RetryPolicy { max_attempts }),
        };
        (parts, given)
    }

    /// The labels of the router on both roles: by them the pods of an attempt are found and its cost is told apart.
    fn our_labels(&self) -> Vec<(&'static str, String)> {
        let order = self.order;
        vec![
            (names::ORIGIN_LABEL, order.hub.as_str().to_owned()),
            (names::JOB_UID_LABEL, order.job.as_str().to_owned()),
            (names::ATTEMPT_LABEL, order.attempt.to_string()),
            (names::QUEUE_LABEL, order.queue.as_str().to_owned()),
            (names::TEAM_LABEL, order.key.namespace.as_str().to_owned()),
        ]
    }

    /// What a run is known by when it is listed: the API filters by neither, but each row carries them.
    fn our_tags(&self) -> BTreeMap<String, Said> {
        let order = self.order;
        let more = [
            (names::JOB_NAMESPACE_ANNOTATION, order.key.namespace.as_str().to_owned()),
            (names::JOB_NAME_ANNOTATION, order.key.name.clone()),
            (names::SEQ_ANNOTATION, order.seq.to_string()),
        ];
        let all = self.our_labels().into_iter().chain(more);
        all.map(|(key, value)| (key.to_owned(), Said { value, at: "metadata.name".to_owned() })).collect()
    }

    /// Tags that a member makes of labels, for the bill.
    fn tags_of_labels(&self, found: &Found) -> BTreeMap<String, Said> {
        let each = self.settings.tag_labels.iter().filter(|key| !key.starts_with(names::PREFIX));
        each.filter_map(|key| Some((key.clone(), found.label(key)?.clone()))).collect()
    }

    /// Properties beside those of the template.
    fn say_properties(&mut self, found: &mut Found) {
        for role in Role::ALL {
            for (label, value) in self.our_labels() {
                let key = role.fill(&format!("spark.kubernetes.{{role}}.label.{label}"));
                found.properties.set(&key, &value, "metadata.name");
            }
            self.pod_template(found, role);
        }
        if let Some(wanted) = &self.emr.vertical_autoscaling {
            for (key, value, at) in scaling::properties(wanted, self.order.key) {
                found.properties.say(&key, &value, &at);
            }
        }
    }

    /// The strongest address of a role's pod template.
    fn pod_template(&mut self, found: &mut Found, role: Role) {
        let key = role.fill("spark.kubernetes.{role}.podTemplateFile");
        let own = |parts: &EmrParts| match role {
            Role::Driver => parts.pod_templates.driver.clone(),
            Role::Executor => parts.pod_templates.executor.clone(),
        };
        let said = |root: &str| format!("{root}.podTemplates.{}", role.as_str());
        let Layers { fixed, job, defaults } = self.layers.clone();
        if own(job.parts).is_some() && !self.order.pod_templates_allowed {
            let reason = "this queue does not allow pod template files; remove it";
            self.problem(said(&job.root), reason);
            return;
        }
        if let Some(layer) = [&fixed, &job].into_iter().find(|layer| own(layer.parts).is_some()) {
            found.properties.remove(&key);
            let value = own(layer.parts).unwrap_or_default();
            found.properties.say(&key, &value, &said(&layer.root));
        } else if let Some(value) = own(defaults.parts) {
            found.properties.fill(&key, &value, &said(&defaults.root));
        }
    }

    /// The job template, if any, as far as jobs of the namespace may use it.
    fn job_template(&mut self) -> Option<(EmrJobTemplate, EmrAllowedTemplate)> {
        let (wanted, at) = self.layers.first("jobTemplate", |parts| parts.job_template.clone())?;
        let namespace = self.order.key.namespace.as_str();
        let Some(allowed) = self.settings.job_template(&wanted.id, namespace).cloned() else {
            let reason = format!(
                "jobs of namespace {namespace} may not use job template {:?} on this member; ask its administrator for an \
                 entry in {}.jobTemplates",
                wanted.id,
                settings::ROOT
            );
            self.problem(format!("{at}.id"), reason);
            return None;
        };
        self.origins.say("jobTemplateId", format!("{at}.id"));
        self.origins.say("jobTemplateParameters", format!("{at}.parameters"));
        for key in wanted.parameters.keys() {
            self.origins.say(format!("jobTemplateParameters[{key}]"), format!("{at}.parameters[{key}]"));
        }
        Some((wanted, allowed))
    }

    fn execution_role(&mut self, given: &BTreeSet<EmrGiven>) -> Option<String> {
        const FIELD: &str = "executionRoleArn";
        let at = format!("{JOB}.executionRoleArn");
        let roles = format!("{}.executionRoles", settings::ROOT);
        let namespace = self.order.key.namespace.as_str();
        let (settings, wanted) = (self.settings, self.emr.execution_role_arn.as_ref());
        if given.contains(&EmrGiven::ExecutionRole) {
            if wanted.is_some() {
                self.problem(at, "the job template gives the execution role; remove it here or there");
            }
            return None;
        }
        let allowed: Vec<_> = settings.roles(namespace).collect();
        let Some(wanted) = wanted else {
            // The request names the field where there is none.
            self.origins.say(FIELD, roles.clone());
            let (n, role) = allowed.first()?;
            self.origins.say(FIELD, format!("{roles}[{n}].arn"));
            return Some(role.arn.clone());
        };
        self.origins.say(FIELD, at.clone());
        if !allowed.iter().any(|(_, role)| role.arn == *wanted) {
            let names: Vec<_> = allowed.iter().map(|(_, role)| role.arn.as_str()).collect();
            let choice = if names.is_empty() {
                format!("it may have none; ask the member's administrator for an entry in {roles}")
            } else {
                format!("it may have {}", names.join(", "))
            };
            self.problem(
                at,
                format!("jobs of namespace {namespace} may not have {wanted} on this member: {choice}"),
            );
        }
        Some(wanted.clone())
    }

    fn release(&mut self, found: &Found, given: &BTreeSet<EmrGiven>) -> Option<String> {
        const FIELD: &str = "releaseLabel";
        let (at, releases) = (format!("{JOB}.releaseLabel"), format!("{}.releases", settings::ROOT));
        let settings = self.settings;
        if given.contains(&EmrGiven::ReleaseLabel) {
            if self.emr.release_label.is_some() {
                self.problem(at, "the job template gives the release; remove it here or there");
            }
            return None;
        }
        if let Some(wanted) = &self.emr.release_label {
            self.origins.say(FIELD, at);
            return Some(wanted.clone());
        }
        self.origins.say(FIELD, format!("{}.spec.sparkVersion", walk::ROOT));
        let version = found.version.as_ref()?;
        if let Some((n, release)) = settings.release(&version.value) {
            self.origins.say(FIELD, format!("{releases}[{n}].releaseLabel"));
            return Some(release.release_label.clone());
        }
        let known: Vec<_> = settings.releases.iter().map(|release| release.spark_version.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let reason = format!(
            "this member has no release for {:?}, only for {known}; ask its administrator for one in {releases}, or name \
             one in {at}",
            version.value
        );
        self.problem(&version.at, reason);
        // Named once is enough: something that is taken stands for it.
        Some("unknown".to_owned())
    }

    /// What to run, and the properties for which there is no room elsewhere.
    fn driver(&mut self, main: Main, placed: &Placed, is_given: bool) -> Option<JobDriver> {
        let Main { file, class, arguments, language } = main;
        let file_at = format!("{}.spec.mainApplicationFile", walk::ROOT);
        if is_given {
            for said in file.iter().chain(&class).chain(&arguments) {
                self.notes.push(Note::new(&said.at, "is not used: the job template says what is run"));
            }
            if let Some(at) = &placed.longest_at {
                let reason = "has no room but on the command line, which the job template gives; shorten it, or say fewer \
                              properties";
                self.problem(at, reason);
            }
            return None;
        }
        if let Some(said) = file.iter().find(|said| said.value.trim_start().starts_with('-')) {
            self.problem(&said.at, "is an option of spark-submit, not a file; name the file to run");
        }
        if language.is_none() {
            let at = format!("{}.spec.type", walk::ROOT);
            self.problem(at, "is missing; it is one of Java, Scala, Python and R");
        }
        let is_sql = self.emr.driver == Some(EmrDriver::SparkSql);
        let needs_class = language.is_some_and(|said| ["Java", "Scala"].contains(&said.value.as_str()));
        if !is_sql && needs_class && class.is_none() {
            let at = format!("{}.spec.mainClass", walk::ROOT);
            self.problem(at, "is missing; EMR on EKS needs it for Java and Scala");
        }
        let mut tokens = Vec::new();
        if let Some(class) = class {
            if is_sql {
                self.problem(&class.at, "a file of SQL statements has no class; remove it");
            } else if let Some(odd) = quote::odd(&class.value) {
                self.problem(&class.at, format!("has {odd:?}, which is in no name of a class"));
            } else {
                tokens.extend(["--class".to_owned(), class.value]);
            }
        }
        tokens.extend(placed.options.iter().cloned());
        // What cannot be written was taken out before.
        let parameters = quote::join(tokens.iter().map(String::as_str)).unwrap_or_default();
        let parameters = (!parameters.is_empty()).then_some(parameters);
        let kind = if is_sql { "jobDriver.sparkSqlJobDriver" } else { "jobDriver.sparkSubmitJobDriver" };
        self.origins.say(format!("{kind}.entryPoint"), file_at.clone());
        let options = if is_sql { "sparkSqlParameters" } else { "sparkSubmitParameters" };
        self.origins.say(format!("{kind}.{options}"), placed.longest_at.clone().unwrap_or_default());
        for (n, said) in arguments.iter().enumerate() {
            self.origins.say(format!("{kind}.entryPointArguments[{n}]"), said.at.clone());
        }
        let entry_point = file.map(|said| said.value).unwrap_or_default();
        if is_sql {
            if let Some(first) = arguments.first() {
                self.problem(&first.at, "a file of SQL statements takes no arguments; remove them");
            }
            return Some(JobDriver::SparkSqlJobDriver { entry_point, spark_sql_parameters: parameters });
        }
        Some(JobDriver::SparkSubmitJobDriver {
            entry_point,
            entry_point_arguments: arguments.into_iter().map(|said| said.value).collect(),
            spark_submit_parameters: parameters,
        })
    }

    /// Classifications that follow from the job itself.
    fn our_classifications(&self, defaults: BTreeMap<String, Said>) -> Classified {
        let own = |value: String, at: &str| Said { value, at: at.to_owned() };
        let labels = self
            .our_labels()
            .into_iter()
            .map(|(label, value)| (format!("{SUBMITTER_LABEL}{label}"), own(value, "metadata.name")));
        let mut all = Classified::from([
            (SPARK_DEFAULTS.to_owned(), defaults),
            (JOB_SUBMITTER.to_owned(), labels.collect()),
        ]);
        if let Some(deadline) = self.order.start_deadline {
            let seconds = deadline.saturating_add(START_GRACE).as_secs().to_string();
            let timeout = BTreeMap::from([(START_TIMEOUT.to_owned(), own(seconds, "spec.deadlines.start"))]);
            all.insert(EMR_DEFAULTS.to_owned(), timeout);
        }
        all
    }
}

/// What of a template says what is run.
struct Main {
    file: Option<Said>,
    class: Option<Said>,
    arguments: Vec<Said>,
    language: Option<Said>,
}
