//! A member that answers, but not well: one that is slow keeps its share, and of one that flaps nothing moves.

mod scene;

use std::time::Duration;

use kube::Api;
use serde_json::json;
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::fault::{Action, FaultProxy, Rule};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs, objects};

use scene::{Watched, endless, not_ready, pinned, ready, running, succeeded, sure};

const TEAM: &str = "team";
const QUEUE: &str = "etl";
/// Of a light load: between two jobs more time than the slow member takes for one.
const JOBS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_member_keeps_its_share_and_nothing_of_a_flapping_one_moves() {
    let fleet = scene::two_members().await;
    let (hub, m2) = (fleet.hub(), fleet.member("m2"));
    let _operators = scene::operators(&fleet);
    let proxy = FaultProxy::start_at(fleet.address(10), m2.server(), m2.authority().certificate(), None);
    let proxy = sure(proxy.await);
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({})).await);
    let health = json!({"health": {"lostAfterSeconds": 3, "readyAfterSeconds": 1}});
    sure(installation.member_through("m2", &proxy, health).await);
    scene::shared_queue(&installation, hub, TEAM, QUEUE).await;
    let router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;

    // Every create takes more than twice the time after which it counts as overdue.
    let slow = proxy.add(
        Rule::new(Action::Delay(Duration::from_millis(600))).method("POST").containing("sparkapplications"),
    );
    let mut there = 0;
    for number in 0..JOBS {
        let name = format!("light-{number}");
        sure(installation.submit(&objects::job(TEAM, &name, QUEUE, |_| {})).await);
        let done = succeeded(hub, TEAM, &name).await;
        there += usize::from(jobs::cluster(&done) == "m2");
        let attempt = done.status.as_ref().and_then(|status| status.attempt);
        assert_eq!(attempt, Some(1), "{}", jobs::describe(&done));
    }
    proxy.remove(slow);
    assert_eq!(there, JOBS / 2, "its share, although it is slow");

    // It misses probes, and answers in between: never for as long as it takes to be lost.
    let mut job = pinned(endless(TEAM, "stays", QUEUE), &["m2"]);
    objects::merge(&mut job, json!({"spec": {"failover": {"onMemberLost": "AllowDuplicate"}}}));
    sure(installation.submit(&job).await);
    running(hub, TEAM, "stays").await;
    for round in 0..8 {
        let hang = proxy.add(Rule::new(Action::Hang).path("/readyz"));
        if round == 0 {
            not_ready(hub, "m2", "Suspect").await;
        } else {
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
        proxy.remove(hang);
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    let stays = api.get("stays").await.unwrap();
    let status = stays.status.as_ref().unwrap();
    assert_eq!(
        (jobs::phase(&stays), status.attempt, status.history.len()),
        ("Running", Some(1), 0),
        "{}",
        jobs::describe(&stays)
    );
    let log = sure(router.0.log());
    assert!(log.contains("to=\"Suspect\"") && !log.contains("to=\"Lost\""), "it was never silent for long");
    ready(hub, "m2").await;

    let remote = RemoteApplications::read(fleet.clusters()).unwrap();
    assert_eq!((remote.jobs(), remote.max_per_job()), (JOBS + 1, 1));
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
