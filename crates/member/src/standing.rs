//! What a member may be used for, and why not.
//!
//! Owns the member's health, its faults and the namespaces that refused everything. Every change that somebody else can
//! see bumps the registry's revision; nothing else does. Must never wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use spark_router_api::condition::reason;
use spark_router_core::{
    health::{Health as Probed, LinkState, Thresholds},
    id::{MemberIdentity, Namespace},
    refusal::{Refusal, RefusalClass},
};
use tokio::sync::watch;

use crate::{cache::Silence, clock::Clock, member::Health};

/// Why a member takes nothing new: one word and a sentence.
pub type Fault = (&'static str, String);

/// A namespace that refused everything is left alone for this long at first, and at most.
const BLOCK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// How long a namespace without an operator is left alone before it is looked at again.
const SILENT_FOR: Duration = Duration::from_mins(1);

/// Why a create is not sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Denied {
    /// The member takes nothing now.
    Now(String),
    /// The namespace refused everything a moment ago: asking once more would only tell the same.
    Refused(Refusal),
}

/// See the module.
pub struct Standing {
    thresholds: Thresholds,
    inner: Mutex<Inner>,
    identity: OnceLock<MemberIdentity>,
    revision: Arc<watch::Sender<u64>>,
    clock: Clock,
}

struct Inner {
    health: Probed,
    admission: Admission,
    checked: bool,
    synced: bool,
    preflight: Option<Fault>,
    unauthorized: bool,
    silence: Silence,
    blocked: BTreeMap<Namespace, Block>,
    server_version: Option<String>,
    last_answer: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Block {
    /// What it said; said again for it to whoever comes before the time is over.
    refusal: Refusal,
    until: Timestamp,
    step: Duration,
}

/// Whether the owner of the member's object has agreed to what the link turned out to reach.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// Not yet.
    Awaited,
    /// Yes.
    Granted,
    /// No, for this reason.
    Barred(Fault),
}

impl Standing {
    pub(crate) fn new(
        thresholds: Thresholds,
        admission: Admission,
        revision: Arc<watch::Sender<u64>>,
    ) -> Self {
        Self {
            thresholds,
            inner: Mutex::new(Inner {
                health: Probed::new(thresholds),
                admission,
                checked: false,
                synced: false,
                preflight: None,
                unauthorized: false,
                silence: Silence::default(),
                blocked: BTreeMap::new(),
                server_version: None,
                last_answer: None,
            }),
            identity: OnceLock::new(),
            revision,
            clock: Clock::start(),
        }
    }

    /// Changes something, and tells if it shows.
    fn change<T>(&self, change: impl FnOnce(&mut Inner, Timestamp) -> T) -> T {
        let mut inner = self.inner.lock();
        let now = self.clock.now();
        let before = inner.shown(now);
        let result = change(&mut inner, now);
        let after = inner.shown(now);
        drop(inner);
        if before != after {
            self.revision.send_modify(|revision| *revision += 1);
        }
        result
    }

