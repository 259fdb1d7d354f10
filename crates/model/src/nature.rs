//! What happens around the routers: the operator, the network, users, and faults.
//!
//! Owns no state. Each fault takes one from the world's budget. What is no fault happens for nothing, at any time.

use crate::{
    act::{self, Effect},
    choose,
    happen::start_anew,
    setup::Setup,
    world::{
        CREATES, Driver, History, Lease, Link, MEMBERS, Member, Memory, Object, Pending, ROUTERS, Record,
        Router, Run, Stray, View, World,
    },
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
    Start(usize),
    /// The run ends.
    EndRun(usize, Run),
    /// The operator starts it a second time, and calls it failed because its driver is there.
    Double(usize),
    /// What is being deleted goes.
    Collect(usize),
    /// A submission hangs.
    Hang(usize),
    /// A submission whose application is gone makes a driver.
    StrayDriver(usize),
    /// A driver whose application is gone is taken away.
    StrayEnds(usize),
    /// Somebody deletes the application on the member.
    DeletedByHand(usize),
    /// Somebody puts something else under the name.
    NamedByHand(usize),
    /// The user deletes the job.
    Delete,
    /// The user edits the job.
    Edit,
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
            Self::Act(_, Effect::Write(_, fate, _)) => fate == act::Fate::Answered,
            Self::Act(_, Effect::Create(answer)) => answer == act::Answer::Given,
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
            | Self::Delete
            | Self::Edit
            | Self::LetGo
            | Self::BackUp
            | Self::Restore => false,
        }
    }
}

/// The world before anything happened: the job was created, and the first router leads.
pub(crate) fn beginning(setup: &Setup) -> World {
    let object = Object {
        version: 0,
        held: false,
        deleting: false,
        abandoned: false,
        outdated: false,
        record: Record::default(),
    };
    let member = Member { app: None, link: Link::Ready, stray: Stray::None };
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

pub(crate) fn leads(world: &World, router: usize) -> bool {
    world.lease.holder == u8::try_from(router).ok()
}

/// Everything that may happen now.
pub(crate) fn actions(world: &World, setup: &Setup, out: &mut Vec<Action>) {
    out.push(Action::Tick);
    for router in 0..ROUTERS {
        routers(world, router, setup, out);
    }
    for (create, _) in world.creates.iter().enumerate().filter(|(_, create)| create.is_some()) {
        out.push(Action::Land(create));
    }
    if world.write.is_some() {
        out.push(Action::LandWrite);
    }
    for member in 0..MEMBERS {
        members(world, member, setup, out);
    }
    users(world, setup, out);
}

fn routers(world: &World, router: usize, setup: &Setup, out: &mut Vec<Action>) {
    let me = &world.routers[router];
    let faulty = world.faults > 0 && setup.bounds.processes;
    if !me.up {
        return out.push(Action::Resume(router));
    }
    if !leads(world, router) {
        if world.lease.age >= setup.protocol.lease {
            out.push(Action::Lead(router));
        }
        if faulty && !me.lags {
            out.push(Action::Lag(router));
        }
        return;
    }
    // A pass holds on to the version that it began with.
    if me.pending == Pending::None && me.known != world.hub {
        out.push(Action::SeeHub(router));
    }
    for (at, member) in world.members.iter().enumerate() {
        if member.link != Link::Lost && me.views[at] != member.shown() {
            out.push(Action::SeeMember(router, at));
        }
    }
    if faulty {
        out.extend([Action::Crash(router), Action::Pause(router)]);
    }
    let mut effects = Vec::new();
    choose::effects(world, router, setup, &mut effects);
    out.extend(effects.into_iter().map(|effect| Action::Act(router, effect)));
}

fn members(world: &World, at: usize, setup: &Setup, out: &mut Vec<Action>) {
    let member = &world.members[at];
    let faulty = world.faults > 0;
    match member.link {
        Link::Ready if faulty && setup.bounds.silence => out.push(Action::Probe(at, Link::Suspect)),
        Link::Ready => {}
        Link::Suspect => out.extend([Action::Probe(at, Link::Ready), Action::Probe(at, Link::Lost)]),
        Link::Lost => out.push(Action::Probe(at, Link::Ready)),
    }
    if let Some(app) = member.app {
        match app.run {
            Run::Fresh if !app.deleting => {
                out.push(Action::Start(at));
                if faulty && setup.bounds.hangs && app.ours && !app.hung {
                    out.push(Action::Hang(at));
                }
            }
            Run::Running if app.ours => {
                out.extend([Action::EndRun(at, Run::Succeeded), Action::EndRun(at, Run::Failed)]);
                if faulty && setup.bounds.doubles && !app.deleting {
                    out.push(Action::Double(at));
                }
            }
            Run::Doubled(Driver::Alive) => out.extend([
                Action::EndRun(at, Run::Doubled(Driver::Succeeded)),
                Action::EndRun(at, Run::Doubled(Driver::Failed)),
            ]),
            Run::Fresh | Run::Running | Run::Succeeded | Run::Failed | Run::DriverLost | Run::Doubled(_) => {}
        }
        if app.deleting {
            out.push(Action::Collect(at));
        } else if faulty && setup.bounds.hands && app.ours {
            out.push(Action::DeletedByHand(at));
        }
    } else if faulty && setup.bounds.hands {
        out.push(Action::NamedByHand(at));
    }
    match member.stray {
        Stray::None => {}
        Stray::Hangs(_) => out.push(Action::StrayDriver(at)),
        Stray::Driver => out.push(Action::StrayEnds(at)),
    }
}

/// Nothing is on its way, and everybody sees what members have: whatever the job came to left its trace.
fn is_seen(world: &World) -> bool {
    let still = world.creates.iter().all(Option::is_none) && world.write.is_none();
    let ready = world.members.iter().all(|member| member.link == Link::Ready);
    let sees = |router: &Router| {
        router.views.iter().zip(&world.members).all(|(view, member)| *view == member.shown())
    };
    let history = &world.history;
    let trace = world.members.iter().any(|member| member.app.is_some_and(|app| app.ours));
    let unborn = history.ended.is_none() && !history.removed;
    still && ready && (trace || unborn) && world.routers.iter().all(sees)
}

fn users(world: &World, setup: &Setup, out: &mut Vec<Action>) {
    let Some(hub) = world.hub else { return };
    if setup.bounds.deletion {
        if !hub.deleting {
            out.push(Action::Delete);
        } else if hub.record.explained && !hub.abandoned {
            out.push(Action::LetGo);
        }
    }
    if world.edits > 0 {
        out.push(Action::Edit);
    }
    if setup.bounds.restores {
        match world.backup {
            None => out.push(Action::BackUp),
            // What left no trace that a router sees can't be found out.
            Some(_) if world.faults > 0 && is_seen(world) => out.push(Action::Restore),
            Some(_) => {}
        }
    }
}
