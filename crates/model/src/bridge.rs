//! Between the small world and the core: a router's part of the world becomes a snapshot, and the step that the core
//! names for it becomes something to do in the world.
//!
//! Owns no state. Must never decide anything itself: what is asked is the core's own [`step`] and [`after_refusal`].

mod names;
mod take;
mod tell;

pub(crate) use names::number;
pub(crate) use take::{finish, latched, mirror, spot_of, traced};
pub(crate) use tell::{placement, proves_end, record_of};

use spark_router_core::{
    observe::{FailureSign, Remote},
    refusal::{Refusal, RefusalClass},
    step::{DriverSeen, Elsewhere, Sends, Snapshot, Step, Timing, after_refusal, step},
};

use crate::{
    clock::{ago, now, ticks},
    member::{Driver, Link, MEMBERS},
    object::{Object, Stop},
    router::{Found, Pending, Router},
    setup::Setup,
    world::World,
};
use names::uid;
use tell::{confirmed, job, member, past_views, remote, traces, unheard};

/// What a router does next, as the core says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// A step.
    Step(Step),
    /// A refusal that may not be believed yet.
    NotYet,
}

/// Asks the core what the router does next for the job that it knows.
pub(crate) fn ask(world: &World, router: &Router, object: &Object, setup: &Setup) -> Next {
    let protocol = &setup.protocol;
    let job = job(object, setup);
    let placed = object.record.placement;
    let remote = placed.map_or(Remote::Unknown, |placed| remote(router, placed));
    let member = placed.map(|placed| member(world, placed.spot.member));
    let memory = &router.memory;
    let sends = Sends {
        placed_here: memory.placed_here,
        claimed: memory.claimed || !protocol.claims,
        last: memory.sent.then(|| ago(memory.unanswered.unwrap_or(0))),
        unanswered: memory.unanswered.map(ago),
        accepted: memory.accepted.map(|(number, age)| (uid(number), ago(age))),
        not_before: None,
        looked: None,
    };
    let found = match router.pending {
        Pending::Confirmed(found) | Pending::Refused { found, .. } => found,
        Pending::None | Pending::Taken | Pending::Looked(_) | Pending::Closing(_) => Found::Nothing,
    };
    let driver = match router.pending {
        Pending::Looked(Driver::Alive) => DriverSeen::Alive,
        Pending::Looked(Driver::Succeeded) => DriverSeen::Succeeded,
        Pending::Looked(Driver::Failed) => DriverSeen::Failed(FailureSign::Application, String::new()),
        Pending::Looked(Driver::Gone) => DriverSeen::Gone,
        Pending::None
        | Pending::Confirmed(_)
        | Pending::Refused { .. }
        | Pending::Taken
        | Pending::Closing(_) => DriverSeen::Nothing,
    };
    let confirmed = confirmed(found, placed.map_or(0, |placed| placed.spot.attempt));
    let inherited = object.record.finished.is_none() && !memory.placed_here;
    let traces = if inherited { traces(router) } else { Vec::new() };
    let past = if protocol.remembers { past_views(world, router, object, protocol) } else { Vec::new() };
    let elsewhere = Elsewhere { past, traces, unheard: placed.is_some_and(|placed| unheard(router, placed)) };
    let moves = object.record.stopping.is_some_and(Stop::is_move);
    let timing: Timing = protocol.timing();
    let suspects = world.members.iter().filter(|member| member.link == Link::Suspect).count();
    let snapshot = Snapshot {
        job: &job,
        remote: &remote,
        member,
        sends: &sends,
        confirmed: &confirmed,
        driver: &driver,
        fenced: memory.fenced || (moves && !protocol.fences),
        elsewhere: &elsewhere,
        leading_since: ago(router.leading),
        mirrored_at: None,
        retention: ticks(protocol.retention),
        fleet_in_doubt: suspects * 2 > MEMBERS,
        frozen_until: None,
        longest_run: protocol.longest_run.map(ticks),
        expires: None,
        hold_fire_until: None,
        timing: &timing,
        now: now(),
    };
    match (router.pending, &job.record.placement) {
        (Pending::Refused { judged, .. }, Some(placement)) => {
            let class = if judged { RefusalClass::Job } else { RefusalClass::Capacity };
            let refusal = Refusal { class, reason: "Refused", message: String::new() };
            after_refusal(snapshot, placement, refusal).map_or(Next::NotYet, Next::Step)
        }
        _ => Next::Step(step(snapshot)),
    }
}
