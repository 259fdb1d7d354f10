//! The lease as a record on the hub: reading, taking, renewing, giving back.
//!
//! Owns the Lease `spark-router` in the router's own namespace. What to do next is decided in
//! [`spark_router_core::lease`]; here are the calls, each bounded in time. Must never write it but on the version that was
//! read, nor go on once it is lost.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease as LeaseObject, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use spark_router_core::lease::{Claim, Lost, Move, Record, Terms};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Lease;
use crate::error::Error;

/// The name of the record.
const NAME: &str = "spark-router";
/// Its holder renews it, and the others look at it, this often.
const EVERY: Duration = Duration::from_secs(1);
/// A call is given up after this long: two fit into the time of a holder.
const PATIENCE: Duration = Duration::from_secs(3);
/// A process that does not hold it ends when its calls are refused so many times in a row: rights are missing. An API
/// server that has just started refuses some too, until it knows who may what.
const REFUSALS: u32 = 30;
/// The same for a process that was never answered: whoever installs it waits for the error.
const FIRST_REFUSALS: u32 = 5;

/// Keeps the record.
pub(super) struct Keeper {
    api: Api<LeaseObject>,
    namespace: String,
    instance: String,
    claim: Claim,
    /// The object as it was last seen: what others put on it stays.
    object: LeaseObject,
    lease: Lease,
    refusals: Refusals,
    /// The holder that was named in the log last.
    shown: Option<String>,
}

