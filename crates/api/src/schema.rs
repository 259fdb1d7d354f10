//! Schemas that the derive cannot express: bounds on maps and list items, lists with a set or map nature, rules.
//!
//! Owns no state. Everything that a rule reads is bounded here, or the API server refuses the rule as too dear.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::{
    application::{APACHE_API_VERSION, SPARK_APPLICATION_API_VERSION},
    names,
};

/// A name without dots: lower case letters, digits and `-`, at most 63.
pub(crate) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A name with dots.
pub(crate) const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A name with dots that a batch scheduler gives: letters of both cases, digits, `-`, `_` and dots.
pub(crate) const REMOTE_QUEUE: &str = "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$";
/// A version of Spark or a dotted prefix of one.
pub(crate) const SPARK_VERSION: &str = r"^[0-9]+(\.[0-9A-Za-z_+-]+)*$";
/// A key of a taint: a label's key.
pub(crate) const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$";
/// A key of a taint, or none.
pub(crate) const OPTIONAL_LABEL_KEY: &str = r"^(([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$";
/// A label's value.
pub(crate) const LABEL_VALUE: &str = "^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$";
/// An http or https address without user and password.
pub(crate) const URL: &str = r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$";

/// A region of AWS.
pub(crate) const AWS_REGION: &str = "^[a-z]{2,}(-[a-z]+)+-[0-9]+$";

/// A size as Spark reads it.
pub(crate) const SPARK_SIZE: &str = "^[0-9]+([bkmgtpBKMGTP]|[kmgtpKMGTP][bB])?$";

/// A list of CEL rules with the message that a user reads when one does not hold.
pub(crate) fn rules(rules: &[(&str, &str)]) -> Value {
    rules.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })).collect()
}

/// Exactly one of these fields is set.
pub(crate) fn exactly_one(fields: &[&str], message: &str) -> Value {
    let set: Vec<String> = fields.iter().map(|field| format!("has(self.{field})")).collect();
    let rule = if let [only] = set.as_slice() {
        only.clone()
    } else {
        format!("[{}].exists_one(set, set)", set.join(", "))
    };
    rules(&[(&rule, message)])
}

/// Gives an enum of plain words its schema. The derive would make alternatives of variants that have a description, and
/// an API server takes none.
macro_rules! words {
    ($of:ty, $name:literal, $words:expr) => {
        impl schemars::JsonSchema for $of {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": $words })
            }
        }
    };
}
pub(crate) use words;

/// Labels that Spark sets on its pods itself; with one of them set by somebody else `spark-submit` refuses the application.
const SPARKS_LABELS: [&str; 5] =
    ["spark-role", "spark-app-selector", "spark-app-name", "spark-version", "spark-exec-id"];
/// Spark properties that name objects or places which the router decides.
const DECIDED_PROPERTIES: [&str; 3] = [
    "spark.kubernetes.driver.pod.name",
    "spark.kubernetes.executor.podNamePrefix",
    "spark.kubernetes.namespace",
];

/// What an administrator may not set on the labels and annotations of pods, field by field.
pub(crate) fn no_reserved_keys() -> Value {
    reserved_in_maps(&["labels", "annotations"]).into_iter().collect()
}

/// The same for a whole application, whose Spark properties are another way to say it.
pub(crate) fn no_reserved_keys_or_properties() -> Value {
    let mut rules = reserved_in_maps(&["labels", "annotations"]);
    let mut words = DECIDED_PROPERTIES.map(str::to_owned).to_vec();
    let mut beginnings = Vec::new();
    for role in ["driver", "executor"] {
        for kind in ["label", "annotation"] {
            let property = format!("spark.kubernetes.{role}.{kind}.");
            words.extend(SPARKS_LABELS.iter().map(|label| format!("{property}{label}")));
            beginnings.push(format!("!key.startsWith('{property}{}')", names::PREFIX));
        }
    }
    rules.push(json!({
        "rule": format!(
            "!has(self.sparkConf) || self.sparkConf.all(key, !(key in {}) && {})",
            cel_list(&words),
            beginnings.join(" && "),
        ),
        "message": format!(
            "sparkConf must not set {}, nor labels and annotations that belong to the router or to Spark",
            DECIDED_PROPERTIES.join(", "),
        ),
    }));
    rules.into_iter().collect()
}

