//! Whether a member may be trusted with new work, from the answers to its probes.
//!
//! Owns the history of one member's probes. A single missed probe makes a member Suspect at once (no new work); the
//! thresholds govern only Lost, because only Lost lets anything be moved. Never forgets since when a member is gone:
//! a failed reconnect does not restart that clock. And one that answers now and then is never gone: it gets nothing new,
//! and nothing of it moves.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A member's link as the rest of the router sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// Never answered well enough yet: no client, no rights, or its first list is still running.
    Connecting,
    /// Answers its probes; its view is in sync.
    Ready,
    /// Missed a probe: takes nothing new until it answers again.
    Suspect {
        /// First miss.
        since: Timestamp,
    },
    /// Unreachable for longer than its threshold.
    Lost {
        /// First miss: survives failed reconnects.
        since: Timestamp,
    },
}

impl LinkState {
    /// The word shown in status, metrics and the UI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "Connecting",
            Self::Ready => "Ready",
            Self::Suspect { .. } => "Suspect",
            Self::Lost { .. } => "Lost",
        }
    }
}

/// Members that go silent within this long of each other are taken to have one cause.
const TOGETHER: SignedDuration = SignedDuration::from_mins(1);
/// A fleet whose greater part stays lost for this long, with everything else steady, is believed.
const FREEZE: SignedDuration = SignedDuration::from_mins(10);

/// Until when no job may be moved away from a lost member, because more than half of the members (and at least two) went
/// silent within a minute: then the router or its network is the likelier cause. Ends by itself when half of them are back.
pub fn frozen_until(links: &[LinkState]) -> Option<Timestamp> {
    let lost = |link: &LinkState| match link {
        LinkState::Lost { since } => Some(*since),
        LinkState::Connecting | LinkState::Ready | LinkState::Suspect { .. } => None,
    };
    let mut lost: Vec<Timestamp> = links.iter().filter_map(lost).collect();
    lost.sort_unstable();
    let together = |(first, since): (usize, &Timestamp)| {
        let near = lost[first..].iter().take_while(|at| at.duration_since(*since) <= TOGETHER);
        let (count, last) = near.fold((0_usize, *since), |(count, _), at| (count + 1, *at));
        (count >= 2 && count * 2 > links.len()).then_some(last)
    };
    let last = lost.iter().enumerate().filter_map(together).max()?;
    Some(last.checked_add(FREEZE).unwrap_or(Timestamp::MAX))
}

/// When a member counts as lost and as back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Unanswered for this long: Lost.
    pub lost_after: Duration,
    /// Answering for this long: out of Lost.
    pub ready_after: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { lost_after: Duration::from_secs(30), ready_after: Duration::from_secs(30) }
    }
}

/// Answered probes that lead out of Suspect.
const ANSWERS_OUT_OF_SUSPECT: u32 = 2;
/// The shortest and the longest time in Suspect.
const HOLD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Ready for this long: the next Suspect starts with the shortest hold again.
const CALM: Duration = Duration::from_mins(5);

/// The health of one member.
#[derive(Clone, Debug)]
pub struct Health {
    thresholds: Thresholds,
    state: LinkState,
    /// First miss since the last answer. One that flaps is not silent, however long it is not trusted.
    silent_since: Option<Timestamp>,
    /// First answer of the present unbroken row of answers.
    answering_since: Option<Timestamp>,
    answers: u32,
    hold: Duration,
    hold_until: Timestamp,
    ready_since: Option<Timestamp>,
}

