//! All clusters on EKS that members name.
//!
//! Owns one [`Eks`] for each member that has one; with another target it is another. Makes nothing before a member asks.

use std::collections::HashMap;

use parking_lot::Mutex;
use spark_router_api::member::eks::EksConnection;
use spark_router_member::{Connection, Fault, calls::Calls};

use super::{Eks, EksTarget};
use crate::client::Clients;

/// See the module.
pub struct Pool {
    clients: Clients,
    calls: Calls,
    kept: Mutex<HashMap<String, Eks>>,
}

impl Pool {
    /// Nobody yet.
    pub fn new(clients: Clients, calls: Calls) -> Self {
        Self { clients, calls, kept: Mutex::default() }
    }

    /// The connection of a member, as far as it is known now; the first question begins the search. Never waits. Needs a
    /// runtime.
    ///
    /// # Errors
    /// Why there is none, also for as long as it is being looked for.
    pub fn connection(&self, member: &str, spec: &EksConnection) -> Result<Connection, Fault> {
        let target = EksTarget::of(member, spec);
        let mut kept = self.kept.lock();
        match kept.get(member) {
            Some(eks) if *eks.target() == target => eks.connection(),
            _ => {
                let eks = Eks::new(self.clients.clone(), target, self.calls.clone());
                let known = eks.connection();
                kept.insert(member.to_owned(), eks);
                known
            }
        }
    }

    /// The member is gone, or reached otherwise.
    pub fn forget(&self, member: &str) {
        self.kept.lock().remove(member);
    }
}
