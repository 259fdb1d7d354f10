//! What a run breaks: a hub, members ([`crate::site`]) and two routers, each with a way of its own to the hub.
//!
//! Owns all of them. A router that ends is started again, as a Deployment does. It must never take a
//! short cut around what an administrator does: manifests, Secrets and objects of the hub.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use spark_router_testkit::fault::FaultProxy;
use spark_router_testkit::router::{ACCOUNT, Installation, NAMESPACE, Router, RouterOptions, objects};
use spark_router_testkit::{Cluster, Fleet, KwokOptions, MemberOptions, OperatorKind};

use crate::error::Error;
use crate::evidence::Backend;
use crate::fault::Operators;
use crate::plan::Sizes;
use crate::site::{Place, Site};

/// The namespaces of the jobs, on the hub and on members.
pub(crate) const NAMESPACES: [&str; 2] = ["team-a", "team-b"];

/// The queues; the second one shares fairly.
pub(crate) const QUEUES: [&str; 2] = ["etl", "adhoc"];

/// Where the routers' admin pages are, which is also their names.
const HOSTS: [u8; 2] = [250, 251];

/// How long members may take to become Ready at first.
const MEMBERS_READY: Duration = Duration::from_mins(2);

/// A member is lost soon, so that it comes to that in a short run.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(3);

/// How often it is looked whether a router has ended, and how long it stays so, as with a kubelet in a good mood.
const LOOK: Duration = Duration::from_millis(250);
const BACK_OFF: Duration = Duration::from_secs(1);

/// How many job runs a second the routers may start: far more than AWS would let them.
const STARTS: &str = "--aws-starts-per-second=50";

/// The names of the members.
pub(crate) fn names(sizes: Sizes) -> Vec<String> {
    let mixed = Operators::MIXED.iter().map(|(name, _)| (*name).to_owned());
    match sizes.operators {
        Operators::Mixed => mixed.take(sizes.members).collect(),
        _ => (1..=sizes.members).map(|number| format!("m{number}")).collect(),
    }
}

/// The control planes of a run.
pub(crate) async fn fleet(sizes: Sizes) -> Result<Fleet, Error> {
    let plain = |operator| MemberOptions { operator, ..MemberOptions::default() };
    let options = |place| match (sizes.operators, sizes.operators.backend(place)) {
        // Two nodes: where one is taken away, the other one has not room for all.
        (Operators::Kubeflow, _) => {
            Some(MemberOptions { kwok: Some(KwokOptions::sized(2, "32", "256Gi")), ..MemberOptions::spark() })
        }
        (_, Backend::Kubeflow) => Some(plain(OperatorKind::CrdsOnly)),
        (_, Backend::Apache) => Some(plain(OperatorKind::ApacheCrdOnly)),
        (_, Backend::EmrContainers) => None,
    };
    let named = names(sizes).into_iter().enumerate();
    let clusters = named.filter_map(|(place, name)| Some((name, options(place)?)));
    let builder =
        clusters.fold(Fleet::builder().hub(), |builder, (name, options)| builder.member_with(&name, options));
    Ok(builder.start().await?)
}

/// A router and its own way to the hub.
pub(crate) struct Seat {
    pub(crate) router: tokio::sync::Mutex<Chair>,
    pub(crate) way: FaultProxy,
    name: String,
}

/// The router's process.
pub(crate) struct Chair {
    pub(crate) router: Router,
    /// It is meant to be down.
    pub(crate) held: bool,
}

/// See the module.
pub(crate) struct Stage<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) installation: Installation<'a>,
    pub(crate) sites: Vec<Site<'a>>,
    pub(crate) seats: Vec<Seat>,
    /// Who led when it was last seen.
    led: AtomicUsize,
    /// How often a router ended by itself.
    pub(crate) ended: AtomicU64,
}

