//! What is done on a member, as the Kubeflow backend does it.
//!
//! Owns no state. Each rule here is one of `member/kubeflow`, by hand and in small. Notes for the properties what was
//! touched that must not be.

use crate::{
    member::{App, Run, Spot, Stray},
    router::Proof,
    setup::Protocol,
    world::World,
};

/// A create takes effect: nothing happens where the name is taken.
pub(crate) fn land(world: &mut World, spot: Spot) {
    if world.slot(spot).app.is_none() {
        world.history.created += 1;
        world.slot_mut(spot).app = Some(App {
            uid: world.history.created,
            ours: true,
            run: Run::Fresh,
            deleting: false,
            held: true,
            hung: false,
        });
    }
}

/// Takes our finalizer off what is over or being deleted; anything else refuses.
pub(crate) fn release(world: &mut World, spot: Spot, uid: u8) {
    let Some(app) = world.slot_mut(spot).app.as_mut().filter(|app| app.uid == uid) else { return };
    if !app.ours {
        world.history.foreign_touched = true;
    } else if app.is_over() || app.deleting {
        app.held = false;
    }
}

/// Deletes what is ours and over.
pub(crate) fn retire(world: &mut World, spot: Spot, uid: u8) {
    let slot = world.slot_mut(spot);
    let Some(app) = slot.app.as_mut().filter(|app| app.uid == uid && app.ours && app.is_over()) else {
        return;
    };
    if app.held {
        app.deleting = true;
    } else {
        slot.app = None;
    }
}

/// An attempt to be stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) spot: Spot,
    /// The application on record.
    pub(crate) uid: Option<u8>,
    /// An end of its own counts.
    pub(crate) spares: bool,
    /// No create of it can take effect any more.
    pub(crate) settled: bool,
}

/// How far stopping an attempt is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fence {
    Proven,
    Ended(App),
    Pending,
}

/// Drives an attempt to its fence.
pub(crate) fn stop(world: &mut World, router: usize, order: Order, protocol: &Protocol) -> Fence {
    let (member, attempt) = order.spot.indices();
    let is_cut_off = is_current(world, order.spot);
    let slot = &mut world.members[member].slots[attempt];
    let proof = &mut world.routers[router].proofs[member][attempt];
    match &mut slot.app {
        Some(app) if app.ours => {
            if order.spares && order.uid == Some(app.uid) && app.ended_by_itself() {
                return Fence::Ended(app.shown());
            }
            *proof = Proof { submitted: app.run != Run::Fresh, nothing: None };
            world.history.cut_off |= is_cut_off && app.runs();
            app.deleting = true;
            // As long as an earlier create may still come, our finalizer keeps the name taken.
            app.held &= !order.settled;
            Fence::Pending
        }
        Some(_) | None => {
            if !order.settled {
                return Fence::Pending;
            }
            if slot.stray == Stray::Driver {
                proof.nothing = None;
                return Fence::Pending;
            }
            let nothing = *proof.nothing.get_or_insert(0);
            if proof.submitted || nothing >= protocol.hang {
                *proof = Proof::default();
                return Fence::Proven;
            }
            Fence::Pending
        }
    }
}

/// It is the attempt on record, and nothing on record says that it is to be stopped.
fn is_current(world: &World, spot: Spot) -> bool {
    let wanted = world
        .hub
        .filter(|hub| !hub.deleting && hub.record.finished.is_none() && hub.record.stopping.is_none());
    wanted.and_then(|hub| hub.record.placement).is_some_and(|placed| placed.spot == spot)
}
