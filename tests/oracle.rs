//! The oracle of the chaos suite on evidence from real control planes: nothing is found where nothing was disturbed, and
//! what is done by hand to applications and jobs is found.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spark_router_api::{MemberCluster, RoutedSparkJob, SparkQueue};
use spark_router_chaos::evidence::{Evidence, Meant, Side, Submitted};
use spark_router_chaos::oracle::{Verdict, judge};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet};

use scene::{
    PATIENCE, Watched, crds_only, endless, finished, patch, pinned, queued, running, sure, uid, until,
};

const TEAM: &str = "team";
const QUEUE: &str = "etl";
const MEMBERS: [&str; 2] = ["m1", "m2"];
const SUCCEED: usize = 12;
const FAIL: usize = 3;

fn with_kind(kind: &str, mut object: Value) -> Value {
    object["kind"] = json!(kind);
    object
}

async fn hub_side(hub: &Cluster) -> Side {
    let (client, all) = (hub.client(), ListParams::default());
    let jobs = Api::<RoutedSparkJob>::all(client.clone()).list(&all).await.unwrap();
    let members = Api::<MemberCluster>::all(client.clone()).list(&all).await.unwrap();
    let queues = Api::<SparkQueue>::all(client).list(&all).await.unwrap();
    let mut objects: Vec<_> =
        jobs.iter().map(|job| with_kind("RoutedSparkJob", serde_json::to_value(job).unwrap())).collect();
    objects.extend(members.iter().map(|it| with_kind("MemberCluster", serde_json::to_value(it).unwrap())));
    objects.extend(queues.iter().map(|it| with_kind("SparkQueue", serde_json::to_value(it).unwrap())));
    Side { name: "hub".to_owned(), audit: hub.audit().path().to_owned(), objects, ..Side::default() }
}

async fn member_side(member: &Cluster) -> Side {
    let applications = sure(jobs::applications(member).await);
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::all(member.client());
    let pods = pods.list(&ListParams::default()).await.unwrap();
    let mut objects: Vec<_> = applications
        .iter()
        .map(|it| with_kind("SparkApplication", serde_json::to_value(it).unwrap()))
        .collect();
    objects.extend(pods.iter().map(|pod| with_kind("Pod", serde_json::to_value(pod).unwrap())));
    Side {
        name: member.name().to_owned(),
        audit: member.audit().path().to_owned(),
        objects,
        ..Side::default()
    }
}

async fn evidence(fleet: &Fleet, jobs: &[Submitted]) -> Evidence {
    let mut members = Vec::new();
    for name in MEMBERS {
        members.push(member_side(fleet.member(name)).await);
    }
    Evidence { jobs: jobs.to_vec(), hub: hub_side(fleet.hub()).await, members, ..Evidence::default() }
}

/// Judges until the verdict is as wanted: the last lines of a log come some milliseconds after the answers that they
/// tell of.
async fn verdict(
    fleet: &Fleet,
    jobs: &[Submitted],
    what: &str,
    wanted: impl Fn(&Verdict) -> bool,
) -> (Evidence, Verdict) {
    until(what, async || {
        let evidence = evidence(fleet, jobs).await;
        let verdict = judge(&evidence).unwrap();
        if wanted(&verdict) { Ok((evidence, verdict)) } else { Err(verdict) }
    })
    .await
}

fn submitted(job: &RoutedSparkJob, meant: Meant) -> Submitted {
    Submitted {
        namespace: TEAM.to_owned(),
        name: job.name_any(),
        uid: uid(job),
        meant,
        deleted: false,
        cancelled: false,
        duplicates_allowed: false,
    }
}

