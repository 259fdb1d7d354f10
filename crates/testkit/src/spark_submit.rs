//! A stand-in for `spark-submit`, and for the drivers that it starts.
//!
//! Purpose: the real operator executes `$SPARK_HOME/bin/spark-submit`; ours is a shell script that hands its arguments
//! to this process, which creates the pods that Spark would create and tells the script how to exit. It takes
//! milliseconds where a JVM takes seconds. Owns the script's folder and a background task per cluster, which ends with
//! it. It must never do what Spark would not: a test compares its pods with Spark's own.
//!
//! A job chooses its life by annotations on the driver (`spec.driver.annotations`): those of `kwok-stages.yaml`, and
//!
//! | annotation | meaning |
//! |---|---|
//! | `spark-router.test/exit-code` | what the driver ends with |
//! | `spark-router.test/fail-attempts` | only the first n attempts end with that code (1 if not given) |
//! | `spark-router.test/submit-ms` | how long `spark-submit` takes before it creates the driver |
//! | `spark-router.test/submit-error` | `spark-submit` writes this on stderr and exits with 1 |
//! | `spark-router.test/log` | the driver's log, instead of the usual lines |

mod arguments;
mod driver;
mod pods;
mod sizes;
mod volumes;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Error;
use crate::cluster::Cluster;
use driver::Drivers;
use pods::Templates;

pub use arguments::Submission;

/// The prefix of every annotation that this crate reads.
pub const ANNOTATIONS: &str = "spark-router.test/";

/// Opens its answer for reading and writing, so that neither side waits for the other to open; a lone dot ends the
/// text for stderr.
const SCRIPT: &str = r#"#!/bin/sh
requests=REQUESTS
call=$(mktemp -d "${requests%/*}/call.XXXXXX") || exit 2
trap 'rm -rf "$call"' EXIT
mkfifo "$call/answer" || exit 2
exec 4<>"$call/answer"
printf '%s\0' "$@" >"$call/arguments"
printf '%s\n' "$call" >"$requests"
read -r code <&4
while read -r line <&4 && [ "$line" != . ]; do printf '%s\n' "$line" >&2; done
exit "$code"
"#;

/// Where the operator keeps its pod templates, in a folder for each submission.
const TEMPLATES: &str = "/tmp/spark";

/// How a call of `spark-submit` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exit {
    Submitted,
    Refused(String),
}

/// The stand-in of one cluster; it ends when dropped.
#[derive(Debug)]
pub struct StandIn {
    cluster: String,
    home: PathBuf,
    _stop: DropGuard,
}

impl StandIn {
    pub(crate) async fn start(cluster: &Cluster, submitter: Client) -> Result<Self, Error> {
        let home = cluster.folder().join("spark");
        let bin = home.join("bin");
        fs::create_dir_all(&bin).map_err(Error::file("create", &bin))?;
        let requests = home.join("requests");
        make_fifo(&requests)?;
        let script = bin.join("spark-submit");
        let text = SCRIPT.replace("REQUESTS", &format!("'{}'", requests.display()));
        fs::write(&script, text).map_err(Error::file("write", &script))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .map_err(Error::file("write", &script))?;
        // Opened for writing too, so that it never reads as ended between two calls.
        let receiver = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&requests)
            .map_err(Error::file("open", &requests))?;

        // Drivers talk to the API server as themselves, not as the operator.
        let path = cluster.system_kubeconfig("spark-driver")?;
        let kubeconfig = fs::read_to_string(&path).map_err(Error::file("read", path))?;
        let own = cluster.client_of(&kubeconfig).await?;
        let logs = cluster.folder().join("drivers");
        fs::create_dir_all(&logs).map_err(Error::file("create", &logs))?;
        let drivers = Arc::new(Drivers::new(own, logs));
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&drivers).watch()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(
            receiver,
            submitter,
            drivers,
            stop.clone(),
        )));
        Ok(Self { cluster: cluster.name().to_owned(), home, _stop: stop.drop_guard() })
    }

    /// The cluster it stands in on.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The folder for `SPARK_HOME`.
    pub fn home(&self) -> &Path {
        &self.home
    }
}

/// Removes the folder in which the operator keeps its pod templates, if it is empty. Its path is fixed in the operator,
/// so all operators of a machine share it: call this only when no other fleet may be running.
pub fn remove_template_folder() {
    // Somebody else's templates, or nothing at all, are both fine.
    let _ = fs::remove_dir(TEMPLATES);
}

/// Removes the pod templates that operators keep for SparkApplications with these uids: they are left behind if a fleet
/// ends before its drivers have.
pub fn remove_templates_of(uids: &BTreeSet<&str>) {
    // Without the folder there is nothing to do, and what can't be read is not ours.
    let folders = fs::read_dir(TEMPLATES).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in folders {
        let template = fs::read_to_string(folder.join("driver-pod-template.yaml")).unwrap_or_default();
        let uid = template.lines().find_map(|line| line.trim().strip_prefix("uid: "));
        if uid.is_some_and(|uid| uids.contains(uid)) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn make_fifo(path: &Path) -> Result<(), Error> {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(|error| Error::File {
        action: "create",
        path: path.to_path_buf(),
        source: error.into(),
    })
}

async fn serve(requests: pipe::Receiver, client: Client, drivers: Arc<Drivers>, stop: CancellationToken) {
    let mut lines = BufReader::new(requests).lines();
    while let Ok(Some(call)) = lines.next_line().await {
        let (client, drivers) = (client.clone(), Arc::clone(&drivers));
        let task = async move {
            let call = PathBuf::from(call);
            let exit = Box::pin(submit(&call, &client, &drivers)).await;
            if let Err(error) = answer(&call, &exit).await {
                tracing::warn!(%error, "spark-submit went away before its answer");
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(task));
    }
}

async fn submit(call: &Path, client: &Client, drivers: &Drivers) -> Exit {
    let arguments = match fs::read(call.join("arguments")) {
        Ok(bytes) => bytes,
        Err(error) => return Exit::Refused(format!("can't read the arguments: {error}")),
    };
    let arguments = String::from_utf8_lossy(&arguments);
    let submission = match Submission::parse(arguments.split_terminator('\0')) {
        Ok(submission) => submission,
        Err(message) => return Exit::Refused(message),
    };
    let templates = match Templates::take(&submission) {
        Ok(templates) => templates,
        Err(message) => return Exit::Refused(message),
    };
    if let Some(delay) = submission.annotation("submit-ms").and_then(|text| text.parse().ok()) {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if let Some(error) = submission.annotation("submit-error") {
        return Exit::Refused(error.to_owned());
    }
    match Box::pin(drivers.submit(client, &submission, templates)).await {
        Ok(()) => Exit::Submitted,
        Err(message) => Exit::Refused(message),
    }
}

async fn answer(call: &Path, exit: &Exit) -> std::io::Result<()> {
    let text = match exit {
        Exit::Submitted => "0\n.\n".to_owned(),
        Exit::Refused(message) => format!("1\n{message}\n.\n"),
    };
    let mut sender = pipe::OpenOptions::new().open_sender(call.join("answer"))?;
    sender.write_all(text.as_bytes()).await
}
