//! The last value of each source, for everybody to read without waiting.
//!
//! Owns the signals of one member. A change wakes who tells the rest of the router; that a value is still true (its age)
//! is no change. Must never wait.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use spark_router_core::signal::{Observed, Signals};
use tokio::sync::Notify;

use super::{Kind, rooms::Rooms};

/// See the module.
#[derive(Default)]
pub(super) struct Board {
    shown: ArcSwap<Signals>,
    /// One writer at a time: each starts from what the one before has shown.
    writing: Mutex<()>,
    news: Notify,
}

impl Board {
    pub(super) fn shown(&self) -> Arc<Signals> {
        self.shown.load_full()
    }

    /// Returns when something changed since it was called last.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    /// A source was read: it fails no longer.
    pub(super) fn put(&self, rooms: Rooms, at: Timestamp) {
        let kind = rooms.kind();
        self.change(|signals| {
            let recovered = signals.failures.remove(kind.as_str()).is_some();
            let differs = match rooms {
                Rooms::Quotas(value) => replace(&mut signals.quotas, value, at),
                Rooms::YuniKorn(value) => replace(&mut signals.yunikorn, value, at),
                Rooms::Kueue(value) => replace(&mut signals.kueue, value, at),
            };
            recovered || differs
        });
    }

    /// A source is known to say the same as before.
    pub(super) fn still(&self, kind: Kind, at: Timestamp) {
        self.change(|signals| {
            match kind {
                Kind::Quota => touch(&mut signals.quotas, at),
                Kind::YuniKorn => touch(&mut signals.yunikorn, at),
                Kind::Kueue => touch(&mut signals.kueue, at),
            }
            false
        });
    }

    /// A source could not be read; what it said last stays, and ages. Returns whether that is news.
    pub(super) fn failed(&self, kind: Kind, why: &str) -> bool {
        let mut news = false;
        self.change(|signals| {
            let before = signals.failures.insert(kind.as_str(), why.into());
            news = before.as_deref() != Some(why);
            news
        });
        news
    }

    pub(super) fn is_failing(&self, kind: Kind) -> bool {
        self.shown.load().failures.contains_key(kind.as_str())
    }

    /// Nobody asks for a source any more, or another one is asked: what it said is not kept.
    pub(super) fn forget(&self, kind: Kind) {
        self.change(|signals| {
            let failed = signals.failures.remove(kind.as_str()).is_some();
            let said = match kind {
                Kind::Quota => signals.quotas.take().is_some(),
                Kind::YuniKorn => signals.yunikorn.take().is_some(),
                Kind::Kueue => signals.kueue.take().is_some(),
            };
            failed || said
        });
    }

    /// Takes over what another link to the same member has seen, where this one has seen nothing yet.
    pub(super) fn inherit(&self, older: &Signals) {
        self.change(|signals| {
            let before = signals.clone();
            signals.quotas = signals.quotas.take().or_else(|| older.quotas.clone());
            signals.yunikorn = signals.yunikorn.take().or_else(|| older.yunikorn.clone());
            signals.kueue = signals.kueue.take().or_else(|| older.kueue.clone());
            before != *signals
        });
    }

    /// Changes something, and tells if the change is news.
    fn change(&self, change: impl FnOnce(&mut Signals) -> bool) {
        let writing = self.writing.lock();
        let mut signals = Signals::clone(&self.shown.load());
        let news = change(&mut signals);
        self.shown.store(Arc::new(signals));
        drop(writing);
        if news {
            self.news.notify_one();
        }
    }
}

fn replace<T: PartialEq>(slot: &mut Option<Observed<T>>, value: T, at: Timestamp) -> bool {
    let differs = slot.as_ref().is_none_or(|before| before.value != value);
    *slot = Some(Observed { value, at });
    differs
}

fn touch<T>(slot: &mut Option<Observed<T>>, at: Timestamp) {
    if let Some(observed) = slot {
        observed.at = at;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt;
    use spark_router_core::signal::{Room, SignalSource};

    use super::*;

    fn rooms(queue: &str) -> Rooms {
        Rooms::YuniKorn(BTreeMap::from([(queue.into(), Room::default())]))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn has_news(board: &Board) -> bool {
        board.changed().now_or_never().is_some()
    }

    #[test]
    fn kinds_are_called_as_their_sources() {
        let sources = [
            SignalSource::ResourceQuota,
            SignalSource::YuniKorn { queue: "root".into() },
            SignalSource::Kueue { cluster_queue: "etl".into() },
        ];
        assert_eq!(Kind::ALL.map(Kind::as_str), sources.map(|source| source.kind()));
    }

    #[test]
    fn only_what_differs_is_news_and_age_is_none() {
        let board = Board::default();
        board.put(rooms("root.a"), at(1));
        assert!(has_news(&board));
        board.put(rooms("root.a"), at(2));
        assert!(!has_news(&board));
        assert_eq!(board.shown().yunikorn.as_ref().unwrap().at, at(2));
        board.still(Kind::YuniKorn, at(3));
        board.still(Kind::Kueue, at(3));
        assert!(!has_news(&board));
        assert_eq!(
            (board.shown().yunikorn.as_ref().unwrap().at, board.shown().kueue.is_none()),
            (at(3), true)
        );
        board.put(rooms("root.b"), at(4));
        assert!(has_news(&board));
    }

    #[test]
    fn a_failure_keeps_the_last_value_with_its_age_and_touches_no_other_source() {
        let board = Board::default();
        board.put(rooms("root.a"), at(1));
        board.put(Rooms::Kueue(BTreeMap::new()), at(1));
        assert!(board.failed(Kind::YuniKorn, "no answer") && !board.failed(Kind::YuniKorn, "no answer"));
        let shown = board.shown();
        assert_eq!(shown.yunikorn.as_ref().unwrap().at, at(1));
        assert_eq!(shown.failures.iter().collect::<Vec<_>>(), [(&"YuniKorn", &"no answer".into())]);
        assert!(has_news(&board));
        board.put(rooms("root.a"), at(9));
        assert!(board.shown().failures.is_empty());
        assert!(has_news(&board), "that it is back is news");
        board.forget(Kind::YuniKorn);
        assert!(board.shown().yunikorn.is_none() && board.shown().kueue.is_some() && has_news(&board));
        board.forget(Kind::YuniKorn);
        assert!(!has_news(&board));
    }

    #[test]
    fn another_link_goes_on_with_what_is_known_but_not_over_what_it_saw_itself() {
        let (old, new) = (Board::default(), Board::default());
        old.put(rooms("root.old"), at(1));
        old.put(Rooms::Kueue(BTreeMap::new()), at(1));
        old.failed(Kind::Kueue, "gone");
        new.put(rooms("root.new"), at(5));
        new.inherit(&old.shown());
        let shown = new.shown();
        assert_eq!(shown.yunikorn.as_ref().unwrap().at, at(5));
        assert_eq!(shown.kueue.as_ref().unwrap().at, at(1));
        assert!(shown.failures.is_empty());
    }
}
