//! A link to a real API server that knows tokens of EKS: it asks an authenticator, which asks moto.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use common::access;
use jiff::Timestamp;
use spark_router_aws::{
    Access, Clients, Eks, EksTarget, Role,
    eks::{Ages, Tempo, presign, sts},
};
use spark_router_core::{
    health::{LinkState, Thresholds},
    id::{ClusterName, HubId},
    place::NamespaceRule,
};
use spark_router_member::{
    Admission, Bearer, Connection, Limits, MaySend, Member, Registry, Settings, calls::Calls, kubeflow,
};
use spark_router_testkit::{
    Cluster, Fleet, MemberOptions, OperatorKind, chain,
    eks::{Authenticator, Question, Review},
    moto::{self, Lane, Moto},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const CLUSTER: &str = "etl";
const ROLE: &str = "arn:aws:iam::123456789012:role/router";
const PATIENCE: Duration = Duration::from_mins(1);

/// A member on "EKS", with the shipped rights for the group that its entry gives.
struct Scene {
    fleet: Fleet,
    moto: Moto,
    authenticator: Authenticator,
    clients: Clients,
    calls: Calls,
    registry: Registry,
    stop: CancellationToken,
    _keys: mpsc::Receiver<spark_router_core::id::JobKey>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Scene {
    async fn start() -> Self {
        let options = MemberOptions { operator: OperatorKind::CrdsOnly, ..MemberOptions::default() };
        let started = Fleet::builder().member_with("m1", options).start().await;
        let fleet = started.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let moto = Moto::start(Lane::Controlled).await.unwrap();
        let member = fleet.member("m1");
        moto.create_eks_cluster(CLUSTER).await.unwrap();
        moto.place_eks_cluster(CLUSTER, member.server(), member.authority().certificate()).await.unwrap();
        let authenticator = Authenticator::start(CLUSTER, &moto).await.unwrap();
        authenticator.grant(ROLE, "spark-router", &["spark-router"]);
        member.ask_about_tokens(&authenticator.url()).await.unwrap();
        let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/member-eks");
        member.kubectl(&["apply", "-k", &rights.to_string_lossy()]).await.unwrap();
        let (sender, keys) = mpsc::channel(64);
        let (calls, stop) = (Calls::default(), CancellationToken::new());
        let registry =
            Registry::new(HubId::from("hub"), sender, calls.clone(), MaySend::always(), stop.clone());
        Self { fleet, moto, authenticator, clients: Clients::default(), calls, registry, stop, _keys: keys }
    }

    fn member(&self) -> &Cluster {
        self.fleet.member("m1")
    }

    /// As the role, with tokens of these ages.
    async fn connect(&self, ages: Ages) -> (Eks, Connection) {
        let role = Some(Role { arn: ROLE.to_owned(), external_id: None });
        let access = Access { role, ..access(&self.moto.url()) };
        let target = EksTarget { member: "m1".to_owned(), cluster: CLUSTER.to_owned(), access };
        let tempo = Tempo { ages, look_every: Duration::from_millis(100), ..Tempo::default() };
        let eks = Eks::with_tempo(self.clients.clone(), target, self.calls.clone(), tempo);
        let started = Instant::now();
        loop {
            match eks.connection() {
                Ok(connection) => return (eks, connection),
                Err(fault) => assert!(started.elapsed() < PATIENCE, "{fault:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A link of that name, when it is ready.
    async fn link(&self, name: &str, connection: Connection) -> Arc<dyn Member> {
        let cluster = ClusterName::from(name);
        let settings = Settings {
            name: cluster.clone(),
            namespace: NamespaceRule::SameAsJob,
            limits: Limits::default(),
            thresholds: Thresholds {
                lost_after: Duration::from_secs(30),
                ready_after: Duration::from_secs(1),
            },
            admission: Admission::Granted,
            tempo: spark_router_member::Tempo::default(),
            parts: Arc::default(),
        };
        self.registry.put(kubeflow::blueprint(settings, connection)).unwrap();
        let member = self.registry.get(&cluster).unwrap();
        self.until("ready", || is_ready(&*member)).await;
        member
    }

    async fn until(&self, what: &str, mut happened: impl FnMut() -> bool) {
        let started = Instant::now();
        while !happened() {
            assert!(started.elapsed() < PATIENCE, "{what}: {:#?}", self.told());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the authenticator was told, without the tokens.
    fn told(&self) -> Vec<Result<String, String>> {
        self.authenticator.reviews().into_iter().map(|review| review.found).collect()
    }

    /// What an API server says to somebody with this token.
    async fn said_to(&self, token: &str) -> Result<(), String> {
        let member = self.member();
        let kubeconfig = member.kubeconfig_with_token(member.server(), token);
        let client = member.client_of(&kubeconfig).await.unwrap();
        client.apiserver_version().await.map(drop).map_err(|error| chain(&error))
    }
}

fn is_ready(member: &dyn Member) -> bool {
    let health = member.health();
    health.link == LinkState::Ready && health.fault.is_none()
}

/// Now, as exact as the date of a token is.
fn now_in_seconds() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap()
}

fn tokens(reviews: &[Review]) -> BTreeSet<&str> {
    reviews.iter().map(|review| review.token.as_str()).collect()
}

fn bearer(connection: &Connection) -> Arc<dyn Bearer> {
    connection.bearer.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_comes_in_by_tokens_and_stays_while_they_end_one_after_the_other() {
    let scene = Scene::start().await;

    // Who may come in, and who not.
    let (eks, connection) = scene.connect(Ages::default()).await;
    let good = bearer(&connection).token().unwrap();
    scene.said_to(&good).await.unwrap();
    let sts = sts(moto::REGION).await.unwrap();
    let sign = |at: SystemTime| {
        let key = aws_credential_types::Credentials::new(moto::ACCESS_KEY, moto::SECRET_KEY, None, None, "t");
        presign(&key, (moto::REGION, &sts), CLUSTER, at).unwrap()
    };
    let now = SystemTime::now();
    for (token, why) in [
        (sign(now - Duration::from_mins(16)), "the token is expired"),
        (sign(now), "arn:aws:sts::123456789012:user/moto"),
    ] {
        let refused = scene.said_to(&token).await.unwrap_err();
        assert!(refused.contains("401") || refused.contains("Unauthorized"), "{refused}");
        let last = scene.told().pop().unwrap();
        let told = last.clone().unwrap_or_else(|why| why);
        assert!(told.contains(why), "{told}");
    }
    drop((eks, connection));

    // Tokens are taken for five seconds, and an API server keeps a good answer for ten: with one token a link would be out
    // after fifteen.
    scene.authenticator.take_for(Duration::from_secs(5));
    let ages = Ages {
        renew_after: Duration::from_secs(2),
        use_until: Duration::from_secs(4),
        refused_again: Duration::from_millis(500),
    };
    let before = scene.authenticator.reviews().len();
    let (_eks, connection) = scene.connect(ages).await;
    let member = scene.link("m1", connection).await;
    let started = Instant::now();
    let mut seen = 0;
    while seen < 10 || started.elapsed() < Duration::from_secs(20) {
        assert!(is_ready(&*member), "{:?} {:#?}", member.health(), scene.told());
        assert!(started.elapsed() < PATIENCE, "{seen} tokens");
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen = tokens(&scene.authenticator.reviews()[before..]).len();
    }
    let reviews = scene.authenticator.reviews();
    let session = "arn:aws:sts::123456789012:assumed-role/router/spark-router";
    for review in &reviews[before..] {
        assert_eq!(review.found.as_deref(), Ok(session));
    }
    let calls = scene.moto.calls().await.unwrap();
    assert_eq!(calls.of("DescribeCluster"), 2, "once for each, never for a call");
    assert!(calls.of("AssumeRole") >= 10, "each token has a session of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_is_replaced_at_once_and_once() {
    let scene = Scene::start().await;
    let ages = Ages { refused_again: Duration::from_secs(1), ..Ages::default() };
    let (_eks, connection) = scene.connect(ages).await;
    let first = bearer(&connection).token().unwrap();
    let member = scene.link("m1", connection.clone()).await;
    assert_eq!(bearer(&connection).token().unwrap(), first, "it is young");

    // The cluster's clock is not ours: what was good is old to it.
    let before = scene.authenticator.reviews().len();
    let date = Question::read(&first).unwrap().date;
    scene.until("a later second", || now_in_seconds() > date).await;
    scene.authenticator.refuse_before(now_in_seconds());
    scene.until("a refusal", || scene.told()[before..].iter().any(Result::is_err)).await;
    scene.until("another token", || scene.told()[before..].last().is_some_and(Result::is_ok)).await;
    scene.until("ready again", || is_ready(&*member)).await;
    let second = bearer(&connection).token().unwrap();
    assert_ne!(second, first);
    let reviews = scene.authenticator.reviews();
    let last = tokens(&reviews[before..]);
    assert_eq!(last, BTreeSet::from([&*first, &*second]), "one for one that was refused");

    // Nobody knows the role any more: that is no reason to make tokens without end, and it is said.
    let assumed = async || scene.moto.calls().await.unwrap().of("AssumeRole");
    let before = assumed().await;
    scene.authenticator.grant(ROLE, "somebody", &[]);
    scene.authenticator.refuse_before(Timestamp::MAX);
    scene
        .until("unauthorized", || member.health().fault.is_some_and(|(reason, _)| reason == "Unauthorized"))
        .await;
    let probes = scene.authenticator.reviews().len();
    scene.until("ten more probes", || scene.authenticator.reviews().len() >= probes + 10).await;
    let made = assumed().await - before;
    let most = 12;
    assert!((1..=most).contains(&made), "{made} tokens");
}
