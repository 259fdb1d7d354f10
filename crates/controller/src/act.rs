//! Carries out one step.
//!
//! Owns no state. One effect a call, each bounded in time, each safe to be cut off at any point: what was done is found
//! again from the hub's record, the member's view and a create that can be sent twice.

mod finish;
mod past;
mod place;
mod remote;
mod suspend;
mod verdict;

use std::sync::Arc;

use jiff::Timestamp;
use spark_router_api::{RoutedSparkJob, condition::reason, job::ApplicationLinks};
use spark_router_core::{
    application::Application,
    job::Placement,
    step::{Confirmed, DeletionWaits, DriverSeen, Step},
};
use spark_router_member::Member;
use tracing::info;

use crate::{
    context::Context,
    convert,
    error::Error,
    events::Kind,
    gather::Gathered,
    links,
    memory::Gone,
    metrics::TroubleLabels,
    status::{self, Change},
};

/// What an effect leads to.
pub(crate) enum Next {
    /// The object was written; decide again on this version.
    Written(Box<RoutedSparkJob>),
    /// Decide again.
    Again,
    /// Decide again with what a quorum read said.
    Confirmed(Confirmed),
    /// Decide again with what became of the driver.
    Driver(DriverSeen),
    /// Nothing more now.
    Rest(Option<Timestamp>),
    /// The job is gone.
    Gone,
}

impl Next {
    fn written(object: Option<RoutedSparkJob>) -> Self {
        object.map_or(Self::Rest(None), |object| Self::Written(Box::new(object)))
    }
}

/// A read that failed is tried again after this long.
const UNCLEAR_SECONDS: i64 = 2;
/// A deletion or a stop explains itself when it takes longer than this.
const SILENT_SECONDS: i64 = 15;

pub(crate) async fn act(step: Step, at: &Gathered, context: &Context) -> Result<Next, Error> {
    let uid = &at.parsed.job.uid;
    match step {
        Step::Hold => context.hub.hold(&at.object).await.map(|held| Next::written(Some(held))),
        Step::Reject(rejection) => {
            context.dispatcher.forget(uid.clone()).await;
            let written = write(at, context, &Change::Rejected(&rejection)).await?;
            if let Some(written) = &written {
                context.events.publish(
                    written,
                    Kind::Warning,
                    "Accept",
                    rejection.reason,
                    &rejection.message,
                );
            }
            Ok(Next::written(written))
        }
        Step::Enqueue => place::enqueue(at, context).await,
        Step::Adopt(trace) => place::adopt(at, context, &trace).await,
        Step::Claim => place::claim(at, context).await,
        Step::Withdraw(cause) => place::withdraw(at, context, &cause).await,
        Step::Finish(outcome) => finish::finish(at, context, *outcome).await,
        Step::Mirror(mirror) => {
            let links = links(at, context, &mirror.application);
            let written = write(at, context, &Change::Mirrored(&mirror, links)).await?;
            context.memory.change(uid, |entry| entry.mirrored_at = Some(at.now));
            verdict::running(at, context, &mirror.application).await?;
            Ok(Next::written(written))
        }
        Step::Unreachable(trouble) => {
            write(at, context, &Change::Unreachable(trouble)).await.map(Next::written)
        }
        Step::Latch(stopping) => {
            info!(reason = stopping.cause.as_str(), message = stopping.message, "to be stopped");
            write(at, context, &Change::Stopping(&stopping)).await.map(Next::written)
        }
        Step::Requeue(requeue) => place::requeue(at, context, &requeue).await,
        Step::Suspend => place::suspend(at, context).await,
        Step::Pause(pause) => suspend::pause(at, context, &pause).await,
        Step::Past(past, step) => past::act(at, context, &past, step).await,
        Step::Explain(waits) => explain(at, context, &waits).await.map(Next::written),
        Step::Observe => write(at, context, &Change::Observed).await.map(Next::written),
        Step::Expire => {
            let left = context.hub.delete(&at.object).await?;
            info!("deleted: its time after the end is over");
            Ok(left.map_or(Next::Gone, |left| Next::Written(Box::new(left))))
        }
        Step::Submit
        | Step::Confirm
        | Step::Examine
        | Step::Release(_)
        | Step::Retire(_)
        | Step::Stop { .. } => {
            let Some((placement, member)) = at.placed() else {
                // The member went away between the decision and here; its return calls.
                return Ok(Next::Rest(Some(in_seconds(UNCLEAR_SECONDS))));
            };
            on_member(step, at, context, placement, member).await
        }
        Step::Abandon => {
            if let Some(placement) = &at.parsed.job.record.placement {
                let Placement { cluster, attempt, namespace, name, .. } = placement;
                context.abandon.note(cluster, uid, *attempt, namespace, name).await;
                let note = format!("let go of although it may still run on {cluster}");
                context.events.publish(&*at.object, Kind::Warning, "Abandon", reason::ABANDONED, &note);
            }
            context.memory.change(uid, |entry| entry.fenced = Gone::Told);
            Ok(Next::Again)
        }
        Step::LetGo => {
            context.hub.let_go(&at.object).await?;
            context.dispatcher.forget(uid.clone()).await;
            context.memory.forget(uid);
            Ok(Next::Gone)
        }
        Step::Rest { until } => Ok(Next::Rest(until)),
    }
}

