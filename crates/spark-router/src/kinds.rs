//! The kinds of members that this program knows.
//!
//! Owns no state: the one place where all of them are named.

use std::collections::BTreeMap;

use spark_router_aws::{
    Clients, Credentials,
    bucket::{Api, Limit},
};
use spark_router_member::Providers;

/// All kinds. `instance_metadata`: whether credentials for AWS may come from the machine at last.
pub(crate) fn providers(clients: Clients, instance_metadata: bool) -> Providers {
    let emr = spark_router_aws::member::provider(clients, Credentials::Chain { instance_metadata });
    Providers::new(Providers::of_operators().into_iter().chain([emr]))
}

/// Clients of AWS that start so many job runs a second in one account and region.
pub(crate) fn clients(starts_per_second: u32) -> Clients {
    let usual = Api::Start.limit();
    let milli_per_second = starts_per_second.saturating_mul(1000);
    let burst = usual.burst.max(starts_per_second);
    Clients::with_limits(BTreeMap::from([(Api::Start, Limit { milli_per_second, burst })]))
}
