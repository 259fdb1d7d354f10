//! The world after something happened.
//!
//! Owns no state. A fault takes one from the world's budget here, and nowhere else but in `act`.

use crate::{
    act,
    action::Action,
    member::{ATTEMPTS, App, Driver, Link, MEMBERS, Member, Run, Slot, Spot, Stray, View},
    object::{Object, Record},
    remote,
    router::{Lease, Memory, Pending, Proofs, Router},
    setup::Setup,
    world::{CREATES, History, ROUTERS, World},
};

/// The world before anything happened: the job was created, and the first router leads.
pub(crate) fn beginning(setup: &Setup) -> World {
    let object = Object::new(Record::default());
    let slot = Slot { app: None, stray: Stray::None };
    let member = Member { slots: [slot; ATTEMPTS], link: Link::Ready, drained: false };
    let mut world = World {
        hub: Some(object),
        backup: None,
        members: [member; MEMBERS],
        creates: [None; CREATES],
        write: None,
        routers: [Router {
            up: true,
            known: None,
            views: [View::Unknown; MEMBERS],
            lags: false,
            memory: Memory::default(),
            proofs: Proofs::default(),
            pending: Pending::None,
            leading: setup.protocol.caps().settle,
        }; ROUTERS],
        lease: Lease { holder: Some(0), age: 0 },
        faults: setup.bounds.faults,
        edits: setup.bounds.edits,
        history: History::default(),
    };
    for router in 0..ROUTERS {
        start_anew(&mut world, router, setup);
    }
    world.canonical(setup)
}

/// A process starts: it knows nothing but what it lists.
pub(crate) fn start_anew(world: &mut World, router: usize, setup: &Setup) {
    let views =
        world.members.map(|member| if member.link == Link::Lost { View::Unknown } else { member.shown() });
    world.routers[router] = Router {
        up: true,
        known: world.hub,
        views,
        lags: false,
        memory: Memory::default(),
        proofs: Proofs::default(),
        pending: Pending::None,
        leading: setup.protocol.caps().settle,
    };
    see_hub(world, router);
}

fn see_hub(world: &mut World, router: usize) {
    let known = world.hub;
    let me = &mut world.routers[router];
    me.known = known;
    match known {
        Some(object) => me.memory.turn_to(object.record.placement.map(|placed| placed.seq)),
        None => (me.memory, me.proofs) = (Memory::default(), Proofs::default()),
    }
}

/// The world after something happened.
pub(crate) fn after(before: &World, action: Action, setup: &Setup) -> World {
    let mut world = *before;
    happen(&mut world, action, setup);
    for router in 0..ROUTERS {
        let lost = !world.leads(router) || world.lease.age >= setup.protocol.lease;
        let me = &mut world.routers[router];
        if !me.up && lost {
            // It ends as soon as it goes on: nothing of it matters any more.
            me.known = None;
            (me.memory, me.proofs) = (Memory::default(), Proofs::default());
            me.pending = Pending::None;
            me.views = [View::Unknown; MEMBERS];
            me.leading = setup.protocol.caps().settle;
        }
        // A standby that nothing keeps from it sees everything; it decides nothing, so when it does is of no account.
        if me.up && !me.lags && !world.leads(router) {
            start_anew(&mut world, router, setup);
        }
    }
    world.canonical(setup)
}

fn happen(world: &mut World, action: Action, setup: &Setup) {
    let caps = setup.protocol.caps();
    match action {
        Action::Tick => world.grow_older(caps),
        Action::Act(router, effect) => act::act(world, router, effect, setup),
        Action::SeeHub(router) => see_hub(world, router),
        Action::SeeMember(router, member) => {
            world.routers[router].views[member] = world.members[member].shown();
        }
        Action::Lag(router) => {
            world.faults -= 1;
            world.routers[router].lags = true;
        }
        Action::Crash(router) => {
            world.faults -= 1;
            world.lease.holder = None;
            start_anew(world, router, setup);
        }
        Action::Pause(router) => {
            world.faults -= 1;
            world.routers[router].up = false;
            // What it was about to write when it was stopped is written when it goes on, as long as its lease allows.
            for create in world.creates.iter_mut().flatten() {
                if usize::from(create.from) == router {
                    create.left += setup.protocol.lease;
                }
            }
            if let Some(late) = world.write.as_mut().filter(|late| usize::from(late.from) == router) {
                late.left += setup.protocol.lease;
            }
        }
        Action::Resume(router) => {
            world.routers[router].up = true;
            if world.leads(router) && world.lease.age < setup.protocol.lease {
                world.lease.age = 0;
                // The call that was under way is written now, and ends after this.
                for create in world.creates.iter_mut().flatten().filter(|it| usize::from(it.from) == router) {
                    create.left = create.left.min(setup.protocol.request);
                    world.routers[router].memory.unanswered = Some(0);
                }
            } else {
                if world.leads(router) {
                    world.lease.holder = None;
                }
                start_anew(world, router, setup);
            }
        }
        Action::Lead(router) => {
            world.lease.holder = u8::try_from(router).ok();
            world.lease.age = 0;
            world.routers[router].leading = 0;
            world.routers[router].lags = false;
            if setup.protocol.leader_reads {
                see_hub(world, router);
            }
        }
        Action::Land(create) => {
            if let Some(late) = world.creates[create].take() {
                remote::land(world, late.spot);
            }
        }
        Action::LandWrite => {
            if let Some(late) = world.write.take() {
                act::write(world, late.write);
            }
        }
        Action::Probe(member, link) => {
            if link == Link::Suspect {
                world.faults -= 1;
            }
            world.members[member].link = link;
        }
        Action::Start(_)
        | Action::EndRun(..)
        | Action::Collect(_)
        | Action::Hang(_)
        | Action::Double(_)
        | Action::StrayDriver(_)
        | Action::StrayEnds(_)
        | Action::DeletedByHand(_)
        | Action::NamedByHand(_) => on_member(world, action),
        Action::Drain(member, drained) => {
            world.faults -= u8::from(drained);
            world.members[member].drained = drained;
        }
        Action::Delete | Action::Edit | Action::Cancel | Action::LetGo | Action::BackUp | Action::Restore => {
            on_hub(world, action);
        }
    }
}

