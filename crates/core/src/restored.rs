//! Whether the hub's records were put back to an earlier state, by what members show.
//!
//! Owns no state. A placement is on the hub's record before its application is created, and carries a number that only
//! counts up in its queue. So an application of this hub that no record knows, with a number above every one that the
//! records know of, was created by records that are there no more: they were put back, or another hub uses this one's id.
//! Must never take a number that the queue has given out for a sign: that is what is left of a job whose finalizer was
//! taken away by hand, and it would stop the queue at each start.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;

use crate::{
    id::{ClusterName, MemberIdentity, Namespace, QueueName, RemoteName, RemoteUid},
    job::Record,
    observe::Ownership,
};

/// An application of this hub as its member shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The member.
    pub cluster: ClusterName,
    /// Who that is.
    pub identity: MemberIdentity,
    /// Where it is there.
    pub namespace: Namespace,
    /// Its name there.
    pub name: RemoteName,
    /// Its uid there.
    pub uid: RemoteUid,
    /// Whose it is, as written inside the create.
    pub owner: Ownership,
    /// The queue that it was placed from.
    pub queue: QueueName,
    /// When it was created, by the member's clock.
    pub created: Option<Timestamp>,
    /// It is over.
    pub over: bool,
}

/// What the hub's own records say of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The highest number that it gave out, as far as they know.
    pub seq: u64,
    /// When the queue was created: a queue of that name before it had numbers of its own.
    pub created: Timestamp,
}

/// The queues' accounts as a leader began with them. What it gives out later is not in them: until every member was
/// looked at, a number may have been given out twice.
pub type Accounts = BTreeMap<QueueName, Account>;

impl Shown {
    /// Whether its number is above all that the records know of. Alone it is no sign: its job may know it.
    pub fn is_beyond(&self, accounts: &Accounts) -> bool {
        accounts.get(&self.queue).is_some_and(|account| {
            self.owner.seq > account.seq && self.created.is_some_and(|at| at >= account.created)
        })
    }

    /// Whether the record of its job, if that is still there, knows it. What was placed is on record until the job is
    /// gone, by its attempt; a number that was taken back is used again elsewhere, but then nothing was created by it.
    pub fn is_known_to(&self, record: Option<&Record>) -> bool {
        let Some(record) = record else { return false };
        let placement = record.placement.as_ref();
        let Some(highest) = record.attempt.max(placement.map(|placement| placement.attempt)) else {
            return false;
        };
        match self.owner.attempt.cmp(&highest) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => {
                let is_here = |identity: &MemberIdentity, namespace: &Namespace| {
                    self.identity == *identity && self.namespace == *namespace
                };
                placement.is_none_or(|p| p.attempt != highest || is_here(&p.identity, &p.namespace))
                    || record
                        .past
                        .iter()
                        .any(|past| past.attempt == highest && is_here(&past.identity, &past.namespace))
            }
        }
    }
}

/// Why the jobs of a queue hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Jobs created up to then hold: they may have been placed, and even be over, in the state that is lost. Younger ones
    /// go on.
    pub before: Timestamp,
    /// The highest number that a member shows and no record knows: none up to it is given out again.
    pub seq: u64,
    /// What was seen where, in words.
    pub seen: String,
}

impl Restored {
    /// Whether a job holds that was created then.
    pub fn holds(&self, created: Timestamp) -> bool {
        created <= self.before
    }
}

/// The sign in words: what is shown, and what the records know.
pub fn words(cluster: &str, application: &str, job: &str, seq: u64, known: u64) -> String {
    format!(
        "{cluster} shows application {application} of job {job}, placement {seq} of the queue, but the hub's records end \
         at placement {known}: the hub was put back to an earlier state, or another hub has its id"
    )
}

/// The command that lets a queue's jobs go.
pub fn command(queue: &str) -> String {
    format!("spark-router acknowledge {queue}")
}

#[cfg(test)]
#[path = "restored_tests.rs"]
mod tests;
