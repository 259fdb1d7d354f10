//! A watch that tells a task what there is.
//!
//! Owns the set of names it has told of. Differs from a bare watch in one point: a new list names what is missing from
//! it as gone, because a list emits no deletes.

use std::{collections::BTreeSet, fmt::Debug, future::Future, hash::Hash};

use futures::{StreamExt, pin_mut};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What is told.
#[derive(Clone, Debug)]
pub enum Seen<K> {
    /// It is there, as it is now.
    Present(Box<K>),
    /// It is gone.
    Gone(String),
    /// The first list is through.
    Listed,
}

/// Watches all objects of a cluster-scoped kind until stopped, and tells each change in order.
pub async fn watch<K, F>(
    api: Api<K>,
    what: &'static str,
    stop: CancellationToken,
    mut tell: impl FnMut(Seen<K>) -> F,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Default + Eq + Hash + Clone,
    F: Future<Output = ()>,
{
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    pin_mut!(stream);
    let (mut known, mut listed) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = stream.next() => match event { Some(event) => event, None => return },
        };
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(object.name_any());
                tell(Seen::Present(Box::new(object))).await;
            }
            Ok(watcher::Event::InitDone) => {
                for name in known.difference(&listed) {
                    tell(Seen::Gone(String::clone(name))).await;
                }
                known.clone_from(&listed);
                tell(Seen::Listed).await;
            }
            Ok(watcher::Event::Apply(object)) => {
                known.insert(object.name_any());
                tell(Seen::Present(Box::new(object))).await;
            }
            Ok(watcher::Event::Delete(object)) => {
                known.remove(&object.name_any());
                tell(Seen::Gone(object.name_any())).await;
            }
            Err(error) => warn!(%error, "the watch of {what} failed; it is set up again"),
        }
    }
}
