use std::time::Duration;

use jiff::Timestamp;

use super::{
    Cause, Confirmed, DeletionWaits, Sends, Step,
    tests::{REST, World, at, observation, outcome},
};
use crate::{
    health::LinkState,
    id::RemoteUid,
    job::{Finished, StopCause, Stopping},
    observe::{FailureSign, Observation, Remote, RunState},
    phase::Phase,
};

/// Its driver was first seen running at 50; now it is 100.
fn limited(seconds: u64) -> World {
    World::running(RunState::Running).with(|w| w.longest_run = Some(Duration::from_secs(seconds)))
}

fn stopping() -> Stopping {
    Stopping { cause: StopCause::RanTooLong, message: "it ran too long".into(), at: at(99) }
}

/// Latched, by this process or another.
fn latched() -> World {
    limited(50).with(|w| w.job.record.stopping = Some(stopping()))
}

fn stop(settled_at: Timestamp) -> Step {
    Step::Stop { settled_at }
}

mod longest_run {
    use super::*;

    #[test]
    fn the_deadline_is_waited_for_and_then_latched_before_anything_is_stopped() {
        assert_eq!(limited(51).step(), Step::Rest { until: Some(at(101)) });
        let Step::Latch(latched) = limited(50).step() else { panic!("{:?}", limited(50).step()) };
        assert_eq!((latched.cause, latched.at), (StopCause::RanTooLong, at(100)));
        for part in ["50s", "queue etl", "spec.limits.longestRun", &at(50).to_string()] {
            assert!(latched.message.contains(part), "{part}: {}", latched.message);
        }
    }

    #[test]
    fn an_earlier_look_for_another_reason_is_kept() {
        let mut world = limited(60);
        world.seen().executors.running = 3;
        world.mirrored_at = Some(at(75));
        assert_eq!(world.step(), Step::Rest { until: Some(at(105)) }, "executor counts");
        world.mirrored_at = Some(at(95));
        assert_eq!(world.step(), Step::Rest { until: Some(at(110)) }, "the deadline comes first");
    }

    #[test]
    fn only_a_run_that_is_on_record_counts() {
        assert_eq!(
            World::running(RunState::Running).with(|w| w.now = at(1_000_000)).step(),
            REST,
            "no limit"
        );
        let submitted = World::running(RunState::Submitted).with(|w| {
            w.longest_run = Some(Duration::from_secs(1));
            w.now = at(1_000_000);
        });
        assert_eq!(submitted.step(), REST, "its driver was never seen running");
        let unplaced = World::waiting().with(|w| w.longest_run = Some(Duration::ZERO));
        assert_eq!(unplaced.step(), Step::Enqueue);
        let sending = World::placed().with(|w| w.longest_run = Some(Duration::ZERO));
        assert_eq!(sending.step(), Step::Submit);
        let ahead = limited(0).with(|w| w.now = at(40));
        assert_eq!(ahead.step(), Step::Rest { until: Some(at(50)) }, "another host's clock was ahead");
    }

    #[test]
    fn the_operators_own_retry_does_not_renew_it() {
        let mut world = limited(50);
        world.seen().run = RunState::Retrying;
        world.seen().executions = 2;
        assert!(matches!(world.step(), Step::Latch(_)));
    }

    #[test]
    fn an_end_that_is_seen_first_wins() {
        for (run, expected) in [
            (RunState::Succeeded, (Phase::Succeeded, "JobSucceeded")),
            (RunState::Failed(FailureSign::Application), (Phase::Failed, "JobFailed")),
        ] {
            for world in [limited(50), latched()] {
                assert_eq!(outcome(world.with(|w| w.seen().run = run.clone()).step()), expected);
            }
        }
    }

