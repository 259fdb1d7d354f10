//! Everything that one decision is made from, read from caches.
//!
//! Owns no state and makes no call: what is not known here is not known now.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use spark_router_api::RoutedSparkJob;
use spark_router_core::{
    dispatch::Dispatcher,
    health::LinkState,
    id::{ClusterName, JobUid, MemberIdentity},
    job::{Job, Past, Placement},
    observe::{Observation, Remote, RunState},
    policy::OnMemberLost,
    step::{Confirmed, DriverSeen, Elsewhere, MemberView, PastView, Snapshot, Trace},
};
use spark_router_member::{Member, Order};
use tracing::warn;

use crate::{
    context::Context,
    convert::{self, KnownQueue, Lifetime, Parsed},
    error::Error,
    memory::{Entry, Progress},
};

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
    pub(crate) elsewhere: Elsewhere,
    pub(crate) fleet_in_doubt: bool,
    pub(crate) frozen_until: Option<Timestamp>,
    pub(crate) retention: Duration,
    pub(crate) lifetime: Lifetime,
    pub(crate) hold_fire_until: Option<Timestamp>,
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

    /// The placement as an order to its member.
    ///
    /// # Errors
    /// A template that is no JSON.
    pub(crate) fn order(&self, placement: &Placement) -> Result<Order, Error> {
        let job = &self.parsed.job;
        Ok(Order {
            job: job.uid.clone(),
            key: job.key.clone(),
            attempt: placement.attempt,
            queue: placement.queue.clone(),
            seq: placement.seq,
            namespace: placement.namespace.clone(),
            name: placement.name.clone(),
            template: Arc::new(serde_json::to_value(&self.object.spec.template)?),
            remote_queue: placement.remote_queue.clone(),
            parts: self.parsed.parts.clone(),
            emr: self.object.spec.emr.clone().map(Arc::new),
            start_deadline: job.policy.deadlines.start,
        })
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
            fenced: self.entry.fenced.holds(),
            elsewhere: &self.elsewhere,
            leading_since: context.leading_since(),
            mirrored_at: self.entry.mirrored_at,
            retention: self.retention,
            fleet_in_doubt: self.fleet_in_doubt,
            frozen_until: self.frozen_until,
            longest_run: self.lifetime.longest_run,
            expires: self.lifetime.expires,
            hold_fire_until: self.hold_fire_until,
            timing: &context.timing,
            now: self.now,
        }
    }
}

pub(crate) async fn gather(
    object: Arc<RoutedSparkJob>,
    confirmed: Confirmed,
    driver: DriverSeen,
    context: &Context,
) -> Result<Gathered, Error> {
    let queue = context.queues.get(&object.spec.queue);
    let parsed = context.memory.parse(&object, queue.as_deref(), &context.kinds.now())?;
    let uid = &parsed.job.uid;
    let placement = parsed.job.record.placement.as_ref();
    let turned = placement.map(|p| (p.attempt, p.seq));
    let member = placement.and_then(|placement| member_of(&placement.cluster, &placement.identity, context));
    let shown = match (&member, placement) {
        (Some(member), Some(placement)) => member.observe(&placement.namespace, &placement.name),
        _ => Remote::Unknown,
    };
    let (entry, is_new) = context.memory.change(uid, |entry| {
        let is_new = entry.placement != turned;
        entry.turn_to(turned);
        entry.look(&shown);
        (entry.clone(), is_new)
    });
    match placement {
        // Seen for the first time: by a commit whose answer got lost, or by another process.
        Some(placement) if is_new && parsed.job.record.finished.is_none() => {
            let owner = parsed.job.key.namespace.clone();
            context.dispatcher.committed(uid.clone(), owner, placement.clone()).await;
        }
        _ => {}
    }
    if parsed.job.record.finished.is_some() && !entry.ended {
        // Also where the answer to that write got lost.
        context.dispatcher.forget(uid.clone()).await;
        context.memory.change(uid, |entry| entry.ended = true);
    }
    let view = placement.and_then(|placement| view_of(member.as_ref(), &placement.cluster, context));
    let remote = match shown {
        Remote::Present(_) if entry.retired.holds() => Remote::Absent,
        Remote::Present(mut seen) => {
            seen.held &= !entry.released.holds();
            Remote::Present(seen)
        }
        other => other,
    };
    if let (Remote::Present(seen), Some(placement), Some(member)) = (&remote, placement, &member)
        && parsed.job.record.finished.is_none()
    {
        tell_progress(uid, &**member, seen, placement, entry.told, context).await;
    }
    let suspect = view.is_some_and(|view| matches!(view.link, LinkState::Suspect { .. }));
    let fleet_in_doubt =
        suspect && context.dispatcher.read(|d: &mut Dispatcher| d.is_fleet_in_doubt()).await?;
    let lost = view.is_some_and(|view| matches!(view.link, LinkState::Lost { .. }));
    let may_leave = lost && parsed.job.policy.on_member_lost == OnMemberLost::AllowDuplicate;
    let frozen_until =
        if may_leave { context.dispatcher.read(|d: &mut Dispatcher| d.frozen_until()).await? } else { None };
    let past = parsed.job.record.past.iter().map(|past| past_view(past, context)).collect();
    // Of what this process placed itself there is nothing newer than the record.
    let inherited = parsed.job.record.finished.is_none() && !entry.sends.placed_here;
    let traces = if inherited { traces(&parsed.job, context) } else { Vec::new() };
    let unheard = inherited
        && placement
            .is_some_and(|placement| placement.uid.is_none() && unheard(&parsed.job, placement, context));
    let retention = placement.map_or(Duration::ZERO, |placement| context.retention(&placement.cluster));
    let lifetime = convert::lifetime(&object, queue.as_deref().map(KnownQueue::object));
    let (now, hold_fire_until) = context.clock.now();
    Ok(Gathered {
        object,
        parsed,
        entry,
        member,
        view,
        remote,
        confirmed,
        driver,
        elsewhere: Elsewhere { past, traces, unheard },
        fleet_in_doubt,
        frozen_until,
        retention,
        lifetime,
        hold_fire_until,
        now,
    })
}

