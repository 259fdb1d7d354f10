//! A Spark operator that follows a script.
//!
//! Purpose: play the state table of the Kubeflow operator on a real API server, without Spark and mostly without pods,
//! for tests with thousands of jobs, odd states or exact timing. Owns the status of the SparkApplications that it
//! watches, and their driver pods where it makes any. It must never be kinder than the real operator: a second submit,
//! a rerun after an edit of the spec or a write on a stale object has the same consequences here.
//!
//! What an application does is chosen by annotations of its own metadata:
//!
//! | annotation | meaning | default |
//! |---|---|---|
//! | `spark-router.test/script` | one of [`Script::NAMES`] | `succeed` |
//! | `spark-router.test/step-ms` | time in each passing state (the submit included) | [`Options::step`] |
//! | `spark-router.test/run-ms` | time in RUNNING | the step |
//! | `spark-router.test/submit-ms` | time from create to the driver | the step |
//! | `spark-router.test/fail-attempts` | how many first runs fail, with scripts `fail` and `retry` | all, or 1 |
//!
//! `spec.restartPolicy` decides about retries as in the real operator, with its real waits in seconds.

mod application;
mod drive;
mod driver_pod;
mod script;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch as channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use script::{Script, Wish};

/// Which states are written. An API server on two cores takes about 600 writes of a status in a second, so this decides
/// how many jobs a second one operator can carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// As the real operator: six writes for a job that succeeds.
    #[default]
    Full,
    /// SUBMITTED, RUNNING with its executors, and the end: three writes.
    Brief,
    /// SUBMITTED and, for jobs that succeed, the end: two writes, as a watcher sees it that missed the rest.
    Least,
}

/// How the operator behaves, for all applications.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespaces it acts in; empty means all.
    pub namespaces: Vec<String>,
    /// How long an application stays in each passing state if its annotations don't say.
    pub step: Duration,
    /// API calls at the same time.
    pub workers: usize,
    /// Which states are written.
    pub detail: Detail,
    /// Whether a real driver pod exists for each submitted application, with the labels and the owner of a real one.
    pub driver_pods: bool,
    /// Whether a write to the object between its create and SUBMITTED makes the operator submit twice, as the real one
    /// does: the second submit finds the driver and the application fails while the driver runs.
    pub double_submit: bool,
    /// Whether drivers that a double submit leaves behind come to their end by themselves, after their time in RUNNING,
    /// as real ones do. Otherwise they run until somebody deletes them.
    pub drivers_end: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            step: Duration::from_millis(50),
            workers: 32,
            detail: Detail::Full,
            driver_pods: false,
            double_submit: true,
            drivers_end: false,
        }
    }
}

/// What the operator did with one SparkApplication (one uid).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How often `spark-submit` would have been run.
    pub submits: u32,
    /// The drivers that came of it: more than one at the same time is the disaster that tests look for.
    pub drivers: u32,
    /// The states that were written, in order, repeated writes of a state left out.
    pub states: Vec<String>,
    /// Whether the object is gone.
    pub deleted: bool,
}

/// A running scripted operator. It ends when this is dropped; [`Self::stop`] also waits for the end.
pub struct ScriptedOperator {
    shared: Arc<Shared>,
    end: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    client: Client,
    options: Options,
    calls: Semaphore,
    paused: channel::Sender<bool>,
    broken: AtomicBool,
    /// By uid.
    seen: Mutex<BTreeMap<String, Seen>>,
}

impl ScriptedOperator {
    /// Starts it. The three CRDs of the Kubeflow operator must be installed ([`crate::OperatorKind::CrdsOnly`]).
    /// Applications that are already there are carried on from the state that they are in.
    pub fn start(client: Client, options: Options) -> Self {
        let shared = Arc::new(Shared {
            client,
            calls: Semaphore::new(options.workers.max(1)),
            options,
            paused: channel::Sender::new(false),
            broken: AtomicBool::new(false),
            seen: Mutex::default(),
        });
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let watching = watch::run(Arc::clone(&shared), tasks.clone(), end.clone());
        let ended = end.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = watching => {}
            }
        });
        Self { shared, end, tasks }
    }

    /// Stops as a crash does: what was under way stays half done. A submit that was begun doesn't go on.
    pub async fn stop(self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Nothing is written from now on (a call under way may still finish), as with an operator that hangs.
    pub fn pause(&self) {
        self.shared.paused.send_replace(true);
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&self) {
        self.shared.paused.send_replace(false);
    }

    /// From now on every `spark-submit` fails, whatever the scripts say, as where the operator lost its rights; or none
    /// does any more.
    pub fn break_submits(&self, broken: bool) {
        self.shared.broken.store(broken, Ordering::Relaxed);
    }

    /// What was done so far, by the uid of the SparkApplication.
    pub fn seen(&self) -> BTreeMap<String, Seen> {
        self.shared.seen.lock().clone()
    }
}

impl std::fmt::Debug for ScriptedOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedOperator").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Drop for ScriptedOperator {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Shared {
    /// Runs an API call when the operator is not paused and a worker is free.
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        // Neither can fail: both live in self and are never closed.
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
        let _permit = self.calls.acquire().await;
        call.await
    }

    fn note(&self, uid: &str, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.seen.lock().get_mut(uid) {
            change(seen);
        }
    }
}
