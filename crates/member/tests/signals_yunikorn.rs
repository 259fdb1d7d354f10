//! What a member's YuniKorn says: the real one schedules the pods of others, and the signal follows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Bench, PATIENCE};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use spark_router_core::{
    health::LinkState,
    id::Namespace,
    resources::Capacity,
    signal::{Room, Signals},
};
use spark_router_member::{Member, Tempo, WantedSignals, YuniKornEndpoint, YuniKornSettings};
use spark_router_testkit::{
    Fleet, KwokOptions, MemberOptions, OperatorKind, Part, chain,
    router::Installation,
    yunikorn::{self, YuniKorn},
};

/// Between two polls of these tests.
const POLL: Duration = Duration::from_millis(500);

/// Two queues with limits, and `old`, which goes.
fn queues(with_old: bool) -> String {
    let old = if with_old { "      - {name: old}\n" } else { "" };
    format!(
        "partitions:\n- name: default\n  placementrules:\n  - {{name: provided, create: false}}\n  queues:\n  \
         - name: root\n    submitacl: '*'\n    queues:\n      \
         - {{name: etl, maxapplications: 3, resources: {{max: {{vcore: 4, memory: 8Gi}}}}}}\n      \
         - {{name: analytics, resources: {{max: {{vcore: 10, memory: 20Gi}}}}}}\n{old}"
    )
}

