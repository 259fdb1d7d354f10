//! What the owner of a job decides about its course: retries, deadlines, and what a lost member means.
//!
//! Owns no state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DurationText;

/// What becomes of a job whose member is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Wait (default): the job stays where it is and goes on when the member is back. FenceThenMove: when the member is
    /// back, a job that had not begun to run there goes elsewhere, once it is proven that nothing of it runs. AllowDuplicate: the job
    /// is run elsewhere at once, although it may still run on the lost member: only for jobs that may run twice. A move is
    /// no retry.
    #[serde(default)]
    pub on_member_lost: OnMemberLost,
}

/// See [`Failover::on_member_lost`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnMemberLost {
    /// Stay.
    #[default]
    Wait,
    /// Move once it is proven that nothing runs.
    FenceThenMove,
    /// Move at once.
    AllowDuplicate,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts altogether, the first included. Moves to another member do not count.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: u32,
    /// Failures that are tried again. Left out: all of them. Mind DriverLost: a driver whose pod is gone may have done its
    /// work.
    #[serde(default = "every_class")]
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub failures: Vec<RetryOn>,
    /// How long to wait before the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// A failure that may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RetryOn {
    /// The member's operator could not submit the application.
    SubmissionFailed,
    /// The member had no room after all, or the driver did not run within deadlines.start.
    Unschedulable,
    /// The driver's pod is gone.
    DriverLost,
    /// The application itself failed.
    ApplicationFailed,
}

/// The wait before an attempt: doubled each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// Before the second attempt, in Go's form: 30s, 5m. Left out: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<DurationText>,
    /// No wait is longer. Left out: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<DurationText>,
}

/// How long a job may take. Nothing is limited that is left out. While the clock of the router cannot be trusted, no
/// deadline takes effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobDeadlines {
    /// How long it may wait for a place, each time it waits, in Go's form: 2h, 90m. Then it fails with
    /// QueuedDeadlineExceeded. Time in which it is suspended does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<DurationText>,
    /// How long after its placement its driver must run. Then the attempt is stopped and counts as Unschedulable: it is
    /// tried again if spec.retry says so, and fails with StartDeadlineExceeded if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<DurationText>,
    /// How long an attempt may run. Then the job is stopped and fails with RunDeadlineExceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<DurationText>,
}

impl RetryOn {
    /// Every failure.
    pub const ALL: [Self; 4] =
        [Self::SubmissionFailed, Self::Unschedulable, Self::DriverLost, Self::ApplicationFailed];
}

fn one() -> u32 {
    1
}

fn every_class() -> Vec<RetryOn> {
    RetryOn::ALL.to_vec()
}
