//! The real router, against a hub of this machine.
//!
//! Purpose: install the router as its manifests do ([`Installation`]), run its binary ([`Router`]), and ask what it did:
//! jobs on a watch ([`jobs`]), and what really happened by the audit logs ([`oracle`]). Owns the router's process while
//! it runs. It must never give the router a right that the shipped manifests don't, nor know anything that a user with
//! kubectl could not know.

mod admin;
mod installation;

pub mod jobs;
pub mod objects;
pub mod oracle;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::supervise::{self, Process, Supervisor, tail};
use crate::{Error, Fleet};

pub use installation::Installation;

/// The namespace of the router on the hub, and of its identity on members.
pub const NAMESPACE: &str = "spark-router";

/// The service account of the router, on the hub and on members.
pub const ACCOUNT: &str = "spark-router";

/// The router's user in audit logs, of the hub and of members.
pub const USER: &str = "system:serviceaccount:spark-router:spark-router";

/// How long an orderly stop may take: longer than the router's own bound.
const STOP: Duration = Duration::from_mins(1);

/// How the router is started.
#[derive(Debug, Clone)]
pub struct RouterOptions {
    /// More arguments after `run`, such as `--retention-floor=1s`.
    pub arguments: Vec<String>,
    /// More environment; wins over ours (`SPARK_ROUTER_LOG` is `info` if it is set nowhere).
    pub environment: Vec<(String, String)>,
    /// The address of the fleet that `/readyz` and `/metrics` are on, as for [`Fleet::address`]. Two routers of one fleet
    /// need two. Also the suffix of the log's name.
    pub host: u8,
    /// The cluster that it works for, if not the hub of the fleet: one that was made a copy of it.
    pub hub: Option<String>,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self { arguments: Vec::new(), environment: Vec::new(), host: 250, hub: None }
    }
}

impl RouterOptions {
    /// The defaults with these arguments after `run`.
    pub fn with_arguments<S: Into<String>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self { arguments: arguments.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// A running router, or one that was killed and may be started again. It ends with the fleet.
#[derive(Debug)]
pub struct Router {
    name: String,
    command: Command,
    address: SocketAddr,
    supervisor: Arc<Supervisor>,
    process: Process,
}

impl Router {
    /// Starts `binary run` against the hub, which must have an [`Installation`]; does not wait until it is
    /// ready. It speaks as its service account, with a kubeconfig as a user would give it.
    pub async fn start(fleet: &Fleet, binary: &Path, options: RouterOptions) -> Result<Self, Error> {
        let RouterOptions { arguments, environment, host, hub } = options;
        let hub = hub.map_or_else(|| Ok(fleet.hub()), |name| fleet.find(&name))?;
        let name = format!("router-{host}");
        let address = SocketAddr::from((fleet.address(host), 8080));
        let token = hub.token_for(NAMESPACE, ACCOUNT).await?;
        let kubeconfig = hub.kubeconfig_with_token(hub.server(), &token);
        let path = hub.write(&format!("{name}.kubeconfig"), &kubeconfig)?;
        let mut command = Command::new(binary);
        command.arg("run").args(arguments);
        command.env("KUBECONFIG", path);
        // As environment, so that the same flag in the arguments wins instead of being given twice.
        command.env("SPARK_ROUTER_NAMESPACE", NAMESPACE);
        command.env("SPARK_ROUTER_ADMIN_ADDRESS", address.to_string());
        command.env("SPARK_ROUTER_LOG_FORMAT", "text");
        // As in a pod: two routers of one fleet differ, one that is started again is the same.
        command.env("POD_NAME", &name);
        // What whoever runs the tests has set is inherited.
        if std::env::var_os("SPARK_ROUTER_LOG").is_none() {
            command.env("SPARK_ROUTER_LOG", "info");
        }
        command.envs(environment);
        let supervisor = Arc::clone(fleet.supervisor());
        let process = supervisor.spawn(&name, &command)?;
        Ok(Self { name, command, address, supervisor, process })
    }

    /// Returns when `/readyz` says yes; an error with the end of the router's log if it ends before, or if it takes
    /// minutes.
    pub async fn wait_ready(&self) -> Result<(), Error> {
        supervise::wait("the router", &self.process, async || {
            let asked = tokio::time::timeout(Duration::from_secs(5), admin::get(self.address, "/readyz"));
            match asked.await {
                Ok(Ok((200, _))) => Ok(()),
                Ok(Ok((code, text))) => Err(format!("/readyz said {code}: {}", text.trim())),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer to /readyz".to_owned()),
            }
        })
        .await
    }

    /// The text of a page of the admin port: `/metrics`, `/livez`, `/readyz`. Any status but 200 is an error.
    pub async fn page(&self, path: &str) -> Result<String, Error> {
        match admin::get(self.address, path).await {
            Ok((200, text)) => Ok(text),
            Ok((code, text)) => {
                let answer = std::io::Error::other(format!("{path} said {code}: {}", text.trim()));
                Err(Error::process("ask", &self.name)(answer))
            }
            Err(source) => Err(Error::process("ask", &self.name)(source)),
        }
    }

    /// `/metrics`, in the OpenMetrics format.
    pub async fn metrics(&self) -> Result<String, Error> {
        self.page("/metrics").await
    }

    /// Kills it (SIGKILL), as a lost node would.
    pub fn kill(&self) -> Result<(), Error> {
        self.process.kill().map(drop)
    }

    /// Asks it to stop (SIGTERM), as Kubernetes does, and returns how it ended.
    pub async fn terminate(&self) -> Result<ExitStatus, Error> {
        self.process.terminate()?;
        let asked = Instant::now();
        loop {
            if let Some(status) = self.process.ended() {
                return Ok(status);
            }
            if asked.elapsed() > STOP {
                let detail =
                    format!(": SIGTERM is not heeded; its last log lines were:\n{}", self.log_tail(15));
                let what = "the end of the router".to_owned();
                return Err(Error::NotReady { what, seconds: STOP.as_secs(), detail });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Freezes it (SIGSTOP): its connections stay open and silent.
    pub fn pause(&self) -> Result<(), Error> {
        self.process.pause()
    }

    /// Lets it go on after [`Self::pause`].
    pub fn resume(&self) -> Result<(), Error> {
        self.process.resume()
    }

    /// Kills it if it runs and starts it again with the same arguments; does not wait until it is ready.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.process.kill()?;
        self.process = self.supervisor.spawn(&self.name, &self.command)?;
        Ok(())
    }

    /// An error with the end of its log if it has ended.
    pub fn check(&self) -> Result<(), Error> {
        self.process.check()
    }

    /// The present process: its id, its end.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// All that it logged, over all restarts.
    pub fn log(&self) -> Result<String, Error> {
        let path = self.process.log();
        let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last lines that it logged.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(self.process.log(), lines)
    }
}
