//! Decisions, withdrawals and restarts of one simple queue.

use super::*;
use crate::health::LinkState;

#[test]
fn a_decision_stays_until_it_is_committed() {
    let mut d = dispatcher(&[("a", 1, None), ("b", 1, None)]);
    let first = place(&mut d, "one");
    assert_eq!(place(&mut d, "one"), first);
    assert_eq!(d.of_queue(&QueueName::from("etl")).jobs, 1);
}

#[test]
fn priority_goes_first_then_age_when_room_appears() {
    let mut d = dispatcher(&[("a", 1, Some(1))]);
    assert_eq!(cluster(&place(&mut d, "running")), "a");
    commit(&mut d, &JobUid::from("running"));
    d.enqueue(applicant("low", "etl", 0));
    d.enqueue(applicant("high", "etl", 5));
    assert!(decided(&mut d, now()).is_empty());
    d.forget(&JobUid::from("running"));
    assert_eq!(decided(&mut d, now()), [JobUid::from("high")]);
}

#[test]
fn a_full_queue_says_so_and_the_job_goes_on_by_itself() {
    let mut d = dispatcher(&[("a", 1, Some(1))]);
    place(&mut d, "one");
    let Answer::Wait(waits) = place(&mut d, "two") else { panic!("there is no room") };
    assert_eq!((waits.reason, waits.refused_by_all), ("NoCapacity", false));
    assert_eq!(waits.message, "no member has room now: a: its capacity of 1 jobs is in use");
    d.set_member(ClusterName::from("a"), member(Some(2)));
    assert_eq!(decided(&mut d, now()), [JobUid::from("two")]);
}

#[test]
fn those_left_behind_by_a_placement_are_told_what_they_wait_for_now() {
    let mut d = dispatcher(&[("a", 1, Some(1))]);
    d.set_member(ClusterName::from("a"), MemberFacts { cordoned: true, ..member(Some(1)) });
    for name in ["first", "second"] {
        assert_eq!(cluster(&place(&mut d, name)), "NoClusterReady");
    }
    d.set_member(ClusterName::from("a"), member(Some(1)));
    let passed = d.pass(now());
    let names = |jobs: &[(JobUid, JobKey)]| jobs.iter().map(|(uid, _)| uid.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (names(&passed.decided), names(&passed.rephrased)),
        (vec!["first".into()], vec!["second".into()])
    );
    assert_eq!(outcome(&d, "second"), "NoCapacity");
    // The next one leaves those behind it with what they know.
    d.enqueue(applicant("third", "etl", 0));
    d.pass(now());
    d.forget(&JobUid::from("first"));
    let passed = d.pass(now());
    assert_eq!((names(&passed.decided), names(&passed.rephrased)), (vec!["second".into()], vec![]));
    assert_eq!(outcome(&d, "third"), "NoCapacity");
}

#[test]
fn an_unknown_queue_and_a_foreign_namespace_are_named_and_mend_themselves() {
    let mut d = dispatcher(&[("a", 1, None)]);
    d.enqueue(applicant("lost", "adhoc", 0));
    d.pass(now());
    assert_eq!(cluster(&d.answer(&JobUid::from("lost")).unwrap()), "QueueNotFound");
    d.set_queue(queue("adhoc", &[("a", 1)]), None, Checkpoint::default());
    d.pass(now());
    assert_eq!(cluster(&d.answer(&JobUid::from("lost")).unwrap()), "NamespaceNotAdmitted");
    d.set_queue(queue("adhoc", &[("nowhere", 1)]), Some(Selector::default()), Checkpoint::default());
    d.pass(now());
    assert_eq!(cluster(&d.answer(&JobUid::from("lost")).unwrap()), "NoRoute");
    d.set_queue(queue("adhoc", &[("a", 1)]), Some(Selector::default()), Checkpoint::default());
    assert_eq!(decided(&mut d, now()), [JobUid::from("lost")]);
}

#[test]
fn a_job_refused_by_all_is_told_apart() {
    let mut d = dispatcher(&[("a", 1, None)]);
    let mut refused = applicant("bad", "etl", 0);
    let (cluster, reason) = (ClusterName::from("a"), "RejectedByMember".to_owned());
    refused.refused.push(Refused { cluster, reason, message: String::new(), at: now() });
    d.enqueue(refused);
    d.pass(now());
    let Some(Answer::Wait(waits)) = d.answer(&JobUid::from("bad")) else { panic!("nobody takes it") };
    assert!(waits.refused_by_all);
}

