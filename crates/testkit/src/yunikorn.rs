//! The real YuniKorn, as a cluster's scheduler in place of kube-scheduler.
//!
//! Purpose: start it with the queues that a test asks for, and change them. Owns the machine's right to run one: its REST
//! port is fixed, on all addresses. The process belongs to the cluster. It must never be started beside another one: the
//! second would serve nothing and its test would read the first one's queues.

use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Part};
use crate::supervise;
use crate::{Error, plain, tools};

/// Fixed in YuniKorn.
pub const PORT: u16 = 9080;
/// The namespace of its ConfigMaps.
pub const NAMESPACE: &str = "yunikorn";
/// Pods with this `schedulerName` are its own.
pub const SCHEDULER: &str = "yunikorn";

/// How long other tests may keep the port. None of them takes more than a few minutes.
const TURN: Duration = Duration::from_mins(10);

/// A running YuniKorn. While it lives, no other test of this machine starts one.
#[derive(Debug)]
pub struct YuniKorn {
    _turn: File,
}

impl YuniKorn {
    /// Waits until no other test runs one, then starts it and returns when it serves `queues`: the text of
    /// `queues.yaml`. The cluster must have been started without kube-scheduler. Builds the program first if it is
    /// missing, which takes minutes and says so on stderr.
    pub async fn start(cluster: &Cluster, queues: &str) -> Result<Self, Error> {
        let tools = tools::built(tools::Set::YuniKorn).await?;
        let turn = turn().await?;
        cluster.apply_manifest(&configuration(queues)).await?;
        let kubeconfig = cluster.system_kubeconfig("system:yunikorn")?;
        let mut command = Command::new(tools.program("yunikorn"));
        command.env("KUBECONFIG", kubeconfig).env("NAMESPACE", NAMESPACE);
        cluster.launch(Part::YuniKorn, command)?;
        let process = cluster.process(Part::YuniKorn)?;
        let what = format!("YuniKorn of cluster {}", cluster.name());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        supervise::wait(&what, &process, async || {
            plain::get(address, "/ws/v1/partition/default/queues").await.map(drop)
        })
        .await?;
        Ok(Self { _turn: turn })
    }

    /// Gives it other queues; it takes them up within moments.
    pub async fn set_queues(&self, cluster: &Cluster, queues: &str) -> Result<(), Error> {
        cluster.apply_manifest(&configuration(queues)).await.map(drop)
    }

    /// Where its REST service is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{PORT}")
    }
}

/// The lock of the machine, and the port free: a process that was killed is gone a moment after its lock.
async fn turn() -> Result<File, Error> {
    let folder = tools::cache()?;
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let path = folder.join("yunikorn.lock");
    let lock = File::create(&path).map_err(Error::file("create", &path))?;
    let started = Instant::now();
    let mut said = false;
    loop {
        let waits_for = match lock.try_lock() {
            Ok(()) => match TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)) {
                Ok(_) => return Ok(lock),
                Err(error) => format!("port {PORT}, which YuniKorn needs and which can't be moved ({error})"),
            },
            Err(TryLockError::WouldBlock) => "another test's YuniKorn to end".to_owned(),
            Err(TryLockError::Error(source)) => return Err(Error::File { action: "lock", path, source }),
        };
        if started.elapsed() > TURN {
            let what = "YuniKorn's turn".to_owned();
            return Err(Error::NotReady {
                what,
                seconds: TURN.as_secs(),
                detail: format!(": waited for {waits_for}"),
            });
        }
        if !said {
            eprintln!("waiting for {waits_for}, for up to {} minutes", TURN.as_secs() / 60);
            said = true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn configuration(queues: &str) -> String {
    let indented = queues.lines().fold(String::new(), |text, line| text + "    " + line + "\n");
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: yunikorn-configs, namespace: {NAMESPACE}}}\n\
         data:\n  queues.yaml: |\n{indented}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_survive_the_way_into_the_config_map() {
        let queues = "partitions:\n- name: default\n  queues:\n  - name: root\n    submitacl: '*'\n";
        let objects = crate::manifest::parse(&configuration(queues)).unwrap();
        assert_eq!(objects[1].data["data"]["queues.yaml"], queues);
    }
}
