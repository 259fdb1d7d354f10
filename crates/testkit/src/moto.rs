//! moto: an implementation of AWS that shares nothing with ours.
//!
//! Purpose: serve EMR on EKS, STS and EKS on loopback. [`Lane::Plain`] is moto as it is; [`Lane::Controlled`] has a layer
//! before it (`moto/lane.py`) by which runs advance (by scripts, or by what their own driver annotations say, as with
//! [`crate::operator`]), faults are injected and calls are read back. Owns the process. It
//! must never be given credentials that work anywhere, nor an environment that leads to some.
//!
//! What no lane has, and unit tests of requests cover instead: job templates, tag calls, AWS's validation of requests.

mod ask;
mod control;
mod install;
mod types;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

pub use self::install::{ensure, folder};
pub use self::types::{Calls, CancelEnd, Fault, Limits, Run, Script, Start, Step, VirtualCluster, What};
use crate::slot::Slot;
use crate::supervise::{self, Process, Supervisor};
use crate::{Error, plain};

/// The account that plain credentials belong to.
pub const ACCOUNT: &str = "123456789012";
/// Credentials that are valid here and nowhere.
pub const ACCESS_KEY: &str = "testing";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "testing";
/// The access key of somebody else, who is no router.
pub const OTHER_KEY: &str = "somebody";
/// The region that tests use.
pub const REGION: &str = "eu-west-1";
/// A release that moto takes; it refuses some that AWS has.
pub const RELEASE: &str = "emr-7.1.0-latest";

/// Where it listens unless told otherwise; each has an address of its own.
const PORT: u16 = 5000;
const LANE: &str = include_str!("moto/lane.py");

/// What stands before moto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Nothing: tokens are ignored, runs run for ever.
    Plain,
    /// Our layer: tokens are honoured and runs stay PENDING until a [`Script`] or a test moves them.
    Controlled,
}

/// A running moto. Dropping it ends the process, unless it was started for a fleet, which then does.
#[derive(Debug)]
pub struct Moto {
    lane: Lane,
    address: SocketAddr,
    process: Process,
    record: PathBuf,
    /// Nobody else's.
    alone: Option<(Slot, Arc<Supervisor>)>,
}

impl Moto {
    /// Starts one on an address of its own. Installs moto first if it is missing, which takes about a minute and says
    /// so on stderr.
    pub async fn start(lane: Lane) -> Result<Self, Error> {
        let slot = Slot::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("spark-router-moto-")
            .tempdir()
            .map_err(Error::file("create", std::env::temp_dir()))?
            .keep();
        let supervisor = Arc::new(Supervisor::start(folder, slot.share()?)?);
        let mut moto = Self::start_at(&supervisor, "moto", slot.address(1), lane).await?;
        moto.alone = Some((slot, supervisor));
        Ok(moto)
    }

    /// Starts one that ends with a fleet ([`crate::Fleet::supervisor`]), on one of its addresses.
    pub async fn start_at(
        supervisor: &Arc<Supervisor>,
        name: &str,
        address: Ipv4Addr,
        lane: Lane,
    ) -> Result<Self, Error> {
        let python = install::installed().await?;
        let address = SocketAddr::from((address, PORT));
        let command = command(&python, supervisor.folder(), name, address, lane)?;
        let process = supervisor.spawn(name, &command)?;
        let path = match lane {
            Lane::Plain => "/moto-api/",
            Lane::Controlled => "/-/ready",
        };
        supervise::wait("moto", &process, async || plain::get(address, path).await.map(drop)).await?;
        let record = record(supervisor.folder(), name);
        Ok(Self { lane, address, process, record, alone: None })
    }

