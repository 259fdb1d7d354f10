use super::*;
use crate::{
    application,
    health::LinkState,
    id::{Attempt, ClusterName, HubId, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName},
    job::{Constraints, Finished, Record, Refused, Request},
    observe::{ExecutorCounts, FailureSign, Ownership, RunState},
    policy::Policy,
    refusal::RefusalClass,
    resources::Resources,
};

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn placement() -> Placement {
    Placement {
        cluster: ClusterName::from("eu-1"),
        identity: MemberIdentity::from("id"),
        attempt: Attempt::FIRST,
        namespace: Namespace::from("spark"),
        name: RemoteName::from("daily-abc"),
        uid: None,
        queue: QueueName::from("etl"),
        remote_queue: None,
        seq: 7,
        excluded: Vec::new(),
        at: at(0),
        demand: Resources::default(),
    }
}

pub(super) fn observation(run: RunState) -> Observation {
    Observation {
        name: RemoteName::from("daily-abc"),
        uid: RemoteUid::from("r-1"),
        owner: Some(Ownership {
            hub: HubId::from("hub"),
            job: JobUid::from("u-1"),
            key: JobKey { namespace: Namespace::from("team-a"), name: "daily".into() },
            attempt: Attempt::FIRST,
            seq: 7,
            render_hash: String::new(),
        }),
        deleting: false,
        held: true,
        suspend: false,
        run,
        native_state: "RUNNING".into(),
        application_id: None,
        submission_id: None,
        submitted_at: None,
        running_since: None,
        terminated_at: None,
        executions: 1,
        executors: ExecutorCounts::default(),
        driver_pod: None,
        ui_address: None,
        error: None,
    }
}

/// A snapshot that owns its parts, so that a test changes only what it is about.
pub(super) struct World {
    pub(super) job: Job,
    pub(super) remote: Remote,
    pub(super) member: Option<MemberView>,
    pub(super) sends: Sends,
    pub(super) confirmed: Confirmed,
    pub(super) driver: DriverSeen,
    pub(super) fenced: bool,
    pub(super) elsewhere: Elsewhere,
    pub(super) frozen_until: Option<Timestamp>,
    pub(super) mirrored_at: Option<Timestamp>,
    pub(super) fleet_in_doubt: bool,
    pub(super) longest_run: Option<Duration>,
    pub(super) expires: Option<Duration>,
    pub(super) hold_fire_until: Option<Timestamp>,
    /// When a driver that does not run is looked at.
    pub(super) start_patience: Duration,
    pub(super) now: Timestamp,
}

impl World {
    /// A job that asks for a place, held, not placed.
    pub(super) fn waiting() -> Self {
        let request = Request {
            queue: QueueName::from("etl"),
            priority: 0,
            constraints: Constraints::default(),
            spark_version: "3.5".into(),
            expressed: <_>::default(),
            sub_queue: None,
            parts: 0,
            demand: Resources::default(),
            spec_hash: String::new(),
        };
        Self {
            job: Job {
                key: JobKey { namespace: Namespace::from("team-a"), name: "daily".into() },
                uid: JobUid::from("u-1"),
                created: at(0),
                deleting: None,
                held: true,
                abandoned: false,
                request: Ok(request.into()),
                policy: Policy::default(),
                record: Record::default(),
            },
            remote: Remote::Unknown,
            member: None,
            sends: Sends::default(),
            confirmed: Confirmed::Nothing,
            driver: DriverSeen::Nothing,
            fenced: false,
            elsewhere: Elsewhere::default(),
            frozen_until: None,
            mirrored_at: None,
            fleet_in_doubt: false,
            longest_run: None,
            expires: None,
            hold_fire_until: None,
            start_patience: Duration::MAX,
            now: at(100),
        }
    }

    /// Placed by this process; nothing sent yet; its member is fine and shows nothing.
    pub(super) fn placed() -> Self {
        let mut world = Self::waiting();
        world.job.record.placement = Some(placement());
        world.job.record.phase = Some(Phase::Dispatched);
        world.remote = Remote::Absent;
        world.member =
            Some(MemberView { link: LinkState::Ready, usable: true, forgotten: false, drained: false });
        (world.sends.placed_here, world.sends.claimed) = (true, true);
        world
    }

