//! Each rule that is broken on purpose is found out. The core's step stays as it is: what is told to it, or made of what
//! it says, is changed around it.

use spark_router_model::{Bounds, Course, OnMemberLost, Protocol, Setup, check};

const ONE_RUN: &str = "at most one run of a job lives";
const ONE_END: &str = "an end on record stays as it is";
const TRUE_END: &str = "no end is recorded that no run had";
const CURRENT_STAYS: &str = "the attempt on record is stopped by decision only";
const STALE_GOES: &str = "what is not the attempt on record is stopped where it can be";

/// Walks until something breaks, prints it with the shortest way there, and holds it against what must break.
fn breaks(name: &str, protocol: Protocol, faults: u8, expected: &str) {
    let bounds = Bounds { faults, late_writes: true, ..Bounds::default() };
    breaks_in(name, Setup { protocol, bounds, ..Setup::default() }, expected);
}

fn breaks_in(name: &str, mut setup: Setup, expected: &str) {
    setup.bounds.symmetry = false;
    // By one thread, so that the way there is the shortest.
    let report = check(&setup, 1);
    println!("{name}: {report}");
    let broken: Vec<_> = report.broken.iter().map(|(name, _)| *name).collect();
    assert!(broken.contains(&expected), "{name}: {report}");
}

#[test]
fn mirrors_without_a_version_are_found() {
    let protocol = Protocol { mirrors_carry_their_version: false, ..Protocol::default() };
    breaks("mirrors without a version", protocol, 1, ONE_END);
}

#[test]
fn absence_from_a_cache_is_found() {
    let protocol = Protocol { absence_is_read: false, ..Protocol::default() };
    breaks("absence from the cache", protocol, 0, TRUE_END);
}

#[test]
fn creates_that_do_not_settle_are_found() {
    let protocol = Protocol { settles: false, ..Protocol::default() };
    breaks("no settle time", protocol, 2, ONE_RUN);
}

#[test]
fn creates_on_a_record_that_changed_unseen_are_found() {
    let protocol = Protocol { claims: false, ..Protocol::default() };
    breaks("no claims", protocol, 2, ONE_RUN);
}

#[test]
fn a_move_without_a_fence_is_found() {
    let protocol = Protocol { fences: false, ..Protocol::default() };
    let course = Course { on_member_lost: OnMemberLost::FenceThenMove, ..Course::default() };
    let bounds = Bounds { faults: 1, attempts: 2, ..Bounds::default() };
    breaks_in("no fence", Setup { protocol, course, bounds }, ONE_RUN);
}

#[test]
fn a_run_that_was_left_behind_and_is_forgotten_is_found() {
    let protocol = Protocol { remembers: false, ..Protocol::default() };
    let course = Course { on_member_lost: OnMemberLost::AllowDuplicate, ..Course::default() };
    let bounds = Bounds { faults: 1, attempts: 2, deletion: false, ..Bounds::default() };
    breaks_in("no past", Setup { protocol, course, bounds }, STALE_GOES);
}

#[test]
fn a_cancel_that_is_not_on_record_first_is_found() {
    let protocol = Protocol { latches: false, ..Protocol::default() };
    let bounds = Bounds { faults: 0, edits: 1, cancel: true, ..Bounds::default() };
    breaks_in("no latch", Setup { protocol, bounds, ..Setup::default() }, CURRENT_STAYS);
}
