//! The states of three kinds of members in one vocabulary: the judges have one set of rules.
//!
//! Owns no state. Kubeflow's words are the vocabulary. Written from the references of the operators and of the API, and
//! shared with nobody: what the router makes of a state is judged by it.

use crate::evidence::Backend;

/// A state as the judges know it, after the one before.
pub(crate) fn common(backend: Backend, before: &str, native: &str) -> String {
    let word = match backend {
        Backend::Kubeflow => native,
        Backend::Apache => apache(before, native),
        Backend::EmrContainers => match native {
            // Not yet in the cluster.
            "PENDING" => ACCEPTED,
            other => other,
        },
    };
    word.to_owned()
}

/// Taken, and nothing asked for yet.
pub(crate) const ACCEPTED: &str = "ACCEPTED";

/// Only the last two are ends, and what came before them says of what.
fn apache<'a>(before: &str, native: &'a str) -> &'a str {
    match native {
        "Submitted" => ACCEPTED,
        "DriverRequested" => "SUBMITTED",
        "DriverStarted"
        | "DriverReady"
        | "InitializedBelowThresholdExecutors"
        | "RunningHealthy"
        | "RunningWithPartialCapacity"
        | "RunningWithBelowThresholdExecutors" => "RUNNING",
        "ScheduledToRestart" => "PENDING_RERUN",
        "Succeeded" => "SUCCEEDING",
        "ResourceReleased" | "TerminatedWithoutReleaseResources" if before == "SUCCEEDING" => "COMPLETED",
        "ResourceReleased" | "TerminatedWithoutReleaseResources" => "FAILED",
        "" => "",
        _ => "FAILING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(backend: Backend, states: &[&str]) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        for state in states {
            let before = said.last().cloned().unwrap_or_default();
            said.push(common(backend, &before, state));
        }
        said
    }

    #[test]
    fn an_end_of_apaches_is_what_came_before_it() {
        let begin = ["Submitted", "DriverRequested", "RunningHealthy"];
        let with = |more: &[&'static str]| [begin.as_slice(), more].concat();
        let last = |more| course(Backend::Apache, &with(more)).pop().unwrap();
        assert_eq!(last(&["Succeeded"]), "SUCCEEDING");
        assert_eq!(last(&["Succeeded", "ResourceReleased"]), "COMPLETED");
        assert_eq!(last(&["Failed"]), "FAILING");
        assert_eq!(last(&["Failed", "ResourceReleased"]), "FAILED");
        assert_eq!(last(&["DriverEvicted", "ScheduledToRestart"]), "PENDING_RERUN");
        assert_eq!(last(&["ResourceReleased"]), "FAILED", "ended from outside");
        assert_eq!(course(Backend::Apache, &begin), [ACCEPTED, "SUBMITTED", "RUNNING"]);
    }

    #[test]
    fn words_of_the_others_stay() {
        let states = ["PENDING", "SUBMITTED", "RUNNING", "CANCEL_PENDING", "CANCELLED"];
        let said = course(Backend::EmrContainers, &states);
        assert_eq!(said, [ACCEPTED, "SUBMITTED", "RUNNING", "CANCEL_PENDING", "CANCELLED"]);
        let states = ["SUBMITTED", "RUNNING", "REBALANCING", "COMPLETED"];
        assert_eq!(course(Backend::Kubeflow, &states), states);
    }
}
