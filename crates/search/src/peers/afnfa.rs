//! AFNFA: a random sample, a forest on it, and simulated annealing on the forest.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::forest::{Forest, ForestOptions};
use crate::optimiser::{History, Optimiser};
use crate::space::{MixedSpace, Point};
use crate::surrogate::Surrogate;

/// Steps of one annealing, of which a forest answers each in microseconds.
const STEPS: usize = 500;
/// Temperature at the end, as a share of the temperature at the start.
const COLDEST: f64 = 1e-3;

/// Wang et al., "AFNFA: an approach to automate NCCL configuration exploration", APNet 2023.
///
/// As published: evaluations at random first, a model learnt from them, and simulated annealing on
/// the model for the configuration it predicts to be fastest; one configuration for the whole job,
/// so its space is the job's and its value the iteration time. The model is a random forest, as
/// AutoCCL's authors describe the method (Xu et al., NSDI 2025).
///
/// Decided here, because two pages leave it open: the size of the sample is the caller's; the
/// forest is this crate's; annealing (Kirkpatrick, Gelatt, Vecchi, 1983) starts from the best
/// evaluation, changes one parameter to any other level, and cools geometrically from the spread of
/// the values. What annealing ends on is evaluated, learnt from, and annealed again as long as
/// evaluations are left, without repeating any; it runs whatever was fastest, not whatever was
/// predicted to be. Both are kinder than the publication, which trusts its first prediction.
#[derive(Clone, Debug)]
pub struct Afnfa {
    space: MixedSpace,
    sample: usize,
    history: History,
    rng: ChaCha8Rng,
}

impl Afnfa {
    /// A search that evaluates `sample` random points before it trusts a forest.
    pub fn new(space: MixedSpace, sample: usize, seed: u64) -> Self {
        Self {
            space,
            sample,
            history: History::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// The best predicted point without an evaluation that annealing comes across.
    fn anneal(&mut self, forest: &Forest, start: &Point) -> Option<Point> {
        let spread = spread(&self.history);
        let mut now = (start.clone(), forest.predict(start).mean);
        let mut best: Option<(Point, f64)> = None;
        for step in 0..STEPS {
            let temperature = spread * COLDEST.powf(step as f64 / STEPS as f64);
            let point = self.neighbour(&now.0);
            let predicted = forest.predict(&point).mean;
            let new = best.as_ref().is_none_or(|(_, value)| predicted < *value)
                && !self.history.contains(&point);
            if new {
                best = Some((point.clone(), predicted));
            }
            let worse = predicted - now.1;
            let accept = (-worse / temperature.max(f64::MIN_POSITIVE)).exp();
            if worse <= 0.0 || self.rng.random_range(0.0..1.0) < accept {
                now = (point, predicted);
            }
        }
        best.map(|(point, _)| point)
    }

    /// One parameter at another level.
    fn neighbour(&mut self, point: &Point) -> Point {
        let parameters = self.space.parameters();
        let movable: Vec<usize> = (0..parameters.len())
            .filter(|&index| point.level(index).is_some() && parameters[index].levels() > 1)
            .collect();
        if movable.is_empty() {
            return point.clone();
        }
        let index = movable[self.rng.random_range(0..movable.len())];
        let now = point.level(index).unwrap_or(0);
        let other = self.rng.random_range(0..parameters[index].levels() - 1);
        let level = if other >= now { other + 1 } else { other };
        let fallback: Vec<u16> = parameters
            .iter()
            .map(|p| self.rng.random_range(0..p.levels().max(1)))
            .collect();
        self.space.with(point, index, level, &fallback)
    }
}

/// Standard deviation of the finite values.
fn spread(history: &History) -> f64 {
    let values: Vec<f64> = history
        .evaluations
        .iter()
        .map(|(_, v)| *v)
        .filter(|v| v.is_finite())
        .collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()
}

impl Optimiser for Afnfa {
    fn ask(&mut self) -> Point {
        if self.history.len() < self.sample {
            return self.space.sample(&mut self.rng);
        }
        let start = self.best();
        let forest = Forest::fit(
            &self.space,
            &self.history.evaluations,
            &ForestOptions::default(),
            &mut self.rng,
        );
        let found = match (forest, start) {
            (Some(forest), Some(start)) => self.anneal(&forest, &start),
            _ => None,
        };
        found.unwrap_or_else(|| self.space.sample(&mut self.rng))
    }

    fn tell(&mut self, point: &Point, value: f64) {
        self.history.push(point, value);
    }

    fn best(&self) -> Option<Point> {
        self.history.best().map(|(point, _)| point.clone())
    }
}
