//! One manifest on each kind of member: clusters with Kubeflow's and with Apache's Spark operator, both scripted, on real
//! control planes, and a virtual cluster of EMR on EKS, played by moto. What its owner sees does not tell them apart.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;
mod virtual_clusters;

use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::DynamicObject, api::ListParams};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, job::PastAttempt, names};
use spark_router_testkit::apache::{self, ScriptedApacheOperator};
use spark_router_testkit::fault::{Action, FaultProxy, Gate, Rule};
use spark_router_testkit::moto::{Moto, Run};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, MemberOptions, OperatorKind};

use scene::{PATIENCE, Watched, crds_only, finished, patch, pinned, queued, running, sure, uid};

const TEAM: &str = "team";
const QUEUE: &str = "etl";
/// The members that are clusters: Kubeflow's and Apache's.
const MEMBERS: [&str; 2] = ["kubeflow", "apache"];
const EMR: &str = "emr";
/// All of them.
const ALL: [&str; 3] = [MEMBERS[0], MEMBERS[1], EMR];

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

/// The namespace, and a queue that shares its jobs between these.
async fn queue(installation: &Installation<'_>, hub: &Cluster, members: &[&str]) {
    sure(installation.namespace(TEAM).await);
    let members: Vec<_> = members.iter().map(|name| (*name, 1)).collect();
    let routes = objects::weights(&members);
    sure(hub.apply_manifest(&objects::queue(QUEUE, &routes).to_string()).await);
}

/// The very same manifest for each member, but for its name and the member that it is to go to.
fn for_each_of(members: &[&str], name: &str, spec: &Value, edit: impl Fn(&mut Value)) -> Vec<Value> {
    let job = |member: &&str| {
        let mut job = objects::job(TEAM, &format!("{name}-{member}"), QUEUE, &edit);
        objects::merge(&mut job, json!({ "spec": spec }));
        pinned(job, &[member])
    };
    members.iter().map(job).collect()
}

