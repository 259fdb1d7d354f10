//! What is measured while the clock runs: shares, waits, use and fairness.
//!
//! Owns these measurements, made from the decisions alone and not from the dispatcher's own account of them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use spark_router_core::{
    dispatch::Decision,
    id::{ClusterName, Namespace, QueueName},
    place::Order,
    resources::{Capacity, Resources},
};

use crate::{fleet::Fleet, series::Series};

/// A member's part of a queue.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// Its weight when it was last a candidate.
    pub weight: u32,
    /// Jobs placed there.
    pub placed: u64,
    /// Jobs that its weight entitles it to: over all decisions in which it was a candidate, its weight by the sum.
    pub expected: f64,
    /// Expected less placed, kept by itself so that it stays small and exact.
    owed: f64,
}

/// The use of one member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Use {
    capacity: Capacity,
    placed: Resources,
    since: Duration,
    total: f64,
    pub(crate) series: Series,
}

impl Use {
    fn now(&self) -> f64 {
        self.capacity.taken(self.placed).map_or(0.0, part)
    }

    fn until(&mut self, now: Duration) {
        let used = self.now();
        self.total += used * now.saturating_sub(self.since).as_secs_f64();
        self.series.hold(self.since, now, used);
        self.since = now;
    }

    /// The mean up to some time; `None` where nothing is declared.
    pub(crate) fn mean(&self, end: Duration) -> Option<f64> {
        self.capacity.taken(Resources::default())?;
        Some(if end.is_zero() { 0.0 } else { self.total / end.as_secs_f64() })
    }
}

/// One queue's namespaces.
#[derive(Debug, Default)]
struct Crowd {
    weights: BTreeMap<Namespace, u32>,
    since: Duration,
    contended: f64,
    of: HashMap<Namespace, One>,
    /// Namespaces with jobs that wait.
    waiting: u64,
}

#[derive(Debug, Default)]
struct One {
    waiting: u64,
    held: Resources,
    /// Share by weight, and time, while it and another waited.
    share: f64,
    time: f64,
}

