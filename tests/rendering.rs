//! What is created is what is on record, also where it changes between the placement and the create: the new hash is
//! written first.

#![expect(clippy::panic, reason = "a test ends at what it did not expect")]

mod scene;

use serde_json::json;
use spark_router_api::RoutedSparkJob;
use spark_router_api::job::PlacementRecord;
use spark_router_api::names::RENDER_HASH_ANNOTATION;
use spark_router_testkit::Fleet;
use spark_router_testkit::fault::{Action, FaultProxy, Reply, Rule};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};

use scene::{PATIENCE, Watched, crds_only, creates, patch, succeeded, sure};

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
