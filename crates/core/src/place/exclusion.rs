//! Why a member does not take a job now, as a value and in words.
//!
//! Owns no state. Two texts: one without amounts that change from minute to minute, which may go into a condition, and
//! one with the numbers of this moment, for somebody who asks.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

use super::Inexpressible;
use crate::{
    breaker::IN_A_ROW,
    id::{JobKey, Namespace},
    resources::{Cpu, Dimension, Memory, Shortage},
    taint::Taint,
};

/// Whose room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The member's declared capacity.
    Member,
    /// What the queue may hold on that member.
    Route,
    /// What the queue may hold at all.
    Queue,
    /// A quota of the target namespace.
    Quota,
    /// The queue of the member's batch scheduler: its kind.
    RemoteQueue(&'static str),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Member => "its capacity",
            Self::Route => "the queue's share there",
            Self::Queue => "the queue's own limit",
            Self::Quota => "the ResourceQuota of the namespace there",
            Self::RemoteQueue(kind) => return write!(f, "its {kind} queue"),
        })
    }
}

/// Why a member does not take a job now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Exclusion {
    /// The queue has no route to it.
    NoRoute,
    /// The job names other members.
    NotNamed,
    /// The job's selector does not match it.
    SelectorMismatch,
    /// It has a taint that the job does not tolerate.
    Taint(Arc<Taint>),
    /// It does not run this Spark version.
    SparkVersion {
        /// The job's.
        wanted: Arc<str>,
        /// The member's.
        offered: Arc<[String]>,
    },
    /// Its backend cannot do what a field asks for.
    Inexpressible(Inexpressible),
    /// The job does not fit.
    NoRoom {
        /// Whose limit it is.
        whose: Whose,
        /// What is short.
        shortage: Shortage,
    },
    /// It refused this very job.
    RefusedThisJob {
        /// Its reason.
        reason: Arc<str>,
    },
    /// Its weight in the queue is 0.
    WeightZero,
    /// The queue is paused.
    Paused,
    /// Cordoned.
    Cordoned,
    /// Not connected yet, or it cannot take anything: reason and message.
    NotReady {
        /// One word.
        reason: Arc<str>,
        /// A sentence.
        message: Arc<str>,
    },
    /// Missed a probe a moment ago.
    Suspect,
    /// Unreachable.
    Lost {
        /// Since when.
        since: Timestamp,
    },
    /// The target namespace refuses everything.
    NamespaceBlocked {
        /// Which.
        namespace: Namespace,
        /// Why.
        reason: Arc<str>,
    },
    /// A quota there was full a moment ago.
    BackingOff,
    /// Jobs failed there one after the other before their drivers started.
    BreakerOpen {
        /// Nothing goes there before this, where that is known.
        until: Option<Timestamp>,
    },
    /// The signal that tells its room is too old, and nothing is declared to go by instead.
    SignalStale {
        /// The kind of signal.
        kind: &'static str,
        /// When it was last true; `None`: never seen.
        at: Option<Timestamp>,
    },
    /// Its batch scheduler's queue takes nothing.
    RemoteQueueClosed {
        /// The kind of scheduler.
        kind: &'static str,
        /// Why, in its words.
        why: Arc<str>,
    },
    /// Held for a larger job that has waited longer.
    Held {
        /// That job.
        by: JobKey,
    },
    /// A lower tier has room, or has not been without it for long enough.
    OtherTier,
}

