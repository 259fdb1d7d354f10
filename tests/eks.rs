//! A member on Amazon EKS, by the binary: its object names a cluster, moto says where it is, and the cluster's API server
//! asks an authenticator who the router is.

mod scene;
mod virtual_clusters;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use spark_router_testkit::eks::Authenticator;
use spark_router_testkit::moto::{self, Lane, Moto, Step};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, RouterOptions, jobs, objects};
use spark_router_testkit::{Cluster, Fleet};

use scene::{PATIENCE, Watched, crds_only, namespace_on, not_ready, patch, ready, succeeded, sure};

const TEAM: &str = "team";
const QUEUE: &str = "etl";
const CLUSTER: &str = "etl_1";
const ROLE: &str = "arn:aws:iam::123456789012:role/router";
/// The user that the role is on the member.
const USER: &str = "router-by-eks";

/// A server of AWS that knows the cluster by name, and an authenticator that the cluster asks about tokens.
async fn on_eks(fleet: &Fleet, member: &Cluster) -> (Moto, Authenticator) {
    let moto = sure(Moto::start_at(fleet.supervisor(), "moto", fleet.address(20), Lane::Controlled).await);
    sure(moto.create_eks_cluster(CLUSTER).await);
    sure(moto.place_eks_cluster(CLUSTER, member.server(), member.authority().certificate()).await);
    let authenticator = sure(Authenticator::start(CLUSTER, &moto).await);
    sure(member.ask_about_tokens(&authenticator.url()).await);
    (moto, authenticator)
}

fn by_eks(moto: &Moto, cluster: &str) -> Value {
    json!({"connection": {"eks": {
        "cluster": cluster, "region": moto::REGION, "roleArn": ROLE,
        "eksEndpointUrl": moto.url(), "stsEndpointUrl": moto.url(),
    }}})
}

