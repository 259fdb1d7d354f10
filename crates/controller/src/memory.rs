//! What this process remembers of jobs between passes.
//!
//! Owns facts that are lost with the process and may be: what was sent, what was read back, the newest version of an
//! object that this process wrote. Nothing here is ever a proof that something did not happen. Entries go when their
//! job goes.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use spark_router_api::RoutedSparkJob;
use spark_router_core::{
    id::{Attempt, JobUid},
    step::Sends,
};

/// One job's entry.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Sends for the placement of `placement`.
    pub sends: Sends,
    /// Which placement `sends` and `fenced` are about: attempt and sequence number.
    pub placement: Option<(Attempt, u64)>,
    /// That attempt is proven to run nowhere.
    pub fenced: bool,
    /// When the status was last mirrored.
    pub mirrored_at: Option<Timestamp>,
    /// Passes that failed in a row.
    pub failures: u32,
    /// The creates of this placement that failed in a row.
    pub create_failures: u32,
    /// What this process wrote last, until the watch has caught up.
    pub written: Option<Arc<RoutedSparkJob>>,
    /// Our finalizer was taken off its application; the member's view may be behind.
    pub released: bool,
    /// Its end was seen: the dispatcher was told.
    pub ended: bool,
    /// Its application was deleted after its end; the member's view may be behind.
    pub retired: bool,
    /// What the dispatcher was told of its progress.
    pub told: Progress,
}

/// How far a placed job has come, as far as the ledger goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The member's operator has not submitted it.
    #[default]
    Placed,
    /// It has.
    Submitted,
    /// All its pods are there.
    Running,
}

impl Entry {
    /// Starts over for another placement; the first sight of one by this process knows nothing of its sends.
    pub fn turn_to(&mut self, placement: Option<(Attempt, u64)>) {
        if self.placement != placement {
            self.placement = placement;
            self.sends = Sends::default();
            self.fenced = false;
            self.retired = false;
            self.released = false;
            self.create_failures = 0;
            self.told = Progress::Placed;
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<JobUid, Entry>>);

impl Memory {
    /// A copy of a job's entry.
    pub fn of(&self, job: &JobUid) -> Entry {
        self.0.lock().get(job).cloned().unwrap_or_default()
    }

    /// Changes a job's entry.
    pub fn change<T>(&self, job: &JobUid, change: impl FnOnce(&mut Entry) -> T) -> T {
        change(self.0.lock().entry(job.clone()).or_default())
    }

    /// The job is gone.
    pub fn forget(&self, job: &JobUid) {
        self.0.lock().remove(job);
    }

    /// Keeps only jobs that are still there.
    pub fn retain(&self, keep: impl Fn(&JobUid) -> bool) {
        self.0.lock().retain(|uid, _| keep(uid));
    }

    /// The newer of what the watch shows and what this process wrote. Versions of one object are ordered by number,
    /// which Kubernetes guarantees for its own storage; one that is no number counts as older.
    pub fn newest(&self, job: &JobUid, shown: Arc<RoutedSparkJob>) -> Arc<RoutedSparkJob> {
        let version = |object: &RoutedSparkJob| {
            object.metadata.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok()).unwrap_or(0)
        };
        let mut entries = self.0.lock();
        let Some(entry) = entries.get_mut(job) else { return shown };
        match &entry.written {
            Some(written) if version(written) > version(&shown) => written.clone(),
            Some(_) => {
                entry.written = None;
                shown
            }
            None => shown,
        }
    }
}