    /// Fires when something of this or another member changed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Says that something of this member changed that is kept elsewhere.
    pub fn tell(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// As the rest of the router sees it.
    pub fn health(&self) -> Health {
        self.inner.lock().shown(self.clock.now())
    }

    /// Whether creates may be sent; else why not.
    ///
    /// # Errors
    /// Why not.
    pub fn takes_creates(&self, namespace: &Namespace) -> Result<(), Denied> {
        let inner = self.inner.lock();
        if let Some((reason, message)) = inner.fault() {
            return Err(Denied::Now(format!("{reason}: {message}")));
        }
        let link = inner.health.state();
        if link != LinkState::Ready {
            return Err(Denied::Now(format!("the link is {}", link.as_str())));
        }
        if let Some(block) = inner.blocked.get(namespace).filter(|block| block.until > self.clock.now()) {
            return Err(Denied::Refused(block.refusal.clone()));
        }
        if inner.silence.namespaces.contains(namespace) {
            return Err(Denied::Refused(Refusal {
                class: RefusalClass::Member,
                reason: reason::OPERATOR_SILENT,
                message: format!("no Spark operator picks applications up in namespace {namespace}"),
            }));
        }
        Ok(())
    }

    /// Whether this is certainly the member that objects were placed on, and it may be asked about them.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn may_be_asked(&self) -> Result<(), String> {
        let inner = self.inner.lock();
        if let Some((reason, message)) = inner.other_cluster() {
            return Err(format!("{reason}: {message}"));
        }
        if self.identity.get().is_none() {
            return Err("it was never reached".to_owned());
        }
        match inner.health.state() {
            // A missed probe keeps new work away; a bounded question may still be answered.
            LinkState::Ready | LinkState::Suspect { .. } => Ok(()),
            // Rights or the CRD may be missing: then the call itself says so.
            LinkState::Connecting if inner.checked || inner.preflight.is_some() => Ok(()),
            other => Err(format!("the link is {}", other.as_str())),
        }
    }

    /// The link leads to another cluster than the one that is meant.
    pub fn is_other_cluster(&self) -> bool {
        self.inner.lock().other_cluster().is_some()
    }

    /// A copy of the probes' history, for the link that takes this one's place.
    pub(crate) fn probed(&self) -> Probed {
        self.inner.lock().health.clone()
    }

    /// Goes on with the history of the link that this one takes the place of.
    pub(crate) fn inherit(&self, mut health: Probed) {
        health.set_thresholds(self.thresholds);
        health.disconnected();
        self.change(|inner, now| {
            inner.health = health;
            inner.connect(now);
        });
    }

    /// Who the member is, once it was reached.
    pub fn identity(&self) -> Option<&MemberIdentity> {
        self.identity.get()
    }

    pub(crate) fn server_version(&self) -> Option<String> {
        self.inner.lock().server_version.clone()
    }

    pub(crate) fn last_answer(&self) -> Option<Timestamp> {
        self.inner.lock().last_answer
    }

    /// Its link.
    pub fn link(&self) -> LinkState {
        self.inner.lock().health.state()
    }

    /// A probe was answered. Returns whether the member is back after not answering.
    pub fn answered(&self, taken: Taken) -> bool {
        let back = self.change(|inner, now| {
            let was = inner.health.state();
            inner.health.answered(now);
            inner.last_answer = Some(now);
            inner.unauthorized = taken == Taken::Unauthorized;
            if inner.unauthorized {
                inner.health.disconnected();
            } else {
                inner.connect(now);
            }
            matches!(was, LinkState::Suspect { .. } | LinkState::Lost { .. })
                && !matches!(inner.health.state(), LinkState::Suspect { .. } | LinkState::Lost { .. })
        });
        if back {
            // The first answers after a gap may still lack what happened in it.
            tracing::debug!("a member answers again");
        }
        back
    }

    /// A probe went unanswered.
    pub fn missed(&self) {
        self.change(|inner, now| inner.health.missed(now));
    }

    /// The first list is through.
    pub fn synced(&self) {
        self.change(|inner, now| {
            inner.synced = true;
            inner.connect(now);
        });
    }

