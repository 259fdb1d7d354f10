//! Every way in which a create can end, on a real API server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod common;

use std::time::{Duration, Instant};

use common::{Bench, PATIENCE, accepted, member_kubeconfig, on_clusters, submit};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use spark_router_core::{
    health::LinkState,
    id::{Attempt, Namespace as Name},
    observe::Remote,
    refusal::RefusalClass,
};
use spark_router_member::{Confirmation, Created, Order, Tempo};
use spark_router_testkit::fault::{Action, FaultProxy, Mode, Reply, Rule};

fn creates(action: Action) -> Rule {
    Rule::new(action).method("POST").containing("/sparkapplications?")
}

fn refused(created: Created) -> (RefusalClass, &'static str, String) {
    match created {
        Created::Refused(refusal) => (refusal.class, refusal.reason, refusal.message),
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[test]
fn a_create_carries_everything_and_is_found_when_sent_again() {
    on_clusters(async |fleet| {
        let mut bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, Tempo::default()).await;
        let order = bench.order("daily", &json!({"note": "x"}));
        let uid = bench.create(&member, &order).await;
        bench.called("daily").await;
        let observation = bench.state(&member, &order.name, "").await;
        assert_eq!((&observation.uid, observation.held), (&uid, true));
        let owner = observation.owner.unwrap();
        assert_eq!(
            (owner.hub, owner.job, owner.attempt),
            (bench.hub.clone(), order.job.clone(), Attempt::FIRST)
        );
        assert_eq!(owner.render_hash, member.render(order.clone(), None).hash());
        assert_eq!(accepted(submit(&member, &order).await), uid, "sent again, it is the same one");
        let there = bench.applications().get(order.name.as_str()).await.unwrap();
        assert_eq!(there.annotations()["note"], "x");
        assert_eq!(there.data["spec"]["executor"]["instances"], 1);
        match member.confirm(&order.namespace, &order.name, None).await {
            Confirmation::Present(seen) => assert_eq!(seen.uid, uid),
            other => panic!("{other:?}"),
        }
        let absent = member.confirm(&order.namespace, &"nobody".into(), None).await;
        assert_eq!(absent, Confirmation::Gone);
        assert_eq!(member.observe(&order.namespace, &"nobody".into()), Remote::Absent);
    });
}

#[test]
fn what_is_not_ours_is_never_touched() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, Tempo::default()).await;
        let order = bench.order("daily", &json!({}));
        bench.create(&member, &order).await;
        let version = bench.applications().get(order.name.as_str()).await.unwrap().resource_version();
        // The same name asked for by another attempt, and by another hub.
        let other = Order { attempt: Attempt(2), ..order.clone() };
        match submit(&member, &other).await {
            Created::NameTaken(whose) => assert!(whose.contains("attempt 1 of job team/daily"), "{whose}"),
            answer => panic!("{answer:?}"),
        }
        let foreign = Bench::new(fleet).await;
        let stranger = foreign.member("m1", None, Tempo::default()).await;
        match submit(&stranger, &order).await {
            Created::NameTaken(whose) => assert!(whose.contains("another hub"), "{whose}"),
            answer => panic!("{answer:?}"),
        }
        let after = bench.applications().get(order.name.as_str()).await.unwrap().resource_version();
        assert_eq!(version, after);
    });
}

#[test]
fn a_lost_answer_is_unclear_and_sent_again_makes_no_second_one() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        let member = bench.member("m1", Some(&proxy), Tempo::default()).await;
        proxy.add(creates(Action::SwallowAnswer).first(1));
        let order = bench.order("daily", &json!({}));
        let mark = fleet.member("m1").audit().mark();
        assert!(matches!(submit(&member, &order).await, Created::Unclear(_)));
        bench.create(&member, &order).await;
        proxy.add(creates(Action::CutBody(5)).first(1));
        let cut = bench.order("cut", &json!({}));
        assert!(matches!(submit(&member, &cut).await, Created::Unclear(_)));
        bench.create(&member, &cut).await;
        let calls = fleet.member("m1").audit().since(mark).unwrap();
        let created = calls.iter().filter(|call| {
            call.verb == "create"
                && call.resource == "sparkapplications"
                && call.succeeded()
                && call.namespace == bench.namespace.as_str()
        });
        assert_eq!(created.count(), 2);
    });
}

