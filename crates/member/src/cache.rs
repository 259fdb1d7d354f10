//! What a member showed last, by name.
//!
//! Owns the observations of one member. Written only by its watch. Before the first list is through, absence means
//! nothing; afterwards it is a hint, because a view may be behind.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::RwLock;
use spark_router_core::{
    id::{ClusterName, HubId, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName},
    observe::{Observation, Remote, RunState},
    restored::{Accounts, Shown},
};

/// An application as the watch shows it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it shows.
    pub observation: Observation,
    /// When it was created. Never changes.
    pub created: Option<Timestamp>,
    /// From which queue it came. Never changes.
    pub queue: Option<QueueName>,
}

impl From<Observation> for Seen {
    fn from(observation: Observation) -> Self {
        Self { observation, created: None, queue: None }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Cache(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: HashMap<Namespace, HashMap<RemoteName, Row>>,
    /// Where the applications of a job are: found by it also where the hub's record names none.
    by_job: HashMap<JobUid, Vec<(Namespace, RemoteName)>>,
    synced: bool,
    /// Names of the list that is under way.
    listing: Option<HashSet<(Namespace, RemoteName)>>,
    /// Per namespace: when an application last left the fresh state, as seen here.
    moved: BTreeMap<Namespace, Instant>,
}

#[derive(Clone, Debug)]
struct Row {
    observation: Observation,
    created: Option<Timestamp>,
    queue: Option<QueueName>,
    /// Since when it is fresh (not yet moved by the operator), as seen here.
    fresh_since: Option<Instant>,
    /// Since when it is over, as seen here.
    ended_since: Option<Instant>,
}

/// An application that is over, or being deleted.
#[derive(Clone, Debug)]
pub struct Owned {
    /// Where it is.
    pub namespace: Namespace,
    /// What it shows.
    pub observation: Observation,
    /// For how long it is over, as seen here; `None` while it lives.
    pub ended_for: Option<Duration>,
}

impl Cache {
    /// What is known of a name.
    pub fn observe(&self, namespace: &Namespace, name: &RemoteName) -> Remote {
        let inner = self.0.read();
        match inner.seen.get(namespace).and_then(|names| names.get(name)) {
            Some(row) => Remote::Present(Box::new(row.observation.clone())),
            None if inner.synced => Remote::Absent,
            None => Remote::Unknown,
        }
    }

    /// The first list is through.
    pub fn is_synced(&self) -> bool {
        self.0.read().synced
    }

    /// A list begins.
    pub fn list_begins(&self) {
        self.0.write().listing = Some(HashSet::new());
    }

    /// A list is through: what was not in it is gone. The jobs of those that went.
    pub fn list_ends(&self) -> Vec<JobKey> {
        let mut inner = self.0.write();
        inner.synced = true;
        let Some(listed) = inner.listing.take() else { return Vec::new() };
        let all = inner
            .seen
            .iter()
            .flat_map(|(namespace, names)| names.keys().map(move |name| (namespace.clone(), name.clone())));
        let missing: Vec<_> = all.filter(|place| !listed.contains(place)).collect();
        missing.iter().filter_map(|(namespace, name)| inner.take(namespace, name)).collect()
    }

    /// An application is there. The key of its job, if this is news. Since when it runs is what was seen first.
    pub fn put(&self, namespace: Namespace, seen: impl Into<Seen>, now: Instant) -> Option<JobKey> {
        let Seen { mut observation, created, queue } = seen.into();
        let mut guard = self.0.write();
        let inner = &mut *guard;
        if let Some(listing) = &mut inner.listing {
            listing.insert((namespace.clone(), observation.name.clone()));
        }
        let names = inner.seen.entry(namespace.clone()).or_default();
        let old = names.get(&observation.name).filter(|row| row.observation.uid == observation.uid);
        observation.running_since = match observation.run {
            // It starts anew.
            RunState::Suspended => None,
            _ => old.and_then(|row| row.observation.running_since).or(observation.running_since),
        };
        if old.is_some_and(|row| row.observation == observation) {
            return None;
        }
        let fresh = observation.run == RunState::Accepted
            && observation.native_state.is_empty()
            && !observation.deleting;
        let over = observation.run.is_terminal() || observation.deleting;
        if old.is_some_and(|row| row.fresh_since.is_some()) && !fresh && !observation.deleting {
            inner.moved.insert(namespace.clone(), now);
        }
        let row = Row {
            fresh_since: fresh.then(|| old.and_then(|row| row.fresh_since).unwrap_or(now)),
            ended_since: over.then(|| old.and_then(|row| row.ended_since).unwrap_or(now)),
            observation,
            created,
            queue,
        };
        let name = row.observation.name.clone();
        let owner = row.observation.owner.clone();
        let before = names.insert(name.clone(), row).and_then(|row| row.observation.owner);
        if before.as_ref().map(|owner| &owner.job) != owner.as_ref().map(|owner| &owner.job) {
            if let Some(before) = before {
                inner.unlink(&before.job, &namespace, &name);
            }
            if let Some(owner) = &owner {
                inner.by_job.entry(owner.job.clone()).or_default().push((namespace, name));
            }
        }
        owner.map(|owner| owner.key)
    }

    /// An application is gone. The key of its job.
    pub fn remove(&self, namespace: &Namespace, name: &RemoteName) -> Option<JobKey> {
        self.0.write().take(namespace, name)
    }

    /// Every application of a job that is shown, whatever the hub's record says.
    fn of_job(&self, job: &JobUid) -> Vec<(Namespace, Observation)> {
        let inner = self.0.read();
        let places = inner.by_job.get(job).map(Vec::as_slice).unwrap_or_default();
        let shown = |(namespace, name): &(Namespace, RemoteName)| {
            let row = inner.seen.get(namespace)?.get(name)?;
            Some((namespace.clone(), row.observation.clone()))
        };
        places.iter().filter_map(shown).collect()
    }

    /// What is shown of a job of this hub.
    pub fn traces(&self, job: &JobUid, hub: &HubId) -> Vec<(Namespace, Observation)> {
        let mut shown = self.of_job(job);
        shown.retain(|(_, seen)| seen.owner.as_ref().is_some_and(|owner| owner.hub == *hub));
        shown
    }

    /// The applications of this hub whose number is above what `accounts` say of their queue, once the first list is
    /// through. `cluster` and `identity` are the member's.
    pub fn beyond(
        &self,
        cluster: &ClusterName,
        identity: &MemberIdentity,
        hub: &HubId,
        accounts: &Accounts,
    ) -> Option<Vec<Shown>> {
        let is_above = |queue: &QueueName, seq| accounts.get(queue).is_some_and(|account| seq > account.seq);
        let shown = self.numbered(is_above)?.into_iter().filter_map(|(namespace, seen)| {
            let Seen { observation, created, queue } = seen;
            Some(Shown {
                cluster: cluster.clone(),
                identity: identity.clone(),
                namespace,
                name: observation.name,
                uid: observation.uid,
                owner: observation.owner.filter(|owner| owner.hub == *hub)?,
                queue: queue?,
                created,
                over: observation.run.is_terminal(),
            })
        });
        Some(shown.filter(|shown| shown.is_beyond(accounts)).collect())
    }

    /// Whatever was placed from a queue and is wanted by its number there, once the first list is through.
    fn numbered(&self, wanted: impl Fn(&QueueName, u64) -> bool) -> Option<Vec<(Namespace, Seen)>> {
        let inner = self.0.read();
        let rows =
            inner.seen.iter().flat_map(|(namespace, names)| names.values().map(move |row| (namespace, row)));
        let is_wanted = |row: &Row| {
            let (Some(queue), Some(owner)) = (&row.queue, &row.observation.owner) else { return false };
            wanted(queue, owner.seq)
        };
        let found = rows.filter(|(_, row)| is_wanted(row)).map(|(namespace, row)| {
            let Row { observation, created, queue, .. } = row.clone();
            (namespace.clone(), Seen { observation, created, queue })
        });
        inner.synced.then(|| found.collect())
    }

    /// The jobs of everything that is there.
    pub fn keys(&self) -> Vec<JobKey> {
        let inner = self.0.read();
        let rows = inner.seen.values().flat_map(HashMap::values);
        rows.filter_map(|row| row.observation.owner.as_ref().map(|owner| owner.key.clone())).collect()
    }

    /// Everything that is ours, with how long it is over.
    pub fn owned(&self, now: Instant) -> Vec<Owned> {
        let inner = self.0.read();
        let mut owned = Vec::new();
        for (namespace, names) in &inner.seen {
            for row in names.values().filter(|row| row.observation.owner.is_some()) {
                owned.push(Owned {
                    namespace: namespace.clone(),
                    observation: row.observation.clone(),
                    ended_for: row.ended_since.map(|since| now.saturating_duration_since(since)),
                });
            }
        }
        owned
    }

    /// The namespaces in which a fresh application waits for `patience` and none was moved meanwhile: nobody runs an
    /// operator for them.
    pub(crate) fn silent(&self, patience: Duration, now: Instant) -> Silence {
        let inner = self.0.read();
        let past = |since: Instant| now.saturating_duration_since(since) >= patience;
        let mut silence = Silence::default();
        for (namespace, names) in &inner.seen {
            let stuck = names.values().any(|row| row.fresh_since.is_some_and(past));
            let moved = inner.moved.get(namespace).is_some_and(|at| !past(*at));
            if stuck && !moved {
                silence.namespaces.push(namespace.clone());
            }
        }
        silence.namespaces.sort_unstable();
        silence.everywhere = !silence.namespaces.is_empty() && !inner.moved.values().any(|at| !past(*at));
        silence
    }
}

impl Inner {
    fn take(&mut self, namespace: &Namespace, name: &RemoteName) -> Option<JobKey> {
        let names = self.seen.get_mut(namespace)?;
        let row = names.remove(name)?;
        if names.is_empty() {
            self.seen.remove(namespace);
        }
        let owner = row.observation.owner?;
        self.unlink(&owner.job, namespace, name);
        Some(owner.key)
    }

    fn unlink(&mut self, job: &JobUid, namespace: &Namespace, name: &RemoteName) {
        let Some(places) = self.by_job.get_mut(job) else { return };
        places.retain(|(n, of)| n != namespace || of != name);
        if places.is_empty() {
            self.by_job.remove(job);
        }
    }
}

/// See [`Cache::silent`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Silence {
    /// The namespaces.
    pub(crate) namespaces: Vec<Namespace>,
    /// No application of any namespace was moved lately.
    pub(crate) everywhere: bool,
}

#[cfg(test)]
mod tests {
    use spark_router_core::{
        id::{Attempt, RemoteUid},
        observe::{ExecutorCounts, Ownership},
    };

