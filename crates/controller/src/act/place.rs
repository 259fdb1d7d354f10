//! Effects on where a job goes: ask, commit, take back.
//!
//! Owns no state. The status write in [`commit`] *is* the placement; nothing is created before it is answered.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use spark_router_api::{
    condition::reason,
    job::{Left, PastAttempt, PlacementRecord},
};
use spark_router_core::{
    dispatch::{Answer, Applicant, Decision, Withdrawal},
    id::{Attempt, RemoteName},
    job::{Placement, Record, Refused},
    refusal::RefusalClass,
    resources::Resources,
    step::{Cause, Requeue, Trace, look_again, refused_by_all},
    waits::Waits,
};
use tracing::{info, warn};

use super::{Next, finish, in_seconds, seconds_since, trouble, verdict, write};
use crate::{
    context::Context,
    convert,
    dispatcher::applicant,
    error::Error,
    events::Kind,
    gather::Gathered,
    metrics::{QueueLabels, RouteLabels},
    status::Change,
};

/// A member that shows its applications is looked at in a moment.
const LOOK_SECONDS: i64 = 1;

pub(super) async fn enqueue(at: &Gathered, context: &Context) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let Ok(request) = &job.request else { return Ok(Next::Again) };
    let asked = applicant(job, request);
    let mut answer = context.dispatcher.ask(avoiding(asked.clone(), &job.record)).await?;
    if matches!(&answer, Answer::Wait(waits) if waits.refused_by_all) && !job.record.avoided.is_empty() {
        // Better where it failed before than nowhere.
        answer = context.dispatcher.ask(asked).await?;
    }
    match answer {
        Answer::Place(decision) => commit(at, context, request.spec_hash.clone(), *decision).await,
        // It was parsed with what the queue set before.
        Answer::Wait(waits) if waits.reason == Waits::QUEUE_CHANGED => Ok(Next::Again),
        Answer::Wait(waits) if waits.refused_by_all => {
            finish::finish(at, context, refused_by_all(&job.record)).await
        }
        Answer::Wait(waits) => {
            let written = write(at, context, &Change::Waiting(&waits)).await?;
            let changed = at.object.status.as_ref().and_then(|s| s.reason.as_deref()) != Some(waits.reason);
            if let Some(written) = written
                && changed
                && waits.needs_a_change
            {
                context.events.publish(&written, Kind::Warning, "Place", waits.reason, &waits.message);
            }
            // Its place comes as a call, its deadline by itself.
            Ok(Next::Rest(look_again(at.snapshot(context))))
        }
    }
}

/// Without the members that failed the attempts before for reasons of their own.
fn avoiding(mut applicant: Applicant, record: &Record) -> Applicant {
    for cluster in &record.avoided {
        applicant.refused.push(Refused {
            cluster: cluster.clone(),
            reason: reason::RETRYING.to_owned(),
            message: "an attempt before failed there".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        });
    }
    applicant
}

/// Puts an attempt on record that a member shows and the record does not know.
pub(super) async fn adopt(at: &Gathered, context: &Context, trace: &Trace) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let Some(owner) = trace.owner() else { return Ok(Next::Again) };
    if !context.looked.at(&trace.cluster, &trace.identity) {
        // Once it is on record it tells nobody any more that the hub was put back.
        return Ok(Next::Rest(Some(in_seconds(LOOK_SECONDS))));
    }
    let demand = job.request.as_ref().map_or_else(|_| Resources::default(), |request| request.demand);
    let why = format!(
        "found there as attempt {}, although the record did not know of it: the hub was put back to an earlier state",
        owner.attempt
    );
    let record = PlacementRecord {
        cluster: trace.cluster.as_str().to_owned(),
        member_identity: trace.identity.as_str().to_owned(),
        attempt: owner.attempt.0,
        namespace: trace.namespace.as_str().to_owned(),
        remote_name: trace.seen.name.as_str().to_owned(),
        remote_uid: Some(trace.seen.uid.as_str().to_owned()),
        queue: at.object.spec.queue.clone(),
        remote_queue: None,
        tier: None,
        seq: owner.seq,
        excluded: Vec::new(),
        at: Time(convert::to_the_second(at.now)),
        demand: convert::demand(demand),
        render_hash: Some(owner.render_hash.clone()),
        claims: None,
        why: Some(why),
    };
    let hash = match &job.request {
        Ok(request) => request.spec_hash.clone(),
        Err(_) => convert::spec_hash(&serde_json::to_value(&at.object.spec.template)?),
    };
    // What is older and still there is stopped, or taken away in time.
    let older = at.elsewhere.traces.iter().filter(|other| other.seen.uid != trace.seen.uid);
    let mut older: Vec<PastAttempt> = older.filter_map(past_attempt).collect();
    if let Some(replaced) = &job.record.placement {
        // Where a member shows that very attempt, the number went there after it was taken back here.
        if !older.iter().any(|row| row.attempt == replaced.attempt.0) {
            older.push(left_behind(replaced));
        }
    }
    let change = Change::Adopted { placement: Box::new(record), spec_hash: hash, older };
    let Some(written) = write(at, context, &change).await? else { return Ok(Next::Rest(None)) };
    warn!(cluster.name = %trace.cluster, attempt = owner.attempt.0, "taken up from its member: the record is older than it");
    let note = written.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
    context.events.publish(&written, Kind::Warning, "Adopt", reason::ADOPTED, &note);
    Ok(Next::written(Some(written)))
}

