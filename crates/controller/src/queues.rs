//! The hub's queues: their specs go to the dispatcher, their account comes back into their status.
//!
//! Owns the status of every `SparkQueue`. Counts and credits are written together at most every ten seconds: the account
//! is a checkpoint, younger placements are replayed from the jobs. A queue that cannot be read takes nothing and says so.
//! While another router leads the account is its own: nothing is written.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use parking_lot::Mutex;
use serde_json::json;
use spark_router_api::{
    API_VERSION, SparkQueue, SparkQueueStatus,
    condition::{self, Finding, Truth, reason},
    names,
    queue::{MemberCredit, MemberShare},
};
use spark_router_core::{
    credit::Credit,
    dispatch::{Checkpoint, Dispatcher, Held},
    id::{ClusterName, QueueName},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    convert::{self, KnownQueue},
    dispatcher,
    error::Error,
    lease::Lease,
    restored::record,
    watches::Seen,
};

/// Statuses are written at most this often.
const EVERY: Duration = Duration::from_secs(10);

/// The queues as the hub has them.
#[derive(Clone, Default)]
pub struct Queues {
    objects: Arc<Mutex<BTreeMap<String, Arc<KnownQueue>>>>,
    changed: watch::Sender<u64>,
}

/// A queue whose jobs have to be looked at again: those that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The queue.
    pub queue: String,
    /// Also those that run or are over: how long they may run, or stay, has changed.
    pub times: bool,
}

impl Queues {
    /// A queue.
    pub fn get(&self, queue: &str) -> Option<Arc<KnownQueue>> {
        self.objects.lock().get(queue).cloned()
    }

    /// All queues, by name.
    pub fn all(&self) -> Vec<Arc<KnownQueue>> {
        self.objects.lock().values().cloned().collect()
    }

    /// Fires with each change that the dispatcher was told.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes a change of the hub's over and tells the dispatcher. Returns the queue where what it sets on its jobs has
    /// changed: they have to be looked at again.
    pub async fn tell(&self, seen: Seen<SparkQueue>, dispatcher: &dispatcher::Handle) -> Option<Changed> {
        let mut resized = None;
        match seen {
            Seen::Present(object) => {
                let name = object.name_any();
                let parsed = convert::queue(&object);
                let (named, restored) = (QueueName::new(&name), record::restored(&object));
                let known = Arc::new(KnownQueue::new(Arc::from(object)));
                let sets = |known: &KnownQueue| (known.number(), convert::times(known.object()));
                let (parts, times) = sets(&known);
                let before = self.objects.lock().insert(name.clone(), known);
                let (had, ran) = before.as_deref().map(sets).unwrap_or_default();
                if had != parts || ran != times {
                    resized = Some(Changed { queue: name.clone(), times: ran != times });
                }
                match parsed {
                    Ok((facts, admits, checkpoint)) => {
                        dispatcher.change(move |d| d.set_queue(facts, admits, checkpoint)).await;
                    }
                    Err(why) => {
                        warn!(queue = name, why, "the queue cannot be read; it takes nothing");
                        let name = QueueName::new(name);
                        dispatcher.change(move |d| d.remove_queue(&name)).await;
                    }
                }
                dispatcher.change(move |d| d.set_restored(&named, restored)).await;
            }
            Seen::Gone(name) => {
                self.objects.lock().remove(&name);
                let name = QueueName::new(name);
                let remove = move |d: &mut Dispatcher| {
                    d.remove_queue(&name);
                    // Its record is gone with it.
                    d.set_restored(&name, None);
                };
                dispatcher.change(remove).await;
            }
            Seen::Listed => {}
        }
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        resized
    }

    /// The accounts as the hub has them now.
    pub fn checkpoints(&self) -> Vec<(QueueName, Checkpoint)> {
        let queues = self.all();
        let checkpoint = |queue: Arc<KnownQueue>| {
            let (facts, _, checkpoint) = convert::queue(queue.object()).ok()?;
            Some((facts.name, checkpoint))
        };
        queues.into_iter().filter_map(checkpoint).collect()
    }

