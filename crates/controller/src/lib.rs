//! The hub loop: reconciles jobs, decides where they go, mirrors what becomes of them.
//!
//! Wires watches, dispatcher, members and passes together. A pass reads only caches and makes at most one effect at a
//! time; the hub's API server is the log of every decision. Knows members only through their trait.
//!
//! | module | holds |
//! |---|---|
//! | [`convert`], [`template`] | parsing of users' objects into the core's types |
//! | `reconcile`, `gather`, `act` | one pass: gather, decide, act |
//! | [`status`], [`links`] | what a status says |
//! | [`hub`] | writes to the hub's record of a job |
//! | [`lease`] | whether this process leads or stands by |
//! | [`dispatcher`] | the one task that owns fleet, queues and ledger |
//! | [`jobs`], [`queues`], [`fleet`], [`members`] | the hub's watches and what they tell |
//! | [`explain`] | why a job is where it is, or what it waits for, for somebody who asks |
//! | [`backends`] | which kinds of members can run a job |
//! | [`memory`] | what this process remembers between passes |
//! | [`clock`] | the time that deadlines are held against |
//! | [`events`], [`metrics`], [`readiness`] | what people and machines see of it |

mod act;
pub mod backends;
pub mod clock;
pub mod context;
pub mod convert;
pub mod dispatcher;
pub mod error;
pub mod events;
pub mod explain;
pub mod fleet;
mod gather;
pub mod hub;
pub mod jobs;
pub mod lease;
pub mod links;
pub mod members;
pub mod memory;
pub mod metrics;
pub mod queues;
pub mod readiness;
pub mod reconcile;
pub mod restored;
mod run;
pub mod status;
pub mod template;
pub mod watches;

pub use error::Error;
pub use run::{PARTS, Settings, run};
