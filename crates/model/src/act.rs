//! An effect of a router, carried out as the controller carries it out.
//!
//! Owns no state. Each rule here is one of `controller/act`, by hand and in small.

use crate::{
    effect::{Answer, Effect, Fate, What},
    member::Shown,
    object::{Change, LateWrite, Object, Placed, Stop, Write},
    remote::{self, Fence, Order},
    router::{Found, Memory, Pending, Proofs},
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
    let before = hub.record;
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
    let record = hub.record;
    world.history.stopping |= record.stopping.is_some();
    if let Some(placed) = record.placement {
        world.history.placed = world.history.placed.max(placed.seq);
    }
    for past in record.past.iter().flatten().filter(|past| past.may_run) {
        let (member, attempt) = past.spot.indices();
        world.history.left[member][attempt] = true;
    }
    let followed = before.stopping.is_some_and(Stop::is_move) && record.placement.is_none();
    if before.stopping != record.stopping
        && before.stopping.is_some()
        && record.finished.is_none()
        && !followed
    {
        world.history.revived = true;
    }
    if hub.deleting && !hub.held {
        world.hub = None;
    }
    true
}

/// Carries one effect out.
pub(crate) fn act(world: &mut World, router: usize, effect: Effect, setup: &Setup) {
    let Some(object) = world.routers[router].known else { return };
    // What a read said holds for the step that follows it.
    let pending = std::mem::replace(&mut world.routers[router].pending, Pending::None);
    match effect {
        Effect::Write(what, fate, change) => written(world, router, what, fate, change, setup),
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
        Effect::StopPast(..) | Effect::ReleasePast(..) | Effect::RetirePast(..) | Effect::GiveUpPast(_) => {
            on_past(world, router, effect, setup);
        }
        Effect::Create(_)
        | Effect::Confirm
        | Effect::Examine
        | Effect::Release(_)
        | Effect::Retire(_)
        | Effect::Stop(_) => {
            if let Some(placed) = object.record.placement {
                on_placed(world, router, &object, placed, effect, pending, setup);
            }
        }
    }
}

/// What is done on the member of the placement.
fn on_placed(
    world: &mut World,
    router: usize,
    object: &Object,
    placed: Placed,
    effect: Effect,
    pending: Pending,
    setup: &Setup,
) {
    match effect {
        Effect::Create(answer) => create(world, router, placed, answer, setup),
        Effect::Confirm => confirm(world, router, placed, pending, &setup.protocol),
        Effect::Examine => {
            world.routers[router].pending = Pending::Looked(world.slot(placed.spot).driver());
        }
        Effect::Release(uid) => {
            remote::release(world, placed.spot, uid);
            world.routers[router].memory.released = true;
        }
        Effect::Retire(uid) => {
            remote::release(world, placed.spot, uid);
            remote::retire(world, placed.spot, uid);
            world.routers[router].memory.retired = true;
        }
        Effect::Stop(settled) => {
            let accepted = world.routers[router].memory.accepted.map(|(uid, _)| uid);
            let order = Order {
                spot: placed.spot,
                uid: placed.uid.or(accepted),
                // A job that is deleted or over has no use for another end.
                spares: !object.deleting && object.record.finished.is_none(),
                settled,
            };
            let fence = remote::stop(world, router, order, &setup.protocol);
            let me = &mut world.routers[router];
            match fence {
                Fence::Proven => me.memory.fenced = true,
                Fence::Ended(app) => me.pending = Pending::Confirmed(Found::Present(app)),
                Fence::Pending => {}
            }
        }
        _ => {}
    }
}

/// What is done about an attempt before the present one.
fn on_past(world: &mut World, router: usize, effect: Effect, setup: &Setup) {
    match effect {
        Effect::StopPast(spot, settled) => {
            // The present attempt counts, whatever this one comes to.
            let order = Order { spot, uid: None, spares: false, settled };
            if let Fence::Proven = remote::stop(world, router, order, &setup.protocol) {
                world.routers[router].pending = Pending::Closing(spot);
            }
        }
        Effect::ReleasePast(spot, uid) => remote::release(world, spot, uid),
        Effect::RetirePast(spot, uid) => {
            remote::retire(world, spot, uid);
            world.routers[router].pending = Pending::Closing(spot);
        }
        Effect::GiveUpPast(spot) => {
            world.history.abandoned = true;
            world.routers[router].pending = Pending::Closing(spot);
        }
        _ => {}
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
                (me.memory, me.proofs) = (Memory::default(), Proofs::default());
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
    world.routers[router].memory.sent = true;
    match answer {
        Answer::Late => {
            world.routers[router].memory.unanswered = Some(0);
            let late =
                Create { spot: placed.spot, from: u8::from(router == 1), left: setup.protocol.request };
            if let Some(slot) = world.creates.iter_mut().find(|slot| slot.is_none()) {
                *slot = Some(late);
            }
        }
        Answer::Lost => {
            world.routers[router].memory.unanswered = Some(0);
            remote::land(world, placed.spot);
        }
        Answer::Full | Answer::Judged => {
            world.history.refused = true;
            let judged = answer == Answer::Judged;
            world.routers[router].pending = Pending::Refused { judged, found: Found::Nothing };
        }
        Answer::Given => {
            remote::land(world, placed.spot);
            let app = world.slot(placed.spot).app;
            let me = &mut world.routers[router];
            match app {
                Some(app) if app.ours => me.memory.accepted = Some((app.uid, 0)),
                Some(_) | None => me.pending = Pending::Taken,
            }
        }
    }
}

fn confirm(world: &mut World, router: usize, placed: Placed, pending: Pending, protocol: &Protocol) {
    let (member, attempt) = (usize::from(placed.spot.member), placed.spot.attempt);
    let me = &mut world.routers[router];
    let recorded = placed.uid.or(me.memory.accepted.map(|(uid, _)| uid));
    let view = if protocol.absence_is_read { world.members[member].shown() } else { me.views[member] };
    let found = match view.of(attempt) {
        Shown::App(app) if recorded.is_none_or(|recorded| recorded == app.uid) => Found::Present(app),
        Shown::App(_) | Shown::Absent | Shown::Unknown => Found::Gone,
    };
    me.pending = match pending {
        Pending::Refused { judged, .. } => Pending::Refused { judged, found },
        Pending::None | Pending::Confirmed(_) | Pending::Taken | Pending::Looked(_) | Pending::Closing(_) => {
            Pending::Confirmed(found)
        }
    };
}
