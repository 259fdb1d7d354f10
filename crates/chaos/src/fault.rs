//! The kinds of faults: what each breaks, for how long, and where.
//!
//! Owns no state. Two faults of one lane never overlap: what they break is the same.

use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::evidence::Backend;
use crate::plan::Sizes;

/// Who acts on the members' applications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Operators {
    /// Scripted ones, without nodes: hundreds of jobs a minute, and whatever state there is.
    #[default]
    Scripted,
    /// The real Kubeflow operator, over the real kube-scheduler and nodes that KWOK plays.
    Kubeflow,
    /// A different one on each: scripted ones of Kubeflow and of Apache, and virtual clusters of EMR on EKS over moto, of
    /// which the first honours client tokens and the second does not.
    Mixed,
}

impl Operators {
    /// The members of a run with one of each.
    pub const MIXED: [(&'static str, Backend); 4] = [
        ("kubeflow-1", Backend::Kubeflow),
        ("apache-1", Backend::Apache),
        (TOKENS, Backend::EmrContainers),
        ("emr-listed", Backend::EmrContainers),
    ];

    /// What runs the jobs of the member at this place.
    pub(crate) fn backend(self, place: usize) -> Backend {
        let mixed = Self::MIXED.get(place).map(|(_, backend)| *backend);
        mixed.filter(|_| self == Self::Mixed).unwrap_or_default()
    }
}

/// The member whose server honours client tokens.
pub const TOKENS: &str = "emr-tokens";

/// Everything that is done to a run, apart from what its owner does to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The leading router dies (SIGKILL) and is started again, now and then only when the other one leads.
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
    /// A node is taken away with all pods on it, and comes back: only where there are nodes.
    NodeLost,
    /// A member's operator dies in whatever it is doing and is started again.
    OperatorCrashed,
    /// Somebody patches a label of an application before its operator has submitted it: the operator may submit twice.
    ApplicationLabelled,
    /// Somebody deletes a running application on its member.
    ApplicationDeleted,
    /// Somebody cancels a running job run at AWS.
    RunCancelled,
    /// A start is acted on and never answered, and no list shows its run until the router has sent the start again: only its
    /// token keeps it from running twice.
    StartUnseen,
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
    const ALL: [Self; 26] = [
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
        Self::NodeLost,
        Self::OperatorCrashed,
        Self::ApplicationLabelled,
        Self::ApplicationDeleted,
        Self::RunCancelled,
        Self::StartUnseen,
    ];

