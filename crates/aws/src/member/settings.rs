//! What a link to a virtual cluster is made of.
//!
//! Owns no state. Two links of the same settings are the same link.

use std::{sync::Arc, time::Duration};

use spark_router_core::{
    health::Thresholds,
    id::{ClusterName, HubId},
    place::{Inexpressible, NamespaceRule},
};
use spark_router_member::{Admission, Backend, Blueprint, Connection, Error, Ground, Link, Order, link};

use super::EmrLink;
use crate::{Access, Clients, poll};

/// How a virtual cluster is used. A change of any of it makes another link.
#[derive(Clone)]
pub struct Settings {
    /// The name of its `MemberCluster`.
    pub name: ClusterName,
    /// How it is reached.
    pub access: Access,
    /// Its id.
    pub virtual_cluster: String,
    /// How placements call the place of a job there. The virtual cluster itself has one namespace for all.
    pub namespace: NamespaceRule,
    /// When it counts as lost and as back.
    pub thresholds: Thresholds,
    /// Whether somebody has to agree to what the link turns out to reach.
    pub admission: Admission,
    /// Times of its machinery.
    pub tempo: Tempo,
    /// The EKS cluster below it, where a connection to that is given: only to look at pods.
    pub below: Option<Beneath>,
    /// What makes requests of orders.
    pub maker: Arc<dyn Maker>,
}

/// A way to the EKS cluster below a virtual cluster.
#[derive(Clone, Debug)]
pub struct Beneath {
    /// The way.
    pub connection: Connection,
    /// What the cluster is called at EKS, where the way says it.
    pub name: Option<String>,
}

impl PartialEq for Beneath {
    fn eq(&self, other: &Self) -> bool {
        self.connection.fingerprint == other.connection.fingerprint && self.name == other.name
    }
}

/// Makes the body of a start of an order.
pub trait Maker: Send + Sync + 'static {
    /// The request. The same order gives the same bytes for ever: a start is repeated with them.
    ///
    /// # Errors
    /// What of the order cannot be said to EMR on EKS.
    fn make(&self, order: &Order, hub: &HubId) -> Result<Made, Inexpressible>;

    /// What can be said. Its name stands for everything that requests are made by: with another one, the link is another
    /// link.
    fn backend(&self) -> Arc<dyn Backend>;
}

/// A request as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    /// JSON, with `name`, `clientToken` and the router's `tags` in it.
    pub body: Vec<u8>,
    /// The hash that goes on record before it is sent.
    pub hash: String,
}

/// Times of a link's machinery. The defaults are for AWS; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// The poller's.
    pub poll: poll::Tempo,
    /// Between looks at the virtual cluster while it answers.
    pub probe_every: Duration,
    /// A look unanswered for this long is missed.
    pub probe_deadline: Duration,
    /// Between looks while it does not answer.
    pub probe_again: Duration,
    /// Without a walk that succeeded for this long, what is shown of runs is too old to start more.
    pub stale_after: Duration,
    /// A start that was not answered may still take effect for this long.
    pub settle: Duration,
    /// For so long after that a list that does not show its run is believed only with an answer of AWS to the same start.
    /// How late lists may be is not published; most are fresh within seconds.
    pub unheard: Duration,
    /// Between two cancels of one run. A router that cancelled without a limit throttled its whole account
    /// (aws-controllers-k8s/community#2592).
    pub cancel_again: Duration,
    /// A run that is being stopped is looked at again after this long.
    pub stop_look: Duration,
    /// Starts on their way at once.
    pub window: usize,
    /// A start waits this long for its turn before its job is sent away, to be called later.
    pub turn: Duration,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            poll: poll::Tempo::default(),
            probe_every: Duration::from_secs(10),
            probe_deadline: Duration::from_secs(5),
            probe_again: Duration::from_secs(2),
            stale_after: Duration::from_mins(2),
            settle: Duration::from_secs(30),
            unheard: Duration::from_mins(5),
            cancel_again: Duration::from_mins(1),
            stop_look: Duration::from_secs(5),
            window: 16,
            turn: Duration::from_secs(2),
        }
    }
}

/// What such a link is made of. Clients come from `clients`, when the link starts and not before.
pub fn blueprint(settings: Settings, clients: Clients) -> Arc<dyn Blueprint> {
    Arc::new(Plan { settings, clients })
}

struct Plan {
    settings: Settings,
    clients: Clients,
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&self.settings, &other.settings);
        one.name == other.name
            && one.access == other.access
            && one.virtual_cluster == other.virtual_cluster
            && one.namespace == other.namespace
            && one.thresholds == other.thresholds
            && one.admission == other.admission
            && one.tempo == other.tempo
            && one.below == other.below
            && one.maker.backend().name() == other.maker.backend().name()
    }
}

impl Blueprint for Plan {
    fn name(&self) -> &ClusterName {
        &self.settings.name
    }

    fn is_same(&self, other: &dyn Blueprint) -> bool {
        link::same(self, other)
    }

    fn start(&self, ground: &Ground) -> Result<Arc<dyn Link>, Error> {
        let link = EmrLink::new(self.settings.clone(), ground)?;
        link.start_tasks(self.clients.clone(), ground);
        Ok(link)
    }
}
