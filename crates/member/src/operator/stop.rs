//! Drives an attempt towards the proof that it runs nowhere and never will.
//!
//! The proof: the application is not there by a quorum read, no send of it can take effect any more, and no pod with the
//! attempt's labels lives. Where a submission may hang unseen, the same proof again a settle time later. Never touches
//! an object that is not this attempt.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, Preconditions, PropagationPolicy},
};
use spark_router_api::names;
use spark_router_core::{id::HubId, observe::Observation};

use crate::{
    error::chain,
    member::{Fence, StopOrder},
    operator::{Operator, READ, dialect::Dialect, in_time, is_attempt},
};

/// Something is being deleted: it is looked at again this soon, unless the watch tells earlier.
const SOON: Duration = Duration::from_secs(1);
/// Proofs of attempts that nobody asks for any more are dropped after this long.
const FORGET: Duration = Duration::from_hours(1);

/// What a stop waits for until its time is settled.
const UNSETTLED: &str = "a create that was sent before and may still take effect";

/// What was seen of an attempt that is being stopped.
#[derive(Debug)]
pub(super) struct Proof {
    /// Its application was seen past the point where a submission may hang unseen.
    submitted: bool,
    /// First time in a row that nothing of it was found.
    nothing_since: Option<Instant>,
    touched: Instant,
}

impl<D: Dialect> Operator<D> {
    pub(super) async fn drive_to_fence(&self, order: &StopOrder) -> Fence {
        if let Err(why) = self.standing.may_be_asked() {
            return Fence::Impossible(why);
        }
        let application = match self.read(&order.namespace, &order.name).await {
            Ok(application) => application,
            Err(error) => return Fence::Impossible(chain(&error)),
        };
        let seen = application.as_ref().and_then(D::observation);
        match seen {
            Some(seen) if is_spared(order, &self.hub, &seen) => Fence::Ended(Box::new(seen)),
            // Ours by job and attempt, whatever uid is on record: a second one of the same attempt is stopped too.
            Some(seen) if is_attempt(&seen, &self.hub, &order.job, order.attempt) => {
                let version = application.and_then(|application| application.meta().resource_version.clone());
                self.delete(order, &seen, version).await
            }
            // Not there, or somebody else's: then this attempt's is not there.
            Some(_) | None => self.prove(order).await,
        }
    }

    async fn delete(&self, order: &StopOrder, seen: &Observation, version: Option<String>) -> Fence {
        self.remember(order, |proof| {
            proof.nothing_since = None;
            // In all other states a submission may be under way right now.
            proof.submitted = D::is_submitted(&seen.native_state);
        });
        if !seen.deleting {
            let parameters = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Foreground),
                preconditions: Some(Preconditions {
                    uid: Some(seen.uid.as_str().to_owned()),
                    // Where its own end counts, it must not have come since it was read.
                    resource_version: version.filter(|_| order.spare_ended),
                }),
                ..DeleteParams::default()
            };
            let applications = self.applications(&order.namespace);
            match tokio::time::timeout(READ, applications.delete(order.name.as_str(), &parameters)).await {
                Ok(Ok(_)) => {}
                // Written since it was read: the next look tells how.
                Ok(Err(kube::Error::Api(status))) if status.code == 409 && order.spare_ended => {
                    return Fence::Pending {
                        until: in_time(Duration::ZERO),
                        waits_for: format!("a change of {}/{} to be read", order.namespace, order.name),
                    };
                }
                // Gone, or another one by now: the next look tells.
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {}
                Ok(Err(error)) => return Fence::Impossible(format!("deleting it failed: {}", chain(&error))),
                Err(_) => return Fence::Impossible("deleting it was not answered".to_owned()),
            }
        }
        // As long as an earlier create may still come, our finalizer keeps the name taken.
        if seen.held && Timestamp::now() < order.settled_at {
            return Fence::Pending { until: order.settled_at, waits_for: UNSETTLED.to_owned() };
        }
        if seen.held
            && let Err(error) = self.remove_finalizer(&order.namespace, &order.name, &seen.uid).await
        {
            return Fence::Impossible(chain(&error));
        }
        Fence::Pending {
            until: in_time(SOON),
            waits_for: format!("the member to delete {}/{} and its driver", order.namespace, order.name),
        }
    }

    async fn prove(&self, order: &StopOrder) -> Fence {
        // Another clock than the record's: the wall clock, as settled_at was made from it.
        if Timestamp::now() < order.settled_at {
            return Fence::Pending { until: order.settled_at, waits_for: UNSETTLED.to_owned() };
        }
        let pods: Api<Pod> = Api::namespaced(self.client(), order.namespace.as_str());
        let labels =
            format!("{}={},{}={}", names::JOB_UID_LABEL, order.job, names::ATTEMPT_LABEL, order.attempt);
        // Without a resource version, a list is a quorum read.
        let listed = tokio::time::timeout(READ, pods.list(&ListParams::default().labels(&labels))).await;
        let living = match listed {
            Ok(Ok(list)) => list.items.into_iter().find(is_alive),
            Ok(Err(error)) => {
                return Fence::Impossible(format!("listing its pods failed: {}", chain(&error)));
            }
            Err(_) => return Fence::Impossible("listing its pods was not answered".to_owned()),
        };
        if let Some(pod) = living {
            self.remember(order, |proof| proof.nothing_since = None);
            let name = pod.metadata.name.unwrap_or_default();
            return Fence::Pending {
                until: in_time(SOON),
                waits_for: format!("pod {}/{name} to end", order.namespace),
            };
        }
        let (submitted, nothing_for) = self.remember(order, |proof| {
            (proof.submitted, proof.nothing_since.get_or_insert_with(Instant::now).elapsed())
        });
        let settle = self.settings.tempo.settle;
        if submitted || nothing_for >= settle {
            self.proofs.lock().remove(&(order.job.clone(), order.attempt));
            return Fence::Proven;
        }
        Fence::Pending {
            until: in_time(settle.saturating_sub(nothing_for)),
            waits_for: "a submission that may still be under way unseen".to_owned(),
        }
    }

    fn remember<T>(&self, order: &StopOrder, change: impl FnOnce(&mut Proof) -> T) -> T {
        let mut proofs = self.proofs.lock();
        proofs.retain(|_, proof| proof.touched.elapsed() < FORGET);
        let proof = proofs.entry((order.job.clone(), order.attempt)).or_insert_with(|| Proof {
            submitted: false,
            nothing_since: None,
            touched: Instant::now(),
        });
        proof.touched = Instant::now();
        change(proof)
    }
}

/// Whether this is the attempt's application and has come to an end that is asked for. Where no uid is on record, it ended
/// before anybody mirrored it, and its labels tell whose it is.
fn is_spared(order: &StopOrder, hub: &HubId, seen: &Observation) -> bool {
    let is_it = order
        .uid
        .as_ref()
        .map_or_else(|| is_attempt(seen, hub, &order.job, order.attempt), |uid| *uid == seen.uid);
    order.spare_ended && is_it && seen.ended_by_itself()
}

/// Whether a pod may run, now or later.
fn is_alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}
