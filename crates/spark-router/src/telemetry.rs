//! Logs: where they go and how they look.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::{args::LogFormat, error::Error};

/// What the libraries say of failed calls is said again, with the member and what comes of it, by who made the call; of
/// a member that is down they would say it ten times a second. A filter that names one of them has the last word.
const QUIET: [&str; 2] = ["kube_client", "kube_runtime"];

/// Starts logging to stderr.
///
/// # Errors
/// [`Error::LogFilter`] for a filter that cannot be read.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), Error> {
    let read = EnvFilter::try_new(with_quiet_libraries(filter));
    let filter = read.map_err(|source| Error::LogFilter { filter: filter.to_owned(), source })?;
    let ansi = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.init(),
    }
    Ok(())
}

fn with_quiet_libraries(filter: &str) -> String {
    let unnamed = QUIET.iter().filter(|library| !filter.contains(**library));
    unnamed.fold(filter.to_owned(), |filter, library| format!("{filter},{library}=off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_asked_for() {
        assert_eq!(with_quiet_libraries("info"), "info,kube_client=off,kube_runtime=off");
        assert_eq!(with_quiet_libraries("kube_client=debug"), "kube_client=debug,kube_runtime=off");
        for filter in ["info", "debug,kube_runtime=trace", ""] {
            assert!(EnvFilter::try_new(with_quiet_libraries(filter)).is_ok(), "{filter:?}");
        }
    }
}