/// Submits all and returns them at their end, by member.
async fn run(
    installation: &Installation<'_>,
    hub: &Cluster,
    members: &[&str],
    name: &str,
    manifests: &[Value],
) -> Vec<RoutedSparkJob> {
    for job in manifests {
        sure(installation.submit(job).await);
    }
    let mut ended = Vec::new();
    for member in members {
        let job = finished(hub, TEAM, &format!("{name}-{member}")).await;
        assert_eq!(jobs::cluster(&job), *member, "{}", jobs::describe(&job));
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

/// How many job runs of a job live, and how many have ended.
async fn runs_of(moto: &Moto, job: &RoutedSparkJob) -> (usize, usize) {
    let runs = sure(moto.runs(None).await).into_iter();
    let ours: Vec<_> = runs.filter(|run| run.tags.get(names::JOB_UID_LABEL) == Some(&uid(job))).collect();
    let over = |run: &&Run| matches!(run.state.as_str(), "COMPLETED" | "FAILED" | "CANCELLED");
    let ended = ours.iter().filter(|run| over(run)).count();
    (ours.len() - ended, ended)
}

/// How many applications and pods of a job its member has.
async fn left_of(fleet: &Fleet, member: &str, job: &RoutedSparkJob) -> (usize, usize) {
    let ours = ListParams::default().labels(&format!("{}={}", names::JOB_UID_LABEL, uid(job)));
    let cluster = fleet.member(member);
    let pods: Api<Pod> = Api::namespaced(cluster.client(), TEAM);
    let applications = applications(cluster, member).list(&ours).await.unwrap().items;
    (applications.len(), pods.list(&ours).await.unwrap().items.len())
}

/// The same of any kind of member: EMR names no driver's pod, and has a page for a virtual cluster and none for a driver.
fn shown_by_all(job: &RoutedSparkJob) -> Value {
    let mut shown = shown(job);
    for field in ["application", "driver"] {
        shown.as_object_mut().unwrap().remove(field);
    }
    shown
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

/// Each field that a kind of member takes otherwise is named for it, and for no other.
fn what_is_run_otherwise_is_explained(hub: &Cluster) {
    let output = Command::new(env!("CARGO_BIN_EXE_spark-router"))
        .args(["explain", &format!("{TEAM}/well-{EMR}"), "-o", "json"])
        .env("KUBECONFIG", hub.kubeconfig_path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let explanation: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = |member: &str| {
        let rows = explanation["members"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == member).unwrap();
        row["otherwise"].as_array().cloned().unwrap_or_default()
    };
    let text = said(EMR).iter().map(|said| said.as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n");
    for field in ["spec.template.spec.driver.serviceAccount: ", "spec.template.spec.image: "] {
        assert!(text.contains(field), "{text}");
    }
    assert!(text.contains("execution role"), "{text}");
    assert_eq!((said(MEMBERS[0]).len(), said(MEMBERS[1]).len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_manifest_fares_alike_on_all_kinds_of_members() {
    let fleet = fleet().await;
    let hub = fleet.hub();
    let (_kubeflow, apache) = operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in MEMBERS {
        sure(installation.member(name, overrides(name)).await);
    }
    let (moto, clusters) = virtual_clusters::start(&fleet, &[EMR]).await;
    let logs =
        json!({"backend": {"emrContainers": {"defaults": {"monitoring": {"s3": {"logUri": "s3://logs"}}}}}});
    virtual_clusters::register(hub, EMR, virtual_clusters::settings(&moto, &clusters[EMR], logs)).await;
    queue(&installation, hub, &ALL).await;
    let environment = virtual_clusters::web_identity(&moto, &fleet);
    let _router = Watched::start_with(&installation, &fleet, &[], environment, &ALL).await;

    // It ends well. What is listed once a second must run for longer to be seen running.
    let slowly = |template: &mut Value| objects::annotate(template, "run-ms", "3000");
    let manifests = for_each_of(&ALL, "well", &json!({}), slowly);
    let ended = run(&installation, hub, &ALL, "well", &manifests).await;
    assert_eq!(jobs::phase(&ended[0]), "Succeeded", "{}", jobs::describe(&ended[0]));
    assert_eq!(shown(&ended[0]), shown(&ended[1]));
    assert_eq!(shown_by_all(&ended[0]), shown_by_all(&ended[2]));
    assert_eq!(runs_of(&moto, &ended[2]).await, (0, 1));
    let links = jobs::application(&ended[2]).unwrap().links.clone().unwrap();
    let run_id = jobs::application(&ended[2]).unwrap().submission_id.clone().unwrap();
    let folder = format!("s3://logs/{}/jobs/{run_id}/", clusters[EMR]);
    assert_eq!(links.log_locations, [folder]);
    let page = format!("#/eks/clusters/{}", clusters[EMR]);
    assert!(
        [&links.ui, &links.history].iter().all(|link| link.as_ref().unwrap().ends_with(&page)),
        "{links:?}"
    );
    let application = jobs::application(&ended[1]).unwrap();
    let driver = application.driver_pod.clone().unwrap();
    assert_eq!(driver, format!("{}-driver", application.id.as_deref().unwrap()));
    let logs = application.links.as_ref().unwrap().logs.clone().unwrap();
    assert_eq!(logs, format!("https://logs.example.org/{TEAM}/{driver}"));

    what_is_run_otherwise_is_explained(hub);
    assert!(sure(moto.calls().await).of("AssumeRoleWithWebIdentity") > 0, "its keys are those of a role");

    // It fails, is tried again, and fails for good.
    let retry =
        json!({"retry": {"maxAttempts": 2, "failures": ["ApplicationFailed"], "backoff": {"initial": "1s"}}});
    let script = |template: &mut Value| {
        objects::annotate(template, "script", "fail");
        objects::annotate(template, "exit-code", "1");
        slowly(template);
    };
    let manifests = for_each_of(&ALL, "badly", &retry, script);
    let ended = run(&installation, hub, &ALL, "badly", &manifests).await;
    assert_eq!(jobs::phase(&ended[0]), "Failed", "{}", jobs::describe(&ended[0]));
    assert_eq!(shown_by_all(&ended[0]), shown_by_all(&ended[2]));
    assert_eq!(runs_of(&moto, &ended[2]).await, (0, 2));
    let error = jobs::application(&ended[2]).unwrap().error.clone().unwrap();
    assert_eq!(error, "USER_ERROR: The driver ended with exit code 1.");
    assert_eq!(ended[0].status.as_ref().unwrap().attempt, Some(2));
    assert_eq!(shown(&ended[0]), shown(&ended[1]));
    let error = jobs::application(&ended[1]).unwrap().error.clone().unwrap();
    assert_eq!(error, "the driver ended with exit code 1 (Error)");

    // The member's own operator runs it again. EMR does so only where spec.emr says it.
    let again = |template: &mut Value| {
        objects::annotate(template, "script", "retry");
        let policy = json!({"type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 1});
        objects::merge(template, json!({"spec": {"restartPolicy": policy}}));
    };
    let manifests = for_each_of(&MEMBERS, "again", &json!({}), again);
    let ended = run(&installation, hub, &MEMBERS, "again", &manifests).await;
    assert_eq!(jobs::phase(&ended[0]), "Succeeded", "{}", jobs::describe(&ended[0]));
    assert_eq!(jobs::application(&ended[0]).unwrap().attempts, Some(2));
    assert_eq!(shown(&ended[0]), shown(&ended[1]));

    // It is cancelled: nothing of it runs any more, and that is proven.
    let endless = |template: &mut Value| {
        objects::annotate(template, "script", "hang-running");
        objects::annotate(template, "run-ms", "3600000");
    };
    for job in for_each_of(&ALL, "endless", &json!({}), endless) {
        sure(installation.submit(&job).await);
    }
    for member in ALL {
        let name = format!("endless-{member}");
        let job = running(hub, TEAM, &name).await;
        let lives =
            if member == EMR { runs_of(&moto, &job).await } else { left_of(&fleet, member, &job).await };
        assert_eq!(lives, if member == EMR { (1, 0) } else { (1, 1) }, "{member}");
        patch(hub, "rsj", TEAM, &name, json!({"spec": {"cancel": true}})).await;
        let job = finished(hub, TEAM, &name).await;
        assert_eq!(jobs::phase(&job), "Cancelled", "{}", jobs::describe(&job));
        let left =
            if member == EMR { runs_of(&moto, &job).await } else { left_of(&fleet, member, &job).await };
        assert_eq!(left, if member == EMR { (0, 1) } else { (0, 0) }, "{member}");
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
    queue(&installation, hub, &MEMBERS).await;
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
