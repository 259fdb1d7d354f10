//! The facts of an application that somebody other than its template may decide, and everything a template must not say.
//!
//! Purpose: data only, and the only source of it: rendering, refusals and tests iterate these tables. Owns no state. A
//! name that sets a fact and is missing here lets a template escape what queue or member fix.
//!
//! What wins on a member decides each row. The operator turns an application into the arguments of `spark-submit`:
//! `sparkConf` first, typed fields after it, and the last one of a key wins; so typed fields beat `sparkConf`. Spark
//! lets both beat the pod template. A few typed fields are no arguments at all: only the operator's pod webhook applies
//! them, after all else, and members may run without it; such a fact is written into a pod template too.

use spark_router_api::{member::BatchScheduler, names};

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

/// Labels and annotations by which a batch scheduler finds the queue of a pod, or the application or group whose queue
/// it is then in. All of them go, as label and as annotation, when the queue is decided.
pub(super) const QUEUE_KEYS: &[(BatchScheduler, &str)] = &[
    (BatchScheduler::YuniKorn, YUNIKORN_QUEUE),
    (BatchScheduler::YuniKorn, YUNIKORN_OLD_QUEUE),
    // Pods of the same application id are in the queue of whichever came first.
    (BatchScheduler::YuniKorn, "yunikorn.apache.org/app-id"),
    (BatchScheduler::YuniKorn, "applicationId"),
    (BatchScheduler::Volcano, VOLCANO_QUEUE),
    (BatchScheduler::Volcano, "scheduling.volcano.sh/group-name"),
    (BatchScheduler::Volcano, "scheduling.k8s.io/group-name"),
    (BatchScheduler::Kueue, KUEUE_QUEUE),
    (BatchScheduler::Kueue, "kueue.x-k8s.io/prebuilt-workload-name"),
    (BatchScheduler::Kueue, "kueue.x-k8s.io/pod-group-name"),
];

/// YuniKorn reads this label first.
pub(super) const YUNIKORN_QUEUE: &str = "yunikorn.apache.org/queue";
/// The label that the operator sets for YuniKorn, and that old versions read first.
pub(super) const YUNIKORN_OLD_QUEUE: &str = "queue";
/// Volcano reads this annotation of pods that no group of the operator's holds.
pub(super) const VOLCANO_QUEUE: &str = "scheduling.volcano.sh/queue-name";
/// Kueue reads this label of the application.
pub(super) const KUEUE_QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// The operator keeps labels with this prefix from the pods: they would be queued a second time.
pub(super) const KUEUE_PREFIX: &str = "kueue.x-k8s.io/";

/// Tells the operator's webhook that it has to finish a pod; the operator leaves it out where there is a pod template.
pub(super) const MUTATED_LABEL: &str = "sparkoperator.k8s.io/mutated-by-spark-operator";

/// Labels and annotations that nobody but the router may set begin with this.
pub(super) const OURS: &str = names::PREFIX;

/// Labels that Spark and its operator set on the pods themselves, and know them by. `spark-submit` refuses the first
/// five; the operator lets a template overwrite the others, and takes the pods for another application's.
pub(super) const THEIRS: &[&str] = &[
    "spark-role",
    "spark-app-selector",
    "spark-app-name",
    "spark-version",
    "spark-exec-id",
    "sparkoperator.k8s.io/app-name",
    "sparkoperator.k8s.io/submission-id",
    "sparkoperator.k8s.io/launched-by-spark-operator",
];

/// Why something is refused in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ban {
    /// Always.
    Always,
    /// Always, except with this value.
    Unless(&'static str),
    /// Unless the queue allows pod template files.
    PodTemplateFiles,
    /// Unless the queue allows host paths.
    HostPaths,
}

/// Something that a template must not say.
#[derive(Debug)]
pub(super) struct Refused {
    /// Where; a `*` stands for every item of a list, and at the end of a property for any ending.
    pub(super) path: Path,
    /// Unless when.
    pub(super) ban: Ban,
    /// What to do about it.
    pub(super) advice: &'static str,
}

const fn refused(path: Path, advice: &'static str) -> Refused {
    Refused { path, ban: Ban::Always, advice }
}

const NAMES: &str = "remove it: the router names and places the application itself";
const PODS: &str = "remove it: Spark names its pods itself";
const DRIVER: &str = "remove it: the driver's pod is named after the application";
const DECIDED: &str = "remove it: the router decides it";
const ELSEWHERE: &str = "remove it: the member's operator submits to its own cluster, as itself";
const HELD: &str = "remove it: it would hold up the operator for everybody";
const FILES: &str = "this queue does not allow pod template files; put the template into driver.template or executor.template";
const PATHS: &str =
    "this queue does not allow volumes from the node's own file system; use another kind of volume";

