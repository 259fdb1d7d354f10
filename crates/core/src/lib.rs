//! Pure routing decisions over plain values.
//!
//! Everything that decides where a job runs, whether it may be created, what its status says and when an attempt is
//! over lives here as synchronous functions. Nothing in this crate does I/O, reads a clock or draws a random number:
//! time comes in as a [`jiff::Timestamp`], so the same input always gives the same output.
//!
//! | module | decides |
//! |---|---|
//! | [`id`] | names and identities, the remote name of an attempt |
//! | [`resources`] | amounts, Kubernetes quantities and Spark sizes |
//! | [`demand`] | what a job reserves, by Spark's own overhead formula |
//! | [`observe`] | what a member says of an attempt, folded into one vocabulary |
//! | [`refusal`] | what a refused create means and who is at fault |
//! | [`health`], [`breaker`] | whether a member may be trusted with new work |
//! | [`credit`], [`place`], [`taint`] | which member takes a job, and why not the others |
//! | [`signal`] | what a member's own quota or scheduler says there is room for |
//! | [`dispatch`], [`pace`], [`waits`], [`selector`] | what is placed where, which waiting job is next, what it waits for |
//! | [`lease`] | which of several routers leads |
//! | [`job`], [`policy`], [`application`], [`phase`], [`step`] | the one next thing to do for a job |

pub mod application;
pub mod breaker;
pub mod credit;
pub mod demand;
pub mod dispatch;
pub mod health;
pub mod id;
pub mod job;
pub mod lease;
mod ledger;
pub mod observe;
pub mod pace;
pub mod phase;
pub mod place;
pub mod policy;
pub mod refusal;
pub mod resources;
pub mod restored;
pub mod selector;
pub mod signal;
pub mod step;
pub mod taint;
pub mod waits;
