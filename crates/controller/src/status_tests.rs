use serde_json::json;
use spark_router_api::job::Left as Remains;
use spark_router_core::{
    breaker::Start,
    id::{Attempt, ClusterName, MemberIdentity, Namespace, RemoteName, RemoteUid},
    job::{Left, StopCause},
    refusal::{Refusal, RefusalClass},
};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job() -> RoutedSparkJob {
    serde_json::from_value(json!({
        "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
        "metadata": {"name": "daily", "namespace": "team-a", "generation": 1},
        "spec": {"queue": "etl", "template": {"spec": {}}},
        "status": {"observedGeneration": -1}
    }))
    .unwrap()
}

fn placement() -> PlacementRecord {
    serde_json::from_value(json!({
        "cluster": "eu-1", "memberIdentity": "id", "attempt": 1, "namespace": "spark", "remoteName": "daily-abc",
        "queue": "etl", "seq": 7, "at": "2026-01-01T00:00:00Z", "demand": {"jobs": 1}, "why": "weight 50 of 100"
    }))
    .unwrap()
}

fn placed() -> Change<'static> {
    Change::Placed { placement: Box::new(placement()), spec_hash: "h".into() }
}

fn next(object: &RoutedSparkJob, change: &Change<'_>) -> RoutedSparkJob {
    let status = after(object, change, at(100)).unwrap_or_else(|| object.status.clone().unwrap());
    RoutedSparkJob { status: Some(status), ..object.clone() }
}

#[test]
fn what_a_placement_is_created_as_is_put_right_and_nothing_else() {
    let placed = next(&job(), &placed());
    let again = next(&placed, &Change::Rendered("h-2"));
    let record = |object: &RoutedSparkJob| object.status.clone().unwrap().placement.unwrap();
    assert_eq!((record(&placed).render_hash, record(&again).render_hash.as_deref()), (None, Some("h-2")));
    let back = PlacementRecord { render_hash: None, ..record(&again) };
    let mut status = again.status.clone().unwrap();
    status.placement = Some(back);
    assert_eq!(Some(status), placed.status);
    assert_eq!(after(&again, &Change::Rendered("h-2"), at(100)), None, "once is enough");
}

/// `Type=Status(Reason)` of every condition, sorted.
fn shown(object: &RoutedSparkJob) -> Vec<String> {
    let status = object.status.as_ref().unwrap();
    let mut shown: Vec<_> =
        status.conditions.iter().map(|c| format!("{}={}({})", c.type_, c.status, c.reason)).collect();
    shown.sort();
    shown
}

fn mirror(phase: Phase) -> Mirror {
    let application = Application { state: "RUNNING".into(), attempts: 1, ..Application::default() };
    Mirror { phase, uid: RemoteUid::from("r-1"), application }
}

fn outcome(phase: Phase, reason: &'static str) -> Outcome {
    let application =
        Application { state: "FAILED".into(), error: Some("boom".into()), ..Application::default() };
    let uid = Some(RemoteUid::from("r-1"));
    Outcome {
        phase,
        reason,
        message: "failed on eu-1".into(),
        uid,
        application: Some(application),
        read_log: false,
        start: Start::default(),
    }
}

#[test]
fn each_claim_is_another_version_and_says_nothing_else() {
    let object = next(&job(), &placed());
    let once = next(&object, &Change::Claimed);
    let twice = next(&once, &Change::Claimed);
    let claims = |object: &RoutedSparkJob| object.status.as_ref().unwrap().placement.as_ref().unwrap().claims;
    assert_eq!((claims(&object), claims(&once), claims(&twice)), (None, Some(1), Some(2)));
    assert_eq!(shown(&twice), shown(&object));
}

