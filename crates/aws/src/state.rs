//! What a job run's state means, in the core's words.
//!
//! Owns no state. One table of texts; what it does not know is read in the way that starts nothing twice. Only COMPLETED,
//! FAILED and CANCELLED are ends, and not each FAILED proves that nothing runs: AWS calls a run failed also when it lost
//! sight of it.

use spark_router_core::observe::{FailureSign, RunState};

/// A job run as AWS shows it, with what the router knows of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// `state`.
    pub state: &'a str,
    /// `failureReason`.
    pub failure_reason: Option<&'a str>,
    /// `stateDetails`.
    pub details: Option<&'a str>,
    /// It was seen running once. That it was not proves nothing: it may have run between two polls.
    pub ran: bool,
    /// The router asked AWS to cancel it.
    pub cancel_asked: bool,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The state.
    pub run: RunState,
    /// It is being stopped, or was stopped by the router: a failure is then no end of its own.
    pub stopping: bool,
    /// AWS used a state that this build does not know.
    pub is_unknown: bool,
}

/// AWS lost sight of the run; its driver may go on.
const LOST_SIGHT: &str = "trouble monitoring";

/// Texts of failures before anything of the run was in the cluster: in lower case, all words of a row in the text. From the
/// developer guide's list of job run states.
const BEFORE_START: [(&[&str], FailureSign); 7] = [
    (&["does not have sufficient resources"], FailureSign::NoResources),
    // SUBMITTED for longer than job-start-timeout.
    (&["cluster timeout"], FailureSign::NoResources),
    (&["classification", "not supported"], FailureSign::Rejected),
    (&["submission failed"], FailureSign::Submission),
    (&["does not exist"], FailureSign::Submission),
    (&["does not have sufficient permissions"], FailureSign::Submission),
    (&["is currently not reachable"], FailureSign::Submission),
];

/// Folds what AWS shows.
pub fn meaning(seen: &Seen<'_>) -> Meaning {
    let plain = |run| Meaning { run, stopping: false, is_unknown: false };
    match seen.state {
        "PENDING" => plain(RunState::Accepted),
        "SUBMITTED" => plain(RunState::Submitted),
        "RUNNING" => plain(RunState::Running),
        "COMPLETED" => plain(RunState::Succeeded),
        // It can still complete.
        "CANCEL_PENDING" => Meaning { stopping: true, ..plain(RunState::Passing) },
        "CANCELLED" if seen.cancel_asked => {
            Meaning { stopping: true, ..plain(RunState::Failed(FailureSign::Other)) }
        }
        "CANCELLED" => plain(RunState::Failed(FailureSign::ExternallyCancelled)),
        "FAILED" => Meaning { stopping: seen.cancel_asked, ..plain(RunState::Failed(sign(seen))) },
        _ => Meaning { is_unknown: true, ..plain(RunState::Passing) },
    }
}

fn sign(seen: &Seen<'_>) -> FailureSign {
    let text = seen.details.unwrap_or_default().to_lowercase();
    if text.contains(LOST_SIGHT) {
        return FailureSign::MonitoringLost;
    }
    let known = BEFORE_START.iter().find(|(words, _)| words.iter().all(|word| text.contains(word)));
    if let Some((_, sign)) = known
        && !seen.ran
    {
        return *sign;
    }
    match seen.failure_reason {
        Some("USER_ERROR") if text.contains("oomkilled") => FailureSign::OutOfMemory,
        Some("USER_ERROR") if seen.ran => FailureSign::Application,
        Some("VALIDATION_ERROR") if !seen.ran => FailureSign::Rejected,
        // It may have run and been missed; or AWS says nothing but that it failed.
        Some("USER_ERROR" | "VALIDATION_ERROR") | None => FailureSign::Other,
        // CLUSTER_UNAVAILABLE, INTERNAL_ERROR and what is to come speak of AWS and the cluster, not of the driver.
        Some(_) => FailureSign::MonitoringLost,
    }
}

#[cfg(test)]
mod tests {
    use FailureSign::{
        Application, ExternallyCancelled, MonitoringLost, NoResources, Other, OutOfMemory, Rejected,
        Submission,
    };

    use super::*;

    fn failed(reason: &str, details: &str, ran: bool) -> FailureSign {
        let failure_reason = (!reason.is_empty()).then_some(reason);
        let seen = Seen { state: "FAILED", failure_reason, details: Some(details), ran, ..Seen::default() };
        match meaning(&seen) {
            Meaning { run: RunState::Failed(sign), stopping: false, is_unknown: false } => sign,
            other => panic!("{seen:?}: {other:?}"),
        }
    }

    #[test]
    fn states_that_are_no_end() {
        for (state, run, stopping) in [
            ("PENDING", RunState::Accepted, false),
            ("SUBMITTED", RunState::Submitted, false),
            ("RUNNING", RunState::Running, false),
            ("CANCEL_PENDING", RunState::Passing, true),
        ] {
            let meaning = meaning(&Seen { state, ..Seen::default() });
            assert_eq!(meaning, Meaning { run, stopping, is_unknown: false }, "{state}");
            assert!(!meaning.run.is_terminal(), "{state}");
        }
    }

