//! How far a driver's pod is, and what its conditions and reasons mean.
//!
//! Owns no state. One table for pods that failed and one for those that wait; whatever they do not know is the
//! application's own failure, or no trouble. What is said is the member's own words, shortened and without secrets.

use k8s_openapi::api::core::v1::{ContainerState, Pod, PodStatus};
use spark_router_core::observe::FailureSign;

use crate::{error_line, member::Driver};

/// The container that runs the driver.
pub(crate) const DRIVER_CONTAINER: &str = "spark-kubernetes-driver";

/// `status.reason` of a pod that failed as a whole.
const FAILED: [(&str, FailureSign); 17] = [
    // The batch scheduler's words.
    ("ApplicationRejected", FailureSign::QueueRefused),
    ("ResourceReservationTimeout", FailureSign::NoReservation),
    // The kubelet's, before anything of it ran.
    ("OutOfcpu", FailureSign::NodeRefused),
    ("OutOfmemory", FailureSign::NodeRefused),
    ("OutOfpods", FailureSign::NodeRefused),
    ("OutOfephemeral-storage", FailureSign::NodeRefused),
    ("NodeAffinity", FailureSign::NodeRefused),
    ("NodeSelectorMismatching", FailureSign::NodeRefused),
    ("UnexpectedAdmissionError", FailureSign::NodeRefused),
    ("TopologyAffinityError", FailureSign::NodeRefused),
    // It was taken away.
    ("Evicted", FailureSign::Evicted),
    ("Preempting", FailureSign::Evicted),
    ("NodeShutdown", FailureSign::Evicted),
    ("Terminated", FailureSign::Evicted),
    ("Shutdown", FailureSign::Evicted),
    // Its node went away.
    ("NodeLost", FailureSign::DriverLost),
    ("ContainerStatusUnknown", FailureSign::DriverLost),
];

/// `state.terminated.reason` of the driver's container; anything else is the application's own end.
const ENDED: [(&str, FailureSign); 2] =
    [("OOMKilled", FailureSign::OutOfMemory), ("ContainerStatusUnknown", FailureSign::DriverLost)];

/// `state.waiting.reason` of a container that may not pass by itself.
const WAITING: [&str; 8] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

/// Reasons of `PodScheduled=False`.
const UNSCHEDULED: [&str; 2] = ["Unschedulable", "SchedulingGated"];

/// How far a driver's pod is. A container that ended decides also where a sidecar keeps the pod running.
pub(crate) fn driver(pod: &Pod) -> Driver {
    let Some(status) = &pod.status else { return Driver::Alive };
    let phase = status.phase.as_deref().unwrap_or_default();
    let container = state_of(status, DRIVER_CONTAINER);
    let terminated = container.and_then(|state| state.terminated.as_ref());
    match (phase, terminated) {
        ("Succeeded", _) => Driver::Succeeded,
        (_, Some(end)) if end.exit_code == 0 => Driver::Succeeded,
        (_, Some(end)) => {
            let reason = end.reason.as_deref().unwrap_or("Error");
            // A pod that was taken away has its container killed.
            let sign = known(&FAILED, status.reason.as_deref())
                .or_else(|| was_disrupted(status).then_some(FailureSign::Evicted))
                .or_else(|| known(&ENDED, Some(reason)))
                .unwrap_or(FailureSign::Application);
            let cause = match sign {
                FailureSign::Application | FailureSign::OutOfMemory => String::new(),
                _ => format!("; {}", said(status)),
            };
            let how = format!("the driver ended with exit code {} ({reason}){cause}", end.exit_code);
            Driver::Failed(sign, error_line::shown(how.trim_end_matches("; ")))
        }
        ("Failed", None) => {
            let sign = known(&FAILED, status.reason.as_deref())
                .or_else(|| was_disrupted(status).then_some(FailureSign::Evicted))
                .unwrap_or(FailureSign::PodFailed);
            Driver::Failed(sign, error_line::shown(&format!("the driver's pod failed: {}", said(status))))
        }
        ("Unknown", None) => Driver::Unclear("the driver's node does not answer".to_owned()),
        ("Pending", None) => waits(status).map_or(Driver::Alive, |(reason, message)| Driver::Waiting {
            reason,
            message: error_line::shown(message),
        }),
        (_, None) => Driver::Alive,
    }
}

fn known(rows: &[(&str, FailureSign)], reason: Option<&str>) -> Option<FailureSign> {
    rows.iter().find(|(known, _)| Some(*known) == reason).map(|(_, sign)| *sign)
}

fn state_of<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerState> {
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    containers.iter().find(|container| container.name == name)?.state.as_ref()
}

/// Whether the scheduler, a taint or an eviction ended it.
fn was_disrupted(status: &PodStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")
}

/// The pod's own reason and message; those of its disruption where it has none.
fn said(status: &PodStatus) -> String {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let disruption = conditions.iter().find(|condition| condition.type_ == "DisruptionTarget");
    let reason = status.reason.as_deref().or(disruption.and_then(|condition| condition.reason.as_deref()));
    let message = status.message.as_deref().or(disruption.and_then(|condition| condition.message.as_deref()));
    match (reason, message) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => "no reason given".to_owned(),
    }
}

