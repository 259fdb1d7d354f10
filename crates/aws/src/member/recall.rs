//! Asks for the run of a start that was never answered, by its token.
//!
//! Owns no state. That a list does not show a run proves little: how late lists may be is not published. The very same
//! start, sent once more, gives back its run where one was made, and makes one where none was: either way the run is known
//! by its id from then on, and can be ended before the job goes elsewhere. Must never be the first start of an attempt,
//! nor one that differs by a byte from what may have been sent.

use spark_router_member::{Fence, StopOrder};
use tracing::info;

use super::EmrLink;
use crate::{
    answer::Verdict,
    bucket::Api,
    client::{Class, Emr, Failure, RunId, Start},
};

impl EmrLink {
    /// Of an attempt whose start may have been sent, and which no list shows although that can take no effect any more.
    pub(super) async fn recall(&self, emr: &Emr, order: &StopOrder) -> Fence {
        // Without the request there is nothing better than the list.
        let Some(request) = order.rendered.as_ref().filter(|rendered| rendered.is_by(&self.renderer)) else {
            return Fence::Proven;
        };
        let Ok(body) = request.body() else { return Fence::Proven };
        let Ok(asked) = serde_json::from_slice::<super::submit::Asked>(body) else { return Fence::Proven };
        if emr.pace().turn(Api::Start, self.settings.tempo.turn).await.is_err() {
            return self.recall_later("a turn to ask for its job run by the token of its start");
        }
        // Before the call: if this pass is cut off, the start counts as sent and unanswered.
        self.is_unsettled(&order.name);
        let start = Start { name: &asked.name, token: &asked.client_token, body };
        match emr.start(start).await {
            Ok(id) => self.end_recalled(emr, order, &id).await,
            Err(failure) => self.not_recalled(order, &failure),
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
            // It is found again as it was now: by its token.
            Err(failure) => Fence::Impossible(format!("job run {} cannot be looked at: {failure}", id.0)),
        }
    }

    fn not_recalled(&self, order: &StopOrder, failure: &Failure) -> Fence {
        match (failure.class, self.meaning(failure, false)) {
            (Class::NotSent, _) | (_, Verdict::BackOff) => {
                self.is_settled(&order.name);
                self.recall_later("AWS to take a call that asks for its job run by the token of its start")
            }
            // This start made nothing, and AWS says so of the first one too, as far as it says anything.
            (_, Verdict::Refused(_)) => {
                self.is_settled(&order.name);
                Fence::Proven
            }
            (_, Verdict::Ambiguous) => self.recall_later("an answer of AWS to the start of its job run"),
        }
    }

    fn recall_later(&self, waits_for: &str) -> Fence {
        Fence::Pending { until: self.look_again(), waits_for: waits_for.to_owned() }
    }
}