fn past_attempt(trace: &Trace) -> Option<PastAttempt> {
    let over = trace.seen.run.proves_end();
    Some(PastAttempt {
        attempt: trace.owner()?.attempt.0,
        cluster: trace.cluster.as_str().to_owned(),
        member_identity: Some(trace.identity.as_str().to_owned()),
        namespace: Some(trace.namespace.as_str().to_owned()),
        remote_name: trace.seen.name.as_str().to_owned(),
        remote_uid: Some(trace.seen.uid.as_str().to_owned()),
        left: Some(if over { Left::Ended } else { Left::MayRun }),
        outcome: "Abandoned".to_owned(),
        reason: Some(reason::ADOPTED.to_owned()),
        started_at: None,
        finished_at: Some(Time(convert::now_to_the_second())),
    })
}

/// The placement that was on record: a create of it that comes late is stopped.
fn left_behind(placement: &Placement) -> PastAttempt {
    PastAttempt {
        attempt: placement.attempt.0,
        cluster: placement.cluster.as_str().to_owned(),
        member_identity: Some(placement.identity.as_str().to_owned()),
        namespace: Some(placement.namespace.as_str().to_owned()),
        remote_name: placement.name.as_str().to_owned(),
        remote_uid: placement.uid.as_ref().map(|uid| uid.as_str().to_owned()),
        left: Some(Left::MayRun),
        outcome: "Abandoned".to_owned(),
        reason: Some(reason::ADOPTED.to_owned()),
        started_at: None,
        finished_at: Some(Time(convert::now_to_the_second())),
    }
}

/// Puts it on record that the attempt is over and that another one follows.
pub(super) async fn requeue(at: &Gathered, context: &Context, requeue: &Requeue) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let Some(placement) = &job.record.placement else { return Ok(Next::Again) };
    let Some(written) = write(at, context, &Change::Requeued(requeue)).await? else {
        return Ok(Next::Rest(None));
    };
    context.memory.change(&job.uid, |entry| entry.turn_to(None));
    verdict::end(at, context, requeue.start).await?;
    if requeue.uid.is_none() && requeue.left.is_none() {
        // Nothing ever ran there: it costs its member no share.
        context.dispatcher.withdraw(job.uid.clone(), Some(placement.clone()), Withdrawal::Other).await;
    }
    context.dispatcher.forget(job.uid.clone()).await;
    context.metrics.withdrawals.get_or_create(&trouble(placement, requeue.reason)).inc();
    info!(cluster.name = %placement.cluster, reason = requeue.reason, "goes back to its queue");
    context.events.publish(&written, Kind::Warning, "Requeue", requeue.reason, &requeue.message);
    Ok(Next::written(Some(written)))
}

/// Takes a job that is held back out of its queue.
pub(super) async fn suspend(at: &Gathered, context: &Context) -> Result<Next, Error> {
    context.dispatcher.forget(at.parsed.job.uid.clone()).await;
    write(at, context, &Change::Suspended).await?;
    // Its owner's edit calls.
    Ok(Next::Rest(None))
}

