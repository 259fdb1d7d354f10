//! Has the operator hold an application, or let it go on: the one write to a living application's spec.
//!
//! Only in states in which no submission is under way, because the operator repeats one that a write came in between of,
//! and only on the very version that was read. A member whose definition has no such field says so: nothing is written
//! there.

use kube::api::{Patch, PatchParams, ValidationDirective};
use serde_json::json;
use spark_router_api::names;
use spark_router_core::{
    id::{Namespace, RemoteName, RemoteUid},
    observe::Observation,
};

use crate::{
    error::{Error, chain},
    fold,
    kubeflow::{Kubeflow, READ},
    member::Suspended,
    view::Application,
};

/// An application with this label is Kueue's to hold and to let go on.
const KUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

impl Kubeflow {
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
        let Some(seen) = fold::observation(&application).filter(|seen| seen.uid == *uid) else {
            return Ok(gone());
        };
        if seen.owner.as_ref().is_none_or(|owner| owner.hub != self.hub) {
            return Err(Error::NotOurs { name: format!("{namespace}/{name}") });
        }
        if let Some(answer) = without_a_write(&application, &seen, suspend) {
            return Ok(answer);
        }
        let patch = json!({
            "metadata": {"uid": uid.as_str(), "resourceVersion": application.metadata.resource_version},
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
            Ok(Ok(written)) if is_asked(&written) == suspend => Ok(Suspended::Done),
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

/// The answer where nothing is to be written, or may not be.
fn without_a_write(application: &Application, seen: &Observation, suspend: bool) -> Option<Suspended> {
    if application.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(KUEUE_LABEL)) {
        return Some(Suspended::Never(
            "Kueue there decides when it is held (its label names a queue)".to_owned(),
        ));
    }
    if seen.suspend == suspend {
        return Some(Suspended::Done);
    }
    let state = seen.native_state.as_str();
    let is_calm = if suspend { matches!(state, "SUBMITTED" | "RUNNING") } else { state == "SUSPENDED" };
    (!is_calm || seen.deleting).then(|| Suspended::NotNow(format!("it is in state {state:?}")))
}

fn is_asked(application: &Application) -> bool {
    application.spec.as_ref().is_some_and(|spec| spec.suspend)
}

fn is_unknown_field(status: &kube::core::Status) -> bool {
    matches!(status.code, 400 | 422) && status.message.contains("unknown field \"spec.suspend\"")
}

fn unsupported() -> Suspended {
    Suspended::Never("the Spark operator there is older than 2.4 and cannot hold an application".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(state: &str, suspend: bool, label: Option<&str>) -> Application {
        let mut object = json!({
            "metadata": {"name": "a", "uid": "u", "labels": {}},
            "spec": {"suspend": suspend}, "status": {"applicationState": {"state": state}},
        });
        if let Some(label) = label {
            object["metadata"]["labels"][label] = json!("q");
        }
        serde_json::from_value(object).unwrap()
    }

    fn answer(state: &str, is: bool, suspend: bool, label: Option<&str>) -> Option<Suspended> {
        let application = application(state, is, label);
        without_a_write(&application, &fold::observation(&application).unwrap(), suspend)
    }

    #[test]
    fn nothing_is_written_while_a_submission_may_be_under_way() {
        for state in
            ["", "PENDING_RERUN", "INVALIDATING", "RESUMING", "SUBMISSION_FAILED", "FAILING", "SUSPENDING"]
        {
            let held = answer(state, false, true, None);
            assert!(matches!(held, Some(Suspended::NotNow(_))), "{state}: {held:?}");
            let on = answer(state, true, false, None);
            assert!(matches!(on, Some(Suspended::NotNow(_))), "{state}: {on:?}");
        }
        for state in ["SUBMITTED", "RUNNING"] {
            assert_eq!(answer(state, false, true, None), None);
        }
        assert_eq!(answer("SUSPENDED", true, false, None), None);
        assert_eq!(answer("RUNNING", true, true, None), Some(Suspended::Done));
        assert!(matches!(answer("RUNNING", false, true, Some(KUEUE_LABEL)), Some(Suspended::Never(_))));
    }
}
