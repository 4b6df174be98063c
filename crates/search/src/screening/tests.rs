use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::space::Parameter;

/// A line, a bowl, a switch that turns a slope, a category, a bystander and a conditional.
fn space() -> MixedSpace {
    let six: Vec<f64> = (0..6).map(f64::from).collect();
    MixedSpace::new(vec![
        Parameter::linear("line", &six),
        Parameter::linear("bowl", &six),
        Parameter::categorical("switch", 2),
        Parameter::linear("switched", &six),
        Parameter::categorical("named", 3),
        Parameter::linear("bystander", &six),
        Parameter::linear("conditional", &six).only_when(4, vec![1]),
    ])
}

fn value(point: &Point) -> f64 {
    let at = |index: usize| point.level(index).map_or(0.0, f64::from);
    let named = [0.0, 2.0, 0.0][usize::from(point.level(4).unwrap())];
    let slope = if point.level(2) == Some(0) { 1.0 } else { -1.0 };
    0.5 * at(0) + (at(1) - 2.5).powi(2) + slope * at(3) + named + 0.004 * at(5) + 0.5 * at(6)
}

fn effects(trajectories: usize, seed: u64) -> Vec<Effect> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    elementary_effects(&space(), trajectories, value, &mut rng)
}

#[test]
fn each_kind_of_parameter_gets_its_verdict() {
    let effects = effects(30, 1);
    let verdicts: Vec<Verdict> = effects.iter().map(|e| e.verdict(0.05)).collect();
    use Verdict::{Interacts, Matters, NoEffect};
    // Curvature alone is no interaction: the bowl only matters. Whatever brings the conditional
    // into being changes by what that happens to be: the named one moves by 2 plus up to 2.5.
    assert_eq!(verdicts[..4], [Matters, Matters, Interacts, Interacts]);
    assert_ne!(verdicts[4], NoEffect);
    assert_eq!(verdicts[5..], [NoEffect, Matters]);
}

#[test]
fn a_line_has_the_same_effect_everywhere() {
    let line = &effects(10, 2)[0];
    assert!((line.mean - 1.5).abs() < 1e-9, "half of six levels at 0.5");
    assert!((line.mean_absolute - 1.5).abs() < 1e-9);
    assert!(line.deviation < 1e-9);
    assert_eq!(line.moves, 10);
}

#[test]
fn a_slope_that_turns_has_no_mean_but_a_mean_absolute() {
    let switched = &effects(200, 3)[3];
    assert!(switched.mean.abs() < 0.6);
    assert!((switched.mean_absolute - 3.0).abs() < 1e-9);
    assert!(switched.interaction.unwrap() > 2.5);
}

#[test]
fn what_does_not_exist_makes_no_move() {
    let conditional = &effects(30, 4)[6];
    assert!(conditional.moves < 20, "{}", conditional.moves);
    assert!((conditional.mean - 1.5).abs() < 1e-9);
    assert_eq!(effects(0, 4)[6].verdict(0.1), Verdict::NotTried);
}

#[test]
fn a_move_into_a_failure_matters() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let fails = |p: &Point| {
        if p.level(5) == Some(5) {
            f64::INFINITY
        } else {
            value(p)
        }
    };
    let effects = elementary_effects(&space(), 30, fails, &mut rng);
    assert_eq!(effects[5].largest, f64::INFINITY);
    assert_eq!(effects[5].verdict(0.05), Verdict::Matters);
    assert!(effects[5].mean.is_finite());
}

#[test]
fn no_point_outside_the_space_is_evaluated_and_no_more_than_promised() {
    let space = space();
    for seed in 0..20 {
        let mut evaluations = 0;
        let count = |p: &Point| {
            assert!(space.contains(p));
            evaluations += 1;
            value(p)
        };
        elementary_effects(&space, 5, count, &mut ChaCha8Rng::seed_from_u64(seed));
        assert!(evaluations <= 5 * (space.dimensions() + 1));
    }
    assert_eq!(effects(5, 9), effects(5, 9));
}

#[test]
fn one_at_a_time_sees_what_moves_around_the_centre() {
    let space = space();
    let centre = space.point(&[0, 2, 0, 0, 0, 0, 0]);
    let reactions = one_at_a_time(&space, &centre, value);
    let verdicts: Vec<Verdict> = reactions.iter().map(|r| r.verdict(0.05)).collect();
    use Verdict::{Matters, NoEffect, NotTried};
    // At level 0 the switched slope hides the switch: the reason to look all over the space.
    let expected = [
        Matters, Matters, NoEffect, Matters, Matters, NoEffect, NotTried,
    ];
    assert_eq!(verdicts, expected);
    // The middle of the conditional's levels is 3.
    assert!((reactions[4].differences[1] - 3.5).abs() < 1e-9);
}
