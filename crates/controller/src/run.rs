//! Starts the parts of the hub loop in order, and stops them in order.
//!
//! Owns the tasks. No decision is made before everything that it rests on is loaded: the jobs' recorded placements, the
//! queues, the members' facts and, within a bounded time, the members' own views; and none before this process leads.
//! A process that stands by has all of it loaded and kept, so that it decides as soon as it leads. One that leads no more
//! ends at once: its turn is over, and so is what it remembers.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace as HubNamespace;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::{
        controller::{self, Controller},
        reflector::{ObjectRef, Store},
    },
};
use spark_router_api::RoutedSparkJob;
use spark_router_core::{
    id::{HubId, JobKey, Namespace},
    step::Timing,
};
use spark_router_member::{MaySend, Providers, Registry, calls::Calls};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    backends,
    clock::Clock,
    context::Context,
    dispatcher,
    error::Error,
    events::Publisher,
    fleet::Fleet,
    hub::Hub,
    jobs,
    lease::Lease,
    members,
    memory::Memory,
    metrics::Metrics,
    queues::Queues,
    readiness::Readiness,
    reconcile::{on_error, reconcile},
    restored::{self, Looked, Lookout},
    watches::{self, Seen},
};

/// What `/readyz` waits for.
pub const PARTS: [&str; 5] = ["jobs", "queues", "members", "namespaces", "member connections"];

/// Keys of jobs that wait to be triggered; those who send more wait.
const CALLS: usize = 1024;
/// Members get this long to connect before the first decision: else the first to answer would take a whole backlog.
const CONNECT: Duration = Duration::from_secs(5);
/// Passes that run get this long to end when the process stops.
const GRACE: Duration = Duration::from_secs(15);

/// How the hub loop is run.
pub struct Settings {
    /// This hub.
    pub hub_id: HubId,
    /// The router's own namespace: Secrets with member kubeconfigs are read only from here.
    pub namespace: String,
    /// Names this process in events and in the lease.
    pub instance: String,
    /// Whether it takes turns with others by a lease, or is alone.
    pub lease: bool,
    /// Passes at once.
    pub concurrency: u16,
    /// Shortest retention of finished applications.
    pub retention_floor: Duration,
    /// How often members are swept.
    pub sweep_every: Duration,
    /// The kinds of members that it knows.
    pub providers: Providers,
    /// How the hub is reached, for the member that is the hub itself.
    pub hub_config: kube::Config,
    /// Counts API calls.
    pub calls: Calls,
    /// Told when a part is loaded.
    pub readiness: Readiness,
    /// Metrics.
    pub metrics: Metrics,
}

