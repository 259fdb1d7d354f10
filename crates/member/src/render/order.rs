//! An order: one attempt of one job, as a member is asked to run it.
//!
//! Owns no state.

use std::{sync::Arc, time::Duration};

use spark_router_api::job::emr::EmrJob;
use spark_router_core::id::{Attempt, JobKey, JobUid, Namespace, QueueName, RemoteName};

use super::QueueParts;

/// What the controller asks a member to run: one attempt, placed and recorded on the hub.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The job.
    pub job: JobUid,
    /// Its place on the hub.
    pub key: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// The queue that placed it, and the placement's number there.
    pub queue: QueueName,
    /// See `queue`.
    pub seq: u64,
    /// Where it goes on the member.
    pub namespace: Namespace,
    /// Its name there, as stored in the placement.
    pub name: RemoteName,
    /// The job's template as the user wrote it: `{apiVersion, kind, metadata, spec}`.
    pub template: Arc<serde_json::Value>,
    /// The queue of the member's batch scheduler that it is handed to. `None`: the template's own, if any.
    pub remote_queue: Option<Arc<str>>,
    /// What the queue adds to the template. `None`: nothing is known of it, and nothing is added.
    pub parts: Option<Arc<QueueParts>>,
    /// What the job says to EMR on EKS alone.
    pub emr: Option<Arc<EmrJob>>,
    /// How long its driver may take to run. The router itself sees to it; a member may have a limit of its own that must
    /// not come earlier.
    pub start_deadline: Option<Duration>,
}