impl<'a> Stage<'a> {
    /// Sets everything up and returns when the members are Ready.
    pub(crate) async fn set(fleet: &'a Fleet, sizes: Sizes, binary: &Path) -> Result<Self, Error> {
        let installation = Installation::new(fleet).await?;
        let mut sites = Vec::new();
        let names = names(sizes);
        for ((place, name), number) in names.iter().enumerate().zip(0_u8..) {
            // Back at once, or it would hardly take anything.
            let settings = json!({
                "retention": "1s",
                "health": {"lostAfterSeconds": LOST_AFTER.as_secs(), "readyAfterSeconds": 1},
                "capacity": {"cpu": "60"},
            });
            let backend = sizes.operators.backend(place);
            sites.push(if backend == Backend::EmrContainers {
                Site::virtual_cluster(&installation, fleet, (name, number), settings).await?
            } else {
                let kind = (sizes.operators, backend);
                Site::cluster(&installation, (fleet.find(name)?, name), kind, settings).await?
            });
        }
        for namespace in NAMESPACES {
            installation.namespace(namespace).await?;
        }
        for (queue, order) in QUEUES.iter().zip(["Fifo", "FairShare"]) {
            let shares: &[u32] =
                if sizes.operators == Operators::Mixed { &[30, 20, 25, 25] } else { &[50, 30, 20] };
            let weights: Vec<_> =
                names.iter().map(String::as_str).zip(shares.iter().copied().cycle()).collect();
            let mut object = objects::queue(queue, &objects::weights(&weights));
            objects::merge(&mut object, json!({"spec": {"order": order}}));
            fleet.hub().apply_manifest(&object.to_string()).await?;
        }
        let mut seats = Vec::new();
        for host in HOSTS {
            seats.push(seat(fleet, host, binary, &sites).await?);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        installation.wait_members(&names, MEMBERS_READY).await?;
        Ok(Self { fleet, installation, sites, seats, led: AtomicUsize::new(0), ended: AtomicU64::new(0) })
    }

    /// The hub.
    pub(crate) fn hub(&self) -> &'a Cluster {
        self.fleet.hub()
    }

    /// The place of the router that leads, or of the one that did when the hub could last be asked.
    pub(crate) async fn leader(&self) -> usize {
        let leases: Api<Lease> = Api::namespaced(self.hub().client(), NAMESPACE);
        let asked = tokio::time::timeout(Duration::from_secs(1), leases.get_opt("spark-router")).await;
        let holder = asked.ok().and_then(Result::ok).flatten();
        let holder = holder.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity);
        if let Some(place) = self.seats.iter().position(|seat| Some(&seat.name) == holder.as_ref()) {
            self.led.store(place, Ordering::Relaxed);
        }
        self.led.load(Ordering::Relaxed)
    }

    /// Starts routers again that ended by themselves. Never returns.
    pub(crate) async fn keep_running(&self) -> Result<(), Error> {
        loop {
            tokio::time::sleep(LOOK).await;
            for seat in &self.seats {
                let has_ended = {
                    let chair = seat.router.lock().await;
                    !chair.held && chair.router.process().ended().is_some()
                };
                if !has_ended {
                    continue;
                }
                tokio::time::sleep(BACK_OFF).await;
                let mut chair = seat.router.lock().await;
                if !chair.held && chair.router.process().ended().is_some() {
                    self.ended.fetch_add(1, Ordering::Relaxed);
                    chair.router.restart()?;
                }
            }
        }
    }
}

async fn seat(fleet: &Fleet, host: u8, binary: &Path, sites: &[Site<'_>]) -> Result<Seat, Error> {
    let hub = fleet.hub();
    let way = FaultProxy::start(hub.server(), hub.authority().certificate()).await?;
    let token = hub.token_for(NAMESPACE, ACCOUNT).await?;
    let kubeconfig = way.kubeconfig(&hub.kubeconfig_with_token(hub.server(), &token))?;
    let path = hub.folder().join(format!("way-of-{host}.kubeconfig"));
    std::fs::write(&path, kubeconfig).map_err(Error::file("write", &path))?;
    let mut environment = vec![("KUBECONFIG".to_owned(), path.to_string_lossy().into_owned())];
    let mut arguments = vec!["--retention-floor=1s".to_owned()];
    let moto = sites.iter().find_map(|site| match &site.place {
        Place::Virtual(here) => Some(&here.moto),
        Place::Cluster(_) => None,
    });
    if let Some(moto) = moto {
        // Each member names its own endpoint; any other service of AWS must be on loopback, too.
        environment.extend(moto.environment().map(|(key, value)| (key.to_owned(), value)));
        arguments.push(STARTS.to_owned());
    }
    let options = RouterOptions { arguments, environment, host, ..RouterOptions::default() };
    let router = Router::start(fleet, binary, options).await?;
    router.wait_ready().await?;
    let router = tokio::sync::Mutex::new(Chair { router, held: false });
    Ok(Seat { router, way, name: format!("router-{host}") })
}