/// Puts a decision on the hub's record: this write is the placement.
async fn commit(
    at: &Gathered,
    context: &Context,
    spec_hash: String,
    decision: Decision,
) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let Some(member) = context.member(&decision.cluster) else {
        context.dispatcher.withdraw(job.uid.clone(), None, Withdrawal::Other).await;
        return Ok(Next::Again);
    };
    let attempt = job.record.attempt.map_or(Attempt::FIRST, Attempt::next);
    let name = RemoteName::of(&context.hub_id, &job.uid, attempt, &job.key.name);
    let mut record = PlacementRecord {
        cluster: decision.cluster.as_str().to_owned(),
        member_identity: decision.identity.as_str().to_owned(),
        attempt: attempt.0,
        namespace: decision.namespace.as_str().to_owned(),
        remote_name: name.as_str().to_owned(),
        remote_uid: None,
        queue: decision.queue.as_str().to_owned(),
        remote_queue: decision.remote_queue.as_deref().map(str::to_owned),
        tier: Some(decision.choice.tier),
        seq: decision.seq,
        excluded: decision.choice.excluded().map(|cluster| cluster.as_str().to_owned()).collect(),
        at: Time(convert::to_the_second(at.now)),
        demand: convert::demand(decision.demand),
        render_hash: None,
        claims: None,
        why: Some(decision.choice.why(&decision.cluster)),
    };
    let placement = convert::placement(&record);
    let rendered = member.render(at.order(&placement)?, None);
    record.render_hash = Some(rendered.hash().to_owned());
    let labels = RouteLabels { queue: record.queue.clone(), member_cluster: record.cluster.clone() };
    let turned = (attempt, decision.seq);
    let note = format!("{}: {}", record.cluster, record.why.as_deref().unwrap_or_default());
    let change = Change::Placed { placement: Box::new(record), spec_hash };
    let Some(written) = write(at, context, &change).await? else { return Ok(Next::Rest(None)) };
    // From here on the placement is real. Without this memory it would only count as inherited.
    context.memory.change(&job.uid, |entry| {
        entry.turn_to(Some(turned));
        entry.sends.placed_here = true;
        entry.rendered = Some(rendered);
        entry.sends.claimed = true;
    });
    context.dispatcher.committed(job.uid.clone(), job.key.namespace.clone(), placement).await;
    context.metrics.placements.get_or_create(&labels).inc();
    let latency = &context.metrics.placement_latency;
    latency.get_or_create(&QueueLabels { queue: labels.queue }).observe(seconds_since(job.created));
    info!(cluster.name = labels.member_cluster, attempt = attempt.0, "placed");
    context.events.publish(&written, Kind::Normal, "Place", reason::PLACED, &note);
    Ok(Next::written(Some(written)))
}

/// Writes the placement once more before a create: what was computed from an older version of the record takes no effect
/// after this.
pub(super) async fn claim(at: &Gathered, context: &Context) -> Result<Next, Error> {
    let Some(written) = write(at, context, &Change::Claimed).await? else { return Ok(Next::Rest(None)) };
    context.memory.change(&at.parsed.job.uid, |entry| entry.sends.claimed = true);
    Ok(Next::written(Some(written)))
}

pub(super) async fn withdraw(at: &Gathered, context: &Context, cause: &Cause) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let Some(placement) = &job.record.placement else { return Ok(Next::Again) };
    let Some(written) = write(at, context, &Change::Withdrawn(cause)).await? else {
        return Ok(Next::Rest(None));
    };
    let (why, word) = match cause {
        Cause::Refused(refusal) if refusal.class == RefusalClass::Capacity => {
            (Withdrawal::Capacity, refusal.reason)
        }
        Cause::Refused(refusal) => (Withdrawal::Other, refusal.reason),
        Cause::Unsent => (Withdrawal::Other, "Unsent"),
    };
    context.memory.change(&job.uid, |entry| entry.turn_to(None));
    context.dispatcher.withdraw(job.uid.clone(), Some(placement.clone()), why).await;
    context.metrics.withdrawals.get_or_create(&trouble(placement, word)).inc();
    info!(cluster.name = %placement.cluster, reason = word, "withdrawn");
    Ok(Next::written(Some(written)))
}