    /// Placed, mirrored as `run`, and the member still shows that.
    pub(super) fn running(run: RunState) -> Self {
        let mut world = Self::placed();
        let seen = observation(run);
        let record = &mut world.job.record;
        record.placement.as_mut().unwrap().uid = Some(seen.uid.clone());
        record.phase = Some(Phase::of(&seen.run, Some(Phase::Dispatched)));
        record.application = Some(application::mirror(&seen, None, at(50)));
        world.remote = Remote::Present(Box::new(seen));
        world
    }

    pub(super) fn finished() -> Self {
        let mut world = Self::running(RunState::Succeeded);
        world.job.record.finished = Some(Finished { at: at(90), succeeded: true });
        world.job.record.phase = Some(Phase::Succeeded);
        world
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn seen(&mut self) -> &mut Observation {
        match &mut self.remote {
            Remote::Present(seen) => seen,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn link(&mut self, link: LinkState) {
        self.member.as_mut().unwrap().link = link;
    }

    pub(super) fn snapshot<'a>(&'a self, timing: &'a Timing) -> Snapshot<'a> {
        Snapshot {
            job: &self.job,
            remote: &self.remote,
            member: self.member,
            sends: &self.sends,
            confirmed: &self.confirmed,
            driver: &self.driver,
            fenced: self.fenced,
            elsewhere: &self.elsewhere,
            frozen_until: self.frozen_until,
            leading_since: at(-1000),
            mirrored_at: self.mirrored_at,
            retention: Duration::from_mins(10),
            fleet_in_doubt: self.fleet_in_doubt,
            longest_run: self.longest_run,
            expires: self.expires,
            hold_fire_until: self.hold_fire_until,
            timing,
            now: self.now,
        }
    }

    pub(super) fn step(&self) -> Step {
        step(self.snapshot(&Timing { start_patience: self.start_patience, ..Timing::default() }))
    }

    pub(super) fn after_refusal(&self, class: RefusalClass) -> Option<Step> {
        let refusal = Refusal { class, reason: "RejectedByMember", message: "no".into() };
        after_refusal(self.snapshot(&Timing::default()), self.job.record.placement.as_ref().unwrap(), refusal)
    }
}

pub(super) fn outcome(step: Step) -> (Phase, &'static str) {
    match step {
        Step::Finish(outcome) => (outcome.phase, outcome.reason),
        other => panic!("{other:?}"),
    }
}

pub(super) const REST: Step = Step::Rest { until: None };

#[test]
fn a_new_job_is_held_before_it_is_placed() {
    assert_eq!(World::waiting().with(|w| w.job.held = false).step(), Step::Hold);
    assert_eq!(World::waiting().step(), Step::Enqueue);
    let rejection = Rejection { reason: "InvalidTemplate", message: String::new() };
    let bad = World::waiting().with(|w| w.job.request = Err(rejection.clone()));
    assert_eq!(bad.step(), Step::Reject(rejection));
}

#[test]
fn a_placed_job_whose_template_reads_badly_goes_on() {
    // A next build may parse more strictly: what runs, runs.
    let rejection = Rejection { reason: "InvalidTemplate", message: String::new() };
    let world = World::running(RunState::Succeeded).with(|w| w.job.request = Err(rejection));
    assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"));
}

mod create {
    use super::*;

    #[test]
    fn a_committed_placement_is_created() {
        assert_eq!(World::placed().step(), Step::Submit);
    }

    #[test]
    fn after_a_restart_the_same_create_is_sent() {
        let mut world = World::placed().with(|w| w.sends = Sends::default());
        assert_eq!(world.step(), Step::Claim);
        world.sends.claimed = true;
        assert_eq!(world.step(), Step::Submit);
    }

    /// Found by the model: refused, taken back by a write that nobody heard of, and sent again, while the job goes
    /// elsewhere: two runs.
    #[test]
    fn nothing_is_sent_on_a_record_that_may_have_changed_unseen() {
        let unheard = World::placed().with(|w| {
            w.sends.last = Some(at(98));
            w.sends.claimed = false;
        });
        assert_eq!(unheard.step(), Step::Claim);
    }

    #[test]
    fn a_back_off_is_kept() {
        let world = World::placed().with(|w| w.sends.not_before = Some(at(101)));
        assert_eq!(world.step(), Step::Rest { until: Some(at(101)) });
    }

    #[test]
    fn an_answered_create_waits_for_the_view_and_then_looks() {
        let mut world = World::placed();
        world.sends.accepted = Some((RemoteUid::from("r-1"), at(98)));
        assert_eq!(world.step(), Step::Rest { until: Some(at(103)) });
        world.now = at(103);
        assert_eq!(world.step(), Step::Confirm);
        world.confirmed = Confirmed::Gone;
        assert_eq!(outcome(world.step()), (Phase::Failed, "RemoteVanished"), "never a second create");
        world.confirmed = Confirmed::Present(Box::new(observation(RunState::Running)));
        assert!(matches!(world.step(), Step::Mirror(_)), "the view is only late");
    }

    #[test]
    fn nothing_is_created_where_the_member_is_not_fine() {
        for link in
            [LinkState::Connecting, LinkState::Suspect { since: at(99) }, LinkState::Lost { since: at(9) }]
        {
            let world = World::placed().with(|w| {
                w.link(link);
                w.sends.last = Some(at(98));
            });
            assert_ne!(world.step(), Step::Submit, "{link:?}");
        }
        let faulty = World::placed().with(|w| {
            w.member.as_mut().unwrap().usable = false;
            w.sends.last = Some(at(98));
        });
        assert_eq!(faulty.step(), Step::Unreachable(Trouble::Faulty), "and it says why");
    }
}

mod withdrawal {
    use super::*;

    #[test]
    fn what_was_never_written_leaves_a_suspect_member() {
        let suspect = LinkState::Suspect { since: at(99) };
        let world = World::placed().with(|w| w.link(suspect));
        assert_eq!(world.step(), Step::Withdraw(Cause::Unsent));
        let sent = World::placed().with(|w| {
            w.link(suspect);
            w.sends.last = Some(at(98));
        });
        assert_eq!(sent.step(), REST, "it may exist there");
        let inherited = World::placed().with(|w| {
            w.link(suspect);
            w.sends = Sends::default();
        });
        assert_eq!(inherited.step(), REST, "another process may have sent it");
        let in_doubt = World::placed().with(|w| {
            w.link(suspect);
            w.fleet_in_doubt = true;
        });
        assert_eq!(in_doubt.step(), REST, "it is not the member's fault");
    }

    #[test]
    fn a_refusal_counts_only_when_no_other_create_can_take_effect() {
        let refused = |change: fn(&mut World)| {
            World::placed().with(change).after_refusal(RefusalClass::Member).is_some()
        };
        assert!(refused(|w| w.sends.last = Some(at(99))), "the only create ever sent was refused");
        let unanswered = |w: &mut World| {
            w.sends.last = Some(at(99));
            w.sends.unanswered = Some(at(98));
        };
        assert!(!refused(unanswered), "an earlier create may still be acted on");
        assert!(!refused(|w| {
            w.job.record.placement.as_mut().unwrap().at = at(95);
            w.sends.placed_here = false;
        }));
    }

    /// Admission comes before "already exists": the name may be taken by our own earlier create although the answer to
    /// the second one is a refusal.
    #[test]
    fn a_refusal_says_nothing_of_an_earlier_create() {
        for change in
            [(|w: &mut World| w.sends.unanswered = Some(at(80))) as fn(&mut World), |w: &mut World| {
                w.sends.placed_here = false;
            }]
        {
            let mut world = World::placed().with(change);
            assert_eq!(world.after_refusal(RefusalClass::Capacity), Some(Step::Confirm));
            world.confirmed = Confirmed::Present(Box::new(observation(RunState::Running)));
            assert!(matches!(world.after_refusal(RefusalClass::Capacity), Some(Step::Mirror(_))), "it runs");
            world.confirmed = Confirmed::Gone;
            assert!(matches!(world.after_refusal(RefusalClass::Capacity), Some(Step::Withdraw(_))));
        }
    }

    #[test]
    fn an_inherited_placement_is_withdrawn_in_the_end() {
        let mut world = World::placed().with(|w| {
            w.sends.placed_here = false;
            w.job.record.placement.as_mut().unwrap().at = at(95);
            w.confirmed = Confirmed::Gone;
        });
        for _ in 0..50 {
            world.sends.last = Some(world.now);
            if world.after_refusal(RefusalClass::Job).is_some() {
                return;
            }
            world.now =
                settled_at(world.snapshot(&Timing::default()), world.job.record.placement.as_ref().unwrap());
        }
        panic!("never withdrawn");
    }

    #[test]
    fn the_second_member_that_refuses_a_job_ends_it() {
        let mut world = World::placed();
        assert!(matches!(world.after_refusal(RefusalClass::Job), Some(Step::Withdraw(Cause::Refused(_)))));
        let (cluster, reason) = (ClusterName::from("us-1"), "RejectedByMember".to_owned());
        world.job.record.refusals.push(Refused { cluster, reason, message: String::new(), at: at(1) });
        assert_eq!(
            outcome(world.after_refusal(RefusalClass::Job).unwrap()),
            (Phase::Failed, "RejectedByMember")
        );
        assert!(matches!(world.after_refusal(RefusalClass::Capacity), Some(Step::Withdraw(_))));
    }
}

mod mirroring {
    use super::*;

    #[test]
    fn steady_state_does_nothing() {
        assert_eq!(World::running(RunState::Running).step(), REST);
    }

    #[test]
    fn the_first_sight_records_the_uid() {
        let mut world = World::placed();
        world.remote = Remote::Present(Box::new(observation(RunState::Accepted)));
        world.now = at(9);
        assert_eq!(world.step(), Step::Rest { until: Some(at(10)) }, "it usually goes with the first state");
        world.now = at(10);
        let Step::Mirror(mirror) = world.step() else { panic!("{:?}", world.step()) };
        assert_eq!((mirror.uid.as_str(), mirror.phase), ("r-1", Phase::Dispatched));
    }

    #[test]
    fn executor_counts_alone_wait() {
        let mut world = World::running(RunState::Running);
        world.seen().executors.running = 3;
        world.mirrored_at = Some(at(80));
        assert_eq!(world.step(), Step::Rest { until: Some(at(110)) });
        world.now = at(110);
        assert!(matches!(world.step(), Step::Mirror(_)));
        world.now = at(100);
        world.seen().driver_pod = Some("daily-driver".into());
        assert!(matches!(world.step(), Step::Mirror(_)), "details go after five seconds");
        world.mirrored_at = Some(at(98));
        assert_eq!(world.step(), Step::Rest { until: Some(at(103)) });
        world.seen().native_state = "RUNNING_AGAIN".into();
        assert!(matches!(world.step(), Step::Mirror(_)), "a state goes at once");
        world.seen().run = RunState::Passing;
        assert_eq!(world.step(), Step::Rest { until: Some(at(103)) }, "one that passes is a detail");
    }

    #[test]
    fn what_a_lost_member_showed_last_is_not_mirrored_as_new() {
        let mut world = World::running(RunState::Running);
        world.seen().native_state = "OLD".into();
        world.link(LinkState::Lost { since: at(60) });
        assert_eq!(world.step(), Step::Unreachable(Trouble::Silent { since: at(60) }));
        world.seen().run = RunState::Succeeded;
        assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"), "an end stays an end");
    }

    #[test]
    fn an_unknown_state_is_no_end() {
        let mut world = World::running(RunState::Running);
        world.seen().run = RunState::Passing;
        world.seen().native_state = "HIBERNATING".into();
        let Step::Mirror(mirror) = world.step() else { panic!("{:?}", world.step()) };
        assert_eq!((mirror.phase, mirror.application.state.as_str()), (Phase::Running, "HIBERNATING"));
    }

    #[test]
    fn ends_are_ends() {
        for (run, expected) in [
            (RunState::Succeeded, (Phase::Succeeded, "JobSucceeded")),
            (RunState::Failed(FailureSign::Application), (Phase::Failed, "JobFailed")),
            (RunState::Failed(FailureSign::DriverLost), (Phase::Failed, "DriverLost")),
            (RunState::Failed(FailureSign::Submission), (Phase::Failed, "SubmissionFailed")),
        ] {
            let mut world = World::running(RunState::Running);
            world.seen().run = run;
            assert_eq!(outcome(world.step()), expected);
        }
    }

    #[test]
    fn a_run_that_nobody_watches_any_more_is_told_of_and_held_until_its_driver_is_seen() {
        let mut world = World::running(RunState::Running);
        world.seen().run = RunState::Failed(FailureSign::MonitoringLost);
        world.seen().error = Some("Trouble monitoring your JobRun.".into());
        let Step::Mirror(mirror) = world.step() else { panic!("{:?}", world.step()) };
        assert_eq!(mirror.phase, Phase::Running, "not an end");
        assert_eq!(mirror.application.error.as_deref(), Some("Trouble monitoring your JobRun."));
        world.job.record.application = Some(mirror.application.clone());
        // On record, and still nobody knows: it is looked for, be it in vain.
        assert_eq!(world.step(), Step::Examine);
        world.driver = DriverSeen::Alive;
        assert_eq!(world.step(), Step::Rest { until: Some(at(115)) });
        world.driver = DriverSeen::Succeeded;
        assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"));
        world.driver = DriverSeen::Failed(FailureSign::Application, "exit code 1".into());
        assert_eq!(outcome(world.step()), (Phase::Failed, "JobFailed"));
        world.driver = DriverSeen::Gone;
        assert_eq!(outcome(world.step()), (Phase::Failed, "DriverLost"));
    }

    #[test]
    fn what_others_stopped_or_the_member_refused_late_ends_without_another_attempt() {
        for (sign, reason) in [
            (FailureSign::ExternallyCancelled, "ExternallyCancelled"),
            (FailureSign::Rejected, "RejectedByMember"),
        ] {
            let mut world = World::running(RunState::Running);
            world.job.policy.retry.max_attempts = 5;
            world.seen().run = RunState::Failed(sign);
            assert_eq!(outcome(world.step()), (Phase::Failed, reason));
        }
        let mut world = World::running(RunState::Running);
        world.job.policy.retry.max_attempts = 5;
        world.seen().run = RunState::Failed(FailureSign::NoResources);
        assert!(matches!(world.step(), Step::Requeue(_)), "{:?}", world.step());
    }

    #[test]
    fn a_driver_that_already_exists_decides_itself() {
        let mut world = World::running(RunState::Running);
        world.seen().run = RunState::Failed(FailureSign::DriverExists);
        assert_eq!(world.step(), Step::Examine);
        world.driver = DriverSeen::Alive;
        world.job.record.application = match &world.remote {
            Remote::Present(seen) => {
                Some(application::mirror(seen, world.job.record.application.as_ref(), at(60)))
            }
            _ => None,
        };
        assert_eq!(world.step(), Step::Rest { until: Some(at(115)) }, "it runs");
        world.driver = DriverSeen::Succeeded;
        assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"));
        world.driver = DriverSeen::Failed(FailureSign::Application, "exit code 1".into());
        assert_eq!(outcome(world.step()), (Phase::Failed, "JobFailed"));
        world.driver = DriverSeen::Gone;
        assert_eq!(outcome(world.step()), (Phase::Failed, "DriverLost"));
        world.driver = DriverSeen::Nothing;
        world.link(LinkState::Lost { since: at(60) });
        let silent = Step::Unreachable(Trouble::Silent { since: at(60) });
        assert_eq!(world.step(), silent, "nobody can look at it, and that is said");
    }

    #[test]
    fn a_lost_member_is_said_once_and_its_return_too() {
        let mut world = World::running(RunState::Running);
        world.remote = Remote::Unknown;
        world.link(LinkState::Lost { since: at(60) });
        assert_eq!(world.step(), Step::Unreachable(Trouble::Silent { since: at(60) }));
        world.job.record.unreachable = true;
        assert_eq!(world.step(), REST);
        let mut back = World::running(RunState::Running);
        back.job.record.unreachable = true;
        assert!(matches!(back.step(), Step::Mirror(_)));
    }
}

mod absence {
    use super::*;

    #[test]
    fn the_view_alone_proves_nothing() {
        let mut world = World::running(RunState::Running);
        world.remote = Remote::Absent;
        assert_eq!(world.step(), Step::Confirm);
        world.confirmed = Confirmed::Present(Box::new(observation(RunState::Running)));
        assert_eq!(world.step(), REST, "the view was behind");
        world.confirmed = Confirmed::Gone;
        assert_eq!(outcome(world.step()), (Phase::Failed, "RemoteVanished"));
    }

    #[test]
    fn another_uid_under_the_name_is_not_believed() {
        let mut world = World::running(RunState::Running);
        world.seen().uid = RemoteUid::from("r-2");
        world.seen().run = RunState::Succeeded;
        assert_eq!(world.step(), Step::Confirm);
        world.confirmed = Confirmed::Gone;
        assert_eq!(outcome(world.step()), (Phase::Failed, "RemoteVanished"));
    }

    #[test]
    fn the_run_on_record_stays_ours_without_its_labels() {
        let mut world = World::running(RunState::Running);
        world.seen().owner = None;
        assert_eq!(world.step(), REST);
    }

    #[test]
    fn an_object_of_somebody_else_is_not_touched() {
        let mut world = World::placed();
        world.remote =
            Remote::Present(Box::new(Observation { owner: None, ..observation(RunState::Running) }));
        assert_eq!(outcome(world.step()), (Phase::Failed, "NameTaken"));
    }

    #[test]
    fn one_that_is_deleted_on_its_member_is_let_go_after_its_uid_is_recorded() {
        let mut world = World::placed();
        let deleting = Observation { deleting: true, ..observation(RunState::Running) };
        world.remote = Remote::Present(Box::new(deleting));
        assert!(matches!(world.step(), Step::Mirror(_)));
        let mut recorded = World::running(RunState::Running);
        recorded.seen().deleting = true;
        assert_eq!(recorded.step(), Step::Release(RemoteUid::from("r-1")));
        recorded.sends.unanswered = Some(at(98));
        let until = Step::Rest { until: Some(at(113)) };
        assert_eq!(recorded.step(), until, "the name stays taken while an earlier create may come");
    }
}

mod end {
    use super::*;

    #[test]
    fn the_outcome_on_record_frees_the_application() {
        let world = World::finished();
        assert_eq!(world.step(), Step::Release(RemoteUid::from("r-1")));
        let mut released = World::finished();
        released.seen().held = false;
        assert_eq!(released.step(), Step::Rest { until: Some(at(690)) });
        released.now = at(690);
        assert_eq!(released.step(), Step::Retire(RemoteUid::from("r-1")));
        released.remote = Remote::Absent;
        assert_eq!(released.step(), REST, "a finished job never runs again");
    }

    #[test]
    fn retention_outlasts_a_member_that_cannot_be_asked() {
        let mut suspect = World::finished().with(|w| w.link(LinkState::Suspect { since: at(99) }));
        assert_eq!(suspect.step(), REST, "its member calls for what is held");
        suspect.seen().held = false;
        assert_eq!(suspect.step(), Step::Rest { until: Some(at(690)) });
        suspect.now = at(690);
        assert_eq!(suspect.step(), Step::Rest { until: Some(at(700)) });
        suspect.link(LinkState::Lost { since: at(99) });
        assert_eq!(suspect.step(), REST);
        suspect.link(LinkState::Ready);
        assert_eq!(suspect.step(), Step::Retire(RemoteUid::from("r-1")));
    }

    /// Found by the model: a create that was never answered, the same create again, a short run, and its owner deletes the
    /// job: with the name free, the first create would start a run that nobody knows.
    #[test]
    fn the_name_of_a_finished_job_stays_taken_while_a_create_may_come() {
        let unanswered = |w: &mut World| w.sends.unanswered = Some(at(98));
        let until = Step::Rest { until: Some(at(113)) };
        let mut world = World::finished().with(unanswered);
        assert_eq!(world.step(), until);
        world.now = at(113);
        assert_eq!(world.step(), Step::Release(RemoteUid::from("r-1")));
        let mut deleted = World::finished().with(unanswered).with(|w| w.job.deleting = Some(at(99)));
        assert_eq!(deleted.step(), until);
        deleted.now = at(113);
        assert_eq!(deleted.step(), Step::Retire(RemoteUid::from("r-1")));
        let mut gone = World::finished().with(unanswered).with(|w| {
            w.job.deleting = Some(at(99));
            w.remote = Remote::Absent;
        });
        assert_eq!(gone.step(), until);
        gone.now = at(113);
        assert_eq!(gone.step(), Step::LetGo);
        let long_over = World::finished().with(|w| {
            w.sends = Sends { unanswered: Some(at(999)), ..Sends::default() };
            w.now = at(1000);
        });
        assert_eq!(long_over.step(), Step::Release(RemoteUid::from("r-1")), "after the end nothing is sent");
    }

    #[test]
    fn a_stranger_of_that_name_is_not_retired() {
        let mut again = World::finished();
        again.seen().uid = RemoteUid::from("r-2");
        again.seen().run = RunState::Running;
        assert_eq!(
            again.step(),
            Step::Stop { settled_at: Timestamp::MIN },
            "a finished job never runs again"
        );
        let mut foreign = World::finished();
        foreign.seen().owner = None;
        foreign.now = at(10_000);
        assert_eq!(foreign.step(), REST);
    }

    #[test]
    fn deleting_a_finished_job_takes_its_application_along_and_waits_for_nobody() {
        let deleted = |w: &mut World| w.job.deleting = Some(at(95));
        assert_eq!(World::finished().with(deleted).step(), Step::Retire(RemoteUid::from("r-1")));
        let gone = World::finished().with(deleted).with(|w| w.remote = Remote::Absent);
        assert_eq!(gone.step(), Step::LetGo);
        let unreachable = World::finished().with(deleted).with(|w| {
            w.remote = Remote::Unknown;
            w.link(LinkState::Lost { since: at(1) });
        });
        assert_eq!(unreachable.step(), Step::LetGo);
        let suspect = World::finished().with(deleted).with(|w| w.link(LinkState::Suspect { since: at(99) }));
        assert_eq!(suspect.step(), REST, "a missed probe passes");
    }
}

mod deletion_steps {
    use super::*;

    fn deleted(world: World) -> World {
        world.with(|w| w.job.deleting = Some(at(95)))
    }

    #[test]
    fn a_job_that_was_never_sent_goes_at_once() {
        assert_eq!(deleted(World::waiting()).step(), Step::LetGo);
        assert_eq!(deleted(World::placed()).step(), Step::LetGo);
        assert_eq!(deleted(World::waiting().with(|w| w.job.held = false)).step(), REST);
    }

    #[test]
    fn a_job_that_may_run_goes_to_the_fence_first() {
        let running = deleted(World::running(RunState::Running));
        assert_eq!(running.step(), Step::Stop { settled_at: Timestamp::MIN });
        let answered = deleted(World::placed().with(|w| w.sends.last = Some(at(99))));
        assert_eq!(answered.step(), Step::Stop { settled_at: Timestamp::MIN });
        let sent = deleted(World::placed().with(|w| {
            w.sends.last = Some(at(99));
            w.sends.unanswered = Some(at(99));
        }));
        assert_eq!(sent.step(), Step::Stop { settled_at: at(114) });
        let inherited = deleted(World::placed().with(|w| w.sends = Sends::default()));
        assert_eq!(inherited.step(), Step::Stop { settled_at: at(25) });
        assert_eq!(sent.with(|w| w.fenced = true).step(), Step::LetGo);
    }

    #[test]
    fn an_unreachable_member_keeps_it_until_somebody_lets_go() {
        let mut world = deleted(World::running(RunState::Running));
        world.remote = Remote::Unknown;
        world.link(LinkState::Lost { since: at(60) });
        assert_eq!(world.step(), Step::Explain(DeletionWaits::Unreachable { since: Some(at(60)) }));
        world.job.abandoned = true;
        assert_eq!(world.step(), Step::Abandon);
        world.job.abandoned = false;
        world.member.as_mut().unwrap().forgotten = true;
        assert_eq!(world.step(), Step::Abandon);
        world.member = None;
        assert_eq!(world.step(), Step::Explain(DeletionWaits::Unregistered));
    }

    #[test]
    fn a_fault_does_not_keep_what_runs_from_being_stopped() {
        let mut world = deleted(World::running(RunState::Accepted));
        world.member.as_mut().unwrap().usable = false;
        assert!(matches!(world.step(), Step::Stop { .. }));
    }

    #[test]
    fn a_job_whose_finalizer_was_taken_off_is_held_again() {
        assert_eq!(World::running(RunState::Running).with(|w| w.job.held = false).step(), Step::Hold);
    }

    #[test]
    fn a_forgotten_member_ends_its_jobs_and_a_missing_one_is_named() {
        let mut world = World::running(RunState::Running);
        world.member.as_mut().unwrap().forgotten = true;
        assert_eq!(outcome(world.step()), (Phase::Failed, "Abandoned"));
        world.seen().run = RunState::Succeeded;
        assert_eq!(outcome(world.step()), (Phase::Succeeded, "JobSucceeded"), "an end that is seen counts");
        let mut world = World::running(RunState::Running);
        world.member = None;
        world.remote = Remote::Unknown;
        assert_eq!(world.step(), Step::Unreachable(Trouble::Missing));
    }

    #[test]
    fn an_end_that_is_seen_is_a_fence_and_one_that_proves_nothing_is_not() {
        let mut world = deleted(World::running(RunState::Running));
        world.seen().run = RunState::Failed(FailureSign::Application);
        assert_eq!(world.step(), Step::Retire(RemoteUid::from("r-1")));
        for sign in [FailureSign::DriverExists, FailureSign::MonitoringLost] {
            world.seen().run = RunState::Failed(sign);
            assert!(matches!(world.step(), Step::Stop { .. }), "{sign:?}");
        }
    }
}
