//! Effects on a member.
//!
//! Owns no state. What may have been sent is remembered before it is sent, so that a pass that is cut off leaves the
//! careful answer behind: sent, and not answered.

use std::sync::Arc;

use jiff::Timestamp;
use spark_router_api::{RoutedSparkJob, condition::reason};
use spark_router_core::{
    id::RemoteUid,
    job::Placement,
    refusal::Refusal,
    step::{Confirmed, DeletionWaits, DriverSeen, Step, after_refusal, name_taken, settled_at},
};
use spark_router_member::{Confirmation, Created, Driver, Fence, Member, Rendered, StopOrder};
use tracing::{debug, warn};

use super::{
    Next, SILENT_SECONDS, UNCLEAR_SECONDS, explain, finish, in_seconds, place, seconds_since, trouble, write,
};
use crate::{
    context::Context,
    convert,
    error::Error,
    gather::Gathered,
    memory::{Delay, Entry, Gone},
    metrics::MemberLabels,
    status::Change,
};

/// A member that takes no create now calls when it does; this is for a call that got lost.
const BUSY_SECONDS: i64 = 10;
/// Why a create gets no further is written at most this often.
const TOLD_SECONDS: i64 = 60;
/// Failed passes after which a finished application is left to the sweep.
const RETIRE_TRIES: u32 = 4;

pub(super) async fn submit(
    at: &Gathered,
    context: &Context,
    placement: &Placement,
    member: &Arc<dyn Member>,
) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let status = at.object.status.as_ref();
    let order = at.order(placement)?;
    let drifted = |recorded: &str| match &job.request {
        Ok(request) => request.spec_hash != recorded,
        Err(_) => convert::spec_hash(&order.template) != recorded,
    };
    if status.and_then(|status| status.spec_hash.as_deref()).is_some_and(drifted) {
        return write(at, context, &Change::Drifted).await.map(Next::written);
    }
    if at.parsed.parts.is_none() {
        // What its queue fixes must be on the application: without the queue it is not created.
        warn!(queue = %placement.queue, "the queue is gone or refuses the template now; the application is not created");
        return Ok(Next::Rest(Some(super::in_seconds(BUSY_SECONDS))));
    }
    let rendered = member.render(order, at.entry.rendered.clone());
    let recorded = status.and_then(|status| status.placement.as_ref()?.render_hash.as_deref());
    if recorded != Some(rendered.hash()) {
        // Queue or member set something else since it was placed: what is created is what is on record.
        let written = write(at, context, &Change::Rendered(rendered.hash())).await?;
        context.memory.change(&job.uid, |entry| entry.rendered = Some(rendered));
        return Ok(Next::written(written));
    }
    // Before the call: if this pass is cut off, the create counts as sent and unanswered.
    let before = context.memory.change(&job.uid, |entry| {
        let before = entry.sends.clone();
        entry.sends.last = Some(Timestamp::now());
        entry.sends.unanswered = entry.sends.last;
        entry.rendered = Some(rendered.clone());
        before
    });
    let settled = settled_at(at.snapshot(context), placement);
    let answer = member.submit(&rendered, settled).await;
    // This send is answered; an earlier one that never was may still take effect.
    let answered = || {
        context.memory.change(&job.uid, |entry| {
            entry.sends.unanswered = before.unanswered;
            entry.clone()
        })
    };
    match answer {
        Created::Accepted(uid) => {
            context.memory.change(&job.uid, |entry| {
                entry.sends.unanswered = before.unanswered;
                entry.sends.accepted = Some((uid, at.now));
                entry.create_failures = 0;
                entry.rendered = None;
                entry.delay = None;
            });
            context.dispatcher.dispatched(job.uid.clone()).await;
            let labels = MemberLabels { member_cluster: placement.cluster.as_str().to_owned() };
            context.metrics.dispatch_latency.get_or_create(&labels).observe(seconds_since(placement.at));
            Ok(Next::Again)
        }
        Created::Refused(refusal) => {
            let entry = answered();
            refused(Gathered { entry, ..at.clone() }, context, placement, refusal).await
        }
        Created::NameTaken(whose) => finish::finish(at, context, name_taken(placement, &whose)).await,
        Created::Busy(why) => {
            context.memory.change(&job.uid, |entry| entry.sends = before);
            debug!(why, cluster.name = %placement.cluster, "not sent");
            delayed(at, context, reason::NOT_SENT, &why).await?;
            // The member calls when that changes.
            Ok(Next::Rest(Some(in_seconds(BUSY_SECONDS))))
        }
        Created::Settling { until, waits_for } => {
            context.memory.change(&job.uid, |entry| {
                entry.sends = before;
                entry.sends.not_before = Some(until);
            });
            debug!(waits_for, %until, cluster.name = %placement.cluster, "not sent");
            delayed(at, context, reason::UNANSWERED, &waits_for).await?;
            Ok(Next::Rest(Some(until)))
        }
        Created::NotSent(why) => {
            let wait = context.memory.change(&job.uid, |entry| {
                entry.sends = before;
                back_off(entry)
            });
            debug!(why, cluster.name = %placement.cluster, "not sent; tried again");
            delayed(at, context, reason::NOT_SENT, &why).await?;
            Ok(Next::Rest(Some(wait)))
        }
        Created::Unclear(why) => {
            let failures = context.memory.change(&job.uid, |entry| {
                // Counted from the end of the call: all of it may have been spent on the way.
                entry.sends.unanswered = Some(Timestamp::now());
                back_off(entry);
                entry.create_failures
            });
            warn!(why, failures, cluster.name = %placement.cluster, "a create was not answered; it is sent again");
            let labels = trouble(placement, "Unanswered");
            context.metrics.unclear.get_or_create(&labels).inc();
            let written = delayed(at, context, reason::UNANSWERED, &why).await?;
            Ok(written.map_or(Next::Again, |object| Next::Written(Box::new(object))))
        }
    }
}

