//! Breaks a running router in every way and proves from outside what became of the jobs.
//!
//! Purpose: a seed makes a schedule of jobs and faults; real control planes carry it out; an oracle that shares no code
//! with the router then reads audit logs, records of virtual clusters and objects, and counts jobs that were lost, run twice or left unexplained. Owns
//! the control planes of one run. It must never ask the router what it did, nor forgive what a seed brings up.

mod aim;
mod alone;
mod collect;
mod dice;
pub mod error;
pub mod evidence;
pub mod fault;
mod hand;
mod inject;
mod node;
pub mod oracle;
pub mod plan;
pub mod report;
pub mod run;
pub mod schedule;
mod shelf;
mod site;
mod stage;
mod submit;
mod virtual_cluster;
