//! What everything is called that the core knows by a name.
//!
//! Owns the names, made once: a walk asks for them millions of times.

use std::sync::{Arc, LazyLock};

use spark_router_core::{
    id::{ClusterName, HubId, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName, RemoteUid},
    job::{Constraints, Request},
    resources::Resources,
};

use crate::member::{ATTEMPTS, MEMBERS};

/// Highest number of a uid that has a name.
const UIDS: u8 = 32;

/// See the module.
pub(super) struct Names {
    pub(super) key: JobKey,
    pub(super) job: JobUid,
    pub(super) hub: HubId,
    pub(super) clusters: [ClusterName; MEMBERS],
    pub(super) identities: [MemberIdentity; MEMBERS],
    pub(super) namespace: Namespace,
    pub(super) applications: [RemoteName; ATTEMPTS],
    pub(super) queue: QueueName,
    pub(super) uids: Vec<RemoteUid>,
    pub(super) request: Arc<Request>,
}

pub(super) static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let namespace = Namespace::from("spark");
    let queue = QueueName::from("q");
    Names {
        key: JobKey { namespace: namespace.clone(), name: "job".to_owned() },
        job: JobUid::from("job"),
        hub: HubId::from("hub"),
        clusters: [ClusterName::from("m0"), ClusterName::from("m1")],
        identities: [MemberIdentity::from("id0"), MemberIdentity::from("id1")],
        namespace,
        applications: std::array::from_fn(|attempt| RemoteName::new(format!("job-{attempt}"))),
        queue: queue.clone(),
        uids: (0..UIDS).map(|uid| RemoteUid::new(uid.to_string())).collect(),
        request: Arc::new(Request {
            queue,
            priority: 0,
            constraints: Constraints::default(),
            spark_version: "3.5".into(),
            expressed: <_>::default(),
            sub_queue: None,
            parts: 0,
            demand: Resources::default(),
            spec_hash: String::new(),
        }),
    }
});

pub(super) fn uid(number: u8) -> RemoteUid {
    NAMES.uids[usize::from(number % UIDS)].clone()
}

/// The number of a uid that a step names.
pub(crate) fn number(uid: &RemoteUid) -> u8 {
    uid.as_str().parse().unwrap_or(0)
}

pub(super) fn cluster(member: u8) -> ClusterName {
    NAMES.clusters[usize::from(member)].clone()
}
