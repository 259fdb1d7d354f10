//! A proxy in front of a real API server that misbehaves on demand.
//!
//! Purpose: let tests break the connection between the real binary and a real API server in every way that networks
//! and API servers do: late, refused, cut, acted on but unanswered, silent. It ends TLS (with an authority of its own,
//! see [`FaultProxy::kubeconfig`]), so that it can tell requests apart, and speaks HTTP/1.1. Owns one listening address
//! and the connections through it. It must never answer for the API server unless a rule of the test says so, and never
//! send a request twice.
//!
//! Answers are streamed, so watches flow as they come; the bodies of requests are read whole first (an API server takes
//! at most 3 MiB), so that rules can look into them. Protocol upgrades (`exec`, `port-forward`) are not supported.

mod gate;
mod identity;
mod journal;
mod reply;
mod rule;
mod serve;
mod upstream;
mod valve;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use gate::Gate;
pub use identity::{loopback_tls, reroute};
pub use journal::{Outcome, Record};
pub use reply::Reply;
pub use rule::{Action, Asked, Rule, RuleId};

use crate::Error;
use crate::pki::Identity;
use journal::Journal;
use rule::Rulebook;
use upstream::Upstream;
use valve::Tap;

/// What the proxy as a whole does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything goes through, as the rules say.
    Up,
    /// A black hole: TCP connections are accepted, but no byte moves, in either direction, on new connections and on
    /// old ones (watches too). Back in [`Mode::Up`], what was under way goes on.
    Silent,
    /// Nothing listens (connection refused), and all connections are closed.
    Refuse,
}

/// A running proxy. It ends, with all its connections, when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    /// Where it listens: `https://127.x.y.z:port`. Stays the same over all modes.
    pub url: String,
    /// The authority that signed its certificate, PEM.
    pub ca_pem: String,
    shared: Arc<Shared>,
    modes: mpsc::Sender<(Mode, oneshot::Sender<()>)>,
    all: CancellationToken,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rules: Rulebook,
    pub(crate) journal: Journal,
    pub(crate) upstream: Upstream,
    pub(crate) tap: Arc<Tap>,
    pub(crate) all: CancellationToken,
}

impl FaultProxy {
    /// A proxy on 127.0.0.1 for clients that bring a bearer token. `upstream_url` is `https://host:port` of the API
    /// server, `upstream_ca_pem` the authority to check it with.
    pub async fn start(upstream_url: &str, upstream_ca_pem: &str) -> Result<Self, Error> {
        Self::start_at(Ipv4Addr::LOCALHOST, upstream_url, upstream_ca_pem, None).await
    }

    /// A proxy in front of the current context of a kubeconfig. A client certificate can't pass a proxy that ends TLS,
    /// so the proxy presents the one of the kubeconfig itself for every request without an `Authorization` header.
    pub async fn before(kubeconfig: &str) -> Result<Self, Error> {
        let target = identity::target(kubeconfig)?;
        Self::start_at(Ipv4Addr::LOCALHOST, &target.url, &target.ca_pem, target.identity).await
    }

    /// The general form: listens on a free port of `address` (any of 127.0.0.0/8) and presents `identity` for every
    /// request that brings no `Authorization` header.
    pub async fn start_at(
        address: Ipv4Addr,
        upstream_url: &str,
        upstream_ca_pem: &str,
        identity: Option<Identity>,
    ) -> Result<Self, Error> {
        let (tls, ca_pem) = loopback_tls("fault proxy", IpAddr::V4(address))?;
        let upstream = Upstream::new(upstream_url, upstream_ca_pem, identity)?;
        let reserved = serve::reserve(SocketAddr::from((address, 0)))?;
        let local = reserved.local_addr().map_err(Error::process("start", "the fault proxy"))?;
        let all = CancellationToken::new();
        let shared = Arc::new(Shared {
            rules: Rulebook::default(),
            journal: Journal::default(),
            upstream,
            tap: Arc::default(),
            all: all.clone(),
        });
        let (modes, asked) = mpsc::channel(1);
        tokio::spawn(serve::run(Arc::clone(&shared), reserved, tls, asked));
        let proxy = Self { url: format!("https://{local}"), ca_pem, shared, modes, all };
        proxy.set(Mode::Up).await;
        Ok(proxy)
    }

    /// The same kubeconfig with every cluster behind this proxy; client certificates are left out (the proxy presents
    /// its own). Tokens stay.
    pub fn kubeconfig(&self, original: &str) -> Result<String, Error> {
        reroute(original, &self.url, &self.ca_pem)
    }

    /// Changes the mode of the whole proxy; returns when the change has happened.
    pub async fn set(&self, mode: Mode) {
        let (done, changed) = oneshot::channel();
        // Both fail only if the runtime is shutting down: nothing can be waited for then.
        if self.modes.send((mode, done)).await.is_ok() {
            let _ = changed.await;
        }
    }

    /// Adds a rule after those that are there. For each request, the first rule that matches and has turns left acts.
    pub fn add(&self, rule: Rule) -> RuleId {
        self.shared.rules.add(rule)
    }

    /// Removes a rule; requests that it already holds are not touched.
    pub fn remove(&self, rule: RuleId) {
        self.shared.rules.remove(rule);
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.shared.rules.clear();
    }

    /// How often a rule has acted; 0 for a removed one.
    pub fn hits(&self, rule: RuleId) -> u64 {
        self.shared.rules.hits(rule)
    }

    /// The newest requests, oldest first (the newest 20,000 are kept).
    pub fn records(&self) -> Vec<Record> {
        self.shared.journal.records()
    }

    /// The number of requests so far: the id of the next [`Record`].
    pub fn requests(&self) -> u64 {
        self.shared.journal.next()
    }

    /// Waits for a request, past or future, that the predicate takes. It is asked at each change of a record: when the
    /// request arrives ([`Outcome::Pending`]) and when its outcome is known. For future requests only, compare
    /// [`Record::id`] with an earlier [`Self::requests`].
    pub async fn wait_for(
        &self,
        wanted: impl Fn(&Record) -> bool + Send + 'static,
        timeout: Duration,
    ) -> Result<Record, Error> {
        let found = self.shared.journal.wait_for(Box::new(wanted));
        tokio::time::timeout(timeout, found).await.ok().and_then(Result::ok).ok_or_else(|| Error::NotReady {
            what: format!("the awaited request through {}", self.url),
            seconds: timeout.as_secs(),
            detail: self.shared.journal.summary(),
        })
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.all.cancel();
        // A silent connection would not notice otherwise.
        self.shared.tap.open();
    }
}
