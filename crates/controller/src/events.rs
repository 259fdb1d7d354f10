//! Events that users see in `kubectl describe`.
//!
//! Owns a short queue and the task that empties it. Publishing never waits and never fails a pass: an event is a
//! courtesy, the status is the record. One that finds the queue full is counted and dropped. kube's own recorder is not
//! used because it repeats the first note of a reason for ever.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, api::PostParams};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::lease::Lease;

/// Events that may wait.
const BACKLOG: usize = 8192;
/// Longest note the API takes, in bytes.
const NOTE: usize = 1024;

/// Who reports.
const CONTROLLER: &str = "sparkrouter.dev/spark-router";

/// Whether an event is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The normal course.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Publishes events.
#[derive(Clone)]
pub struct Publisher {
    queue: mpsc::Sender<Event>,
    dropped: Counter,
    instance: Arc<str>,
}

impl Publisher {
    /// Starts the task. `instance` names this process, `dropped` counts what found no place. What waits when the lease is
    /// lost is nobody's word any more.
    pub fn start(
        client: Client,
        instance: &str,
        lease: Lease,
        dropped: Counter,
        stop: CancellationToken,
    ) -> Self {
        let (queue, mut events) = mpsc::channel::<Event>(BACKLOG);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    () = stop.cancelled() => return,
                    event = events.recv() => match event { Some(event) => event, None => return },
                };
                if !lease.holds() {
                    continue;
                }
                let namespace = event.metadata.namespace.clone().unwrap_or_default();
                if let Err(error) =
                    Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), &event).await
                {
                    debug!(%error, %namespace, "an event was not taken");
                }
            }
        });
        Self { queue, dropped, instance: instance.into() }
    }

    /// Publishes one event about an object.
    pub fn publish<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        kind: Kind,
        action: &str,
        reason: &str,
        note: &str,
    ) {
        let meta = object.meta();
        let now = Timestamp::now();
        let name = meta.name.clone().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                // As client-go names them: the object's name and the time in hex.
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                // Events of cluster-scoped objects live in `default`.
                namespace: Some(meta.namespace.clone().unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            action: Some(action.to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(cut(note, NOTE).to_owned()),
            reason: Some(reason.to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some(K::api_version(&()).into_owned()),
                kind: Some(K::kind(&()).into_owned()),
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                ..ObjectReference::default()
            }),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.to_string()),
            type_: Some(
                match kind {
                    Kind::Normal => "Normal",
                    Kind::Warning => "Warning",
                }
                .to_owned(),
            ),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            self.dropped.inc();
        }
    }
}

/// The longest prefix of at most `bytes` bytes that ends between characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(cut("grün", 3), "gr");
        assert_eq!(cut("grün", 9), "grün");
    }
}
