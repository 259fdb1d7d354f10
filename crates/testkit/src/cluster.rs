//! One cluster: a real API server and what runs beside it.
//!
//! Purpose: start, stop and freeze the parts of a cluster and talk to it. Owns the cluster's folder, certificates and
//! processes. It must never hide an outage: clients are built without retries.

mod backup;
mod commands;
mod webhook;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig as ParsedKubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;

use crate::audit::Audit;
use crate::etcd::Etcd;
use crate::kubeconfig::{Kubeconfig, User};
use crate::pki::Authority;
use crate::supervise::{self, Process, Supervisor};
use crate::tools::Tools;
use crate::{Error, manifest};

/// Tokens of tests outlive every test.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// The programs of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager: garbage collection, namespaces, quotas, service accounts.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// KWOK, which plays the nodes.
    Kwok,
    /// The Kubeflow Spark operator.
    SparkOperator,
    /// YuniKorn.
    YuniKorn,
    /// Kueue.
    Kueue,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "api-server",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
            Self::Kwok => "kwok",
            Self::SparkOperator => "spark-operator",
            Self::YuniKorn => "yunikorn",
            Self::Kueue => "kueue",
        }
    }
}

/// What a part was started with, and its process while there is one.
#[derive(Debug)]
struct Running {
    command: Command,
    process: Option<Arc<Process>>,
}

/// A cluster of a [`crate::Fleet`].
pub struct Cluster {
    name: String,
    address: SocketAddr,
    server: String,
    authority: Authority,
    folder: PathBuf,
    kubeconfig: String,
    client: Client,
    audit: Audit,
    tools: Tools,
    supervisor: Arc<Supervisor>,
    parts: Mutex<BTreeMap<Part, Running>>,
    /// Only where it is this cluster's alone.
    etcd: Option<Arc<Etcd>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.name)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// Where a cluster shall live.
pub(crate) struct Site<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: Ipv4Addr,
    /// 0, 1, 2 ... within the fleet: the ports follow from it.
    pub(crate) index: u16,
    pub(crate) etcd: Arc<Etcd>,
    /// Whether no other cluster is on it.
    pub(crate) own_etcd: bool,
    pub(crate) tools: &'a Tools,
    pub(crate) supervisor: &'a Arc<Supervisor>,
}

impl Cluster {
    /// Starts the API server and returns when it is ready.
    pub(crate) async fn start(site: Site<'_>) -> Result<Self, Error> {
        let Site { name, address, index, etcd, own_etcd, tools, supervisor } = site;
        let folder = supervisor.folder().join(name);
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let authority = Authority::new(&format!("{name}-ca"))?;
        let address = SocketAddr::new(IpAddr::V4(address), 16443 + index);
        let server = format!("https://{address}");
        let admin = authority.client("admin", "system:masters")?;
        let kubeconfig = Kubeconfig {
            name,
            server: &server,
            authority: authority.certificate(),
            user: User::Certificate(&admin),
        }
        .to_string();
        let client = connect(name, &kubeconfig).await?;
        let cluster = Self {
            name: name.to_owned(),
            address,
            server,
            authority,
            audit: Audit::new(folder.join("audit.log")),
            folder,
            kubeconfig,
            client,
            tools: tools.clone(),
            supervisor: Arc::clone(supervisor),
            parts: Mutex::default(),
            etcd: own_etcd.then(|| Arc::clone(&etcd)),
        };
        cluster.write("admin.kubeconfig", &cluster.kubeconfig)?;
        let command = commands::api_server(&cluster, etcd.url())?;
        cluster.launch(Part::ApiServer, command)?;
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// Starts the controller-manager.
    pub(crate) fn start_controllers(&self) -> Result<(), Error> {
        self.launch(Part::ControllerManager, commands::controllers(self)?)
    }

    /// The name within the fleet.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of the API server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The folder with this cluster's files; gone with the fleet.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate authority: its certificate is what clients must trust; it can sign more certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// An admin client (group `system:masters`), without retries.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The admin's kubeconfig (client certificate), as YAML.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// The file with the admin's kubeconfig, for `KUBECONFIG`.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// A token of a service account that exists, valid for a day.
    pub async fn token_for(&self, namespace: &str, service_account: &str) -> Result<String, Error> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let spec =
            TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = api
            .create_token_request(service_account, &PostParams::default(), &request)
            .await
            .map_err(Error::api(format!("asking a token for {namespace}/{service_account}"), &self.name))?;
        Ok(answer.status.map(|status| status.token).unwrap_or_default())
    }

    /// A kubeconfig with a token, as YAML; `server` other than [`Self::server`] puts a proxy between.
    pub fn kubeconfig_with_token(&self, server: &str, token: &str) -> String {
        Kubeconfig {
            name: &self.name,
            server,
            authority: self.authority.certificate(),
            user: User::Token(token),
        }
        .to_string()
    }

    /// A client for a kubeconfig, without retries.
    pub async fn client_of(&self, kubeconfig: &str) -> Result<Client, Error> {
        connect(&self.name, kubeconfig).await
    }

    /// Applies YAML documents of any kind, server-side; objects without a namespace go to `default`. After new CRDs
    /// their kinds are served, and the controller-manager is started anew: its garbage collector looks for new kinds
    /// only every 30 s, and foreground deletion would hang so long.
    pub async fn apply_manifest(&self, yaml: &str) -> Result<Vec<DynamicObject>, Error> {
        let stored = manifest::apply(&self.client, &self.name, yaml, "default").await?;
        self.serve_new_kinds(&stored).await?;
        Ok(stored)
    }

    /// Like [`Self::apply_manifest`] with a plain create: an object that exists is an error.
    pub async fn create_manifest(&self, yaml: &str) -> Result<Vec<DynamicObject>, Error> {
        let stored = manifest::create(&self.client, &self.name, yaml, "default").await?;
        self.serve_new_kinds(&stored).await?;
        Ok(stored)
    }

