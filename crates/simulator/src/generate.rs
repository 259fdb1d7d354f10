//! Members and jobs made up from a few numbers and a seed.
//!
//! Owns the state of one stream of pseudo-random numbers. The same parameters always give the same jobs, which are made
//! one by one as their time comes: a million of them take no memory.

use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use spark_router_core::{
    id::{ClusterName, MemberIdentity, Namespace, QueueName},
    job::Request,
    place::{MemberFacts, Order, QueueFacts, Route},
    resources::{Capacity, Resources},
    selector::Selector,
};

use crate::{Error, fleet::Fleet, trace::Arrival};

/// Parameters of a generated load, written as `key=value` pairs with commas between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Members.
    pub members: u32,
    /// Jobs.
    pub jobs: u64,
    /// Queues; the jobs of each come from namespaces of its own.
    pub queues: u32,
    /// Members that each queue routes to.
    pub candidates: u32,
    /// Weights of a queue's members, in order; empty means 1 to 7 in turn.
    pub weights: Vec<u32>,
    /// Namespaces a queue.
    pub namespaces: u32,
    /// Cores of each member, and four times as many GiB of memory; 0 declares nothing.
    pub cores: u32,
    /// How much of all cores the jobs ask for on average, in percent.
    pub load: u32,
    /// Where the numbers begin.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            members: 4,
            jobs: 10_000,
            queues: 1,
            candidates: 20,
            weights: Vec::new(),
            namespaces: 4,
            cores: 200,
            load: 70,
            seed: 1,
        }
    }
}

impl FromStr for Parameters {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parameters = Self::default();
        let mut members = None;
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bad = |expected: &str| Error::Parameter {
                key: key.to_owned(),
                value: value.to_owned(),
                expected: expected.to_owned(),
            };
            let number = |from: u32, to: u32| {
                let parsed = value.parse().ok().filter(|n| (from..=to).contains(n));
                parsed.ok_or_else(|| bad(&format!("a whole number from {from} to {to}")))
            };
            match key {
                "members" => members = Some(number(1, 1000)?),
                "jobs" => parameters.jobs = number(1, 1_000_000)?.into(),
                "queues" => parameters.queues = number(1, 1000)?,
                "candidates" => parameters.candidates = number(1, 1000)?,
                "namespaces" => parameters.namespaces = number(1, 1000)?,
                "cores" => parameters.cores = number(0, 1_000_000)?,
                "load" => parameters.load = number(1, 1000)?,
                "seed" => parameters.seed = value.parse().map_err(|_| bad("a whole number"))?,
                "weights" => {
                    parameters.weights = weights(value)
                        .ok_or_else(|| bad("weights of at most 1000 members, like 40/30/20/10 or 60/40x1"))?;
                }
                _ => {
                    return Err(Error::Parameter {
                        key: key.to_owned(),
                        value: value.to_owned(),
                        expected: "left out: there are members, jobs, queues, candidates, weights, namespaces, cores, \
                                   load and seed"
                            .to_owned(),
                    });
                }
            }
        }
        if !parameters.weights.is_empty() {
            let count = u32::try_from(parameters.weights.len()).unwrap_or(u32::MAX);
            (parameters.members, parameters.candidates) = (count, count);
        }
        parameters.members = members.unwrap_or(parameters.members).max(1);
        parameters.candidates = parameters.candidates.min(parameters.members);
        Ok(parameters)
    }
}

/// `60/40x1`: one of 60 and forty of 1.
fn weights(text: &str) -> Option<Vec<u32>> {
    let mut weights = Vec::new();
    for part in text.split('/') {
        let (count, weight): (usize, u32) = match part.split_once('x') {
            Some((count, weight)) => (count.parse().ok()?, weight.parse().ok()?),
            None => (1, part.parse().ok()?),
        };
        if count == 0 || count > 1000 || weight == 0 {
            return None;
        }
        weights.extend(std::iter::repeat_n(weight, count));
    }
    (weights.len() <= 1000).then_some(weights)
}

/// Longest run, and the number of shapes of jobs.
const SHAPES: [(u64, u64); 4] = [(1, 1), (2, 2), (4, 4), (8, 4)];

impl Parameters {
    /// The fleet: members alike, queues that route to neighbouring members.
    pub fn fleet(&self) -> Fleet {
        let mut fleet = Fleet::default();
        for n in 0..self.members {
            let name = ClusterName::new(format!("member-{n:04}"));
            let capacity = match u64::from(self.cores) {
                0 => Capacity::default(),
                cores => Capacity {
                    cpu_milli: Some(cores * 1000),
                    memory_bytes: Some(cores << 32),
                    ..Capacity::default()
                },
            };
            let identity = MemberIdentity::new(name.as_str());
            fleet.members.insert(name, MemberFacts { capacity, ..MemberFacts::ready(identity) });
        }
        for n in 0..self.queues {
            let first = u64::from(n) * u64::from(self.members) / u64::from(self.queues);
            let routes = (0..u64::from(self.candidates)).map(|k| {
                let member = (first + k) % u64::from(self.members);
                let place = usize::try_from(k).unwrap_or_default();
                let weight = self.weights.get(place).copied();
                let weight = weight.unwrap_or_else(|| u32::try_from(1 + k % 7).unwrap_or(1));
                Route::to([ClusterName::new(format!("member-{member:04}"))], weight)
            });
            let mut facts = QueueFacts::over(queue(n), routes.collect());
            if n % 2 == 1 {
                facts.order = Order::FairShare { weights: BTreeMap::new() };
            }
            fleet.queues.insert(queue(n), (facts, Some(Selector::default())));
        }
        fleet
    }

