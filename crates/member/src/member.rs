//! The seam between the controller and whatever runs a job: everything a backend must be able to do.
//!
//! Owns no state. The controller knows no backend by name; remote ids are opaque to it.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use spark_router_api::job::emr::EmrJob;
use spark_router_core::{
    health::LinkState,
    id::{Attempt, ClusterName, JobKey, JobUid, MemberIdentity, Namespace, RemoteName, RemoteUid},
    observe::{FailureSign, Observation, Remote},
    place::Inexpressible,
    refusal::Refusal,
    restored::{Accounts, Shown},
    signal::Signals,
};

use crate::{
    render::{Order, Rendered},
    signals::WantedSignals,
};

/// How a create ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is there and it is ours: created now or found under our name with our job uid and attempt.
    Accepted(RemoteUid),
    /// Nothing was created, and nothing will be by this call.
    Refused(Refusal),
    /// Something of that name is there that is not this attempt: it was not touched. The text says whose it is.
    NameTaken(String),
    /// Nothing was written to the wire: the member is not ready or its window is full. The job is called when that
    /// changes.
    Busy(String),
    /// Nothing was sent: an earlier create of this attempt may still take effect until then, and another one beside it
    /// would be a second run. Only of members that do not tell two creates of one name apart.
    Settling {
        /// When another call is worth something.
        until: Timestamp,
        /// What it waits for, for people.
        waits_for: String,
    },
    /// Nothing was written to the wire or the server took nothing of it: no connection, or too many requests.
    NotSent(String),
    /// The request may have been acted on. The same create must be sent again.
    Unclear(String),
}

/// What a quorum read by name says.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmation {
    /// Not there, or there under another uid than the one asked for.
    Gone,
    /// There.
    Present(Box<Observation>),
    /// The read failed; nothing is known.
    Unclear(String),
}

/// Whether an attempt is proven to run nowhere, now and for ever.
#[derive(Clone, Debug, PartialEq)]
pub enum Fence {
    /// It runs nowhere and never will.
    Proven,
    /// On the way; look again then.
    Pending {
        /// When a further call is worth something; earlier if the member's view changes.
        until: Timestamp,
        /// What it waits for, for people.
        waits_for: String,
    },
    /// Its create was sent once more to know what became of it ([`StopOrder::rendered`]), and that was not answered either:
    /// from now on it counts as sent and unanswered again.
    Unanswered {
        /// When a further call is worth something.
        until: Timestamp,
        /// What it waits for, for people.
        waits_for: String,
    },
    /// It came to an end of its own before, by a quorum read; nothing was done. Only for an order that asks for it.
    Ended(Box<Observation>),
    /// The member cannot tell now (unreachable, or rights are missing).
    Impossible(String),
}

/// How it went to have an application held, or let go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suspended {
    /// Its operator is asked for it.
    Done,
    /// Not as it is now: it is to be asked for again when that has changed.
    NotNow(String),
    /// This member cannot do it, or does not let us.
    Never(String),
}

/// What became of a driver's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driver {
    /// It is pending or running.
    Alive,
    /// It is pending, for a reason that may not pass by itself.
    Waiting {
        /// One word.
        reason: &'static str,
        /// The member's own words.
        message: String,
    },
    /// It ended with exit code 0.
    Succeeded,
    /// It ended otherwise; the text says how.
    Failed(FailureSign, String),
    /// It is not there.
    Gone,
    /// The read failed; nothing is known.
    Unclear(String),
}

/// A member's health and what it may be used for.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The link.
    pub link: LinkState,
    /// Why it takes nothing new although it may answer: (reason, message), e.g. `CrdMissing`.
    pub fault: Option<(&'static str, String)>,
    /// Target namespaces that refused everything: (namespace, reason, until when it is left alone).
    pub blocked: Vec<(Namespace, String, Timestamp)>,
}

/// What a job asks of whoever runs it, before it has a place.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its place on the hub.
    pub key: &'a JobKey,
    /// Its template with what its queue adds to it ([`crate::render::effective`]).
    pub template: &'a Value,
    /// What it says to EMR on EKS alone.
    pub emr: Option<&'a EmrJob>,
    /// Its queue lets it name pod template files.
    pub pod_template_files: bool,
}

/// A kind of backend: what its members can run. Pure: settings of a member that matter for that make another kind.
pub trait Backend: Send + Sync + 'static {
    /// Two of one name can run the same.
    fn name(&self) -> &str;

    /// Everything that is asked for and its members cannot do, with the paths of the fields as the user wrote them.
    /// Empty: it can be run. Dear: asked once for a job, never for a decision.
    fn inexpressible(&self, asked: &Asked<'_>) -> Vec<Inexpressible>;

    /// What its members would run otherwise than it is said, and why. For people who ask; decides nothing.
    fn otherwise(&self, _asked: &Asked<'_>) -> Vec<Inexpressible> {
        Vec::new()
    }
}