    /// Whether it ends with this handle, and not with a fleet.
    pub fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// What stands before it.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint URL of every AWS service here.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process: paused, it is a black hole.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What happened to its runs, one JSON object a line, written as it happens: `started`, `deduplicated`, `state`,
    /// `cancelled`, and `asked` for how each start and cancel was answered. Only of the controlled lane.
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// The environment of a process that is to use AWS here: dummy credentials, and no way to the machine's own.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", self.url()),
        ]
    }

    /// Makes a virtual cluster. moto wants each namespace name once, also after the cluster is gone.
    pub async fn create_virtual_cluster(
        &self,
        name: &str,
        eks: &str,
        namespace: &str,
    ) -> Result<VirtualCluster, Error> {
        let provider = json!({"id": eks, "type": "EKS", "info": {"eksInfo": {"namespace": namespace}}});
        let body = json!({"name": name, "clientToken": name, "containerProvider": provider});
        let answer = self.aws(ACCESS_KEY, "emr-containers", ("POST", "/virtualclusters"), &body).await?;
        serde_json::from_value(answer).map_err(|error| Error::Moto(format!("a virtual cluster: {error}")))
    }

    /// Makes an EKS cluster, whose endpoint leads nowhere until [`Self::place_eks_cluster`] says where it is.
    pub async fn create_eks_cluster(&self, name: &str) -> Result<(), Error> {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/eks");
        let network = json!({"subnetIds": ["subnet-1"]});
        let body = json!({"name": name, "roleArn": role, "resourcesVpcConfig": network});
        self.aws(ACCESS_KEY, "eks", ("POST", "/clusters"), &body).await.map(drop)
    }

    /// Starts a run with this body, as somebody with curl would; returns its id.
    pub async fn start_run(&self, virtual_cluster: &str, body: &Value) -> Result<String, Error> {
        let path = format!("/virtualclusters/{virtual_cluster}/jobruns");
        let answer = self.aws(OTHER_KEY, "emr-containers", ("POST", &path), body).await?;
        text(&answer, "id")
    }

    /// The ids of all runs that a list shows.
    pub async fn listed(&self, virtual_cluster: &str) -> Result<Vec<String>, Error> {
        let path = format!("/virtualclusters/{virtual_cluster}/jobruns");
        let answer = self.aws(OTHER_KEY, "emr-containers", ("GET", &path), &json!({})).await?;
        answer["jobRuns"].as_array().into_iter().flatten().map(|run| text(run, "id")).collect()
    }

    /// Cancels a run as somebody else than the router does, with another access key ([`OTHER_KEY`]).
    pub async fn cancel_run(&self, virtual_cluster: &str, run: &str) -> Result<(), Error> {
        let path = format!("/virtualclusters/{virtual_cluster}/jobruns/{run}");
        self.aws(OTHER_KEY, "emr-containers", ("DELETE", &path), &json!({})).await.map(drop)
    }

    /// A call as an AWS client makes it. moto reads service and region from the signature and checks nothing of it.
    async fn aws(
        &self,
        key: &str,
        service: &str,
        (method, path): (&str, &str),
        body: &Value,
    ) -> Result<Value, Error> {
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, \
             Signature=0"
        );
        ask::ask(self.address, method, path, Some(&signed), body).await.map_err(Error::Moto)
    }
}

fn text(answer: &Value, field: &str) -> Result<String, Error> {
    let text = answer[field].as_str().map(str::to_owned);
    text.ok_or_else(|| Error::Moto(format!("no {field} in {answer}")))
}

fn record(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}-record.jsonl"))
}

fn command(
    python: &Path,
    folder: &Path,
    name: &str,
    address: SocketAddr,
    lane: Lane,
) -> Result<Command, Error> {
    // Nothing of our own environment: what a developer has there may work somewhere.
    let mut command = Command::new("/usr/bin/env");
    command.arg("-i");
    for (key, value) in [
        ("PATH", "/usr/bin:/bin"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_DEFAULT_REGION", REGION),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ] {
        command.arg(format!("{key}={value}"));
    }
    command.arg(format!("HOME={}", folder.display()));
    command.arg(python);
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    match lane {
        Lane::Plain => command.args(["-m", "moto.server", "-H", &ip, "-p", &port]),
        Lane::Controlled => {
            let script = folder.join(format!("{name}-lane.py"));
            std::fs::write(&script, LANE).map_err(Error::file("write", &script))?;
            command.arg(script).args([&ip, &port]).arg(record(folder, name))
        }
    };
    command.current_dir(folder);
    Ok(command)
}
