//! Properties that a job on EMR on EKS may not set, whatever way it says them, and with which words it hears so.
//!
//! Purpose: data and how a property is found in it. Owns no state. Names are compared without regard to case: one that is
//! only almost a name must not slip through where something else is more lenient.

use spark_router_api::names;

/// A trailing `*` stands for any ending, `{role}` for driver and executor.
const PROPERTIES: [(&str, &str); 17] = [
    ("spark.master", AWS),
    ("spark.submit.deployMode", AWS),
    ("spark.remote", AWS),
    ("spark.kubernetes.namespace", AWS),
    ("spark.kubernetes.driver.pod.name", AWS),
    ("spark.kubernetes.driver.resourceNamePrefix", AWS),
    ("spark.kubernetes.executor.podNamePrefix", AWS),
    ("spark.kubernetes.container.image.pullPolicy", AWS),
    ("spark.kubernetes.container.image.pullSecrets", AWS),
    ("spark.kubernetes.{role}.podTemplateContainerName", AWS),
    ("spark.kubernetes.{role}.master", AWS),
    ("spark.kubernetes.context", AWS),
    ("spark.submit.proxyUser", AWS),
    // The service account among them.
    ("spark.kubernetes.authenticate.*", ACCOUNT),
    ("spark.kubernetes.{role}.label.emr-containers.amazonaws.com/*", LABELS),
    ("spark.kubernetes.{role}.annotation.emr-containers.amazonaws.com/*", LABELS),
    ("spark.kubernetes.{role}.label.eks-subscription.amazonaws.com/*", LABELS),
];

const AWS: &str = "EMR on EKS decides it and takes no such property; remove it";
const ACCOUNT: &str =
    "EMR on EKS has service accounts of its own, with the rights of the execution role; remove it";
const LABELS: &str =
    "belongs to EMR on EKS; remove it (vertical autoscaling is spec.emr.verticalAutoscaling)";
const OURS: &str = "belongs to the router; remove it";
const SPARKS: &str = "belongs to Spark, which would refuse the application; remove it";
const ENV: &str = "EMR on EKS sets this variable itself; take another name";

/// EMR's sizing is the exception.
const SIZING: &str = "emr-containers.amazonaws.com/dynamic.sizing";

/// Labels that Spark sets itself.
const SPARKS_LABELS: [&str; 5] =
    ["spark-role", "spark-app-selector", "spark-app-name", "spark-version", "spark-exec-id"];

/// Variables that EMR sets itself.
const VARIABLES: [&str; 4] =
    ["SPARK_CONTAINER_ID", "K8S_SPARK_LOG_URL_STDERR", "K8S_SPARK_LOG_URL_STDOUT", "SIDECAR_SIGNAL_FILE"];

/// Volumes of EMR's own pods.
const VOLUMES: [&str; 8] = [
    "emr-container-communicate",
    "config-volume",
    "emr-container-application-log-dir",
    "emr-container-event-log-dir",
    "temp-data-dir",
    "mnt-dir",
    "home-dir",
    "emr-container-s3",
];

/// Where they are mounted.
const MOUNTS: [&str; 6] =
    ["/tmp", "/mnt", "/home/hadoop", "/var/log/fluentd", "/var/log/spark/user", "/var/log/spark/apps"];

/// Marks of the Kubeflow operator on pods: they mean nothing here.
pub(super) const OPERATORS: &str = "sparkoperator.k8s.io/";
/// Marks for Kueue, which the operator keeps from pods.
pub(super) const KUEUE: &str = "kueue.x-k8s.io/";

/// What nobody may say, as the documentation prints it.
#[cfg(test)]
pub(super) fn markdown() -> String {
    let mut text = String::from("| property | why |\n|---|---|\n");
    for (pattern, why) in PROPERTIES {
        text.push_str(&format!("| `{}` | {why} |\n", pattern.replace("{role}", "<role>")));
    }
    text.push_str(&format!("| variables {} | {ENV} |\n", list(&VARIABLES)));
    text.push_str(&format!(
        "| volumes {} | EMR on EKS has them itself; take another name |\n",
        list(&VOLUMES)
    ));
    text.push_str(&format!(
        "| mounts at or above {} | EMR on EKS has volumes of its own there |\n",
        list(&MOUNTS)
    ));
    text
}

#[cfg(test)]
fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Why nobody may set a property to that value.
pub(super) fn property(key: &str, value: &str) -> Option<String> {
    let own = |reason: &str| Some(reason.to_owned());
    let lower = key.trim().to_ascii_lowercase();
    if let Some(label) = label_key(&lower) {
        if label.starts_with(names::PREFIX) {
            return own(OURS);
        }
        if SPARKS_LABELS.contains(&label) {
            return own(SPARKS);
        }
        if label == SIZING || label.strip_prefix(SIZING).is_some_and(|rest| rest.starts_with('.')) {
            return None;
        }
    }
    if let Some(why) = PROPERTIES.iter().find(|(pattern, _)| fits(pattern, &lower)).map(|(_, why)| *why) {
        return own(why);
    }
    if variable(key).is_some_and(|name| VARIABLES.contains(&name)) {
        return own(ENV);
    }
    volume(key, value).or_else(|| pod_template(&lower, value))
}

