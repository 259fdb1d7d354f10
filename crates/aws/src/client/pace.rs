//! How fast an account may be called in a region.
//!
//! Owns the buckets of tokens ([`crate::bucket`]), shared by all members of the process: AWS counts calls by account and
//! region, whoever makes them. Who finds no token waits, for a bounded time; a start is for its caller to put off.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::failure::Failure;
use crate::bucket::{Api, Buckets, Key};

/// The limits of one account and region.
#[derive(Clone)]
pub struct Pace {
    buckets: Arc<Mutex<Buckets>>,
    account: Arc<str>,
    region: Arc<str>,
}

impl Pace {
    pub(super) fn new(buckets: Arc<Mutex<Buckets>>, account: &str, region: &str) -> Self {
        Self { buckets, account: account.into(), region: region.into() }
    }

    /// A token for one call.
    ///
    /// # Errors
    /// When there is one, if not now.
    pub fn take(&self, api: Api) -> Result<(), Timestamp> {
        self.buckets.lock().take(&self.key(api), Timestamp::now())
    }

    /// Waits for a token, but not for longer than this.
    pub(crate) async fn turn(&self, api: Api, patience: Duration) -> Result<(), Failure> {
        let started = tokio::time::Instant::now();
        while let Err(at) = self.take(api) {
            let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            if started.elapsed() + wait > patience {
                return Err(Failure::too_many());
            }
            // A clock that jumps must not make it spin.
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
        Ok(())
    }

    /// AWS asked for fewer calls.
    pub(super) fn throttled(&self, api: Api) {
        self.buckets.lock().throttled(&self.key(api), Timestamp::now());
    }

    fn key(&self, api: Api) -> Key {
        Key { account: self.account.clone(), region: self.region.clone(), api }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("account", &self.account)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
