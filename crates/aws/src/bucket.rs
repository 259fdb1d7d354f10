//! How fast AWS may be called: a bucket of tokens for each (account, region, API), shared by all members in it.
//!
//! Owns the state of these limits and nothing else: the time is handed in. AWS does not publish its rates, so a bucket
//! begins with a guess that can be configured, halves when AWS asks for fewer calls, and recovers slowly. It delays; it
//! never says no.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

/// A rate and its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Thousandths of a call a second, at least 1.
    pub milli_per_second: u32,
    /// Calls at once after a quiet time, at least 1.
    pub burst: u32,
}

/// The calls that are limited apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// StartJobRun.
    Start,
    /// CancelJobRun.
    Cancel,
    /// DescribeJobRun.
    Describe,
    /// DescribeVirtualCluster: by it members are probed, and looks at runs must not make a member look silent.
    DescribeCluster,
    /// ListJobRuns.
    List,
}

impl Api {
    /// Every one of them.
    pub const ALL: [Self; 5] = [Self::Start, Self::Cancel, Self::Describe, Self::DescribeCluster, Self::List];

    /// What is asked of AWS where nobody says otherwise: far less of what changes something than of what reads.
    pub fn limit(self) -> Limit {
        match self {
            Self::Start => Limit { milli_per_second: 1000, burst: 10 },
            Self::Cancel => Limit { milli_per_second: 500, burst: 5 },
            Self::Describe | Self::DescribeCluster | Self::List => {
                Limit { milli_per_second: 5000, burst: 20 }
            }
        }
    }
}

/// Millionths of a call.
const TOKEN: u64 = 1_000_000;
/// How long AWS must not have complained until the rate is raised by one step.
const STEP: SignedDuration = SignedDuration::from_secs(30);
/// Steps from nothing to the full rate.
const STEPS: u64 = 16;
/// The rate is never below this part of the full one.
const LEAST: u64 = 32;

/// The tokens of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    limit: Limit,
    /// Millionths of a call.
    level: u64,
    /// Millionths of a call a second.
    rate: u64,
    filled_at: Option<Timestamp>,
    /// Since when the present rate holds.
    rated_at: Option<Timestamp>,
}

impl Bucket {
    /// A full one.
    pub fn new(limit: Limit) -> Self {
        let bucket = Self { limit, level: 0, rate: full_rate(limit), filled_at: None, rated_at: None };
        Self { level: bucket.room(), ..bucket }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When the next one will be there, where there is none.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.fill(now);
        if let Some(rest) = self.level.checked_sub(TOKEN) {
            self.level = rest;
            return Ok(());
        }
        let missing = u128::from(TOKEN.saturating_sub(self.level)) * 1_000_000_000;
        let wait = missing.div_ceil(u128::from(self.rate.max(1)));
        let wait = SignedDuration::from_nanos(i64::try_from(wait).unwrap_or(i64::MAX));
        Err(now.checked_add(wait).unwrap_or(Timestamp::MAX))
    }

    /// AWS asked for fewer calls: half the rate from now on, and nothing that was saved up.
    pub fn throttled(&mut self, now: Timestamp) {
        self.fill(now);
        self.rate = (self.rate / 2).max(full_rate(self.limit) / LEAST).max(1);
        self.level = 0;
        self.rated_at = Some(now);
    }

    /// The present part of the full rate, in hundredths.
    pub fn percent(&self) -> u64 {
        self.rate.saturating_mul(100) / full_rate(self.limit)
    }

    /// Most that can be saved up at the present rate.
    fn room(&self) -> u64 {
        let full = u64::from(self.limit.burst.max(1)) * TOKEN;
        let part = u128::from(full) * u128::from(self.rate) / u128::from(full_rate(self.limit));
        u64::try_from(part).unwrap_or(full).clamp(TOKEN, full)
    }

