//! Carries out one step.
//!
//! Owns no state. One effect a call, each bounded in time, each safe to be cut off at any point: what was done is found
//! again from the hub's record, the member's view and a create that can be sent twice.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use spark_router_api::{
    RoutedSparkJob,
    condition::reason,
    job::{ApplicationLinks, PlacementRecord},
};
use spark_router_core::{
    dispatch::{Answer, Decision, Withdrawal},
    id::{Attempt, RemoteName, RemoteUid},
    job::{Application, Placement, Request},
    phase::Phase,
    refusal::{Refusal, RefusalClass},
    step::{Cause, Confirmed, DriverSeen, Outcome, Step, after_refusal, name_taken, refused_by_all, settled_at},
};
use spark_router_member::{Confirmation, Created, Driver, Fence, Member, Order, StopOrder, error_line};
use tracing::{info, warn};

use crate::{
    context::Context,
    convert,
    dispatcher::applicant,
    error::Error,
    events::Kind,
    links,
    metrics::{EndLabels, MemberLabels, QueueLabels, RouteLabels, TroubleLabels},
    reconcile::Gathered,
    status::{self, Change},
};

/// What an effect leads to.
pub(crate) enum Next {
    /// The object was written; decide again on this version.
    Written(RoutedSparkJob),
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

/// How much of a driver's log is read after a failure, in bytes.
const LOG_TAIL: u32 = 8 * 1024;
/// A create that may not be sent now is tried again after this long, unless something happens first.
const NOT_SENT_MILLIS: i64 = 500;
/// A read that failed is tried again after this long.
const UNCLEAR_SECONDS: i64 = 2;

pub(crate) async fn act(step: Step, at: &Gathered, context: &Context) -> Result<Next, Error> {
    match step {
        Step::Hold => context.hub.hold(&at.object).await.map(Next::Written),
        Step::Reject(rejection) => {
            context.dispatcher.forget(at.parsed.job.uid.clone()).await;
            let change = Change::Rejected(&rejection);
            if let Some(written) = write(at, context, &change).await? {
                context.events.publish(&written, Kind::Warning, "Accept", rejection.reason, &rejection.message);
                return Ok(Next::Written(written));
            }
            Ok(Next::Rest(None))
        }
        Step::Enqueue => enqueue(at, context).await,
        Step::Submit => with_placement(at, async |placement, member| submit(at, context, placement, member).await).await,
        Step::Withdraw(cause) => withdraw(at, context, &cause).await,
        Step::Confirm => with_placement(at, async |placement, member| {
            Ok(match member.confirm(&placement.namespace, &placement.name).await {
                Confirmation::Gone => Next::Confirmed(Confirmed::Gone),
                Confirmation::Present(seen) if is_another(placement, at, &seen.uid) => Next::Confirmed(Confirmed::Gone),
                Confirmation::Present(seen) => Next::Confirmed(Confirmed::Present(seen)),
                Confirmation::Unclear(why) => {
                    warn!(why, cluster.name = %placement.cluster, "a look-up was not answered");
                    Next::Rest(Some(in_seconds(UNCLEAR_SECONDS)))
                }
            })
        })
        .await,
        Step::Examine => with_placement(at, async |placement, member| {
            let pod = at.driver_pod();
            Ok(match member.driver(&placement.namespace, &placement.name, pod.as_deref()).await {
                Driver::Alive => Next::Driver(DriverSeen::Alive),
                Driver::Succeeded => Next::Driver(DriverSeen::Succeeded),
                Driver::Failed(how) => Next::Driver(DriverSeen::Failed(how)),
                Driver::Gone => Next::Driver(DriverSeen::Gone),
                Driver::Unclear(why) => {
                    warn!(why, cluster.name = %placement.cluster, "a driver was looked up in vain");
                    Next::Rest(Some(in_seconds(UNCLEAR_SECONDS)))
                }
            })
        })
        .await,
        Step::Mirror(mirror) => {
            let links = links(at, context, &mirror.application);
            let written = write(at, context, &Change::Mirrored(&mirror, links)).await?;
            context.memory.change(&at.parsed.job.uid, |entry| entry.mirrored_at = Some(at.now));
            Ok(written.map_or(Next::Rest(None), Next::Written))
        }
        Step::Unreachable { since } => rewrite(at, context, &Change::Unreachable(since)).await,
        Step::Explain(waits) => rewrite(at, context, &Change::Terminating(&waits)).await,
        Step::Finish(outcome) => finish(at, context, *outcome).await,
        Step::Release(uid) => with_placement(at, async |placement, member| {
            member.release(&placement.namespace, &placement.name, &uid).await.map_err(of(placement))?;
            // The member's view shows it in a moment and calls.
            Ok(Next::Rest(None))
        })
        .await,
        Step::Retire(uid) => with_placement(at, async |placement, member| {
            member.release(&placement.namespace, &placement.name, &uid).await.map_err(of(placement))?;
            member.retire(&placement.namespace, &placement.name, &uid).await.map_err(of(placement))?;
            context.memory.change(&at.parsed.job.uid, |entry| entry.retired = true);
            Ok(Next::Again)
        })
        .await,
        Step::Stop { settled_at } => with_placement(at, async |placement, member| {
            let order = StopOrder {
                job: at.parsed.job.uid.clone(),
                attempt: placement.attempt,
                namespace: placement.namespace.clone(),
                name: placement.name.clone(),
                uid: placement.uid.clone().or_else(|| at.entry.sends.accepted.clone().map(|(uid, _)| uid)),
                settled_at,
            };
            Ok(match member.stop(&order).await {
                Fence::Proven => {
                    context.memory.change(&at.parsed.job.uid, |entry| entry.fenced = true);
                    Next::Again
                }
                Fence::Pending { until, .. } => Next::Rest(Some(until)),
                Fence::Impossible(why) => {
                    info!(why, cluster.name = %placement.cluster, "the member cannot tell whether the job still runs");
                    Next::Rest(Some(in_seconds(UNCLEAR_SECONDS)))
                }
            })
        })
        .await,
        Step::Abandon => {
            if let Some(placement) = &at.parsed.job.record.placement {
                let uid = &at.parsed.job.uid;
                context.abandon.note(&placement.cluster, uid, placement.attempt, &placement.namespace, &placement.name).await;
                let note = format!("let go of although it may still run on {}", placement.cluster);
                context.events.publish(&*at.object, Kind::Warning, "Abandon", reason::ABANDONED, &note);
            }
            context.memory.change(&at.parsed.job.uid, |entry| entry.fenced = true);
            Ok(Next::Again)
        }
        Step::LetGo => {
            context.hub.let_go(&at.object).await?;
            context.dispatcher.forget(at.parsed.job.uid.clone()).await;
            context.memory.forget(&at.parsed.job.uid);
            Ok(Next::Gone)
        }
        Step::Rest { until } => Ok(Next::Rest(until)),
    }
}

/// Another object than the one on record has its name.
fn is_another(placement: &Placement, at: &Gathered, uid: &RemoteUid) -> bool {
    let recorded = placement.uid.as_ref().or(at.entry.sends.accepted.as_ref().map(|(uid, _)| uid));
    recorded.is_some_and(|recorded| recorded != uid)
}

async fn with_placement(
    at: &Gathered,
    effect: impl AsyncFnOnce(&Placement, &Arc<dyn Member>) -> Result<Next, Error>,
) -> Result<Next, Error> {
    match (&at.parsed.job.record.placement, &at.member) {
        (Some(placement), Some(member)) => effect(placement, member).await,
        // The member went away between the decision and here; its return calls.
        _ => Ok(Next::Rest(Some(in_seconds(UNCLEAR_SECONDS)))),
    }
}

async fn write(at: &Gathered, context: &Context, change: &Change<'_>) -> Result<Option<RoutedSparkJob>, Error> {
    match status::after(&at.object, change, at.now) {
        Some(next) => context.hub.write_status(&at.object, &next).await.map(Some),
        None => Ok(None),
    }
}

async fn rewrite(at: &Gathered, context: &Context, change: &Change<'_>) -> Result<Next, Error> {
    Ok(write(at, context, change).await?.map_or(Next::Rest(None), Next::Written))
}

async fn enqueue(at: &Gathered, context: &Context) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let Ok(request) = &job.request else { return Ok(Next::Again) };
    match context.dispatcher.ask(applicant(job, request)).await? {
        Answer::Place(decision) => commit(at, context, request, *decision).await,
        Answer::Wait(waits) if waits.refused_by_all => finish(at, context, refused_by_all(&job.record)).await,
        Answer::Wait(waits) => {
            let written = write(at, context, &Change::Waiting(&waits)).await?;
            let changed = at.object.status.as_ref().and_then(|s| s.reason.as_deref()) != Some(waits.reason);
            if let Some(written) = written
                && changed
                && waits.needs_a_change
            {
                context.events.publish(&written, Kind::Warning, "Place", waits.reason, &waits.message);
            }
            Ok(Next::Rest(None))
        }
    }
}

