//! What a router may do now: the step that the core names, with each fate that its call may meet.
//!
//! Owns no state. The decision itself is never made here.

use spark_router_core::{
    phase::Phase,
    step::{DeletionWaits, Outcome, PastStep, Step, name_taken, refused_by_all},
};

use crate::{
    act::matches,
    bridge::{self, Next},
    clock::has_come,
    effect::{Answer, Effect, Fate, What},
    member::{ATTEMPTS, Link, Spot},
    object::{Change, Object, Placed, Record, Write},
    records::{adopted, placed_anew, requeued, withdrawn},
    router::Pending,
    setup::{Bounds, Setup},
    world::World,
};

/// Everything that this router may do now: one step of the core, with each fate.
pub(crate) fn effects(world: &World, router: usize, setup: &Setup, out: &mut Vec<Effect>) {
    let me = &world.routers[router];
    let Some(object) = me.known else { return };
    if me.pending == Pending::Taken {
        if let Some(placed) = object.record.placement {
            finish(world, &object, &name_taken(&bridge::placement(placed), "foreign"), setup, out);
        }
        return;
    }
    if let Pending::Closing(spot) = me.pending {
        let mut next = object.record;
        next.close(spot);
        return writes(world, &object, What::Close, Change::Status(next), setup, out);
    }
    let next = match bridge::ask(world, me, &object, setup) {
        Next::Step(next) => next,
        Next::NotYet => return out.push(Effect::PutAside),
    };
    let refused = matches!(me.pending, Pending::Refused { .. });
    let status = |what, record, out: &mut Vec<Effect>| {
        writes(world, &object, what, Change::Status(record), setup, out);
    };
    let record = object.record;
    match next {
        Step::Hold => writes(world, &object, What::Hold, Change::Hold, setup, out),
        Step::Enqueue => place(world, &object, setup, out),
        Step::Confirm => {
            if placed_link(world, &record) != Some(Link::Lost) {
                out.push(Effect::Confirm);
            }
        }
        Step::Withdraw(cause) => status(What::Withdraw, withdrawn(&record, &cause), out),
        Step::Finish(outcome) => finish(world, &object, &outcome, setup, out),
        // The rest of what a refusal may lead to is left to the next look, which sees what this one did.
        _ if refused => out.push(Effect::GoOn),
        Step::Adopt(trace) => {
            let (spot, uid) = bridge::traced(&trace);
            let seq = world.history.placed.max(1);
            let placement = Placed { spot, seq, age: 0, uid: Some(uid) };
            status(What::Adopt, adopted(&record, placement, me), out);
        }
        Step::Claim => status(What::Claim, record, out),
        Step::Submit => {
            if placed_link(world, &record) == Some(Link::Ready) {
                creates(world, &setup.bounds, out);
            }
        }
        Step::Mirror(mirror) => {
            let record = bridge::mirror(&record, &mirror);
            let mut written = Write { version: Some(object.version), change: Change::Status(record) };
            if !setup.protocol.mirrors_carry_their_version {
                written.version = None;
            }
            fates(world, What::Mirror, written, setup, out);
        }
        Step::Unreachable(_) => status(What::Unreachable, Record { unreachable: true, ..record }, out),
        Step::Latch(stopping) => {
            let stopping = Some(bridge::latched(&stopping));
            let record = Record { stopping, phase: Some(Phase::Cancelling), ..record };
            status(What::Latch, record, out);
        }
        Step::Requeue(requeue) => status(What::Requeue, requeued(&record, &requeue), out),
        Step::Past(past, step) => on_past(world, &object, bridge::spot_of(&past), &step, setup, out),
        Step::Explain(waits) => {
            let unreachable = record.unreachable || !matches!(waits, DeletionWaits::Member(_));
            let phase = Some(Phase::Cancelling);
            let explained = Record { explained: true, phase, ..record };
            // The condition of the member is written for a stop only.
            let next = if object.deleting { explained } else { Record { unreachable, ..explained } };
            if next != record || object.outdated {
                status(What::Explain, next, out);
            }
        }
        Step::Observe => status(What::Observe, record, out),
        Step::Expire => writes(world, &object, What::Expire, Change::Delete, setup, out),
        Step::LetGo => writes(world, &object, What::LetGo, Change::LetGo, setup, out),
        Step::Release(uid) => on_member(world, &record, Effect::Release(bridge::number(&uid)), out),
        Step::Retire(uid) => on_member(world, &record, Effect::Retire(bridge::number(&uid)), out),
        Step::Stop { settled_at } => {
            on_member(world, &record, Effect::Stop(has_come(settled_at)), out);
        }
        Step::Abandon => out.push(Effect::GiveUp),
        Step::Examine => on_member(world, &record, Effect::Examine, out),
        // Every template is good, and its owner asks for nothing else: see the crate's page.
        Step::Reject(_) | Step::Suspend | Step::Pause(_) | Step::Rest { .. } => {
            if me.pending != Pending::None {
                out.push(Effect::PutAside);
            }
        }
    }
}