impl Crowd {
    fn until(&mut self, now: Duration, total: &Capacity) {
        let time = now.saturating_sub(self.since).as_secs_f64();
        self.since = now;
        if self.waiting < 2 || time <= 0.0 {
            return;
        }
        self.contended += time;
        for (namespace, one) in self.of.iter_mut().filter(|(_, one)| one.waiting > 0) {
            let weight = self.weights.get(namespace).copied().unwrap_or(1).max(1);
            let share = total.taken(one.held).map_or_else(|| cores(one.held), part);
            one.share += share / f64::from(weight) * time;
            one.time += time;
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Account {
    total: Capacity,
    pub(crate) members: BTreeMap<ClusterName, Use>,
    pub(crate) queues: BTreeMap<QueueName, Vec<(ClusterName, Share)>>,
    crowds: BTreeMap<QueueName, Crowd>,
    pub(crate) worst: f64,
    pub(crate) waits: Vec<Duration>,
    pub(crate) wait_series: Series,
}

impl Account {
    pub(crate) fn over(fleet: &Fleet) -> Self {
        let mut account = Self::default();
        let capacities = fleet.members.values().map(|facts| facts.capacity);
        account.total = capacities.reduce(|sum, next| sum.plus(&next)).unwrap_or_default();
        for (name, facts) in &fleet.members {
            account.members.insert(name.clone(), Use { capacity: facts.capacity, ..Use::default() });
        }
        for (name, (facts, _)) in &fleet.queues {
            let weights = match &facts.order {
                Order::FairShare { weights } => weights.clone(),
                Order::Fifo => BTreeMap::new(),
            };
            account.crowds.insert(name.clone(), Crowd { weights, ..Crowd::default() });
        }
        account
    }

    pub(crate) fn arrived(&mut self, queue: &QueueName, namespace: &Namespace, now: Duration) {
        let Some(crowd) = self.crowds.get_mut(queue) else { return };
        crowd.until(now, &self.total);
        let one = crowd.of.entry(namespace.clone()).or_default();
        one.waiting += 1;
        crowd.waiting += u64::from(one.waiting == 1);
    }

    pub(crate) fn placed(
        &mut self,
        decision: &Decision,
        namespace: &Namespace,
        arrived: Duration,
        now: Duration,
    ) {
        let wait = now.saturating_sub(arrived);
        self.waits.push(wait);
        self.wait_series.note(arrived, wait.as_secs_f64());
        self.shift(&decision.cluster, now, |placed| placed + decision.demand);
        if let Some(crowd) = self.crowds.get_mut(&decision.queue) {
            crowd.until(now, &self.total);
            let one = crowd.of.entry(namespace.clone()).or_default();
            one.held += decision.demand;
            one.waiting = one.waiting.saturating_sub(1);
            crowd.waiting -= u64::from(one.waiting == 0);
        }
        self.share_out(decision);
    }

    fn share_out(&mut self, decision: &Decision) {
        let among = &decision.choice.among;
        let sum: f64 = among.iter().map(|(_, weight)| f64::from(*weight)).sum();
        if !self.queues.contains_key(&decision.queue) {
            self.queues.insert(decision.queue.clone(), Vec::new());
        }
        let Some(shares) = self.queues.get_mut(&decision.queue) else { return };
        let mut n = 0;
        // Both are in order of names.
        for (cluster, weight) in among {
            while shares.get(n).is_some_and(|(name, _)| name < cluster) {
                n += 1;
            }
            if shares.get(n).is_none_or(|(name, _)| name != cluster) {
                shares.insert(n, (cluster.clone(), Share::default()));
            }
            let share = &mut shares[n].1;
            let is_picked = *cluster == decision.cluster;
            let part = f64::from(*weight) / sum;
            share.weight = *weight;
            share.expected += part;
            share.owed += part - f64::from(u8::from(is_picked));
            share.placed += u64::from(is_picked);
            self.worst = self.worst.max(share.owed.abs());
        }
    }

    pub(crate) fn ended(
        &mut self,
        (queue, namespace): (&QueueName, &Namespace),
        cluster: &ClusterName,
        demand: Resources,
        now: Duration,
    ) {
        self.shift(cluster, now, |placed| placed - demand);
        if let Some(crowd) = self.crowds.get_mut(queue) {
            crowd.until(now, &self.total);
            if let Some(one) = crowd.of.get_mut(namespace) {
                one.held = one.held - demand;
            }
        }
    }

    fn shift(&mut self, cluster: &ClusterName, now: Duration, change: impl FnOnce(Resources) -> Resources) {
        if let Some(member) = self.members.get_mut(cluster) {
            member.until(now);
            member.placed = change(member.placed);
        }
    }

    pub(crate) fn close(&mut self, now: Duration) {
        for member in self.members.values_mut() {
            member.until(now);
        }
        for crowd in self.crowds.values_mut() {
            crowd.until(now, &self.total);
        }
    }

    /// Jain's index of each queue's namespaces, weighted by how long they competed; 1 where nobody did.
    pub(crate) fn fairness(&self) -> f64 {
        let (mut sum, mut time) = (0.0, 0.0);
        for crowd in self.crowds.values().filter(|crowd| crowd.contended > 0.0) {
            let shares: Vec<f64> =
                crowd.of.values().filter(|one| one.time > 0.0).map(|one| one.share / one.time).collect();
            sum += jain(&shares) * crowd.contended;
            time += crowd.contended;
        }
        if time > 0.0 { sum / time } else { 1.0 }
    }
}

/// Jain's index (Jain, Chiu and Hawe, *A Quantitative Measure of Fairness*, 1984): 1 when all are equal, 1/n when one of n
/// has everything.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    let count = f64::from(u32::try_from(shares.len()).unwrap_or(u32::MAX));
    if squares > 0.0 { sum * sum / (count * squares) } else { 1.0 }
}

/// 2^-20ths as a fraction.
fn part(taken: u64) -> f64 {
    f64::from(u32::try_from(taken).unwrap_or(u32::MAX)) / f64::from(1 << 20)
}

/// Cores, where nothing is declared that they could be a part of.
fn cores(held: Resources) -> f64 {
    f64::from(u32::try_from(held.cpu_milli / 1000).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_for_equals_and_a_part_where_one_has_all() {
        assert!((jain(&[2.0, 2.0, 2.0]) - 1.0).abs() < 1e-12);
        assert!((jain(&[1.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-12);
        assert!((jain(&[]) - 1.0).abs() < 1e-12);
    }
}
