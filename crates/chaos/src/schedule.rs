//! What happens in a run, and when: from a seed and a few sizes alone.
//!
//! Owns no state. The same seed and sizes give the same schedule. A run begins with faults that come alone; then each
//! lane's come one after the other in an arbitrary order, with arbitrary pauses. Jobs come all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::aim;
use crate::alone;
use crate::dice::Dice;
use crate::evidence::Meant;
use crate::fault::{Kind, Lane, Operators};
use crate::plan::{Deed, JobPlan, OnMemberLost, Planned, Sizes};

/// Faults of each kind for so many jobs, or a part of it: ten for three hundred are asked for, and some find nobody.
const FAULTS: (u64, u64) = (12, 300);

/// The least pause between two faults of a lane, in milliseconds: what was broken is to be seen working again.
const PAUSE: u64 = 400;

/// How much of its time a lane may be broken, in percent.
const MOST: u64 = 85;

/// The longest run in minutes: a day, which the most jobs need not.
const LONGEST: u64 = 24 * 60;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The seed.
    pub seed: u64,
    /// Jobs, earliest first.
    pub jobs: Vec<JobPlan>,
    /// Faults, earliest first.
    pub faults: Vec<Planned>,
}

/// A run into which its own faults do not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{faults} faults of each kind for {jobs} jobs do not go into {} s one after the other: give it at least {needed} minutes, or fewer jobs",
    length.as_secs()
)]
pub struct TooShort {
    /// Faults of each kind.
    pub faults: u64,
    /// Jobs.
    pub jobs: u32,
    /// The time given.
    pub length: Duration,
    /// The least time in minutes.
    pub needed: u64,
}

impl Schedule {
    /// How many faults of each kind are planned for so many jobs.
    pub fn faults_of_each_kind(jobs: u32) -> u64 {
        (u64::from(jobs) * FAULTS.0).div_ceil(FAULTS.1).max(1)
    }

    /// The schedule of a seed.
    pub fn new(seed: u64, sizes: Sizes) -> Result<Self, TooShort> {
        let mut dice = Dice::new(seed);
        let mut jobs = jobs(&mut dice, sizes);
        let mut faults = alone::faults(&mut dice, sizes);
        alone::attract(&mut dice, &mut jobs, &faults);
        faults.extend(amid_others(&mut dice, sizes)?);
        if sizes.operators == Operators::Mixed {
            aim::at_virtual_clusters(&mut dice, &mut jobs, &faults, sizes);
        }
        jobs.sort_by_key(|job| job.at);
        Ok(Self { seed, jobs, faults })
    }
}

fn amid_others(dice: &mut Dice, sizes: Sizes) -> Result<Vec<Planned>, TooShort> {
    let each = Schedule::faults_of_each_kind(sizes.jobs);
    let mut lanes: BTreeMap<Lane, Vec<(Kind, u64)>> = BTreeMap::new();
    for (kind, first) in Kind::of(sizes.operators).zip(0_usize..) {
        for nth in 0..kind.planned(each) {
            let length = kind.length(usize::try_from(nth).unwrap_or_default(), dice);
            // Not every kind begins with the same member.
            let nth = first.saturating_add(usize::try_from(nth).unwrap_or_default());
            let lane = kind.lane(nth, sizes);
            let length = length + kind.stretch(lane, sizes.operators);
            lanes.entry(lane).or_default().push((kind, length));
        }
    }
    let longest = lanes.values().map(|faults| busy(faults)).max().unwrap_or_default();
    let length = left(sizes.length);
    let has_room = |length: u64| longest * 100 <= length.saturating_mul(MOST);
    if !has_room(length) {
        let needed =
            (1..=LONGEST).find(|minutes| has_room(left(Duration::from_mins(*minutes)))).unwrap_or(LONGEST);
        return Err(TooShort { faults: each, jobs: sizes.jobs, length: sizes.length, needed });
    }
    let first = alone::lasts(sizes.length);
    let mut planned = Vec::new();
    for (lane, mut faults) in lanes {
        dice.shuffle(&mut faults);
        let mut cuts: Vec<u64> = faults.iter().map(|_| dice.roll(length - busy(&faults) + 1)).collect();
        cuts.sort_unstable();
        let mut before = 0;
        for ((kind, lasts), cut) in faults.into_iter().zip(cuts) {
            planned.push(Planned {
                at: first + Duration::from_millis(cut + before),
                lasts: Duration::from_millis(lasts),
                kind,
                lane,
                alone: false,
            });
            before += lasts + PAUSE;
        }
    }
    planned.sort_by_key(|fault| (fault.at, fault.lane));
    Ok(planned)
}

