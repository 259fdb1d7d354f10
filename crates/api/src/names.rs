//! Labels, annotations, finalizers and the field manager.
//!
//! Owns no state. A name here is a promise to objects that already exist: it must never change its meaning, and no other
//! file may spell one out.

/// The prefix of everything that is ours on an object. Users' templates may not use it.
pub const PREFIX: &str = "sparkrouter.dev/";

/// The field manager of every write to the hub.
pub const FIELD_MANAGER: &str = "spark-router";

/// Finalizer on a `RoutedSparkJob`: held until the job runs nowhere and never will.
pub const JOB_FINALIZER: &str = "sparkrouter.dev/job";
/// Finalizer on a remote application: held until its outcome is on the hub.
pub const OUTCOME_FINALIZER: &str = "sparkrouter.dev/outcome";
/// Finalizer on a `MemberCluster`: held while jobs are placed on it.
pub const PLACEMENTS_FINALIZER: &str = "sparkrouter.dev/placements";

/// Label on a remote application and its pods: the hub's id.
pub const ORIGIN_LABEL: &str = "sparkrouter.dev/origin";
/// Label on a remote application and its pods: the job's uid.
pub const JOB_UID_LABEL: &str = "sparkrouter.dev/job-uid";
/// Label on a remote application and its pods: the attempt, from 1.
pub const ATTEMPT_LABEL: &str = "sparkrouter.dev/attempt";
/// Label on a remote application and its pods: the queue.
pub const QUEUE_LABEL: &str = "sparkrouter.dev/queue";
/// Label on a remote application and its pods: the job's namespace on the hub, for whose account it runs.
pub const TEAM_LABEL: &str = "sparkrouter.dev/team";

/// Annotation on a remote application: the job's namespace on the hub.
pub const JOB_NAMESPACE_ANNOTATION: &str = "sparkrouter.dev/job-namespace";
/// Annotation on a remote application: the job's name on the hub.
pub const JOB_NAME_ANNOTATION: &str = "sparkrouter.dev/job-name";
/// Annotation on a remote application: the placement's sequence number in its queue.
pub const SEQ_ANNOTATION: &str = "sparkrouter.dev/seq";
/// Annotation on a remote application: a hash of what was rendered, to tell a repeated create from a changed one.
pub const RENDER_HASH_ANNOTATION: &str = "sparkrouter.dev/render-hash";

/// Annotation that a user sets to `true` on a job being deleted: let it go, although it may still run on a member that
/// does not answer.
pub const ABANDON_ANNOTATION: &str = "sparkrouter.dev/abandon";

/// Annotation that a user sets on a SparkQueue whose older jobs hold because the hub was put back to an earlier state: the
/// number in its `status.restored.seq`, and they go. What `spark-router acknowledge` writes.
pub const ACKNOWLEDGE_ANNOTATION: &str = "sparkrouter.dev/acknowledge";

/// Marks of the tools that own an object on the hub. On a member they would make such a tool there prune or adopt what it
/// finds.
const OWNERS: [&str; 6] = [
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "helm.sh/",
    "meta.helm.sh/",
    "kubectl.kubernetes.io/",
];
/// Argo's other mark.
const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// Whether a label or annotation is a mark of a tool that owns the object on the hub: it is not for members.
pub fn is_owners_mark(key: &str) -> bool {
    key == INSTANCE_LABEL || OWNERS.iter().any(|owner| key.starts_with(owner))
}
