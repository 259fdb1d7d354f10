//! Real control planes on loopback for tests and the demo.
//!
//! Purpose: start real etcd, Kubernetes API servers, controllers, the Kubeflow Spark operator, KWOK and
//! batch schedulers, and moto for AWS, as processes of this machine, and take all of them away again, whatever happens to the process that asked for them. Owns the
//! processes and the folder of one [`Fleet`]. It must never fake an API server: what is tested against a fake is only
//! proved against that fake.

pub mod apache;
pub mod audit;
pub mod cluster;
pub mod compute;
pub mod eks;
pub mod error;
pub mod etcd;
pub mod fault;
pub mod fleet;
pub mod kubeconfig;
pub mod kubeflow;
pub mod kubelet;
pub mod kueue;
pub mod manifest;
pub mod moto;
pub mod operator;
pub mod pki;
mod plain;
pub mod pyspark;
pub mod router;
pub mod slot;
pub mod spark_submit;
pub mod supervise;
pub mod tools;
pub mod yunikorn;

pub use cluster::{Cluster, Part};
pub use compute::KwokOptions;
pub use error::{Error, chain};
pub use fleet::{Fleet, MemberOptions, OperatorKind};
pub use kubeflow::{KubeflowOptions, Submit};
