//! A cluster that is put back to what it was.
//!
//! Purpose: a restore as administrators do it. Owns no state. It must never leave a part running that saw the later
//! state.

use super::{Cluster, Part};
use crate::Error;
use crate::etcd::{Backup, Etcd};

impl Cluster {
    /// A copy of everything that the API server stores, as of this instant. Needs an etcd of its own
    /// ([`crate::MemberOptions::own_etcd`]).
    pub fn back_up(&self) -> Result<Backup, Error> {
        self.own_etcd()?.back_up()
    }

    /// Restores the cluster as administrators do: API server and etcd are stopped, the data is replaced by the copy, and
    /// everything starts again, the controllers too, because revisions go back to those of the copy and their watches
    /// would see nothing. A copy of another cluster makes this one its twin, also in its identity. Returns when `/readyz` says yes.
    pub async fn put_back(&self, backup: &Backup) -> Result<(), Error> {
        self.stop_apiserver()?;
        self.own_etcd()?.put_back(backup).await?;
        self.start_apiserver().await?;
        let parts: Vec<Part> = self.parts.lock().keys().copied().collect();
        parts.into_iter().filter(|part| *part != Part::ApiServer).try_for_each(|part| self.restart(part))
    }

    fn own_etcd(&self) -> Result<&Etcd, Error> {
        self.etcd.as_deref().ok_or_else(|| Error::NoCluster(format!("{} with an etcd of its own", self.name)))
    }
}
