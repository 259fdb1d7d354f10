//! Clusters on Amazon EKS, reached without the aws command: where their API servers are, and tokens to speak to them.
//!
//! Owns one task for each cluster, which asks EKS where it is, and another that makes tokens ahead of their time. Whoever
//! wants a connection gets what is known at that moment: nothing here waits for AWS. Must never hand out a token that is
//! older than it may be, never log one, and never call AWS for a request to a member.

mod cluster;
mod life;
mod pool;
mod target;
mod token;
mod tokens;

use std::{sync::Arc, time::Duration};

use spark_router_api::condition::reason;
use spark_router_member::{Bearer, Connection, Fault, MaySend, calls::Calls};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use self::{
    cluster::{Look, Place},
    tokens::{Maker, Tokens},
};
pub use self::{
    life::Ages,
    pool::connector,
    target::EksTarget,
    token::{PREFIX, Unsigned, presign, sts},
};
use crate::client::{Clients, Guarding};

/// No token can be made.
const NO_TOKEN: &str = "NoToken";

/// Times of the machinery. The defaults are for AWS; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// How old tokens become.
    pub ages: Ages,
    /// Between two looks at the age of a token.
    pub look_every: Duration,
    /// Between tries to make a token that could not be made, at first and at most.
    pub make_again: (Duration, Duration),
    /// Between questions where a cluster is, while all is well.
    pub read_every: Duration,
    /// The same while something is wrong, at first and at most.
    pub read_again: (Duration, Duration),
    /// A server that does not answer is asked for at EKS, but not more often than this.
    pub ask_every: Duration,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            ages: Ages::default(),
            look_every: Duration::from_secs(5),
            make_again: (Duration::from_secs(1), Duration::from_secs(30)),
            read_every: Duration::from_hours(1),
            read_again: (Duration::from_secs(2), Duration::from_mins(1)),
            ask_every: Duration::from_secs(30),
        }
    }
}

/// One cluster, as it is known now. Dropping it ends the questions where the cluster is; connections that it gave keep
/// their tokens.
pub struct Eks {
    target: EksTarget,
    shown: watch::Receiver<Shown>,
    _keeper: AbortOnDropHandle<()>,
}

/// What is known.
#[derive(Clone)]
enum Shown {
    Nothing,
    Fault(Fault),
    Place(Box<Connection>, Arc<Tokens>),
}

impl Eks {
    /// Begins to look. Needs a runtime; makes its client there, and sends nothing before.
    pub fn new(clients: Clients, target: EksTarget, calls: Calls) -> Self {
        Self::with_tempo(clients, target, calls, Tempo::default())
    }

    /// The same with other times.
    pub fn with_tempo(clients: Clients, target: EksTarget, calls: Calls, tempo: Tempo) -> Self {
        let (showing, shown) = watch::channel(Shown::Nothing);
        let keeper = keep(clients, target.clone(), calls, tempo, showing);
        Self { target, shown, _keeper: AbortOnDropHandle::new(tokio::spawn(keeper)) }
    }

    /// What it was made of.
    pub fn target(&self) -> &EksTarget {
        &self.target
    }

    /// The connection, as far as it is known now. Never waits.
    ///
    /// # Errors
    /// Why there is none, also for as long as it is being looked for.
    pub fn connection(&self) -> Result<Connection, Fault> {
        match &*self.shown.borrow() {
            Shown::Nothing => {
                let message = format!("EKS is being asked for the cluster {:?}", self.target.cluster);
                Err((reason::CONNECTING, message))
            }
            Shown::Fault(fault) => Err(fault.clone()),
            Shown::Place(connection, tokens) => match (tokens.token(), tokens.trouble()) {
                (Ok(_), _) => Ok(Connection::clone(connection)),
                (Err(_), None) => Err((reason::CONNECTING, "the first token is being made".to_owned())),
                (Err(_), Some(why)) => Err((NO_TOKEN, self.target.no_token(&why))),
            },
        }
    }
}

async fn keep(
    clients: Clients,
    target: EksTarget,
    calls: Calls,
    tempo: Tempo,
    showing: watch::Sender<Shown>,
) {
    let (client, credentials) = clients.eks(&target.access).await;
    let guarding = Guarding { cluster: target.member.clone(), calls, may_send: MaySend::always() };
    let lost = Arc::new(Notify::new());
    let maker = match sts(&target.access.region).await {
        Ok(sts) => {
            Maker { credentials, region: target.access.region.clone(), sts, cluster: target.cluster.clone() }
        }
        Err(error) => {
            // A region that has no STS: no later look changes that, only another object does.
            showing.send_replace(Shown::Fault((reason::INVALID_SPEC, target.no_token(&error.to_string()))));
            return;
        }
    };
    let tokens = Tokens::start(maker, tempo, lost.clone(), target.member.clone());
    let mut wait = tempo.read_again.0;
    loop {
        let looked = Instant::now();
        let look = cluster::describe(&client, &target, &guarding).await;
        let pause = if show(look, &target, &tokens, &showing).await {
            wait = tempo.read_again.0;
            tempo.read_every
        } else {
            let now = wait;
            wait = (wait * 2).min(tempo.read_again.1);
            now
        };
        let due = Instant::now() + pause;
        tokio::select! {
            () = sleep_until(due) => {}
            () = lost.notified() => sleep_until(due.min(looked + tempo.ask_every)).await,
        }
    }
}

/// Whether all is well.
async fn show(look: Look, target: &EksTarget, tokens: &Arc<Tokens>, showing: &watch::Sender<Shown>) -> bool {
    let (shown, well) = match look {
        Look::Found(place) => match connect(&place, target, tokens).await {
            Ok(connection) => (Shown::Place(Box::new(connection), tokens.clone()), true),
            Err(fault) => (Shown::Fault(fault), false),
        },
        Look::Fault(fault) => (Shown::Fault(fault), false),
        Look::Unclear(fault) => {
            warn!(cluster.name = target.member, reason = fault.0, message = fault.1, "EKS was not read");
            // What is known is not wrong because nobody can say anew that it is right.
            if matches!(*showing.borrow(), Shown::Place(..)) {
                return false;
            }
            (Shown::Fault(fault), false)
        }
    };
    if !shown.is_same(&showing.borrow()) {
        match &shown {
            Shown::Place(connection, _) => {
                info!(cluster.name = target.member, server = %connection.config.cluster_url, "EKS says where a member is");
            }
            Shown::Fault((reason, message)) => {
                warn!(cluster.name = target.member, reason, message, "a member cannot be reached by EKS");
            }
            Shown::Nothing => {}
        }
        showing.send_replace(shown);
    }
    well
}

impl Shown {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::Fault(one), Self::Fault(other)) => one == other,
            (Self::Place(one, _), Self::Place(other, _)) => one.fingerprint == other.fingerprint,
            _ => false,
        }
    }
}

async fn connect(place: &Place, target: &EksTarget, tokens: &Arc<Tokens>) -> Result<Connection, Fault> {
    let fingerprint = target.fingerprint(&place.server, &place.authority);
    let made = Connection::borne(&place.server, &place.authority, tokens.clone(), fingerprint).await;
    made.map_err(|error| (cluster::NOT_ACTIVE, target.unusable(&spark_router_member::error::chain(&error))))
}