#[test]
fn a_placed_job_that_gets_no_further_says_why() {
    let object = next(&job(), &placed());
    let waits =
        next(&object, &Change::Delayed { reason: reason::NOT_SENT, why: "enough starts are on their way" });
    let status = waits.status.as_ref().unwrap();
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref(), status.message.as_deref()),
        (Some("Dispatched"), Some("NotSent"), Some("not sent to eu-1 yet: enough starts are on their way"))
    );
    assert_eq!(status.placement, object.status.as_ref().unwrap().placement, "the placement stands");
    assert!(shown(&waits).contains(&"Reconciling=True(NotSent)".to_owned()));
    let lost = next(&waits, &Change::Delayed { reason: reason::UNANSWERED, why: "connection reset" });
    let message = lost.status.as_ref().unwrap().message.clone().unwrap();
    assert_eq!(
        message,
        "eu-1 has not answered whether it took the job, and is asked again: connection reset"
    );
    let runs = next(&lost, &Change::Mirrored(&mirror(Phase::Running), ApplicationLinks::default()));
    assert_eq!(runs.status.as_ref().unwrap().reason.as_deref(), Some("Running"));
    assert!(shown(&runs).contains(&"Reconciling=True(Running)".to_owned()));
}

#[test]
fn a_bad_template_is_stalled_and_not_finished() {
    let rejection = Rejection { reason: "InvalidTemplate", message: "spec.x: no".into() };
    let object = next(&job(), &Change::Rejected(&rejection));
    assert_eq!(
        shown(&object),
        [
            "Accepted=False(InvalidTemplate)",
            "Finished=False(InvalidTemplate)",
            "Placed=False(InvalidTemplate)",
            "Stalled=True(InvalidTemplate)",
            "Succeeded=Unknown(InvalidTemplate)"
        ]
    );
    let status = object.status.as_ref().unwrap();
    assert_eq!((status.phase.as_deref(), status.observed_generation), (Some("Queued"), Some(1)));
    let waits =
        Waits { reason: "NoCapacity", message: "full".into(), refused_by_all: false, needs_a_change: false };
    let mended = next(&object, &Change::Waiting(&waits));
    assert_eq!(
        shown(&mended),
        [
            "Accepted=True(Valid)",
            "Finished=False(WaitingForPlacement)",
            "Placed=False(NoCapacity)",
            "Reconciling=True(WaitingForPlacement)",
            "Succeeded=Unknown(WaitingForPlacement)"
        ]
    );
}

#[test]
fn saying_the_same_again_writes_nothing() {
    let waits =
        Waits { reason: "NoCapacity", message: "full".into(), refused_by_all: false, needs_a_change: false };
    let object = next(&job(), &Change::Waiting(&waits));
    assert_eq!(after(&object, &Change::Waiting(&waits), at(500)), None);
}

#[test]
fn a_job_goes_through_its_life() {
    let object = next(&job(), &placed());
    let status = object.status.as_ref().unwrap();
    assert_eq!(
        (status.cluster.as_deref(), status.attempt, status.spec_hash.as_deref()),
        (Some("eu-1"), Some(1), Some("h"))
    );
    assert_eq!(status.phase.as_deref(), Some("Dispatched"));

    let mirror = mirror(Phase::Running);
    let object = next(&object, &Change::Mirrored(&mirror, ApplicationLinks::default()));
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.placement.as_ref().unwrap().remote_uid.as_deref(), Some("r-1"));
    assert_eq!(status.message.as_deref(), Some("RUNNING on eu-1"));

    let outcome = outcome(Phase::Failed, "JobFailed");
    let object = next(&object, &Change::Finished(&outcome, ApplicationLinks::default()));
    assert_eq!(
        shown(&object),
        [
            "Accepted=True(Valid)",
            "Finished=True(JobFailed)",
            "Placed=True(Placed)",
            "Stalled=True(JobFailed)",
            "Succeeded=False(JobFailed)"
        ]
    );
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.message.as_deref(), Some("failed on eu-1: boom"));
    assert_eq!(status.history.len(), 1);
    assert_eq!(status.history[0].outcome, "Failed");
}

#[test]
fn a_success_leaves_neither_reconciling_nor_stalled() {
    let object = next(&job(), &placed());
    let outcome = outcome(Phase::Succeeded, "JobSucceeded");
    let object = next(&object, &Change::Finished(&outcome, ApplicationLinks::default()));
    assert_eq!(
        shown(&object),
        [
            "Accepted=True(Valid)",
            "Finished=True(JobSucceeded)",
            "Placed=True(Placed)",
            "Succeeded=True(JobSucceeded)"
        ]
    );
}

