//! Reads a SparkApplication template: what it would reserve, and what it must not say.
//!
//! Owns no state. Pure: a template comes in as JSON, facts or a rejection go out. Every rejection names the field's path,
//! the value and what to do. Reads only what routing needs: all else belongs to the member, which judges it itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use spark_router_api::{SparkQueueSpec, job::emr::EmrJob};
use spark_router_core::{
    demand::{Dynamic, Role, Shape, demand},
    id::JobKey,
    job::Rejection,
    place::Expressed,
    resources::{AmountError, Resources, cpu_milli, memory_bytes},
};
use spark_router_member::{
    Asked,
    render::{self, QueueParts, Refusal, native},
};

use crate::backends::Kinds;

/// What routing needs of a template.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// `spec.sparkVersion`.
    pub spark_version: String,
    /// What the application reserves.
    pub demand: Resources,
    /// Which kinds of members can run it.
    pub expressed: Expressed,
}

/// What a job says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// Its place on the hub.
    pub key: &'a JobKey,
    /// Its template: `{apiVersion, kind, metadata, spec}`.
    pub template: &'a Value,
    /// What it says to EMR on EKS alone.
    pub emr: Option<&'a EmrJob>,
}

/// Executors of an application that says nothing of them, where no webhook says it either: Spark's own number.
const UNSAID_EXECUTORS: u64 = 2;

/// How messages call the template.
const ROOT: &str = "spec.template";

/// Reads what a job asks for, with what its queue adds.
///
/// # Errors
/// The first thing that cannot be taken: reason `InvalidTemplate` for what cannot be read, `ReservedField` for what the
/// router, the queue or the member decides.
pub fn read(job: &Own<'_>, queue: &QueueParts, kinds: &Kinds) -> Result<Facts, Rejection> {
    let template = job.template;
    let facts = facts(job, queue, kinds);
    if native::is_apache(template) {
        // It was read in other words than its user's.
        return facts
            .map_err(|Rejection { reason, message }| Rejection { reason, message: native::path(&message) });
    }
    facts
}

fn facts(job: &Own<'_>, queue: &QueueParts, kinds: &Kinds) -> Result<Facts, Rejection> {
    let template = job.template;
    // What the user wrote is judged, and what becomes of it is counted: a queue may add what its users may not.
    if let Some(Refusal { path, advice }) = render::refused(template, ROOT, queue.allow) {
        return Err(Rejection { reason: "ReservedField", message: format!("{path}: {advice}") });
    }
    let effective = render::effective(template, queue);
    let root = Node { value: &effective, path: ROOT.to_owned() };
    let spec = root.child("spec");
    let conf = spec.child("sparkConf").texts()?;
    if spec.child("restartPolicy").child("type").text()?.as_deref() == Some("Always") {
        let node = spec.child("restartPolicy").child("type");
        return Err(node.invalid("\"Always\" never ends; use Never or OnFailure"));
    }
    if spec.child("suspend").value == &Value::Bool(true) {
        return Err(spec
            .child("suspend")
            .reserved("remove it: the router decides when the application starts"));
    }
    let Some(spark_version) = spec.child("sparkVersion").text()? else {
        return Err(spec.child("sparkVersion").invalid("is required, like \"4.0.1\""));
    };
    let main_file = spec.child("mainApplicationFile").text()?.unwrap_or_default();
    let driver = spec.child("driver");
    let executor = spec.child("executor");
    let dynamic = spec.child("dynamicAllocation");
    let shape = Shape {
        python: has_ending(&main_file, ".py") || spec.child("type").text()?.as_deref() == Some("Python"),
        r: has_ending(&main_file, ".r") || spec.child("type").text()?.as_deref() == Some("R"),
        overhead_factor: spec.child("memoryOverheadFactor").text()?,
        driver: role(&driver, "driver")?,
        executor: role(&executor, "executor")?,
        instances: match executor.child("instances").number()? {
            None if native::is_apache(template) && !says_executors(&conf) => Some(UNSAID_EXECUTORS),
            instances => instances,
        },
        dynamic: if dynamic.child("enabled").value == &Value::Bool(true) {
            let (initial, min) =
                (dynamic.child("initialExecutors").number()?, dynamic.child("minExecutors").number()?);
            Some(Dynamic { initial, min })
        } else {
            None
        },
        conf,
    };
    let demand = demand(&shape).map_err(|error| Rejection {
        reason: "InvalidTemplate",
        message: format!("{}.{}: {}", spec.path, error.path, error.source),
    })?;
    let asked = Asked {
        key: job.key,
        template: &effective,
        emr: job.emr,
        pod_template_files: queue.allow.pod_template_files,
    };
    Ok(Facts { spark_version, demand, expressed: kinds.expressed(&asked) })
}

