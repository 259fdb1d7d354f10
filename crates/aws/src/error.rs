//! What can go wrong on the way to AWS.

use crate::client::Failure;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call failed or was refused.
    #[error("{doing} failed: {failure}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// How.
        failure: Failure,
    },
}
