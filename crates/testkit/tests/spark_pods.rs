//! Holds the stand-in of `spark-submit` to Spark itself: the same application, submitted by both, gives the same pods.
//!
//! Everything in metadata and spec must be equal but what [`DIFFERENCES`] lists. Needs Java 17 and Python; without them it
//! says so and is skipped, unless `SPARK_ROUTER_REQUIRE_SPARK=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use spark_router_testkit::kubelet::{Kubelet, KubeletOptions};
use spark_router_testkit::{Cluster, Fleet, MemberOptions, chain, pyspark};

/// Spark takes 20 s alone on two cores, and minutes beside a compiler.
const PATIENCE: Duration = Duration::from_mins(10);

/// What may differ: role, where (a `*` stands for the rest), why. One that does not differ any more fails the test too.
const DIFFERENCES: [(&str, &str, &str); 7] = [
    ("both", "spec/nodeName", "two clusters, two nodes"),
    ("both", "spec/containers/*/env/SPARK_USER/value", "Spark takes the user that its spark-submit runs as"),
    (
        "driver",
        "metadata/annotations/spark-router.test/exit-code",
        "tells the played node how the driver ends",
    ),
    (
        "executor",
        "spec/containers/*/env/SPARK_JAVA_OPT_*",
        "options of a JVM that the stand-in does not start",
    ),
    (
        "executor",
        "spec/containers/*/env/SPARK_DRIVER_URL/value",
        "the process kubelet gives a driver an address in place of its service's name, which nothing resolves here",
    ),
    (
        "executor",
        "spec/containers/*/env/SPARK_LOCAL_DIRS/value",
        "the process kubelet puts a driver's folders elsewhere, and the driver hands on where",
    ),
    ("executor", "spec/containers/*/volumeMounts/spark-local-dir-1/mountPath", "the same"),
];

/// What both must have, so that two empty pods are not taken for equal. `@` is the role, `#` an identifier.
const PRESENT: [(&str, &str, &str); 30] = [
    ("both", "metadata/labels/spark-app-selector", "<id>"),
    ("both", "metadata/labels/spark-role", "@"),
    ("both", "metadata/labels/spark-version", "4.0.1"),
    ("both", "metadata/labels/spark-app-name", "pi-daily"),
    ("both", "metadata/labels/sparkoperator.k8s.io/app-name", "pi.daily"),
    ("both", "metadata/labels/sparkoperator.k8s.io/submission-id", "<submission>"),
    ("both", "metadata/labels/sparkrouter.dev/job-uid", "0b7c"),
    ("both", "metadata/ownerReferences/0/uid", "<application>"),
    ("driver", "spec/serviceAccountName", "spark"),
    ("driver", "spec/schedulerName", "default-scheduler"),
    ("driver", "spec/nodeSelector/kubernetes.io/os", "linux"),
    ("driver", "spec/priorityClassName", "system-cluster-critical"),
    ("driver", "metadata/labels/from-template", "yes"),
    ("driver", "metadata/labels/from-conf", "yes"),
    ("executor", "spec/serviceAccountName", "by-template"),
    ("both", "spec/containers/spark-kubernetes-@/image", "spark:4.0.1"),
    ("both", "spec/containers/spark-kubernetes-@/env/SPARK_APPLICATION_ID/value", "<id>"),
    ("both", "spec/containers/spark-kubernetes-@/env/SPARK_CONF_DIR/value", "/opt/spark/conf"),
    ("both", "spec/containers/spark-kubernetes-@/volumeMounts/spark-local-dir-1/name", "spark-local-dir-1"),
    ("driver", "metadata/name", "pi.daily-driver"),
    ("driver", "spec/containers/spark-kubernetes-driver/resources/requests/cpu", "1"),
    ("driver", "spec/containers/spark-kubernetes-driver/resources/limits/cpu", "1200m"),
    ("driver", "spec/containers/spark-kubernetes-driver/resources/requests/memory", "896Mi"),
    ("driver", "spec/containers/spark-kubernetes-driver/ports/driver-rpc-port/containerPort", "7078"),
    ("driver", "spec/volumes/pod-template-volume/configMap/name", "pi-daily-#-driver-podspec-conf-map"),
    ("executor", "metadata/name", "pi-daily-#-exec-1"),
    ("executor", "metadata/ownerReferences/1/uid", "<driver>"),
    ("executor", "spec/containers/spark-kubernetes-executor/resources/requests/cpu", "500m"),
    ("executor", "spec/containers/spark-kubernetes-executor/resources/requests/memory", "800Mi"),
    ("executor", "spec/containers/spark-kubernetes-executor/ports/blockmanager/containerPort", "7079"),
];

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: jobs}\n";

