//! The one next thing to do for a job.
//!
//! Owns no state: [`step`] looks at one immutable snapshot and names one effect. The controller carries it out and asks
//! again. Every rule of the placement protocol that decides whether something may be created, believed gone, mirrored or
//! let go is here, so that the model checks the very code that runs. Must never name an effect on a remote object that
//! the snapshot does not show to be ours.
//!
//! | file | holds |
//! |---|---|
//! | here | what may be named, the guards in their order |
//! | `step/snapshot.rs` | what is looked at |
//! | `step/placed.rs` | a placed job that lives: create, mirror, end |
//! | `step/stop.rs` | what is stopped on a decision: latched, fenced, and what then |
//! | `step/suspend.rs` | what is held back on its member, and goes on |
//! | `step/requeue.rs` | an attempt that is followed by another: retries and moves |
//! | `step/past.rs` | what is left of attempts before the present one |
//! | `step/adopt.rs` | what members show of a job whose record says nothing of it |
//! | `step/ending.rs` | a finished or a deleted job: release, retire, fence |
//! | `step/lifetime.rs` | how long a job may wait and run, and how long its record stays |
//! | `step/outcome.rs` | how jobs end, in words |

mod adopt;
mod ending;
mod lifetime;
mod outcome;
mod past;
mod placed;
mod requeue;
mod snapshot;
mod stop;
mod suspend;

use std::time::Duration;

pub use adopt::Trace;
pub use lifetime::look_again;
pub use outcome::{name_taken, refused_by_all};
pub use past::{PastStep, PastView};
pub use placed::after_refusal;
pub use requeue::Requeue;
pub use snapshot::{Confirmed, DriverSeen, Elsewhere, MemberView, Sends, Snapshot, Timing};
pub use suspend::Pause;

use jiff::{SignedDuration, Timestamp};

use crate::{
    application::Application,
    breaker::Start,
    id::RemoteUid,
    job::{Job, Past, Placement, Record, Rejection, Stopping},
    observe::{Observation, Remote},
    phase::Phase,
    refusal::Refusal,
};

/// One effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Put our finalizer on the job.
    Hold,
    /// Write that the template cannot be taken.
    Reject(Rejection),
    /// Ask the dispatcher for a member.
    Enqueue,
    /// Put an attempt on record that a member shows and the record does not know: the record is older than it.
    Adopt(Box<Trace>),
    /// Write the placement once more, so that whatever was computed from an older version of it takes no effect.
    Claim,
    /// Create the application.
    Submit,
    /// Take the placement back: no application exists or ever will by it, and no attempt is used up.
    Withdraw(Cause),
    /// Look the application up by a quorum read.
    Confirm,
    /// Look at the driver's pod.
    Examine,
    /// Write what was observed.
    Mirror(Box<Mirror>),
    /// Write that nothing can be seen or done on the member now, and why.
    Unreachable(Trouble),
    /// Write the end.
    Finish(Box<Outcome>),
    /// Take our finalizer from the application: its outcome is on record, or it is being deleted.
    Release(RemoteUid),
    /// Delete the finished application.
    Retire(RemoteUid),
    /// Write the decision to stop the job; only then anything is stopped.
    Latch(Box<Stopping>),
    /// Write that the attempt is over and the job waits for another one.
    Requeue(Box<Requeue>),
    /// Write that the job is held back, and take it out of its queue.
    Suspend,
    /// Hold a placed job back on its member, or let it go on.
    Pause(Pause),
    /// See to what is left of an attempt before the present one.
    Past(Box<Past>, PastStep),
    /// Drive the attempt towards its fence.
    Stop {
        /// When a create that was sent can no longer take effect.
        settled_at: Timestamp,
    },
    /// Write what the deletion, or the stop on record, waits for.
    Explain(DeletionWaits),
    /// Write that the edited spec was seen. It changes nothing of what is on record.
    Observe,
    /// Delete the job: its time after the end is over.
    Expire,
    /// Note on the member that the attempt was given up, so that its return stops it.
    Abandon,
    /// Take our finalizer from the job: nothing of it runs.
    LetGo,
    /// Nothing now.
    Rest {
        /// When to look again without an event.
        until: Option<Timestamp>,
    },
}

/// Why nothing can be seen or done on a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer.
    Silent {
        /// First unanswered probe.
        since: Timestamp,
    },
    /// It is registered no more, or is another cluster by now.
    Missing,
    /// It answers, and takes nothing.
    Faulty,
}

/// Why a placement is taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// The member stopped answering before anything was sent.
    Unsent,
    /// The member refused.
    Refused(Refusal),
}

/// What is written of a live application.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// The phase to show.
    pub phase: Phase,
    /// Its uid.
    pub uid: RemoteUid,
    /// Its fields.
    pub application: Application,
}

/// How a job ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Succeeded, Failed or Cancelled.
    pub phase: Phase,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// The application's uid, where there is one.
    pub uid: Option<RemoteUid>,
    /// Its fields, where it was seen.
    pub application: Option<Application>,
    /// The driver's log is worth reading for the cause.
    pub read_log: bool,
    /// What it says of the member.
    pub start: Start,
}

/// What a job that is being deleted or stopped waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletionWaits {
    /// The member does not answer.
    Unreachable {
        /// Since when, if it ever answered.
        since: Option<Timestamp>,
    },
    /// No `MemberCluster` of that name is registered.
    Unregistered,
    /// Whatever the member itself says.
    Member(String),
}

