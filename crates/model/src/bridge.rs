//! Between the small world and the core: a router's part of the world becomes a snapshot, and the step that the core
//! names for it becomes something to do in the world.
//!
//! Owns no state. Must never decide anything itself: what is asked is the core's own [`step`] and [`after_refusal`].

mod names;
mod take;
mod tell;

pub(crate) use names::number;
pub(crate) use take::{finish, mirror, traced};
pub(crate) use tell::{placement, record_of};

use spark_router_core::{
    observe::{FailureSign, Remote},
    refusal::{Refusal, RefusalClass},
    step::{DriverSeen, Elsewhere, MemberView, Sends, Snapshot, Step, Timing, after_refusal, step},
};

use crate::{
    clock::{ago, now, ticks},
    member::{Driver, Link, MEMBERS},
    object::Object,
    router::{Found, Pending, Router},
    setup::Protocol,
    world::World,
};
use names::uid;
use tell::{confirmed, job, link, remote, traces, unheard};

/// What a router does next, as the core says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// A step.
    Step(Step),
    /// A refusal that may not be believed yet.
    NotYet,
}

/// Asks the core what the router does next for the job that it knows.
pub(crate) fn ask(world: &World, router: &Router, object: &Object, protocol: &Protocol) -> Next {
    let job = job(object);
    let placed = object.record.placement;
    let remote = placed.map_or(Remote::Unknown, |placed| remote(router, placed));
    let member = placed.map(|placed| MemberView {
        link: link(world.members[usize::from(placed.member)].link),
        usable: true,
        forgotten: false,
        drained: false,
    });
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
        Pending::None | Pending::Taken | Pending::Looked(_) => Found::Nothing,
    };
    let driver = match router.pending {
        Pending::Looked(Driver::Alive) => DriverSeen::Alive,
        Pending::Looked(Driver::Succeeded) => DriverSeen::Succeeded,
        Pending::Looked(Driver::Failed) => DriverSeen::Failed(FailureSign::Application, String::new()),
        Pending::Looked(Driver::Gone) => DriverSeen::Gone,
        Pending::None | Pending::Confirmed(_) | Pending::Refused { .. } | Pending::Taken => {
            DriverSeen::Nothing
        }
    };
    let confirmed = confirmed(found);
    let inherited = object.record.finished.is_none() && !memory.placed_here;
    let traces = if inherited { traces(router) } else { Vec::new() };
    let elsewhere =
        Elsewhere { past: Vec::new(), traces, unheard: placed.is_some_and(|placed| unheard(router, placed)) };
    let timing: Timing = protocol.timing();
    let suspects = world.members.iter().filter(|member| member.link == Link::Suspect).count();
    let snapshot = Snapshot {
        job: &job,
        remote: &remote,
        member,
        sends: &sends,
        confirmed: &confirmed,
        driver: &driver,
        fenced: memory.fenced,
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