impl Health {
    /// A member that was just added.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            state: LinkState::Connecting,
            silent_since: None,
            answering_since: None,
            answers: 0,
            hold: HOLD.0,
            hold_until: Timestamp::MIN,
            ready_since: None,
        }
    }

    /// The state after the last probe.
    pub fn state(&self) -> LinkState {
        self.state
    }

    /// Takes over changed thresholds; the history stays.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// The member's client is built, its rights are checked and its view is in sync.
    pub fn connected(&mut self, now: Timestamp) {
        if self.state == LinkState::Connecting {
            self.become_ready(now);
        }
    }

    /// The member's client is gone (other credentials, rights lost): back to Connecting. A member that is Suspect or
    /// Lost stays so: building another client is no answer.
    pub fn disconnected(&mut self) {
        if self.state == LinkState::Ready {
            self.state = LinkState::Connecting;
            self.ready_since = None;
        }
    }

    /// A probe was answered.
    pub fn answered(&mut self, now: Timestamp) {
        self.answers = self.answers.saturating_add(1);
        self.silent_since = None;
        let answering_since = *self.answering_since.get_or_insert(now);
        match self.state {
            LinkState::Connecting => {}
            LinkState::Ready => {
                if self.ready_since.is_some_and(|since| elapsed(since, now) >= CALM) {
                    self.hold = HOLD.0;
                }
            }
            LinkState::Suspect { .. } => {
                if self.answers >= ANSWERS_OUT_OF_SUSPECT && now >= self.hold_until {
                    self.become_ready(now);
                }
            }
            LinkState::Lost { .. } => {
                if elapsed(answering_since, now) >= self.thresholds.ready_after {
                    self.become_ready(now);
                }
            }
        }
    }

    /// A probe went unanswered for its whole time.
    pub fn missed(&mut self, now: Timestamp) {
        self.answers = 0;
        self.answering_since = None;
        let since = *self.silent_since.get_or_insert(now);
        match self.state {
            LinkState::Ready => {
                self.state = LinkState::Suspect { since };
                self.hold_until = add(now, self.hold);
                self.hold = (self.hold * 2).min(HOLD.1);
                self.ready_since = None;
            }
            LinkState::Connecting | LinkState::Suspect { .. } => {
                if elapsed(since, now) >= self.thresholds.lost_after {
                    self.state = LinkState::Lost { since };
                }
            }
            LinkState::Lost { .. } => {}
        }
    }

    fn become_ready(&mut self, now: Timestamp) {
        self.state = LinkState::Ready;
        self.ready_since = Some(now);
    }
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn add(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn ready() -> Health {
        let mut health = Health::new(Thresholds::default());
        health.answered(at(0));
        health.connected(at(0));
        health
    }

    #[test]
    fn one_missed_probe_is_enough_for_suspect_and_never_for_lost() {
        let mut health = ready();
        health.missed(at(1));
        assert_eq!(health.state(), LinkState::Suspect { since: at(1) });
        health.missed(at(30));
        assert_eq!(health.state(), LinkState::Suspect { since: at(1) });
        health.missed(at(31));
        assert_eq!(health.state(), LinkState::Lost { since: at(1) });
    }

    #[test]
    fn two_answers_and_a_doubling_hold_lead_out_of_suspect() {
        let mut health = ready();
        health.missed(at(1));
        health.answered(at(2));
        assert!(matches!(health.state(), LinkState::Suspect { .. }));
        health.answered(at(3));
        assert_eq!(health.state(), LinkState::Ready);
        health.missed(at(4));
        health.answered(at(4));
        health.answered(at(5));
        assert!(matches!(health.state(), LinkState::Suspect { .. }), "the second hold is two seconds");
        health.answered(at(6));
        assert_eq!(health.state(), LinkState::Ready);
    }

    #[test]
    fn a_calm_time_resets_the_hold() {
        let mut health = ready();
        for round in 0..6 {
            health.missed(at(round * 100));
            health.answered(at(round * 100 + 40));
            health.answered(at(round * 100 + 41));
        }
        assert_eq!(health.hold, HOLD.1);
        health.answered(at(541 + 300));
        assert_eq!(health.hold, HOLD.0);
    }

    #[test]
    fn back_from_lost_takes_an_unbroken_row_of_answers() {
        let mut health = ready();
        health.missed(at(0));
        health.missed(at(30));
        health.answered(at(40));
        health.missed(at(50));
        assert_eq!(health.state(), LinkState::Lost { since: at(0) }, "since when survives the failed return");
        health.answered(at(60));
        health.answered(at(89));
        assert!(matches!(health.state(), LinkState::Lost { .. }));
        health.answered(at(90));
        assert_eq!(health.state(), LinkState::Ready);
    }

    #[test]
    fn a_member_that_never_answered_becomes_lost_too() {
        let mut health = Health::new(Thresholds::default());
        health.missed(at(0));
        health.disconnected();
        health.missed(at(30));
        assert_eq!(health.state(), LinkState::Lost { since: at(0) });
    }

    #[test]
    fn one_that_flaps_is_never_lost() {
        let mut health = ready();
        // Three probes in four are missed, for ten minutes.
        for second in 1..600 {
            if second % 4 == 0 {
                health.answered(at(second));
            } else {
                health.missed(at(second));
            }
            assert!(!matches!(health.state(), LinkState::Lost { .. }), "{second}");
        }
        assert!(matches!(health.state(), LinkState::Suspect { .. }));
        health.missed(at(600));
        health.missed(at(627));
        assert_eq!(health.state(), LinkState::Lost { since: at(597) }, "since it fell silent for good");
    }

    proptest! {
        /// Only silence without a break leads to Lost, and it always does.
        #[test]
        fn lost_means_silent(probes in prop::collection::vec((1i64..20, prop::bool::weighted(0.3)), 1..100)) {
            let mut health = ready();
            let (mut now, mut silent_since, mut was_lost) = (0, None, false);
            for (gap, is_answered) in probes {
                now += gap;
                if is_answered {
                    health.answered(at(now));
                    silent_since = None;
                } else {
                    health.missed(at(now));
                    silent_since.get_or_insert(now);
                }
                let is_lost = matches!(health.state(), LinkState::Lost { .. });
                let is_silent = silent_since.is_some_and(|since| now - since >= 30);
                prop_assert!(is_lost || !is_silent);
                prop_assert!(!is_lost || is_silent || was_lost);
                was_lost = is_lost;
            }
        }
    }

    #[test]
    fn most_members_lost_at_once_freeze_the_fleet_for_a_while() {
        let lost = |second| LinkState::Lost { since: at(second) };
        let (ready, suspect) = (LinkState::Ready, LinkState::Suspect { since: at(0) });
        for (links, until) in [
            (vec![], None),
            (vec![lost(0)], None),
            (vec![lost(0), ready], None),
            (vec![lost(0), lost(30)], Some(630)),
            (vec![lost(0), lost(60), ready], Some(660)),
            (vec![lost(0), lost(61), ready], None),
            (vec![lost(0), lost(1), ready, ready], None),
            (vec![lost(0), lost(1), suspect], Some(601)),
            (vec![lost(0), lost(200), lost(210), ready], None),
            (vec![lost(0), lost(200), lost(210)], Some(810)),
        ] {
            assert_eq!(frozen_until(&links), until.map(at), "{links:?}");
        }
    }
}
