//! What a MemberCluster's status says.
//!
//! Owns no state. Pure. The first thing that keeps the member from taking jobs is the reason of its Ready condition, in
//! words for whoever has to put it right.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use spark_router_api::{
    MemberCluster, MemberClusterStatus,
    condition::{self, BREAKER_OPEN, Finding, READY, Truth, reason},
    member::{MOST_ABANDONED, MOST_QUEUES, MOST_SIGNALS, QueueAtMember, SignalStatus},
};
use spark_router_core::{
    breaker::{Broken, IN_A_ROW, State},
    dispatch::{QueueOnMember, SignalOnMember},
    health::LinkState,
    resources::Resources,
};
use spark_router_member::{Fault, Report};

use super::notes::Note;
use crate::convert;

/// What a status is made of.
pub(super) struct Facts<'a> {
    /// What keeps a link from being made.
    pub(super) fault: Option<&'a Fault>,
    /// The link.
    pub(super) report: Option<Report>,
    /// What is placed there.
    pub(super) held: Resources,
    /// What each queue has there.
    pub(super) queues: Vec<QueueOnMember>,
    /// How its breaker stands; `None` while another process knows better.
    pub(super) breaker: Option<State>,
    /// Attempts to be noted.
    pub(super) notes: Vec<&'a Note>,
    /// The time.
    pub(super) now: Time,
}

/// The next status.
pub(super) fn status(object: &MemberCluster, facts: &Facts<'_>) -> MemberClusterStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    let (truth, why, message) = readiness(object, facts);
    let finding = Finding { type_: READY, status: truth, reason: why.to_owned(), message };
    condition::set(&mut status.conditions, finding, generation, &facts.now);
    if let Some(state) = facts.breaker
        && let Some(finding) = breaker(state, &status)
    {
        condition::set(&mut status.conditions, finding, generation, &facts.now);
    }
    status.state = None;
    status.unanswered_since = None;
    if let Some(report) = &facts.report {
        let link = report.health.link;
        status.state = Some(link.as_str().to_owned());
        if let LinkState::Suspect { since } | LinkState::Lost { since } = link {
            status.unanswered_since = Some(to_the_second(since));
        }
        // The one on record stays as long as the link is barred for being another one.
        let barred =
            report.health.fault.as_ref().is_some_and(|(reason, _)| *reason == reason::IDENTITY_CHANGED);
        if let Some(identity) = report.identity.as_ref().filter(|_| !barred || status.identity.is_none()) {
            status.identity = Some(identity.as_str().to_owned());
        }
        if report.server_version.is_some() {
            status.server_version.clone_from(&report.server_version);
        }
        status.last_probe_time = report.last_answer.map(to_the_second).or(status.last_probe_time);
    }
    status.active_jobs = Some(facts.held.jobs);
    status.ledger = Some(convert::demand(facts.held));
    status.queues = facts.queues.iter().take(MOST_QUEUES).map(queue).collect();
    for note in &facts.notes {
        if !status.abandoned.iter().any(|row| note.is(row)) {
            let mut row = note.row.clone();
            row.at = to_the_second(row.at.0);
            status.abandoned.push(row);
        }
    }
    let excess = status.abandoned.len().saturating_sub(MOST_ABANDONED);
    status.abandoned.drain(..excess);
    status
}

/// What is said of its breaker; nothing of one that never opened.
fn breaker(state: State, status: &MemberClusterStatus) -> Option<Finding> {
    let (truth, why, message) = match state {
        State::Closed => {
            condition::find(&status.conditions, BREAKER_OPEN)?;
            (Truth::False, reason::CLOSED, "it gets its share of the jobs".to_owned())
        }
        State::Open(Broken { until, is_trying, .. }) => {
            let (why, what) = match (is_trying, until) {
                (true, _) => (reason::TRYING, "a job went there, to see".to_owned()),
                (false, Some(until)) => (
                    reason::FAILS_JOBS,
                    format!("nothing goes there before {}, then one job, to see", to_the_second(until).0),
                ),
                (false, None) => (reason::NEXT_TRIES, "the next job goes there, to see".to_owned()),
            };
            let message = format!(
                "{IN_A_ROW} jobs in a row, of more than one namespace, failed before their drivers started; {what}. Look at \
                 its Spark operator and at the messages of the jobs that failed there"
            );
            (Truth::True, why, message)
        }
    };
    Some(Finding { type_: BREAKER_OPEN, status: truth, reason: why.to_owned(), message })
}

fn queue(on: &QueueOnMember) -> QueueAtMember {
    QueueAtMember {
        name: on.queue.as_str().to_owned(),
        placed: convert::demand(on.placed),
        signals: on.signals.iter().take(MOST_SIGNALS).map(signal).collect(),
    }
}

