use serde_json::json;

use super::story::Story;
use super::*;

#[test]
fn a_healthy_run_is_clean_and_was_looked_at() {
    let mut story = Story::new();
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        story.succeeds(i64::try_from(number).unwrap() * 3, name);
    }
    let verdict = story.clean();
    assert_eq!(verdict.finished, 3);
    assert_eq!((verdict.seen.applications, verdict.seen.driver_pods, verdict.seen.inferred), (3, 3, 0));
    assert!(verdict.seen.lines > 30 && verdict.seen.torn == 0, "{verdict}");
}

#[test]
fn several_lives_of_a_server_in_one_file_are_read() {
    let mut story = Story::new();
    story.raw("m1", "{\"kind\":\"Event\",\"verb\":\"get\",\"objectRef\":{\"resource\":\"pods\"");
    story.succeeds(0, "pi");
    let evidence = story.close().clone();
    let log = std::fs::read_to_string(&evidence.members[0].audit).unwrap();
    // A killed server leaves no line feed: the next life begins on the same line.
    std::fs::write(&evidence.members[0].audit, log.replacen("\"pods\"\n", "\"pods\"", 1)).unwrap();
    let verdict = judge(&evidence).unwrap();
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(verdict.seen.torn, 1);
}

#[test]
fn the_verdict_over_kept_evidence_is_the_same() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    story.creates_as(6, "m2", "pi", 1, "pi-copy");
    let verdict = story.verdict();
    assert_eq!(verdict.doubled.len(), 1, "{verdict}");
    let shelf = tempfile::tempdir().unwrap();
    story.evidence.write(shelf.path()).unwrap();
    assert_eq!(judge(&Evidence::read(shelf.path()).unwrap()).unwrap(), verdict);
}

#[test]
fn evidence_that_cannot_be_read_is_an_error() {
    let mut story = Story::new();
    story.succeeds(0, "pi");
    let mut evidence = story.close().clone();
    evidence
        .hub
        .objects
        .push(json!({"kind": "RoutedSparkJob", "metadata": {"name": "odd"}, "status": {"history": 3}}));
    assert!(matches!(judge(&evidence), Err(Error::Object { .. })));
    evidence.hub.objects.pop();
    evidence.members[1].audit = "/nonexistent/audit.log".into();
    assert!(matches!(judge(&evidence), Err(Error::File { .. })));
}

#[test]
fn a_verdict_reads_as_text() {
    let mut story = Story::new();
    story.submit(0, "pi", json!({}));
    story.take("hub", "RoutedSparkJob", "pi");
    let text = story.verdict().to_string();
    assert!(text.starts_with("0 finished, 0 gone") && text.contains("\nlost: team/pi: it is gone"), "{text}");
}
