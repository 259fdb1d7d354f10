//! What happens in the world, by name.
//!
//! Owns no state.

use crate::{
    effect::{Answer, Effect, Fate},
    member::{Link, Run, Spot},
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Time passes.
    Tick,
    /// A router does something.
    Act(usize, Effect),
    /// A router's watch of the hub catches up.
    SeeHub(usize),
    /// A router's watch of a member catches up.
    SeeMember(usize, usize),
    /// A standby's watches hang until it leads.
    Lag(usize),
    /// A leader's process dies and is started anew.
    Crash(usize),
    /// A leader's process is stopped.
    Pause(usize),
    /// It goes on. One that lost its lease meanwhile ends, and is started anew.
    Resume(usize),
    /// A router takes the lease.
    Lead(usize),
    /// A create takes effect.
    Land(usize),
    /// A write takes effect.
    LandWrite,
    /// Probes find a member so.
    Probe(usize, Link),
    /// The operator starts the driver.
    Start(Spot),
    /// The run ends.
    EndRun(Spot, Run),
    /// The operator starts it a second time, and calls it failed because its driver is there.
    Double(Spot),
    /// What is being deleted goes.
    Collect(Spot),
    /// A submission hangs.
    Hang(Spot),
    /// A submission whose application is gone makes a driver.
    StrayDriver(Spot),
    /// A driver whose application is gone is taken away.
    StrayEnds(Spot),
    /// Somebody deletes the application on the member.
    DeletedByHand(Spot),
    /// Somebody puts something else under the name.
    NamedByHand(Spot),
    /// A member is to be emptied, or not any more.
    Drain(usize, bool),
    /// The user deletes the job.
    Delete,
    /// The user edits the job.
    Edit,
    /// The user has the job cancelled, or takes that back.
    Cancel,
    /// The user lets go of whatever may still run.
    LetGo,
    /// The hub is backed up.
    BackUp,
    /// The hub is restored.
    Restore,
}

impl Action {
    /// Whether the world must go on by this if nobody does anything any more and nothing breaks or comes back.
    pub(crate) fn is_due(self) -> bool {
        match self {
            Self::Act(_, Effect::Write(_, fate, _)) => fate == Fate::Answered,
            Self::Act(_, Effect::Create(answer)) => answer == Answer::Given,
            Self::Tick
            | Self::Act(..)
            | Self::SeeHub(_)
            | Self::SeeMember(..)
            | Self::Resume(_)
            | Self::Lead(_)
            | Self::Start(_)
            | Self::EndRun(..)
            | Self::Collect(_)
            | Self::StrayEnds(_) => true,
            // A missed probe passes, one way or the other.
            Self::Probe(_, link) => link == Link::Lost,
            Self::Lag(_)
            | Self::Crash(_)
            | Self::Pause(_)
            | Self::Land(_)
            | Self::LandWrite
            | Self::Hang(_)
            | Self::Double(_)
            | Self::StrayDriver(_)
            | Self::DeletedByHand(_)
            | Self::NamedByHand(_)
            | Self::Drain(..)
            | Self::Delete
            | Self::Edit
            | Self::Cancel
            | Self::LetGo
            | Self::BackUp
            | Self::Restore => false,
        }
    }
}
