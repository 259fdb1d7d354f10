//! The pods of a Spark application, as Spark 4.0 makes them.
//!
//! Purpose: render the driver and its executors from a [`Submission`] and the pod templates that the operator wrote.
//! Owns no state. It must never read a clock or an API server: the same input gives the same pods.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec, PodTemplate,
    ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::volumes::{self, Map};
use super::{Submission, sizes};

/// What the stand-in says it is; the router must not care.
const SPARK_VERSION: &str = "4.0.1";

/// `SPARK_CONF_DIR` of driver and executors.
const CONF_FOLDER: &str = "/opt/spark/conf";

const DRIVER_PORT: i32 = 7078;
const BLOCK_MANAGER_PORT: i32 = 7079;

/// One Spark application on its way: everything its pods have in common.
#[derive(Debug, Clone)]
pub(super) struct Application {
    pub(super) submission: Submission,
    /// `spark-<32 hex>`: the label `spark-app-selector`.
    pub(super) id: String,
    /// The start of the executors' names.
    pub(super) prefix: String,
    pub(super) namespace: String,
    pub(super) templates: Templates,
}

/// The pod templates of one submission.
#[derive(Debug, Clone, Default)]
pub(super) struct Templates {
    pub(super) driver: Pod,
    pub(super) executor: Pod,
}

impl Templates {
    /// Reads the files that the submission names and removes those of the operator, which does so itself only when it
    /// comes to the application's end.
    pub(super) fn take(submission: &Submission) -> Result<Self, String> {
        let templates = Self { driver: read(submission, "driver")?, executor: read(submission, "executor")? };
        for role in ["driver", "executor"] {
            let folder = path(submission, role).and_then(|path| Path::new(path).parent());
            if let Some(folder) = folder.filter(|folder| folder.parent() == Some(Path::new(super::TEMPLATES)))
            {
                // Both files are in one folder: the second time there is nothing left.
                let _ = fs::remove_dir_all(folder);
            }
        }
        Ok(templates)
    }
}

fn path<'a>(submission: &'a Submission, role: &str) -> Option<&'a str> {
    submission.conf(&format!("spark.kubernetes.{role}.podTemplateFile"))
}

fn read(submission: &Submission, role: &str) -> Result<Pod, String> {
    let Some(path) = path(submission, role) else { return Ok(Pod::default()) };
    let text =
        fs::read_to_string(path).map_err(|error| format!("can't read the pod template {path}: {error}"))?;
    template(&text)
}

impl Application {
    /// `unique` is 32 hexadecimal digits that no other application has.
    pub(super) fn new(submission: Submission, unique: &str, templates: Templates) -> Result<Self, String> {
        if unique.len() < 32 {
            return Err("an application id needs 32 digits".to_owned());
        }
        let namespace = submission.conf("spark.kubernetes.namespace").unwrap_or("default").to_owned();
        let short = unique.get(..16).unwrap_or(unique);
        let name = format!("{}-{short}", submission.name);
        let prefix = match submission.conf("spark.kubernetes.executor.podNamePrefix") {
            Some(given) => given.to_owned(),
            None => clean(&name),
        };
        Ok(Self { id: format!("spark-{unique}"), prefix, namespace, submission, templates })
    }

    /// The 32 digits of the application's id.
    fn unique(&self) -> &str {
        self.id.strip_prefix("spark-").unwrap_or(&self.id)
    }

    /// The digits in the names of what belongs to the application.
    fn short(&self) -> &str {
        self.unique().get(..16).unwrap_or_default()
    }

    /// The name of the driver pod.
    pub(super) fn driver_name(&self) -> String {
        let given = self.submission.conf("spark.kubernetes.driver.pod.name");
        given.map_or_else(|| format!("{}-driver", self.prefix), str::to_owned)
    }