/// Tells the dispatcher once what the ledger needs to know of a job's progress: that its operator has it, and that all
/// its pods are there, so that the member's own signals show them.
async fn tell_progress(
    uid: &JobUid,
    member: &dyn Member,
    seen: &Observation,
    placement: &Placement,
    told: Progress,
    context: &Context,
) {
    let now = progress(seen, member.shows_all(seen, placement.demand.executors()));
    if now <= told {
        return;
    }
    match now {
        Progress::Placed => {}
        Progress::Submitted => context.dispatcher.submitted(uid.clone()).await,
        Progress::Running => context.dispatcher.seen(uid.clone(), Timestamp::now()).await,
    }
    context.memory.change(uid, |entry| entry.told = now);
}

fn progress(seen: &Observation, shows_all: bool) -> Progress {
    match &seen.run {
        _ if shows_all => Progress::Running,
        RunState::Accepted => Progress::Placed,
        _ => Progress::Submitted,
    }
}

/// The member of that name, as long as it is still the same cluster.
pub(crate) fn member_of(
    cluster: &ClusterName,
    recorded: &MemberIdentity,
    context: &Context,
) -> Option<Arc<dyn Member>> {
    let member = context.member(cluster)?;
    match member.identity() {
        Some(identity) if identity != *recorded => {
            warn!(cluster.name = %cluster, "the member is another cluster than the one that was placed on");
            None
        }
        _ => Some(member),
    }
}

fn view_of(member: Option<&Arc<dyn Member>>, cluster: &ClusterName, context: &Context) -> Option<MemberView> {
    let object = context.member_object(cluster);
    let (forgotten, drained) =
        object.map_or((false, false), |object| (object.spec.forget, object.spec.drain));
    match member.map(|member| member.health()) {
        Some(health) => {
            Some(MemberView { link: health.link, usable: health.fault.is_none(), forgotten, drained })
        }
        None if forgotten => {
            Some(MemberView { link: LinkState::Connecting, usable: false, forgotten, drained })
        }
        None => None,
    }
}

/// What members show of a job, where they would run it: two members may be one cluster.
fn traces(job: &Job, context: &Context) -> Vec<Trace> {
    let mut traces = Vec::new();
    for member in context.registry.all() {
        let Some(identity) = member.identity() else { continue };
        let target = member.target_namespace(&job.key.namespace);
        for (namespace, seen) in member.traces(&job.uid) {
            if namespace == target {
                traces.push(Trace {
                    cluster: member.name().clone(),
                    identity: identity.clone(),
                    namespace,
                    seen,
                });
            }
        }
    }
    traces
}

/// Whether a member beside the placement's has not listed its applications yet.
fn unheard(job: &Job, placement: &Placement, context: &Context) -> bool {
    let others = context.registry.all().into_iter().filter(|member| *member.name() != placement.cluster);
    let mut views =
        others.map(|member| member.observe(&member.target_namespace(&job.key.namespace), &placement.name));
    views.any(|remote| remote == Remote::Unknown)
}

fn past_view(past: &Past, context: &Context) -> PastView {
    let member = member_of(&past.cluster, &past.identity, context);
    PastView {
        past: past.clone(),
        member: view_of(member.as_ref(), &past.cluster, context),
        remote: member.map_or(Remote::Unknown, |member| member.observe(&past.namespace, &past.name)),
        retention: context.retention(&past.cluster),
    }
}
