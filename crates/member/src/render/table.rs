//! The facts of an application that somebody other than its template may decide.
//!
//! Purpose: data only, and the only source of it: rendering, refusals and tests iterate these tables. Owns no state. A
//! name that sets a fact and is missing here lets a template escape what queue or member fix. What a template must not
//! say at all is in `bans`, the keys of labels and annotations are in `keys`.
//!
//! What wins on a member decides each row. The operator turns an application into the arguments of `spark-submit`:
//! `sparkConf` first, typed fields after it, and the last one of a key wins; so typed fields beat `sparkConf`. Spark
//! lets both beat the pod template. A few typed fields are no arguments at all: only the operator's pod webhook applies
//! them, after all else, and members may run without it; such a fact is written into a pod template too.

use super::place::Path;

/// Something about an application that queue or member may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// Image of Spark's containers. Sidecars have their own.
    Image,
    /// Service account of the pods.
    ServiceAccount,
    /// Scheduler of the pods.
    Scheduler,
    /// Priority class of the pods.
    PriorityClass,
    /// Tolerations of the pods.
    Tolerations,
    /// One key of the pods' node selector.
    NodeSelector,
    /// One label of the pods.
    Label,
    /// One annotation of the pods.
    Annotation,
}

/// What happens to an alias when its fact is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The value is written here.
    Write,
    /// The value is written here when it is one role's alone; else what is here goes.
    WriteForOne,
    /// The value is written here where the role has a pod template anyway, or where this Spark needs one for it; else
    /// what is here goes.
    Inside,
    /// What is here goes. What speaks for both roles stays when only one is decided: it is weaker than what is written.
    Clear,
    /// What is here goes, also when only one role is decided: it is stronger than anything that could be written.
    Drop,
}

/// A place where a template can set a fact.
#[derive(Debug)]
pub(super) struct Alias {
    /// Where. `{role}` stands for `driver` and `executor`, `{key}` for the key of a label and the like.
    pub(super) path: Path,
    /// What becomes of it.
    pub(super) way: Way,
    /// Why.
    pub(super) why: &'static str,
}

const fn alias(path: Path, way: Way, why: &'static str) -> Alias {
    Alias { path, way, why }
}

