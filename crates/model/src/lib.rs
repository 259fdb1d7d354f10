//! The placement protocol, walked through exhaustively for small sizes.
//!
//! A world of one job, two members and two routers is taken through everything that can happen to it in any order, over
//! the very [`spark_router_core::step::step`] that the controller runs: the world is turned into the core's own snapshot,
//! the core names a step, and the step is carried out in the world. [stateright](https://docs.rs/stateright) does the
//! walking, breadth first, so that what is broken is shown by the shortest way there.
//!
//! Nothing that ships knows this crate. It owns no state beyond a walk, and must never decide what a router does.
//!
//! # What is in the world
//!
//! | part | modelled |
//! |---|---|
//! | hub | the job's object with version, finalizer, deletion, abandon, cancel, and of its status what decisions read: the placement, the stop that was decided, retries, past attempts; each write with the version that it was computed from; answers that get lost; writes that take effect after their writer gave them up; backup and restore |
//! | member | what is under the name of each attempt: uid, whose it is, how far it is, finalizer, deletion; a link that is ready, suspect or lost; a drain; a submission that hangs and makes a driver after its application is gone; an operator that starts a driver twice and calls the run failed |
//! | network | creates that take effect late, until the request's time is over; answers that get lost; refusals for want of room and of the job itself |
//! | router | what it knows of the job and of each member, as old as its watches leave it; what it sent and was answered; what a read inside its pass said, which the world may have overtaken; crash, and stop and go on |
//! | lease | held by one, renewed while it goes on, taken by the other when it is over; watches of a standby that hang |
//! | around | the operator starts and ends runs; somebody deletes the application on the member (a TTL is the same), or has put something else under its name; the user deletes, edits, cancels and takes that back, lets go |
//!
//! A dispatcher of the simplest kind takes any member that is ready and has not refused the job: whatever the real one
//! picks is among these.
//!
//! # Time
//!
//! Times are ages in ticks, cut off where no rule asks any more, so that the worlds are finitely many and a walk needs no
//! limit of depth. Within a tick everything may happen in any order. The core is asked at one and the same moment, with
//! what happened lying as many ticks back as its age says, and with [`Timing`](spark_router_core::step::Timing) in ticks:
//! its rules of settling are the real ones. A create that is begun when a tick has age 0 may take effect until its age is
//! the request's time, and not at that age: that is the moment at which the core may take it for settled.
//!
//! A process that is stopped between the look at its lease and the write sends when it goes on, but not later than its
//! lease: its creates and writes live that much longer. One that goes on after its lease is over ends instead. (That the
//! whole process stands still for longer just after that look is the exception that the design states.)
//!
//! # What is left out, and why
//!
//! - Attempts after the second, and what tells failures apart: each class of them is followed by another attempt or by
//!   none. The wait before it: a pass that is made at any later time covers it.
//! - Suspend, and the deadlines of the job itself: the queue's longest run stops it in the same way.
//! - Submitted, but not running: an application is fresh or its driver is there.
//! - Moves that are frozen because most members were lost at once: they come later.
//! - Executor counts, links, texts, ledger, credits: no rule of the protocol reads them.
//! - Templates that cannot be taken, and members without rights: nothing is placed then.
//! - Deletes, and removals of finalizers, that take effect late: they carry the uid of what they mean, and what is
//!   being stopped or over stays so.
//! - A restore that left no trace of the newest attempt which a router sees, also for a hand that takes it away before it
//!   is taken up: nothing can find that out. A hub that comes back is listed anew.
//! - `forget` of a member, the sweep, and the time that a finished job stays: they touch what is over or given up.
//! - Of past attempts those that nothing is left of: no decision reads them.
//! - Failed reads, pauses between two tries, `Rest` until some time: a pass that is made at any time covers them.
//! - The backend is modelled by hand after `member/kubeflow`, status after `controller/status`: the chaos suite holds
//!   the real ones to the same rules.
//!
//! # What must hold
//!
//! In every world: at most one run of the job lives, beside those that were left behind on record where the job's owner
//! allows that (`AllowDuplicate`); a finished job never runs again; an end on record stays; no end is recorded that the
//! attempt did not come to; a stop on record is not taken back; the attempt on record is stopped by decision only;
//! nothing foreign is written or deleted; nothing runs whose job is gone, unless it was let go of; and where nothing goes
//! on by itself any more, the job has ended and is let go of, or its status says what it waits for, and on members that
//! answer nothing runs but the attempt on record.
//!
//! # Running it
//!
//! `cargo test -p spark-router-model` walks through all worlds with up to two faults of any kind on a path, smaller sizes
//! for edits, limited runs, slow creates, old views, a restored hub, jobs that are cancelled, that move, that are tried
//! again, and that may run twice, and shows that broken rules are found (together in less than two minutes on two cores).
//! The larger sizes: `MODEL_FAULTS=3 cargo test --release -p spark-router-model -- --ignored --nocapture larger`. Each
//! walk prints the worlds seen, the length of the longest of the shortest ways, and the time.

mod act;
mod action;
mod age;
mod bridge;
mod canonical;
mod check;
mod choose;
mod clock;
mod effect;
mod happen;
mod member;
mod model;
mod nature;
mod object;
mod records;
mod remote;
mod router;
mod setup;
mod world;

pub use check::{Report, check};
pub use setup::{Bounds, Course, Protocol, Setup};
pub use spark_router_core::policy::OnMemberLost;
