//! Parses a `MemberCluster` and its link into what placement sees of it.
//!
//! Owns no state. A member that cannot be read is at fault, not gone: a typing error must not make others look like the
//! last ones left.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::ResourceExt;
use spark_router_api::{
    MemberCluster, condition,
    member::{BatchScheduler as Written, YuniKornService, YuniKornSource},
};
use spark_router_core::{
    health::LinkState,
    id::{MemberIdentity, Namespace},
    pace::Pace,
    place::{BatchScheduler, MemberFacts, NamespaceRule, RouteSignal, Taint},
    resources::Capacity,
    signal::{Observed, Room, Signals},
};
use spark_router_member::{Member, Providers, WantedSignals, YuniKornEndpoint, YuniKornSettings};

use super::amounts::capacity;

/// A member as placement sees it: what its object declares and what its link says.
pub fn member(object: &MemberCluster, link: Option<&dyn Member>, providers: &Providers) -> MemberFacts {
    let health = link.map(Member::health);
    let backend = link.map_or_else(|| providers.backend(object), Member::backend);
    let state = State {
        backend: backend.name().into(),
        namespace: providers.namespace_rule(object),
        identity: link.and_then(Member::identity),
        link: health.as_ref().map_or(LinkState::Connecting, |h| h.link),
        fault: match &health {
            Some(health) => {
                health.fault.as_ref().map(|(reason, message)| ((*reason).into(), message.as_str().into()))
            }
            // The object is known and no link could be made of it: its own condition says why.
            None => not_ready(object),
        },
        blocked: health.map(|health| health.blocked).unwrap_or_default(),
    };
    facts(object, state)
}

/// A member as its object alone shows it: what the router wrote of its link, at most a few seconds old.
pub fn member_on_record(object: &MemberCluster, providers: &Providers) -> MemberFacts {
    let status = object.status.clone().unwrap_or_default();
    let since = status.unanswered_since.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let link = match status.state.as_deref() {
        Some("Ready") => LinkState::Ready,
        Some("Suspect") => LinkState::Suspect { since },
        Some("Lost") => LinkState::Lost { since },
        _ => LinkState::Connecting,
    };
    let fault = not_ready(object).filter(|(reason, _)| **reason != *link.as_str());
    let identity = status.identity.map(MemberIdentity::new);
    let backend = providers.backend(object).name().into();
    let namespace = providers.namespace_rule(object);
    facts(object, State { backend, namespace, identity, link, fault, blocked: Vec::new() })
}

/// Since when a member's breaker keeps jobs away, as its object shows it.
pub fn broken_on_record(object: &MemberCluster) -> Option<Timestamp> {
    let conditions = &object.status.as_ref()?.conditions;
    let open = condition::find(conditions, condition::BREAKER_OPEN).filter(|open| open.status == "True")?;
    (open.reason != condition::reason::NEXT_TRIES).then_some(open.last_transition_time.0)
}

/// What a member's object shows of its signals, as of `now`: what is not marked as too old is being read, and only
/// written when it says something new.
pub fn signals_on_record(object: &MemberCluster, now: Timestamp) -> Signals {
    let mut signals = Signals::default();
    let queues = object.status.as_ref().map(|status| status.queues.as_slice()).unwrap_or_default();
    for row in queues.iter().flat_map(|queue| &queue.signals) {
        let Some(at) = row.observed_at.as_ref().map(|time| if row.stale { time.0 } else { now }) else {
            continue;
        };
        let free = Capacity {
            jobs: row.free_jobs,
            pods: row.free_pods,
            executors: None,
            cpu_milli: row.free_cpu_milli,
            memory_bytes: row.free_memory_bytes,
        };
        let closed = row.message.as_deref().map(Into::into);
        let room = (!row.stale || closed.is_none()).then(|| Room { free, most: Capacity::default(), closed });
        match (row.source.as_str(), room) {
            ("ResourceQuota", room) => put(&mut signals.quotas, at, Namespace::new(&row.name), room),
            ("YuniKorn", room) => put(&mut signals.yunikorn, at, row.name.as_str().into(), room),
            ("Kueue", room) => put(&mut signals.kueue, at, row.name.as_str().into(), room),
            _ => {}
        }
    }
    signals
}

fn put<K: Ord>(seen: &mut Option<Observed<BTreeMap<K, Room>>>, at: Timestamp, name: K, room: Option<Room>) {
    let seen = seen.get_or_insert_with(|| Observed { value: BTreeMap::new(), at });
    seen.value.extend(room.map(|room| (name, room)));
}

/// What is known of a member beside what it declares.
struct State {
    backend: Arc<str>,
    namespace: NamespaceRule,
    identity: Option<MemberIdentity>,
    link: LinkState,
    fault: Option<(Arc<str>, Arc<str>)>,
    blocked: Vec<(Namespace, String, Timestamp)>,
}

