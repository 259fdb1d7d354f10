//! How long it took to go on elsewhere, from the times of the faults and the logs of the API servers.
//!
//! Owns no state. A time counts from the fault or from what the logs show, never from what the router says that it saw.
//! It must never leave out a long one: what cannot be told is left out before it is known how long it took.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::facts::{Facts, JobFacts};
use super::hub::{Placed, Write};
use super::view::Past;
use crate::evidence::{Evidence, Injected};
use crate::fault::Kind;

/// A job that comes as late as this before a member is back may as well be placed there when it is.
const LATE: SignedDuration = SignedDuration::from_secs(1);
/// A member stays lost so long after it answers again: a second of answers, and a probe.
const STILL_LOST: SignedDuration = SignedDuration::from_secs(3);

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Half of them are not above it.
    pub p50_ms: i64,
    /// 99 of a hundred are not above it.
    pub p99_ms: i64,
    /// The longest.
    pub max_ms: i64,
}

/// Times after faults that came alone, and after those that came amid all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Nothing else was broken.
    pub alone: Option<Spread>,
    /// Anything else may have been.
    pub amid_others: Option<Spread>,
}

/// How long it took to go on elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// How often a member fell silent.
    pub black_holes: usize,
    /// Jobs that were given to a silent member and had to wait for it, or were moved only when it was lost.
    pub stranded: usize,
    /// From the begin of a black hole to the first placement elsewhere of a job that came after it.
    pub next_placement: Measured,
    /// From the create of each job that came into a black hole to its placement elsewhere.
    pub placed_elsewhere: Measured,
    /// `FenceThenMove`: from the member's return to the new placement.
    pub moved_after_return: Measured,
    /// `FenceThenMove`: from when application and pods were proven gone to the new placement.
    pub moved_after_fence: Measured,
    /// `AllowDuplicate`: from when the member had been silent long enough to be lost to the new placement.
    pub duplicated: Measured,
    /// From the death of the leading router to the first write of the other one, or of its own next life.
    pub led_again: Measured,
}

/// Times as they come up, in milliseconds.
#[derive(Default)]
struct Times {
    alone: Vec<i64>,
    amid_others: Vec<i64>,
}

impl Times {
    fn add(&mut self, fault: &Injected, from: Timestamp, to: Timestamp) {
        let times = if fault.alone { &mut self.alone } else { &mut self.amid_others };
        times.push(milliseconds(from, to));
    }

    fn measured(self) -> Measured {
        Measured { alone: spread(self.alone), amid_others: spread(self.amid_others) }
    }
}

/// Never less than nothing: two clocks are read one after the other.
fn milliseconds(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX).max(0)
}

fn spread(mut times: Vec<i64>) -> Option<Spread> {
    times.sort_unstable();
    let count = times.len();
    // The least value that so many are not above.
    let at = |percent: usize| times.get((count * percent).div_ceil(100).max(1) - 1).copied();
    Some(Spread { count, p50_ms: at(50)?, p99_ms: at(99)?, max_ms: at(100)? })
}

/// Everything that is measured.
pub(crate) fn of(facts: &Facts, evidence: &Evidence) -> Failover {
    let faults = &evidence.faults;
    let holes: Vec<_> =
        faults.iter().filter(|it| matches!(it.kind, Kind::MemberSilent | Kind::MemberLost)).collect();
    let (mut stranded, mut next, mut elsewhere) = (0, Times::default(), Times::default());
    for hole in &holes {
        let mut first: Option<Timestamp> = None;
        for job in &facts.jobs {
            stranded += usize::from(is_stranded(job, hole));
            if let Some((came, at)) = came_into(job, hole) {
                elsewhere.add(hole, came, at);
                first = Some(first.map_or(at, |first| first.min(at)));
            }
        }
        if let Some(at) = first {
            next.add(hole, hole.from, at);
        }
    }
    let lost_after = SignedDuration::try_from(evidence.lost_after).unwrap_or(SignedDuration::MAX);
    let (mut returned, mut fenced, mut duplicated) = (Times::default(), Times::default(), Times::default());
    for job in &facts.jobs {
        for (attempt, row) in job.course.past.iter().filter(|(_, row)| row.reason == "MemberLost") {
            let Some(at) = job.course.placed.iter().find(|it| it.attempt > *attempt).map(|it| it.at) else {
                continue;
            };
            if row.outcome == "Abandoned" {
                let left = job.course.left.get(attempt).copied().unwrap_or(at);
                if let Some((hole, lost)) = lost_by(&holes, row, left, lost_after) {
                    duplicated.add(hole, lost, at);
                }
            } else if let Some(hole) = returned_by(&holes, row, job.course.stopped.get(attempt)) {
                returned.add(hole, hole.to, at);
                if let Some(gone) = proven_gone(job, *attempt, row) {
                    fenced.add(hole, gone, at);
                }
            }
        }
    }
    Failover {
        black_holes: holes.len(),
        stranded,
        next_placement: next.measured(),
        placed_elsewhere: elsewhere.measured(),
        moved_after_return: returned.measured(),
        moved_after_fence: fenced.measured(),
        duplicated: duplicated.measured(),
        led_again: led_again(faults, &facts.writes).measured(),
    }
}

