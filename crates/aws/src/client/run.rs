//! Job runs and virtual clusters as plain values.
//!
//! Owns no state. Only what is looked at later is kept: what a run was started with is not.

use std::collections::BTreeMap;

use aws_sdk_emrcontainers::types;
use jiff::Timestamp;

/// A run's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub String);

/// Longest text that is kept, in characters; AWS's own texts are a quarter of it.
const TEXT: usize = 1024;
/// More tags than this no resource has.
const TAGS: usize = 50;

/// A job run as AWS shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// Its id.
    pub id: RunId,
    /// Its name; empty if it has none.
    pub name: String,
    /// The token that it was started with.
    pub token: String,
    /// Its state, in AWS's own word: one that is not known is kept as it is.
    pub state: String,
    /// What AWS says about it.
    pub details: Option<String>,
    /// Why it failed, in AWS's own word.
    pub failure: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Tries of its driver, where AWS retries it.
    pub tries: Option<u32>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl JobRun {
    /// `None` for a row without an id, which nothing can be said of.
    pub(super) fn of(run: types::JobRun) -> Option<Self> {
        let tags = run.tags.unwrap_or_default().into_iter();
        let tries = run.retry_policy_execution.map(|tries| tries.current_attempt_count);
        Some(Self {
            id: RunId(short(run.id?)),
            name: short(run.name.unwrap_or_default()),
            token: short(run.client_token.unwrap_or_default()),
            state: run.state.map(|state| short(state.as_str().to_owned())).unwrap_or_default(),
            details: run.state_details.map(short),
            failure: run.failure_reason.map(|reason| short(reason.as_str().to_owned())),
            created_at: run.created_at.and_then(|at| time(&at)),
            finished_at: run.finished_at.and_then(|at| time(&at)),
            tries: tries.and_then(|tries| u32::try_from(tries).ok()),
            tags: tags.take(TAGS).map(|(key, value)| (short(key), short(value))).collect(),
        })
    }
}

/// A virtual cluster as AWS shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualCluster {
    /// Its ARN, which is who it is.
    pub arn: String,
    /// Its state, in AWS's own word.
    pub state: String,
    /// The EKS cluster below it, and the namespace there.
    pub eks: Option<(String, String)>,
    /// Most runs in RUNNING, and most in PENDING and SUBMITTED.
    pub limits: (Option<u32>, Option<u32>),
    /// How many there are of each. `None`: it does not say.
    pub used: (Option<u32>, Option<u32>),
}

impl VirtualCluster {
    pub(super) fn of(cluster: types::VirtualCluster) -> Self {
        let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
        let limits = cluster.scheduler_configuration.as_ref();
        let used = cluster.scheduler_status.as_ref();
        let eks = cluster.container_provider.and_then(|provider| {
            let info = provider.info?.as_eks_info().ok()?.namespace.clone()?;
            Some((short(provider.id), short(info)))
        });
        Self {
            arn: short(cluster.arn.unwrap_or_default()),
            state: cluster.state.map(|state| short(state.as_str().to_owned())).unwrap_or_default(),
            eks,
            limits: (
                number(limits.and_then(types::SchedulerConfiguration::max_concurrent_job_runs)),
                number(limits.and_then(types::SchedulerConfiguration::max_in_queue_job_runs)),
            ),
            used: (
                number(used.map(types::SchedulerStatus::current_concurrent_job_runs)),
                number(used.map(types::SchedulerStatus::current_in_queue_job_runs)),
            ),
        }
    }
}

fn short(text: String) -> String {
    // Bytes bound characters from above.
    if text.len() <= TEXT { text } else { text.chars().take(TEXT).collect() }
}

fn time(at: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_keeps_the_words_of_aws_and_nothing_of_what_it_was_started_with() {
        let driver = types::SparkSubmitJobDriver::builder().entry_point("s3://b/x.py").build().unwrap();
        let driver = types::JobDriver::builder().spark_submit_job_driver(driver).build();
        let run = types::JobRun::builder()
            .id("a1")
            .name("daily")
            .state("HIBERNATING".into())
            .failure_reason("WHATEVER".into())
            .created_at(aws_smithy_types::DateTime::from_secs(1_700_000_000))
            .job_driver(driver)
            .tags("k", "v".repeat(5000))
            .build();
        let run = JobRun::of(run).unwrap();
        assert_eq!((run.state.as_str(), run.failure.as_deref()), ("HIBERNATING", Some("WHATEVER")));
        assert_eq!(run.created_at, Timestamp::from_second(1_700_000_000).ok());
        assert_eq!(run.tags["k"].len(), TEXT);
        assert!(!format!("{run:?}").contains("x.py"));
        assert_eq!(JobRun::of(types::JobRun::builder().name("no id").build()), None);
    }
}
