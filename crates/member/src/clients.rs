//! Clients: how a cluster's API server is reached.
//!
//! Owns the limits of a member's connection. A member's clients never retry by themselves, give up on a connection or an
//! answer in bounded time, and have a rate and a number of calls of their own: a dead or slow member holds nobody else.
//! Probes and signals have clients apart, so that they never wait behind work. Whether anything may be changed on a member
//! at all is asked as the request leaves, behind all queues, and so is the token of a connection that has a bearer: what a
//! request waits in cannot make its token old.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
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

use crate::{
    calls::Calls,
    connection::{Bearer, Connection, NoToken},
    error::Error,
};

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

/// Whether this process may change anything on members at this moment. Clones ask the same.
#[derive(Clone)]
pub struct MaySend(Arc<dyn Fn() -> bool + Send + Sync>);

impl MaySend {
    /// As `says`; asked for every such request, so it must not wait.
    pub fn when(says: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(says))
    }

    /// Always: for a process that is alone.
    pub fn always() -> Self {
        Self::when(|| true)
    }

    /// Whether it may now.
    pub fn now(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for MaySend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MaySend").field(&self.now()).finish()
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
    connection: &Connection,
    cluster: &str,
    limits: Limits,
    calls: &Calls,
    may_send: &MaySend,
) -> Result<Client, Error> {
    let concurrent = usize::try_from(limits.concurrent.max(1)).unwrap_or(usize::MAX);
    let rate = u64::from(limits.requests_per_second.max(1));
    Ok(builder(connection.config.clone(), cluster)?
        .with_layer(&GateLayer(may_send.clone()))
        .with_layer(&BearerLayer(connection.bearer.clone()))
        .with_layer(&calls.layer(cluster))
        .with_layer(&TimeoutLayer::new(ANSWER))
        .with_layer(&RateLimitLayer::new(rate, Duration::from_secs(1)))
        .with_layer(&ConcurrencyLimitLayer::new(concurrent))
        .build())
}

/// The client for probes of a member: one connection, no queue.
pub(crate) fn probe_client(connection: &Connection, cluster: &str, calls: &Calls) -> Result<Client, Error> {
    let builder = builder(connection.config.clone(), cluster)?;
    Ok(builder.with_layer(&BearerLayer(connection.bearer.clone())).with_layer(&calls.layer(cluster)).build())
}

/// The client that a member's signals are read with: never behind creates, because they are read for the sake of the next
/// ones; how often is settled by who reads.
pub(crate) fn signal_client(connection: &Connection, cluster: &str, calls: &Calls) -> Result<Client, Error> {
    let builder = builder(connection.config.clone(), cluster)?;
    Ok(builder
        .with_layer(&BearerLayer(connection.bearer.clone()))
        .with_layer(&calls.layer(cluster))
        .with_layer(&TimeoutLayer::new(ANSWER))
        .build())
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

/// Another router leads, or may: nothing is changed on members.
#[derive(Debug, thiserror::Error)]
#[error("not sent: this router does not lead now")]
struct NotLeading;

#[derive(Clone, Debug)]
struct GateLayer(MaySend);

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, may_send: self.0.clone() }
    }
}

/// Lets requests out, unless they were called back, or would change something while this process may not.
#[derive(Debug)]
struct Gate<S> {
    inner: S,
    may_send: MaySend,
}

/// A question about the account's own rights is asked with POST and changes nothing.
const ASKED_WITH_POST: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

fn changes_something(request: &Request<Body>) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.uri().path().ends_with(ASKED_WITH_POST)
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
        if changes_something(&request) && !self.may_send.now() {
            return Box::pin(async { Err(NotLeading.into()) });
        }
        if let Some(departure) = request.extensions().get::<Departure>()
            && !departure.leave()
        {
            return Box::pin(async { Err(Recalled.into()) });
        }
        Box::pin(self.inner.call(request))
    }
}

/// Puts the token of a bearer onto every request; does nothing where there is none. Outside the gate: a request without a
/// token has not left.
#[derive(Clone)]
struct BearerLayer(Option<Arc<dyn Bearer>>);

impl<S> Layer<S> for BearerLayer {
    type Service = Borne<S>;

    fn layer(&self, inner: S) -> Borne<S> {
        Borne { inner, bearer: self.0.clone() }
    }
}

struct Borne<S> {
    inner: S,
    bearer: Option<Arc<dyn Bearer>>,
}

/// A token as the header that carries it, which is never printed.
fn authorization(token: &str) -> Result<HeaderValue, NoToken> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| NoToken("what was made is not fit for a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl<S, B> Service<Request<Body>> for Borne<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(bearer) = self.bearer.clone() else { return Box::pin(self.inner.call(request)) };
        let signed = bearer.token().and_then(|token| authorization(&token).map(|value| (token, value)));
        let (token, value) = match signed {
            Ok(signed) => signed,
            Err(error) => return Box::pin(async { Err(error.into()) }),
        };
        request.headers_mut().insert(header::AUTHORIZATION, value);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if answer.status() == StatusCode::UNAUTHORIZED {
                bearer.refused(&token);
            }
            Ok(answer)
        })
    }
}

