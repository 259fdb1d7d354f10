use serde_json::json;

use super::super::life::tests::at;
use super::super::story::Story;
use super::*;

fn lives(story: &mut Story) -> Vec<Life> {
    of(&story.close().members[0]).unwrap().all
}

fn alone(story: &mut Story) -> Life {
    let mut all = lives(story);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[test]
fn a_whole_life_is_read() {
    let mut story = Story::new();
    story.creates(2, "m1", "pi", 1);
    story.state(3, "m1", "pi-1", "SUBMITTED");
    story.state(4, "m1", "pi-1", "SUBMITTED");
    story.state(5, "m1", "pi-1", "RUNNING");
    let life = alone(&mut story);
    assert_eq!(
        (life.uid.as_deref(), life.job.as_deref(), life.attempt),
        (Some("m1-pi-1"), Some("uid-pi"), Some(1))
    );
    assert_eq!((life.begin, life.is_inferred, life.is_left, life.is_held), (at(2), false, true, true));
    assert_eq!(life.states.len(), 2);
    assert!(life.is_alive() && life.ran() && !life.completed());
    story.state(8, "m1", "pi-1", "COMPLETED");
    story.goes(9, "m1", "pi-1");
    let life = alone(&mut story);
    assert_eq!((life.ended(), life.gone, life.is_left), (Some(at(8)), Some(at(9)), false));
}

#[test]
fn a_create_whose_client_died_counts_if_it_took_effect() {
    let mut story = Story::new();
    story.creates_unheard(2, "m1", "pi", 1);
    let left = alone(&mut story);
    assert_eq!((left.begin, left.uid.as_deref(), left.is_inferred), (at(2), Some("m1-pi-1"), true));
    story.state(5, "m1", "pi-1", "RUNNING");
    story.take("m1", "SparkApplication", "pi-1");
    let gone = alone(&mut story);
    assert_eq!((gone.begin, gone.job.as_deref(), gone.attempt), (at(2), Some("uid-pi"), Some(1)));
    assert!(gone.gone.is_some_and(|at_most| at_most >= at(5)), "alive until the end, for all that is known");
    // Without a sign of it, it never was.
    let mut story = Story::new();
    story.creates_unheard(2, "m1", "pi", 1);
    story.take("m1", "SparkApplication", "pi-1");
    assert_eq!(lives(&mut story), []);
    // The same create again is answered with "exists": it took effect the first time.
    let asked = json!({"requestObject": {"metadata": {"name": "pi-1", "labels": {"sparkrouter.dev/job-uid": "uid-pi"}}}});
    story.log("m1", 4, ("create", "sparkapplications", "pi-1"), 409, asked.clone());
    assert_eq!(alone(&mut story).begin, at(2));
    // Or it did not, and the next one does.
    let mut story = Story::new();
    story.log("m1", 2, ("create", "sparkapplications", "pi-1"), 504, asked);
    story.creates(4, "m1", "pi", 1);
    assert_eq!(alone(&mut story).begin, at(4));
}

#[test]
fn one_that_no_line_tells_of_is_found_among_the_objects() {
    let mut story = Story::new();
    story.creates(2, "m1", "pi", 1);
    story.driver(3, "m1", "pi", 1, "pi-1-driver");
    story.change(
        "m1",
        "SparkApplication",
        "pi-1",
        json!({"status": {"applicationState": {"state": "RUNNING"}}}),
    );
    let evidence = story.close().clone();
    std::fs::write(&evidence.members[0].audit, "").unwrap();
    let lives = of(&evidence.members[0]).unwrap().all;
    assert_eq!(lives.len(), 2);
    assert!(lives.iter().all(|life| life.is_inferred && life.is_alive()));
    let application = lives.iter().find(|life| life.kind == Kind::Application).unwrap();
    assert_eq!((application.state(), application.begin.as_second()), ("RUNNING", at(2).as_second()));
}

#[test]
fn only_a_proof_makes_it_gone() {
    let mut story = Story::new();
    story.log("m1", 1, ("get", "sparkapplications", "pi-1"), 404, json!({}));
    story.creates(2, "m1", "pi", 1);
    let pending = json!({"responseObject": {"metadata": {
        "name": "pi-1", "uid": "m1-pi-1", "deletionTimestamp": at(3).to_string(),
        "finalizers": ["foregroundDeletion", "sparkrouter.dev/outcome"],
    }}});
    story.log("m1", 3, ("delete", "sparkapplications", "pi-1"), 200, pending.clone());
    let held = alone(&mut story);
    assert_eq!((held.deleting, held.gone), (Some(at(3)), None));
    // The last finalizer goes, and so does it.
    let mut last = pending;
    last["responseObject"]["metadata"]["finalizers"] = json!([]);
    story.log("m1", 6, ("patch", "sparkapplications", "pi-1"), 200, last);
    story.take("m1", "SparkApplication", "pi-1");
    assert_eq!(alone(&mut story).gone, Some(at(6)));
    // A read that finds nothing proves it too, where no other line does.
    let mut story = Story::new();
    story.creates(2, "m1", "pi", 1);
    story.log("m1", 5, ("get", "sparkapplications", "pi-1"), 404, json!({}));
    story.log("m1", 9, ("get", "sparkapplications", "pi-1"), 404, json!({}));
    story.take("m1", "SparkApplication", "pi-1");
    assert_eq!(alone(&mut story).gone, Some(at(5)));
}

#[test]
fn a_server_that_finds_nothing_while_it_starts_is_not_believed() {
    let mut story = Story::new();
    story.creates(2, "m1", "pi", 1);
    story.log("m1", 4, ("get", "sparkapplications", "pi-1"), 404, json!({}));
    story.state(6, "m1", "pi-1", "RUNNING");
    let life = alone(&mut story);
    assert!(life.is_alive() && life.gone.is_none(), "{life:?}");
}

#[test]
fn a_name_that_is_used_again_is_another_life() {
    let mut story = Story::new();
    story.creates(2, "m1", "pi", 1);
    story.goes(4, "m1", "pi-1");
    story.creates(6, "m1", "pi", 1);
    story.state(7, "m1", "pi-1", "RUNNING");
    let all = lives(&mut story);
    assert_eq!(
        all.iter().map(|life| (life.gone, life.ran())).collect::<Vec<_>>(),
        [(Some(at(4)), false), (None, true)]
    );
}

#[test]
fn lines_in_the_wrong_order_are_told_apart_by_their_times() {
    let mut story = Story::new();
    story.creates(2, "m1", "pi", 1);
    // Asked for before it was there, logged after.
    story.log("m1", 1, ("get", "sparkapplications", "pi-1"), 404, json!({}));
    assert_eq!(alone(&mut story).gone, None);
    // A write that was taken just before it went, logged after.
    story.goes(6, "m1", "pi-1");
    let late = json!({"requestObject": {"status": {"applicationState": {"state": "RUNNING"}}}});
    story.log("m1", 5, ("update", "sparkapplications/status", "pi-1"), 200, late);
    let life = alone(&mut story);
    assert_eq!((life.gone, life.ran()), (Some(at(6)), true));
}

#[test]
fn an_end_whose_line_is_lost_is_dated_by_its_own_word() {
    let mut story = Story::new();
    story.creates(2, "m1", "pi", 1);
    story.state(3, "m1", "pi-1", "RUNNING");
    let shown = json!({"responseObject": {
        "metadata": {"name": "pi-1", "uid": "m1-pi-1", "labels": {"sparkrouter.dev/job-uid": "uid-pi"}},
        "status": {"applicationState": {"state": "FAILED"}, "terminationTime": at(7).to_string()},
    }});
    story.log("m1", 20, ("patch", "sparkapplications", "pi-1"), 200, shown);
    story.change(
        "m1",
        "SparkApplication",
        "pi-1",
        json!({"status": {"applicationState": {"state": "FAILED"}}}),
    );
    assert_eq!(alone(&mut story).ended(), Some(at(7)));
}

#[test]
fn a_driver_lives_until_its_phase_is_terminal_or_it_is_gone() {
    let mut story = Story::new();
    story.driver(3, "m1", "pi", 1, "pi-1-driver");
    story.phase(4, "m1", "pi-1-driver", "Running");
    let grace = json!({"responseObject": {"metadata": {
        "name": "pi-1-driver", "uid": "m1-pi-1-driver-3", "labels": {"spark-role": "driver"},
        "deletionTimestamp": at(5).to_string(), "deletionGracePeriodSeconds": 30,
    }}});
    story.log("m1", 5, ("delete", "pods", "pi-1-driver"), 200, grace);
    let dying = alone(&mut story);
    assert!(dying.is_alive() && dying.deleting.is_some(), "{dying:?}");
    assert_eq!(dying.owner.as_deref(), Some("m1-pi-1"));
    story.pod_goes(8, "m1", "pi-1-driver");
    assert_eq!(alone(&mut story).ended(), Some(at(8)));
    // Executors are nobody's concern.
    let executor = json!({"responseObject": {"metadata": {"name": "exec-1", "uid": "e", "labels": {"spark-role": "executor"}}}});
    story.log("m1", 9, ("create", "pods", "exec-1"), 201, executor);
    story.log(
        "m1",
        9,
        ("patch", "pods/status", "exec-1"),
        200,
        json!({"requestObject": {"status": {"phase": "Running"}}}),
    );
    assert_eq!(lives(&mut story).len(), 1);
}

#[test]
fn refusals_are_counted_and_dry_runs_are_nothing() {
    let mut story = Story::new();
    let asked = json!({"requestObject": {"metadata": {"name": "pi-1", "labels": {"sparkrouter.dev/job-uid": "uid-pi"}}}});
    story.log("m1", 2, ("create", "sparkapplications", "pi-1"), 403, asked.clone());
    let mut tried = asked;
    tried["requestURI"] = json!("/apis?dryRun=All");
    story.log("m1", 3, ("create", "sparkapplications", "pi-1"), 201, tried);
    let found = of(&story.close().members[0]).unwrap();
    assert_eq!((found.all.len(), found.refused["uid-pi"]), (0, 1));
}

#[test]
fn an_application_of_apaches_ends_with_its_resources_and_as_the_state_before_says() {
    for (last, succeeded) in [("Succeeded", true), ("Failed", false)] {
        let mut story = Story::new();
        story.on_apache("m1");
        story.submit(0, "pi", json!({}));
        story.creates(2, "m1", "pi", 1);
        for (second, state) in [(3, "Submitted"), (4, "DriverRequested"), (5, "RunningHealthy"), (8, last)] {
            story.apache_state(second, "m1", "pi-1", state);
        }
        let lives = of(&story.close().members[0]).unwrap().all;
        assert_eq!((lives[0].ran(), lives[0].is_alive(), lives[0].native()), (true, true, last));
        story.apache_state(9, "m1", "pi-1", "ResourceReleased");
        let lives = of(&story.close().members[0]).unwrap().all;
        let life = &lives[0];
        assert_eq!((life.completed(), life.failed(), life.ended()), (succeeded, !succeeded, Some(at(9))));
    }
}

#[test]
fn a_driver_of_apaches_belongs_to_its_application_although_that_is_no_controller_of_it() {
    let mut story = Story::new();
    story.on_apache("m1");
    story.submit(0, "pi", json!({}));
    story.creates(2, "m1", "pi", 1);
    let pod = json!({"metadata": {
        "name": "pi-1-0-driver", "namespace": "team", "uid": "pod",
        "labels": {
            "spark-role": "driver", "sparkrouter.dev/job-uid": "uid-pi", "sparkrouter.dev/attempt": "1",
        },
        "ownerReferences": [{"kind": "SparkApplication", "uid": "m1-pi-1"}],
    }});
    story.log("m1", 3, ("create", "pods", "pi-1-0-driver"), 201, json!({"responseObject": pod}));
    let lives = of(&story.close().members[0]).unwrap().all;
    assert_eq!((lives[1].owner.as_ref(), lives[1].job.as_deref()), (lives[0].uid.as_ref(), Some("uid-pi")));
}