    use super::*;

    fn observation(name: &str, uid: &str, state: &str) -> Observation {
        Observation {
            name: RemoteName::from(name),
            uid: RemoteUid::from(uid),
            owner: Some(Ownership {
                hub: HubId::from("hub"),
                job: JobUid::from(name),
                key: key(name),
                attempt: Attempt::FIRST,
                seq: 1,
                render_hash: String::new(),
            }),
            deleting: false,
            held: true,
            suspend: false,
            run: match state {
                "" => RunState::Accepted,
                "COMPLETED" => RunState::Succeeded,
                _ => RunState::Running,
            },
            native_state: state.to_owned(),
            application_id: None,
            submission_id: None,
            submitted_at: None,
            running_since: None,
            terminated_at: None,
            executions: 0,
            executors: ExecutorCounts::default(),
            driver_pod: None,
            ui_address: None,
            error: None,
        }
    }

    fn key(name: &str) -> JobKey {
        JobKey { namespace: Namespace::from("team"), name: name.to_owned() }
    }

    fn ns(name: &str) -> Namespace {
        Namespace::from(name)
    }

    #[test]
    fn absence_means_something_only_after_the_first_list() {
        let cache = Cache::default();
        let now = Instant::now();
        cache.list_begins();
        assert_eq!(cache.put(ns("n"), observation("a", "1", ""), now), Some(key("a")));
        assert_eq!(cache.observe(&ns("n"), &RemoteName::from("b")), Remote::Unknown);
        assert!(matches!(cache.observe(&ns("n"), &RemoteName::from("a")), Remote::Present(_)));
        assert!(cache.list_ends().is_empty());
        assert_eq!(cache.observe(&ns("n"), &RemoteName::from("b")), Remote::Absent);
        assert_eq!(cache.observe(&ns("m"), &RemoteName::from("a")), Remote::Absent);
    }