/// Every fact with all its aliases.
pub(super) const FACTS: &[(Fact, &[Alias])] = &[
    (
        Fact::Image,
        &[
            alias(&["spec", "image"], Way::Write, "the operator hands it on for both roles, after sparkConf"),
            alias(&["spec", "{role}", "image"], Way::WriteForOne, "wins over spec.image"),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.container.image"],
                Way::Clear,
                "the operator's webhook refuses applications with it",
            ),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.{role}.container.image"],
                Way::Clear,
                "the operator's webhook refuses applications with it",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "containers", "#{role}", "image"],
                Way::Clear,
                "Spark overwrites it; an operator that does not know pod templates drops it",
            ),
        ],
    ),
    (
        Fact::ServiceAccount,
        &[
            alias(
                &["spec", "{role}", "serviceAccount"],
                Way::Write,
                "handed on after sparkConf, without webhook",
            ),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.authenticate.{role}.serviceAccountName"],
                Way::Clear,
                "the same key that the typed field becomes; the operator's webhook refuses it",
            ),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.authenticate.serviceAccountName"],
                Way::Drop,
                "looks like one, although no Spark reads it",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "serviceAccountName"],
                Way::Clear,
                "Spark overwrites it",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "serviceAccount"],
                Way::Clear,
                "the deprecated name: where it is set, Spark leaves the executor's account alone",
            ),
        ],
    ),
    (
        Fact::Scheduler,
        &[
            alias(
                &["spec", "{role}", "schedulerName"],
                Way::Write,
                "the operator's webhook applies it after all else",
            ),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.{role}.scheduler.name"],
                Way::Write,
                "holds without webhook",
            ),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.scheduler.name"],
                Way::Clear,
                "weaker than the role's own key",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "schedulerName"],
                Way::Inside,
                "all that a driver of Spark before 3.3 has without webhook",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "nodeName"],
                Way::Drop,
                "a pod that names its node passes every scheduler by",
            ),
            alias(
                &["spec", "batchScheduler"],
                Way::Drop,
                "the operator and its webhook prefer it to the scheduler's name",
            ),
        ],
    ),
    (
        Fact::PriorityClass,
        &[
            alias(
                &["spec", "{role}", "priorityClassName"],
                Way::Write,
                "the operator's webhook applies it after all else",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "priorityClassName"],
                Way::Write,
                "nothing else brings it to the pod without webhook",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "priority"],
                Way::Clear,
                "must fit the class, or the API server refuses the pod",
            ),
            alias(
                &["spec", "batchSchedulerOptions", "priorityClassName"],
                Way::Drop,
                "the class of Volcano's group of pods; without it that of the pods counts",
            ),
        ],
    ),
    (
        Fact::Tolerations,
        &[
            alias(
                &["spec", "{role}", "tolerations"],
                Way::Write,
                "the operator's webhook adds them; its gangs on YuniKorn are made with them",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "tolerations"],
                Way::Write,
                "nothing else brings them to the pod without webhook",
            ),
        ],
    ),
    (
        Fact::NodeSelector,
        &[
            alias(
                &["spec", "{role}", "nodeSelector", "{key}"],
                Way::Write,
                "the operator's webhook applies it after all else; its gangs on YuniKorn are made with it",
            ),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.{role}.node.selector.{key}"],
                Way::Write,
                "holds without webhook",
            ),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.node.selector.{key}"],
                Way::Write,
                "what Spark before 3.3 goes by without webhook",
            ),
            alias(
                &["spec", "nodeSelector", "{key}"],
                Way::Drop,
                "the operator's webhook refuses it beside a role's own; handed down to the roles before",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "nodeSelector", "{key}"],
                Way::Inside,
                "all that a role has in Spark before 3.3 without webhook; later ones overwrite it",
            ),
            alias(
                &["spec", "{role}", "template", "spec", "nodeName"],
                Way::Drop,
                "a pod that names its node does not choose one",
            ),
        ],
    ),
    (
        Fact::Label,
        &[
            alias(&["metadata", "labels", "{key}"], Way::Write, "the operator gives it to both roles' pods"),
            alias(
                &["spec", "{role}", "labels", "{key}"],
                Way::WriteForOne,
                "wins over those of the application",
            ),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.{role}.label.{key}"],
                Way::Clear,
                "weaker than both, and not there at all for labels that the operator keeps to itself",
            ),
            alias(
                &["spec", "{role}", "template", "metadata", "labels", "{key}"],
                Way::Clear,
                "Spark overwrites it",
            ),
        ],
    ),
    (
        Fact::Annotation,
        &[
            alias(&["spec", "{role}", "annotations", "{key}"], Way::Write, "handed on after sparkConf"),
            alias(
                &["spec", "sparkConf", "spark.kubernetes.{role}.annotation.{key}"],
                Way::Clear,
                "weaker than the typed field",
            ),
            alias(
                &["spec", "{role}", "template", "metadata", "annotations", "{key}"],
                Way::Clear,
                "Spark overwrites it",
            ),
        ],
    ),
];

/// A typed field that says the same as a Spark property, and is handed on after it.
#[derive(Debug)]
pub(super) struct Twin {
    /// The property.
    pub(super) conf: &'static str,
    /// The field.
    pub(super) path: Path,
    /// What becomes of the field when the property is decided.
    pub(super) way: Typed,
}

/// What becomes of a typed field when its property is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// It goes: the property is all there is.
    Clear,
    /// It gets the text too: the operator would add to it.
    Text,
    /// It gets the truth value: the fields beside it count only if it is true.
    Flag,
}

const fn twin(conf: &'static str, path: Path) -> Twin {
    Twin { conf, path, way: Typed::Clear }
}

