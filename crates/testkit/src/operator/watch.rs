//! Watches SparkApplications and keeps one task for each.
//!
//! Purpose: turn a watch into the latest view per application. Owns the list of tasks. It must never miss the end of an
//! object: what a relist doesn't show any more is gone.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::application::{View, Wire, resource};
use super::{Seen, Shared, drive};

/// The applications that are there, by uid. `None` is sent when one is gone.
struct Applications {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    end: CancellationToken,
    known: HashMap<String, channel::Sender<Option<View>>>,
    /// The uids of a list that is under way.
    listed: HashSet<String>,
}

pub(super) async fn run(shared: Arc<Shared>, tasks: TaskTracker, end: CancellationToken) {
    let (client, resource) = (shared.client.clone(), resource());
    let api: Api<Wire> = match shared.options.namespaces.as_slice() {
        [only] => Api::namespaced_with(client, only, &resource),
        _ => Api::all_with(client, &resource),
    };
    let mut applications =
        Applications { shared, tasks, end, known: HashMap::default(), listed: HashSet::default() };
    let mut events = pin!(watch(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => applications.listed.clear(),
            Ok(Event::InitApply(object)) => {
                applications.listed.extend(object.metadata.uid.clone());
                applications.apply(&object);
            }
            Ok(Event::InitDone) => applications.forget_unlisted(),
            Ok(Event::Apply(object)) => applications.apply(&object),
            Ok(Event::Delete(object)) => {
                applications.gone(object.metadata.uid.as_deref().unwrap_or_default());
            }
            Err(error) => tracing::warn!(%error, "the scripted operator's watch broke and starts again"),
        }
    }
}

impl Applications {
    fn apply(&mut self, object: &Wire) {
        let Some(view) = View::of(object, &self.shared.options) else { return };
        let namespaces = &self.shared.options.namespaces;
        if !namespaces.is_empty() && !namespaces.contains(&view.namespace) {
            return;
        }
        if let Some(known) = self.known.get(&view.uid) {
            known.send_replace(Some(view));
            return;
        }
        let seen = Seen { namespace: view.namespace.clone(), name: view.name.clone(), ..Seen::default() };
        self.shared.seen.lock().entry(view.uid.clone()).or_insert(seen);
        let (sender, receiver) = channel::channel(None);
        self.known.insert(view.uid.clone(), sender);
        let driving = drive::run(Arc::clone(&self.shared), view, receiver);
        let end = self.end.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = driving => {}
            }
        });
    }

    fn gone(&mut self, uid: &str) {
        self.shared.note(uid, |seen| seen.deleted = true);
        if let Some(known) = self.known.remove(uid) {
            known.send_replace(None);
        }
    }

    fn forget_unlisted(&mut self) {
        let gone: Vec<String> =
            self.known.keys().filter(|uid| !self.listed.contains(*uid)).cloned().collect();
        for uid in gone {
            self.gone(&uid);
        }
    }
}
