//! Every field of a Kubeflow SparkApplication, with what becomes of it on EMR on EKS.
//!
//! Purpose: data, and how a field is found in it. Owns no state. The only source of it: translation, tests and the table in
//! the documentation read these rows. A test walks the operator's whole schema and fails on a field that nobody decided
//! about; at run time such a field is refused.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is said to EMR by this rule; the text says as what.
    Mapped(Rule, &'static str),
    /// It is read by the rule of a field above it.
    Part,
    /// A job that sets it is not run there, for this reason. What is below it shares its fate.
    Refused(&'static str),
    /// It is passed over, for this reason. What is below it shares its fate.
    Ignored(&'static str),
}

/// How a value becomes part of a request. `{role}` stands for the role, a trailing dot for "and the key of the map".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A text becomes this property.
    Property(&'static str),
    /// A whole number becomes this property.
    Count(&'static str),
    /// A truth value becomes this property.
    Flag(&'static str),
    /// A size becomes this property, with its unit written out.
    Size(&'static str),
    /// A list becomes this property, with commas.
    List(&'static str),
    /// Each entry of a map becomes a property that begins so.
    Texts(&'static str),
    /// The node selector of one role, which Spark knows since 3.3.
    RoleSelector,
    /// An image becomes this property, unless the member passes over images.
    Image(&'static str),
    /// Environment of the driver or the executors.
    EnvTexts,
    /// The same as a list, with values from Secrets.
    EnvList,
    /// Environment from Secrets.
    EnvSecrets,
    /// Secrets as files.
    SecretFiles,
    /// `sparkConf`.
    SparkConf,
    /// The file to run.
    MainFile,
    /// Its class.
    MainClass,
    /// Its arguments.
    Arguments,
    /// The language.
    Language,
    /// The version, which decides the release.
    Version,
    /// Nothing but `cluster`.
    Mode,
    /// The operator's own retries.
    Restart,
    /// Gives way to the execution role.
    ServiceAccount,
}

/// A field and its fate.
#[derive(Debug)]
pub(crate) struct Row {
    /// Below `spec`; `[]` is every item of a list, `{}` every value of a map, `{role}` driver and executor.
    pub(crate) path: &'static str,
    /// See [`Fate`].
    pub(crate) fate: Fate,
}

const fn mapped(path: &'static str, rule: Rule, to: &'static str) -> Row {
    Row { path, fate: Fate::Mapped(rule, to) }
}

const fn part(path: &'static str) -> Row {
    Row { path, fate: Fate::Part }
}

const fn refused(path: &'static str, why: &'static str) -> Row {
    Row { path, fate: Fate::Refused(why) }
}

const fn ignored(path: &'static str, why: &'static str) -> Row {
    Row { path, fate: Fate::Ignored(why) }
}

const TEMPLATE: &str = "EMR on EKS takes it only in a pod template in S3 (spec.emr.podTemplates)";
const SECURITY: &str = "EMR on EKS decides it: its pods run as its own user with a read-only root";
const NAMES: &str = "EMR on EKS names and places its pods itself; remove it";
const BESIDE: &str = "it exists only beside the application on another cluster; put what is in it into properties, the image or S3";
const SCHEDULER: &str =
    "a virtual cluster has no batch scheduler that takes a queue from the router; remove it";
const SERVED: &str =
    "EMR on EKS makes no services or ingresses for a job; its persistent web UI is linked instead";
const METRICS: &str =
    "no operator is there to set it up; use Spark's own properties for metrics (spark.metrics.conf.*)";
const PULL: &str = "EMR on EKS pulls images itself; let the nodes of the virtual cluster read the registry";
const DEPRECATED: &str = "the operator itself does not read it any more";

/// Every decision.
pub(crate) const ROWS: &[Row] = &[
    mapped(
        "arguments",
        Rule::Arguments,
        "`entryPointArguments`; brackets of any kind are refused, so JSON is",
    ),
    refused("batchScheduler", SCHEDULER),
    refused("batchSchedulerOptions", SCHEDULER),
    mapped("deps.archives", Rule::List("spark.archives"), "`spark.archives`"),
    mapped("deps.excludePackages", Rule::List("spark.jars.excludes"), "`spark.jars.excludes`"),
    mapped("deps.files", Rule::List("spark.files"), "`spark.files`"),
    mapped("deps.jars", Rule::List("spark.jars"), "`spark.jars`"),
    mapped("deps.packages", Rule::List("spark.jars.packages"), "`spark.jars.packages`"),
    mapped("deps.pyFiles", Rule::List("spark.submit.pyFiles"), "`spark.submit.pyFiles`"),
    mapped("deps.repositories", Rule::List("spark.jars.repositories"), "`spark.jars.repositories`"),
    refused("driverIngressOptions", SERVED),
    mapped(
        "dynamicAllocation.enabled",
        Rule::Flag("spark.dynamicAllocation.enabled"),
        "`spark.dynamicAllocation.enabled`; true also sets `spark.dynamicAllocation.shuffleTracking.enabled`",
    ),
    mapped(
        "dynamicAllocation.initialExecutors",
        Rule::Count("spark.dynamicAllocation.initialExecutors"),
        "`spark.dynamicAllocation.initialExecutors`",
    ),
    mapped(
        "dynamicAllocation.maxExecutors",
        Rule::Count("spark.dynamicAllocation.maxExecutors"),
        "`spark.dynamicAllocation.maxExecutors`",
    ),
    mapped(
        "dynamicAllocation.minExecutors",
        Rule::Count("spark.dynamicAllocation.minExecutors"),
        "`spark.dynamicAllocation.minExecutors`",
    ),
    mapped(
        "dynamicAllocation.shuffleTrackingEnabled",
        Rule::Flag("spark.dynamicAllocation.shuffleTracking.enabled"),
        "`spark.dynamicAllocation.shuffleTracking.enabled`",
    ),
    mapped(
        "dynamicAllocation.shuffleTrackingTimeout",
        Rule::Count("spark.dynamicAllocation.shuffleTracking.timeout"),
        "`spark.dynamicAllocation.shuffleTracking.timeout`",
    ),
    ignored("failureRetries", DEPRECATED),
    mapped("hadoopConf", Rule::Texts("spark.hadoop."), "`spark.hadoop.<key>`"),
    refused("hadoopConfigMap", BESIDE),
    mapped(
        "image",
        Rule::Image("spark.kubernetes.container.image"),
        "`spark.kubernetes.container.image`; passed over where the member says `images: Ignore`",
    ),
    refused("imagePullPolicy", PULL),
    refused("imagePullSecrets", PULL),
    mapped("mainApplicationFile", Rule::MainFile, "`entryPoint`; 256 characters at most"),
    mapped("mainClass", Rule::MainClass, "`--class`; Java and Scala need it"),
    mapped(
        "memoryOverheadFactor",
        Rule::Property("spark.kubernetes.memoryOverheadFactor"),
        "`spark.kubernetes.memoryOverheadFactor`",
    ),
    mapped("mode", Rule::Mode, "nothing but `cluster` is run"),
    refused("monitoring.exposeDriverMetrics", METRICS),
    refused("monitoring.exposeExecutorMetrics", METRICS),
    refused("monitoring.metricsProperties", METRICS),
    refused("monitoring.metricsPropertiesFile", METRICS),
    refused("monitoring.prometheus", METRICS),
    mapped(
        "nodeSelector",
        Rule::Texts("spark.kubernetes.node.selector."),
        "`spark.kubernetes.node.selector.<key>`",
    ),
    refused("proxyUser", "job pods have the rights of the execution role and nobody else's; remove it"),
    mapped(
        "pythonVersion",
        Rule::Property("spark.kubernetes.pyspark.pythonVersion"),
        "`spark.kubernetes.pyspark.pythonVersion`",
    ),
    mapped(
        "restartPolicy.type",
        Rule::Restart,
        "Never is kept. OnFailure is passed over with a note: `spec.retry` makes new attempts, on any member. Always is refused",
    ),
    ignored("restartPolicy.onFailureRetries", "see restartPolicy.type"),
    ignored("restartPolicy.onFailureRetryInterval", "see restartPolicy.type"),
    ignored("restartPolicy.onSubmissionFailureRetries", "see restartPolicy.type"),
    ignored("restartPolicy.onSubmissionFailureRetryInterval", "see restartPolicy.type"),
    ignored("retryInterval", DEPRECATED),
    mapped("sparkConf", Rule::SparkConf, "properties of `spark-defaults`, under the same names"),
    refused("sparkConfigMap", BESIDE),
    refused("sparkUIOptions", SERVED),
    mapped("sparkVersion", Rule::Version, "the release that the member gives for it"),
    refused("suspend", "EMR on EKS cannot hold a job that was started; remove it"),
    ignored("timeToLiveSeconds", "EMR on EKS keeps its own history, and removes the pods"),
    mapped("type", Rule::Language, "Java and Scala need mainClass"),
    refused("volumes", TEMPLATE),
    // Both roles.
    refused("{role}.affinity", TEMPLATE),
    mapped(
        "{role}.annotations",
        Rule::Texts("spark.kubernetes.{role}.annotation."),
        "`spark.kubernetes.<role>.annotation.<key>`",
    ),
    refused("{role}.configMaps", BESIDE),
    mapped(
        "{role}.coreLimit",
        Rule::Property("spark.kubernetes.{role}.limit.cores"),
        "`spark.kubernetes.<role>.limit.cores`",
    ),
    mapped(
        "{role}.coreRequest",
        Rule::Property("spark.kubernetes.{role}.request.cores"),
        "`spark.kubernetes.<role>.request.cores`",
    ),
    mapped("{role}.cores", Rule::Count("spark.{role}.cores"), "`spark.<role>.cores`; 1 where nobody says it"),
    refused("{role}.dnsConfig", SECURITY),
    mapped(
        "{role}.env",
        Rule::EnvList,
        "`spark.kubernetes.driverEnv.<name>`, `spark.executorEnv.<name>`; from a Secret `spark.kubernetes.<role>.secretKeyRef.<name>`",
    ),
    part("{role}.env[].name"),
    part("{role}.env[].value"),
    part("{role}.env[].valueFrom.secretKeyRef.key"),
    part("{role}.env[].valueFrom.secretKeyRef.name"),
    refused("{role}.env[].valueFrom.secretKeyRef.optional", "Spark knows no optional Secrets; remove it"),
    refused("{role}.env[].valueFrom.configMapKeyRef", BESIDE),
    refused("{role}.env[].valueFrom.fieldRef", TEMPLATE),
    refused("{role}.env[].valueFrom.resourceFieldRef", TEMPLATE),
    refused("{role}.envFrom", TEMPLATE),
    mapped("{role}.envSecretKeyRefs", Rule::EnvSecrets, "`spark.kubernetes.<role>.secretKeyRef.<name>`"),
    part("{role}.envSecretKeyRefs{}.key"),
    part("{role}.envSecretKeyRefs{}.name"),
    mapped(
        "{role}.envVars",
        Rule::EnvTexts,
        "`spark.kubernetes.driverEnv.<name>`, `spark.executorEnv.<name>`",
    ),
    refused(
        "{role}.gpu",
        "Spark's own properties say it: spark.<role>.resource.gpu.* in sparkConf, with a discovery script",
    ),
    refused("{role}.hostAliases", TEMPLATE),
    refused("{role}.hostNetwork", SECURITY),
    mapped(
        "{role}.image",
        Rule::Image("spark.kubernetes.{role}.container.image"),
        "`spark.kubernetes.<role>.container.image`; passed over where the member says `images: Ignore`",
    ),
    refused("{role}.initContainers", TEMPLATE),
    mapped(
        "{role}.javaOptions",
        Rule::Property("spark.{role}.extraJavaOptions"),
        "`spark.<role>.extraJavaOptions`",
    ),
    mapped(
        "{role}.labels",
        Rule::Texts("spark.kubernetes.{role}.label."),
        "`spark.kubernetes.<role>.label.<key>`",
    ),
    refused("{role}.lifecycle", TEMPLATE),
    mapped(
        "{role}.memory",
        Rule::Size("spark.{role}.memory"),
        "`spark.<role>.memory`; 1g where nobody says it",
    ),
    refused("{role}.memoryLimit", "Spark's own limit is what it asks for; remove it"),
    mapped(
        "{role}.memoryOverhead",
        Rule::Size("spark.{role}.memoryOverhead"),
        "`spark.<role>.memoryOverhead`",
    ),
    mapped(
        "{role}.nodeSelector",
        Rule::RoleSelector,
        "`spark.kubernetes.<role>.node.selector.<key>`; Spark 3.3 or later",
    ),
    refused("{role}.podSecurityContext", SECURITY),
    refused("{role}.ports", TEMPLATE),
    refused("{role}.priorityClassName", TEMPLATE),
    refused("{role}.schedulerName", TEMPLATE),
    mapped(
        "{role}.secrets",
        Rule::SecretFiles,
        "`spark.kubernetes.<role>.secrets.<name>`; of the type Generic alone",
    ),
    part("{role}.secrets[].name"),
    part("{role}.secrets[].path"),
    part("{role}.secrets[].secretType"),
    refused("{role}.securityContext", SECURITY),
    mapped("{role}.serviceAccount", Rule::ServiceAccount, "gives way to the execution role, with a note"),
    refused("{role}.shareProcessNamespace", SECURITY),
    refused("{role}.sidecars", TEMPLATE),
    refused(
        "{role}.template",
        "EMR on EKS takes pod templates only by their address in S3 (spec.emr.podTemplates)",
    ),
    refused("{role}.terminationGracePeriodSeconds", TEMPLATE),
    refused("{role}.tolerations", TEMPLATE),
    refused("{role}.volumeMounts", TEMPLATE),
    // The driver alone.
    refused("driver.kubernetesMaster", NAMES),
    refused("driver.podName", NAMES),
    mapped(
        "driver.serviceAnnotations",
        Rule::Texts("spark.kubernetes.driver.service.annotation."),
        "`spark.kubernetes.driver.service.annotation.<key>`",
    ),
    mapped(
        "driver.serviceLabels",
        Rule::Texts("spark.kubernetes.driver.service.label."),
        "`spark.kubernetes.driver.service.label.<key>`",
    ),
    // The executors alone.
    mapped(
        "executor.deleteOnTermination",
        Rule::Flag("spark.kubernetes.executor.deleteOnTermination"),
        "`spark.kubernetes.executor.deleteOnTermination`",
    ),
    mapped(
        "executor.instances",
        Rule::Count("spark.executor.instances"),
        "`spark.executor.instances`; 1 where nobody says it, unless Spark chooses itself",
    ),
];

/// The driver or the executors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The driver.
    Driver,
    /// The executors.
    Executor,
}

impl Role {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Driver, Self::Executor];

    /// As fields and properties spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Executor => "executor",
        }
    }

    /// What a pattern says of this role.
    pub(crate) fn fill(self, pattern: &str) -> String {
        pattern.replace("{role}", self.as_str())
    }
}

/// A row for one role or for none.
pub(crate) type Found = (&'static Row, Option<Role>);

static FIELDS: LazyLock<HashMap<String, Found>> = LazyLock::new(|| {
    let mut fields = HashMap::new();
    for row in ROWS {
        if row.path.contains("{role}") {
            fields.extend(Role::ALL.map(|role| (role.fill(row.path), (row, Some(role)))));
        } else {
            fields.insert(row.path.to_owned(), (row, None));
        }
    }
    fields
});

static PARENTS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let ends = |path: &str| {
        let at = |(at, c): (usize, char)| [".", "[", "{"].contains(&c.to_string().as_str()).then_some(at);
        path.char_indices().filter_map(at).collect::<Vec<_>>()
    };
    let mut parents = HashSet::new();
    for path in FIELDS.keys() {
        for at in ends(path) {
            parents.insert(path.get(..at).unwrap_or_default().to_owned());
            // A list's or a map's own items.
            for kind in ["[]", "{}"] {
                if path.get(at..).is_some_and(|rest| rest.starts_with(kind)) {
                    parents.insert(format!("{}{kind}", path.get(..at).unwrap_or_default()));
                }
            }
        }
    }
    parents
});

/// The row of a field.
pub(crate) fn find(path: &str) -> Option<Found> {
    FIELDS.get(path).copied()
}

/// Whether there are rows for what is below a field.
pub(crate) fn is_parent(path: &str) -> bool {
    PARENTS.contains(path)
}

/// The table as the documentation prints it.
#[cfg(test)]
pub(crate) fn markdown() -> String {
    let mut text = String::from("| field | | what becomes of it |\n|---|---|---|\n");
    for row in ROWS {
        let path = row.path.replace("{role}", "<role>");
        let (mark, what) = match row.fate {
            Fate::Mapped(_, to) => ("runs", to),
            Fate::Refused(why) => ("refused", why),
            Fate::Ignored(why) => ("passed over", why),
            Fate::Part => continue,
        };
        text.push_str(&format!("| `{path}` | {mark} | {what} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every field of the operator's schema, as the data file has it.
    fn schema() -> Vec<String> {
        let mut above: Vec<&str> = Vec::new();
        let lines = include_str!("../../schema/sparkapplication-v1beta2.txt").lines();
        lines
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let name = line.trim_start();
                above.truncate(line.len() - name.len());
                above.push(name);
                above.join(".").replace(".[]", "[]").replace(".{}", "{}")
            })
            .collect()
    }

    /// The fate of a field: its own, or that of a field above it that is meant as a whole.
    fn fate(path: &str) -> Option<Fate> {
        if let Some((row, _)) = find(path) {
            return Some(row.fate);
        }
        let (above, last) = match path.strip_suffix("[]").or_else(|| path.strip_suffix("{}")) {
            Some(above) => (above, ""),
            None => path.rsplit_once('.')?,
        };
        match fate(above)? {
            // A rule reads the items of its own list or map, and nothing else without saying so.
            Fate::Mapped(..) if last.is_empty() => Some(Fate::Part),
            Fate::Mapped(..) | Fate::Part => None,
            whole => Some(whole),
        }
    }

    #[test]
    fn every_field_of_the_schema_is_decided() {
        let schema = schema();
        assert_eq!(schema.len(), 1956);
        let has_below = |path: &str| {
            schema
                .iter()
                .any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[', '{'])))
        };
        let open: Vec<_> = schema
            .iter()
            .filter(|path| fate(path).is_none() && !(is_parent(path) && has_below(path)))
            .collect();
        assert!(open.is_empty(), "nobody decided about {open:#?}");
    }

    #[test]
    fn a_field_that_nobody_decided_about_is_noticed() {
        for path in
            ["driver.newField", "driver.env[].valueFrom.newRef", "newField", "executor.secrets[].mode"]
        {
            assert_eq!(fate(path), None, "{path}");
            assert!(!is_parent(path), "{path}");
        }
        assert!(matches!(fate("driver.affinity.nodeAffinity"), Some(Fate::Refused(_))));
        assert_eq!(fate("driver.labels{}"), Some(Fate::Part));
    }

    #[test]
    fn every_row_is_about_a_field_of_the_schema() {
        let schema: BTreeSet<_> = schema().into_iter().collect();
        for path in FIELDS.keys() {
            assert!(schema.contains(path), "{path} is no field");
        }
        let rows = ROWS.iter().map(|row| if row.path.contains("{role}") { 2 } else { 1 }).sum::<usize>();
        assert_eq!(FIELDS.len(), rows, "a field is decided twice");
    }

    #[test]
    fn reasons_say_what_to_do() {
        for row in ROWS {
            if let Fate::Refused(why) | Fate::Ignored(why) = row.fate {
                assert!(why.len() > 15 && !why.ends_with('.'), "{}: {why}", row.path);
            }
        }
    }
}