    #[test]
    fn a_failure_that_proves_no_end_is_none() {
        let run = RunState::Failed(FailureSign::DriverExists);
        assert!(matches!(limited(50).with(|w| w.seen().run = run.clone()).step(), Step::Latch(_)));
        assert_eq!(latched().with(|w| w.seen().run = run.clone()).step(), stop(Timestamp::MIN));
        assert_eq!(limited(60).with(|w| w.seen().run = run).step(), Step::Examine);
    }

    #[test]
    fn it_is_latched_also_where_the_run_cannot_be_seen() {
        for link in
            [LinkState::Connecting, LinkState::Suspect { since: at(99) }, LinkState::Lost { since: at(60) }]
        {
            let world = limited(50).with(|w| {
                w.remote = Remote::Unknown;
                w.link(link);
            });
            assert!(matches!(world.step(), Step::Latch(_)), "{link:?}");
        }
        assert!(matches!(limited(50).with(|w| w.member = None).step(), Step::Latch(_)));
    }

    #[test]
    fn deletion_and_the_members_end_go_first() {
        let deleted = limited(50).with(|w| w.job.deleting = Some(at(95)));
        assert_eq!(deleted.step(), stop(Timestamp::MIN), "nothing is latched");
        let deleted = latched().with(|w| {
            w.job.deleting = Some(at(95));
            w.fenced = true;
        });
        assert_eq!(deleted.step(), Step::LetGo, "its fence is the deletion's");
        for world in [limited(50), latched()] {
            let forgotten = world.with(|w| w.member.as_mut().unwrap().forgotten = true);
            assert_eq!(outcome(forgotten.step()), (Phase::Failed, "Abandoned"));
        }
        for world in [limited(50), latched()] {
            assert_eq!(
                world.with(|w| w.job.held = false).step(),
                Step::Hold,
                "nothing without our finalizer"
            );
        }
    }

    #[test]
    fn a_clock_that_may_have_jumped_stops_nothing() {
        let mut world = limited(50).with(|w| w.hold_fire_until = Some(at(130)));
        assert_eq!(world.step(), Step::Rest { until: Some(at(130)) });
        world.longest_run = Some(Duration::from_mins(10));
        assert_eq!(world.step(), Step::Rest { until: Some(at(650)) }, "the deadline is later");
        world.longest_run = Some(Duration::from_secs(50));
        world.now = at(130);
        assert!(matches!(world.step(), Step::Latch(_)));
        let latched = latched().with(|w| w.hold_fire_until = Some(at(130)));
        assert_eq!(latched.step(), stop(Timestamp::MIN), "what is decided is decided");
    }

    #[test]
    fn nothing_takes_a_latch_back() {
        assert_eq!(latched().step(), stop(Timestamp::MIN));
        for change in [
            |w: &mut World| w.longest_run = None,
            |w: &mut World| {
                w.longest_run = Some(Duration::from_hours(100));
            },
        ] {
            assert_eq!(latched().with(change).step(), stop(Timestamp::MIN), "the limit was raised");
        }
        let unknown = latched().with(|w| w.job.record.stopping.as_mut().unwrap().cause = StopCause::Other);
        assert_eq!(unknown.step(), stop(Timestamp::MIN), "another build's cause");
        assert_eq!(outcome(unknown.with(|w| w.fenced = true).step()), (Phase::Failed, "Stopped"));
    }

    #[test]
    fn a_latch_that_is_inherited_is_carried_out_with_all_care() {
        let inherited = latched().with(|w| w.sends = Sends::default());
        assert_eq!(inherited.step(), stop(at(25)), "another process may have sent something");
        let gone = inherited.with(|w| w.remote = Remote::Absent);
        assert_eq!(gone.step(), stop(at(25)), "absence from the view is no fence");
        let unsettled = gone.with(|w| w.remote = Remote::Unsettled { until: at(120) });
        assert_eq!(unsettled.step(), stop(at(25)));
    }