/// The next create of this placement waits: one second after the first failure, doubling to half a minute.
fn back_off(entry: &mut Entry) -> Timestamp {
    let wait = in_seconds(1 << entry.create_failures.min(5));
    entry.create_failures = entry.create_failures.saturating_add(1);
    entry.sends.not_before = Some(wait);
    wait
}

/// Says of a placed job why it is not sent, where that takes long. A pass that is cut off after this has sent nothing more.
/// Seldom, because what it waits for may read differently each time.
async fn delayed(
    at: &Gathered,
    context: &Context,
    reason: &'static str,
    why: &str,
) -> Result<Option<RoutedSparkJob>, Error> {
    let (uid, now) = (&at.parsed.job.uid, Timestamp::now());
    let delay =
        context.memory.change(uid, |entry| *entry.delay.get_or_insert(Delay { since: now, told: None }));
    let seconds = |since: Timestamp| now.duration_since(since).as_secs();
    if seconds(delay.since) < SILENT_SECONDS || delay.told.is_some_and(|told| seconds(told) < TOLD_SECONDS) {
        return Ok(None);
    }
    context.memory.change(uid, |entry| entry.delay = Some(Delay { told: Some(now), ..delay }));
    write(at, context, &Change::Delayed { reason, why }).await
}

async fn refused(
    mut at: Gathered,
    context: &Context,
    placement: &Placement,
    refusal: Refusal,
) -> Result<Next, Error> {
    at.now = Timestamp::now();
    let mut next = after_refusal(at.snapshot(context), placement, refusal.clone());
    if next == Some(Step::Confirm) {
        let Some((_, member)) = at.placed() else { return Ok(Next::Rest(None)) };
        match confirm(&at, placement, member).await {
            Next::Confirmed(confirmed) => at.confirmed = confirmed,
            other => return Ok(other),
        }
        next = after_refusal(at.snapshot(context), placement, refusal.clone());
    }
    match next {
        Some(Step::Withdraw(cause)) => place::withdraw(&at, context, &cause).await,
        Some(Step::Finish(outcome)) => finish::finish(&at, context, *outcome).await,
        // It is there after all: the next pass sees it as this one did.
        Some(_) => Ok(Next::Confirmed(at.confirmed)),
        None => {
            // An earlier create may still take effect: ask again when it cannot any more.
            let until = settled_at(at.snapshot(context), placement);
            context.memory.change(&at.parsed.job.uid, |entry| entry.sends.not_before = Some(until));
            let why = format!("refused now ({refusal}), and an earlier create may still take effect");
            delayed(&at, context, reason::UNANSWERED, &why).await?;
            Ok(Next::Rest(Some(until)))
        }
    }
}