    /// How many executors Spark asks for at its start.
    pub(super) fn executors(&self) -> Result<u32, String> {
        let number = |key: &str| {
            let text = self.submission.conf(key);
            text.map(|text| text.parse::<u32>().map_err(|_| format!("{key} is no number: {text}")))
                .transpose()
        };
        let instances = number("spark.executor.instances")?;
        if self.submission.conf("spark.dynamicAllocation.enabled") != Some("true") {
            return Ok(instances.unwrap_or(2));
        }
        let least = number("spark.dynamicAllocation.minExecutors")?.unwrap_or(0);
        let initial = number("spark.dynamicAllocation.initialExecutors")?.unwrap_or(0);
        Ok(least.max(initial).max(instances.unwrap_or(0)))
    }

    /// The driver pod; `overrides` are annotations that win over those of the submission.
    pub(super) fn driver(&self, overrides: &[(String, String)]) -> Result<Pod, String> {
        let mut pod = self.pod(&self.templates.driver, "driver", &self.driver_name())?;
        pod.metadata.annotations.get_or_insert_default().extend(overrides.iter().cloned());
        let spec = pod.spec.get_or_insert_default();
        let container = container(spec, "spark-kubernetes-driver");
        let mut arguments =
            vec!["driver".to_owned(), "--properties-file".into(), "/opt/spark/conf/spark.properties".into()];
        if let Some(class) = self.submission.driver_class() {
            arguments.extend(["--class".to_owned(), class.to_owned()]);
        }
        arguments.push(self.submission.main.clone());
        arguments.extend(self.submission.arguments.iter().cloned());
        container.args = Some(arguments);
        let ports =
            [("driver-rpc-port", DRIVER_PORT), ("blockmanager", BLOCK_MANAGER_PORT), ("spark-ui", 4040)];
        container.ports = Some(ports.map(|(name, port)| container_port(name, port)).into());
        let environment = container.env.get_or_insert_default();
        environment.push(variable("SPARK_APPLICATION_ID", &self.id));
        environment.push(field("SPARK_DRIVER_BIND_ADDRESS", "status.podIP"));
        environment.push(variable("SPARK_CONF_DIR", CONF_FOLDER));
        environment.extend(self.submission.confs("spark.kubernetes.driverEnv.").map(|(k, v)| variable(k, v)));
        let index = self::index(spec, "spark-kubernetes-driver");
        if path(&self.submission, "executor").is_some() {
            let map = Map {
                volume: "pod-template-volume",
                path: "/opt/spark/pod-template",
                name: format!("{}-driver-podspec-conf-map", self.prefix),
                items: &[("podspec-configmap-key", "pod-spec-template.yml", None)],
            };
            map.add(spec, index);
        }
        let map = Map {
            volume: "spark-conf-volume-driver",
            path: CONF_FOLDER,
            name: format!("spark-drv-{}-conf-map", self.short()),
            items: &[("spark.properties", "spark.properties", Some(0o644))],
        };
        map.add(spec, index);
        Ok(pod)
    }

