//! A fleet of every kind of member: clusters with Kubeflow's and with Apache's Spark operator, and virtual clusters of
//! EMR on EKS. Weights hold over all of them at every prefix, and what a job on EMR costs is counted.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod prefixes;
mod scene;
mod virtual_clusters;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::apache::{self, ScriptedApacheOperator};
use spark_router_testkit::moto::Moto;
use spark_router_testkit::operator::{Detail, Options, ScriptedOperator};
use spark_router_testkit::router::oracle::{Purpose, RemoteApplications, RouterCalls};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Error, Fleet, MemberOptions, OperatorKind};

use prefixes::Order;
use scene::{PATIENCE, Watched, crds_only, sure, uid};

const SHARES: [(&str, u32); 4] = [("kubeflow", 40), ("apache", 30), ("emr-1", 20), ("emr-2", 10)];
const EMR: [&str; 2] = ["emr-1", "emr-2"];
const JOBS: usize = 200;
/// Jobs for the virtual cluster alone.
const RUNS: usize = 200;
const MIXED: &str = "mixed";
const ALONE: &str = "alone";
/// Users that submit at the same time.
const USERS: usize = 8;
/// Starts a second: far above what AWS lets one account do, so that it is the router that is measured.
const STARTS: &str = "--aws-starts-per-second=500";

fn name_of(number: usize) -> String {
    format!("job-{number:06}")
}

async fn submit(installation: &Installation<'_>, namespace: &str, numbers: Range<usize>) {
    let job = |number| objects::job(namespace, &name_of(number), namespace, |_| {});
    let submitted =
        stream::iter(numbers).map(|number| async move { installation.submit(&job(number)).await.map(drop) });
    let submitted: Result<Vec<()>, Error> = submitted.buffer_unordered(USERS).try_collect().await;
    sure(submitted);
}

async fn ended(hub: &Cluster, namespace: &str, count: usize) -> BTreeMap<String, RoutedSparkJob> {
    let patience = PATIENCE + Duration::from_millis(200) * u32::try_from(count).unwrap();
    let all = jobs::wait_for_all(hub, namespace, "the ends", patience, |jobs| {
        jobs.len() == count && jobs.values().rev().all(jobs::is_finished)
    });
    sure(all.await)
}

