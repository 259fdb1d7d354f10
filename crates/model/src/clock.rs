//! Ticks as the core's times.
//!
//! Owns no state. The core is asked at one and the same moment: what happened lies as far back as its age says.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::age::Age;

/// One tick in the core's time.
const TICK: SignedDuration = SignedDuration::from_secs(1);

/// The time of every decision. What happened before lies as many ticks back as its age says.
pub(crate) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

pub(crate) fn ago(age: Age) -> Timestamp {
    now().checked_sub(TICK * i32::from(age)).unwrap_or(Timestamp::MIN)
}

/// A number of ticks.
pub(crate) fn ticks(ticks: Age) -> Duration {
    Duration::from_secs(u64::from(ticks))
}

/// Whether that time has come.
pub(crate) fn has_come(at: Timestamp) -> bool {
    at <= now()
}

/// How many ticks ago that was.
pub(crate) fn age_of(at: Timestamp) -> Age {
    let seconds = now().duration_since(at).as_secs();
    Age::try_from(seconds).unwrap_or(Age::MAX)
}
