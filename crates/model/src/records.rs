//! What is written of a job, as `controller/status` writes it, in small.
//!
//! Owns no state. Where and when something is written is decided by the core alone.

use spark_router_core::{
    job::Left,
    phase::Phase,
    refusal::RefusalClass,
    step::{Cause, Requeue},
};

use crate::{
    bridge,
    member::{Shown, Spot},
    object::{Past, Placed, Record},
    router::Router,
};

/// It is placed.
pub(crate) fn placed_anew(record: &Record, placement: Placed) -> Record {
    Record {
        phase: Some(Phase::Dispatched),
        attempts: placement.spot.attempt + 1,
        placement: Some(placement),
        application: None,
        unreachable: false,
        waiting: false,
        explained: false,
        stopping: None,
        ..*record
    }
}

/// What a member shows is put on record. What is older than it and still there is stopped, or taken away in time.
pub(crate) fn adopted(record: &Record, placement: Placed, router: &Router) -> Record {
    let mut next = placed_anew(record, placement);
    let mut known = false;
    for spot in Spot::all() {
        let Shown::App(app) = router.views[usize::from(spot.member)].of(spot.attempt) else { continue };
        if !app.ours || Some(app.uid) == placement.uid {
            continue;
        }
        known |= record.placement.is_some_and(|replaced| replaced.spot.attempt == spot.attempt);
        next.remember(Past { spot, uid: Some(app.uid), age: 0, may_run: !bridge::proves_end(app) });
    }
    if let Some(replaced) = record.placement.filter(|_| !known) {
        next.remember(Past { spot: replaced.spot, uid: replaced.uid, age: 0, may_run: true });
    }
    next
}

/// The placement is taken back. That uses up no attempt.
pub(crate) fn withdrawn(record: &Record, cause: &Cause) -> Record {
    let mut next = *record;
    let Some(placed) = next.placement.take() else { return next };
    if matches!(cause, Cause::Refused(refusal) if refusal.class == RefusalClass::Job) {
        next.refused[usize::from(placed.spot.member)] = true;
    }
    next.attempts = placed.spot.attempt;
    next.phase = Some(Phase::Queued);
    next.application = None;
    next.unreachable = false;
    next.waiting = true;
    next
}

/// The attempt is over and is followed by another.
pub(crate) fn requeued(record: &Record, requeue: &Requeue) -> Record {
    let mut next = *record;
    let Some(placed) = next.placement.take() else { return next };
    if let Some(left) = requeue.left {
        let uid = requeue.uid.as_ref().map(bridge::number).or(placed.uid);
        next.remember(Past { spot: placed.spot, uid, age: 0, may_run: left == Left::MayRun });
    }
    next.phase = Some(Phase::Queued);
    next.application = None;
    next.stopping = None;
    next.unreachable = false;
    next.explained = false;
    next.waiting = true;
    next.retries += u8::from(requeue.is_retry);
    next
}
