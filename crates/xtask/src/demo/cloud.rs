//! The virtual cluster of the mixed lane.
//!
//! Purpose: EMR on EKS on this machine, played by moto, with job runs that go by the same annotations as drivers on the
//! other members; and what it was asked and holds. Owns moto's process, which ends with the fleet. It must never be
//! reached with credentials that are good for anything.

use std::time::Duration;

use spark_router_testkit::Fleet;
use spark_router_testkit::moto::{self, Calls, Lane, Moto, Run, VirtualCluster};
use spark_router_testkit::router::RouterOptions;

use super::Error;

/// The address of the fleet that it is on.
const HOST: u8 = 5;

/// How long a run is PENDING and SUBMITTED.
const PACE: Duration = Duration::from_millis(500);

/// A virtual cluster.
#[derive(Debug)]
pub(super) struct Cloud {
    member: &'static str,
    moto: Moto,
    cluster: VirtualCluster,
}

impl Cloud {
    /// Starts it, for a member of this name.
    pub(super) async fn start(fleet: &Fleet, member: &'static str) -> Result<Self, Error> {
        let moto = Moto::start_at(fleet.supervisor(), "moto", fleet.address(HOST), Lane::Controlled).await?;
        let cluster = moto.create_virtual_cluster("demo", "demo", "spark-jobs").await?;
        moto.go_by_annotations(PACE).await?;
        Ok(Self { member, moto, cluster })
    }

    /// The name of its member.
    pub(super) fn member(&self) -> &'static str {
        self.member
    }

    /// A manifest with its id and address filled in.
    pub(super) fn fill_in(&self, manifest: &str) -> String {
        manifest.replace("VIRTUAL_CLUSTER", &self.cluster.id).replace("ENDPOINT", &self.moto.url())
    }

    /// A router with its credentials, and none of this machine's.
    pub(super) fn router(&self) -> RouterOptions {
        let given = self.moto.environment().map(|(key, value)| (key.to_owned(), value));
        let files = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
        let none = files.map(|key| (key.to_owned(), "/dev/null".to_owned()));
        RouterOptions { environment: [given.as_slice(), &none].concat(), ..RouterOptions::default() }
    }

    /// The job runs that it holds.
    pub(super) async fn runs(&self) -> Result<Vec<Run>, Error> {
        let runs = self.moto.runs(None).await?;
        Ok(runs.into_iter().filter(|run| run.cluster == self.cluster.id).collect())
    }

    /// The calls that came in.
    pub(super) async fn calls(&self) -> Result<Calls, Error> {
        Ok(self.moto.calls().await?)
    }

    /// What to paste into a shell to see its runs. moto reads from the signature which service is meant, and checks none.
    pub(super) fn invitation(&self) -> String {
        let scope = format!("{}/20260101/{}/emr-containers/aws4_request", moto::ACCESS_KEY, moto::REGION);
        format!(
            "curl -sH 'Authorization: AWS4-HMAC-SHA256 Credential={scope}' '{}/virtualclusters/{}/jobruns'",
            self.moto.url(),
            self.cluster.id
        )
    }
}
