//! Jobs as a user sees them, and waiting for what they shall become.
//!
//! Purpose: wait on a watch, and say on timeout what was there instead. Owns no state. It must never poll: a state that
//! lasts milliseconds must not be missed, and a waiting test must not load the API server that it measures.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use spark_router_api::application::SPARK_APPLICATION_API_VERSION;
use spark_router_api::job::ApplicationStatus;
use spark_router_api::{RoutedSparkJob, SparkApplicationView, condition};

use crate::Error;
use crate::cluster::Cluster;

/// The phase, empty before the router has seen the job.
pub fn phase(job: &RoutedSparkJob) -> &str {
    job.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The reason, empty where there is none.
pub fn reason(job: &RoutedSparkJob) -> &str {
    job.status.as_ref().and_then(|status| status.reason.as_deref()).unwrap_or_default()
}

/// The message, empty where there is none.
pub fn message(job: &RoutedSparkJob) -> &str {
    job.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
}

/// The member that it is or was placed on, empty where there is none.
pub fn cluster(job: &RoutedSparkJob) -> &str {
    job.status.as_ref().and_then(|status| status.cluster.as_deref()).unwrap_or_default()
}

/// The application as mirrored.
pub fn application(job: &RoutedSparkJob) -> Option<&ApplicationStatus> {
    job.status.as_ref()?.application.as_ref()
}

/// Whether a condition is True.
pub fn is_true(job: &RoutedSparkJob, type_: &str) -> bool {
    job.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, type_))
}

/// Whether the job has ended, well or not.
pub fn is_finished(job: &RoutedSparkJob) -> bool {
    is_true(job, condition::FINISHED)
}

/// One line about a job, for failed tests.
pub fn describe(job: &RoutedSparkJob) -> String {
    let (name, phase, reason, message) = (job.name_any(), phase(job), reason(job), message(job));
    let application = application(job).and_then(|it| it.state.as_deref()).unwrap_or("-");
    format!("{name}: {phase} on {:?} ({reason}), application {application}: {message}", cluster(job))
}

/// Waits until a job of the hub is as wanted and returns it; the error says what it is instead.
pub async fn wait_for(
    hub: &Cluster,
    namespace: &str,
    name: &str,
    what: &str,
    timeout: Duration,
    wanted: impl Fn(&RoutedSparkJob) -> bool,
) -> Result<RoutedSparkJob, Error> {
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), namespace);
    wait_until(api, name, what, timeout, wanted).await
}

/// Waits for a phase.
pub async fn wait_for_phase(
    hub: &Cluster,
    namespace: &str,
    name: &str,
    wanted: &str,
    timeout: Duration,
) -> Result<RoutedSparkJob, Error> {
    wait_for(hub, namespace, name, wanted, timeout, |job| phase(job) == wanted).await
}

/// Waits until all jobs of a namespace together are as wanted; `wanted` is asked at the first list and after each change,
/// with the jobs by name.
pub async fn wait_for_all(
    hub: &Cluster,
    namespace: &str,
    what: &str,
    timeout: Duration,
    wanted: impl FnMut(&BTreeMap<String, RoutedSparkJob>) -> bool,
) -> Result<BTreeMap<String, RoutedSparkJob>, Error> {
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), namespace);
    let what = format!("{what} of all jobs in {namespace}");
    observe(api, watcher::Config::default(), &what, timeout, describe, wanted).await
}

/// Like [`wait_for_all`] with the jobs of all namespaces of the hub, whose names must differ.
pub async fn wait_for_hub(
    hub: &Cluster,
    what: &str,
    timeout: Duration,
    wanted: impl FnMut(&BTreeMap<String, RoutedSparkJob>) -> bool,
) -> Result<BTreeMap<String, RoutedSparkJob>, Error> {
    let what = format!("{what} of all jobs");
    observe(Api::all(hub.client()), watcher::Config::default(), &what, timeout, describe, wanted).await
}

/// Waits until the SparkApplications of a member, of all namespaces and by name, are as wanted.
pub async fn wait_for_applications(
    member: &Cluster,
    what: &str,
    timeout: Duration,
    wanted: impl FnMut(&BTreeMap<String, SparkApplicationView>) -> bool,
) -> Result<BTreeMap<String, SparkApplicationView>, Error> {
    let what = format!("{what} of the applications on {}", member.name());
    let describe = |application: &SparkApplicationView| {
        let state = application.status.as_ref().map(|status| status.application_state.state.as_str());
        let meta = &application.metadata;
        let held = meta.finalizers.as_deref().unwrap_or_default().join(", ");
        let deleting = if meta.deletion_timestamp.is_some() { ", being deleted" } else { "" };
        format!("{}: {} [{held}]{deleting}", application.name_any(), state.unwrap_or("no status"))
    };
    observe(Api::all(member.client()), watcher::Config::default(), &what, timeout, describe, wanted).await
}

