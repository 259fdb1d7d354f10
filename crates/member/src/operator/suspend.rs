//! Has the operator hold an application, or let it go on: the one write to a living application's spec.
//!
//! Only in states in which no submission is under way, because the operator repeats one that a write came in between of,
//! and only on the very version that was read. A member whose definition has no such field says so: nothing is written
//! there.

use kube::Resource;
use kube::api::{Patch, PatchParams, ValidationDirective};
use serde_json::json;
use spark_router_api::names;
use spark_router_core::id::{Namespace, RemoteName, RemoteUid};

use crate::{
    error::{Error, chain},
    member::Suspended,
    operator::{Operator, READ, dialect::Dialect},
};

impl<D: Dialect> Operator<D> {
    pub(super) async fn hold(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
        suspend: bool,
    ) -> Result<Suspended, Error> {
        const DOING: &str = "writing spec.suspend";
        self.standing.may_be_asked().map_err(Error::Unusable)?;
        let gone = || Suspended::NotNow("it is not there any more".to_owned());
        let Some(application) = self.read(namespace, name).await? else { return Ok(gone()) };
        let Some(seen) = D::observation(&application).filter(|seen| seen.uid == *uid) else {
            return Ok(gone());
        };
        if seen.owner.as_ref().is_none_or(|owner| owner.hub != self.hub) {
            return Err(Error::NotOurs { name: format!("{namespace}/{name}") });
        }
        if let Some(answer) = D::without_a_write(&application, &seen, suspend) {
            return Ok(answer);
        }
        let patch = json!({
            "metadata": {"uid": uid.as_str(), "resourceVersion": application.meta().resource_version},
            "spec": {"suspend": suspend},
        });
        let parameters = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            // A field that the definition does not have is refused, and not dropped in silence.
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let applications = self.applications(namespace);
        let (name, patch) = (name.as_str(), Patch::Merge(&patch));
        let call = applications.patch(name, &parameters, &patch);
        match tokio::time::timeout(READ, call).await {
            // An API server that does not know of strictness drops the field all the same.
            Ok(Ok(written)) if D::is_suspended(&written) == suspend => Ok(Suspended::Done),
            Ok(Ok(_)) => Ok(unsupported()),
            Ok(Err(kube::Error::Api(status))) if is_unknown_field(&status) => Ok(unsupported()),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                Ok(Suspended::NotNow("it changed since it was read".to_owned()))
            }
            Ok(Err(error @ kube::Error::Api(_))) => match &error {
                kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
                    Ok(Suspended::Never(format!("it was refused: {}", chain(&error))))
                }
                _ => Err(Error::call(DOING)(error)),
            },
            Ok(Err(error)) => Err(Error::call(DOING)(error)),
            Err(_) => Err(Error::Timeout { doing: DOING, after: READ }),
        }
    }
}

fn is_unknown_field(status: &kube::core::Status) -> bool {
    matches!(status.code, 400 | 422) && status.message.contains("unknown field \"spec.suspend\"")
}

fn unsupported() -> Suspended {
    Suspended::Never("the Spark operator there is older than 2.4 and cannot hold an application".to_owned())
}