    /// What the checks before use found.
    pub fn checked(&self, identity: &MemberIdentity, version: Option<String>, fault: Option<Fault>) {
        let known = self.identity.get_or_init(|| identity.clone());
        let fault = if known == identity { fault } else { Some(moved(known, identity)) };
        self.change(|inner, now| {
            inner.server_version = version.or_else(|| inner.server_version.take());
            inner.checked = fault.is_none();
            inner.preflight = fault;
            inner.connect(now);
        });
        // Who it is may be news although nothing else shows.
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// The checks failed before they could say who it is.
    pub fn check_failed(&self, fault: Fault) {
        self.change(|inner, _| {
            inner.checked = false;
            inner.preflight = Some(fault);
        });
    }

    pub(crate) fn admit(&self, admission: Admission) {
        self.change(|inner, now| {
            inner.admission = admission;
            inner.connect(now);
        });
    }

    pub(crate) fn admission(&self) -> Admission {
        self.inner.lock().admission.clone()
    }

    /// The member does not take the credentials any more.
    pub fn credentials_refused(&self) {
        self.change(|inner, _| {
            inner.unauthorized = true;
            inner.health.disconnected();
        });
    }

    pub(crate) fn silent(&self, silence: Silence) {
        self.change(|inner, _| inner.silence = silence);
    }

    /// The namespace refused everything: leave it alone for a while that doubles with each refusal in a row.
    pub fn block(&self, namespace: &Namespace, refusal: Refusal) {
        self.change(|inner, now| {
            let step = inner.blocked.get(namespace).map_or(BLOCK.0, |block| (block.step * 2).min(BLOCK.1));
            inner.blocked.insert(namespace.clone(), Block { refusal, until: later(now, step), step });
        });
    }

    /// The namespace took something.
    pub fn unblock(&self, namespace: &Namespace) {
        self.change(|inner, _| inner.blocked.remove(namespace));
    }

    #[cfg(test)]
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What a probe's answer said about the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It takes them, or was not asked to.
    Yes,
    /// It does not take them.
    Unauthorized,
}

impl Inner {
    /// Ready needs everything: answers, rights, a view, the owner's consent.
    fn connect(&mut self, now: Timestamp) {
        let answers = self.last_answer.is_some();
        if answers
            && self.checked
            && self.synced
            && !self.unauthorized
            && self.admission == Admission::Granted
        {
            self.health.connected(now);
        }
    }

    /// The fault that says that this is not the member it should be.
    fn other_cluster(&self) -> Option<&Fault> {
        let barred = match &self.admission {
            Admission::Barred(fault) => Some(fault),
            Admission::Awaited | Admission::Granted => None,
        };
        barred
            .into_iter()
            .chain(self.preflight.as_ref())
            .find(|(reason, _)| *reason == reason::IDENTITY_CHANGED)
    }

    fn fault(&self) -> Option<Fault> {
        if self.unauthorized {
            let message = "the member does not take the credentials any more; put valid ones into the Secret";
            return Some((reason::UNAUTHORIZED, message.to_owned()));
        }
        if let Admission::Barred(fault) = &self.admission {
            return Some(fault.clone());
        }
        if let Some(fault) = &self.preflight {
            return Some(fault.clone());
        }
        if self.silence.everywhere {
            let names: Vec<&str> = self.silence.namespaces.iter().map(Namespace::as_str).collect();
            let message = format!(
                "no Spark operator picks applications up in {}; check that it runs and watches these namespaces",
                names.join(", ")
            );
            return Some((reason::OPERATOR_SILENT, message));
        }
        None
    }

    fn shown(&self, now: Timestamp) -> Health {
        let mut blocked: Vec<_> = self
            .blocked
            .iter()
            .filter(|(_, block)| block.until > now)
            .map(|(namespace, block)| (namespace.clone(), block.refusal.reason.to_owned(), block.until))
            .collect();
        if !self.silence.everywhere {
            for namespace in &self.silence.namespaces {
                if !blocked.iter().any(|(known, ..)| known == namespace) {
                    // Rounded, so that what is shown does not change with every look.
                    let minute = now.as_second() / 60 * 60;
                    let until = Timestamp::from_second(minute).unwrap_or(now);
                    blocked.push((
                        namespace.clone(),
                        reason::OPERATOR_SILENT.to_owned(),
                        later(until, SILENT_FOR * 2),
                    ));
                }
            }
        }
        Health { link: self.health.state(), fault: self.fault(), blocked }
    }
}

fn moved(known: &MemberIdentity, found: &MemberIdentity) -> Fault {
    let message = format!(
        "the same address and credentials now lead to another cluster ({found}, was {known}); lead them back, or delete this MemberCluster and add the other cluster under a new name"
    );
    (reason::IDENTITY_CHANGED, message)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
