//! Clients: how a cluster's API server is reached.
//!
//! Owns the limits of a member's connection. A member's clients never retry by themselves, give up on a connection or an
//! answer in bounded time, and have a rate and a number of calls of their own: a dead or slow member holds nobody else.
//! Probes and signals have clients apart, so that they never wait behind work.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, header};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, DynBody},
};
use tower::{
    BoxError, Layer, Service,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    timeout::TimeoutLayer,
    util::BoxService,
};

use crate::{calls::Calls, error::Error};

/// A connection that is not there after this long will not be soon.
const CONNECT: Duration = Duration::from_secs(3);
/// The head of an answer takes at most this long; the body of a watch flows on. Above the server-side limit of creates.
const ANSWER: Duration = Duration::from_secs(15);

/// How hard a member's API server may be worked; probes and open watches apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second.
    pub requests_per_second: u32,
    /// Calls in flight.
    pub concurrent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_second: 50, concurrent: 16 }
    }
}

/// A client for the hub, whose calls are counted. It has no rate of its own: the hub is what the router works for.
///
/// # Errors
/// When certificates or keys cannot be read.
pub fn hub_client(config: Config, calls: &Calls) -> Result<Client, Error> {
    let builder = builder(config, crate::calls::HUB)?.with_layer(&calls.layer(crate::calls::HUB));
    Ok(builder.with_layer(&TimeoutLayer::new(ANSWER * 2)).build())
}

/// The client for work on a member.
pub(crate) fn work_client(
    config: Config,
    cluster: &str,
    limits: Limits,
    calls: &Calls,
) -> Result<Client, Error> {
    let concurrent = usize::try_from(limits.concurrent.max(1)).unwrap_or(usize::MAX);
    let rate = u64::from(limits.requests_per_second.max(1));
    Ok(builder(config, cluster)?
        .with_layer(&GateLayer)
        .with_layer(&calls.layer(cluster))
        .with_layer(&TimeoutLayer::new(ANSWER))
        .with_layer(&RateLimitLayer::new(rate, Duration::from_secs(1)))
        .with_layer(&ConcurrencyLimitLayer::new(concurrent))
        .build())
}

/// The client for probes of a member: one connection, no queue.
pub(crate) fn probe_client(config: Config, cluster: &str, calls: &Calls) -> Result<Client, Error> {
    Ok(builder(config, cluster)?.with_layer(&calls.layer(cluster)).build())
}

/// The client that a member's signals are read with: never behind creates, because they are read for the sake of the next
/// ones; how often is settled by who reads.
pub(crate) fn signal_client(config: Config, cluster: &str, calls: &Calls) -> Result<Client, Error> {
    let builder = builder(config, cluster)?.with_layer(&calls.layer(cluster));
    Ok(builder.with_layer(&TimeoutLayer::new(ANSWER)).build())
}

/// What [`ClientBuilder`] makes of a configuration.
type Stack = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

fn builder(mut config: Config, cluster: &str) -> Result<ClientBuilder<Stack>, Error> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    let agent = concat!("spark-router/", env!("CARGO_PKG_VERSION"));
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(agent)));
    ClientBuilder::try_from(config)
        .map_err(|source| Error::Client { cluster: cluster.to_owned(), source: Box::new(source) })
}

/// Follows one request out of the client's queues: it can be called back as long as it has not left them, and nobody has
/// to guess afterwards which of the two happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departure(Arc<AtomicU8>);

const QUEUED: u8 = 0;
const LEFT: u8 = 1;
const RECALLED: u8 = 2;

impl Departure {
    /// Keeps the request from leaving. False: it has left already.
    pub(crate) fn recall(&self) -> bool {
        self.0.compare_exchange(QUEUED, RECALLED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether it has left the queues.
    pub(crate) fn has_left(&self) -> bool {
        self.0.load(Ordering::Acquire) == LEFT
    }

    fn leave(&self) -> bool {
        self.0.compare_exchange(QUEUED, LEFT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The request was called back before it left.
#[derive(Debug, thiserror::Error)]
#[error("called back before it was sent")]
pub(crate) struct Recalled;

#[derive(Clone, Copy, Debug)]
struct GateLayer;

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner }
    }
}

/// Lets requests out, unless they were called back.
#[derive(Debug)]
struct Gate<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Error = BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(departure) = request.extensions().get::<Departure>()
            && !departure.leave()
        {
            return Box::pin(async { Err(Recalled.into()) });
        }
        Box::pin(self.inner.call(request))
    }
}

/// Whether an error proves that nothing of the request was written: no connection, or called back.
pub(crate) fn was_never_written(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
        {
            return true;
        }
        if error.is::<Recalled>() {
            return true;
        }
        cause = error.source();
    }
    false
}