async fn on_member(
    step: Step,
    at: &Gathered,
    context: &Context,
    placement: &Placement,
    member: &Arc<dyn Member>,
) -> Result<Next, Error> {
    match step {
        Step::Submit => remote::submit(at, context, placement, member).await,
        Step::Confirm => Ok(remote::confirm(at, placement, member).await),
        Step::Examine => Ok(remote::examine(at, context, placement, member).await),
        Step::Release(uid) => remote::release(at, context, placement, member, &uid).await,
        Step::Retire(uid) => remote::retire(at, context, placement, member, &uid).await,
        Step::Stop { settled_at } => remote::stop(at, context, placement, member, settled_at).await,
        Step::Hold
        | Step::Reject(_)
        | Step::Enqueue
        | Step::Adopt(_)
        | Step::Claim
        | Step::Withdraw(_)
        | Step::Mirror(_)
        | Step::Unreachable(_)
        | Step::Finish(_)
        | Step::Latch(_)
        | Step::Requeue(_)
        | Step::Suspend
        | Step::Pause(_)
        | Step::Past(..)
        | Step::Explain(_)
        | Step::Observe
        | Step::Expire
        | Step::Abandon
        | Step::LetGo
        | Step::Rest { .. } => Ok(Next::Again),
    }
}

async fn write(
    at: &Gathered,
    context: &Context,
    change: &Change<'_>,
) -> Result<Option<RoutedSparkJob>, Error> {
    let Some(next) = status::after(&at.object, change, convert::to_the_second(at.now)) else {
        return Ok(None);
    };
    // Until it is answered, nobody knows which version of the record holds.
    let uid = &at.parsed.job.uid;
    let claimed = context.memory.change(uid, |entry| std::mem::take(&mut entry.sends.claimed));
    let written = context.hub.write_status(&at.object, &next).await?;
    context.memory.change(uid, |entry| entry.sends.claimed = claimed);
    // Said once for each version of the spec: when the status first speaks of it. A rejection says it itself.
    let before = at.object.status.as_ref().and_then(|status| status.observed_generation);
    if let Some(why) = &at.lifetime.ignored
        && before != next.observed_generation
        && !matches!(change, Change::Rejected(_))
    {
        context.events.publish(&written, Kind::Warning, "Expire", reason::TTL_IGNORED, why);
    }
    Ok(Some(written))
}

/// Says what a deletion, or a stop that is on record, waits for.
async fn explain(
    at: &Gathered,
    context: &Context,
    waits: &DeletionWaits,
) -> Result<Option<RoutedSparkJob>, Error> {
    let change =
        if at.parsed.job.deleting.is_some() { Change::Terminating(waits) } else { Change::StopWaits(waits) };
    write(at, context, &change).await
}

fn links(at: &Gathered, context: &Context, application: &Application) -> ApplicationLinks {
    let Some(placement) = &at.parsed.job.record.placement else { return ApplicationLinks::default() };
    let Some(object) = context.member_object(&placement.cluster) else { return ApplicationLinks::default() };
    let templates = context.providers.links(&object, at.object.spec.emr.as_ref());
    links::fill(&templates, &at.parsed.job.key, placement, application)
}

fn trouble(placement: &Placement, reason: &str) -> TroubleLabels {
    TroubleLabels { member_cluster: placement.cluster.as_str().to_owned(), reason: reason.to_owned() }
}

fn in_seconds(seconds: i64) -> Timestamp {
    later(jiff::SignedDuration::from_secs(seconds))
}

fn later(by: jiff::SignedDuration) -> Timestamp {
    Timestamp::now().checked_add(by).unwrap_or(Timestamp::MAX)
}

fn seconds_since(at: Timestamp) -> f64 {
    Timestamp::now().duration_since(at).as_secs_f64().max(0.0)
}