    #[test]
    fn what_a_new_list_leaves_out_is_gone_and_only_news_is_told() {
        let cache = Cache::default();
        let now = Instant::now();
        cache.list_begins();
        for name in ["a", "b"] {
            cache.put(ns("n"), observation(name, "1", "RUNNING"), now);
        }
        cache.list_ends();
        assert_eq!(cache.put(ns("n"), observation("a", "1", "RUNNING"), now), None);
        cache.list_begins();
        assert_eq!(
            cache.put(ns("n"), observation("b", "2", "RUNNING"), now),
            Some(key("b")),
            "another uid is news"
        );
        assert!(
            matches!(cache.observe(&ns("n"), &RemoteName::from("a")), Remote::Present(_)),
            "not before the end"
        );
        assert_eq!(cache.list_ends(), [key("a")]);
        assert_eq!(cache.observe(&ns("n"), &RemoteName::from("a")), Remote::Absent);
        assert_eq!(cache.remove(&ns("n"), &RemoteName::from("b")), Some(key("b")));
        assert_eq!(cache.remove(&ns("n"), &RemoteName::from("b")), None);
        assert!(cache.keys().is_empty());
    }

    #[test]
    fn an_operator_is_silent_only_where_nothing_moves() {
        const PATIENCE: Duration = Duration::from_mins(1);
        let cache = Cache::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        cache.put(ns("n"), observation("a", "1", ""), at(0));
        cache.put(ns("n"), observation("b", "1", ""), at(30));
        assert_eq!(cache.silent(PATIENCE, at(59)), Silence::default());
        let silent = cache.silent(PATIENCE, at(60));
        assert!(silent.everywhere && silent.namespaces == [ns("n")]);
        cache.put(ns("n"), observation("b", "1", "SUBMITTED"), at(61));
        assert_eq!(cache.silent(PATIENCE, at(100)), Silence::default(), "it is slow, not silent");
        assert!(cache.silent(PATIENCE, at(121)).everywhere);
        cache.put(ns("m"), observation("c", "1", ""), at(122));
        cache.put(ns("m"), observation("c", "1", "SUBMITTED"), at(123));
        let silent = cache.silent(PATIENCE, at(124));
        assert!(!silent.everywhere && silent.namespaces == [ns("n")], "it watches other namespaces");
        cache.remove(&ns("n"), &RemoteName::from("a"));
        assert_eq!(cache.silent(PATIENCE, at(300)), Silence::default());
    }

