//! The protocol holds in every world that can be reached.

use spark_router_model::{Bounds, Course, OnMemberLost, Protocol, Setup, check};

/// Walks, prints what was walked, and takes nothing but a whole walk without a finding.
fn holds(name: &str, setup: &Setup) {
    let report = check(setup, 2);
    println!("{name}: {report}");
    assert!(report.complete, "{name}: {report}");
    // A walk that never gets anywhere proves nothing.
    assert!(report.missing.is_empty(), "{name}: {report}");
    assert!(report.depth > 20, "{name}: {report}");
}

fn all() -> Bounds {
    Bounds { late_writes: true, ..Bounds::default() }
}

#[test]
fn two_faults_of_any_kind() {
    holds("two faults", &Setup { bounds: all(), ..Setup::default() });
}

#[test]
fn the_job_is_edited_meanwhile() {
    let bounds = Bounds { faults: 1, edits: 1, ..all() };
    holds("edited", &Setup { bounds, ..Setup::default() });
}

#[test]
fn the_job_may_run_for_a_limited_time() {
    let protocol = Protocol { longest_run: Some(1), ..Protocol::default() };
    holds("limited", &Setup { protocol, bounds: Bounds { faults: 1, ..all() }, ..Setup::default() });
}

#[test]
fn a_create_takes_longer_than_a_lease() {
    let protocol = Protocol { request: 2, ..Protocol::default() };
    holds("slow creates", &Setup { protocol, bounds: Bounds { faults: 1, ..all() }, ..Setup::default() });
}

/// A standby leads with what its watch of the hub showed last, however long ago.
#[test]
fn a_leader_begins_with_an_old_view_of_the_hub() {
    let protocol = Protocol { leader_reads: false, ..Protocol::default() };
    let bounds = Bounds { hands: false, hangs: false, doubles: false, silence: false, ..all() };
    holds("old view", &Setup { protocol, bounds, ..Setup::default() });
}

/// The larger size, on demand: `MODEL_FAULTS` says how many faults, 3 if unset.
#[test]
#[ignore = "takes many minutes and gigabytes"]
fn larger() {
    let bounds = Bounds { faults: faults(3), placements: 4, ..all() };
    holds("larger", &Setup { bounds, ..Setup::default() });
}

/// What a backup does not know of a job is on its member, and is taken up from there. (Nobody deletes the job: one that
/// was not held in the backup, and is deleted before a router has held it again, goes at once.)
fn restored(faults: u8) -> Setup {
    Setup { bounds: Bounds { faults, restores: true, deletion: false, ..all() }, ..Setup::default() }
}

#[test]
fn the_hub_is_restored() {
    holds("restored", &restored(1));
}

/// A placement that the backup holds was taken back since, and the job runs on another member. (Nobody deletes what is
/// there by hand after the restore: it would leave no trace. What operators do wrong is walked through without a restore.)
#[test]
fn the_hub_is_restored_to_a_placement_that_was_taken_back() {
    let setup = restored(2);
    let bounds = Bounds { hands: false, hangs: false, doubles: false, ..setup.bounds };
    holds("restored, and another fault", &Setup { bounds, ..setup });
}

/// With hung submissions and drivers that are started twice. (Nobody deletes anything by hand, as above.)
#[test]
fn the_hub_is_restored_and_operators_do_wrong() {
    let setup = restored(2);
    let bounds = Bounds { hands: false, silence: false, ..setup.bounds };
    holds("restored, and operators do wrong", &Setup { bounds, ..setup });
}

/// Its owner has it cancelled, and takes that back: what is on record by then holds.
fn cancelled(faults: u8) -> Setup {
    Setup { bounds: Bounds { faults, edits: 2, cancel: true, ..all() }, ..Setup::default() }
}

#[test]
fn the_job_is_cancelled() {
    holds("cancelled", &cancelled(1));
}

/// What is on record holds also where a failure would be followed by another attempt.
#[test]
fn the_job_is_cancelled_and_fails() {
    let setup = tried_again(0);
    let bounds = Bounds { edits: 2, cancel: true, ..setup.bounds };
    holds("cancelled, and fails", &Setup { bounds, ..setup });
}

/// Its member was lost before it ran, or is drained: the next attempt follows a fence.
fn moved(faults: u8) -> Setup {
    let course = Course { on_member_lost: OnMemberLost::FenceThenMove, ..Course::default() };
    let bounds = Bounds { faults, attempts: 2, drains: true, ..all() };
    Setup { course, bounds, ..Setup::default() }
}

#[test]
fn the_job_moves() {
    holds("moved", &moved(1));
}

/// (Nobody deletes the job, so that there is room for more of the rest.)
#[test]
fn the_job_moves_and_more_goes_wrong() {
    let setup = moved(2);
    let bounds = Bounds { deletion: false, hands: false, refusals: false, doubles: false, ..setup.bounds };
    holds("moved, and another fault", &Setup { bounds, ..setup });
}

/// It fails, and is tried again on any member.
fn tried_again(faults: u8) -> Setup {
    let course = Course { retries: 1, ..Course::default() };
    Setup { course, bounds: Bounds { faults, attempts: 2, ..all() }, ..Setup::default() }
}

#[test]
fn the_job_is_tried_again() {
    holds("tried again", &tried_again(0));
    let setup = tried_again(1);
    let bounds = Bounds { deletion: false, ..setup.bounds };
    holds("tried again, and a fault", &Setup { bounds, ..setup });
}

/// An operator starts a driver twice, or a submission hangs, and a create or a process is late. (Nobody deletes the job.)
#[test]
fn the_job_is_tried_again_and_more_goes_wrong() {
    let setup = tried_again(2);
    let bounds = Bounds { deletion: false, hands: false, silence: false, late_writes: false, ..setup.bounds };
    holds("tried again, and two faults", &Setup { bounds, ..setup });
}

/// Its member is lost, and it does not wait for it.
fn twice(faults: u8) -> Setup {
    let course = Course { on_member_lost: OnMemberLost::AllowDuplicate, ..Course::default() };
    Setup { course, bounds: Bounds { faults, attempts: 2, ..all() }, ..Setup::default() }
}

#[test]
fn the_job_may_run_twice() {
    holds("twice", &twice(1));
}

/// There is no other place for it, and its member comes back.
#[test]
fn the_job_leaves_its_run_behind_and_waits() {
    let setup = twice(1);
    let bounds = Bounds { placements: 1, ..setup.bounds };
    holds("left behind", &Setup { bounds, ..setup });
}

/// The larger sizes, on demand: `MODEL_FAULTS` says how many faults, 2 if unset.
#[test]
#[ignore = "takes many minutes and gigabytes"]
fn larger_courses() {
    let faults = faults(2);
    holds("larger, cancelled", &cancelled(faults));
    holds("larger, moved", &moved(faults));
    holds("larger, tried again", &tried_again(faults));
    let setup = tried_again(faults);
    let bounds = Bounds { restores: true, deletion: false, ..setup.bounds };
    holds("larger, tried again and restored", &Setup { bounds, ..setup });
    holds("larger, twice", &twice(faults));
}

fn faults(otherwise: u8) -> u8 {
    std::env::var("MODEL_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