fn signal(seen: &SignalOnMember) -> SignalStatus {
    let free = seen.room.as_ref().map(|room| room.free).unwrap_or_default();
    let closed = seen.room.as_ref().and_then(|room| room.closed.clone());
    let missing = seen.room.is_none() && seen.at.is_some() && seen.failure.is_none();
    let message = closed.or_else(|| seen.failure.clone()).map(|text| text.to_string());
    SignalStatus {
        source: seen.kind.to_owned(),
        name: seen.name.to_string(),
        free_cpu_milli: free.cpu_milli,
        free_memory_bytes: free.memory_bytes,
        free_pods: free.pods,
        free_jobs: free.jobs,
        observed_at: seen.at.map(to_the_second),
        stale: seen.is_stale,
        message: message.or_else(|| missing.then(|| "there is nothing of that name".to_owned())),
    }
}

fn readiness(object: &MemberCluster, facts: &Facts<'_>) -> (Truth, &'static str, String) {
    let deleting = object.metadata.deletion_timestamp.is_some();
    if object.spec.forget {
        let message = "let go of, with everything placed there; delete this MemberCluster";
        return (Truth::False, reason::FORGOTTEN, message.to_owned());
    }
    if deleting {
        let message = format!(
            "being deleted; waits for {} placed jobs to end (set spec.forget to let go of them)",
            facts.held.jobs
        );
        return (Truth::False, reason::TERMINATING, message);
    }
    if let Some((reason, message)) = facts.fault {
        return (Truth::False, reason, message.clone());
    }
    let Some(report) = &facts.report else {
        return (Truth::False, reason::CONNECTING, "not connected yet".to_owned());
    };
    if let Some((reason, message)) = &report.health.fault {
        return (Truth::False, reason, message.clone());
    }
    let (truth, why, mut message) = match report.health.link {
        LinkState::Connecting => {
            let message = "connecting: it has not answered yet, or its applications are being listed";
            (Truth::False, reason::CONNECTING, message.to_owned())
        }
        LinkState::Suspect { since } => {
            let message = format!("does not answer since {}; takes nothing new", to_the_second(since).0);
            (Truth::False, reason::SUSPECT, message)
        }
        LinkState::Lost { since } => {
            let message = format!(
                "does not answer since {}; check its API server and the way to it",
                to_the_second(since).0
            );
            (Truth::False, reason::LOST, message)
        }
        LinkState::Ready => (Truth::True, reason::READY, "answers and takes jobs".to_owned()),
    };
    match &report.replacement {
        Some(Some((reason, trouble))) => {
            message.push_str("; the changed settings are not in use: ");
            message.push_str(reason);
            message.push_str(", ");
            message.push_str(trouble);
        }
        Some(None) => message.push_str("; the changed settings are being tried and not in use yet"),
        None => {}
    }
    for (namespace, why, _) in &report.health.blocked {
        message.push_str("; namespace ");
        message.push_str(namespace.as_str());
        message.push_str(" is left alone: ");
        message.push_str(why);
    }
    (truth, why, message)
}

/// Whether a status is worth a write: counters alone only when `counters_due`, the time of the last probe never.
pub(super) fn differs(present: &MemberClusterStatus, next: &MemberClusterStatus, counters_due: bool) -> bool {
    let mut present = present.clone();
    present.last_probe_time.clone_from(&next.last_probe_time);
    if !counters_due {
        present.active_jobs = next.active_jobs;
        present.ledger.clone_from(&next.ledger);
        present.queues.clone_from(&next.queues);
    }
    // When a signal was read is no news; what it says is.
    let mut next = next.clone();
    for row in present.queues.iter_mut().chain(&mut next.queues).flat_map(|queue| &mut queue.signals) {
        row.observed_at = None;
    }
    present != next
}

