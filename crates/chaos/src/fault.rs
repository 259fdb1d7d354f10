//! The kinds of faults: what each breaks, for how long, and where.
//!
//! Owns no state. Two faults of one lane never overlap: what they break is the same.

use crate::dice::Dice;

/// Everything that is done to a run, apart from what its owner does to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The leading router dies (SIGKILL) and is started again.
    LeaderKilled,
    /// The leading router is frozen (SIGSTOP), a third of the times until the other one leads, and goes on then.
    LeaderPaused,
    /// The router that stands by dies and is started again.
    StandbyKilled,
    /// The hub's API server is stopped and started again.
    HubRestarted,
    /// Writes to the hub are acted on and never answered.
    HubAnswersLost,
    /// The hub answers late.
    HubLate,
    /// The hub answers 500 and 503 to every other call.
    HubErrors,
    /// The hub answers 429.
    HubThrottled,
    /// All connections to the hub are cut, watches too.
    HubCut,
    /// A member's API server is stopped and started again.
    MemberRestarted,
    /// A member falls silent for less than the time after which it is lost.
    MemberSilent,
    /// A member falls silent until it is lost, and comes back.
    MemberLost,
    /// Creates and deletes on a member are acted on and never answered.
    MemberAnswersLost,
    /// A member answers late.
    MemberLate,
    /// A member answers 500 and 503 to every other call.
    MemberErrors,
    /// A member answers 429.
    MemberThrottled,
    /// All connections to a member are cut, watches too.
    MemberCut,
    /// A member's credentials cease to be valid, and new ones come some time later.
    CredentialsRotated,
    /// A member is cordoned for some time.
    MemberCordoned,
    /// A member is drained for some time.
    MemberDrained,
    /// A member's operator dies in whatever it is doing and is started again.
    OperatorCrashed,
    /// Somebody patches a label of an application before its operator has submitted it: the operator may submit twice.
    ApplicationLabelled,
    /// Somebody deletes a running application on its member.
    ApplicationDeleted,
}

/// What faults break. Those of one lane come one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The routers' processes.
    Routers,
    /// The hub and the way to it.
    Hub,
    /// A member and the way to it, by its place.
    Member(usize),
    /// Applications on any member.
    Applications,
}

/// What a lane is made of, whichever of its kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Routers,
    Hub,
    Member,
    Applications,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 23] = [
        Self::LeaderKilled,
        Self::LeaderPaused,
        Self::StandbyKilled,
        Self::HubRestarted,
        Self::HubAnswersLost,
        Self::HubLate,
        Self::HubErrors,
        Self::HubThrottled,
        Self::HubCut,
        Self::MemberRestarted,
        Self::MemberSilent,
        Self::MemberLost,
        Self::MemberAnswersLost,
        Self::MemberLate,
        Self::MemberErrors,
        Self::MemberThrottled,
        Self::MemberCut,
        Self::CredentialsRotated,
        Self::MemberCordoned,
        Self::MemberDrained,
        Self::OperatorCrashed,
        Self::ApplicationLabelled,
        Self::ApplicationDeleted,
    ];

    /// What it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaderKilled => "leaderKilled",
            Self::LeaderPaused => "leaderPaused",
            Self::StandbyKilled => "standbyKilled",
            Self::HubRestarted => "hubRestarted",
            Self::HubAnswersLost => "hubAnswersLost",
            Self::HubLate => "hubLate",
            Self::HubErrors => "hubErrors",
            Self::HubThrottled => "hubThrottled",
            Self::HubCut => "hubCut",
            Self::MemberRestarted => "memberRestarted",
            Self::MemberSilent => "memberSilent",
            Self::MemberLost => "memberLost",
            Self::MemberAnswersLost => "memberAnswersLost",
            Self::MemberLate => "memberLate",
            Self::MemberErrors => "memberErrors",
            Self::MemberThrottled => "memberThrottled",
            Self::MemberCut => "memberCut",
            Self::CredentialsRotated => "credentialsRotated",
            Self::MemberCordoned => "memberCordoned",
            Self::MemberDrained => "memberDrained",
            Self::OperatorCrashed => "operatorCrashed",
            Self::ApplicationLabelled => "applicationLabelled",
            Self::ApplicationDeleted => "applicationDeleted",
        }
    }

    /// How long it lasts at least and at most, in milliseconds. What is done once lasts as long as it may take to find
    /// somebody to do it to.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::LeaderKilled | Self::StandbyKilled => (100, 1500),
            Self::LeaderPaused => (500, 4000),
            Self::HubRestarted | Self::MemberRestarted => (300, 1500),
            // The members' threshold is 3 s: see `stage`.
            Self::MemberSilent => (1000, 2500),
            Self::MemberLost => (5000, 7000),
            Self::HubAnswersLost | Self::MemberAnswersLost => (1500, 2500),
            Self::HubLate | Self::MemberLate | Self::HubErrors | Self::MemberErrors => (1000, 2000),
            Self::HubThrottled | Self::MemberThrottled => (500, 1500),
            Self::HubCut | Self::MemberCut => (50, 200),
            Self::CredentialsRotated => (200, 1500),
            Self::MemberCordoned | Self::MemberDrained => (1000, 3000),
            Self::OperatorCrashed => (200, 1000),
            Self::ApplicationLabelled | Self::ApplicationDeleted => (2000, 2000),
        }
    }

    /// One length of it, in milliseconds.
    pub(crate) fn length(self, dice: &mut Dice) -> u64 {
        let (least, most) = match self {
            // The lease is 10 s; the other one takes it within 2 s more.
            Self::LeaderPaused if dice.percent(33) => (11_000, 13_000),
            _ => self.lasts(),
        };
        dice.between(least, most)
    }

    fn subject(self) -> Subject {
        match self {
            Self::LeaderKilled | Self::LeaderPaused | Self::StandbyKilled => Subject::Routers,
            Self::HubRestarted
            | Self::HubAnswersLost
            | Self::HubLate
            | Self::HubErrors
            | Self::HubThrottled
            | Self::HubCut => Subject::Hub,
            Self::ApplicationLabelled | Self::ApplicationDeleted => Subject::Applications,
            _ => Subject::Member,
        }
    }

    /// The lane of its n-th fault. Members take turns.
    pub(crate) fn lane(self, nth: usize, members: usize) -> Lane {
        match self.subject() {
            Subject::Routers => Lane::Routers,
            Subject::Hub => Lane::Hub,
            Subject::Applications => Lane::Applications,
            Subject::Member => Lane::Member(nth.checked_rem(members).unwrap_or_default()),
        }
    }
}