    /// Writes the statuses until stopped, and once more then; not before `deciding`, when the account is complete.
    pub async fn keep_statuses(
        self,
        client: Client,
        dispatcher: dispatcher::Handle,
        (lease, deciding): (Lease, CancellationToken),
        stop: CancellationToken,
    ) {
        loop {
            let last = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let is_ours = deciding.is_cancelled() && lease.holds();
            let queues: Vec<_> = self.objects.lock().values().filter(|_| is_ours).cloned().collect();
            for queue in queues {
                let object = queue.object();
                if let Err(error) = keep_status(&client, object, &dispatcher, &lease).await {
                    report(&object.name_any(), &error);
                }
            }
            if last {
                return;
            }
        }
    }
}

fn report(queue: &str, error: &Error) {
    match error {
        Error::Conflict | Error::Stopping | Error::NotLeading => {
            debug!(queue, %error, "a queue's status waits");
        }
        error => warn!(error = error as &dyn std::error::Error, queue, "a queue's status was not written"),
    }
}

async fn keep_status(
    client: &Client,
    object: &SparkQueue,
    dispatcher: &dispatcher::Handle,
    lease: &Lease,
) -> Result<(), Error> {
    let name = QueueName::new(object.name_any());
    let (standing, oldest) = dispatcher.read(move |d| (d.standing(&name), d.oldest_waiting(&name))).await?;
    let (held, account, routed) = standing;
    let mut next = status(object, held, &account, &routed);
    next.oldest_waiting = oldest.map(|created| Time(convert::to_the_second(created)));
    if object.status.as_ref() == Some(&next) {
        return Ok(());
    }
    write_status(client, object, &next, lease).await
}

/// Writes a queue's whole status, if the queue still is as `object` shows it.
pub(crate) async fn write_status(
    client: &Client,
    object: &SparkQueue,
    next: &SparkQueueStatus,
    lease: &Lease,
) -> Result<(), Error> {
    let body = json!({
        "apiVersion": API_VERSION,
        "kind": "SparkQueue",
        "metadata": {"name": object.name_any(), "resourceVersion": object.resource_version()},
        "status": next,
    });
    lease.check()?;
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let queues: Api<SparkQueue> = Api::all(client.clone());
    let (name, patch) = (object.name_any(), Patch::Apply(&body));
    let write = queues.patch_status(&name, &params, &patch);
    match tokio::time::timeout(EVERY, write).await {
        Ok(answer) => answer.map(|_| ()).map_err(Error::hub("writing a queue's status")),
        Err(_) => Err(Error::Timeout { doing: "writing a queue's status", after: EVERY }),
    }
}

fn status(
    object: &SparkQueue,
    held: Held,
    account: &Checkpoint,
    routed: &[(ClusterName, u32)],
) -> SparkQueueStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    status.queued = Some(held.queued);
    status.active = Some(held.active.jobs);
    status.seq = Some(account.given.max(record::given(object)));
    status.credits_seq = Some(account.seq);
    status.credits = account
        .credits
        .iter()
        .map(|(cluster, credit)| MemberCredit {
            cluster: cluster.as_str().to_owned(),
            credit: credit.to_string(),
        })
        .collect();
    status.clusters = routed
        .iter()
        .map(|(cluster, weight)| {
            let placed = account.placed.get(cluster).copied().unwrap_or_default();
            let expected = expected(placed, account.credits.of(cluster));
            MemberShare { name: cluster.as_str().to_owned(), weight: *weight, placed, expected }
        })
        .collect();
    let (truth, why, message) = match convert::queue(object) {
        Err(why) => (Truth::False, reason::INVALID_SPEC, why),
        Ok(_) if routed.is_empty() => (
            Truth::False,
            reason::NO_MEMBERS,
            "no route of the queue leads to a registered MemberCluster".to_owned(),
        ),
        Ok(_) => (Truth::True, reason::READY, "jobs can be placed from it".to_owned()),
    };
    let finding = Finding { type_: condition::READY, status: truth, reason: why.to_owned(), message };
    condition::set(&mut status.conditions, finding, generation, &Time(convert::now_to_the_second()));
    status
}

/// What a member was entitled to: what it got and what it is still owed, to a thousandth.
fn expected(placed: u64, credit: Credit) -> String {
    let thousandths = i128::from(placed).saturating_mul(1000).saturating_add(credit.thousandths());
    let sign = if thousandths < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", thousandths.abs() / 1000, thousandths.abs() % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_is_what_was_had_and_what_is_owed() {
        assert_eq!(expected(3, "1/3".parse().unwrap()), "3.333");
        assert_eq!(expected(1, "-1/2".parse().unwrap()), "0.500");
        assert_eq!(expected(0, "-1/2".parse().unwrap()), "-0.500");
    }
}
