//! A job ends while its member misses probes: the end is seen at once, and what could not be done meanwhile is done when
//! the member answers again.

mod scene;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use spark_router_api::names::OUTCOME_FINALIZER;
use spark_router_testkit::Fleet;
use spark_router_testkit::fault::{Action, FaultProxy, Rule};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};

use scene::{PATIENCE, Watched, crds_only, not_ready, sure};

/// Longer than it takes to find out that a member does not answer.
const RETENTION: &str = "15s";

/// A member that answers again is Ready after two probes, but not before the time that it is held back for, and what was
/// to be done for it follows soon.
const SOON: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_suspect_member_was_not_asked_for_is_done_at_its_return() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let _operator = ScriptedOperator::start(m1.client(), Options::default());
    let proxy = FaultProxy::start_at(fleet.address(10), m1.server(), m1.authority().certificate(), None);
    let proxy = sure(proxy.await);
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member_through("m1", &proxy, json!({"retention": RETENTION})).await);
    sure(installation.namespace("team").await);
    sure(hub.apply_manifest(&objects::queue("etl", &objects::weights(&[("m1", 1)])).to_string()).await);
    let _router = Watched::start(&installation, &fleet, &["--retention-floor=1s"], &["m1"]).await;

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
    assert!(back.elapsed() < SOON, "not at its return, but some time later");
    sure(jobs::wait_for_applications(m1, "retention", PATIENCE, BTreeMap::is_empty).await);

    // The time to take an application away comes while its member is suspect.
    sure(installation.submit(&objects::job("team", "fast", "etl", |_| {})).await);
    sure(jobs::wait_for_phase(hub, "team", "fast", "Succeeded", PATIENCE).await);
    let due = Instant::now() + Duration::from_secs(16);
    let released = jobs::wait_for_applications(m1, "the release", PATIENCE, |applications| {
        applications.values().all(|application| application.metadata.finalizers.is_none())
    });
    sure(released.await);
    let hang = proxy.add(Rule::new(Action::Hang).path("/readyz"));
    not_ready(hub, "m1", "Suspect").await;
    tokio::time::sleep_until(due.into()).await;
    assert_eq!(jobs::applications(m1).await.unwrap().len(), 1, "a member that is suspect is not asked");
    proxy.remove(hang);
    let back = Instant::now();
    sure(jobs::wait_for_applications(m1, "retention", PATIENCE, BTreeMap::is_empty).await);
    eprintln!("taken away {:?} after the first answered probe", back.elapsed());
    assert!(back.elapsed() < SOON, "not at its return, but some time later");
}
