//! What a command's stdout gets at the end.
//!
//! Owns no state.

use clap::ValueEnum;

/// What stdout gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and words.
    Text,
    /// One JSON object and nothing else.
    Json,
}
