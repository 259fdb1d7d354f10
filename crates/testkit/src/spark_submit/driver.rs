//! What the driver of a Spark application does to the API server: it makes executors and takes them away.
//!
//! Purpose: create driver pods for `spark-submit`, executors once a driver runs, and delete them when it ends. Owns the
//! plans of the drivers it created. It must never touch a driver that it did not create: real Spark runs its own.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt as _};
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::pods::{Application, Templates};
use super::{ANNOTATIONS, Submission};
use crate::compute::cri_log;

/// How long a driver waits after an executor was refused (quota), as Spark does between its tries.
const RETRY: Duration = Duration::from_secs(1);

const OUTPUT: &[&str] = &["INFO SparkContext: Running Spark version 4.0.1", "Pi is roughly 3.141592"];

const PYTHON_FAILURE: &[&str] = &[
    "INFO SparkContext: Running Spark version 4.0.1",
    "Traceback (most recent call last):",
    "  File \"/opt/spark/work-dir/job.py\", line 12, in <module>",
    "    raise ValueError(\"column 'amount' is missing\")",
    "ValueError: column 'amount' is missing",
];

const SCALA_FAILURE: &[&str] = &[
    "INFO SparkContext: Running Spark version 4.0.1",
    "Exception in thread \"main\" java.lang.IllegalStateException: table sales is empty",
    "\tat com.example.Report$.main(Report.scala:27)",
    "\tat com.example.Report.main(Report.scala)",
];

/// All drivers of one cluster.
pub(super) struct Drivers {
    client: Client,
    logs: PathBuf,
    known: Mutex<Known>,
    wake: mpsc::UnboundedSender<String>,
    woken: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
}

#[derive(Debug, Default)]
struct Known {
    /// By driver uid.
    plans: HashMap<String, Arc<Plan>>,
    /// The last phase of every driver pod, by uid: a driver may run before its create has returned to us.
    phases: HashMap<String, String>,
    /// How often an application was submitted, by the uid of its owner.
    attempts: HashMap<String, u32>,
}

#[derive(Debug)]
struct Plan {
    application: Application,
    driver_uid: String,
    progress: tokio::sync::Mutex<Progress>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    started: bool,
    ended: bool,
}

impl Drivers {
    /// `logs` is the folder for drivers' log files.
    pub(super) fn new(client: Client, logs: PathBuf) -> Self {
        let (wake, woken) = mpsc::unbounded_channel();
        Self { client, logs, known: Mutex::default(), wake, woken: tokio::sync::Mutex::new(woken) }
    }

    /// Creates the driver pod with the operator's client; the error is what Spark writes on stderr.
    pub(super) async fn submit(
        &self,
        client: &Client,
        submission: &Submission,
        templates: Templates,
    ) -> Result<(), String> {
        let owner = templates.driver.metadata.owner_references.as_ref().and_then(|owners| owners.first());
        let owner = owner.map_or_else(|| submission.name.clone(), |owner| owner.uid.clone());
        let attempt = {
            let mut known = self.known.lock();
            let count = known.attempts.entry(owner).or_default();
            *count += 1;
            *count
        };
        let application = Application::new(submission.clone(), &unique(submission, attempt), templates)?;
        application.executors()?;
        let exit_code = exit_code(submission, attempt);
        self.write_log(&application, &exit_code).await?;
        let overrides = [(format!("{ANNOTATIONS}exit-code"), exit_code)];
        let pod = application.driver(&overrides)?;
        let api: Api<Pod> = Api::namespaced(client.clone(), &application.namespace);
        let created =
            api.create(&PostParams::default(), &pod).await.map_err(|error| refusal(&error, "driver"))?;
        let uid = created.uid().unwrap_or_default();
        let plan = Plan { application, driver_uid: uid.clone(), progress: tokio::sync::Mutex::default() };
        self.known.lock().plans.insert(uid.clone(), Arc::new(plan));
        // The receiver lives as long as we do.
        let _ = self.wake.send(uid);
        Ok(())
    }