impl Exclusion {
    /// One word for metric, status and table.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRoute => "NoRoute",
            Self::NotNamed => "NotNamed",
            Self::SelectorMismatch => "SelectorMismatch",
            Self::Taint(_) => "Taint",
            Self::SparkVersion { .. } => "SparkVersion",
            Self::Inexpressible(_) => "Inexpressible",
            Self::NoRoom { shortage, .. } if shortage.is_for_ever() => "NeverFits",
            Self::NoRoom { whose: Whose::Queue, .. } => "QueueLimit",
            Self::NoRoom { .. } => "NoCapacity",
            Self::RefusedThisJob { .. } => "RefusedThisJob",
            Self::WeightZero => "WeightZero",
            Self::Paused => "QueuePaused",
            Self::Cordoned => "Cordoned",
            Self::NotReady { .. } => "NotReady",
            Self::Suspect => "Suspect",
            Self::Lost { .. } => "Lost",
            Self::NamespaceBlocked { .. } => "NamespaceBlocked",
            Self::BackingOff => "BackingOff",
            Self::BreakerOpen { .. } => "BreakerOpen",
            Self::SignalStale { .. } => "SignalStale",
            Self::RemoteQueueClosed { .. } => "RemoteQueueClosed",
            Self::Held { .. } => "Held",
            Self::OtherTier => "OtherTier",
        }
    }

    /// Whether only a change of the job, the queue or the member can lift it: waiting alone does not.
    pub fn needs_a_change(&self) -> bool {
        match self {
            Self::NoRoute
            | Self::NotNamed
            | Self::SelectorMismatch
            | Self::Taint(_)
            | Self::SparkVersion { .. }
            | Self::Inexpressible(_)
            | Self::RefusedThisJob { .. }
            | Self::WeightZero => true,
            Self::NoRoom { shortage, .. } => shortage.is_for_ever(),
            Self::Paused
            | Self::Cordoned
            | Self::NotReady { .. }
            | Self::Suspect
            | Self::Lost { .. }
            | Self::NamespaceBlocked { .. }
            | Self::BackingOff
            | Self::BreakerOpen { .. }
            | Self::SignalStale { .. }
            | Self::RemoteQueueClosed { .. }
            | Self::Held { .. }
            | Self::OtherTier => false,
        }
    }

    /// Whether it is for want of room there that others take up now: what a member can be held for.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::NoRoom { whose, shortage } if *whose != Whose::Queue && !shortage.is_for_ever())
    }

    /// In words with the numbers of this moment, for somebody who asks.
    pub fn in_numbers(&self) -> String {
        match self {
            Self::NoRoom { whose, shortage } => format!("{whose}: {shortage}"),
            Self::SignalStale { kind, at: Some(at) } => format!("its {kind} signal was last seen at {at}"),
            Self::BreakerOpen { until: Some(until) } => format!("{self}, the next one not before {until}"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Exclusion {
    /// Without amounts that change from minute to minute: the text goes into a condition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute => f.write_str("the queue has no route to it"),
            Self::NotNamed => f.write_str("not among the job's clusterNames"),
            Self::SelectorMismatch => f.write_str("the job's clusterSelector does not match its labels"),
            Self::Taint(taint) => match &**taint {
                Taint { key, value } if value.is_empty() => {
                    write!(f, "the job does not tolerate its taint {key}")
                }
                Taint { key, value } => write!(f, "the job does not tolerate its taint {key}={value}"),
            },
            Self::SparkVersion { wanted, offered } => {
                write!(f, "runs Spark {}, not {wanted}", offered.join(", "))
            }
            Self::Inexpressible(Inexpressible { field, why }) => write!(f, "cannot do {field}: {why}"),
            Self::NoRoom { whose, shortage } => {
                let Shortage { dimension, needed, limit, .. } = *shortage;
                if shortage.is_for_ever() {
                    let (needed, limit) = (amount(dimension, needed), amount(dimension, limit));
                    write!(f, "the job needs {needed}, and {whose} is only {limit}")
                } else if limit == u64::MAX {
                    write!(f, "{whose} has too little {dimension} free")
                } else {
                    write!(f, "{whose} of {} is in use", amount(dimension, limit))
                }
            }
            Self::RefusedThisJob { reason } => write!(f, "refused this job ({reason})"),
            Self::WeightZero => f.write_str("its weight in the queue is 0"),
            Self::Paused => f.write_str("the queue is paused"),
            Self::Cordoned => f.write_str("cordoned"),
            Self::NotReady { reason, message } => write!(f, "not ready ({reason}): {message}"),
            Self::Suspect => f.write_str("does not answer right now"),
            Self::Lost { since } => write!(f, "unreachable since {since}"),
            Self::NamespaceBlocked { namespace, reason } => {
                write!(f, "namespace {namespace} there takes nothing ({reason})")
            }
            Self::BackingOff => f.write_str("a quota there is full"),
            Self::BreakerOpen { .. } => write!(
                f,
                "{IN_A_ROW} jobs in a row failed there before their drivers started; one at a time goes there to see"
            ),
            Self::SignalStale { kind, at: Some(_) } => {
                write!(f, "its {kind} signal is too old, and no capacity is declared to go by instead")
            }
            Self::SignalStale { kind, at: None } => {
                write!(f, "its {kind} signal was never seen, and no capacity is declared to go by instead")
            }
            Self::RemoteQueueClosed { kind, why } => write!(f, "its {kind} queue takes nothing: {why}"),
            Self::Held { by } => write!(f, "held for the larger job {by}, which has waited longer"),
            Self::OtherTier => f.write_str("a lower tier goes first"),
        }
    }
}

fn amount(dimension: Dimension, amount: u64) -> String {
    match dimension {
        Dimension::Jobs => format!("{amount} jobs"),
        Dimension::Pods => format!("{amount} pods"),
        Dimension::Executors => format!("{amount} executors"),
        Dimension::Cpu => format!("{} cpu", Cpu(amount)),
        Dimension::Memory => format!("{} memory", Memory(amount)),
    }
}
