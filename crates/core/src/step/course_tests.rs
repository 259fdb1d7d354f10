//! The course of a job by its owner's word: cancel, suspend, deadlines, retries, moves, and what is left of past attempts.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Cause, DriverSeen, MemberView, PastStep, PastView, Requeue, Sends, Step, Timing, Trouble,
    tests::{REST, World, at, observation, outcome},
};
use crate::{
    health::LinkState,
    id::{Attempt, ClusterName, MemberIdentity, Namespace, RemoteName, RemoteUid},
    job::{Left, Past, Rejection, StopCause, Stopping},
    observe::{FailureSign, Observation, Remote, RunState},
    phase::Phase,
    policy::{FailureClass, OnMemberLost, Retry},
};

const LOST: LinkState = LinkState::Lost { since: at_const() };

const fn at_const() -> Timestamp {
    Timestamp::constant(1_000_060, 0)
}

fn requeued(step: Step) -> Requeue {
    match step {
        Step::Requeue(requeue) => *requeue,
        other => panic!("{other:?}"),
    }
}

fn latched(step: Step) -> (StopCause, String) {
    match step {
        Step::Latch(stopping) => (stopping.cause, stopping.message),
        other => panic!("{other:?}"),
    }
}

fn stopping(cause: StopCause) -> impl FnOnce(&mut World) {
    move |w| w.job.record.stopping = Some(Stopping { cause, message: "why".into(), at: at(90) })
}

mod cancel {
    use super::*;

    fn cancelled(world: World) -> World {
        world.with(|w| w.job.policy.cancel = true)
    }

    #[test]
    fn a_job_without_a_place_ends_at_once() {
        let expected = (Phase::Cancelled, "Cancelled");
        assert_eq!(outcome(cancelled(World::waiting()).step()), expected);
        let bad = World::waiting().with(|w| {
            w.job.request =
                Err(super::super::Rejection { reason: "InvalidTemplate", message: String::new() });
        });
        assert_eq!(outcome(cancelled(bad).step()), expected, "also one that cannot be taken");
    }

    #[test]
    fn a_placed_one_is_latched_fenced_and_ends() {
        let world = cancelled(World::running(RunState::Running));
        assert_eq!(latched(world.step()).0, StopCause::Cancelled);
        let world = world.with(stopping(StopCause::Cancelled));
        assert_eq!(world.step(), Step::Stop { settled_at: Timestamp::MIN });
        let fenced = world.with(|w| w.fenced = true);
        assert_eq!(outcome(fenced.step()), (Phase::Cancelled, "Cancelled"));
        let reverted = fenced.with(|w| w.job.policy.cancel = false);
        assert_eq!(outcome(reverted.step()), (Phase::Cancelled, "Cancelled"), "nothing takes it back");
    }

    #[test]
    fn an_end_that_came_first_is_what_it_was_and_a_failure_is_not_tried_again() {
        let world = cancelled(World::running(RunState::Running));
        let succeeded = world.with(|w| w.seen().run = RunState::Succeeded);
        assert_eq!(outcome(succeeded.step()), (Phase::Succeeded, "JobSucceeded"));
        let failed = succeeded.with(|w| {
            w.job.policy.retry.max_attempts = 3;
            w.seen().run = RunState::Failed(FailureSign::Application);
        });
        assert_eq!(outcome(failed.step()), (Phase::Failed, "JobFailed"));
    }

    /// Its uid goes on record with the first mirror, and the decision came before that: the answer to the create tells it.
    #[test]
    fn an_end_that_came_first_counts_also_where_its_uid_is_not_on_record() {
        let world =
            cancelled(World::running(RunState::Running)).with(stopping(StopCause::Cancelled)).with(|w| {
                w.job.record.placement.as_mut().unwrap().uid = None;
                w.sends.accepted = Some((RemoteUid::from("r-1"), at(85)));
                w.seen().run = RunState::Succeeded;
            });
        assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"));
        let read = world.with(|w| {
            let seen = observation(RunState::Failed(FailureSign::Application));
            w.confirmed = super::super::Confirmed::Present(Box::new(seen));
            w.remote = Remote::Absent;
        });
        assert_eq!(outcome(read.step()), (Phase::Failed, "JobFailed"));
        let another = read.with(|w| w.sends.accepted = Some((RemoteUid::from("r-2"), at(85))));
        assert!(matches!(another.step(), Step::Stop { .. }), "somebody made it anew");
    }

