//! A gate that holds requests until the test lets them go.
//!
//! Purpose: tests decide the order of events instead of guessing it with sleeps. Owns the count of requests that have
//! come and gone. It must never let a request go by itself: not even a dropped handle does.

use std::sync::Arc;

use tokio::sync::watch;

/// What happens to a request at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Drop,
}

/// Requests wait here in the order in which they came. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Default)]
struct State {
    arrived: u64,
    /// Requests below this number have their verdict.
    judged: u64,
    dropped: Vec<u64>,
    open: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::default())) }
    }

    /// How many requests have come so far, judged ones included.
    pub fn arrived(&self) -> u64 {
        self.state.borrow().arrived
    }

    /// Waits until `count` requests in all have come.
    pub async fn wait_arrived(&self, count: u64) {
        // The sender lives in self, so this can't fail.
        let _ = self.state.subscribe().wait_for(|state| state.arrived >= count).await;
    }

    /// Lets the longest waiting request go on (or the next one to come).
    pub fn release_one(&self) {
        self.state.send_modify(|state| state.judged += 1);
    }

    /// Throws the longest waiting request away (or the next one to come): its connection is closed.
    pub fn drop_one(&self) {
        self.state.send_modify(|state| {
            state.dropped.push(state.judged);
            state.judged += 1;
        });
    }

    /// Lets all go on that wait, and all that come later.
    pub fn open(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// Throws all away that wait now; later ones are held again.
    pub fn drop_waiting(&self) {
        self.state.send_modify(|state| {
            state.dropped.extend(state.judged..state.arrived);
            state.judged = state.judged.max(state.arrived);
        });
    }

    pub(crate) async fn pass(&self) -> Verdict {
        let mut number = 0;
        self.state.send_modify(|state| {
            number = state.arrived;
            state.arrived += 1;
        });
        let mut state = self.state.subscribe();
        match state.wait_for(|state| state.open || number < state.judged).await {
            Ok(state) if !state.dropped.contains(&number) => Verdict::Pass,
            _ => Verdict::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, Verdict};

    #[tokio::test]
    async fn verdicts_go_to_requests_in_their_order() {
        let gate = Gate::new();
        let spawn = || {
            let gate = gate.clone();
            tokio::spawn(async move { gate.pass().await })
        };
        let first = spawn();
        gate.wait_arrived(1).await;
        let second = spawn();
        gate.wait_arrived(2).await;
        gate.drop_one();
        gate.release_one();
        assert_eq!(first.await.unwrap(), Verdict::Drop);
        assert_eq!(second.await.unwrap(), Verdict::Pass);

        let third = spawn();
        gate.wait_arrived(3).await;
        gate.drop_waiting();
        assert_eq!(third.await.unwrap(), Verdict::Drop);
        gate.open();
        assert_eq!(spawn().await.unwrap(), Verdict::Pass);
        assert_eq!(gate.arrived(), 4);
    }
}
