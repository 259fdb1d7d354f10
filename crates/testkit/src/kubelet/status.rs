//! Pod statuses.
//!
//! Purpose: spell a pod's status as a kubelet does. Owns no state. It must never report an end before the process has
//! ended.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

/// How far a pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for its volumes.
    Creating,
    /// Its process runs.
    Running { since: Timestamp },
    /// Its process ended.
    Ended { since: Timestamp, code: i32 },
    /// It was never started, for this reason.
    Refused { why: String },
}

/// A merge patch of the status.
pub(super) fn patch(
    stage: &Stage,
    container: &str,
    image: &str,
    address: Option<Ipv4Addr>,
    node: Ipv4Addr,
) -> Value {
    let now = Timestamp::now();
    let (phase, ready, state) = match stage {
        Stage::Creating => ("Pending", false, json!({"waiting": {"reason": "ContainerCreating"}})),
        Stage::Running { since } => ("Running", true, json!({"running": {"startedAt": since}})),
        Stage::Ended { since, code } => {
            let (phase, reason) = if *code == 0 { ("Succeeded", "Completed") } else { ("Failed", "Error") };
            let end = json!({"exitCode": code, "reason": reason, "startedAt": since, "finishedAt": now});
            (phase, false, json!({"terminated": end}))
        }
        Stage::Refused { why } => {
            let end =
                json!({"exitCode": 128, "reason": "ContainerCannotRun", "message": why, "finishedAt": now});
            ("Failed", false, json!({"terminated": end}))
        }
    };
    let ended = matches!(stage, Stage::Ended { .. } | Stage::Refused { .. });
    let condition = |kind: &str, holds: bool| {
        let reason = (!holds && ended).then_some("PodCompleted");
        json!({
            "type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": now,
            "reason": reason,
        })
    };
    let mut status = json!({
        "phase": phase, "hostIP": node,
        "conditions": [
            condition("PodScheduled", true), condition("Initialized", true),
            condition("ContainersReady", ready), condition("Ready", ready),
        ],
        "containerStatuses": [{
            "name": container, "image": image, "imageID": image, "ready": ready, "started": ready,
            "restartCount": 0, "state": state,
        }],
    });
    if let Some(address) = address {
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
    }
    match stage {
        Stage::Creating => status["startTime"] = json!(now),
        Stage::Refused { why } => {
            status["reason"] = json!("ProcessKubelet");
            status["message"] = json!(why);
        }
        Stage::Running { .. } | Stage::Ended { .. } => {}
    }
    json!({ "status": status })
}
