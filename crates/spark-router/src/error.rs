//! What can keep the router from starting or make it stop.

use std::net::SocketAddr;

/// An error of the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The log filter cannot be read.
    #[error(
        "--log {filter:?} is no filter; write a level like info, or pairs like spark_router_controller=debug"
    )]
    LogFilter {
        /// As given.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// No hub is configured.
    #[error("no hub cluster: neither KUBECONFIG, ~/.kube/config nor a pod's service account names one")]
    NoHub(#[source] Box<kube::config::InferConfigError>),
    /// The hub's client cannot be built.
    #[error("cannot build a client for the hub cluster")]
    Client(#[source] spark_router_member::Error),
    /// The hub's identity cannot be read.
    #[error(
        "cannot read namespace kube-system on the hub, whose uid is the hub's identity; grant get on it or set --hub-id"
    )]
    Identity(#[source] Box<kube::Error>),
    /// The hub's kube-system namespace has no uid.
    #[error("the hub's kube-system namespace has no uid; set --hub-id")]
    NoIdentity,
    /// The address for probes and metrics is taken or not ours.
    #[error("cannot listen on --admin-address {address}")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kubeconfig's context leads nowhere.
    #[error("cannot use context {context:?} of the kubeconfig")]
    Context {
        /// As given.
        context: String,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// The manifest cannot be read.
    #[error("cannot read {file}")]
    File {
        /// As given.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The manifest is no RoutedSparkJob.
    #[error("{file} is no RoutedSparkJob: {why}")]
    Manifest {
        /// As given.
        file: String,
        /// Which field, and what is wrong.
        why: String,
    },
    /// A document of a file of members and queues cannot be used.
    #[error("{file}, document {document}: {why}")]
    Fleet {
        /// As given.
        file: String,
        /// Counted from 1.
        document: usize,
        /// Which field, and what is wrong.
        why: String,
    },
    /// A trace cannot be used.
    #[error("{file}")]
    Trace {
        /// As given.
        file: String,
        /// Which line, and what is wrong.
        #[source]
        source: spark_router_simulator::Error,
    },
    /// A simulation cannot be run.
    #[error("cannot simulate")]
    Simulation(#[from] spark_router_simulator::Error),
    /// The hub would refuse the manifest.
    #[error("the hub would refuse it")]
    Refused(#[source] Box<kube::Error>),
    /// The hub could not be read.
    #[error("cannot list {what} on the hub; this needs get and list on {what}")]
    List {
        /// The resource.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// No such queue.
    #[error("there is no SparkQueue {0}")]
    NoQueue(String),
    /// The annotation could not be written.
    #[error("cannot annotate SparkQueue {queue}; acknowledging needs patch on sparkqueues")]
    Acknowledge {
        /// The queue.
        queue: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// No such job.
    #[error("there is no RoutedSparkJob {name} in namespace {namespace}")]
    NoJob {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The hub loop ended by itself.
    #[error("the hub loop ended")]
    Controller(#[from] spark_router_controller::Error),
    /// The runtime cannot be started.
    #[error("cannot start the async runtime or its signal handlers")]
    Runtime(#[source] std::io::Error),
}