    /// Its owner thought better of it, and it failed before it was stopped.
    #[test]
    fn a_decision_on_record_lets_nothing_be_tried_again() {
        let failed = |cause: StopCause| {
            World::running(RunState::Running).with(stopping(cause)).with(|w| {
                w.job.policy.retry.max_attempts = 3;
                w.seen().run = RunState::Failed(FailureSign::Application);
            })
        };
        for cause in [StopCause::Cancelled, StopCause::RanTooLong, StopCause::RunDeadline, StopCause::Other] {
            assert_eq!(outcome(failed(cause).step()), (Phase::Failed, "JobFailed"), "{cause:?}");
        }
        for cause in [StopCause::MemberLost, StopCause::Drained, StopCause::StartDeadline] {
            assert!(
                requeued(failed(cause).step()).is_retry,
                "{cause:?} was to be followed by another attempt"
            );
        }
    }

    #[test]
    fn one_on_a_silent_member_is_latched_too() {
        let world = cancelled(World::running(RunState::Running)).with(|w| w.link(LOST));
        assert_eq!(latched(world.step()).0, StopCause::Cancelled);
    }
}

mod suspend {
    use super::*;

    #[test]
    fn a_job_that_waits_is_taken_out_of_its_queue_and_one_on_its_way_goes_on() {
        let suspended = |world: World| world.with(|w| w.job.policy.suspend = true);
        assert_eq!(suspended(World::waiting()).step(), Step::Suspend);
        assert_eq!(suspended(World::waiting()).with(|w| w.job.held = false).step(), Step::Hold);
        assert_eq!(suspended(World::placed()).step(), Step::Submit, "held as soon as it was submitted");
    }

    #[test]
    fn time_spent_held_back_is_no_waiting() {
        let mut world = World::waiting().with(|w| {
            w.job.policy.deadlines.queued = Some(Duration::from_secs(50));
            w.job.policy.suspend = true;
        });
        assert_eq!(world.step(), Step::Suspend);
        world.job.policy.suspend = false;
        world.job.record.waiting_since = Some(at(90));
        assert_eq!(world.step(), Step::Enqueue);
        world.now = at(140);
        assert_eq!(outcome(world.step()), (Phase::Failed, "QueuedDeadlineExceeded"));
    }
}

mod deadlines {
    use super::*;

    #[test]
    fn a_job_waits_no_longer_than_it_may() {
        let mut world = World::waiting();
        world.job.policy.deadlines.queued = Some(Duration::from_secs(101));
        assert_eq!(world.step(), Step::Enqueue);
        assert_eq!(super::super::look_again(world.snapshot(&Timing::default())), Some(at(101)));
        world.now = at(101);
        assert_eq!(outcome(world.step()), (Phase::Failed, "QueuedDeadlineExceeded"));
        world.hold_fire_until = Some(at(130));
        assert_eq!(world.step(), Step::Enqueue, "the clock may have jumped");
    }

    #[test]
    fn a_driver_that_does_not_run_in_time_is_stopped() {
        let starts =
            |world: World| world.with(|w| w.job.policy.deadlines.start = Some(Duration::from_mins(1)));
        let world = starts(World::running(RunState::Submitted)).with(|w| w.now = at(59));
        assert_eq!(world.step(), Step::Rest { until: Some(at(60)) });
        let world = world.with(|w| w.now = at(60));
        let (cause, message) = latched(world.step());
        assert_eq!(cause, StopCause::StartDeadline);
        assert!(
            message.contains("within 1m of its placement") && message.contains("spec.deadlines.start"),
            "{message}"
        );
        let fenced = world.with(stopping(StopCause::StartDeadline)).with(|w| w.fenced = true);
        assert_eq!(outcome(fenced.step()), (Phase::Failed, "StartDeadlineExceeded"));
        let again = fenced.with(|w| w.job.policy.retry.max_attempts = 2);
        let requeue = requeued(again.step());
        assert_eq!((requeue.outcome, requeue.left, requeue.is_retry), ("Stopped", None, true));
        assert_eq!(requeue.not_before, Some(at(90)));
        assert_eq!(starts(World::running(RunState::Running)).with(|w| w.now = at(1000)).step(), REST);
        let seen = starts(World::running(RunState::Submitted)).with(|w| {
            w.seen().run = RunState::Running;
            w.now = at(60);
        });
        assert!(matches!(seen.step(), Step::Mirror(_)), "it runs, although the record does not say so yet");
    }

