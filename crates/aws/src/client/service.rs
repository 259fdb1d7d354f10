//! The calls of EMR on EKS that the router makes.
//!
//! Owns no state. A start is sent once, with the bytes that its hash on the hub was made of; everything else may be tried
//! again by the SDK. Lists are walked to their end, within a bound.

use std::time::Duration;

use aws_sdk_emrcontainers::{
    Client, config,
    error::{ProvideErrorMetadata, SdkError},
    types::JobRunState,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::{DateTime, body::SdkBody, retry::RetryConfig};
use jiff::Timestamp;

use super::{
    failure::{Class, Failure},
    guard::{Guard, Guarding, Kind},
    pace::Pace,
    run::{JobRun, RunId, VirtualCluster},
};
use crate::bucket::Api;

/// A walk that has not ended by then leads in a circle: a hundred rows a page, and no account has so many runs alive.
const PAGES: usize = 2_000;

const START: Kind = Kind { verb: "create", resource: "jobruns", changes: true };
const CANCEL: Kind = Kind { verb: "delete", resource: "jobruns", changes: true };
const LIST: Kind = Kind { verb: "list", resource: "jobruns", changes: false };
const DESCRIBE: Kind = Kind { verb: "get", resource: "jobruns", changes: false };
const CLUSTER: Kind = Kind { verb: "get", resource: "virtualclusters", changes: false };

/// See the module.
#[derive(Clone, Debug)]
pub struct Emr {
    client: Client,
    virtual_cluster: String,
    guarding: Guarding,
    pace: Pace,
}

/// What a start sends.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// The name.
    pub name: &'a str,
    /// The token.
    pub token: &'a str,
    /// The body as it was rendered: JSON, with name and token in it. Sent as it is, because a map of the SDK comes in
    /// another order each time, and whether AWS takes such a repeat for the same request is not known.
    pub body: &'a [u8],
}

/// Which runs are listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// Of this name, as far as the server keeps to it: some list more.
    pub name: Option<&'a str>,
    /// In these states; empty for all.
    pub states: &'a [&'a str],
    /// Made after this.
    pub created_after: Option<Timestamp>,
}

/// A call that has no turn by then has none: of those who wait for nobody, and of those whom others wait for.
const PATIENT: Duration = Duration::from_secs(30);
const HASTY: Duration = Duration::from_secs(2);

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its rows.
    pub runs: Vec<JobRun>,
    /// How to ask for the next one.
    pub next: Option<String>,
}

impl Emr {
    pub(super) fn new(client: Client, virtual_cluster: &str, guarding: Guarding, pace: Pace) -> Self {
        Self { client, virtual_cluster: virtual_cluster.to_owned(), guarding, pace }
    }

    /// When another start may be sent, if not now. Takes nothing.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The virtual cluster that it speaks of.
    pub fn virtual_cluster(&self) -> &str {
        &self.virtual_cluster
    }

    /// Starts a run. The caller has a token of [`Self::pace`] for it. Sent once: whether it is sent again is for the caller
    /// to say, who has the token on record.
    pub async fn start(&self, start: Start<'_>) -> Result<RunId, Failure> {
        let guard = Guard::new(&self.guarding, START);
        let body = start.body.to_vec();
        let length = body.len().to_string();
        let once = config::Builder::new().retry_config(RetryConfig::disabled());
        let answer = self
            .client
            .start_job_run()
            .virtual_cluster_id(&self.virtual_cluster)
            .name(start.name)
            .client_token(start.token)
            .customize()
            .config_override(once)
            .mutate_request(move |request| {
                request.headers_mut().insert("content-length", length.clone());
                *request.body_mut() = SdkBody::from(body.clone());
            })
            .interceptor(guard.clone())
            .send()
            .await
            .map_err(|error| self.failed(&error, &guard, Api::Start))?;
        let missing = || Failure::incomplete("the answer to the start has no id");
        answer.id.filter(|id| !id.is_empty()).map(RunId).ok_or_else(missing)
    }