/// What is left of a run of this length after the faults that come alone, in milliseconds.
fn left(length: Duration) -> u64 {
    let left = length.saturating_sub(alone::lasts(length));
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

/// How long a lane is broken or has just been, in milliseconds.
fn busy(faults: &[(Kind, u64)]) -> u64 {
    faults.iter().map(|(_, lasts)| lasts + PAUSE).sum()
}

fn jobs(dice: &mut Dice, sizes: Sizes) -> Vec<JobPlan> {
    let length = u64::try_from(sizes.length.as_millis()).unwrap_or(u64::MAX);
    (0..sizes.jobs).map(|number| job(dice, number, length, sizes.operators)).collect()
}

fn job(dice: &mut Dice, number: u32, length: u64, operators: Operators) -> JobPlan {
    let (script, meant) = match dice.roll(100) {
        0..72 => ("succeed", Meant::Succeed),
        72..80 => ("fail", Meant::Fail),
        80..84 => ("submission-failed", Meant::Fail),
        // The real operator has these from nodes that are taken away; not all kinds of members have them.
        84..91 if operators != Operators::Scripted => ("succeed", Meant::Succeed),
        84..87 => ("driver-lost", Meant::Fail),
        87..89 => ("node-lost", Meant::Succeed),
        89..91 => ("unknown-state", Meant::Succeed),
        91..98 => ("hang-running", Meant::RunOn),
        _ => ("succeed", Meant::Wait),
    };
    let deed = match meant {
        // Somebody has to stop it.
        Meant::RunOn => Some(if dice.percent(50) { Deed::Delete } else { Deed::Cancel }),
        _ if dice.percent(18) => Some(Deed::ALL[usize::try_from(dice.roll(4)).unwrap_or_default()]),
        _ => None,
    };
    JobPlan {
        at: Duration::from_millis(dice.roll(length)),
        name: format!("job-{number:04}"),
        namespace: usize::from(dice.percent(40)),
        queue: usize::from(dice.percent(30)),
        script,
        meant,
        run: Duration::from_millis(dice.between(200, 9000)),
        submit: Duration::from_millis(match dice.roll(100) {
            0..40 => dice.between(800, 2500),
            // Longer than a member is silent: when it is back, they have not begun to run.
            40..48 => dice.between(6000, 9000),
            _ => 100,
        }),
        executors: dice.between(1, 4),
        priority: if dice.percent(15) { 10 } else { 0 },
        attempts: if dice.percent(40) { 3 } else { 1 },
        member: None,
        on_member_lost: match dice.roll(10) {
            0..4 => OnMemberLost::Wait,
            4..7 => OnMemberLost::FenceThenMove,
            _ => OnMemberLost::AllowDuplicate,
        },
        deed: deed.map(|deed| (Duration::from_millis(dice.between(50, 8000)), deed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(jobs: u32, minutes: u64) -> Sizes {
        Sizes { jobs, length: Duration::from_mins(minutes), ..Sizes::default() }
    }

    #[test]
    fn a_seed_says_it_all() {
        let schedule = Schedule::new(7, sizes(300, 10)).unwrap();
        assert_eq!(schedule, Schedule::new(7, sizes(300, 10)).unwrap());
        assert_ne!(schedule.faults, Schedule::new(8, sizes(300, 10)).unwrap().faults);
    }

    #[test]
    fn there_are_more_than_ten_faults_of_each_kind_for_three_hundred_jobs() {
        for (jobs, minutes, least) in [(300, 5, 12_u64), (1000, 10, 40), (60, 2, 3)] {
            let schedule = Schedule::new(1, sizes(jobs, minutes)).unwrap();
            for kind in Kind::of(Operators::Scripted) {
                let count = schedule.faults.iter().filter(|it| it.kind == kind && !it.alone).count();
                assert!(u64::try_from(count).unwrap() >= least, "{kind:?} for {jobs} jobs: {count}");
            }
            assert_eq!(schedule.jobs.len(), usize::try_from(jobs).unwrap());
        }
    }

    #[test]
    fn faults_of_one_lane_never_overlap_and_all_begin_in_time() {
        for seed in 0..50 {
            let schedule = Schedule::new(seed, sizes(300, 5)).unwrap();
            let mut ends: BTreeMap<Lane, Duration> = BTreeMap::new();
            for fault in &schedule.faults {
                let end = ends.entry(fault.lane).or_default();
                assert!(fault.at >= *end, "{fault:?} begins before {end:?}");
                *end = fault.at + fault.lasts;
                assert!(*end <= Duration::from_mins(5), "{fault:?}");
            }
            assert_eq!(ends.len(), 6);
        }
    }

    #[test]
    #[expect(clippy::unreadable_literal, reason = "they say nothing")]
    fn plans_of_earlier_runs_stay_as_they_were() {
        // By their seeds runs are spoken of.
        let digest = |operators| {
            let sizes = Sizes {
                members: if operators == Operators::Scripted { 3 } else { 2 },
                operators,
                ..sizes(60, 4)
            };
            // They were made before a job could be meant for one member.
            let text = format!("{:?}", Schedule::new(7, sizes).unwrap()).replace(" member: None,", "");
            text.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
        };
        assert_eq!(
            (digest(Operators::Scripted), digest(Operators::Kubeflow)),
            (7263336708529555070, 2858597561974963881)
        );
    }

    #[test]
    fn a_mixed_run_breaks_each_of_its_members() {
        for (jobs, minutes) in [(60, 2), (150, 3), (300, 5), (1000, 15)] {
            let sizes = Sizes { members: 4, operators: Operators::Mixed, ..sizes(jobs, minutes) };
            for seed in 0..20 {
                let schedule = Schedule::new(seed, sizes).unwrap();
                let lanes: BTreeMap<_, usize> =
                    schedule.faults.iter().fold(BTreeMap::new(), |mut all, fault| {
                        *all.entry(fault.lane).or_default() += 1;
                        all
                    });
                for place in 0..4 {
                    assert!(lanes[&Lane::Member(place)] >= 4, "{lanes:?}");
                }
            }
        }
    }

    #[test]
    fn a_run_that_is_too_short_says_how_long_it_has_to_be() {
        let error = Schedule::new(1, sizes(1000, 2)).unwrap_err();
        assert!(error.to_string().contains("40 faults of each kind for 1000 jobs"), "{error}");
        assert!(Schedule::new(1, sizes(1000, error.needed)).is_ok(), "{error}");
    }

    #[test]
    fn jobs_that_run_on_are_stopped_by_somebody_and_all_scripts_are_there() {
        let schedule = Schedule::new(1, sizes(1000, 10)).unwrap();
        let jobs = &schedule.jobs;
        assert!(jobs.iter().filter(|job| job.meant == Meant::RunOn).all(|job| job.deed.is_some()));
        for meant in [Meant::Succeed, Meant::Fail, Meant::RunOn, Meant::Wait] {
            assert!(jobs.iter().filter(|job| job.meant == meant).count() >= 10, "{meant:?}");
        }
        for deed in Deed::ALL {
            let count = jobs.iter().filter(|job| job.deed.is_some_and(|(_, it)| it == deed)).count();
            assert!(count * 30 >= jobs.len(), "{deed:?}: {count}");
        }
        assert!(jobs.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}
