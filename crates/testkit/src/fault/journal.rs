//! What went through a proxy.
//!
//! Purpose: tests wait for requests instead of sleeping, and say afterwards which were made. Owns the newest records
//! and the tests that wait. It must never grow without bound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::RuleId;

const KEPT: usize = 20_000;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Not known yet.
    Pending,
    /// Waits at a gate before it is forwarded.
    Held,
    /// Forwarded and acted on with this HTTP status; the answer waits at a gate.
    AnswerHeld(u16),
    /// The API server's answer, with this HTTP status, is on its way (streams may still flow).
    Answered(u16),
    /// Answered by a rule with this HTTP status; never forwarded.
    Replied(u16),
    /// The API server's answer with this HTTP status was begun and cut.
    Cut(u16),
    /// The API server acted on it and answered with this HTTP status, but the client was not told.
    Swallowed(u16),
    /// Accepted and never answered; never forwarded.
    Hung,
    /// Thrown away by a gate; never forwarded.
    Dropped,
    /// The client went away first. It may have been forwarded.
    ClientGone,
    /// The API server could not be asked, or broke off.
    UpstreamFailed(String),
}

/// One request.
#[derive(Debug, Clone)]
pub struct Record {
    /// Counted from 0 in the order of arrival.
    pub id: u64,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// When it arrived.
    pub at: Instant,
    /// The rule that acted on it.
    pub rule: Option<RuleId>,
    /// How it ended, as far as known.
    pub outcome: Outcome,
}

type Wanted = Box<dyn Fn(&Record) -> bool + Send>;

#[derive(Default)]
pub(crate) struct Journal {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    records: VecDeque<Record>,
    waiting: Vec<(Wanted, oneshot::Sender<Record>)>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("requests", &self.next()).finish_non_exhaustive()
    }
}

impl Journal {
    pub(crate) fn begin(&self, method: &str, path: &str, user_agent: &str) -> Entry {
        let mut inner = self.inner.lock();
        let id = inner.next;
        inner.next += 1;
        if inner.records.len() == KEPT {
            inner.records.pop_front();
        }
        let record = Record {
            id,
            method: method.to_owned(),
            path: path.to_owned(),
            user_agent: user_agent.to_owned(),
            at: Instant::now(),
            rule: None,
            outcome: Outcome::Pending,
        };
        inner.tell(&record);
        inner.records.push_back(record);
        Entry { id, inner: Arc::clone(&self.inner), settled: false }
    }

    pub(crate) fn next(&self) -> u64 {
        self.inner.lock().next
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.inner.lock().records.iter().cloned().collect()
    }

    pub(crate) fn wait_for(&self, wanted: Wanted) -> oneshot::Receiver<Record> {
        let (found, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        match inner.records.iter().find(|record| wanted(record)) {
            // The receiver is in our hand.
            Some(record) => drop(found.send(record.clone())),
            None => inner.waiting.push((wanted, found)),
        }
        receiver
    }

    /// The last few requests, for error messages.
    pub(crate) fn summary(&self) -> String {
        use std::fmt::Write as _;
        let inner = self.inner.lock();
        let mut text = format!("; {} requests so far, the last were:", inner.next);
        for record in inner.records.iter().rev().take(10).rev() {
            // Writing to a String never fails.
            let _ = write!(text, "\n  {} {} {} {:?}", record.id, record.method, record.path, record.outcome);
        }
        text
    }
}

impl Inner {
    fn tell(&mut self, record: &Record) {
        let mut index = 0;
        while let Some((wanted, found)) = self.waiting.get(index) {
            if found.is_closed() {
                drop(self.waiting.swap_remove(index));
            } else if wanted(record) {
                let (_, found) = self.waiting.swap_remove(index);
                // A test that gave up at this moment has its own error.
                let _ = found.send(record.clone());
            } else {
                index += 1;
            }
        }
    }
}

/// The open record of one request. Dropped without an outcome, it says that the client went away.
pub(crate) struct Entry {
    id: u64,
    inner: Arc<Mutex<Inner>>,
    settled: bool,
}

impl Entry {
    pub(crate) fn ruled(&self, rule: RuleId) {
        self.change(|record| record.rule = Some(rule));
    }

    /// Says where it stands; not the end.
    pub(crate) fn now(&self, outcome: Outcome) {
        self.change(|record| record.outcome = outcome);
    }

    pub(crate) fn settle(&mut self, outcome: Outcome) {
        self.settled = true;
        self.now(outcome);
    }

    fn change(&self, change: impl FnOnce(&mut Record)) {
        let mut inner = self.inner.lock();
        // Records are in the order of their ids without gaps.
        let Some(first) = inner.records.front().map(|record| record.id) else { return };
        let Some(index) = self.id.checked_sub(first).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        let Some(record) = inner.records.get_mut(index) else { return };
        change(record);
        let record = record.clone();
        inner.tell(&record);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.settled {
            self.now(Outcome::ClientGone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Journal, KEPT, Outcome};

    #[tokio::test]
    async fn the_past_and_the_future_are_found() {
        let journal = Journal::default();
        journal.begin("GET", "/a", "x").settle(Outcome::Answered(200));
        let past = journal.wait_for(Box::new(|record| record.path == "/a")).await.unwrap();
        assert_eq!((past.id, past.outcome), (0, Outcome::Answered(200)));

        let future = journal.wait_for(Box::new(|record| record.outcome == Outcome::ClientGone));
        drop(journal.begin("POST", "/b", "x"));
        assert_eq!(future.await.unwrap().path, "/b");
    }

    #[test]
    fn memory_is_bounded_and_old_entries_do_no_harm() {
        let journal = Journal::default();
        let mut first = journal.begin("GET", "/0", "x");
        for _ in 0..KEPT {
            journal.begin("GET", "/n", "x").settle(Outcome::Answered(200));
        }
        first.settle(Outcome::Hung);
        let records = journal.records();
        assert_eq!((records.len(), records[0].id), (KEPT, 1));
        assert!(records.iter().all(|record| record.outcome == Outcome::Answered(200)));
    }
}