fn facts(object: &MemberCluster, state: State) -> MemberFacts {
    let spec = &object.spec;
    let (capacity, unreadable) = match capacity(spec.capacity.as_ref(), "spec.capacity") {
        Ok(capacity) => (capacity, None),
        Err(why) => (Capacity::default(), Some((condition::reason::INVALID_SPEC.into(), why.into()))),
    };
    let taints = spec.taints.iter().map(|taint| Taint { key: taint.key.clone(), value: taint.value.clone() });
    let blocked = state.blocked.into_iter();
    MemberFacts {
        identity: state.identity,
        link: state.link,
        fault: unreadable.or(state.fault),
        cordoned: spec.unschedulable
            || spec.drain
            || object.metadata.deletion_timestamp.is_some()
            || spec.forget,
        labels: object.labels().clone(),
        taints: taints.collect(),
        spark_versions: spec.spark_versions.clone().into(),
        capacity,
        namespace: state.namespace,
        blocked: blocked.map(|(namespace, reason, until)| (namespace, reason.into(), until)).collect(),
        backend: Some(state.backend),
        batch_scheduler: batch_scheduler(object),
        dynamic_queues: spec.signals.yunikorn.as_ref().is_some_and(|source| source.dynamic_queues),
        stale_after: Duration::from_secs(u64::from(spec.signals.stale_after_seconds)),
        pace: Pace { per_minute: spec.limits.dispatches_per_minute, burst: spec.limits.dispatch_burst },
        backlog: u64::from(spec.limits.submission_backlog),
    }
}

/// Why the object itself says that the member is not ready.
fn not_ready(object: &MemberCluster) -> Option<(Arc<str>, Arc<str>)> {
    let ready = object.status.as_ref().and_then(|s| condition::find(&s.conditions, condition::READY));
    ready.filter(|c| c.status == "False").map(|c| (c.reason.as_str().into(), c.message.as_str().into()))
}

/// The batch scheduler that a member hands queues to.
pub fn batch_scheduler(object: &MemberCluster) -> Option<BatchScheduler> {
    let scheduler = object.spec.backend.batch_scheduler()?;
    Some(match scheduler {
        Written::YuniKorn => BatchScheduler::YuniKorn,
        Written::Volcano => BatchScheduler::Volcano,
        Written::Kueue => BatchScheduler::Kueue,
    })
}

/// Which signals of a member are read: those that routes to it go by, where its object says how.
pub fn wanted_signals(object: &MemberCluster, routes: &[RouteSignal]) -> WantedSignals {
    let by = |kind: fn(&RouteSignal) -> bool| routes.iter().any(kind);
    WantedSignals {
        quotas: by(|signal| matches!(signal, RouteSignal::ResourceQuota)),
        yunikorn: by(|signal| matches!(signal, RouteSignal::YuniKorn))
            .then(|| yunikorn(object).ok().flatten())
            .flatten(),
        kueue: by(|signal| matches!(signal, RouteSignal::Kueue { .. })),
    }
}

/// How a member's YuniKorn is asked; by its usual Service where nothing is said.
fn yunikorn(object: &MemberCluster) -> Result<Option<YuniKornSettings>, String> {
    const PATH: &str = "spec.signals.yunikorn";
    if batch_scheduler(object) != Some(BatchScheduler::YuniKorn) {
        return Ok(None);
    }
    let usual = YuniKornSource {
        url: None,
        service: Some(YuniKornService::default()),
        partition: "default".to_owned(),
        poll_seconds: 2,
        dynamic_queues: false,
    };
    let source = object.spec.signals.yunikorn.clone().unwrap_or(usual);
    let endpoint = match (&source.url, source.service) {
        (Some(url), _) => YuniKornEndpoint::url(url).map_err(|error| format!("{PATH}.url: {error}"))?,
        (None, service) => {
            let YuniKornService { namespace, name, port } = service.unwrap_or_default();
            let port = u16::try_from(port).map_err(|_| format!("{PATH}.service.port: {port} is no port"))?;
            YuniKornEndpoint::Service { namespace: Namespace::new(namespace), name, port }
        }
    };
    let poll_every = Duration::from_secs(u64::from(source.poll_seconds));
    Ok(Some(YuniKornSettings { endpoint, partition: source.partition, poll_every }))
}

/// Whether everything that a member's object declares can be read.
///
/// # Errors
/// The field and the value that cannot.
pub fn readable(object: &MemberCluster) -> Result<(), String> {
    capacity(object.spec.capacity.as_ref(), "spec.capacity")?;
    yunikorn(object).map(drop)
}