#[test]
fn refusals_are_told_apart_by_who_is_at_fault() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, Tempo::default()).await;

        // Only this job.
        let mut order = bench.order("zero", &json!({}));
        let mut template = (*order.template).clone();
        template["spec"]["executor"]["instances"] = json!(0);
        order.template = template.into();
        let (class, reason, message) = refused(submit(&member, &order).await);
        assert_eq!((class, reason), (RefusalClass::Job, "RejectedByMember"));
        assert!(message.contains("spec.executor.instances"), "{message}");
        assert!(member.health().blocked.is_empty());

        // No room now.
        let quotas: Api<ResourceQuota> = Api::namespaced(bench.admin.clone(), bench.namespace.as_str());
        let quota = json!({
            "metadata": {"name": "none"},
            "spec": {"hard": {"count/sparkapplications.sparkoperator.k8s.io": "0"}},
        });
        quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
        let started = Instant::now();
        while quotas.get("none").await.unwrap().status.and_then(|status| status.hard).is_none() {
            assert!(started.elapsed() < PATIENCE, "the quota is not taken up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let full = bench.order("full", &json!({}));
        let (class, reason, message) = refused(submit(&member, &full).await);
        assert_eq!((class, reason), (RefusalClass::Capacity, "QuotaExceeded"), "{message}");
        assert!(member.health().blocked.is_empty());

        // The namespace: it is left alone for a while, others are not.
        let mut nowhere = bench.order("nowhere", &json!({}));
        nowhere.namespace = Name::from("no-such-namespace");
        let (class, reason, message) = refused(submit(&member, &nowhere).await);
        assert_eq!((class, reason), (RefusalClass::Member, "NamespaceMissing"), "{message}");
        assert_eq!(member.health().blocked[0].0, nowhere.namespace);
        let calls = bench.calls.total("m1", "create", "sparkapplications");
        assert_eq!(refused(submit(&member, &nowhere).await).1, "NamespaceMissing");
        assert_eq!(
            bench.calls.total("m1", "create", "sparkapplications"),
            calls,
            "the same is not asked again at once"
        );
        assert_eq!((member.health().link, member.health().fault), (LinkState::Ready, None));
        quotas.delete("none", &DeleteParams::default()).await.unwrap();
    });
}