    #[test]
    fn only_the_fence_ends_it() {
        let world = latched().with(|w| w.fenced = true);
        let Step::Finish(end) = world.step() else { panic!("{:?}", world.step()) };
        assert_eq!(
            (end.phase, end.reason, end.uid),
            (Phase::Failed, "RanTooLong", Some(RemoteUid::from("r-1")))
        );
        assert_eq!(end.message, "stopped on eu-1: it ran too long");
        let application = end.application.unwrap();
        assert_eq!((application.started_at, application.finished_at), (Some(at(50)), Some(at(100))));
        let late = latched().with(|w| {
            w.fenced = true;
            w.remote = Remote::Absent;
        });
        assert_eq!(outcome(late.step()), (Phase::Failed, "RanTooLong"));
    }

    #[test]
    fn an_end_that_the_stop_itself_found_wins() {
        let end = Observation { executions: 1, ..observation(RunState::Succeeded) };
        let world = latched().with(|w| w.confirmed = Confirmed::Present(Box::new(end.clone())));
        assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"), "the view is behind");
        let behind = world.with(|w| w.remote = Remote::Absent);
        assert_eq!(outcome(behind.step()), (Phase::Succeeded, "JobSucceeded"));
        let other = Observation { uid: RemoteUid::from("r-2"), ..end };
        let world = latched().with(|w| w.confirmed = Confirmed::Present(Box::new(other.clone())));
        assert_eq!(world.step(), stop(Timestamp::MIN), "not the run that is on record");
        let world = latched().with(|w| w.remote = Remote::Present(Box::new(other)));
        assert_eq!(world.step(), stop(Timestamp::MIN));
    }

    #[test]
    fn a_failure_of_what_is_being_deleted_is_the_stops_own_doing() {
        let deleting = |run| {
            latched().with(|w: &mut World| {
                w.seen().deleting = true;
                w.seen().run = run;
            })
        };
        assert_eq!(deleting(RunState::Failed(FailureSign::DriverLost)).step(), stop(Timestamp::MIN));
        assert_eq!(outcome(deleting(RunState::Succeeded).step()), (Phase::Succeeded, "JobSucceeded"));
        let fenced = deleting(RunState::Failed(FailureSign::DriverLost)).with(|w| w.fenced = true);
        assert_eq!(outcome(fenced.step()), (Phase::Failed, "RanTooLong"));
    }

    #[test]
    fn an_unreachable_member_keeps_it_open_and_says_so() {
        let lost = LinkState::Lost { since: at(60) };
        for (member, expected) in [
            (Some(lost), Step::Explain(DeletionWaits::Unreachable { since: Some(at(60)) })),
            (Some(LinkState::Connecting), Step::Explain(DeletionWaits::Unreachable { since: None })),
            (Some(LinkState::Suspect { since: at(99) }), REST),
            (None, Step::Explain(DeletionWaits::Unregistered)),
        ] {
            let world = latched().with(|w| {
                w.remote = Remote::Unknown;
                match member {
                    Some(link) => w.link(link),
                    None => w.member = None,
                }
            });
            assert_eq!(world.step(), expected);
        }
        let abandoned = latched().with(|w| {
            w.link(lost);
            w.job.abandoned = true;
        });
        assert!(matches!(abandoned.step(), Step::Explain(_)), "only a deletion lets go of what may run");
        let faulty = latched().with(|w| w.member.as_mut().unwrap().usable = false);
        assert_eq!(faulty.step(), stop(Timestamp::MIN), "a fault keeps nothing from being stopped");
    }

    #[test]
    fn a_stopped_job_is_never_created_or_taken_back() {
        let suspect = LinkState::Suspect { since: at(99) };
        let world = latched().with(|w| {
            w.remote = Remote::Absent;
            w.job.record.placement.as_mut().unwrap().uid = None;
            w.sends.placed_here = true;
        });
        assert_eq!(world.step(), stop(Timestamp::MIN), "not {:?}", Step::Submit);
        let world = world.with(|w| w.link(suspect));
        assert_eq!(world.step(), REST, "not {:?}", Step::Withdraw(Cause::Unsent));
    }
}

