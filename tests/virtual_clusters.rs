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
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::scene::sure;

/// The address of the fleet that it is on.
const HOST: u8 = 5;
/// And that of an agent that gives keys.
const AGENT: u8 = 6;
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

/// The same where an agent on the node gives keys for a token of the pod, as EKS Pod Identity sets it up. Who asks without
/// the token gets none.
pub(crate) async fn pod_identity(moto: &Moto, fleet: &Fleet) -> Vec<(String, String)> {
    const TOKEN: &str = "token-of-the-pod";
    const KEYS: &str = r#"{"AccessKeyId":"testing","SecretAccessKey":"testing","Token":"t","AccountId":"123456789012","Expiration":"2099-01-01T00:00:00Z"}"#;
    let listener = TcpListener::bind((fleet.address(AGENT), 0)).await;
    let listener = listener.unwrap_or_else(|error| panic!("no agent: {error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = vec![0; 4096];
                let length = stream.read(&mut asked).await.unwrap_or_default();
                let known = String::from_utf8_lossy(&asked[..length]).contains(TOKEN);
                let (status, body) = if known { ("200 OK", KEYS) } else { ("401 Unauthorized", "{}") };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Who hung up does not want it.
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    let file = fleet.supervisor().folder().join("pod-identity-token");
    std::fs::write(&file, TOKEN).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let rest = environment(moto).into_iter().filter(|(name, _)| !keys.contains(&name.as_str()));
    let own = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}/v1/credentials")),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_string_lossy().into_owned()),
    ];
    rest.chain(own.map(|(name, value)| (name.to_owned(), value))).collect()
}