pub(super) async fn confirm(at: &Gathered, placement: &Placement, member: &Arc<dyn Member>) -> Next {
    let recorded = placement.uid.as_ref().or(at.entry.sends.accepted.as_ref().map(|(uid, _)| uid));
    match member.confirm(&placement.namespace, &placement.name, recorded).await {
        Confirmation::Gone => Next::Confirmed(Confirmed::Gone),
        // Another object has the name: the one on record is gone.
        Confirmation::Present(seen) if recorded.is_some_and(|recorded| *recorded != seen.uid) => {
            Next::Confirmed(Confirmed::Gone)
        }
        Confirmation::Present(seen) => Next::Confirmed(Confirmed::Present(seen)),
        Confirmation::Unclear(why) => {
            warn!(why, cluster.name = %placement.cluster, "a look-up was not answered");
            Next::Rest(Some(in_seconds(UNCLEAR_SECONDS)))
        }
    }
}

pub(super) async fn examine(
    at: &Gathered,
    context: &Context,
    placement: &Placement,
    member: &Arc<dyn Member>,
) -> Next {
    // Also where it is looked at in vain: nothing else is to wait for it.
    context.memory.change(&at.parsed.job.uid, |entry| entry.sends.looked = Some(at.now));
    let driver = member.driver(&placement.namespace, &placement.name, at.driver_pod().as_deref()).await;
    let since = context.memory.change(&at.parsed.job.uid, |entry| {
        let is_unseen = matches!(driver, Driver::Unclear(_));
        entry.unseen_since = is_unseen.then(|| entry.unseen_since.unwrap_or(at.now));
        entry.unseen_since
    });
    match driver {
        Driver::Alive => Next::Driver(DriverSeen::Alive),
        Driver::Succeeded => Next::Driver(DriverSeen::Succeeded),
        Driver::Waiting { reason, message } => Next::Driver(DriverSeen::Waiting(reason, message)),
        Driver::Failed(sign, how) => Next::Driver(DriverSeen::Failed(sign, how)),
        Driver::Gone => Next::Driver(DriverSeen::Gone),
        Driver::Unclear(why) => {
            warn!(why, cluster.name = %placement.cluster, "a driver was looked up in vain");
            if since.is_some_and(|since| at.now.duration_since(since).as_secs() >= SILENT_SECONDS) {
                return Next::Driver(DriverSeen::Unseen(why));
            }
            Next::Rest(Some(in_seconds(UNCLEAR_SECONDS)))
        }
    }
}

pub(super) async fn release(
    at: &Gathered,
    context: &Context,
    placement: &Placement,
    member: &Arc<dyn Member>,
    uid: &RemoteUid,
) -> Result<Next, Error> {
    member.release(&placement.namespace, &placement.name, uid).await.map_err(of(placement))?;
    context.memory.change(&at.parsed.job.uid, |entry| entry.released = Gone::Told);
    Ok(Next::Again)
}