fn scripted(name: &str, script: &str) -> Value {
    objects::job(TEAM, name, QUEUE, |template| objects::annotate(template, "script", script))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_a_healthy_run_and_what_is_doubled_or_lost_by_hand_is() {
    let fleet = sure(
        Fleet::builder().hub().member_with("m1", crds_only()).member_with("m2", crds_only()).start().await,
    );
    let hub = fleet.hub();
    let options = || Options { driver_pods: true, ..Options::default() };
    let _operators = MEMBERS.map(|name| ScriptedOperator::start(fleet.member(name).client(), options()));
    let installation = sure(Installation::new(&fleet).await);
    for name in MEMBERS {
        sure(installation.member(name, json!({})).await);
    }
    sure(installation.namespace(TEAM).await);
    let routes = objects::weights(&[("m1", 1), ("m2", 1)]);
    sure(hub.apply_manifest(&objects::queue(QUEUE, &routes).to_string()).await);
    let router = Watched::start(&installation, &fleet, &[], &MEMBERS).await;

    // Twenty jobs that are left alone, or asked to stop.
    let mut all: Vec<(Value, Meant)> = Vec::new();
    for number in 0..SUCCEED {
        all.push((scripted(&format!("succeeds-{number}"), "succeed"), Meant::Succeed));
    }
    for number in 0..FAIL {
        all.push((scripted(&format!("fails-{number}"), "fail"), Meant::Fail));
    }
    let mut tried_again = scripted("tried-again", "fail");
    objects::merge(
        &mut tried_again,
        json!({"spec": {"retry": {"maxAttempts": 2, "backoff": {"initial": "1s"}}}}),
    );
    all.push((tried_again, Meant::Fail));
    all.push((endless(TEAM, "runs", QUEUE), Meant::RunOn));
    all.push((endless(TEAM, "cancelled", QUEUE), Meant::RunOn));
    all.push((endless(TEAM, "deleted", QUEUE), Meant::RunOn));
    all.push((pinned(scripted("waits", "succeed"), &["nowhere"]), Meant::Wait));
    let mut jobs: Vec<Submitted> = Vec::new();
    for (job, meant) in &all {
        jobs.push(submitted(&sure(installation.submit(job).await), *meant));
    }
    for name in ["runs", "cancelled", "deleted"] {
        running(hub, TEAM, name).await;
    }
    patch(hub, "rsj", TEAM, "cancelled", json!({"spec": {"cancel": true}})).await;
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), TEAM);
    api.delete("deleted", &DeleteParams::default()).await.unwrap();
    for job in &mut jobs {
        job.cancelled = job.name == "cancelled";
        job.deleted = job.name == "deleted";
    }
    for job in jobs.iter().filter(|job| matches!(job.meant, Meant::Succeed | Meant::Fail) || job.cancelled) {
        finished(hub, TEAM, &job.name).await;
    }
    sure(jobs::wait_gone(api.clone(), "deleted", PATIENCE).await);
    queued(hub, TEAM, "waits", "NoClusterMatches").await;

    let (kept, healthy) = verdict(&fleet, &jobs, "a clean verdict", Verdict::is_clean).await;
    eprintln!("healthy: {healthy}");
    let ends = (healthy.finished, healthy.gone, healthy.waiting, healthy.running);
    assert_eq!(ends, (SUCCEED + FAIL + 2, 1, 1, 1), "{healthy}");
    // One each, and another of the one that is tried again; none was guessed.
    let seen = healthy.seen;
    assert_eq!((seen.applications, seen.driver_pods, seen.inferred, seen.torn), (20, 20, 0, 0), "{healthy}");
    let shelf = tempfile::tempdir().unwrap();
    kept.write(shelf.path()).unwrap();
    let again = judge(&Evidence::read(shelf.path()).unwrap()).unwrap();
    assert!(again.is_clean() && again.finished == healthy.finished, "{again}");

    // A second copy of what runs, under another name.
    let runs = running(hub, TEAM, "runs").await;
    let placement = runs.status.as_ref().and_then(|status| status.placement.clone()).unwrap();
    let member = fleet.member(&placement.cluster);
    let applications = jobs::applications_in(member.client(), TEAM);
    let mut copy = applications.get(&placement.remote_name).await.unwrap();
    copy.metadata = kube::core::ObjectMeta {
        name: Some(format!("{}-copy", placement.remote_name)),
        labels: copy.metadata.labels,
        annotations: copy.metadata.annotations,
        ..kube::core::ObjectMeta::default()
    };
    copy.data.as_object_mut().unwrap().remove("status");
    applications.create(&kube::api::PostParams::default(), &copy).await.unwrap();
    let (_, doubled) =
        verdict(&fleet, &jobs, "the copy and its driver", |verdict| verdict.doubled.len() >= 2).await;
    eprintln!("doubled: {doubled}");
    assert!(doubled.doubled.iter().all(|it| it.job == "team/runs" && it.what.contains("-copy")), "{doubled}");
    assert!(doubled.lost.is_empty(), "{doubled}");

    // A job that somebody takes from the hub although it runs.
    assert!(sure(router.0.terminate().await).success());
    let nothing = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("runs", &PatchParams::default(), &nothing).await.unwrap();
    api.delete("runs", &DeleteParams::default()).await.unwrap();
    let (_, lost) = verdict(&fleet, &jobs, "the lost job", |verdict| !verdict.lost.is_empty()).await;
    eprintln!("lost: {lost}");
    let found = lost.lost.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(found.len() == 1 && found[0].starts_with("team/runs: it is gone from the hub"), "{lost}");
    assert!(found[0].contains("admin asked for its deletion"), "{lost}");
    let left = |it: &spark_router_chaos::oracle::Finding| {
        it.job == "team/runs" && it.what.contains("the job is gone") && it.what.contains("is alive: RUNNING")
    };
    assert!(lost.unexplained.iter().any(left), "{lost}");
    sure(fleet.check());
}
