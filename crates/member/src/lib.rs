//! One member as seen from the hub.
//!
//! A member is a target that runs Spark. Each has a task group of its own: client, limiter, probe, watch, cache and
//! back-off; a dead one can slow nobody else. Only keys of changed jobs leave this crate (see [`registry`]); what a
//! member says is read from its cache without waiting. Must never be a trigger stream of the controller, and never
//! decides where a job goes.

pub mod canonical;
pub mod member;

pub use member::{Confirmation, Created, Driver, Fence, Health, Member, Order};