    /// Applies manifests from files, as one.
    pub async fn apply_files(&self, files: &[PathBuf]) -> Result<Vec<DynamicObject>, Error> {
        let mut all = String::new();
        for file in files {
            let text = fs::read_to_string(file).map_err(Error::file("read", file))?;
            all.push_str("---\n");
            all.push_str(&text);
            all.push('\n');
        }
        self.apply_manifest(&all).await
    }

    async fn serve_new_kinds(&self, stored: &[DynamicObject]) -> Result<(), Error> {
        let kinds: Vec<_> = stored.iter().filter_map(manifest::new_kind).collect();
        for kind in &kinds {
            manifest::lookup(&self.client, &self.name, kind).await?;
        }
        if !kinds.is_empty() && self.process(Part::ControllerManager).is_ok() {
            self.restart(Part::ControllerManager)?;
        }
        Ok(())
    }

    /// Runs the built kubectl as admin; returns its stdout.
    pub async fn kubectl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String, Error> {
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        let output = tokio::process::Command::new(self.tools.program("kubectl"))
            .arg(format!("--kubeconfig={}", self.kubeconfig_path().display()))
            .arg(format!("--cache-dir={}", self.folder.join("kubectl").display()))
            .args(&arguments)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(Error::process("run", "kubectl"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Kubectl { arguments: arguments.join(" "), stderr })
    }

    /// Kills the API server: connections break, new ones are refused.
    pub fn stop_apiserver(&self) -> Result<(), Error> {
        self.stop(Part::ApiServer)
    }

    /// Starts the API server again on the same port with the same data, and returns when `/readyz` says yes. As in
    /// real life, custom resources are answered with 429 (`storage is (re)initializing`) for up to a second more.
    pub async fn start_apiserver(&self) -> Result<(), Error> {
        self.restart(Part::ApiServer)?;
        self.wait_ready().await
    }

    /// Kills a part (SIGKILL).
    pub fn stop(&self, part: Part) -> Result<(), Error> {
        let process = self.parts.lock().get_mut(&part).and_then(|running| running.process.take());
        process.map_or(Ok(()), |process| process.kill().map(drop))
    }

    /// Starts a part again as it was started first; kills it before if it runs. Does not wait until it is ready.
    pub fn restart(&self, part: Part) -> Result<(), Error> {
        self.stop(part)?;
        let mut parts = self.parts.lock();
        let running = parts.get_mut(&part).ok_or_else(|| self.lacks(part))?;
        running.process = Some(Arc::new(self.supervisor.spawn(&self.log_name(part), &running.command)?));
        Ok(())
    }

    /// The process of a part, to freeze it ([`Process::pause`]) or to read its log.
    pub fn process(&self, part: Part) -> Result<Arc<Process>, Error> {
        let parts = self.parts.lock();
        parts.get(&part).and_then(|running| running.process.clone()).ok_or_else(|| self.lacks(part))
    }

    /// An error if a part has ended by itself.
    pub fn check(&self) -> Result<(), Error> {
        self.parts
            .lock()
            .values()
            .filter_map(|running| running.process.as_ref())
            .try_for_each(|it| it.check())
    }

    pub(crate) fn launch(&self, part: Part, command: Command) -> Result<(), Error> {
        let process = self.supervisor.spawn(&self.log_name(part), &command)?;
        let running = Running { command, process: Some(Arc::new(process)) };
        self.parts.lock().insert(part, running);
        Ok(())
    }

    fn log_name(&self, part: Part) -> String {
        format!("{}-{}", self.name, part.name())
    }

    fn lacks(&self, part: Part) -> Error {
        Error::NoCluster(format!("{} with a running {}", self.name, part.name()))
    }

    /// A port of this cluster: every part has its own offset from the API server's.
    pub(crate) fn port(&self, offset: u16) -> u16 {
        self.address.port() + offset
    }

    pub(crate) fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Writes a file into the cluster's folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(Error::file("write", &path))?;
        Ok(path)
    }

    /// A kubeconfig file for a component that is part of the cluster; each has its own user, so that audit logs tell
    /// them apart.
    pub(crate) fn system_kubeconfig(&self, user: &str) -> Result<PathBuf, Error> {
        let identity = self.authority.client(user, "system:masters")?;
        let kubeconfig = Kubeconfig {
            name: &self.name,
            server: &self.server,
            authority: self.authority.certificate(),
            user: User::Certificate(&identity),
        };
        self.write(&format!("{}.kubeconfig", user.replace(':', "-")), &kubeconfig.to_string())
    }

    async fn wait_ready(&self) -> Result<(), Error> {
        let process = self.process(Part::ApiServer)?;
        let what = format!("the API server of cluster {}", self.name);
        supervise::wait(&what, &process, async || {
            let request = http::Request::get("/readyz").body(Vec::new());
            let request = request.map_err(|error| error.to_string())?;
            let asked = tokio::time::timeout(Duration::from_secs(5), self.client.request_text(request));
            match asked.await {
                Ok(answer) => answer.map(drop).map_err(|error| crate::chain(&error)),
                Err(_) => Err("no answer to /readyz".to_owned()),
            }
        })
        .await
    }
}

async fn connect(cluster: &str, kubeconfig: &str) -> Result<Client, Error> {
    let failed = |source| Error::Kubeconfig { cluster: cluster.to_owned(), source };
    let parsed = ParsedKubeconfig::from_yaml(kubeconfig).map_err(failed)?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(parsed, &options).await.map_err(failed)?;
    config.default_retry = false;
    Client::try_from(config).map_err(Error::api("building a client", cluster))
}