/// Waits until objects of any kind of a cluster, of all namespaces and by name, are as wanted.
pub async fn wait_for_objects(
    cluster: &Cluster,
    kind: &ApiResource,
    what: &str,
    timeout: Duration,
    wanted: impl FnMut(&BTreeMap<String, DynamicObject>) -> bool,
) -> Result<BTreeMap<String, DynamicObject>, Error> {
    let what = format!("{what} of the {} on {}", kind.plural, cluster.name());
    let api = Api::all_with(cluster.client(), kind);
    observe(api, watcher::Config::default(), &what, timeout, summary, wanted).await
}

/// Waits until an object is as wanted and returns it; the error says what it is instead.
pub async fn wait_until<K: Watched>(
    api: Api<K>,
    name: &str,
    what: &str,
    timeout: Duration,
    wanted: impl Fn(&K) -> bool,
) -> Result<K, Error> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let what = format!("{name} as {what}");
    let mut objects = observe(api, config, &what, timeout, summary, |objects: &BTreeMap<String, K>| {
        objects.get(name).is_some_and(&wanted)
    })
    .await?;
    // It was there a moment ago, or the wait would not have ended.
    objects.remove(name).ok_or_else(|| Error::Manifest(format!("{name} vanished while it was looked at")))
}

/// Waits until an object is gone.
pub async fn wait_gone<K: Watched>(api: Api<K>, name: &str, timeout: Duration) -> Result<(), Error> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let what = format!("the end of {name}");
    observe(api, config, &what, timeout, summary, BTreeMap::is_empty).await.map(drop)
}

/// Deletes every object of a kind in a namespace and waits until all are gone.
pub async fn delete_all<K>(cluster: &Cluster, namespace: &str, timeout: Duration) -> Result<(), Error>
where
    K: Watched + Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(cluster.client(), namespace);
    api.delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .map_err(Error::api(format!("deleting all in {namespace}"), cluster.name()))?;
    let what = format!("the end of all objects in {namespace}");
    observe(api, watcher::Config::default(), &what, timeout, summary, BTreeMap::is_empty).await.map(drop)
}

/// What a typed object must be able to for it to be waited for.
pub trait Watched: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static {}

impl<K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static> Watched for K {}

async fn observe<K>(
    api: Api<K>,
    config: watcher::Config,
    what: &str,
    timeout: Duration,
    describe: impl Fn(&K) -> String,
    mut wanted: impl FnMut(&BTreeMap<String, K>) -> bool,
) -> Result<BTreeMap<String, K>, Error>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut present = BTreeMap::new();
    let mut trouble = String::new();
    let mut listed = false;
    let looking = async {
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => {
                    present.clear();
                    listed = false;
                }
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    present.insert(object.name_any(), object);
                }
                Ok(watcher::Event::Delete(object)) => {
                    present.remove(&object.name_any());
                }
                Ok(watcher::Event::InitDone) => listed = true,
                // The API server may be down on purpose; the watcher comes back by itself.
                Err(error) => trouble = format!(" (the watch said: {})", crate::chain(&error)),
            }
            if listed && wanted(&present) {
                return true;
            }
        }
        false
    };
    if tokio::time::timeout(timeout, looking).await.unwrap_or(false) {
        return Ok(present);
    }
    let shown: Vec<String> = present.values().map(describe).collect();
    let shown = if shown.is_empty() { "nothing".to_owned() } else { shown.join("\n") };
    let detail = format!("{trouble}; there is:\n{shown}");
    Err(Error::NotReady { what: what.to_owned(), seconds: timeout.as_secs(), detail })
}

/// Any object in one line: its name and what its status says of itself.
fn summary<K: Watched>(object: &K) -> String {
    let value = serde_json::to_value(object).unwrap_or_default();
    let part =
        |name: &str| value.pointer(&format!("/status/{name}")).map(ToString::to_string).unwrap_or_default();
    format!("{}: {} {} {}", object.name_any(), part("phase"), part("message"), part("conditions"))
}

/// The SparkApplications of a member, of all namespaces, by name.
pub async fn applications(member: &Cluster) -> Result<Vec<DynamicObject>, Error> {
    let listed = Api::all_with(member.client(), &resource()).list(&ListParams::default()).await;
    listed.map(|list| list.items).map_err(Error::api("listing the SparkApplications", member.name()))
}

/// The SparkApplications of a namespace of a member.
pub fn applications_in(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &resource())
}

fn resource() -> ApiResource {
    ApiResource {
        group: "sparkoperator.k8s.io".to_owned(),
        version: "v1beta2".to_owned(),
        api_version: SPARK_APPLICATION_API_VERSION.to_owned(),
        kind: "SparkApplication".to_owned(),
        plural: "sparkapplications".to_owned(),
    }
}
