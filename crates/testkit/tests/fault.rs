//! Proves the fault proxy: every fault, against a real API server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use spark_router_testkit::fault::{Action, FaultProxy, Gate, Mode, Outcome, Record, Reply, Rule};
use spark_router_testkit::{Cluster, Fleet, chain};

/// Nothing here takes long but on a machine that compiles beside.
const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough for what must not happen to happen.
const MOMENT: Duration = Duration::from_millis(300);

struct Lab<'a> {
    cluster: &'a Cluster,
    proxy: FaultProxy,
    /// Through the proxy.
    maps: Api<ConfigMap>,
    /// Past the proxy.
    truth: Api<ConfigMap>,
}

impl<'a> Lab<'a> {
    async fn new(cluster: &'a Cluster) -> Self {
        let proxy = FaultProxy::before(cluster.kubeconfig())
            .await
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        let client = client(cluster, &proxy).await;
        let maps = Api::namespaced(client, "default");
        Self { cluster, proxy, maps, truth: Api::namespaced(cluster.client(), "default") }
    }

    async fn exists(&self, name: &str) -> bool {
        self.truth.get_opt(name).await.unwrap().is_some()
    }

    async fn seen(&self, wanted: impl Fn(&Record) -> bool + Send + 'static) -> Record {
        self.proxy.wait_for(wanted, PATIENCE).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }
}

async fn client(cluster: &Cluster, proxy: &FaultProxy) -> Client {
    let kubeconfig = proxy.kubeconfig(cluster.kubeconfig()).unwrap();
    assert!(!kubeconfig.contains("client-key"), "{kubeconfig}");
    cluster.client_of(&kubeconfig).await.unwrap()
}

