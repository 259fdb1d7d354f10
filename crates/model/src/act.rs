//! An effect of a router, carried out as the controller carries it out.
//!
//! Owns no state. Each rule here is one of `controller/act`, by hand and in small.

use crate::{
    effect::{Answer, Effect, Fate, What},
    member::View,
    object::{Change, LateWrite, Placed, Write},
    remote::{land, release, stop},
    router::{Found, Memory, Pending},
    setup::{Protocol, Setup},
    world::{Create, World},
};

/// Whether a write would be taken now.
pub(crate) fn matches(world: &World, write: Write) -> bool {
    world.hub.is_some_and(|hub| write.version.is_none_or(|version| version == hub.version))
}

/// Writes to the hub if the version allows. Whether it did.
pub(crate) fn write(world: &mut World, write: Write) -> bool {
    if !matches(world, write) {
        return false;
    }
    let version = world.fresh_version();
    let Some(hub) = &mut world.hub else { return false };
    hub.version = version;
    let ended = world.history.ended;
    match write.change {
        Change::Status(record) => {
            hub.record = record;
            hub.outdated = false;
        }
        Change::Hold => hub.held = true,
        Change::LetGo => hub.held = false,
        Change::Delete => hub.deleting = true,
    }
    let end = hub.record.finished.map(|(end, _)| end);
    // A hub that is put back forgets an end, and learns of it again.
    if ended.is_some() && end != ended && !world.history.restored {
        world.history.end_changed = true;
    }
    world.history.ended = ended.or(end);
    world.history.stopping |= hub.record.stopping;
    if let Some(placed) = hub.record.placement {
        world.history.placed = world.history.placed.max(placed.seq);
    }
    if hub.deleting && !hub.held {
        world.hub = None;
    }
    true
}

/// Carries one effect out.
pub(crate) fn act(world: &mut World, router: usize, effect: Effect, setup: &Setup) {
    let Some(object) = world.routers[router].known else { return };
    let placed = object.record.placement;
    // What a read said holds for the step that follows it.
    let pending = std::mem::replace(&mut world.routers[router].pending, Pending::None);
    match effect {
        Effect::Write(what, fate, change) => written(world, router, what, fate, change, setup),
        Effect::Create(answer) => {
            if let Some(placed) = placed {
                create(world, router, placed, answer, setup);
            }
        }
        Effect::Confirm => {
            if let Some(placed) = placed {
                confirm(world, router, placed, pending, &setup.protocol);
            }
        }
        Effect::Examine => {
            if let Some(placed) = placed {
                let member = &world.members[usize::from(placed.member)];
                world.routers[router].pending = Pending::Looked(member.driver());
            }
        }
        Effect::Release(uid) => {
            if let Some(placed) = placed {
                release(world, usize::from(placed.member), uid);
                world.routers[router].memory.released = true;
            }
        }
        Effect::Retire(uid) => {
            if let Some(placed) = placed {
                let member = usize::from(placed.member);
                release(world, member, uid);
                if world.members[member].app.is_some_and(|app| app.uid == uid && app.ours && app.is_over()) {
                    world.members[member].app = None;
                }
                world.routers[router].memory.retired = true;
            }
        }
        Effect::Stop(settled) => {
            if let Some(placed) = placed {
                stop(world, router, &object, placed, settled, &setup.protocol);
            }
        }
        Effect::GiveUp => {
            world.routers[router].memory.fenced = true;
            world.history.abandoned = true;
        }
        Effect::GoOn => {
            if let Pending::Refused { found, .. } = pending {
                world.routers[router].pending = Pending::Confirmed(found);
            }
        }
        Effect::PutAside => {}
    }
}

fn written(world: &mut World, router: usize, what: What, fate: Fate, change: Write, setup: &Setup) {
    // Until it is answered, nobody knows which version of the record holds.
    let memory = &mut world.routers[router].memory;
    let claimed = memory.claimed;
    memory.claimed &= !matches!(change.change, Change::Status(_));
    if fate != Fate::Answered {
        world.faults -= 1;
    }
    match fate {
        Fate::Late => {
            let from = u8::from(router == 1);
            world.write = Some(LateWrite { from, write: change, left: setup.protocol.request });
        }
        Fate::AnswerLost => {
            write(world, change);
        }
        Fate::Answered => {
            if !write(world, change) {
                return;
            }
            let known = world.hub;
            let me = &mut world.routers[router];
            me.known = known;
            let seq = known.and_then(|hub| hub.record.placement).map(|placed| placed.seq);
            me.memory.claimed = claimed;
            me.memory.turn_to(seq);
            if known.is_none() {
                me.memory = Memory::default();
            }
            me.memory.placed_here |= what == What::Place;
            me.memory.claimed |= matches!(what, What::Place | What::Claim);
        }
    }
}

fn create(world: &mut World, router: usize, placed: Placed, answer: Answer, setup: &Setup) {
    if answer != Answer::Given {
        world.faults -= 1;
    }
    let member = usize::from(placed.member);
    world.routers[router].memory.sent = true;
    match answer {
        Answer::Late => {
            world.routers[router].memory.unanswered = Some(0);
            let late =
                Create { member: placed.member, from: u8::from(router == 1), left: setup.protocol.request };
            if let Some(slot) = world.creates.iter_mut().find(|slot| slot.is_none()) {
                *slot = Some(late);
            }
        }
        Answer::Lost => {
            world.routers[router].memory.unanswered = Some(0);
            land(world, member);
        }
        Answer::Full | Answer::Judged => {
            world.history.refused = true;
            let judged = answer == Answer::Judged;
            world.routers[router].pending = Pending::Refused { judged, found: Found::Nothing };
        }
        Answer::Given => {
            land(world, member);
            let me = &mut world.routers[router];
            match world.members[member].app {
                Some(app) if app.ours => me.memory.accepted = Some((app.uid, 0)),
                Some(_) | None => me.pending = Pending::Taken,
            }
        }
    }
}

fn confirm(world: &mut World, router: usize, placed: Placed, pending: Pending, protocol: &Protocol) {
    let member = usize::from(placed.member);
    let me = &mut world.routers[router];
    let recorded = placed.uid.or(me.memory.accepted.map(|(uid, _)| uid));
    let shown = if protocol.absence_is_read { world.members[member].shown() } else { me.views[member] };
    let found = match shown {
        View::Shows(app) if recorded.is_none_or(|recorded| recorded == app.uid) => Found::Present(app),
        View::Shows(_) | View::Absent | View::Unknown => Found::Gone,
    };
    me.pending = match pending {
        Pending::Refused { judged, .. } => Pending::Refused { judged, found },
        Pending::None | Pending::Confirmed(_) | Pending::Taken | Pending::Looked(_) => {
            Pending::Confirmed(found)
        }
    };
}
