//! Whether the hub was put back to an earlier state: asked of each member once, as soon as it shows its applications.
//!
//! Owns the queues' accounts as this process began to lead with them, and the list of members that were looked at. What is
//! found is on the queue's record before anything is decided that would cover it up: the first look comes before the first
//! decision, and a member takes jobs, and what it shows is taken up, only after it was looked at. Must never believe a cache
//! for it: each sign is looked up on the hub and on its member.

mod looked;
pub(crate) mod record;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use spark_router_api::{
    MemberCluster, RoutedSparkJob, SparkQueue, SparkQueueStatus,
    condition::{self, reason},
};
use spark_router_core::{
    id::QueueName,
    restored::{Accounts, Shown},
};
use spark_router_member::{Confirmation, Member, Registry};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::looked::Looked;
pub use self::record::holding;
use self::record::{Sign, given};
use crate::{
    convert, dispatcher,
    error::Error,
    events::{Kind, Publisher},
    hub::{PATIENCE, in_time},
    lease::Lease,
    metrics::{Metrics, QueueLabels},
    queues::{self, Queues},
};

/// A look comes at least this often: a member that could not be asked is asked again.
const TICK: Duration = Duration::from_secs(2);
/// A first look that failed is tried again after this long: nothing is decided before it.
const AGAIN: Duration = Duration::from_secs(1);
/// Applications of one member and queue that are looked up in one look.
const MOST_ASKED: usize = 100;

/// What it is made of.
pub struct Parts {
    /// The hub.
    pub client: Client,
    /// Says whether anything may be written.
    pub lease: Lease,
    /// The members' links.
    pub registry: Registry,
    /// The jobs.
    pub jobs: Store<RoutedSparkJob>,
    /// The members' objects.
    pub members: Store<MemberCluster>,
    /// The queues.
    pub queues: Queues,
    /// Who holds the jobs back.
    pub dispatcher: dispatcher::Handle,
    /// Events.
    pub events: Publisher,
    /// Metrics.
    pub metrics: Metrics,
    /// The members that were looked at.
    pub looked: Looked,
}

/// See the module.
pub struct Lookout {
    parts: Parts,
    accounts: Accounts,
    /// Jobs created up to then were there when this process began to lead.
    before: Timestamp,
    /// Nothing was decided yet: what the hub says now is what it was put back to.
    is_first: bool,
}

/// Whether an application is a sign.
enum Verdict {
    /// It is, and its job is on the hub, in an older state, or is not.
    Yes {
        job_exists: bool,
    },
    No,
    /// Its member does not say now.
    NotNow,
}

impl Lookout {
    /// Begins with the hub's records as they are now. Call when this process leads and before it decides anything.
    pub fn begin(parts: Parts) -> Self {
        parts.looked.begin();
        let jobs = parts.jobs.state();
        let queues = parts.queues.all();
        let accounts = accounts(queues.iter().map(|queue| queue.object()), &jobs);
        let youngest = jobs.iter().filter_map(|job| Some(job.metadata.creation_timestamp.as_ref()?.0)).max();
        let before = convert::to_the_second(parts.lease.since().max(youngest.unwrap_or(Timestamp::MIN)));
        Self { parts, accounts, before, is_first: true }
    }

