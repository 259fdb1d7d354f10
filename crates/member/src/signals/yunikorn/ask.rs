//! Asks one YuniKorn for its queues: by URL, or through the API server of its cluster.
//!
//! Owns one client. No redirect is followed and no credential is sent to a URL; an answer is bounded in time and in size.

use std::time::Duration;

use http::{Request, Uri, uri::Scheme};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::{Client, Config, client::Body};
use spark_router_core::id::Namespace;

use crate::{
    error::Error,
    signals::{YuniKornSettings, line::Line},
};

/// YuniKorn answers within milliseconds; whoever takes this long is not there.
const ANSWER: Duration = Duration::from_secs(2);
/// Some ten thousand queues.
const LARGEST: usize = 8 << 20;
/// So much of a refusal is passed on.
const REFUSAL: usize = 200;
const DOING: &str = "asking YuniKorn for its queues";

/// Where a YuniKorn answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At this address: scheme, host, and what stands before `/ws/v1`, if anything. See [`Endpoint::url`].
    Url(Uri),
    /// Behind a Service of the member, reached through its API server with the router's own rights there.
    Service {
        /// The Service's namespace.
        namespace: Namespace,
        /// The Service's name.
        name: String,
        /// The Service's port, 9080 unless it was changed.
        port: u16,
    },
}

/// Why a text is not the address of a YuniKorn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the address of a YuniKorn; write it like http://yunikorn.example.com:9080, without user or query"
)]
pub struct NoEndpoint(String);

impl Endpoint {
    /// Reads an address: `http` or `https`, a host, perhaps a port and a path.
    ///
    /// # Errors
    /// For anything else, also for a user or a password: none is ever sent.
    pub fn url(text: &str) -> Result<Self, NoEndpoint> {
        let uri: Option<Uri> = text.parse().ok();
        let plain = uri.filter(|uri| {
            let known = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
            let authority = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
            known && authority && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
        });
        plain.map(Self::Url).ok_or_else(|| NoEndpoint(text.to_owned()))
    }

    /// The path of the partition's queues, for the client of this endpoint.
    fn path(&self, partition: &str) -> String {
        let path = format!("/ws/v1/partition/{}/queues", segment(partition));
        match self {
            Self::Url(_) => path,
            Self::Service { namespace, name, port } => format!(
                "/api/v1/namespaces/{}/services/http:{}:{port}/proxy{path}",
                segment(namespace.as_str()),
                segment(name)
            ),
        }
    }
}

/// A text as one segment of a path: it can't lead anywhere else.
fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => segment.push(char::from(byte)),
            // Dots alone would mean a folder.
            b'.' if !text.bytes().all(|byte| byte == b'.') => segment.push('.'),
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// See the module.
pub(super) struct Asking {
    client: Client,
    path: String,
}

impl Asking {
    /// # Errors
    /// When no client can be made for a URL.
    pub(super) fn new(settings: &YuniKornSettings, line: &dyn Line) -> Result<Self, Error> {
        let client = match &settings.endpoint {
            Endpoint::Url(uri) => client(uri).map_err(Error::call(DOING))?,
            Endpoint::Service { .. } => line.client(),
        };
        Ok(Self { client, path: settings.endpoint.path(&settings.partition) })
    }

    /// The answer's bytes.
    pub(super) async fn ask(&self) -> Result<Vec<u8>, Error> {
        match tokio::time::timeout(ANSWER, self.exchange()).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout { doing: DOING, after: ANSWER }),
        }
    }

    async fn exchange(&self) -> Result<Vec<u8>, Error> {
        let request = Request::get(&self.path).body(Body::empty());
        let request = request.map_err(|error| Error::call(DOING)(kube::Error::HttpError(error)))?;
        let (head, body) = self.client.send(request).await.map_err(Error::call(DOING))?.into_parts();
        let body = match Limited::new(body, LARGEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(Error::Refused { who: "YuniKorn", said: format!("more than {LARGEST} bytes") });
            }
            Err(error) => return Err(Error::call(DOING)(kube::Error::Service(error))),
        };
        if head.status == http::StatusCode::OK {
            return Ok(body.into());
        }
        Err(Error::Refused { who: "YuniKorn", said: refusal(head.status, &body) })
    }
}

/// A client that sends no credentials.
fn client(uri: &Uri) -> Result<Client, kube::Error> {
    let mut config = Config::new(uri.clone());
    config.default_retry = false;
    config.connect_timeout = Some(ANSWER);
    if uri.scheme() == Some(&Scheme::HTTP) {
        // Nothing to trust, so none of the machine's authorities have to be there.
        config.root_cert = Some(Vec::new());
    }
    Client::try_from(config)
}

