//! What differs between Spark operators.
//!
//! Owns no state. A link, its probe, its view and its protocol are the same for all of them; this is what an operator
//! calls things, what its states prove, and what it is sent.

use std::{fmt, sync::Arc};

use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spark_router_core::{
    id::{HubId, Namespace, RemoteName},
    observe::Observation,
    place::Inexpressible,
};

use crate::{
    member::{Backend, Suspended},
    render::{MemberParts, Order},
};

/// A Spark operator, as far as it differs from others.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// An application as the watch and reads decode it. Its group, version and plural are the operator's.
    type Application: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static;

    /// What the operator is called.
    const OPERATOR: &'static str;

    /// The label by which the operator marks the pods of an application; its value is the application's name.
    const APPLICATION_LABEL: &'static str;

    /// Whether a member's object names it.
    fn is_named(by: &spark_router_api::member::Backend) -> bool;

    /// What it can run.
    fn backend() -> Arc<dyn Backend>;

    /// What an application shows. `None` for one without name or uid, which no API server sends.
    fn observation(application: &Self::Application) -> Option<Observation>;

    /// What an order is created as, and its hash.
    ///
    /// # Errors
    /// The first thing that the operator cannot do.
    fn render(order: &Order, hub: &HubId, member: &MemberParts) -> Result<(Value, String), Inexpressible>;

    /// Whether all pods of an application with so many executors are there.
    fn shows_all(seen: &Observation, executors: u64) -> bool;

    /// Whether no submission may be under way unseen once an application is in this state: what is deleted then makes no
    /// driver any more.
    fn is_submitted(state: &str) -> bool;

    /// The driver's pod of an application whose operator names none.
    fn driver_pod(namespace: &Namespace, name: &RemoteName) -> String;

    /// The answer to who wants an application held, or let go on, where nothing is to be written to `spec.suspend`, or may
    /// not be.
    fn without_a_write(
        application: &Self::Application,
        seen: &Observation,
        suspend: bool,
    ) -> Option<Suspended>;

    /// Whether the operator is asked to hold it.
    fn is_suspended(application: &Self::Application) -> bool;
}
