//! A hub and its members, started together and gone together.
//!
//! Purpose: the one thing that a test or the demo asks for. Owns the address, the folder, every process and every
//! background task; dropping it ends them all, and so does the end of the process in any way. It must never share
//! anything with another fleet but the cache of built programs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::future::try_join_all;

use crate::apache;
use crate::cluster::{Cluster, Site};
use crate::compute::{self, KwokOptions};
use crate::etcd::Etcd;
use crate::kubeflow::{self, KubeflowOptions};
use crate::slot::Slot;
use crate::spark_submit::StandIn;
use crate::supervise::Supervisor;
use crate::tools::{self, Tools};
use crate::{Error, chain};

/// The name of the hub cluster.
const HUB: &str = "hub";

/// The first port of the shared etcd; each other one has the next two.
const ETCD_PORT: u16 = 12379;

/// What runs beside the API server and the controller-manager of a cluster. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct MemberOptions {
    /// Whether pods are scheduled by the real kube-scheduler.
    pub scheduler: bool,
    /// Nodes played by KWOK; pods on them live as their annotations say.
    pub kwok: Option<KwokOptions>,
    /// Who acts on SparkApplications.
    pub operator: OperatorKind,
    /// Whether it has an etcd of its own, so that it can be put back to an earlier state ([`Cluster::back_up`]).
    pub own_etcd: bool,
}

impl MemberOptions {
    /// Everything that runs Spark jobs without Spark: scheduler, one KWOK node, the Kubeflow operator with the stand-in.
    pub fn spark() -> Self {
        Self {
            scheduler: true,
            kwok: Some(KwokOptions::default()),
            operator: OperatorKind::Kubeflow(KubeflowOptions::default()),
            own_etcd: false,
        }
    }
}

/// Who acts on the SparkApplications of a cluster.
#[derive(Debug, Clone, Default)]
pub enum OperatorKind {
    /// Nobody, and there are no CRDs.
    #[default]
    None,
    /// The CRDs are there, but nobody acts: for test code that plays the operator.
    CrdsOnly,
    /// The CRD of Apache's operator is there, but nobody acts: for test code that plays it.
    ApacheCrdOnly,
    /// The real Kubeflow Spark operator.
    Kubeflow(KubeflowOptions),
}

/// What to start; see [`Fleet::builder`].
#[derive(Debug, Clone, Default)]
pub struct Builder {
    clusters: Vec<(String, MemberOptions)>,
}

impl Builder {
    /// Adds the hub: an API server and a controller-manager.
    #[must_use]
    pub fn hub(self) -> Self {
        self.hub_with(MemberOptions::default())
    }

    /// Adds a hub that runs Spark too.
    #[must_use]
    pub fn hub_with(self, options: MemberOptions) -> Self {
        self.member_with(HUB, options)
    }

    /// Adds a member without anything that runs jobs.
    #[must_use]
    pub fn member(self, name: &str) -> Self {
        self.member_with(name, MemberOptions::default())
    }

    /// Adds a member. Names must differ and be fit for file names.
    #[must_use]
    pub fn member_with(mut self, name: &str, options: MemberOptions) -> Self {
        self.clusters.push((name.to_owned(), options));
        self
    }

