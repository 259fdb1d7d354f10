//! Drives an attempt towards the proof that it runs nowhere and never will.
//!
//! The proof on EMR: a run that is COMPLETED or CANCELLED, or FAILED for a reason that leaves no driver; or no run at all
//! once no start of it can take effect any more, by a list and by its token. Silence, a run that is not known, and a run that EMR lost sight of prove
//! nothing. A run is cancelled only after its own tags, or its token, have said whose it is, and no more often than once a minute.

use std::time::Instant;

use jiff::Timestamp;
use spark_router_core::observe::RunState;
use spark_router_member::{Fence, StopOrder};

use super::{EmrLink, below::Left, calls::UNSEEN, later, unanswered::UNSETTLED};
use crate::client::{Class, Emr, Failure, JobRun, RunId};

impl EmrLink {
    pub(super) async fn drive_to_fence(&self, order: &StopOrder) -> Fence {
        if let Err(why) = self.standing.may_be_asked() {
            return Fence::Impossible(why);
        }
        let emr = match self.emr() {
            Ok(emr) => emr,
            Err(why) => return Fence::Impossible(why),
        };
        match self.attempt(emr, order).await {
            Ok(Some(run)) => self.end(emr, order, &run).await,
            Ok(None) => self.prove_absent(emr, order).await,
            Err(failure) => Fence::Impossible(failure.to_string()),
        }
    }

    /// The run of the attempt, as it is now.
    async fn attempt(&self, emr: &Emr, order: &StopOrder) -> Result<Option<JobRun>, Failure> {
        let uid = order.uid.as_ref().map(|uid| RunId(uid.as_str().to_owned()));
        // A list may be late; a run itself is not.
        if let Some(id) = uid.or_else(|| self.known(&order.name)) {
            match emr.describe(&id).await {
                Ok(run) => {
                    self.remember(&run);
                    if !crate::poll::rows::is_over(&run.state) {
                        return Ok(Some(run).filter(|run| self.is_attempt(run, order)));
                    }
                    let twin = self.living_twin(&run, order).await?;
                    return Ok(Some(twin.unwrap_or(run)).filter(|run| self.is_attempt(run, order)));
                }
                Err(failure) if failure.class == Class::NoRun => {}
                Err(failure) => return Err(failure),
            }
        }
        let runs = self.listed(&order.name).await?;
        // One that lives counts before one that is over: a server may have made two of one start.
        let mut ours: Vec<JobRun> = runs.into_iter().filter(|run| self.is_attempt(run, order)).collect();
        ours.sort_by_key(|run| crate::poll::rows::is_over(&run.state));
        Ok(ours.into_iter().next())
    }

    /// Another run of the same attempt that lives: a server that forgot a token may have made two of one start.
    async fn living_twin(&self, run: &JobRun, order: &StopOrder) -> Result<Option<JobRun>, Failure> {
        let runs = self.listed(&order.name).await?.into_iter();
        let mut twins = runs.filter(|other| other.id != run.id && !crate::poll::rows::is_over(&other.state));
        Ok(twins.find(|other| self.is_attempt(other, order)))
    }

    fn is_attempt(&self, run: &JobRun, order: &StopOrder) -> bool {
        let owner = super::fold::ownership(&run.tags);
        owner.is_some_and(|owner| {
            owner.hub == self.hub && owner.job == order.job && owner.attempt == order.attempt
        })
    }

    pub(super) fn remember(&self, run: &JobRun) {
        if let Some(poller) = self.poller.get() {
            poller.told(run.clone());
        }
        self.show(run);
    }

