//! Which members were looked at for signs of a restore, since this process leads.
//!
//! Owns that list. Goes by who a member is, not by its name alone: another cluster under the name is another member.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use spark_router_core::id::{ClusterName, MemberIdentity};
use tokio::sync::watch;

/// The members that were looked at. Clones share it.
#[derive(Clone, Default)]
pub struct Looked(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// `None` until this process begins to look.
    seen: Mutex<Option<BTreeSet<(ClusterName, MemberIdentity)>>>,
    changed: watch::Sender<()>,
}

impl Looked {
    /// Whether a member was.
    pub fn at(&self, cluster: &ClusterName, identity: &MemberIdentity) -> bool {
        let seen = self.0.seen.lock();
        seen.as_ref().is_some_and(|seen| seen.contains(&(cluster.clone(), identity.clone())))
    }

    /// Whether a member may take jobs, as far as this goes. A process that does not lead asks nobody.
    pub fn passes(&self, cluster: &ClusterName, identity: &MemberIdentity) -> bool {
        let begun = self.0.seen.lock().is_some();
        !begun || self.at(cluster, identity)
    }

    /// Changes with each member that is looked at.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// This process leads and begins to look: from now on who was not looked at takes nothing.
    pub(super) fn begin(&self) {
        self.0.seen.lock().get_or_insert_default();
    }

    /// A member was looked at.
    pub(super) fn insert(&self, cluster: ClusterName, identity: MemberIdentity) {
        self.0.seen.lock().get_or_insert_default().insert((cluster, identity));
        self.0.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_takes_jobs_once_it_was_looked_at_and_by_who_it_is() {
        let looked = Looked::default();
        let (m1, id, other) =
            (ClusterName::from("m1"), MemberIdentity::from("id"), MemberIdentity::from("other"));
        assert!(looked.passes(&m1, &id) && !looked.at(&m1, &id), "who stands by asks nobody");
        looked.begin();
        assert!(!looked.passes(&m1, &id));
        looked.insert(m1.clone(), id.clone());
        looked.begin();
        assert!(looked.passes(&m1, &id) && looked.at(&m1, &id) && !looked.passes(&m1, &other));
    }
}
