//! A placed job that its owner wants held back: its operator is asked to hold it, and later to let it go on.
//!
//! Owns no state. What is asked for is on record before anything is written to the member, so that an application that
//! somebody else suspended there is not touched, as long as the job's owner has no word in it. Comes last: whatever is to
//! be mirrored or ended goes first. Must never write to an application that its operator may be submitting.

use super::{Snapshot, Step, is_ours};
use crate::{
    health::LinkState,
    id::RemoteUid,
    job::{Placement, Stage},
    observe::{Observation, RunState},
};

/// One step of holding a placed job back, or of letting it go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Write that its operator is to hold it.
    Ask,
    /// Write that its operator is to let it go on.
    Resume,
    /// Write that its owner does not want it held any more, and that nothing was done about it.
    Drop,
    /// Have the application of this uid held, or not.
    Set(RemoteUid, bool),
}

/// What is due. Room that it holds stays held: it goes on without asking again.
pub(super) fn due(s: Snapshot<'_>, placement: &Placement, seen: &Observation) -> Option<Step> {
    let is_it = placement.uid.as_ref() == Some(&seen.uid) && is_ours(s.job, placement, seen);
    let reachable = s.member.is_some_and(|member| member.link == LinkState::Ready);
    if !is_it || !reachable || seen.deleting || seen.run.is_terminal() {
        return None;
    }
    let stage = s.job.record.suspension.map(|suspension| suspension.stage);
    // In every other state a submission may be under way, which a write would make the operator repeat.
    let may_be_held = matches!(seen.run, RunState::Submitted | RunState::Running);
    let set = |suspend| Pause::Set(seen.uid.clone(), suspend);
    let step = match (s.job.policy.suspend, stage) {
        (true, Some(Stage::Asked)) if !seen.suspend && may_be_held => set(true),
        (true, None | Some(Stage::Resuming | Stage::Resumed)) if !seen.suspend && may_be_held => Pause::Ask,
        // Its owner thought better of it before anything was written.
        (true, Some(Stage::Resuming)) if seen.suspend => Pause::Ask,
        (false, Some(Stage::Asked)) if seen.suspend => Pause::Resume,
        // A write that was late: its owner's word holds, once there was one.
        (false, Some(Stage::Resumed)) if seen.suspend && seen.run == RunState::Suspended => Pause::Resume,
        (false, Some(Stage::Asked | Stage::Refused)) => Pause::Drop,
        (false, Some(Stage::Resuming)) if seen.suspend && seen.run == RunState::Suspended => set(false),
        // It is as it is to be, it cannot be, or another hand holds it.
        _ => return None,
    };
    Some(Step::Pause(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        job::Suspension,
        observe::FailureSign,
        step::tests::{REST, World, at},
    };

    fn world(run: RunState, wants: bool, stage: Option<Stage>, is_asked: bool) -> World {
        World::running(run).with(|w| {
            w.job.policy.suspend = wants;
            w.job.record.suspension = stage.map(|stage| Suspension { stage, at: at(60) });
            w.seen().suspend = is_asked;
        })
    }

    #[test]
    fn what_is_asked_for_is_on_record_before_it_is_written() {
        use RunState::{Accepted, Passing, Retrying, Running, Submitted, Suspended};
        use Stage::{Asked, Refused, Resumed, Resuming};
        let set = |suspend| Some(Pause::Set(RemoteUid::from("r-1"), suspend));
        for (run, wants, stage, is_asked, expected) in [
            (Running, true, None, false, Some(Pause::Ask)),
            (Submitted, true, None, false, Some(Pause::Ask)),
            (Running, true, Some(Asked), false, set(true)),
            (Running, true, Some(Asked), true, None),
            (Suspended, true, Some(Asked), true, None),
            // A submission may be under way.
            (Accepted, true, None, false, None),
            (Accepted, true, Some(Asked), false, None),
            (Retrying, true, Some(Asked), false, None),
            (Passing, true, Some(Asked), false, None),
            // On again.
            (Suspended, false, Some(Asked), true, Some(Pause::Resume)),
            (Suspended, false, Some(Resuming), true, set(false)),
            (Running, false, Some(Resuming), true, None),
            (Accepted, false, Some(Resuming), false, None),
            (Running, false, Some(Resumed), false, None),
            // And back.
            (Suspended, true, Some(Resuming), true, Some(Pause::Ask)),
            (Running, true, Some(Resumed), false, Some(Pause::Ask)),
            (Running, false, Some(Asked), false, Some(Pause::Drop)),
            (Suspended, false, Some(Resumed), true, Some(Pause::Resume)),
            // The member cannot.
            (Running, true, Some(Refused), false, None),
            (Running, false, Some(Refused), false, Some(Pause::Drop)),
            // Another hand's.
            (Suspended, false, None, true, None),
            (Suspended, true, None, true, None),
        ] {
            let step = world(run.clone(), wants, stage, is_asked).step();
            let expected = expected.map_or(REST, Step::Pause);
            assert_eq!(step, expected, "{run:?}, wanted {wants}, {stage:?}, asked {is_asked}");
        }
    }

    #[test]
    fn it_waits_for_its_member_and_for_what_goes_first() {
        let asked = || world(RunState::Running, true, Some(Stage::Asked), false);
        assert_eq!(asked().with(|w| w.link(LinkState::Suspect { since: at(90) })).step(), REST);
        let unmirrored = asked().with(|w| w.seen().executions = 2).step();
        assert!(!matches!(unmirrored, Step::Pause(_)), "{unmirrored:?}");
        assert_eq!(asked().with(|w| w.seen().owner = None).step(), REST, "what is not ours is not touched");
        let failed = asked().with(|w| w.seen().run = RunState::Failed(FailureSign::Application));
        assert!(matches!(failed.step(), Step::Finish(_)));
    }

    #[test]
    fn what_is_held_back_leaves_a_member_that_is_drained() {
        let drained = |stage| {
            world(RunState::Suspended, true, Some(stage), true).with(|w| {
                w.member.as_mut().unwrap().drained = true;
                w.seen().executions = 2;
                w.job.record.application.as_mut().unwrap().attempts = 2;
            })
        };
        assert!(matches!(drained(Stage::Asked).step(), Step::Latch(_)));
        assert!(!matches!(drained(Stage::Resuming).step(), Step::Latch(_)), "it is about to run");
    }

    #[test]
    fn what_is_held_back_has_all_the_time_that_its_owner_gives_it() {
        use std::time::Duration;
        let held = world(RunState::Suspended, true, Some(Stage::Asked), true).with(|w| {
            w.job.policy.deadlines.start = Some(Duration::from_secs(20));
            w.job.policy.deadlines.run = Some(Duration::from_secs(20));
            w.longest_run = Some(Duration::from_secs(20));
        });
        assert_eq!(held.job.record.application.as_ref().unwrap().started_at, None, "its driver is gone");
        assert_eq!(held.step(), REST);
        // It went on at 60: the start counts anew from there.
        let resumed = held.with(|w| {
            w.job.policy.suspend = false;
            w.job.record.suspension = Some(Suspension { stage: Stage::Resumed, at: at(60) });
            w.seen().suspend = false;
            w.seen().run = RunState::Submitted;
            w.job.record.phase = Some(crate::phase::Phase::Submitted);
            w.now = at(79);
        });
        assert_eq!(resumed.step(), Step::Rest { until: Some(at(80)) });
        let late = resumed.with(|w| w.now = at(80)).step();
        let Step::Latch(stopping) = late else { panic!("{late:?}") };
        assert!(stopping.message.contains("within 20s of going on at"), "{}", stopping.message);
    }
}
