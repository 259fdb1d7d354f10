//! What the router is judged by.
//!
//! Purpose: remote applications and calls, from the audit logs of the API servers and the record of whoever plays AWS.
//! Owns no state. It must never ask the router, nor read what it wrote.

use std::collections::BTreeMap;

use spark_router_testkit::audit::Mark;
use spark_router_testkit::router::oracle::{RemoteApplications, RouterCalls};

use super::Error;
use super::stage::Stage;

/// Where the records end before the first job.
#[derive(Debug)]
pub(super) struct Marks {
    audits: BTreeMap<String, Mark>,
    /// How many calls the virtual cluster has had.
    aws: usize,
}

/// What the records say.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Applications and job runs that were ever made for jobs.
    pub(super) remote: RemoteApplications,
    /// The router's calls since the marks.
    pub(super) calls: RouterCalls,
}

impl Marks {
    /// The present ends.
    pub(super) async fn here(stage: &Stage) -> Result<Self, Error> {
        let audits = stage.fleet.clusters().map(|it| (it.name().to_owned(), it.audit().mark())).collect();
        let aws = match &stage.cloud {
            Some(cloud) => cloud.calls().await?.calls.len(),
            None => 0,
        };
        Ok(Self { audits, aws })
    }
}

impl Evidence {
    /// Reads all of it.
    pub(super) async fn read(stage: &Stage, marks: &Marks) -> Result<Self, Error> {
        let clusters = || stage.fleet.clusters();
        let mut remote = RemoteApplications::read(clusters())?;
        let marked = clusters().map(|it| (it, marks.audits.get(it.name()).copied().unwrap_or_default()));
        let mut calls = RouterCalls::read(marked)?;
        if let Some(cloud) = &stage.cloud {
            remote.add_runs(cloud.member(), &cloud.runs().await?);
            calls.add_aws(cloud.member(), &cloud.calls().await?, marks.aws);
        }
        Ok(Self { remote, calls })
    }
}
