//! What may happen now: what routers do, and around them the operator, the network, users, and faults.
//!
//! Owns no state. Each fault takes one from the world's budget. What is no fault happens for nothing, at any time.

use crate::{
    action::Action,
    choose,
    member::{Driver, Link, MEMBERS, Run, Spot, Stray},
    router::{Pending, Router},
    setup::Setup,
    world::{ROUTERS, World},
};

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
    for at in Spot::all().filter(|spot| spot.attempt < setup.bounds.attempts) {
        attempts(world, at, setup, out);
    }
    users(world, setup, out);
}

fn routers(world: &World, router: usize, setup: &Setup, out: &mut Vec<Action>) {
    let me = &world.routers[router];
    let faulty = world.faults > 0 && setup.bounds.processes;
    if !me.up {
        return out.push(Action::Resume(router));
    }
    if !world.leads(router) {
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
    if setup.bounds.drains && (member.drained || faulty) {
        out.push(Action::Drain(at, !member.drained));
    }
}

fn attempts(world: &World, at: Spot, setup: &Setup, out: &mut Vec<Action>) {
    let slot = world.slot(at);
    let faulty = world.faults > 0;
    if let Some(app) = slot.app {
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
    match slot.stray {
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
    let shows = |spot: Spot| world.slot(spot).app.is_some_and(|app| app.ours);
    let placed = world.hub.and_then(|hub| hub.record.placement);
    // Of the newest attempt: with an older one alone nothing tells how the job went on.
    let trace =
        Spot::all().any(shows) && placed.is_none_or(|placed| placed.spot.attempt == 0 || shows(placed.spot));
    let unborn = history.ended.is_none() && !history.removed.contains(&true);
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
    if world.edits > 0 && !setup.bounds.cancel {
        out.push(Action::Edit);
    }
    // Later it is an edit like any other.
    if world.edits > 0 && setup.bounds.cancel && !hub.deleting && hub.record.finished.is_none() {
        out.push(Action::Cancel);
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
