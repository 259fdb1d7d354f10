//! Proves what tests of the router stand on: the installation is accepted, waits see what happens and say what did not,
//! and the audit witnesses would notice a job that ran twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on shall say so and end")]

use std::time::Duration;

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::fleet::OperatorKind;
use spark_router_testkit::router::oracle::{Purpose, RemoteApplications, RouterCalls};
use spark_router_testkit::router::{Installation, USER, jobs, objects};
use spark_router_testkit::{Error, Fleet, MemberOptions, chain};

fn sure<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn application(name: &str, job_uid: &str) -> Value {
    let mut application = objects::job("team", name, "etl", |_| {})["spec"]["template"].clone();
    objects::merge(
        &mut application,
        json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "metadata": {
                "name": name,
                "namespace": "team",
                "labels": {"sparkrouter.dev/job-uid": job_uid, "sparkrouter.dev/attempt": "1"},
            },
        }),
    );
    application
}

#[tokio::test(flavor = "multi_thread")]
async fn installation_waits_and_witnesses() {
    let crds = MemberOptions { operator: OperatorKind::CrdsOnly, ..MemberOptions::default() };
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({"capacity": {"jobs": 3}})).await);
    sure(installation.namespace("team").await);
    let queue = objects::queue("etl", &objects::weights(&[("m1", 1)]));
    sure(hub.apply_manifest(&queue.to_string()).await);
    let job = sure(installation.submit(&objects::job("team", "pi", "etl", |_| {})).await);
    assert_eq!(job.status.as_ref().unwrap().observed_generation, Some(-1));
    let again = installation.submit(&objects::job("team", "pi", "etl", |_| {})).await.unwrap_err();
    assert!(chain(&again).contains("already exists"), "{}", chain(&again));

    // Nobody runs the router: the wait ends and says what there is.
    let short = Duration::from_millis(500);
    let late = jobs::wait_for_phase(hub, "team", "pi", "Running", short).await.unwrap_err();
    assert!(chain(&late).contains("pi as Running was not ready"), "{}", chain(&late));
    let late = installation.wait_members(&["m1"], short).await.unwrap_err();
    assert!(chain(&late).contains("m1"), "{}", chain(&late));
    let status = json!({"status": {"phase": "Running"}});
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), "team");
    api.patch_status("pi", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    sure(jobs::wait_for_phase(hub, "team", "pi", "Running", Duration::from_secs(10)).await);
    sure(jobs::delete_all::<RoutedSparkJob>(hub, "team", Duration::from_secs(10)).await);

    // With the member's kubeconfig, as the router has it, a job is run twice; another once.
    let kubeconfig = sure(installation.kubeconfig("m1").await);
    let client = sure(m1.client_of(&kubeconfig).await);
    for (name, uid) in [("a", "one"), ("b", "one"), ("c", "two")] {
        let api = jobs::applications_in(client.clone(), "team");
        let object = serde_json::from_value(application(name, uid)).unwrap();
        api.create(&kube::api::PostParams::default(), &object).await.unwrap();
        if name == "a" {
            // One that is gone still counts.
            api.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
        }
    }
    let remote = sure(RemoteApplications::read(fleet.clusters()));
    assert_eq!((remote.jobs(), remote.created(), remote.max_per_job()), (2, 3, 2));
    assert_eq!(remote.repeated().map(|(job, _)| job).collect::<Vec<_>>(), ["one"]);
    assert_eq!(remote.of("two").count(), 1);
    let calls = sure(RouterCalls::read([(m1, spark_router_testkit::audit::Mark::default())]));
    assert_eq!(calls.total(Purpose::Job), 4, "three creates and a delete by {USER}");
    let left = sure(
        jobs::wait_for_applications(m1, "two", Duration::from_secs(10), |applications| {
            applications.len() == 2
        })
        .await,
    );
    assert!(left.contains_key("b") && left.contains_key("c"));
}
