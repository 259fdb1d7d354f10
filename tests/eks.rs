//! A member on Amazon EKS, by the binary: its object names a cluster, moto says where it is, and the cluster's API server
//! asks an authenticator who the router is.

mod scene;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use spark_router_testkit::Fleet;
use spark_router_testkit::eks::Authenticator;
use spark_router_testkit::moto::{self, Lane, Moto};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, RouterOptions, jobs, objects};

use scene::{PATIENCE, Watched, crds_only, namespace_on, not_ready, patch, ready, succeeded, sure};

const TEAM: &str = "team";
const QUEUE: &str = "etl";
const CLUSTER: &str = "etl_1";
const ROLE: &str = "arn:aws:iam::123456789012:role/router";
/// The user that the role is on the member.
const USER: &str = "router-by-eks";

#[tokio::test(flavor = "multi_thread")]
async fn a_member_on_eks_is_found_comes_ready_and_runs_a_job() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, member) = (fleet.hub(), fleet.member("m1"));
    let moto = sure(Moto::start_at(fleet.supervisor(), "moto", fleet.address(20), Lane::Controlled).await);
    sure(moto.create_eks_cluster(CLUSTER).await);
    sure(moto.place_eks_cluster(CLUSTER, member.server(), member.authority().certificate()).await);
    let authenticator = sure(Authenticator::start(CLUSTER, &moto).await);
    sure(member.ask_about_tokens(&authenticator.url()).await);
    let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/member-eks");
    sure(member.kubectl(&["apply", "-k", &rights.to_string_lossy()]).await);
    let options = Options { driver_pods: true, ..Options::default() };
    let _operator = ScriptedOperator::start(member.client(), options);

    let installation = sure(Installation::new(&fleet).await);
    namespace_on(&[hub, member], TEAM).await;
    let queue = objects::queue(QUEUE, &objects::weights(&[("m1", 1)]));
    sure(hub.apply_manifest(&queue.to_string()).await);
    let environment = moto.environment().map(|(name, value)| (name.to_owned(), value));
    let options = RouterOptions { environment: environment.into(), ..RouterOptions::default() };
    sure(moto.forget_calls().await);
    let router = Watched::begin_with(&fleet, options).await;
    sure(router.0.wait_ready().await);
    assert_eq!(sure(moto.calls().await).counts.len(), 0, "no member, no call");

    // A name that EKS does not know, a cluster that does not know the role, and then both.
    let eks = json!({
        "cluster": "etl_2", "region": moto::REGION, "roleArn": ROLE,
        "eksEndpointUrl": moto.url(), "stsEndpointUrl": moto.url(),
    });
    let connection = json!({"connection": {"kubeconfigSecret": null, "eks": eks}});
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