/// Puts a decision on the hub's record: this write is the placement.
async fn commit(at: &Gathered, context: &Context, request: &Request, decision: Decision) -> Result<Next, Error> {
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
        seq: decision.seq,
        excluded: decision.excluded.iter().map(|cluster| cluster.as_str().to_owned()).collect(),
        at: Time(at.now),
        demand: convert::demand(decision.demand),
        render_hash: None,
        why: Some(decision.why),
    };
    record.render_hash = Some(member.render_hash(&order(at, &convert::placement(&record))));
    let labels = RouteLabels { queue: record.queue.clone(), member_cluster: record.cluster.clone() };
    let spec_hash = request.spec_hash.clone();
    let turned = (attempt, decision.seq);
    let note = format!("{}: {}", record.cluster, record.why.as_deref().unwrap_or_default());
    let change = Change::Placed { placement: Box::new(record), spec_hash };
    let Some(written) = write(at, context, &change).await? else { return Ok(Next::Rest(None)) };
    // From here on the placement is real. Without this memory it would only count as inherited.
    context.memory.change(&job.uid, |entry| {
        entry.turn_to(Some(turned));
        entry.sends.placed_here = true;
    });
    context.dispatcher.committed(job.uid.clone()).await;
    context.metrics.placements.get_or_create(&labels).inc();
    let latency = &context.metrics.placement_latency;
    latency.get_or_create(&QueueLabels { queue: labels.queue }).observe(seconds_since(job.created));
    info!(cluster.name = labels.member_cluster, attempt = attempt.0, "placed");
    context.events.publish(&written, Kind::Normal, "Place", reason::PLACED, &note);
    Ok(Next::Written(written))
}

