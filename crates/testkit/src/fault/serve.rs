//! Listens, ends TLS, and does with each request what the rules say.
//!
//! Purpose: the moving part of the proxy. Owns the listening socket and the tasks of the connections. It must never
//! keep a connection that its client has closed, and never turn an error of its own into an answer of the API server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, TRANSFER_ENCODING, USER_AGENT};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Verdict;
use super::journal::Entry;
use super::upstream::Link;
use super::{Action, Asked, Mode, Outcome, Shared};
use crate::Error;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<Flow>;

/// More than any API server takes.
const LARGEST_REQUEST: usize = 16 << 20;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A socket that is bound but doesn't listen: connections are refused, and nobody else gets the port.
pub(super) fn reserve(address: SocketAddr) -> Result<TcpSocket, Error> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bind().map_err(Error::process("start", "the fault proxy"))
}

enum Door {
    Open(TcpListener),
    Reserved(TcpSocket),
    /// The port could not be had again; tests see refused connections.
    Lost,
}

/// Runs until the proxy is dropped.
pub(super) async fn run(
    shared: Arc<Shared>,
    reserved: TcpSocket,
    tls: TlsAcceptor,
    mut modes: mpsc::Receiver<(Mode, oneshot::Sender<()>)>,
) {
    let Ok(address) = reserved.local_addr() else { return };
    let mut door = Door::Reserved(reserved);
    let mut connections = Connections::new(&shared.all);
    loop {
        tokio::select! {
            () = shared.all.cancelled() => return,
            asked = modes.recv() => {
                let Some((mode, done)) = asked else { return };
                if mode == Mode::Refuse {
                    drop(door);
                    connections.close().await;
                    connections = Connections::new(&shared.all);
                    door = reserve(address).map_or(Door::Lost, Door::Reserved);
                } else {
                    door = open(door);
                }
                if mode == Mode::Silent {
                    shared.tap.close();
                } else {
                    shared.tap.open();
                }
                // The test may have given up on waiting.
                let _ = done.send(());
            }
            accepted = accept(&door) => {
                if let Ok((stream, _)) = accepted {
                    connections.add(&shared, &tls, stream);
                }
            }
        }
    }
}

fn open(door: Door) -> Door {
    match door {
        Door::Reserved(socket) => match socket.listen(BACKLOG) {
            Ok(listener) => Door::Open(listener),
            Err(error) => {
                tracing::error!(%error, "the fault proxy can't listen");
                Door::Lost
            }
        },
        door => door,
    }
}

async fn accept(door: &Door) -> std::io::Result<(TcpStream, SocketAddr)> {
    match door {
        Door::Open(listener) => listener.accept().await,
        Door::Reserved(_) | Door::Lost => std::future::pending().await,
    }
}

/// The connections since the last [`Mode::Refuse`].
struct Connections {
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Connections {
    fn new(all: &CancellationToken) -> Self {
        Self { end: all.child_token(), tasks: TaskTracker::new() }
    }

    fn add(&self, shared: &Arc<Shared>, tls: &TlsAcceptor, stream: TcpStream) {
        let (shared, tls, end) = (Arc::clone(shared), tls.clone(), self.end.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = connection(shared, tls, stream) => {}
            }
        });
    }

    async fn close(self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn connection(shared: Arc<Shared>, tls: TlsAcceptor, stream: TcpStream) {
    // Without it answers wait for acknowledgements; if it can't be set, they do.
    let _ = stream.set_nodelay(true);
    let stream = super::valve::Valve::new(stream, Arc::clone(&shared.tap));
    let Ok(stream) = tls.accept(stream).await else { return };
    let link = Arc::new(shared.upstream.link());
    let service = service_fn(move |request| handle(Arc::clone(&shared), Arc::clone(&link), request));
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection through the fault proxy ended");
    }
}

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the fault proxy closes the connection")]
struct Closed;

async fn handle(
    shared: Arc<Shared>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Result<Answer, BoxError> {
    let (parts, body) = request.into_parts();
    let user_agent =
        parts.headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
    let mut asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        user_agent: user_agent.unwrap_or_default(),
        body: Bytes::new(),
    };
    let mut entry = shared.journal.begin(&asked.method, &asked.path, &asked.user_agent);
    asked.body = Limited::new(body, LARGEST_REQUEST).collect().await?.to_bytes();
    let request = Request::from_parts(parts, Full::new(asked.body.clone()));
    let Some((rule, action)) = shared.rules.decide(&asked) else {
        return forward(&link, request, &mut entry).await.map(|(_, answer)| answer);
    };
    entry.ruled(rule);
    match action {
        Action::Delay(time) => {
            tokio::time::sleep(time).await;
            forward(&link, request, &mut entry).await.map(|(_, answer)| answer)
        }
        Action::Reply(reply) => {
            entry.settle(Outcome::Replied(reply.code));
            Ok(reply.response().map(Flow::Own))
        }
        Action::CutBody(bytes) => {
            let (status, answer) = forward(&link, request, &mut entry).await?;
            entry.settle(Outcome::Cut(status));
            Ok(answer.map(|flow| flow.cut(bytes)))
        }
        Action::Hang => {
            entry.settle(Outcome::Hung);
            std::future::pending().await
        }
        // What follows must happen whether the client stays or not: in a task of its own, on a connection of its own.
        action => {
            let (link, all) = (shared.upstream.link(), shared.all.clone());
            let detached = tokio::spawn(async move {
                tokio::select! {
                    () = all.cancelled() => Err(Closed.into()),
                    answer = act_detached(link, request, entry, action) => answer,
                }
            });
            detached.await?
        }
    }
}