    /// Executor number `index` (from 1) of the driver with this uid.
    pub(super) fn executor(&self, index: u32, driver_uid: &str) -> Result<Pod, String> {
        let mut pod =
            self.pod(&self.templates.executor, "executor", &format!("{}-exec-{index}", self.prefix))?;
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert("spark-exec-id".into(), index.to_string());
        labels.insert("spark-exec-resourceprofile-id".into(), "0".into());
        pod.metadata.owner_references.get_or_insert_default().push(OwnerReference {
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: self.driver_name(),
            uid: driver_uid.to_owned(),
            controller: Some(true),
            ..OwnerReference::default()
        });
        let memory = self.submission.conf("spark.executor.memory").unwrap_or("1g").to_owned();
        let cores = self.submission.conf("spark.executor.cores").unwrap_or("1").to_owned();
        let driver =
            format!("spark://CoarseGrainedScheduler@{}-driver-svc.{}.svc", self.prefix, self.namespace);
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = pod.metadata.name.as_deref().map(host);
        let container = container(spec, "spark-kubernetes-executor");
        container.args = Some(vec!["executor".into()]);
        container.ports = Some(vec![container_port("blockmanager", BLOCK_MANAGER_PORT)]);
        let environment = container.env.get_or_insert_default();
        for (name, value) in [
            ("SPARK_DRIVER_URL", format!("{driver}:{DRIVER_PORT}").as_str()),
            ("SPARK_EXECUTOR_CORES", &cores),
            ("SPARK_EXECUTOR_MEMORY", &memory),
            ("SPARK_APPLICATION_ID", &self.id),
            ("SPARK_CONF_DIR", CONF_FOLDER),
            ("SPARK_EXECUTOR_ID", &index.to_string()),
            ("SPARK_RESOURCE_PROFILE_ID", "0"),
        ] {
            environment.push(variable(name, value));
        }
        environment.push(field("SPARK_EXECUTOR_POD_IP", "status.podIP"));
        environment.push(field("SPARK_EXECUTOR_POD_NAME", "metadata.name"));
        environment.extend(self.submission.confs("spark.executorEnv.").map(|(k, v)| variable(k, v)));
        let map = Map {
            volume: "spark-conf-volume-exec",
            path: CONF_FOLDER,
            name: format!("spark-exec-{}-conf-map", self.short()),
            items: &[],
        };
        let index = self::index(spec, "spark-kubernetes-executor");
        map.add(spec, index);
        Ok(pod)
    }

    /// What driver and executors have in common. Confs win over the template, Spark's own labels over both.
    fn pod(&self, template: &Pod, role: &str, name: &str) -> Result<Pod, String> {
        let submission = &self.submission;
        let mut pod = template.clone();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = Some(self.namespace.clone());
        let labels = pod.metadata.labels.get_or_insert_default();
        extend(labels, submission.confs(&format!("spark.kubernetes.{role}.label.")));
        extend(
            labels,
            [
                ("spark-app-selector", self.id.as_str()),
                ("spark-app-name", &label(&submission.name)),
                ("spark-role", role),
                ("spark-version", SPARK_VERSION),
            ],
        );
        let annotations = pod.metadata.annotations.get_or_insert_default();
        extend(annotations, submission.confs(&format!("spark.kubernetes.{role}.annotation.")));

        let image = submission
            .conf(&format!("spark.kubernetes.{role}.container.image"))
            .or_else(|| submission.conf("spark.kubernetes.container.image"))
            .ok_or_else(|| format!("Must specify the {role} container image"))?;
        let spec = pod.spec.get_or_insert_default();
        spec.restart_policy = Some("Never".into());
        spec.termination_grace_period_seconds.get_or_insert(30);
        let selector = spec.node_selector.get_or_insert_default();
        extend(selector, submission.confs("spark.kubernetes.node.selector."));
        extend(selector, submission.confs(&format!("spark.kubernetes.{role}.node.selector.")));
        let scheduler = submission.conf(&format!("spark.kubernetes.{role}.scheduler.name"));
        if let Some(name) = scheduler.or_else(|| submission.conf("spark.kubernetes.scheduler.name")) {
            spec.scheduler_name = Some(name.to_owned());
        }
        let account = submission
            .conf(&format!("spark.kubernetes.authenticate.{role}.serviceAccountName"))
            .or_else(|| submission.conf("spark.kubernetes.authenticate.driver.serviceAccountName"));
        // Where an executor's template has the account by its deprecated name, Spark leaves it alone.
        let is_given = role == "executor" && spec.service_account.is_some();
        if let Some(account) = account.filter(|_| !is_given) {
            spec.service_account_name = Some(account.to_owned());
            spec.service_account = Some(account.to_owned());
        }
        let container = container(spec, &format!("spark-kubernetes-{role}"));
        container.image = Some(image.to_owned());
        container.image_pull_policy =
            submission.conf("spark.kubernetes.container.image.pullPolicy").map(str::to_owned);
        container.resources = Some(resources(submission, role)?);
        container.env.get_or_insert_default().push(variable("SPARK_USER", "spark"));
        let index = self::index(spec, &format!("spark-kubernetes-{role}"));
        let folders = volumes::local_folders(spec, index, self.unique());
        spec.containers[index].env.get_or_insert_default().push(variable("SPARK_LOCAL_DIRS", &folders));
        Ok(pod)
    }
}