#[test]
fn a_withdrawal_uses_up_no_attempt_and_keeps_the_refusal_and_the_hash() {
    let object = next(&job(), &placed());
    let refusal = Refusal { class: RefusalClass::Job, reason: "RejectedByMember", message: "no".into() };
    let object = next(&object, &Change::Withdrawn(&Cause::Refused(refusal)));
    let status = object.status.as_ref().unwrap();
    assert_eq!((status.attempt, status.cluster.as_deref(), status.placement.as_ref()), (None, None, None));
    assert_eq!(status.spec_hash.as_deref(), Some("h"));
    assert_eq!(status.refusals[0].cluster, "eu-1");
    assert_eq!(status.message.as_deref(), Some("withdrawn from eu-1: RejectedByMember: no"));
}

#[test]
fn unreachable_and_back() {
    let object = next(&job(), &placed());
    let mirror = mirror(Phase::Running);
    let object = next(&object, &Change::Mirrored(&mirror, ApplicationLinks::default()));
    let object = next(&object, &Change::Unreachable(Trouble::Silent { since: at(50) }));
    assert!(shown(&object).contains(&"MemberReachable=False(MemberUnreachable)".to_owned()));
    assert_eq!(
        object.status.as_ref().unwrap().phase.as_deref(),
        Some("Running"),
        "the phase is what was seen last"
    );
    let object = next(&object, &Change::Mirrored(&mirror, ApplicationLinks::default()));
    assert!(shown(&object).contains(&"MemberReachable=True(Reachable)".to_owned()));
    assert!(shown(&object).contains(&"Reconciling=True(Running)".to_owned()));
}

#[test]
fn a_deletion_that_waits_says_how_to_let_go() {
    let object = next(&job(), &placed());
    let waits = DeletionWaits::Unreachable { since: Some(at(0)) };
    let object = next(&object, &Change::Terminating(&waits));
    let message = object.status.as_ref().unwrap().message.clone().unwrap();
    assert!(message.contains("waits for eu-1"), "{message}");
    assert!(message.contains("sparkrouter.dev/abandon=true"), "{message}");
}

fn latched() -> RoutedSparkJob {
    let object = next(&job(), &placed());
    let object = next(&object, &Change::Mirrored(&mirror(Phase::Running), ApplicationLinks::default()));
    let stopping = Stopping { cause: StopCause::RanTooLong, message: "it ran for 13h".into(), at: at(99) };
    next(&object, &Change::Stopping(&stopping))
}

#[test]
fn a_stop_is_on_record_while_it_goes_on() {
    let object = latched();
    let status = object.status.as_ref().unwrap();
    let record = status.stopping.as_ref().unwrap();
    assert_eq!(
        (record.reason.as_str(), record.message.as_str(), record.at.0),
        ("RanTooLong", "it ran for 13h", at(99))
    );
    assert_eq!(status.phase.as_deref(), Some("Cancelling"));
    assert_eq!(status.message.as_deref(), Some("being stopped on eu-1: it ran for 13h"));
    assert_eq!(
        shown(&object),
        [
            "Accepted=True(Valid)",
            "Finished=False(RanTooLong)",
            "Placed=True(Placed)",
            "Reconciling=True(RanTooLong)",
            "Succeeded=Unknown(RanTooLong)"
        ]
    );
    let read = crate::convert::record(&object).stopping.unwrap();
    assert_eq!(
        (read.cause, read.message.as_str(), read.at),
        (StopCause::RanTooLong, "it ran for 13h", at(99))
    );

    let end =
        Outcome { message: "stopped on eu-1: it ran for 13h".into(), ..outcome(Phase::Failed, "RanTooLong") };
    let object = next(&object, &Change::Finished(&end, ApplicationLinks::default()));
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.stopping, None);
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("RanTooLong")));
    assert_eq!(status.history[0].reason.as_deref(), Some("RanTooLong"));
    assert!(shown(&object).contains(&"Stalled=True(RanTooLong)".to_owned()));
}