    #[test]
    fn the_earlier_of_two_limits_on_the_run_counts() {
        let world = World::running(RunState::Running).with(|w| {
            w.job.policy.deadlines.run = Some(Duration::from_secs(50));
            w.longest_run = Some(Duration::from_mins(1));
        });
        let (cause, message) = latched(world.step());
        assert_eq!(cause, StopCause::RunDeadline);
        assert!(message.contains("longer than the 50s of spec.deadlines.run"), "{message}");
        let queues = world.with(|w| w.job.policy.deadlines.run = Some(Duration::from_hours(1)));
        assert_eq!(queues.step(), Step::Rest { until: Some(at(110)) });
        let ended = queues.with(stopping(StopCause::RunDeadline)).with(|w| {
            w.fenced = true;
            w.job.policy.retry.max_attempts = 5;
        });
        assert_eq!(outcome(ended.step()), (Phase::Failed, "RunDeadlineExceeded"), "no failure to try again");
    }
}

mod retry {
    use super::*;

    fn failed(sign: FailureSign) -> World {
        World::running(RunState::Running).with(|w| {
            w.job.policy.retry.max_attempts = 3;
            w.seen().run = RunState::Failed(sign);
            w.seen().error = Some("no luck".into());
        })
    }

    #[test]
    fn a_failure_is_followed_by_another_attempt_after_a_wait() {
        let requeue = requeued(failed(FailureSign::Submission).step());
        assert_eq!(
            (requeue.outcome, requeue.reason, requeue.left, requeue.is_retry),
            ("Failed", "SubmissionFailed", Some(Left::Ended), true)
        );
        assert_eq!((requeue.uid, requeue.not_before), (Some(RemoteUid::from("r-1")), Some(at(130))));
        assert_eq!(requeue.message, "attempt 1 of 3 on eu-1: failed on eu-1: no luck; the next one in 30s");
        let second = failed(FailureSign::Submission).with(|w| w.job.record.retries = 1);
        assert_eq!(requeued(second.step()).not_before, Some(at(160)));
        let third = failed(FailureSign::Submission).with(|w| w.job.record.retries = 2);
        assert_eq!(outcome(third.step()), (Phase::Failed, "SubmissionFailed"));
    }

    #[test]
    fn only_the_listed_classes_are_tried_again() {
        let only = |class| Retry { max_attempts: 3, on: vec![class], ..Retry::default() };
        for (sign, class) in [
            (FailureSign::Submission, FailureClass::SubmissionFailed),
            (FailureSign::Quota, FailureClass::Unschedulable),
            (FailureSign::DriverLost, FailureClass::DriverLost),
            (FailureSign::Application, FailureClass::ApplicationFailed),
            (FailureSign::Other, FailureClass::ApplicationFailed),
        ] {
            for listed in FailureClass::ALL {
                let step = failed(sign).with(|w| w.job.policy.retry = only(listed)).step();
                assert_eq!(
                    matches!(step, Step::Requeue(_)),
                    listed == class,
                    "{sign:?} with {listed:?}: {step:?}"
                );
            }
        }
    }

    #[test]
    fn a_failure_that_proves_no_end_asks_the_driver_first() {
        let world = failed(FailureSign::DriverExists);
        assert_eq!(world.step(), Step::Examine);
        let lost = world.with(|w| w.driver = DriverSeen::Gone);
        assert_eq!(requeued(lost.step()).reason, "DriverLost");
        let failed =
            lost.with(|w| w.driver = DriverSeen::Failed(FailureSign::Application, "exit code 1".into()));
        assert_eq!(requeued(failed.step()).reason, "JobFailed");
    }

    #[test]
    fn what_vanished_or_is_not_ours_is_never_tried_again() {
        let retries = |w: &mut World| w.job.policy.retry.max_attempts = 3;
        let vanished = World::running(RunState::Running).with(retries).with(|w| {
            w.remote = Remote::Absent;
            w.confirmed = super::super::Confirmed::Gone;
        });
        assert_eq!(outcome(vanished.step()), (Phase::Failed, "RemoteVanished"));
        let foreign = World::placed().with(retries).with(|w| {
            let seen = Observation { owner: None, ..observation(RunState::Failed(FailureSign::Submission)) };
            w.remote = Remote::Present(Box::new(seen));
        });
        assert_eq!(outcome(foreign.step()), (Phase::Failed, "NameTaken"));
    }

