//! How long a token lives.
//!
//! Owns no state. A token's age is counted by two clocks, and the older one counts: the wall clock is what AWS goes by but
//! may be set, the steady one cannot be set but stands still while the machine sleeps.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// How old tokens become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Another one is made then.
    pub renew_after: Duration,
    /// It is not sent any more then: authenticators take it for fifteen minutes, by a clock that may be before ours.
    pub use_until: Duration,
    /// One that was refused younger than this was not refused for its age: the next is not made at once.
    pub refused_again: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            renew_after: Duration::from_mins(10),
            use_until: Duration::from_mins(12),
            refused_again: Duration::from_secs(30),
        }
    }
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    pub(super) steady: Instant,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { wall: Timestamp::now(), steady: Instant::now() }
    }
}

/// When a token was made, and when the credentials end that signed it: it ends with them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) made: Moment,
    pub(super) ends: Option<Timestamp>,
}

/// A wall clock that is set back by more than this makes every age a guess.
const SET_BACK: SignedDuration = SignedDuration::from_mins(1);
/// Credentials that end are replaced this long before.
const BEFORE_END: SignedDuration = SignedDuration::from_mins(1);

impl Life {
    /// `None`: not known.
    fn age(&self, now: Moment) -> Option<Duration> {
        let wall = now.wall.duration_since(self.made.wall);
        if wall < -SET_BACK {
            return None;
        }
        let steady = now.steady.saturating_duration_since(self.made.steady);
        Some(steady.max(Duration::try_from(wall).unwrap_or_default()))
    }

    /// Whether another one should be made.
    pub(super) fn is_due(&self, now: Moment, ages: &Ages, refused: bool) -> bool {
        let Some(age) = self.age(now) else { return true };
        // Credentials that have little time from the start are no reason to make one token after the other.
        let is_ending = self.ends.is_some_and(|ends| ends.duration_since(now.wall) <= BEFORE_END);
        age >= ages.renew_after || ((refused || is_ending) && age >= ages.refused_again)
    }

    /// Whether it may be sent.
    pub(super) fn is_usable(&self, now: Moment, ages: &Ages) -> bool {
        let is_young = self.age(now).is_some_and(|age| age < ages.use_until);
        is_young && self.ends.is_none_or(|ends| now.wall < ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGES: Ages = Ages {
        renew_after: Duration::from_mins(10),
        use_until: Duration::from_mins(12),
        refused_again: Duration::from_secs(30),
    };

    /// Now, and a function of seconds by each clock from it.
    fn clocks() -> (Moment, impl Fn(i64, u64) -> Moment) {
        let start = Moment::now();
        let later = move |wall: i64, steady: u64| Moment {
            wall: start.wall + SignedDuration::from_secs(wall),
            steady: start.steady + Duration::from_secs(steady),
        };
        (start, later)
    }

    #[test]
    fn a_token_is_renewed_long_before_it_is_not_sent_any_more() {
        let (made, at) = clocks();
        let life = Life { made, ends: None };
        for (wall, steady, due, usable) in [
            (0, 0, false, true),
            (599, 599, false, true),
            (600, 600, true, true),
            (719, 719, true, true),
            (720, 720, true, false),
            // The machine slept.
            (3600, 5, true, false),
            // The clock was set back: by little it is older by the other clock, by more its age is a guess.
            (-30, 720, true, false),
            (-30, 10, false, true),
            (-61, 10, true, false),
            // Set forward: AWS may well go by that.
            (800, 10, true, false),
        ] {
            let now = at(wall, steady);
            let is = (life.is_due(now, &AGES, false), life.is_usable(now, &AGES));
            assert_eq!(is, (due, usable), "{wall} {steady}");
        }
    }

    #[test]
    fn a_refused_one_is_renewed_at_once_unless_it_is_new() {
        let (made, at) = clocks();
        let life = Life { made, ends: None };
        assert!(!life.is_due(at(29, 29), &AGES, true));
        assert!(life.is_due(at(30, 30), &AGES, true));
        assert!(life.is_usable(at(30, 30), &AGES), "until there is another one");
    }

    #[test]
    fn a_token_ends_with_the_credentials_that_signed_it() {
        let (made, at) = clocks();
        let life = Life { made, ends: Some(at(200, 0).wall) };
        assert!(!life.is_due(at(139, 139), &AGES, false));
        assert!(life.is_due(at(140, 140), &AGES, false));
        assert!(life.is_usable(at(199, 199), &AGES) && !life.is_usable(at(200, 200), &AGES));
        let short = Life { made, ends: Some(at(40, 0).wall) };
        assert!(!short.is_due(at(29, 29), &AGES, false), "not one after the other");
        assert!(short.is_due(at(30, 30), &AGES, false));
    }
}
