//! Whether a member takes jobs only to fail them before their drivers start.
//!
//! Owns the row of failures of one member. After several in a row, of jobs of more than one namespace, the breaker opens:
//! the member gets nothing new for a while, then one job to see, then another after a longer while, until a driver
//! starts there. Must never open for what one namespace alone does: its jobs may be at fault themselves. Must never stay
//! shut away from a job that would start: whatever became of the last one that was let through, the next one goes after a
//! bounded time.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    id::{JobUid, Namespace},
    pace::after,
};

/// Failures in a row that open the breaker.
pub const IN_A_ROW: u32 = 5;
/// Of these, one namespace's count for at most so many: the others are of other namespaces.
const OF_ONE: u32 = 3;
/// How long nothing goes there: at first and at most.
const CLOSED_FOR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(10));
/// A job that was let through and of which nothing is heard for this long is not waited for any more.
const TRIES_FOR: Duration = Duration::from_mins(5);

/// What became of an attempt's driver, as far as it speaks for or against its member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Nothing is known, or it was the router's own doing.
    #[default]
    Unknown,
    /// It ran.
    Made,
    /// It never ran, and the attempt failed for that.
    Failed,
}

/// What is shown of a breaker that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Since when.
    pub since: Timestamp,
    /// Nothing goes there before this; `None`: the next job does.
    pub until: Option<Timestamp>,
    /// A job was let through, and nothing is known of its driver yet.
    pub is_trying: bool,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Jobs go there: the rule.
    Closed,
    /// They do not, or one at a time.
    Open(Broken),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    /// Failures since the last start, by namespace.
    row: BTreeMap<Namespace, u32>,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    since: Timestamp,
    /// Nothing goes there before this.
    until: Timestamp,
    /// That it has come was told.
    is_told: bool,
    /// How long the present wait is; the next one is longer.
    wait: Duration,
    /// The job that was let through last, until it is known what became of it.
    trying: Option<JobUid>,
}

impl Breaker {
    /// One that is open, and stays so: for those who only show it.
    pub(crate) fn opened(since: Timestamp) -> Self {
        let open = Open { since, until: Timestamp::MAX, is_told: true, wait: CLOSED_FOR.1, trying: None };
        Self { row: BTreeMap::new(), open: Some(open) }
    }

    /// Whether it is closed: the rule.
    pub fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// How it stands.
    pub fn state(&self, now: Timestamp) -> State {
        let Some(open) = &self.open else { return State::Closed };
        let until = Some(open.until).filter(|until| now < *until);
        State::Open(Broken { since: open.since, until, is_trying: open.trying.is_some() })
    }

