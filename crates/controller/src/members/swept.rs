//! What the sweep of members asks the hub.
//!
//! Owns no state. Must never say that a job is gone but by a quorum read.

use kube::runtime::reflector::{ObjectRef, Store};
use spark_router_api::{MemberCluster, RoutedSparkJob};
use spark_router_core::id::{Attempt, ClusterName, JobKey, JobUid};
use spark_router_member::sweep;

use crate::hub::Hub;

/// What the sweep asks.
pub(super) struct SweptJobs {
    pub(super) hub: Hub,
    pub(super) jobs: Store<RoutedSparkJob>,
    pub(super) store: Store<MemberCluster>,
}

#[async_trait::async_trait]
impl sweep::Jobs for SweptJobs {
    fn is_known(&self, key: &JobKey, uid: &JobUid) -> bool {
        let job = self.jobs.get(&ObjectRef::new(&key.name).within(key.namespace.as_str()));
        job.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid.as_str()))
    }

    async fn exists(
        &self,
        key: &JobKey,
        uid: &JobUid,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.hub.exists(key.namespace.as_str(), &key.name, uid.as_str()).await?)
    }

    fn abandoned(&self, cluster: &ClusterName) -> Vec<(JobUid, Attempt)> {
        let object = self.store.get(&ObjectRef::new(cluster.as_str()));
        let status = object.as_ref().and_then(|object| object.status.as_ref());
        let rows = status.map(|status| status.abandoned.as_slice()).unwrap_or_default();
        rows.iter().map(|row| (JobUid::new(&row.job_uid), Attempt(row.attempt))).collect()
    }
}
