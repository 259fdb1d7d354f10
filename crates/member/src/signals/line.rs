//! The line to a member, as the readers of its signals see it.
//!
//! Owns no state: whoever keeps the connections implements it.

use async_trait::async_trait;
use kube::Client;
use spark_router_core::id::{ClusterName, Namespace};

/// A member as its readers see it.
#[async_trait]
pub(crate) trait Line: Send + Sync {
    /// Its name.
    fn cluster(&self) -> &ClusterName;

    /// The present client for signals.
    fn client(&self) -> Client;

    /// The namespace that all its jobs run in, if there is only one.
    fn only_namespace(&self) -> Option<&Namespace>;

    /// Whether it may be asked: the link is ready and leads to the right cluster.
    fn is_ready(&self) -> bool;

    /// Returns once [`Line::is_ready`].
    async fn ready(&self);

    /// Tells the rest of the router that something changed.
    fn tell(&self);
}
