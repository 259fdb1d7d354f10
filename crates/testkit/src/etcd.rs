//! etcd, which keeps what API servers store.
//!
//! Purpose: start it, copy its data while it runs, put a copy back. Owns the process and its folder. It must never be
//! copied while it writes, nor read a folder that is being replaced.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Error;
use crate::supervise::{self, Process, Supervisor};
use crate::tools::Tools;

/// A running etcd.
#[derive(Debug)]
pub struct Etcd {
    name: String,
    data: PathBuf,
    url: String,
    address: (Ipv4Addr, u16),
    command: Command,
    supervisor: Arc<Supervisor>,
    process: Mutex<Arc<Process>>,
}

/// A copy of what an etcd held at one instant; see [`crate::Cluster::back_up`].
#[derive(Debug, Clone)]
pub struct Backup(PathBuf);

impl Etcd {
    /// Starts it on `port` and the next one, with its data in the fleet's folder, and returns when it listens.
    pub(crate) async fn start(
        supervisor: &Arc<Supervisor>,
        tools: &Tools,
        name: &str,
        address: (Ipv4Addr, u16),
    ) -> Result<Self, Error> {
        let (ip, port) = address;
        let (client, peer) = (format!("http://{ip}:{port}"), format!("http://{ip}:{}", port + 1));
        let data = supervisor.folder().join(name);
        let mut command = Command::new(tools.program("etcd"));
        command.arg("--data-dir").arg(&data);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}"), "--log-level", "warn"]);
        // The data is thrown away anyway; eight GiB is etcd's largest advised size.
        command.args(["--unsafe-no-fsync", "--quota-backend-bytes", "8589934592"]);
        let process = Mutex::new(Arc::new(supervisor.spawn(name, &command)?));
        let (name, supervisor) = (name.to_owned(), Arc::clone(supervisor));
        let etcd = Self { name, data, url: client, address, command, supervisor, process };
        etcd.listens().await?;
        Ok(etcd)
    }

    /// Where API servers reach it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock())
    }

    /// Copies the data as it is at this instant. The process stands still meanwhile, so that the copy is what a power cut
    /// would leave: etcd starts from it.
    pub(crate) fn back_up(&self) -> Result<Backup, Error> {
        let process = self.process();
        process.pause()?;
        let number = fs::read_dir(self.supervisor.folder()).map(Iterator::count).unwrap_or_default();
        let copy = self.supervisor.folder().join(format!("{}-backup-{number}", self.name));
        let copied = copy_folder(&self.data, &copy);
        process.resume()?;
        copied.map(|()| Backup(copy))
    }

    /// Kills the process, if it still runs, and starts it with the data of the copy: its revisions go back too.
    pub(crate) async fn put_back(&self, backup: &Backup) -> Result<(), Error> {
        self.process().kill()?;
        fs::remove_dir_all(&self.data).map_err(Error::file("remove", &self.data))?;
        copy_folder(&backup.0, &self.data)?;
        *self.process.lock() = Arc::new(self.supervisor.spawn(&self.name, &self.command)?);
        self.listens().await
    }

    async fn listens(&self) -> Result<(), Error> {
        supervise::wait(&self.name, &self.process(), async || {
            let connected = tokio::net::TcpStream::connect(self.address).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::file("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
        let entry = entry.map_err(Error::file("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(Error::file("copy", &source))?;
        }
    }
    Ok(())
}