/// Typed fields with a property of the same meaning, apart from the facts above.
pub(super) const TWINS: &[Twin] = &[
    twin("spark.{role}.cores", &["spec", "{role}", "cores"]),
    twin("spark.kubernetes.{role}.request.cores", &["spec", "{role}", "coreRequest"]),
    twin("spark.kubernetes.{role}.limit.cores", &["spec", "{role}", "coreLimit"]),
    twin("spark.{role}.memory", &["spec", "{role}", "memory"]),
    twin("spark.{role}.memoryOverhead", &["spec", "{role}", "memoryOverhead"]),
    Twin {
        conf: "spark.{role}.extraJavaOptions",
        path: &["spec", "{role}", "javaOptions"],
        way: Typed::Text,
    },
    twin("spark.kubernetes.memoryOverheadFactor", &["spec", "memoryOverheadFactor"]),
    twin("spark.executor.instances", &["spec", "executor", "instances"]),
    twin("spark.kubernetes.executor.deleteOnTermination", &["spec", "executor", "deleteOnTermination"]),
    twin("spark.kubernetes.container.image.pullPolicy", &["spec", "imagePullPolicy"]),
    twin("spark.kubernetes.container.image.pullSecrets", &["spec", "imagePullSecrets"]),
    twin("spark.kubernetes.pyspark.pythonVersion", &["spec", "pythonVersion"]),
    Twin {
        conf: "spark.dynamicAllocation.enabled",
        path: &["spec", "dynamicAllocation", "enabled"],
        way: Typed::Flag,
    },
    twin("spark.dynamicAllocation.initialExecutors", &["spec", "dynamicAllocation", "initialExecutors"]),
    twin("spark.dynamicAllocation.minExecutors", &["spec", "dynamicAllocation", "minExecutors"]),
    twin("spark.dynamicAllocation.maxExecutors", &["spec", "dynamicAllocation", "maxExecutors"]),
    Twin {
        conf: "spark.dynamicAllocation.shuffleTracking.enabled",
        path: &["spec", "dynamicAllocation", "shuffleTrackingEnabled"],
        way: Typed::Flag,
    },
    twin(
        "spark.dynamicAllocation.shuffleTracking.timeout",
        &["spec", "dynamicAllocation", "shuffleTrackingTimeout"],
    ),
    twin("spark.jars", &["spec", "deps", "jars"]),
    twin("spark.jars.packages", &["spec", "deps", "packages"]),
    twin("spark.jars.excludes", &["spec", "deps", "excludePackages"]),
    twin("spark.jars.repositories", &["spec", "deps", "repositories"]),
    twin("spark.submit.pyFiles", &["spec", "deps", "pyFiles"]),
    twin("spark.files", &["spec", "deps", "files"]),
    twin("spark.archives", &["spec", "deps", "archives"]),
    twin("spark.hadoop.{key}", &["spec", "hadoopConf", "{key}"]),
    twin("spark.kubernetes.driverEnv.{key}", &["spec", "driver", "envVars", "{key}"]),
    twin("spark.kubernetes.driverEnv.{key}", &["spec", "driver", "env", "@{key}"]),
    twin("spark.kubernetes.driverEnv.{key}", &["spec", "driver", "envSecretKeyRefs", "{key}"]),
    twin(
        "spark.kubernetes.driverEnv.{key}",
        &["spec", "sparkConf", "spark.kubernetes.driver.secretKeyRef.{key}"],
    ),
    twin("spark.executorEnv.{key}", &["spec", "executor", "envVars", "{key}"]),
    twin("spark.executorEnv.{key}", &["spec", "executor", "env", "@{key}"]),
    twin("spark.executorEnv.{key}", &["spec", "executor", "envSecretKeyRefs", "{key}"]),
    twin("spark.executorEnv.{key}", &["spec", "sparkConf", "spark.kubernetes.executor.secretKeyRef.{key}"]),
    twin("spark.kubernetes.{role}.secretKeyRef.{key}", &["spec", "{role}", "envSecretKeyRefs", "{key}"]),
    twin("spark.kubernetes.{role}.secretKeyRef.{key}", &["spec", "{role}", "env", "@{key}"]),
    twin("spark.kubernetes.{role}.secrets.{key}", &["spec", "{role}", "secrets", "@{key}"]),
    twin("spark.kubernetes.driver.service.label.{key}", &["spec", "driver", "serviceLabels", "{key}"]),
    twin(
        "spark.kubernetes.driver.service.annotation.{key}",
        &["spec", "driver", "serviceAnnotations", "{key}"],
    ),
];