#[test]
fn a_namespace_that_is_being_deleted_refuses_and_what_runs_there_can_still_be_let_go() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let member = bench.member("m1", None, Tempo::default()).await;
        let order = bench.order("held", &json!({}));
        let uid = bench.create(&member, &order).await;
        let namespaces: Api<Namespace> = Api::all(bench.admin.clone());
        namespaces.delete(bench.namespace.as_str(), &DeleteParams::default()).await.unwrap();
        let late = bench.order("late", &json!({}));
        let (class, reason, _) = refused(submit(&member, &late).await);
        assert_eq!((class, reason), (RefusalClass::Member, "NamespaceTerminating"));
        bench.seen(&member, &order.name, |remote| matches!(remote, Remote::Present(o) if o.deleting)).await;
        member.release(&order.namespace, &order.name, &uid).await.unwrap();
        let started = Instant::now();
        while namespaces.get_opt(bench.namespace.as_str()).await.unwrap().is_some() {
            assert!(started.elapsed() < PATIENCE, "the namespace does not go");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn answers_of_the_machinery_are_no_refusals() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        let member = bench.member("m1", Some(&proxy), Tempo::default()).await;
        let order = bench.order("daily", &json!({}));
        for reply in [Reply::internal(), Reply::unavailable()] {
            let rule = proxy.add(creates(Action::Reply(reply)));
            assert!(matches!(submit(&member, &order).await, Created::Unclear(_)));
            proxy.remove(rule);
        }
        let rule = proxy.add(creates(Action::Reply(Reply::too_many_requests())));
        assert!(matches!(submit(&member, &order).await, Created::NotSent(_)));
        proxy.remove(rule);

        // Credentials that are refused everywhere, and taken again.
        let rule = proxy.add(Rule::new(Action::Reply(Reply::unauthorized())));
        let (class, reason, _) = refused(submit(&member, &order).await);
        assert_eq!((class, reason), (RefusalClass::Member, "Unauthorized"));
        assert_eq!(member.health().fault.unwrap().0, "Unauthorized");
        assert!(matches!(submit(&member, &order).await, Created::NotSent(_)));
        proxy.remove(rule);
        bench.ready("m1").await;
        // The namespace is left alone for five seconds.
        let started = Instant::now();
        loop {
            match submit(&member, &order).await {
                Created::Accepted(_) => break,
                Created::Refused(_) if started.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn nothing_is_sent_to_a_member_that_refuses_connections() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        // A slow probe: the create itself meets the refusal.
        let tempo = Tempo { probe_every: Duration::from_mins(1), ..Tempo::default() };
        let member = bench.member("m1", Some(&proxy), tempo).await;
        proxy.set(Mode::Refuse).await;
        let order = bench.order("daily", &json!({}));
        match submit(&member, &order).await {
            Created::NotSent(_) => {}
            other => panic!("{other:?}"),
        }
        assert!(bench.applications().get_opt(order.name.as_str()).await.unwrap().is_none());
    });
}

#[test]
fn a_silent_member_strands_few_and_a_slow_one_is_only_slowed() {
    on_clusters(async |fleet| {
        let bench = Bench::new(fleet).await;
        let proxy = FaultProxy::before(member_kubeconfig()).await.unwrap();
        let member = bench.member("slow", Some(&proxy), Tempo::default()).await;
        let other = bench.member("other", None, Tempo::default()).await;

        let rule = proxy.add(creates(Action::Delay(Duration::from_millis(600))));
        let (mut sent, mut not_sent) = (0, 0);
        for round in 0..3 {
            let orders: Vec<_> =
                (0..20).map(|n| bench.order(&format!("slow-{round}-{n}"), &json!({}))).collect();
            let answers = futures::future::join_all(orders.iter().map(|order| submit(&member, order))).await;
            sent = answers.iter().filter(|answer| matches!(answer, Created::Accepted(_))).count();
            not_sent = answers.iter().filter(|answer| matches!(answer, Created::NotSent(_))).count();
        }
        assert_eq!((sent, not_sent), (1, 19), "after the first round, one at a time");
        assert_eq!(member.health().link, LinkState::Ready, "slow is not dead");
        proxy.remove(rule);

        proxy.set(Mode::Silent).await;
        let silent = Instant::now();
        let stranded = bench.order("stranded", &json!({}));
        let (answer, ()) = tokio::join!(submit(&member, &stranded), async {
            while member.health().link == LinkState::Ready {
                assert!(silent.elapsed() < Duration::from_secs(3), "still ready");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(silent.elapsed() < Duration::from_secs(2), "Suspect after {:?}", silent.elapsed());
            let began = Instant::now();
            bench.create(&other, &bench.order("elsewhere", &json!({}))).await;
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "the other member waited {:?}",
                began.elapsed()
            );
            assert!(matches!(submit(&member, &bench.order("later", &json!({}))).await, Created::NotSent(_)));
        });
        assert!(matches!(answer, Created::Unclear(_)), "{answer:?}");
        assert!(silent.elapsed() < Duration::from_secs(14));
        proxy.set(Mode::Up).await;
        let member = bench.ready("slow").await;
        bench.create(&member, &stranded).await;
        let params = PatchParams::default();
        let released = json!({"metadata": {"finalizers": null}});
        bench.applications().patch(stranded.name.as_str(), &params, &Patch::Merge(&released)).await.unwrap();
    });
}