/// Whether properties say how many executors there are, or leave it to Spark.
fn says_executors(conf: &BTreeMap<String, String>) -> bool {
    let is_dynamic = conf.get("spark.dynamicAllocation.enabled");
    conf.contains_key("spark.executor.instances")
        || is_dynamic.is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// What a queue adds to the template of a job of that size class.
///
/// # Errors
/// When the queue has no such class.
pub fn parts(queue: &SparkQueueSpec, size: &str) -> Result<QueueParts, Rejection> {
    QueueParts::new(queue, Some(size)).map_err(|message| Rejection { reason: "InvalidTemplate", message })
}

fn has_ending(file: &str, ending: &str) -> bool {
    file.len() >= ending.len() && file.is_char_boundary(file.len() - ending.len()) && {
        file[file.len() - ending.len()..].eq_ignore_ascii_case(ending)
    }
}

fn role(node: &Node<'_>, name: &str) -> Result<Role, Rejection> {
    let pod = node.child("template").child("spec");
    // Spark takes the container of its own name or the first one, and decides what it asks for.
    let spark = pod.child("containers").value.as_array().map(|containers| {
        let own = format!("spark-kubernetes-{name}");
        containers.iter().position(|it| it.get("name").and_then(Value::as_str) == Some(&own)).unwrap_or(0)
    });
    Ok(Role {
        cores: node.child("cores").number()?,
        core_request: node.child("coreRequest").text()?,
        memory: node.child("memory").text()?,
        memory_overhead: node.child("memoryOverhead").text()?,
        sidecars: both(
            containers(&node.child("sidecars"), None)?,
            containers(&pod.child("containers"), spark)?,
        ),
        inits: both(
            containers(&node.child("initContainers"), None)?,
            containers(&pod.child("initContainers"), None)?,
        ),
    })
}

fn both(mut one: Vec<Resources>, other: Vec<Resources>) -> Vec<Resources> {
    one.extend(other);
    one
}

/// The requests of a list of containers but the one of number `except`; a request that is absent but limited counts as its limit, as in Kubernetes.
fn containers(list: &Node<'_>, except: Option<usize>) -> Result<Vec<Resources>, Rejection> {
    let Value::Array(items) = list.value else { return Ok(Vec::new()) };
    let mut requests = Vec::with_capacity(items.len());
    for (n, value) in items.iter().enumerate().filter(|(n, _)| Some(*n) != except) {
        let resources = Node { value, path: format!("{}[{n}]", list.path) }.child("resources");
        let amount = |name: &str, read: fn(&str) -> Result<u64, AmountError>| -> Result<u64, Rejection> {
            for part in ["requests", "limits"] {
                let node = resources.child(part).child(name);
                if let Some(text) = node.text()? {
                    return read(&text).map_err(|error| node.invalid(&error.to_string()));
                }
            }
            Ok(0)
        };
        let (cpu_milli, memory_bytes) = (amount("cpu", cpu_milli)?, amount("memory", memory_bytes)?);
        requests.push(Resources { jobs: 0, pods: 0, cpu_milli, memory_bytes });
    }
    Ok(requests)
}

/// A value in the template and where it stands.
struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    fn child(&self, name: &str) -> Node<'a> {
        Node { value: self.value.get(name).unwrap_or(&Value::Null), path: format!("{}.{name}", self.path) }
    }

    /// A text; numbers and booleans are taken as they are written, as the member's schema would show them.
    fn text(&self) -> Result<Option<String>, Rejection> {
        match self.value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Bool(flag) => Ok(Some(flag.to_string())),
            Value::Array(_) | Value::Object(_) => Err(self.invalid("is not a text")),
        }
    }

    fn number(&self) -> Result<Option<u64>, Rejection> {
        match self.value {
            Value::Null => Ok(None),
            Value::Number(number) if number.is_u64() => Ok(number.as_u64()),
            other => Err(self.invalid(&format!("{other} is not a whole number of 0 or more"))),
        }
    }

    fn map(&self) -> Result<Option<&'a Map<String, Value>>, Rejection> {
        match self.value {
            Value::Null => Ok(None),
            Value::Object(map) => Ok(Some(map)),
            _ => Err(self.invalid("is not a map of texts")),
        }
    }

    fn texts(&self) -> Result<BTreeMap<String, String>, Rejection> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.map()?.into_iter().flatten() {
            let node = Node { value, path: format!("{}[{key}]", self.path) };
            if let Some(text) = node.text()? {
                texts.insert(key.clone(), text);
            }
        }
        Ok(texts)
    }

    fn invalid(&self, what: &str) -> Rejection {
        Rejection { reason: "InvalidTemplate", message: format!("{}: {what}", self.path) }
    }

    fn reserved(&self, what: &str) -> Rejection {
        Rejection { reason: "ReservedField", message: format!("{}: {what}", self.path) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(template: &Value, queue: &QueueParts) -> Result<Facts, Rejection> {
        let key = JobKey { namespace: "team-a".into(), name: "daily".to_owned() };
        super::read(&Own { key: &key, template, emr: None }, queue, &Kinds::default())
    }

    fn template() -> Value {
        json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "metadata": {"labels": {"team": "a"}},
            "spec": {
                "type": "Scala", "sparkVersion": "3.5.4", "mode": "cluster",
                "mainApplicationFile": "local:///opt/spark/examples/jars/spark-examples.jar",
                "driver": {"cores": 1, "memory": "512m"},
                "executor": {"cores": 2, "instances": 3, "memory": "512m"}
            }
        })
    }

    fn at(path: &str, value: Value) -> Value {
        let mut root = template();
        let mut node = &mut root;
        for part in path.split('/') {
            node = node.as_object_mut().unwrap().entry(part).or_insert_with(|| json!({}));
        }
        *node = value;
        root
    }

    #[test]
    fn facts_are_read() {
        let facts = read(&template(), &QueueParts::default()).unwrap();
        assert_eq!(facts.spark_version, "3.5.4");
        assert_eq!(
            facts.demand,
            Resources { jobs: 1, pods: 4, cpu_milli: 7000, memory_bytes: 4 * (896 << 20) }
        );
        let sidecar =
            json!([{"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "1Gi"}}}]);
        let facts = read(&at("spec/driver/sidecars", sidecar), &QueueParts::default()).unwrap();
        assert_eq!(facts.demand.cpu_milli, 7500);
        assert_eq!(facts.demand.memory_bytes, 4 * (896 << 20) + (1 << 30));
    }

    #[test]
    fn containers_of_pod_templates_count_but_sparks_own() {
        let container = |name: &str| json!({"name": name, "resources": {"requests": {"cpu": "500m"}}});
        let containers = json!([container("proxy"), container("spark-kubernetes-driver")]);
        let counted = |path: &str, value: Value| {
            read(&at(path, value), &QueueParts::default()).unwrap().demand.cpu_milli
        };
        assert_eq!(counted("spec/driver/template/spec/containers", containers), 7500);
        let only = json!([container("whatever")]);
        assert_eq!(counted("spec/executor/template/spec/containers", only), 7000, "Spark's own by its place");
        let init = json!([{"name": "init", "resources": {"requests": {"cpu": "4"}}}]);
        assert_eq!(counted("spec/driver/template/spec/initContainers", init), 4000 + 3 * 2000);
    }

    fn queue(parts: &Value) -> SparkQueueSpec {
        let mut spec = json!({"routes": [{"clusters": {"names": ["m"]}}]});
        spec.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn demand_is_that_of_the_effective_template() {
        let spec = queue(&json!({
            "defaults": {"sparkConf": {"spark.executor.memoryOverhead": "1g"}},
            "fixed": {"sparkConf": {"spark.driver.memory": "2g", "spark.driver.memoryOverhead": "512m"}},
            "sizes": {"large": {"executor": {"cores": 8, "memory": "4g"}, "instances": 10}},
        }));
        let mut template = template();
        template["spec"]["executor"] = json!({"memory": "1g"});
        let demand = |size: Option<&str>| {
            let parts = QueueParts::new(&spec, size).unwrap();
            read(&template, &parts).unwrap().demand
        };
        let memory = |executors: u64| (2560 << 20) + executors * (2048 << 20);
        assert_eq!(
            demand(Some("large")),
            Resources { jobs: 1, pods: 11, cpu_milli: 81_000, memory_bytes: memory(10) },
            "the template's own memory counts, and the class's cores"
        );
        assert_eq!(demand(None), Resources { jobs: 1, pods: 2, cpu_milli: 2000, memory_bytes: memory(1) });
        let rejection = parts(&spec, "huge").unwrap_err();
        assert_eq!(rejection.reason, "InvalidTemplate");
        assert!(rejection.message.starts_with("spec.size: \"huge\""), "{}", rejection.message);
    }

    #[test]
    fn what_reaches_around_the_queue_is_refused_unless_the_queue_allows_it() {
        let volume = json!([{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/"}}]);
        let files = json!({"spark.kubernetes.driver.podTemplateFile": "s3a://x/y.yaml"});
        for (path, value, allow, shown) in [
            ("spec/volumes", volume.clone(), "hostPaths", "spec.template.spec.volumes[1].hostPath: "),
            (
                "spec/executor/template/spec/volumes",
                volume,
                "hostPaths",
                "spec.template.spec.executor.template.spec.volumes[1].hostPath: ",
            ),
            (
                "spec/sparkConf",
                files,
                "podTemplateFiles",
                "spec.template.spec.sparkConf[spark.kubernetes.driver.podTemplateFile]: ",
            ),
        ] {
            let template = at(path, value);
            let closed = QueueParts::new(&queue(&json!({})), None).unwrap();
            let rejection = read(&template, &closed).unwrap_err();
            assert_eq!(rejection.reason, "ReservedField");
            assert!(rejection.message.starts_with(shown), "{}", rejection.message);
            let open = QueueParts::new(&queue(&json!({"allow": {allow: true}})), None).unwrap();
            assert_eq!(read(&template, &open).map(drop), Ok(()), "{path}");
        }
        // What a queue's users may not say, the queue itself may.
        let own = queue(
            &json!({"fixed": {"sparkConf": {"spark.kubernetes.driver.podTemplateFile": "local:///x"}}}),
        );
        assert_eq!(read(&template(), &QueueParts::new(&own, None).unwrap()).map(drop), Ok(()));
    }

    fn apache(spec: &Value) -> Value {
        json!({"apiVersion": "spark.apache.org/v1", "kind": "SparkApplication", "spec": spec})
    }

    #[test]
    fn a_template_of_apaches_reserves_by_its_properties() {
        let spec = json!({
            "jars": "local:///x.jar", "mainClass": "a.B", "runtimeVersions": {"sparkVersion": "4.0.1"},
            "sparkConf": {"spark.driver.memory": "512m", "spark.executor.memory": "512m", "spark.executor.cores": "2"},
            "driverSpec": {"podTemplateSpec": {"spec": {"containers": [
                {"name": "spark-kubernetes-driver"}, {"name": "proxy", "resources": {"requests": {"cpu": "500m"}}},
            ]}}},
        });
        let facts = read(&apache(&spec), &QueueParts::default()).unwrap();
        assert_eq!(facts.spark_version, "4.0.1");
        let two = Resources { jobs: 1, pods: 3, cpu_milli: 5500, memory_bytes: 3 * (896 << 20) };
        assert_eq!(facts.demand, two, "two executors, as Spark has it where nothing is said");
        let mut said = spec.clone();
        said["sparkConf"]["spark.executor.instances"] = json!("5");
        assert_eq!(read(&apache(&said), &QueueParts::default()).unwrap().demand.pods, 6);
        let mut dynamic = spec.clone();
        dynamic["sparkConf"]["spark.dynamicAllocation.enabled"] = json!("true");
        dynamic["sparkConf"]["spark.dynamicAllocation.minExecutors"] = json!("1");
        assert_eq!(read(&apache(&dynamic), &QueueParts::default()).unwrap().demand.pods, 2);
        let mut python = spec;
        python["jars"] = Value::Null;
        python["pyFiles"] = json!("local:///x.py");
        python["sparkConf"]["spark.executor.memory"] = json!("4g");
        let memory = read(&apache(&python), &QueueParts::default()).unwrap().demand.memory_bytes;
        assert_eq!(memory, (896 << 20) + 2 * (5734 << 20), "Python takes more beside its heap");
    }

    #[test]
    fn a_template_of_apaches_is_refused_by_its_own_paths() {
        let spec = json!({"jars": "local:///x.jar", "runtimeVersions": {"sparkVersion": "4.0.1"}});
        let with = |field: &str, value: Value| {
            let mut spec = spec.clone();
            spec[field] = value;
            read(&apache(&spec), &QueueParts::default()).map(drop).unwrap_err()
        };
        let pods =
            json!({"podTemplateSpec": {"spec": {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}}});
        let label = json!({"podTemplateSpec": {"metadata": {"labels": {"sparkrouter.dev/attempt": "9"}}}});
        for (field, value, shown) in [
            ("driverSpec", pods, "spec.template.spec.driverSpec.podTemplateSpec.spec.volumes[0].hostPath: "),
            (
                "executorSpec",
                label,
                "spec.template.spec.executorSpec.podTemplateSpec.metadata.labels[sparkrouter.dev/attempt]: ",
            ),
            ("sparkConf", json!({"spark.master": "x"}), "spec.template.spec.sparkConf[spark.master]: "),
            ("proxyUser", json!("root"), "spec.template.spec.proxyUser: "),
            ("deploymentMode", json!("ClientMode"), "spec.template.spec.deploymentMode: "),
            ("runtimeVersions", json!({}), "spec.template.spec.runtimeVersions.sparkVersion: is required"),
            (
                "applicationTolerations",
                json!({"restartConfig": {"restartPolicy": "Always"}}),
                "spec.template.spec.applicationTolerations.restartConfig.restartPolicy: \"Always\" never ends",
            ),
        ] {
            let rejection = with(field, value);
            assert!(rejection.message.starts_with(shown), "{field}: {}", rejection.message);
        }
    }

    #[test]
    fn zero_executors_are_the_members_to_judge() {
        assert_eq!(
            read(&at("spec/executor/instances", json!(0)), &QueueParts::default()).unwrap().demand.pods,
            1
        );
    }

    #[test]
    fn what_the_router_decides_is_refused_with_its_path() {
        let reserved = json!({"sparkrouter.dev/attempt": "9"});
        for (path, value, shown) in [
            ("metadata/name", json!("x"), "spec.template.metadata.name"),
            ("metadata/namespace", json!("x"), "spec.template.metadata.namespace"),
            ("metadata/labels", reserved.clone(), "spec.template.metadata.labels[sparkrouter.dev/attempt]"),
            (
                "metadata/annotations",
                reserved.clone(),
                "spec.template.metadata.annotations[sparkrouter.dev/attempt]",
            ),
            ("metadata/labels", json!({"spark-role": "driver"}), "spec.template.metadata.labels[spark-role]"),
            (
                "spec/driver/labels",
                reserved.clone(),
                "spec.template.spec.driver.labels[sparkrouter.dev/attempt]",
            ),
            (
                "spec/executor/annotations",
                reserved.clone(),
                "spec.template.spec.executor.annotations[sparkrouter.dev/attempt]",
            ),
            (
                "spec/driver/template/metadata/labels",
                reserved,
                "spec.template.spec.driver.template.metadata.labels[sparkrouter.dev/attempt]",
            ),
            (
                "spec/driver/template/metadata/name",
                json!("x"),
                "spec.template.spec.driver.template.metadata.name",
            ),
            ("spec/driver/podName", json!("x"), "spec.template.spec.driver.podName"),
            ("spec/suspend", json!(true), "spec.template.spec.suspend"),
            (
                "spec/sparkConf",
                json!({"spark.kubernetes.driver.pod.name": "x"}),
                "spec.template.spec.sparkConf[spark.kubernetes.driver.pod.name]",
            ),
            (
                "spec/sparkConf",
                json!({"spark.kubernetes.namespace": "x"}),
                "spec.template.spec.sparkConf[spark.kubernetes.namespace]",
            ),
            (
                "spec/sparkConf",
                json!({"spark.kubernetes.executor.label.sparkrouter.dev/job-uid": "x"}),
                "spec.template.spec.sparkConf[spark.kubernetes.executor.label.sparkrouter.dev/job-uid]",
            ),
        ] {
            let rejection = read(&at(path, value), &QueueParts::default()).unwrap_err();
            assert_eq!(rejection.reason, "ReservedField", "{path}");
            assert!(rejection.message.starts_with(&format!("{shown}: ")), "{path}: {}", rejection.message);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_value() {
        for (path, value, message) in [
            (
                "spec/driver/cores",
                json!("two"),
                "spec.template.spec.driver.cores: \"two\" is not a whole number of 0 or more",
            ),
            (
                "spec/executor/instances",
                json!(-1),
                "spec.template.spec.executor.instances: -1 is not a whole number of 0 or more",
            ),
            (
                "spec/sparkVersion",
                Value::Null,
                "spec.template.spec.sparkVersion: is required, like \"4.0.1\"",
            ),
            (
                "spec/restartPolicy/type",
                json!("Always"),
                "spec.template.spec.restartPolicy.type: \"Always\" never ends; use Never or OnFailure",
            ),
            ("spec/sparkConf", json!(["x"]), "spec.template.spec.sparkConf: is not a map of texts"),
            (
                "spec/driver/memory",
                json!("1.5g"),
                "spec.template.spec.driver.memory: \"1.5g\" is not a size Spark can read; write a whole number and a unit, like 512m or 8g",
            ),
        ] {
            let rejection = read(&at(path, value), &QueueParts::default()).unwrap_err();
            assert_eq!((rejection.reason, rejection.message.as_str()), ("InvalidTemplate", message));
        }
    }
}
