use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::forest::ForestOptions;
use crate::space::Parameter;

fn observe(space: &MixedSpace, value: impl Fn(&Point) -> f64) -> Vec<(Point, f64)> {
    let points = space.points(usize::MAX).into_iter();
    points.map(|p| (p.clone(), value(&p))).collect()
}

/// Trees that know every value, so that shares are those of the function itself.
fn exact(space: &MixedSpace, data: &[(Point, f64)]) -> Forest {
    let options = ForestOptions {
        trees: 4,
        parameter_share: 1.0,
        least_split: 2,
        bagging: false,
    };
    Forest::fit(space, data, &options, &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
}

fn level(point: &Point, index: usize) -> f64 {
    f64::from(point.level(index).unwrap())
}

#[track_caller]
fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
}

#[test]
fn shares_of_a_sum_are_the_variances_of_its_terms() {
    let space = MixedSpace::new(vec![
        Parameter::linear("x", &[0.0, 1.0, 2.0]),
        Parameter::categorical("c", 2),
        Parameter::linear("idle", &[0.0, 1.0]),
    ]);
    // Variances: 9 * 2/3 = 6 and 16 * 1/4 = 4.
    let data = observe(&space, |p| 3.0 * level(p, 0) + 4.0 * level(p, 1));
    let anova = functional_anova(&exact(&space, &data), &[(0, 1), (0, 2)]);
    assert_near(anova.main[0].mean, 0.6);
    assert_near(anova.main[1].mean, 0.4);
    assert_near(anova.main[2].mean, 0.0);
    assert_near(anova.pairs[0].1.mean, 0.0);
    assert_near(anova.main[0].deviation, 0.0);
    for (level, expected) in [2.0, 5.0, 8.0].into_iter().enumerate() {
        assert_near(anova.marginals[0][level], expected);
    }
}

#[test]
fn an_exclusive_or_is_all_interaction() {
    let space = MixedSpace::new(vec![
        Parameter::categorical("a", 2),
        Parameter::categorical("b", 2),
        Parameter::categorical("c", 2),
    ]);
    let data = observe(&space, |p| (level(p, 0) - level(p, 2)).abs());
    let anova = functional_anova(&exact(&space, &data), &[(0, 1), (0, 2), (2, 0)]);
    for share in &anova.main {
        assert_near(share.mean, 0.0);
    }
    assert_near(anova.pairs[0].1.mean, 0.0);
    assert_near(anova.pairs[1].1.mean, 1.0);
    assert_near(anova.pairs[2].1.mean, 1.0);
}

#[test]
fn a_parameter_that_exists_half_of_the_time_has_half_of_the_variance_there() {
    let space = MixedSpace::new(vec![
        Parameter::categorical("protocol", 2),
        Parameter::linear("chunk", &[0.0, 1.0]).only_when(0, vec![1]),
    ]);
    // Drawn: (0, either) = 0, (1, 0) = 1, (1, 1) = 3. Mean 1, variance 6/4; the protocol's means
    // 0 and 2 have variance 1; the chunk's drawn means 1/2 and 3/2 have 1/4; 1/4 is left.
    let data = observe(&space, |p| match (p.level(0), p.level(1)) {
        (Some(1), chunk) => 1.0 + 2.0 * f64::from(chunk.unwrap()),
        _ => 0.0,
    });
    assert_eq!(data.len(), 3);
    let anova = functional_anova(&exact(&space, &data), &[(0, 1)]);
    assert_near(anova.main[0].mean, 1.0 / 1.5);
    assert_near(anova.main[1].mean, 0.25 / 1.5);
    assert_near(anova.pairs[0].1.mean, 0.25 / 1.5);
}

#[test]
fn chances_with_chained_conditions_agree_with_sampling() {
    let space = MixedSpace::new(vec![
        Parameter::categorical("a", 3),
        Parameter::categorical("b", 2).only_when(0, vec![0, 2]),
        Parameter::linear("c", &[0.0, 1.0, 2.0]).only_when(1, vec![1]),
        Parameter::linear("d", &[0.0, 1.0]),
        Parameter::categorical("never", 2).only_when(9, vec![0]),
    ]);
    let value = |p: &Point| {
        let at = |index: usize| p.level(index).map_or(-1.0, f64::from);
        (1.0 + at(0)) * (2.0 + at(1)) + at(2).powi(2) * (1.0 + at(3))
    };
    let forest = exact(&space, &observe(&space, value));
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let draws: Vec<f64> = (0..200_000)
        .map(|_| value(&space.sample(&mut rng)))
        .collect();
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    let anova = functional_anova(&forest, &[]);
    for marginal in &anova.marginals {
        let overall = marginal.iter().sum::<f64>() / marginal.len() as f64;
        assert!((overall - mean).abs() < 0.03, "{overall} for {mean}");
    }
    assert_near(anova.main[4].mean, 0.0);
}

#[test]
fn a_forest_of_few_noisy_evaluations_ranks_what_matters_first() {
    let parameters = (0..6).map(|n| Parameter::linear(format!("p{n}"), &[0.0, 1.0, 2.0, 3.0]));
    let space = MixedSpace::new(parameters.collect());
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let data: Vec<(Point, f64)> = (0..120)
        .map(|_| {
            let p = space.sample(&mut rng);
            let noise: f64 = rng.random_range(-0.5..0.5);
            let value = 3.0 * level(&p, 2) + level(&p, 4) + noise;
            (p, value)
        })
        .collect();
    let forest = Forest::fit(&space, &data, &ForestOptions::default(), &mut rng).unwrap();
    let anova = functional_anova(&forest, &[]);
    let shares: Vec<f64> = anova.main.iter().map(|s| s.mean).collect();
    let permuted = permutation_importance(&forest, &data, &mut rng);
    for importance in [&shares, &permuted] {
        assert!(importance[2] > 4.0 * importance[4], "{importance:?}");
        for idle in [0, 1, 3, 5] {
            assert!(importance[4] > 2.0 * importance[idle], "{importance:?}");
            assert!(importance[idle].abs() < 0.03, "{importance:?}");
        }
    }
    assert!((shares[2] - 0.9).abs() < 0.1, "{shares:?}");
}

#[test]
fn shuffling_a_condition_keeps_every_point_inside_the_space() {
    let space = MixedSpace::new(vec![
        Parameter::categorical("protocol", 2),
        Parameter::linear("chunk", &[0.0, 1.0, 2.0]).only_when(0, vec![1]),
    ]);
    for point in space.points(100) {
        for donor in space.points(100) {
            for index in 0..2 {
                if donor.level(index).is_some() && point.level(index).is_some() {
                    let moved = with_level_of(&space, &point, index, &donor);
                    assert!(space.contains(&moved));
                    assert_eq!(moved.level(index), donor.level(index));
                }
            }
        }
    }
}

#[test]
fn equal_values_have_no_shares_and_no_importance() {
    let space = MixedSpace::new(vec![Parameter::categorical("a", 2)]);
    let data = observe(&space, |_| 5.0);
    let forest = exact(&space, &data);
    assert_eq!(functional_anova(&forest, &[]).main, [Share::default()]);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    assert_eq!(permutation_importance(&forest, &data, &mut rng), [0.0]);
}
