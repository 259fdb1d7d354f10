//! What operators and hands on members do to applications, each as its own story: the job ends once, as what it was.
//!
//! [`docs/hazards.md`] lists every hazard that is known of and the test that shows what the router does.
//!
//! [`docs/hazards.md`]: https://github.com/spark-router/spark-router/blob/main/docs/hazards.md

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::operator::{Options, ScriptedOperator, Seen};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet};

use scene::{PATIENCE, Watched, crds_only, finished, running, succeeded, sure, until};

const TEAM: &str = "team";
const QUEUE: &str = "etl";

fn options() -> Options {
    Options { driver_pods: true, drivers_end: true, ..Options::default() }
}

/// A job with this much time in `spark-submit` and in RUNNING.
fn timed(name: &str, submit: Duration, run: Duration) -> Value {
    objects::job(TEAM, name, QUEUE, |template| {
        objects::annotate(template, "submit-ms", &submit.as_millis().to_string());
        objects::annotate(template, "run-ms", &run.as_millis().to_string());
    })
}

/// The application of a job, once it is as wanted.
async fn application(m1: &Cluster, job: &str, wanted: impl Fn(&DynamicObject) -> bool) -> DynamicObject {
    let api = jobs::applications_in(m1.client(), TEAM);
    until(&format!("the application of {job}"), async || {
        let all = api.list(&kube::api::ListParams::default()).await.map_err(|error| error.to_string())?;
        let mine = all.items.into_iter().find(|it| it.name_any().starts_with(&format!("{job}-")));
        mine.filter(&wanted).ok_or_else(|| "not as wanted yet".to_owned())
    })
    .await
}

fn state(application: &DynamicObject) -> &str {
    application.data.pointer("/status/applicationState/state").and_then(Value::as_str).unwrap_or_default()
}

/// What the operator did with the application of a job.
fn seen(operator: &ScriptedOperator, job: &str) -> Seen {
    let all = operator.seen();
    all.into_values().find(|seen| seen.name.starts_with(&format!("{job}-"))).unwrap_or_default()
}