    /// It may be over before anybody looks.
    #[test]
    fn since_when_it_ran_is_what_was_seen_first() {
        let (cache, now) = (Cache::default(), Instant::now());
        let put = |state: &str, run: Option<RunState>, second: Option<i64>| {
            let mut seen = observation("a", "1", state);
            seen.run = run.unwrap_or(seen.run);
            seen.running_since = second.map(|second| Timestamp::from_second(second).unwrap());
            cache.put(ns("n"), seen, now);
            match cache.observe(&ns("n"), &RemoteName::from("a")) {
                Remote::Present(seen) => seen.running_since.map(Timestamp::as_second),
                absent => panic!("{absent:?}"),
            }
        };
        assert_eq!(put("SUBMITTED", Some(RunState::Submitted), None), None);
        assert_eq!(put("RUNNING", None, Some(10)), Some(10));
        assert_eq!(put("RUNNING", None, Some(11)), Some(10));
        assert_eq!(put("COMPLETED", None, None), Some(10));
        assert_eq!(put("SUSPENDED", Some(RunState::Suspended), None), None);
        assert_eq!(put("RUNNING", None, Some(20)), Some(20));
    }

    #[test]
    fn the_time_since_an_end_is_counted_here() {
        let cache = Cache::default();
        let start = Instant::now();
        cache.put(ns("n"), observation("a", "1", "RUNNING"), start);
        assert_eq!(cache.owned(start)[0].ended_for, None);
        cache.put(ns("n"), observation("a", "1", "COMPLETED"), start + Duration::from_secs(1));
        let mut released = observation("a", "1", "COMPLETED");
        released.held = false;
        cache.put(ns("n"), released, start + Duration::from_secs(5));
        assert_eq!(cache.owned(start + Duration::from_secs(11))[0].ended_for, Some(Duration::from_secs(10)));
    }

