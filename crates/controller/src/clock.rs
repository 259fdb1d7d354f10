//! The clock that deadlines are held against, and whether it may be believed.
//!
//! Owns what was read from both clocks within the last minute. The wall clock may be set while the process runs, or jump
//! when a frozen machine wakes up; the monotonic one is neither set nor goes on meanwhile. Where they have drifted apart,
//! deadlines hold their fire for a minute: whoever set the clock wrongly has that long to notice. A clock that was wrong
//! from the start of the process on is not found out.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

/// For how long a drift counts.
const WATCHED: Duration = Duration::from_mins(1);
/// What the clocks may differ by within that time: far more than a clock is slewed by, or a pass is kept from running
/// between its two readings.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);

/// The wall clock, watched.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    drift: Mutex<Drift>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), drift: Mutex::default() }
    }
}

impl Clock {
    /// The time, and until when deadlines hold their fire.
    pub fn now(&self) -> (Timestamp, Option<Timestamp>) {
        // Read under the lock: readings come in their order.
        let mut drift = self.drift.lock();
        let (monotonic, wall) = (self.started.elapsed(), Timestamp::now());
        (wall, drift.look(monotonic, wall))
    }
}

/// How the two clocks went, one reading after the other.
#[derive(Debug, Default)]
struct Drift {
    /// A reading of both that later ones are held against; at most a minute older than the last one.
    reference: Option<(Duration, Timestamp)>,
    /// On the monotonic clock.
    held_until: Option<Duration>,
}

impl Drift {
    /// Takes one reading, and says until when deadlines hold their fire. A gap between readings makes a drift in it count
    /// from now: nothing has acted on it before.
    fn look(&mut self, monotonic: Duration, wall: Timestamp) -> Option<Timestamp> {
        let (then, at) = *self.reference.get_or_insert((monotonic, wall));
        let passed = monotonic.saturating_sub(then);
        let shown = wall.duration_since(at);
        let apart = shown.saturating_sub(signed(passed));
        if apart.abs() > TOLERANCE {
            self.held_until = Some(monotonic.saturating_add(WATCHED));
            self.reference = Some((monotonic, wall));
        } else if passed >= WATCHED {
            self.reference = Some((monotonic, wall));
        }
        let left = self.held_until?.checked_sub(monotonic).filter(|left| !left.is_zero());
        if left.is_none() {
            self.held_until = None;
        }
        left.map(|left| wall.saturating_add(signed(left)).unwrap_or(Timestamp::MAX))
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings in seconds: monotonic, wall, and until when fire is held on the wall clock.
    fn read(readings: &[(u64, i64, Option<i64>)]) {
        let mut drift = Drift::default();
        let wall = |seconds| Timestamp::from_second(1_000_000 + seconds).unwrap();
        for (n, (monotonic, at, held)) in readings.iter().enumerate() {
            let until = drift.look(Duration::from_secs(*monotonic), wall(*at));
            assert_eq!(until, held.map(wall), "reading {n}");
        }
    }

    #[test]
    fn clocks_that_go_together_hold_nothing() {
        read(&[(0, 0, None), (1, 1, None), (59, 61, None), (3600, 3602, None)]);
    }

    #[test]
    fn a_clock_that_is_set_holds_fire_for_a_minute() {
        read(&[
            (0, 0, None),
            (10, 4000, Some(4060)),
            (69, 4059, Some(4060)),
            (70, 4060, None),
            (71, 4061, None),
        ]);
        read(&[(0, 0, None), (10, -4000, Some(-3940)), (70, -3940, None)]);
    }

    #[test]
    fn one_that_is_set_back_again_holds_it_anew() {
        read(&[
            (0, 0, None),
            (10, 4000, Some(4060)),
            (40, 40, Some(100)),
            (99, 99, Some(100)),
            (100, 100, None),
        ]);
    }

    #[test]
    fn a_jump_that_nobody_read_counts_from_when_it_is_read() {
        read(&[(0, 0, None), (600, 7800, Some(7860)), (660, 7860, None)]);
    }

    #[test]
    fn a_machine_that_was_frozen_holds_fire() {
        // The monotonic clock stood still.
        read(&[(5, 5, None), (6, 36_000, Some(36_060))]);
    }

    #[test]
    fn a_slow_drift_is_forgiven_and_steps_in_one_minute_add_up() {
        let slow: Vec<_> = (0..100).map(|n| (n * 60, i64::try_from(n).unwrap() * 61, None)).collect();
        read(&slow);
        read(&[(0, 0, None), (10, 11, None), (20, 22, None), (30, 33, Some(93))]);
    }

    #[test]
    fn the_real_clocks_agree() {
        let clock = Clock::default();
        let (first, held) = clock.now();
        assert_eq!(held, None);
        assert!(clock.now().0 >= first);
    }
}
