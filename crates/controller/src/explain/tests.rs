//! What a person is told, from objects as they are on a hub.

use serde_json::{Value, json};
use spark_router_member::{Providers, apache, kubeflow};

use super::*;

fn job(name: &str, cores: u32, placed_on: Option<&str>) -> RoutedSparkJob {
    let mut object = json!({
        "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
        "metadata": {"name": name, "namespace": "team-a", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"queue": "etl", "template": {"spec": {
            "type": "Scala", "sparkVersion": "4.0.1", "mainApplicationFile": "local:///x.jar",
            "driver": {"cores": 1}, "executor": {"cores": cores, "instances": 1}
        }}},
    });
    if let Some(cluster) = placed_on {
        object["status"] = json!({"phase": "Running", "attempt": 1, "placement": {
            "cluster": cluster, "memberIdentity": "id", "attempt": 1, "namespace": "team-a", "remoteName": name,
            "queue": "etl", "seq": 1, "at": "2026-01-01T00:00:01Z", "why": "weight 1 of 1",
            "demand": {"jobs": 1, "pods": 2, "cpuMilli": (cores + 1) * 1000, "memoryBytes": 1}
        }});
    }
    serde_json::from_value(object).unwrap()
}

fn member(name: &str, spec: &Value, status: &Value) -> spark_router_api::MemberCluster {
    let mut object = json!({
        "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": name},
        "spec": {"connection": {"inCluster": {}}}, "status": status,
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn picture(jobs: Vec<RoutedSparkJob>) -> Picture {
    let ready = json!({"identity": "id", "state": "Ready"});
    let condition = |reason: &str, message: &str| json!({"type": "Ready", "status": "False", "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let lost = json!({
        "identity": "id2", "state": "Lost", "unansweredSince": "2026-01-01T00:00:00Z",
        "conditions": [condition("Lost", "does not answer")],
    });
    let broken =
        json!({"identity": "id3", "state": "Ready", "conditions": [condition("CrdMissing", "no CRD")]});
    let queue = json!({
        "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue", "metadata": {"name": "etl"},
        "spec": {"namespaceSelector": {}, "routes": [{"clusters": {"names": ["small", "lost", "broken", "tainted"]}, "weight": 1}]},
        "status": {"creditsSeq": 1, "credits": [{"cluster": "small", "credit": "-1/2"}]},
    });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}});
    Picture {
        jobs,
        queues: vec![serde_json::from_value(queue).unwrap()],
        members: vec![
            member("small", &json!({"capacity": {"cpu": "4"}}), &ready),
            member("lost", &json!({}), &lost),
            member("broken", &json!({}), &broken),
            member("tainted", &json!({"taints": [{"key": "phi"}]}), &ready),
            member("elsewhere", &json!({}), &ready),
        ],
        namespaces: vec![serde_json::from_value(namespace).unwrap()],
        providers: Providers::new([kubeflow::provider(), apache::provider()]),
    }
}

fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

#[test]
fn a_waiting_job_is_told_each_members_first_reason_with_the_numbers() {
    let jobs = vec![job("running", 2, Some("small")), job("before", 2, None), job("waits", 1, None)];
    let picture = picture(jobs);
    let explanation = explain(picture.job("team-a", "waits").unwrap(), &picture, now()).unwrap();
    assert_eq!(explanation.reason.as_deref(), Some("NoCapacity"));
    assert_eq!(explanation.ahead, Some(1));
    let rows: Vec<_> = explanation
        .members
        .iter()
        .map(|row| (row.name.as_str(), row.verdict.as_str(), row.detail.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            ("broken", "NotReady", "not ready (CrdMissing): no CRD"),
            ("elsewhere", "NoRoute", "the queue has no route to it"),
            ("lost", "Lost", "unreachable since 2026-01-01T00:00:00Z"),
            ("small", "NoCapacity", "its capacity: needs 2 cpu, 1 of 4 free"),
            ("tainted", "Taint", "the job does not tolerate its taint phi"),
        ]
    );
    assert_eq!(explanation.members[3].credit, "-1/2");
}

#[test]
fn a_manifest_is_told_where_it_would_go() {
    let picture = picture(vec![]);
    let mut object = job("new", 1, None);
    object.metadata.uid = None;
    let object = Picture::as_created(object, now());
    let explanation = explain(&object, &picture, now()).unwrap();
    assert_eq!(explanation.would_go_to.as_deref(), Some("small"));
    assert_eq!(
        explanation.message.as_deref(),
        Some("small: weight 1 of 1; not broken (NotReady), lost (Lost), tainted (Taint)")
    );
    let shown = serde_json::to_value(&explanation).unwrap();
    assert_eq!((&shown["wouldGoTo"], &shown["ahead"]), (&json!("small"), &json!(0)));
}

#[test]
fn a_placed_job_is_told_why_it_went_there() {
    let picture = picture(vec![job("running", 2, Some("small"))]);
    let explanation = explain(picture.job("team-a", "running").unwrap(), &picture, now()).unwrap();
    let placed = Placed { cluster: "small".to_owned(), why: "weight 1 of 1".to_owned() };
    assert_eq!((explanation.placed, explanation.ahead), (Some(placed), None));
}

#[test]
fn a_template_that_cannot_be_taken_is_explained_by_its_field() {
    let mut object = job("bad", 1, None);
    object.spec.template.spec.remove("sparkVersion");
    let explanation = explain(&object, &picture(vec![]), now()).unwrap();
    assert_eq!(explanation.reason.as_deref(), Some("InvalidTemplate"));
    assert!(explanation.message.unwrap().contains("spec.template.spec.sparkVersion"));
}

#[test]
fn a_job_that_holds_after_a_restore_is_told_so() {
    let mut picture = picture(vec![job("waits", 1, None)]);
    let restored = json!({"before": "2026-01-01T00:00:00Z", "knownSeq": 1, "seq": 4, "signs": [{
        "cluster": "small", "namespace": "n", "remoteName": "r", "jobNamespace": "team-a", "jobName": "lost", "jobUid": "u",
        "attempt": 1, "seq": 4, "jobExists": false, "over": false,
    }]});
    let mut status = serde_json::to_value(picture.queues[0].status.clone()).unwrap();
    status["restored"] = restored;
    picture.queues[0].status = serde_json::from_value(status).unwrap();
    let now = "2026-01-02T00:00:00Z".parse().unwrap();
    let told = |picture: &Picture| explain(&picture.jobs[0], picture, now).unwrap();
    let held = told(&picture);
    assert_eq!((held.reason.as_deref(), held.would_go_to.as_deref()), (Some("HubRestored"), None));
    assert!(held.message.unwrap().contains("small shows application n/r of job team-a/lost, placement 4"));
    let annotations = [("sparkrouter.dev/acknowledge".to_owned(), "4".to_owned())];
    picture.queues[0].metadata.annotations = Some(annotations.into());
    assert_eq!(told(&picture).would_go_to.as_deref(), Some("small"));
}