    /// A failing driver's log is its own, so are those that a test wrote; the others share one.
    async fn write_log(&self, application: &Application, exit_code: &str) -> Result<(), String> {
        let submission = &application.submission;
        let given = submission.annotation("log");
        if given.is_none() && exit_code == "0" && submission.annotation("fail-attempts").is_none() {
            return Ok(());
        }
        let text = match given {
            Some(text) => cri_log(text.lines()),
            None if exit_code == "0" => cri_log(OUTPUT.iter().copied()),
            None if submission.is_python() => cri_log(PYTHON_FAILURE.iter().copied()),
            None => cri_log(SCALA_FAILURE.iter().copied()),
        };
        let (name, namespace) = (application.driver_name(), &application.namespace);
        let file = self.logs.join(format!("{namespace}_{name}.log"));
        std::fs::write(&file, text).map_err(|error| format!("can't write the driver's log: {error}"))?;
        let object = json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"logs": [{"logsFile": file, "follow": false}]},
        });
        let resource = ApiResource {
            group: "kwok.x-k8s.io".into(),
            version: "v1alpha1".into(),
            api_version: "kwok.x-k8s.io/v1alpha1".into(),
            kind: "Logs".into(),
            plural: "logs".into(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let params = PatchParams::apply("spark-submit").force();
        api.patch(&name, &params, &Patch::Apply(object)).await.map_err(|error| refusal(&error, "log"))?;
        Ok(())
    }

    /// Follows the driver pods of the whole cluster; never ends by itself.
    pub(super) async fn watch(self: Arc<Self>) {
        let api: Api<Pod> = Api::all(self.client.clone());
        let config = watcher::Config::default().labels("spark-role=driver");
        let mut events = std::pin::pin!(watcher::watcher(api, config));
        let mut woken = self.woken.lock().await;
        let mut tasks = JoinSet::new();
        let mut before = HashSet::new();
        loop {
            let uid = tokio::select! {
                Some(uid) = woken.recv() => Some(uid),
                Some(event) = events.next() => match event {
                    Ok(Event::Init) => {
                        before = self.known.lock().plans.keys().cloned().collect();
                        None
                    }
                    Ok(Event::Apply(pod)) => Some(self.saw(&pod, phase(&pod))),
                    Ok(Event::InitApply(pod)) => {
                        let uid = self.saw(&pod, phase(&pod));
                        before.remove(&uid);
                        Some(uid)
                    }
                    Ok(Event::Delete(pod)) => Some(self.saw(&pod, "Gone")),
                    Ok(Event::InitDone) => {
                        for uid in before.drain() {
                            self.known.lock().phases.insert(uid.clone(), "Gone".into());
                            let _ = self.wake.send(uid);
                        }
                        None
                    }
                    Err(error) => {
                        // The API server is away: a test may want that. The watcher tries again by itself.
                        tracing::debug!(%error, "watching drivers failed");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        None
                    }
                },
                else => return,
            };
            if let Some(uid) = uid {
                tasks.spawn(Arc::clone(&self).act(uid));
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    fn saw(&self, pod: &Pod, phase: &str) -> String {
        let uid = pod.uid().unwrap_or_default();
        self.known.lock().phases.insert(uid.clone(), phase.to_owned());
        uid
    }

    async fn act(self: Arc<Self>, uid: String) {
        let (plan, phase) = {
            let known = self.known.lock();
            (known.plans.get(&uid).cloned(), known.phases.get(&uid).cloned())
        };
        let (Some(plan), Some(phase)) = (plan, phase) else { return };
        match phase.as_str() {
            "Running" => self.start_executors(&plan).await,
            "Succeeded" | "Failed" | "Gone" => {
                self.end_executors(&plan).await;
                let mut known = self.known.lock();
                known.plans.remove(&uid);
                if phase == "Gone" {
                    known.phases.remove(&uid);
                }
            }
            _ => {}
        }
    }

    async fn start_executors(&self, plan: &Plan) {
        let first = !std::mem::replace(&mut plan.progress.lock().await.started, true);
        if !first {
            return;
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &plan.application.namespace);
        for index in 1..=plan.application.executors().unwrap_or(0) {
            let Ok(pod) = plan.application.executor(index, &plan.driver_uid) else { return };
            loop {
                // Held over the create, so that the end of the driver finds every executor.
                let progress = plan.progress.lock().await;
                if progress.ended {
                    return;
                }
                match api.create(&PostParams::default(), &pod).await {
                    Ok(_) => break,
                    Err(kube::Error::Api(status)) if status.is_already_exists() => break,
                    Err(error) => tracing::debug!(%error, "an executor was refused"),
                }
                drop(progress);
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn end_executors(&self, plan: &Plan) {
        let mut progress = plan.progress.lock().await;
        if std::mem::replace(&mut progress.ended, true) || !progress.started {
            return;
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &plan.application.namespace);
        let labels = format!("spark-role=executor,spark-app-selector={}", plan.application.id);
        let list = ListParams::default().labels(&labels);
        while let Err(error) = api.delete_collection(&DeleteParams::default(), &list).await {
            tracing::debug!(%error, "deleting executors failed");
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// `exit-code` of this attempt: with `fail-attempts: n` the first n end with it (1 if not given), later ones with 0.
fn exit_code(submission: &Submission, attempt: u32) -> String {
    let code = submission.annotation("exit-code");
    match submission.annotation("fail-attempts").and_then(|text| text.parse::<u32>().ok()) {
        Some(failing) if attempt > failing => "0".to_owned(),
        Some(_) => code.unwrap_or("1").to_owned(),
        None => code.unwrap_or("0").to_owned(),
    }
}

/// 32 hexadecimal digits. The submission id differs with every submit; the clock is for calls by hand that have none.
fn unique(submission: &Submission, attempt: u32) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let text = format!("{submission:?}{attempt}{}", now.as_nanos());
    let mut digits = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    digits.truncate(32);
    digits
}

/// The words of Spark's Kubernetes client: the operator looks for `code=409` in them.
fn refusal(error: &kube::Error, what: &str) -> String {
    match error {
        kube::Error::Api(status) => format!(
            "Exception in thread \"main\" io.fabric8.kubernetes.client.KubernetesClientException: creating the {what}: \
             {} Received status: Status(apiVersion=v1, code={}, kind=Status, reason={}).",
            status.message, status.code, status.reason
        ),
        other => format!("Exception in thread \"main\" java.io.IOException: creating the {what}: {other}"),
    }
}
