//! A moto and a virtual cluster on it, as the tests of this crate use them.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test uses a part, and fails by panicking"
)]

pub(crate) mod scene;

use std::collections::BTreeMap;

use serde_json::json;
use spark_router_aws::bucket::{Api, Limit};
use spark_router_aws::client::{Access, Clients, Credentials, Emr, Guarding};
use spark_router_member::{MaySend, calls::Calls};
use spark_router_testkit::{
    chain,
    moto::{self, Lane, Moto, VirtualCluster},
};

/// The member's name, as calls are counted.
pub(crate) const CLUSTER: &str = "emr-1";

/// A running moto with one virtual cluster.
pub(crate) struct Bench {
    pub(crate) moto: Moto,
    pub(crate) made: VirtualCluster,
    pub(crate) clients: Clients,
    pub(crate) calls: Calls,
}

impl Bench {
    pub(crate) async fn start(lane: Lane) -> Self {
        let moto = Moto::start(lane).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let made = moto.create_virtual_cluster("spark", "eks-1", "spark").await.unwrap();
        Self { moto, made, clients: Clients::with_limits(limits()), calls: Calls::default() }
    }

    pub(crate) fn access(&self) -> Access {
        access(&self.moto.url())
    }

    pub(crate) fn guarding(&self, may_send: MaySend) -> Guarding {
        Guarding { cluster: CLUSTER.to_owned(), calls: self.calls.clone(), may_send }
    }

    pub(crate) async fn emr(&self) -> Emr {
        let guarding = self.guarding(MaySend::always());
        self.clients.emr(&self.access(), &self.made.id, guarding).await
    }
}

/// Dummy credentials, and nothing but loopback.
pub(crate) fn access(url: &str) -> Access {
    Access {
        credentials: Credentials::Fixed {
            access_key: moto::ACCESS_KEY.to_owned(),
            secret_key: moto::SECRET_KEY.to_owned(),
        },
        endpoint: Some(url.to_owned()),
        other_endpoints: Some(url.to_owned()),
        ..Access::to(moto::REGION)
    }
}

/// What a start sends, as small as EMR takes it.
pub(crate) fn body(name: &str, token: &str) -> Vec<u8> {
    let body = json!({
        "name": name,
        "clientToken": token,
        "executionRoleArn": format!("arn:aws:iam::{}:role/spark-job-role", moto::ACCOUNT),
        "releaseLabel": moto::RELEASE,
        "jobDriver": {"sparkSubmitJobDriver": {"entryPoint": "local:///opt/spark/examples/pi.py"}},
        "tags": {"z": "1", "a": "2", "m": "3"},
    });
    body.to_string().into_bytes()
}

/// As fast as the machine is.
pub(crate) fn limits() -> BTreeMap<Api, Limit> {
    let fast = Limit { milli_per_second: 100_000_000, burst: 100_000 };
    Api::ALL.into_iter().map(|api| (api, fast)).collect()
}
