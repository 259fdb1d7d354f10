//! Proves the shipped manifests on real API servers: they apply, the router's pod passes the strictest profile, and the
//! rights are what the router needs and no more.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

use std::path::Path;

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use spark_router_testkit::{Cluster, Fleet, chain};

/// The router's user on hub and members.
const ROUTER: &str = "system:serviceaccount:spark-router:spark-router";

/// `group/resource/subresource`, namespace, name and the verbs that are granted; no others may be.
type Grant = (&'static str, &'static str, &'static str, &'static [&'static str]);

const VERBS: [&str; 9] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "use"];

const ON_THE_HUB: &[Grant] = &[
    ("sparkrouter.dev/routedsparkjobs", "team", "", &["get", "list", "watch", "patch", "delete"]),
    ("sparkrouter.dev/routedsparkjobs/status", "team", "", &["patch"]),
    ("sparkrouter.dev/memberclusters", "", "", &["get", "list", "watch", "patch"]),
    ("sparkrouter.dev/memberclusters/status", "", "", &["patch"]),
    ("sparkrouter.dev/sparkqueues", "", "", &["get", "list", "watch"]),
    ("sparkrouter.dev/sparkqueues/status", "", "", &["patch"]),
    ("/namespaces", "", "", &["get", "list", "watch"]),
    ("events.k8s.io/events", "team", "", &["create"]),
    ("/secrets", "spark-router", "", &["get", "list", "watch"]),
    ("/secrets", "team", "", &[]),
    ("/secrets", "", "", &[]),
    ("coordination.k8s.io/leases", "spark-router", "spark-router", &["get", "create", "update"]),
    // A create of any name: the name is not known yet when rights are checked.
    ("coordination.k8s.io/leases", "spark-router", "other", &["create"]),
    ("coordination.k8s.io/leases", "team", "spark-router", &[]),
    ("coordination.k8s.io/leases", "", "", &[]),
    ("/configmaps", "spark-router", "", &[]),
    ("/pods", "team", "", &[]),
    ("/serviceaccounts/token", "spark-router", "", &[]),
    ("sparkoperator.k8s.io/sparkapplications", "team", "", &[]),
    ("rbac.authorization.k8s.io/clusterroles", "", "", &[]),
    ("admissionregistration.k8s.io/validatingadmissionpolicies", "", "", &[]),
    ("apiextensions.k8s.io/customresourcedefinitions", "", "", &[]),
];

const ON_A_MEMBER: &[Grant] = &[
    (
        "sparkoperator.k8s.io/sparkapplications",
        "team",
        "",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    ("sparkoperator.k8s.io/sparkapplications/status", "team", "", &[]),
    ("sparkoperator.k8s.io/scheduledsparkapplications", "team", "", &[]),
    ("/pods", "team", "", &["get", "list", "watch"]),
    ("/pods/log", "team", "", &["get"]),
    ("/pods/exec", "team", "", &[]),
    ("/resourcequotas", "team", "", &["get", "list", "watch"]),
    ("kueue.x-k8s.io/clusterqueues", "", "", &["get", "list", "watch"]),
    ("kueue.x-k8s.io/workloads", "team", "", &[]),
    ("/services/proxy", "yunikorn", "http:yunikorn-service:9080", &["get"]),
    ("/services/proxy", "team", "http:other:80", &[]),
    ("/namespaces", "", "kube-system", &["get"]),
    ("/namespaces", "", "team", &[]),
    ("authorization.k8s.io/selfsubjectaccessreviews", "", "", &["create"]),
    ("/secrets", "spark-router", "", &[]),
    ("/secrets", "team", "", &[]),
    ("/configmaps", "team", "", &[]),
    ("/serviceaccounts/token", "spark-router", "", &[]),
    ("rbac.authorization.k8s.io/clusterroles", "", "", &[]),
];

async fn kubectl(cluster: &Cluster, arguments: &[&str]) -> String {
    cluster.kubectl(arguments).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

async fn apply(cluster: &Cluster, base: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize").join(base);
    kubectl(cluster, &["apply", "--server-side", "-k", &folder.to_string_lossy()]).await;
}

async fn is_allowed(cluster: &Cluster, spec: SubjectAccessReviewSpec) -> bool {
    let user = SubjectAccessReviewSpec {
        user: Some(ROUTER.to_owned()),
        groups: Some(vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()]),
        ..spec
    };
    let review = SubjectAccessReview { spec: user, ..SubjectAccessReview::default() };
    let api: Api<SubjectAccessReview> = Api::all(cluster.client());
    api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

async fn compare(cluster: &Cluster, grants: &[Grant]) {
    for (path, namespace, name, expected) in grants {
        let mut parts = path.split('/').map(|part| Some(part.to_owned()));
        let (group, resource, subresource) =
            (parts.next().flatten(), parts.next().flatten(), parts.next().flatten());
        let mut granted = Vec::new();
        for verb in VERBS {
            let attributes = ResourceAttributes {
                group: group.clone(),
                resource: resource.clone(),
                subresource: subresource.clone(),
                namespace: Some((*namespace).to_owned()),
                name: Some((*name).to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            };
            let spec = SubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            };
            if is_allowed(cluster, spec).await {
                granted.push(verb);
            }
        }
        assert_eq!(granted, *expected, "{path} in {namespace:?} on {}", cluster.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_apply_and_grant_what_the_router_needs_and_no_more() {
    let fleet = Fleet::builder().hub().member("m1").start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let (hub, member) = (fleet.hub(), fleet.member("m1"));
    apply(hub, "hub").await;
    apply(member, "member").await;

    compare(hub, ON_THE_HUB).await;
    compare(member, ON_A_MEMBER).await;
    for path in ["/version", "/livez", "/readyz"] {
        let attributes = NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
        let spec = SubjectAccessReviewSpec {
            non_resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        assert!(is_allowed(member, spec).await, "{path}");
    }

    // Applied again, nothing changes: what is in git is what is stored.
    let diff = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/hub");
    kubectl(hub, &["diff", "--server-side", "-k", &diff.to_string_lossy()]).await;

    // The pod that the Deployment asks for is let into its namespace; less careful ones are not.
    let deployment =
        kubectl(hub, &["get", "deployment", "spark-router", "-n", "spark-router", "-o", "json"]).await;
    let deployment: Value = serde_json::from_str(&deployment).unwrap();
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("router");
    pod["metadata"]["namespace"] = json!("spark-router");
    assert!(dry_run(hub, &pod).await.is_ok());
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refused = dry_run(hub, &pod).await.unwrap_err();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");

    // A hub that runs Spark itself has both sets of rights.
    apply(hub, "hub-is-member").await;
    compare(hub, &ON_A_MEMBER[..1]).await;
    compare(hub, &ON_THE_HUB[..6]).await;
}

async fn dry_run(cluster: &Cluster, object: &Value) -> Result<String, String> {
    let file = cluster.folder().join("pod.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let arguments = ["create", "--dry-run=server", "-f", &file.to_string_lossy()];
    cluster.kubectl(&arguments).await.map_err(|error| chain(&error))
}