async fn until(
    member: &Arc<dyn Member>,
    what: &str,
    holds: impl Fn(&Signals) -> bool,
) -> (Arc<Signals>, Duration) {
    let started = Instant::now();
    loop {
        let signals = member.signals();
        if holds(&signals) {
            return (signals, started.elapsed());
        }
        assert!(started.elapsed() < PATIENCE, "{what} does not come true: {signals:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn room(signals: &Signals, queue: &str) -> Option<Room> {
    signals.yunikorn.as_ref()?.value.get(queue).cloned()
}

fn has_cpu(queue: &'static str, milli: u64) -> impl Fn(&Signals) -> bool {
    move |signals| room(signals, queue).is_some_and(|room| room.free.cpu_milli == Some(milli))
}

fn failing(signals: &Signals) -> bool {
    signals.failures.contains_key("YuniKorn")
}

fn asking(endpoint: YuniKornEndpoint, partition: &str) -> WantedSignals {
    let settings = YuniKornSettings { endpoint, partition: partition.to_owned(), poll_every: POLL };
    WantedSignals { yunikorn: Some(settings), ..WantedSignals::default() }
}

/// Pods of another tenant, one application: 1 core and 1 GiB each.
async fn foreign_pods(pods: &Api<Pod>, application: &str, queue: &str, count: usize) {
    for n in 0..count {
        let resources = json!({"requests": {"cpu": "1", "memory": "1Gi"}});
        let pod = json!({
            "metadata": {"name": format!("{application}-{n}"), "labels": {
                "applicationId": application, "queue": queue, "tenant": application,
            }},
            "spec": {
                "schedulerName": yunikorn::SCHEDULER, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": "i", "resources": resources}],
            },
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
}

async fn gone(pods: &Api<Pod>, application: &str) {
    let theirs = ListParams::default().labels(&format!("tenant={application}"));
    pods.delete_collection(&DeleteParams::default(), &theirs).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_followed_with_everybodys_pods() {
    let options = MemberOptions {
        kwok: Some(KwokOptions::sized(2, "16", "64Gi")),
        operator: OperatorKind::CrdsOnly,
        ..MemberOptions::default()
    };
    let fleet = Fleet::builder().hub().member_with("m1", options).start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let cluster = fleet.member("m1");
    let started = Instant::now();
    let yunikorn = YuniKorn::start(cluster, &queues(true)).await;
    let yunikorn = yunikorn.unwrap_or_else(|error| panic!("{}", chain(&error)));
    println!("YuniKorn served after {:?}", started.elapsed());
    let installation = Installation::new(&fleet).await.unwrap();
    installation.prepare("m1").await.unwrap();
    let kubeconfig = installation.kubeconfig("m1").await.unwrap();
    let bench = Bench::new(&fleet).await;
    bench.put("m1", &kubeconfig, None, Tempo::default()).await;
    let member = bench.ready("m1").await;
    let pods: Api<Pod> = Api::namespaced(bench.admin.clone(), bench.namespace.as_str());
    let url = YuniKornEndpoint::url(&yunikorn.url()).unwrap();

    // Empty queues: what they may hold, and nothing of a queue that is not there.
    member.want_signals(asking(url.clone(), "default"));
    let (signals, _) = until(&member, "empty queues", |signals| {
        has_cpu("root.etl", 4000)(signals)
            && has_cpu("root.analytics", 10_000)(signals)
            && has_cpu("root", 32_000)(signals)
    })
    .await;
    let etl = room(&signals, "root.etl").unwrap();
    let most =
        Capacity { jobs: Some(3), cpu_milli: Some(4000), memory_bytes: Some(8 << 30), ..Capacity::default() };
    assert_eq!(
        (etl.most, etl.free.memory_bytes, etl.free.jobs, etl.closed),
        (most, Some(8 << 30), Some(3), None)
    );
    assert_eq!(room(&signals, "root.unknown"), None);
    assert!(signals.failures.is_empty());

    // Another tenant fills one queue: nothing is free there, and its neighbour is as free as before.
    foreign_pods(&pods, "foreign", "root.etl", 4).await;
    let (signals, full) = until(&member, "a full queue", has_cpu("root.etl", 0)).await;
    assert!(has_cpu("root.analytics", 10_000)(&signals));
    let jobs = |jobs| {
        move |signals: &Signals| room(signals, "root.etl").is_some_and(|room| room.free.jobs == Some(jobs))
    };
    until(&member, "one application fewer", jobs(2)).await;
    // What waits is counted, too, once YuniKorn has taken it up: the queue stays full with one pod less.
    foreign_pods(&pods, "waiting", "root.etl", 2).await;
    until(&member, "two pods that wait", has_cpu("root", 26_000)).await;
    pods.delete("foreign-0", &DeleteParams::default()).await.unwrap();
    let running = Instant::now();
    while running.elapsed() < Duration::from_secs(3) {
        assert!(has_cpu("root.etl", 0)(&member.signals()), "{:?}", room(&member.signals(), "root.etl"));
        tokio::time::sleep(POLL / 5).await;
    }
    gone(&pods, "waiting").await;
    gone(&pods, "foreign").await;
    let (_, empty) = until(&member, "room again", has_cpu("root.etl", 4000)).await;
    println!(
        "last foreign pod created to nothing free {full:?}, pods deleted to all free {empty:?}, polled every {POLL:?}"
    );

    // A queue that is taken away drains: it says so.
    foreign_pods(&pods, "last", "root.old", 1).await;
    until(&member, "a queue in use", has_cpu("root.old", 31_000)).await;
    yunikorn.set_queues(cluster, &queues(false)).await.unwrap();
    let draining = |signals: &Signals| {
        room(signals, "root.old").is_some_and(|room| room.closed.as_deref() == Some("root.old is Draining"))
    };
    let (signals, _) = until(&member, "a draining queue", draining).await;
    assert_eq!(room(&signals, "root.etl").unwrap().closed, None);
    gone(&pods, "last").await;

    // Through the API server of the member only the one Service of the shipped rights is open to the router. (That
    // server leads to no loopback address, so a Service that answers can't be had here.)
    let namespace = Namespace::from(yunikorn::NAMESPACE);
    let other = YuniKornEndpoint::Service { namespace, name: "other".to_owned(), port: yunikorn::PORT };
    member.want_signals(asking(other, "default"));
    let (signals, _) = until(&member, "a refusal", failing).await;
    assert!(signals.failures["YuniKorn"].contains("403 Forbidden"), "{:?}", signals.failures);
    assert_eq!(signals.yunikorn, None, "what another YuniKorn said is nothing to go by");
    assert!(bench.calls.total("m1", "get", "services/proxy") > 0);

    // A partition that is not there, then a YuniKorn that dies and comes back.
    member.want_signals(asking(url.clone(), "elsewhere"));
    let (signals, _) = until(&member, "a refusal", failing).await;
    let refusal = "YuniKorn answered 404 Not Found: Partition not found";
    assert_eq!(signals.failures["YuniKorn"].as_ref(), refusal);
    member.want_signals(asking(url, "default"));
    until(&member, "the queues again", has_cpu("root.etl", 4000)).await;
    cluster.stop(Part::YuniKorn).unwrap();
    let (signals, dead) = until(&member, "a failure", failing).await;
    let seen = signals.yunikorn.clone().unwrap();
    println!("killed to failure {dead:?}: {:?}", signals.failures["YuniKorn"]);
    until(&member, "an old value", |signals| {
        assert_eq!(signals.yunikorn.as_ref(), Some(&seen));
        seen.is_stale(Duration::from_secs(3), Timestamp::now())
    })
    .await;
    assert_eq!((member.health().link, member.health().fault), (LinkState::Ready, None));
    cluster.restart(Part::YuniKorn).unwrap();
    let (_, back) =
        until(&member, "YuniKorn again", |signals| !failing(signals) && has_cpu("root.etl", 4000)(signals))
            .await;
    println!("started again to signal {back:?}");
}
