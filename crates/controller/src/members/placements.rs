//! Whether unfinished jobs are placed on a member, from the hub itself.
//!
//! Owns no state. A quorum read, for the rare decisions that a cache must not make: letting a member go, and using one
//! that turned out to be another cluster.

use kube::{Api, Client, api::ListParams, core::PartialObjectMeta};
use spark_router_api::RoutedSparkJob;
use spark_router_core::{id::ClusterName, phase::Phase};

use crate::error::Error;

/// Whether there is any.
pub(super) async fn exist(client: &Client, cluster: &ClusterName) -> Result<bool, Error> {
    let jobs: Api<PartialObjectMeta<RoutedSparkJob>> = Api::all(client.clone());
    let params = ListParams::default().fields(&selector(cluster)).limit(1);
    let list = super::in_time("counting the jobs of a member", jobs.list(&params)).await?;
    Ok(!list.items.is_empty())
}

/// Placed there and not at an end.
fn selector(cluster: &ClusterName) -> String {
    let mut selector = format!("status.cluster={cluster}");
    for phase in [Phase::Succeeded, Phase::Failed] {
        selector.push_str(",status.phase!=");
        selector.push_str(phase.as_str());
    }
    selector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_left_out() {
        let selector = selector(&ClusterName::from("a"));
        assert_eq!(selector, "status.cluster=a,status.phase!=Succeeded,status.phase!=Failed");
    }
}
