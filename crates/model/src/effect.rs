//! What a router does, by name: its writes and calls, each with the fate that it meets.
//!
//! Owns no state.

use crate::{member::Spot, object::Write};

/// One thing that a router does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    /// A write to the hub.
    Write(What, Fate, Write),
    /// The create of the placement.
    Create(Answer),
    /// A quorum read by the recorded name.
    Confirm,
    /// A look at the driver's pod.
    Examine,
    /// Our finalizer comes off this application.
    Release(u8),
    /// This finished application is deleted.
    Retire(u8),
    /// The attempt is driven to its fence. Whether the core says that no create can take effect any more.
    Stop(bool),
    /// The attempt is noted as given up.
    GiveUp,
    /// A past attempt is driven to its fence.
    StopPast(Spot, bool),
    /// Our finalizer comes off the finished application of a past attempt.
    ReleasePast(Spot, u8),
    /// The finished application of a past attempt is deleted.
    RetirePast(Spot, u8),
    /// A past attempt is noted as given up.
    GiveUpPast(Spot),
    /// The pass goes on with what was read for a refusal.
    GoOn,
    /// A refusal that may not be believed yet is put aside.
    PutAside,
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Hold,
    Place,
    Adopt,
    Wait,
    Claim,
    Withdraw,
    Mirror,
    Unreachable,
    Finish,
    Latch,
    Requeue,
    Close,
    Explain,
    Observe,
    Expire,
    LetGo,
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    Answered,
    /// It takes effect, and nobody hears of it.
    AnswerLost,
    /// It may take effect later, and nobody hears of it.
    Late,
}

/// What becomes of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Given,
    Lost,
    Late,
    /// For want of room.
    Full,
    /// The member judged the job.
    Judged,
}
