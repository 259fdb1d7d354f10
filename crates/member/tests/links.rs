//! Links: views after outages, other credentials, missing rights, members that come and go.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod common;

use std::time::{Duration, Instant};

use common::{Bench, PATIENCE, member_kubeconfig, on_clusters, settings};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use spark_router_core::{health::LinkState, id::ClusterName, observe::Remote};
use spark_router_member::{Admission, Connection, Member, Settings, Tempo, Which, kubeconfig, kubeflow};
use spark_router_testkit::{
    Cluster,
    fault::{Action, FaultProxy, Mode, Reply, Rule},
    router::ACCOUNT,
};

/// A machine that compiles beside takes its time.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} does not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn delete_for_good(bench: &Bench, name: &str) {
    let released = json!({"metadata": {"finalizers": null}});
    bench.applications().patch(name, &PatchParams::default(), &Patch::Merge(&released)).await.unwrap();
    bench.applications().delete(name, &DeleteParams::default()).await.unwrap();
}

#[test]
fn what_was_deleted_during_an_outage_is_noticed_after_it() {
    on_clusters(async |fleet| {
        let mut bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        let member = bench.member("m1", Some(&proxy), Tempo::default()).await;
        let (stays, goes) = (bench.order("stays", &json!({})), bench.order("goes", &json!({})));
        for order in [&stays, &goes] {
            bench.create(&member, order).await;
            bench.state(&member, &order.name, "").await;
        }
        for mode in [Mode::Refuse, Mode::Silent] {
            proxy.set(mode).await;
            until("Suspect", || matches!(member.health().link, LinkState::Suspect { .. })).await;
            until("Lost", || matches!(member.health().link, LinkState::Lost { .. })).await;
            if mode == Mode::Refuse {
                delete_for_good(&bench, goes.name.as_str()).await;
            } else {
                bench.set_state(&stays.name, "RUNNING").await;
            }
            bench.drain();
            proxy.set(Mode::Up).await;
            bench.called(if mode == Mode::Refuse { "goes" } else { "stays" }).await;
            bench.ready("m1").await;
        }
        assert_eq!(member.observe(&goes.namespace, &goes.name), Remote::Absent);
        bench.state(&member, &stays.name, "RUNNING").await;
    });
}

#[test]
fn a_cut_watch_goes_on_and_a_refused_one_says_why() {
    on_clusters(async |fleet| {
        let mut bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        let cut = proxy.add(Rule::new(Action::CutBody(1500)).containing("watch=true").first(3));
        let member = bench.member("m1", Some(&proxy), Tempo::default()).await;
        for n in 0..4 {
            let order = bench.order(&format!("job-{n}"), &json!({}));
            bench.create(&member, &order).await;
            bench.called(&format!("job-{n}")).await;
        }
        assert!(proxy.hits(cut) >= 1);
        let gone = Reply::new(410, "Expired", "too old resource version");
        proxy.add(Rule::new(Action::Reply(gone)).containing("watch=true").first(2));
        proxy.add(Rule::new(Action::CutBody(200)).containing("watch=true").first(1));
        let order = bench.order("last", &json!({}));
        bench.create(&member, &order).await;
        bench.called("last").await;
        assert_eq!(member.health().link, LinkState::Ready);
    });
}

/// A kubeconfig for an account that may do nothing, until it is told otherwise.
async fn powerless(cluster: &Cluster, name: &str) -> String {
    let account =
        format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: default}}\n");
    cluster.apply_manifest(&account).await.unwrap();
    let token = cluster.token_for("default", name).await.unwrap();
    cluster.kubeconfig_with_token(cluster.server(), &token)
}

fn quick() -> Tempo {
    Tempo { recheck: (Duration::from_millis(200), Duration::from_secs(1)), ..Tempo::default() }
}

#[test]
fn missing_rights_are_named_and_granted_ones_are_taken_up() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let cluster = fleet.member("m1");
        let kubeconfig = powerless(cluster, "powerless").await;
        bench.put("m1", &kubeconfig, None, quick()).await;
        let member = bench.registry.get(&ClusterName::from("m1")).unwrap();
        until("a fault", || member.health().fault.is_some()).await;
        let (reason, message) = member.health().fault.unwrap();
        assert_eq!(reason, "Forbidden");
        assert!(message.contains("may not get namespace kube-system"), "{message}");
        let some = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: some}, rules: [\
                    {apiGroups: [''], resources: [namespaces, pods], verbs: [get, list]},\
                    {apiGroups: [sparkoperator.k8s.io], resources: [sparkapplications], verbs: [get, list, watch, delete]}]}";
        let bind = |role: &str| {
            format!(
                "---\n{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: bind-{role}}},\
                 roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}},\
                 subjects: [{{kind: ServiceAccount, name: powerless, namespace: default}}]}}\n"
            )
        };
        cluster.apply_manifest(&format!("{some}\n{}", bind("some"))).await.unwrap();
        let lacking = "may not create sparkapplications in all namespaces, may not patch sparkapplications in all \
                       namespaces, may not get pods/log in all namespaces; apply deploy/kustomize/member there";
        until("fewer missing rights", || {
            member.health().fault.is_some_and(|(_, message)| message == lacking)
        })
        .await;
        cluster.apply_manifest(&bind("spark-router-member")).await.unwrap();
        bench.ready("m1").await;
    });
}