mod time_to_live {
    use super::*;

    /// Ended at 90, released; now it is 100.
    fn kept(seconds: u64) -> World {
        World::finished().with(|w| {
            w.seen().held = false;
            w.expires = Some(Duration::from_secs(seconds));
        })
    }

    #[test]
    fn a_finished_job_is_deleted_when_its_time_is_over() {
        assert_eq!(kept(11).step(), Step::Rest { until: Some(at(101)) });
        assert_eq!(kept(10).step(), Step::Expire);
        assert_eq!(kept(1000).step(), Step::Rest { until: Some(at(690)) }, "retention comes first");
        assert_eq!(kept(10).with(|w| w.expires = None).step(), Step::Rest { until: Some(at(690)) });
    }

    #[test]
    fn it_needs_neither_its_member_nor_its_application() {
        for change in [
            (|w: &mut World| w.remote = Remote::Absent) as fn(&mut World),
            |w| w.link(LinkState::Lost { since: at(1) }),
            |w| w.member = None,
            |w| w.seen().held = true,
            |w| w.job.record.placement = None,
        ] {
            assert_eq!(kept(10).with(change).step(), Step::Expire);
        }
        let waits = kept(11).with(|w| w.remote = Remote::Absent);
        assert_eq!(waits.step(), Step::Rest { until: Some(at(101)) });
    }

    #[test]
    fn its_deletion_takes_the_application_along() {
        let deleting = kept(10).with(|w| w.job.deleting = Some(at(100)));
        assert_eq!(deleting.step(), Step::Retire(RemoteUid::from("r-1")));
        assert_eq!(
            deleting.with(|w| w.remote = Remote::Absent).step(),
            Step::LetGo,
            "and it is deleted once"
        );
    }

    #[test]
    fn it_is_held_before_it_is_deleted() {
        assert_eq!(kept(10).with(|w| w.job.held = false).step(), Step::Hold);
        assert_eq!(kept(11).with(|w| w.job.held = false).step(), Step::Rest { until: Some(at(101)) });
    }

    #[test]
    fn what_runs_again_is_stopped_first() {
        let again = kept(10).with(|w| {
            w.seen().uid = RemoteUid::from("r-2");
            w.seen().run = RunState::Running;
        });
        assert_eq!(again.step(), stop(Timestamp::MIN));
        assert_eq!(again.with(|w| w.fenced = true).step(), Step::Expire);
    }

    #[test]
    fn a_clock_that_may_have_jumped_deletes_nothing() {
        let mut world = kept(10).with(|w| w.hold_fire_until = Some(at(130)));
        assert_eq!(world.step(), Step::Rest { until: Some(at(130)) });
        world.now = at(130);
        assert_eq!(world.step(), Step::Expire);
    }

    #[test]
    fn a_job_that_has_not_ended_does_not_expire() {
        for world in [World::running(RunState::Running), World::waiting(), World::placed()] {
            let step = world.with(|w| w.expires = Some(Duration::ZERO)).step();
            assert!(!matches!(step, Step::Expire), "{step:?}");
        }
        let failed = kept(10).with(|w| {
            w.job.record.finished = Some(Finished { at: at(90), succeeded: false });
        });
        assert_eq!(failed.step(), Step::Expire, "a failed one does");
    }

    #[test]
    fn an_edit_after_the_end_is_answered_once() {
        let edited = |w: &mut World| w.job.record.outdated = true;
        assert_eq!(World::finished().with(edited).step(), Step::Observe);
        assert_eq!(kept(10).with(edited).step(), Step::Observe, "before it counts");
        assert_eq!(World::running(RunState::Running).with(edited).step(), REST, "the next mirror does");
        let deleting = kept(10).with(edited).with(|w| w.job.deleting = Some(at(99)));
        assert_eq!(deleting.step(), Step::Retire(RemoteUid::from("r-1")));
    }
}
