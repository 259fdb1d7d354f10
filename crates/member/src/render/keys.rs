//! Keys of labels and annotations that mean something to a batch scheduler, to the operator or to Spark, and where such
//! keys can be written.
//!
//! Purpose: data only, as `table`. Owns no state. A key that is missing here lets a template choose its own queue or
//! pass for another application.

use spark_router_api::{member::BatchScheduler, names};

use super::place::Path;

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
pub(crate) const YUNIKORN_OLD_QUEUE: &str = "queue";
/// Volcano reads this annotation of pods that no group of the operator's holds.
pub(crate) const VOLCANO_QUEUE: &str = "scheduling.volcano.sh/queue-name";
/// Kueue reads this label of the application.
pub(super) const KUEUE_QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// The operator keeps labels with this prefix from the pods: they would be queued a second time.
pub(crate) const KUEUE_PREFIX: &str = "kueue.x-k8s.io/";

/// Tells the operator's webhook that it has to finish a pod; the operator leaves it out where there is a pod template.
pub(crate) const MUTATED_LABEL: &str = "sparkoperator.k8s.io/mutated-by-spark-operator";

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
    "spark.operator/spark-app-name",
    "spark.operator/name",
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