fn on_member(world: &mut World, action: Action) {
    let by_hand = matches!(
        action,
        Action::Double(_) | Action::Hang(_) | Action::DeletedByHand(_) | Action::NamedByHand(_)
    );
    world.faults -= u8::from(by_hand);
    match action {
        Action::Start(at) => {
            if let Some(app) = &mut world.slot_mut(at).app {
                (app.run, app.hung) = (Run::Running, false);
            }
        }
        Action::EndRun(at, run) => {
            let attempt = usize::from(at.attempt);
            if let Some(app) = &mut world.slot_mut(at).app {
                app.run = run;
                let history = &mut world.history;
                history.succeeded[attempt] |= matches!(run, Run::Succeeded | Run::Doubled(Driver::Succeeded));
                history.failed[attempt] |= matches!(run, Run::Failed | Run::Doubled(Driver::Failed));
            }
        }
        Action::Collect(at) => collect(world, at),
        Action::Double(at) => {
            if let Some(app) = &mut world.slot_mut(at).app {
                app.run = Run::Doubled(Driver::Alive);
            }
        }
        Action::Hang(at) => {
            if let Some(app) = &mut world.slot_mut(at).app {
                app.hung = true;
            }
        }
        Action::StrayDriver(at) => world.slot_mut(at).stray = Stray::Driver,
        Action::StrayEnds(at) => world.slot_mut(at).stray = Stray::None,
        Action::DeletedByHand(at) => {
            if let Some(app) = &mut world.slot_mut(at).app {
                app.deleting = true;
            }
        }
        Action::NamedByHand(at) => {
            world.history.created += 1;
            world.history.foreign = true;
            let (uid, run) = (world.history.created, Run::Running);
            let foreign = App { uid, ours: false, run, deleting: false, held: false, hung: false };
            world.slot_mut(at).app = Some(foreign);
        }
        _ => {}
    }
}

/// What is being deleted goes, its driver first.
fn collect(world: &mut World, at: Spot) {
    let attempt = usize::from(at.attempt);
    let slot = world.slot_mut(at);
    let Some(app) = &mut slot.app else { return };
    if !app.held {
        let ours = app.ours;
        if app.hung {
            slot.stray = Stray::Hangs(0);
        }
        slot.app = None;
        world.history.removed[attempt] |= ours;
    } else if app.runs() {
        app.run = if app.run == Run::Running { Run::DriverLost } else { Run::Doubled(Driver::Gone) };
        world.history.killed[attempt] = true;
    }
}

fn on_hub(world: &mut World, action: Action) {
    let version = world.fresh_version();
    let Some(hub) = &mut world.hub else { return };
    match action {
        Action::Delete => {
            hub.version = version;
            hub.deleting = true;
            if !hub.held {
                world.hub = None;
            }
        }
        Action::LetGo => {
            hub.version = version;
            hub.abandoned = true;
        }
        Action::Edit => {
            hub.version = version;
            hub.outdated = true;
            world.edits -= 1;
        }
        Action::Cancel => {
            hub.version = version;
            hub.outdated = true;
            hub.cancel = !hub.cancel;
            world.edits -= 1;
            world.history.cancelled = true;
        }
        Action::BackUp => world.backup = Some(Object { version: 0, ..*hub }),
        Action::Restore => {
            world.faults -= 1;
            world.history.restored = true;
            world.hub = world.backup.map(|backup| Object { version, ..backup });
            // It was away for a while, and everybody lists anew.
            for router in 0..ROUTERS {
                see_hub(world, router);
                world.routers[router].pending = Pending::None;
            }
        }
        _ => {}
    }
}