async fn act_detached(
    link: Link,
    request: Request<Full<Bytes>>,
    mut entry: Entry,
    action: Action,
) -> Result<Answer, BoxError> {
    if let Action::HoldThenForward(gate) = &action {
        entry.now(Outcome::Held);
        if gate.pass().await == Verdict::Drop {
            entry.settle(Outcome::Dropped);
            return Err(Closed.into());
        }
        return forward(&link, request, &mut entry).await.map(|(_, answer)| answer);
    }
    let streams =
        request.uri().query().is_some_and(|query| query.contains("watch=") || query.contains("follow="));
    let (status, answer) = forward_silently(&link, request, &mut entry).await?;
    // An API server has acted when its answer is whole. Streams have no end, so their beginning must do.
    let answer = if streams { answer } else { whole(answer, &mut entry).await? };
    if let Action::HoldAnswer(gate) = &action {
        entry.now(Outcome::AnswerHeld(status));
        if gate.pass().await == Verdict::Pass {
            entry.settle(Outcome::Answered(status));
            return Ok(answer);
        }
    }
    entry.settle(Outcome::Swallowed(status));
    Err(Closed.into())
}

async fn whole(answer: Answer, entry: &mut Entry) -> Result<Answer, BoxError> {
    let (parts, flow) = answer.into_parts();
    match flow.collect().await {
        Ok(body) => Ok(Response::from_parts(parts, Flow::Own(Full::new(body.to_bytes())))),
        Err(error) => {
            entry.settle(Outcome::UpstreamFailed(error.to_string()));
            Err(error)
        }
    }
}

async fn forward(
    link: &Link,
    request: Request<Full<Bytes>>,
    entry: &mut Entry,
) -> Result<(u16, Answer), BoxError> {
    let (status, answer) = forward_silently(link, request, entry).await?;
    entry.settle(Outcome::Answered(status));
    Ok((status, answer))
}

async fn forward_silently(
    link: &Link,
    request: Request<Full<Bytes>>,
    entry: &mut Entry,
) -> Result<(u16, Answer), BoxError> {
    match link.send(request).await {
        Ok(mut answer) => {
            // How the answer is framed is each connection's own matter.
            answer.headers_mut().remove(CONNECTION);
            answer.headers_mut().remove(TRANSFER_ENCODING);
            Ok((answer.status().as_u16(), answer.map(Flow::Stream)))
        }
        Err(error) => {
            entry.settle(Outcome::UpstreamFailed(error.to_string()));
            Err(error)
        }
    }
}

/// The body of an answer.
pub(super) enum Flow {
    Own(Full<Bytes>),
    Stream(Incoming),
    Cut { inner: Incoming, left: u64, last: Last },
}

/// How far the end of a cut body is: what was handed over must have been flushed before the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    NotYet,
    Flush,
    Close,
}

impl Flow {
    fn cut(self, bytes: u64) -> Self {
        match self {
            Self::Stream(inner) => Self::Cut { inner, left: bytes, last: Last::NotYet },
            other => other,
        }
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(never),
            Self::Stream(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Cut { inner, left, last } => poll_cut(inner, left, last, context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
            Self::Cut { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Stream(body) | Self::Cut { inner: body, .. } => body.size_hint(),
        }
    }
}

fn never(error: Infallible) -> BoxError {
    match error {}
}

fn poll_cut(
    inner: &mut Incoming,
    left: &mut u64,
    last: &mut Last,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    match last {
        Last::Close => return Poll::Ready(Some(Err(Closed.into()))),
        Last::Flush => {
            // The server flushes after a body that is not ready; the next time we are asked, the bytes are out.
            *last = Last::Close;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Last::NotYet if *left == 0 => {
            *last = Last::Flush;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Last::NotYet => {}
    }
    let Poll::Ready(frame) = Pin::new(inner).poll_frame(context) else { return Poll::Pending };
    match frame {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(mut data) => {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                if length >= *left {
                    data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                    *last = Last::Flush;
                }
                *left = left.saturating_sub(length);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Err(trailers) => Poll::Ready(Some(Ok(trailers))),
        },
        Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
        None => {
            *last = Last::Flush;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
