//! The router's own decisions on a virtual clock.
//!
//! Runs the very same [`spark_router_core::dispatch::Dispatcher`] as the router over members and jobs that exist only
//! here: jobs arrive, are placed, are submitted by their member's operator, have their pods, and end. Time jumps from one
//! event to the next, so a month of a thousand members takes a minute. Must never decide anything itself: whatever is
//! true of its report is true of the router.
//!
//! | module | holds |
//! |---|---|
//! | [`fleet`] | members, queues and namespaces that a simulation runs over |
//! | [`trace`] | jobs from a CSV file |
//! | [`generate`] | members and jobs made up from a few numbers and a seed |
//! | [`run`] | the clock and its events |
//! | [`report`] | what came out, as text and as JSON |
//! | [`plot`] | the same as pictures |

mod account;
pub mod error;
pub mod fleet;
pub mod generate;
pub mod plot;
pub mod report;
pub mod run;
mod series;
pub mod trace;

pub use error::Error;