    #[test]
    fn the_next_attempt_waits_for_its_time() {
        let mut world = World::waiting().with(|w| w.job.record.not_before = Some(at(130)));
        assert_eq!(world.step(), Step::Rest { until: Some(at(130)) });
        world.now = at(130);
        assert_eq!(world.step(), Step::Enqueue);
        world.job.policy.cancel = true;
        world.job.record.attempt = Some(Attempt::FIRST);
        assert_eq!(outcome(world.step()), (Phase::Cancelled, "Cancelled"));
    }
}

mod lost_member {
    use super::*;

    fn lost(policy: OnMemberLost) -> World {
        World::running(RunState::Running).with(|w| {
            w.job.policy.on_member_lost = policy;
            w.job.record.unreachable = true;
            w.link(LOST);
        })
    }

    fn back(run: RunState) -> World {
        World::running(run).with(|w| {
            w.job.policy.on_member_lost = OnMemberLost::FenceThenMove;
            w.job.record.unreachable = true;
        })
    }

    #[test]
    fn only_allow_duplicate_moves_what_may_still_run() {
        assert_eq!(lost(OnMemberLost::Wait).step(), REST);
        assert_eq!(lost(OnMemberLost::FenceThenMove).step(), REST);
        let requeue = requeued(lost(OnMemberLost::AllowDuplicate).step());
        assert_eq!(
            (requeue.outcome, requeue.reason, requeue.left, requeue.is_retry, requeue.not_before),
            ("Abandoned", "MemberLost", Some(Left::MayRun), false, None)
        );
        for part in ["does not answer since", "may still run on eu-1", "AllowDuplicate"] {
            assert!(requeue.message.contains(part), "{}", requeue.message);
        }
        for link in [LinkState::Suspect { since: at(99) }, LinkState::Connecting, LinkState::Ready] {
            let world = lost(OnMemberLost::AllowDuplicate).with(|w| w.link(link));
            assert!(!matches!(world.step(), Step::Requeue(_)), "{link:?}: flapping moves nothing");
        }
    }

    #[test]
    fn an_end_that_was_seen_moves_nothing() {
        let world = lost(OnMemberLost::AllowDuplicate).with(|w| w.seen().run = RunState::Succeeded);
        assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"));
    }

    #[test]
    fn what_was_never_sent_is_withdrawn_and_uses_up_nothing() {
        let world = World::placed().with(|w| {
            w.job.policy.on_member_lost = OnMemberLost::AllowDuplicate;
            w.remote = Remote::Unknown;
            w.link(LOST);
        });
        assert_eq!(world.step(), Step::Withdraw(Cause::Unsent));
    }

    #[test]
    fn most_members_lost_at_once_move_nothing_until_the_thaw() {
        let world = lost(OnMemberLost::AllowDuplicate).with(|w| w.frozen_until = Some(at(700)));
        assert_eq!(world.step(), Step::Rest { until: Some(at(700)) });
        let told = world.with(|w| w.job.record.unreachable = false);
        assert!(matches!(told.step(), Step::Unreachable(Trouble::Silent { .. })), "and it says so");
        assert!(matches!(told.with(|w| w.now = at(700)).step(), Step::Requeue(_)));
    }

    #[test]
    fn what_runs_or_is_over_on_a_member_that_is_back_is_kept() {
        for run in [RunState::Running, RunState::Retrying, RunState::Passing] {
            assert!(matches!(back(run.clone()).step(), Step::Mirror(_)), "{run:?}");
        }
        let over = back(RunState::Running).with(|w| w.seen().run = RunState::Succeeded);
        assert_eq!(outcome(over.step()), (Phase::Succeeded, "JobSucceeded"));
    }

    #[test]
    fn what_did_not_get_to_run_is_fenced_and_moves() {
        assert_eq!(latched(back(RunState::Accepted).step()).0, StopCause::MemberLost);
        let submitted = back(RunState::Submitted);
        assert_eq!(submitted.step(), Step::Examine, "is its driver there?");
        let alive = submitted.with(|w| w.driver = DriverSeen::Alive);
        assert!(matches!(alive.step(), Step::Mirror(_)));
        let gone = alive.with(|w| w.driver = DriverSeen::Gone);
        assert_eq!(latched(gone.step()).0, StopCause::MemberLost);
        let fenced = gone.with(stopping(StopCause::MemberLost)).with(|w| w.fenced = true);
        let requeue = requeued(fenced.step());
        assert_eq!((requeue.outcome, requeue.left, requeue.is_retry), ("Stopped", None, false));
        let wait = back(RunState::Accepted).with(|w| w.job.policy.on_member_lost = OnMemberLost::Wait);
        assert!(matches!(wait.step(), Step::Mirror(_)), "Wait keeps it");
    }

