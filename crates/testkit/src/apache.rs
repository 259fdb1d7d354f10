//! A Spark operator of Apache's that follows a script.
//!
//! Purpose: play the state table and the finalizer of the Apache Spark Kubernetes operator on a real API server, without
//! Spark: the real one is in no registry. Owns the status of the SparkApplications of `spark.apache.org/v1` that it
//! watches, its finalizer on them, and their driver pods. It must never be kinder than the real operator: it hands no label
//! of an application on to its pods, and an application that is deleted stays until its driver is gone.
//!
//! What an application does is chosen by annotations of its own metadata, as with [`crate::operator`], or else of its
//! driver, as on KWOK's nodes:
//!
//! | annotation | meaning | default |
//! |---|---|---|
//! | `spark-router.test/script` | one of [`Script::NAMES`] | `succeed` |
//! | `spark-router.test/submit-ms` | time in Submitted, until the driver is asked for | [`Options::step`] |
//! | `spark-router.test/run-ms` | time in RunningHealthy | [`Options::step`] |
//! | `spark-router.test/exit-code` | other than 0: as `fail` | 0 |
//! | `spark-router.test/fail-attempts` | how many first runs fail | as the script says |

mod drive;
mod driver_pod;
mod identity;
mod script;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, GroupVersionKind};
use kube::core::Object;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher as watch};
use kube::{Client, ResourceExt as _};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::cluster::Cluster;

pub use script::Script;

/// As it comes over the wire.
type Wire = Object<Value, Value>;

/// The operator's own finalizer.
pub const FINALIZER: &str = "sparkapplications.spark.apache.org/finalizer";

/// How the operator behaves, for all applications.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long an application stays in each passing state.
    pub step: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { step: Duration::from_millis(50) }
    }
}

/// What the operator did with one SparkApplication (one uid).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The drivers that were made.
    pub drivers: u32,
    /// The states that were written, in order.
    pub states: Vec<String>,
    /// Whether the object is gone.
    pub deleted: bool,
}

/// A running scripted operator. It ends when this is dropped; [`Self::stop`] also waits for the end.
pub struct ScriptedApacheOperator {
    shared: Arc<Shared>,
    end: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    client: Client,
    options: Options,
    seen: Mutex<BTreeMap<String, Seen>>,
}

/// Installs the definition of its applications.
pub(crate) async fn install_crd(cluster: &Cluster) -> Result<(), Error> {
    cluster.apply_manifest(include_str!("apache-crd.yaml")).await.map(drop)
}

/// Its applications, in whatever is decoded of them.
pub fn resource() -> ApiResource {
    let gvk = GroupVersionKind::gvk("spark.apache.org", "v1", "SparkApplication");
    ApiResource::from_gvk_with_plural(&gvk, "sparkapplications")
}

impl ScriptedApacheOperator {
    /// Starts it. Its CRD must be installed ([`crate::OperatorKind::ApacheCrdOnly`]). Applications that are already there
    /// are carried on from the state that they are in.
    pub fn start(client: Client, options: Options) -> Self {
        let shared = Arc::new(Shared { client, options, seen: Mutex::default() });
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let watching = run(Arc::clone(&shared), tasks.clone(), end.clone());
        let ended = end.clone();
        tasks.spawn(async move {
            ended.run_until_cancelled_owned(watching).await;
        });
        Self { shared, end, tasks }
    }

    /// Stops as a crash does: what was under way stays half done.
    pub async fn stop(self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What was done so far, by the uid of the SparkApplication.
    pub fn seen(&self) -> BTreeMap<String, Seen> {
        self.shared.seen.lock().clone()
    }
}

impl std::fmt::Debug for ScriptedApacheOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedApacheOperator")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Drop for ScriptedApacheOperator {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Shared {
    fn note(&self, uid: &str, change: impl FnOnce(&mut Seen)) {
        change(self.seen.lock().entry(uid.to_owned()).or_default());
    }
}

/// Watches, with one task an application.
async fn run(shared: Arc<Shared>, tasks: TaskTracker, end: CancellationToken) {
    let api: Api<Wire> = Api::all_with(shared.client.clone(), &resource());
    let mut known: HashMap<String, channel::Sender<Option<Wire>>> = HashMap::new();
    let mut listed: Vec<String> = Vec::new();
    let mut events = pin!(watch(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let (present, gone) = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listed.extend(object.uid());
                (Some(object), Vec::new())
            }
            Ok(Event::Apply(object)) => (Some(object), Vec::new()),
            Ok(Event::InitDone) => {
                (None, known.keys().filter(|uid| !listed.contains(uid)).cloned().collect())
            }
            Ok(Event::Delete(object)) => (None, object.uid().into_iter().collect()),
            Err(error) => {
                tracing::warn!(%error, "the scripted operator's watch broke and starts again");
                continue;
            }
        };
        for uid in gone {
            shared.note(&uid, |seen| seen.deleted = true);
            if let Some(sender) = known.remove(&uid) {
                sender.send_replace(None);
            }
        }
        let Some(object) = present else { continue };
        let Some(uid) = object.uid() else { continue };
        if let Some(sender) = known.get(&uid) {
            sender.send_replace(Some(object));
            continue;
        }
        shared.note(&uid, |seen| {
            seen.namespace = object.namespace().unwrap_or_default();
            seen.name = object.name_any();
        });
        let (sender, receiver) = channel::channel(Some(object));
        known.insert(uid, sender);
        let driving = Box::pin(drive::run(Arc::clone(&shared), receiver));
        let ended = end.clone();
        tasks.spawn(async move {
            ended.run_until_cancelled_owned(driving).await;
        });
    }
}
