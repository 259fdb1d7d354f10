//! A cluster is put back to a backup while the router runs: its versions go back, so a watch that went on would see
//! nothing. First a member, then the hub.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::collections::BTreeSet;
use std::time::Instant;

use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::fleet::OperatorKind;
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, MemberOptions};

use scene::{PATIENCE, Watched, finished, patch, queued, ready, running, succeeded, sure, uid, until};

const TEAM: &str = "team";
const QUEUE: &str = "etl";
/// Jobs that the hub's backup does not know.
const LATE: usize = 100;

fn job(name: &str, script: &str) -> Value {
    objects::job(TEAM, name, QUEUE, |template| objects::annotate(template, "script", script))
}

fn operator(member: &Cluster) -> ScriptedOperator {
    ScriptedOperator::start(member.client(), Options { driver_pods: true, ..Options::default() })
}

fn remote_uid(job: &RoutedSparkJob) -> String {
    let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
    placement.and_then(|placement| placement.remote_uid.clone()).unwrap_or_default()
}

/// The SparkApplications of m1 that belong to a job of this name, alive or not.
async fn shown(m1: &Cluster, name: &str) -> Vec<String> {
    let all = sure(jobs::applications(m1).await);
    let prefix = format!("{name}-");
    all.iter().map(ResourceExt::name_any).filter(|it| it.starts_with(&prefix)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_back_is_read_anew_and_nothing_runs_twice() {
    let own = || MemberOptions { own_etcd: true, ..MemberOptions::default() };
    let builder = Fleet::builder().hub_with(own());
    let builder = builder.member_with("m1", MemberOptions { operator: OperatorKind::CrdsOnly, ..own() });
    let fleet = sure(builder.start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({})).await);
    sure(installation.namespace(TEAM).await);
    let queue = objects::queue(QUEUE, &objects::weights(&[("m1", 1)]));
    sure(hub.apply_manifest(&queue.to_string()).await);
    let mut router = Watched::start(&installation, &fleet, &[], &["m1"]).await;

    the_member(&installation, hub, m1).await;
    the_hub(&installation, hub, m1, &mut router).await;

    let remote = sure(RemoteApplications::read([m1]));
    assert_eq!(remote.max_per_job(), 1, "{:?}", remote.repeated().collect::<Vec<_>>());
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}

async fn the_member(installation: &Installation<'_>, hub: &Cluster, m1: &Cluster) {
    let before = operator(m1);
    for name in ["stays", "ends", "goes"] {
        sure(installation.submit(&job(name, "hang-running")).await);
    }
    let stays = running(hub, TEAM, "stays").await;
    running(hub, TEAM, "ends").await;
    running(hub, TEAM, "goes").await;
    let backup = sure(m1.back_up());

    // One is stopped, one is deleted with its application, one comes that the backup does not know.
    patch(hub, "rsj", TEAM, "ends", json!({"spec": {"cancel": true}})).await;
    assert_eq!(jobs::phase(&finished(hub, TEAM, "ends").await), "Cancelled");
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    api.delete("goes", &DeleteParams::default()).await.unwrap();
    sure(jobs::wait_gone(api.clone(), "goes", PATIENCE).await);
    sure(installation.submit(&job("unknown", "hang-running")).await);
    running(hub, TEAM, "unknown").await;
    assert!(shown(m1, "goes").await.is_empty());

    before.stop().await;
    let started = Instant::now();
    sure(m1.put_back(&backup).await);
    eprintln!("m1 was put back within {:?}", started.elapsed());
    let _after = operator(m1);

    // What the member lost is lost, and its job says so; it is not run again without being asked.
    let unknown = finished(hub, TEAM, "unknown").await;
    assert_eq!(
        (jobs::phase(&unknown), jobs::reason(&unknown)),
        ("Failed", "RemoteVanished"),
        "{}",
        jobs::describe(&unknown)
    );
    // What had ended does not go on.
    until("the cancelled job's application is gone", async || {
        let left = shown(m1, "ends").await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert_eq!(jobs::phase(&finished(hub, TEAM, "ends").await), "Cancelled");
    // What runs for no job is nobody's to stop without being asked.
    assert_eq!(shown(m1, "goes").await.len(), 1);
    // What was there all the time goes on, and is followed again.
    assert_eq!(remote_uid(&running(hub, TEAM, "stays").await), remote_uid(&stays));
    ready(hub, "m1").await;
    patch(hub, "rsj", TEAM, "stays", json!({"spec": {"cancel": true}})).await;
    assert_eq!(jobs::phase(&finished(hub, TEAM, "stays").await), "Cancelled");
    sure(installation.submit(&job("after", "succeed")).await);
    succeeded(hub, TEAM, "after").await;
}

async fn the_hub(installation: &Installation<'_>, hub: &Cluster, m1: &Cluster, router: &mut Watched) {
    let _operator = operator(m1);
    sure(installation.submit(&job("runs", "hang-running")).await);
    sure(installation.submit(&job("deleted", "hang-running")).await);
    let runs = running(hub, TEAM, "runs").await;
    running(hub, TEAM, "deleted").await;
    patch(hub, "sparkqueue", "", QUEUE, json!({"spec": {"paused": true}})).await;
    sure(installation.submit(&job("waits", "hang-running")).await);
    queued(hub, TEAM, "waits", "QueuePaused").await;
    let backup = sure(hub.back_up());

    // It is placed, one is deleted, and a hundred come.
    patch(hub, "sparkqueue", "", QUEUE, json!({"spec": {"paused": false}})).await;
    let waits = running(hub, TEAM, "waits").await;
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    api.delete("deleted", &DeleteParams::default()).await.unwrap();
    sure(jobs::wait_gone(api.clone(), "deleted", PATIENCE).await);
    let mut late = BTreeSet::new();
    for number in 0..LATE {
        late.insert(uid(&sure(installation.submit(&job(&format!("late-{number}"), "hang-running")).await)));
    }
    for number in 0..LATE {
        running(hub, TEAM, &format!("late-{number}")).await;
    }
    let seen = sure(RemoteApplications::read([m1]));
    let started = Instant::now();
    sure(hub.put_back(&backup).await);
    eprintln!("the hub was put back within {:?}", started.elapsed());

    // The router ends by itself: nothing that it remembers holds any more.
    until("the router ends", async || match router.0.process().ended() {
        Some(_) => Ok(()),
        None => Err("it still runs"),
    })
    .await;
    // A hub that took longer to come back than a leader may wait ends it, too: it may not lead on then, whatever it sees.
    let ends = ["the hub was put back to an earlier state", "it could not be renewed in time"];
    let log = sure(router.0.log());
    assert!(ends.iter().any(|end| log.contains(end)), "{}", router.0.log_tail(20));
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    ready(hub, "m1").await;

    // What the members show of jobs that are there is taken up.
    assert_eq!(remote_uid(&running(hub, TEAM, "runs").await), remote_uid(&runs));
    let waiting = sure(
        jobs::wait_for(hub, TEAM, "waits", "taken up", PATIENCE, |job| remote_uid(job) == remote_uid(&waits))
            .await,
    );
    assert_eq!(uid(&waiting), uid(&waits));
    // It was stopped before the hub forgot that it was to go.
    let deleted = finished(hub, TEAM, "deleted").await;
    assert_eq!(jobs::phase(&deleted), "Failed", "{}", jobs::describe(&deleted));

    // Nothing that runs for a job that is not there any more is swept.
    let there = api.list(&ListParams::default()).await.unwrap();
    assert!(there.iter().all(|job| !job.name_any().starts_with("late-")), "the backup does not know them");
    let alive = sure(jobs::applications(m1).await);
    let alive = alive.iter().filter(|application| application.name_any().starts_with("late-"));
    assert_eq!(alive.count(), LATE);
    assert!(late.iter().all(|uid| seen.of(uid).count() == 1));
}
