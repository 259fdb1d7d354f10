//! Shares hold at every prefix, whoever comes and goes.

use proptest::prelude::*;

use super::*;

type Candidate = (ClusterName, u32);

fn candidates(weights: &[u32]) -> Vec<Candidate> {
    weights.iter().enumerate().map(|(n, weight)| (ClusterName::new(format!("m{n:03}")), *weight)).collect()
}

fn each(among: &[Candidate]) -> impl Iterator<Item = (&ClusterName, u32)> + Clone {
    among.iter().map(|(cluster, weight)| (cluster, *weight))
}

fn place(credits: &mut Credits, among: &[Candidate]) -> ClusterName {
    let picked = among[credits.pick(each(among), |_| 0).unwrap()].0.clone();
    credits.book(each(among), &picked);
    picked
}

#[test]
fn fifty_thirty_twenty_is_exact_in_every_ten() {
    let among = candidates(&[50, 30, 20]);
    let mut credits = Credits::default();
    for _ in 0..100 {
        let mut placed = [0; 3];
        for _ in 0..10 {
            let picked = place(&mut credits, &among);
            placed[among.iter().position(|c| c.0 == picked).unwrap()] += 1;
        }
        assert_eq!(placed, [5, 3, 2]);
    }
}

#[test]
fn one_large_and_forty_small_weights_do_not_drift() {
    let mut weights = vec![60];
    weights.extend([1; 40]);
    let among = candidates(&weights);
    let mut credits = Credits::default();
    for _ in 0..5000 {
        place(&mut credits, &among);
        assert!(credits.iter().all(|(_, credit)| credit.is_below_one_job()));
    }
}

#[test]
fn a_member_that_was_away_gets_no_burst() {
    let all = candidates(&[1, 1]);
    let mut credits = Credits::default();
    for _ in 0..500 {
        place(&mut credits, &all[..1]);
    }
    let next: Vec<_> = (0..10).map(|_| place(&mut credits, &all)).collect();
    assert_eq!(next.iter().filter(|c| c.as_str() == "m001").count(), 5);
}

#[test]
fn members_that_come_and_go_leave_no_debt_behind() {
    let all = candidates(&[3, 3, 1]);
    let mut credits = Credits::default();
    for _ in 0..50 {
        // The third goes whenever it is owed something.
        place(&mut credits, &all);
        place(&mut credits, &all);
        credits.retain(|cluster| cluster.as_str() != "m002");
    }
    let newcomer = candidates(&[3, 3, 1, 7]);
    let among = [newcomer[0].clone(), newcomer[1].clone(), newcomer[3].clone()];
    let next: Vec<_> = (0..13).map(|_| place(&mut credits, &among)).collect();
    let gets = next.iter().filter(|c| c.as_str() == "m003").count();
    assert!((6..=8).contains(&gets), "7 of 13 by its weight, not {gets}");
}

/// Sets that somebody who knows every credit picks to do the most harm: no rule that decides at once keeps such an
/// error below a constant; it grows with the number of members. By the quota method alone it was above 8 here.
#[test]
fn sets_picked_to_do_harm_cost_less_than_a_third_of_a_job_a_member() {
    let mut worst = 0;
    for seed in 0..6u32 {
        let weights: Vec<u32> = (0..8).map(|n| 1 + (n * 37 + seed * 11) % 100).collect();
        let all = candidates(&weights);
        let mut credits = Credits::default();
        for _ in 0..300 {
            let mut most: Option<(i128, Credits)> = None;
            for set in 1..256u32 {
                let among: Vec<_> = all
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| set >> n & 1 == 1)
                    .map(|(_, c)| c.clone())
                    .collect();
                if among.len() < 2 {
                    continue;
                }
                let mut next = credits.clone();
                place(&mut next, &among);
                let harm = next.iter().map(|(_, credit)| credit.thousandths().pow(2)).sum();
                if most.as_ref().is_none_or(|(before, _)| harm > *before) {
                    most = Some((harm, next));
                }
            }
            credits = most.unwrap().1;
            worst = worst.max(credits.iter().map(|(_, credit)| credit.thousandths().abs()).max().unwrap());
        }
    }
    assert!(worst > 1000, "they do harm: {worst}");
    assert!(worst < 1000 + 8 * 333, "{worst} thousandths");
}

#[test]
fn credits_survive_as_text() {
    for text in ["0/1", "3/10", "-1/3"] {
        assert_eq!(text.parse::<Credit>().unwrap().to_string(), text);
    }
    for text in ["", "1", "1/0", "1/-3", "a/b"] {
        assert!(text.parse::<Credit>().is_err());
    }
}

proptest! {
    #[test]
    fn every_prefix_stays_below_one_job(weights in prop::collection::vec(1u32..1000, 1..30), jobs in 1usize..400) {
        let among = candidates(&weights);
        let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut credits = Credits::default();
        let mut placed = vec![0u64; weights.len()];
        for n in 1..=u64::try_from(jobs).unwrap() {
            let picked = place(&mut credits, &among);
            placed[among.iter().position(|c| c.0 == picked).unwrap()] += 1;
            for (placed, weight) in placed.iter().zip(&weights) {
                let ideal = n * u64::from(*weight);
                prop_assert!((placed * sum).abs_diff(ideal) < sum, "{placed} of {n} at weight {weight} of {sum}");
            }
        }
    }

    #[test]
    fn unbooking_restores_every_credit(weights in prop::collection::vec(1u32..50, 2..8), jobs in 0usize..40) {
        let among = candidates(&weights);
        let mut credits = Credits::default();
        for _ in 0..jobs {
            place(&mut credits, &among);
        }
        let before: Vec<_> = among.iter().map(|c| credits.of(&c.0)).collect();
        let picked = place(&mut credits, &among);
        credits.unbook(each(&among), &picked);
        let after: Vec<_> = among.iter().map(|c| credits.of(&c.0)).collect();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn changing_candidate_sets_stay_below_two_jobs(
        weights in prop::collection::vec(1u32..100, 2..12),
        sets in prop::collection::vec(any::<u16>(), 1..300),
    ) {
        let all = candidates(&weights);
        let mut credits = Credits::default();
        for set in sets {
            let among: Vec<_> =
                all.iter().enumerate().filter(|(n, _)| set >> n & 1 == 1).map(|(_, c)| c.clone()).collect();
            if !among.is_empty() {
                place(&mut credits, &among);
            }
        }
        for (cluster, credit) in credits.iter() {
            prop_assert!(credit.thousandths().abs() < 2000, "{cluster} is off by {credit}");
        }
        let total: i128 = credits.iter().map(|(_, c)| c.thousandths()).sum();
        // Each is rounded down to a thousandth.
        prop_assert!((-12..=0).contains(&total), "what one gains the others lose: {total}");
    }
}
