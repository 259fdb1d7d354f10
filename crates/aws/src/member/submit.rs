//! Starts a run, or finds it started before.
//!
//! A start is looked for before it is sent, because not every server honours its token, and none honours it for ever. What
//! was not certainly refused is looked for again at once; if it is not there, nothing is sent until it can no longer take
//! effect, and then the very same request with the very same token.

use std::{sync::atomic::Ordering, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use spark_router_api::condition::reason::FORBIDDEN;
use spark_router_core::{
    id::RemoteUid,
    refusal::{Refusal, RefusalClass},
};
use spark_router_member::{Created, Denied, Order, Rendered};
use std::collections::BTreeMap;

use super::{EmrLink, fold, later, unanswered::UNSETTLED};
use crate::{
    answer::{self, Verdict, verdict},
    bucket::Api,
    client::{Class, Failure, JobRun, RunId, Start},
};

/// What is read of a rendered request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) client_token: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    execution_role_arn: Option<String>,
    job_template_id: Option<String>,
}

impl Asked {
    /// Its run, as far as the answer to a start shows it.
    pub(super) fn started_as(&self, id: &RunId) -> JobRun {
        JobRun {
            id: id.clone(),
            name: self.name.clone(),
            token: self.client_token.clone(),
            state: "PENDING".to_owned(),
            details: None,
            failure: None,
            created_at: Some(Timestamp::now()),
            finished_at: None,
            tries: None,
            tags: self.tags.clone(),
        }
    }

    /// Whose rights its pods would have: those of a role, or of the one that a job template gives.
    fn role(&self) -> &str {
        self.execution_role_arn.as_deref().or(self.job_template_id.as_deref()).unwrap_or_default()
    }
}

impl EmrLink {
    pub(super) async fn start(&self, rendered: &Rendered, settled_at: Timestamp) -> Created {
        match self.try_to_start(rendered, settled_at).await {
            Created::Refused(refusal) => self.refused(rendered.order(), settled_at, refusal),
            created => created,
        }
    }

    /// A refusal speaks of the start that it answers. As long as an earlier one may have made a run that lists do not show
    /// yet, it is asked for again: its token gives the run back.
    fn refused(&self, order: &Order, settled_at: Timestamp, refusal: Refusal) -> Created {
        match self.unheard_until(&order.name, settled_at) {
            Some(until) => Created::Settling {
                until: until.min(later(Timestamp::now(), self.settings.tempo.settle)),
                waits_for: format!(
                    "an earlier start of it that was never answered; this one is refused ({refusal})"
                ),
            },
            None => Created::Refused(refusal),
        }
    }

    async fn try_to_start(&self, rendered: &Rendered, settled_at: Timestamp) -> Created {
        if !rendered.is_by(&self.renderer) {
            return Created::NotSent("it was rendered for another link".to_owned());
        }
        let order = rendered.order();
        match self.standing.takes_creates(&order.namespace) {
            Ok(()) => {}
            Err(Denied::Now(why)) => return Created::NotSent(why),
            Err(Denied::Refused(refusal)) => return Created::Refused(refusal),
        }
        let body = match rendered.body() {
            Ok(body) => body,
            Err(why) => return rejected(format!("{}: {}", why.field, why.why)),
        };
        let asked: Asked = match serde_json::from_slice(body) {
            Ok(asked) => asked,
            Err(error) => return rejected(format!("the rendered request cannot be read: {error}")),
        };
        let Ok(_place) = self.window.try_acquire() else {
            self.wait(order);
            return Created::Busy("enough starts are on their way to the virtual cluster".to_owned());
        };
        // Its turn first: those who wait for one must not list again and again.
        if let Err(why) = self.turn(order).await {
            return Created::Busy(why);
        }
        let unsettled = self.unsettled_until(&order.name);
        if let Some(found) = self.find(order, &asked).await {
            self.give_back();
            return found;
        }
        // What another router sent in its last moments is not listed yet, lists may be late, and not every server knows the
        // token again.
        let others = (settled_at > Timestamp::MIN).then(|| later(settled_at, self.settings.tempo.settle));
        let until = unsettled.into_iter().chain(others).max().filter(|until| *until > Timestamp::now());
        if let Some(until) = until {
            self.give_back();
            let waits_for = UNSETTLED.to_owned();
            return Created::Settling { until, waits_for };
        }
        let start = Start { name: &asked.name, token: &asked.client_token, body };
        let sent = Timestamp::now();
        let answer = match self.emr() {
            Ok(emr) => emr.start(start).await,
            Err(why) => return Created::NotSent(why),
        };
        match answer {
            Ok(id) => self.started(order, &asked, id),
            Err(failure) => self.judge(order, &asked, failure, sent).await,
        }
    }