impl Keeper {
    /// One that has seen nothing yet.
    pub(super) fn new(client: Client, namespace: &str, instance: &str, lease: Lease) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            instance: instance.to_owned(),
            claim: Claim::new(instance, Terms::default()),
            object: LeaseObject::default(),
            lease,
            refusals: Refusals::default(),
            shown: None,
        }
    }

    /// Takes the lease when it is free and keeps it; gives it back when told to.
    pub(super) async fn run(mut self, release: CancellationToken) -> Result<(), Error> {
        loop {
            let began = self.lease.now();
            let next = self.claim.next(began);
            let pause = match next {
                Move::Lost(lost) => return Err(self.lost(&lost)),
                Move::Wait { until } => {
                    self.stands_by();
                    self.claim.doubt();
                    EVERY.min(until.saturating_sub(began))
                }
                Move::Read | Move::Create { .. } | Move::Replace { .. } => {
                    let asked = next == Move::Read;
                    let answered = tokio::select! {
                        answered = self.call(next, began) => answered,
                        // Nothing to give back, or it will be looked up.
                        () = release.cancelled() => { self.claim.doubt(); Ok(()) }
                    };
                    match answered {
                        Ok(()) if asked => Duration::ZERO,
                        Ok(()) => EVERY.saturating_sub(self.lease.now().saturating_sub(began)),
                        Err(error) => {
                            self.claim.doubt();
                            self.failed(error)?;
                            EVERY.saturating_sub(self.lease.now().saturating_sub(began))
                        }
                    }
                }
            };
            tokio::select! {
                biased;
                () = release.cancelled() => { self.release().await; return Ok(()) }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Makes one call and takes its answer in.
    async fn call(&mut self, next: Move, began: Duration) -> Result<(), kube::Error> {
        // A holder does not wait beyond its time.
        let left = self.claim.until().map_or(PATIENCE, |until| until.saturating_sub(began));
        let patience = PATIENCE.min(left);
        let parameters = PostParams::default();
        let call = async {
            match next {
                Move::Create { tenure } => {
                    let object = self.renewed(LeaseObject::default(), tenure);
                    self.api.create(&parameters, &object).await.map(Some)
                }
                Move::Replace { tenure, .. } => {
                    let object = self.renewed(self.object.clone(), tenure);
                    self.api.replace(NAME, &parameters, &object).await.map(Some)
                }
                Move::Read | Move::Wait { .. } | Move::Lost(_) => self.api.get_opt(NAME).await,
            }
        };
        let writes = !matches!(next, Move::Read);
        let answer = match tokio::time::timeout(patience, call).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(kube::Error::Service(elapsed.into())),
        };
        match answer {
            Ok(Some(object)) if writes => {
                self.refusals.in_a_row = 0;
                self.claim.wrote(record(&object), began);
                self.object = object;
                self.leads();
            }
            Ok(object) => {
                self.claim.saw(object.as_ref().map(record), self.lease.now());
                self.object = object.unwrap_or_default();
            }
            // Somebody was faster, or deleted it: the next look tells.
            Err(kube::Error::Api(status))
                if writes && (status.is_conflict() || status.is_already_exists()) =>
            {
                self.claim.doubt();
            }
            Err(error) => return Err(error),
        }
        self.refusals.reached = true;
        Ok(())
    }

    /// The object with this process as its holder, as of now.
    fn renewed(&self, mut object: LeaseObject, tenure: u32) -> LeaseObject {
        let now = MicroTime(k8s_openapi::jiff::Timestamp::now());
        let before = object.spec.take().unwrap_or_default();
        let is_ours = self.claim.until().is_some();
        object.metadata.name = Some(NAME.to_owned());
        let labels = object.metadata.labels.get_or_insert_default();
        for key in ["app.kubernetes.io/name", "app.kubernetes.io/part-of"] {
            labels.entry(key.to_owned()).or_insert_with(|| NAME.to_owned());
        }
        object.spec = Some(LeaseSpec {
            holder_identity: Some(self.instance.clone()),
            lease_duration_seconds: i32::try_from(Terms::default().lapse.as_secs()).ok(),
            acquire_time: before.acquire_time.clone().filter(|_| is_ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: i32::try_from(tenure).ok(),
            ..before
        });
        object
    }

    fn leads(&mut self) {
        let first = !self.lease.has_led();
        if let Some(until) = self.claim.until() {
            self.lease.extend(until);
        }
        if first {
            info!(instance = self.instance, lease = %self.name(), "this router leads");
        }
    }

    fn stands_by(&mut self) {
        self.refusals.in_a_row = 0;
        let holder = self.claim.holder().unwrap_or("nobody");
        if self.shown.as_deref() != Some(holder) {
            info!(instance = self.instance, holder, lease = %self.name(), "this router stands by: another one leads");
            self.shown = Some(holder.to_owned());
        }
    }

    fn lost(&self, lost: &Lost) -> Error {
        self.lease.end();
        let why = match lost {
            Lost::Lapsed => "it could not be renewed in time".to_owned(),
            Lost::Taken { by } if *by == self.instance => {
                format!("another process of the same name took it; give each its own --instance, not {by}")
            }
            Lost::PutBack => "the hub was put back to an earlier state; everything is read anew".to_owned(),
            Lost::Taken { by } if by.is_empty() => "somebody emptied it".to_owned(),
            Lost::Taken { by } => format!("{by} took it"),
        };
        Error::LeaseLost { lease: self.name(), why }
    }

    /// A call that failed: tried again, unless it shows that this process never can.
    fn failed(&mut self, error: kube::Error) -> Result<(), Error> {
        // A holder goes on trying for as long as it holds.
        if self.refusals.are_final(&error) && self.claim.until().is_none() {
            return Err(Error::Lease { lease: self.name(), source: Box::new(error) });
        }
        warn!(error = &error as &dyn std::error::Error, lease = %self.name(), "a call about the lease failed; it is tried again");
        Ok(())
    }

    /// Writes that nobody holds it, if this process does.
    async fn release(&mut self) {
        let held = self.claim.until().is_some();
        self.lease.end();
        if !held {
            return;
        }
        let giving_back = async {
            loop {
                match self.claim.next(self.lease.now()) {
                    Move::Read => {
                        let object = self.api.get_opt(NAME).await?;
                        self.claim.saw(object.as_ref().map(record), self.lease.now());
                        self.object = object.unwrap_or_default();
                    }
                    Move::Replace { tenure, .. } => {
                        let mut object = self.renewed(self.object.clone(), tenure);
                        if let Some(spec) = &mut object.spec {
                            spec.holder_identity = Some(String::new());
                        }
                        match self.api.replace(NAME, &PostParams::default(), &object).await {
                            Ok(_) => return Ok(true),
                            Err(kube::Error::Api(status)) if status.is_conflict() => self.claim.doubt(),
                            Err(error) => return Err(error),
                        }
                    }
                    Move::Create { .. } | Move::Wait { .. } | Move::Lost(_) => return Ok(false),
                }
            }
        };
        match tokio::time::timeout(PATIENCE, giving_back).await {
            Ok(Ok(true)) => info!(instance = self.instance, "the lease is given back"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                warn!(error = &error as &dyn std::error::Error, "the lease was not given back; it lapses");
            }
            Err(_) => warn!("giving the lease back was not answered; it lapses"),
        }
    }

    fn name(&self) -> String {
        format!("{}/{NAME}", self.namespace)
    }
}

/// Tells an account without the rights from a hub in trouble.
#[derive(Debug, Default)]
struct Refusals {
    /// A call was answered before.
    reached: bool,
    in_a_row: u32,
}

impl Refusals {
    /// Takes a failed call in; whether it shows that there is no use in trying.
    fn are_final(&mut self, error: &kube::Error) -> bool {
        let is_refusal = matches!(
            error,
            kube::Error::Api(status) if (400..500).contains(&status.code) && !matches!(status.code, 408 | 409 | 429)
        );
        self.in_a_row = if is_refusal { self.in_a_row.saturating_add(1) } else { 0 };
        self.in_a_row >= if self.reached { REFUSALS } else { FIRST_REFUSALS }
    }
}

fn record(object: &LeaseObject) -> Record {
    let LeaseObject { metadata: ObjectMeta { resource_version, .. }, spec } = object;
    let spec = spec.as_ref();
    Record {
        version: resource_version.clone().unwrap_or_default(),
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        tenure: spec
            .and_then(|spec| spec.lease_transitions)
            .and_then(|times| u32::try_from(times).ok())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(kube::core::Status { code, ..kube::core::Status::default() }))
    }

    #[test]
    fn rights_that_are_missing_are_told_from_a_hub_in_trouble() {
        let mut fresh = Refusals::default();
        for code in [429, 500, 503, 409] {
            assert!(!fresh.are_final(&answered(code)), "{code}");
        }
        for _ in 1..FIRST_REFUSALS {
            assert!(!fresh.are_final(&answered(403)));
        }
        assert!(fresh.are_final(&answered(403)));

        // One that has been answered takes the first refusals for those of an API server that has just started.
        let mut known = Refusals { reached: true, in_a_row: 0 };
        for _ in 1..REFUSALS {
            assert!(!known.are_final(&answered(403)));
        }
        assert!(known.are_final(&answered(403)));
        assert!(!known.are_final(&answered(503)) && !known.are_final(&answered(403)));
    }

    #[test]
    fn a_record_is_read_whatever_is_missing() {
        assert_eq!(
            record(&LeaseObject::default()),
            Record { version: String::new(), holder: String::new(), tenure: 0 }
        );
        let object: LeaseObject = serde_json::from_value(serde_json::json!({
            "metadata": {"name": NAME, "resourceVersion": "7"},
            "spec": {"holderIdentity": "a", "leaseTransitions": 3},
        }))
        .unwrap();
        assert_eq!(record(&object), Record { version: "7".to_owned(), holder: "a".to_owned(), tenure: 3 });
    }
}
