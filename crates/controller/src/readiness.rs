//! What has to be there before the router decides anything.
//!
//! Owns that list. Answers `/readyz` with the names of what is still pending.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;

/// See the module. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Readiness {
    /// Everything in `parts` is pending.
    pub fn pending_on(parts: &[&'static str]) -> Self {
        Self(Arc::new(Mutex::new(parts.iter().copied().collect())))
    }

    /// A part is there.
    pub fn done(&self, part: &'static str) {
        self.0.lock().remove(part);
    }

    /// What is still pending; empty means ready.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.lock().iter().copied().collect()
    }
}