fn order(at: &Gathered, placement: &Placement) -> Order {
    let job = &at.parsed.job;
    Order {
        job: job.uid.clone(),
        key: job.key.clone(),
        attempt: placement.attempt,
        queue: placement.queue.clone(),
        seq: placement.seq,
        namespace: placement.namespace.clone(),
        name: placement.name.clone(),
        template: at.parsed.template.clone(),
    }
}

async fn submit(
    at: &Gathered,
    context: &Context,
    placement: &Placement,
    member: &Arc<dyn Member>,
) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let recorded = at.object.status.as_ref().and_then(|status| status.spec_hash.as_deref());
    if recorded.is_some_and(|recorded| recorded != convert::spec_hash(&at.parsed.template)) {
        return rewrite(at, context, &Change::Drifted).await;
    }
    // Before the call: if this pass is cut off, the create counts as sent and unanswered.
    let before = context.memory.change(&job.uid, |entry| {
        let before = entry.sends.clone();
        entry.sends.last = Some(Timestamp::now());
        entry.sends.unanswered = true;
        before
    });
    let answer = member.submit(&order(at, placement)).await;
    let restore = |unanswered: bool| {
        context.memory.change(&job.uid, |entry| {
            entry.sends.unanswered = unanswered;
            entry.clone()
        })
    };
    match answer {
        Created::Accepted(uid) => {
            context.memory.change(&job.uid, |entry| {
                entry.sends.unanswered = false;
                entry.sends.accepted = Some((uid, at.now));
                entry.create_failures = 0;
            });
            context.dispatcher.dispatched(job.uid.clone()).await;
            let labels = MemberLabels { member_cluster: placement.cluster.as_str().to_owned() };
            context.metrics.dispatch_latency.get_or_create(&labels).observe(seconds_since(placement.at));
            Ok(Next::Again)
        }
        Created::Refused(refusal) => {
            let entry = restore(before.unanswered);
            refused(Gathered { entry, ..at.clone() }, context, placement, refusal).await
        }
        Created::NameTaken(whose) => finish(at, context, name_taken(placement, &whose)).await,
        Created::NotSent(why) => {
            context.memory.change(&job.uid, |entry| entry.sends = before);
            tracing::debug!(why, cluster.name = %placement.cluster, "not sent");
            let soon = Timestamp::now() + jiff::SignedDuration::from_millis(NOT_SENT_MILLIS);
            Ok(Next::Rest(Some(soon)))
        }
        Created::Unclear(why) => {
            let failures = context.memory.change(&job.uid, |entry| {
                entry.create_failures = entry.create_failures.saturating_add(1);
                let wait = in_seconds(1 << entry.create_failures.saturating_sub(1).min(5));
                entry.sends.not_before = Some(wait);
                entry.create_failures
            });
            warn!(why, failures, cluster.name = %placement.cluster, "a create was not answered; it is sent again");
            let labels = trouble(placement, "Unanswered");
            context.metrics.unclear.get_or_create(&labels).inc();
            Ok(Next::Again)
        }
    }
}

