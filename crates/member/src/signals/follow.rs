//! Follows a kind of object on a member and says what all of them together mean.
//!
//! Owns the entries of one watch. Ends at the first failure: whoever called it pauses and starts anew with a list, so
//! that a watch is either known to be live or not there at all. Must never call a value true that no live watch backs.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    pin::pin,
    time::{Duration, Instant},
};

use futures::StreamExt;
use jiff::Timestamp;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::time::MissedTickBehavior;

use super::{Kind, board::Board, line::Line, rooms::Rooms};
use crate::error::Error;

/// The server ends each watch after this many seconds, and a stream that is silent for five more is given up: for half a
/// minute at most a connection that died without a word passes for live. Shorter than for applications, because nothing
/// else tells when a value grows old.
const WATCH_SECONDS: u32 = 25;
/// The first list has to be through by then.
const LIST: Duration = Duration::from_secs(30);
/// A live watch makes its value younger this often.
const STILL: Duration = Duration::from_secs(2);
/// Changes that come thick and fast are shown together, this often; the first of them at once.
const TOGETHER: Duration = Duration::from_millis(100);

/// What one source makes of its objects.
pub(super) trait Source {
    /// The watched kind.
    type Object: Resource + Clone + DeserializeOwned + Debug + Send + 'static;
    /// What an object is known by.
    type Key: Ord + Send;
    /// What is kept of an object.
    type Entry: PartialEq + Send;

    /// Which source.
    const KIND: Kind;
    /// In words: `resource quotas`.
    const OBJECTS: &'static str;

    /// What an object is known by. `None`: it is nothing that could be told apart.
    fn key(object: &Self::Object) -> Option<Self::Key>;
    /// What is kept of an object. `None`: it does not matter here.
    fn entry(object: &Self::Object) -> Option<Self::Entry>;
    /// What all objects together say.
    fn rooms(entries: &BTreeMap<Self::Key, Self::Entry>) -> Rooms;
}

/// Follows until it fails.
pub(super) async fn follow<S: Source>(api: Api<S::Object>, line: &dyn Line, board: &Board) -> Error {
    let config = watcher::Config::default().any_semantic().timeout(WATCH_SECONDS);
    let mut stream = pin!(watcher::watcher(api, config));
    let mut objects = Objects::<S>::default();
    let mut shown: Option<Instant> = None;
    let mut dirty = false;
    let mut still = tokio::time::interval(STILL);
    still.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let list_ends = tokio::time::Instant::now() + LIST;
    loop {
        let soon = shown.map_or(TOGETHER, |shown| TOGETHER.saturating_sub(shown.elapsed()));
        tokio::select! {
            event = stream.next() => match event {
                Some(Ok(event)) => dirty |= objects.take(event),
                Some(Err(error)) => return Error::Watch { objects: S::OBJECTS, source: Box::new(error) },
                None => return Error::Timeout { doing: S::OBJECTS, after: LIST },
            },
            () = tokio::time::sleep_until(list_ends), if shown.is_none() => {
                return Error::Timeout { doing: S::OBJECTS, after: LIST };
            }
            () = tokio::time::sleep(soon), if dirty => {}
            _ = still.tick() => {
                if shown.is_some() && !dirty && line.is_ready() {
                    board.still(S::KIND, Timestamp::now());
                }
            }
        }
        if dirty && shown.is_none_or(|shown| shown.elapsed() >= TOGETHER) {
            board.put(S::rooms(&objects.all), Timestamp::now());
            shown = Some(Instant::now());
            dirty = false;
        }
    }
}

/// The entries of a watch, whole only between the end of a list and the beginning of the next one.
struct Objects<S: Source> {
    all: BTreeMap<S::Key, S::Entry>,
    listing: Option<BTreeMap<S::Key, S::Entry>>,
}

impl<S: Source> Default for Objects<S> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), listing: None }
    }
}

impl<S: Source> Objects<S> {
    /// Returns whether there is something to show: also the end of a list that changed nothing.
    fn take(&mut self, event: Event<S::Object>) -> bool {
        match event {
            Event::Init => {
                self.listing = Some(BTreeMap::new());
                false
            }
            Event::InitApply(object) => {
                if let (Some(key), Some(entry)) = (S::key(&object), S::entry(&object)) {
                    self.listing.get_or_insert_default().insert(key, entry);
                }
                false
            }
            Event::InitDone => {
                self.all = self.listing.take().unwrap_or_default();
                true
            }
            Event::Apply(object) => {
                let Some(key) = S::key(&object) else { return false };
                match S::entry(&object) {
                    Some(entry) if self.all.get(&key) == Some(&entry) => false,
                    Some(entry) => {
                        self.all.insert(key, entry);
                        true
                    }
                    None => self.all.remove(&key).is_some(),
                }
            }
            Event::Delete(object) => S::key(&object).is_some_and(|key| self.all.remove(&key).is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;

    use super::*;

    /// Config maps by name, with the text under `a`.
    struct Texts;

    impl Source for Texts {
        type Object = ConfigMap;
        type Key = String;
        type Entry = String;
        const KIND: Kind = Kind::Quota;
        const OBJECTS: &'static str = "texts";

        fn key(object: &ConfigMap) -> Option<String> {
            Some(object.name_any())
        }

        fn entry(object: &ConfigMap) -> Option<String> {
            object.data.as_ref()?.get("a").cloned()
        }

        fn rooms(_: &BTreeMap<String, String>) -> Rooms {
            Rooms::Quotas(BTreeMap::new())
        }
    }

    fn object(name: &str, text: Option<&str>) -> ConfigMap {
        let data = text.map(|text| serde_json::json!({"a": text}));
        serde_json::from_value(serde_json::json!({"metadata": {"name": name}, "data": data})).unwrap()
    }

    #[test]
    fn a_list_replaces_everything_and_shows_only_when_it_is_whole() {
        let mut objects = Objects::<Texts>::default();
        assert!(!objects.take(Event::Init));
        assert!(!objects.take(Event::InitApply(object("x", Some("1")))));
        assert!(!objects.take(Event::InitApply(object("none", None))));
        assert!(objects.take(Event::InitDone));
        assert_eq!(objects.all.keys().collect::<Vec<_>>(), ["x"]);
        assert!(!objects.take(Event::Init));
        assert_eq!(objects.all.len(), 1, "the old view holds until the new one is whole");
        assert!(objects.take(Event::InitDone), "an empty list is an answer too");
        assert!(objects.all.is_empty());
    }

    #[test]
    fn only_what_differs_is_shown() {
        let mut objects = Objects::<Texts>::default();
        assert!(objects.take(Event::Apply(object("x", Some("1")))));
        assert!(!objects.take(Event::Apply(object("x", Some("1")))));
        assert!(objects.take(Event::Apply(object("x", Some("2")))));
        assert!(objects.take(Event::Apply(object("x", None))), "it matters no more");
        assert!(!objects.take(Event::Delete(object("x", Some("2")))));
    }
}
