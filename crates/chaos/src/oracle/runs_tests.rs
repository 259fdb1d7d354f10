use serde_json::json;

use super::super::life::tests::at;
use super::super::starts::Starts;
use super::super::story::{Story, merge, merged, one, placement, row, started};
use super::*;
use crate::dice::Dice;
use crate::evidence::Meant;

#[test]
fn a_healthy_run_on_a_virtual_cluster_is_clean() {
    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({}));
    story.starts(2, "m1", "pi", 1, "r1");
    story.runs(4, "pi", 1, "m1", "r1");
    story.run_state(9, "m1", "r1", "COMPLETED");
    story.ends(10, "pi", 1, "m1", "r1", ("Succeeded", "JobSucceeded", "COMPLETED"));
    let verdict = story.clean();
    assert_eq!((verdict.finished, verdict.seen.job_runs, verdict.seen.applications), (1, 1, 0));
    assert_eq!(verdict.started.by_backend, [("emrContainers", 1), ("kubeflow", 0)].into());
    let counts = Starts { runs: 1, asked: 1, ..Starts::default() };
    assert_eq!(verdict.started.virtual_clusters["m1"], counts);
}

#[test]
fn two_runs_of_one_start_are_doubled_whether_or_not_anybody_heard_of_the_first() {
    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({}));
    story.starts_unheard(2, "m1", "pi", 1, "r1");
    story.run_state(3, "m1", "r1", "RUNNING");
    story.starts(4, "m1", "pi", 1, "r2");
    story.run_state(8, "m1", "r1", "COMPLETED");
    story.runs(6, "pi", 1, "m1", "r2");
    story.run_state(9, "m1", "r2", "COMPLETED");
    story.ends(10, "pi", 1, "m1", "r2", ("Succeeded", "JobSucceeded", "COMPLETED"));
    let found = story.doubled();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("two were alive: job run team/pi-1 of attempt 1 on m1 (RUNNING"), "{found:#?}");
    assert!(found[1].contains("one attempt ran twice"), "{found:#?}");

    // Also where the first had failed before the second one began.
    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({}));
    story.starts_unheard(2, "m1", "pi", 1, "r1");
    story.run_state(3, "m1", "r1", "FAILED");
    story.starts(4, "m1", "pi", 1, "r2");
    story.runs(6, "pi", 1, "m1", "r2");
    story.run_state(9, "m1", "r2", "COMPLETED");
    story.ends(10, "pi", 1, "m1", "r2", ("Succeeded", "JobSucceeded", "COMPLETED"));
    one(&story.doubled(), &["one attempt was started twice: job run team/pi-1 of attempt 1 on m1"]);
}

#[test]
fn a_run_beside_an_application_elsewhere_is_doubled() {
    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({"retry": {"maxAttempts": 3}}));
    story.starts_unheard(2, "m1", "pi", 1, "r1");
    story.creates(5, "m2", "pi", 2);
    let moved = json!({
        "placement": placement("pi", 2, "m2"),
        "history": [row(1, "m1", "Failed", "MemberLost")],
    });
    story.status(5, "pi", "Dispatched", "Placed", moved.clone());
    story.run_state(6, "m1", "r1", "CANCELLED");
    story.state(9, "m2", "pi-2", "COMPLETED");
    let mut end = moved;
    merge(&mut end, json!({"application": {"state": "COMPLETED"}}));
    story.status(10, "pi", "Succeeded", "JobSucceeded", end);
    one(
        &story.doubled(),
        &["two were alive", "job run team/pi-1 of attempt 1 on m1", "application team/pi-2"],
    );
}

#[test]
fn a_run_that_the_hub_believes_in_and_that_never_was_is_lost() {
    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({}));
    let unseen = merged(placement("pi", 1, "m1"), json!({"remoteUid": null}));
    story.status(1, "pi", "Dispatched", "Placed", json!({"placement": unseen}));
    one(&story.lost(), &["it has a place on m1 as team/pi-1, and nothing of it was ever there"]);
}

