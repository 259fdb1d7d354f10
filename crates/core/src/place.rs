//! Which members could take a job, and for each other one the reason why not.
//!
//! Owns no state: facts come in, verdicts go out. Every exclusion has a typed reason that the waiting user gets to read.
//! Must never widen the choice on trouble: a member whose facts are unknown takes nothing.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

use crate::{
    credit::Candidate,
    health::LinkState,
    id::{ClusterName, MemberIdentity, Namespace, QueueName},
    job::{Constraints, Refused, Request},
    ledger::Ledger,
    resources::{Capacity, Dimension, Resources, Shortage},
};

/// A member as placement sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberFacts {
    /// Who it is; `None` until it was reached once.
    pub identity: Option<MemberIdentity>,
    /// Its link.
    pub link: LinkState,
    /// Why it takes nothing although it may answer: (reason, message).
    pub fault: Option<(String, String)>,
    /// Cordoned: takes nothing new.
    pub cordoned: bool,
    /// Labels for selectors.
    pub labels: BTreeMap<String, String>,
    /// Spark versions that it runs, each also as a dotted prefix; empty means any.
    pub spark_versions: Vec<String>,
    /// Declared capacity.
    pub capacity: Capacity,
    /// The namespace rule.
    pub namespace: NamespaceRule,
    /// Target namespaces that refuse everything: (namespace, reason, until).
    pub blocked: Vec<(Namespace, String, Timestamp)>,
}

/// Which namespace a job runs in on the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceRule {
    /// All jobs in this one.
    Fixed(Namespace),
    /// Each in the namespace of the same name as the job's.
    SameAsJob,
}

impl NamespaceRule {
    /// The target namespace of a job of `namespace`.
    pub fn target<'a>(&'a self, namespace: &'a Namespace) -> &'a Namespace {
        match self {
            Self::Fixed(fixed) => fixed,
            Self::SameAsJob => namespace,
        }
    }
}

/// A queue as placement sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueFacts {
    /// Its name.
    pub name: QueueName,
    /// Where its jobs may go; the first route that matches a member holds.
    pub routes: Vec<Route>,
}

/// One route of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which members it means.
    pub clusters: RouteClusters,
    /// The share; 0 takes nothing new.
    pub weight: u32,
    /// What this queue may hold on each of them.
    pub capacity: Capacity,
}

/// Members by name or by label.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteClusters {
    /// These.
    Names(Vec<ClusterName>),
    /// Those that carry all these labels.
    Labels(BTreeMap<String, String>),
}

impl QueueFacts {
    /// The route that leads to a member.
    pub fn route_to(&self, cluster: &ClusterName, labels: &BTreeMap<String, String>) -> Option<&Route> {
        self.routes.iter().find(|route| match &route.clusters {
            RouteClusters::Names(names) => names.contains(cluster),
            RouteClusters::Labels(wanted) => carries(labels, wanted),
        })
    }
}

fn carries(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
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
    /// It does not run this Spark version.
    SparkVersion {
        /// The job's.
        wanted: String,
        /// The member's.
        offered: Vec<String>,
    },
    /// The job does not fit: the member's own capacity or the queue's share on it.
    NoRoom {
        /// The limit belongs to the queue's route, not to the member as a whole.
        in_route: bool,
        /// What is short.
        shortage: Shortage,
    },
    /// It refused this very job.
    RefusedThisJob {
        /// Its reason.
        reason: String,
    },
    /// Its weight in the queue is 0.
    WeightZero,
    /// Cordoned.
    Cordoned,
    /// Not connected yet, or it cannot take anything: reason and message.
    NotReady {
        /// One word.
        reason: String,
        /// A sentence.
        message: String,
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
        reason: String,
    },
    /// A quota there was full a moment ago.
    BackingOff,
}