    /// One page.
    pub async fn page(&self, query: Query<'_>, next: Option<&str>) -> Result<Page, Failure> {
        // Who looks for one run has a place among the passes, and others wait for that.
        let patience = if query.name.is_some() { HASTY } else { PATIENT };
        self.pace.turn(Api::List, patience).await?;
        let guard = Guard::new(&self.guarding, LIST);
        let states = query.states.iter().map(|state| JobRunState::from(*state)).collect::<Vec<_>>();
        let after = query.created_after.map(|at| DateTime::from_secs(at.as_second()));
        let answer = self
            .client
            .list_job_runs()
            .virtual_cluster_id(&self.virtual_cluster)
            .set_name(query.name.map(str::to_owned))
            .set_states((!states.is_empty()).then_some(states))
            .set_created_after(after)
            .set_next_token(next.map(str::to_owned))
            .customize()
            .interceptor(guard.clone())
            .send()
            .await
            .map_err(|error| self.failed(&error, &guard, Api::List))?;
        let runs = answer.job_runs.unwrap_or_default().into_iter().filter_map(JobRun::of).collect();
        Ok(Page { runs, next: answer.next_token.filter(|token| !token.is_empty()) })
    }

    /// All pages.
    pub async fn list(&self, query: Query<'_>) -> Result<Vec<JobRun>, Failure> {
        let mut runs = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES {
            let page = self.page(query, next.as_deref()).await?;
            runs.extend(page.runs);
            match page.next {
                None => return Ok(runs),
                Some(token) if Some(&token) == next.as_ref() => break,
                Some(token) => next = Some(token),
            }
        }
        Err(Failure::incomplete("the list of job runs does not come to an end"))
    }

    /// One run.
    pub async fn describe(&self, id: &RunId) -> Result<JobRun, Failure> {
        self.pace.turn(Api::Describe, HASTY).await?;
        let guard = Guard::new(&self.guarding, DESCRIBE);
        let answer = self
            .client
            .describe_job_run()
            .virtual_cluster_id(&self.virtual_cluster)
            .id(&id.0)
            .customize()
            .interceptor(guard.clone())
            .send()
            .await
            .map_err(|error| self.failed(&error, &guard, Api::Describe))?;
        let missing = || Failure::incomplete("the answer has no job run");
        answer.job_run.and_then(JobRun::of).ok_or_else(missing)
    }

    /// Asks for the end of a run. It comes later, and may be another one.
    pub async fn cancel(&self, id: &RunId) -> Result<(), Failure> {
        self.pace.turn(Api::Cancel, HASTY).await?;
        let guard = Guard::new(&self.guarding, CANCEL);
        self.client
            .cancel_job_run()
            .virtual_cluster_id(&self.virtual_cluster)
            .id(&id.0)
            .customize()
            .interceptor(guard.clone())
            .send()
            .await
            .map(drop)
            .map_err(|error| self.failed(&error, &guard, Api::Cancel))
    }

    /// The virtual cluster itself.
    pub async fn describe_virtual_cluster(&self) -> Result<VirtualCluster, Failure> {
        self.pace.turn(Api::DescribeCluster, PATIENT).await?;
        let guard = Guard::new(&self.guarding, CLUSTER);
        let answer = self
            .client
            .describe_virtual_cluster()
            .id(&self.virtual_cluster)
            .customize()
            .interceptor(guard.clone())
            .send()
            .await
            .map_err(|error| self.failed(&error, &guard, Api::DescribeCluster))?;
        let missing = || Failure::incomplete("the answer has no virtual cluster");
        answer.virtual_cluster.map(VirtualCluster::of).ok_or_else(missing)
    }

    fn failed<E>(&self, error: &SdkError<E, HttpResponse>, guard: &Guard, api: Api) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = Failure::of(error, guard.was_sent());
        if failure.class == Class::Throttled {
            self.pace.throttled(api);
        }
        failure
    }
}
