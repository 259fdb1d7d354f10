//! One pass over a job: gather, parse, decide, act, until there is nothing to do now.
//!
//! Owns no state. Steady state makes no call: everything that is gathered comes from caches. The reason of a trigger is
//! not known here on purpose; each pass looks at everything again.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::runtime::{controller::Action, reflector::ObjectRef};
use spark_router_api::RoutedSparkJob;
use spark_router_core::step::{Confirmed, DriverSeen, step};
use tracing::{Instrument, debug, info_span, warn};

use crate::{
    act::{self, Next},
    context::Context,
    convert,
    error::Error,
    gather::gather,
    jobs,
    metrics::ResultLabels,
};

/// Steps that one pass may chain: hold, place, create, and what a refusal leads to.
const CHAIN: usize = 8;
/// A job is looked at again after this long whatever happens; spread, so that a restart does not bunch them.
const SAFETY: Duration = Duration::from_mins(10);

/// Brings one job as far as it can be brought now.
///
/// # Errors
/// What kept the pass from its end; [`on_error`] says when the next one comes.
pub async fn reconcile(shown: Arc<RoutedSparkJob>, context: Arc<Context>) -> Result<Action, Error> {
    let waits = !context.loaded.is_cancelled();
    tokio::select! {
        () = context.loaded.cancelled() => {}
        // Before everything is loaded and this process leads nothing is decided, at the end neither.
        () = context.stop.cancelled() => return Ok(Action::await_change()),
    }
    // While it stood by, another router may have brought the job to its end: what was shown then is of no use.
    let newest = if waits { context.jobs.get(&ObjectRef::from_obj(&*shown)) } else { Some(shown) };
    let Some(shown) = newest else { return Ok(Action::await_change()) };
    let started = std::time::Instant::now();
    let span = info_span!(
        "job",
        job.namespace = shown.metadata.namespace.as_deref(),
        job.name = shown.metadata.name.as_deref(),
        job.uid = shown.metadata.uid.as_deref()
    );
    let result = passes(shown, &context).instrument(span).await;
    let word = result.as_ref().map_or_else(Error::reason, |_| "success").to_owned();
    context.metrics.reconciles.get_or_create(&ResultLabels { result: word }).inc();
    context.metrics.reconcile_time.observe(started.elapsed().as_secs_f64());
    result
}

async fn passes(shown: Arc<RoutedSparkJob>, context: &Context) -> Result<Action, Error> {
    let uid = convert::uid(&shown)?;
    let mut object = context.memory.newest(&uid, shown);
    let (mut confirmed, mut driver) = (Confirmed::Nothing, DriverSeen::Nothing);
    for _ in 0..CHAIN {
        let gathered = gather(object.clone(), confirmed, driver, context).await?;
        let next = step(gathered.snapshot(context));
        debug!(?next, "decided");
        (confirmed, driver) = (Confirmed::Nothing, DriverSeen::Nothing);
        match act::act(next, &gathered, context).await? {
            Next::Written(mut written) => {
                jobs::prune(&mut written);
                object = Arc::from(written);
                context.memory.change(&uid, |entry| entry.written = Some(object.clone()));
            }
            Next::Again => {}
            Next::Confirmed(seen) => confirmed = seen,
            Next::Driver(seen) => driver = seen,
            Next::Rest(until) => {
                context.memory.change(&uid, |entry| entry.failures = 0);
                return Ok(rest(until, uid.as_str()));
            }
            Next::Gone => return Ok(Action::await_change()),
        }
    }
    Ok(Action::requeue(Duration::from_millis(20)))
}

/// When to come back: at `until`, or at the latest after the safety time, spread by the job's own uid.
fn rest(until: Option<Timestamp>, uid: &str) -> Action {
    let spread = uid.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % 240;
    let safety = SAFETY + Duration::from_secs(spread);
    let wait = until.map_or(safety, |at| {
        let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        wait.clamp(Duration::from_millis(10), safety)
    });
    Action::requeue(wait)
}

/// When a failed pass is tried again.
pub fn on_error(object: &RoutedSparkJob, error: &Error, context: &Context) -> Action {
    let failures = match convert::uid(object) {
        Ok(uid) => context.memory.change(&uid, |entry| {
            entry.failures = entry.failures.saturating_add(1);
            entry.failures
        }),
        Err(_) => u32::MAX,
    };
    let after = error.retry_after(failures);
    match error {
        Error::Conflict => debug!("the pass was dropped: the job changed"),
        // The lease says so itself, once.
        Error::NotLeading => debug!("the pass was dropped: this router does not lead any more"),
        other => warn!(
            error = other as &dyn std::error::Error,
            reason = other.reason(),
            failures,
            retry_seconds = after.as_secs(),
            job.namespace = object.metadata.namespace.as_deref(),
            job.name = object.metadata.name.as_deref(),
            "a pass over a job failed"
        ),
    }
    Action::requeue(after)
}
