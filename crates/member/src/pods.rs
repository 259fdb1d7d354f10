//! Pods of a cluster that somebody else runs applications on, for a member that is more than a cluster.
//!
//! Owns one client. Lists are quorum reads: what they do not show is not there. Must never delete a pod that was not
//! shown by it, under the uid that it had then.

pub(crate) mod driver;

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Preconditions},
};

use crate::{
    calls::Calls,
    clients::{Limits, MaySend, work_client},
    connection::Connection,
    error::Error,
    member::Driver,
};

/// Reads are given up after this long.
const READ: Duration = Duration::from_secs(10);
/// Pods a page, and pages: whoever has more of one label is not looked through.
const PAGE: u32 = 500;
const PAGES: usize = 20;

/// See the module.
pub struct Pods {
    client: Client,
}

impl fmt::Debug for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pods").finish_non_exhaustive()
    }
}

/// A pod as it was shown.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenPod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// It has ended, and its containers run no more.
    pub over: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// How far it is, if it is a driver's.
    pub driver: Driver,
}

impl Pods {
    /// Over a connection. Calls are counted as those of `cluster`.
    ///
    /// # Errors
    /// When no client can be made of it.
    pub fn new(
        connection: &Connection,
        cluster: &str,
        calls: &Calls,
        may_send: &MaySend,
    ) -> Result<Self, Error> {
        let client = work_client(connection, cluster, Limits::default(), calls, may_send)?;
        Ok(Self { client })
    }

    /// All pods of a namespace that have a label.
    ///
    /// # Errors
    /// When it is not known whether these are all.
    pub async fn labelled(&self, namespace: &str, label: &str, value: &str) -> Result<Vec<SeenPod>, Error> {
        let mut parameters = ListParams::default().labels(&format!("{label}={value}")).limit(PAGE);
        let mut seen = Vec::new();
        for _ in 0..PAGES {
            let page = in_time("listing pods", self.api(namespace).list(&parameters)).await?;
            seen.extend(page.items.into_iter().filter_map(shown));
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => parameters = parameters.continue_token(&more),
                None => return Ok(seen),
            }
        }
        Err(Error::Unusable(format!("more than {} pods have the label {label}={value}", seen.len())))
    }

    /// Whether a namespace has any pod with a label.
    ///
    /// # Errors
    /// When that is not known.
    pub async fn has_any(&self, namespace: &str, label: &str, value: &str) -> Result<bool, Error> {
        let parameters = ListParams::default().labels(&format!("{label}={value}")).limit(1);
        let page = in_time("listing pods", self.api(namespace).list(&parameters)).await?;
        Ok(!page.items.is_empty())
    }

    /// Deletes a pod that was shown. `Ok` also when it is gone, or another one has its name.
    ///
    /// # Errors
    /// When it was not certainly taken.
    pub async fn delete(&self, namespace: &str, pod: &SeenPod) -> Result<(), Error> {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(pod.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        match in_time("deleting a pod", self.api(namespace).delete(&pod.name, &parameters)).await {
            Ok(_) => Ok(()),
            Err(Error::Call { source, .. }) if matches!(&*source, kube::Error::Api(status) if [404, 409].contains(&status.code)) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn api(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// `None` for one without name or uid, which no API server sends.
fn shown(pod: Pod) -> Option<SeenPod> {
    let driver = driver::driver(&pod);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    Some(SeenPod {
        over: matches!(phase, "Succeeded" | "Failed"),
        driver,
        name: pod.metadata.name?,
        uid: pod.metadata.uid?,
        labels: pod.metadata.labels.unwrap_or_default(),
        created: pod.metadata.creation_timestamp.map(|at| at.0),
        deleting: pod.metadata.deletion_timestamp.is_some(),
    })
}

async fn in_time<T>(
    doing: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(READ, call).await {
        Ok(answer) => answer.map_err(Error::call(doing)),
        Err(_) => Err(Error::Timeout { doing, after: READ }),
    }
}