fn reserved_in_maps(fields: &[&str]) -> Vec<Value> {
    let sparks = cel_list(&SPARKS_LABELS.map(str::to_owned));
    let rule = |field: &&str| {
        json!({
            "rule": format!(
                "!has(self.{field}) || self.{field}.all(key, !key.startsWith('{}') && !(key in {sparks}))",
                names::PREFIX,
            ),
            "message": format!(
                "{field} must not have keys that start with {}, nor any of {}: they belong to the router or to Spark",
                names::PREFIX,
                SPARKS_LABELS.join(", "),
            ),
        })
    };
    fields.iter().map(rule).collect()
}

fn cel_list(words: &[String]) -> String {
    format!("['{}']", words.join("', '"))
}

/// Names of size classes. The key of a map has no schema of its own.
pub(crate) fn size_names() -> Value {
    rules(&[(
        "self.all(name, size(name) <= 63 && name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",
        "names of sizes must be lower case letters, digits and -, at most 63 characters",
    )])
}

/// Weights of namespaces.
pub(crate) fn namespace_weights(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "additionalProperties": { "type": "integer", "format": "int32", "minimum": 1, "maximum": 1_000_000 },
    })
}

/// The labels of a selector.
pub(crate) fn selector_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// The labels of a template. Reserved keys are the router's to answer, not the schema's.
pub(crate) fn template_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// The annotations of a template. Reserved keys are the router's to answer, not the schema's.
pub(crate) fn template_annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 262_144 },
    })
}

/// Spark properties that an administrator sets.
pub(crate) fn spark_conf(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
    })
}

/// Tolerations of pods, as Kubernetes has them. The member judges them.
pub(crate) fn pod_tolerations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        "x-kubernetes-list-type": "atomic",
    })
}

/// Names of members, each once.
pub(crate) fn cluster_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "items": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": DNS_SUBDOMAIN },
        "x-kubernetes-list-type": "set",
    })
}

/// Spark versions or dotted prefixes of them, each once.
pub(crate) fn spark_versions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": { "type": "string", "maxLength": 32, "pattern": SPARK_VERSION },
        "x-kubernetes-list-type": "set",
    })
}

/// Fields of a SparkApplication's `spec` that are kept as they are, whatever they hold.
///
/// They are declared only so that a rule can compare them: `==` on an object that keeps unknown fields overlooks a
/// renamed field unless the old or the new name is declared. A test holds the list against the operator's own schema.
/// One name that nobody knows renamed to another such stays unseen here; the hash in the status tells.
pub(crate) const KEPT_AS_THEY_ARE: [(&str, &str); 27] = [
    ("arguments", "Arguments of the application."),
    ("batchScheduler", "Batch scheduler of the pods."),
    ("batchSchedulerOptions", "Settings for the batch scheduler."),
    ("deps", "Files, jars and packages that the application needs."),
    ("driver", "The driver's pod."),
    ("driverIngressOptions", "Ports of the driver to expose."),
    ("dynamicAllocation", "Dynamic allocation of executors."),
    ("executor", "The executors' pods."),
    ("failureRetries", "Deprecated by the operator: retries of a failed application."),
    ("hadoopConf", "Hadoop properties."),
    ("hadoopConfigMap", "ConfigMap on the member with Hadoop files."),
    ("image", "Container image of driver and executors."),
    ("imagePullPolicy", "Pull policy of the image."),
    ("imagePullSecrets", "Secrets on the member to pull the image with."),
    ("mainClass", "Main class of a Java or Scala application."),
    ("memoryOverheadFactor", "Share of memory on top of the heap."),
    ("monitoring", "Metrics of driver and executors."),
    ("nodeSelector", "Labels of the nodes to run on."),
    ("proxyUser", "User to impersonate."),
    ("pythonVersion", "Major Python version."),
    ("restartPolicy", "Whether and when the member's operator runs the application again by itself."),
    ("retryInterval", "Deprecated by the operator: seconds between retries."),
    ("sparkConf", "Spark properties."),
    ("sparkConfigMap", "ConfigMap on the member with Spark files."),
    ("sparkUIOptions", "Service and ingress of the web UI."),
    ("timeToLiveSeconds", "Not used: the member's retention decides how long a finished application stays."),
    ("volumes", "Volumes of the pods."),
];

