//! Clusters on EKS, as moto knows them: where they are, and who signs their tokens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::access;
use jiff::Timestamp;
use serde_json::json;
use spark_router_api::MemberCluster;
use spark_router_aws::{
    Access, Clients, Credentials, Eks, EksTarget, Role,
    eks::{Tempo, connector, presign, sts},
};
use spark_router_core::id::ClusterName;
use spark_router_member::{Connection, Fault, calls::Calls};
use spark_router_testkit::{
    chain,
    eks::{Authenticator, Question},
    moto::{self, Fault as Injected, Lane, Moto, What},
    pki::Authority,
};

/// The name of the cluster at EKS, and of the member.
const CLUSTER: &str = "etl_1";
const MEMBER: &str = "eu-1";
const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    moto: Moto,
    clients: Clients,
    calls: Calls,
}

impl Bench {
    /// With one cluster that is at https://one.example.com.
    async fn start() -> Self {
        let moto = Moto::start(Lane::Controlled).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        moto.create_eks_cluster(CLUSTER).await.unwrap();
        let bench = Self { moto, clients: Clients::default(), calls: Calls::default() };
        bench.place("https://one.example.com").await;
        bench
    }

    async fn place(&self, server: &str) {
        let authority = Authority::new("eks").unwrap();
        self.moto.place_eks_cluster(CLUSTER, server, authority.certificate()).await.unwrap();
    }

    fn eks(&self, target: EksTarget, tempo: Tempo) -> Eks {
        Eks::with_tempo(self.clients.clone(), target, self.calls.clone(), tempo)
    }

    fn here(&self) -> Access {
        access(&self.moto.url())
    }

    async fn described(&self) -> u64 {
        self.moto.calls().await.unwrap().of("DescribeCluster")
    }
}

fn target(cluster: &str, access: Access) -> EksTarget {
    EksTarget { member: MEMBER.to_owned(), cluster: cluster.to_owned(), access }
}

/// A role of the account that has the cluster.
fn role() -> Role {
    Role { arn: "arn:aws:iam::123456789012:role/router".to_owned(), external_id: Some("hub-1".to_owned()) }
}

/// Looks again at once, and never by itself.
fn quick() -> Tempo {
    Tempo {
        read_again: (Duration::from_millis(50), Duration::from_millis(50)),
        make_again: (Duration::from_millis(50), Duration::from_millis(50)),
        ask_every: Duration::ZERO,
        ..Tempo::default()
    }
}