const APPLICATION: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: by-template, namespace: jobs}
---
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata:
  name: pi.daily
  namespace: jobs
  labels: {team: blue, sparkrouter.dev/job-uid: 0b7c}
  annotations: {owner: ada}
spec:
  type: Python
  pythonVersion: "3"
  mode: cluster
  sparkVersion: 4.0.1
  image: spark:4.0.1
  imagePullPolicy: IfNotPresent
  mainApplicationFile: local://CODE
  arguments: ["100000", "two words"]
  restartPolicy: {type: Never}
  sparkConf:
    spark.eventLog.enabled: "false"
    spark.kubernetes.driver.label.from-conf: "yes"
    spark.kubernetes.driver.scheduler.name: default-scheduler
    spark.executorEnv.FROM_CONF: "1"
  nodeSelector: {kubernetes.io/os: linux}
  driver:
    cores: 1
    coreLimit: 1200m
    memory: 512m
    serviceAccount: spark
    labels: {tier: driver}
    annotations: {spark-router.test/run-ms: "600000", note: "a=b, c"}
    env: [{name: MODE, value: test}]
    tolerations: [{key: spark, operator: Exists}]
    template:
      metadata: {labels: {from-conf: "no", from-template: "yes"}}
      spec:
        priorityClassName: system-cluster-critical
        serviceAccount: by-template
        schedulerName: by-template
        nodeSelector: {kubernetes.io/os: by-template}
        containers: [{name: spark-kubernetes-driver, image: by-template}]
  executor:
    instances: 1
    cores: 1
    coreRequest: 500m
    memory: 600m
    memoryOverhead: 200m
    serviceAccount: spark
    template:
      spec:
        serviceAccount: by-template
        containers: [{name: spark-kubernetes-executor}]
    labels: {tier: executor}
    annotations: {note: executor}
    env: [{name: MODE, value: test}]
"#;

/// The first pod of a role, as soon as there is one.
async fn pod(cluster: &Cluster, role: &str) -> Value {
    let started = Instant::now();
    let selector = format!("-lspark-role={role}");
    loop {
        let text = cluster.kubectl(&["get", "pods", "-n", "jobs", &selector, "-o", "json"]).await;
        let text = text.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let list: Value = serde_json::from_str(&text).unwrap();
        if let Some(pod) = list["items"].as_array().and_then(|items| items.first()) {
            return pod.clone();
        }
        if started.elapsed() > PATIENCE {
            let all = cluster.kubectl(&["get", "sparkapplications,pods", "-n", "jobs", "-o", "yaml"]).await;
            panic!("no {role} on {}:\n{}", cluster.name(), all.unwrap_or_else(|error| chain(&error)));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every value in metadata and spec by its path, without what the API server makes up for each object, and with names
/// in place of identifiers.
fn values(pod: &Value, driver: &Value) -> BTreeMap<String, String> {
    let text = |object: &Value, pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer} in {object:#}"))
            .to_owned()
    };
    let known = [
        (text(pod, "/metadata/labels/spark-app-selector"), "<id>"),
        (text(pod, "/metadata/labels/sparkoperator.k8s.io~1submission-id"), "<submission>"),
        (text(pod, "/metadata/ownerReferences/0/uid"), "<application>"),
        (text(driver, "/metadata/uid"), "<driver>"),
    ];
    let mut found = BTreeMap::new();
    for part in ["metadata", "spec"] {
        collect(&pod[part], part, &mut found);
    }
    for made_up in ["creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"] {
        let path = format!("metadata/{made_up}");
        found.retain(|key, _| *key != path && !key.starts_with(&format!("{path}/")));
    }
    for value in found.values_mut() {
        for (identifier, name) in &known {
            *value = value.replace(identifier.as_str(), name);
        }
        *value = masked(value);
    }
    found
}

/// The leaves of a value; lists of named things are read as maps, because their order says nothing.
fn collect(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| collect(value, &format!("{path}/{key}"), found));
        }
        Value::Array(list) if !list.is_empty() => {
            let named =
                !path.ends_with("ownerReferences") && list.iter().all(|item| item["name"].is_string());
            for (index, item) in list.iter().enumerate() {
                let key = if named { item["name"].as_str().unwrap().to_owned() } else { index.to_string() };
                collect(item, &format!("{path}/{key}"), found);
            }
        }
        Value::String(text) => drop(found.insert(path.to_owned(), text.clone())),
        other => drop(found.insert(path.to_owned(), other.to_string())),
    }
}