/// What a pending pod waits for, where that may not pass by itself: an init container or the driver's own first.
fn waits(status: &PodStatus) -> Option<(&'static str, &str)> {
    let containers = [&status.init_container_statuses, &status.container_statuses];
    let waiting = containers
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    for state in waiting {
        if let Some(reason) = WAITING.into_iter().find(|known| Some(*known) == state.reason.as_deref()) {
            return Some((reason, state.message.as_deref().unwrap_or("no more is said")));
        }
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unscheduled = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    let reason = UNSCHEDULED.into_iter().find(|known| Some(*known) == unscheduled.reason.as_deref())?;
    Some((reason, unscheduled.message.as_deref().unwrap_or("no more is said")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(status: &Value) -> Driver {
        driver(&serde_json::from_value(json!({"status": status})).unwrap())
    }

    fn container(state: &Value) -> Value {
        json!([{
            "name": DRIVER_CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        }])
    }

    fn ended(code: i32, reason: &str) -> Value {
        container(&json!({"terminated": {"exitCode": code, "reason": reason}}))
    }

    fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
        json!([{"type": type_, "status": status, "reason": reason, "message": message}])
    }

    fn failed(sign: FailureSign, how: &str) -> Driver {
        Driver::Failed(sign, how.to_owned())
    }

    #[test]
    fn the_end_of_a_driver_is_read_from_its_container_first() {
        for (status, expected) in [
            (json!({"phase": "Pending"}), Driver::Alive),
            (json!({"phase": "Running"}), Driver::Alive),
            (json!({}), Driver::Alive),
            (json!({"phase": "Running", "containerStatuses": ended(0, "Completed")}), Driver::Succeeded),
            (json!({"phase": "Succeeded"}), Driver::Succeeded),
            (
                json!({"phase": "Running", "containerStatuses": ended(1, "Error")}),
                failed(FailureSign::Application, "the driver ended with exit code 1 (Error)"),
            ),
            (
                json!({"phase": "Failed", "containerStatuses": ended(137, "OOMKilled")}),
                failed(FailureSign::OutOfMemory, "the driver ended with exit code 137 (OOMKilled)"),
            ),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory",
                       "containerStatuses": ended(143, "Error")}),
                failed(
                    FailureSign::Evicted,
                    "the driver ended with exit code 143 (Error); Evicted: The node was low on memory",
                ),
            ),
            (
                json!({"phase": "Failed", "containerStatuses": ended(137, "Error"),
                       "conditions": condition("DisruptionTarget", "True", "PreemptionByScheduler", "preempted")}),
                failed(
                    FailureSign::Evicted,
                    "the driver ended with exit code 137 (Error); PreemptionByScheduler: preempted",
                ),
            ),
            (
                json!({"phase": "Failed"}),
                failed(FailureSign::PodFailed, "the driver's pod failed: no reason given"),
            ),
            (json!({"phase": "Unknown"}), Driver::Unclear("the driver's node does not answer".to_owned())),
        ] {
            assert_eq!(of(&status), expected, "{status}");
        }
    }

    #[test]
    fn each_reason_of_a_failed_pod_has_its_meaning() {
        for (reason, sign) in FAILED {
            let status = json!({"phase": "Failed", "reason": reason, "message": "so it was"});
            assert_eq!(of(&status), failed(sign, &format!("the driver's pod failed: {reason}: so it was")));
        }
        for (reason, sign) in ENDED {
            let status = json!({"phase": "Failed", "containerStatuses": ended(137, reason)});
            assert!(matches!(of(&status), Driver::Failed(found, _) if found == sign), "{reason}");
        }
        let unheard = json!({"phase": "Failed", "reason": "OfTomorrow"});
        assert_eq!(of(&unheard), failed(FailureSign::PodFailed, "the driver's pod failed: OfTomorrow"));
    }

    #[test]
    fn what_a_pending_driver_waits_for_is_told_where_it_may_not_pass() {
        let waiting =
            |reason: &'static str, message: &str| Driver::Waiting { reason, message: message.to_owned() };
        for reason in WAITING {
            let state = container(&json!({"waiting": {"reason": reason, "message": "it cannot"}}));
            let status = json!({"phase": "Pending", "containerStatuses": state});
            assert_eq!(of(&status), waiting(reason, "it cannot"));
            let in_init = json!({"phase": "Pending", "initContainerStatuses": state});
            assert_eq!(of(&in_init), waiting(reason, "it cannot"));
        }
        for reason in UNSCHEDULED {
            let conditions = condition("PodScheduled", "False", reason, "0/3 nodes are available");
            let status = json!({"phase": "Pending", "conditions": conditions});
            assert_eq!(of(&status), waiting(reason, "0/3 nodes are available"));
        }
        let creating = container(&json!({"waiting": {"reason": "ContainerCreating"}}));
        for status in [
            json!({"phase": "Pending", "containerStatuses": creating}),
            json!({"phase": "Pending", "conditions": condition("PodScheduled", "True", "", "")}),
            json!({"phase": "Pending", "conditions": condition("PodScheduled", "False", "SchedulerError", "")}),
            json!({"phase": "Running", "conditions": condition("PodScheduled", "False", "Unschedulable", "")}),
        ] {
            assert_eq!(of(&status), Driver::Alive, "{status}");
        }
    }

    #[test]
    fn secrets_and_long_texts_are_cut() {
        let message = format!("pulling https://user:hunter2@registry/{}", "x".repeat(4000));
        let state = container(&json!({"waiting": {"reason": "ErrImagePull", "message": message}}));
        let Driver::Waiting { message, .. } = of(&json!({"phase": "Pending", "containerStatuses": state}))
        else {
            panic!()
        };
        assert!(message.len() <= 1024 && !message.contains("hunter2"), "{message}");
    }
}