    #[test]
    fn a_state_of_tomorrow_is_no_end() {
        for state in ["", "HIBERNATING", "completed", "FAILED_OVER", "CANCELED"] {
            let meaning = meaning(&Seen { state, ..Seen::default() });
            assert_eq!(meaning.run, RunState::Passing, "{state:?}");
            assert!(meaning.is_unknown, "{state:?}");
        }
    }

    #[test]
    fn a_completed_run_succeeded_also_while_it_was_to_be_cancelled() {
        for cancel_asked in [false, true] {
            let seen = Seen { state: "COMPLETED", cancel_asked, ..Seen::default() };
            assert_eq!(meaning(&seen).run, RunState::Succeeded);
        }
    }

    #[test]
    fn a_cancelled_run_ends_in_its_own_way_unless_the_router_asked_for_it() {
        let seen = Seen { state: "CANCELLED", ran: true, ..Seen::default() };
        let foreign = meaning(&seen);
        assert_eq!(foreign.run, RunState::Failed(ExternallyCancelled));
        assert!(foreign.run.proves_end() && !foreign.stopping);
        let ours = meaning(&Seen { cancel_asked: true, ..seen });
        assert!(ours.run.proves_end() && ours.stopping, "{ours:?}");
        assert!(meaning(&Seen { state: "FAILED", cancel_asked: true, ..seen }).stopping);
    }

    #[test]
    fn every_documented_text() {
        for (reason, details, ran, expected) in [
            ("USER_ERROR", "Cluster c-1 does not have sufficient resources.", false, NoResources),
            ("CLUSTER_UNAVAILABLE", "Cluster c-1 does not exist.", false, Submission),
            ("CLUSTER_UNAVAILABLE", "Cluster c-1 does not have sufficient permissions.", false, Submission),
            ("CLUSTER_UNAVAILABLE", "Cluster c-1 is currently not reachable.", false, Submission),
            (
                "VALIDATION_ERROR",
                "JobRun submission failed. Classification spark-x not supported.",
                false,
                Rejected,
            ),
            ("INTERNAL_ERROR", "JobRun submission failed due to an internal error.", false, Submission),
            ("CLUSTER_UNAVAILABLE", "Cluster timeout", false, NoResources),
            ("USER_ERROR", "JobRun timed out: cluster timeout.", false, NoResources),
            ("VALIDATION_ERROR", "something else", false, Rejected),
            ("USER_ERROR", "Application failed with exit code 1.", true, Application),
            ("USER_ERROR", "Driver container was OOMKilled.", true, OutOfMemory),
            // It was not seen running, which does not say that it did not run.
            ("USER_ERROR", "Application failed with exit code 1.", false, Other),
            ("VALIDATION_ERROR", "something else", true, Other),
            ("", "", true, Other),
            ("", "", false, Other),
        ] {
            let sign = failed(reason, details, ran);
            assert_eq!(sign, expected, "{reason} {details:?} ran: {ran}");
            assert!(sign.proves_end(), "{details}");
        }
    }

    #[test]
    fn trouble_with_monitoring_never_proves_the_end() {
        for ran in [false, true] {
            for (reason, details) in [
                ("CLUSTER_UNAVAILABLE", "Trouble monitoring your JobRun. Cluster c-1 does not exist."),
                (
                    "CLUSTER_UNAVAILABLE",
                    "Trouble monitoring your JobRun. Cluster c-1 is currently not reachable.",
                ),
                ("INTERNAL_ERROR", "Trouble monitoring your JobRun."),
                ("USER_ERROR", "trouble monitoring your jobrun"),
                ("INTERNAL_ERROR", "something went wrong"),
                ("CLUSTER_UNAVAILABLE", ""),
                ("A_REASON_OF_TOMORROW", "something went wrong"),
            ] {
                let sign = failed(reason, details, ran);
                assert_eq!(sign, MonitoringLost, "{reason} {details:?} ran: {ran}");
                assert!(!sign.proves_end());
            }
        }
    }

    #[test]
    fn a_text_of_before_the_start_is_no_proof_for_a_run_that_was_seen_running() {
        for details in
            ["Cluster c-1 does not exist.", "Cluster c-1 is currently not reachable.", "submission failed"]
        {
            assert_eq!(failed("CLUSTER_UNAVAILABLE", details, true), MonitoringLost, "{details}");
        }
        assert_eq!(
            failed("USER_ERROR", "Cluster c-1 does not have sufficient resources.", true),
            Application
        );
    }

    #[test]
    fn each_row_is_met() {
        for (n, (words, sign)) in BEFORE_START.iter().enumerate() {
            let text = words.join(" x ").to_uppercase();
            assert_eq!(failed("USER_ERROR", &text, false), *sign, "row {n}");
        }
    }
}