pub(super) async fn retire(
    at: &Gathered,
    context: &Context,
    placement: &Placement,
    member: &Arc<dyn Member>,
    uid: &RemoteUid,
) -> Result<Next, Error> {
    let held = at.seen().is_some_and(|seen| seen.held);
    let retired = async {
        if held {
            member.release(&placement.namespace, &placement.name, uid).await?;
        }
        member.retire(&placement.namespace, &placement.name, uid).await
    };
    match retired.await {
        Ok(()) => {}
        // A deletion does not wait long for a finished application: the sweep takes it.
        Err(error) if at.parsed.job.deleting.is_some() && at.entry.failures >= RETIRE_TRIES => {
            warn!(error = &error as &dyn std::error::Error, cluster.name = %placement.cluster, "left to the sweep");
        }
        Err(error) => return Err(of(placement)(error)),
    }
    context.memory.change(&at.parsed.job.uid, |entry| entry.retired = Gone::Told);
    Ok(Next::Again)
}

pub(super) async fn stop(
    at: &Gathered,
    context: &Context,
    placement: &Placement,
    member: &Arc<dyn Member>,
    settled_at: Timestamp,
) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let uid = placement.uid.clone().or_else(|| at.entry.sends.accepted.clone().map(|(uid, _)| uid));
    let may_recall = uid.is_none() && settled_at > Timestamp::MIN && member.recalls();
    let rendered = if may_recall { as_on_record(at, placement, member) } else { None };
    if rendered.is_some() && !at.entry.sends.claimed {
        // It may send: a router whose view of the record is old must not.
        return place::claim(at, context).await;
    }
    let is_recalled = rendered.is_some();
    let order = StopOrder {
        job: job.uid.clone(),
        attempt: placement.attempt,
        namespace: placement.namespace.clone(),
        name: placement.name.clone(),
        uid,
        settled_at,
        // A job that is deleted or over has no use for another end.
        spare_ended: job.deleting.is_none() && job.record.finished.is_none(),
        rendered,
    };
    // Before the call: if this pass is cut off, a create counts as sent and unanswered.
    let before = at.entry.sends.unanswered;
    let count = |unanswered| context.memory.change(&job.uid, |entry| entry.sends.unanswered = unanswered);
    if is_recalled {
        count(Some(Timestamp::now()));
    }
    let fence = member.stop(&order).await;
    if is_recalled {
        count(if matches!(fence, Fence::Unanswered { .. }) { Some(Timestamp::now()) } else { before });
    }
    let (until, why) = match fence {
        Fence::Proven => {
            context.memory.change(&job.uid, |entry| entry.fenced = Gone::Told);
            return Ok(Next::Again);
        }
        Fence::Ended(seen) => return Ok(Next::Confirmed(Confirmed::Present(seen))),
        Fence::Pending { until, waits_for } | Fence::Unanswered { until, waits_for } => (until, waits_for),
        Fence::Impossible(why) => (in_seconds(UNCLEAR_SECONDS), why),
    };
    debug!(why, cluster.name = %placement.cluster, "not proven yet");
    let since = job.deleting.or(job.record.stopping.as_ref().map(|stopping| stopping.at));
    let waited = since.map_or(0, |since| at.now.duration_since(since).as_secs());
    if waited >= SILENT_SECONDS && (job.deleting.is_some() || job.record.finished.is_none()) {
        explain(at, context, &DeletionWaits::Member(why)).await?;
    }
    Ok(Next::Rest(Some(until)))
}

/// What a placement was created as, where the very same can still be made: neither the job nor its queue nor its member says
/// something else by now.
fn as_on_record(at: &Gathered, placement: &Placement, member: &Arc<dyn Member>) -> Option<Arc<Rendered>> {
    let recorded = at.object.status.as_ref()?.placement.as_ref()?.render_hash.as_deref()?;
    at.parsed.parts.as_ref()?;
    let rendered = member.render(at.order(placement).ok()?, at.entry.rendered.clone());
    (rendered.hash() == recorded).then_some(rendered)
}

fn of(placement: &Placement) -> impl FnOnce(spark_router_member::Error) -> Error {
    let member = placement.cluster.as_str().to_owned();
    move |source| Error::Member { member, source }
}
