//! How long a job may run and how long it stays after its end, from what it and its queue say.
//!
//! Owns no state. A time that cannot be read is none: it never stops or deletes anything. Nor is a job deleted that
//! somebody's repository would create again, because it would run again.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use spark_router_api::{RoutedSparkJob, SparkQueue};

use super::amounts::duration;

/// Path of the field on jobs and on queues.
const TTL: &str = "spec.ttlAfterFinished";
/// Argo CD's mark on what it owns, where it tracks by annotation.
const ARGO_TRACKING: &str = "argocd.argoproj.io/tracking-id";
/// Argo CD's mark on what it owns, where it tracks by a label of its own. Its former default, `app.kubernetes.io/instance`,
/// proves nothing: Helm and many others set it.
const ARGO_INSTANCE: &str = "argocd.argoproj.io/instance";
/// Argo CD creates such an object with a sync, and not again when it is gone.
const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
/// Flux's marks on what it owns.
const FLUX: [&str; 2] = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];

/// The times that count for a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// How long it may run.
    pub longest_run: Option<Duration>,
    /// How long after its end it is deleted.
    pub expires: Option<Duration>,
    /// Why its own `ttlAfterFinished` does not count, for its user.
    pub ignored: Option<String>,
}

/// The times of a job of that queue; `None` where there is no such queue.
pub fn lifetime(job: &RoutedSparkJob, queue: Option<&SparkQueue>) -> Lifetime {
    let (longest_run, default) = queue.map(times).unwrap_or_default();
    let owner = owner(&job.metadata);
    let is_hook = job.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(ARGO_HOOK));
    let (expires, ignored) = match (own_time_to_live(job), owner) {
        (Ok(None), None) => (default, None),
        (Ok(None), Some(_)) => (None, None),
        (Ok(Some(_)), Some(owner)) if !is_hook => (None, Some(owned(owner))),
        (Ok(own), _) => (own, None),
        (Err(why), _) => {
            (None, Some(format!("{why}; the job is not deleted by itself until that is mended")))
        }
    };
    Lifetime { longest_run, expires, ignored }
}

fn owned(owner: &str) -> String {
    format!(
        "{TTL} does not count: {owner} owns the job and would create it again, and it would run again; take the field \
         out, and remove the job from what {owner} applies when it is not wanted any more"
    )
}

/// A queue's times, as far as they can be read: how long its jobs may run, and how long they stay.
pub fn times(queue: &SparkQueue) -> (Option<Duration>, Option<Duration>) {
    (longest_run(queue).ok().flatten(), time_to_live(queue).ok().flatten())
}

/// A job's own time.
///
/// # Errors
/// The field and the value that cannot be read.
pub(super) fn own_time_to_live(job: &RoutedSparkJob) -> Result<Option<Duration>, String> {
    job.spec.ttl_after_finished.as_ref().map(|written| duration(written, TTL)).transpose()
}

/// Reads a queue's times, for those who only want to know whether they can be read.
///
/// # Errors
/// The field and the value that cannot be read.
pub(super) fn check(queue: &SparkQueue) -> Result<(), String> {
    longest_run(queue).and(time_to_live(queue)).map(drop)
}

fn longest_run(queue: &SparkQueue) -> Result<Option<Duration>, String> {
    let written = queue.spec.limits.longest_run.as_ref();
    written.map(|written| duration(written, "spec.limits.longestRun")).transpose()
}

fn time_to_live(queue: &SparkQueue) -> Result<Option<Duration>, String> {
    queue.spec.ttl_after_finished.as_ref().map(|written| duration(written, TTL)).transpose()
}

