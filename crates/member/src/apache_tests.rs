//! What queue and member decide holds on members with Apache's operator, whatever a template says and for whichever
//! operator it is written.

use std::sync::Arc;

use serde_json::json;
use spark_router_api::{application::SPARK_APPLICATION_API_VERSION, member::BatchScheduler};
use spark_router_core::id::{Attempt, JobKey, JobUid, QueueName};

use super::*;
use crate::render::{
    QueueParts,
    aliases::{self, Place},
};

fn order(template: Value) -> Order {
    Order {
        job: JobUid::from("0b1c"),
        key: JobKey { namespace: Namespace::from("team"), name: "daily".to_owned() },
        attempt: Attempt(2),
        queue: QueueName::from("etl"),
        seq: 7,
        namespace: Namespace::from("spark"),
        name: RemoteName::from("daily-abc"),
        template: Arc::new(template),
        remote_queue: Some("root.ours".into()),
        parts: Some(Arc::<QueueParts>::default()),
        emr: None,
        start_deadline: None,
    }
}

fn member() -> MemberParts {
    let role = json!({
        "serviceAccount": "ours", "priorityClassName": "ours", "nodeSelector": {"pool": "ours"},
        "tolerations": [{"key": "ours", "operator": "Exists"}],
    });
    let fixed = json!({
        "image": "ours", "labels": {"pool": "ours"}, "annotations": {"pool": "ours"}, "driver": role, "executor": role,
    });
    MemberParts {
        fixed: serde_json::from_value(fixed).unwrap(),
        batch_scheduler: Some(BatchScheduler::YuniKorn),
        ..MemberParts::default()
    }
}

fn rendered(template: Value) -> Value {
    let order = order(template);
    Apache::render(&order, &HubId::from("hub"), &member()).unwrap_or_else(|why| panic!("{why:?}")).0
}

/// Writes below `value`; a step that begins with `#` is the container of that name.
fn write(value: &mut Value, path: &[String], new: Value) {
    let Some((step, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if let Some(name) = step.strip_prefix('#') {
        *value = json!([{"name": name}]);
        write(&mut value[0], rest, new);
    } else {
        write(&mut value[step.as_str()], rest, new);
    }
}

fn kubeflow() -> Value {
    json!({
        "apiVersion": SPARK_APPLICATION_API_VERSION, "kind": "SparkApplication", "metadata": {},
        "spec": {"type": "Scala", "sparkVersion": "4.0.1", "mainApplicationFile": "local:///x.jar"},
    })
}

fn native() -> Value {
    json!({
        "apiVersion": APACHE_API_VERSION, "kind": "SparkApplication", "metadata": {},
        "spec": {"jars": "local:///x.jar", "mainClass": "a.B", "runtimeVersions": {"sparkVersion": "4.0.1"}},
    })
}

/// A place of Kubeflow's form in a template for Apache's operator, where it has one.
fn native_path(place: &Place) -> Option<Vec<String>> {
    let steps: Vec<_> = place.path.iter().map(String::as_str).collect();
    let (start, rest) = match steps.as_slice() {
        ["metadata" | "spec", "labels" | "annotations" | "sparkConf", ..] => return Some(place.path.clone()),
        ["spec", "driver", "template", rest @ ..] => (["spec", "driverSpec", "podTemplateSpec"], rest),
        ["spec", "executor", "template", rest @ ..] => (["spec", "executorSpec", "podTemplateSpec"], rest),
        _ => return None,
    };
    Some(start.iter().chain(rest).map(|step| (*step).to_owned()).collect())
}

#[test]
fn what_is_fixed_cannot_be_escaped_from_any_place() {
    let mut natives = 0;
    // What other schedulers go by means nothing on this member.
    let is_others =
        |place: &Place| ["scheduling.", "kueue."].iter().any(|start| place.key.starts_with(start));
    for place in aliases::all("pool").into_iter().filter(|place| !is_others(place)) {
        let theirs = match place.path.last().unwrap().as_str() {
            "tolerations" => json!([{"key": "theirs", "operator": "Exists"}]),
            _ => json!("theirs"),
        };
        let mut templates = Vec::new();
        let mut template = kubeflow();
        write(&mut template, &place.path, theirs.clone());
        templates.push(template);
        if let Some(path) = native_path(&place) {
            let mut template = native();
            write(&mut template, &path, theirs);
            templates.push(template);
            natives += 1;
        }
        for template in templates {
            let made = rendered(template.clone()).to_string();
            assert!(!made.contains("theirs"), "{template} became {made}");
        }
    }
    assert!(natives > 30, "only {natives} places were tried");
}

#[test]
fn what_is_fixed_is_said_where_spark_reads_it() {
    for template in [kubeflow(), native()] {
        let made = rendered(template);
        let spec = &made["spec"];
        for (name, value) in [
            ("spark.kubernetes.container.image", "ours"),
            ("spark.kubernetes.authenticate.driver.serviceAccountName", "ours"),
            ("spark.kubernetes.authenticate.executor.serviceAccountName", "ours"),
            ("spark.kubernetes.driver.scheduler.name", "yunikorn"),
            ("spark.kubernetes.executor.scheduler.name", "yunikorn"),
            ("spark.kubernetes.driver.label.queue", "root.ours"),
            ("spark.kubernetes.driver.label.yunikorn.apache.org/queue", "root.ours"),
            ("spark.kubernetes.executor.label.pool", "ours"),
            ("spark.kubernetes.executor.annotation.pool", "ours"),
            ("spark.kubernetes.driver.node.selector.pool", "ours"),
            ("spark.kubernetes.driver.label.sparkrouter.dev/job-uid", "0b1c"),
            ("spark.kubernetes.executor.label.sparkrouter.dev/attempt", "2"),
        ] {
            assert_eq!(spec["sparkConf"][name], value, "{name}: {spec}");
        }
        for role in ["driverSpec", "executorSpec"] {
            let pod = &spec[role]["podTemplateSpec"]["spec"];
            assert_eq!(pod["priorityClassName"], "ours");
            assert_eq!(pod["tolerations"], json!([{"key": "ours", "operator": "Exists"}]));
        }
        let times = &spec["applicationTolerations"]["applicationTimeoutConfig"];
        assert_eq!(times["driverStartTimeoutMillis"], 604_800_000, "it waits in a queue");
        assert_eq!(made["metadata"]["finalizers"], json!(["sparkrouter.dev/outcome"]));
        assert_eq!(made["metadata"]["labels"]["sparkrouter.dev/origin"], "hub");
        assert_eq!(made["apiVersion"], "spark.apache.org/v1");
    }
}

#[test]
fn the_same_order_is_the_same_and_another_template_is_another() {
    let hash = |template| Apache::render(&order(template), &HubId::from("hub"), &member()).unwrap().1;
    assert_eq!(hash(kubeflow()), hash(kubeflow()));
    assert_ne!(hash(kubeflow()), hash(native()));
    // Stored in placements and on members: a change of it makes every unconfirmed create look changed.
    assert_eq!(hash(kubeflow()), "e450c44c09643cffc17f75cd1806e817");
}
