use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn run(id: &str, state: &str) -> JobRun {
    JobRun {
        id: RunId(id.to_owned()),
        name: format!("name-{id}"),
        token: format!("token-{id}"),
        state: state.to_owned(),
        details: None,
        failure: None,
        created_at: Some(at(0)),
        finished_at: None,
        tries: None,
        tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
    }
}

fn ids(ids: &[&str]) -> Vec<RunId> {
    ids.iter().map(|id| RunId((*id).to_owned())).collect()
}

#[test]
fn what_left_the_list_is_asked_about_until_its_end_is_known() {
    let (mut rows, patience) = (Rows::default(), Patience::default());
    assert!(!rows.is_synced());
    let news = rows.walked(vec![run("a", "RUNNING"), run("b", "PENDING")], at(0), at(1), &patience);
    assert_eq!((news.changed, news.ask), (ids(&["a", "b"]), vec![]));
    assert!(rows.is_synced());
    let news = rows.walked(vec![run("b", "PENDING")], at(20), at(21), &patience);
    assert_eq!((news.changed, news.ask), (vec![], ids(&["a"])));
    // The look failed: it is asked about again.
    let news = rows.walked(vec![run("b", "RUNNING")], at(40), at(41), &patience);
    assert_eq!((news.changed, news.ask), (ids(&["b"]), ids(&["a"])));
    assert_eq!(rows.get(&RunId("b".to_owned())).unwrap().running_since, Some(at(41)));
    let seen =
        rows.looked(&RunId("a".to_owned()), Look::There(Box::new(run("a", "COMPLETED"))), at(42), &patience);
    assert_eq!(seen, Became::Changed);
    let news = rows.walked(vec![run("b", "RUNNING")], at(60), at(61), &patience);
    assert_eq!((news.changed, news.ask), (vec![], vec![]));
    assert_eq!(rows.count(), (2, 1));
}

#[test]
fn a_run_that_was_just_started_may_be_missing_for_a_while() {
    let (mut rows, patience) = (Rows::default(), Patience::default());
    rows.walked(vec![], at(0), at(0), &patience);
    assert!(rows.told(run("a", "PENDING"), at(1)));
    for second in [2, 5, 10] {
        assert!(rows.walked(vec![], at(second), at(second), &patience).ask.is_empty(), "{second}");
    }
    // Also one that was never listed because it failed at once is seen by the second walk.
    assert_eq!(rows.walked(vec![], at(11), at(11), &patience).ask, ids(&["a"]));
    // Once it was listed, its absence means something at once; but not of a walk that began before it was known.
    let mut rows = Rows::default();
    rows.told(run("a", "PENDING"), at(1));
    rows.walked(vec![run("a", "PENDING")], at(5), at(5), &patience);
    assert_eq!(rows.walked(vec![], at(20), at(20), &patience).ask, ids(&["a"]));
    let mut rows = Rows::default();
    rows.told(run("a", "PENDING"), at(10));
    rows.walked(vec![run("a", "PENDING")], at(9), at(11), &patience);
    assert!(rows.walked(vec![], at(9), at(30), &patience).ask.is_empty());
}

#[test]
fn a_run_that_nobody_knows_is_gone_after_a_grace_but_an_end_that_was_seen_stays() {
    let (mut rows, patience) = (Rows::default(), Patience::default());
    let id = RunId("a".to_owned());
    rows.walked(vec![run("a", "RUNNING")], at(0), at(0), &patience);
    assert_eq!(rows.looked(&id, Look::Missing, at(10), &patience), Became::Same);
    assert!(rows.get(&id).is_some(), "one answer is not enough");
    rows.looked(&id, Look::There(Box::new(run("a", "RUNNING"))), at(30), &patience);
    assert_eq!(rows.looked(&id, Look::Missing, at(71), &patience), Became::Same, "the grace begins anew");
    assert_eq!(
        rows.looked(&id, Look::Missing, at(131), &patience),
        Became::Gone(Box::new(run("a", "RUNNING")))
    );
    assert!(rows.get(&id).is_none() && rows.named("name-a").is_empty());

    rows.told(run("a", "FAILED"), at(140));
    assert_eq!(rows.looked(&id, Look::Missing, at(200), &patience), Became::Same);
    assert_eq!(rows.looked(&id, Look::Missing, at(400), &patience), Became::Same);
    assert!(rows.get(&id).is_some());
}