    fn started(&self, order: &Order, asked: &Asked, id: RunId) -> Created {
        self.roles.lock().taken(asked.role(), Timestamp::now());
        self.standing.unblock(&order.namespace);
        self.remember(&asked.started_as(&id));
        Created::Accepted(RemoteUid::new(id.0))
    }

    async fn judge(&self, order: &Order, asked: &Asked, failure: Failure, sent: Timestamp) -> Created {
        if failure.class == Class::NotSent {
            return Created::NotSent(failure.to_string());
        }
        let was_full = self.is_queue_full();
        if failure.class == Class::Invalid {
            self.look_at_queue().await;
        }
        match meaning(&failure, was_full || self.is_queue_full()) {
            Verdict::Refused(refusal) => {
                let is_right = failure.status.is_some() && refusal.reason == FORBIDDEN;
                if is_right && self.roles.lock().refused(asked.role(), sent, self.settings.tempo.settle) {
                    return Created::Refused(Refusal {
                        class: RefusalClass::Job,
                        reason: "RoleRefused",
                        message: format!(
                            "AWS takes other execution roles here, and not {}: {}",
                            asked.role(),
                            refusal.message
                        ),
                    });
                }
                if refusal.class == RefusalClass::Member {
                    self.standing.block(&order.namespace, refusal.clone());
                    self.probe_now.notify_one();
                }
                Created::Refused(refusal)
            }
            Verdict::BackOff => Created::NotSent(format!("AWS asks for fewer calls: {failure}")),
            Verdict::Ambiguous => {
                self.probe_now.notify_one();
                self.is_unanswered(&order.name);
                // What was committed and not answered is there by now, as a rule.
                match self.find(order, asked).await {
                    Some(found @ (Created::Accepted(_) | Created::NameTaken(_))) => found,
                    _ => Created::Unclear(failure.to_string()),
                }
            }
        }
    }

    /// The run of an earlier start of the same request, or somebody else's of that name. `None`: there is none.
    async fn find(&self, order: &Order, asked: &Asked) -> Option<Created> {
        let runs = match self.listed(&order.name).await {
            Ok(runs) => runs,
            Err(failure) => {
                return Some(Created::NotSent(format!(
                    "whether it was started before is not known: {failure}"
                )));
            }
        };
        if let Some(run) = runs.iter().find(|run| run.token == asked.client_token) {
            self.is_settled(&order.name);
            self.standing.unblock(&order.namespace);
            return Some(Created::Accepted(RemoteUid::new(&run.id.0)));
        }
        let other = runs.first()?;
        let whose = match fold::ownership(&other.tags) {
            Some(owner) if owner.hub == self.hub => {
                format!("attempt {} of job {} ({})", owner.attempt, owner.key, owner.job)
            }
            Some(owner) => format!("job {} of another hub ({})", owner.key, owner.hub),
            None => "a job run that no router started".to_owned(),
        };
        Some(Created::NameTaken(format!("{} on {} is {whose}", order.name, self.settings.name)))
    }

    /// Waits for a turn, for a short time; after that the job is called when there is one.
    async fn turn(&self, order: &Order) -> Result<(), String> {
        let given =
            self.turns.fetch_update(Ordering::AcqRel, Ordering::Acquire, |turns| turns.checked_sub(1));
        if given.is_ok() {
            return Ok(());
        }
        let pace = self.emr()?.pace();
        let until = later(Timestamp::now(), self.settings.tempo.turn);
        while let Err(at) = pace.take(Api::Start) {
            if at > until {
                self.wait(order);
                return Err("enough job runs were started in this account and region".to_owned());
            }
            let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
        Ok(())
    }

    /// A turn that was not used is for the next one.
    fn give_back(&self) {
        self.turns.fetch_add(1, Ordering::AcqRel);
    }

    fn wait(&self, order: &Order) {
        let mut waiting = self.waiting.lock();
        if !waiting.contains(&order.key) {
            waiting.push_back(order.key.clone());
        }
        drop(waiting);
        self.someone_waits.notify_one();
    }
}

/// What a start that made no run means.
pub(super) fn meaning(failure: &Failure, queue_full: bool) -> Verdict {
    let said = match (failure.class, failure.status) {
        // Without credentials nothing leaves.
        (Class::Access, None) => answer::Failure::NoCredentials(&failure.message),
        (_, Some(status)) => {
            answer::Failure::Answered { status, code: failure.code.as_deref(), message: &failure.message }
        }
        (_, None) => answer::Failure::Lost,
    };
    verdict(said, queue_full)
}

/// Nothing that could be sent: another member may be able to run it.
fn rejected(message: String) -> Created {
    Created::Refused(Refusal { class: RefusalClass::Job, reason: "RejectedByMember", message })
}