/// Runs until stopped.
///
/// # Errors
/// [`Error::Stopping`] when a part ended although nobody asked it to, [`Error::LeaseLost`] when another router may lead,
/// [`Error::Lease`] when the hub does not let this one.
pub async fn run(client: Client, settings: Settings, stop: CancellationToken) -> Result<(), Error> {
    let tasks = TaskTracker::new();
    let (called, calls) = mpsc::channel::<JobKey>(CALLS);
    // Ends after everybody who asks it.
    let dispatching_stop = CancellationToken::new();
    let (dispatcher, dispatching) = dispatcher::Handle::start(called.clone(), dispatching_stop.clone());
    let (job_store, writer) = jobs::store();
    let leading = settings.metrics.leading.clone();
    let (lease, mut keeping) = if settings.lease {
        Lease::start(client.clone(), &settings.namespace, &settings.instance, leading)
    } else {
        Lease::unneeded(leading)
    };
    let asked = lease.clone();
    let registry = Registry::new(
        settings.hub_id.clone(),
        called.clone(),
        settings.calls.clone(),
        MaySend::when(move || asked.holds()),
        stop.child_token(),
    );
    let hub = Hub::new(client.clone(), lease.clone());
    let loaded = CancellationToken::new();

    let members = members::start(members::Parts {
        client: client.clone(),
        namespace: settings.namespace.clone(),
        hub_config: settings.hub_config.clone(),
        providers: settings.providers.clone(),
        registry: registry.clone(),
        dispatcher: dispatcher.clone(),
        hub: hub.clone(),
        lease: lease.clone(),
        deciding: loaded.clone(),
        jobs: job_store.clone(),
        sweep_every: settings.sweep_every,
        stop: stop.child_token(),
    });
    let events = Publisher::start(
        client.clone(),
        &settings.instance,
        lease.clone(),
        settings.metrics.events_dropped.clone(),
        stop.child_token(),
    );
    let queues = Queues::default();
    let queues_changed = queues.changed();
    let context = Arc::new(Context {
        hub_id: settings.hub_id.clone(),
        hub,
        jobs: job_store.clone(),
        registry: registry.clone(),
        members: members.store.clone(),
        kinds: backends::Known::default(),
        providers: settings.providers.clone(),
        queues: queues.clone(),
        dispatcher: dispatcher.clone(),
        memory: Memory::default(),
        abandon: members.abandon.clone(),
        looked: Looked::default(),
        events,
        metrics: settings.metrics.clone(),
        timing: Timing::default(),
        clock: Clock::default(),
        retention_floor: settings.retention_floor,
        lease: lease.clone(),
        stop: stop.child_token(),
        loaded: loaded.clone(),
    });

    let listed = Arc::new(Listed::default());
    tasks.spawn(watch_queues(
        client.clone(),
        queues.clone(),
        dispatcher.clone(),
        (job_store.clone(), called.clone()),
        listed.clone(),
        stop.child_token(),
    ));
    tasks.spawn(watch_namespaces(client.clone(), dispatcher.clone(), listed.clone(), stop.child_token()));
    tasks.spawn(queues.keep_statuses(
        client.clone(),
        dispatcher.clone(),
        (lease, loaded),
        stop.child_token(),
    ));

    let triggers = jobs::triggers(client.clone(), writer, job_store.clone(), &context);
    let config = controller::Config::default().concurrency(settings.concurrency);
    let calls = futures::stream::unfold(calls, async |mut calls| calls.recv().await.map(|key| (key, calls)));
    let loop_ = Controller::for_stream(triggers, job_store.clone())
        .with_config(config)
        .reconcile_on(calls.map(|key| ObjectRef::new(&key.name).within(key.namespace.as_str())))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, |object, error, context| on_error(&object, error, &context), context.clone())
        // Failures are reported where they are handled, in `on_error`; a job that is gone is no failure.
        .for_each(async |_| ());

    let fleet = Fleet {
        registry,
        members: members.store,
        providers: settings.providers,
        kinds: context.kinds.clone(),
        jobs: job_store.clone(),
        dispatcher: dispatcher.clone(),
        called,
        looked: context.looked.clone(),
        told: tokio::sync::Mutex::default(),
    };
    let looking = (members.listed, members.changed, queues_changed);
    let load = load(client, fleet, job_store, &listed, &context, settings.readiness, looking, &tasks, &stop);
    tokio::pin!(loop_, load);
    let mut loading = true;
    loop {
        tokio::select! {
            () = &mut loop_ => break,
            () = &mut load, if loading => loading = false,
            ended = &mut keeping.task => {
                stop.cancel();
                // Nobody is waited for: whatever is under way may not be finished by this process any more.
                return Err(match ended {
                    Ok(Err(error)) => error,
                    Ok(Ok(())) | Err(_) => Error::Stopping,
                });
            }
        }
    }
    let asked = stop.is_cancelled();
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(GRACE, async {
        tasks.wait().await;
        members.task.await
    })
    .await
    .is_err()
    {
        warn!("some tasks did not end in time");
    }
    dispatching_stop.cancel();
    // It never waits: it ends with its next turn.
    let _ = dispatching.await;
    // Last of all: from here on another router leads.
    keeping.release().await;
    if asked { Ok(()) } else { Err(Error::Stopping) }
}

