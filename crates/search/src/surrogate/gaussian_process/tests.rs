//! The process against what is known of it exactly.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::problem::ReferenceProblem;
use crate::space::Parameter;

/// Told some measurements of the reference problem, as logarithms.
fn told(count: usize, seed: u64, variance: f64) -> (GaussianProcess, Vec<(Point, f64)>) {
    let problem = ReferenceProblem::shared();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut process = GaussianProcess::new(problem.space());
    let mut pairs = Vec::new();
    for _ in 0..count {
        let point = problem.space().sample(&mut rng);
        let value = problem.measure_us(&point, &mut rng).ln();
        process
            .tell(&point, Belief::CONSTANT, value, variance)
            .unwrap();
        process.refit().unwrap();
        pairs.push((point, value));
    }
    (process, pairs)
}

#[test]
fn precise_observations_are_met_and_far_from_all_of_them_it_knows_little() {
    let space = MixedSpace::new(vec![Parameter::linear(
        "x",
        &(0..50).map(f64::from).collect::<Vec<_>>(),
    )]);
    let mut process = GaussianProcess::new(&space);
    for level in [0, 3, 6, 9, 12] {
        let value = (f64::from(level) / 5.0).sin();
        let point = space.point(&[level]);
        process.tell(&point, Belief::CONSTANT, value, 0.0).unwrap();
    }
    process.settle().unwrap();
    let at = |level: u16| process.predict(&space.point(&[level]), Belief::CONSTANT);
    assert!((at(6).mean - 1.2_f64.sin()).abs() < 0.03);
    assert!((at(7).mean - 1.4_f64.sin()).abs() < 0.05);
    assert!(at(49).variance > 20.0 * at(6).variance);
}

#[test]
fn an_observation_with_more_noise_counts_less() {
    let space = MixedSpace::new(vec![Parameter::categorical("x", 2)]);
    let mean_with = |variance: f64| {
        let mut process = GaussianProcess::new(&space);
        let point = space.point(&[0]);
        process.tell(&point, Belief::CONSTANT, 0.0, 1e-4).unwrap();
        process
            .tell(&point, Belief::CONSTANT, 1.0, variance)
            .unwrap();
        process.predict(&point, Belief::CONSTANT).mean
    };
    assert!((mean_with(1e-4) - 0.5).abs() < 0.01);
    assert!(mean_with(1.0) < 0.1);
}

#[test]
fn three_observations_do_not_explode() {
    for values in [[0.0, 0.0, 0.0], [0.0, 5.0, -5.0], [1e-9, 2e-9, 3e-9]] {
        let problem = ReferenceProblem::shared();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut process = GaussianProcess::new(problem.space());
        for value in values {
            let point = problem.space().sample(&mut rng);
            process.tell(&point, Belief::CONSTANT, value, 0.0).unwrap();
        }
        process.settle().unwrap();
        let point = problem.space().sample(&mut rng);
        let posterior = process.predict(&point, Belief::CONSTANT);
        assert!(posterior.mean.abs() < 6.0, "{posterior:?}");
        assert!(posterior.variance > 0.0 && posterior.variance < 40.0);
    }
}

/// Rows added one at a time give what a fit from scratch at the same hyperparameters gives.
#[test]
fn growing_is_the_same_as_starting_over() {
    let (process, _) = told(60, 1, 1e-4);
    let mut again = process.clone();
    again.set(&process.logs());
    again.extend().unwrap();
    let problem = ReferenceProblem::shared();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..20 {
        let point = problem.space().sample(&mut rng);
        let (a, b) = (
            process.predict(&point, Belief::CONSTANT),
            again.predict(&point, Belief::CONSTANT),
        );
        assert!((a.mean - b.mean).abs() < 1e-9 && (a.variance - b.variance).abs() < 1e-9);
    }
    assert!((process.log_evidence() - again.log_evidence()).abs() < 1e-7);
}

#[test]
fn left_out_observations_are_predicted_as_if_they_had_not_been_told() {
    let (process, pairs) = told(25, 3, 1e-3);
    let formula = process.leave_one_out();
    for (index, (point, value)) in pairs.iter().enumerate() {
        let mut without = process.clone();
        without.data = Data::default();
        for (other, (point, value)) in pairs.iter().enumerate() {
            if other != index {
                let codes = without.kernel.encode(point);
                without.data.push(&codes, Belief::CONSTANT, *value, 1e-3);
            }
        }
        without.factor.truncate(0);
        without.extend().unwrap();
        let posterior = without.predict(point, Belief::CONSTANT);
        let noise = 1e-3 + process.excess_variance();
        let found = formula[index];
        assert!((found.residual - (value - posterior.mean)).abs() < 1e-6);
        assert!((found.variance - posterior.variance - noise).abs() < 1e-6);
    }
}

/// The intervals are honest: residuals are as large as it says.
#[test]
fn left_out_observations_scatter_as_predicted() {
    let (mut process, _) = told(120, 4, 0.0);
    process.settle().unwrap();
    let scores: Vec<f64> = process
        .leave_one_out()
        .iter()
        .map(|l| l.residual.powi(2) / l.variance)
        .collect();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    assert!((0.6..1.6).contains(&mean), "{mean}");
}

#[test]
fn a_fit_makes_the_observations_likelier_than_the_prior_medians_do() {
    let (mut process, pairs) = told(60, 6, 0.0);
    process.settle().unwrap();
    let mut unfitted = process.clone();
    let problem = ReferenceProblem::shared();
    unfitted.set(&GaussianProcess::new(problem.space()).logs());
    unfitted.extend().unwrap();
    assert!(process.log_evidence() > unfitted.log_evidence() + 3.0);
    assert_eq!(pairs.len(), process.len());
}

