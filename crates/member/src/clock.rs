//! Wall time that never jumps.
//!
//! Owns one reading of both clocks. Health compares times of one process with each other: a correction of the wall clock
//! must not make a member lost, or back.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: Timestamp,
    monotonic: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { wall: Timestamp::now(), monotonic: Instant::now() }
    }

    /// The wall time of the start plus what the monotonic clock has counted since.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.monotonic.elapsed()).unwrap_or(SignedDuration::MAX);
        self.wall.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}