    fn fill(&mut self, now: Timestamp) {
        let Some(filled_at) = self.filled_at.filter(|at| *at <= now) else {
            // The first time, or a clock that was set back: nothing is owed for time that nobody measured.
            self.filled_at = Some(now);
            self.rated_at = Some(self.rated_at.map_or(now, |at| at.min(now)));
            return;
        };
        let nanos = u128::try_from(now.duration_since(filled_at).as_nanos()).unwrap_or(0);
        let gained = u64::try_from(nanos * u128::from(self.rate) / 1_000_000_000).unwrap_or(u64::MAX);
        if gained > 0 {
            // By the rate that held: a higher one counts from now on only.
            self.level = self.level.saturating_add(gained).min(self.room());
            self.filled_at = Some(now);
        }
        self.recover(now);
    }

    fn recover(&mut self, now: Timestamp) {
        let full = full_rate(self.limit);
        let Some(rated_at) = self.rated_at.filter(|_| self.rate < full) else { return };
        let quiet = now.duration_since(rated_at).as_secs();
        let steps = u64::try_from(quiet / STEP.as_secs()).unwrap_or(0);
        if steps > 0 {
            let more = (full / STEPS).max(1).saturating_mul(steps);
            self.rate = self.rate.saturating_add(more).min(full);
            self.rated_at = Some(now);
        }
    }
}

fn full_rate(limit: Limit) -> u64 {
    u64::from(limit.milli_per_second.max(1)) * (TOKEN / 1000)
}

/// Whose limit a call counts against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The account.
    pub account: Arc<str>,
    /// The region.
    pub region: Arc<str>,
    /// The call.
    pub api: Api,
}

/// All limits.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    limits: BTreeMap<Api, Limit>,
    all: BTreeMap<Key, Bucket>,
}

impl Buckets {
    /// With these instead of the usual limits.
    pub fn new(limits: BTreeMap<Api, Limit>) -> Self {
        Self { limits, all: BTreeMap::new() }
    }

    /// See [`Bucket::take`].
    ///
    /// # Errors
    /// When the next token will be there, where there is none.
    pub fn take(&mut self, key: &Key, now: Timestamp) -> Result<(), Timestamp> {
        self.of(key).take(now)
    }

    /// See [`Bucket::throttled`].
    pub fn throttled(&mut self, key: &Key, now: Timestamp) {
        self.of(key).throttled(now);
    }

