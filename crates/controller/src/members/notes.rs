//! Attempts that were let go of while they may still run, on their way into their member's status.
//!
//! Owns the channel. Whoever notes waits until the note is on record, because only then may the job be let go of.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use spark_router_api::member::AbandonedAttempt;
use spark_router_core::id::{Attempt, ClusterName, JobUid, Namespace, RemoteName};
use tokio::sync::{mpsc, oneshot};

/// Notes that may wait for the keeper.
const BACKLOG: usize = 256;

/// Notes attempts on their member. Clones share the way.
#[derive(Clone)]
pub struct Abandon(mpsc::Sender<Note>);

pub(super) type Inbox = mpsc::Receiver<Note>;

/// One attempt to be noted.
pub(super) struct Note {
    pub(super) cluster: ClusterName,
    pub(super) row: AbandonedAttempt,
    noted: Option<oneshot::Sender<()>>,
}

impl Abandon {
    pub(super) fn channel() -> (Self, Inbox) {
        let (sender, inbox) = mpsc::channel(BACKLOG);
        (Self(sender), inbox)
    }

    /// Notes an attempt, and waits until it is on record or its member is gone.
    pub async fn note(
        &self,
        cluster: &ClusterName,
        job: &JobUid,
        attempt: Attempt,
        namespace: &Namespace,
        name: &RemoteName,
    ) {
        let (noted, done) = oneshot::channel();
        let row = AbandonedAttempt {
            job_uid: job.as_str().to_owned(),
            attempt: attempt.0,
            namespace: namespace.as_str().to_owned(),
            remote_name: name.as_str().to_owned(),
            at: Time(Timestamp::now()),
        };
        let note = Note { cluster: cluster.clone(), row, noted: Some(noted) };
        if self.0.send(note).await.is_ok() {
            // An end without an answer means that the process is stopping; the job is still there then.
            let _ = done.await;
        }
    }
}

impl Note {
    /// Whether a row is this note.
    pub(super) fn is(&self, row: &AbandonedAttempt) -> bool {
        self.row.job_uid == row.job_uid && self.row.attempt == row.attempt
    }

    /// Answers whoever waits. Always false: the note need not be kept.
    pub(super) fn done(&mut self) -> bool {
        if let Some(noted) = self.noted.take() {
            // Nobody waits any more: then nobody needs to know.
            let _ = noted.send(());
        }
        false
    }
}