async fn change(m1: &Cluster, application: &str, change: Value) {
    let api = jobs::applications_in(m1.client(), TEAM);
    api.patch(application, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
}

async fn delete(m1: &Cluster, application: &str) {
    jobs::applications_in(m1.client(), TEAM).delete(application, &DeleteParams::default()).await.unwrap();
}

fn attempt(job: &RoutedSparkJob) -> u32 {
    job.status.as_ref().and_then(|status| status.attempt).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_an_application_its_job_ends_once_as_what_it_was() {
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let mut operator = ScriptedOperator::start(m1.client(), options());
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({"retention": "15s"})).await);
    sure(installation.namespace(TEAM).await);
    sure(hub.apply_manifest(&objects::queue(QUEUE, &objects::weights(&[("m1", 1)])).to_string()).await);
    let router = Watched::start(&installation, &fleet, &["--retention-floor=1s"], &["m1"]).await;
    let submit = async |job: &Value| sure(installation.submit(job).await);
    let (soon, long) = (Duration::from_millis(50), Duration::from_hours(1));

    // Somebody labels an application before it is submitted: the operator submits twice and calls it FAILED while its
    // driver runs. The driver's end is the job's.
    submit(&timed("labelled", Duration::from_millis(1500), Duration::from_secs(4))).await;
    let fresh = application(m1, "labelled", |it| state(it).is_empty()).await;
    change(m1, &fresh.name_any(), json!({"metadata": {"labels": {"cost-centre": "47"}}})).await;
    let failed = application(m1, "labelled", |it| state(it) == "FAILED").await;
    assert_eq!(failed.data["status"]["applicationState"]["errorMessage"], "driver pod already exist");
    let job = succeeded(hub, TEAM, "labelled").await;
    assert_eq!(attempt(&job), 1, "{}", jobs::describe(&job));
    let did = seen(&operator, "labelled");
    assert_eq!((did.submits, did.drivers), (2, 1), "{did:?}");

    // The operator crashes while it submits, and begins again.
    submit(&timed("crashed", Duration::from_secs(2), Duration::from_millis(500))).await;
    application(m1, "crashed", |it| state(it).is_empty()).await;
    operator.stop().await;
    operator = ScriptedOperator::start(m1.client(), options());
    let job = succeeded(hub, TEAM, "crashed").await;
    assert_eq!(attempt(&job), 1, "{}", jobs::describe(&job));

    // Somebody edits a running application: the operator runs it anew, and it is still the same one.
    submit(&timed("edited", soon, Duration::from_secs(3))).await;
    running(hub, TEAM, "edited").await;
    let edited = application(m1, "edited", |it| state(it) == "RUNNING").await;
    change(m1, &edited.name_any(), json!({"spec": {"executor": {"instances": 2}}})).await;
    let job = succeeded(hub, TEAM, "edited").await;
    assert_eq!(attempt(&job), 1, "{}", jobs::describe(&job));
    let did = seen(&operator, "edited");
    assert!(did.states.iter().any(|state| state == "INVALIDATING"), "{did:?}");

    // Somebody deletes a running application: the job has failed, and is not run again by itself.
    let mut job = timed("deleted", soon, long);
    objects::merge(&mut job, json!({"spec": {"retry": {"maxAttempts": 3, "backoff": {"initial": "1s"}}}}));
    submit(&job).await;
    running(hub, TEAM, "deleted").await;
    let victim = application(m1, "deleted", |it| state(it) == "RUNNING").await;
    delete(m1, &victim.name_any()).await;
    let job = finished(hub, TEAM, "deleted").await;
    assert_eq!((jobs::phase(&job), jobs::reason(&job), attempt(&job)), ("Failed", "RemoteVanished", 1));

    // An application ends and is deleted (by a TTL, or a hand) while the router sees nothing: its end is still read.
    submit(&timed("unseen", soon, Duration::from_secs(2))).await;
    running(hub, TEAM, "unseen").await;
    sure(router.0.pause());
    let ended = application(m1, "unseen", |it| state(it) == "COMPLETED").await;
    delete(m1, &ended.name_any()).await;
    sure(router.0.resume());
    let job = succeeded(hub, TEAM, "unseen").await;
    assert_eq!(attempt(&job), 1, "{}", jobs::describe(&job));

    // One whose end is on record is deleted by hand: nothing changes.
    submit(&timed("over", soon, soon)).await;
    let before = succeeded(hub, TEAM, "over").await;
    let api = jobs::applications_in(m1.client(), TEAM);
    for application in api.list(&kube::api::ListParams::default()).await.unwrap() {
        if application.name_any().starts_with("over-") {
            // The router may have taken it away by itself.
            let _ = api.delete(&application.name_any(), &DeleteParams::default()).await;
        }
    }
    let gone =
        |left: &std::collections::BTreeMap<String, spark_router_api::SparkApplicationView>| left.is_empty();
    sure(jobs::wait_for_applications(m1, "none", PATIENCE, gone).await);
    let after = succeeded(hub, TEAM, "over").await;
    assert_eq!(jobs::phase(&after), jobs::phase(&before));

    // Somebody edits a finished application, and the operator begins anew: it is taken away, and the end stays.
    submit(&timed("again", soon, soon)).await;
    let before = succeeded(hub, TEAM, "again").await;
    let ended = application(m1, "again", |it| state(it) == "COMPLETED").await;
    change(m1, &ended.name_any(), json!({"spec": {"executor": {"instances": 2}}})).await;
    sure(jobs::wait_for_applications(m1, "none", PATIENCE, gone).await);
    let after = succeeded(hub, TEAM, "again").await;
    assert_eq!((jobs::phase(&after), attempt(&after)), (jobs::phase(&before), 1));

    let remote = sure(RemoteApplications::read(fleet.clusters()));
    assert_eq!((remote.jobs(), remote.created(), remote.max_per_job()), (7, 7, 1));
    sure(fleet.check());
}
