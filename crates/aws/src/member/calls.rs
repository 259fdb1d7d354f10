//! What is shown of runs: by the poller, by a look-up, by a start.
//!
//! Owns nothing of its own. The view has one run for each name; where a server has made two of one start, it is always
//! the same one of them.

use std::time::{Duration, Instant};

use spark_router_core::{
    id::{HubId, JobKey, Namespace, RemoteName, RemoteUid},
    observe::RunState,
};
use spark_router_member::{Confirmation, Driver, Seen, pods::SeenPod};
use tracing::warn;

use super::{
    EmrLink,
    below::{self, Left},
    fold,
};
use crate::{
    client::{Class, Failure, JobRun, Query, RunId},
    poll::{
        Listener,
        rows::{Row, is_over},
    },
};

impl EmrLink {
    /// The runs of a name as the server lists them, all states. Each is news for the view.
    pub(super) async fn listed(&self, name: &RemoteName) -> Result<Vec<JobRun>, Failure> {
        let poller = self.poller().map_err(|why| Failure::incomplete(&why))?;
        let query = Query { name: Some(name.as_str()), ..Query::default() };
        let mut runs = poller.emr().list(query).await?;
        // Some servers take the name for a part of names.
        runs.retain(|run| run.name == name.as_str());
        runs.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        for run in &runs {
            if is_ours(run, &self.hub) {
                poller.told(run.clone());
                self.show(run);
            }
        }
        Ok(runs)
    }

    /// A read by name: the run that is known by a look at itself, else by a list.
    pub(super) async fn look_up(&self, name: &RemoteName, recorded: Option<&RemoteUid>) -> Confirmation {
        if let Err(why) = self.standing.may_be_asked() {
            return Confirmation::Unclear(why);
        }
        let poller = match self.poller() {
            Ok(poller) => poller,
            Err(why) => return Confirmation::Unclear(why),
        };
        let recorded = recorded.map(|uid| RunId(uid.as_str().to_owned()));
        // A list may be late; a run itself is not.
        if let Some(id) = recorded.or_else(|| self.known(name)) {
            match poller.emr().describe(&id).await {
                Ok(run) => {
                    poller.told(run.clone());
                    self.show(&run);
                    return Confirmation::Present(Box::new(self.fold(&run).observation));
                }
                Err(failure) if failure.class == Class::NoRun => {}
                Err(failure) => return Confirmation::Unclear(failure.to_string()),
            }
        }
        match self.listed(name).await {
            Ok(runs) => match runs.first() {
                Some(run) => Confirmation::Present(Box::new(self.fold(run).observation)),
                None => match self.still_the_same().await {
                    Ok(()) => Confirmation::Gone,
                    Err(why) => Confirmation::Unclear(why),
                },
            },
            Err(failure) => Confirmation::Unclear(failure.to_string()),
        }
    }

    /// The run of that name that was seen before.
    pub(super) fn known(&self, name: &RemoteName) -> Option<RunId> {
        let poller = self.poller.get()?;
        poller.read(|rows| first(rows.named(name.as_str())).map(|row| row.run.id.clone()))
    }

    /// A run as it is shown, with what is known of it beside.
    pub(super) fn fold(&self, run: &JobRun) -> Seen {
        let known = self.poller.get().and_then(|poller| {
            poller.read(|rows| rows.get(&run.id).map(|row| (row.running_since, row.run.clone())))
        });
        let (since, known) = known.map_or((None, None), |(since, run)| (since, Some(run)));
        let cancel_asked = self.cancels.lock().contains_key(&run.id);
        // An end that was seen is not undone by an older page.
        let run = known.as_ref().filter(|known| is_over(&known.state) && !is_over(&run.state)).unwrap_or(run);
        let mut seen = fold::seen(run, since.is_some() || run.state == "RUNNING", cancel_asked);
        seen.observation.running_since = since;
        seen
    }

    /// Puts the run of a name into the view. The job's key, if that is news.
    pub(super) fn show(&self, run: &JobRun) -> Option<JobKey> {
        let first = self
            .poller
            .get()
            .and_then(|poller| poller.read(|rows| first(rows.named(&run.name)).map(|row| row.run.clone())));
        let run = first.as_ref().unwrap_or(run);
        let seen = self.fold(run);
        let namespace = self.place_of(&seen)?;
        self.is_settled(&seen.observation.name);
        self.cache.put(namespace, seen, Instant::now())
    }

    /// Where placements say that it is.
    fn place_of(&self, seen: &Seen) -> Option<Namespace> {
        let owner = seen.observation.owner.as_ref().filter(|owner| owner.hub == self.hub)?;
        Some(self.settings.namespace.target(&owner.key.namespace).clone())
    }

    /// Nobody asks for a run any more.
    pub(super) fn forget(&self, namespace: &Namespace, name: &RemoteName, uid: &RemoteUid) {
        let id = RunId(uid.as_str().to_owned());
        if let Some(poller) = self.poller.get() {
            poller.forget(&id);
        }
        self.cancels.lock().remove(&id);
        self.cache.remove(namespace, name);
    }