/// Decides. Where there is nothing to do now, the next deadline says when there will be.
pub fn step(s: Snapshot<'_>) -> Step {
    match decide(s) {
        Step::Rest { until } => match past::next(s) {
            Step::Rest { until: past } => {
                Step::Rest { until: lifetime::wake(s, [until, past].into_iter().flatten().min()) }
            }
            step => step,
        },
        // What waits, maybe for long, keeps nothing from being stopped elsewhere.
        step @ (Step::Enqueue | Step::Suspend | Step::Reject(_) | Step::Explain(_)) => {
            past::while_waiting(s).unwrap_or(step)
        }
        // The job stays until its past attempts are seen to.
        Step::LetGo => past::before_letting_go(s).unwrap_or(Step::LetGo),
        step => step,
    }
}

/// The guards are in order: the first that holds names the step.
fn decide(s: Snapshot<'_>) -> Step {
    let Job { record, deleting, held, request, policy, .. } = s.job;
    // 1. An end is an end, whatever happens to the object now.
    if record.finished.is_some() {
        return ending::after_the_end(s);
    }
    // 2. The record was put back to what it was before: what is there is the job's own all the same.
    if let Some(trace) = adopt::newest(s) {
        return Step::Adopt(Box::new(trace.clone()));
    }
    // 3. Deletion goes to the fence.
    if deleting.is_some() {
        return ending::deletion(s);
    }
    let Some(placement) = &record.placement else {
        // 4. Nothing runs that would have to be stopped.
        if policy.cancel {
            return outcome::cancelled(record);
        }
        return match request {
            // 5. Its owner can mend it in place.
            Err(rejection) => Step::Reject(rejection.clone()),
            // 6. Nothing is placed that a deletion could not find again.
            Ok(_) if !*held => Step::Hold,
            // 7. Held back.
            Ok(_) if policy.suspend => Step::Suspend,
            // 8. Waited for too long.
            Ok(_) if lifetime::waited_too_long(s) => outcome::never_placed(s),
            // 9. The next attempt is not due.
            Ok(_) if record.not_before.is_some_and(|at| s.now < at) => {
                Step::Rest { until: record.not_before }
            }
            // 10. Wants a member.
            Ok(_) => Step::Enqueue,
        };
    };
    // 11. Somebody took our finalizer away: without it a deletion would not wait for what runs.
    if !*held {
        return Step::Hold;
    }
    // 12. To be stopped: goes to the fence, unless it came to an end before.
    if let Some(stopping) = &record.stopping {
        return stop::carry_out(s, placement, stopping);
    }
    // 13. There, and over.
    if let Remote::Present(seen) = s.remote
        && seen.run.proves_end()
    {
        return placed::present(s, placement, seen);
    }
    // 14. Its member was given up with everything on it.
    if s.member.is_some_and(|m| m.forgotten) {
        return outcome::abandoned(record, placement);
    }
    // 15. To be stopped from now on: cancelled, or for too long on its way, whatever can be seen of it now.
    if let Some(stopping) = stop::due(s, placement) {
        return Step::Latch(Box::new(stopping));
    }
    // 16. Its member is lost, drained or back: it may have to move.
    if let Some(step) = requeue::moved(s, placement) {
        return step;
    }
    match s.remote {
        // 17. Nothing may be concluded.
        Remote::Unknown => placed::blind(s, placement),
        Remote::Unsettled { until } => Step::Rest { until: Some(*until) },
        // 18. A hint that it is not there.
        Remote::Absent => placed::absent(s, placement),
        // 19. There. 20. Nothing else is to be done for it: its owner may want it held back, or to go on.
        Remote::Present(seen) => match placed::present(s, placement, seen) {
            Step::Rest { until } => suspend::due(s, placement, seen).unwrap_or(Step::Rest { until }),
            step => step,
        },
    }
}

/// When no create that was ever sent for this placement can take effect any more.
pub fn settled_at(s: Snapshot<'_>, placement: &Placement) -> Timestamp {
    let Snapshot { sends, timing, .. } = s;
    if sends.placed_here {
        return sends.unanswered.map_or(Timestamp::MIN, |at| later(at, timing.request));
    }
    let from = [Some(placement.at), Some(s.leading_since), sends.unanswered].into_iter().flatten().max();
    later(from.unwrap_or(s.now), timing.lease + timing.request)
}

/// The member stopped taking work, and no create of this placement was ever written: the job may go elsewhere.
fn may_withdraw_unsent(s: Snapshot<'_>, placement: &Placement) -> bool {
    let never_sent = s.sends.placed_here && s.sends.last.is_none() && placement.uid.is_none();
    never_sent && !s.fleet_in_doubt && s.member.is_none_or(|member| !member.takes_creates())
}

/// When the remote name of a finished job may become free: a create that comes later than that takes no effect. None was
/// begun after the end was on record, but for those of a former leader.
fn name_may_go_at(s: Snapshot<'_>) -> Timestamp {
    let Record { placement: Some(placement), finished, .. } = &s.job.record else { return Timestamp::MIN };
    let settled = settled_at(s, placement);
    let since_the_end = finished.as_ref().map(|end| later(end.at, s.timing.lease + s.timing.request));
    since_the_end.map_or(settled, |at| at.min(settled))
}

/// Ours by job and attempt, as written inside the create: only such an object is ever written to.
fn is_ours(job: &Job, placement: &Placement, seen: &Observation) -> bool {
    seen.owner.as_ref().is_some_and(|owner| owner.job == job.uid && owner.attempt == placement.attempt)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "step/lifetime_tests.rs"]
mod lifetime_tests;

#[cfg(test)]
#[path = "step/course_tests.rs"]
mod course_tests;

#[cfg(test)]
#[path = "step/driver_tests.rs"]
mod driver_tests;
