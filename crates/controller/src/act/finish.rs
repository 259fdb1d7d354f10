//! The end of a job on the hub's record.
//!
//! Owns no state. After an application's own failure the driver's log names the cause: the operator has only an exit
//! code.

use spark_router_core::{dispatch::Withdrawal, phase::Phase, step::Outcome};
use spark_router_member::error_line;
use tracing::info;

use super::{Next, links, verdict, write};
use crate::{
    context::Context, error::Error, events::Kind, gather::Gathered, metrics::EndLabels, status::Change,
};

/// How much of a driver's log is read after a failure, in bytes.
const LOG_TAIL: u32 = 8 * 1024;

pub(super) async fn finish(at: &Gathered, context: &Context, mut outcome: Outcome) -> Result<Next, Error> {
    let job = &at.parsed.job;
    if outcome.read_log {
        read_log(at, context, &mut outcome).await;
    }
    let application = outcome.application.clone().unwrap_or_default();
    let links = links(at, context, &application);
    let Some(written) = write(at, context, &Change::Finished(&outcome, links)).await? else {
        return Ok(Next::Rest(None));
    };
    verdict::end(at, context, outcome.start).await?;
    if outcome.uid.is_none() && job.record.placement.is_some() {
        // Nothing ever ran there: it costs its member no share.
        context.dispatcher.withdraw(job.uid.clone(), job.record.placement.clone(), Withdrawal::Other).await;
    }
    context.dispatcher.forget(job.uid.clone()).await;
    let cluster = job.record.placement.as_ref().map(|p| p.cluster.as_str().to_owned()).unwrap_or_default();
    info!(cluster.name = cluster, phase = %outcome.phase, reason = outcome.reason, "finished");
    context
        .metrics
        .finished
        .get_or_create(&EndLabels {
            queue: at.object.spec.queue.clone(),
            member_cluster: cluster,
            result: outcome.phase.as_str().to_owned(),
            reason: outcome.reason.to_owned(),
        })
        .inc();
    let kind = if outcome.phase == Phase::Succeeded { Kind::Normal } else { Kind::Warning };
    let message = written.status.as_ref().and_then(|s| s.message.clone()).unwrap_or(outcome.message);
    context.events.publish(&written, kind, "Finish", outcome.reason, &message);
    Ok(Next::written(Some(written)))
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
