//! A hub is copied with its identity, and both go on, each with a router: neither takes from the other what runs, and what
//! the original placed since is not placed again by the copy.

mod scene;

use std::path::Path;

use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, Router, RouterOptions, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, MemberOptions};

use scene::{
    PATIENCE, Watched, crds_only, finished, patch, queued, ready, running, succeeded, sure, uid, until,
};

const TEAM: &str = "team";
const QUEUE: &str = "etl";

fn job(name: &str, script: &str) -> Value {
    objects::job(TEAM, name, QUEUE, |template| objects::annotate(template, "script", script))
}

fn remote_uid(job: &RoutedSparkJob) -> Option<String> {
    job.status.as_ref()?.placement.as_ref()?.remote_uid.clone()
}

async fn pause(hub: &Cluster, paused: bool) {
    patch(hub, "sq", "", QUEUE, json!({"spec": {"paused": paused}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_with_one_identity_leave_each_others_jobs_alone() {
    let own = || MemberOptions { own_etcd: true, ..MemberOptions::default() };
    let builder = Fleet::builder().hub_with(own()).member_with("copy", own());
    let builder = builder.member_with("m1", crds_only()).member_with("m2", crds_only());
    let fleet = sure(builder.start().await);
    let (hub, copy) = (fleet.hub(), fleet.member("copy"));
    let members = [fleet.member("m1"), fleet.member("m2")];
    let _operators = scene::operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in ["m1", "m2"] {
        sure(installation.member(name, json!({})).await);
    }
    scene::shared_queue(&installation, hub, TEAM, QUEUE).await;
    let router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;

    for name in ["runs", "goes"] {
        sure(installation.submit(&job(name, "hang-running")).await);
        running(hub, TEAM, name).await;
    }
    pause(hub, true).await;
    for name in ["placed", "waits"] {
        sure(installation.submit(&job(name, "hang-running")).await);
        queued(hub, TEAM, name, "QueuePaused").await;
    }
    let backup = sure(hub.back_up());

    // The original goes on: it places what waited, one after the other, and one job that the copy never sees.
    let suspend = |value: bool| json!({"spec": {"suspend": value}});
    patch(hub, "rsj", TEAM, "waits", suspend(true)).await;
    pause(hub, false).await;
    let placed = running(hub, TEAM, "placed").await;
    sure(installation.submit(&job("new", "hang-running")).await);
    let new = running(hub, TEAM, "new").await;

    // The copy comes up with the state of before, and a router of its own.
    sure(copy.put_back(&backup).await);
    pause(copy, false).await;
    let binary = Path::new(env!("CARGO_BIN_EXE_spark-router"));
    let options = RouterOptions { host: 251, hub: Some("copy".to_owned()), ..RouterOptions::default() };
    let second = Watched(sure(Router::start(&fleet, binary, options).await));
    sure(second.0.wait_ready().await);
    ready(copy, "m1").await;
    ready(copy, "m2").await;

    // It shows what runs, takes up what the original placed, and holds what the original may have placed.
    for (name, on_hub) in [("runs", running(hub, TEAM, "runs").await), ("placed", placed.clone())] {
        let on_copy = running(copy, TEAM, name).await;
        assert_eq!((uid(&on_copy), remote_uid(&on_copy)), (uid(&on_hub), remote_uid(&on_hub)), "{name}");
    }
    let held = queued(copy, TEAM, "waits", "HubRestored").await;
    assert!(jobs::message(&held).contains("of job team/new"), "{}", jobs::describe(&held));
    // The original places it now: the copy takes it up, and it runs once.
    patch(hub, "rsj", TEAM, "waits", suspend(false)).await;
    let waits = running(hub, TEAM, "waits").await;
    let taken_up = running(copy, TEAM, "waits").await;
    assert_eq!(remote_uid(&taken_up), remote_uid(&waits));

    // One is deleted on the original: on the copy it has failed, and nothing comes of it there.
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    api.delete("goes", &DeleteParams::default()).await.unwrap();
    sure(jobs::wait_gone(api.clone(), "goes", PATIENCE).await);
    let goes = finished(copy, TEAM, "goes").await;
    assert_eq!(jobs::phase(&goes), "Failed", "{}", jobs::describe(&goes));
    // New ones on either side are their own.
    sure(installation.submit(&job("of-the-hub", "succeed")).await);
    succeeded(hub, TEAM, "of-the-hub").await;
    let of_the_copy: RoutedSparkJob = serde_json::from_value(job("of-the-copy", "succeed")).unwrap();
    let on_copy: Api<RoutedSparkJob> = Api::namespaced(copy.client(), TEAM);
    on_copy.create(&kube::api::PostParams::default(), &of_the_copy).await.unwrap();
    succeeded(copy, TEAM, "of-the-copy").await;

    // Nothing that runs was taken away: what the copy does not know goes on.
    until("four run on the members", async || {
        let mut alive = Vec::new();
        for member in members {
            let all = sure(jobs::applications(member).await);
            let live = all.iter().filter(|it| !it.name_any().starts_with("of-the-"));
            alive.extend(live.map(ResourceExt::name_any));
        }
        if alive.len() == 4 { Ok(()) } else { Err(format!("{alive:?}")) }
    })
    .await;
    let still = api.get("new").await.unwrap();
    assert_eq!((jobs::phase(&still), remote_uid(&still)), ("Running", remote_uid(&new)));
    let known = on_copy.list(&ListParams::default()).await.unwrap();
    assert!(known.iter().all(|job| job.name_any() != "new"));

    let remote = sure(RemoteApplications::read(members));
    assert_eq!(remote.max_per_job(), 1, "{:?}", remote.repeated().collect::<Vec<_>>());
    assert_eq!(remote.jobs(), 7);
    for router in [&router, &second] {
        sure(router.0.check());
    }
    sure(fleet.check());
}