    /// Every kind that there is in a run with such operators.
    pub fn of(operators: Operators) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |kind| match kind {
            Self::NodeLost => operators == Operators::Kubeflow,
            Self::RunCancelled | Self::StartUnseen => operators == Operators::Mixed,
            _ => true,
        })
    }

    /// Whether there is such a thing on the member at this place.
    fn is_for(self, operators: Operators, place: usize) -> bool {
        let is_virtual = operators.backend(place) == Backend::EmrContainers;
        match self {
            Self::MemberRestarted | Self::OperatorCrashed => !is_virtual,
            Self::StartUnseen => is_virtual && Operators::MIXED.get(place).is_some_and(|it| it.0 == TOKENS),
            _ => true,
        }
    }

    /// How many are planned where there are to be this many: half as many again of a kind that needs somebody in a certain
    /// state, whom it may not find.
    pub(crate) fn planned(self, each: u64) -> u64 {
        match self {
            Self::MemberAnswersLost
            | Self::NodeLost
            | Self::ApplicationLabelled
            | Self::ApplicationDeleted
            | Self::RunCancelled => each + each.div_ceil(2),
            // One takes its member for the better part of a minute, and shows what it is there for.
            Self::StartUnseen => each / 12,
            _ => each,
        }
    }

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
            Self::NodeLost => "nodeLost",
            Self::OperatorCrashed => "operatorCrashed",
            Self::ApplicationLabelled => "applicationLabelled",
            Self::ApplicationDeleted => "applicationDeleted",
            Self::RunCancelled => "runCancelled",
            Self::StartUnseen => "startUnseen",
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
            Self::NodeLost => (2000, 5000),
            Self::OperatorCrashed => (200, 1000),
            Self::ApplicationLabelled | Self::ApplicationDeleted | Self::RunCancelled => (2000, 2000),
            // About so long it takes until the start is sent again.
            Self::StartUnseen => (48_000, 48_000),
        }
    }

    /// A length of its n-th fault, in milliseconds.
    pub(crate) fn length(self, nth: usize, dice: &mut Dice) -> u64 {
        let (least, most) = match self {
            // The lease is 10 s; the other one takes it within 2 s more. One that is started again sooner leads again.
            Self::LeaderPaused if nth.is_multiple_of(3) => (11_000, 13_000),
            Self::LeaderKilled if nth.is_multiple_of(8) => (12_000, 13_000),
            _ => self.lasts(),
        };
        dice.between(least, most)
    }

    /// How much longer it lasts on the member at this place: a virtual cluster is looked at every ten seconds, and each look may
    /// take five.
    pub(crate) fn stretch(self, lane: Lane, operators: Operators) -> u64 {
        let is_virtual =
            matches!(lane, Lane::Member(place) if operators.backend(place) == Backend::EmrContainers);
        if is_virtual && self == Self::MemberLost { 11_000 } else { 0 }
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
            Self::ApplicationLabelled | Self::ApplicationDeleted | Self::RunCancelled => {
                Subject::Applications
            }
            _ => Subject::Member,
        }
    }

    /// The lane of its n-th fault. Members on which there is such a thing take turns.
    pub(crate) fn lane(self, nth: usize, sizes: Sizes) -> Lane {
        match self.subject() {
            Subject::Routers => Lane::Routers,
            Subject::Hub => Lane::Hub,
            Subject::Applications => Lane::Applications,
            Subject::Member => {
                let places: Vec<_> =
                    (0..sizes.members).filter(|place| self.is_for(sizes.operators, *place)).collect();
                let turn = nth.checked_rem(places.len()).unwrap_or_default();
                Lane::Member(places.get(turn).copied().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_and_report_call_a_kind_the_same() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn nodes_are_lost_where_there_are_nodes() {
        assert!(!Kind::of(Operators::Scripted).any(|kind| kind == Kind::NodeLost));
        assert_eq!(Kind::of(Operators::Kubeflow).count(), Kind::of(Operators::Scripted).count() + 1);
    }

    #[test]
    fn members_have_the_faults_that_make_sense_there() {
        let sizes = Sizes { members: 4, operators: Operators::Mixed, ..Sizes::default() };
        let places = |kind: Kind| {
            let mut places: Vec<_> = (0..12).map(|nth| kind.lane(nth, sizes)).collect();
            places.sort_unstable();
            places.dedup();
            places
        };
        let on = |places: &[usize]| places.iter().copied().map(Lane::Member).collect::<Vec<_>>();
        assert_eq!(places(Kind::MemberRestarted), on(&[0, 1]));
        assert_eq!(places(Kind::OperatorCrashed), on(&[0, 1]));
        assert_eq!(places(Kind::StartUnseen), on(&[2]));
        for kind in [Kind::MemberLost, Kind::MemberAnswersLost, Kind::MemberThrottled, Kind::MemberErrors] {
            assert_eq!(places(kind), on(&[0, 1, 2, 3]), "{kind:?}");
        }
        assert_eq!(places(Kind::RunCancelled), [Lane::Applications]);
        let only =
            Kind::of(Operators::Mixed).filter(|kind| !Kind::of(Operators::Scripted).any(|it| it == *kind));
        assert_eq!(only.collect::<Vec<_>>(), [Kind::RunCancelled, Kind::StartUnseen]);
    }
}
