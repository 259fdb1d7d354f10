//! What a member's quotas and its Kueue say: followed on the real controllers, through failures and back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Bench, PATIENCE, member_kubeconfig, on_clusters};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{core::v1::Pod, rbac::v1::ClusterRole};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use spark_router_core::{
    health::LinkState,
    id::Namespace,
    resources::Capacity,
    signal::{Room, Signals},
};
use spark_router_member::{Member, Tempo, WantedSignals};
use spark_router_testkit::{
    Cluster, chain,
    fault::{FaultProxy, Mode},
    kueue,
    router::{ACCOUNT, NAMESPACE},
    tools,
};

/// Waits until the signals are as wanted; returns them and how long it took.
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

fn quotas() -> WantedSignals {
    WantedSignals { quotas: true, ..WantedSignals::default() }
}

fn room_of(signals: &Signals, namespace: &Namespace) -> Option<Room> {
    signals.quotas.as_ref()?.value.get(namespace).cloned()
}

fn capacity(pods: Option<u64>, cpu_milli: u64, memory_gi: u64) -> Capacity {
    Capacity { pods, cpu_milli: Some(cpu_milli), memory_bytes: Some(memory_gi << 30), ..Capacity::default() }
}

async fn apply(cluster: &Cluster, yaml: &str) {
    cluster.apply_manifest(yaml).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

async fn quota(cluster: &Cluster, namespace: &Namespace, name: &str, hard: &str) {
    let yaml = format!(
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{hard: {hard}}}\n"
    );
    apply(cluster, &yaml).await;
}

/// A pod of somebody else: 1 core, 2 GiB.
async fn foreign_pod(bench: &Bench, name: &str) {
    let resources = json!({"requests": {"cpu": "1", "memory": "2Gi"}});
    let pod = json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}], "terminationGracePeriodSeconds": 0},
    });
    let pods: Api<Pod> = Api::namespaced(bench.admin.clone(), bench.namespace.as_str());
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

#[test]
fn quotas_are_followed_with_everybodys_pods() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let cluster = fleet.member("m1");
        let member = bench.member("m1", None, Tempo::default()).await;
        let own = |signals: &Signals| room_of(signals, &bench.namespace);
        assert_eq!(*member.signals(), Signals::default(), "nothing is read that nobody wants");

        member.want_signals(quotas());
        until(&member, "a first look", |signals| signals.quotas.is_some()).await;
        assert_eq!(own(&member.signals()), None);

        quota(cluster, &bench.namespace, "compute", "{pods: 5, requests.cpu: 4, requests.memory: 8Gi}").await;
        let all = capacity(Some(5), 4000, 8);
        let empty = Room { free: all, most: all, closed: None };
        let (_, counted) =
            until(&member, "an empty quota", |signals| own(signals).as_ref() == Some(&empty)).await;

        let mut changed = bench.registry.subscribe();
        foreign_pod(&bench, "a").await;
        let three = capacity(Some(4), 3000, 6);
        let (_, shrunk) =
            until(&member, "a pod", |signals| own(signals).is_some_and(|room| room.free == three)).await;
        tokio::time::timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
        foreign_pod(&bench, "b").await;
        let two = capacity(Some(3), 2000, 4);
        until(&member, "two pods", |signals| own(signals).is_some_and(|room| room.free == two)).await;

        // The tighter one counts, dimension by dimension.
        quota(cluster, &bench.namespace, "few", "{count/pods: 3}").await;
        let tight = Room { free: capacity(Some(1), 2000, 4), most: capacity(Some(3), 4000, 8), closed: None };
        until(&member, "the tighter quota", |signals| own(signals).as_ref() == Some(&tight)).await;

        // A quiet watch is a live one.
        let seen = member.signals().quotas.as_ref().unwrap().at;
        let still = |signals: &Signals| signals.quotas.as_ref().is_some_and(|quotas| quotas.at > seen);
        let (signals, younger) = until(&member, "a younger value", still).await;
        assert_eq!(own(&signals), Some(tight));
        assert!(younger < Duration::from_secs(5), "{younger:?}");

        let pods: Api<Pod> = Api::namespaced(bench.admin.clone(), bench.namespace.as_str());
        for name in ["a", "b"] {
            pods.delete(name, &DeleteParams::default()).await.unwrap();
        }
        let free =
            |signals: &Signals| own(signals).is_some_and(|room| room.free == capacity(Some(3), 4000, 8));
        let (_, grown) = until(&member, "room again", free).await;
        let name = bench.namespace.to_string();
        cluster.kubectl(&["delete", "resourcequota", "--all", "-n", &name]).await.unwrap();
        until(&member, "no quota", |signals| own(signals).is_none() && signals.quotas.is_some()).await;
        println!(
            "quota created to signal {counted:?}, pod created to signal {shrunk:?}, pods deleted to signal {grown:?}"
        );

        member.want_signals(WantedSignals::default());
        until(&member, "silence", |signals| *signals == Signals::default()).await;
    });
}

