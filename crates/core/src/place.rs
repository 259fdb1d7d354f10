//! Which members could take a job, and for each other one the reason why not.
//!
//! Owns no state: facts come in, verdicts go out. Every exclusion has a typed reason that the waiting user gets to read.
//! Must never widen the choice on trouble: a member whose facts are unknown takes nothing.
//!
//! | file | holds |
//! |---|---|
//! | here | the filter, in its order |
//! | `place/bounds.rs` | the quick yes from declared limits |
//! | `place/facts.rs` | what is known of members and queues |
//! | `place/exclusion.rs` | the reasons, as values and in words |
//! | `place/backend.rs` | what members' backends can run |
//! | `place/scheduler.rs` | the queues of members' batch schedulers |
//! | `place/room.rs` | whether a job fits: declared numbers, the ledger, the member's own signals |

mod backend;
mod bounds;
mod exclusion;
mod facts;
mod room;
mod scheduler;

use jiff::Timestamp;

pub use backend::{Expressed, Inexpressible};
pub(crate) use bounds::{Bounds, headroom};
pub use exclusion::{Exclusion, Whose};
pub use facts::{
    Backfill, MemberFacts, NamespaceRule, Order, QueueFacts, QueueLimits, Route, RouteClusters, RouteSignal,
};
pub(crate) use facts::{carries, remote_queue};
pub(crate) use room::SETTLES;
pub use room::Unseen;
pub use scheduler::BatchScheduler;

pub use crate::taint::{Taint, Toleration};
use crate::{
    health::LinkState,
    id::{ClusterName, JobKey, Namespace},
    job::Constraints,
    resources::{Capacity, Resources, Shortage},
    signal::Signals,
};
use std::sync::Arc;

/// What the scarcest thing has free where nobody limits anything, in thousandths of what there is.
pub(crate) const ALL_FREE: u64 = 1000;

/// What placement says of one member.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The member.
    pub cluster: ClusterName,
    /// Its weight in the queue; 0 without a route.
    pub weight: u32,
    /// Its tier in the queue.
    pub tier: u32,
    /// `None`: it could take the job.
    pub exclusion: Option<Exclusion>,
    /// What its scarcest thing has free, in thousandths of what there is; what nobody limits counts as all free.
    pub headroom: u64,
}

/// What is asked of placement, beside the facts.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where the job may run.
    pub constraints: &'a Constraints,
    /// The application's Spark version.
    pub spark_version: &'a Arc<str>,
    /// Which backends can run it.
    pub expressed: &'a Expressed,
    /// What it reserves.
    pub demand: Resources,
    /// The job's namespace on the hub.
    pub namespace: &'a Namespace,
    /// Members that refused it, and their reasons.
    pub refused: &'a [(ClusterName, Arc<str>)],
    /// The time of the decision.
    pub now: Timestamp,
}

