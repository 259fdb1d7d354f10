//! All clusters on EKS that members name: the way to members that is called `eks`.
//!
//! Owns one [`Eks`] for each member that is reached so; with another target it is another. Makes nothing before a member
//! asks.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use spark_router_api::{MemberCluster, condition::reason};
use spark_router_core::id::ClusterName;
use spark_router_member::{Connection, Connector, Fault, calls::Calls};

use super::{Eks, EksTarget};
use crate::client::{Clients, Credentials};

/// Who finds members on EKS, with these clients and by these credentials of the process. Its calls are counted in `calls`.
pub fn connector(clients: Clients, credentials: Credentials, calls: Calls) -> Arc<dyn Connector> {
    Arc::new(Pool { clients, credentials, calls, kept: Mutex::default() })
}

struct Pool {
    clients: Clients,
    credentials: Credentials,
    calls: Calls,
    kept: Mutex<HashMap<ClusterName, Eks>>,
}

impl Connector for Pool {
    fn connects(&self, object: &MemberCluster) -> bool {
        object.spec.connection.eks.is_some()
    }

    fn connection(&self, object: &MemberCluster) -> Result<Connection, Fault> {
        let Some(spec) = &object.spec.connection.eks else {
            return Err((reason::INVALID_SPEC, "spec.connection.eks: is not there".to_owned()));
        };
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let target = EksTarget::of(name, spec, self.credentials.clone());
        let mut kept = self.kept.lock();
        let cluster = ClusterName::new(name);
        match kept.get(&cluster) {
            Some(eks) if *eks.target() == target => eks.connection(),
            _ => {
                let eks = Eks::new(self.clients.clone(), target, self.calls.clone());
                let known = eks.connection();
                kept.insert(cluster, eks);
                known
            }
        }
    }

    fn forget(&self, cluster: &ClusterName) {
        self.kept.lock().remove(cluster);
    }
}