/// Identifiers as `#`: UUIDs, and words of 16 and more hexadecimal digits.
fn masked(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let word = &rest[..end];
        let length = match rest.get(..36) {
            Some(uuid) if is_uuid(uuid) => 36,
            _ if end >= 16 && word.chars().all(|c| c.is_ascii_hexdigit()) => end,
            _ => 0,
        };
        let (shown, taken) = match length {
            0 if end == 0 => (&rest[..first.len_utf8()], first.len_utf8()),
            0 => (word, end),
            length => ("#", length),
        };
        result.push_str(shown);
        rest = &rest[taken..];
    }
    result
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().chars().all(|c| c.is_ascii_hexdigit())
}

/// Whether a path is the pattern; each `*` stands for anything.
fn matches(path: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    open || rest.is_empty()
}

/// What is wrong with a pair of pods; the patterns that were needed go into `needed`.
fn objections(
    role: &str,
    real: &BTreeMap<String, String>,
    standin: &BTreeMap<String, String>,
    needed: &mut BTreeSet<&'static str>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for path in real.keys().chain(standin.keys()).collect::<BTreeSet<_>>() {
        let (spark, ours) = (real.get(path), standin.get(path));
        if spark == ours {
            continue;
        }
        let allowed = DIFFERENCES
            .iter()
            .find(|(of, pattern, _)| (*of == role || *of == "both") && matches(path, pattern));
        match allowed {
            Some((_, pattern, _)) => drop(needed.insert(pattern)),
            None => wrong.push(format!("{role} {path}: Spark has {spark:?}, the stand-in {ours:?}")),
        }
    }
    for (of, path, value) in PRESENT {
        let (path, value) = (path.replace('@', role), value.replace('@', role));
        if (of == role || of == "both") && real.get(&path) != Some(&value) {
            wrong.push(format!("{role} {path}: Spark has {:?} instead of {value:?}", real.get(&path)));
        }
    }
    wrong
}

#[test]
fn patterns_and_identifiers() {
    assert!(matches("a/b/c", "a/*/c") && matches("a/b/c1", "a/*/c*") && matches("a", "a"));
    assert!(!matches("a/b/c1", "a/*/c") && !matches("a/b", "a") && !matches("b/a", "a*"));
    assert_eq!(masked("pi-76f276a1fdf8d822-exec-1"), "pi-#-exec-1");
    assert_eq!(masked("/var/spark-72936eaf-dcc1-473b-a531-a6b4b29347d6"), "/var/spark-#");
    assert_eq!(masked("spark-kubernetes-driver"), "spark-kubernetes-driver");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_makes_the_pods_of_spark() {
    let installed = pyspark::installed().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let Some(spark) = installed else { return };
    let started = Instant::now();
    let builder =
        Fleet::builder().member_with("real", spark.member()).member_with("standin", MemberOptions::spark());
    let fleet = builder.start().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let (real, standin) = (fleet.member("real"), fleet.member("standin"));
    // Executors come only once the driver runs.
    let kubelet = Kubelet::start(real, fleet.supervisor(), KubeletOptions::of(real, spark, &fleet, 0)).await;
    let _kubelet = kubelet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/spark/waits.py");
    let application = APPLICATION.replace("CODE", &code.to_string_lossy());
    let manifest = format!("{NAMESPACE}---\n{}---\n{application}", pyspark::account("jobs"));
    for cluster in [real, standin] {
        cluster.create_manifest(&manifest).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }
    let (mut needed, mut wrong) = (BTreeSet::new(), Vec::new());
    let (real_driver, standin_driver) = tokio::join!(pod(real, "driver"), pod(standin, "driver"));
    for role in ["driver", "executor"] {
        let (ours, spark) = tokio::join!(pod(standin, role), pod(real, role));
        eprintln!("both have the {role} after {:.1?}", started.elapsed());
        let (spark, ours) = (values(&spark, &real_driver), values(&ours, &standin_driver));
        eprintln!("{role}: {} values", spark.len());
        wrong.extend(objections(role, &spark, &ours, &mut needed));
    }
    let stale = DIFFERENCES.iter().filter(|(_, pattern, _)| !needed.contains(pattern));
    wrong.extend(stale.map(|(_, pattern, why)| format!("{pattern} does not differ any more ({why})")));
    // The kubelet then takes away what the operator keeps for the driver outside of the fleet's folder.
    let delete = ["delete", "pod", "-n", "jobs", "pi.daily-driver", "--grace-period=1", "--timeout=120s"];
    real.kubectl(&delete).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
