//! Writes to the hub's record of a job.
//!
//! Owns the client. Every write carries the resourceVersion that it was computed from: whoever loses the race drops its
//! decision. A write that is not answered in time may have been acted on; the next pass finds out. Must never write while
//! another router leads, nor touch a user's spec, labels or annotations, nor delete a job in another version than the one
//! that was decided on.

use std::time::Duration;

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;
use spark_router_api::{API_VERSION, RoutedSparkJob, RoutedSparkJobStatus, names};

use crate::{error::Error, lease::Lease};

/// How long a call may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Clone)]
pub struct Hub {
    client: Client,
    lease: Lease,
}

impl Hub {
    /// Over a client whose calls are counted. Writes only while the lease is held.
    pub fn new(client: Client, lease: Lease) -> Self {
        Self { client, lease }
    }

    fn jobs(&self, object: &RoutedSparkJob) -> Api<RoutedSparkJob> {
        Api::namespaced(self.client.clone(), object.metadata.namespace.as_deref().unwrap_or_default())
    }

    /// Writes the whole status.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody wrote the object since `object` was read, [`Error::NotLeading`] when this process
    /// may not write.
    pub async fn write_status(
        &self,
        object: &RoutedSparkJob,
        status: &RoutedSparkJobStatus,
    ) -> Result<RoutedSparkJob, Error> {
        self.lease.check()?;
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": "RoutedSparkJob",
            "metadata": {"name": object.name_any(), "resourceVersion": object.resource_version()},
            "status": status,
        });
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let (jobs, name) = (self.jobs(object), object.name_any());
        in_time("writing a job's status", jobs.patch_status(&name, &params, &Patch::Apply(&body))).await
    }

    /// Puts our finalizer on the job.
    ///
    /// # Errors
    /// As [`Self::write_status`].
    pub async fn hold(&self, object: &RoutedSparkJob) -> Result<RoutedSparkJob, Error> {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.push(names::JOB_FINALIZER.to_owned());
        self.set_finalizers(object, &finalizers).await
    }

    /// Takes our finalizer from the job. `Ok` also when the job is gone.
    ///
    /// # Errors
    /// As [`Self::write_status`].
    pub async fn let_go(&self, object: &RoutedSparkJob) -> Result<(), Error> {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != names::JOB_FINALIZER);
        match self.set_finalizers(object, &finalizers).await {
            Ok(_) => Ok(()),
            Err(Error::Hub { source, .. }) if matches!(&*source, kube::Error::Api(s) if s.is_not_found()) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the job, if it still is as `object` shows it. What is left of it while a finalizer is on it; `None` when
    /// it is gone.
    ///
    /// # Errors
    /// As [`Self::write_status`].
    pub async fn delete(&self, object: &RoutedSparkJob) -> Result<Option<RoutedSparkJob>, Error> {
        self.lease.check()?;
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: object.resource_version(),
            }),
            ..DeleteParams::background()
        };
        let (jobs, name) = (self.jobs(object), object.name_any());
        match in_time("deleting a finished job", jobs.delete(&name, &parameters)).await {
            Ok(answer) => Ok(answer.left()),
            Err(Error::Hub { source, .. }) if matches!(&*source, kube::Error::Api(s) if s.is_not_found()) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn set_finalizers(
        &self,
        object: &RoutedSparkJob,
        finalizers: &[String],
    ) -> Result<RoutedSparkJob, Error> {
        self.lease.check()?;
        let body =
            json!({"metadata": {"resourceVersion": object.resource_version(), "finalizers": finalizers}});
        let params =
            PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let (jobs, name) = (self.jobs(object), object.name_any());
        in_time("writing a job's finalizers", jobs.patch(&name, &params, &Patch::Merge(&body))).await
    }

    /// Whether a job of that uid exists, by a quorum read. Deleting ones exist.
    ///
    /// # Errors
    /// When the read failed: then nothing is known.
    pub async fn exists(&self, namespace: &str, name: &str, uid: &str) -> Result<bool, Error> {
        let jobs =
            Api::<kube::core::PartialObjectMeta<RoutedSparkJob>>::namespaced(self.client.clone(), namespace);
        let found = in_time("looking a job up", jobs.get_opt(name)).await?;
        Ok(found.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid)))
    }
}

/// The answer of a call to the hub, for which nobody waits longer than [`PATIENCE`].
///
/// # Errors
/// Those of the call, or [`Error::Timeout`].
pub(crate) async fn in_time<T>(
    doing: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(Error::hub(doing)),
        Err(_) => Err(Error::Timeout { doing, after: PATIENCE }),
    }
}