    #[test]
    fn one_that_was_seen_and_is_gone_is_never_run_again() {
        let mut world = back(RunState::Running).with(|w| w.remote = Remote::Absent);
        assert_eq!(world.step(), Step::Confirm);
        world.confirmed = super::super::Confirmed::Gone;
        assert_eq!(outcome(world.step()), (Phase::Failed, "RemoteVanished"));
        let unseen = World::placed().with(|w| {
            w.job.policy.on_member_lost = OnMemberLost::FenceThenMove;
            w.job.record.unreachable = true;
            w.sends = Sends::default();
        });
        assert_eq!(
            latched(unseen.step()).0,
            StopCause::MemberLost,
            "whether it was created is for the fence to say"
        );
        let settling = unseen.with(stopping(StopCause::MemberLost));
        assert_eq!(settling.step(), Step::Stop { settled_at: at(25) });
    }
}

mod drain {
    use super::*;

    fn drained(world: World) -> World {
        world.with(|w| w.member.as_mut().unwrap().drained = true)
    }

    #[test]
    fn what_has_not_started_leaves_and_the_rest_stays() {
        for run in [RunState::Accepted, RunState::Submitted, RunState::Suspended] {
            assert_eq!(latched(drained(World::running(run.clone())).step()).0, StopCause::Drained, "{run:?}");
        }
        assert_eq!(latched(drained(World::placed()).step()).0, StopCause::Drained, "before its create");
        for run in [RunState::Running, RunState::Retrying, RunState::Passing] {
            assert_eq!(drained(World::running(run.clone())).step(), REST, "{run:?}");
        }
        let ran = drained(World::running(RunState::Running)).with(|w| w.seen().run = RunState::Submitted);
        assert!(!matches!(ran.step(), Step::Latch(_)), "its own operator tries again");
    }

    #[test]
    fn an_end_that_came_before_the_first_mirror_is_the_end_and_nothing_moves() {
        let world = drained(World::running(RunState::Succeeded)).with(stopping(StopCause::Drained));
        let unmirrored = world.with(|w| w.job.record.placement.as_mut().unwrap().uid = None);
        assert_eq!(outcome(unmirrored.step()), (Phase::Succeeded, "JobSucceeded"));
    }

    #[test]
    fn the_move_ends_in_the_queue() {
        let world = drained(World::running(RunState::Accepted)).with(stopping(StopCause::Drained));
        assert_eq!(world.step(), Step::Stop { settled_at: Timestamp::MIN });
        let requeue = requeued(world.with(|w| w.fenced = true).step());
        assert_eq!((requeue.reason, requeue.is_retry, requeue.left), ("MemberDrained", false, None));
    }
}

mod past_attempts {
    use super::*;

    fn past(left: Left, remote: Remote) -> PastView {
        PastView {
            past: Past {
                attempt: Attempt::FIRST,
                cluster: ClusterName::from("us-1"),
                identity: MemberIdentity::from("us"),
                namespace: Namespace::from("spark"),
                name: RemoteName::from("daily-abc"),
                uid: Some(RemoteUid::from("r-1")),
                at: at(80),
                left,
            },
            member: Some(MemberView {
                link: LinkState::Ready,
                usable: true,
                forgotten: false,
                drained: false,
            }),
            remote,
            retention: Duration::from_mins(10),
        }
    }

    fn shows(run: RunState) -> Remote {
        Remote::Present(Box::new(observation(run)))
    }

    fn with(view: PastView) -> World {
        World::running(RunState::Running).with(|w| w.elsewhere.past = vec![view])
    }

    fn step_of(view: PastView) -> Step {
        with(view).step()
    }

    fn of(left: Left, step: PastStep) -> Step {
        Step::Past(Box::new(past(left, Remote::Unknown).past), step)
    }

