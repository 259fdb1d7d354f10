//! What an attempt says of its member: that a driver started there, or that the attempt failed before one did.
//!
//! Owns no state. Told after it is on record, once for each attempt, to the dispatcher, which keeps the member's breaker.

use jiff::Timestamp;
use spark_router_api::condition::reason;
use spark_router_core::{
    application::Application,
    breaker::{Broken, IN_A_ROW, Start, State},
    dispatch::Dispatcher,
};
use tracing::{info, warn};

use crate::{context::Context, error::Error, events::Kind, gather::Gathered, metrics::MemberLabels};

/// A driver was seen running for the first time.
pub(super) async fn running(at: &Gathered, context: &Context, mirrored: &Application) -> Result<(), Error> {
    let before = at.parsed.job.record.application.as_ref();
    let is_first = mirrored.started_at.is_some() && before.is_none_or(|before| before.started_at.is_none());
    end(at, context, if is_first { Start::Made } else { Start::Unknown }).await
}

/// An attempt is over.
pub(super) async fn end(at: &Gathered, context: &Context, start: Start) -> Result<(), Error> {
    let job = &at.parsed.job;
    let Some(placement) = job.record.placement.as_ref().filter(|_| start != Start::Unknown) else {
        return Ok(());
    };
    let (cluster, uid, owner) = (placement.cluster.clone(), job.uid.clone(), job.key.namespace.clone());
    let tell = move |d: &mut Dispatcher| d.driver_was(&cluster, &uid, &owner, start, Timestamp::now());
    let Some(turned) = context.dispatcher.read(tell).await? else { return Ok(()) };
    let cluster = placement.cluster.as_str();
    let labels = MemberLabels { member_cluster: cluster.to_owned() };
    context.metrics.breaker_open.get_or_create(&labels).set(i64::from(turned != State::Closed));
    let (kind, why, note) = match turned {
        State::Closed => {
            info!(cluster.name = cluster, "a driver started there: it gets its share of the jobs again");
            (
                Kind::Normal,
                reason::CLOSED,
                "a driver started there: it gets its share of the jobs again".to_owned(),
            )
        }
        State::Open(Broken { until, .. }) => {
            context.metrics.breaker_opened.get_or_create(&labels).inc();
            warn!(
                cluster.name = cluster,
                "jobs fail there one after the other: nothing goes there for a while"
            );
            let until = until.map(|until| format!(" before {until}")).unwrap_or_default();
            let note = format!(
                "{IN_A_ROW} jobs in a row, of more than one namespace, failed before their drivers started: nothing goes \
                 there{until}, then one job at a time, to see"
            );
            (Kind::Warning, reason::FAILS_JOBS, note)
        }
    };
    if let Some(object) = context.member_object(&placement.cluster) {
        context.events.publish(&*object, kind, "Route", why, &note);
    }
    Ok(())
}
