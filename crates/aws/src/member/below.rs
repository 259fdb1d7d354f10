//! The EKS cluster below a virtual cluster, as far as its pods tell what EMR does not.
//!
//! Owns a client of it, and whether it has proved to be the right one. EMR calls a run failed when it loses sight of it,
//! and cannot cancel it then: only its pods tell whether it still runs. That no pod is shown is worth nothing on another
//! cluster, so it counts only where the cluster is known by name, or has shown pods of this very virtual cluster.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use spark_router_api::names;
use spark_router_core::id::HubId;
use spark_router_member::{
    Driver, StopOrder,
    error::chain,
    pods::{Pods, SeenPod},
};

use crate::client::{RunId, VirtualCluster};

/// Labels that EMR on EKS sets on every pod of a run.
const RUN: &str = "emr-containers.amazonaws.com/job.id";
const VIRTUAL_CLUSTER: &str = "emr-containers.amazonaws.com/virtual-cluster-id";
/// Spark's own.
const ROLE: &str = "spark-role";

/// See the module.
#[derive(Debug)]
pub(super) struct Below {
    pods: Pods,
    /// Its name at EKS, where the connection says it.
    name: Option<String>,
    /// It has shown a pod of the virtual cluster.
    is_right: AtomicBool,
    /// Since when nothing of a run is left.
    clear: Mutex<HashMap<RunId, Instant>>,
}

/// What is left of a run.
#[derive(Debug, PartialEq)]
pub(super) enum Left {
    /// Nothing, and it was so some time ago as well.
    Nothing,
    /// Nothing at this moment: something that was under way may still come.
    NothingYet,
    /// These live.
    Alive(Vec<SeenPod>),
}

impl Below {
    pub(super) fn new(pods: Pods, name: Option<String>) -> Self {
        Self { pods, name, is_right: AtomicBool::new(false), clear: Mutex::default() }
    }

    /// All pods of a run that are shown.
    ///
    /// # Errors
    /// Why that is not known, in words for people.
    pub(super) async fn pods_of(
        &self,
        id: &str,
        cluster: &VirtualCluster,
        run: &RunId,
    ) -> Result<Vec<SeenPod>, String> {
        let (eks, namespace) =
            cluster.eks.as_ref().ok_or("AWS does not say which EKS cluster the virtual cluster is on")?;
        let unread = |error| format!("the pods on EKS cluster {eks} cannot be looked at: {}", chain(&error));
        let seen = self.pods.labelled(namespace, RUN, &run.0).await.map_err(unread)?;
        let is_named = match &self.name {
            Some(name) if name == eks => true,
            Some(name) => {
                return Err(format!(
                    "spec.connection.eks.cluster names {name}, but the virtual cluster is on {eks}; correct it"
                ));
            }
            None => false,
        };
        if !seen.is_empty() {
            self.is_right.store(true, Ordering::Relaxed);
        } else if !is_named && !self.is_right.load(Ordering::Relaxed) {
            if !self.pods.has_any(namespace, VIRTUAL_CLUSTER, id).await.map_err(unread)? {
                return Err(format!(
                    "whether spec.connection reaches EKS cluster {eks} is not certain: it shows no pod of this virtual \
                     cluster in namespace {namespace}"
                ));
            }
            self.is_right.store(true, Ordering::Relaxed);
        }
        Ok(seen)
    }

    /// What is left of a run, by pods that were just shown. Nothing counts only after `settle`.
    pub(super) fn left(&self, run: &RunId, seen: Vec<SeenPod>, settle: Duration) -> Left {
        let alive: Vec<SeenPod> = seen.into_iter().filter(|pod| !pod.over).collect();
        let mut clear = self.clear.lock();
        if !alive.is_empty() {
            clear.remove(run);
            return Left::Alive(alive);
        }
        clear.retain(|known, since| known == run || since.elapsed() < settle * 10);
        let since = *clear.entry(run.clone()).or_insert_with(Instant::now);
        if since.elapsed() >= settle { Left::Nothing } else { Left::NothingYet }
    }