    #[test]
    fn a_run_that_was_left_behind_is_stopped_when_it_can_be() {
        let running = past(Left::MayRun, shows(RunState::Running));
        let stop = of(Left::MayRun, PastStep::Stop { settled_at: at(105) });
        assert_eq!(step_of(running.clone()), stop, "its name stays taken until no create of it can come");
        for link in [LOST, LinkState::Connecting, LinkState::Suspect { since: at(99) }] {
            let mut away = running.clone();
            away.member.as_mut().unwrap().link = link;
            assert_eq!(step_of(away), REST, "{link:?}");
        }
        assert_eq!(step_of(past(Left::MayRun, Remote::Unknown)), REST);
        let settled = of(Left::MayRun, PastStep::Stop { settled_at: at(105) });
        assert_eq!(step_of(past(Left::MayRun, Remote::Absent)), settled, "a create may still arrive");
        let tries_again = past(Left::Ended, shows(RunState::Running));
        assert!(matches!(step_of(tries_again), Step::Past(_, PastStep::Stop { .. })), "by somebody's hand");
    }

    /// As after a restore that found one attempt on several members.
    #[test]
    fn of_two_with_one_number_the_step_says_which_it_is_about() {
        let mut away = past(Left::MayRun, shows(RunState::Running));
        away.past.cluster = ClusterName::from("ap-1");
        away.member.as_mut().unwrap().link = LOST;
        let running = past(Left::MayRun, shows(RunState::Running));
        let both = |views: [&PastView; 2]| {
            World::running(RunState::Running)
                .with(|w| w.elsewhere.past = views.into_iter().cloned().collect())
                .step()
        };
        let stopped = of(Left::MayRun, PastStep::Stop { settled_at: at(105) });
        assert_eq!(both([&away, &running]), stopped);
        assert_eq!(both([&running, &away]), stopped);
    }

    #[test]
    fn the_present_attempt_goes_first() {
        let mut world = with(past(Left::MayRun, shows(RunState::Running)));
        world.seen().run = RunState::Succeeded;
        assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"));
    }

    #[test]
    fn what_is_over_is_let_go_of_and_taken_away_in_time() {
        let mut view = past(Left::Ended, shows(RunState::Failed(FailureSign::Submission)));
        assert_eq!(
            step_of(view.clone()),
            Step::Rest { until: Some(at(105)) },
            "a create of it may still come"
        );
        let settled = with(view.clone()).with(|w| w.now = at(105));
        assert_eq!(settled.step(), of(Left::Ended, PastStep::Release(RemoteUid::from("r-1"))));
        let Remote::Present(seen) = &mut view.remote else { panic!() };
        seen.held = false;
        assert_eq!(step_of(view.clone()), Step::Rest { until: Some(at(680)) });
        let late = with(view.clone()).with(|w| w.now = at(680));
        assert_eq!(late.step(), of(Left::Ended, PastStep::Retire(RemoteUid::from("r-1"))));
        let soon = PastView { retention: Duration::ZERO, ..view.clone() };
        assert_eq!(step_of(soon), Step::Rest { until: Some(at(105)) }, "however short it is to stay");
        view.remote = Remote::Absent;
        assert_eq!(step_of(view.clone()), of(Left::Ended, PastStep::Close));
        view.member.as_mut().unwrap().forgotten = true;
        assert_eq!(step_of(view), of(Left::Ended, PastStep::Close));
    }

    /// It was left behind, and its member is back, while the job itself waits for something else.
    #[test]
    fn what_may_run_is_stopped_also_while_the_job_waits() {
        let running = || past(Left::MayRun, shows(RunState::Running));
        let stop = of(Left::MayRun, PastStep::Stop { settled_at: at(105) });
        let waiting = |change: fn(&mut World), view: PastView| {
            World::waiting().with(change).with(|w| w.elsewhere.past = vec![view]).step()
        };
        let waits = [
            ((|_| {}) as fn(&mut World), Step::Enqueue),
            (|w| w.job.policy.suspend = true, Step::Suspend),
            (
                |w| w.job.request = Err(Rejection { reason: "InvalidTemplate", message: String::new() }),
                Step::Reject(Rejection { reason: "InvalidTemplate", message: String::new() }),
            ),
        ];
        for (change, otherwise) in waits {
            assert_eq!(waiting(change, running()), stop, "before {otherwise:?}");
            let mut away = running();
            away.member.as_mut().unwrap().link = LOST;
            assert_eq!(waiting(change, away), otherwise);
            let mut faulty = running();
            faulty.member.as_mut().unwrap().usable = false;
            assert_eq!(waiting(change, faulty), otherwise, "the job does not wait for what may not work");
            let over = past(Left::Ended, shows(RunState::Failed(FailureSign::Submission)));
            assert_eq!(waiting(change, over), otherwise, "what is over has time");
        }
        let deleted = with(running()).with(|w| {
            w.job.deleting = Some(at(95));
            w.link(LOST);
        });
        assert_eq!(deleted.step(), stop, "its deletion waits for another member");
    }