/// The API keeps whole seconds: what is compared must not have more.
fn to_the_second(time: k8s_openapi::jiff::Timestamp) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use spark_router_api::MemberClusterSpec;
    use spark_router_core::id::MemberIdentity;
    use spark_router_member::Health;

    use super::*;

    fn object() -> MemberCluster {
        let spec: MemberClusterSpec =
            serde_json::from_value(serde_json::json!({"connection": {"inCluster": {}}})).unwrap();
        MemberCluster::new("m", spec)
    }

    fn facts(link: LinkState, fault: Option<Fault>) -> Facts<'static> {
        Facts {
            fault: None,
            report: Some(Report {
                health: Health { link, fault, blocked: Vec::new() },
                identity: Some(MemberIdentity::from("x")),
                server_version: Some("v1.36.3".to_owned()),
                last_answer: Some(Timestamp::from_second(100).unwrap()),
                replacement: None,
            }),
            held: Resources { jobs: 2, ..Resources::default() },
            queues: Vec::new(),
            breaker: Some(State::Closed),
            notes: Vec::new(),
            now: Time(Timestamp::from_second(100).unwrap()),
        }
    }

    fn ready(status: &MemberClusterStatus) -> (&str, &str) {
        let ready = condition::find(&status.conditions, READY).unwrap();
        (ready.status.as_str(), ready.reason.as_str())
    }

    #[test]
    fn every_state_of_the_link_shows() {
        let since = Timestamp::from_millisecond(50_700).unwrap();
        for (link, expected, state) in [
            (LinkState::Connecting, ("False", "Connecting"), "Connecting"),
            (LinkState::Ready, ("True", "Ready"), "Ready"),
            (LinkState::Suspect { since }, ("False", "Suspect"), "Suspect"),
            (LinkState::Lost { since }, ("False", "Lost"), "Lost"),
        ] {
            let status = status(&object(), &facts(link, None));
            assert_eq!((ready(&status), status.state.as_deref()), (expected, Some(state)));
            let unanswered = matches!(link, LinkState::Suspect { .. } | LinkState::Lost { .. });
            assert_eq!(status.unanswered_since.map(|t| t.0.as_millisecond()), unanswered.then_some(50_000));
            assert_eq!((status.identity.as_deref(), status.active_jobs), (Some("x"), Some(2)));
        }
    }

    #[test]
    fn a_fault_is_the_reason_and_a_changed_identity_is_not_taken_over() {
        let fault = (reason::IDENTITY_CHANGED, "it moved".to_owned());
        let mut object = object();
        object.status = Some(MemberClusterStatus {
            identity: Some("before".to_owned()),
            ..MemberClusterStatus::default()
        });
        let next = status(&object, &facts(LinkState::Ready, Some(fault)));
        assert_eq!((ready(&next), next.identity.as_deref()), (("False", "IdentityChanged"), Some("before")));
        let missing = (reason::SECRET_MISSING, "no Secret".to_owned());
        let next =
            status(&object, &Facts { fault: Some(&missing), report: None, ..facts(LinkState::Ready, None) });
        assert_eq!((ready(&next), next.state.as_deref()), (("False", "SecretMissing"), None));
        object.spec.forget = true;
        assert_eq!(ready(&status(&object, &facts(LinkState::Ready, None))).1, "Forgotten");
    }

    #[test]
    fn a_breaker_is_told_of_once_it_opened() {
        let mut object = object();
        let at = |second| Timestamp::from_second(second).unwrap();
        let say = |breaker, object: &mut MemberCluster| {
            let facts = Facts { breaker, ..facts(LinkState::Ready, None) };
            object.status = Some(status(object, &facts));
            let said = object.status.as_ref().and_then(|s| condition::find(&s.conditions, BREAKER_OPEN));
            said.map(|c| (c.status.clone(), c.reason.clone()))
        };
        let is = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
        assert_eq!(say(Some(State::Closed), &mut object), None);
        let broken = |until: Option<i64>, is_trying| {
            Some(State::Open(Broken { since: at(50), until: until.map(at), is_trying }))
        };
        assert_eq!(say(broken(Some(110), false), &mut object), is("True", "FailsJobs"));
        assert!(convert::broken_on_record(&object).is_some());
        assert_eq!(say(None, &mut object), is("True", "FailsJobs"), "another process knows better");
        assert_eq!(say(broken(None, false), &mut object), is("True", "NextTries"));
        assert!(convert::broken_on_record(&object).is_none(), "a job may go there");
        assert_eq!(say(broken(Some(400), true), &mut object), is("True", "Trying"));
        assert_eq!(say(Some(State::Closed), &mut object), is("False", "Closed"));
        assert!(convert::broken_on_record(&object).is_none());
        assert_eq!(ready(object.status.as_ref().unwrap()), ("True", "Ready"), "it answers all the same");
    }

    #[test]
    fn probes_alone_are_never_written_and_counters_seldom() {
        let mut object = object();
        let first = status(&object, &facts(LinkState::Ready, None));
        object.status = Some(first.clone());
        let mut later = facts(LinkState::Ready, None);
        later.report.as_mut().unwrap().last_answer = Some(Timestamp::from_second(999).unwrap());
        later.now = Time(Timestamp::from_second(999).unwrap());
        assert!(!differs(&first, &status(&object, &later), true));
        later.held.jobs = 3;
        assert!(!differs(&first, &status(&object, &later), false));
        assert!(differs(&first, &status(&object, &later), true));
        later.report.as_mut().unwrap().health.link = LinkState::Connecting;
        assert!(differs(&first, &status(&object, &later), false));
    }
}
