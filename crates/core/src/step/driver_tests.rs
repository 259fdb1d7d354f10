//! What is made of a driver's pod where the application's own state does not say enough.

use std::time::Duration;

use super::{
    DriverSeen, Step,
    tests::{REST, World, at, outcome},
};
use crate::{
    application::Application,
    breaker::Start,
    health::LinkState,
    observe::{FailureSign, RunState},
    phase::Phase,
    policy::{FailureClass, Retry},
};

/// Submitted at 0 and not running yet; its driver is looked at after half a minute.
fn submitted(now: i64) -> World {
    World::running(RunState::Submitted).with(|w| {
        w.start_patience = Duration::from_secs(30);
        w.now = at(now);
    })
}

fn error(step: Step) -> Option<String> {
    match step {
        Step::Mirror(mirror) => mirror.application.error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_driver_that_does_not_run_is_looked_at_less_and_less_often() {
    assert_eq!(submitted(29).step(), Step::Rest { until: Some(at(30)) });
    assert_eq!(submitted(30).step(), Step::Examine);
    for (looked, next) in [(30, 60), (60, 120), (120, 240), (600, 1200), (1200, 1800), (9000, 9600)] {
        let looked = |now| submitted(now).with(|w| w.sends.looked = Some(at(looked)));
        assert_eq!(looked(next - 1).step(), Step::Rest { until: Some(at(next)) });
        assert_eq!(looked(next).step(), Step::Examine);
    }
    assert_eq!(submitted(100).with(|w| w.link(LinkState::Suspect { since: at(90) })).step(), REST);
    assert_eq!(World::running(RunState::Running).with(|w| w.start_patience = Duration::ZERO).step(), REST);
    let later = submitted(100).with(|w| w.seen().submitted_at = Some(at(90)));
    assert!(
        matches!(later.step(), Step::Mirror(_) | Step::Rest { .. }),
        "it waited for its operator, not for this"
    );
}

#[test]
fn what_it_waits_for_is_on_record_until_it_runs() {
    let waiting = DriverSeen::Waiting("Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.".into());
    let found = submitted(30).with(|w| {
        w.sends.looked = Some(at(30));
        w.mirrored_at = Some(at(30));
        w.driver = waiting;
    });
    let text = error(found.step());
    assert_eq!(text.as_deref(), Some("Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."));
    let told = found.with(|w| {
        w.job.record.application.as_mut().unwrap().error = text;
        w.driver = DriverSeen::Nothing;
        w.now = at(40);
    });
    assert_eq!(
        told.step(),
        Step::Rest { until: Some(at(60)) },
        "not looked at in this pass, and not forgotten"
    );
    let alive = told.with(|w| {
        w.driver = DriverSeen::Alive;
        w.now = at(60);
    });
    assert_eq!(error(alive.step()), None, "it has its node");
    let runs = alive.with(|w| {
        w.driver = DriverSeen::Nothing;
        w.seen().run = RunState::Running;
        w.seen().native_state = "RUNNING".into();
    });
    assert_eq!(error(runs.step()), None);
}

#[test]
fn a_driver_that_nobody_can_look_at_is_said_to_be_so_until_somebody_can() {
    let unseen = || DriverSeen::Unseen("its member has no connection".into());
    let found = submitted(30).with(|w| {
        w.sends.looked = Some(at(30));
        w.driver = unseen();
    });
    let text = error(found.step());
    assert_eq!(
        text.as_deref(),
        Some("DriverUnseen: what became of its driver is not known: its member has no connection")
    );

    let failed = || {
        World::running(RunState::Failed(FailureSign::MonitoringLost)).with(|w| {
            w.seen().native_state = "FAILED".into();
            w.seen().error = Some("trouble".into());
            w.now = at(100);
        })
    };
    let Step::Mirror(first) = failed().step() else { panic!() };
    assert_eq!(first.application.error.as_deref(), Some("trouble"));
    let told = |text: &str| {
        failed().with(|w| {
            w.job.record.phase = Some(first.phase);
            let application = Application { error: Some(text.into()), ..first.application.clone() };
            w.job.record.application = Some(application);
        })
    };
    assert_eq!(told("trouble").step(), Step::Examine, "it was told");
    let text = error(told("trouble").with(|w| w.driver = unseen()).step()).unwrap();
    assert_eq!(text, "trouble; what became of its driver is not known: its member has no connection");
    assert_eq!(told(&text).step(), Step::Examine, "not looked at in this pass, and not forgotten");
    let just_looked = told(&text).with(|w| w.sends.looked = Some(at(99)));
    assert_eq!(
        just_looked.step(),
        Step::Rest { until: Some(at(114)) },
        "why may read differently the next time"
    );
    let again = told(&text).with(|w| w.driver = unseen());
    assert_eq!(again.step(), Step::Rest { until: Some(at(115)) }, "once is enough");
    let alive = told(&text).with(|w| w.driver = DriverSeen::Alive);
    assert_eq!(error(alive.step()).as_deref(), Some("trouble"));
}

#[test]
fn the_start_deadline_names_what_the_driver_waited_for() {
    let late = submitted(60).with(|w| {
        w.job.policy.deadlines.start = Some(Duration::from_secs(50));
        w.job.record.application.as_mut().unwrap().error = Some("Unschedulable: no node fits".into());
    });
    let Step::Latch(stopping) = late.step() else { panic!() };
    assert!(
        stopping.message.ends_with("(spec.deadlines.start); Unschedulable: no node fits"),
        "{}",
        stopping.message
    );
}

#[test]
fn a_pod_that_failed_is_asked_how() {
    let failed = || {
        World::running(RunState::Failed(FailureSign::PodFailed)).with(|w| {
            w.job.record.application.as_mut().unwrap().started_at = None;
            w.seen().error = Some("driver container status missing".into());
        })
    };
    assert_eq!(failed().step(), Step::Examine);
    assert_eq!(failed().with(|w| w.link(LinkState::Suspect { since: at(90) })).step(), REST);
    let unasked = failed().with(|w| w.link(LinkState::Lost { since: at(60) }));
    assert_eq!(outcome(unasked.step()), (Phase::Failed, "JobFailed"), "an end is an end");
    assert_eq!(outcome(failed().with(|w| w.driver = DriverSeen::Gone).step()), (Phase::Failed, "DriverLost"));
    let unseen = failed().with(|w| w.driver = DriverSeen::Unseen("no rights".into()));
    assert_eq!(outcome(unseen.step()), (Phase::Failed, "JobFailed"), "what nobody can look at adds nothing");
    for (sign, reason, start) in [
        (FailureSign::QueueRefused, "ApplicationRejected", Start::Failed),
        (FailureSign::NoReservation, "ResourceReservationTimeout", Start::Failed),
        (FailureSign::NodeRefused, "NodeRefused", Start::Failed),
        (FailureSign::Evicted, "Evicted", Start::Unknown),
        (FailureSign::Application, "JobFailed", Start::Made),
    ] {
        let told = failed().with(|w| w.driver = DriverSeen::Failed(sign, "so it was".into()));
        let Step::Finish(end) = told.step() else { panic!() };
        assert_eq!((end.reason, end.start, &*end.message), (reason, start, "failed on eu-1: so it was"));
        // By its class it may be tried again.
        let again = told.with(|w| {
            let on = sign.class().into_iter().collect();
            w.job.policy.retry = Retry { max_attempts: 2, on, ..Retry::default() };
        });
        let Step::Requeue(requeue) = again.step() else { panic!() };
        assert_eq!((requeue.reason, requeue.start), (reason, start));
    }
}

#[test]
fn what_an_end_says_of_the_member() {
    let end = |run: RunState, ran: bool| {
        let world = World::running(run).with(|w| {
            w.job.record.application.as_mut().unwrap().started_at = ran.then(|| at(50));
        });
        match world.step() {
            Step::Finish(end) => end.start,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end(RunState::Succeeded, false), Start::Made);
    assert_eq!(end(RunState::Failed(FailureSign::Submission), false), Start::Failed);
    assert_eq!(end(RunState::Failed(FailureSign::DriverLost), false), Start::Failed);
    assert_eq!(end(RunState::Failed(FailureSign::OutOfMemory), false), Start::Made);
    assert_eq!(end(RunState::Failed(FailureSign::Other), false), Start::Unknown);
    // Once is enough.
    for run in [RunState::Succeeded, RunState::Failed(FailureSign::DriverLost)] {
        assert_eq!(end(run, true), Start::Unknown);
    }
    assert_eq!(FailureSign::Other.class(), Some(FailureClass::ApplicationFailed), "the safe one");
}

#[test]
fn what_ran_while_nobody_looked_has_a_start_all_the_same() {
    let over = World::running(RunState::Succeeded).with(|w| {
        w.job.record.application.as_mut().unwrap().started_at = None;
        w.seen().running_since = Some(at(41));
    });
    let Step::Finish(end) = over.step() else { panic!() };
    assert_eq!(end.application.unwrap().started_at, Some(at(41)));
}
