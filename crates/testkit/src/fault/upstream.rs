//! The way from the proxy to the API server.
//!
//! Purpose: one HTTP/1.1 connection over TLS per connection of a client, made when it is needed. Owns nothing that
//! outlives a client's connection. It must never send a request a second time once a byte of it may have been read.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::identity;
use crate::Error;
use crate::pki::Identity;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Sender = SendRequest<Full<Bytes>>;

/// An API server.
#[derive(Clone)]
pub(crate) struct Upstream {
    host: String,
    port: u16,
    name: ServerName<'static>,
    plain: TlsConnector,
    identified: TlsConnector,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({}:{})", self.host, self.port)
    }
}

/// The connections that serve one client connection. An API server prefers a client certificate to a token, so requests
/// with a token have a connection of their own, without the certificate.
#[derive(Debug)]
pub(crate) struct Link {
    upstream: Upstream,
    with_token: Mutex<Option<Sender>>,
    with_certificate: Mutex<Option<Sender>>,
}

impl Upstream {
    pub(crate) fn new(url: &str, ca_pem: &str, identity: Option<Identity>) -> Result<Self, Error> {
        let bad = |why: &str| Error::Manifest(format!("the API server's address {url}: {why}"));
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(bad("must be https"));
        }
        let host = uri.host().ok_or_else(|| bad("has no host"))?.to_owned();
        let name =
            ServerName::try_from(host.clone()).map_err(|_| bad("has a host that no certificate can name"))?;
        let mut roots = RootCertStore::empty();
        for certificate in identity::certificates(ca_pem)? {
            roots.add(certificate).map_err(|error| bad(&error.to_string()))?;
        }
        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map(|builder| builder.with_root_certificates(roots.clone()))
                .map_err(|error| bad(&error.to_string()))
        };
        let plain = TlsConnector::from(Arc::new(builder()?.with_no_client_auth()));
        let identified = match identity {
            None => plain.clone(),
            Some(Identity { certificate, key }) => {
                let chain = identity::certificates(&certificate)?;
                let key = identity::private_key(&key)?;
                let config =
                    builder()?.with_client_auth_cert(chain, key).map_err(|error| bad(&error.to_string()))?;
                TlsConnector::from(Arc::new(config))
            }
        };
        Ok(Self { host, port: uri.port_u16().unwrap_or(443), name, plain, identified })
    }

    pub(crate) fn link(&self) -> Link {
        Link { upstream: self.clone(), with_token: Mutex::default(), with_certificate: Mutex::default() }
    }

    async fn connect(&self, tls: &TlsConnector) -> Result<Sender, BoxError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        let stream = tls.connect(self.name.clone(), tcp).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the sender; its error reaches whoever waits for an answer.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Link {
    /// Sends a request and returns the head of the answer; its body streams.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, BoxError> {
        self.prepare(&mut request)?;
        let (slot, tls) = if request.headers().contains_key(AUTHORIZATION) {
            (&self.with_token, &self.upstream.plain)
        } else {
            (&self.with_certificate, &self.upstream.identified)
        };
        // Requests of one client connection come one after the other, so nobody waits for this lock for long.
        let mut slot = slot.lock().await;
        if let Some(sender) = slot.as_mut() {
            if sender.ready().await.is_ok() {
                match sender.try_send_request(request).await {
                    Ok(response) => return Ok(response),
                    // The idle connection was closed under us. A request that is handed back was not begun.
                    Err(mut error) => match error.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(error.into_error().into()),
                    },
                }
            }
            *slot = None;
        }
        let sender = slot.insert(self.upstream.connect(tls).await?);
        Ok(sender.send_request(request).await?)
    }

    fn prepare(&self, request: &mut Request<Full<Bytes>>) -> Result<(), BoxError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.parse()?;
        let host = HeaderValue::from_str(&format!("{}:{}", self.upstream.host, self.upstream.port))?;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        for hop in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
            headers.remove(hop);
        }
        Ok(())
    }
}