    #[test]
    fn nothing_but_that_very_attempt_is_touched() {
        for change in [
            (|seen: &mut Observation| seen.owner = None) as fn(&mut Observation),
            |seen| seen.owner.as_mut().unwrap().attempt = Attempt(2),
            |seen| seen.owner.as_mut().unwrap().job = "u-2".into(),
        ] {
            let mut seen = observation(RunState::Running);
            change(&mut seen);
            assert_eq!(
                step_of(past(Left::MayRun, Remote::Present(Box::new(seen)))),
                of(Left::MayRun, PastStep::Close)
            );
        }
    }

    #[test]
    fn a_deletion_stops_what_it_can_and_notes_the_rest() {
        let deleted = |view: PastView| {
            World::waiting().with(|w| {
                w.job.deleting = Some(at(95));
                w.elsewhere.past = vec![view];
            })
        };
        let running = past(Left::MayRun, shows(RunState::Running));
        assert!(matches!(deleted(running.clone()).step(), Step::Past(_, PastStep::Stop { .. })));
        let mut away = running;
        away.member.as_mut().unwrap().link = LOST;
        assert_eq!(deleted(away.clone()).step(), of(Left::MayRun, PastStep::Abandon));
        away.member = None;
        assert_eq!(deleted(away).step(), of(Left::MayRun, PastStep::Abandon));
        let over = past(Left::MayRun, shows(RunState::Succeeded));
        assert_eq!(deleted(over).step(), Step::LetGo, "the sweep takes it");
        assert_eq!(deleted(past(Left::Ended, Remote::Unknown)).step(), Step::LetGo);
    }
}

mod restored_record {
    use super::*;
    use crate::{job::Finished, step::Trace};

    fn trace(cluster: &str, attempt: u32, run: RunState) -> Trace {
        let mut seen = observation(run);
        seen.owner.as_mut().unwrap().attempt = Attempt(attempt);
        Trace {
            cluster: ClusterName::from(cluster),
            identity: MemberIdentity::from("id"),
            namespace: Namespace::from("spark"),
            seen,
        }
    }

    fn adopted(world: &World) -> Option<(String, u32)> {
        match world.step() {
            Step::Adopt(trace) => Some((trace.cluster.to_string(), trace.owner().unwrap().attempt.0)),
            _ => None,
        }
    }

    fn shows(traces: Vec<Trace>) -> World {
        World::waiting().with(|w| w.elsewhere.traces = traces)
    }

    #[test]
    fn what_a_member_shows_is_taken_up_before_anything_else() {
        let world = shows(vec![trace("a", 1, RunState::Running)]);
        assert_eq!(adopted(&world), Some(("a".into(), 1)));
        for change in [
            (|w: &mut World| w.job.policy.cancel = true) as fn(&mut World),
            |w| w.job.policy.suspend = true,
            |w| w.job.held = false,
            |w| w.job.deleting = Some(at(95)),
            |w| w.elsewhere.traces[0].seen.run = RunState::Succeeded,
            |w| w.job.record.not_before = Some(at(130)),
        ] {
            assert_eq!(adopted(&world_with(change)), Some(("a".into(), 1)), "and then that is done to it");
        }
    }

    fn world_with(change: fn(&mut World)) -> World {
        shows(vec![trace("a", 1, RunState::Running)]).with(change)
    }

    #[test]
    fn the_newest_attempt_wins() {
        let three = vec![
            trace("a", 1, RunState::Running),
            trace("b", 3, RunState::Failed(FailureSign::Application)),
            trace("c", 3, RunState::Running),
            trace("d", 3, RunState::Running),
            trace("e", 2, RunState::Running),
        ];
        assert_eq!(adopted(&shows(three.clone())), Some(("c".into(), 3)));
        let backwards = three.into_iter().rev().collect();
        assert_eq!(adopted(&shows(backwards)), Some(("c".into(), 3)), "in whatever order");
    }

