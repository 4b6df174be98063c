use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn options(budget_iterations: u32) -> HalvingOptions {
    HalvingOptions {
        budget_iterations,
        worst: 1.5,
        alpha: 0.05,
        minimum_effect: 0.005,
    }
}

/// An iteration of 100 ms with 2 % of noise and a spike of up to 100 % in one of twenty.
fn iteration(factor: f64, rng: &mut ChaCha8Rng) -> f64 {
    let noise: f64 = rng.random_range(-0.02..0.02);
    let spike = if rng.random_bool(0.05) {
        rng.random_range(0.0..1.0)
    } else {
        0.0
    };
    100.0 * factor * (1.0 + noise + spike)
}

/// Runs a race of candidates with these true ratios to its end.
fn race(ratios: &[f64], budget: u32, seed: u64) -> Halving {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut race = Halving::new(ratios.len(), &options(budget)).unwrap();
    while let Some(stretch) = race.ask() {
        for _ in 0..stretch.pairs {
            let incumbent = iteration(1.0, &mut rng);
            let time = iteration(ratios[stretch.candidate], &mut rng);
            if race.tell(stretch.candidate, incumbent, time) != Standing::In {
                break;
            }
        }
    }
    race
}

fn winner(race: &Halving) -> Option<usize> {
    match race.outcome() {
        Outcome::Candidate { candidate, .. } => Some(candidate),
        Outcome::Incumbent => None,
    }
}

#[test]
fn the_best_of_eight_wins_nearly_always() {
    let ratios = [1.0, 1.1, 0.99, 0.9, 1.3, 1.0, 0.97, 1.05];
    let won = (0..100).filter(|&seed| winner(&race(&ratios, 300, seed)) == Some(3));
    let won = won.count();
    assert!(won >= 95, "{won} of 100");
}

#[test]
fn candidates_that_change_nothing_win_less_often_than_alpha() {
    let won = (0..300).filter(|&seed| winner(&race(&[1.0; 8], 300, seed)).is_some());
    let won = won.count();
    assert!(won <= 15, "{won} of 300");
}

#[test]
fn the_ratio_of_the_winner_is_in_its_interval() {
    let inside = (0..100).filter(|&seed| {
        let Outcome::Candidate {
            candidate: 0,
            ratio,
        } = race(&[0.93, 1.0], 200, seed).outcome()
        else {
            return false;
        };
        ratio.ci95[0] <= 0.93 && 0.93 <= ratio.ci95[1]
    });
    assert!(inside.count() >= 95);
}

#[test]
fn a_candidate_beyond_the_bound_gets_one_pair_and_a_failure_none_after_it() {
    let mut race = Halving::new(3, &options(60)).unwrap();
    let mut told = [0; 3];
    while let Some(stretch) = race.ask() {
        told[stretch.candidate] += 1;
        let time = [3.0, f64::INFINITY, 0.9][stretch.candidate];
        race.tell(stretch.candidate, 1.0, time);
    }
    assert_eq!(told[..2], [1, 1]);
    assert_eq!(race.standing(0), Some(Standing::TooSlow { ratio: 3.0 }));
    assert_eq!(race.standing(1), Some(Standing::Failed));
    assert_eq!(winner(&race), Some(2));
    // Decided and alone, it does not use up the budget.
    assert!(race.iterations() < 60, "{}", race.iterations());
}

#[test]
fn one_that_is_surely_slower_is_dropped_before_the_round_ends() {
    let race = race(&[1.2, 1.0], 400, 1);
    assert!(matches!(race.standing(0), Some(Standing::Slower { .. })));
    assert_eq!(winner(&race), None);
    let pairs = race.runners[0].comparison.pairs();
    assert!(pairs < 30, "{pairs} of the 100 it had");
}

#[test]
fn without_a_pair_for_everyone_there_is_no_race() {
    let error = Halving::new(8, &options(47)).unwrap_err();
    let expected = HalvingError::BudgetTooSmall {
        budget: 47,
        least: 48,
        candidates: 8,
    };
    assert_eq!(error, expected);
    assert!(Halving::new(8, &options(48)).is_ok());
    let mut nobody = Halving::new(0, &options(0)).unwrap();
    assert_eq!(nobody.ask(), None);
    assert_eq!(nobody.outcome(), Outcome::Incumbent);
}

proptest! {
    #[test]
    fn the_budget_is_never_exceeded_and_every_candidate_is_heard(
        ratios in proptest::collection::vec(0.8_f64..1.6, 1..12),
        budget in 0_u32..400,
        seed: u64,
    ) {
        let count = u32::try_from(ratios.len()).unwrap();
        let least = 2 * count * count.next_power_of_two().ilog2().max(1);
        let race = race(&ratios, least + budget, seed);
        prop_assert!(race.iterations() <= least + budget);
        for runner in &race.runners {
            prop_assert!(runner.comparison.pairs() >= 1);
        }
        prop_assert_eq!(race.outcome(), super::tests::race(&ratios, least + budget, seed).outcome());
    }
}
