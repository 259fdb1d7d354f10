//! Virtual clusters of EMR on EKS for the tests of the whole router: played by moto, set up as an administrator would.
//!
//! Purpose: say once what such a member's object looks like here, and what the router needs to reach it. Owns no state.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::panic, reason = "a test ends at what it did not expect")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use spark_router_testkit::moto::{self, Lane, Moto};
use spark_router_testkit::router::objects;
use spark_router_testkit::{Cluster, Fleet};

use super::scene::sure;

/// The address of the fleet that it is on.
const HOST: u8 = 5;
/// How long a run is PENDING and SUBMITTED.
const PACE: Duration = Duration::from_millis(300);

/// Starts moto with one virtual cluster for each name, whose runs go by the annotations of the test's jobs. Their ids.
pub(crate) async fn start<'a>(fleet: &Fleet, names: &[&'a str]) -> (Moto, BTreeMap<&'a str, String>) {
    let started = Moto::start_at(fleet.supervisor(), "moto", fleet.address(HOST), Lane::Controlled).await;
    let moto = sure(started);
    sure(moto.go_by_annotations(PACE).await);
    let mut clusters = BTreeMap::new();
    for name in names {
        let made = sure(moto.create_virtual_cluster(name, "eks", &format!("spark-{name}")).await);
        clusters.insert(*name, made.id);
    }
    (moto, clusters)
}

/// The spec of such a member, with `more` merged in.
pub(crate) fn settings(moto: &Moto, id: &str, more: Value) -> Value {
    let mut spec = json!({"backend": {"emrContainers": {
        "virtualClusterId": id,
        "region": moto::REGION,
        "endpointUrl": moto.url(),
        "pollSeconds": 1,
        "releases": [{"sparkVersion": "4.0", "releaseLabel": moto::RELEASE}],
        "executionRoles": [{"arn": format!("arn:aws:iam::{}:role/spark-jobs", moto::ACCOUNT)}],
        "images": "Ignore",
    }}});
    objects::merge(&mut spec, more);
    spec
}

/// Makes the member.
pub(crate) async fn register(hub: &Cluster, name: &str, spec: Value) {
    let mut object = objects::member_cluster(name, spec);
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.remove("connection");
    }
    sure(hub.apply_manifest(&object.to_string()).await);
}

/// What a router needs to call it, and nothing of this machine's.
pub(crate) fn environment(moto: &Moto) -> Vec<(String, String)> {
    let given = moto.environment().map(|(key, value)| (key.to_owned(), value));
    let files = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
    given.into_iter().chain(files.map(|key| (key.to_owned(), "/dev/null".to_owned()))).collect()
}

/// The same where no keys are given: a token of the router's service account, for which STS gives keys of a role, as IRSA
/// sets it up on EKS.
pub(crate) fn web_identity(moto: &Moto, fleet: &Fleet) -> Vec<(String, String)> {
    let file = fleet.supervisor().folder().join("web-identity-token");
    std::fs::write(&file, "e30.e30.e30").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let rest = environment(moto).into_iter().filter(|(name, _)| !keys.contains(&name.as_str()));
    let role = format!("arn:aws:iam::{}:role/spark-router", moto::ACCOUNT);
    let own = [
        ("AWS_ROLE_ARN", role),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_string_lossy().into_owned()),
        ("AWS_ROLE_SESSION_NAME", "spark-router".to_owned()),
    ];
    rest.chain(own.map(|(name, value)| (name.to_owned(), value))).collect()
}