/// The key of a label or annotation of pods that a property sets.
fn label_key(lower: &str) -> Option<&str> {
    after_role(lower)
        .and_then(|rest| rest.strip_prefix("label.").or_else(|| rest.strip_prefix("annotation.")))
}

/// The key of a label of pods, as it is written.
pub(super) fn pod_label(key: &str) -> Option<&str> {
    after_role(key).and_then(|rest| rest.strip_prefix("label."))
}

fn after_role(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("spark.kubernetes.")?;
    rest.strip_prefix("driver.").or_else(|| rest.strip_prefix("executor."))
}

/// The variable that a property sets.
pub(super) fn variable(key: &str) -> Option<&str> {
    let by_secret = || after_role(key).and_then(|rest| rest.strip_prefix("secretKeyRef."));
    key.strip_prefix("spark.kubernetes.driverEnv.")
        .or_else(|| key.strip_prefix("spark.executorEnv."))
        .or_else(by_secret)
}

fn fits(pattern: &str, lower: &str) -> bool {
    ["driver", "executor"].iter().any(|role| {
        let pattern = pattern.replace("{role}", role).to_ascii_lowercase();
        match pattern.strip_suffix('*') {
            Some(start) => lower.starts_with(start),
            None => lower == pattern,
        }
    })
}

/// `spark.kubernetes.<role>.volumes.<type>.<name>.<rest>`.
fn volume(key: &str, value: &str) -> Option<String> {
    let mut steps = after_role(key)?.strip_prefix("volumes.")?.splitn(3, '.');
    let (_, name, rest) = (steps.next()?, steps.next()?, steps.next()?);
    if VOLUMES.contains(&name) {
        return Some(format!("EMR on EKS has a volume called {name} itself; take another name"));
    }
    if rest != "mount.path" {
        return None;
    }
    let path = value.trim_end_matches('/');
    let hides = |mount: &&&str| {
        let rest = mount.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mount = MOUNTS.iter().find(hides)?;
    Some(format!(
        "EMR on EKS has a volume of its own at {mount}, which this one would hide; mount it elsewhere"
    ))
}

fn pod_template(lower: &str, value: &str) -> Option<String> {
    let is_one = fits("spark.kubernetes.{role}.podTemplateFile", lower);
    (is_one && !value.starts_with("s3://")).then(|| {
        "EMR on EKS reads pod templates from S3 alone; give an address that begins with s3://".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_met_in_every_spelling() {
        for (pattern, why) in PROPERTIES {
            for role in ["driver", "executor"] {
                let key = pattern.replace("{role}", role).replace('*', "x");
                for key in [key.clone(), key.to_ascii_uppercase(), format!(" {key} ")] {
                    assert_eq!(property(&key, "v").as_deref(), Some(why), "{key}");
                }
            }
        }
    }

    #[test]
    fn what_is_nobodys_is_free() {
        for (key, value) in [
            ("spark.executor.memory", "1g"),
            ("spark.masters", "x"),
            ("spark.kubernetes.driver.label.team", "a"),
            ("spark.kubernetes.driver.label.emr-containers.amazonaws.com/dynamic.sizing", "true"),
            ("spark.kubernetes.driver.annotation.emr-containers.amazonaws.com/dynamic.sizing.signature", "x"),
            ("spark.kubernetes.driverEnv.HOME", "/x"),
            ("spark.kubernetes.driver.podTemplateFile", "s3://a/b.yaml"),
            ("spark.kubernetes.driver.volumes.persistentVolumeClaim.data.mount.path", "/mnt/data"),
            ("spark.kubernetes.driver.volumes.persistentVolumeClaim.data.mount.path", "/tmpfs"),
            ("spark.kubernetes.driver.volumes.persistentVolumeClaim.data.options.claimName", "/tmp"),
        ] {
            assert_eq!(property(key, value), None, "{key}");
        }
    }

    #[test]
    fn names_and_places_of_others_are_not() {
        for (key, value, part) in [
            ("spark.kubernetes.driver.label.sparkrouter.dev/origin", "x", "router"),
            ("spark.kubernetes.executor.annotation.sparkrouter.dev/seq", "x", "router"),
            ("spark.kubernetes.driver.label.spark-role", "x", "Spark"),
            ("spark.kubernetes.driver.label.emr-containers.amazonaws.com/dynamic.sizings", "x", "EMR"),
            ("spark.kubernetes.driverEnv.SPARK_CONTAINER_ID", "x", "variable"),
            ("spark.executorEnv.SIDECAR_SIGNAL_FILE", "x", "variable"),
            ("spark.kubernetes.driver.secretKeyRef.K8S_SPARK_LOG_URL_STDERR", "a:b", "variable"),
            ("spark.kubernetes.driver.podTemplateFile", "/opt/pod.yaml", "s3://"),
            ("spark.kubernetes.driver.volumes.emptyDir.mnt-dir.mount.path", "/x", "mnt-dir"),
            ("spark.kubernetes.executor.volumes.nfs.a.mount.path", "/mnt/", "at /mnt"),
            ("spark.kubernetes.executor.volumes.nfs.a.mount.path", "/var/log", "at /var/log"),
            ("spark.kubernetes.executor.volumes.nfs.a.mount.path", "/", "at /tmp"),
        ] {
            let why = property(key, value).unwrap_or_else(|| panic!("{key} is free"));
            assert!(why.contains(part), "{key}: {why}");
        }
    }
}