/// One member as one queue sees it: everything that a verdict is made from.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Its name.
    pub cluster: &'a ClusterName,
    /// Its facts.
    pub member: &'a MemberFacts,
    /// What it signals.
    pub signals: &'a Signals,
    /// The queue's route to it.
    pub route: &'a Route,
    /// The queue is paused.
    pub paused: bool,
    /// The queue that the job would be handed to there.
    pub remote_queue: &'a Result<Option<Arc<str>>, Inexpressible>,
    /// Declared limits and what is taken of them.
    pub limits: [(Whose, &'a Capacity, Resources); 3],
    /// Our own demand that its signals cannot show yet.
    pub unseen: &'a dyn Unseen,
    /// A quota there was full a moment ago.
    pub backing_off: bool,
    /// Its breaker is open until then.
    pub broken_until: Option<Timestamp>,
    /// It is held for this other job.
    pub held_by: Option<&'a JobKey>,
}

/// Whether a member could take the job: what the scarcest thing that it signals has free, or the reason why not. What the
/// job itself rules out comes before what the member lacks, so that the reason shown is the one that its owner can act
/// on.
///
/// # Errors
/// The first reason that holds.
pub fn judge(question: &Question<'_>, site: &Site<'_>) -> Result<u64, Exclusion> {
    rule_out(question, site)?;
    judge_now(question, site)
}

/// The rest of [`judge`] for a job that nothing rules out for good.
pub(crate) fn judge_now(question: &Question<'_>, site: &Site<'_>) -> Result<u64, Exclusion> {
    let is_short = site.limits.iter().any(|(_, capacity, used)| !capacity.has_room(*used, question.demand));
    let shortage = if is_short { shortage(question, site) } else { None };
    if let Some((whose, shortage)) = shortage.filter(|(_, shortage)| shortage.is_for_ever()) {
        return Err(Exclusion::NoRoom { whose, shortage });
    }
    if site.paused {
        return Err(Exclusion::Paused);
    }
    let target = site.member.namespace.target(question.namespace);
    unavailable(site, target, question.now)?;
    if let Some((whose, shortage)) = shortage {
        return Err(Exclusion::NoRoom { whose, shortage });
    }
    let observed = room::observed(question.demand, site, target, question.now)?;
    if let Some(by) = site.held_by {
        return Err(Exclusion::Held { by: by.clone() });
    }
    Ok(observed)
}

/// The first shortage that no waiting helps against, else the first.
fn shortage(question: &Question<'_>, site: &Site<'_>) -> Option<(Whose, Shortage)> {
    let mut first = None;
    for (whose, capacity, used) in site.limits {
        if let Err(shortage) = capacity.fits(used, question.demand) {
            if shortage.is_for_ever() {
                return Some((whose, shortage));
            }
            first.get_or_insert((whose, shortage));
        }
    }
    first
}

/// What only a change of the job, the queue or the member lifts. Room, links and time have no part in it.
pub(crate) fn rule_out(question: &Question<'_>, site: &Site<'_>) -> Result<(), Exclusion> {
    let Question {
        constraints: Constraints { names, labels, tolerations }, spark_version, expressed, ..
    } = question;
    let member = site.member;
    if !names.is_empty() && !names.contains(site.cluster) {
        return Err(Exclusion::NotNamed);
    }
    if !carries(&member.labels, labels) {
        return Err(Exclusion::SelectorMismatch);
    }
    if let Some(taint) =
        member.taints.iter().find(|taint| !tolerations.iter().any(|toleration| toleration.covers(taint)))
    {
        return Err(Exclusion::Taint(Arc::new(taint.clone())));
    }
    if !runs(&member.spark_versions, spark_version) {
        let (wanted, offered) = (Arc::clone(spark_version), member.spark_versions.clone());
        return Err(Exclusion::SparkVersion { wanted, offered });
    }
    expressed.on(member.backend.as_ref())?;
    if let Err(inexpressible) = site.remote_queue {
        return Err(Exclusion::Inexpressible(inexpressible.clone()));
    }
    if let Some((_, reason)) = question.refused.iter().find(|(cluster, _)| cluster == site.cluster) {
        return Err(Exclusion::RefusedThisJob { reason: reason.clone() });
    }
    if site.route.weight == 0 {
        return Err(Exclusion::WeightZero);
    }
    Ok(())
}

/// Whether the member takes anything at all now.
fn unavailable(site: &Site<'_>, target: &Namespace, now: Timestamp) -> Result<(), Exclusion> {
    let member = site.member;
    if member.cordoned {
        return Err(Exclusion::Cordoned);
    }
    match member.link {
        LinkState::Lost { since } => return Err(Exclusion::Lost { since }),
        LinkState::Suspect { .. } => return Err(Exclusion::Suspect),
        LinkState::Connecting | LinkState::Ready => {}
    }
    if let Some((reason, message)) = &member.fault {
        return Err(Exclusion::NotReady { reason: reason.clone(), message: message.clone() });
    }
    if member.link == LinkState::Connecting || member.identity.is_none() {
        let message = "the router is still connecting to it".into();
        return Err(Exclusion::NotReady { reason: "Connecting".into(), message });
    }
    if let Some((_, reason, _)) =
        member.blocked.iter().find(|(blocked, _, until)| blocked == target && *until > now)
    {
        return Err(Exclusion::NamespaceBlocked { namespace: target.clone(), reason: reason.clone() });
    }
    if site.broken_until.is_some() {
        let until = site.broken_until.filter(|until| *until < Timestamp::MAX);
        return Err(Exclusion::BreakerOpen { until });
    }
    if site.backing_off {
        return Err(Exclusion::BackingOff);
    }
    Ok(())
}

/// An entry matches when it is the version or a dotted prefix of it.
pub fn runs(offered: &[String], wanted: &str) -> bool {
    offered.is_empty()
        || offered.iter().any(|entry| {
            wanted.strip_prefix(entry.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

/// The shortage of a job in some free room, beside our own demand that is not seen in it yet.
fn shortage_in(free: &Capacity, most: &Capacity, unseen: Resources, demand: Resources) -> Option<Shortage> {
    let mut shortage = free.fits(unseen, demand).err()?;
    shortage.limit = shortage.dimension.of(most).unwrap_or(u64::MAX);
    Some(shortage)
}

#[cfg(test)]
mod tests;