/// A virtual cluster whose EKS cluster is named too: what EMR lost sight of is looked for by its pods, with a token of EKS.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_emr_lost_sight_of_waits_until_its_pods_can_be_looked_at() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, member) = (fleet.hub(), fleet.member("m1"));
    let (moto, authenticator) = on_eks(&fleet, member).await;
    let made = sure(moto.create_virtual_cluster("spark", CLUSTER, "spark").await);
    sure(moto.go_by_annotations(Duration::from_millis(300)).await);
    let installation = sure(Installation::new(&fleet).await);
    namespace_on(&[hub], TEAM).await;
    namespace_on(&[member], "spark").await;
    let queue = objects::queue(QUEUE, &objects::weights(&[("emr", 1)]));
    sure(hub.apply_manifest(&queue.to_string()).await);
    let mut object = objects::member_cluster("emr", json!({}));
    object["spec"]["connection"] = by_eks(&moto, CLUSTER)["connection"].take();
    objects::merge(&mut object["spec"], virtual_clusters::settings(&moto, &made.id, json!({})));
    sure(hub.apply_manifest(&object.to_string()).await);
    let environment = virtual_clusters::environment(&moto);
    let options = RouterOptions { environment, ..RouterOptions::default() };
    let router = Watched::begin_with(&fleet, options).await;
    sure(router.0.wait_ready().await);
    ready(hub, "emr").await;

    let job =
        objects::job(TEAM, "pi", QUEUE, |template| objects::annotate(template, "script", "hang-running"));
    sure(installation.submit(&job).await);
    sure(jobs::wait_for_phase(hub, TEAM, "pi", "Running", PATIENCE).await);
    let run = sure(moto.runs(None).await).remove(0);
    let trouble = Step::to("FAILED", Duration::ZERO)
        .reason("CLUSTER_UNAVAILABLE")
        .details("Trouble monitoring your JobRun. Cluster etl_1 is not reachable.");
    sure(moto.advance(&run.id, &trouble).await);
    // The cluster does not know the role: the job is neither over nor moved, and says what it lacks.
    let lacks = |job: &_| jobs::message(job).contains("what became of its driver is not known: ");
    let job = sure(jobs::wait_for(hub, TEAM, "pi", "what it lacks", PATIENCE, lacks).await);
    let said = jobs::message(&job);
    assert!(said.contains("Trouble monitoring") && !jobs::is_finished(&job), "{said}");
    let reader = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "pods", "namespace": "spark"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "delete"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "pods", "namespace": "spark"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    });
    for object in [reader, binding] {
        sure(member.apply_manifest(&object.to_string()).await);
    }
    authenticator.grant(ROLE, USER, &[]);
    // No pod of it is there, for as long as one might still come.
    let job = sure(jobs::wait_for(hub, TEAM, "pi", "its end", PATIENCE, jobs::is_finished).await);
    assert_eq!((jobs::phase(&job), jobs::reason(&job)), ("Failed", "DriverLost"), "{}", jobs::describe(&job));
    let calls = sure(member.audit().calls());
    assert!(calls.iter().any(|call| call.user == USER && call.resource == "pods" && call.verb == "list"));
    assert_eq!(sure(moto.calls().await).of("StartJobRun"), 1);
    assert!(sure(router.0.terminate().await).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_on_eks_is_found_comes_ready_and_runs_a_job() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, member) = (fleet.hub(), fleet.member("m1"));
    let (moto, authenticator) = on_eks(&fleet, member).await;
    let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/member-eks");
    sure(member.kubectl(&["apply", "-k", &rights.to_string_lossy()]).await);
    let options = Options { driver_pods: true, ..Options::default() };
    let _operator = ScriptedOperator::start(member.client(), options);

    let installation = sure(Installation::new(&fleet).await);
    namespace_on(&[hub, member], TEAM).await;
    let queue = objects::queue(QUEUE, &objects::weights(&[("m1", 1)]));
    sure(hub.apply_manifest(&queue.to_string()).await);
    let environment = virtual_clusters::environment(&moto);
    let options = RouterOptions { environment, ..RouterOptions::default() };
    sure(moto.forget_calls().await);
    let router = Watched::begin_with(&fleet, options).await;
    sure(router.0.wait_ready().await);
    assert_eq!(sure(moto.calls().await).counts.len(), 0, "no member, no call");

    // A name that EKS does not know, a cluster that does not know the role, and then both.
    let mut connection = by_eks(&moto, "etl_2");
    connection["connection"]["kubeconfigSecret"] = Value::Null;
    sure(installation.register("m1", connection).await);
    let said = not_ready(hub, "m1", "EksClusterMissing").await;
    assert!(said.starts_with("spec.connection.eks.cluster: ") && said.contains("etl_2"), "{said}");
    let named = json!({"spec": {"connection": {"eks": {"cluster": CLUSTER}}}});
    patch(hub, "mc", "", "m1", named).await;
    not_ready(hub, "m1", "Unauthorized").await;
    authenticator.grant(ROLE, USER, &["spark-router"]);
    ready(hub, "m1").await;

    sure(installation.submit(&objects::job(TEAM, "pi", QUEUE, |_| {})).await);
    let job = succeeded(hub, TEAM, "pi").await;
    assert_eq!(jobs::cluster(&job), "m1");
    let calls = sure(member.audit().calls());
    let creates = calls.iter().filter(|call| call.verb == "create" && call.resource == "sparkapplications");
    let users: BTreeSet<_> = creates.map(|call| call.user.as_str()).collect();
    assert_eq!(users, BTreeSet::from([USER]));

    // The cluster goes: nothing new starts, and nobody is asked for each call.
    let asked = sure(moto.calls().await).of("DescribeCluster");
    assert!(asked < 20, "{asked}");
    sure(moto.set_eks_cluster_state(CLUSTER, "DELETING").await);
    sure(member.stop_apiserver());
    let said = not_ready(hub, "m1", "EksClusterNotActive").await;
    assert!(said.contains("is DELETING"), "{said} within {PATIENCE:?}");
    let log = router.0.log().unwrap();
    assert!(!log.contains("k8s-aws-v1."), "a token is no matter of a log");
}
