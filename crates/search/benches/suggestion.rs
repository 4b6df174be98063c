//! What a suggestion costs: one observation told, one point asked for, refits included.
//!
//! Wanted: at most 10 ms at 200 observations and 10 parameters on one core. Each sample goes from
//! `told` observations to ten more, so a refit that falls due is in it; the slowest sample over
//! ten is what the worst ten suggestions in a row cost on average.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use ccl_search::surrogate::{BayesianSearch, Settings, Source};
use ccl_search::{MixedSpace, Optimiser, Parameter, Point};
use divan::Bencher;
use divan::counter::ItemsCount;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn main() {
    divan::main();
}

/// Ten parameters, of every kind.
fn large() -> MixedSpace {
    let eight: Vec<f64> = (0..8).map(|exponent| f64::from(1 << exponent)).collect();
    let mut parameters = vec![
        Parameter::categorical("a", 3),
        Parameter::categorical("b", 3),
    ];
    parameters.extend(["c", "d", "e", "f"].map(|name| Parameter::logarithmic(name, &eight)));
    parameters.push(Parameter::logarithmic("g", &eight).only_when(0, vec![1]));
    parameters.push(Parameter::logarithmic("h", &eight).only_when(1, vec![0, 2]));
    parameters.extend(["i", "j"].map(|name| Parameter::categorical(name, 4)));
    MixedSpace::new(parameters)
}

/// As large as a space that is looked at whole may be.
fn small() -> MixedSpace {
    let six: Vec<f64> = (0..6).map(f64::from).collect();
    MixedSpace::new(vec![
        Parameter::categorical("a", 3),
        Parameter::categorical("b", 3),
        Parameter::linear("c", &six),
        Parameter::linear("d", &six),
        Parameter::linear("e", &six),
    ])
}

/// A logarithm of a time with interactions, smooth along each parameter.
fn value(point: &Point) -> f64 {
    let level = |index: usize| point.level(index).map_or(2.0, f64::from);
    let indices = 0..point.0.len();
    let own: f64 = indices
        .clone()
        .map(|i| (level(i) - 1.5 - i as f64 / 3.0).abs())
        .sum();
    let pairs: f64 = indices.map(|i| (level(i) * level(i / 2)).sqrt()).sum();
    0.1 * own + 0.05 * pairs
}

/// A search that was told so many points, those it asked for itself.
fn told(space: &MixedSpace, count: usize, sources: usize) -> BayesianSearch {
    let sources = (0..sources).map(|index| {
        Source::new(format!("source {index}"), space, move |point: &Point| {
            Some(value(point) * (0.5 + index as f64))
        })
    });
    let rng = ChaCha8Rng::seed_from_u64(1);
    let settings = Settings::default();
    let mut search = BayesianSearch::new(space.clone(), sources.collect(), settings, rng);
    steps(&mut search, count);
    search
}

fn steps(search: &mut BayesianSearch, count: usize) {
    for _ in 0..count {
        let point = search.ask();
        // Noise that is the same in every run.
        let noise = (search.history().len() as f64 * 12.9898).sin() * 0.03;
        search.tell(&point, (value(&point) + noise).exp());
    }
}

const STEPS: usize = 10;

#[divan::bench(args = [10, 50, 100, 190], sample_count = 20, sample_size = 1)]
fn ten_parameters(bencher: Bencher<'_, '_>, observations: usize) {
    let search = told(&large(), observations, 0);
    bencher
        .counter(ItemsCount::new(STEPS))
        .with_inputs(|| search.clone())
        .bench_local_refs(|search| steps(search, STEPS));
}

#[divan::bench(args = [190], sample_count = 20, sample_size = 1)]
fn ten_parameters_and_one_source(bencher: Bencher<'_, '_>, observations: usize) {
    let search = told(&large(), observations, 1);
    bencher
        .counter(ItemsCount::new(STEPS))
        .with_inputs(|| search.clone())
        .bench_local_refs(|search| steps(search, STEPS));
}

#[divan::bench(args = [190], sample_count = 20, sample_size = 1)]
fn two_thousand_points(bencher: Bencher<'_, '_>, observations: usize) {
    let search = told(&small(), observations, 0);
    bencher
        .counter(ItemsCount::new(STEPS))
        .with_inputs(|| search.clone())
        .bench_local_refs(|search| steps(search, STEPS));
}
