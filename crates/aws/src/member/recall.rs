//! Asks for the run of a start that was never answered, by its token.
//!
//! Owns no state. That a list does not show a run proves little: how late lists may be is not published. The very same
//! start, sent once more, gives back its run where one was made, and makes one where none was: either way the run is known
//! by its id from then on, and can be ended before the job goes elsewhere. Must never be sent
//! for an attempt of which every start was answered, nor differ from what is on record.

use jiff::Timestamp;
use spark_router_core::id::RemoteName;
use spark_router_member::{Fence, StopOrder};
use tracing::info;

use super::{
    EmrLink, later,
    submit::{Asked, meaning},
    unanswered::UNSETTLED,
};
use crate::{
    answer::Verdict,
    bucket::Api,
    client::{Class, Emr, Failure, RunId, Start},
};

impl EmrLink {
    /// Of an attempt whose start may have been sent, and which no list shows although that can take no effect any more.
    pub(super) async fn recall(&self, emr: &Emr, order: &StopOrder) -> Fence {
        let request = order.rendered.as_ref().filter(|rendered| rendered.is_by(&self.renderer));
        let asked = request.and_then(|request| {
            let body = request.body().ok()?;
            serde_json::from_slice::<Asked>(body).ok().map(|asked| (body, asked))
        });
        let Some((body, asked)) = asked else {
            return self.believe_lists(order, "the request that was sent cannot be made again as it was");
        };
        if let Some(until) = self.asked_again_at(&order.name) {
            return Fence::Pending {
                until,
                waits_for: "AWS to take the start that it refuses now".to_owned(),
            };
        }
        if emr.pace().turn(Api::Start, self.settings.tempo.turn).await.is_err() {
            return self.recall_later("a turn to ask for its job run by the token of its start");
        }
        // Before the call: if this pass is cut off, the start counts as sent and unanswered.
        let before = self.is_unanswered(&order.name);
        let start = Start { name: &asked.name, token: &asked.client_token, body };
        match emr.start(start).await {
            Ok(id) => {
                self.remember(&asked.started_as(&id));
                self.end_recalled(emr, order, &id).await
            }
            Err(failure) => self.not_recalled(order, before, &failure),
        }
    }

    async fn end_recalled(&self, emr: &Emr, order: &StopOrder, id: &RunId) -> Fence {
        info!(
            cluster.name = %self.settings.name, run.id = id.0, application.name = %order.name,
            "the run of a start that was never answered is known now, and is ended"
        );
        match emr.describe(id).await {
            Ok(run) => {
                self.remember(&run);
                self.end(emr, order, &run).await
            }
            Err(failure) => Fence::Impossible(format!("job run {} cannot be looked at: {failure}", id.0)),
        }
    }

    /// `before`: when an earlier start was not answered, as far as this link sent it.
    fn not_recalled(&self, order: &StopOrder, before: Option<Timestamp>, failure: &Failure) -> Fence {
        match (failure.class, meaning(failure, false)) {
            (Class::NotSent, _) | (_, Verdict::BackOff) => {
                self.is_answered(&order.name, before);
                self.recall_later("AWS to take a call that asks for its job run by the token of its start")
            }
            (_, Verdict::Refused(refusal)) => {
                self.is_answered(&order.name, before);
                self.is_refused(&order.name);
                self.believe_lists(order, &format!("AWS refuses it now ({})", refusal.reason))
            }
            (_, Verdict::Ambiguous) => {
                Fence::Unanswered { until: self.look_again(), waits_for: UNSETTLED.to_owned() }
            }
        }
    }

    /// A list that shows no run is all there is: in the end it is believed.
    fn believe_lists(&self, order: &StopOrder, why: &str) -> Fence {
        let Some(until) = self.unheard_until(&order.name, order.settled_at) else { return Fence::Proven };
        Fence::Pending {
            until: until.min(later(Timestamp::now(), self.settings.tempo.settle)),
            waits_for: format!(
                "lists of AWS to be believed that show no job run of a start that was not answered; {why}"
            ),
        }
    }

    /// When a start that was refused is worth another call: no sooner, whoever calls the job meanwhile.
    fn asked_again_at(&self, name: &RemoteName) -> Option<Timestamp> {
        let at = self.not_recalled.lock().get(name).copied()?;
        Some(later(at, self.settings.tempo.settle)).filter(|until| *until > Timestamp::now())
    }

    fn is_refused(&self, name: &RemoteName) {
        let now = Timestamp::now();
        let mut refused = self.not_recalled.lock();
        refused.retain(|_, at| later(*at, self.settings.tempo.settle) > now);
        refused.insert(name.clone(), now);
    }

    fn recall_later(&self, waits_for: &str) -> Fence {
        Fence::Pending { until: self.look_again(), waits_for: waits_for.to_owned() }
    }
}