impl Exclusion {
    /// One word for metric, status and table.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRoute => "NoRoute",
            Self::NotNamed => "NotNamed",
            Self::SelectorMismatch => "SelectorMismatch",
            Self::SparkVersion { .. } => "SparkVersion",
            Self::NoRoom { shortage, .. } if shortage.is_for_ever() => "NeverFits",
            Self::NoRoom { .. } => "NoCapacity",
            Self::RefusedThisJob { .. } => "RefusedThisJob",
            Self::WeightZero => "WeightZero",
            Self::Cordoned => "Cordoned",
            Self::NotReady { .. } => "NotReady",
            Self::Suspect => "Suspect",
            Self::Lost { .. } => "Lost",
            Self::NamespaceBlocked { .. } => "NamespaceBlocked",
            Self::BackingOff => "BackingOff",
        }
    }

    /// Whether only a change of the job, the queue or the member can lift it: waiting alone does not.
    pub fn needs_a_change(&self) -> bool {
        match self {
            Self::NoRoute
            | Self::NotNamed
            | Self::SelectorMismatch
            | Self::SparkVersion { .. }
            | Self::RefusedThisJob { .. }
            | Self::WeightZero => true,
            Self::NoRoom { shortage, .. } => shortage.is_for_ever(),
            Self::Cordoned
            | Self::NotReady { .. }
            | Self::Suspect
            | Self::Lost { .. }
            | Self::NamespaceBlocked { .. }
            | Self::BackingOff => false,
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
            Self::SparkVersion { wanted, offered } => {
                write!(f, "runs Spark {}, not {wanted}", offered.join(", "))
            }
            Self::NoRoom { in_route, shortage } => {
                let whose = if *in_route { "the queue's share there" } else { "its capacity" };
                let Shortage { dimension, needed, limit, .. } = *shortage;
                let (needed, limit) = (amount(dimension, needed), amount(dimension, limit));
                if shortage.is_for_ever() {
                    write!(f, "the job needs {needed}, and {whose} is only {limit}")
                } else {
                    write!(f, "{whose} of {limit} is in use")
                }
            }
            Self::RefusedThisJob { reason } => write!(f, "refused this job ({reason})"),
            Self::WeightZero => f.write_str("its weight in the queue is 0"),
            Self::Cordoned => f.write_str("cordoned"),
            Self::NotReady { reason, message } => write!(f, "not ready ({reason}): {message}"),
            Self::Suspect => f.write_str("does not answer right now"),
            Self::Lost { since } => write!(f, "unreachable since {since}"),
            Self::NamespaceBlocked { namespace, reason } => {
                write!(f, "namespace {namespace} there takes nothing ({reason})")
            }
            Self::BackingOff => f.write_str("a quota there is full"),
        }
    }
}

fn amount(dimension: Dimension, amount: u64) -> String {
    use crate::resources::{Cpu, Memory};
    match dimension {
        Dimension::Jobs => format!("{amount} jobs"),
        Dimension::Pods => format!("{amount} pods"),
        Dimension::Executors => format!("{amount} executors"),
        Dimension::Cpu => format!("{} cpu", Cpu(amount)),
        Dimension::Memory => format!("{} memory", Memory(amount)),
    }
}

/// What placement says of one member.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The member.
    pub cluster: ClusterName,
    /// Its weight in the queue; 0 without a route.
    pub weight: u32,
    /// `None`: it could take the job.
    pub exclusion: Option<Exclusion>,
    /// What its scarcest declared thing has free, in thousandths of what there is; undeclared counts as all free.
    pub headroom: u64,
}

/// What is asked of placement, beside the facts.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What the job wants.
    pub request: &'a Request,
    /// The job's namespace on the hub.
    pub namespace: &'a Namespace,
    /// Members that refused it.
    pub refused: &'a [Refused],
    /// The time of the decision.
    pub now: Timestamp,
}

/// A verdict for each member of the fleet, by name. What the job itself rules out comes before what its member lacks,
/// so that the reason shown is the one that its owner can act on.
pub fn weigh(
    question: Question<'_>,
    queue: &QueueFacts,
    fleet: &BTreeMap<ClusterName, MemberFacts>,
    ledger: &Ledger,
    backing_off: impl Fn(&ClusterName) -> bool,
) -> Vec<Verdict> {
    fleet
        .iter()
        .map(|(cluster, member)| {
            let route = queue.route_to(cluster, &member.labels);
            let (exclusion, headroom) = match route {
                None => (Some(Exclusion::NoRoute), 0),
                Some(route) => {
                    let on_member = (member.capacity, ledger.on(cluster));
                    let on_route = (route.capacity, ledger.of(&queue.name, cluster));
                    let exclusion =
                        exclude(question, cluster, member, route, [on_member, on_route], &backing_off);
                    (exclusion, headroom([on_member, on_route]))
                }
            };
            Verdict { cluster: cluster.clone(), weight: route.map_or(0, |r| r.weight), exclusion, headroom }
        })
        .collect()
}

