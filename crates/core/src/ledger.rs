//! The ledger: demand that is placed and not finished, by member and by (member, queue).
//!
//! Owns that account. Everything in it can be rebuilt from the hub's statuses. An entry is made when a placement is
//! decided and goes when the job ends: never by a member's word that there is room.

use std::collections::{BTreeMap, HashMap};

use crate::{
    id::{ClusterName, JobUid, QueueName},
    resources::Resources,
};

#[derive(Clone, Debug)]
struct Entry {
    cluster: ClusterName,
    queue: QueueName,
    demand: Resources,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: HashMap<JobUid, Entry>,
    members: BTreeMap<ClusterName, Resources>,
    routes: BTreeMap<(ClusterName, QueueName), Resources>,
}

impl Ledger {
    /// Reserves a job's demand. A job holds one reservation: an earlier one is released first.
    pub fn reserve(&mut self, job: JobUid, cluster: ClusterName, queue: QueueName, demand: Resources) {
        self.release(&job);
        *self.members.entry(cluster.clone()).or_default() += demand;
        *self.routes.entry((cluster.clone(), queue.clone())).or_default() += demand;
        self.entries.insert(job, Entry { cluster, queue, demand });
    }

    /// Releases a job's demand, if it holds any. Returns the member that has room again.
    pub fn release(&mut self, job: &JobUid) -> Option<ClusterName> {
        let Entry { cluster, queue, demand } = self.entries.remove(job)?;
        if let Some(used) = self.members.get_mut(&cluster) {
            *used = *used - demand;
        }
        let route = (cluster, queue);
        if let Some(used) = self.routes.get_mut(&route) {
            *used = *used - demand;
        }
        Some(route.0)
    }

    /// Whether the job holds a reservation.
    pub fn holds(&self, job: &JobUid) -> bool {
        self.entries.contains_key(job)
    }

    /// The jobs that hold a reservation.
    pub fn jobs(&self) -> impl Iterator<Item = &JobUid> {
        self.entries.keys()
    }

    /// All that is placed on a member.
    pub fn on(&self, cluster: &ClusterName) -> Resources {
        self.members.get(cluster).copied().unwrap_or_default()
    }

    /// What one queue has placed on a member.
    pub fn of(&self, queue: &QueueName, cluster: &ClusterName) -> Resources {
        self.routes.get(&(cluster.clone(), queue.clone())).copied().unwrap_or_default()
    }

    /// What one queue has placed anywhere.
    pub fn total_of(&self, queue: &QueueName) -> Resources {
        self.routes
            .iter()
            .filter(|((_, q), _)| q == queue)
            .fold(Resources::default(), |sum, (_, used)| sum + *used)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The running sums are always the sums of the entries.
        #[test]
        fn the_sums_match_the_entries(steps in prop::collection::vec((0u8..12, 0u8..3, 0u8..3, 1u64..100, any::<bool>()), 0..200)) {
            let mut ledger = Ledger::default();
            for (job, cluster, queue, cpu_milli, reserve) in steps {
                let job = JobUid::new(job.to_string());
                if reserve {
                    let demand = Resources { jobs: 1, pods: 2, cpu_milli, memory_bytes: cpu_milli };
                    ledger.reserve(job, ClusterName::new(cluster.to_string()), QueueName::new(queue.to_string()), demand);
                } else {
                    ledger.release(&job);
                }
                for cluster in 0..3 {
                    let cluster = ClusterName::new(cluster.to_string());
                    let on = ledger.entries.values().filter(|e| e.cluster == cluster);
                    prop_assert_eq!(ledger.on(&cluster), on.clone().fold(Resources::default(), |sum, e| sum + e.demand));
                    for queue in 0..3 {
                        let queue = QueueName::new(queue.to_string());
                        let of = on.clone().filter(|e| e.queue == queue);
                        prop_assert_eq!(ledger.of(&queue, &cluster), of.fold(Resources::default(), |sum, e| sum + e.demand));
                    }
                }
            }
        }
    }
}
