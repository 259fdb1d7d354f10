//! How many creates may be on their way to a member at once.
//!
//! Owns the count, its limit and the keys that wait for a place. The limit falls to one as soon as a create is overdue,
//! so that a member that went silent strands few jobs, and doubles with each prompt answer. Must never hold anybody: who
//! finds no place goes away and is called when one is free.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use spark_router_core::id::JobKey;
use tokio::sync::Notify;

/// See the module.
#[derive(Debug)]
pub(crate) struct Window {
    cap: usize,
    inner: Mutex<Inner>,
    freed: Notify,
}

#[derive(Debug)]
struct Inner {
    limit: usize,
    in_flight: usize,
    order: VecDeque<JobKey>,
    waiting: HashSet<JobKey>,
    /// Callers on their way: places that are spoken for in the sense that nobody more is called for them.
    called: usize,
}

/// A place in the window; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    window: Arc<Window>,
    overdue: bool,
    answered: bool,
}

impl Window {
    pub(crate) fn new(cap: usize) -> Arc<Self> {
        let inner =
            Inner { limit: cap, in_flight: 0, order: VecDeque::new(), waiting: HashSet::new(), called: 0 };
        Arc::new(Self { cap, inner: Mutex::new(inner), freed: Notify::new() })
    }

    /// A place, or none: then the key is called as soon as one is free.
    pub(crate) fn try_enter(self: &Arc<Self>, key: &JobKey) -> Option<Place> {
        let mut inner = self.inner.lock();
        inner.called = inner.called.saturating_sub(1);
        if inner.in_flight < inner.limit {
            inner.in_flight += 1;
            if inner.waiting.remove(key) {
                inner.order.retain(|waiting| waiting != key);
            }
            return Some(Place { window: self.clone(), overdue: false, answered: false });
        }
        if inner.waiting.insert(key.clone()) {
            inner.order.push_back(key.clone());
        }
        None
    }

    /// The next key to call, once there is a place and somebody waits.
    pub(crate) async fn next(&self) -> JobKey {
        loop {
            {
                let mut inner = self.inner.lock();
                if inner.in_flight + inner.called < inner.limit
                    && let Some(key) = inner.order.pop_front()
                {
                    inner.waiting.remove(&key);
                    inner.called += 1;
                    return key;
                }
            }
            self.freed.notified().await;
            // Somebody who was called may never come (its job is gone): each change counts anew.
            self.inner.lock().called = 0;
        }
    }

    #[cfg(test)]
    fn limit(&self) -> usize {
        self.inner.lock().limit
    }
}

impl Place {
    /// The answer is late: one at a time from now on.
    pub(crate) fn is_overdue(&mut self) {
        self.overdue = true;
        self.window.inner.lock().limit = 1;
    }

    /// The member answered, whatever it said.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.window.inner.lock();
        inner.in_flight = inner.in_flight.saturating_sub(1);
        if self.answered && !self.overdue {
            inner.limit = (inner.limit * 2).min(self.window.cap);
        }
        drop(inner);
        self.window.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use spark_router_core::id::Namespace;

    use super::*;

    fn key(name: &str) -> JobKey {
        JobKey { namespace: Namespace::from("a"), name: name.to_owned() }
    }

    #[tokio::test]
    async fn an_overdue_create_leaves_one_place_and_prompt_answers_bring_them_back() {
        let window = Window::new(4);
        let mut places: Vec<_> = (0..4).map(|n| window.try_enter(&key(&n.to_string())).unwrap()).collect();
        assert!(window.try_enter(&key("late")).is_none());
        places[0].is_overdue();
        assert_eq!(window.limit(), 1);
        places.truncate(1);
        assert!(window.try_enter(&key("late")).is_none(), "the overdue one still holds the only place");
        places.clear();
        assert_eq!(window.limit(), 1, "a late answer is no reason for more");
        for limit in [2, 4, 4] {
            let mut place = window.try_enter(&key("late")).unwrap();
            place.answered();
            drop(place);
            assert_eq!(window.limit(), limit);
        }
    }

    #[tokio::test]
    async fn those_who_found_no_place_are_called_in_order() {
        let window = Window::new(1);
        let place = window.try_enter(&key("a")).unwrap();
        for name in ["b", "c", "b"] {
            assert!(window.try_enter(&key(name)).is_none());
        }
        let next = tokio::spawn({
            let window = window.clone();
            async move { window.next().await }
        });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        drop(place);
        assert_eq!(next.await.unwrap(), key("b"));
        let place = window.try_enter(&key("b")).unwrap();
        drop(place);
        assert_eq!(window.next().await, key("c"));
        // The called one never comes; the next change calls the next one all the same.
        assert!(window.try_enter(&key("d")).is_some());
    }
}