/// An account with the shipped rights, but those on quotas in a binding of their own.
async fn without_quotas(cluster: &Cluster) -> String {
    let roles: Api<ClusterRole> = Api::all(cluster.client());
    let shipped = roles.get("spark-router-member").await.unwrap();
    let rules = shipped.rules.unwrap();
    let of_quotas = |rule: &&k8s_openapi::api::rbac::v1::PolicyRule| {
        rule.resources.as_ref().is_some_and(|resources| resources.contains(&"resourcequotas".to_owned()))
    };
    let (only, rest): (Vec<_>, Vec<_>) = rules.iter().partition(of_quotas);
    let mut yaml =
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: frail, namespace: default}}\n".to_owned();
    for (name, rules) in [("frail", rest), ("frail-quotas", only)] {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                          "metadata": {"name": name}, "rules": rules});
        yaml += &format!("---\n{role}\n---\n{}", binding(name));
    }
    apply(cluster, &yaml).await;
    let token = cluster.token_for("default", "frail").await.unwrap();
    cluster.kubeconfig_with_token(cluster.server(), &token)
}

fn binding(role: &str) -> String {
    format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: {role}}},\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}},\
         subjects: [{{kind: ServiceAccount, name: frail, namespace: default}}]}}\n"
    )
}

#[test]
fn a_reader_that_is_refused_says_so_and_its_value_ages() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let cluster = fleet.member("m1");
        let kubeconfig = without_quotas(cluster).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        bench.put("m1", &kubeconfig, Some(&proxy), Tempo::default()).await;
        let member = bench.ready("m1").await;
        quota(cluster, &bench.namespace, "compute", "{pods: 5}").await;
        member.want_signals(quotas());
        let five = |signals: &Signals| {
            room_of(signals, &bench.namespace).is_some_and(|room| room.free.pods == Some(5))
        };
        until(&member, "a quota", five).await;

        // An open watch outlives the right to it; a new one does not come about.
        cluster.kubectl(&["delete", "clusterrolebinding", "frail-quotas"]).await.unwrap();
        proxy.set(Mode::Refuse).await;
        let away = Instant::now();
        while member.health().link == LinkState::Ready {
            assert!(away.elapsed() < PATIENCE, "the link is still ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.set(Mode::Up).await;
        let (signals, _) = until(&member, "a failure", |signals| {
            signals.failures.get("ResourceQuota").is_some_and(|why| why.contains("forbidden"))
        })
        .await;
        let why = &signals.failures["ResourceQuota"];
        assert!(
            why.starts_with("resourcequotas is forbidden: User")
                && why.ends_with("apply deploy/kustomize/member there"),
            "{why}"
        );
        bench.ready("m1").await;

        // What was seen last stays and is not called any younger.
        let seen = signals.quotas.as_ref().unwrap().at;
        let old = |signals: &Signals| {
            assert_eq!(signals.quotas.as_ref().unwrap().at, seen);
            Timestamp::now().duration_since(seen) > SignedDuration::from_secs(6)
        };
        let (signals, _) = until(&member, "an old value", old).await;
        assert!(
            five(&signals)
                && signals.quotas.as_ref().unwrap().is_stale(Duration::from_secs(5), Timestamp::now())
        );
        let health = member.health();
        assert_eq!((health.link, health.fault), (LinkState::Ready, None), "no signal makes a member unwell");

        apply(cluster, &binding("frail-quotas")).await;
        let (_, back) =
            until(&member, "the reader back", |signals| signals.failures.is_empty() && five(signals)).await;
        assert!(member.signals().quotas.as_ref().unwrap().at > seen);
        println!("rights given back to signal {back:?}");
    });
}

