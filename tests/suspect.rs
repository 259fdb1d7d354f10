//! A job ends while its member misses probes: the end is seen at once, and what could not be done meanwhile is done when
//! the member answers again.

mod scene;

use std::time::{Duration, Instant};

use serde_json::json;
use spark_router_api::names::OUTCOME_FINALIZER;
use spark_router_testkit::Fleet;
use spark_router_testkit::fault::{Action, FaultProxy, Rule};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};

use scene::{PATIENCE, Watched, crds_only, not_ready, sure};

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_ended_while_its_member_was_suspect_is_let_go_of() {
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

    let slow = objects::job("team", "slow", "etl", |template| objects::annotate(template, "run-ms", "6000"));
    sure(installation.submit(&slow).await);
    sure(jobs::wait_for_phase(hub, "team", "slow", "Running", PATIENCE).await);

    // Probes are not answered, while the watch goes on.
    let hang = proxy.add(Rule::new(Action::Hang).path("/readyz"));
    not_ready(hub, "m1", "Suspect").await;
    sure(jobs::wait_for_phase(hub, "team", "slow", "Succeeded", PATIENCE).await);
    let held = jobs::applications(m1).await.unwrap();
    let finalizers = held[0].metadata.finalizers.clone().unwrap_or_default();
    assert_eq!(finalizers, [OUTCOME_FINALIZER], "nothing is written to a member that is suspect");

    proxy.remove(hang);
    let back = Instant::now();
    let released = jobs::wait_for_applications(m1, "the release", PATIENCE, |applications| {
        applications.values().all(|application| application.metadata.finalizers.is_none())
    });
    sure(released.await);
    eprintln!("released {:?} after the first answered probe", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(40), "not at its return, but some time later");
}