/// One member. Calls never wait for a connection: a member that is not connected says so at once.
#[async_trait]
pub trait Member: Send + Sync + 'static {
    /// The name of its `MemberCluster`.
    fn name(&self) -> &ClusterName;

    /// What it can run.
    fn backend(&self) -> Arc<dyn Backend>;

    /// Who it is. `None` until it was reached once.
    fn identity(&self) -> Option<MemberIdentity>;

    /// Its present health.
    fn health(&self) -> Health;

    /// What its quotas and batch schedulers say there is room for, as far as it was wanted. Never calls the member.
    fn signals(&self) -> Arc<Signals>;

    /// Which of them are to be read from now on. Reading starts, goes on and stops by itself; the registry's
    /// subscription fires when something changes.
    fn want_signals(&self, wanted: WantedSignals);

    /// The namespace that a job of `namespace` runs in.
    fn target_namespace(&self, namespace: &Namespace) -> Namespace;

    /// What an order is created as. `before` is given back where it is just that: rendering is dear, and a placement and
    /// its create need the same.
    fn render(&self, order: Order, before: Option<Arc<Rendered>>) -> Arc<Rendered>;

    /// What the cache says of a name. Never calls the member.
    fn observe(&self, namespace: &Namespace, name: &RemoteName) -> Remote;

    /// Whether what the member's own signals say counts all of an application by now: driver and so many executors. Until
    /// then its demand is held back beside them.
    fn shows_all(&self, seen: &Observation, executors: u64) -> bool;

    /// What the cache shows of a job of this hub, under whatever name. Never calls the member.
    fn traces(&self, job: &JobUid) -> Vec<(Namespace, Observation)>;

    /// The applications of this hub whose number is above what `accounts` say of their queue. `None` as long as more of
    /// them may come to light. Never calls the member.
    fn beyond(&self, accounts: &Accounts) -> Option<Vec<Shown>>;

    /// A quorum read by name. `uid`: the recorded one, where a member's names are not known as soon as its applications.
    async fn confirm(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: Option<&RemoteUid>,
    ) -> Confirmation;

    /// Creates the application, or finds it created before. Bounded in time. Takes only what it rendered itself: another
    /// member would have made something else of the order. `settled_at`: until then a create of the same attempt that
    /// somebody sent before may still take effect.
    async fn submit(&self, rendered: &Rendered, settled_at: Timestamp) -> Created;

    /// Removes our finalizer from an application that is terminal or being deleted. `Ok` also when it is gone.
    async fn release(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
    ) -> Result<(), crate::Error>;

    /// Deletes a finished application whose outcome is on the hub, by uid. `Ok` also when it is gone.
    async fn retire(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
    ) -> Result<(), crate::Error>;

    /// Whether a stop of an attempt that was never confirmed may send its create once more: only of members that give back
    /// what they made of the same one before.
    fn recalls(&self) -> bool {
        false
    }

    /// Drives an attempt towards its fence by one step and says how far it is. `uid` is the recorded one, `None` for an
    /// attempt whose create was never confirmed; `settled_at` is when a late create can no longer take effect.
    async fn stop(&self, order: &StopOrder) -> Fence;

    /// Has an application of ours held by its operator, or lets it go on. Writes nothing where that might make the operator
    /// submit it twice.
    async fn suspend(
        &self,
        namespace: &Namespace,
        name: &RemoteName,
        uid: &RemoteUid,
        suspend: bool,
    ) -> Result<Suspended, crate::Error>;

    /// What became of the driver's pod, for an application whose own state does not prove an end. `driver_pod` is the
    /// name that the operator reported, if any; else the backend's usual name is looked up.
    async fn driver(&self, namespace: &Namespace, name: &RemoteName, driver_pod: Option<&str>) -> Driver;

    /// The last bytes of the driver's log, for the error of a failed application. `None` when there is none to be had.
    async fn driver_log_tail(&self, namespace: &Namespace, driver_pod: &str, bytes: u32) -> Option<String>;
}

/// The attempt to stop.
#[derive(Clone, Debug)]
pub struct StopOrder {
    /// The job.
    pub job: JobUid,
    /// The attempt.
    pub attempt: Attempt,
    /// Where it is.
    pub namespace: Namespace,
    /// Its name there.
    pub name: RemoteName,
    /// Its recorded uid, if its create was ever confirmed.
    pub uid: Option<RemoteUid>,
    /// When a create that was sent can no longer take effect.
    pub settled_at: Timestamp,
    /// The recorded application is not deleted once it has come to an end of its own: that end is still to be recorded.
    pub spare_ended: bool,
    /// What was sent for it, for an attempt that was never confirmed, where the very same can still be made: it has the
    /// hash on record. For members that ask for it ([`Member::recalls`]).
    pub rendered: Option<Arc<Rendered>>,
}