    /// Starts everything and returns when all of it is ready. Builds the programs first if they are missing, which
    /// takes minutes and says so on stderr.
    pub async fn start(self) -> Result<Fleet, Error> {
        let tools = tools::built(tools::Set::ControlPlanes).await?;
        let slot = Arc::new(Slot::claim()?);
        let folder = tempfile::Builder::new()
            .prefix("spark-router-")
            .tempdir()
            .map_err(Error::file("create", std::env::temp_dir()))?
            .keep();
        let supervisor = Arc::new(Supervisor::start(folder, slot.share()?)?);
        let address = slot.address(1);
        let etcd = Arc::new(Etcd::start(&supervisor, &tools, "etcd", (address, ETCD_PORT)).await?);

        let sites = self.clusters.iter().zip(0u16..).map(|((name, options), index)| {
            let (shared, tools, supervisor) = (&etcd, &tools, &supervisor);
            async move {
                let etcd = if options.own_etcd {
                    let port = ETCD_PORT + 2 * (index + 1);
                    Arc::new(Etcd::start(supervisor, tools, &format!("{name}-etcd"), (address, port)).await?)
                } else {
                    Arc::clone(shared)
                };
                let own_etcd = options.own_etcd;
                Cluster::start(Site { name, address, index, etcd, own_etcd, tools, supervisor }).await
            }
        });
        let clusters = try_join_all(sites).await?;
        let furnished =
            clusters.iter().zip(&self.clusters).map(|(cluster, (_, options))| furnish(cluster, options));
        let stand_ins = try_join_all(furnished).await?.into_iter().flatten().collect();

        let clusters = clusters.into_iter().map(|cluster| (cluster.name().to_owned(), cluster)).collect();
        Ok(Fleet { stand_ins, clusters, etcd, tools, slot, supervisor })
    }
}

async fn furnish(cluster: &Cluster, options: &MemberOptions) -> Result<Option<StandIn>, Error> {
    if options.scheduler {
        compute::start_scheduler(cluster)?;
    }
    let nodes = async {
        match &options.kwok {
            Some(kwok) => compute::start_kwok(cluster, kwok).await,
            None => Ok(()),
        }
    };
    let operator = async {
        match &options.operator {
            OperatorKind::None => Ok(None),
            OperatorKind::CrdsOnly => kubeflow::install_crds(cluster).await.map(|()| None),
            OperatorKind::ApacheCrdOnly => apache::install_crd(cluster).await.map(|()| None),
            OperatorKind::Kubeflow(options) => kubeflow::start(cluster, options).await,
        }
    };
    let ((), stand_in) = tokio::try_join!(nodes, operator)?;
    // Last: it looks for new kinds at its start and then only every 30 s.
    cluster.start_controllers()?;
    Ok(stand_in)
}

/// Running clusters. Dropping it ends every process and removes the folder.
#[derive(Debug)]
pub struct Fleet {
    // Dropped in this order: what talks to the clusters first, the processes last.
    stand_ins: Vec<StandIn>,
    clusters: BTreeMap<String, Cluster>,
    etcd: Arc<Etcd>,
    tools: Tools,
    slot: Arc<Slot>,
    supervisor: Arc<Supervisor>,
}

impl Fleet {
    /// Nothing yet; add [`Builder::hub`] and members, then [`Builder::start`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The hub.
    ///
    /// # Panics
    /// If the builder was not asked for one.
    pub fn hub(&self) -> &Cluster {
        self.member(HUB)
    }

    /// The cluster of that name.
    ///
    /// # Panics
    /// If the builder was not asked for it; [`Self::find`] gives an error instead.
    #[allow(clippy::panic, reason = "a misspelt name in a test is a bug of the test")]
    pub fn member(&self, name: &str) -> &Cluster {
        self.find(name).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// The cluster of that name.
    pub fn find(&self, name: &str) -> Result<&Cluster, Error> {
        self.clusters.get(name).ok_or_else(|| Error::NoCluster(name.to_owned()))
    }

    /// All clusters, by name.
    pub fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.clusters.values()
    }

    /// The etcd that all API servers share but those with one of their own.
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// The built programs.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// An address of this fleet for test code; 1 is taken by the clusters themselves.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        self.slot.address(host)
    }

    /// Starts programs that end with the fleet: the router under test, proxies, pods that are processes.
    pub fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// The stand-in of a cluster that was started with one.
    pub fn stand_in(&self, cluster: &str) -> Result<&StandIn, Error> {
        let found = self.stand_ins.iter().find(|stand_in| stand_in.cluster() == cluster);
        found.ok_or_else(|| Error::NoCluster(format!("{cluster} with a spark-submit stand-in")))
    }

    /// An error with the last log lines of the first part that has ended by itself.
    pub fn check(&self) -> Result<(), Error> {
        self.etcd.process().check()?;
        self.clusters.values().try_for_each(Cluster::check)
    }
}