#[test]
fn a_stop_that_waits_says_for_whom_and_what_can_be_done() {
    for (waits, said, reachable) in [
        (
            DeletionWaits::Unreachable { since: Some(at(0)) },
            "It waits for eu-1, which does not answer since 1970",
            "MemberReachable=False(MemberUnreachable)",
        ),
        (
            DeletionWaits::Unreachable { since: None },
            "which is not connected: the job may still run there",
            "MemberReachable=False(MemberUnreachable)",
        ),
        (
            DeletionWaits::Unregistered,
            "which is no MemberCluster any more",
            "MemberReachable=False(MemberMissing)",
        ),
    ] {
        let object = next(&latched(), &Change::StopWaits(&waits));
        let message = object.status.as_ref().unwrap().message.clone().unwrap();
        assert!(message.starts_with("being stopped on eu-1: it ran for 13h. "), "{message}");
        assert!(
            message.contains(said) && message.ends_with("to let go of it earlier, delete it"),
            "{message}"
        );
        assert!(shown(&object).contains(&reachable.to_owned()), "{:?}", shown(&object));
        assert_eq!(after(&object, &Change::StopWaits(&waits), at(500)), None, "said once");

        let back = DeletionWaits::Member("pod team/driver to end".into());
        let object = next(&object, &Change::StopWaits(&back));
        let message = object.status.as_ref().unwrap().message.clone().unwrap();
        assert!(message.ends_with("It waits for eu-1: pod team/driver to end"), "{message}");
        assert!(shown(&object).contains(&"MemberReachable=True(Reachable)".to_owned()));
    }
    let object = next(&job(), &placed());
    assert_eq!(after(&object, &Change::StopWaits(&DeletionWaits::Unregistered), at(500)), None, "no stop");
}

#[test]
fn an_edit_after_the_end_is_observed_and_changes_nothing_else() {
    let object = next(&job(), &placed());
    let outcome = outcome(Phase::Succeeded, "JobSucceeded");
    let mut object = next(&object, &Change::Finished(&outcome, ApplicationLinks::default()));
    assert_eq!(after(&object, &Change::Observed, at(500)), None);
    let before = object.status.clone().unwrap();
    object.metadata.generation = Some(2);
    assert!(crate::convert::record(&object).outdated);
    let object = next(&object, &Change::Observed);
    assert!(!crate::convert::record(&object).outdated);
    let mut status = object.status.clone().unwrap();
    assert_eq!(status.observed_generation, Some(2));
    // kubectl wait refuses a condition of an older generation.
    for (condition, before) in status.conditions.iter_mut().zip(&before.conditions) {
        assert_eq!(condition.observed_generation, Some(2));
        condition.observed_generation = before.observed_generation;
    }
    status.observed_generation = before.observed_generation;
    assert_eq!(status, before);
}

fn requeue(left: Option<Left>, is_retry: bool) -> Requeue {
    Requeue {
        outcome: "Failed",
        reason: "SubmissionFailed",
        message: "attempt 1 of 3 on eu-1: no luck; the next one in 30s".into(),
        uid: Some(RemoteUid::from("r-1")),
        application: Some(Application {
            state: "FAILED".into(),
            finished_at: Some(at(90)),
            ..Application::default()
        }),
        left,
        is_retry,
        not_before: is_retry.then(|| at(130)),
        start: Start::default(),
    }
}

