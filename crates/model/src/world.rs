//! The state of the world in small: hub, members, routers and what is on its way between them.
//!
//! Owns no behaviour but aging and canonical form. Times are ages in ticks, cut off where nothing depends on them any
//! more, so that the world has finitely many states however long it goes on. Holds no text: names and uids are numbers
//! and become the core's types in [`crate::bridge`] alone.

use crate::{
    age::{Age, Caps, older},
    member::{ATTEMPTS, MEMBERS, Member, Slot, Spot, Stray},
    object::{Change, End, LateWrite, Object},
    router::{Lease, Router},
};

/// Routers in the world.
pub(crate) const ROUTERS: usize = 2;
/// Creates on their way at once.
pub(crate) const CREATES: usize = 2;

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct World {
    /// The job on the hub; `None` when it is gone.
    pub(crate) hub: Option<Object>,
    /// What a backup of the hub holds.
    pub(crate) backup: Option<Object>,
    /// The members.
    pub(crate) members: [Member; MEMBERS],
    /// Creates that may still take effect.
    pub(crate) creates: [Option<Create>; CREATES],
    /// A write to the hub that may still take effect.
    pub(crate) write: Option<LateWrite>,
    /// The routers.
    pub(crate) routers: [Router; ROUTERS],
    /// Who leads.
    pub(crate) lease: Lease,
    /// Faults that may still happen.
    pub(crate) faults: u8,
    /// Edits that the user may still make.
    pub(crate) edits: u8,
    /// What happened, for the properties alone.
    pub(crate) history: History,
}

/// A create on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Create {
    pub(crate) spot: Spot,
    pub(crate) from: u8,
    /// Ticks for which it may still take effect.
    pub(crate) left: Age,
}

/// What happened. No decision reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct History {
    pub(crate) created: u8,
    pub(crate) placed: u8,
    pub(crate) ended: Option<End>,
    pub(crate) end_changed: bool,
    /// What attempts came to, by their number.
    pub(crate) succeeded: [bool; ATTEMPTS],
    pub(crate) failed: [bool; ATTEMPTS],
    pub(crate) killed: [bool; ATTEMPTS],
    pub(crate) removed: [bool; ATTEMPTS],
    /// Left behind although they may run, by members.
    pub(crate) left: [[bool; ATTEMPTS]; MEMBERS],
    pub(crate) refused: bool,
    pub(crate) foreign: bool,
    pub(crate) foreign_touched: bool,
    pub(crate) abandoned: bool,
    pub(crate) stopping: bool,
    pub(crate) cancelled: bool,
    pub(crate) restored: bool,
    /// A stop on record was taken back.
    pub(crate) revived: bool,
    /// The attempt on record was stopped, and nothing on record says so.
    pub(crate) cut_off: bool,
}

impl World {
    pub(crate) fn leads(&self, router: usize) -> bool {
        self.lease.holder == u8::try_from(router).ok()
    }

    /// One tick passes: everything is older, and what was on its way too long takes no effect any more.
    pub(crate) fn grow_older(&mut self, caps: Caps) {
        for object in [&mut self.hub, &mut self.backup].into_iter().flatten() {
            object.grow_older(caps);
        }
        for router in &mut self.routers {
            router.grow_older(caps);
        }
        for slot in &mut self.creates {
            if let Some(create) = slot {
                create.left = create.left.saturating_sub(1);
                if create.left == 0 {
                    *slot = None;
                }
            }
        }
        if let Some(late) = &mut self.write {
            if let Change::Status(record) = &mut late.write.change {
                let mut object = Object::new(*record);
                object.grow_older(caps);
                *record = object.record;
            }
            late.left = late.left.saturating_sub(1);
            if late.left == 0 {
                self.write = None;
            }
        }
        for slot in self.members.iter_mut().flat_map(|member| &mut member.slots) {
            if let Stray::Hangs(age) = &mut slot.stray {
                older(age, caps.hang);
                if *age >= caps.hang {
                    slot.stray = Stray::None;
                }
            }
        }
        let holder = self.lease.holder.map(usize::from);
        if holder.is_some_and(|holder| self.routers[holder].up) {
            self.lease.age = 0;
        } else {
            older(&mut self.lease.age, caps.lease);
        }
    }

    pub(crate) fn slot(&self, spot: Spot) -> Slot {
        let (member, attempt) = spot.indices();
        self.members[member].slots[attempt]
    }

    pub(crate) fn slot_mut(&mut self, spot: Spot) -> &mut Slot {
        let (member, attempt) = spot.indices();
        &mut self.members[member].slots[attempt]
    }

    /// Runs of the job that live or will. A driver without an application and one with it are never two of one attempt on
    /// one member: their pods have one name.
    pub(crate) fn alive(&self) -> impl Iterator<Item = Spot> {
        Spot::all().filter(|spot| self.slot(*spot).runs() || self.slot(*spot).strays())
    }

    /// It was left behind although it may run.
    pub(crate) fn was_left(&self, spot: Spot) -> bool {
        let (member, attempt) = spot.indices();
        self.history.left[member][attempt]
    }
}