    pub(super) async fn end(&self, emr: &Emr, order: &StopOrder, run: &JobRun) -> Fence {
        let seen = self.fold(run).observation;
        match &seen.run {
            RunState::Failed(sign) if !sign.proves_end() => return self.end_below(order, run).await,
            RunState::Succeeded | RunState::Failed(_) if order.spare_ended && seen.ended_by_itself() => {
                return Fence::Ended(Box::new(seen));
            }
            RunState::Succeeded | RunState::Failed(_) => {
                self.cancels.lock().remove(&run.id);
                return Fence::Proven;
            }
            _ => {}
        }
        let waits_for = format!("EMR on EKS to end job run {}", run.id.0);
        let pending = Fence::Pending { until: self.look_again(), waits_for };
        if !self.may_cancel(run) {
            return pending;
        }
        match emr.cancel(&run.id).await {
            Ok(()) => {
                self.cancels.lock().insert(run.id.clone(), Instant::now());
                pending
            }
            // It ended a moment ago, or is being cancelled already: the next look says which
            // (aws-controllers-k8s/community#2594 took it for an error, and objects piled up).
            Err(failure) if matches!(failure.class, Class::NotCancellable | Class::NoRun) => pending,
            Err(failure) if matches!(failure.class, Class::Throttled | Class::NotSent) => pending,
            Err(failure) => Fence::Impossible(format!("cancelling it failed: {failure}")),
        }
    }

    /// What EMR lost sight of cannot be cancelled: its pods are ended, and looked for until none is left.
    async fn end_below(&self, order: &StopOrder, run: &JobRun) -> Fence {
        let unseen = |why: &str| Fence::Impossible(format!("{UNSEEN}; {why}"));
        let (seen, below) = match (self.pods_of(&run.id).await, &self.below) {
            (Ok(seen), Some(below)) => (seen, below),
            (Err(why), _) => return unseen(&why),
            (Ok(_), None) => return unseen("its pods cannot be looked at"),
        };
        let waits = |waits_for: String| Fence::Pending { until: self.look_again(), waits_for };
        match below.left(&run.id, seen, self.settle_of(run)) {
            Left::Nothing => Fence::Proven,
            Left::NothingYet => waits(format!("no pod of job run {} to be there for some time", run.id.0)),
            Left::Alive(alive) => {
                let cluster = self.seen.read().as_ref().map(|(cluster, _)| cluster.clone());
                let Some(cluster) = cluster else {
                    return unseen("the virtual cluster has not been seen yet");
                };
                let names: Vec<_> = alive.iter().take(3).map(|pod| pod.name.as_str()).collect();
                let names = names.join(", ");
                match below.end(&cluster, &self.hub, order, &alive).await {
                    Ok(0) => waits(format!("pods of job run {} to end: {names}", run.id.0)),
                    Ok(_) => waits(format!(
                        "pods of job run {} to end that do not carry the router's labels, so it leaves them alone: {names}",
                        run.id.0
                    )),
                    Err(why) => unseen(&why),
                }
            }
        }
    }

    /// Whether another cancel is worth a call: not right after one, by whomever.
    fn may_cancel(&self, run: &JobRun) -> bool {
        let again = self.settings.tempo.cancel_again;
        let is_young = self.cancels.lock().get(&run.id).is_some_and(|at| at.elapsed() < again);
        if is_young {
            return false;
        }
        if run.state != "CANCEL_PENDING" {
            return true;
        }
        let since = self
            .poller
            .get()
            .and_then(|poller| poller.read(|rows| rows.get(&run.id).and_then(|row| row.cancelling_since)));
        since.is_some_and(|since| later(since, again) <= Timestamp::now())
    }

    /// No run is shown under its name.
    async fn prove_absent(&self, emr: &Emr, order: &StopOrder) -> Fence {
        let unsettled = self.unsettled_until(&order.name);
        // A list may lag behind a start that took effect at the last moment.
        let settled_at = later(order.settled_at, self.settings.tempo.settle);
        let until = unsettled.map_or(settled_at, |until| until.max(settled_at));
        if order.settled_at > Timestamp::MIN && Timestamp::now() < until {
            let waits_for = UNSETTLED.to_owned();
            return Fence::Pending { until: until.min(self.look_again()), waits_for };
        }
        match &order.uid {
            // It was there once, and nobody has seen its end.
            Some(uid) => Fence::Impossible(format!(
                "job run {uid} is not known to EMR on EKS any more, and its end was not seen; look for its pods"
            )),
            None => match self.still_the_same().await {
                Err(why) => Fence::Impossible(why),
                // Every start of it was answered.
                Ok(()) if order.settled_at == Timestamp::MIN => Fence::Proven,
                Ok(()) => self.recall(emr, order).await,
            },
        }
    }

    pub(super) fn look_again(&self) -> Timestamp {
        later(Timestamp::now(), self.settings.tempo.stop_look)
    }
}