#[test]
fn an_attempt_that_is_followed_by_another_goes_into_the_history() {
    let object = next(&job(), &placed());
    let object = next(&object, &Change::Requeued(&requeue(Some(Left::Ended), true)));
    let status = object.status.as_ref().unwrap();
    assert_eq!(
        shown(&object),
        [
            "Accepted=True(Valid)",
            "Finished=False(WaitingForPlacement)",
            "Placed=False(SubmissionFailed)",
            "Reconciling=True(WaitingForPlacement)",
            "Succeeded=Unknown(WaitingForPlacement)",
        ]
    );
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Queued"), Some("SubmissionFailed"))
    );
    assert!(status.placement.is_none() && status.application.is_none() && status.cluster.is_none());
    assert_eq!((status.attempt, status.retries), (Some(1), Some(1)), "the next attempt has another number");
    assert_eq!(status.spec_hash.as_deref(), Some("h"), "the spec stays frozen");
    let time = |second| Some(Time(at(second)));
    assert_eq!((status.not_before.clone(), status.waiting_since.clone()), (time(130), time(100)));
    let [row] = &status.history[..] else { panic!("{:?}", status.history) };
    assert_eq!((row.attempt, row.outcome.as_str(), row.left), (1, "Failed", Some(Remains::Ended)));
    assert_eq!((row.remote_uid.as_deref(), row.member_identity.as_deref()), (Some("r-1"), Some("id")));
    assert_eq!((row.namespace.as_deref(), row.finished_at.clone()), (Some("spark"), time(90)));

    let closed = next(&object, &Change::Closed(&past(1, "eu-1")));
    assert_eq!(closed.status.as_ref().unwrap().history[0].left, None);
    let placed_again = next(&closed, &placed());
    let status = placed_again.status.as_ref().unwrap();
    assert_eq!((&status.not_before, &status.waiting_since, status.retries), (&None, &None, Some(1)));
    let moved = next(&placed_again, &Change::Requeued(&requeue(None, false)));
    assert_eq!(moved.status.as_ref().unwrap().retries, Some(1), "a move is no retry");
}

fn past(attempt: u32, cluster: &str) -> Past {
    Past {
        attempt: Attempt(attempt),
        cluster: ClusterName::new(cluster),
        identity: MemberIdentity::new("id"),
        namespace: Namespace::new("spark"),
        name: RemoteName::new("daily-abc"),
        uid: None,
        at: at(90),
        left: Left::MayRun,
    }
}

/// As after a restore that found one attempt on several members.
#[test]
fn what_is_closed_is_closed_on_its_own_member() {
    let mut object = job();
    let row = |cluster: &str, left: &str| {
        serde_json::from_value::<PastAttempt>(json!({
            "attempt": 1, "cluster": cluster, "memberIdentity": "id", "namespace": "spark",
            "remoteName": "daily-abc", "left": left, "outcome": "Abandoned", "finishedAt": "2026-01-01T00:00:00Z"
        }))
        .unwrap()
    };
    object.status.as_mut().unwrap().history = vec![row("eu-1", "MayRun"), row("us-1", "Ended")];
    let left = |object: &RoutedSparkJob| {
        object.status.as_ref().unwrap().history.iter().map(|row| row.left).collect::<Vec<_>>()
    };
    let closed = next(&object, &Change::Closed(&past(1, "us-1")));
    assert_eq!(left(&closed), [Some(Remains::MayRun), None], "the other one may still run");
    let another = Past { identity: MemberIdentity::new("other"), ..past(1, "eu-1") };
    assert_eq!(left(&next(&closed, &Change::Closed(&another))), [Some(Remains::MayRun), None]);
    assert_eq!(left(&next(&closed, &Change::Closed(&past(1, "eu-1")))), [None, None]);
}

#[test]
fn the_history_is_bounded_and_what_may_still_run_stays_in_it() {
    let mut object = job();
    for attempt in 1..=30 {
        object = next(&object, &placed());
        object.status.as_mut().unwrap().placement.as_mut().unwrap().attempt = attempt;
        let left = (attempt == 3).then_some(Left::MayRun);
        object = next(&object, &Change::Requeued(&requeue(left, true)));
    }
    let rows = &object.status.as_ref().unwrap().history;
    let attempts: Vec<_> = rows.iter().map(|row| row.attempt).collect();
    let expected: Vec<_> = std::iter::once(3).chain(12..=30).collect();
    assert_eq!(attempts, expected);
}

