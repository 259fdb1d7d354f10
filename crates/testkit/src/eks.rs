//! The authenticator of a cluster on EKS.
//!
//! Purpose: a webhook for an API server ([`crate::Cluster::ask_about_tokens`]) that reads tokens by the rules of
//! aws-iam-authenticator, asks moto who signed them, and knows users by entries. Owns the entries and a journal of what it
//! was asked. It must never share code with what makes tokens.

mod read;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::moto::Moto;
use crate::{Error, plain};

pub use read::Question;

/// As long as real ones take a token, whatever it says itself.
const VALID: Duration = Duration::from_mins(15);
/// More than any review.
const LARGEST: usize = 1 << 20;

/// A running authenticator. Dropping it ends it: then nobody is known any more.
#[derive(Debug)]
pub struct Authenticator {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    cluster: String,
    moto: SocketAddr,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Who may come in, by canonical ARN: the user and its groups.
    entries: BTreeMap<String, (String, Vec<String>)>,
    valid: Duration,
    not_before: Timestamp,
    reviews: Vec<Review>,
}

/// One token that it was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The token.
    pub token: String,
    /// The ARN that STS gave, or why the token was refused.
    pub found: Result<String, String>,
}

impl Authenticator {
    /// Starts one for a cluster of that name, on a port that is free.
    pub async fn start(cluster: &str, moto: &Moto) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(Error::process("start", "the authenticator"))?;
        let address = listener.local_addr().map_err(Error::process("start", "the authenticator"))?;
        let inner =
            Inner { entries: BTreeMap::new(), valid: VALID, not_before: Timestamp::MIN, reviews: Vec::new() };
        let (cluster, moto) = (cluster.to_owned(), moto.address());
        let shared = Arc::new(Shared { cluster, moto, inner: Mutex::new(inner) });
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, shared.clone())));
        Ok(Self { address, shared, _serving: serving })
    }

    /// For [`crate::Cluster::ask_about_tokens`].
    pub fn url(&self) -> String {
        format!("http://{}/authenticate", self.address)
    }

    /// Whoever has this ARN (of a user, or of a role whatever the session) is that user with those groups.
    pub fn grant(&self, arn: &str, user: &str, groups: &[&str]) {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        self.shared.inner.lock().entries.insert(arn.to_owned(), (user.to_owned(), groups));
    }

    /// Tokens count for this long from their date.
    pub fn take_for(&self, valid: Duration) {
        self.shared.inner.lock().valid = valid;
    }

    /// Tokens of before that count no more, as if they had expired.
    pub fn refuse_before(&self, moment: Timestamp) {
        self.shared.inner.lock().not_before = moment;
    }

    /// The ARN of who signed a token, as STS says; asked directly, and not in the journal.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn identify(&self, token: &str) -> Result<String, String> {
        self.shared.identify(token).await
    }

    /// What it was asked so far.
    pub fn reviews(&self) -> Vec<Review> {
        self.shared.inner.lock().reviews.clone()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&shared, request));
            // A connection that breaks is its client's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = Limited::new(request.into_body(), LARGEST).collect().await;
    let review: Value =
        body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok()).unwrap_or_default();
    let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
    let found = shared.identify(&token).await;
    let status = match &found {
        Ok(arn) => shared.status(arn),
        Err(why) => json!({"authenticated": false, "error": why}),
    };
    shared.inner.lock().reviews.push(Review { token, found });
    let answer = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
    let mut response = Response::new(Full::new(answer.to_string().into()));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Shared {
    /// The ARN of who signed a token.
    async fn identify(&self, token: &str) -> Result<String, String> {
        let question = Question::read(token)?;
        let (valid, not_before) = {
            let inner = self.inner.lock();
            (inner.valid, inner.not_before)
        };
        let age = Timestamp::now().duration_since(question.date);
        if age > jiff::SignedDuration::try_from(valid).unwrap_or(jiff::SignedDuration::MAX) {
            return Err(format!("the token is expired: {} s old", age.as_secs()));
        }
        if question.date < not_before {
            return Err("the token is refused: it is of before".to_owned());
        }
        // The question goes where it says, which here is moto; the cluster's own name goes with it, so that one which was
        // signed for another cluster has a wrong signature.
        let headers = [("Host", question.host.as_str()), ("x-k8s-aws-id", self.cluster.as_str())];
        let answer = plain::get_with(self.moto, &question.path, &headers).await?;
        let arn = answer.split_once("<Arn>").and_then(|(_, rest)| rest.split_once("</Arn>"));
        arn.map(|(arn, _)| arn.to_owned()).ok_or_else(|| format!("STS gave no ARN: {answer}"))
    }

    fn status(&self, arn: &str) -> Value {
        match self.inner.lock().entries.get(&read::canonical(arn)) {
            Some((user, groups)) => {
                json!({"authenticated": true, "user": {"username": user, "uid": arn, "groups": groups}})
            }
            None => json!({"authenticated": false, "error": format!("no entry for {arn}")}),
        }
    }
}