#[test]
fn a_withdrawn_placement_costs_no_share_and_no_room() {
    let mut d = dispatcher(&[("a", 50, None), ("b", 50, None)]);
    for n in 0..20 {
        let Answer::Place(decision) = place(&mut d, &format!("job-{n}")) else { panic!("there is room") };
        let uid = JobUid::new(format!("job-{n}"));
        commit(&mut d, &uid);
        if n % 2 == 0 {
            d.withdraw(&uid, Some(&placement(&decision)), Withdrawal::Other, now());
        }
    }
    assert_eq!(d.on_member(&ClusterName::from("a")).jobs, 5);
    assert_eq!(d.on_member(&ClusterName::from("b")).jobs, 5);
}

#[test]
fn a_full_quota_backs_its_route_off_and_lets_it_come_back() {
    let mut d = dispatcher(&[("a", 1, None)]);
    let Answer::Place(decision) = place(&mut d, "one") else { panic!("there is room") };
    let uid = JobUid::from("one");
    commit(&mut d, &uid);
    d.withdraw(&uid, Some(&placement(&decision)), Withdrawal::Capacity, now());
    assert_eq!(cluster(&place(&mut d, "one")), "NoCapacity");
    let wake = d.next_wake().unwrap();
    assert_eq!(decided(&mut d, wake), [uid]);
}

#[test]
fn credits_survive_a_restart_by_checkpoint_and_replay() {
    let members = [("a", 50, None), ("b", 30, None), ("c", 20, None)];
    let mut d = dispatcher(&members);
    let mut checkpoint = Checkpoint::default();
    let mut placements = Vec::new();
    for n in 0..7 {
        let uid = JobUid::new(format!("job-{n}"));
        let Answer::Place(decision) = place(&mut d, uid.as_str()) else { panic!("there is room") };
        commit(&mut d, &uid);
        placements.push((uid, placement(&decision)));
        if n == 3 {
            checkpoint = d.standing(&QueueName::from("etl")).1;
        }
    }
    let mut restarted = Dispatcher::default();
    restarted.set_namespace(Namespace::from("team-a"), Some(BTreeMap::new()));
    for (name, ..) in members {
        restarted.set_member(ClusterName::from(name), member(None));
    }
    let weights: Vec<_> = members.iter().map(|(name, weight, _)| (*name, *weight)).collect();
    restarted.set_queue(queue("etl", &weights), Some(Selector::default()), checkpoint);
    for (uid, placement) in placements.iter().rev() {
        restarted.restore(uid, &Namespace::from("team-a"), placement, false);
    }
    restarted.replay();
    assert_eq!(restarted.of_queue(&QueueName::from("etl")).jobs, 7);
    for n in 7..30 {
        let name = format!("job-{n}");
        assert_eq!(place(&mut d, &name), place(&mut restarted, &name));
    }
}

#[test]
fn who_stood_by_goes_on_from_the_account_as_it_is_at_the_take_over() {
    let members = [("a", 50, None), ("b", 30, None), ("c", 20, None)];
    let etl = QueueName::from("etl");
    let mut leader = dispatcher(&members);
    // It knows the queue as it was when it started.
    let (mut standby, mut checkpoint) = (dispatcher(&members), Checkpoint::default());
    let mut young = Vec::new();
    for n in 0..47 {
        let uid = JobUid::new(format!("job-{n}"));
        let Answer::Place(decision) = place(&mut leader, uid.as_str()) else { panic!("there is room") };
        commit(&mut leader, &uid);
        match n {
            // Their jobs are gone by now: only the account tells of them.
            0..40 => leader.forget(&uid),
            _ => young.push((uid, placement(&decision))),
        }
        if n == 42 {
            checkpoint = leader.standing(&etl).1;
        }
    }
    standby.resume(&etl, checkpoint);
    for (uid, placement) in &young {
        standby.restore(uid, &Namespace::from("team-a"), placement, false);
    }
    standby.replay();
    assert_eq!(standby.standing(&etl).1, leader.standing(&etl).1);
    for n in 47..70 {
        let name = format!("job-{n}");
        assert_eq!(place(&mut standby, &name), place(&mut leader, &name));
    }
}

