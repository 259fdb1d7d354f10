//! Everything that a template must not say, with what to do about it.
//!
//! Purpose: data only, as `table`. Owns no state. What is missing here reaches the member as the template says it.

use super::place::Path;

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
    Refused {
        path: &["spec", "apache", "deploymentMode"],
        ban: Ban::Unless("ClusterMode"),
        advice: "remove it: drivers run on the member, in a pod of their own",
    },
    // Another API server, other credentials.
    refused(&["spec", "proxyUser"], ELSEWHERE),
    refused(&["spec", "driver", "kubernetesMaster"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.submit.proxyUser"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.master"], ELSEWHERE),
    refused(&["spec", "sparkConf", "spark.remote"], ELSEWHERE),
    // Apache's operator puts the address of its own cluster behind it.
    refused(&["spec", "sparkConf", "spark.master.url.prefix"], ELSEWHERE),
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