/// Whether an error proves that nothing of the request was written: no connection, no token, called back, or held back.
pub(crate) fn was_never_written(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
        {
            return true;
        }
        if error.is::<Recalled>() || error.is::<NotLeading>() || error.is::<NoToken>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicBool, AtomicU32},
    };

    use tower::ServiceExt;

    use super::*;

    /// A gate in front of a server that counts what reaches it.
    struct Bench {
        leads: Arc<AtomicBool>,
        reached: Arc<AtomicU32>,
    }

    impl Bench {
        fn new(leads: bool) -> Self {
            Self { leads: Arc::new(AtomicBool::new(leads)), reached: Arc::default() }
        }

        async fn send(
            &self,
            method: Method,
            path: &str,
            departure: Option<Departure>,
        ) -> Result<(), kube::Error> {
            let (leads, reached) = (self.leads.clone(), self.reached.clone());
            let server = tower::service_fn(move |_: Request<Body>| {
                reached.fetch_add(1, Ordering::AcqRel);
                async { Ok::<_, Infallible>(Response::new(())) }
            });
            let may_send = MaySend::when(move || leads.load(Ordering::Acquire));
            let gate = GateLayer(may_send).layer(server.map_err(BoxError::from));
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method;
            *request.uri_mut() = path.parse().unwrap();
            if let Some(departure) = departure {
                request.extensions_mut().insert(departure);
            }
            gate.oneshot(request).await.map(drop).map_err(kube::Error::Service)
        }
    }

    #[tokio::test]
    async fn who_does_not_lead_reads_and_changes_nothing() {
        let applications = "/apis/sparkoperator.k8s.io/v1beta2/namespaces/a/sparkapplications";
        let bench = Bench::new(false);
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let departure = Departure::default();
            let error = bench.send(method, applications, Some(departure.clone())).await.unwrap_err();
            assert!(was_never_written(&error), "{error}");
            assert!(!departure.has_left());
        }
        assert_eq!(bench.reached.load(Ordering::Acquire), 0);
        bench.send(Method::GET, applications, None).await.unwrap();
        bench.send(Method::POST, ASKED_WITH_POST, None).await.unwrap();
        assert_eq!(bench.reached.load(Ordering::Acquire), 2);

        bench.leads.store(true, Ordering::Release);
        let departure = Departure::default();
        bench.send(Method::POST, applications, Some(departure.clone())).await.unwrap();
        assert!(departure.has_left());
        assert_eq!(bench.reached.load(Ordering::Acquire), 3);
    }

    #[tokio::test]
    async fn what_was_called_back_does_not_leave() {
        let (bench, departure) = (Bench::new(true), Departure::default());
        assert!(departure.recall());
        let error = bench.send(Method::POST, "/", Some(departure)).await.unwrap_err();
        assert!(was_never_written(&error), "{error}");
        assert_eq!(bench.reached.load(Ordering::Acquire), 0);
    }

    /// Says what it is told to, and notes what it is told.
    #[derive(Default)]
    struct Told {
        token: parking_lot::Mutex<Option<String>>,
        refused: parking_lot::Mutex<Vec<String>>,
    }

    impl Bearer for Told {
        fn token(&self) -> Result<Arc<str>, NoToken> {
            self.token.lock().as_deref().map(Arc::from).ok_or_else(|| NoToken("too old".to_owned()))
        }

        fn refused(&self, token: &str) {
            self.refused.lock().push(token.to_owned());
        }

        fn unanswered(&self) {}
    }

    #[tokio::test]
    async fn each_request_has_the_token_of_its_own_moment_and_none_leaves_without() {
        let told = Arc::new(Told::default());
        let seen: Arc<parking_lot::Mutex<Vec<String>>> = Arc::default();
        let send = async |departure: &Departure| {
            let seen = seen.clone();
            let server = tower::service_fn(move |request: Request<Body>| {
                let given = request.headers()[header::AUTHORIZATION].clone();
                assert!(given.is_sensitive());
                let given = given.to_str().unwrap().to_owned();
                let status = if given == "Bearer good" { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
                seen.lock().push(given);
                let mut answer = Response::new(());
                *answer.status_mut() = status;
                async { Ok::<_, BoxError>(answer) }
            });
            let gate = GateLayer(MaySend::always()).layer(server);
            let mut request = Request::post("/").body(Body::empty()).unwrap();
            request.extensions_mut().insert(departure.clone());
            let borne = BearerLayer(Some(told.clone())).layer(gate);
            borne.oneshot(request).await.map_err(kube::Error::Service)
        };
        let departure = Departure::default();
        let error = send(&departure).await.unwrap_err();
        assert!(was_never_written(&error) && !departure.has_left(), "{error}");
        assert!(seen.lock().is_empty());
        for (token, status) in [("good", StatusCode::OK), ("old", StatusCode::UNAUTHORIZED)] {
            *told.token.lock() = Some(token.to_owned());
            assert_eq!(send(&Departure::default()).await.unwrap().status(), status);
        }
        assert_eq!(*seen.lock(), ["Bearer good", "Bearer old"]);
        assert_eq!(*told.refused.lock(), ["old"], "who was refused is told, and only they");
        *told.token.lock() = Some("a\nb".to_owned());
        assert!(was_never_written(&send(&Departure::default()).await.unwrap_err()));
    }
}
