//! The life of one pod.
//!
//! Purpose: from bound to gone. Owns the pod's folder, address and process. It must never outlive its order: a pod with
//! a deletion timestamp is ended and removed.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::command::Words;
use super::image::{self, Place};
use super::logs::Log;
use super::rewrite::Paths;
use super::status::{Stage, patch};
use super::{Shared, volumes};
use crate::kubeconfig::{Kubeconfig, User};
use crate::supervise::Process;

/// How often a process is looked at, and its log dated.
const TICK: Duration = Duration::from_millis(100);

/// Tokens of tests outlive every test.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

struct Life {
    shared: Arc<Shared>,
    api: Api<Pod>,
    pod: Pod,
    name: String,
    namespace: String,
    uid: String,
    container: Container,
    address: Option<Ipv4Addr>,
}

/// Runs a pod until it is gone. `stop` is cancelled when the pod is to be deleted.
pub(super) async fn run(shared: Arc<Shared>, pod: Pod, stop: CancellationToken) {
    let (Some(namespace), Some(uid), Some(spec)) = (pod.namespace(), pod.uid(), pod.spec.clone()) else {
        return;
    };
    let Some(container) = spec.containers.first().cloned() else { return };
    let api = Api::namespaced(shared.client.clone(), &namespace);
    let name = pod.name_any();
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    let mut life = Life { shared, api, pod, name, namespace, uid, container, address: None };
    if phase.is_empty() || phase == "Pending" {
        life.live(&spec, &stop).await;
        remove_templates(&life.pod);
        if let Some(address) = life.address.take() {
            life.shared.free.lock().push_back(address);
        }
    }
    stop.cancelled().await;
    if !life.shared.end.is_cancelled() {
        life.remove().await;
    }
}

impl Life {
    async fn live(&mut self, spec: &PodSpec, stop: &CancellationToken) {
        let prepared = tokio::select! {
            () = stop.cancelled() => return,
            prepared = self.prepare(spec) => prepared,
        };
        let log = match prepared {
            Ok(log) => log,
            Err(why) => return self.report(&Stage::Refused { why }).await,
        };
        let since = Timestamp::now();
        self.report(&Stage::Running { since }).await;
        let grace =
            self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        let mut kill_at = None;
        let status = loop {
            log.date();
            if let Some(status) = log.process().ended() {
                break status;
            }
            match kill_at {
                None if stop.is_cancelled() => {
                    kill_at = Some(Instant::now() + grace);
                    self.signal(log.process(), Process::terminate);
                }
                Some(at) if Instant::now() >= at => {
                    self.signal(log.process(), |process| process.kill().map(drop));
                }
                _ => {}
            }
            sleep(TICK).await;
        };
        // Takes what the leader may have left of its group, and forgets it.
        self.signal(log.process(), |process| process.kill().map(drop));
        log.date();
        self.report(&Stage::Ended { since, code: code(status) }).await;
    }

    fn signal(&self, process: &Process, send: impl FnOnce(&Process) -> Result<(), crate::Error>) {
        if let Err(error) = send(process) {
            tracing::warn!(pod = %self.name, error = %crate::chain(&error), "a process could not be signalled");
        }
    }

    /// Everything up to the start of the process; the error is for the pod's status.
    async fn prepare(&mut self, spec: &PodSpec) -> Result<Arc<Log>, String> {
        if spec.containers.len() > 1 || spec.init_containers.as_ref().is_some_and(|it| !it.is_empty()) {
            return Err("only pods with one container can run as processes".to_owned());
        }
        let address = self.take_address().await;
        self.report(&Stage::Creating).await;
        let folder = self.shared.folder.join("pods").join(&self.uid);
        let (work, temporary) = (folder.join("work"), folder.join("tmp"));
        for needed in [&work, &temporary] {
            fs::create_dir_all(needed)
                .map_err(|error| format!("can't create {}: {error}", needed.display()))?;
        }
        let spark = &self.shared.options.spark;
        let mut paths = Paths::default();
        paths.add("/opt/spark", &spark.home().to_string_lossy());
        let place = folder.join("volumes");
        volumes::mount(&self.shared.client, &self.namespace, spec, &self.container, &place, &mut paths)
            .await?;
        let words = Words::of(&self.pod, &self.container, address, self.shared.options.address, &paths)?;
        let kubeconfig = folder.join("kubeconfig");
        let account = spec.service_account_name.as_deref().unwrap_or("default");
        let text = self.kubeconfig(account).await?;
        fs::write(&kubeconfig, text)
            .map_err(|error| format!("can't write {}: {error}", kubeconfig.display()))?;
        let server = &self.shared.server;
        let place =
            Place { spark, address, server, kubeconfig: &kubeconfig, work: &work, temporary: &temporary };
        let command = image::command(&words, &place)?;
        let name = format!("{}-{}-{}", self.shared.options.node, self.name, self.uid);
        let supervisor = self.shared.supervisor.upgrade().ok_or("the fleet has ended")?;
        let process = supervisor.spawn(&name, &command).map_err(|error| crate::chain(&error))?;
        let log = Arc::new(Log::new(&self.container.name, process));
        self.shared.logs.lock().insert(format!("{}/{}", self.namespace, self.name), Arc::clone(&log));
        Ok(log)
    }

    async fn take_address(&mut self) -> Ipv4Addr {
        loop {
            let free = self.shared.free.lock().pop_front();
            if let Some(address) = free {
                self.address = Some(address);
                return address;
            }
            sleep(TICK).await;
        }
    }

    async fn kubeconfig(&self, account: &str) -> Result<String, String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.shared.client.clone(), &self.namespace);
        let spec =
            TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
        let answer = answer.map_err(|error| format!("no token for service account {account}: {error}"))?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        let (server, authority) = (&self.shared.server, &self.shared.authority);
        Ok(Kubeconfig { name: "member", server, authority, user: User::Token(&token) }.to_string())
    }

    /// Tries until the API server takes it: nobody would ask again.
    async fn report(&self, stage: &Stage) {
        let image = self.container.image.as_deref().unwrap_or_default();
        let node = self.shared.options.address;
        let patch = Patch::Merge(patch(stage, &self.container.name, image, self.address, node));
        loop {
            match self.api.patch_status(&self.name, &PatchParams::default(), &patch).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => {
                    tracing::debug!(pod = %self.name, %status, "the status of a pod was not taken");
                    return;
                }
                Err(error) => tracing::debug!(pod = %self.name, %error, "a pod's status is sent again"),
            }
            sleep(TICK).await;
        }
    }

    async fn remove(&self) {
        let preconditions = Preconditions { uid: Some(self.uid.clone()), resource_version: None };
        let delete = DeleteParams::default().grace_period(0).preconditions(preconditions);
        loop {
            match self.api.delete(&self.name, &delete).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => return,
                Err(error) => tracing::debug!(pod = %self.name, %error, "a pod's removal is tried again"),
            }
            sleep(TICK).await;
        }
    }
}

/// The operator writes a folder of pod templates for each submit and removes it only for applications that bring
/// templates themselves. By the end of its driver, a submit has long read them.
fn remove_templates(pod: &Pod) {
    let submission = pod.labels().get("sparkoperator.k8s.io/submission-id").map_or("", String::as_str);
    let plain = |character: char| character.is_ascii_hexdigit() || character == '-';
    if submission.len() == 36 && submission.chars().all(plain) {
        // Executors carry the same label: it may be gone already.
        let _ = fs::remove_dir_all(Path::new("/tmp/spark").join(submission));
    }
}

/// As a container runtime counts.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}