#[test]
fn an_end_that_the_hub_never_heard_of_is_lost_and_one_that_never_came_is_unexplained() {
    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({}));
    story.starts(2, "m1", "pi", 1, "r1");
    story.runs(4, "pi", 1, "m1", "r1");
    story.run_state(9, "m1", "r1", "COMPLETED");
    let lost = story.lost();
    one(&lost, &["it has not ended: Running on m1 as team/pi-1, COMPLETED"]);

    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({}));
    story.starts(2, "m1", "pi", 1, "r1");
    story.runs(4, "pi", 1, "m1", "r1");
    story.ends(10, "pi", 1, "m1", "r1", ("Succeeded", "JobSucceeded", "COMPLETED"));
    let found = story.unexplained();
    assert!(found.iter().any(|it| it.contains("none of its applications ever completed")), "{found:#?}");
    assert!(found.iter().any(|it| it.contains("is alive: RUNNING")), "{found:#?}");
}

#[test]
fn a_cancelled_run_excuses_its_job_only_if_somebody_else_cancelled_it() {
    let story = |by: &str| {
        let mut story = Story::new();
        story.on_emr("m1");
        story.submit(0, "pi", json!({}));
        story.starts(2, "m1", "pi", 1, "r1");
        story.runs(4, "pi", 1, "m1", "r1");
        story.event("m1", 6, json!({"event": "cancelled", "run": "r1", "by": by}));
        story.run_state(6, "m1", "r1", "CANCEL_PENDING");
        story.run_state(7, "m1", "r1", "CANCELLED");
        story.ends(9, "pi", 1, "m1", "r1", ("Failed", "ExternallyCancelled", "CANCELLED"));
        story
    };
    story(moto::OTHER_KEY).clean();
    one(&story(moto::ACCESS_KEY).unexplained(), &["nobody but a router cancelled job run team/pi-1"]);
}

#[test]
fn a_job_that_was_cancelled_does_not_say_so_while_its_run_is_being_cancelled() {
    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({"cancel": true})).cancelled = true;
    story.starts(2, "m1", "pi", 1, "r1");
    story.runs(4, "pi", 1, "m1", "r1");
    story.event("m1", 6, json!({"event": "cancelled", "run": "r1", "by": moto::ACCESS_KEY}));
    story.run_state(6, "m1", "r1", "CANCEL_PENDING");
    story.ends(7, "pi", 1, "m1", "r1", ("Cancelled", "Cancelled", "CANCEL_PENDING"));
    story.run_state(9, "m1", "r1", "CANCELLED");
    one(&story.unexplained(), &["Cancelled was written at", "was alive until"]);
}

#[test]
fn starts_are_counted_by_how_they_became_known() {
    let mut story = Story::new();
    story.on_emr("m1");
    for (job, run) in [("a", "ra"), ("b", "rb"), ("c", "rc")] {
        story.submit(0, job, json!({}));
        match job {
            "a" => story.starts_unheard(2, "m1", job, 1, run),
            "b" => {
                story.starts_unheard(2, "m1", job, 1, run);
                story.asked(3, "m1", job, 1, Some(run), (true, 200, 0.1));
            }
            _ => {
                story.asked(1, "m1", job, 1, None, (false, 429, 0.1));
                story.begins(2, "m1", job, 1, run);
                story.asked(2, "m1", job, 1, Some(run), (false, 200, 1.5));
            }
        }
        story.runs(4, job, 1, "m1", run);
        story.run_state(9, "m1", run, "COMPLETED");
        story.ends(10, job, 1, "m1", run, ("Succeeded", "JobSucceeded", "COMPLETED"));
    }
    let verdict = story.clean();
    let counts = Starts {
        runs: 3,
        asked: 5,
        answered_late: 1,
        never_answered: 2,
        found_by_listing: 1,
        deduplicated: 1,
    };
    assert_eq!(verdict.started.virtual_clusters["m1"], counts);
}

