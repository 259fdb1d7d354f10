//! What the operator's own words on a failure mean.
//!
//! Owns no state. One table, read from the top: the first row of which all parts are in the text counts. A text that no row
//! knows is the class that is tried again for nothing else. Must never read a failure as proof of an end where the operator
//! itself is not sure.

use spark_router_core::observe::FailureSign;

/// Parts of a text, and what they mean. The submission's own words come first: `spark-submit` puts whole stack traces
/// into them.
const ROWS: [(&[&str], FailureSign); 17] = [
    (&["driver pod already exist"], FailureSign::DriverExists),
    // The operator's own check of quotas and the API server's.
    (&["exceeded quota"], FailureSign::Quota),
    (&["failed to validate resource quota"], FailureSign::Quota),
    (&["failed to submit spark application"], FailureSign::Submission),
    (&["failed to run spark-submit"], FailureSign::Submission),
    (&["failed to build spark-submit arguments"], FailureSign::Submission),
    (&["failed to process batch scheduler"], FailureSign::Submission),
    (&["driver container failed with ExitCode", "Reason: OOMKilled"], FailureSign::OutOfMemory),
    // The node went away with it.
    (&["driver container failed with ExitCode", "Reason: ContainerStatusUnknown"], FailureSign::DriverLost),
    // Killed from outside: its pod may say by whom.
    (&["driver container failed with ExitCode: 137"], FailureSign::PodFailed),
    (&["driver container failed with ExitCode: 143"], FailureSign::PodFailed),
    (&["driver container failed with ExitCode"], FailureSign::Application),
    // Before its second version.
    (&["driver pod failed with ExitCode", "Reason: OOMKilled"], FailureSign::OutOfMemory),
    (&["driver pod failed with ExitCode"], FailureSign::Application),
    (&["driver container status missing"], FailureSign::PodFailed),
    (&["driver pod not found"], FailureSign::DriverLost),
    (&["driver pod was deleted"], FailureSign::DriverLost),
];

/// What a failure's text tells.
pub(super) fn sign(text: &str) -> FailureSign {
    let row = ROWS.iter().find(|(parts, _)| parts.iter().all(|part| text.contains(part)));
    row.map_or(FailureSign::Other, |(_, sign)| *sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_failures_are_told_apart() {
        let submit = "failed to submit spark application: failed to run spark-submit: ";
        let cases = [
            (
                "failed to submit spark application: driver pod already exist".to_owned(),
                FailureSign::DriverExists,
            ),
            ("driver pod already exist".to_owned(), FailureSign::DriverExists),
            (format!("{submit}pods \"a-driver\" is forbidden: exceeded quota: q"), FailureSign::Quota),
            ("failed to validate resource quota \"team/q\"".to_owned(), FailureSign::Quota),
            (format!("{submit}exit status 1"), FailureSign::Submission),
            ("failed to submit spark application: no such main class".to_owned(), FailureSign::Submission),
            ("failed to run spark-submit: signal: killed".to_owned(), FailureSign::Submission),
            ("failed to build spark-submit arguments: no".to_owned(), FailureSign::Submission),
            ("failed to process batch scheduler: unknown".to_owned(), FailureSign::Submission),
            (
                "driver container failed with ExitCode: 137, Reason: OOMKilled".to_owned(),
                FailureSign::OutOfMemory,
            ),
            (
                "driver container failed with ExitCode: 137, Reason: ContainerStatusUnknown".to_owned(),
                FailureSign::DriverLost,
            ),
            ("driver container failed with ExitCode: 137, Reason: Error".to_owned(), FailureSign::PodFailed),
            ("driver container failed with ExitCode: 143, Reason: Error".to_owned(), FailureSign::PodFailed),
            ("driver container failed with ExitCode: 1, Reason: Error".to_owned(), FailureSign::Application),
            ("driver pod failed with ExitCode: 137, Reason: OOMKilled".to_owned(), FailureSign::OutOfMemory),
            ("driver pod failed with ExitCode: 1, Reason: Error".to_owned(), FailureSign::Application),
            ("driver container status missing".to_owned(), FailureSign::PodFailed),
            ("driver pod not found".to_owned(), FailureSign::DriverLost),
            ("driver pod was deleted".to_owned(), FailureSign::DriverLost),
            ("something new".to_owned(), FailureSign::Other),
            (String::new(), FailureSign::Other),
        ];
        for (text, expected) in &cases {
            assert_eq!(sign(text), *expected, "{text}");
        }
        // Every row is met by one of them, so that none is dead.
        for (parts, expected) in ROWS {
            let meets = |(text, _): &&(String, FailureSign)| {
                ROWS.iter().find(|(of_row, _)| of_row.iter().all(|part| text.contains(part)))
                    == Some(&(parts, expected))
            };
            assert!(cases.iter().any(|case| meets(&case)), "{parts:?}");
        }
    }
}