#[test]
fn a_sketch_has_the_exact_mean_and_no_less_than_the_exact_variance() {
    let (process, _) = told(40, 7, 1e-4);
    let problem = ReferenceProblem::shared();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut points: Vec<Point> = (0..50).map(|_| problem.space().sample(&mut rng)).collect();
    points.sort();
    let block = Block::new(&process.kernel, &points);
    let sketch = process.sketch(&block, &[Belief::CONSTANT; 50]);
    for (point, sketched) in points.iter().zip(sketch) {
        let exact = process.predict(point, Belief::CONSTANT);
        assert!((sketched.mean - exact.mean).abs() < 1e-9);
        assert!(sketched.variance >= exact.variance - 1e-12);
    }
}

#[test]
fn what_was_only_believed_leaves_no_trace() {
    let (process, _) = told(30, 9, 1e-4);
    let mut believing = process.clone();
    let problem = ReferenceProblem::shared();
    let point = &problem.optimum().0;
    let before = process.predict(point, Belief::CONSTANT);
    assert!(believing.believe(point, Belief::CONSTANT));
    let believed = believing.predict(point, Belief::CONSTANT);
    assert!((believed.mean - before.mean).abs() < 1e-9);
    assert!(believed.variance < before.variance);
    believing.forget(30);
    assert_eq!(believing.predict(point, Belief::CONSTANT), before);
}

#[test]
fn what_is_no_observation_is_refused() {
    let (mut process, pairs) = told(5, 10, 0.0);
    let point = &pairs[0].0;
    for (value, variance) in [(f64::NAN, 0.0), (f64::INFINITY, 0.0), (0.0, -1.0)] {
        let told = process.tell(point, Belief::CONSTANT, value, variance);
        assert!(matches!(told, Err(SurrogateError::NotAnObservation { .. })));
    }
    assert_eq!(process.len(), 5);
}

#[test]
fn the_same_point_again_and_again_still_factors() {
    let (mut process, pairs) = told(3, 11, 0.0);
    for _ in 0..60 {
        let (point, value) = &pairs[0];
        process.tell(point, Belief::CONSTANT, *value, 0.0).unwrap();
        process.refit().unwrap();
    }
}

#[test]
fn what_is_told_again_takes_the_place_of_what_was_told() {
    let space = MixedSpace::new(vec![Parameter::linear("x", &[0.0, 1.0, 2.0, 3.0])]);
    let at = |level: u16| space.point(&[level]);
    let mut again = GaussianProcess::new(&space);
    let mut once = GaussianProcess::new(&space);
    let tell = |process: &mut GaussianProcess, level: u16, value: f64, variance: f64| {
        let told = process.tell(&at(level), Belief::CONSTANT, value, variance);
        told.unwrap();
    };
    // Told twice, then something else, then told again.
    for (level, value) in [(1, 0.9), (2, 0.3), (1, 0.7)] {
        tell(&mut again, level, value, 0.01);
    }
    again.retell(&at(1), Belief::CONSTANT, 0.2, 1e-3).unwrap();
    again.retell(&at(3), Belief::CONSTANT, 0.5, 1e-3).unwrap();
    for (level, value, variance) in [(1, 0.2, 1e-3), (2, 0.3, 0.01), (3, 0.5, 1e-3)] {
        tell(&mut once, level, value, variance);
    }
    assert_eq!(again.len(), 3);
    for level in 0..4 {
        let (a, b) = (
            again.predict(&at(level), Belief::CONSTANT),
            once.predict(&at(level), Belief::CONSTANT),
        );
        assert!((a.mean - b.mean).abs() < 1e-9 && (a.variance - b.variance).abs() < 1e-9);
    }
}

#[test]
fn a_difference_is_surer_than_its_two_ends_where_they_are_alike() {
    let (process, _) = told(20, 3, 1e-3);
    let problem = ReferenceProblem::shared();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let of = |point: &Point| process.predict(point, Belief::CONSTANT);
    let between =
        |a: &Point, b: &Point| process.difference((a, Belief::CONSTANT), (b, Belief::CONSTANT));
    let mut surer = 0;
    for _ in 0..30 {
        let a = problem.space().sample(&mut rng);
        assert!(between(&a, &a).variance < 1e-9);
        let near = problem.space().neighbours(&a).swap_remove(0);
        let apart = between(&a, &near);
        assert!((apart.mean - (of(&a).mean - of(&near).mean)).abs() < 1e-9);
        let back = between(&near, &a);
        assert!((apart.mean + back.mean).abs() < 1e-9);
        assert!((apart.variance - back.variance).abs() < 1e-9);
        surer += usize::from(apart.variance < of(&a).variance + of(&near).variance);
    }
    assert!(surer >= 28, "{surer}");
}

#[test]
fn points_of_a_group_miss_together() {
    // Two groups of one parameter's levels: what is seen in one says nothing of the other's offset.
    let space = MixedSpace::new(vec![
        Parameter::categorical("group", 2),
        Parameter::linear("x", &[0.0, 1.0, 2.0]),
    ]);
    let belief = |level: u32| Belief {
        groups: [Some((level, 0.3)), None, None],
        ..Belief::CONSTANT
    };
    let mut process = GaussianProcess::of_residuals(&space, 0.01);
    for x in 0..3 {
        let told = process.tell(&space.point(&[0, x]), belief(0), 0.5, 1e-6);
        told.unwrap();
    }
    let here = process.predict(&space.point(&[0, 1]), belief(0));
    let there = process.predict(&space.point(&[1, 1]), belief(1));
    assert!((here.mean - 0.5).abs() < 0.01 && here.variance.sqrt() < 0.02);
    assert!(there.variance.sqrt() > 0.3, "{}", there.variance.sqrt());
}
