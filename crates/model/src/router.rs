//! A router's process in small: what it knows, what it remembers, and the lease that it leads by.
//!
//! Owns no behaviour but aging, and forgetting as the controller's memory does.

use crate::{
    age::{Age, Caps, older},
    member::{ATTEMPTS, App, Driver, MEMBERS, Spot, View},
    object::Object,
};

/// One router's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Router {
    /// Its process goes on.
    pub(crate) up: bool,
    /// The newest version of the job that it saw or wrote.
    pub(crate) known: Option<Object>,
    /// What its watches showed last.
    pub(crate) views: [View; MEMBERS],
    /// Standby: its watches hang.
    pub(crate) lags: bool,
    pub(crate) memory: Memory,
    /// What was seen of attempts that are being stopped.
    pub(crate) proofs: Proofs,
    /// What the pass under way has found out.
    pub(crate) pending: Pending,
    /// For how long it has led.
    pub(crate) leading: Age,
}

/// What a process remembers of the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Memory {
    pub(crate) about: Option<u8>,
    pub(crate) placed_here: bool,
    pub(crate) sent: bool,
    pub(crate) unanswered: Option<Age>,
    pub(crate) accepted: Option<(u8, Age)>,
    pub(crate) fenced: bool,
    pub(crate) released: bool,
    pub(crate) retired: bool,
    /// Its last write of the placed job was answered, so that no other write can come between.
    pub(crate) claimed: bool,
}

/// Of each attempt on each member.
pub(crate) type Proofs = [[Proof; ATTEMPTS]; MEMBERS];

/// What was seen of an attempt that is being stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Proof {
    pub(crate) submitted: bool,
    pub(crate) nothing: Option<Age>,
}

/// What the pass under way has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Pending {
    None,
    Confirmed(Found),
    Refused {
        judged: bool,
        found: Found,
    },
    Taken,
    Looked(Driver),
    /// Nothing is left of a past attempt.
    Closing(Spot),
}

/// What a quorum read said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Found {
    Nothing,
    Gone,
    Present(App),
}

/// The lease on the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Lease {
    /// `None`: a process that is gone.
    pub(crate) holder: Option<u8>,
    /// Since when it was not renewed.
    pub(crate) age: Age,
}

impl Router {
    pub(crate) fn grow_older(&mut self, caps: Caps) {
        older(&mut self.leading, caps.settle);
        if let Some(known) = &mut self.known {
            known.grow_older(caps);
        }
        let memory = &mut self.memory;
        if let Some(age) = &mut memory.unanswered {
            older(age, caps.settle);
        }
        if let Some((_, age)) = &mut memory.accepted {
            older(age, caps.patience);
        }
        for proof in self.proofs.as_flattened_mut() {
            if let Some(age) = &mut proof.nothing {
                older(age, caps.hang);
            }
        }
    }
}

impl Memory {
    /// Starts over for another placement, as the controller's does.
    pub(crate) fn turn_to(&mut self, placement: Option<u8>) {
        if self.about != placement {
            *self = Self { about: placement, ..Self::default() };
        }
    }
}