const QUEUES: &str = r#"
{apiVersion: kueue.x-k8s.io/v1beta2, kind: ResourceFlavor, metadata: {name: any}}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: etl}
spec:
  namespaceSelector: {}
  resourceGroups:
  - coveredResources: [cpu, memory]
    flavors:
    - {name: any, resources: [{name: cpu, nominalQuota: 9}, {name: memory, nominalQuota: 36Gi}]}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: strict}
spec:
  namespaceSelector: {}
  queueingStrategy: StrictFIFO
  resourceGroups:
  - coveredResources: [cpu, memory]
    flavors:
    - {name: any, resources: [{name: cpu, nominalQuota: "4"}, {name: memory, nominalQuota: 8Gi}]}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: flavorless}
spec:
  namespaceSelector: {}
  resourceGroups:
  - coveredResources: [cpu]
    flavors:
    - {name: missing, resources: [{name: cpu, nominalQuota: "4"}]}
"#;

fn workload(namespace: &Namespace, name: &str, queue: &str, pods: u32, cpu: u32) -> String {
    format!(
        "---\napiVersion: kueue.x-k8s.io/v1beta2\nkind: LocalQueue\nmetadata: {{name: {queue}, namespace: {namespace}}}\n\
         spec: {{clusterQueue: {queue}}}\n\
         ---\napiVersion: kueue.x-k8s.io/v1beta2\nkind: Workload\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  queueName: {queue}\n  podSets:\n  - name: main\n    count: {pods}\n    template:\n      spec:\n        \
         restartPolicy: Never\n        containers:\n        - {{name: c, image: i, resources: {{requests: {{cpu: {cpu}, memory: 2Gi}}}}}}\n"
    )
}

#[test]
fn cluster_queues_are_followed_with_what_is_reserved() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let cluster = fleet.member("m1");
        let member = bench.member("m1", None, Tempo::default()).await;
        let room = |signals: &Signals, queue: &str| signals.kueue.as_ref()?.value.get(queue).cloned();
        let free = |signals: &Signals, queue: &str| room(signals, queue).map(|room| room.free);

        // Without Kueue it says what is missing, and the member is as well as before.
        member.want_signals(WantedSignals { kueue: true, ..quotas() });
        let (signals, _) = until(&member, "a failure", |signals| !signals.failures.is_empty()).await;
        let said: Vec<_> = signals.failures.iter().map(|(kind, why)| (*kind, &**why)).collect();
        let missing = "the member serves no ClusterQueues of kueue.x-k8s.io; install Kueue there, or let no route go by it";
        assert_eq!((said, &signals.kueue), (vec![("Kueue", missing)], &None));
        until(&member, "the other source", |signals| signals.quotas.is_some()).await;
        assert_eq!((member.health().link, member.health().fault), (LinkState::Ready, None));

        if !kueue::wanted().unwrap_or_else(|error| panic!("{}", chain(&error))) {
            return;
        }
        let started = Instant::now();
        kueue::start(cluster).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        println!("Kueue was ready after {:?}", started.elapsed());
        apply(cluster, QUEUES).await;
        until(&member, "an empty queue", |signals| {
            free(signals, "etl") == Some(capacity(None, 9000, 36)) && signals.failures.is_empty()
        })
        .await;
        until(&member, "an open queue", |signals| {
            room(signals, "etl").is_some_and(|room| room.closed.is_none())
        })
        .await;
        assert_eq!(room(&member.signals(), "other"), None);

        apply(cluster, &workload(&bench.namespace, "foreign", "etl", 3, 1)).await;
        let less = |signals: &Signals| free(signals, "etl") == Some(capacity(None, 6000, 30));
        let (_, shrunk) = until(&member, "a workload", less).await;
        let name = bench.namespace.to_string();
        cluster.kubectl(&["delete", "workload.kueue.x-k8s.io", "foreign", "-n", &name]).await.unwrap();
        let all = |signals: &Signals| free(signals, "etl") == Some(capacity(None, 9000, 36));
        let (_, grown) = until(&member, "room again", all).await;
        println!("workload created to signal {shrunk:?}, deleted to signal {grown:?}");

        // One that can't be admitted stops everybody behind it in a strict queue.
        until(&member, "an open strict queue", |signals| {
            room(signals, "strict").is_some_and(|room| room.closed.is_none())
        })
        .await;
        apply(cluster, &workload(&bench.namespace, "huge", "strict", 1, 20)).await;
        let (signals, _) = until(&member, "a closed queue", |signals| {
            room(signals, "strict").is_some_and(|room| room.closed.is_some())
        })
        .await;
        let strict = room(&signals, "strict").unwrap();
        assert_eq!(strict.closed.as_deref(), Some("StrictFIFO with 1 pending workloads"));
        assert_eq!(strict.free, Capacity { jobs: Some(0), ..capacity(None, 0, 0) });

        // Held, and never open: in Kueue's own words.
        let held = r#"{"spec": {"stopPolicy": "Hold"}}"#;
        cluster.kubectl(&["patch", "clusterqueue", "etl", "--type=merge", "-p", held]).await.unwrap();
        let closed = |queue: &'static str, words: &'static str| {
            move |signals: &Signals| {
                let closed = room(signals, queue).and_then(|room| room.closed);
                closed.is_some_and(|closed| closed.contains(words))
            }
        };
        let (signals, _) = until(&member, "a held queue", closed("etl", "stopped")).await;
        println!("held: {:?}", room(&signals, "etl").unwrap().closed);
        let (signals, _) = until(&member, "a queue without flavor", closed("flavorless", "missing")).await;
        println!("flavorless: {:?}", room(&signals, "flavorless").unwrap().closed);
        let health = member.health();
        assert_eq!((health.link, health.fault), (LinkState::Ready, None));
    });
}

