//! The hub's records are put back to what they were before the jobs were placed, as by a restore of its etcd: what members
//! show is taken up again, and nothing runs twice.

mod scene;

use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use spark_router_api::{RoutedSparkJob, SparkQueue};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs, objects};

use scene::{PATIENCE, Watched, event, finished, patch, running, succeeded, sure, uid};

const TEAM: &str = "team";
const QUEUE: &str = "etl";
/// Jobs of each kind.
const EACH: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_taken_up_again_after_a_restore() {
    let fleet = scene::two_members().await;
    let (hub, m1, m2) = (fleet.hub(), fleet.member("m1"), fleet.member("m2"));
    let _operators = scene::operators(&fleet);
    let installation = sure(Installation::new(&fleet).await);
    for name in ["m1", "m2"] {
        sure(installation.member(name, json!({})).await);
    }
    scene::shared_queue(&installation, hub, TEAM, QUEUE).await;
    let mut router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;
    let job = |name: &str, script: &str| {
        objects::job(TEAM, name, QUEUE, |template| {
            objects::annotate(template, "script", script);
        })
    };
    // One kind after the other: taken in turns, all of one kind could go to one member.
    for (kind, script) in [("runs", "hang-running"), ("ended", "succeed")] {
        for number in 0..EACH {
            sure(installation.submit(&job(&format!("{kind}-{number}"), script)).await);
        }
    }
    sure(installation.submit(&job("to-cancel", "hang-running")).await);
    for number in 0..EACH {
        running(hub, TEAM, &format!("runs-{number}")).await;
        succeeded(hub, TEAM, &format!("ended-{number}")).await;
    }
    let before = running(hub, TEAM, "to-cancel").await;

    // The hub's records are as they were before; the members' are not.
    sure(router.0.kill());
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    let nothing = Patch::Merge(json!({"status": null}));
    for job in api.list(&ListParams::default()).await.unwrap() {
        api.patch_status(&job.name_any(), &PatchParams::default(), &nothing).await.unwrap();
    }
    let queues: Api<SparkQueue> = Api::all(hub.client());
    queues.patch_status(QUEUE, &PatchParams::default(), &nothing).await.unwrap();
    let reset = api.get("runs-0").await.unwrap();
    assert!(
        reset.status.as_ref().is_none_or(|status| status.placement.is_none()),
        "{}",
        jobs::describe(&reset)
    );
    patch(hub, "rsj", TEAM, "to-cancel", json!({"spec": {"cancel": true}})).await;
    sure(router.0.restart());
    sure(router.0.wait_ready().await);

    for number in 0..EACH {
        let taken_up = running(hub, TEAM, &format!("runs-{number}")).await;
        let placement = taken_up.status.as_ref().and_then(|status| status.placement.clone()).unwrap();
        assert!(
            placement.why.unwrap().starts_with("found there as attempt 1"),
            "{}",
            jobs::describe(&taken_up)
        );
        succeeded(hub, TEAM, &format!("ended-{number}")).await;
    }
    let note = event(hub, TEAM, "runs-0", "Adopted").await;
    assert!(note.contains("put back to an earlier state"), "{note}");
    let cancelled = finished(hub, TEAM, "to-cancel").await;
    assert_eq!(jobs::phase(&cancelled), "Cancelled", "{}", jobs::describe(&cancelled));
    assert_eq!(uid(&cancelled), uid(&before));

    // One record knows a place that was taken back, and not where the job went after it.
    sure(router.0.kill());
    let records = api.list(&ListParams::default()).await.unwrap().items;
    let placed = |number: usize| {
        let name = format!("runs-{number}");
        let job = records.iter().find(|job| job.name_any() == name);
        job.and_then(|job| job.status.as_ref()?.placement.clone()).unwrap()
    };
    let there = placed(0);
    let other = (1..EACH).map(placed).find(|other| other.cluster != there.cluster).unwrap();
    let older = json!({"status": {
        "cluster": other.cluster,
        "phase": "Dispatched",
        "application": null,
        "placement": {"cluster": other.cluster, "memberIdentity": other.member_identity, "remoteUid": null},
    }});
    let older = api.patch_status("runs-0", &PatchParams::default(), &Patch::Merge(older)).await.unwrap();
    assert_eq!(older.status.and_then(|status| status.placement).unwrap().cluster, other.cluster);
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    let found = sure(
        jobs::wait_for(
            hub,
            TEAM,
            "runs-0",
            "taken up where it runs, nothing left elsewhere",
            PATIENCE,
            |job| {
                let Some(status) = &job.status else { return false };
                let back = status.placement.as_ref().is_some_and(|it| it.remote_uid == there.remote_uid);
                back && status.history.iter().any(|row| row.cluster == other.cluster && row.left.is_none())
            },
        )
        .await,
    );
    assert_eq!(found.status.and_then(|status| status.placement).unwrap().cluster, there.cluster);

    // New jobs go on, with numbers of their own.
    sure(installation.submit(&job("new", "succeed")).await);
    let new = succeeded(hub, TEAM, "new").await;
    let seq = new.status.as_ref().and_then(|status| Some(status.placement.as_ref()?.seq)).unwrap();
    assert!(seq > u64::try_from(2 * EACH).unwrap(), "above all that was seen: {seq}");

    // And one that is deleted while its record knows nothing is stopped first.
    sure(router.0.kill());
    api.patch_status("runs-1", &PatchParams::default(), &nothing).await.unwrap();
    api.delete("runs-1", &kube::api::DeleteParams::default()).await.unwrap();
    sure(router.0.restart());
    sure(jobs::wait_gone(api.clone(), "runs-1", PATIENCE).await);
    for member in [m1, m2] {
        let left = sure(jobs::applications(member).await);
        assert!(left.iter().all(|application| !application.name_any().starts_with("runs-1-")), "{left:?}");
    }

    let remote = RemoteApplications::read(fleet.clusters()).unwrap();
    assert_eq!((remote.jobs(), remote.created(), remote.max_per_job()), (2 * EACH + 2, 2 * EACH + 2, 1));
    assert!(sure(router.0.terminate().await).success());
    sure(fleet.check());
}
