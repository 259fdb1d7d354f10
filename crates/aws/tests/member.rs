//! A virtual cluster as a member, against moto's controlled lane: with tokens honoured, and without.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use common::{Bench, scene::*};
use jiff::Timestamp;
use serde_json::{Value, json};
use spark_router_aws::{
    Clients,
    bucket::{Api, Limit},
    client::Start,
    member::{Tempo, blueprint},
};
use spark_router_core::{
    health::LinkState,
    id::{ClusterName, JobUid, Namespace, RemoteUid},
    observe::{FailureSign, Remote, RunState},
    refusal::RefusalClass,
    restored::{Account, Accounts},
};
use spark_router_member::{
    Confirmation, Created, Fence, MaySend, Order, Registry, StopOrder, Suspended, WantedSignals,
};
use spark_router_testkit::moto::{CancelEnd, Fault, Lane, Limits, Script, Step, What};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_its_way_and_costs_few_calls() {
    let mut scene = Scene::new().await;
    let member = scene.member();
    assert_eq!(member.identity().unwrap().as_str(), scene.bench.made.arn);
    let order = order("daily");
    assert_eq!(scene.seen(&order), Remote::Absent);
    let uid = scene.accepted(order.clone()).await;
    let seen = scene.until_run(&order, &RunState::Accepted).await;
    let owner = seen.owner.unwrap();
    assert_eq!((&seen.uid, &owner.hub, &owner.job, owner.seq), (&uid, &hub(), &order.job, 7));
    assert_eq!((owner.attempt, &owner.key), (order.attempt, &order.key));
    let rendered = member.render(order.clone(), None);
    assert_eq!(owner.render_hash, rendered.hash());
    for (word, state) in [("SUBMITTED", RunState::Submitted), ("RUNNING", RunState::Running)] {
        scene.bench.moto.advance(uid.as_str(), &Step::to(word, Duration::ZERO)).await.unwrap();
        scene.until_run(&order, &state).await;
    }
    scene.bench.moto.advance(uid.as_str(), &Step::to("COMPLETED", Duration::ZERO)).await.unwrap();
    let seen = scene.until_run(&order, &RunState::Succeeded).await;
    assert!(seen.ended_by_itself() && seen.terminated_at.is_some());
    // Each of the three changes called the job; the first sight of the run was no news any more.
    let mut called = 0;
    while let Ok(key) = scene.keys.try_recv() {
        assert_eq!(key, order.key);
        called += 1;
    }
    assert!((3..=4).contains(&called), "{called}");
    let calls = scene.bench.moto.calls().await.unwrap();
    assert_eq!((calls.of("StartJobRun"), calls.of("DescribeJobRun"), calls.of("CancelJobRun")), (1, 1, 0));
    let by_name = calls
        .calls
        .iter()
        .filter(|(operation, _, query)| operation == "ListJobRuns" && query.contains("name="));
    assert_eq!(by_name.count(), 1);

    assert_eq!(member.traces(&order.job).len(), 1);
    let account = Account { seq: 6, created: Timestamp::UNIX_EPOCH };
    let accounts = Accounts::from([(order.queue.clone(), account)]);
    let beyond = member.beyond(&accounts).unwrap();
    assert_eq!((beyond.len(), &beyond[0].uid, beyond[0].over), (1, &uid, true));
    let suspended = member.suspend(&order.namespace, &order.name, &uid, true).await.unwrap();
    assert!(matches!(suspended, Suspended::Never(_)), "{suspended:?}");
    member.release(&order.namespace, &order.name, &uid).await.unwrap();
    member.retire(&order.namespace, &order.name, &uid).await.unwrap();
    assert_eq!(scene.seen(&order), Remote::Absent);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_member_no_client_is_made() {
    let bench = Bench::start(Lane::Controlled).await;
    let (sender, _keys) = mpsc::channel(10);
    let stop = CancellationToken::new();
    let registry = Registry::new(hub(), sender, bench.calls.clone(), MaySend::always(), stop.clone());
    let plan = blueprint(settings(&bench, &tempo()), bench.clients.clone());
    assert_eq!((registry.all().len(), bench.clients.made()), (0, 0));
    bench.moto.forget_calls().await.unwrap();
    registry.put(plan).unwrap();
    until("its first client", async || bench.clients.made() == 1).await;
    // The same again is the same link.
    registry.put(blueprint(settings(&bench, &tempo()), bench.clients.clone())).unwrap();
    assert_eq!(registry.report(&ClusterName::from(common::CLUSTER)).unwrap().replacement, None);
    stop.cancel();
    registry.closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_not_answered_is_found_by_listing() {
    let scene = Scene::new().await;
    for honoured in [true, false] {
        scene.bench.moto.honour_tokens(honoured).await.unwrap();
        scene.bench.moto.inject(&Fault::on("StartJobRun", What::ResponseLost)).await.unwrap();
        let order = order(&format!("lost-{honoured}"));
        let before = scene.starts().await;
        let uid = scene.accepted(order.clone()).await;
        let runs = scene.bench.moto.runs(Some(order.name.as_str())).await.unwrap();
        assert_eq!((runs.len(), runs[0].id.as_str()), (1, uid.as_str()));
        assert_eq!(scene.starts().await - before, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_again_before_the_first_start_can_take_no_effect_any_more() {
    let scene = Scene::new().await;
    scene.bench.moto.honour_tokens(false).await.unwrap();
    scene.bench.moto.inject(&Fault::on("StartJobRun", What::RequestLost)).await.unwrap();
    let order = order("gone");
    let (rendered, created) = scene.submit(order.clone()).await;
    assert!(matches!(created, Created::Unclear(_)), "{created:?}");
    let Remote::Unsettled { until: settled } = scene.seen(&order) else { panic!("{:?}", scene.seen(&order)) };
    assert!(settled > Timestamp::now());
    let early = scene.member().submit(&rendered, Timestamp::MIN).await;
    assert!(matches!(early, Created::Settling { until, .. } if until == settled), "{early:?}");
    assert_eq!(scene.starts().await, 1);
    until("the settle time", async || scene.seen(&order) == Remote::Absent).await;
    let again = scene.member().submit(&rendered, Timestamp::MIN).await;
    assert!(matches!(again, Created::Accepted(_)), "{again:?}");
    let calls = scene.bench.moto.calls().await.unwrap();
    assert_eq!(calls.starts.len(), 2);
    assert_eq!(calls.starts[0].body, calls.starts[1].body, "the very same request");
    assert_eq!(scene.bench.moto.runs(Some(order.name.as_str())).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_router_may_have_sent_a_moment_ago_is_waited_for() {
    let scene = Scene::new().await;
    scene.bench.moto.honour_tokens(false).await.unwrap();
    let order = order("inherited");
    let member = scene.member();
    let rendered = member.render(order.clone(), None);
    let sent = Timestamp::now() + Duration::from_secs(2);
    let settled = sent + Duration::from_secs(1);
    let early = member.submit(&rendered, sent).await;
    assert!(matches!(early, Created::Settling { until, .. } if until == settled), "{early:?}");
    assert_eq!(scene.starts().await, 0);
    // The other one's start takes effect now: it is found, and nothing is waited for any more.
    let emr = scene.bench.emr().await;
    let body = rendered.body().unwrap();
    let token = serde_json::from_slice::<Value>(body).unwrap()["clientToken"].as_str().unwrap().to_owned();
    let id = emr.start(Start { name: order.name.as_str(), token: &token, body }).await.unwrap();
    let found = member.submit(&rendered, sent).await;
    assert_eq!(found, Created::Accepted(RemoteUid::new(id.0)));
    assert_eq!(scene.starts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_takes_effect_late_is_not_sent_twice() {
    let tempo = Tempo { settle: Duration::from_secs(5), ..tempo() };
    let scene = Scene::with(Bench::start(Lane::Controlled).await, &tempo).await;
    scene.bench.moto.honour_tokens(false).await.unwrap();
    // Given up after ten seconds; it takes effect after that.
    scene.bench.moto.inject(&Fault::on("StartJobRun", What::Late(Duration::from_secs(11)))).await.unwrap();
    let order = order("late");
    let (rendered, created) = scene.submit(order.clone()).await;
    assert!(matches!(created, Created::Unclear(_)), "{created:?}");
    until("its run or the settle time", async || !matches!(scene.seen(&order), Remote::Unsettled { .. }))
        .await;
    let again = scene.member().submit(&rendered, Timestamp::MIN).await;
    assert!(matches!(again, Created::Accepted(_)), "{again:?}");
    let calls = scene.bench.moto.calls().await.unwrap();
    let starts: Vec<_> = calls.starts.iter().map(|start| (&start.token, &start.sdk)).collect();
    let runs = scene.bench.moto.runs(Some(order.name.as_str())).await.unwrap();
    assert_eq!((runs.len(), starts.len()), (1, 1), "{starts:?} {runs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_finds_what_was_started_and_what_has_ended_meanwhile() {
    let scene = Scene::new().await;
    scene.bench.moto.honour_tokens(false).await.unwrap();
    scene.bench.moto.script(&Script::run_on()).await.unwrap();
    let (one, other) = (order("one"), order("other"));
    let uids = (scene.accepted(one.clone()).await, scene.accepted(other.clone()).await);
    scene.bench.moto.advance(uids.1.as_str(), &Step::to("COMPLETED", Duration::ZERO)).await.unwrap();
    let scene = scene.again(&tempo()).await;
    // The answer to the start was never written down: the same start finds its run.
    assert_eq!(scene.accepted(one.clone()).await, uids.0);
    assert_eq!(scene.starts().await, 2);
    assert_eq!(scene.member().traces(&one.job)[0].1.uid, uids.0);
    // What has ended meanwhile is shown too: a hub that was put back to an earlier state may know nothing of it.
    match scene.seen(&other) {
        Remote::Present(seen) => assert_eq!((&seen.uid, &seen.run), (&uids.1, &RunState::Succeeded)),
        absent => panic!("{absent:?}"),
    }
    assert_eq!(scene.member().traces(&other.job)[0].1.uid, uids.1);
    match scene.member().confirm(&other.namespace, &other.name, Some(&uids.1)).await {
        Confirmation::Present(seen) => assert_eq!(seen.run, RunState::Succeeded),
        other => panic!("{other:?}"),
    }
    let nobody = order("nobody");
    assert_eq!(scene.member().confirm(&nobody.namespace, &nobody.name, None).await, Confirmation::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_whose_they_are() {
    let scene = Scene::new().await;
    let refused = async |what: What, name: &str| {
        scene.bench.moto.inject(&Fault::on("StartJobRun", what)).await.unwrap();
        match scene.submit(order(name)).await.1 {
            Created::Refused(refusal) => (refusal.class, refusal.reason),
            other => panic!("{other:?}"),
        }
    };
    let invalid = What::Invalid("1 validation error detected".to_owned());
    assert_eq!(refused(invalid.clone(), "a").await, (RefusalClass::Job, "RejectedByMember"));
    // The same words mean something else while the queue is full.
    scene.bench.moto.set_limits(&scene.bench.made.id, Limits { running: 10, waiting: 1 }).await.unwrap();
    assert_eq!(
        refused(invalid.clone(), "room").await,
        (RefusalClass::Job, "RejectedByMember"),
        "there is room"
    );
    scene.accepted(order("b")).await;
    assert_eq!(refused(invalid, "c").await, (RefusalClass::Capacity, "QuotaExceeded"));
    let full = scene.submit(order("d")).await.1;
    assert!(
        matches!(&full, Created::Refused(refusal) if refusal.class == RefusalClass::Capacity),
        "{full:?}"
    );
    for what in [What::Throttled, What::TooMany] {
        scene.bench.moto.inject(&Fault::on("StartJobRun", what)).await.unwrap();
        let throttled = scene.submit(order("e")).await.1;
        assert!(matches!(throttled, Created::NotSent(_)), "{throttled:?}");
    }
    assert_eq!(refused(What::Denied, "f").await, (RefusalClass::Member, "Forbidden"));

    let mut odd = template();
    odd["spec"]["driver"]["securityContext"] = json!({"runAsUser": 7});
    let cannot = Order { template: Arc::new(odd.clone()), ..order("g") };
    let starts = scene.starts().await;
    let said = scene.submit(cannot).await.1;
    let blocked = scene.member().health().blocked;
    assert!(matches!(&said, Created::Refused(_)), "{said:?}");
    assert_eq!((scene.starts().await, blocked.len()), (starts, 1));
    let why = cannot_run(&scene, &odd);
    assert!(why.iter().any(|why| why.field.contains("driver.securityContext")), "{why:?}");
    assert_eq!(cannot_run(&scene, &template()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_refused_does_not_close_the_virtual_cluster() {
    let scene = Scene::new().await;
    let refused = async |name: &str| {
        let emr = json!({"executionRoleArn": role(OTHER_ROLE)});
        let order = Order { emr: Some(Arc::new(serde_json::from_value(emr).unwrap())), ..order(name) };
        scene.bench.moto.inject(&Fault::on("StartJobRun", What::Denied)).await.unwrap();
        match scene.submit(order).await.1 {
            Created::Refused(refusal) => (refusal.class, refusal.reason),
            other => panic!("{other:?}"),
        }
    };
    let blocked = || scene.member().health().blocked.len();
    // The router may have lost its rights a moment ago.
    assert_eq!((refused("first").await, blocked()), ((RefusalClass::Member, "Forbidden"), 1));
    scene.bench.moto.end_faults().await.unwrap();
    until("the end of that block", async || {
        matches!(scene.submit(order("good")).await.1, Created::Accepted(_))
    })
    .await;
    // What was granted just now may not be everywhere yet.
    tokio::time::sleep(tempo().settle + Duration::from_millis(100)).await;
    assert_eq!((refused("second").await, blocked()), ((RefusalClass::Job, "RoleRefused"), 0));
    scene.accepted(order("better")).await;
}

/// How late lists of AWS may be is not published: here they do not show a run for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_no_list_shows_is_known_by_its_token_and_ended_before_it_is_given_up() {
    let scene = Scene::new().await;
    let moto = &scene.bench.moto;
    moto.script(&Script::run_on()).await.unwrap();
    moto.cancelled_runs_end(CancelEnd::Cancelled(Duration::from_millis(500))).await.unwrap();
    let order = order("unlisted");
    let unlisted = What::Unlisted(Duration::from_hours(1));
    moto.inject(&Fault::on("StartJobRun", unlisted)).await.unwrap();
    let (rendered, created) = scene.submit(order.clone()).await;
    assert!(matches!(created, Created::Unclear(_)), "{created:?}");
    let wanted = StopOrder { rendered: Some(rendered), ..stop(&order, None, false) };
    let fenced = async |wanted: &StopOrder| match scene.member().stop(wanted).await {
        Fence::Proven => true,
        Fence::Pending { .. } => false,
        other => panic!("{other:?}"),
    };
    until("the fence", async || fenced(&wanted).await).await;
    let runs = moto.runs(Some(order.name.as_str())).await.unwrap();
    let told: Vec<_> = runs.iter().map(|run| (run.state.as_str(), run.cancels)).collect();
    assert_eq!(
        (told, scene.starts().await),
        (vec![("CANCELLED", 1)], 2),
        "one run, of two starts with one token"
    );
    let starts = moto.calls().await.unwrap().starts;
    assert_eq!(starts[0].body, starts[1].body, "the very same request");
    // Again, by a router that knows nothing of it.
    let scene = scene.again(&tempo()).await;
    assert!(matches!(
        scene.member().confirm(&order.namespace, &order.name, None).await,
        Confirmation::Present(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_made_nothing_is_proven_to_be_nothing() {
    let scene = Scene::new().await;
    let moto = &scene.bench.moto;
    moto.script(&Script::run_on()).await.unwrap();
    let fenced = async |wanted: &StopOrder| match scene.member().stop(wanted).await {
        Fence::Proven => true,
        Fence::Pending { .. } | Fence::Unanswered { .. } => false,
        other => panic!("{other:?}"),
    };
    for honoured in [true, false] {
        moto.honour_tokens(honoured).await.unwrap();
        // What the start made is a run of its own, which is ended.
        let order = order(&format!("gone-{honoured}"));
        moto.inject(&Fault::on("StartJobRun", What::RequestLost)).await.unwrap();
        let (rendered, created) = scene.submit(order.clone()).await;
        assert!(matches!(created, Created::Unclear(_)), "{created:?}");
        let wanted = StopOrder { rendered: Some(rendered), ..stop(&order, None, false) };
        until("the fence", async || fenced(&wanted).await).await;
        let runs = moto.runs(Some(order.name.as_str())).await.unwrap();
        let told: Vec<_> = runs.iter().map(|run| (run.state.as_str(), run.cancels)).collect();
        assert_eq!(told, [("CANCELLED", 1)]);
    }
    // Nor is it started where AWS refuses it, where its answer gets lost again, or where all was answered.
    let refused = order("refused");
    moto.inject(&Fault::on("StartJobRun", What::RequestLost)).await.unwrap();
    let rendered = scene.submit(refused.clone()).await.0;
    let wanted = StopOrder { rendered: Some(rendered), ..stop(&refused, None, false) };
    moto.inject(&Fault::on("StartJobRun", What::RequestLost)).await.unwrap();
    moto.inject(&Fault::on("StartJobRun", What::Throttled)).await.unwrap();
    moto.inject(&Fault::on("StartJobRun", What::Denied).always()).await.unwrap();
    let before = scene.starts().await;
    until("the fence", async || fenced(&wanted).await).await;
    let sent = scene.starts().await - before;
    // Lost, put off, and refused: once a settle time, until lists are believed.
    assert!((4..=6).contains(&sent), "{sent}");
    assert_eq!(moto.runs(Some(refused.name.as_str())).await.unwrap().len(), 0);
    assert_eq!(scene.member().health().blocked.len(), 0, "nothing is concluded for other jobs");
    let answered = StopOrder { settled_at: Timestamp::MIN, ..wanted };
    until("the fence", async || fenced(&answered).await).await;
    assert_eq!(scene.starts().await - before, sent);
    moto.end_faults().await.unwrap();
}

/// What is asked for once more is a start of its own, which may take effect unseen as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_one_start_settles_no_other() {
    let scene = Scene::new().await;
    let moto = &scene.bench.moto;
    moto.cancelled_runs_end(CancelEnd::Cancelled(Duration::ZERO)).await.unwrap();
    let order = order("twice");
    let rendered = scene.member().render(order.clone(), None);
    // Another router may have sent it long ago.
    let settled_at = Timestamp::now() - Duration::from_hours(1);
    let mut wanted = StopOrder { rendered: Some(rendered), settled_at, ..stop(&order, None, false) };
    moto.inject(&Fault::on("StartJobRun", What::Unlisted(Duration::from_hours(1)))).await.unwrap();
    let fence = scene.member().stop(&wanted).await;
    assert!(matches!(fence, Fence::Unanswered { .. }), "{fence:?}");
    for answer in [What::Throttled, What::Denied] {
        moto.inject(&Fault::on("StartJobRun", answer)).await.unwrap();
    }
    let mut refused = false;
    until("its refusal", async || {
        match scene.member().stop(&wanted).await {
            Fence::Pending { waits_for, .. } => refused |= waits_for.contains("refuses"),
            other => panic!("given up with a run that nobody ended: {other:?}"),
        }
        refused
    })
    .await;
    // Also by a link that knows nothing of it: what was not answered is on the core's account too.
    wanted.settled_at = Timestamp::now();
    let scene = scene.again(&tempo()).await;
    let wanted = StopOrder { rendered: Some(scene.member().render(order.clone(), None)), ..wanted };
    until("the fence", async || scene.member().stop(&wanted).await == Fence::Proven).await;
    let runs = scene.bench.moto.runs(Some(order.name.as_str())).await.unwrap();
    let told: Vec<_> = runs.iter().map(|run| (run.state.as_str(), run.cancels)).collect();
    assert_eq!(told, [("CANCELLED", 1)]);
}

/// A refusal is no word about the start before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_refused_after_one_that_was_not_answered_is_asked_for_again() {
    let scene = Scene::new().await;
    let moto = &scene.bench.moto;
    let order = order("refused-later");
    moto.inject(&Fault::on("StartJobRun", What::Unlisted(Duration::from_hours(1)))).await.unwrap();
    let (rendered, created) = scene.submit(order.clone()).await;
    assert!(matches!(created, Created::Unclear(_)), "{created:?}");
    until("the settle time", async || scene.seen(&order) == Remote::Absent).await;
    let member = scene.member();
    for what in [What::Expired, What::Invalid("no".to_owned())] {
        moto.inject(&Fault::on("StartJobRun", what)).await.unwrap();
        let created = member.submit(&rendered, Timestamp::MIN).await;
        assert!(
            matches!(&created, Created::Settling { waits_for, .. } if waits_for.contains("refused")),
            "{created:?}"
        );
    }
    // Also where it is refused without a call.
    assert_eq!(member.health().blocked.len(), 1);
    until("its run", async || matches!(member.submit(&rendered, Timestamp::MIN).await, Created::Accepted(_)))
        .await;
    assert_eq!(moto.runs(Some(order.name.as_str())).await.unwrap().len(), 1);

    let never = self::order("never");
    moto.inject(&Fault::on("StartJobRun", What::RequestLost)).await.unwrap();
    let rendered = scene.submit(never.clone()).await.0;
    moto.inject(&Fault::on("StartJobRun", What::Invalid("no".to_owned())).always()).await.unwrap();
    until("the refusal", async || {
        matches!(member.submit(&rendered, Timestamp::MIN).await, Created::Refused(_))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_somebody_else_has_is_left_alone() {
    let scene = Scene::new().await;
    let order = order("taken");
    // moto takes the stored name for a part of the asked one: both are listed, and one is meant.
    let tags = json!({"somebody": "else"});
    let ids =
        scene.bench.moto.seed(&scene.bench.made.id, order.name.as_str(), 1, "RUNNING", &tags).await.unwrap();
    let uid = scene.accepted(order.clone()).await;
    assert!(!ids.contains(&uid.as_str().to_owned()));
    let theirs = Order { job: JobUid::from("another"), ..order.clone() };
    let taken = scene.submit(theirs.clone()).await.1;
    assert!(matches!(&taken, Created::NameTaken(whose) if whose.contains("team-a/taken")), "{taken:?}");
    // Nor is it cancelled for the sake of an attempt that it is not.
    let fence = scene.member().stop(&stop(&theirs, Some(uid), false)).await;
    assert!(matches!(fence, Fence::Pending { .. } | Fence::Impossible(_)), "{fence:?}");
    assert_eq!(scene.bench.moto.calls().await.unwrap().of("CancelJobRun"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_asked_for_once_and_ends_with_a_proof() {
    let scene = Scene::new().await;
    scene.bench.moto.script(&Script::run_on()).await.unwrap();
    scene.bench.moto.cancelled_runs_end(CancelEnd::Cancelled(Duration::from_secs(2))).await.unwrap();
    let one = order("one");
    let uid = scene.accepted(one.clone()).await;
    scene.until_run(&one, &RunState::Running).await;
    let wanted = stop(&one, Some(uid.clone()), false);
    let mut looks = 0;
    until("the fence", async || {
        looks += 1;
        match scene.member().stop(&wanted).await {
            Fence::Proven => true,
            Fence::Pending { .. } => false,
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert!(looks > 3, "{looks}");
    let run = &scene.bench.moto.runs(Some(one.name.as_str())).await.unwrap()[0];
    assert_eq!((run.state.as_str(), run.cancels), ("CANCELLED", 1));
    assert_eq!(scene.bench.moto.calls().await.unwrap().of("CancelJobRun"), 1);
    let Remote::Present(seen) = scene.seen(&one) else { panic!() };
    assert!(!seen.ended_by_itself(), "it was stopped: {seen:?}");

    // It completed before the cancel took effect: that is its own end, where that is asked for.
    scene.bench.moto.cancelled_runs_end(CancelEnd::Completed(Duration::ZERO)).await.unwrap();
    let two = order("two");
    let uid = scene.accepted(two.clone()).await;
    let wanted = stop(&two, Some(uid), true);
    let mut ended = None;
    until("its own end", async || match scene.member().stop(&wanted).await {
        Fence::Ended(seen) => {
            ended = Some(seen);
            true
        }
        Fence::Pending { .. } => false,
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(ended.unwrap().run, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_leads_to_nothing_is_asked_for_again_only_after_its_time() {
    let again = Duration::from_secs(2);
    let tempo = Tempo { cancel_again: again, ..tempo() };
    let scene = Scene::with(Bench::start(Lane::Controlled).await, &tempo).await;
    scene.bench.moto.script(&Script::run_on()).await.unwrap();
    scene.bench.moto.cancelled_runs_end(CancelEnd::Never).await.unwrap();
    let order = order("stuck");
    let uid = scene.accepted(order.clone()).await;
    let wanted = stop(&order, Some(uid.clone()), false);
    let started = Instant::now();
    until("a second cancel", async || {
        let fence = scene.member().stop(&wanted).await;
        assert!(matches!(fence, Fence::Pending { .. }), "{fence:?}");
        let cancels = scene.bench.moto.calls().await.unwrap().of("CancelJobRun");
        assert!(cancels < 2 || started.elapsed() >= again, "{cancels} after {:?}", started.elapsed());
        cancels >= 2
    })
    .await;
    // Somebody else cancelled it just now: that one is waited for, too.
    scene.bench.moto.advance(uid.as_str(), &Step::to("CANCELLED", Duration::ZERO)).await.unwrap();
    until("the fence", async || scene.member().stop(&wanted).await == Fence::Proven).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_nothing_is_no_fence() {
    let scene = Scene::new().await;
    scene.bench.moto.script(&Script::run_on()).await.unwrap();
    let lost = order("lost");
    let uid = scene.accepted(lost.clone()).await;
    scene.until_run(&lost, &RunState::Running).await;
    let trouble = Step::to("FAILED", Duration::ZERO)
        .reason("CLUSTER_UNAVAILABLE")
        .details("Trouble monitoring your JobRun. Cluster eks-1 is not reachable.");
    scene.bench.moto.advance(uid.as_str(), &trouble).await.unwrap();
    scene.until_run(&lost, &RunState::Failed(FailureSign::MonitoringLost)).await;
    let fence = scene.member().stop(&stop(&lost, Some(uid), false)).await;
    assert!(matches!(&fence, Fence::Impossible(why) if why.contains("pods")), "{fence:?}");
    assert_eq!(scene.bench.moto.calls().await.unwrap().of("CancelJobRun"), 0);

    // History that expired proves nothing of a run whose end nobody saw.
    let expired = order("expired");
    let uid = scene.accepted(expired.clone()).await;
    scene.bench.moto.remove_run(uid.as_str()).await.unwrap();
    let wanted = stop(&expired, Some(uid), false);
    until("the settle time", async || match scene.member().stop(&wanted).await {
        Fence::Impossible(_) => true,
        Fence::Pending { .. } => false,
        other => panic!("{other:?}"),
    })
    .await;

    // A start that was never confirmed, and of which there is nothing when it can take no effect any more.
    let never = order("never");
    let wanted = stop(&never, None, false);
    let started = Instant::now();
    until("the fence", async || match scene.member().stop(&wanted).await {
        Fence::Proven => true,
        Fence::Pending { .. } => false,
        other => panic!("{other:?}"),
    })
    .await;
    assert!(started.elapsed() >= Duration::from_millis(800), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_service_loses_its_member_and_no_run() {
    let scene = Scene::new().await;
    scene.bench.moto.script(&Script::run_on()).await.unwrap();
    let order = order("kept");
    scene.accepted(order.clone()).await;
    scene.until_run(&order, &RunState::Running).await;
    scene.bench.moto.process().pause().unwrap();
    let member = scene.member();
    until("suspect", async || matches!(member.health().link, LinkState::Suspect { .. })).await;
    until("lost", async || matches!(member.health().link, LinkState::Lost { .. })).await;
    let late = scene.submit(self::order("late")).await.1;
    assert!(matches!(late, Created::NotSent(_)), "{late:?}");
    assert!(matches!(scene.seen(&order), Remote::Present(_)));
    scene.bench.moto.process().resume().unwrap();
    until("ready again", async || member.health().link == LinkState::Ready).await;
    scene.accepted(self::order("late")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_cluster_that_takes_no_runs_says_so() {
    let scene = Scene::new().await;
    let (moto, id) = (&scene.bench.moto, &scene.bench.made.id);
    moto.set_virtual_cluster_state(id, "ARRESTED").await.unwrap();
    let member = scene.member();
    let fault = || member.health().fault.map(|(reason, _)| reason);
    until("its fault", async || fault() == Some("VirtualClusterNotReady")).await;
    let denied = scene.submit(order("a")).await.1;
    assert!(matches!(denied, Created::NotSent(_)), "{denied:?}");
    moto.set_virtual_cluster_state(id, "RUNNING").await.unwrap();
    until("no fault", async || fault().is_none()).await;
    moto.inject(&Fault::on("DescribeVirtualCluster", What::Denied).always()).await.unwrap();
    until("missing rights", async || fault() == Some("Forbidden")).await;
    moto.end_faults().await.unwrap();
    until("rights again", async || fault().is_none()).await;
    scene.accepted(order("a")).await;
    // What is known of its runs grows old.
    moto.inject(&Fault::on("ListJobRuns", What::Denied).after(1).always()).await.unwrap();
    until("runs that cannot be listed", async || matches!(fault(), Some("PollStale" | "Forbidden"))).await;
    moto.end_faults().await.unwrap();
    until("a list again", async || fault().is_none()).await;
    moto.inject(&Fault::on("ListJobRuns", What::Page).always()).await.unwrap();
    until("a stale view", async || fault() == Some("PollStale")).await;
    assert!(matches!(scene.seen(&order("a")), Remote::Present(_)));
    moto.end_faults().await.unwrap();
    until("a fresh view", async || fault().is_none()).await;

    member.want_signals(WantedSignals { quotas: true, ..WantedSignals::default() });
    moto.set_limits(id, Limits { running: 5, waiting: 3 }).await.unwrap();
    until("its room", async || {
        let signals = member.signals();
        let room =
            signals.quotas.as_ref().and_then(|seen| seen.value.get(&Namespace::from("spark")).cloned());
        room.is_some_and(|room| room.free.jobs == Some(2))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_keep_to_the_pace_of_the_account_and_call_who_waits() {
    let slow: BTreeMap<Api, Limit> = common::limits()
        .into_iter()
        .map(|(api, limit)| match api {
            Api::Start => (api, Limit { milli_per_second: 2_000, burst: 1 }),
            _ => (api, limit),
        })
        .collect();
    let bench = Bench { clients: Clients::with_limits(slow), ..Bench::start(Lane::Controlled).await };
    let tempo = Tempo { turn: Duration::from_millis(100), ..tempo() };
    let mut scene = Scene::with(bench, &tempo).await;
    let started = Instant::now();
    scene.accepted(order("first")).await;
    let (mut busy, mut waits) = (0, vec![order("second"), order("third")]);
    for order in &waits {
        let created = scene.submit(order.clone()).await.1;
        busy += usize::from(matches!(created, Created::Busy(_)));
    }
    assert_eq!(busy, 2);
    while !waits.is_empty() {
        let called = tokio::time::timeout(PATIENCE, scene.keys.recv()).await.unwrap().unwrap();
        let Some(at) = waits.iter().position(|order| order.key == called) else { continue };
        scene.accepted(waits.remove(at)).await;
    }
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
}