#[test]
fn what_is_over_is_kept_for_a_time_and_in_a_number() {
    let patience = Patience { most_over: 2, ..Patience::default() };
    let mut rows = Rows::default();
    for (index, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
        rows.told(run(id, "COMPLETED"), at(i64::try_from(index).unwrap()));
    }
    rows.told(run("live", "RUNNING"), at(0));
    rows.walked(vec![run("live", "RUNNING")], at(10), at(10), &patience);
    assert_eq!(rows.count(), (3, 1));
    assert!(rows.get(&RunId("d".to_owned())).is_some() && rows.get(&RunId("a".to_owned())).is_none());
    let news = rows.walked(vec![run("live", "RUNNING")], at(8000), at(8000), &patience);
    assert_eq!((rows.count(), news.gone.len()), ((1, 1), 2));
}

#[test]
fn the_run_that_was_made_last_is_the_one_of_its_name() {
    let mut rows = Rows::default();
    let twin = |id: &str, second| JobRun {
        name: "n".to_owned(),
        created_at: Some(at(second)),
        ..run(id, "RUNNING")
    };
    rows.told(twin("a", 5), at(6));
    rows.told(twin("b", 7), at(8));
    rows.told(twin("c", 1), at(9));
    let named: Vec<&str> = rows.named("n").into_iter().map(|row| row.run.id.0.as_str()).collect();
    assert_eq!(named, ["b", "a", "c"]);
    // What a start tells takes nothing away of what is known.
    let bare = JobRun { tags: BTreeMap::new(), created_at: None, ..twin("a", 5) };
    assert!(!rows.told(bare, at(10)));
}

#[derive(Clone, Debug)]
enum Event {
    Told(u8, u8),
    Walk(Vec<(u8, u8)>, i64),
    Look(u8, Option<u8>),
    Forget(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let state = 0u8..9;
    prop_oneof![
        (0u8..6, state.clone()).prop_map(|(id, state)| Event::Told(id, state)),
        (prop::collection::vec((0u8..6, 0u8..5), 0..6), 0i64..30)
            .prop_map(|(runs, took)| Event::Walk(runs, took)),
        (0u8..6, prop::option::of(state)).prop_map(|(id, state)| Event::Look(id, state)),
        (0u8..6).prop_map(Event::Forget),
    ]
}

fn some(id: u8, state: u8) -> JobRun {
    let state = ACTIVE.iter().chain(&ENDED).chain(&["HIBERNATING", ""]).nth(usize::from(state)).unwrap();
    run(&id.to_string(), state)
}

proptest! {
    #[test]
    fn whatever_comes_an_end_stays_and_only_the_missing_are_asked_about(
        events in prop::collection::vec((event(), 0i64..200), 1..60)
    ) {
        let (mut rows, patience) = (Rows::default(), Patience::default());
        let mut now = 0;
        for (event, pause) in events {
            now += pause;
            let over: HashMap<RunId, JobRun> = rows
                .all()
                .filter(|row| row.over_since.is_some())
                .map(|row| (row.run.id.clone(), row.run.clone()))
                .collect();
            let live: HashSet<RunId> =
                rows.all().filter(|row| row.over_since.is_none()).map(|row| row.run.id.clone()).collect();
            let mut forgotten = None;
            match event {
                Event::Told(id, state) => {
                    rows.told(some(id, state), at(now));
                }
                Event::Walk(runs, took) => {
                    let runs: Vec<JobRun> = runs.into_iter().map(|(id, state)| some(id, state)).collect();
                    let listed: HashSet<RunId> = runs.iter().map(|run| run.id.clone()).collect();
                    let news = rows.walked(runs, at(now), at(now + took), &patience);
                    now += took;
                    for id in &news.ask {
                        prop_assert!(!listed.contains(id), "it is in the list");
                        prop_assert!(live.contains(id), "it is over, or nobody knew it");
                    }
                    for id in &news.changed {
                        prop_assert!(listed.contains(id));
                    }
                    prop_assert!(rows.is_synced());
                }
                Event::Look(id, state) => {
                    let look = state.map_or(Look::Missing, |state| Look::There(Box::new(some(id, state))));
                    rows.looked(&RunId(id.to_string()), look, at(now), &patience);
                }
                Event::Forget(id) => {
                    let id = RunId(id.to_string());
                    rows.forget(&id);
                    forgotten = Some(id);
                }
            }
            for (id, was) in over {
                match rows.get(&id) {
                    Some(row) => prop_assert!(is_over(&row.run.state), "{was:?} is alive again"),
                    None => prop_assert!(
                        forgotten == Some(id.clone()) || now >= patience.over.as_secs(),
                        "an end is forgotten too early"
                    ),
                }
            }
            // The two ways to a run lead to the same.
            for row in rows.all() {
                prop_assert!(rows.named(&row.run.name).iter().any(|named| named.run.id == row.run.id));
                prop_assert_eq!(row.over_since.is_some(), is_over(&row.run.state));
            }
        }
    }
}