async fn refused(at: Gathered, context: &Context, placement: &Placement, refusal: Refusal) -> Result<Next, Error> {
    let snapshot = at.snapshot(context);
    match after_refusal(snapshot, placement, refusal) {
        Some(Step::Withdraw(cause)) => withdraw(&at, context, &cause).await,
        Some(Step::Finish(outcome)) => finish(&at, context, *outcome).await,
        Some(_) => Ok(Next::Again),
        None => {
            // An earlier create may still take effect: ask again when it cannot any more.
            let until = settled_at(snapshot, placement);
            context.memory.change(&at.parsed.job.uid, |entry| entry.sends.not_before = Some(until));
            Ok(Next::Rest(Some(until)))
        }
    }
}

async fn withdraw(at: &Gathered, context: &Context, cause: &Cause) -> Result<Next, Error> {
    let job = &at.parsed.job;
    let Some(placement) = &job.record.placement else { return Ok(Next::Again) };
    let Some(written) = write(at, context, &Change::Withdrawn(cause)).await? else { return Ok(Next::Rest(None)) };
    let (why, word) = match cause {
        Cause::Refused(refusal) if refusal.class == RefusalClass::Capacity => (Withdrawal::Capacity, refusal.reason),
        Cause::Refused(refusal) => (Withdrawal::Other, refusal.reason),
        Cause::Unsent => (Withdrawal::Other, "Unsent"),
    };
    context.memory.change(&job.uid, |entry| entry.turn_to(None));
    context.dispatcher.withdraw(job.uid.clone(), Some(placement.clone()), why).await;
    context.metrics.withdrawals.get_or_create(&trouble(placement, word)).inc();
    info!(cluster.name = %placement.cluster, reason = word, "withdrawn");
    Ok(Next::Written(written))
}

async fn finish(at: &Gathered, context: &Context, mut outcome: Outcome) -> Result<Next, Error> {
    let job = &at.parsed.job;
    if outcome.read_log {
        read_log(at, context, &mut outcome).await;
    }
    let application = outcome.application.clone().unwrap_or_default();
    let links = links(at, context, &application);
    let Some(written) = write(at, context, &Change::Finished(&outcome, links)).await? else {
        return Ok(Next::Rest(None));
    };
    context.dispatcher.forget(job.uid.clone()).await;
    let cluster = job.record.placement.as_ref().map(|p| p.cluster.as_str().to_owned()).unwrap_or_default();
    info!(cluster.name = cluster, phase = %outcome.phase, reason = outcome.reason, "finished");
    context.metrics.finished.get_or_create(&EndLabels {
        queue: at.object.spec.queue.clone(),
        member_cluster: cluster,
        result: outcome.phase.as_str().to_owned(),
        reason: outcome.reason.to_owned(),
    })
    .inc();
    let kind = if outcome.phase == Phase::Succeeded { Kind::Normal } else { Kind::Warning };
    let message = written.status.as_ref().and_then(|s| s.message.clone()).unwrap_or(outcome.message);
    context.events.publish(&written, kind, "Finish", outcome.reason, &message);
    Ok(Next::Written(written))
}

/// Puts the exception's line where the operator has only an exit code.
async fn read_log(at: &Gathered, context: &Context, outcome: &mut Outcome) {
    let (Some(placement), Some(member)) = (&at.parsed.job.record.placement, &at.member) else { return };
    let wanted = context.member_object(&placement.cluster).is_none_or(|object| object.spec.driver_log_tail);
    let Some(application) = outcome.application.as_mut().filter(|_| wanted) else { return };
    let pod = application.driver_pod.clone().unwrap_or_else(|| format!("{}-driver", placement.name));
    if let Some(tail) = member.driver_log_tail(&placement.namespace, &pod, LOG_TAIL).await
        && let Some(line) = error_line::find(&tail)
    {
        application.error = Some(line);
    }
}

fn links(at: &Gathered, context: &Context, application: &Application) -> ApplicationLinks {
    let Some(placement) = &at.parsed.job.record.placement else { return ApplicationLinks::default() };
    let object = context.member_object(&placement.cluster);
    let templates = object.as_ref().and_then(|object| object.spec.links.as_ref());
    links::fill(templates, &at.parsed.job.key, placement, application)
}

fn trouble(placement: &Placement, reason: &str) -> TroubleLabels {
    TroubleLabels { member_cluster: placement.cluster.as_str().to_owned(), reason: reason.to_owned() }
}

fn of(placement: &Placement) -> impl FnOnce(spark_router_member::Error) -> Error {
    let member = placement.cluster.as_str().to_owned();
    move |source| Error::Member { member, source }
}

fn in_seconds(seconds: i64) -> Timestamp {
    Timestamp::now() + jiff::SignedDuration::from_secs(seconds)
}

fn seconds_since(at: Timestamp) -> f64 {
    Timestamp::now().duration_since(at).as_secs_f64().max(0.0)
}
