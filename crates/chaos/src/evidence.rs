//! What is known after a run, as plain data: what was asked for, and what every API server says became of it.
//!
//! Purpose: the one thing that passes from the run to the oracle. Owns the data. It must hold nothing that the router
//! said about itself beyond its objects on the hub.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::Kind;

/// All that the oracle is given. Objects are read when nothing changes any more, and logs after them: an object that is
/// made between the two would seem to have gone without a trace.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Every job that the hub took in, in the order of submission, also those whose submitter got no answer.
    pub jobs: Vec<Submitted>,
    /// The hub.
    pub hub: Side,
    /// The members, by their names on the hub.
    pub members: Vec<Side>,
    /// How long a finished application may outlive its job before the sweep must have taken it. Nothing: not at all.
    pub sweep_within: Duration,
    /// Every fault that met somebody. No verdict rests on them: they are what times of failover are counted from.
    pub faults: Vec<Injected>,
    /// How long a member is silent until it is lost.
    pub lost_after: Duration,
}

/// A time in which something was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// It began.
    pub from: Timestamp,
    /// It was mended.
    pub to: Timestamp,
}

/// One fault as it was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Injected {
    /// What it was.
    pub kind: Kind,
    /// The member, where it broke one.
    pub member: Option<String>,
    /// Nothing else was broken by the run at that time.
    pub alone: bool,
    /// It began.
    pub from: Timestamp,
    /// It was mended.
    pub to: Timestamp,
}

/// One job as the one who submitted it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// The namespace on the hub.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid that the hub gave it.
    pub uid: String,
    /// How it must end if nothing happens to it, and nothing else is asked of it.
    pub meant: Meant,
    /// Whether it was deleted on the hub during the run.
    pub deleted: bool,
    /// Whether it was cancelled during the run.
    pub cancelled: bool,
    /// Whether its failover allows that two of its attempts run at once (`AllowDuplicate`).
    pub duplicates_allowed: bool,
}

/// What a job's script makes of it where nothing disturbs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Meant {
    /// It succeeds.
    Succeed,
    /// Its application fails.
    Fail,
    /// It runs until somebody stops it.
    RunOn,
    /// No member can take it: it waits, and says what for.
    Wait,
}

/// What runs the jobs of a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Backend {
    /// A cluster with Kubeflow's Spark operator.
    #[default]
    Kubeflow,
    /// A cluster with Apache's.
    Apache,
    /// A virtual cluster of EMR on EKS.
    EmrContainers,
}

impl Backend {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Kubeflow, Self::Apache, Self::EmrContainers];

    /// What it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubeflow => "kubeflow",
            Self::Apache => "apache",
            Self::EmrContainers => "emrContainers",
        }
    }
}

/// One control plane at the end of a run.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// `hub`, or the member's name.
    pub name: String,
    /// What runs its jobs, if it is a member.
    pub backend: Backend,
    /// For a virtual cluster the record of its server, one JSON object a line: every run that a start made, with its tags;
    /// every state it came to; every cancel that was acted on, with whose; how each start was answered. For others the audit
    /// log over the whole run, all of its API server's lives: one JSON event a line (`audit.k8s.io/v1`).
    pub audit: PathBuf,
    /// All its objects of the kinds that matter, each with its `kind`, read with quorum at the end: on the hub `RoutedSparkJob`,
    /// `MemberCluster`, `SparkQueue`, `Event`; on a member `SparkApplication` and `Pod`; of a virtual cluster `JobRun`, with id
    /// and state.
    pub objects: Vec<Value>,
    /// The uids of applications that the operator itself submitted twice, by the fault that makes it do so: it doubled
    /// their drivers or lost track of them.
    pub operator_doubled: BTreeSet<String>,
}
