//! A member whose YuniKorn queue others have filled takes no new job until they are gone, while another member does: the
//! real YuniKorn schedules the others' pods, and the router reads its queue.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod scene;

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use scene::{PATIENCE, Watched, crds_only, finished, member, pinned, queued, sure};
use serde_json::{Value, json};
use spark_router_api::{MemberCluster, member::SignalStatus};
use spark_router_testkit::{
    Fleet, KwokOptions, MemberOptions,
    operator::{Options, ScriptedOperator},
    router::{Installation, jobs, objects},
    yunikorn::{self, YuniKorn},
};

const TEAM: &str = "team";
const QUEUES: &str = "\
partitions:
- name: default
  placementrules:
  - {name: provided, create: false}
  queues:
  - name: root
    submitacl: '*'
    queues:
    - {name: etl, resources: {max: {vcore: 4, memory: 16Gi}}}
    - {name: others, resources: {max: {vcore: 8, memory: 16Gi}}}
";

/// A pod of somebody else in the queue that the router's jobs are handed to.
fn foreign(n: usize) -> Pod {
    let pod = json!({
        "metadata": {"name": format!("foreign-{n}"), "labels": {"applicationId": "foreign", "queue": "root.etl"}},
        "spec": {
            "schedulerName": yunikorn::SCHEDULER, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
        },
    });
    serde_json::from_value(pod).unwrap()
}

/// What the member's object says of its queue's signal.
fn signal(member: &MemberCluster) -> Option<&SignalStatus> {
    member.status.as_ref()?.queues.iter().find(|queue| queue.name == "etl")?.signals.first()
}

fn small(name: &str) -> Value {
    objects::job(TEAM, name, "etl", |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_others_fill_takes_no_job_until_they_are_gone() {
    let kwok = Some(KwokOptions::sized(1, "16", "64Gi"));
    let fleet = sure(
        Fleet::builder()
            .hub()
            .member_with("m1", MemberOptions { kwok, ..crds_only() })
            .member_with("m2", crds_only())
            .start()
            .await,
    );
    let hub = fleet.hub();
    let yunikorn = sure(YuniKorn::start(fleet.member("m1"), QUEUES).await);
    let _operators =
        ["m1", "m2"].map(|name| ScriptedOperator::start(fleet.member(name).client(), Options::default()));
    let installation = sure(Installation::new(&fleet).await);
    let with_yunikorn = json!({
        "backend": {"sparkOperator": {"batchScheduler": "YuniKorn"}},
        "signals": {"yunikorn": {"url": yunikorn.url(), "pollSeconds": 1}},
    });
    sure(installation.member("m1", with_yunikorn).await);
    sure(installation.member("m2", json!({})).await);
    sure(installation.namespace(TEAM).await);
    let routes = json!([
        {"clusters": {"names": ["m1"]}, "weight": 50, "signal": {"yunikorn": {}}},
        {"clusters": {"names": ["m2"]}, "weight": 50},
    ]);
    sure(hub.apply_manifest(&objects::queue("etl", &routes).to_string()).await);

    // Somebody else takes the whole queue before the router comes.
    let pods: Api<Pod> = Api::namespaced(fleet.member("m1").client(), TEAM);
    for n in 0..4 {
        pods.create(&PostParams::default(), &foreign(n)).await.unwrap();
    }
    let _router = Watched::start(&installation, &fleet, &[], &["m1", "m2"]).await;
    let full = member(hub, "m1", "a full queue", |member| {
        signal(member).is_some_and(|signal| signal.free_cpu_milli == Some(0))
    })
    .await;
    let seen = signal(&full).unwrap();
    assert_eq!((seen.source.as_str(), seen.name.as_str(), seen.stale), ("YuniKorn", "root.etl", false));

    // Every job goes to the other member, and says why.
    for n in 0..10 {
        sure(installation.submit(&small(&format!("away-{n}"))).await);
    }
    for n in 0..10 {
        let job = finished(hub, TEAM, &format!("away-{n}")).await;
        assert_eq!(jobs::cluster(&job), "m2", "{}", jobs::describe(&job));
        let why = job.status.as_ref().and_then(|status| status.placement.as_ref()?.why.clone()).unwrap();
        assert_eq!(why, "weight 50 of 50; not m1 (NoCapacity)");
    }
    // One that may go nowhere else waits, and says for what.
    sure(installation.submit(&pinned(small("waits"), &["m1"])).await);
    let waits = queued(hub, TEAM, "waits", "NoCapacity").await;
    let expected = "no member has room now: m1: its YuniKorn queue of 4 cpu is in use; \
                    m2: not among the job's clusterNames";
    assert_eq!(jobs::message(&waits), expected);

    // The others go: it goes on by itself, and the shares are as if nothing had been.
    let gone = Instant::now();
    let theirs = ListParams::default().labels("applicationId=foreign");
    pods.delete_collection(&DeleteParams::default(), &theirs).await.unwrap();
    let placed = |job: &spark_router_api::RoutedSparkJob| jobs::cluster(job) == "m1";
    sure(jobs::wait_for(hub, TEAM, "waits", "placed on m1", PATIENCE, placed).await);
    let took = gone.elapsed();
    println!("pods of others deleted to job placed: {took:?} (polled every second)");
    assert!(took < Duration::from_secs(30), "{took:?}");
    sure(jobs::wait_for(hub, TEAM, "waits", "finished", PATIENCE, jobs::is_finished).await);
    // One after another, as there is room for two at once.
    let mut on_m1 = 0;
    for n in 0..6 {
        let name = format!("both-{n}");
        sure(installation.submit(&small(&name)).await);
        on_m1 += u32::from(jobs::cluster(&finished(hub, TEAM, &name).await) == "m1");
    }
    assert_eq!(on_m1, 3, "no burst for the one that was away");

    // What was created there carries the queue for YuniKorn.
    let applications = sure(jobs::applications(fleet.member("m1")).await);
    assert!(!applications.is_empty());
    for application in applications {
        let spec = &application.data["spec"];
        assert_eq!(spec["batchScheduler"], "yunikorn", "{spec}");
        assert_eq!(spec["batchSchedulerOptions"]["queue"], "root.etl", "{spec}");
    }
}
