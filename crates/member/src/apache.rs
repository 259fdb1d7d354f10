//! Apache's Spark operator: `spark.apache.org/v1`.
//!
//! Owns no state: what is peculiar to this operator. It makes the driver itself, under a name that follows from the
//! application's, and asks for it again and again: no submission hangs unseen behind it.

mod fold;
mod identity;
mod timeouts;
mod translate;
mod view;

use std::sync::Arc;

use serde_json::Value;
use spark_router_api::application::APACHE_API_VERSION;
use spark_router_core::{
    id::{HubId, Namespace, RemoteName},
    observe::Observation,
    place::Inexpressible,
};

use crate::{
    connection::Connection,
    link::Blueprint,
    member::{Asked, Backend, Suspended},
    operator::{self, Settings, dialect::Dialect},
    provider::Provider,
    render::{self, MemberParts, Order, native},
};
use view::Application;

/// What a link to a member with this operator is made of.
pub fn blueprint(settings: Settings, connection: Connection) -> Arc<dyn Blueprint> {
    operator::blueprint::<Apache>(settings, connection)
}

/// Who makes links to members with this operator.
pub fn provider() -> Arc<dyn Provider> {
    operator::provided::provider::<Apache>()
}

/// What members with this operator can run.
pub fn backend() -> Arc<dyn Backend> {
    Arc::new(Apache)
}

/// See the module.
struct Apache;

impl Backend for Apache {
    fn name(&self) -> &'static str {
        APACHE_API_VERSION
    }

    fn inexpressible(&self, asked: &Asked<'_>) -> Vec<Inexpressible> {
        translate::spec(&meant(asked.template), &translate::Marks::default()).err().unwrap_or_default()
    }
}

/// An effective template with what Kubeflow's webhook would fill, where it is Kubeflow's: the same template asks for the
/// same wherever it runs.
fn meant(template: &Value) -> Value {
    let mut root = template.clone();
    if !native::is_apache(template) {
        root["spec"] = render::spec(template);
    }
    root
}

impl Dialect for Apache {
    type Application = Application;

    const OPERATOR: &'static str = "Apache Spark operator";

    const APPLICATION_LABEL: &'static str = "spark.operator/spark-app-name";

    fn is_named(by: &spark_router_api::member::Backend) -> bool {
        by.apache_spark.is_some()
    }

    fn backend() -> Arc<dyn Backend> {
        backend()
    }

    fn observation(application: &Application) -> Option<Observation> {
        fold::observation(application)
    }

    fn render(order: &Order, hub: &HubId, member: &MemberParts) -> Result<(Value, String), Inexpressible> {
        let root = render::completed(order, member);
        let metadata = render::metadata(order, hub, &root);
        let marks = translate::Marks::of(&metadata);
        let mut spec = translate::spec(&meant(&root), &marks).map_err(first)?;
        timeouts::raise(&mut spec);
        Ok(render::sealed(APACHE_API_VERSION, metadata, spec))
    }

    fn shows_all(seen: &Observation, _: u64) -> bool {
        // It counts executors itself and says only this of them.
        seen.native_state == fold::HEALTHY
    }

    fn is_submitted(state: &str) -> bool {
        // It has its finalizer on what it has written a state of, and deletes the driver before that goes.
        !state.is_empty()
    }

    fn driver_pod(namespace: &Namespace, name: &RemoteName) -> String {
        identity::driver_pod(&identity::application_id(namespace.as_str(), name.as_str(), 0))
    }

    fn without_a_write(_: &Application, seen: &Observation, suspend: bool) -> Option<Suspended> {
        Some(if seen.suspend == suspend {
            Suspended::Done
        } else {
            Suspended::Never("Apache's Spark operator there cannot hold an application".to_owned())
        })
    }

    fn is_suspended(_: &Application) -> bool {
        false
    }
}

fn first(reasons: Vec<Inexpressible>) -> Inexpressible {
    let unsaid = || Inexpressible::new("spec.template", "its operator cannot run it");
    reasons.into_iter().next().unwrap_or_else(unsaid)
}

#[cfg(test)]
#[path = "apache_tests.rs"]
mod tests;
