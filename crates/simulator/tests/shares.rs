//! What the router must show: weights that hold after every single placement.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a failure is a failure")]

use std::collections::BTreeMap;

use spark_router_simulator::{
    generate::Parameters,
    report::Outcome,
    run::{Settings, run},
};

fn simulate(parameters: &str) -> Outcome {
    let parameters: Parameters = parameters.parse().unwrap();
    let fleet = parameters.fleet();
    let queues: Vec<_> = fleet.queues.keys().cloned().collect();
    let cores = fleet.members.values().map(|facts| facts.capacity.cpu_milli).sum::<Option<u64>>();
    run(&fleet, parameters.jobs(&queues, cores), Settings::default(), |_| {}).unwrap()
}

fn placed(outcome: &Outcome) -> BTreeMap<u32, Vec<u64>> {
    let mut placed: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (_, share) in outcome.shares.values().flatten() {
        placed.entry(share.weight).or_default().push(share.placed);
    }
    placed
}

#[test]
fn four_members_get_40_30_20_10_after_every_placement() {
    let outcome = simulate("jobs=10000,weights=40/30/20/10,cores=0");
    assert_eq!(outcome.summary.placed, 10_000);
    assert!(outcome.summary.max_weight_error < 1.0, "{}", outcome.summary.max_weight_error);
    let expected =
        [(10, 1000), (20, 2000), (30, 3000), (40, 4000)].map(|(weight, jobs)| (weight, vec![jobs]));
    assert_eq!(placed(&outcome), BTreeMap::from(expected));
}

#[test]
fn one_of_60_and_forty_of_1_get_their_shares_after_every_placement() {
    let outcome = simulate("jobs=10000,weights=60/40x1,cores=0");
    assert!(outcome.summary.max_weight_error < 1.0, "{}", outcome.summary.max_weight_error);
    assert_eq!(placed(&outcome), BTreeMap::from([(1, vec![100; 40]), (60, vec![6000])]));
}

#[test]
fn the_same_input_gives_the_same_report() {
    let report = || {
        let outcome = simulate("jobs=3000,members=8,queues=4,cores=60,load=120,seed=5");
        (
            outcome
                .shares
                .into_iter()
                .map(|(q, s)| (q, s.into_iter().map(|(c, s)| (c, s.placed)).collect::<Vec<_>>()))
                .collect::<Vec<_>>(),
            outcome.summary.wait_seconds.max,
            outcome.summary.utilisation,
        )
    };
    assert_eq!(report(), report());
}

#[test]
fn everybody_is_placed_and_no_member_is_overrun_under_more_load_than_there_is_room() {
    let outcome = simulate("jobs=5000,members=6,queues=3,candidates=4,cores=60,load=200");
    assert_eq!(outcome.summary.unplaced, 0);
    assert!(outcome.summary.wait_seconds.max > 60.0, "they had to wait");
    for (member, used) in &outcome.summary.utilisation {
        assert!((0.5..=1.0).contains(&used.unwrap()), "{member}: {used:?}");
    }
    assert!(outcome.summary.fairness > 0.9, "{}", outcome.summary.fairness);
}

/// `cargo test --release -p spark-router-simulator -- --ignored --nocapture`: takes a minute or two.
#[test]
#[ignore = "a minute in a release build, an hour in any other"]
fn a_million_jobs_over_a_thousand_members() {
    let outcome = simulate("members=1000,jobs=1000000,queues=50,seed=7");
    eprintln!("{}", outcome.to_string().lines().take(5).collect::<Vec<_>>().join("\n"));
    assert_eq!(outcome.summary.placed, 1_000_000);
}