/// The same for fields that only a SparkApplication of Apache's operator has.
pub(crate) const KEPT_OF_APACHE: [(&str, &str); 11] = [
    ("applicationTolerations", "Restarts, time limits and executors that may be missing."),
    ("configMapSpecs", "ConfigMaps to make with the driver."),
    ("deploymentMode", "Deployment mode. Only ClusterMode: the driver runs on the member."),
    ("driverArgs", "Arguments of the application."),
    ("driverServiceIngressList", "Services and ingresses of the driver."),
    ("driverSpec", "Pod template of the driver."),
    ("executorSpec", "Pod template of the executors."),
    ("files", "Files that the application needs."),
    ("jars", "The jar to run."),
    ("pyFiles", "The Python file to run."),
    ("sparkRFiles", "The R file to run."),
];

/// What a template must have, by its API version: said of the very field, as for one that is always required.
pub(crate) fn required_by_version() -> Value {
    let of_kubeflow = ["type", "sparkVersion", "mainApplicationFile"];
    let fields = of_kubeflow.map(|field| (SPARK_APPLICATION_API_VERSION, field));
    let all = fields.into_iter().chain([(APACHE_API_VERSION, "runtimeVersions")]);
    all.map(|(version, field)| {
        json!({
            "rule": format!("self.apiVersion != '{version}' || has(self.spec.{field})"),
            "message": format!("a template for {version} must have it"),
            "fieldPath": format!(".spec.{field}"),
            "reason": "FieldValueRequired",
        })
    })
    .collect()
}

/// The `spec` of a SparkApplication: kept as it is, with the few fields typed that a rule or the router needs.
/// The full schema is over 400 kB, would pin one version of the operator and repeat the member's own checks.
pub(crate) fn application_spec(_: &mut SchemaGenerator) -> Schema {
    let mut properties = json!({
        "type": {
            "description": "Language of the application.",
            "type": "string",
            "enum": ["Java", "Python", "Scala", "R"],
        },
        "sparkVersion": {
            "description": "Spark version, like 4.0.1. Only members that offer it are considered.",
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
        },
        "mainApplicationFile": {
            "description": "The jar, Python or R file to run, as the member sees it: local:///, s3a://, https:// and the like.",
            "type": "string",
            "minLength": 1,
            "maxLength": 4096,
        },
        "mode": {
            "description": "Deploy mode. Only cluster: the driver runs on the member.",
            "type": "string",
            "enum": ["cluster"],
        },
        // Rules see only fields that have a type.
        "runtimeVersions": {
            "description": "Versions of Spark and Scala, in a template for spark.apache.org/v1; sparkVersion is required.",
            "type": "object",
            "nullable": true,
            "x-kubernetes-preserve-unknown-fields": true,
        },
        "suspend": {
            "description": "Not allowed to be true: the router decides when an application starts.",
            "type": "boolean",
        },
    });
    if let Some(properties) = properties.as_object_mut() {
        for (field, description) in KEPT_AS_THEY_ARE.into_iter().chain(KEPT_OF_APACHE) {
            // Without `nullable` the server would drop a `null` on create and find a change in the same manifest applied
            // again on the server's side.
            let kept = json!({ "description": description, "x-kubernetes-preserve-unknown-fields": true, "nullable": true });
            properties.insert(field.to_owned(), kept);
        }
    }
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": properties,
        "x-kubernetes-validations": rules(&[(
            "!has(self.suspend) || !self.suspend",
            "suspend must not be true in a template: the router decides when an application starts; remove it",
        )]),
    })
}
