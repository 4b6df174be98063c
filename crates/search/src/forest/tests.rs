use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::space::Parameter;

fn space() -> MixedSpace {
    MixedSpace::new(vec![
        Parameter::categorical("pair", 5),
        Parameter::logarithmic("channels", &[1.0, 2.0, 4.0, 8.0, 16.0]),
        Parameter::logarithmic("chunk", &[32.0, 64.0, 128.0, 256.0]).only_when(0, vec![2, 4]),
    ])
}

/// Depends on everything: categories out of order, a slope, and a chunk only where it exists.
fn value(point: &Point) -> f64 {
    let pair = [3.0, 1.0, 4.0, 1.5, 2.5][usize::from(point.level(0).unwrap())];
    let channels = f64::from(point.level(1).unwrap());
    let chunk = point.level(2).map_or(0.0, |c| (f64::from(c) - 1.0).powi(2));
    pair + 0.5 * channels + 0.3 * chunk
}

fn all(space: &MixedSpace) -> Vec<(Point, f64)> {
    let points = space.points(10_000);
    points.into_iter().map(|p| (p.clone(), value(&p))).collect()
}

fn exact() -> ForestOptions {
    ForestOptions {
        trees: 3,
        parameter_share: 1.0,
        least_split: 2,
        bagging: false,
    }
}

#[test]
fn a_tree_that_saw_every_point_knows_every_value() {
    let space = space();
    let data = all(&space);
    let forest = Forest::fit(&space, &data, &exact(), &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    for (point, value) in &data {
        let Posterior { mean, variance } = forest.predict(point);
        assert!((mean - value).abs() < 1e-9, "{mean} for {value}");
        assert!(variance < 1e-18);
    }
}

#[test]
fn it_predicts_points_it_did_not_see() {
    let space = space();
    let data = all(&space);
    let (seen, unseen): (Vec<_>, Vec<_>) = data
        .into_iter()
        .enumerate()
        .partition(|(index, _)| index % 3 != 0);
    let strip = |part: Vec<(usize, (Point, f64))>| part.into_iter().map(|(_, o)| o);
    let seen: Vec<_> = strip(seen).collect();
    let unseen: Vec<_> = strip(unseen).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let forest = Forest::fit(&space, &seen, &ForestOptions::default(), &mut rng).unwrap();
    let mean = unseen.iter().map(|(_, v)| v).sum::<f64>() / unseen.len() as f64;
    let (mut error, mut spread) = (0.0, 0.0);
    for (point, value) in &unseen {
        error += (forest.predict(point).mean - value).powi(2);
        spread += (mean - value).powi(2);
    }
    assert!(error < 0.2 * spread, "explains {:.2}", 1.0 - error / spread);
}

#[test]
fn it_is_less_sure_where_it_saw_nothing() {
    let space = MixedSpace::new(vec![Parameter::linear(
        "x",
        &(0..21).map(f64::from).collect::<Vec<_>>(),
    )]);
    let steep = |level: u16| f64::from(level).powi(2);
    let seen: Vec<(Point, f64)> = (0..21)
        .filter(|level| *level < 6 || *level > 14)
        .map(|level| (space.point(&[level]), steep(level)))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let forest = Forest::fit(&space, &seen, &ForestOptions::default(), &mut rng).unwrap();
    let unseen = forest.predict(&space.point(&[10])).variance;
    let known = forest.predict(&space.point(&[2])).variance;
    assert!(unseen > 10.0 * known, "{unseen} against {known}");
}

#[test]
fn a_failed_evaluation_counts_as_the_worst_and_only_failures_make_no_forest() {
    let space = space();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut data = vec![(space.point(&[0, 0, 0]), f64::INFINITY)];
    let options = ForestOptions::default();
    assert!(Forest::fit(&space, &data, &options, &mut rng).is_none());
    assert!(Forest::fit(&space, &[], &options, &mut rng).is_none());
    data.push((space.point(&[1, 0, 0]), 2.0));
    data.push((space.point(&[2, 0, 0]), 1.0));
    let forest = Forest::fit(&space, &data, &exact(), &mut rng).unwrap();
    assert!((forest.predict(&data[0].0).mean - 2.0).abs() < 1e-12);
}

proptest! {
    #[test]
    fn the_same_seed_grows_the_same_forest_within_the_range_of_the_values(seed: u64) {
        let space = space();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let data: Vec<_> = (0..40).map(|_| space.sample(&mut rng)).map(|p| (p.clone(), value(&p))).collect();
        let grow = || Forest::fit(&space, &data, &ForestOptions::default(), &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let (one, two) = (grow(), grow());
        let least = data.iter().map(|(_, v)| *v).fold(f64::INFINITY, f64::min);
        let most = data.iter().map(|(_, v)| *v).fold(f64::NEG_INFINITY, f64::max);
        for point in space.points(1000) {
            let Posterior { mean, variance } = one.predict(&point);
            prop_assert_eq!(one.predict(&point), two.predict(&point));
            prop_assert!(mean >= least - 1e-9 && mean <= most + 1e-9);
            prop_assert!(variance >= 0.0 && variance <= (most - least).powi(2));
        }
    }
}
