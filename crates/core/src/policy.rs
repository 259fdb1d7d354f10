//! What a job's owner decided about its course: when to try again, how long to wait, what a lost member means.
//!
//! Owns no state. Nothing here decides by itself: [`crate::step`] asks.

use std::time::Duration;

/// See the module. The default asks for nothing: one attempt, no deadline, wait for a lost member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Stop it and keep the record.
    pub cancel: bool,
    /// Hold it while it waits.
    pub suspend: bool,
    /// How long it may take.
    pub deadlines: Deadlines,
    /// When a failed attempt is followed by another.
    pub retry: Retry,
    /// What is done when its member is lost.
    pub on_member_lost: OnMemberLost,
}

/// How long a job may take; nothing is unlimited by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// Each time it waits: until it is placed.
    pub queued: Option<Duration>,
    /// For each attempt: from its placement until its driver runs.
    pub start: Option<Duration>,
    /// For each attempt: from when its driver was first seen running until its end.
    pub run: Option<Duration>,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts altogether; moves do not count.
    pub max_attempts: u32,
    /// Failures that are tried again.
    pub on: Vec<FailureClass>,
    /// The wait before the second attempt; each further one waits twice as long.
    pub initial: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Default for Retry {
    /// One attempt.
    fn default() -> Self {
        Self {
            max_attempts: 1,
            on: FailureClass::ALL.to_vec(),
            initial: Duration::from_secs(30),
            longest: Duration::from_mins(10),
        }
    }
}

impl Retry {
    /// How long to wait before the next attempt when `retries` were made before: `None` where there is to be none.
    pub fn after(&self, class: FailureClass, retries: u32) -> Option<Duration> {
        // The first attempt is no retry.
        if retries.saturating_add(1) >= self.max_attempts || !self.on.contains(&class) {
            return None;
        }
        let doubled = 1_u32.checked_shl(retries).and_then(|factor| self.initial.checked_mul(factor));
        Some(doubled.map_or(self.longest, |wait| wait.min(self.longest)))
    }
}

/// Failures as a job's owner tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// The member's operator could not submit it.
    SubmissionFailed,
    /// The member had no room for it after all: a quota was full, or its pods found no place in time.
    Unschedulable,
    /// The driver's pod is gone. It may have done its work.
    DriverLost,
    /// The application itself failed.
    ApplicationFailed,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 4] =
        [Self::SubmissionFailed, Self::Unschedulable, Self::DriverLost, Self::ApplicationFailed];

    /// The word, as users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SubmissionFailed => "SubmissionFailed",
            Self::Unschedulable => "Unschedulable",
            Self::DriverLost => "DriverLost",
            Self::ApplicationFailed => "ApplicationFailed",
        }
    }

    /// Whether the member is the more likely cause, so that the next attempt had better be made on another one.
    pub fn speaks_against_the_member(self) -> bool {
        matches!(self, Self::SubmissionFailed | Self::Unschedulable)
    }
}

/// What is done when a job's member is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnMemberLost {
    /// Its placement stays, whatever it takes.
    #[default]
    Wait,
    /// It moves as soon as it is proven that nothing of it runs: when the member is back, or when it proves it.
    FenceThenMove,
    /// It moves at once, although it may still run there.
    AllowDuplicate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_a_limit() {
        let retry = Retry { max_attempts: 40, ..Retry::default() };
        let waits = |retries| retry.after(FailureClass::DriverLost, retries).map(|wait| wait.as_secs());
        assert_eq!([waits(0), waits(1), waits(2), waits(4)], [Some(30), Some(60), Some(120), Some(480)]);
        assert_eq!([waits(5), waits(31), waits(32), waits(38)], [Some(600); 4]);
        assert_eq!(waits(39), None);
    }

    #[test]
    fn the_default_is_one_attempt_and_only_what_is_listed_is_tried_again() {
        assert_eq!(Retry::default().after(FailureClass::SubmissionFailed, 0), None);
        let some = Retry { max_attempts: 2, on: vec![FailureClass::DriverLost], ..Retry::default() };
        assert_eq!(some.after(FailureClass::ApplicationFailed, 0), None);
        assert_eq!(some.after(FailureClass::DriverLost, 0), Some(Duration::from_secs(30)));
        assert_eq!(some.after(FailureClass::DriverLost, 1), None);
    }
}