#[derive(Default)]
struct Listed {
    queues: Notify,
    namespaces: Notify,
}

async fn watch_queues(
    client: Client,
    queues: Queues,
    dispatcher: dispatcher::Handle,
    (jobs, called): (Store<RoutedSparkJob>, mpsc::Sender<JobKey>),
    listed: Arc<Listed>,
    stop: CancellationToken,
) {
    watches::watch(Api::all(client), "queues", stop, |seen| {
        let (queues, dispatcher, listed) = (queues.clone(), dispatcher.clone(), listed.clone());
        let (jobs, called) = (jobs.clone(), called.clone());
        async move {
            if matches!(seen, Seen::Listed) {
                listed.queues.notify_one();
            }
            if let Some(changed) = queues.tell(seen, &dispatcher).await {
                jobs::call(&jobs, &changed, &called).await;
            }
        }
    })
    .await;
}

async fn watch_namespaces(
    client: Client,
    dispatcher: dispatcher::Handle,
    listed: Arc<Listed>,
    stop: CancellationToken,
) {
    let api = Api::<PartialObjectMeta<HubNamespace>>::all(client);
    watches::watch(api, "namespaces", stop, |seen| {
        let (dispatcher, listed) = (dispatcher.clone(), listed.clone());
        async move {
            match seen {
                Seen::Present(object) => {
                    let name = Namespace::new(object.metadata.name.clone().unwrap_or_default());
                    let labels = object.metadata.labels.unwrap_or_default();
                    dispatcher.set_namespace(name, Some(labels)).await;
                }
                Seen::Gone(name) => dispatcher.set_namespace(Namespace::new(name), None).await,
                Seen::Listed => listed.namespaces.notify_one(),
            }
        }
    })
    .await;
}

/// Loads everything that decisions rest on, keeps it fresh, and opens the gate as soon as this process leads.
#[expect(clippy::too_many_arguments, reason = "the parts of one start, used once")]
async fn load(
    client: Client,
    fleet: Fleet,
    job_store: Store<RoutedSparkJob>,
    listed: &Listed,
    context: &Context,
    readiness: Readiness,
    (mut members, changed, queues): (watch::Receiver<bool>, watch::Receiver<u64>, watch::Receiver<u64>),
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    // A store whose feeder is gone never gets ready; the process is stopping then.
    let _ = job_store.wait_until_ready().await;
    readiness.done("jobs");
    let _ = members.wait_for(|listed| *listed).await;
    readiness.done("members");
    listed.queues.notified().await;
    readiness.done("queues");
    listed.namespaces.notified().await;
    readiness.done("namespaces");
    let waited = tokio::time::timeout(CONNECT, async {
        while !fleet.is_settled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    if waited.await.is_err() {
        warn!("not every member is connected yet; deciding among the others");
    }
    let fleet = Arc::new(fleet);
    let members = fleet.tell().await;
    info!(jobs = job_store.state().len(), members, "loaded");
    tasks.spawn(fleet.clone().run(changed, queues, stop.child_token()));
    readiness.done("member connections");
    context.lease.taken().await;
    jobs::restore(&job_store, context).await;
    let mut lookout = Lookout::begin(restored::Parts {
        client,
        lease: context.lease.clone(),
        registry: context.registry.clone(),
        jobs: job_store.clone(),
        members: context.members.clone(),
        queues: context.queues.clone(),
        dispatcher: context.dispatcher.clone(),
        events: context.events.clone(),
        metrics: context.metrics.clone(),
        looked: context.looked.clone(),
    });
    lookout.first(stop).await;
    if stop.is_cancelled() {
        return;
    }
    tasks.spawn(lookout.run(stop.child_token()));
    // All that were looked at take part in the first decision.
    fleet.tell().await;
    info!(jobs = job_store.state().len(), "deciding");
    context.loaded.cancel();
}
