//! How the search does on the reference problem, and that it keeps its word.

use rand::SeedableRng;

use super::*;
use crate::problem::ReferenceProblem;
use crate::space::Parameter;

fn search(seed: u64, sources: Vec<Source>) -> BayesianSearch {
    let problem = ReferenceProblem::shared();
    BayesianSearch::new(
        problem.space().clone(),
        sources,
        Settings::default(),
        ChaCha8Rng::seed_from_u64(seed),
    )
}

/// Fractions above the optimum after 50 and after 100 measurements, by an optimiser.
fn run(optimiser: &mut impl Optimiser, seed: u64) -> [f64; 2] {
    let problem = ReferenceProblem::shared();
    let mut noise = ChaCha8Rng::seed_from_u64(1000 + seed);
    let mut found = [0.0; 2];
    for step in 1..=100 {
        let point = optimiser.ask();
        let value = problem.measure_us(&point, &mut noise);
        optimiser.tell(&point, value);
        if step % 50 == 0 {
            found[step / 50 - 1] = problem.above_optimum(&optimiser.best().unwrap());
        }
    }
    found
}

/// The best of random points.
struct RandomSearch(History, ChaCha8Rng);

impl Optimiser for RandomSearch {
    fn ask(&mut self) -> Point {
        ReferenceProblem::shared().space().sample(&mut self.1)
    }
    fn tell(&mut self, point: &Point, value: f64) {
        self.0.push(point, value);
    }
    fn best(&self) -> Option<Point> {
        self.0.best().map(|(point, _)| point.clone())
    }
}

fn medians(runs: &[[f64; 2]]) -> [f64; 2] {
    let of = |index: usize| {
        let values: Vec<f64> = runs.iter().map(|run| run[index]).collect();
        crate::median(&values).unwrap()
    };
    [of(0), of(1)]
}

#[test]
fn it_is_far_better_than_random_and_close_to_the_optimum() {
    let seeds = 0..12;
    let ours: Vec<_> = seeds
        .clone()
        .map(|seed| run(&mut search(seed, Vec::new()), seed))
        .collect();
    let random: Vec<_> = seeds
        .map(|seed| {
            let rng = ChaCha8Rng::seed_from_u64(seed);
            run(&mut RandomSearch(History::default(), rng), seed)
        })
        .collect();
    let (ours, random) = (medians(&ours), medians(&random));
    assert!(ours[0] < 0.10 && ours[1] < 0.055, "{ours:?}");
    assert!(
        ours[0] < random[0] / 2.5 && ours[1] < random[1] / 3.0,
        "{ours:?} {random:?}"
    );
}

#[test]
fn the_same_seed_makes_the_same_search() {
    let trace = || {
        let mut search = search(3, Vec::new());
        let mut noise = ChaCha8Rng::seed_from_u64(4);
        let problem = ReferenceProblem::shared();
        for _ in 0..30 {
            let point = search.ask();
            let value = problem.measure_us(&point, &mut noise);
            search.tell(&point, value);
        }
        search.history().evaluations.clone()
    };
    assert_eq!(trace(), trace());
}

#[test]
fn a_batch_has_different_points_and_none_that_is_excluded() {
    let problem = ReferenceProblem::shared();
    let mut search = search(5, Vec::new());
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let point = problem.space().sample(&mut rng);
        search.tell_noisy(&point, problem.time_us(&point).ln(), 1e-4);
    }
    let before = search.predict(&problem.optimum().0);
    let allowed = |point: &Point| point.level(0) != Some(0);
    let batch = search.ask_batch(6, &allowed).unwrap();
    let points: BTreeSet<_> = batch.iter().map(|(point, _)| point.clone()).collect();
    assert_eq!(points.len(), 6);
    assert!(points.iter().all(allowed));
    assert!(
        batch
            .iter()
            .all(|(_, e)| e.deviation > 0.0 && e.log_improvement.is_finite())
    );
    assert_eq!(search.predict(&problem.optimum().0), before);
}

#[test]
fn a_small_space_is_exhausted_and_then_nothing_is_left() {
    let space = MixedSpace::new(vec![
        Parameter::categorical("a", 3),
        Parameter::linear("b", &[1.0, 2.0]).only_when(0, vec![1]),
    ]);
    let rng = ChaCha8Rng::seed_from_u64(6);
    let mut search = BayesianSearch::new(space, Vec::new(), Settings::default(), rng);
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let allowed = |point: &Point| !seen.contains(point);
        let (point, _) = search.ask_batch(1, &allowed).unwrap().remove(0);
        search.tell_noisy(&point, 0.1, 1e-4);
        seen.insert(point);
    }
    assert_eq!(seen.len(), 4);
    assert_eq!(
        search.ask_batch(1, &|point| !seen.contains(point)),
        Err(SurrogateError::NothingLeft)
    );
}

#[test]
fn a_failed_point_is_not_proposed_again_and_is_never_the_best() {
    let mut search = search(7, Vec::new());
    let problem = ReferenceProblem::shared();
    let failed = problem.optimum().0.clone();
    search.tell(&failed, f64::INFINITY);
    for _ in 0..15 {
        let point = search.ask();
        assert_ne!(point, failed);
        search.tell(&point, problem.time_us(&point));
    }
    search.tell(&failed, f64::INFINITY);
    assert_ne!(search.best().unwrap(), failed);
}

#[test]
fn with_more_observations_than_it_is_kept_for_it_says_so() {
    let space = MixedSpace::new(vec![Parameter::categorical("a", 2)]);
    let rng = ChaCha8Rng::seed_from_u64(8);
    let mut search = BayesianSearch::new(space.clone(), Vec::new(), Settings::default(), rng);
    for index in 0..401_u16 {
        search.tell_noisy(&space.point(&[index % 2]), f64::from(index % 2), 1e-2);
    }
    let asked = search.ask_batch(1, &|_| true);
    assert!(matches!(
        asked,
        Err(SurrogateError::TooManyObservations { count: 401, .. })
    ));
    assert_eq!(search.best(), Some(space.point(&[0])));
}