fn map(name: &str) -> ConfigMap {
    let data = BTreeMap::from([("text".to_owned(), "x".repeat(2000))]);
    let mut map = ConfigMap { data: Some(data), ..ConfigMap::default() };
    map.metadata.name = Some(name.to_owned());
    map
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> kube::Result<ConfigMap> {
    maps.create(&PostParams::default(), &map(name)).await
}

fn status(answer: kube::Result<ConfigMap>) -> kube::core::Status {
    match answer {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("not an answer of an API server: {other:?}"),
    }
}

/// The connection broke: neither success nor an answer of the API server.
fn broken(answer: kube::Result<ConfigMap>) {
    let error = answer.expect_err("no success");
    assert!(!matches!(error, kube::Error::Api(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_what_it_says() {
    let fleet = Fleet::builder().hub().start().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let lab = Lab::new(fleet.hub()).await;

    credentials(&lab).await;
    replies(&lab).await;
    delays_and_counts(&lab).await;
    swallowed_answers(&lab).await;
    cut_bodies(&lab).await;
    hanging(&lab).await;
    held_requests(&lab).await;
    held_answers(&lab).await;
    silence(&lab).await;
    refusal(&lab).await;
    outage(&lab).await;
    volume(&lab).await;
}

/// The proxy speaks as admin for those without a token, and never lends that to those who have one.
async fn credentials(lab: &Lab<'_>) {
    create(&lab.maps, "as-admin").await.unwrap();
    let yaml = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: default}}";
    lab.cluster.apply_manifest(yaml).await.unwrap();
    let token = lab.cluster.token_for("default", "nobody").await.unwrap();
    let original = lab.cluster.kubeconfig_with_token(lab.cluster.server(), &token);
    let weak = lab.cluster.client_of(&lab.proxy.kubeconfig(&original).unwrap()).await.unwrap();
    let refused = status(create(&Api::namespaced(weak, "default"), "as-nobody").await);
    assert!(refused.is_forbidden() && refused.message.contains("default:nobody"), "{refused:?}");

    let bare = FaultProxy::start(lab.cluster.server(), lab.cluster.authority().certificate()).await.unwrap();
    let stranger: Api<ConfigMap> = Api::namespaced(client(lab.cluster, &bare).await, "default");
    let refused = status(create(&stranger, "as-stranger").await);
    assert!(refused.is_forbidden() && refused.message.contains("system:anonymous"), "{refused:?}");
}

async fn replies(lab: &Lab<'_>) {
    for (reply, code) in [
        (Reply::too_many_requests().retry_after(Duration::from_secs(7)), 429),
        (Reply::internal(), 500),
        (Reply::unavailable(), 503),
        (Reply::unauthorized(), 401),
    ] {
        let rule =
            lab.proxy.add(Rule::new(Action::Reply(reply)).method("POST").containing("/configmaps").first(1));
        let from = lab.proxy.requests();
        let answer = status(create(&lab.maps, "replied").await);
        assert_eq!(answer.code, code);
        let retry = answer.details.map_or(0, |details| details.retry_after_seconds);
        assert_eq!(retry, if code == 429 { 7 } else { 0 });
        let record =
            lab.seen(move |record| record.id >= from && record.outcome == Outcome::Replied(code)).await;
        assert_eq!((record.method.as_str(), record.rule), ("POST", Some(rule)));
        assert_eq!(lab.proxy.hits(rule), 1);
    }
    assert!(!lab.exists("replied").await);
    // All turns are used up.
    create(&lab.maps, "replied").await.unwrap();
    lab.proxy.clear();
}

async fn delays_and_counts(lab: &Lab<'_>) {
    let delay = Duration::from_millis(400);
    lab.proxy.add(Rule::new(Action::Delay(delay)).body("\"delayed-2\""));
    for (name, delayed) in [("delayed-1", false), ("delayed-2", true)] {
        let started = Instant::now();
        create(&lab.maps, name).await.unwrap();
        assert_eq!(started.elapsed() >= delay, delayed, "{name} took {:?}", started.elapsed());
    }
    lab.proxy.clear();
    let rule = lab.proxy.add(Rule::new(Action::Reply(Reply::unavailable())).path("/api/v1/").every(3));
    let mut codes = Vec::new();
    for _ in 0..6 {
        codes.push(lab.maps.get("delayed-1").await.is_ok());
    }
    assert_eq!(codes, [true, true, false, true, true, false]);
    assert_eq!(lab.proxy.hits(rule), 2);
    lab.proxy.clear();
}

async fn swallowed_answers(lab: &Lab<'_>) {
    lab.proxy.add(Rule::new(Action::SwallowAnswer).method("POST").first(1));
    broken(create(&lab.maps, "swallowed").await);
    assert!(lab.exists("swallowed").await);
    lab.seen(|record| record.outcome == Outcome::Swallowed(201)).await;
    assert_eq!(status(create(&lab.maps, "swallowed").await).reason, "AlreadyExists");
    lab.proxy.clear();
}

async fn cut_bodies(lab: &Lab<'_>) {
    for bytes in [0, 1, 500, 1_000_000] {
        let name = format!("cut-{bytes}");
        lab.proxy.add(Rule::new(Action::CutBody(bytes)).method("POST").first(1));
        broken(create(&lab.maps, &name).await);
        assert!(lab.exists(&name).await);
    }
    lab.seen(|record| record.outcome == Outcome::Cut(201)).await;
    // Exactly that many bytes arrive: seen by a client that counts.
    lab.proxy.add(Rule::new(Action::CutBody(700)).method("GET").first(1));
    let request = http::Request::get("/api/v1/namespaces/default/configmaps/cut-0").body(Vec::new()).unwrap();
    let stream = lab.maps.clone().into_client().request_stream(request).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    let mut arrived = Vec::new();
    let read = futures::AsyncReadExt::read_to_end(&mut stream, &mut arrived).await;
    assert!(read.is_err(), "the end was announced");
    assert_eq!(arrived.len(), 700);
    lab.proxy.clear();
}

async fn hanging(lab: &Lab<'_>) {
    lab.proxy.add(Rule::new(Action::Hang).method("POST").first(1));
    assert!(tokio::time::timeout(MOMENT, create(&lab.maps, "hung")).await.is_err());
    assert!(!lab.exists("hung").await);
    lab.seen(|record| record.outcome == Outcome::Hung).await;
    lab.proxy.clear();
}

async fn held_requests(lab: &Lab<'_>) {
    let gate = Gate::new();
    lab.proxy.add(Rule::new(Action::HoldThenForward(gate.clone())).method("POST"));
    let spawn = |name: &'static str| {
        let maps = lab.maps.clone();
        tokio::spawn(async move { create(&maps, name).await })
    };
    let first = spawn("held-1");
    gate.wait_arrived(1).await;
    let second = spawn("held-2");
    gate.wait_arrived(2).await;
    lab.seen(|record| record.outcome == Outcome::Held).await;
    assert!(!lab.exists("held-1").await);
    gate.drop_one();
    gate.release_one();
    broken(first.await.unwrap());
    second.await.unwrap().unwrap();
    lab.seen(|record| record.outcome == Outcome::Dropped).await;
    assert!(!lab.exists("held-1").await);

    // The client dies while its request is on the way: the request arrives all the same.
    let from = lab.proxy.requests();
    let late = spawn("held-3");
    gate.wait_arrived(3).await;
    late.abort();
    late.await.unwrap_err();
    gate.open();
    lab.seen(move |record| record.id >= from && record.outcome == Outcome::Answered(201)).await;
    assert!(lab.exists("held-3").await);
    lab.proxy.clear();
}

async fn held_answers(lab: &Lab<'_>) {
    let gate = Gate::new();
    lab.proxy.add(Rule::new(Action::HoldAnswer(gate.clone())).method("POST"));
    let maps = lab.maps.clone();
    let waiting = tokio::spawn(async move { create(&maps, "told-late").await });
    lab.seen(|record| record.outcome == Outcome::AnswerHeld(201)).await;
    assert!(lab.exists("told-late").await && !waiting.is_finished());
    gate.release_one();
    assert_eq!(waiting.await.unwrap().unwrap().name_any(), "told-late");
    lab.proxy.clear();
}

async fn silence(lab: &Lab<'_>) {
    let params = WatchParams::default().fields("metadata.name=watched");
    let watch = lab.maps.watch(&params, "0").await.unwrap();
    let mut watch = std::pin::pin!(watch.try_filter_map(|event| async {
        Ok(match event {
            WatchEvent::Added(map) | WatchEvent::Modified(map) => {
                map.data.and_then(|mut data| data.remove("text"))
            }
            _ => None,
        })
    }));
    // A watch flows as it comes, not when a buffer is full.
    create(&lab.truth, "watched").await.unwrap();
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch flows").unwrap().unwrap();

    lab.proxy.set(Mode::Silent).await;
    let mut changed = map("watched");
    changed.data = Some(BTreeMap::from([("text".to_owned(), "changed".to_owned())]));
    lab.truth.replace("watched", &PostParams::default(), &changed).await.unwrap();
    let quiet = tokio::time::timeout(MOMENT, watch.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    // Old connections and new ones.
    assert!(tokio::time::timeout(MOMENT, lab.maps.get("watched")).await.is_err());
    let fresh: Api<ConfigMap> = Api::namespaced(client(lab.cluster, &lab.proxy).await, "default");
    let late = tokio::spawn(async move { fresh.get("watched").await });
    tokio::time::sleep(MOMENT).await;
    assert!(!late.is_finished());

    lab.proxy.set(Mode::Up).await;
    let text =
        tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch goes on").unwrap().unwrap();
    assert_eq!(text, "changed");
    late.await.unwrap().unwrap();
}

async fn refusal(lab: &Lab<'_>) {
    let watch = lab.maps.watch(&WatchParams::default().fields("metadata.name=none"), "0").await.unwrap();
    let watch = std::pin::pin!(watch);
    lab.proxy.set(Mode::Refuse).await;
    // The watch ends, and a new connection is refused at once.
    let rest: Vec<_> = tokio::time::timeout(PATIENCE, watch.collect()).await.expect("the watch ends");
    let events = rest.iter().filter(|event| !matches!(event, Err(_) | Ok(WatchEvent::Bookmark(_)))).count();
    assert_eq!(events, 0, "{rest:?}");
    let refused = lab.maps.get("watched").await.unwrap_err();
    assert!(chain(&refused).contains("refused"), "{}", chain(&refused));
    lab.proxy.set(Mode::Up).await;
    lab.maps.get("watched").await.unwrap();
    // Straight from silence too.
    lab.proxy.set(Mode::Silent).await;
    lab.proxy.set(Mode::Refuse).await;
    broken(lab.maps.get("watched").await);
    lab.proxy.set(Mode::Up).await;
    lab.maps.get("watched").await.unwrap();
}

/// The API server itself is gone for a while: the proxy says nothing in its place.
async fn outage(lab: &Lab<'_>) {
    lab.cluster.stop_apiserver().unwrap();
    broken(lab.maps.get("watched").await);
    lab.seen(|record| matches!(record.outcome, Outcome::UpstreamFailed(_))).await;
    lab.cluster.start_apiserver().await.unwrap();
    lab.maps.get("watched").await.unwrap();
}

/// Thousands of requests, a third of whose clients go away in the middle.
async fn volume(lab: &Lab<'_>) {
    const REQUESTS: u64 = 3000;
    let from = lab.proxy.requests();
    let delay = lab.proxy.add(Rule::new(Action::Delay(Duration::from_millis(20))).chance(1, 3, 42));
    let started = Instant::now();
    let served = futures::stream::iter(0..REQUESTS)
        .map(|number| async move {
            let patience = if number % 3 == 0 { Duration::from_millis(5) } else { PATIENCE };
            tokio::time::timeout(patience, lab.maps.get("watched")).await.is_ok_and(|answer| answer.is_ok())
        })
        .buffer_unordered(32)
        .filter(|served| std::future::ready(*served))
        .count()
        .await;
    let took = started.elapsed();
    assert!(served >= 2000, "{served} served");
    assert!(lab.proxy.hits(delay) >= REQUESTS / 5);
    let records = lab.proxy.records().into_iter().filter(|record| record.id >= from).collect::<Vec<_>>();
    let gone = records.iter().filter(|record| record.outcome == Outcome::ClientGone).count();
    assert!(gone > 0);
    eprintln!("{} requests in {took:?}, {gone} clients gone, {served} served", records.len());
    lab.proxy.clear();

    let namespaces: Api<Namespace> = Api::all(client(lab.cluster, &lab.proxy).await);
    assert!(namespaces.list(&ListParams::default()).await.unwrap().items.len() > 2);
}