    #[test]
    fn nothing_that_the_record_knows_or_that_is_not_its_own_is_taken_up() {
        let running = || vec![trace("a", 1, RunState::Running)];
        let known = shows(running()).with(|w| w.job.record.attempt = Some(Attempt::FIRST));
        assert_eq!(known.step(), Step::Enqueue, "it was fenced, or is in the history");
        let other =
            shows(running()).with(|w| w.elsewhere.traces[0].seen.owner.as_mut().unwrap().job = "u-2".into());
        assert_eq!(other.step(), Step::Enqueue);
        let nobodys = shows(running()).with(|w| w.elsewhere.traces[0].seen.owner = None);
        assert_eq!(nobodys.step(), Step::Enqueue);
        let over = shows(running()).with(|w| {
            w.job.record.finished = Some(Finished { at: at(90), succeeded: false });
        });
        assert_eq!(over.step(), REST, "a finished job never runs again");
    }

    /// Placed as attempt 1 on eu-1 by another process, and not to be seen there.
    fn inherited() -> World {
        World::placed().with(|w| {
            w.sends = Sends::default();
            w.remote = Remote::Absent;
        })
    }

    /// What runs on another member.
    fn elsewhere(attempt: u32) -> Vec<Trace> {
        let mut trace = trace("b", attempt, RunState::Running);
        trace.identity = MemberIdentity::from("other");
        vec![trace]
    }

    #[test]
    fn a_placement_that_was_taken_back_since_gives_way_to_where_the_job_went() {
        let world = inherited().with(|w| w.elsewhere.traces = elsewhere(1));
        assert_eq!(adopted(&world), Some(("b".into(), 1)), "a withdrawal uses up no attempt");
        for change in [
            (|w: &mut World| w.job.policy.cancel = true) as fn(&mut World),
            |w| w.job.deleting = Some(at(95)),
            |w| w.member = None,
            |w| w.remote = Remote::Unknown,
            |w| w.elsewhere.traces[0].seen.run = RunState::Succeeded,
        ] {
            let world = inherited().with(|w| w.elsewhere.traces = elsewhere(1)).with(change);
            assert_eq!(adopted(&world), Some(("b".into(), 1)), "whatever else is to be done");
        }
    }

    #[test]
    fn a_placement_that_is_known_to_have_been_created_stays() {
        for change in [
            (|w: &mut World| w.sends.placed_here = true) as fn(&mut World),
            |w| w.sends.accepted = Some((RemoteUid::from("r-1"), at(99))),
            |w| w.job.record.placement.as_mut().unwrap().uid = Some(RemoteUid::from("r-1")),
            |w| w.remote = Remote::Present(Box::new(observation(RunState::Running))),
            |w| w.elsewhere.traces[0].identity = MemberIdentity::from("id"),
        ] {
            let world = inherited().with(|w| w.elsewhere.traces = elsewhere(1)).with(change);
            assert_eq!(adopted(&world), None, "{:?}", world.step());
        }
    }

    #[test]
    fn a_later_attempt_is_taken_up_also_from_beside_a_placement() {
        let later = |w: &mut World| w.elsewhere.traces = elsewhere(2);
        assert_eq!(adopted(&inherited().with(later)), Some(("b".into(), 2)));
        assert_eq!(adopted(&World::running(RunState::Running).with(later)), Some(("b".into(), 2)));
        let earlier = |w: &mut World| {
            w.elsewhere.traces = elsewhere(1);
            w.job.record.placement.as_mut().unwrap().attempt = Attempt(2);
        };
        assert_eq!(inherited().with(earlier).step(), Step::Claim, "it is past");
    }

    #[test]
    fn what_another_process_placed_is_not_created_before_every_member_is_heard_or_it_is_settled() {
        // Placed at 0; a lease of 10 and a request of 15.
        let unheard = |now: i64| {
            inherited().with(|w| {
                w.elsewhere.unheard = true;
                w.now = at(now);
            })
        };
        assert_eq!(unheard(5).step(), Step::Rest { until: Some(at(25)) });
        assert_eq!(unheard(5).with(|w| w.elsewhere.unheard = false).step(), Step::Claim);
        assert_eq!(unheard(25).step(), Step::Claim, "not for ever");
        let own = unheard(5).with(|w| {
            w.sends.placed_here = true;
            w.sends.claimed = true;
        });
        assert_eq!(own.step(), Step::Submit, "what was placed here cannot be anywhere else");
    }
}
