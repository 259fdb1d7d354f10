//! One pass over a job: gather, parse, decide, act, until there is nothing to do now.
//!
//! Owns no state. Steady state makes no call: everything that is gathered comes from caches. The reason of a trigger is
//! not known here on purpose; each pass looks at everything again.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::runtime::controller::Action;
use spark_router_api::RoutedSparkJob;
use spark_router_core::{
    dispatch::Dispatcher,
    health::LinkState,
    job::Placement,
    observe::{Observation, Remote},
    step::{Confirmed, DriverSeen, MemberView, Snapshot, step},
};
use spark_router_member::Member;
use tracing::{Instrument, debug, info_span, warn};

use crate::{
    act::{self, Next},
    context::Context,
    convert::{self, Parsed},
    error::Error,
    jobs,
    memory::Entry,
    metrics::ResultLabels,
};

/// Steps that one pass may chain: hold, place, create, and what a refusal leads to.
const CHAIN: usize = 8;
/// A job is looked at again after this long whatever happens; spread, so that a restart does not bunch them.
const SAFETY: Duration = Duration::from_mins(10);

/// Everything gathered for one step.
#[derive(Clone)]
pub(crate) struct Gathered {
    pub(crate) object: Arc<RoutedSparkJob>,
    pub(crate) parsed: Parsed,
    pub(crate) entry: Entry,
    pub(crate) member: Option<Arc<dyn Member>>,
    pub(crate) view: Option<MemberView>,
    pub(crate) remote: Remote,
    pub(crate) confirmed: Confirmed,
    pub(crate) driver: DriverSeen,
    pub(crate) fleet_in_doubt: bool,
    pub(crate) retention: Duration,
    pub(crate) now: Timestamp,
}

impl Gathered {
    /// The placement and its member, where both are there.
    pub(crate) fn placed(&self) -> Option<(&Placement, &Arc<dyn Member>)> {
        Some((self.parsed.job.record.placement.as_ref()?, self.member.as_ref()?))
    }

    /// The application as the member shows it.
    pub(crate) fn seen(&self) -> Option<&Observation> {
        match &self.remote {
            Remote::Present(seen) => Some(seen),
            Remote::Unknown | Remote::Unsettled { .. } | Remote::Absent => None,
        }
    }

    /// The driver's pod as far as anybody named it.
    pub(crate) fn driver_pod(&self) -> Option<String> {
        self.seen()?.driver_pod.clone()
    }

    pub(crate) fn snapshot<'a>(&'a self, context: &'a Context) -> Snapshot<'a> {
        Snapshot {
            job: &self.parsed.job,
            remote: &self.remote,
            member: self.view,
            sends: &self.entry.sends,
            confirmed: &self.confirmed,
            driver: &self.driver,
            fenced: self.entry.fenced,
            leading_since: context.leading_since,
            mirrored_at: self.entry.mirrored_at,
            retention: self.retention,
            fleet_in_doubt: self.fleet_in_doubt,
            timing: &context.timing,
            now: self.now,
        }
    }
}

/// Brings one job as far as it can be brought now.
///
/// # Errors
/// What kept the pass from its end; [`on_error`] says when the next one comes.
pub async fn reconcile(shown: Arc<RoutedSparkJob>, context: Arc<Context>) -> Result<Action, Error> {
    tokio::select! {
        () = context.loaded.cancelled() => {}
        // Before everything is loaded nothing is decided, at the end neither.
        () = context.stop.cancelled() => return Ok(Action::await_change()),
    }
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
    let uid = convert::job(&shown)?.job.uid;
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

async fn gather(
    object: Arc<RoutedSparkJob>,
    confirmed: Confirmed,
    driver: DriverSeen,
    context: &Context,
) -> Result<Gathered, Error> {
    let parsed = convert::job(&object)?;
    let uid = &parsed.job.uid;
    let placement = parsed.job.record.placement.as_ref();
    let turned = placement.map(|p| (p.attempt, p.seq));
    let (entry, is_new) = context.memory.change(uid, |entry| {
        let is_new = entry.placement != turned;
        entry.turn_to(turned);
        (entry.clone(), is_new)
    });
    match placement {
        // Seen for the first time: by a commit whose answer got lost, or by another process.
        Some(placement) if is_new && parsed.job.record.finished.is_none() => {
            context.dispatcher.committed(uid.clone(), placement.clone()).await;
        }
        _ => {}
    }
    if parsed.job.record.finished.is_some() && !entry.ended {
        // Also where the answer to that write got lost.
        context.dispatcher.forget(uid.clone()).await;
        context.memory.change(uid, |entry| entry.ended = true);
    }
    let member = placement.and_then(|placement| placed_on(placement, context));
    let view = placement.and_then(|placement| {
        let object = context.member_object(&placement.cluster);
        let forgotten = object.is_some_and(|object| object.spec.forget);
        let health = member.as_ref().map(|member| member.health());
        match health {
            Some(health) => Some(MemberView { link: health.link, usable: health.fault.is_none(), forgotten }),
            None if forgotten => Some(MemberView { link: LinkState::Connecting, usable: false, forgotten }),
            None => None,
        }
    });
    let remote = match (&member, placement) {
        (Some(_), Some(_)) if entry.retired => Remote::Absent,
        (Some(member), Some(placement)) => match member.observe(&placement.namespace, &placement.name) {
            Remote::Present(mut seen) => {
                seen.held &= !entry.released;
                Remote::Present(seen)
            }
            other => other,
        },
        _ => Remote::Unknown,
    };
    let suspect = view.is_some_and(|view| matches!(view.link, LinkState::Suspect { .. }));
    let fleet_in_doubt =
        suspect && context.dispatcher.read(|d: &mut Dispatcher| d.is_fleet_in_doubt()).await?;
    let retention = placement.map_or(Duration::ZERO, |placement| context.retention(&placement.cluster));
    let now = Timestamp::now();
    Ok(Gathered {
        object,
        parsed,
        entry,
        member,
        view,
        remote,
        confirmed,
        driver,
        fleet_in_doubt,
        retention,
        now,
    })
}

/// The member that a placement means: the one of that name, as long as it is still the same cluster.
fn placed_on(placement: &Placement, context: &Context) -> Option<Arc<dyn Member>> {
    let member = context.member(&placement.cluster)?;
    match member.identity() {
        Some(identity) if identity != placement.identity => {
            warn!(cluster.name = %placement.cluster, "the member is another cluster than the one that was placed on");
            None
        }
        _ => Some(member),
    }
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
    let failures = match convert::job(object) {
        Ok(parsed) => context.memory.change(&parsed.job.uid, |entry| {
            entry.failures = entry.failures.saturating_add(1);
            entry.failures
        }),
        Err(_) => u32::MAX,
    };
    let after = error.retry_after(failures);
    match error {
        Error::Conflict => debug!("the pass was dropped: the job changed"),
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