    /// Looks at every member that shows its applications by now, and puts on record what is found. Until stopped: without
    /// it nothing may be decided.
    pub async fn first(&mut self, stop: &CancellationToken) {
        while let Err(error) = self.look().await {
            report(&error);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        self.is_first = false;
    }

    /// Looks at the others as they come, and lets go of jobs as somebody acknowledges, until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut links = self.parts.registry.subscribe();
        let mut queues = self.parts.queues.changed();
        loop {
            for done in [self.look().await, self.settle().await] {
                if let Err(error) = done {
                    report(&error);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                // A closed channel means that its task ended; the stop follows.
                _ = links.changed() => {}
                _ = queues.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        for member in self.parts.registry.all() {
            let Some(identity) = member.identity() else { continue };
            if self.parts.looked.at(member.name(), &identity) {
                continue;
            }
            let Some(shown) = member.beyond(&self.accounts) else { continue };
            let mut by_queue: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for one in shown.into_iter().filter(|one| !self.is_known(one)) {
                by_queue.entry(one.queue.clone()).or_default().push(one);
            }
            let mut is_done = true;
            for (queue, unknown) in by_queue {
                is_done = self.look_up(&*member, &queue, unknown).await?;
                if !is_done {
                    break;
                }
            }
            if is_done {
                self.parts.looked.insert(member.name().clone(), identity);
            }
        }
        Ok(())
    }

    /// Whether the caches know it. Where they do not, they may be behind.
    fn is_known(&self, shown: &Shown) -> bool {
        let key = &shown.owner.key;
        let job = self.parts.jobs.get(&ObjectRef::new(&key.name).within(key.namespace.as_str()));
        let record = job.filter(|job| is_its(job, shown)).map(|job| convert::record(&job));
        if shown.is_known_to(record.as_ref()) {
            return true;
        }
        // Let go of knowingly: its member's object says so.
        let member = self.parts.members.get(&ObjectRef::new(shown.cluster.as_str()));
        let status = member.as_ref().and_then(|member| member.status.as_ref());
        let mut rows = status.map(|status| status.abandoned.as_slice()).unwrap_or_default().iter();
        rows.any(|row| row.job_uid == shown.owner.job.as_str() && row.attempt == shown.owner.attempt.0)
    }

    /// Looks up what one member shows of one queue. Whether that is done with.
    async fn look_up(
        &mut self,
        member: &dyn Member,
        queue: &QueueName,
        mut unknown: Vec<Shown>,
    ) -> Result<bool, Error> {
        let queues: Api<SparkQueue> = Api::all(self.parts.client.clone());
        let found = in_time("reading a queue", queues.get_opt(queue.as_str())).await?;
        let Some(object) = found else { return Ok(true) };
        let acknowledged = record::acknowledged(&object).unwrap_or(0);
        if self.is_first
            && let Some(account) = self.accounts.get_mut(queue)
        {
            account.seq = account.seq.max(given(&object));
        }
        let known = self.accounts.get(queue).map_or(0, |account| account.seq);
        unknown.retain(|one| one.is_beyond(&self.accounts) && one.owner.seq > acknowledged);
        unknown.sort_by_key(|one| std::cmp::Reverse(one.owner.seq));
        let mut signs = Vec::new();
        for one in unknown.iter().take(MOST_ASKED) {
            match self.verdict(member, one).await? {
                Verdict::Yes { job_exists } => signs.push(Sign { shown: one.clone(), job_exists }),
                Verdict::No => {}
                Verdict::NotNow => return Ok(false),
            }
            if signs.len() == spark_router_api::queue::MOST_SIGNS {
                break;
            }
        }
        if signs.is_empty() {
            return Ok(unknown.len() <= MOST_ASKED);
        }
        self.put_on_record(&object, &signs, known).await?;
        Ok(true)
    }

    async fn verdict(&self, member: &dyn Member, shown: &Shown) -> Result<Verdict, Error> {
        let key = &shown.owner.key;
        let jobs: Api<RoutedSparkJob> = Api::namespaced(self.parts.client.clone(), key.namespace.as_str());
        let job = in_time("looking a job up", jobs.get_opt(&key.name)).await?;
        let record = job.filter(|job| is_its(job, shown)).map(|job| convert::record(&job));
        if shown.is_known_to(record.as_ref()) {
            return Ok(Verdict::No);
        }
        Ok(match member.confirm(&shown.namespace, &shown.name, Some(&shown.uid)).await {
            Confirmation::Present(seen) if seen.uid == shown.uid => {
                Verdict::Yes { job_exists: record.is_some() }
            }
            Confirmation::Present(_) | Confirmation::Gone => Verdict::No,
            Confirmation::Unclear(why) => {
                debug!(why, cluster.name = %shown.cluster, "an application that no record knows was looked up in vain");
                Verdict::NotNow
            }
        })
    }

    async fn put_on_record(&self, object: &SparkQueue, signs: &[Sign], known: u64) -> Result<(), Error> {
        let now = convert::now_to_the_second();
        let next = record::with_signs(object, signs, known, self.before, now);
        if object.status.as_ref() != Some(&next) {
            let message = condition::find(&next.conditions, condition::RESTORED).map(|c| c.message.clone());
            let message = message.unwrap_or_default();
            self.write(object, &next).await?;
            warn!(queue = object.name_any(), message, "a queue holds its older jobs");
            self.parts.events.publish(object, Kind::Warning, "Hold", reason::HUB_RESTORED, &message);
        }
        self.shown(&object.name_any(), next.seq.unwrap_or(0)).await
    }

    /// Waits until the watch shows what was written: an older version that came later would let the jobs go again.
    async fn shown(&self, queue: &str, seq: u64) -> Result<(), Error> {
        let mut changed = self.parts.queues.changed();
        let showing = async {
            loop {
                changed.mark_unchanged();
                match self.parts.queues.get(queue) {
                    Some(known) if given(known.object()) < seq => {}
                    Some(known) => return Some(record::restored(known.object())),
                    None => return None,
                }
                if changed.changed().await.is_err() {
                    return None;
                }
            }
        };
        let Ok(shown) = tokio::time::timeout(PATIENCE, showing).await else {
            return Err(Error::Timeout { doing: "the watch of a queue that was written", after: PATIENCE });
        };
        if let Some(restored) = shown {
            // The watch tells it too, maybe in a moment.
            let name = QueueName::new(queue);
            self.parts.dispatcher.change(move |d| d.set_restored(&name, restored)).await;
        }
        Ok(())
    }

    /// Takes off the record what somebody acknowledged. The jobs were let go as soon as the annotation was seen.
    async fn settle(&self) -> Result<(), Error> {
        for queue in self.parts.queues.all() {
            let object = queue.object();
            let holds = record::holding(object).is_some();
            let said =
                object.status.as_ref().and_then(|s| condition::find(&s.conditions, condition::RESTORED));
            if holds || said.is_some() {
                let labels = QueueLabels { queue: object.name_any() };
                self.parts.metrics.queue_restored.get_or_create(&labels).set(i64::from(holds));
            }
            let Some(next) = record::let_go(object, convert::now_to_the_second()) else { continue };
            let message = condition::find(&next.conditions, condition::RESTORED).map(|c| c.message.clone());
            self.write(object, &next).await?;
            let message = message.unwrap_or_default();
            self.parts.events.publish(object, Kind::Normal, "LetGo", reason::ACKNOWLEDGED, &message);
        }
        Ok(())
    }

    async fn write(&self, object: &SparkQueue, next: &SparkQueueStatus) -> Result<(), Error> {
        queues::write_status(&self.parts.client, object, next, &self.parts.lease).await
    }
}

/// What the hub's records say of each queue's numbers.
fn accounts<'a>(queues: impl Iterator<Item = &'a SparkQueue>, jobs: &[Arc<RoutedSparkJob>]) -> Accounts {
    let own = |queue: &SparkQueue| Some((QueueName::new(queue.name_any()), record::account(queue)?));
    let mut accounts: Accounts = queues.filter_map(own).collect();
    for placement in jobs.iter().filter_map(|job| job.status.as_ref()?.placement.as_ref()) {
        if let Some(account) = accounts.get_mut(&QueueName::new(&placement.queue)) {
            account.seq = account.seq.max(placement.seq);
        }
    }
    accounts
}

fn is_its(job: &RoutedSparkJob, shown: &Shown) -> bool {
    job.metadata.uid.as_deref() == Some(shown.owner.job.as_str())
}

fn report(error: &Error) {
    match error {
        Error::Conflict | Error::Stopping | Error::NotLeading => {
            debug!(%error, "looking for signs of a restore waits");
        }
        error => {
            warn!(
                error = error as &dyn std::error::Error,
                "signs of a restore could not be looked for; tried again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use spark_router_core::restored::Account;

    use super::*;

    fn queue(name: &str, status: &Value) -> SparkQueue {
        serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue",
            "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"routes": [{"clusters": {"names": ["m1"]}}]}, "status": status,
        }))
        .unwrap()
    }

    fn placed(queue: &str, seq: u64) -> Arc<RoutedSparkJob> {
        let placement = json!({
            "cluster": "m1", "memberIdentity": "id", "attempt": 1, "namespace": "n", "remoteName": "r", "queue": queue,
            "seq": seq, "at": "2026-01-01T00:00:00Z", "demand": {"jobs": 1},
        });
        let job = json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob", "metadata": {"name": "a"},
            "spec": {"queue": "moved-since", "template": {"spec": {"sparkVersion": "4.0.1"}}},
            "status": {"placement": placement},
        });
        Arc::new(serde_json::from_value(job).unwrap())
    }

    #[test]
    fn a_queue_knows_the_highest_of_what_is_on_any_record() {
        let queues = [
            queue("etl", &json!({"seq": 7, "creditsSeq": 5})),
            queue("adhoc", &json!({"seq": 7, "creditsSeq": 9})),
            queue("new", &json!({})),
        ];
        let jobs = [placed("etl", 8), placed("adhoc", 3), placed("gone", 99)];
        let created: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let expected = [("adhoc", 9), ("etl", 8), ("new", 0)]
            .map(|(name, seq)| (QueueName::from(name), Account { seq, created }));
        assert_eq!(accounts(queues.iter(), &jobs), Accounts::from(expected));
    }
}