/// As Kueue 0.13 and older serve it.
#[test]
fn an_older_kueue_is_read_by_its_own_version() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let cluster = fleet.hub();
        cluster.apply_files(&fleet.tools().spark_operator_crds()).await.unwrap();
        let tools =
            tokio::task::spawn_blocking(|| tools::ensure_set(tools::Set::Kueue, &|line| eprintln!("{line}")));
        let crd = std::fs::read_to_string(tools.await.unwrap().unwrap().file("clusterqueues.json")).unwrap();
        let mut crd: serde_json::Value = serde_json::from_str(&crd).unwrap();
        for version in crd["spec"]["versions"].as_array_mut().unwrap() {
            let is_old = version["name"] == "v1beta1";
            version["served"] = json!(is_old);
            version["storage"] = json!(is_old);
        }
        apply(cluster, &crd.to_string()).await;
        apply(
            cluster,
            "apiVersion: kueue.x-k8s.io/v1beta1\nkind: ClusterQueue\nmetadata: {name: old}\nspec:\n  \
             namespaceSelector: {}\n  cohort: all\n  resourceGroups:\n  - coveredResources: [cpu, memory]\n    flavors:\n    \
             - {name: any, resources: [{name: cpu, nominalQuota: 3}, {name: memory, nominalQuota: 4Gi}]}\n",
        )
        .await;
        let token = cluster.token_for(NAMESPACE, ACCOUNT).await.unwrap();
        bench
            .put("hub", &cluster.kubeconfig_with_token(cluster.server(), &token), None, Tempo::default())
            .await;
        let member = bench.ready("hub").await;
        member.want_signals(WantedSignals { kueue: true, ..WantedSignals::default() });
        let free = capacity(None, 3000, 4);
        until(&member, "the old queue", |signals| {
            let seen = signals.kueue.as_ref().and_then(|kueue| kueue.value.get("old"));
            seen.is_some_and(|room| room.free == free && room.most == free)
        })
        .await;
    });
}

#[test]
fn another_link_goes_on_with_what_was_wanted_and_seen() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let cluster = fleet.member("m1");
        let old = bench.member("m1", None, Tempo::default()).await;
        quota(cluster, &bench.namespace, "compute", "{pods: 5}").await;
        old.want_signals(quotas());
        let pods = |signals: &Signals| room_of(signals, &bench.namespace).and_then(|room| room.free.pods);
        until(&old, "a quota", |signals| pods(signals) == Some(5)).await;

        let token = cluster.token_for(NAMESPACE, ACCOUNT).await.unwrap();
        bench
            .put("m1", &cluster.kubeconfig_with_token(cluster.server(), &token), None, Tempo::default())
            .await;
        let started = Instant::now();
        let new = loop {
            let now = bench.registry.get(old.name()).unwrap();
            assert!(pods(&now.signals()) == Some(5), "a gap: {:?}", now.signals());
            if !std::ptr::addr_eq(Arc::as_ptr(&now), Arc::as_ptr(&old)) {
                break now;
            }
            assert!(started.elapsed() < PATIENCE, "the old link stays");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        foreign_pod(&bench, "a").await;
        until(&new, "a pod", |signals| pods(signals) == Some(4)).await;
    });
}
