//! What is done with applications that are over, and what is read of drivers.
//!
//! Nothing here touches an object that is not ours or still lives. Whose it is stands on the object itself; the patch
//! that takes our finalizer away tests that in the server, so usually no read is needed.

use std::time::Duration;

use futures::AsyncReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource,
    api::{DeleteParams, LogParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;
use spark_router_api::names;
use spark_router_core::{
    id::{Namespace, RemoteName, RemoteUid},
    observe::{Observation, Remote},
};

use crate::{
    error::Error,
    member::Driver,
    operator::{Operator, READ, dialect::Dialect, marks},
    pods::driver::{self, DRIVER_CONTAINER},
};

/// A log that does not come in this time is done without.
const LOG: Duration = Duration::from_secs(5);
/// Lines asked for: enough for a stack trace.
const LOG_LINES: i64 = 300;
/// A log of this many bytes behind the last lines asked for is cut: it is all one line.
const LOG_MOST: usize = 4 << 20;

impl<D: Dialect> Operator<D> {
    pub(super) async fn let_go(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
    ) -> Result<(), Error> {
        self.standing.may_be_asked().map_err(Error::Unusable)?;
        let Some(seen) = self.over_and_ours(namespace, name, uid).await? else { return Ok(()) };
        if seen.held { self.remove_finalizer(namespace, name, uid).await } else { Ok(()) }
    }

    pub(super) async fn delete_finished(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
    ) -> Result<(), Error> {
        self.standing.may_be_asked().map_err(Error::Unusable)?;
        let Some(seen) = self.over_and_ours(namespace, name, uid).await? else { return Ok(()) };
        if seen.deleting {
            return Ok(());
        }
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(uid.as_str().to_owned()), resource_version: None }),
            ..DeleteParams::background()
        };
        let applications = self.applications(namespace);
        let call = applications.delete(name.as_str(), &parameters);
        match in_time("deleting a finished application", call).await {
            Ok(_) => Ok(()),
            // Gone, or another one has its name.
            Err(Error::Call { source, .. }) if is_code(&source, &[404, 409]) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The application if it is this one, ours, and over or being deleted; `None` if it is gone. From the view where
    /// that says so, else by a quorum read.
    async fn over_and_ours(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
    ) -> Result<Option<Observation>, Error> {
        let is_over = |seen: &Observation| seen.run.is_terminal() || seen.deleting;
        let is_ours = |seen: &Observation| seen.owner.as_ref().is_some_and(|owner| owner.hub == self.hub);
        if let Remote::Present(seen) = self.cache.observe(namespace, name)
            && seen.uid == *uid
            && is_over(&seen)
            && is_ours(&seen)
        {
            return Ok(Some(*seen));
        }
        let seen = self.read(namespace, name).await?.as_ref().and_then(D::observation);
        let Some(seen) = seen.filter(|seen| seen.uid == *uid) else { return Ok(None) };
        let full_name = || format!("{namespace}/{name}");
        if !is_ours(&seen) {
            return Err(Error::NotOurs { name: full_name() });
        }
        if !is_over(&seen) {
            return Err(Error::NotEnded { name: full_name(), state: seen.native_state });
        }
        Ok(Some(seen))
    }

    /// Takes our finalizer off the object of that uid. `Ok` also when it, or the object, is gone.
    pub(super) async fn remove_finalizer(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
    ) -> Result<(), Error> {
        // Ours is the first one unless somebody put another before it: try that without reading.
        match self.remove_finalizer_at(namespace, name, uid, 0).await {
            Err(Error::Call { source, .. }) if is_code(&source, &[404]) => return Ok(()),
            Err(Error::Call { source, .. }) if is_code(&source, &[409, 422]) => {}
            other => return other,
        }
        let Some(application) = self.read(namespace, name).await? else { return Ok(()) };
        if application.meta().uid.as_deref() != Some(uid.as_str()) {
            return Ok(());
        }
        let finalizers = application.meta().finalizers.as_deref().unwrap_or_default();
        let Some(index) = finalizers.iter().position(|finalizer| finalizer == names::OUTCOME_FINALIZER)
        else {
            return Ok(());
        };
        if marks::ownership(application.meta()).is_none_or(|owner| owner.hub != self.hub) {
            return Err(Error::NotOurs { name: format!("{namespace}/{name}") });
        }
        match self.remove_finalizer_at(namespace, name, uid, index).await {
            Err(Error::Call { source, .. }) if is_code(&source, &[404]) => Ok(()),
            other => other,
        }
    }

    async fn remove_finalizer_at(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
        index: usize,
    ) -> Result<(), Error> {
        const DOING: &str = "taking the finalizer off an application";
        let origin = names::ORIGIN_LABEL.replace('/', "~1");
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid.as_str()},
            {"op": "test", "path": format!("/metadata/labels/{origin}"), "value": self.hub.as_str()},
            {"op": "test", "path": format!("/metadata/finalizers/{index}"), "value": names::OUTCOME_FINALIZER},
            {"op": "remove", "path": format!("/metadata/finalizers/{index}")},
        ]);
        let patch = serde_json::from_value(patch)
            .map_err(|error| Error::call(DOING)(kube::Error::SerdeError(error)))?;
        let parameters =
            PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let applications: Api<D::Application> = self.applications(namespace);
        in_time(DOING, applications.patch(name.as_str(), &parameters, &Patch::Json::<()>(patch)))
            .await
            .map(|_| ())
    }

    pub(super) async fn look_at_driver(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        driver_pod: Option<&str>,
    ) -> Driver {
        if let Err(why) = self.standing.may_be_asked() {
            return Driver::Unclear(why);
        }
        let usual = || D::driver_pod(namespace, name);
        let pod_name = driver_pod.map_or_else(usual, str::to_owned);
        let pods: Api<Pod> = Api::namespaced(self.client(), namespace.as_str());
        let pod = match in_time("reading a driver pod", pods.get(&pod_name)).await {
            Ok(pod) => pod,
            Err(Error::Call { source, .. }) if is_code(&source, &[404]) => return Driver::Gone,
            Err(error) => return Driver::Unclear(crate::error::chain(&error)),
        };
        let labelled = pod.metadata.labels.as_ref().and_then(|labels| labels.get(D::APPLICATION_LABEL));
        if labelled.is_some_and(|application| application != name.as_str()) {
            // Another application's driver has the name: this one's is not there.
            return Driver::Gone;
        }
        driver::driver(&pod)
    }

    pub(super) async fn read_log_tail(
        &self,
        namespace: &Namespace,
        driver_pod: &str,
        bytes: u32,
    ) -> Option<String> {
        self.standing.may_be_asked().ok()?;
        let bytes = usize::try_from(bytes).ok()?;
        let pods: Api<Pod> = Api::namespaced(self.client(), namespace.as_str());
        // A limit in bytes would count from the first line asked for, not from the last.
        let parameters = LogParams {
            container: Some(DRIVER_CONTAINER.to_owned()),
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        let mut tail: Vec<u8> = Vec::new();
        let reading = async {
            let mut stream = std::pin::pin!(pods.log_stream(driver_pod, &parameters).await.ok()?);
            let mut piece = [0_u8; 8192];
            let mut read = 0;
            loop {
                let length = stream.read(&mut piece).await.ok()?;
                read += length;
                if length == 0 || read > LOG_MOST {
                    return Some(());
                }
                tail.extend_from_slice(&piece[..length]);
                if tail.len() > bytes.saturating_mul(2) {
                    tail.drain(..tail.len() - bytes);
                }
            }
        };
        // What came before the time was over is better than nothing.
        let _ = tokio::time::timeout(LOG, reading).await;
        let start = tail.len().saturating_sub(bytes);
        let text = String::from_utf8_lossy(&tail[start..]).into_owned();
        (!text.is_empty()).then_some(text)
    }
}

fn is_code(error: &kube::Error, codes: &[u16]) -> bool {
    matches!(error, kube::Error::Api(status) if codes.contains(&status.code))
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
