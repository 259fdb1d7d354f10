//! The Kubeflow Spark operator: `sparkoperator.k8s.io/v1beta2`.
//!
//! Owns no state: what is peculiar to this operator.

mod fold;
mod view;

use std::sync::Arc;

use serde_json::Value;
use spark_router_api::application::{APACHE_API_VERSION, SPARK_APPLICATION_API_VERSION};
use spark_router_core::{
    id::{HubId, Namespace, RemoteName},
    observe::{ExecutorCounts, Observation, RunState},
    place::Inexpressible,
};

use crate::{
    connection::Connection,
    link::Blueprint,
    member::{Asked, Backend, Suspended},
    operator::{self, Settings, dialect::Dialect},
    provider::Provider,
    render::{self, MemberParts, Order},
};
use view::Application;

/// What a link to a member with this operator is made of.
pub fn blueprint(settings: Settings, connection: Connection) -> Arc<dyn Blueprint> {
    operator::blueprint::<Kubeflow>(settings, connection)
}

/// Who makes links to members with this operator.
pub fn provider() -> Arc<dyn Provider> {
    operator::provided::provider::<Kubeflow>()
}

/// What members with this operator can run.
pub fn backend() -> Arc<dyn Backend> {
    Arc::new(Kubeflow)
}

/// See the module.
pub(crate) struct Kubeflow;

impl Backend for Kubeflow {
    fn name(&self) -> &'static str {
        SPARK_APPLICATION_API_VERSION
    }

    fn inexpressible(&self, asked: &Asked<'_>) -> Vec<Inexpressible> {
        cannot(asked.template).into_iter().collect()
    }
}

/// Whatever is written for it is its own to judge.
fn cannot(template: &Value) -> Option<Inexpressible> {
    let is_foreign = template.get("apiVersion").and_then(Value::as_str) == Some(APACHE_API_VERSION);
    is_foreign.then(|| {
        let why = "its operator runs applications of sparkoperator.k8s.io/v1beta2 only";
        Inexpressible::new("spec.template.apiVersion", why)
    })
}

impl Dialect for Kubeflow {
    type Application = Application;

    const OPERATOR: &'static str = "Kubeflow Spark operator";

    const APPLICATION_LABEL: &'static str = "sparkoperator.k8s.io/app-name";

    fn is_named(by: &spark_router_api::member::Backend) -> bool {
        // What runs where nothing is said.
        by.apache_spark.is_none() && by.emr_containers.is_none()
    }

    fn backend() -> Arc<dyn Backend> {
        backend()
    }

    fn observation(application: &Application) -> Option<Observation> {
        fold::observation(application)
    }

    fn render(order: &Order, hub: &HubId, member: &MemberParts) -> Result<(Value, String), Inexpressible> {
        match cannot(&order.template) {
            Some(why) => Err(why),
            None => Ok(render::application(order, hub, member)),
        }
    }

    fn shows_all(seen: &Observation, executors: u64) -> bool {
        let ExecutorCounts { pending, running, completed, failed } = seen.executors;
        let counted = [pending, running, completed, failed].into_iter().map(u64::from).sum::<u64>();
        seen.run == RunState::Running && counted >= executors
    }

    fn is_submitted(state: &str) -> bool {
        // Past SUBMITTED nothing hangs.
        matches!(state, "SUBMITTED" | "RUNNING" | "SUCCEEDING" | "FAILING" | "COMPLETED" | "FAILED")
    }

    fn driver_pod(_: &Namespace, name: &RemoteName) -> String {
        format!("{name}-driver")
    }

    fn without_a_write(application: &Application, seen: &Observation, suspend: bool) -> Option<Suspended> {
        without_a_write(application, seen, suspend)
    }

    fn is_suspended(application: &Application) -> bool {
        application.spec.as_ref().is_some_and(|spec| spec.suspend)
    }
}

/// An application with this label is Kueue's to hold and to let go on.
const KUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_of_it_is_there_when_it_runs_and_each_executor_is_counted() {
        for (state, executors, shows) in [
            ("RUNNING", json!({"e-1": "RUNNING", "e-2": "PENDING"}), true),
            ("RUNNING", json!({"e-1": "COMPLETED", "e-2": "FAILED"}), true),
            ("RUNNING", json!({"e-1": "RUNNING"}), false),
            ("SUBMITTED", json!({"e-1": "RUNNING", "e-2": "RUNNING"}), false),
        ] {
            let mut object = serde_json::to_value(json!({
                "metadata": {"name": "a", "uid": "u"}, "spec": {},
                "status": {"applicationState": {"state": state}},
            }))
            .unwrap();
            object["status"]["executorState"] = executors;
            let application: Application = serde_json::from_value(object).unwrap();
            let seen = fold::observation(&application).unwrap();
            assert_eq!(Kubeflow::shows_all(&seen, 2), shows, "{state} {seen:?}");
        }
    }

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