#[test]
fn refusals_count_and_half_a_line_at_the_end_does_not_matter() {
    let mut story = Story::new();
    story.on_emr("m1");
    story.asked(1, "m1", "pi", 1, None, (false, 400, 0.1));
    story.asked(1, "m1", "pi", 1, None, (false, 403, 0.1));
    story.asked(1, "m1", "pi", 1, None, (false, 500, 0.1));
    let evidence = story.close().clone();
    let log = evidence.members[0].audit.clone();
    std::fs::write(&log, format!("{}{{\"at\":", std::fs::read_to_string(&log).unwrap())).unwrap();
    let runs = of(&evidence.members[0]).unwrap();
    assert_eq!(runs.lives.refused, [("uid-pi".to_owned(), 1)].into());
    assert_eq!((runs.lives.tally.lines, runs.lives.tally.torn, runs.asked.len()), (4, 1, 3));
    assert_eq!(runs.lives.last, Some(at(1)));
    std::fs::write(&log, "{\"at\":\n").unwrap();
    assert!(matches!(of(&evidence.members[0]), Err(Error::Audit { line: 1, .. })));
}

#[test]
fn a_run_that_the_record_lacks_is_inferred_and_one_that_is_not_there_any_more_is_gone() {
    let mut story = Story::new();
    story.on_emr("m1");
    story.submit(0, "pi", json!({})).meant = Meant::RunOn;
    story.starts(2, "m1", "pi", 1, "r1");
    story.event("m1", 8, json!({"event": "state", "run": "r1", "state": "RUNNING", "details": null}));
    story.take("m1", "JobRun", "r1");
    let mut more = started("pi", 1, "r9");
    merge(&mut more, json!({"kind": "JobRun", "id": "r9", "state": "RUNNING", "metadata": {"name": "r9"}}));
    story.set("m1", more);
    let runs = of(&story.close().members[0]).unwrap();
    let [gone, inferred] = &runs.lives.all[..] else { panic!("{:?}", runs.lives.all) };
    assert_eq!((gone.gone, gone.went_unseen, gone.is_left), (Some(at(8)), true, false));
    assert_eq!(
        (inferred.is_inferred, inferred.is_alive(), inferred.job.as_deref()),
        (true, true, Some("uid-pi"))
    );
}

/// Six jobs that go their way; the job `skipped` has no end on record.
fn six(skipped: Option<u64>) -> Story {
    let mut story = Story::new();
    story.on_emr("m1");
    for number in 0..6 {
        let (job, run) = (format!("job-{number}"), format!("run-{number}"));
        let begin = i64::try_from(number).unwrap() * 2;
        story.submit(begin, &job, json!({}));
        story.starts(begin + 2, "m1", &job, 1, &run);
        story.runs(begin + 4, &job, 1, "m1", &run);
        story.run_state(begin + 9, "m1", &run, "COMPLETED");
        if skipped != Some(number) {
            story.ends(begin + 10, &job, 1, "m1", &run, ("Succeeded", "JobSucceeded", "COMPLETED"));
        }
    }
    // Long enough after all of that.
    story.event("m1", 60, json!({"event": "deduplicated"}));
    story
}

#[test]
fn whichever_run_is_copied_and_whichever_end_is_left_out_is_found() {
    six(None).clean();
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let number = dice.roll(6);
        let (job, title) = (format!("job-{number}"), format!("team/job-{number}: "));
        let second = i64::try_from(number * 2 + 2 + dice.roll(12)).unwrap();
        let mut story = six(None);
        if dice.percent(50) {
            story.starts_unheard(second, "m1", &job, 1, "copy");
        } else {
            story.starts(second, "m1", &job, 1, "copy");
        }
        story.run_state(second, "m1", "copy", "RUNNING");
        story.run_state(second + 1, "m1", "copy", if dice.percent(50) { "COMPLETED" } else { "FAILED" });
        let verdict = story.verdict();
        assert!(!verdict.doubled.is_empty() && verdict.lost.is_empty(), "seed {seed}: {verdict}");
        assert!(
            verdict.doubled.iter().all(|it| it.to_string().starts_with(&title)),
            "seed {seed}: {verdict}"
        );

        let verdict = six(Some(number)).verdict();
        let lost: Vec<_> = verdict.lost.iter().map(ToString::to_string).collect();
        assert!(lost.len() == 1 && lost[0].starts_with(&title), "seed {seed}: {verdict}");
        assert!(verdict.doubled.is_empty(), "seed {seed}: {verdict}");
    }
}