    /// The jobs, in order of arrival, for queues of these names over members with so many millicores together.
    pub fn jobs(&self, queues: &[QueueName], cpu_milli: Option<u64>) -> Jobs {
        let namespaces = |queue: &QueueName| {
            (0..self.namespaces).map(|n| Namespace::new(format!("{queue}-{n}"))).collect::<Vec<_>>()
        };
        let requests = |queue: &QueueName| {
            let of_shape = SHAPES.map(|(executors, cores)| {
                let demand = Resources {
                    jobs: 1,
                    pods: 1 + executors,
                    cpu_milli: 1000 + executors * cores * 1000,
                    memory_bytes: (1 + executors * cores) << 32,
                };
                Arc::new(crate::trace::request(queue.clone(), 0, Vec::new(), demand))
            });
            of_shape.to_vec()
        };
        // Runs last a quarter of an hour on average, and shapes are drawn alike.
        let mean_milli: u64 =
            SHAPES.iter().map(|(executors, cores)| 1000 + executors * cores * 1000).sum::<u64>() / 4;
        let busy = cpu_milli.unwrap_or(1_000_000).max(1) * u64::from(self.load) / 100;
        let gap_nanos = u128::from(mean_milli) * 900 * 1_000_000_000 / u128::from(busy.max(1));
        Jobs {
            numbers: Numbers(self.seed),
            left: self.jobs,
            at: Timestamp::UNIX_EPOCH,
            mean_gap: i64::try_from(gap_nanos.max(1)).unwrap_or(i64::MAX / 16),
            queues: queues.iter().map(|queue| (namespaces(queue), requests(queue))).collect(),
        }
    }
}

fn queue(n: u32) -> QueueName {
    QueueName::new(format!("queue-{n:03}"))
}

/// A generated stream of jobs.
#[derive(Debug)]
pub struct Jobs {
    numbers: Numbers,
    left: u64,
    at: Timestamp,
    mean_gap: i64,
    queues: Vec<(Vec<Namespace>, Vec<Arc<Request>>)>,
}

impl Iterator for Jobs {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.left = self.left.checked_sub(1)?;
        let gap = self.numbers.waiting_time(self.mean_gap);
        self.at = self.at.checked_add(SignedDuration::from_nanos(gap)).unwrap_or(self.at);
        let (namespaces, requests) = self.numbers.one_of(&self.queues)?;
        let namespace = self.numbers.one_of(namespaces)?.clone();
        let request = self.numbers.one_of(requests)?.clone();
        let duration = Duration::from_millis(60_000 + self.numbers.below(1_680_000));
        Some(Arrival { at: self.at, namespace, request, duration })
    }
}

/// SplitMix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
#[derive(Debug)]
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).unwrap_or_default()
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let n = self.below(u64::try_from(all.len()).unwrap_or(u64::MAX));
        all.get(usize::try_from(n).ok()?)
    }

    /// Time to the next arrival of a Poisson process, in whole numbers so that every machine agrees: the number of fair
    /// coins that fall on one side before the other, refined by an even draw (a geometric mixture with the same mean).
    fn waiting_time(&mut self, mean: i64) -> i64 {
        let halvings = i64::from(self.next().trailing_zeros().min(16));
        // Each halving is worth ln 2 of the mean; inside one the density is close to even.
        let half_life = mean / 1000 * 693 + mean % 1000 * 693 / 1000;
        let inside = self.below(u64::try_from(half_life).unwrap_or_default().max(1));
        halvings.saturating_mul(half_life).saturating_add(i64::try_from(inside).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_refused_in_words() {
        let parameters: Parameters = "jobs=5,weights=60/40x1,cores=0,seed=7".parse().unwrap();
        assert_eq!((parameters.members, parameters.candidates, parameters.jobs), (41, 41, 5));
        assert_eq!(parameters.fleet().queues.len(), 1);
        let error = |text: &str| text.parse::<Parameters>().unwrap_err().to_string();
        assert_eq!(
            error("members=0"),
            "--generate: members is \"0\", and must be a whole number from 1 to 1000"
        );
        assert!(error("nodes=3").contains("there are members, jobs, queues"), "{}", error("nodes=3"));
        assert!(error("weights=1/0").contains("like 40/30/20/10"));
    }

    #[test]
    fn the_same_seed_gives_the_same_jobs() {
        let parameters = Parameters { jobs: 100, ..Parameters::default() };
        let jobs = |seed| {
            let parameters = Parameters { seed, ..parameters.clone() };
            let jobs = parameters.jobs(&[queue(0)], Some(800_000));
            jobs.map(|job| (job.at, job.duration, job.namespace)).collect::<Vec<_>>()
        };
        assert_eq!(jobs(1), jobs(1));
        assert_ne!(jobs(1), jobs(2));
    }

    #[test]
    fn the_load_is_about_what_is_asked() {
        let parameters = Parameters { jobs: 20_000, load: 50, ..Parameters::default() };
        let jobs: Vec<_> = parameters.jobs(&[queue(0)], Some(800_000)).collect();
        let work: u128 =
            jobs.iter().map(|job| u128::from(job.request.demand.cpu_milli) * job.duration.as_millis()).sum();
        let span = u128::try_from(jobs.last().unwrap().at.as_millisecond()).unwrap();
        let percent = work * 100 / (span * 800_000);
        assert!((45..=60).contains(&percent), "{percent}");
    }
}
