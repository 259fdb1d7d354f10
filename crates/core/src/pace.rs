//! How fast something may be fed: so many a minute, with a burst.
//!
//! Owns the state of one limit. The generic cell rate algorithm (ITU-T I.371): one timestamp says it all, no timer runs
//! and an idle limit costs nothing. A limit delays; it never says no.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A rate and its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Tokens a minute, at least 1.
    pub per_minute: u32,
    /// Tokens that may be taken at once after a quiet time, at least 1.
    pub burst: u32,
}

impl Pace {
    /// No limit that anybody would notice.
    pub const UNLIMITED: Self = Self { per_minute: 1_000_000, burst: 1_000_000 };

    /// Time between two tokens.
    fn interval(self) -> SignedDuration {
        SignedDuration::from_nanos(60_000_000_000 / i64::from(self.per_minute.max(1)))
    }

    /// How far ahead of the clock the tokens taken may be.
    fn slack(self) -> SignedDuration {
        let burst = i32::try_from(self.burst.max(1) - 1).unwrap_or(i32::MAX);
        self.interval().checked_mul(burst).unwrap_or(SignedDuration::MAX)
    }
}

/// Tokens of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When the tokens taken so far are paid off; nothing was taken yet: `None`.
    paid_off: Option<Timestamp>,
}

impl Bucket {
    /// When the next token is there: `now` or later.
    pub fn ready_at(&self, pace: Pace, now: Timestamp) -> Timestamp {
        let Some(paid_off) = self.paid_off else { return now };
        // A clock that was set back must not stop everything: nobody can owe more than one burst.
        let furthest = later(now, pace.slack().saturating_add(pace.interval()));
        let paid_off = paid_off.min(furthest);
        paid_off.checked_sub(pace.slack()).map_or(now, |ready| ready.max(now))
    }

    /// Takes a token, whether it is there or not.
    pub fn take(&mut self, pace: Pace, now: Timestamp) {
        let from = self.paid_off.map_or(now, |paid_off| paid_off.max(now));
        let furthest = later(now, pace.slack().saturating_add(pace.interval()));
        self.paid_off = Some(later(from, pace.interval()).min(furthest));
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// A time that much later.
pub(crate) fn after(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).map_or(Timestamp::MAX, |by| later(at, by))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000_000 + milliseconds).unwrap()
    }

    #[test]
    fn a_burst_goes_at_once_and_then_one_by_one() {
        let pace = Pace { per_minute: 60, burst: 3 };
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.ready_at(pace, at(0)), at(0));
            bucket.take(pace, at(0));
        }
        assert_eq!(bucket.ready_at(pace, at(0)), at(1000));
        bucket.take(pace, at(1000));
        assert_eq!(bucket.ready_at(pace, at(1000)), at(2000));
        assert_eq!(
            bucket.ready_at(pace, at(60_000)),
            at(60_000),
            "a quiet time gives a burst back, not more"
        );
    }

    #[test]
    fn a_clock_that_went_back_stops_nothing_for_longer_than_a_burst() {
        let pace = Pace { per_minute: 60, burst: 2 };
        let mut bucket = Bucket::default();
        bucket.take(pace, at(3_600_000));
        assert!(bucket.ready_at(pace, at(0)) <= at(1000));
    }

    proptest! {
        /// Nobody ever gets more than the burst and the rate allow, in any window.
        #[test]
        fn never_more_than_the_rate(gaps in prop::collection::vec(0i64..3000, 1..200), per_minute in 1u32..600, burst in 1u32..20) {
            let pace = Pace { per_minute, burst };
            let mut bucket = Bucket::default();
            let (mut now, mut taken) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                if bucket.ready_at(pace, at(now)) == at(now) {
                    bucket.take(pace, at(now));
                    taken.push(now);
                }
            }
            for (n, first) in taken.iter().enumerate() {
                for (m, last) in taken.iter().enumerate().skip(n) {
                    let allowed = i64::from(burst) + (last - first) * i64::from(per_minute) / 60_000 + 1;
                    prop_assert!(i64::try_from(m - n).unwrap() < allowed);
                }
            }
        }
    }
}
