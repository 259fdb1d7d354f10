//! Jobs that are sent to virtual clusters just when these are broken.
//!
//! Purpose: a start takes some milliseconds, and most faults last a second or two: by chance they would hardly meet. Owns no
//! state; the seed says it all. Only jobs are chosen that nobody but a fault ends or moves.

use std::time::Duration;

use crate::dice::Dice;
use crate::evidence::{Backend, Meant};
use crate::fault::{Kind, Lane};
use crate::plan::{JobPlan, OnMemberLost, Planned, Sizes};

/// So long after the begin of a fault, in milliseconds.
const INTO: (u64, u64) = (100, 700);

/// How many jobs a fault is given.
fn share(kind: Kind) -> usize {
    match kind {
        // Starts late by chance, or not the first one.
        Kind::MemberAnswersLost | Kind::MemberLate => 2,
        Kind::MemberSilent
        | Kind::MemberLost
        | Kind::MemberErrors
        | Kind::MemberThrottled
        | Kind::MemberCut
        | Kind::CredentialsRotated => 1,
        // One of them is enough, and some will be late.
        Kind::StartUnseen => 4,
        _ => 0,
    }
}

/// Sends some ordinary jobs where and when a virtual cluster is broken.
pub(crate) fn at_virtual_clusters(dice: &mut Dice, jobs: &mut [JobPlan], faults: &[Planned], sizes: Sizes) {
    // Which of them go where and when must not depend on how many there are of each.
    let mut ordinary: Vec<&mut JobPlan> =
        jobs.iter_mut().filter(|job| job.meant == Meant::Succeed && job.deed.is_none()).collect();
    dice.shuffle(&mut ordinary);
    // Some have to go wherever they like, and what comes alone has jobs of its own.
    let most = ordinary.len() * 2 / 3;
    let mut ordinary = ordinary.into_iter().take(most);
    for fault in faults.iter().filter(|fault| !fault.alone) {
        let Lane::Member(place) = fault.lane else { continue };
        if sizes.operators.backend(place) != Backend::EmrContainers {
            continue;
        }
        for job in ordinary.by_ref().take(share(fault.kind)) {
            job.at = fault.at + Duration::from_millis(dice.between(INTO.0, INTO.1));
            (job.member, job.on_member_lost) = (Some(place), OnMemberLost::Wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Operators;
    use crate::schedule::Schedule;

    #[test]
    fn lost_answers_of_virtual_clusters_have_jobs_to_meet() {
        for (jobs, minutes) in [(60, 2), (300, 5)] {
            let sizes =
                Sizes { jobs, length: Duration::from_mins(minutes), members: 4, operators: Operators::Mixed };
            let schedule = Schedule::new(1, sizes).unwrap();
            let mut met = 0;
            for fault in &schedule.faults {
                let Lane::Member(place @ 2..) = fault.lane else { continue };
                let into = schedule.jobs.iter().filter(|job| {
                    let after = job.at.checked_sub(fault.at);
                    job.member == Some(place) && after.is_some_and(|after| after < Duration::from_secs(1))
                });
                met += usize::from(into.count() >= share(fault.kind));
            }
            let all = schedule.faults.iter().filter(|fault| matches!(fault.lane, Lane::Member(2..))).count();
            assert!(met * 10 >= all * 9, "{met} of {all}");
            let is_ordinary = |job: &JobPlan| job.meant == Meant::Succeed && job.deed.is_none();
            assert!(schedule.jobs.iter().all(|job| job.member.is_none() || is_ordinary(job)));
        }
    }
}