    /// Deletes pods of the attempt, each by its own word for whose it is. How many are somebody else's.
    ///
    /// # Errors
    /// Why not, in words for people.
    pub(super) async fn end(
        &self,
        cluster: &VirtualCluster,
        hub: &HubId,
        order: &StopOrder,
        alive: &[SeenPod],
    ) -> Result<usize, String> {
        let Some((eks, namespace)) = &cluster.eks else { return Ok(alive.len()) };
        let (ours, others): (Vec<_>, Vec<_>) = alive.iter().partition(|pod| is_of(pod, hub, order));
        for pod in ours.into_iter().filter(|pod| !pod.deleting) {
            self.pods.delete(namespace, pod).await.map_err(|error| {
                format!("pod {} on EKS cluster {eks} cannot be deleted: {}", pod.name, chain(&error))
            })?;
        }
        Ok(others.len())
    }
}

fn is_of(pod: &SeenPod, hub: &HubId, order: &StopOrder) -> bool {
    let has = |label: &str, value: &str| pod.labels.get(label).is_some_and(|is| is == value);
    has(names::ORIGIN_LABEL, hub.as_str())
        && has(names::JOB_UID_LABEL, order.job.as_str())
        && has(names::ATTEMPT_LABEL, &order.attempt.to_string())
}

/// What became of the driver, by the pods of its run. EMR makes another one where it retries; while anything of the run
/// lives, one may still come.
pub(super) fn driver(pods: &[SeenPod]) -> Driver {
    let drivers = || pods.iter().filter(|pod| pod.labels.get(ROLE).is_some_and(|role| role == "driver"));
    let living = || pods.iter().filter(|pod| !pod.over);
    match drivers().find(|pod| !pod.over) {
        // A sidecar may keep the pod of a driver that has ended. Somebody else of the run may make the next one.
        Some(alive) if living().count() == 1 || !has_ended(&alive.driver) => return alive.driver.clone(),
        None if living().count() == 0 => {}
        _ => return Driver::Alive,
    }
    drivers().max_by_key(|pod| pod.created).map_or(Driver::Gone, |last| last.driver.clone())
}

fn has_ended(driver: &Driver) -> bool {
    matches!(driver, Driver::Succeeded | Driver::Failed(..) | Driver::Gone)
}

#[cfg(test)]
mod tests {
    use spark_router_core::observe::FailureSign;

    use super::*;

    fn pod(role: Option<&str>, over: bool, second: i64, driver: Driver) -> SeenPod {
        SeenPod {
            name: format!("p{second}"),
            uid: format!("u{second}"),
            labels: role.map(|role| (ROLE.to_owned(), role.to_owned())).into_iter().collect(),
            created: jiff::Timestamp::from_second(second).ok(),
            over,
            deleting: false,
            driver,
        }
    }

    #[test]
    fn the_driver_is_the_one_that_lives_or_the_last_one() {
        let failed = || Driver::Failed(FailureSign::Application, "exit code 1".to_owned());
        let waiting = || Driver::Waiting { reason: "Unschedulable", message: "no room".to_owned() };
        assert_eq!(driver(&[]), Driver::Gone);
        assert_eq!(
            driver(&[pod(None, true, 1, Driver::Succeeded)]),
            Driver::Gone,
            "who submitted is no driver"
        );
        assert_eq!(driver(&[pod(None, false, 1, Driver::Alive)]), Driver::Alive, "it may still make one");
        let first = || pod(Some("driver"), true, 1, failed());
        assert_eq!(driver(&[first(), pod(Some("driver"), true, 2, Driver::Succeeded)]), Driver::Succeeded);
        assert_eq!(driver(&[first(), pod(Some("driver"), false, 2, waiting())]), waiting());
        assert_eq!(driver(&[first(), pod(Some("executor"), false, 2, Driver::Alive)]), Driver::Alive);
        let beside = pod(Some("driver"), false, 1, failed());
        assert_eq!(driver(std::slice::from_ref(&beside)), failed(), "only its sidecar lives");
        assert_eq!(driver(&[beside, pod(None, false, 0, Driver::Alive)]), Driver::Alive, "another may come");
        assert_eq!(driver(&[first(), pod(Some("executor"), true, 2, Driver::Succeeded)]), failed());
    }
}
