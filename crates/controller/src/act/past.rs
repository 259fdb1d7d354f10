//! Effects on what is left of attempts before the present one.
//!
//! Owns no state. Each is found again from the history on the hub's record and from the member's view.

use jiff::Timestamp;
use spark_router_api::condition::reason;
use spark_router_core::{job::Past, step::PastStep, waits::Waits};
use spark_router_member::{Fence, StopOrder};
use tracing::{debug, info};

use super::{Next, SILENT_SECONDS, UNCLEAR_SECONDS, in_seconds, write};
use crate::{
    context::Context,
    error::Error,
    events::Kind,
    gather::{Gathered, member_of},
    status::Change,
};

pub(super) async fn act(
    at: &Gathered,
    context: &Context,
    past: &Past,
    step: PastStep,
) -> Result<Next, Error> {
    match step {
        PastStep::Close => close(at, context, past).await,
        PastStep::Abandon => {
            let Past { attempt, cluster, namespace, name, .. } = past;
            context.abandon.note(cluster, &at.parsed.job.uid, *attempt, namespace, name).await;
            let note =
                format!("attempt {attempt} may still run on {cluster}; it is stopped when {cluster} is back");
            context.events.publish(&*at.object, Kind::Warning, "Abandon", reason::ABANDONED, &note);
            close(at, context, past).await
        }
        PastStep::Stop { settled_at } => stop(at, context, past, settled_at).await,
        PastStep::Release(uid) => {
            let Some(member) = member_of(&past.cluster, &past.identity, context) else {
                return Ok(Next::Rest(None));
            };
            member.release(&past.namespace, &past.name, &uid).await.map_err(of(past))?;
            // The view shows it in a moment and calls.
            Ok(Next::Rest(Some(in_seconds(UNCLEAR_SECONDS))))
        }
        PastStep::Retire(uid) => {
            let Some(member) = member_of(&past.cluster, &past.identity, context) else {
                return Ok(Next::Rest(None));
            };
            member.retire(&past.namespace, &past.name, &uid).await.map_err(of(past))?;
            close(at, context, past).await
        }
    }
}

async fn close(at: &Gathered, context: &Context, past: &Past) -> Result<Next, Error> {
    context.memory.change(&at.parsed.job.uid, |entry| entry.stopping_past = None);
    write(at, context, &Change::Closed(past)).await.map(Next::written)
}

async fn stop(at: &Gathered, context: &Context, past: &Past, settled_at: Timestamp) -> Result<Next, Error> {
    let Past { attempt, cluster, namespace, name, uid, .. } = past;
    let Some(member) = member_of(cluster, &past.identity, context) else { return Ok(Next::Rest(None)) };
    let order = StopOrder {
        job: at.parsed.job.uid.clone(),
        attempt: *attempt,
        namespace: namespace.clone(),
        name: name.clone(),
        uid: uid.clone(),
        settled_at,
        // The present attempt counts, whatever this one comes to.
        spare_ended: false,
        // The record keeps no longer what it was made of.
        rendered: None,
    };
    match member.stop(&order).await {
        Fence::Proven => {
            info!(cluster.name = %cluster, attempt = attempt.0, "a run that was left behind is stopped");
            close(at, context, past).await
        }
        Fence::Pending { until, waits_for } | Fence::Unanswered { until, waits_for } => {
            debug!(cluster.name = %cluster, waits_for, "a run that was left behind is being stopped");
            explain(at, context, past, &waits_for).await?;
            Ok(Next::Rest(Some(until)))
        }
        Fence::Ended(_) => Ok(Next::Rest(Some(in_seconds(UNCLEAR_SECONDS)))),
        Fence::Impossible(why) => {
            debug!(cluster.name = %cluster, why, "a run that was left behind cannot be stopped now");
            explain(at, context, past, &format!("{cluster} to allow it: {why}")).await?;
            Ok(Next::Rest(Some(in_seconds(UNCLEAR_SECONDS))))
        }
    }
}

/// A waiting job is not placed before what is left of it is stopped: it says so when that takes long.
async fn explain(at: &Gathered, context: &Context, past: &Past, waits_for: &str) -> Result<(), Error> {
    let job = &at.parsed.job;
    let is_over = job.record.finished.is_some() || job.deleting.is_some();
    let is_held = job.request.is_err() || at.object.spec.suspend;
    if job.record.placement.is_some() || is_over || is_held {
        return Ok(());
    }
    let since = context.memory.change(&job.uid, |entry| *entry.stopping_past.get_or_insert(at.now));
    if at.now.duration_since(since).as_secs() < SILENT_SECONDS {
        return Ok(());
    }
    let waits = Waits::earlier_attempt(past.attempt, &past.cluster, waits_for);
    write(at, context, &Change::Waiting(&waits)).await.map(drop)
}

fn of(past: &Past) -> impl FnOnce(spark_router_member::Error) -> Error {
    let member = past.cluster.as_str().to_owned();
    move |source| Error::Member { member, source }
}
