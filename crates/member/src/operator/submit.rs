//! Creates an application, or finds it created before.
//!
//! A plain create with a server-side deadline. What is not certainly refused is unclear, and the same create is sent
//! again later: its name makes that safe.

use std::time::Duration;

use http::Request;
use kube::Resource;
use spark_router_api::{condition::reason, names};
use spark_router_core::{
    id::RemoteUid,
    place::Inexpressible,
    refusal::{Answer, Refusal, RefusalClass, classify},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    clients::{Departure, was_never_written},
    error::chain,
    member::Created,
    operator::{Operator, dialect::Dialect, is_attempt},
    render::{Order, Rendered},
    standing::Denied,
    window::Place,
};

/// The server gives a create up after this many seconds: later it can take no effect.
const SERVER_SECONDS: u32 = 10;
/// Here it is given up a little later, so that the server's own word is heard where there is one.
const DEADLINE: Duration = Duration::from_secs(12);
/// A create that does not leave our own queues in this time is called back: its effect must end within the settle time
/// that counts from the call.
const QUEUE: Duration = Duration::from_secs(2);

impl<D: Dialect> Operator<D> {
    pub(super) async fn create(&self, rendered: &Rendered) -> Created {
        if !rendered.is_by(&self.renderer) {
            return Created::NotSent("it was rendered for another link".to_owned());
        }
        let order = rendered.order();
        let body = match rendered.body() {
            Ok(body) => body,
            // It was placed for another kind of member than this one is by now.
            Err(Inexpressible { field, why }) => {
                return Created::Refused(Refusal {
                    class: RefusalClass::Job,
                    reason: reason::REJECTED_BY_MEMBER,
                    message: format!("cannot do {field}: {why}"),
                });
            }
        };
        match self.standing.takes_creates(&order.namespace) {
            Ok(()) => {}
            Err(Denied::Now(why)) => return Created::NotSent(why),
            Err(Denied::Refused(refusal)) => return Created::Refused(refusal),
        }
        let Some(mut place) = self.window.try_enter(&order.key) else {
            return Created::NotSent("enough creates are on their way to the member".to_owned());
        };
        let departure = Departure::default();
        let request = match request::<D>(rendered, body, departure.clone()) {
            Ok(request) => request,
            Err(error) => return Created::NotSent(chain(&error)),
        };
        let answer = self.answer(request, &departure, &mut place).await;
        if matches!(answer, Some(Ok(_) | Err(kube::Error::Api(_)))) {
            place.answered();
        }
        drop(place);
        match answer {
            Some(Ok(created)) => {
                self.standing.unblock(&order.namespace);
                match &created.meta().uid {
                    Some(uid) => Created::Accepted(RemoteUid::new(uid)),
                    None => Created::Unclear("the answer to the create has no uid".to_owned()),
                }
            }
            Some(Err(kube::Error::Api(status))) => self.judge(order, &status).await,
            Some(Err(error)) if was_never_written(&error) => Created::NotSent(chain(&error)),
            Some(Err(error)) => Created::Unclear(chain(&error)),
            None => Created::Unclear(format!("no answer within {} s", DEADLINE.as_secs())),
        }
    }

    /// Sends, and watches the time: late answers narrow the window and have the member probed at once.
    async fn answer(
        &self,
        request: Request<Vec<u8>>,
        departure: &Departure,
        place: &mut Place,
    ) -> Option<Result<D::Application, kube::Error>> {
        let client = self.client();
        let start = Instant::now();
        let mut call = std::pin::pin!(client.request::<D::Application>(request));
        for (at, is_last) in [(self.settings.tempo.overdue, false), (QUEUE, false), (DEADLINE, true)] {
            if let Ok(answer) = timeout_at(start + at, &mut call).await {
                return Some(answer);
            }
            if departure.has_left() {
                place.is_overdue();
                self.probe_now.notify_one();
            } else if (at >= QUEUE || is_last) && departure.recall() {
                return Some(Err(kube::Error::Service(crate::clients::Recalled.into())));
            }
        }
        None
    }

    async fn judge(&self, order: &Order, status: &kube::core::Status) -> Created {
        if status.is_already_exists() {
            return self.find(order).await;
        }
        if status.code == 429 {
            return Created::NotSent(format!("the member is busy: {}", status.message));
        }
        let causes: Vec<&str> = status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .map(|cause| cause.reason.as_str())
            .collect();
        let answer =
            Answer { code: status.code, reason: &status.reason, message: &status.message, causes: &causes };
        let Some(refusal) = classify(answer) else {
            return Created::Unclear(format!("{}: {}", status.code, status.message));
        };
        if refusal.class == RefusalClass::Member {
            self.standing.block(&order.namespace, refusal.clone());
            if status.code == 401 {
                self.standing.credentials_refused();
                self.probe_now.notify_one();
            } else {
                self.check_now.notify_one();
            }
        }
        Created::Refused(refusal)
    }

    /// Something of that name is there: ours from an earlier send, or somebody else's.
    async fn find(&self, order: &Order) -> Created {
        let application = match self.read(&order.namespace, &order.name).await {
            Ok(Some(application)) => application,
            Ok(None) => return Created::Unclear("it existed a moment ago and is gone".to_owned()),
            Err(error) => return Created::Unclear(chain(&error)),
        };
        let Some(seen) = D::observation(&application) else {
            return Created::Unclear("the application came without name or uid".to_owned());
        };
        if is_attempt(&seen, &self.hub, &order.job, order.attempt) {
            self.standing.unblock(&order.namespace);
            return Created::Accepted(seen.uid);
        }
        let whose = match &seen.owner {
            Some(owner) if owner.hub == self.hub => {
                format!("attempt {} of job {} ({})", owner.attempt, owner.key, owner.job)
            }
            Some(owner) => format!("job {} of another hub ({})", owner.key, owner.hub),
            None => "an application that no router made".to_owned(),
        };
        Created::NameTaken(format!("{}/{} on {} is {whose}", order.namespace, order.name, self.settings.name))
    }
}

fn request<D: Dialect>(
    rendered: &Rendered,
    body: &[u8],
    departure: Departure,
) -> Result<Request<Vec<u8>>, kube::Error> {
    let path = format!(
        "/apis/{}/namespaces/{}/{}?timeout={SERVER_SECONDS}s&fieldManager={}",
        D::Application::api_version(&()),
        rendered.order().namespace,
        D::Application::plural(&()),
        names::FIELD_MANAGER,
    );
    Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .extension(departure)
        .body(body.to_vec())
        .map_err(kube::Error::HttpError)
}