/// Who would create the object again.
fn owner(meta: &ObjectMeta) -> Option<&'static str> {
    let label = |key: &str| meta.labels.as_ref().is_some_and(|all| all.contains_key(key));
    let annotation = |key: &str| meta.annotations.as_ref().is_some_and(|all| all.contains_key(key));
    if annotation(ARGO_TRACKING) || label(ARGO_INSTANCE) {
        Some("Argo CD")
    } else if FLUX.into_iter().any(label) {
        Some("Flux")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(labels: &Value, annotations: &Value, ttl: Option<&str>) -> RoutedSparkJob {
        let mut object = json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
            "metadata": {"name": "daily", "namespace": "team-a", "labels": labels, "annotations": annotations},
            "spec": {"queue": "etl", "template": {"spec": {}}},
        });
        if let Some(ttl) = ttl {
            object["spec"]["ttlAfterFinished"] = ttl.into();
        }
        serde_json::from_value(object).unwrap()
    }

    fn queue(longest_run: &str, ttl: Option<&str>) -> SparkQueue {
        let object = json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue", "metadata": {"name": "etl"},
            "spec": {"routes": [], "limits": {"longestRun": longest_run}, "ttlAfterFinished": ttl},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn the_jobs_own_time_goes_before_its_queues() {
        let hours = |n| Some(Duration::from_hours(n));
        let queue = queue("12h", Some("24h"));
        let of = |ttl, queue| lifetime(&job(&json!({}), &json!({}), ttl), queue);
        let read = |longest_run, expires| Lifetime { longest_run, expires, ignored: None };
        assert_eq!(of(None, Some(&queue)), read(hours(12), hours(24)));
        assert_eq!(of(Some("1h"), Some(&queue)), read(hours(12), hours(1)));
        assert_eq!(of(Some("1h"), None), read(None, hours(1)), "the queue is gone");
        assert_eq!(of(None, None), Lifetime::default());
    }

    #[test]
    fn what_would_be_created_again_is_not_deleted() {
        let queue = queue("12h", Some("24h"));
        let owned = [
            (
                json!({}),
                json!({"argocd.argoproj.io/tracking-id": "app:sparkrouter.dev/RoutedSparkJob:team-a/daily"}),
                "Argo CD",
            ),
            (json!({"argocd.argoproj.io/instance": "app"}), json!({}), "Argo CD"),
            (
                json!({"app.kubernetes.io/instance": "app"}),
                json!({"argocd.argoproj.io/tracking-id": "x"}),
                "Argo CD",
            ),
            (json!({"kustomize.toolkit.fluxcd.io/name": "apps"}), json!({}), "Flux"),
            (json!({"helm.toolkit.fluxcd.io/name": "apps"}), json!({}), "Flux"),
        ];
        for (labels, annotations, owner) in owned {
            let plain = lifetime(&job(&labels, &annotations, None), Some(&queue));
            assert_eq!((plain.expires, plain.ignored), (None, None), "{owner} {labels}");
            let own = lifetime(&job(&labels, &annotations, Some("1h")), Some(&queue));
            assert_eq!(own.expires, None, "{owner} {labels}");
            let why = own.ignored.unwrap();
            assert!(why.starts_with(&format!("spec.ttlAfterFinished does not count: {owner} owns")), "{why}");
            assert!(own.longest_run.is_some(), "its run is bounded all the same");
        }
        let helm = json!({"app.kubernetes.io/instance": "app"});
        let helm = lifetime(&job(&helm, &json!({}), None), Some(&queue));
        assert_eq!(helm.expires, Some(Duration::from_hours(24)), "a label that anybody sets");
    }

    #[test]
    fn a_hook_of_argo_cd_may_say_when_it_goes() {
        let annotations = json!({"argocd.argoproj.io/tracking-id": "x", "argocd.argoproj.io/hook": "Sync"});
        let queue = queue("12h", Some("24h"));
        let of = |ttl| lifetime(&job(&json!({}), &annotations, ttl), Some(&queue)).expires;
        assert_eq!(of(Some("1h")), Some(Duration::from_hours(1)));
        assert_eq!(of(None), None, "Argo CD has a policy of its own for it");
    }

    #[test]
    fn what_cannot_be_read_neither_stops_nor_deletes() {
        let mistaken =
            lifetime(&job(&json!({}), &json!({}), Some("a day")), Some(&queue("12h", Some("24h"))));
        assert_eq!(mistaken.expires, None, "not its queue's either: it asked for something else");
        let why = mistaken.ignored.unwrap();
        assert!(why.starts_with("spec.ttlAfterFinished: \"a day\" is not a duration"), "{why}");
        let broken = queue("long", Some("24h"));
        let of_broken = lifetime(&job(&json!({}), &json!({}), None), Some(&broken));
        assert_eq!((of_broken.longest_run, of_broken.expires), (None, Some(Duration::from_hours(24))));
        assert!(check(&broken).unwrap_err().starts_with("spec.limits.longestRun: \"long\" is not"));
        assert!(check(&queue("1h", Some("1 h"))).unwrap_err().starts_with("spec.ttlAfterFinished"));
        assert_eq!(check(&queue("1h", None)), Ok(()));
    }
}
