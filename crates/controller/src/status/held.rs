//! What is said of a placed job that its owner wants held back.
//!
//! Owns no state. The condition is the record of what the operator is asked for: it is written before the operator is.

use spark_router_api::condition::{self, Truth, reason};
use spark_router_core::step::Pause;

use super::Next;

impl Next<'_> {
    /// The record of what its operator is asked for, before it is asked.
    pub(super) fn pausing(&mut self, pause: &Pause) {
        let cluster = self.status.cluster.clone().unwrap_or_default();
        match pause {
            Pause::Ask => {
                let message = format!("its operator on {cluster} is to hold it (spec.suspend)");
                self.set(condition::SUSPENDED, Truth::False, reason::SUSPENDING, &message);
            }
            Pause::Resume => {
                let message = format!("its operator on {cluster} is to let it go on (spec.suspend)");
                self.set(condition::SUSPENDED, Truth::True, reason::RESUMING, &message);
            }
            Pause::Drop => {
                let known = condition::find(&self.status.conditions, condition::SUSPENDED);
                if known.is_some_and(|known| known.reason == reason::SUSPEND_IGNORED) {
                    condition::remove(&mut self.status.conditions, condition::SUSPENDED);
                } else {
                    let message = format!("goes on, on {cluster}; it was not held yet");
                    self.set(condition::SUSPENDED, Truth::False, reason::RESUMED, &message);
                }
            }
            Pause::Set(..) => {}
        }
    }

    pub(super) fn not_paused(&mut self, why: &str) {
        let cluster = self.status.cluster.clone().unwrap_or_default();
        let message = format!("{cluster} does not hold it: {why}. It goes on; to stop it, set spec.cancel");
        self.set(condition::SUSPENDED, Truth::False, reason::SUSPEND_IGNORED, &message);
    }

    /// What its operator made of being asked to hold it, or to let it go on.
    pub(super) fn held_or_on(&mut self, is_held: bool) {
        let Some(known) = condition::find(&self.status.conditions, condition::SUSPENDED) else { return };
        let cluster = self.status.cluster.clone().unwrap_or_default();
        match (known.reason.as_str(), is_held) {
            (reason::SUSPENDING, true) => {
                let message = format!(
                    "{cluster} holds it: its driver is deleted there, its room stays its own (spec.suspend)"
                );
                self.set(condition::SUSPENDED, Truth::True, reason::SUSPENDED, &message);
            }
            (reason::RESUMING, false) => {
                let message = format!("goes on, on {cluster}, from its beginning");
                self.set(condition::SUSPENDED, Truth::False, reason::RESUMED, &message);
            }
            _ => {}
        }
    }
}