    fn of(&mut self, key: &Key) -> &mut Bucket {
        let limit = self.limits.get(&key.api).copied().unwrap_or_else(|| key.api.limit());
        self.all.entry(key.clone()).or_insert_with(|| Bucket::new(limit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000_000 + milliseconds).unwrap()
    }

    /// How many of `calls` in a row, all at once, get a token.
    fn at_once(bucket: &mut Bucket, now: i64) -> usize {
        (0..1000).take_while(|_| bucket.take(at(now)).is_ok()).count()
    }

    #[test]
    fn the_usual_limits() {
        for (api, burst, next) in
            [(Api::Start, 10, 1000), (Api::Cancel, 5, 2000), (Api::Describe, 20, 200), (Api::List, 20, 200)]
        {
            let mut bucket = Bucket::new(api.limit());
            assert_eq!(at_once(&mut bucket, 0), burst, "{api:?}");
            assert_eq!(bucket.take(at(0)), Err(at(next)), "{api:?}");
            assert_eq!(bucket.take(at(next)), Ok(()), "{api:?}");
            assert_eq!(at_once(&mut bucket, 3_600_000), burst, "a quiet time gives a burst back, not more");
        }
    }

    #[test]
    fn it_halves_when_aws_complains_and_comes_back_slowly() {
        let mut bucket = Bucket::new(Api::Start.limit());
        bucket.throttled(at(0));
        assert_eq!((bucket.percent(), bucket.take(at(0))), (50, Err(at(2000))));
        bucket.throttled(at(0));
        assert_eq!((bucket.percent(), bucket.take(at(0))), (25, Err(at(4000))));
        for _ in 0..20 {
            bucket.throttled(at(0));
        }
        assert_eq!(bucket.percent(), 3, "never to nothing");
        let mut before = bucket.percent();
        for step in 1..=16 {
            let _ = bucket.take(at(step * 30_000));
            assert!(bucket.percent() > before && bucket.percent() - before <= 7, "step {step}");
            before = bucket.percent();
        }
        assert_eq!(bucket.percent(), 100);
    }

    #[test]
    fn a_clock_that_went_back_gives_nothing_and_stops_nothing() {
        let mut bucket = Bucket::new(Api::Start.limit());
        assert_eq!(at_once(&mut bucket, 3_600_000), 10);
        assert_eq!(at_once(&mut bucket, 0), 0);
        assert_eq!(bucket.take(at(1000)), Ok(()));
        assert_eq!(at_once(&mut bucket, 1000), 0);
    }

    #[test]
    fn accounts_regions_and_calls_do_not_share_and_members_do() {
        let key =
            |account: &str, region: &str, api| Key { account: account.into(), region: region.into(), api };
        let mut buckets =
            Buckets::new(BTreeMap::from([(Api::Start, Limit { milli_per_second: 1000, burst: 1 })]));
        assert_eq!(buckets.take(&key("1", "eu", Api::Start), at(0)), Ok(()));
        assert_eq!(buckets.take(&key("1", "eu", Api::Start), at(0)), Err(at(1000)));
        for other in [key("2", "eu", Api::Start), key("1", "us", Api::Start), key("1", "eu", Api::Cancel)] {
            assert_eq!(buckets.take(&other, at(0)), Ok(()), "{other:?}");
        }
        buckets.throttled(&key("1", "eu", Api::List), at(0));
        assert!(buckets.take(&key("1", "eu", Api::List), at(0)).is_err());
        assert_eq!(buckets.take(&key("1", "eu", Api::Describe), at(0)), Ok(()));
    }

    proptest! {
        /// Never more than the burst and the rate allow, in any window, whatever AWS says meanwhile.
        #[test]
        fn never_above_the_rate(
            gaps in prop::collection::vec((0i64..3000, 0u8..20), 1..200),
            milli in 100u32..10_000, burst in 1u32..30,
        ) {
            let mut bucket = Bucket::new(Limit { milli_per_second: milli, burst });
            let (mut now, mut taken) = (0, Vec::new());
            for (gap, event) in gaps {
                now += gap;
                if event == 0 {
                    bucket.throttled(at(now));
                }
                if bucket.take(at(now)).is_ok() {
                    taken.push(now);
                }
            }
            for (n, first) in taken.iter().enumerate() {
                for (m, last) in taken.iter().enumerate().skip(n) {
                    let allowed = i64::from(burst) + (last - first) * i64::from(milli) / 1_000_000;
                    prop_assert!(i64::try_from(m - n).unwrap() < allowed + 1, "{} in {} ms", m - n + 1, last - first);
                }
            }
        }

        /// Whoever waits as long as he is told gets a token then.
        #[test]
        fn the_time_told_is_the_time(gaps in prop::collection::vec((0i64..500, any::<bool>()), 1..50)) {
            let mut bucket = Bucket::new(Limit { milli_per_second: 700, burst: 3 });
            let mut now = at(0);
            for (gap, complains) in gaps {
                now = now.checked_add(SignedDuration::from_millis(gap)).unwrap();
                if complains {
                    bucket.throttled(now);
                }
                if let Err(until) = bucket.take(now) {
                    prop_assert!(until > now);
                    prop_assert_eq!(bucket.take(until), Ok(()));
                    now = until;
                }
            }
        }

        /// However often AWS complained: after a while without complaints everything is as before.
        #[test]
        fn it_recovers_to_the_full_rate(complaints in 1usize..50, milli in 1u32..10_000, burst in 1u32..30) {
            let mut bucket = Bucket::new(Limit { milli_per_second: milli, burst });
            for _ in 0..complaints {
                bucket.throttled(at(0));
            }
            prop_assert!(bucket.percent() <= 50 || milli == 1);
            let mut now = 0;
            while now <= 16 * 30_000 {
                let _ = bucket.take(at(now));
                now += 1000;
            }
            prop_assert_eq!(bucket.percent(), 100);
            // And what can be saved up.
            let long = now + i64::from(burst) * 1_000_000 / i64::from(milli) * 2 + 10_000;
            let _ = bucket.take(at(long));
            bucket.fill(at(long * 2));
            prop_assert_eq!(bucket.level, u64::from(burst) * TOKEN);
        }
    }
}