    /// What is known of a driver: what its run's state says, and its pods where they can be looked at.
    pub(super) async fn driver_of(&self, name: &RemoteName) -> Driver {
        let run = self.poller.get().and_then(|poller| {
            poller.read(|rows| first(rows.named(name.as_str())).map(|row| row.run.clone()))
        });
        let Some(run) = run else { return Driver::Unclear("the job run is not in the view".to_owned()) };
        match self.fold(&run).observation.run {
            RunState::Succeeded => Driver::Succeeded,
            RunState::Failed(sign) if sign.proves_end() => {
                Driver::Failed(sign, run.details.unwrap_or_else(|| "no details were given".to_owned()))
            }
            RunState::Failed(_) => match self.pods_of(&run.id).await {
                Ok(pods) => self.driver_below(&run, pods),
                Err(why) => Driver::Unclear(format!("{UNSEEN}; {why}")),
            },
            // What keeps a driver from running is said by its pod alone.
            RunState::Submitted => match self.pods_of(&run.id).await.map(|pods| below::driver(&pods)) {
                Ok(waiting @ Driver::Waiting { .. }) => waiting,
                _ => Driver::Alive,
            },
            _ => Driver::Alive,
        }
    }
}

impl EmrLink {
    /// What pods say of a driver that EMR lost sight of. That it is gone, or has ended, is final only when nothing of the
    /// run was there for some time: EMR makes another one where it retries.
    fn driver_below(&self, run: &JobRun, pods: Vec<SeenPod>) -> Driver {
        let (driver, settle) = (below::driver(&pods), self.settle_of(run));
        let left = self.below.as_ref().map(|below| below.left(&run.id, pods, settle));
        match left {
            Some(Left::NothingYet) => {
                Driver::Unclear(format!("no pod of it is left, but one may still come; {UNSEEN}"))
            }
            _ => driver,
        }
    }

    /// How long nothing of a run must be there to be believed to stay away. A driver that EMR retries comes back after up
    /// to six minutes (Kubernetes' own schedule for pods of a Job):
    /// <https://docs.aws.amazon.com/emr/latest/EMR-on-EKS-DevelopmentGuide/jobruns-using-retry-policies.html>
    pub(super) fn settle_of(&self, run: &JobRun) -> Duration {
        const RETRY: Duration = Duration::from_mins(7);
        let settle = self.settings.tempo.settle;
        if run.tries.is_some() { settle.max(RETRY) } else { settle }
    }

    /// Whether the virtual cluster is still the one that runs were started on: on another one, or by credentials of
    /// another account, none of them is shown, and that proves nothing.
    pub(super) async fn still_the_same(&self) -> Result<(), String> {
        let shown = self.emr()?.describe_virtual_cluster().await.map_err(|failure| failure.to_string())?;
        match self.standing.identity() {
            Some(identity) if identity.as_str() == shown.arn => Ok(()),
            _ => Err(format!("the virtual cluster that is reached is {}, which is another one", shown.arn)),
        }
    }

    /// The pods of a run, as the EKS cluster shows them now.
    pub(super) async fn pods_of(&self, run: &RunId) -> Result<Vec<SeenPod>, String> {
        let below = self.below.as_ref().ok_or(NO_CONNECTION)?;
        let cluster = self.seen.read().as_ref().map(|(cluster, _)| cluster.clone());
        let cluster = cluster.ok_or("the virtual cluster has not been seen yet")?;
        below.pods_of(&self.settings.virtual_cluster, &cluster, run).await
    }
}

const NO_CONNECTION: &str =
    "spec.connection of the member, to the EKS cluster, would let the router look at its pods";

/// Why an attempt that EMR lost sight of is neither dead nor alive.
pub(super) const UNSEEN: &str = "EMR on EKS lost sight of the job run and calls it failed; its driver may still run on \
                                 the EKS cluster, where only its pods can tell";

/// Of runs of one name the one that was made first.
pub(super) fn first(rows: Vec<&Row>) -> Option<&Row> {
    rows.into_iter()
        .min_by(|one, other| (one.run.created_at, &one.run.id).cmp(&(other.run.created_at, &other.run.id)))
}

fn is_ours(run: &JobRun, hub: &HubId) -> bool {
    fold::ownership(&run.tags).is_some_and(|owner| owner.hub == *hub)
}

#[async_trait::async_trait]
impl Listener for EmrLink {
    fn is_ours(&self, run: &JobRun) -> bool {
        is_ours(run, &self.hub)
    }

    async fn changed(&self, runs: Vec<JobRun>) {
        for run in runs {
            if let Some(key) = self.show(&run)
                && self.keys.send(key).await.is_err()
            {
                return;
            }
        }
    }

    async fn gone(&self, runs: Vec<JobRun>) {
        for run in runs {
            self.cancels.lock().remove(&run.id);
            let seen = self.fold(&run);
            let Some(namespace) = self.place_of(&seen) else { continue };
            let twin =
                self.poller.get().is_some_and(|poller| poller.read(|rows| !rows.named(&run.name).is_empty()));
            let key = if twin {
                // Another one of its name is still shown.
                self.show(&run)
            } else {
                self.cache.remove(&namespace, &seen.observation.name)
            };
            // What was over for long is asked for by name if anybody still needs it.
            if let Some(key) = key.filter(|_| !is_over(&run.state)) {
                warn!(cluster.name = %self.settings.name, run.id = run.id.0, "a job run is not known any more");
                if self.keys.send(key).await.is_err() {
                    return;
                }
            }
        }
    }

    fn walked(&self, result: Result<(), &Failure>) {
        self.poll_ended(result);
    }
}
