//! Logs: where they go and how they look.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::{args::LogFormat, error::Error};

/// Starts logging to stderr.
///
/// # Errors
/// [`Error::LogFilter`] for a filter that cannot be read.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), Error> {
    let read = EnvFilter::try_new(filter);
    let filter = read.map_err(|source| Error::LogFilter { filter: filter.to_owned(), source })?;
    let ansi = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.init(),
    }
    Ok(())
}
