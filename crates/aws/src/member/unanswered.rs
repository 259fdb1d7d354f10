//! Starts that were sent and not answered: until when they may take effect, and how long lists are not to be believed.
//!
//! Owns no state of its own. Lost with the process; the core's own account of what was sent is not ([`Timestamp::MIN`] where
//! every start was answered), and both count.

use jiff::Timestamp;
use spark_router_core::id::RemoteName;

use super::{EmrLink, later};

/// What a job waits for until then.
pub(super) const UNSETTLED: &str = "a start that was sent before and may still take effect";

impl EmrLink {
    /// From now on for a while, a start of that name may take effect unseen. When one was before.
    pub(super) fn is_unanswered(&self, name: &RemoteName) -> Option<Timestamp> {
        let now = Timestamp::now();
        let mut unanswered = self.unanswered.lock();
        unanswered.retain(|_, at| self.believed_at(*at) > now);
        unanswered.insert(name.clone(), now)
    }

    /// The last start of that name was answered; one before it may not have been.
    pub(super) fn is_answered(&self, name: &RemoteName, before: Option<Timestamp>) {
        let mut unanswered = self.unanswered.lock();
        match before {
            Some(before) => drop(unanswered.insert(name.clone(), before)),
            None => drop(unanswered.remove(name)),
        }
    }

    /// The run of that name is known.
    pub(super) fn is_settled(&self, name: &RemoteName) {
        self.unanswered.lock().remove(name);
    }

    /// Until when a start of that name may still take effect unseen.
    pub(super) fn unsettled_until(&self, name: &RemoteName) -> Option<Timestamp> {
        let at = self.unanswered.lock().get(name).copied()?;
        Some(later(at, self.settings.tempo.settle)).filter(|until| *until > Timestamp::now())
    }

    /// Until when a list that does not show a run of that name proves nothing. `settled_at`: until then a start that
    /// somebody sent may still arrive.
    pub(super) fn unheard_until(&self, name: &RemoteName, settled_at: Timestamp) -> Option<Timestamp> {
        let sent = (settled_at > Timestamp::MIN).then_some(settled_at);
        let at = self.unanswered.lock().get(name).copied().into_iter().chain(sent).max()?;
        Some(self.believed_at(at)).filter(|until| *until > Timestamp::now())
    }

    fn believed_at(&self, sent: Timestamp) -> Timestamp {
        let tempo = &self.settings.tempo;
        later(sent, tempo.settle.saturating_add(tempo.unheard))
    }
}
