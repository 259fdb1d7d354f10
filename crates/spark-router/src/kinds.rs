//! The kinds of members that this program knows, and the ways to reach them.
//!
//! Owns no state: the one place where all of them are named.

use std::collections::BTreeMap;

use spark_router_aws::{
    Clients, Credentials,
    bucket::{Api, Limit},
};
use spark_router_member::{Providers, apache, calls::Calls, kubeflow};

/// All of them. `instance_metadata`: whether credentials for AWS may come from the machine at last.
pub(crate) fn providers(clients: Clients, instance_metadata: bool, calls: Calls) -> Providers {
    let credentials = Credentials::Chain { instance_metadata };
    let emr = spark_router_aws::member::provider(clients.clone(), credentials.clone());
    let eks = spark_router_aws::eks::connector(clients, credentials, calls);
    Providers::new([kubeflow::provider(), apache::provider(), emr]).with_ways([eks])
}

/// Clients of AWS that start so many job runs a second in one account and region.
pub(crate) fn clients(starts_per_second: u32) -> Clients {
    let usual = Api::Start.limit();
    let milli_per_second = starts_per_second.saturating_mul(1000);
    let burst = usual.burst.max(starts_per_second);
    Clients::with_limits(BTreeMap::from([(Api::Start, Limit { milli_per_second, burst })]))
}
