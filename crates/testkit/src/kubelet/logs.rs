//! Logs through the API server.
//!
//! Purpose: answer `GET /containerLogs/...`, which is what an API server asks a kubelet for `pods/log`. Owns the dates
//! of each log's lines. It must never answer for a pod of another name or of an older life than the newest.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::Shared;
use crate::Error;
use crate::fault::loopback_tls;
use crate::supervise::Process;

/// Where API servers expect a kubelet.
const PORT: u16 = 10250;

/// How often a followed log is looked at.
const TICK: Duration = Duration::from_millis(100);

/// The log of one container. Its process writes to the file by itself; when a part of it was first seen is its date.
pub(super) struct Log {
    container: String,
    process: Process,
    /// (length, when), growing.
    dates: Mutex<Vec<(usize, Timestamp)>>,
}

impl Log {
    pub(super) fn new(container: &str, process: Process) -> Self {
        Self { container: container.to_owned(), process, dates: Mutex::default() }
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// Dates what has come since the last call.
    pub(super) fn date(&self) {
        let length = std::fs::metadata(self.process.log()).map_or(0, |file| file.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut dates = self.dates.lock();
        if dates.last().map_or(0, |(dated, _)| *dated) < length {
            dates.push((length, Timestamp::now()));
        }
    }

    fn date_of(&self, offset: usize) -> Timestamp {
        let dates = self.dates.lock();
        let index = dates.partition_point(|(length, _)| *length <= offset);
        dates.get(index).map_or_else(Timestamp::now, |(_, date)| *date)
    }
}

/// What is asked of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    follow: bool,
    timestamps: bool,
    previous: bool,
    tail: Option<usize>,
    limit: Option<usize>,
    since: Option<Timestamp>,
}

impl Wanted {
    fn of(query: &str, now: Timestamp) -> Self {
        let mut wanted = Self::default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "follow" => wanted.follow = value == "true",
                "timestamps" => wanted.timestamps = value == "true",
                "previous" => wanted.previous = value == "true",
                "tailLines" => wanted.tail = value.parse().ok(),
                "limitBytes" => wanted.limit = value.parse().ok(),
                "sinceSeconds" => {
                    wanted.since = value
                        .parse()
                        .ok()
                        .and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok());
                }
                "sinceTime" => wanted.since = value.replace("%3A", ":").parse().ok(),
                _ => {}
            }
        }
        wanted
    }
}