#[test]
fn a_job_that_was_held_back_waits_from_then_on() {
    let object = next(&job(), &Change::Suspended);
    let status = object.status.as_ref().unwrap();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Suspended"), Some("Suspended")));
    assert!(shown(&object).contains(&"Placed=False(Suspended)".to_owned()), "{:?}", shown(&object));
    let waits = Waits {
        reason: "NoCapacity",
        message: "no room".into(),
        needs_a_change: false,
        refused_by_all: false,
    };
    let waiting = next(&object, &Change::Waiting(&waits));
    assert_eq!(waiting.status.as_ref().unwrap().waiting_since, Some(Time(at(100))));
    let never_held = next(&job(), &Change::Waiting(&waits));
    assert_eq!(never_held.status.as_ref().unwrap().waiting_since, None);
}

#[test]
fn holding_a_placed_job_back_shows_at_every_stage() {
    let uid = RemoteUid::from("r-1");
    let placed = next(&job(), &placed());
    let suspended = |object: &RoutedSparkJob| {
        let status = object.status.as_ref().unwrap();
        let found = condition::find(&status.conditions, condition::SUSPENDED);
        found.map(|c| (c.status.clone(), c.reason.clone()))
    };
    let is = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
    let mirrored = |object: &RoutedSparkJob, phase| {
        next(object, &Change::Mirrored(&mirror(phase), ApplicationLinks::default()))
    };
    let running = mirrored(&placed, Phase::Running);
    assert_eq!(suspended(&running), None);
    let asked = next(&running, &Change::Pausing(&Pause::Ask));
    assert_eq!(suspended(&asked), is("False", "Suspending"));
    assert_eq!(asked.status.as_ref().unwrap().phase.as_deref(), Some("Running"), "nothing happened yet");
    assert_eq!(after(&asked, &Change::Pausing(&Pause::Set(uid, true)), at(100)), None);
    let held = mirrored(&asked, Phase::Suspended);
    assert_eq!(suspended(&held), is("True", "Suspended"));
    let status = held.status.as_ref().unwrap();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Suspended"), Some("Suspended")));
    let resuming = next(&held, &Change::Pausing(&Pause::Resume));
    assert_eq!(suspended(&resuming), is("True", "Resuming"));
    let on = mirrored(&resuming, Phase::Submitted);
    assert_eq!(suspended(&on), is("False", "Resumed"));
    assert_eq!(suspended(&next(&asked, &Change::Pausing(&Pause::Drop))), is("False", "Resumed"));

    let refused = next(&asked, &Change::NotPaused("it is too old"));
    assert_eq!(suspended(&refused), is("False", "SuspendIgnored"));
    assert_eq!(suspended(&mirrored(&refused, Phase::Running)), is("False", "SuspendIgnored"));
    assert_eq!(suspended(&next(&refused, &Change::Pausing(&Pause::Drop))), None);
    let over =
        next(&held, &Change::Finished(&outcome(Phase::Failed, "JobFailed"), ApplicationLinks::default()));
    assert_eq!(suspended(&over), None);
    let elsewhere = next(&held, &Change::Requeued(&requeue(None, true)));
    assert_eq!(suspended(&elsewhere), None);
}

#[test]
fn what_a_driver_waits_for_is_the_reason_of_a_submitted_job() {
    let placed = next(&job(), &placed());
    let reason = |error: Option<&str>| {
        let mut mirror = mirror(Phase::Submitted);
        mirror.application.state = "SUBMITTED".into();
        mirror.application.error = error.map(str::to_owned);
        let status = next(&placed, &Change::Mirrored(&mirror, ApplicationLinks::default())).status.unwrap();
        (status.reason.unwrap(), status.message.unwrap())
    };
    assert_eq!(reason(None), ("Dispatching".to_owned(), "SUBMITTED on eu-1".to_owned()));
    assert_eq!(
        reason(Some("Unschedulable: 0/3 nodes are available")),
        ("Unschedulable".to_owned(), "SUBMITTED on eu-1: Unschedulable: 0/3 nodes are available".to_owned())
    );
    assert_eq!(reason(Some("no word, only text")).0, "Dispatching");
}