/// Everything that is refused in a template, apart from labels and annotations.
pub(super) const REFUSED: &[Refused] = &[
    refused(&["metadata", "name"], NAMES),
    refused(&["metadata", "namespace"], NAMES),
    refused(&["metadata", "generateName"], NAMES),
    refused(&["metadata", "finalizers"], NAMES),
    refused(&["metadata", "ownerReferences"], NAMES),
    refused(&["spec", "driver", "podName"], DRIVER),
    refused(&["spec", "{role}", "template", "metadata", "name"], PODS),
    refused(&["spec", "{role}", "template", "metadata", "generateName"], PODS),
    refused(&["spec", "{role}", "template", "metadata", "namespace"], PODS),
    refused(
        &["spec", "{role}", "template", "metadata", "finalizers"],
        "remove it: Spark's pods must be able to go",
    ),
    refused(
        &["spec", "{role}", "template", "metadata", "ownerReferences"],
        "remove it: Spark's pods have owners",
    ),
    refused(&["spec", "{role}", "template", "spec", "hostname"], PODS),
    refused(&["spec", "{role}", "template", "spec", "subdomain"], PODS),
    refused(&["spec", "sparkConf", "spark.kubernetes.driver.pod.name"], DECIDED),
    refused(&["spec", "sparkConf", "spark.kubernetes.driver.resourceNamePrefix"], DECIDED),
    refused(&["spec", "sparkConf", "spark.kubernetes.executor.podNamePrefix"], DECIDED),
    refused(&["spec", "sparkConf", "spark.kubernetes.namespace"], DECIDED),
    // Another API server, other credentials.
    refused(&["spec", "proxyUser"], ELSEWHERE),
    refused(&["spec", "driver", "kubernetesMaster"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.submit.proxyUser"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.master"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.remote"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.master"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.driver.master"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.context"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.trust.certificates"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.authenticate.submission.*"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.authenticate.driver.mounted.*"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.authenticate.oauthToken*"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.authenticate.{role}.oauthToken*"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.authenticate.ca*"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.authenticate.client*"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.authenticate.{role}.ca*"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.kubernetes.authenticate.{role}.client*"], ELSEWHERE),
    // Files of the operator's own pod would be uploaded, its token among them.
    refused(
        &["spec", "sparkConf", "spark.kubernetes.file.upload.path"],
        "remove it: files of the operator's own pod are not for jobs; put yours into the image or into storage",
    ),
    // The user's code would run in the operator's pod.
    Refused {
        path: &["spec", "sparkConf", "spark.submit.deployMode"],
        ban: Ban::Unless("cluster"),
        advice: "remove it: drivers run on the member, in a pod of their own",
    },
    refused(&["spec", "sparkConf", "spark.kubernetes.submitInDriver"], DECIDED),
    Refused {
        path: &["spec", "sparkConf", "spark.kubernetes.submission.waitAppCompletion"],
        ban: Ban::Unless("false"),
        advice: HELD,
    },
    Refused {
        path: &["spec", "sparkConf", "spark.kubernetes.{role}.podTemplateFile"],
        ban: Ban::PodTemplateFiles,
        advice: FILES,
    },
    Refused {
        path: &["spec", "sparkConf", "spark.kubernetes.{role}.podTemplateContainerName"],
        ban: Ban::PodTemplateFiles,
        advice: FILES,
    },
    Refused {
        path: &["spec", "sparkConf", "spark.kubernetes.{role}.pod.featureSteps"],
        ban: Ban::PodTemplateFiles,
        advice: "this queue does not allow code that changes pods; remove it",
    },
    Refused {
        path: &["spec", "sparkConf", "spark.kubernetes.scheduler.volcano.podGroupTemplateFile"],
        ban: Ban::PodTemplateFiles,
        advice: FILES,
    },
    Refused {
        path: &["spec", "sparkConf", "spark.kubernetes.{role}.volumes.hostPath.*"],
        ban: Ban::HostPaths,
        advice: PATHS,
    },
    Refused { path: &["spec", "volumes", "*", "hostPath"], ban: Ban::HostPaths, advice: PATHS },
    Refused {
        path: &["spec", "{role}", "template", "spec", "volumes", "*", "hostPath"],
        ban: Ban::HostPaths,
        advice: PATHS,
    },
];

/// Properties that change what a job asks for. A member may not set them: what a job reserves is counted before it is
/// known where it goes.
pub(super) const SIZES: &[&str] = &[
    "spark.{role}.cores",
    "spark.{role}.memory",
    "spark.{role}.memoryOverhead",
    "spark.{role}.memoryOverheadFactor",
    "spark.{role}.minMemoryOverhead",
    "spark.{role}.resource.*",
    "spark.yarn.{role}.memoryOverhead",
    "spark.yarn.am.memoryOverhead",
    "spark.kubernetes.memoryOverheadFactor",
    "spark.kubernetes.{role}.request.cores",
    "spark.executor.instances",
    "spark.executor.pyspark.memory",
    "spark.dynamicAllocation.*",
    "spark.dynamicallocation.*",
    "spark.memory.offHeap.*",
    "spark.kubernetes.resource.type",
    "spark.kubernetes.{role}.podTemplateFile",
    "spark.kubernetes.{role}.podTemplateContainerName",
    "spark.kubernetes.{role}.pod.featureSteps",
];

/// Maps of labels and annotations in a template.
pub(super) const KEYED: &[Path] = &[
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["spec", "{role}", "labels"],
    &["spec", "{role}", "annotations"],
    &["spec", "{role}", "template", "metadata", "labels"],
    &["spec", "{role}", "template", "metadata", "annotations"],
    &["spec", "driver", "serviceLabels"],
    &["spec", "driver", "serviceAnnotations"],
];

/// Properties whose rest is the key of a label or annotation.
pub(super) const KEYED_CONF: &[&str] = &[
    "spark.kubernetes.{role}.label.{key}",
    "spark.kubernetes.{role}.annotation.{key}",
    "spark.kubernetes.driver.service.label.{key}",
    "spark.kubernetes.driver.service.annotation.{key}",
];

/// Maps whose keys the operator puts before an equals sign on a command line: one in the key would end it there and
/// make it another key.
pub(super) const WRITTEN_OUT: &[Path] = &[
    &["metadata", "labels"],
    &["spec", "sparkConf"],
    &["spec", "hadoopConf"],
    &["spec", "nodeSelector"],
    &["spec", "{role}", "labels"],
    &["spec", "{role}", "annotations"],
    &["spec", "{role}", "nodeSelector"],
    &["spec", "{role}", "envVars"],
    &["spec", "{role}", "envSecretKeyRefs"],
    &["spec", "driver", "serviceLabels"],
    &["spec", "driver", "serviceAnnotations"],
];