/// Starts the server; returns its port.
pub(super) async fn serve(shared: Arc<Shared>) -> Result<u16, Error> {
    let address = SocketAddr::from((shared.options.address, PORT));
    let (tls, _) = loopback_tls("kubelet", IpAddr::V4(shared.options.address))?;
    let listener =
        TcpListener::bind(address).await.map_err(Error::process("start", "the kubelet's server"))?;
    tokio::spawn(async move {
        let end = shared.end.clone();
        loop {
            let accepted = tokio::select! {
                () = end.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let (shared, tls, end) = (Arc::clone(&shared), tls.clone(), end.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let answer = answer(&shared, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::select! {
                    () = end.cancelled() => {}
                    served = server.serve_connection(TokioIo::new(stream), service) => {
                        if let Err(error) = served {
                            tracing::debug!(%error, "a connection to the kubelet ended");
                        }
                    }
                }
            });
        }
    });
    Ok(PORT)
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

fn answer(shared: &Shared, request: &Request<Incoming>) -> Answer {
    let parts: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    let ["containerLogs", namespace, pod, container] = parts.as_slice() else {
        return refusal(StatusCode::NOT_FOUND, "this kubelet serves logs only");
    };
    let wanted = Wanted::of(request.uri().query().unwrap_or_default(), Timestamp::now());
    let log = shared.logs.lock().get(&format!("{namespace}/{pod}")).cloned();
    let Some(log) = log else {
        let why =
            format!("container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating");
        return refusal(StatusCode::BAD_REQUEST, &why);
    };
    if log.container != *container {
        return refusal(StatusCode::NOT_FOUND, &format!("container {container} is not in pod {pod}"));
    }
    if wanted.previous {
        let why = format!("previous terminated container \"{container}\" in pod \"{pod}\" not found");
        return refusal(StatusCode::BAD_REQUEST, &why);
    }
    let frames = stream(log, wanted).map(|chunk| chunk.map(|text| Frame::data(Bytes::from(text))));
    let mut response = Response::new(BoxBody::new(StreamBody::new(frames)));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}

fn refusal(status: StatusCode, why: &str) -> Answer {
    let mut response =
        Response::new(Full::new(Bytes::from(why.to_owned())).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

struct Reading {
    log: Arc<Log>,
    wanted: Wanted,
    /// How much of the file was looked at; `None` before the first time.
    offset: Option<usize>,
    left: usize,
    done: bool,
}

fn stream(log: Arc<Log>, wanted: Wanted) -> impl Stream<Item = std::io::Result<Vec<u8>>> {
    let left = wanted.limit.unwrap_or(usize::MAX);
    let reading = Reading { log, wanted, offset: None, left, done: false };
    futures::stream::try_unfold(reading, |mut reading| async move {
        loop {
            if reading.done {
                return Ok(None);
            }
            // Asked before the file is read: what is written before the end is then read for sure.
            let last = !reading.wanted.follow || reading.log.process.ended().is_some();
            let text = reading.read(last)?;
            reading.done = last || reading.left == 0;
            if !text.is_empty() {
                return Ok(Some((text, reading)));
            }
            if !reading.done {
                tokio::time::sleep(TICK).await;
            }
        }
    })
}

impl Reading {
    fn read(&mut self, last: bool) -> std::io::Result<Vec<u8>> {
        let file = std::fs::read(self.log.process.log())?;
        self.log.date();
        // A line that is still being written waits, unless it is the last.
        let end = if last {
            file.len()
        } else {
            file.iter().rposition(|byte| *byte == b'\n').map_or(0, |it| it + 1)
        };
        let start = self.offset.unwrap_or_else(|| self.first(file.get(..end).unwrap_or_default()));
        self.offset = Some(end.max(start));
        let mut text = self.dated(start, file.get(start..end).unwrap_or_default());
        text.truncate(self.left);
        self.left -= text.len();
        Ok(text)
    }

    /// Where the wanted part begins.
    fn first(&self, file: &[u8]) -> usize {
        let mut starts: Vec<usize> = Vec::new();
        let mut offset = 0;
        for line in file.split_inclusive(|byte| *byte == b'\n') {
            if self.wanted.since.is_none_or(|since| self.log.date_of(offset) >= since) {
                starts.push(offset);
            }
            offset += line.len();
        }
        let skipped = self.wanted.tail.map_or(0, |tail| starts.len().saturating_sub(tail));
        starts.get(skipped).copied().unwrap_or(file.len())
    }

    fn dated(&self, start: usize, part: &[u8]) -> Vec<u8> {
        if !self.wanted.timestamps {
            return part.to_vec();
        }
        let (mut text, mut offset) = (Vec::new(), start);
        for line in part.split_inclusive(|byte| *byte == b'\n') {
            let mut date = String::new();
            // Writing to a String never fails.
            let _ = write!(date, "{:.9} ", self.log.date_of(offset));
            text.extend_from_slice(date.as_bytes());
            text.extend_from_slice(line);
            offset += line.len();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Wanted;

    #[test]
    fn queries_are_understood() {
        let now: Timestamp = "2026-11-21T10:00:10Z".parse().unwrap();
        let wanted = Wanted::of("follow=true&tailLines=5&limitBytes=8000&sinceSeconds=10&x=y", now);
        let since = Some("2026-11-21T10:00:00Z".parse().unwrap());
        let expected = Wanted { follow: true, tail: Some(5), limit: Some(8000), since, ..Wanted::default() };
        assert_eq!(wanted, expected);
        assert_eq!(Wanted::of("sinceTime=2026-11-21T10%3A00%3A00Z", now).since, since);
        assert_eq!(Wanted::of("", now), Wanted::default());
    }
}