    #[test]
    fn numbers_are_known_once_the_first_list_is_through() {
        let cache = Cache::default();
        let now = Instant::now();
        let numbered = |name: &str, queue: Option<&str>, seq: u64| {
            let mut observation = observation(name, "1", "RUNNING");
            observation.owner.as_mut().unwrap().seq = seq;
            Seen { queue: queue.map(QueueName::from), ..Seen::from(observation) }
        };
        cache.list_begins();
        for (name, queue, seq) in
            [("a", Some("etl"), 7), ("b", Some("etl"), 8), ("c", Some("adhoc"), 9), ("d", None, 9)]
        {
            cache.put(ns("n"), numbered(name, queue, seq), now);
        }
        let above_seven = || {
            let found = cache.numbered(|queue, seq| *queue == QueueName::from("etl") && seq > 7)?;
            Some(found.into_iter().map(|(_, seen)| seen.observation.name).collect::<Vec<_>>())
        };
        assert_eq!(above_seven(), None, "more may be to come");
        cache.list_ends();
        assert_eq!(above_seven(), Some(vec![RemoteName::from("b")]));
    }

    #[test]
    fn what_a_job_has_is_found_by_its_uid() {
        let cache = Cache::default();
        let now = Instant::now();
        let names = |job: &str| {
            let mut names: Vec<_> =
                cache.of_job(&JobUid::from(job)).into_iter().map(|(_, seen)| seen.name).collect();
            names.sort_unstable();
            names
        };
        let of = |name: &str, job: &str| {
            let mut observation = observation(name, "1", "RUNNING");
            observation.owner.as_mut().unwrap().job = JobUid::from(job);
            observation
        };
        cache.list_begins();
        cache.put(ns("n"), of("a-1", "a"), now);
        cache.put(ns("m"), of("a-2", "a"), now);
        cache.put(ns("n"), of("b-1", "b"), now);
        cache.list_ends();
        assert_eq!(names("a"), ["a-1", "a-2"].map(RemoteName::from));
        cache.put(ns("n"), of("a-1", "b"), now);
        assert_eq!(
            (names("a"), names("b").len()),
            (vec![RemoteName::from("a-2")], 2),
            "it has another owner now"
        );
        let nobodys = Observation { owner: None, ..of("a-2", "a") };
        cache.put(ns("m"), nobodys, now);
        assert!(names("a").is_empty());
        cache.remove(&ns("n"), &RemoteName::from("a-1"));
        cache.list_begins();
        cache.list_ends();
        assert!(names("b").is_empty() && cache.0.read().by_job.is_empty());
    }
}
