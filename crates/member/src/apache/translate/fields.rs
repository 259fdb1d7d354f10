//! What becomes of each field of Kubeflow's.
//!
//! Purpose: data only, and the only source of it: the translation follows it, and a test holds it against the operator's
//! own schema. Owns no state. A field that is missing here is refused.

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// This property.
    Conf(&'static str),
    /// This property, where `sparkConf` does not say it: Kubeflow's operator puts it before.
    Weak(&'static str),
    /// This property, its items between commas.
    List(&'static str),
    /// A property for each entry, whose name begins so.
    Map(&'static str),
    /// This field of the pod.
    Pod(&'static str),
    /// This field of Spark's container.
    Container(&'static str),
    /// Something that is told in code.
    Own(Own),
    /// Nothing, for this reason.
    Dropped(&'static str),
    /// It cannot be done, for this reason.
    Refused(&'static str),
}

/// What is told in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// Read together with others.
    Elsewhere,
    Arguments,
    MainClass,
    /// Java options: added to those of the property.
    Options,
    Secrets,
    SecretKeys,
    ConfigMaps,
    Gpu,
    HostNetwork,
    Sidecars,
    BatchScheduler,
    BatchQueue,
}

const NO_SERVICE: &str = "its operator makes no service and no ingress for it; use a template for spark.apache.org/v1 with driverServiceIngressList";

/// Every field, by its path below `spec`; `{role}` stands for driver and executor.
const ROWS: &[(&str, How)] = &[
    // What runs.
    ("type", How::Own(Own::Elsewhere)),
    ("sparkVersion", How::Own(Own::Elsewhere)),
    ("mainApplicationFile", How::Own(Own::Elsewhere)),
    ("mainClass", How::Own(Own::MainClass)),
    ("arguments", How::Own(Own::Arguments)),
    ("mode", How::Dropped("there is no other mode than cluster")),
    ("apache", How::Own(Own::Elsewhere)),
    ("pythonVersion", How::Conf("spark.kubernetes.pyspark.pythonVersion")),
    ("deps.jars", How::Own(Own::Elsewhere)),
    ("deps.files", How::List("spark.files")),
    ("deps.pyFiles", How::List("spark.submit.pyFiles")),
    ("deps.archives", How::List("spark.archives")),
    ("deps.packages", How::List("spark.jars.packages")),
    ("deps.excludePackages", How::List("spark.jars.excludes")),
    ("deps.repositories", How::List("spark.jars.repositories")),
    ("sparkConf", How::Own(Own::Elsewhere)),
    ("hadoopConf", How::Map("spark.hadoop.")),
    ("hadoopConfigMap", How::Conf("spark.kubernetes.hadoop.configMapName")),
    (
        "sparkConfigMap",
        How::Refused("its operator mounts no Spark configuration; put the properties into sparkConf"),
    ),
    ("proxyUser", How::Refused("nobody may run as somebody else")),
    // How it is run.
    ("restartPolicy.type", How::Own(Own::Elsewhere)),
    ("restartPolicy.onFailureRetries", How::Own(Own::Elsewhere)),
    ("restartPolicy.onFailureRetryInterval", How::Own(Own::Elsewhere)),
    ("restartPolicy.onSubmissionFailureRetries", How::Own(Own::Elsewhere)),
    ("restartPolicy.onSubmissionFailureRetryInterval", How::Own(Own::Elsewhere)),
    ("failureRetries", How::Dropped("Kubeflow's operator does not heed it any more")),
    ("retryInterval", How::Dropped("Kubeflow's operator does not heed it any more")),
    ("suspend", How::Dropped("it may only be false")),
    ("timeToLiveSeconds", How::Dropped("the router deletes applications itself")),
    ("batchScheduler", How::Own(Own::BatchScheduler)),
    ("batchSchedulerOptions.queue", How::Own(Own::BatchQueue)),
    (
        "batchSchedulerOptions.priorityClassName",
        How::Refused("its operator makes no group of pods; set the priority class of driver and executor"),
    ),
    (
        "batchSchedulerOptions.resources",
        How::Refused("its operator makes no group of pods that could ask for them"),
    ),
    ("dynamicAllocation.enabled", How::Conf("spark.dynamicAllocation.enabled")),
    ("dynamicAllocation.initialExecutors", How::Conf("spark.dynamicAllocation.initialExecutors")),
    ("dynamicAllocation.minExecutors", How::Conf("spark.dynamicAllocation.minExecutors")),
    ("dynamicAllocation.maxExecutors", How::Conf("spark.dynamicAllocation.maxExecutors")),
    (
        "dynamicAllocation.shuffleTrackingEnabled",
        How::Conf("spark.dynamicAllocation.shuffleTracking.enabled"),
    ),
    (
        "dynamicAllocation.shuffleTrackingTimeout",
        How::Conf("spark.dynamicAllocation.shuffleTracking.timeout"),
    ),
    (
        "monitoring",
        How::Refused("its operator sets up no monitoring; put Spark's own metrics into sparkConf"),
    ),
    ("sparkUIOptions", How::Refused(NO_SERVICE)),
    ("driverIngressOptions", How::Refused(NO_SERVICE)),
    // Pods of both roles.
    ("image", How::Conf("spark.kubernetes.container.image")),
    ("imagePullPolicy", How::Conf("spark.kubernetes.container.image.pullPolicy")),
    ("imagePullSecrets", How::List("spark.kubernetes.container.image.pullSecrets")),
    ("memoryOverheadFactor", How::Weak("spark.kubernetes.memoryOverheadFactor")),
    ("nodeSelector", How::Map("spark.kubernetes.node.selector.")),
    ("volumes", How::Own(Own::Elsewhere)),
    // Sizes.
    ("{role}.cores", How::Conf("spark.{role}.cores")),
    ("{role}.coreRequest", How::Conf("spark.kubernetes.{role}.request.cores")),
    ("{role}.coreLimit", How::Conf("spark.kubernetes.{role}.limit.cores")),
    ("{role}.memory", How::Conf("spark.{role}.memory")),
    ("{role}.memoryOverhead", How::Conf("spark.{role}.memoryOverhead")),
    (
        "{role}.memoryLimit",
        How::Refused("Spark limits memory to what it asks for; raise memoryOverhead instead"),
    ),
    ("{role}.gpu", How::Own(Own::Gpu)),
    ("executor.instances", How::Conf("spark.executor.instances")),
    ("executor.deleteOnTermination", How::Conf("spark.kubernetes.executor.deleteOnTermination")),
    // Properties of one role's pods.
    ("{role}.image", How::Conf("spark.kubernetes.{role}.container.image")),
    ("{role}.serviceAccount", How::Conf("spark.kubernetes.authenticate.{role}.serviceAccountName")),
    ("{role}.schedulerName", How::Conf("spark.kubernetes.{role}.scheduler.name")),
    ("{role}.labels", How::Map("spark.kubernetes.{role}.label.")),
    ("{role}.annotations", How::Map("spark.kubernetes.{role}.annotation.")),
    ("{role}.nodeSelector", How::Map("spark.kubernetes.{role}.node.selector.")),
    ("{role}.javaOptions", How::Own(Own::Options)),
    ("{role}.secrets", How::Own(Own::Secrets)),
    ("{role}.envSecretKeyRefs", How::Own(Own::SecretKeys)),
    ("driver.envVars", How::Map("spark.kubernetes.driverEnv.")),
    ("executor.envVars", How::Map("spark.executorEnv.")),
    ("driver.serviceLabels", How::Map("spark.kubernetes.driver.service.label.")),
    ("driver.serviceAnnotations", How::Map("spark.kubernetes.driver.service.annotation.")),
    ("driver.podName", How::Refused("its operator names the pod")),
    ("driver.kubernetesMaster", How::Refused("its operator runs drivers in its own cluster")),
    // The rest of them: a pod template.
    ("{role}.template", How::Own(Own::Elsewhere)),
    ("{role}.affinity", How::Pod("affinity")),
    ("{role}.dnsConfig", How::Pod("dnsConfig")),
    ("{role}.hostAliases", How::Pod("hostAliases")),
    ("{role}.hostNetwork", How::Own(Own::HostNetwork)),
    ("{role}.initContainers", How::Pod("initContainers")),
    ("{role}.podSecurityContext", How::Pod("securityContext")),
    ("{role}.priorityClassName", How::Pod("priorityClassName")),
    ("{role}.shareProcessNamespace", How::Pod("shareProcessNamespace")),
    ("{role}.sidecars", How::Own(Own::Sidecars)),
    ("{role}.terminationGracePeriodSeconds", How::Pod("terminationGracePeriodSeconds")),
    ("{role}.tolerations", How::Pod("tolerations")),
    ("{role}.configMaps", How::Own(Own::ConfigMaps)),
    ("{role}.env", How::Container("env")),
    ("{role}.envFrom", How::Container("envFrom")),
    ("{role}.lifecycle", How::Container("lifecycle")),
    ("{role}.ports", How::Container("ports")),
    ("{role}.securityContext", How::Container("securityContext")),
    ("{role}.volumeMounts", How::Container("volumeMounts")),
];

/// What becomes of a field, and the number of the role that it is about (0 where it is about none).
pub(super) fn how(path: &str) -> Option<(usize, How)> {
    let role = match path.split_once('.') {
        Some(("executor", _)) => 1,
        _ => 0,
    };
    let row = ROWS.iter().find(|(row, _)| is_of(row, path))?;
    Some((role, row.1))
}

/// Whether rows speak of fields below this one.
pub(super) fn is_above_a_row(path: &str) -> bool {
    ROWS.iter().any(|(row, _)| {
        let start = row.split('.').zip(path.split('.')).all(|(row, step)| is_step(row, step));
        start && row.split('.').count() > path.split('.').count()
    })
}

fn is_of(row: &str, path: &str) -> bool {
    row.split('.').count() == path.split('.').count()
        && row.split('.').zip(path.split('.')).all(|(row, step)| is_step(row, step))
}

fn is_step(row: &str, step: &str) -> bool {
    row == step || row == "{role}" && matches!(step, "driver" | "executor")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every field of the `spec` of Kubeflow's SparkApplication, from its own definition; types of Kubernetes itself are
    /// one field each, because they are handed on or refused as a whole.
    pub(in super::super) const SCHEMA: &str = include_str!("kubeflow-fields.txt");

    #[test]
    fn every_field_of_the_schema_is_decided() {
        for path in SCHEMA.lines() {
            let mut steps: Vec<_> = path.split('.').collect();
            let decided = loop {
                match how(&steps.join(".")) {
                    Some(decided) => break Some(decided),
                    None if steps.len() > 1 => drop(steps.pop()),
                    None => break None,
                }
            };
            assert!(decided.is_some(), "{path}: nobody decided about it");
        }
    }

    #[test]
    fn every_row_is_about_a_field_of_the_schema() {
        for (row, _) in ROWS.iter().filter(|(row, _)| *row != "apache") {
            let is_met = |path: &str| {
                let start = row.split('.').zip(path.split('.')).all(|(row, step)| is_step(row, step));
                start && row.split('.').count() <= path.split('.').count()
            };
            assert!(SCHEMA.lines().any(is_met), "{row}");
        }
    }
}