#[test]
fn a_member_without_the_operator_says_so_until_it_is_installed() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let cluster = fleet.hub();
        let token = cluster.token_for(spark_router_testkit::router::NAMESPACE, ACCOUNT).await.unwrap();
        let kubeconfig = cluster.kubeconfig_with_token(cluster.server(), &token);
        bench.put("bare", &kubeconfig, None, quick()).await;
        let member = bench.registry.get(&ClusterName::from("bare")).unwrap();
        until("a fault", || member.health().fault.is_some()).await;
        assert_eq!(member.health().fault.unwrap().0, "CrdMissing");
        assert!(member.identity().is_some(), "who it is does not depend on it");
        cluster.apply_files(&fleet.tools().spark_operator_crds()).await.unwrap();
        bench.ready("bare").await;
    });
}

#[test]
fn other_credentials_take_over_without_a_gap_and_wrong_ones_do_not() {
    on_clusters(async |fleet| {
        let mut bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, Tempo::default()).await;
        let order = bench.order("daily", &json!({}));
        bench.create(&member, &order).await;
        bench.called("daily").await;
        let cluster = ClusterName::from("m1");
        let is_in_use = |member: &std::sync::Arc<dyn Member>| {
            std::ptr::addr_eq(
                std::sync::Arc::as_ptr(member),
                std::sync::Arc::as_ptr(&bench.registry.get(&cluster).unwrap()),
            )
        };

        // The same again is nothing.
        bench.put("m1", member_kubeconfig(), None, Tempo::default()).await;
        assert!(is_in_use(&member) && bench.registry.report(&cluster).unwrap().replacement.is_none());

        // A token that nobody knows: the link in use stays, and the report says what is wrong with the other.
        let wrong = fleet.member("m1").kubeconfig_with_token(fleet.member("m1").server(), "wrong");
        bench.put("m1", &wrong, None, quick()).await;
        let trouble = || bench.registry.report(&cluster).unwrap().replacement.flatten();
        until("trouble", || trouble().is_some()).await;
        assert_eq!(trouble().unwrap().0, "Unauthorized");
        assert!(is_in_use(&member));
        bench.create(&member, &bench.order("meanwhile", &json!({}))).await;

        // A good one takes over, with its view in sync, and calls the jobs that it sees.
        let good =
            fleet.member("m1").token_for(spark_router_testkit::router::NAMESPACE, ACCOUNT).await.unwrap();
        let good = fleet.member("m1").kubeconfig_with_token(fleet.member("m1").server(), &good);
        bench.put("m1", &good, None, quick()).await;
        until("the change", || !is_in_use(&member)).await;
        let new = bench.registry.get(&cluster).unwrap();
        assert_eq!((new.health().link, new.health().fault), (LinkState::Ready, None));
        assert!(matches!(new.observe(&order.namespace, &order.name), Remote::Present(_)));
        assert!(bench.registry.report(&cluster).unwrap().replacement.is_none());
        bench.called("daily").await;

        bench.registry.remove(&cluster);
        assert!(bench.registry.get(&cluster).is_none() && bench.registry.all().is_empty());
    });
}

#[test]
fn a_link_that_awaits_consent_takes_nothing_and_a_barred_one_says_why() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let config = kubeconfig::read(member_kubeconfig()).await.unwrap();
        let settings = Settings { admission: Admission::Awaited, ..settings("m1", Tempo::default()) };
        bench.registry.put(kubeflow::blueprint(settings, Connection::fixed(config, "x".to_owned()))).unwrap();
        let cluster = ClusterName::from("m1");
        let member = bench.registry.get(&cluster).unwrap();
        until("a claim", || !bench.registry.claims().is_empty()).await;
        let claim = bench.registry.claims().remove(0);
        assert_eq!(
            (claim.which, Some(claim.identity), claim.admission),
            (Which::Current, member.identity(), Admission::Awaited)
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(member.health().link, LinkState::Connecting);
        bench.registry.admit(&cluster, Which::Current, Admission::Granted);
        bench.ready("m1").await;
        let fault = ("DuplicateMember", "another one was first".to_owned());
        bench.registry.admit(&cluster, Which::Current, Admission::Barred(fault.clone()));
        assert_eq!(member.health().fault, Some(fault));
    });
}

#[test]
fn an_operator_that_moves_nothing_is_noticed_and_one_that_does_is_believed() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let tempo = Tempo {
            operator_patience: Duration::from_secs(2),
            probe_every: Duration::from_millis(200),
            ..Tempo::default()
        };
        let member = bench.member("m1", None, tempo).await;
        let order = bench.order("fresh", &json!({}));
        bench.create(&member, &order).await;
        until("a fault", || member.health().fault.is_some()).await;
        let (reason, message) = member.health().fault.unwrap();
        assert_eq!(reason, "OperatorSilent");
        assert!(message.contains(bench.namespace.as_str()), "{message}");
        bench.set_state(&order.name, "SUBMITTED").await;
        bench.ready("m1").await;
    });
}

#[test]
fn calls_are_counted_as_the_audit_log_has_them() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, Tempo::default()).await;
        let mark = fleet.member("m1").audit().mark();
        let before = bench.calls.total("m1", "create", "sparkapplications");
        for n in 0..5 {
            bench.create(&member, &bench.order(&format!("job-{n}"), &json!({}))).await;
        }
        assert_eq!(bench.calls.total("m1", "create", "sparkapplications") - before, 5);
        let calls = fleet.member("m1").audit().since(mark).unwrap();
        let ours: Vec<_> = calls
            .iter()
            .filter(|call| call.verb == "create" && call.namespace == bench.namespace.as_str())
            .filter(|call| call.resource == "sparkapplications")
            .collect();
        assert_eq!(ours.len(), 5);
        let version = env!("CARGO_PKG_VERSION");
        assert!(
            ours.iter().all(|call| call.agent == format!("spark-router/{version}")),
            "{:?}",
            ours[0].agent
        );
    });
}