#[test]
fn a_checkpoint_holds_no_decision_that_may_never_be_recorded() {
    let mut d = dispatcher(&[("a", 50, None), ("b", 30, None), ("c", 20, None)]);
    let etl = QueueName::from("etl");
    let mut placements = Vec::new();
    for n in 0..9 {
        let uid = JobUid::new(format!("job-{n}"));
        let Answer::Place(decision) = place(&mut d, uid.as_str()) else { panic!("there is room") };
        // Two are decided and on their way to the record when the process ends.
        if n != 3 && n != 7 {
            commit(&mut d, &uid);
            placements.push((uid, placement(&decision)));
        }
    }
    let checkpoint = d.standing(&etl).1;
    assert_eq!(checkpoint.seq, 3, "the fourth is not on record");
    let mut restarted = dispatcher(&[("a", 50, None), ("b", 30, None), ("c", 20, None)]);
    restarted.remove_queue(&etl);
    restarted.set_queue(
        queue("etl", &[("a", 50), ("b", 30), ("c", 20)]),
        Some(Selector::default()),
        checkpoint,
    );
    for (uid, placement) in &placements {
        restarted.restore(uid, &Namespace::from("team-a"), placement, false);
    }
    restarted.replay();
    for uid in ["job-3", "job-7"] {
        d.forget(&JobUid::from(uid));
    }
    assert_eq!(restarted.standing(&etl).1.credits, d.standing(&etl).1.credits);
    assert_eq!((restarted.standing(&etl).1.seq, d.standing(&etl).1.seq), (9, 9));
}

#[test]
fn a_quota_that_is_still_full_meets_one_job_at_a_time() {
    let mut d = dispatcher(&[("a", 1, None)]);
    let mut now = self::now();
    for n in 0..100 {
        d.enqueue(applicant(&format!("job-{n}"), "etl", 0));
    }
    let mut refused = 0;
    for round in 0..6 {
        let through = decided(&mut d, now);
        assert!(round == 0 || through.len() == 1, "round {round}: {} at once", through.len());
        for uid in through {
            let Some(Answer::Place(decision)) = d.answer(&uid) else { panic!("decided") };
            commit(&mut d, &uid);
            d.withdraw(&uid, Some(&placement(&decision)), Withdrawal::Capacity, now);
            d.enqueue(applicant(uid.as_str(), "etl", 0));
            refused += 1;
        }
        now = d.next_wake().unwrap();
    }
    assert_eq!(refused, 105);
    assert_eq!(now.as_second(), self::now().as_second() + 1 + 2 + 4 + 8 + 16 + 32, "each round is one sign");
    let uid = decided(&mut d, now).remove(0);
    commit(&mut d, &uid);
    d.dispatched(&uid);
    assert_eq!(decided(&mut d, now).len(), 99, "room is back: all go on at once");
}

#[test]
fn a_withdrawal_that_nobody_heard_of_does_not_make_a_job_wait_for_itself() {
    let mut d = dispatcher(&[("a", 1, Some(1))]);
    place(&mut d, "one");
    commit(&mut d, &JobUid::from("one"));
    assert_eq!(cluster(&place(&mut d, "one")), "a");
}

#[test]
fn a_placement_by_another_process_moves_the_reservation_there() {
    let mut d = dispatcher(&[("a", 1, Some(1)), ("b", 1, Some(1))]);
    let Answer::Place(decision) = place(&mut d, "one") else { panic!("there is room") };
    assert_eq!(decision.cluster.as_str(), "a");
    let elsewhere = Placement { cluster: ClusterName::from("b"), ..placement(&decision) };
    d.committed(&JobUid::from("one"), &Namespace::from("team-a"), &elsewhere);
    assert_eq!(d.on_member(&ClusterName::from("a")).jobs, 0);
    assert_eq!(d.on_member(&ClusterName::from("b")).jobs, 1);
    assert_eq!(cluster(&place(&mut d, "two")), "a");
}

#[test]
fn those_who_wait_for_something_else_now_are_told() {
    let mut d = dispatcher(&[("a", 1, Some(0))]);
    d.enqueue(applicant("lost", "adhoc", 0));
    d.pass(now());
    d.set_queue(queue("adhoc", &[("a", 1)]), Some(Selector::default()), Checkpoint::default());
    let passed = d.pass(now());
    assert_eq!(passed.rephrased.len(), 1, "it waited for its queue, and now for room");
    assert_eq!(d.pass(now()), Passed::default());
}

#[test]
fn most_members_suspect_at_once_is_our_own_fault() {
    let mut d = dispatcher(&[("a", 1, None), ("b", 1, None), ("c", 1, None)]);
    let suspect = MemberFacts { link: LinkState::Suspect { since: now() }, ..member(None) };
    d.set_member(ClusterName::from("a"), suspect.clone());
    assert!(!d.is_fleet_in_doubt());
    d.set_member(ClusterName::from("b"), suspect);
    assert!(d.is_fleet_in_doubt());
    assert_eq!(cluster(&place(&mut d, "one")), "c", "it still places where probes answer");
}