/// A pod template file, as the operator writes it (a `PodTemplateSpec`, which has the fields of a pod).
fn template(yaml: &str) -> Result<Pod, String> {
    let value: serde_json::Value =
        serde_saphyr::from_str(yaml).map_err(|error| format!("bad pod template: {error}"))?;
    // Hand-written files may be whole `PodTemplate` objects.
    if value.get("template").is_some() {
        let whole: PodTemplate =
            serde_json::from_value(value).map_err(|error| format!("bad pod template: {error}"))?;
        let inner = whole.template.unwrap_or_default();
        return Ok(Pod { metadata: inner.metadata.unwrap_or_default(), spec: inner.spec, status: None });
    }
    serde_json::from_value(value).map_err(|error| format!("bad pod template: {error}"))
}

fn resources(submission: &Submission, role: &str) -> Result<ResourceRequirements, String> {
    let memory = Quantity(format!("{}Mi", sizes::pod_mebibytes(submission, role)?));
    let cpu = submission
        .conf(&format!("spark.kubernetes.{role}.request.cores"))
        .or_else(|| submission.conf(&format!("spark.{role}.cores")))
        .unwrap_or("1");
    let requests =
        BTreeMap::from([("cpu".to_owned(), Quantity(cpu.to_owned())), ("memory".to_owned(), memory.clone())]);
    let mut limits = BTreeMap::from([("memory".to_owned(), memory)]);
    if let Some(limit) = submission.conf(&format!("spark.kubernetes.{role}.limit.cores")) {
        limits.insert("cpu".into(), Quantity(limit.to_owned()));
    }
    Ok(ResourceRequirements {
        requests: Some(requests),
        limits: Some(limits),
        ..ResourceRequirements::default()
    })
}

/// The container of that name, else the first one, as Spark chooses.
fn container<'a>(spec: &'a mut PodSpec, name: &str) -> &'a mut Container {
    if spec.containers.is_empty() {
        spec.containers.push(Container { name: name.to_owned(), ..Container::default() });
    }
    let index = index(spec, name);
    &mut spec.containers[index]
}

/// The number of that container.
fn index(spec: &PodSpec, name: &str) -> usize {
    spec.containers.iter().position(|container| container.name == name).unwrap_or(0)
}

fn container_port(name: &str, port: i32) -> ContainerPort {
    let protocol = Some("TCP".to_owned());
    ContainerPort { name: Some(name.to_owned()), container_port: port, protocol, ..ContainerPort::default() }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() }
}

fn field(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { api_version: Some("v1".into()), field_path: path.to_owned() };
    let source = EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value_from: Some(source), ..EnvVar::default() }
}

fn extend<'a>(map: &mut BTreeMap<String, String>, more: impl IntoIterator<Item = (&'a str, &'a str)>) {
    map.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
}

/// The host name of a pod: the end of its name, as long as a name may be in DNS.
fn host(name: &str) -> String {
    let end = name.get(name.len().saturating_sub(63)..).unwrap_or(name);
    end.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Lower case, only letters, digits and single dashes, not beginning with a digit or a dash.
fn clean(name: &str) -> String {
    let mut text = String::new();
    for c in name.trim().to_lowercase().chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if !(c == '-' && text.ends_with('-')) {
            text.push(c);
        }
    }
    let text = text.trim_start_matches('-');
    match text.strip_prefix(|c: char| c.is_ascii_digit()) {
        Some(rest) => format!("x{rest}"),
        None => text.to_owned(),
    }
}

fn label(name: &str) -> String {
    let text = clean(name);
    text.get(..63).unwrap_or(&text).trim_end_matches('-').to_owned()
}
