//! One manifest on two kinds of members, on real control planes: a cluster with Kubeflow's Spark operator and one with
//! Apache's, both scripted. What its owner sees does not tell them apart.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::DynamicObject, api::ListParams};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, job::PastAttempt, names};
use spark_router_testkit::apache::{self, ScriptedApacheOperator};
use spark_router_testkit::fault::{Action, FaultProxy, Gate, Rule};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, MemberOptions, OperatorKind};

use scene::{PATIENCE, Watched, crds_only, finished, patch, pinned, queued, running, sure, uid};

const TEAM: &str = "team";
const QUEUE: &str = "etl";
/// The members: Kubeflow's and Apache's.
const MEMBERS: [&str; 2] = ["kubeflow", "apache"];

/// A hub and one member of each kind.
async fn fleet() -> Fleet {
    let with_apache = MemberOptions { operator: OperatorKind::ApacheCrdOnly, ..MemberOptions::default() };
    let builder = Fleet::builder().hub().member_with("kubeflow", crds_only());
    sure(builder.member_with("apache", with_apache).start().await)
}

/// Their operators, with driver pods.
fn operators(fleet: &Fleet) -> (ScriptedOperator, ScriptedApacheOperator) {
    let kubeflow = Options { driver_pods: true, ..Options::default() };
    (
        ScriptedOperator::start(fleet.member("kubeflow").client(), kubeflow),
        ScriptedApacheOperator::start(fleet.member("apache").client(), apache::Options::default()),
    )
}

/// What is merged into the spec of a member.
fn overrides(name: &str) -> Value {
    let logs = "https://logs.example.org/{namespace}/{driverPod}";
    let mut spec = json!({"links": {"logs": logs}, "retention": "1h"});
    if name == "apache" {
        spec["backend"] = json!({"apacheSpark": {}});
    }
    spec
}

/// The namespace, and a queue that shares its jobs between both.
async fn queue(installation: &Installation<'_>, hub: &Cluster) {
    sure(installation.namespace(TEAM).await);
    let routes = objects::weights(&MEMBERS.map(|name| (name, 1)));
    sure(hub.apply_manifest(&objects::queue(QUEUE, &routes).to_string()).await);
}

/// The very same manifest for each member, but for its name and the member that it is to go to.
fn for_each_member(name: &str, spec: &Value, edit: impl Fn(&mut Value)) -> Vec<Value> {
    let job = |member: &&str| {
        let mut job = objects::job(TEAM, &format!("{name}-{member}"), QUEUE, &edit);
        objects::merge(&mut job, json!({ "spec": spec }));
        pinned(job, &[member])
    };
    MEMBERS.iter().map(job).collect()
}

/// Submits all and returns them at their end, by member.
async fn run(
    installation: &Installation<'_>,
    hub: &Cluster,
    name: &str,
    manifests: &[Value],
) -> Vec<RoutedSparkJob> {
    for job in manifests {
        sure(installation.submit(job).await);
    }
    let mut ended = Vec::new();
    for member in MEMBERS {
        let job = finished(hub, TEAM, &format!("{name}-{member}")).await;
        assert_eq!(jobs::cluster(&job), member, "{}", jobs::describe(&job));
        ended.push(job);
    }
    ended
}

fn applications(member: &Cluster, kind: &str) -> Api<DynamicObject> {
    match kind {
        "apache" => Api::namespaced_with(member.client(), TEAM, &apache::resource()),
        _ => jobs::applications_in(member.client(), TEAM),
    }
}

/// How many applications and pods of a job its member has.
async fn left_of(fleet: &Fleet, member: &str, job: &RoutedSparkJob) -> (usize, usize) {
    let ours = ListParams::default().labels(&format!("{}={}", names::JOB_UID_LABEL, uid(job)));
    let cluster = fleet.member(member);
    let pods: Api<Pod> = Api::namespaced(cluster.client(), TEAM);
    let applications = applications(cluster, member).list(&ours).await.unwrap().items;
    (applications.len(), pods.list(&ours).await.unwrap().items.len())
}