fn settings(name: &str, moto: &Moto, clusters: &BTreeMap<&str, String>) -> Option<Value> {
    match name {
        "kubeflow" => Some(json!({"limits": {"requestsPerSecond": 1000, "maxConcurrentRequests": 64}})),
        "apache" => Some(json!({
            "backend": {"apacheSpark": {}},
            "limits": {"requestsPerSecond": 1000, "maxConcurrentRequests": 64},
        })),
        _ => clusters.get(name).map(|id| virtual_clusters::settings(moto, id, json!({}))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_hold_over_all_kinds_of_members_and_a_run_on_emr_costs_few_calls() {
    let with_apache = MemberOptions { operator: OperatorKind::ApacheCrdOnly, ..MemberOptions::default() };
    let builder = Fleet::builder().hub().member_with("kubeflow", crds_only());
    let fleet = sure(builder.member_with("apache", with_apache).start().await);
    let hub = fleet.hub();
    let (moto, clusters) = virtual_clusters::start(&fleet, &EMR).await;
    let installation = sure(Installation::new(&fleet).await);
    for (name, _) in SHARES {
        let settings = settings(name, &moto, &clusters).unwrap();
        if clusters.contains_key(name) {
            virtual_clusters::register(hub, name, settings).await;
        } else {
            sure(installation.member(name, settings).await);
        }
    }
    let options = Options { detail: Detail::Least, ..Options::default() };
    let _kubeflow = ScriptedOperator::start(fleet.member("kubeflow").client(), options);
    let _apache = ScriptedApacheOperator::start(fleet.member("apache").client(), apache::Options::default());
    for (queue, shares) in [(MIXED, SHARES.as_slice()), (ALONE, &[(EMR[0], 1)])] {
        sure(installation.namespace(queue).await);
        sure(hub.apply_manifest(&objects::queue(queue, &objects::weights(shares)).to_string()).await);
    }
    let names = SHARES.map(|(name, _)| name);
    let environment = virtual_clusters::pod_identity(&moto, &fleet).await;
    let mut router = Watched::start_with(&installation, &fleet, &[STARTS], environment, &names).await;

    let submitting = submit(&installation, MIXED, 0..JOBS);
    let (all, ()) = tokio::join!(router.kept(ended(hub, MIXED, JOBS)), submitting);
    for job in all.values() {
        assert_eq!(jobs::phase(job), "Succeeded", "{}", jobs::describe(job));
    }
    let order = Order::of(&SHARES, all.values());
    order.assert_shares("four members of three kinds");
    let mut remote = sure(RemoteApplications::read(fleet.clusters()));
    for run in sure(moto.runs(None).await) {
        let member = clusters.iter().find(|(_, id)| **id == run.cluster).map(|(name, _)| *name).unwrap();
        remote.add_runs(member, &[run]);
    }
    assert_eq!(remote.max_per_job(), 1, "{:?}", remote.repeated().collect::<Vec<_>>());
    for job in all.values() {
        let clusters: Vec<_> = remote.of(&uid(job)).map(|it| it.cluster.as_str()).collect();
        assert_eq!(clusters, [jobs::cluster(job)], "{}", jobs::describe(job));
    }

    what_a_run_costs(hub, &installation, &mut router, &moto).await;
    sure(router.0.check());
    sure(fleet.check());
}

/// Many jobs for one virtual cluster: how many a second, and what they cost.
async fn what_a_run_costs(hub: &Cluster, installation: &Installation<'_>, router: &mut Watched, moto: &Moto) {
    sure(moto.forget_calls().await);
    let mark = hub.audit().mark();
    let began = Instant::now();
    let (all, ()) = tokio::join!(router.kept(ended(hub, ALONE, RUNS)), submit(installation, ALONE, 0..RUNS));
    let took = began.elapsed();
    let aws = sure(moto.calls().await);
    for job in all.values() {
        assert_eq!((jobs::phase(job), jobs::cluster(job)), ("Succeeded", EMR[0]), "{}", jobs::describe(job));
    }
    let mut calls = sure(RouterCalls::read([(hub, mark)]));
    calls.add_aws(EMR[0], &aws, 0);
    let runs = f64::from(u32::try_from(RUNS).unwrap());
    let of = |purpose: Purpose, to: &str| -> f64 {
        let counts = calls.to(to).filter(|(of, ..)| *of == purpose).map(|(.., count)| count);
        f64::from(u32::try_from(counts.sum::<usize>()).unwrap())
    };
    let (on_hub, on_aws) = (of(Purpose::Job, "hub") / runs, of(Purpose::Job, EMR[0]) / runs);
    let kinds: Vec<_> =
        calls.to(EMR[0]).map(|(purpose, kind, count)| format!("{kind} {count} ({purpose:?})")).collect();
    eprintln!(
        "{RUNS} jobs on EMR on EKS took {took:.1?}, {:.1} a second; {:.2} calls a job: {on_hub:.2} to the hub, {on_aws:.2} \
         to AWS ({})",
        runs / took.as_secs_f64(),
        on_hub + on_aws,
        kinds.join(", ")
    );
    // A look for it before its start, the start, and a look at it when it has left the list of those that live.
    assert!(on_aws <= 3.2, "{on_aws} calls of AWS a job");
    assert!(on_hub + on_aws <= 11.0, "{} calls a job", on_hub + on_aws);
    assert_eq!(aws.of("StartJobRun"), u64::try_from(RUNS).unwrap(), "each was started once");
    assert!(on_hub > 0.0, "the hub's log has nothing of these jobs");
}