/// A refusal in words: the message of YuniKorn or of the API server, or the beginning of whatever came.
fn refusal(status: http::StatusCode, body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|said| said.get("message")?.as_str().map(str::to_owned));
    let said = message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let said: String = said.trim().chars().filter(|c| !c.is_control()).take(REFUSAL).collect();
    if said.is_empty() { status.to_string() } else { format!("{status}: {said}") }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn addresses_are_read_and_others_refused() {
        for good in ["http://10.0.0.1:9080", "https://yunikorn.example.com", "http://[::1]:9080/eu/"] {
            assert!(Endpoint::url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "yunikorn:9080",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a/?x=1",
            "/ws/v1",
            "http://a b",
        ] {
            let error = Endpoint::url(bad).unwrap_err().to_string();
            assert!(
                error
                    .starts_with(&format!("{bad:?} is not the address of a YuniKorn; write it like http://"))
            );
        }
    }

    #[test]
    fn no_name_leads_to_another_path() {
        let url = Endpoint::url("http://a").unwrap();
        assert_eq!(url.path("default"), "/ws/v1/partition/default/queues");
        assert_eq!(url.path("../config"), "/ws/v1/partition/..%2Fconfig/queues");
        assert_eq!(url.path(".."), "/ws/v1/partition/%2E%2E/queues");
        assert_eq!(url.path("[rm]gpu?x"), "/ws/v1/partition/%5Brm%5Dgpu%3Fx/queues");
        let name = "yunikorn-service".to_owned();
        let service = Endpoint::Service { namespace: Namespace::from("yunikorn"), name, port: 9080 };
        assert_eq!(
            service.path("default"),
            "/api/v1/namespaces/yunikorn/services/http:yunikorn-service:9080/proxy/ws/v1/partition/default/queues"
        );
    }

    /// Whatever listens where a YuniKorn should be; says the same to everybody, and counts them.
    async fn somebody(head: &'static str, body: &'static [u8], times: usize) -> (Asking, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
                assert!(!request.contains("authorization") && !request.contains("cookie"), "{request}");
                // Whoever has enough hangs up.
                if stream.write_all(head.as_bytes()).await.is_err() {
                    continue;
                }
                for _ in 0..times {
                    if stream.write_all(body).await.is_err() {
                        break;
                    }
                }
                if times == 0 {
                    std::future::pending::<()>().await;
                }
            }
        });
        let path = Endpoint::Url(uri.clone()).path("default");
        (Asking { client: client(&uri).unwrap(), path }, asked)
    }

    async fn said(head: &'static str, body: &'static [u8], times: usize) -> (Result<Vec<u8>, String>, usize) {
        let (asking, asked) = somebody(head, body, times).await;
        let answer = asking.ask().await.map_err(|error| crate::error::chain(&error));
        (answer, asked.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn whoever_answers_there_is_bounded_and_leads_nowhere_else() {
        let (answer, _) = said("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"{}", 1).await;
        assert_eq!(answer, Ok(b"{}".to_vec()));
        let moved = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(said(moved, b"", 1).await, (Err("YuniKorn answered 302 Found".to_owned()), 1));
        let (answer, _) = said("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &[b'x'; 1 << 14], 800).await;
        assert_eq!(answer, Err("YuniKorn answered more than 8388608 bytes".to_owned()));
        let (answer, _) = said("HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n", b"later", 1).await;
        assert_eq!(answer, Err("YuniKorn answered 503 Service Unavailable: later".to_owned()));
        let started = std::time::Instant::now();
        let (answer, _) = said("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"", 0).await;
        assert_eq!(answer, Err("asking YuniKorn for its queues was not answered within 2 s".to_owned()));
        assert!(started.elapsed() < ANSWER * 2);
    }

    #[test]
    fn refusals_are_passed_on_in_short() {
        let code = http::StatusCode::NOT_FOUND;
        let yunikorn =
            br#"{"status_code":404,"message":"Partition not found","description":"Partition not found"}"#;
        assert_eq!(refusal(code, yunikorn), "404 Not Found: Partition not found");
        assert_eq!(refusal(code, b""), "404 Not Found");
        assert_eq!(refusal(http::StatusCode::FOUND, b" <a\nhref='/login'> "), "302 Found: <ahref='/login'>");
        assert!(refusal(code, &[b'x'; 10_000]).len() < 300);
    }
}