    /// Until when it keeps jobs away, where it does now.
    pub fn bars_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.until).filter(|until| now < *until)
    }

    /// A job goes there.
    pub fn let_through(&mut self, job: &JobUid, now: Timestamp) {
        if let Some(open) = &mut self.open {
            open.trying = Some(job.clone());
            (open.until, open.is_told) = (after(now, TRIES_FOR), false);
        }
    }

    /// A driver started there. Whether that closed the breaker.
    pub fn started(&mut self) -> bool {
        self.row.clear();
        self.open.take().is_some()
    }

    /// An attempt there failed before its driver started. Whether that opened the breaker.
    ///
    /// While it is open, only the job that was let through last says anything: the others went there before.
    pub fn failed(&mut self, job: &JobUid, namespace: &Namespace, now: Timestamp) -> bool {
        if let Some(open) = &mut self.open {
            if open.trying.take_if(|trying| trying == job).is_some() {
                open.wait = open.wait.saturating_mul(2).min(CLOSED_FOR.1);
                (open.until, open.is_told) = (after(now, open.wait), false);
            }
            return false;
        }
        let count = self.row.entry(namespace.clone()).or_default();
        *count = count.saturating_add(1).min(OF_ONE);
        if self.row.values().sum::<u32>() < IN_A_ROW {
            return false;
        }
        self.row.clear();
        let wait = CLOSED_FOR.0;
        let until = after(now, wait);
        self.open = Some(Open { since: now, until, is_told: false, wait, trying: None });
        true
    }

    /// A job comes to nothing without a word on its driver. Whether another may be let through for it.
    pub fn gave_up(&mut self, job: &JobUid, now: Timestamp) -> bool {
        let Some(open) = &mut self.open else { return false };
        let was_it = open.trying.take_if(|trying| trying == job).is_some();
        if was_it {
            (open.until, open.is_told) = (now, true);
        }
        was_it
    }

    /// When a job may be let through, as long as that was not told.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.open.as_ref().filter(|open| !open.is_told).map(|open| open.until)
    }

    /// Whether a job may be let through now and that was not told before.
    pub fn wakes(&mut self, now: Timestamp) -> bool {
        let due = |open: &&mut Open| !open.is_told && open.until <= now;
        self.open.as_mut().filter(due).map(|open| open.is_told = true).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    impl Breaker {
        fn bars(&self, now: Timestamp) -> bool {
            self.bars_until(now).is_some()
        }
    }

    fn job(number: &(impl ToString + ?Sized)) -> JobUid {
        JobUid::new(number.to_string())
    }

    fn fail(breaker: &mut Breaker, namespaces: &[&str], second: i64) -> Vec<bool> {
        let failed = |namespace: &&str| breaker.failed(&job("any"), &Namespace::from(*namespace), at(second));
        namespaces.iter().map(failed).collect()
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        fail(&mut breaker, &["a", "b", "a", "b", "a"], 0);
        breaker
    }

    #[test]
    fn several_in_a_row_of_more_than_one_namespace_open_it() {
        let mut breaker = Breaker::default();
        assert_eq!(fail(&mut breaker, &["a", "a", "a", "b", "b"], 0), [false, false, false, false, true]);
        assert!(breaker.bars(at(0)) && breaker.bars(at(9)) && !breaker.bars(at(10)));
        let mut breaker = Breaker::default();
        assert_eq!(fail(&mut breaker, &["a", "b", "c", "d", "e"], 0), [false, false, false, false, true]);
        let mut breaker = Breaker::default();
        assert_eq!(fail(&mut breaker, &["a", "a", "a", "a", "a", "a", "b"], 0), [false; 7], "mostly one's");
    }

    #[test]
    fn a_start_in_between_begins_the_row_anew() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, &["a", "b", "a", "b"], 0);
        assert!(!breaker.started());
        assert_eq!(fail(&mut breaker, &["a", "b", "a", "b"], 1), [false; 4]);
        assert_eq!(fail(&mut breaker, &["a"], 1), [true]);
    }

    #[test]
    fn one_job_is_let_through_and_its_start_closes_it() {
        let mut breaker = open();
        assert!(!breaker.wakes(at(9)) && breaker.wakes(at(10)) && !breaker.wakes(at(11)), "told once");
        breaker.let_through(&job("one"), at(11));
        assert!(breaker.bars(at(11)) && breaker.bars(at(300)));
        let shown = Broken { since: at(0), until: Some(at(311)), is_trying: true };
        assert_eq!(breaker.state(at(12)), State::Open(shown));
        assert!(breaker.started());
        assert!(breaker.is_closed() && !breaker.bars(at(12)));
        assert_eq!(breaker.state(at(12)), State::Closed);
    }

    #[test]
    fn each_failed_try_is_followed_by_a_longer_wait() {
        let mut breaker = open();
        let mut now = 10;
        for wait in [20, 40, 80, 160, 320, 600, 600] {
            assert!(!breaker.bars(at(now)));
            breaker.let_through(&job(&now), at(now));
            assert!(!breaker.failed(&job("earlier"), &Namespace::from("a"), at(now)), "it went there before");
            assert!(matches!(breaker.state(at(now)), State::Open(Broken { is_trying: true, .. })));
            assert!(!breaker.failed(&job(&now), &Namespace::from("a"), at(now)));
            assert!(breaker.bars(at(now + wait - 1)), "{wait}");
            now += wait;
        }
        assert!(breaker.started());
        fail(&mut breaker, &["a", "b", "a", "b", "a"], now);
        assert!(
            breaker.bars(at(now + 9)) && !breaker.bars(at(now + 10)),
            "a start forgets the long waits too"
        );
    }

    #[test]
    fn a_try_that_comes_to_nothing_is_followed_by_another_at_once() {
        let mut breaker = open();
        breaker.let_through(&job("one"), at(10));
        assert!(!breaker.gave_up(&job("other"), at(11)) && breaker.bars(at(11)));
        assert!(breaker.gave_up(&job("one"), at(11)) && !breaker.bars(at(11)));
        breaker.let_through(&job("two"), at(11));
        assert_eq!(breaker.next_wake(), Some(at(311)), "one that hangs is not waited for for ever");
    }

    #[derive(Clone, Copy, Debug)]
    enum Happens {
        Fails(u8, u8),
        Starts,
        GivesUp(u8),
        Asks(u8),
        Passes(i64),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            4 => (0u8..8, 0u8..3).prop_map(|(job, namespace)| Happens::Fails(job, namespace)),
            1 => Just(Happens::Starts),
            1 => (0u8..8).prop_map(Happens::GivesUp),
            4 => (0u8..8).prop_map(Happens::Asks),
            3 => (0i64..400).prop_map(Happens::Passes),
        ]
    }

    proptest! {
        #[test]
        fn one_namespace_alone_never_opens_it(course in prop::collection::vec(happens(), 0..200)) {
            let mut breaker = Breaker::default();
            let mut now = 0;
            for what in course {
                match what {
                    Happens::Fails(number, _) => {
                        prop_assert!(!breaker.failed(&job(&number), &Namespace::from("a"), at(now)));
                    }
                    Happens::Starts => prop_assert!(!breaker.started()),
                    Happens::GivesUp(number) => prop_assert!(!breaker.gave_up(&job(&number), at(now))),
                    Happens::Asks(number) => breaker.let_through(&job(&number), at(now)),
                    Happens::Passes(seconds) => now += seconds,
                }
                prop_assert!(breaker.is_closed() && !breaker.bars(at(now)));
            }
        }

        /// While it is not closed, nobody else goes until something is known of the one that went last, or for its time.
        /// And from wherever it is, a job that would start gets through in a bounded time, and closes it.
        #[test]
        fn one_at_a_time_and_never_for_ever(course in prop::collection::vec(happens(), 0..200)) {
            let mut breaker = open();
            let mut now = 0;
            let mut gone: Option<(u8, i64)> = None;
            for what in course {
                match what {
                    Happens::Fails(number, namespace) => {
                        breaker.failed(&job(&number), &Namespace::new(namespace.to_string()), at(now));
                        gone = gone.filter(|(it, _)| *it != number);
                    }
                    Happens::Starts => {
                        breaker.started();
                        gone = None;
                    }
                    Happens::GivesUp(number) => {
                        breaker.gave_up(&job(&number), at(now));
                        gone = gone.filter(|(it, _)| *it != number);
                    }
                    Happens::Asks(number) if !breaker.bars(at(now)) => {
                        breaker.let_through(&job(&number), at(now));
                        if !breaker.is_closed() {
                            if let Some((_, since)) = gone {
                                prop_assert!(now - since >= 300, "two at a time");
                            }
                            gone = Some((number, now));
                        }
                    }
                    Happens::Asks(_) => {}
                    Happens::Passes(seconds) => now += seconds,
                }
                if breaker.is_closed() {
                    gone = None;
                }
                let mut other = breaker.clone();
                let soon = now + 600;
                prop_assert!(!other.bars(at(soon)), "shut for ever");
                other.let_through(&job("good"), at(soon));
                other.started();
                prop_assert!(other.is_closed());
            }
        }
    }
}