/// What its owner may go by, without what must differ: names, times, and the member's own words.
fn shown(job: &RoutedSparkJob) -> Value {
    let status = job.status.as_ref().unwrap();
    let row =
        |row: &PastAttempt| json!({"attempt": row.attempt, "outcome": row.outcome, "reason": row.reason});
    let application = status.application.clone().unwrap();
    let mut conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| (condition.type_.clone(), condition.status.clone(), condition.reason.clone()))
        .collect();
    conditions.sort_unstable();
    json!({
        "phase": status.phase, "reason": status.reason, "attempt": status.attempt, "conditions": conditions,
        "history": status.history.iter().map(row).collect::<Vec<_>>(),
        "runs": application.attempts,
        "times": [application.submitted_at.is_some(), application.started_at.is_some(), application.finished_at.is_some()],
        "application": application.id.is_some(), "driver": application.driver_pod.is_some(),
        "logs": application.links.unwrap_or_default().logs.is_some(), "error": application.error.is_some(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_manifest_fares_alike_on_both_kinds_of_members() {
    let fleet = fleet().await;
    let hub = fleet.hub();
    let (_kubeflow, apache) = operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in MEMBERS {
        sure(installation.member(name, overrides(name)).await);
    }
    queue(&installation, hub).await;
    let _router = Watched::start(&installation, &fleet, &[], &MEMBERS).await;

    // It ends well.
    let manifests = for_each_member("well", &json!({}), |_| {});
    let ended = run(&installation, hub, "well", &manifests).await;
    assert_eq!(jobs::phase(&ended[0]), "Succeeded", "{}", jobs::describe(&ended[0]));
    assert_eq!(shown(&ended[0]), shown(&ended[1]));
    let application = jobs::application(&ended[1]).unwrap();
    let driver = application.driver_pod.clone().unwrap();
    assert_eq!(driver, format!("{}-driver", application.id.as_deref().unwrap()));
    let logs = application.links.as_ref().unwrap().logs.clone().unwrap();
    assert_eq!(logs, format!("https://logs.example.org/{TEAM}/{driver}"));

    // It fails, is tried again, and fails for good.
    let retry =
        json!({"retry": {"maxAttempts": 2, "failures": ["ApplicationFailed"], "backoff": {"initial": "1s"}}});
    let script = |template: &mut Value| objects::annotate(template, "script", "fail");
    let ended = run(&installation, hub, "badly", &for_each_member("badly", &retry, script)).await;
    assert_eq!(jobs::phase(&ended[0]), "Failed", "{}", jobs::describe(&ended[0]));
    assert_eq!(ended[0].status.as_ref().unwrap().attempt, Some(2));
    assert_eq!(shown(&ended[0]), shown(&ended[1]));
    let error = jobs::application(&ended[1]).unwrap().error.clone().unwrap();
    assert_eq!(error, "the driver ended with exit code 1 (Error)");

    // The member's own operator runs it again.
    let again = |template: &mut Value| {
        objects::annotate(template, "script", "retry");
        let policy = json!({"type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 1});
        objects::merge(template, json!({"spec": {"restartPolicy": policy}}));
    };
    let ended = run(&installation, hub, "again", &for_each_member("again", &json!({}), again)).await;
    assert_eq!(jobs::phase(&ended[0]), "Succeeded", "{}", jobs::describe(&ended[0]));
    assert_eq!(jobs::application(&ended[0]).unwrap().attempts, Some(2));
    assert_eq!(shown(&ended[0]), shown(&ended[1]));

    // It is cancelled: nothing of it runs any more, and that is proven.
    let endless = |template: &mut Value| objects::annotate(template, "script", "hang-running");
    for job in for_each_member("endless", &json!({}), endless) {
        sure(installation.submit(&job).await);
    }
    for member in MEMBERS {
        let name = format!("endless-{member}");
        let job = running(hub, TEAM, &name).await;
        assert_eq!(left_of(&fleet, member, &job).await, (1, 1), "{member}");
        patch(hub, "rsj", TEAM, &name, json!({"spec": {"cancel": true}})).await;
        let job = finished(hub, TEAM, &name).await;
        assert_eq!(jobs::phase(&job), "Cancelled", "{}", jobs::describe(&job));
        assert_eq!(left_of(&fleet, member, &job).await, (0, 0), "{member}");
    }
    let seen = apache.seen();
    let cancelled = seen.values().find(|seen| seen.name.starts_with("endless")).unwrap();
    assert_eq!((cancelled.drivers, cancelled.deleted), (1, true));

    // A finished application loses our finalizer and keeps the operator's.
    let remote = ended[1].status.as_ref().unwrap().placement.as_ref().unwrap().remote_name.clone();
    let api = applications(fleet.member("apache"), "apache");
    scene::until("only the operator's finalizer", async || {
        let held = api.get(&remote).await.unwrap().metadata.finalizers.unwrap_or_default();
        if held == [apache::FINALIZER] { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_cannot_run_does_not_go_there_and_a_killed_router_finds_what_it_sent() {
    let fleet = fleet().await;
    let hub = fleet.hub();
    let (_kubeflow, operator) = operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("kubeflow", overrides("kubeflow")).await);
    let upstream = fleet.member("apache");
    let proxy = sure(FaultProxy::before(upstream.kubeconfig()).await);
    sure(installation.member_through("apache", &proxy, overrides("apache")).await);
    queue(&installation, hub).await;
    let mut router = Watched::start(&installation, &fleet, &[], &MEMBERS).await;

    // Apache's operator has no such field: all of them go to the other member, and one that may not waits and says why.
    let monitored = |template: &mut Value| {
        objects::merge(
            template,
            json!({"spec": {"monitoring": {"exposeDriverMetrics": true, "exposeExecutorMetrics": false}}}),
        );
    };
    for n in 0..3 {
        let name = format!("monitored-{n}");
        sure(installation.submit(&objects::job(TEAM, &name, QUEUE, monitored)).await);
        let job = finished(hub, TEAM, &name).await;
        assert_eq!((jobs::phase(&job), jobs::cluster(&job)), ("Succeeded", "kubeflow"));
    }
    let job = pinned(objects::job(TEAM, "nowhere", QUEUE, monitored), &["apache"]);
    sure(installation.submit(&job).await);
    let job = queued(hub, TEAM, "nowhere", "NoClusterMatches").await;
    let why = "cannot do spec.template.spec.monitoring: its operator sets up no monitoring";
    assert!(jobs::message(&job).contains(why), "{}", jobs::message(&job));

    // A template for Apache's operator runs there as it is, and nowhere else.
    let native = json!({
        "apiVersion": "spark.apache.org/v1", "kind": "SparkApplication",
        "metadata": {"annotations": {"spark-router.test/run-ms": "100"}},
        "spec": {
            "mainClass": "org.apache.spark.examples.SparkPi", "jars": "local:///opt/spark/examples/jars/spark-examples.jar",
            "runtimeVersions": {"sparkVersion": "4.0.1"},
            "sparkConf": {"spark.executor.instances": "1", "spark.driver.memory": "512m"},
            "applicationTolerations": {"ttlAfterStopMillis": 1, "resourceRetainPolicy": "Always"},
        },
    });
    for n in 0..2 {
        let name = format!("native-{n}");
        let mut job = objects::job(TEAM, &name, QUEUE, |_| {});
        job["spec"]["template"] = native.clone();
        sure(installation.submit(&job).await);
        let job = finished(hub, TEAM, &name).await;
        assert_eq!((jobs::phase(&job), jobs::cluster(&job)), ("Succeeded", "apache"));
    }
    let list = applications(upstream, "apache").list(&ListParams::default()).await.unwrap();
    let sent = &list.items[0].data["spec"];
    assert_eq!(sent["applicationTolerations"], json!({"resourceRetainPolicy": "Never"}));
    assert_eq!((&sent["mainClass"], &sent["jars"]), (&native["spec"]["mainClass"], &native["spec"]["jars"]));

    // The create is answered to a router that is dead by then.
    let gate = Gate::new();
    let create = Rule::new(Action::HoldAnswer(gate.clone())).method("POST").path("/apis/spark.apache.org/");
    let rule = proxy.add(create);
    let job = objects::job(TEAM, "unanswered", QUEUE, |_| {});
    sure(installation.submit(&pinned(job, &["apache"])).await);
    sure(
        jobs::wait_for(hub, TEAM, "unanswered", "placed", PATIENCE, |job| jobs::cluster(job) == "apache")
            .await,
    );
    scene::until("the create", async || if proxy.hits(rule) > 0 { Ok(()) } else { Err("it was not sent") })
        .await;
    sure(router.0.kill());
    proxy.clear();
    gate.open();
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    let job = scene::succeeded(hub, TEAM, "unanswered").await;
    assert_eq!(job.status.as_ref().unwrap().attempt, Some(1));
    let remote = job.status.as_ref().unwrap().placement.as_ref().unwrap().remote_name.clone();
    let seen: Vec<_> = operator.seen().into_values().filter(|seen| seen.name == remote).collect();
    assert_eq!((seen.len(), seen[0].drivers), (1, 1), "{seen:?}");
}
