//! The watch of the hub's jobs: what triggers a pass, and what is kept of each job.
//!
//! Owns the cache of jobs. Keeps no template of a job whose application exists: it is the bulk of the object and is never
//! needed again. A job that is gone is forgotten everywhere, also one that went while the watch was down.

use std::{collections::HashSet, sync::Arc};

use futures::{Stream, StreamExt, future, stream};
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        Predicate, PredicateConfig, WatchStreamExt, predicates,
        reflector::{self, Store, store::Writer},
        watcher,
    },
};
use serde_json::Map;
use spark_router_api::{RoutedSparkJob, condition};
use spark_router_core::{
    dispatch::Dispatcher,
    id::{JobKey, JobUid, Namespace},
};
use tokio::sync::mpsc;
use tracing::warn;

use crate::{context::Context, convert, queues::Changed};

/// The cache and its feeder.
pub fn store() -> (Store<RoutedSparkJob>, Writer<RoutedSparkJob>) {
    reflector::store()
}

/// The stream of triggers. The first list is a quorum read: a placement that a stale one leaves out would be made twice.
pub fn triggers(
    client: Client,
    writer: Writer<RoutedSparkJob>,
    jobs: Store<RoutedSparkJob>,
    context: &Arc<Context>,
) -> impl Stream<Item = Result<RoutedSparkJob, watcher::Error>> + Send + 'static {
    let (forget, cache) = (context.clone(), jobs.clone());
    let events = watcher(Api::all(client), watcher::Config::default())
        .default_backoff()
        .modify(prune)
        .reflect(writer)
        .then(move |event| {
            let (context, jobs) = (forget.clone(), cache.clone());
            async move {
                match &event {
                    Ok(watcher::Event::Delete(job)) => forget_job(job, &context).await,
                    Ok(watcher::Event::InitDone) => forget_missing(&jobs, &context).await,
                    _ => {}
                }
                event
            }
        });
    shown(events, jobs)
        .predicate_filter(
            predicates::generation
                .combine(predicates::annotations)
                .combine(predicates::finalizers)
                .combine(record),
            PredicateConfig::default(),
        )
        .filter_map(|trigger| {
            // An error must not reach the controller: one back-off holds all its triggers.
            future::ready(
                trigger
                    .inspect_err(|error| warn!(%error, "the watch of jobs failed; it is set up again"))
                    .ok(),
            )
        })
        .map(Ok)
}

/// The jobs of each event, once the cache shows them. It shows a list as a whole when that is through: a pass over a job
/// that is new on it would find nothing before, and none would follow.
fn shown(
    events: impl Stream<Item = Result<watcher::Event<RoutedSparkJob>, watcher::Error>> + Send,
    jobs: Store<RoutedSparkJob>,
) -> impl Stream<Item = Result<RoutedSparkJob, watcher::Error>> + Send {
    events.flat_map(move |event| {
        let (one, listed) = match event {
            Ok(watcher::Event::Apply(job)) => (Some(Ok(job)), Vec::new()),
            Ok(watcher::Event::InitDone) => (None, jobs.state()),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_) | watcher::Event::Delete(_)) => {
                (None, Vec::new())
            }
            Err(error) => (Some(Err(error)), Vec::new()),
        };
        // Copied one by one, as they are taken.
        let listed = listed.into_iter().map(|job| Ok(RoutedSparkJob::clone(&job)));
        stream::iter(one.into_iter().chain(listed))
    })
}

/// Our own status writes trigger nothing, but a record that somebody else put back does.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a predicate")]
fn record(job: &RoutedSparkJob) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hash = DefaultHasher::new();
    let status = job.status.as_ref();
    let placement = status.and_then(|status| status.placement.as_ref());
    placement.map(|p| (&p.cluster, p.attempt, p.seq)).hash(&mut hash);
    status.is_some_and(|status| condition::is_true(&status.conditions, condition::FINISHED)).hash(&mut hash);
    job.meta().deletion_timestamp.is_some().hash(&mut hash);
    Some(hash.finish())
}

/// Takes away what is never read again.
pub fn prune(job: &mut RoutedSparkJob) {
    job.managed_fields_mut().clear();
    job.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
    if convert::is_beyond_its_template(job) {
        job.spec.template.spec = Map::new();
    }
}

async fn forget_job(job: &RoutedSparkJob, context: &Context) {
    if let Some(uid) = &job.metadata.uid {
        let uid = JobUid::new(uid);
        context.memory.forget(&uid);
        context.dispatcher.forget(uid).await;
    }
}

