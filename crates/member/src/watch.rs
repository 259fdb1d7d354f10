//! The watch of one member's applications: fills the cache and sends the keys of changed jobs up.
//!
//! Owns nothing but the stream. Each member has its own, with its own back-off: a member that fails slows nobody else.
//! The channel is bounded; when its reader is slow, only this watch waits.

use std::{pin::pin, sync::Arc, time::Instant};

use futures::StreamExt;
use jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    runtime::{WatchStreamExt, watcher},
};
use spark_router_api::names;
use spark_router_core::{
    id::{ClusterName, HubId, JobKey, Namespace, QueueName, RemoteName},
    observe::RunState,
};
use tokio::sync::{Notify, mpsc};
use tracing::{debug, warn};

use crate::{
    cache::{Cache, Seen},
    error::chain,
    operator::dialect::Dialect,
};

/// The server ends each watch after this many seconds, and a stream that is silent for five more is given up: a
/// connection that died without a word is noticed within about a minute.
const WATCH_SECONDS: u32 = 55;

/// What the watch tells the rest of its member.
pub(crate) struct Told {
    /// Fires when the first list is through.
    pub(crate) synced: Notify,
    /// Fires when the API server refuses the watch: rights, credentials or the CRD are to be looked at.
    pub(crate) refused: Notify,
}

/// Watches until dropped.
pub(crate) async fn run<D: Dialect>(
    cluster: &ClusterName,
    client: Client,
    hub: &HubId,
    cache: &Arc<Cache>,
    keys: &mpsc::Sender<JobKey>,
    told: &Told,
) {
    let config = watcher::Config::default()
        .labels(&format!("{}={hub}", names::ORIGIN_LABEL))
        .any_semantic()
        .timeout(WATCH_SECONDS);
    let mut stream = pin!(watcher(Api::<D::Application>::all(client), config).default_backoff());
    while let Some(event) = stream.next().await {
        let news = match event {
            Ok(watcher::Event::Init) => {
                cache.list_begins();
                Vec::new()
            }
            Ok(watcher::Event::InitApply(application) | watcher::Event::Apply(application)) => {
                put::<D>(cache, &application).into_iter().collect()
            }
            Ok(watcher::Event::InitDone) => {
                let gone = cache.list_ends();
                told.synced.notify_one();
                gone
            }
            Ok(watcher::Event::Delete(application)) => {
                match (application.meta().namespace.clone(), application.meta().name.clone()) {
                    (Some(namespace), Some(name)) => {
                        cache.remove(&Namespace::new(namespace), &RemoteName::new(name)).into_iter().collect()
                    }
                    _ => Vec::new(),
                }
            }
            Err(error) => {
                if is_refusal(&error) {
                    told.refused.notify_one();
                    debug!(cluster.name = %cluster, error = chain(&error), "the member refuses the watch");
                } else {
                    warn!(cluster.name = %cluster, error = chain(&error), "the watch of a member failed; it is set up again");
                }
                Vec::new()
            }
        };
        for key in news {
            if keys.send(key).await.is_err() {
                return;
            }
        }
    }
}

fn put<D: Dialect>(cache: &Cache, application: &D::Application) -> Option<JobKey> {
    let metadata = application.meta();
    let namespace = Namespace::new(metadata.namespace.clone()?);
    let mut observation = D::observation(application)?;
    observation.running_since = (observation.run == RunState::Running).then(Timestamp::now);
    let seen = Seen {
        observation,
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        queue: metadata.labels.as_ref().and_then(|labels| labels.get(names::QUEUE_LABEL)).map(QueueName::new),
    };
    cache.put(namespace, seen, Instant::now())
}

/// An answer that waiting does not change.
fn is_refusal(error: &watcher::Error) -> bool {
    let cause = match error {
        watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause) => cause,
        watcher::Error::WatchError(status) => return matches!(status.code, 401 | 403 | 404),
        watcher::Error::WatchFailed(_) | watcher::Error::NoResourceVersion => return false,
    };
    matches!(cause, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}
