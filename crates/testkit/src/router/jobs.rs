//! Jobs as a user sees them, and waiting for what they shall become.
//!
//! Purpose: wait on a watch, and say on timeout what was there instead. Owns no state. It must never poll: a state that
//! lasts milliseconds must not be missed, and a waiting test must not load the API server that it measures.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use spark_router_api::application::SPARK_APPLICATION_API_VERSION;
use spark_router_api::job::ApplicationStatus;
use spark_router_api::{RoutedSparkJob, condition};

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
    mut wanted: impl FnMut(&BTreeMap<String, RoutedSparkJob>) -> bool,
) -> Result<BTreeMap<String, RoutedSparkJob>, Error> {
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), namespace);
    let what = format!("{what} of all jobs in {namespace}");
    observe(api, watcher::Config::default(), &what, timeout, |jobs: &BTreeMap<String, RoutedSparkJob>| {
        wanted(jobs)
    })
    .await
}

/// Waits until an object is as wanted and returns it; the error says what it is instead.
pub async fn wait_until<K>(
    api: Api<K>,
    name: &str,
    what: &str,
    timeout: Duration,
    wanted: impl Fn(&K) -> bool,
) -> Result<K, Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let what = format!("{name} as {what}");
    let mut objects = observe(api, config, &what, timeout, |objects: &BTreeMap<String, K>| {
        objects.get(name).is_some_and(&wanted)
    })
    .await?;
    // It was there a moment ago, or the wait would not have ended.
    objects.remove(name).ok_or_else(|| Error::Manifest(format!("{name} vanished while it was looked at")))
}

/// Waits until an object is gone.
pub async fn wait_gone<K>(api: Api<K>, name: &str, timeout: Duration) -> Result<(), Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let what = format!("the end of {name}");
    observe(api, config, &what, timeout, |objects: &BTreeMap<String, K>| objects.is_empty()).await.map(drop)
}

async fn observe<K>(
    api: Api<K>,
    config: watcher::Config,
    what: &str,
    timeout: Duration,
    mut wanted: impl FnMut(&BTreeMap<String, K>) -> bool,
) -> Result<BTreeMap<String, K>, Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
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
    let shown = present
        .values()
        .filter_map(|object| serde_json::to_value(object).ok())
        .map(|object| summary(&object));
    let shown: Vec<String> = shown.collect();
    let detail = format!(
        "{trouble}; there is:\n{}",
        if shown.is_empty() { "nothing".into() } else { shown.join("\n") }
    );
    Err(Error::NotReady { what: what.to_owned(), seconds: timeout.as_secs(), detail })
}

/// An object in one line: its name and its status without what is long.
fn summary(object: &serde_json::Value) -> String {
    let name = object.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or_default();
    let Ok(job) = serde_json::from_value::<RoutedSparkJob>(object.clone()) else {
        let conditions = object.pointer("/status/conditions").unwrap_or(&serde_json::Value::Null);
        return format!("{name}: {conditions}");
    };
    describe(&job)
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

/// Deletes every object of a kind in a namespace and waits until all are gone.
pub async fn delete_all<K>(cluster: &Cluster, namespace: &str, timeout: Duration) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + 'static,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(cluster.client(), namespace);
    api.delete_collection(&kube::api::DeleteParams::default(), &ListParams::default())
        .await
        .map_err(Error::api(format!("deleting all in {namespace}"), cluster.name()))?;
    let what = format!("the end of all objects in {namespace}");
    observe(api, watcher::Config::default(), &what, timeout, |objects: &BTreeMap<String, K>| {
        objects.is_empty()
    })
    .await
    .map(drop)
}