/// A new list emits no deletes: what is accounted for and not on it is gone.
async fn forget_missing(jobs: &Store<RoutedSparkJob>, context: &Context) {
    let present: HashSet<JobUid> = jobs.state().iter().filter_map(|job| job.uid().map(JobUid::new)).collect();
    context.memory.retain(|uid| present.contains(uid));
    context
        .dispatcher
        .change(move |dispatcher: &mut Dispatcher| dispatcher.retain(|uid| present.contains(uid)))
        .await;
}

/// Calls the jobs of a queue that a change of it concerns: those that have no place yet, or all.
pub async fn call(jobs: &Store<RoutedSparkJob>, changed: &Changed, called: &mpsc::Sender<JobKey>) {
    let is_of = |job: &RoutedSparkJob| job.spec.queue == changed.queue;
    if changed.times {
        call_each(jobs, is_of, called).await;
    } else {
        call_waiting(jobs, is_of, called).await;
    }
}

/// Calls those that have no place yet.
pub async fn call_waiting(
    jobs: &Store<RoutedSparkJob>,
    which: impl Fn(&RoutedSparkJob) -> bool,
    called: &mpsc::Sender<JobKey>,
) {
    let waits = |job: &RoutedSparkJob| {
        job.status
            .as_ref()
            .is_none_or(|s| s.placement.is_none() && !condition::is_true(&s.conditions, condition::FINISHED))
    };
    call_each(jobs, |job| which(job) && waits(job), called).await;
}

async fn call_each(
    jobs: &Store<RoutedSparkJob>,
    which: impl Fn(&RoutedSparkJob) -> bool,
    called: &mpsc::Sender<JobKey>,
) {
    for job in jobs.state().into_iter().filter(|job| which(job)) {
        let Some(namespace) = job.namespace() else { continue };
        let key = JobKey { namespace: Namespace::new(namespace), name: job.name_any() };
        if called.send(key).await.is_err() {
            return;
        }
    }
}

/// Takes every recorded placement into the dispatcher's account, in one command: nothing may come between. The queues'
/// own accounts are taken as they are now: while this process stood by, another one wrote them.
pub async fn restore(jobs: &Store<RoutedSparkJob>, context: &Context) {
    let mut placed = Vec::new();
    for job in jobs.state() {
        let (Some(uid), Some(status)) = (job.uid(), &job.status) else { continue };
        let Some(record) = &status.placement else { continue };
        let finished = condition::is_true(&status.conditions, condition::FINISHED);
        let owner = Namespace::new(job.namespace().unwrap_or_default());
        let state = status.application.as_ref().and_then(|application| application.state.as_deref());
        let submitted = state.is_some_and(|state| !state.is_empty());
        placed.push((JobUid::new(uid), owner, convert::placement(record), finished, submitted));
    }
    let checkpoints = context.queues.checkpoints();
    let restore = move |dispatcher: &mut Dispatcher| {
        for (queue, checkpoint) in checkpoints {
            dispatcher.resume(&queue, checkpoint);
        }
        for (uid, owner, placement, finished, submitted) in &placed {
            dispatcher.restore(uid, owner, placement, *finished);
            if *submitted {
                // Else everything that runs would count as not yet submitted until it is looked at.
                dispatcher.submitted(uid);
            }
        }
        dispatcher.replay();
    };
    context.dispatcher.change(restore).await;
    // Jobs that went while they were read.
    forget_missing(jobs, context).await;
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;
    use serde_json::json;

    use super::*;

    fn job(name: &str, version: &str) -> RoutedSparkJob {
        serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
            "metadata": {"name": name, "namespace": "team", "uid": name, "resourceVersion": version},
            "spec": {"queue": "etl", "template": {"spec": {}}},
        }))
        .unwrap()
    }

    /// A job that was created while the watch was down.
    #[tokio::test]
    async fn nothing_is_triggered_before_the_cache_shows_it() {
        use watcher::Event::{Apply, Init, InitApply, InitDone};
        let (jobs, writer) = store();
        let events = vec![
            Init,
            InitApply(job("a", "1")),
            InitDone,
            Apply(job("b", "2")),
            Init,
            InitApply(job("a", "3")),
            InitApply(job("c", "4")),
            InitDone,
        ];
        let events = stream::iter(events.into_iter().map(Ok)).reflect(writer);
        let mut triggers = std::pin::pin!(shown(events, jobs.clone()));
        let mut told = Vec::new();
        while let Some(trigger) = triggers.next().await {
            let job = trigger.unwrap();
            let cached = jobs.get(&ObjectRef::from_obj(&job));
            assert_eq!(cached.and_then(|cached| cached.resource_version()), job.resource_version());
            told.push((job.name_any(), job.resource_version().unwrap()));
        }
        told.sort();
        let all = [("a", "1"), ("a", "3"), ("b", "2"), ("c", "4")];
        assert_eq!(told, all.map(|(name, version)| (name.to_owned(), version.to_owned())));
    }
}
