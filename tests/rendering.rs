//! What is created is what is on record, also where it changes between the placement and the create: the new hash is
//! written first. What was created stays as it is, whatever the next router would make of it.

#![expect(clippy::panic, reason = "a test ends at what it did not expect")]

mod scene;

use serde_json::json;
use spark_router_api::RoutedSparkJob;
use spark_router_api::job::PlacementRecord;
use spark_router_api::names::RENDER_HASH_ANNOTATION;
use spark_router_testkit::Fleet;
use spark_router_testkit::fault::{Action, FaultProxy, Reply, Rule};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, USER, jobs, objects};

use scene::{PATIENCE, Watched, crds_only, creates, endless, patch, running, succeeded, sure};

fn record(job: &RoutedSparkJob) -> PlacementRecord {
    let placement = job.status.as_ref().and_then(|status| status.placement.clone());
    placement.unwrap_or_else(|| panic!("{} has no placement", jobs::describe(job)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rendered_anew_is_on_record_before_it_is_created() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let _operator = ScriptedOperator::start(m1.client(), Options::default());
    let proxy = FaultProxy::start_at(fleet.address(10), m1.server(), m1.authority().certificate(), None);
    let proxy = sure(proxy.await);
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member_through("m1", &proxy, json!({})).await);
    sure(installation.namespace("team").await);
    sure(hub.apply_manifest(&objects::queue("etl", &objects::weights(&[("m1", 1)])).to_string()).await);
    let _router = Watched::start(&installation, &fleet, &[], &["m1"]).await;

    // The member takes no creates for now.
    let busy = Rule::new(Action::Reply(Reply::too_many_requests()));
    let busy = proxy.add(busy.method("POST").containing("/sparkapplications?"));
    let mark = m1.audit().mark();
    sure(installation.submit(&objects::job("team", "held", "etl", |_| {})).await);
    let placed = |job: &RoutedSparkJob| job.status.as_ref().is_some_and(|status| status.placement.is_some());
    let first = record(&sure(jobs::wait_for(hub, "team", "held", "placed", PATIENCE, placed).await));
    assert!(first.render_hash.is_some());

    patch(hub, "sparkqueue", "", "etl", json!({"spec": {"fixed": {"sparkConf": {"spark.test": "new"}}}}))
        .await;
    let anew = |job: &RoutedSparkJob| placed(job) && record(job).render_hash != first.render_hash;
    let second = record(&sure(jobs::wait_for(hub, "team", "held", "rendered anew", PATIENCE, anew).await));
    assert_eq!(second, PlacementRecord { render_hash: second.render_hash.clone(), ..first });
    assert_eq!(creates(m1, mark).len(), 0, "it is on record, and nothing is created");

    proxy.remove(busy);
    let end = record(&succeeded(hub, "team", "held").await);
    assert_eq!((&end.render_hash, end.seq, end.attempt), (&second.render_hash, second.seq, second.attempt));
    assert_eq!(creates(m1, mark).len(), 1);
    let applications = sure(jobs::applications(m1).await);
    let [application] = applications.as_slice() else { panic!("{applications:?}") };
    assert_eq!(application.data["spec"]["sparkConf"]["spark.test"], "new");
    let hash = application.metadata.annotations.as_ref().and_then(|all| all.get(RENDER_HASH_ANNOTATION));
    assert_eq!(hash, second.render_hash.as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_renders_otherwise_leaves_live_applications_alone() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let _operator = ScriptedOperator::start(m1.client(), Options::default());
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({})).await);
    sure(installation.namespace("team").await);
    sure(hub.apply_manifest(&objects::queue("etl", &objects::weights(&[("m1", 1)])).to_string()).await);
    let mut router = Watched::start(&installation, &fleet, &[], &["m1"]).await;
    let mut names = Vec::new();
    for number in 0..5 {
        let name = format!("live-{number}");
        sure(installation.submit(&endless("team", &name, "etl")).await);
        names.push(name);
    }
    // Not submitted yet: a write to it now would make its operator submit twice.
    let fresh =
        objects::job("team", "fresh", "etl", |template| objects::annotate(template, "script", "hang-empty"));
    sure(installation.submit(&fresh).await);
    let mut before = Vec::new();
    for name in &names {
        before.push(record(&running(hub, "team", name).await));
    }
    let known = |job: &RoutedSparkJob| {
        let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
        placement.is_some_and(|placement| placement.remote_uid.is_some())
    };
    before.push(record(&sure(
        jobs::wait_for(hub, "team", "fresh", "its uid on record", PATIENCE, known).await,
    )));
    names.push("fresh".to_owned());

    // What the next build would render is not what this one did: everything that a rendering is made of says otherwise.
    assert!(sure(router.0.terminate().await).success());
    let fixed = json!({"spec": {"fixed": {"sparkConf": {"spark.test": "next"}}}});
    patch(hub, "sparkqueue", "", "etl", fixed).await;
    patch(hub, "mc", "", "m1", json!({"spec": {"fixed": {"sparkConf": {"spark.member": "next"}}}})).await;
    let mark = m1.audit().mark();
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    sure(installation.wait_members(&["m1"], PATIENCE).await);

    // It has taken them over: what happens to them is seen, and new ones are rendered its way.
    let renamed = json!({"status": {"sparkApplicationId": "seen-by-the-next"}}).to_string();
    let remote = &before[0].remote_name;
    let seen = [
        "patch",
        "sparkapplication",
        remote,
        "-n",
        "team",
        "--subresource=status",
        "--type=merge",
        "-p",
        &renamed,
    ];
    sure(m1.kubectl(&seen).await);
    let mirrored = |job: &RoutedSparkJob| {
        jobs::application(job).and_then(|application| application.id.as_deref()) == Some("seen-by-the-next")
    };
    sure(jobs::wait_for(hub, "team", "live-0", "the new id", PATIENCE, mirrored).await);
    sure(installation.submit(&objects::job("team", "new", "etl", |_| {})).await);
    succeeded(hub, "team", "new").await;
    let [created] = &creates(m1, mark)[..] else { panic!("{:?}", creates(m1, mark)) };
    let spec = created.request.as_ref().map(|body| body["spec"]["sparkConf"].clone()).unwrap_or_default();
    assert_eq!((&spec["spark.test"], &spec["spark.member"]), (&json!("next"), &json!("next")));

    let remotes: Vec<_> = before.iter().map(|placement| placement.remote_name.as_str()).collect();
    let writes: Vec<_> = sure(m1.audit().since(mark))
        .into_iter()
        .filter(|call| call.user == USER && matches!(&*call.verb, "create" | "update" | "patch" | "delete"))
        .filter(|call| remotes.contains(&&*call.name))
        .map(|call| format!("{} {}", call.kind(), call.name))
        .collect();
    assert_eq!(writes, Vec::<String>::new());
    for (name, before) in names.iter().zip(before) {
        let now = record(&sure(jobs::wait_for(hub, "team", name, "there", PATIENCE, |_| true).await));
        assert_eq!(now, before, "{name}");
    }
}