fn exclude(
    Question { request, namespace, refused, now }: Question<'_>,
    cluster: &ClusterName,
    member: &MemberFacts,
    route: &Route,
    limits: [(Capacity, Resources); 2],
    backing_off: &impl Fn(&ClusterName) -> bool,
) -> Option<Exclusion> {
    let Constraints { names, labels } = &request.constraints;
    if !names.is_empty() && !names.contains(cluster) {
        return Some(Exclusion::NotNamed);
    }
    if !carries(&member.labels, labels) {
        return Some(Exclusion::SelectorMismatch);
    }
    if !runs(&member.spark_versions, &request.spark_version) {
        let (wanted, offered) = (request.spark_version.clone(), member.spark_versions.clone());
        return Some(Exclusion::SparkVersion { wanted, offered });
    }
    if let Some(refusal) = refused.iter().find(|r| r.cluster == *cluster) {
        return Some(Exclusion::RefusedThisJob { reason: refusal.reason.clone() });
    }
    if route.weight == 0 {
        return Some(Exclusion::WeightZero);
    }
    let fits =
        |n: usize| limits.get(n).and_then(|(capacity, used)| capacity.fits(*used, request.demand).err());
    let (of_member, of_route) = (fits(0), fits(1));
    let for_ever = |shortage: &Option<Shortage>| shortage.as_ref().is_some_and(Shortage::is_for_ever);
    if for_ever(&of_member) || for_ever(&of_route) {
        let in_route = !for_ever(&of_member);
        let shortage = if in_route { of_route } else { of_member };
        return shortage.map(|shortage| Exclusion::NoRoom { in_route, shortage });
    }
    if member.cordoned {
        return Some(Exclusion::Cordoned);
    }
    match member.link {
        LinkState::Lost { since } => return Some(Exclusion::Lost { since }),
        LinkState::Suspect { .. } => return Some(Exclusion::Suspect),
        LinkState::Connecting | LinkState::Ready => {}
    }
    if let Some((reason, message)) = &member.fault {
        return Some(Exclusion::NotReady { reason: reason.clone(), message: message.clone() });
    }
    if member.link == LinkState::Connecting || member.identity.is_none() {
        let message = "the router is still connecting to it".to_owned();
        return Some(Exclusion::NotReady { reason: "Connecting".to_owned(), message });
    }
    let target = member.namespace.target(namespace);
    if let Some((_, reason, _)) =
        member.blocked.iter().find(|(blocked, _, until)| blocked == target && *until > now)
    {
        return Some(Exclusion::NamespaceBlocked { namespace: target.clone(), reason: reason.clone() });
    }
    if backing_off(cluster) {
        return Some(Exclusion::BackingOff);
    }
    match (of_member, of_route) {
        (Some(shortage), _) => Some(Exclusion::NoRoom { in_route: false, shortage }),
        (None, Some(shortage)) => Some(Exclusion::NoRoom { in_route: true, shortage }),
        (None, None) => None,
    }
}

/// An entry matches when it is the version or a dotted prefix of it.
fn runs(offered: &[String], wanted: &str) -> bool {
    offered.is_empty()
        || offered.iter().any(|entry| {
            wanted.strip_prefix(entry.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

fn headroom(limits: [(Capacity, Resources); 2]) -> u64 {
    let part = |limit: Option<u64>, used: u64| {
        let limit = limit?;
        Some(u128::from(limit.saturating_sub(used)) * 1000 / u128::from(limit.max(1)))
    };
    let scarcest = limits
        .into_iter()
        .flat_map(|(capacity, used)| {
            [
                part(capacity.jobs, used.jobs),
                part(capacity.cpu_milli, used.cpu_milli),
                part(capacity.memory_bytes, used.memory_bytes),
            ]
        })
        .flatten()
        .min()
        .unwrap_or(1000);
    u64::try_from(scarcest).unwrap_or(1000)
}

/// The candidates among verdicts.
pub fn candidates(verdicts: &[Verdict]) -> Vec<Candidate> {
    verdicts
        .iter()
        .filter(|verdict| verdict.exclusion.is_none())
        .map(|verdict| Candidate {
            cluster: verdict.cluster.clone(),
            weight: verdict.weight,
            headroom: verdict.headroom,
        })
        .collect()
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