/// Whether a place was on the silent member, and given while that was silent.
fn is_silent(place: &Placed, hole: &Injected) -> bool {
    Some(&place.cluster) == hole.member.as_ref() && place.at >= hole.from && place.at < hole.to
}

/// The next place after one that was taken back while the member was silent. What is taken back before it was sent keeps
/// the number of its attempt.
fn instead<'a>(job: &'a JobFacts, index: usize, hole: &Injected) -> Option<&'a Placed> {
    let (given, next) = (job.course.placed.get(index)?, job.course.placed.get(index + 1)?);
    (next.attempt == given.attempt && next.at < hole.to).then_some(next)
}

/// It was given to the silent member, and nobody took it back while that was silent.
fn is_stranded(job: &JobFacts, hole: &Injected) -> bool {
    let last = job.course.placed.iter().enumerate().rfind(|(_, it)| is_silent(it, hole));
    last.is_some_and(|(index, _)| instead(job, index, hole).is_none())
}

/// When a job came into a black hole, and when it got its first place that was not in it. A job that is stranded has none.
fn came_into(job: &JobFacts, hole: &Injected) -> Option<(Timestamp, Timestamp)> {
    let until = later(hole.to, -LATE);
    let came = job.course.created.filter(|came| *came >= hole.from && *came < until)?;
    let (mut index, mut place) = (0, job.course.placed.first()?);
    while is_silent(place, hole) {
        place = instead(job, index, hole)?;
        index += 1;
    }
    Some((came, place.at))
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

/// The black hole because of which an attempt was left behind, and when the member was lost.
fn lost_by<'a>(
    holes: &[&'a Injected],
    row: &Past,
    left: Timestamp,
    lost_after: SignedDuration,
) -> Option<(&'a Injected, Timestamp)> {
    let of_member = holes.iter().filter(|hole| hole.member.as_ref() == Some(&row.cluster));
    let mut lost =
        of_member.map(|hole| (*hole, later(hole.from, lost_after))).filter(|(hole, lost)| *lost < hole.to);
    lost.rfind(|(hole, lost)| *lost <= left && left <= later(hole.to, STILL_LOST))
}

/// The black hole after which an attempt was stopped so that it could move.
fn returned_by<'a>(holes: &[&'a Injected], row: &Past, stopped: Option<&Timestamp>) -> Option<&'a Injected> {
    let stopped = stopped?;
    let before = holes.iter().filter(|it| it.member.as_ref() == Some(&row.cluster) && it.to <= *stopped);
    before.max_by_key(|hole| hole.to).copied()
}

/// When nothing of an attempt was left, where the logs show it.
fn proven_gone(job: &JobFacts, attempt: u32, row: &Past) -> Option<Timestamp> {
    let lives = job.applications.iter().chain(&job.drivers);
    let of_attempt = lives.filter(|it| it.attempt == Some(attempt) && it.member == row.cluster);
    let ends: Option<Vec<_>> = of_attempt.map(|it| it.gone.filter(|_| !it.went_unseen)).collect();
    ends?.into_iter().max()
}

/// From each death of the leading router to the next write of a router that lives.
fn led_again(faults: &[Injected], writes: &[Write]) -> Times {
    let mut times = Times::default();
    for kill in faults.iter().filter(|it| it.kind == Kind::LeaderKilled) {
        // Lines are in the order of their answers.
        let before = writes.iter().filter(|it| it.at < kill.from).max_by_key(|it| it.at);
        let Some(dead) = before.map(|it| &it.credential) else { continue };
        let alive = writes.iter().filter(|it| it.at > kill.from);
        let next = alive.filter(|it| it.credential != *dead || it.at >= kill.to).map(|it| it.at).min();
        if let Some(next) = next {
            times.add(kill, kill.from, next);
        }
    }
    times
}

impl Failover {
    /// Each time with its words, for people.
    pub fn rows(&self) -> [(&'static str, Measured); 6] {
        [
            ("black hole -> next placement elsewhere", self.next_placement),
            ("job comes into a black hole -> placed", self.placed_elsewhere),
            ("FenceThenMove: member back -> placed", self.moved_after_return),
            ("FenceThenMove: pods proven gone -> placed", self.moved_after_fence),
            ("AllowDuplicate: member lost -> placed", self.duplicated),
            ("leader killed -> next router's first write", self.led_again),
        ]
    }
}

#[cfg(test)]
#[path = "failover_tests.rs"]
mod tests;
