//! The lease: of several routers on one hub, one leads and the others stand by.
//!
//! Owns this process's word on whether it leads; `keeper` has the record and makes the calls. Must never say that this
//! process leads after its time is over, however late anybody asks: the clock is read with each question.

mod keeper;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::keeper::Keeper;
use crate::error::Error;

/// Whether this process leads. Clones tell the same.
#[derive(Clone)]
pub struct Lease(Arc<Shared>);

struct Shared {
    /// What the times below count from.
    origin: Instant,
    /// This process leads until then, in nanoseconds.
    until: AtomicU64,
    taken: CancellationToken,
    since: Mutex<Timestamp>,
    leading: Gauge,
}

/// The task that keeps the lease.
pub struct Keeping {
    /// Ends when the lease is lost or cannot be had: then nothing may go on. Or after [`Self::release`].
    pub task: JoinHandle<Result<(), Error>>,
    release: CancellationToken,
}

impl Lease {
    fn new(leading: Gauge) -> Self {
        leading.set(0);
        Self(Arc::new(Shared {
            origin: Instant::now(),
            until: AtomicU64::new(0),
            taken: CancellationToken::new(),
            since: Mutex::new(Timestamp::now()),
            leading,
        }))
    }

    /// Tries to take the lease and keeps it, under this name. `leading` shows whether this process leads.
    pub fn start(client: Client, namespace: &str, instance: &str, leading: Gauge) -> (Self, Keeping) {
        let lease = Self::new(leading);
        let release = CancellationToken::new();
        let keeper = Keeper::new(client, namespace, instance, lease.clone());
        let task = tokio::spawn(keeper.run(release.clone()));
        (lease, Keeping { task, release })
    }

    /// For a process that is alone on its hub: it leads without asking.
    pub fn unneeded(leading: Gauge) -> (Self, Keeping) {
        let lease = Self::new(leading);
        lease.extend(Duration::MAX);
        let release = CancellationToken::new();
        let asked = release.clone();
        let task = tokio::spawn(async move {
            asked.cancelled().await;
            Ok(())
        });
        (lease, Keeping { task, release })
    }

    /// Whether this process leads at this moment.
    pub fn holds(&self) -> bool {
        nanos(self.now()) < self.0.until.load(Ordering::Acquire)
    }

    /// As [`Self::holds`], in the form of the writers.
    ///
    /// # Errors
    /// [`Error::NotLeading`].
    pub fn check(&self) -> Result<(), Error> {
        if self.holds() { Ok(()) } else { Err(Error::NotLeading) }
    }

    /// Waits until this process leads. It does so once: who loses the lease ends.
    pub async fn taken(&self) {
        self.0.taken.cancelled().await;
    }

    /// Whether it ever did.
    fn has_led(&self) -> bool {
        self.0.taken.is_cancelled()
    }

    /// Since when this process leads; its start, as long as it does not.
    pub fn since(&self) -> Timestamp {
        *self.0.since.lock()
    }

    fn now(&self) -> Duration {
        self.0.origin.elapsed()
    }

    fn extend(&self, until: Duration) {
        self.0.until.store(nanos(until), Ordering::Release);
        if !self.has_led() {
            *self.0.since.lock() = Timestamp::now();
            self.0.leading.set(1);
            self.0.taken.cancel();
        }
    }

    fn end(&self) {
        self.0.until.store(0, Ordering::Release);
        self.0.leading.set(0);
    }
}

impl Keeping {
    /// Gives the lease back, so that another router need not wait until it lapses. Nothing may be written any more.
    pub async fn release(self) {
        self.release.cancel();
        // Whatever it ended with: this process ends too.
        let _ = self.task.await;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_leads_before_the_lease_is_taken_nor_after_its_time() {
        let leading = Gauge::default();
        let lease = Lease::new(leading.clone());
        assert!(!lease.holds() && matches!(lease.check(), Err(Error::NotLeading)));
        assert_eq!(leading.get(), 0);
        lease.extend(lease.now() + Duration::from_hours(1));
        lease.taken().await;
        assert!(lease.holds());
        assert_eq!(leading.get(), 1);

        let short = Lease::new(Gauge::default());
        let until = short.now() + Duration::from_millis(20);
        short.extend(until);
        while short.now() <= until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Nobody had to say so.
        assert!(!short.holds());
        short.taken().await;
    }

    #[tokio::test]
    async fn who_is_alone_leads_at_once_and_until_the_end() {
        let (lease, keeping) = Lease::unneeded(Gauge::default());
        lease.taken().await;
        lease.check().unwrap();
        keeping.release().await;
    }
}