/// Waits until what is known satisfies `wanted`.
async fn until(eks: &Eks, wanted: impl Fn(&Result<Connection, Fault>) -> bool) -> Result<Connection, Fault> {
    let started = Instant::now();
    loop {
        let known = eks.connection();
        if wanted(&known) {
            return known;
        }
        assert!(started.elapsed() < PATIENCE, "{known:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn connected(eks: &Eks) -> Connection {
    until(eks, Result::is_ok).await.unwrap()
}

/// Waits for a fault of that reason, and returns what it says.
async fn fault(eks: &Eks, reason: &str) -> String {
    let known = until(eks, |known| matches!(known, Err((why, _)) if *why == reason)).await;
    known.unwrap_err().1
}

fn token(connection: &Connection) -> String {
    connection.bearer.as_ref().unwrap().token().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_found_and_its_tokens_say_who_signed_them() {
    let bench = Bench::start().await;
    assert_eq!(bench.clients.made(), 0);
    let own = bench.eks(target(CLUSTER, bench.here()), Tempo::default());
    assert_eq!(own.connection().unwrap_err().0, "Connecting", "nobody waits");
    let assumed = Access { role: Some(role()), ..bench.here() };
    let assumed = bench.eks(target(CLUSTER, assumed), Tempo::default());
    let again = bench.eks(target(CLUSTER, bench.here()), Tempo::default());
    let (own, assumed, again) = tokio::join!(connected(&own), connected(&assumed), connected(&again));
    assert_eq!(bench.clients.made(), 2, "one for each access");
    for connection in [&own, &assumed] {
        assert_eq!(connection.config.cluster_url, "https://one.example.com/");
        assert_eq!(connection.config.root_cert.as_ref().map(Vec::len), Some(1));
    }
    assert!(own.fingerprint == again.fingerprint && own.fingerprint != assumed.fingerprint);
    assert_eq!(bench.calls.total(MEMBER, "get", "clusters"), 3);

    // What the cluster's authenticator does with them; moto's lane checks the signatures with botocore.
    let here = Authenticator::start(CLUSTER, &bench.moto).await.unwrap();
    let ours = token(&own);
    let question = Question::read(&ours).unwrap();
    assert_eq!(question.host, format!("sts.{}.amazonaws.com", moto::REGION), "no endpoint that was set");
    let age = Timestamp::now().duration_since(question.date);
    assert!(age.as_secs() < 60, "{age:?}");
    let account = moto::ACCOUNT;
    assert_eq!(here.identify(&ours).await.unwrap(), format!("arn:aws:sts::{account}:user/moto"));
    let theirs = "arn:aws:sts::123456789012:assumed-role/router/spark-router";
    assert_eq!(here.identify(&token(&assumed)).await.unwrap(), theirs);
    drop(here);
    // A token is for one cluster.
    let elsewhere = Authenticator::start("etl_2", &bench.moto).await.unwrap();
    let refused = elsewhere.identify(&ours).await.unwrap_err();
    assert!(refused.contains("SignatureDoesNotMatch"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_by_its_field_and_looked_at_again() {
    let bench = Bench::start().await;
    let missing = bench.eks(target("elsewhere", bench.here()), quick());
    let said = fault(&missing, "EksClusterMissing").await;
    assert!(said.starts_with("spec.connection.eks.cluster: in eu-west-1 "), "{said}");
    drop(missing);

    // Whoever assumes a role and may not look: it is the role that lacks a right.
    bench.moto.inject(&Injected::on("DescribeCluster", What::Denied).always()).await.unwrap();
    let assumed = Access { role: Some(role()), ..bench.here() };
    let eks = bench.eks(target(CLUSTER, assumed), quick());
    let said = fault(&eks, "AccessDenied").await;
    assert!(
        said.starts_with("spec.connection.eks.roleArn: the role arn:aws:iam::123456789012:role/router"),
        "{said}"
    );
    assert!(said.contains("eks:DescribeCluster"), "{said}");
    bench.moto.end_faults().await.unwrap();
    bench.moto.set_eks_cluster_state(CLUSTER, "CREATING").await.unwrap();
    let said = fault(&eks, "EksClusterNotActive").await;
    assert!(said.contains("is CREATING"), "{said}");
    bench.moto.set_eks_cluster_state(CLUSTER, "ACTIVE").await.unwrap();
    connected(&eks).await;

    // Nobody there to ask.
    let silent = Access { endpoint: Some("http://127.0.0.1:9".to_owned()), ..bench.here() };
    let silent = bench.eks(target(CLUSTER, silent), quick());
    let said = fault(&silent, "EksNoAnswer").await;
    assert!(said.contains("eksEndpointUrl"), "{said}");

    // A role that nobody lets in.
    bench.moto.inject(&Injected::on("AssumeRole", What::Denied).always()).await.unwrap();
    let barred = Access {
        role: Some(Role { arn: "arn:aws:iam::1:role/no".to_owned(), external_id: None }),
        ..bench.here()
    };
    let barred = bench.eks(target(CLUSTER, barred), quick());
    let said = fault(&barred, "AccessDenied").await;
    assert!(said.starts_with("spec.connection.eks.roleArn: ") && said.contains("assume the role"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_looked_for_and_silence_of_eks_takes_nothing_away() {
    let bench = Bench::start().await;
    let eks = bench.eks(target(CLUSTER, bench.here()), quick());
    let before = connected(&eks).await;
    assert_eq!(bench.described().await, 1);

    // The link says so; its member is where it was.
    before.bearer.as_ref().unwrap().unanswered();
    let started = Instant::now();
    while bench.described().await < 2 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(connected(&eks).await.fingerprint, before.fingerprint);

    // EKS does not answer either: what is known stays.
    bench.moto.inject(&Injected::on("DescribeCluster", What::Internal).always()).await.unwrap();
    before.bearer.as_ref().unwrap().unanswered();
    while bench.described().await < 5 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(eks.connection().unwrap().fingerprint, before.fingerprint);

    // It moved meanwhile.
    bench.place("https://two.example.com").await;
    bench.moto.end_faults().await.unwrap();
    let known = until(&eks, |known| matches!(known, Ok(now) if now.fingerprint != before.fingerprint)).await;
    assert_eq!(known.unwrap().config.cluster_url, "https://two.example.com/");

    // It is going: nothing new starts there. An upgrade is no reason for that.
    for (state, is_used) in [("DELETING", false), ("UPDATING", true)] {
        bench.moto.set_eks_cluster_state(CLUSTER, state).await.unwrap();
        before.bearer.as_ref().unwrap().unanswered();
        let _ = until(&eks, |known| known.is_ok() == is_used).await;
    }

    // A link that is still in use goes on with its tokens when the member is looked for in another way.
    drop(eks);
    assert!(before.bearer.as_ref().unwrap().token().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_is_made_before_a_member_asks_and_a_changed_one_is_looked_for_anew() {
    let bench = Bench::start().await;
    let fixed = Credentials::Fixed {
        access_key: moto::ACCESS_KEY.to_owned(),
        secret_key: moto::SECRET_KEY.to_owned(),
    };
    let way = connector(bench.clients.clone(), fixed, bench.calls.clone());
    let object = |connection: serde_json::Value| {
        MemberCluster::new(MEMBER, serde_json::from_value(json!({ "connection": connection })).unwrap())
    };
    let url = bench.moto.url();
    let eks = |cluster: &str| {
        object(json!({"eks": {
            "cluster": cluster, "region": moto::REGION, "eksEndpointUrl": url, "stsEndpointUrl": url,
        }}))
    };
    assert!(!way.connects(&object(json!({"inCluster": {}}))));
    assert!(way.connects(&eks(CLUSTER)));
    way.forget(&ClusterName::from(MEMBER));
    assert_eq!(bench.clients.made(), 0);
    let ask = async |object: &MemberCluster, wanted: &str| {
        let started = Instant::now();
        loop {
            let known = way.connection(object);
            match &known {
                Ok(connection) if wanted == "Ready" => return connection.config.cluster_url.to_string(),
                Err((reason, message)) if *reason == wanted => return message.clone(),
                _ => assert!(started.elapsed() < PATIENCE, "{known:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(ask(&eks(CLUSTER), "Ready").await, "https://one.example.com/");
    assert_eq!((bench.clients.made(), bench.described().await), (1, 1));
    ask(&eks("elsewhere"), "EksClusterMissing").await;
    ask(&eks(CLUSTER), "Ready").await;
    assert_eq!(bench.clients.made(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_sign_for_nobody_are_refused_by_sts() {
    let bench = Bench::start().await;
    let here = Authenticator::start(CLUSTER, &bench.moto).await.unwrap();
    let sts = sts(moto::REGION).await.unwrap();
    let sign = |key: &str, secret: &str, at| {
        let credentials = aws_credential_types::Credentials::new(key, secret, None, None, "test");
        presign(&credentials, (moto::REGION, &sts), CLUSTER, at).unwrap()
    };
    let now = SystemTime::now();
    here.identify(&sign(moto::ACCESS_KEY, moto::SECRET_KEY, now)).await.unwrap();
    for (key, secret, at, why) in [
        (moto::ACCESS_KEY, "other", now, "SignatureDoesNotMatch"),
        ("AKIDNOBODY", moto::SECRET_KEY, now, "InvalidClientTokenId"),
        (moto::ACCESS_KEY, moto::SECRET_KEY, now - Duration::from_mins(16), "expired"),
    ] {
        let refused = here.identify(&sign(key, secret, at)).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}
