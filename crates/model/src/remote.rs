//! What is done on a member, as the Kubeflow backend does it.
//!
//! Owns no state. Each rule here is one of `member/kubeflow`, by hand and in small.

use crate::{
    member::{App, Run, Stray},
    object::{Object, Placed},
    router::{Found, Pending, Proof},
    setup::Protocol,
    world::World,
};

/// A create takes effect: nothing happens where the name is taken.
pub(crate) fn land(world: &mut World, member: usize) {
    if world.members[member].app.is_none() {
        world.history.created += 1;
        world.members[member].app = Some(App {
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
pub(crate) fn release(world: &mut World, member: usize, uid: u8) {
    let Some(app) = world.members[member].app.as_mut().filter(|app| app.uid == uid) else { return };
    if !app.ours {
        world.history.foreign_touched = true;
    } else if app.is_over() || app.deleting {
        app.held = false;
    }
}

/// As the Kubeflow backend drives an attempt to its fence.
pub(crate) fn stop(
    world: &mut World,
    router: usize,
    object: &Object,
    placed: Placed,
    settled: bool,
    protocol: &Protocol,
) {
    let member = &mut world.members[usize::from(placed.member)];
    let me = &mut world.routers[router];
    let recorded = placed.uid.or(me.memory.accepted.map(|(uid, _)| uid));
    let spares = !object.deleting && object.record.finished.is_none();
    match &mut member.app {
        Some(app) if app.ours => {
            if spares && recorded == Some(app.uid) && app.ended_by_itself() {
                me.pending = Pending::Confirmed(Found::Present(app.shown()));
                return;
            }
            me.memory.proof = Proof { submitted: app.run != Run::Fresh, nothing: None };
            app.deleting = true;
            // As long as an earlier create may still come, our finalizer keeps the name taken.
            app.held &= !settled;
        }
        Some(_) | None => {
            if !settled {
                return;
            }
            if member.stray == Stray::Driver {
                me.memory.proof.nothing = None;
                return;
            }
            let nothing = *me.memory.proof.nothing.get_or_insert(0);
            if me.memory.proof.submitted || nothing >= protocol.hang {
                me.memory.proof = Proof::default();
                me.memory.fenced = true;
            }
        }
    }
}