fn placed_link(world: &World, record: &Record) -> Option<Link> {
    Some(world.members[usize::from(record.placement?.spot.member)].link)
}

fn on_member(world: &World, record: &Record, effect: Effect, out: &mut Vec<Effect>) {
    // A lost member is not asked; one that is only suspect may still answer.
    if placed_link(world, record).is_some_and(|link| link != Link::Lost) {
        out.push(effect);
    }
}

fn on_past(
    world: &World,
    object: &Object,
    spot: Spot,
    step: &PastStep,
    setup: &Setup,
    out: &mut Vec<Effect>,
) {
    let effect = match step {
        PastStep::Stop { settled_at } => Effect::StopPast(spot, has_come(*settled_at)),
        PastStep::Release(uid) => Effect::ReleasePast(spot, bridge::number(uid)),
        PastStep::Retire(uid) => Effect::RetirePast(spot, bridge::number(uid)),
        PastStep::Abandon => Effect::GiveUpPast(spot),
        PastStep::Close => {
            let mut next = object.record;
            next.close(spot);
            return writes(world, object, What::Close, Change::Status(next), setup, out);
        }
    };
    out.push(effect);
}

/// The dispatcher of the simplest kind: any member that takes work and has not refused the job.
fn place(world: &World, object: &Object, setup: &Setup, out: &mut Vec<Effect>) {
    let record = object.record;
    let bounds = &setup.bounds;
    let mut waits = true;
    for (member, at) in (0..).zip(&world.members) {
        if at.link == Link::Ready
            && !at.drained
            && !record.refused[usize::from(member)]
            && world.history.placed < bounds.placements
            && usize::from(record.attempts) < ATTEMPTS.min(bounds.attempts.into())
        {
            waits = false;
            let seq = world.history.placed + 1;
            let spot = Spot { member, attempt: record.attempts };
            let next = placed_anew(&record, Placed { spot, seq, age: 0, uid: None });
            writes(world, object, What::Place, Change::Status(next), setup, out);
        }
    }
    if !waits {
        return;
    }
    if record.refused.iter().all(|refused| *refused) {
        let outcome = refused_by_all(&bridge::record_of(object, setup));
        return finish(world, object, &outcome, setup, out);
    }
    let next = Record { waiting: true, phase: Some(Phase::Queued), ..record };
    if next != record || object.outdated {
        writes(world, object, What::Wait, Change::Status(next), setup, out);
    }
}

fn finish(world: &World, object: &Object, outcome: &Outcome, setup: &Setup, out: &mut Vec<Effect>) {
    let next = bridge::finish(&object.record, outcome);
    writes(world, object, What::Finish, Change::Status(next), setup, out);
}

fn writes(world: &World, object: &Object, what: What, change: Change, setup: &Setup, out: &mut Vec<Effect>) {
    fates(world, what, Write { version: Some(object.version), change }, setup, out);
}

fn fates(world: &World, what: What, write: Write, setup: &Setup, out: &mut Vec<Effect>) {
    out.push(Effect::Write(what, Fate::Answered, write));
    if world.faults == 0 || !matches(world, write) {
        return;
    }
    out.push(Effect::Write(what, Fate::AnswerLost, write));
    if setup.bounds.late_writes && world.write.is_none() {
        out.push(Effect::Write(what, Fate::Late, write));
    }
}

fn creates(world: &World, bounds: &Bounds, out: &mut Vec<Effect>) {
    out.push(Effect::Create(Answer::Given));
    if world.faults == 0 {
        return;
    }
    out.push(Effect::Create(Answer::Lost));
    if bounds.refusals {
        out.extend([Effect::Create(Answer::Full), Effect::Create(Answer::Judged)]);
    }
    if world.creates.contains(&None) {
        out.push(Effect::Create(Answer::Late));
    }
}
