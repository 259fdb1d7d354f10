//! AWS clients, made when somebody needs them, and the calls of EMR on EKS. The one call of EKS is where its answer is used.
//!
//! Owns one client for each set of [`Access`], shared by all members that use it: credentials are fetched once and the
//! SDK renews them. Everything is bounded: connections, attempts, calls, and the size of answers. Must never log what a
//! job is started with: entry point, arguments and parameters may hold secrets.

mod access;
mod chain;
mod failure;
mod guard;
mod http;
mod pace;
mod run;
mod service;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_emrcontainers::{Client, config::SharedHttpClient};
use tokio::sync::Mutex;

pub(crate) use self::guard::{Guard, Kind};
pub use self::{
    access::{Access, Credentials, Role},
    failure::{Answer, Class, Failure, classify},
    guard::Guarding,
    pace::Pace,
    run::{JobRun, RunId, VirtualCluster},
    service::{Emr, Page, Query, Start},
};
use crate::bucket::{Api, Buckets, Limit};

/// See the module. Clones share the clients.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    http: OnceLock<SharedHttpClient>,
    made: Mutex<HashMap<Access, Client>>,
    made_for_eks: Mutex<HashMap<Access, (aws_sdk_eks::Client, SharedCredentialsProvider)>>,
    count: AtomicUsize,
    buckets: Arc<parking_lot::Mutex<Buckets>>,
}

impl Clients {
    /// With these limits of calls instead of the usual ones.
    pub fn with_limits(limits: BTreeMap<Api, Limit>) -> Self {
        let buckets = Arc::new(parking_lot::Mutex::new(Buckets::new(limits)));
        Self(Arc::new(Shared { buckets, ..Shared::default() }))
    }

    /// The calls of one virtual cluster; makes the client if nobody has asked for this access before. Sends nothing.
    pub async fn emr(&self, access: &Access, virtual_cluster: &str, guarding: Guarding) -> Emr {
        let pace = Pace::new(self.0.buckets.clone(), access.account(), &access.region);
        Emr::new(self.client(access).await, virtual_cluster, guarding, pace)
    }

    /// How many clients were made so far.
    pub fn made(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    async fn client(&self, access: &Access) -> Client {
        let mut made = self.0.made.lock().await;
        if let Some(client) = made.get(access) {
            return client.clone();
        }
        let (config, _) = access.config_of(self.http()).await;
        let mut builder = aws_sdk_emrcontainers::config::Builder::from(&config);
        if let Some(url) = &access.endpoint {
            builder = builder.endpoint_url(url.as_str());
        }
        let client = Client::from_conf(builder.build());
        self.0.count.fetch_add(1, Ordering::Relaxed);
        made.insert(access.clone(), client.clone());
        client
    }

    /// The client of EKS, and who it works as: tokens are signed as the same. Makes them if nobody has asked for this access
    /// before. Sends nothing.
    pub(crate) async fn eks(&self, access: &Access) -> (aws_sdk_eks::Client, SharedCredentialsProvider) {
        let mut made = self.0.made_for_eks.lock().await;
        if let Some(known) = made.get(access) {
            return known.clone();
        }
        let (config, credentials) = access.config_of(self.http()).await;
        let mut builder = aws_sdk_eks::config::Builder::from(&config);
        if let Some(url) = &access.endpoint {
            builder = builder.endpoint_url(url.as_str());
        }
        let client = (aws_sdk_eks::Client::from_conf(builder.build()), credentials);
        self.0.count.fetch_add(1, Ordering::Relaxed);
        made.insert(access.clone(), client.clone());
        client
    }

    fn http(&self) -> SharedHttpClient {
        self.0.http.get_or_init(http::client).clone()
    }
}
