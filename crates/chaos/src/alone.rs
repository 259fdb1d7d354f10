//! The faults with which a run begins: one after the other, and nothing else is broken.
//!
//! Purpose: times of failover that no other fault has a part in. Owns no state; the seed says it all. Whoever is broken
//! here is given the time to be whole again before the next one.

use std::time::Duration;

use crate::dice::Dice;
use crate::evidence::{Backend, Meant};
use crate::fault::{Kind, Lane};
use crate::plan::{JobPlan, OnMemberLost, Planned, Sizes};

/// Jobs come for so long before anything is broken: API servers take seconds over the first objects of a kind.
const WARM: Duration = Duration::from_secs(6);
/// A black hole of up to seven seconds, and what its member needs to be trusted again.
const HOLE: Duration = Duration::from_secs(12);
/// The leader is dead until the other one leads: the lease is 10 s, and it is taken within 2 s more.
const DEATH: Duration = Duration::from_secs(20);
const DEAD: (u64, u64) = (13_000, 14_000);
/// What waits for the fence of a job that moves takes so long after the last black hole: twice a settle time.
const FENCE: Duration = Duration::from_secs(25);
/// The part of a run that they may take, where they need not more.
const PART: u32 = 6;
/// A shorter run has one black hole only.
const SHORT: Duration = Duration::from_mins(2);
/// Jobs come into each hole one after the other, from its first moments on.
const INTO: (u64, u64) = (100, 120);
/// Others come so long before it, to be there when it begins.
const BEFORE: (u64, u64) = (600, 2500);
/// These are submitted so long that they have not begun to run when the member is back, or run on while it is lost.
const OUTLASTS: (u64, u64) = (11_000, 12_000);

/// What is broken in a run of this length, in order.
fn kinds(length: Duration) -> Vec<Kind> {
    if length < SHORT {
        return vec![Kind::MemberLost];
    }
    // A new leader begins every fence anew.
    let mut kinds = vec![Kind::LeaderKilled, Kind::MemberLost];
    while all(&kinds) + HOLE <= length / PART {
        kinds.push(Kind::MemberLost);
    }
    kinds
}

fn all(kinds: &[Kind]) -> Duration {
    let fence = if kinds.len() > 1 { FENCE } else { Duration::ZERO };
    WARM + kinds.iter().copied().map(slot).sum::<Duration>() + fence
}

fn slot(kind: Kind) -> Duration {
    if kind == Kind::LeaderKilled { DEATH } else { HOLE }
}

/// How much of a run of this length they take: the other faults begin then.
pub(crate) fn lasts(length: Duration) -> Duration {
    all(&kinds(length))
}

/// The faults. Members take turns, as far as they are clusters: it is looked at a virtual cluster far less often.
pub(crate) fn faults(dice: &mut Dice, sizes: Sizes) -> Vec<Planned> {
    let is_cluster = |place: &usize| sizes.operators.backend(*place) != Backend::EmrContainers;
    let sizes = Sizes { members: (0..sizes.members).take_while(is_cluster).count(), ..sizes };
    let (mut at, mut holes) = (WARM, 0_usize);
    let mut planned = Vec::new();
    for kind in kinds(sizes.length) {
        let lasts = match kind {
            Kind::LeaderKilled => dice.between(DEAD.0, DEAD.1),
            _ => kind.length(holes, dice),
        };
        planned.push(Planned {
            at,
            lasts: Duration::from_millis(lasts),
            kind,
            lane: kind.lane(holes, sizes),
            alone: true,
        });
        holes += usize::from(kind == Kind::MemberLost);
        at += slot(kind);
    }
    planned
}

/// Some jobs come just before each of the black holes and some into it, so that there is something to measure.
pub(crate) fn attract(dice: &mut Dice, jobs: &mut [JobPlan], faults: &[Planned]) {
    let each = (jobs.len() / 12).clamp(1, 8);
    let mut ordinary = jobs.iter_mut().filter(|job| job.meant == Meant::Succeed && job.deed.is_none());
    for hole in faults.iter().filter(|fault| matches!(fault.lane, Lane::Member(_))) {
        for (job, nth) in ordinary.by_ref().take(each).zip(0_u64..) {
            job.at = hole.at.saturating_sub(Duration::from_millis(dice.between(BEFORE.0, BEFORE.1)));
            let outlasts = Duration::from_millis(dice.between(OUTLASTS.0, OUTLASTS.1));
            (job.on_member_lost, job.submit, job.run) = if nth.is_multiple_of(2) {
                (OnMemberLost::FenceThenMove, outlasts, job.run)
            } else {
                (OnMemberLost::AllowDuplicate, Duration::from_millis(100), outlasts)
            };
        }
        for (job, nth) in ordinary.by_ref().take(each).zip(0_u64..) {
            job.at = hole.at + Duration::from_millis(INTO.0 + nth * INTO.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    fn schedule(jobs: u32, minutes: u64) -> Schedule {
        let sizes = Sizes { jobs, length: Duration::from_mins(minutes), ..Sizes::default() };
        Schedule::new(3, sizes).unwrap()
    }

    #[test]
    fn a_run_begins_with_faults_that_nothing_else_is_beside() {
        for (jobs, minutes, holes, deaths) in [(10, 1, 1, 0), (60, 3, 1, 1), (300, 5, 1, 1), (1000, 10, 4, 1)]
        {
            let faults = schedule(jobs, minutes).faults;
            let (alone, others): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.alone);
            let count = |kind| alone.iter().filter(|fault| fault.kind == kind).count();
            assert_eq!(
                (count(Kind::MemberLost), count(Kind::LeaderKilled)),
                (holes, deaths),
                "{minutes} min"
            );
            for pair in alone.windows(2) {
                let pause = pair[1].at.saturating_sub(pair[0].at + pair[0].lasts);
                assert!(pause >= Duration::from_secs(5), "{pair:?}");
            }
            let end = alone.last().map(|last| last.at + last.lasts).unwrap();
            let begin = others.iter().map(|fault| fault.at).min().unwrap();
            assert!(end < begin && begin >= lasts(Duration::from_mins(minutes)), "{end:?}, {begin:?}");
        }
    }

    #[test]
    fn jobs_come_before_each_black_hole_and_into_its_first_moments() {
        let schedule = schedule(1000, 10);
        let holes = schedule.faults.iter().filter(|fault| fault.alone && fault.kind == Kind::MemberLost);
        for hole in holes {
            let after =
                |job: &&JobPlan| job.at.checked_sub(hole.at).is_some_and(|it| it < Duration::from_secs(1));
            assert!(schedule.jobs.iter().filter(after).count() >= 8, "{hole:?}");
            let outlast = |policy| {
                let lasts = |job: &&JobPlan| {
                    job.at < hole.at
                        && job.at + job.submit + job.run > hole.at + hole.lasts
                        && job.at + Duration::from_millis(BEFORE.1) >= hole.at
                };
                schedule.jobs.iter().filter(lasts).filter(|job| job.on_member_lost == policy).count()
            };
            let counts = [OnMemberLost::FenceThenMove, OnMemberLost::AllowDuplicate].map(outlast);
            assert!(counts.iter().all(|count| *count >= 4), "{counts:?}");
        }
    }
}
