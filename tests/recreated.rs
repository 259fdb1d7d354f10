//! A job is deleted and created again while its member is away: the name stays taken until somebody lets go of the old
//! run, and at the member's return the old run is stopped, never the new one.

mod scene;

use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use spark_router_api::{RoutedSparkJob, names};
use spark_router_testkit::Cluster;
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs};

use scene::{PATIENCE, Watched, endless, not_ready, patch, pinned, ready, running, sure, uid, until};

const TEAM: &str = "team";
const QUEUE: &str = "etl";

/// The uids of the jobs that have an application on a member.
async fn jobs_on(member: &Cluster) -> Vec<String> {
    let all = sure(jobs::applications(member).await);
    all.iter().filter_map(|application| application.labels().get(names::JOB_UID_LABEL).cloned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_run_is_stopped_at_its_members_return_and_the_new_one_goes_on() {
    let fleet = scene::two_members().await;
    let (hub, m1, m2) = (fleet.hub(), fleet.member("m1"), fleet.member("m2"));
    let _operators = scene::operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    let health = json!({"health": {"lostAfterSeconds": 3, "readyAfterSeconds": 1}});
    for name in ["m1", "m2"] {
        sure(installation.member(name, health.clone()).await);
    }
    scene::shared_queue(&installation, hub, TEAM, QUEUE).await;
    let router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);

    // One that goes elsewhere when it is created again, and one that wants its member back.
    let mut old = Vec::new();
    for name in ["report", "loyal"] {
        sure(installation.submit(&pinned(endless(TEAM, name, QUEUE), &["m1"])).await);
        old.push(uid(&running(hub, TEAM, name).await));
    }
    sure(m1.stop_apiserver());
    not_ready(hub, "m1", "Lost").await;

    for name in ["report", "loyal"] {
        api.delete(name, &DeleteParams::default()).await.unwrap();
        let waits = sure(
            jobs::wait_for(hub, TEAM, name, "waiting for m1", PATIENCE, |job| {
                jobs::message(job).contains(names::ABANDON_ANNOTATION)
            })
            .await,
        );
        assert!(jobs::message(&waits).starts_with("waits for m1"), "{}", jobs::describe(&waits));
        let refused = installation.submit(&endless(TEAM, name, QUEUE)).await.unwrap_err();
        assert!(spark_router_testkit::chain(&refused).contains("already exists"), "{refused:?}");
        let abandon = json!({"metadata": {"annotations": {names::ABANDON_ANNOTATION: "true"}}});
        patch(hub, "rsj", TEAM, name, abandon).await;
        sure(jobs::wait_gone(api.clone(), name, PATIENCE).await);
    }

    sure(installation.submit(&pinned(endless(TEAM, "report", QUEUE), &["m1", "m2"])).await);
    sure(installation.submit(&pinned(endless(TEAM, "loyal", QUEUE), &["m1"])).await);
    let report = running(hub, TEAM, "report").await;
    assert_eq!((jobs::cluster(&report), jobs_on(m2).await), ("m2", vec![uid(&report)]));

    sure(m1.start_apiserver().await);
    ready(hub, "m1").await;
    let loyal = running(hub, TEAM, "loyal").await;
    assert_eq!(jobs::cluster(&loyal), "m1");
    until("only the new run of loyal is on m1", async || {
        let there = jobs_on(m1).await;
        if there == [uid(&loyal)] { Ok(()) } else { Err(format!("{there:?}")) }
    })
    .await;

    // What runs now was not touched.
    let now = api.list(&ListParams::default()).await.unwrap();
    for (job, before) in [("report", &report), ("loyal", &loyal)] {
        let job = now.iter().find(|it| it.name_any() == job).unwrap();
        let uid_of = |job: &RoutedSparkJob| {
            job.status.as_ref().and_then(|status| status.placement.as_ref()?.remote_uid.clone())
        };
        assert_eq!((jobs::phase(job), uid_of(job)), ("Running", uid_of(before)), "{}", jobs::describe(job));
    }
    let remote = sure(RemoteApplications::read(fleet.clusters()));
    assert_eq!((remote.jobs(), remote.created(), remote.max_per_job()), (4, 4, 1));
    assert!(old.iter().all(|uid| remote.of(uid).count() == 1));
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
