//! Sequential model-based configuration with a forest, in the manner of SMAC.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::forest::{Forest, ForestOptions};
use crate::normal::cumulative;
use crate::optimiser::{History, Optimiser};
use crate::space::{MixedSpace, Point, Scale};
use crate::surrogate::{Posterior, Surrogate};

/// Random points before a forest is grown.
const STARTS: usize = 10;
/// Local searches start from this many of the evaluated points.
const LOCAL_SEARCHES: usize = 10;
/// Neighbours of an ordered level in a local search, and the width they are drawn from.
const DRAWS: usize = 4;
const DRAW_WIDTH: f64 = 0.2;
/// Random points whose expected improvement is computed besides the local searches.
const RANDOM_POINTS: usize = 1000;

/// Hutter, Hoos, Leyton-Brown, "Sequential model-based optimization for general algorithm
/// configuration", LION 2011.
///
/// As published: a forest of 10 trees on the logarithm of the times, 5/6 of the parameters at a
/// split, the variance over the trees; the expected improvement of the time itself under a normal
/// logarithm; local searches from the ten evaluated points where it is
/// largest, with four draws of standard deviation 0.2 around an ordered level and all other
/// categories; random points besides; and every second proposal drawn at random, so that a wrong
/// forest cannot stop it.
///
/// Decided here: 10 random points first, as many as [`Tpe`](super::Tpe) draws, where the paper
/// starts from a default; nodes of 3 are split in place of 10, for a search of tens of evaluations;
/// 1,000 random points in place of 10,000, in spaces of a few thousand. A point is evaluated once:
/// the races over problem instances, SMAC's other half, have no counterpart for one job.
#[derive(Clone, Debug)]
pub struct Smac {
    space: MixedSpace,
    history: History,
    random_next: bool,
    rng: ChaCha8Rng,
}

impl Smac {
    /// A search of this space. Values are times: positive.
    pub fn new(space: MixedSpace, seed: u64) -> Self {
        Self {
            space,
            history: History::default(),
            random_next: false,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// The unevaluated point with the largest expected improvement that the searches come across.
    fn propose(&mut self) -> Option<Point> {
        let logs: Vec<(Point, f64)> = self
            .history
            .evaluations
            .iter()
            .map(|(p, v)| (p.clone(), v.max(f64::MIN_POSITIVE).ln()))
            .collect();
        let best = self.history.best()?.1.max(f64::MIN_POSITIVE).ln();
        let options = ForestOptions {
            trees: 10,
            ..ForestOptions::default()
        };
        let forest = Forest::fit(&self.space, &logs, &options, &mut self.rng)?;
        let improvement = |point: &Point| expected_improvement(forest.predict(point), best);

        let mut starts: Vec<(Point, f64)> = Vec::new();
        for (point, _) in logs {
            if starts.iter().all(|(known, _)| *known != point) {
                let value = improvement(&point);
                starts.push((point, value));
            }
        }
        starts.sort_by(|a, b| b.1.total_cmp(&a.1));
        starts.truncate(LOCAL_SEARCHES);
        let mut found = Vec::new();
        for start in starts {
            self.climb(start, &improvement, &mut found);
        }
        for _ in 0..RANDOM_POINTS {
            let point = self.space.sample(&mut self.rng);
            let value = improvement(&point);
            found.push((point, value));
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        let unknown = |point: &Point| !self.history.contains(point);
        found.into_iter().map(|(p, _)| p).find(unknown)
    }

    /// Steps to the best neighbour while that is better; everything seen goes to `found`.
    fn climb(
        &mut self,
        start: (Point, f64),
        improvement: &impl Fn(&Point) -> f64,
        found: &mut Vec<(Point, f64)>,
    ) {
        let mut now = start;
        loop {
            let mut best = now.clone();
            for point in self.neighbours(&now.0) {
                let value = improvement(&point);
                if value > best.1 {
                    best = (point.clone(), value);
                }
                found.push((point, value));
            }
            if best.1 <= now.1 {
                return;
            }
            now = best;
        }
    }

    fn neighbours(&mut self, point: &Point) -> Vec<Point> {
        let mut found = Vec::new();
        let parameters = self.space.parameters();
        for (index, parameter) in parameters.iter().enumerate() {
            let Some(now) = point.level(index) else {
                continue;
            };
            let levels: Vec<u16> = match &parameter.scale {
                Scale::Ordered(positions) => (0..DRAWS)
                    .map(|_| {
                        let at = positions[usize::from(now)] + DRAW_WIDTH * normal(&mut self.rng);
                        nearest(positions, at)
                    })
                    .collect(),
                Scale::Categories(_) => (0..parameter.levels()).collect(),
            };
            for level in levels.into_iter().filter(|level| *level != now) {
                let fallback: Vec<u16> = parameters
                    .iter()
                    .map(|p| self.rng.random_range(0..p.levels().max(1)))
                    .collect();
                found.push(self.space.with(point, index, level, &fallback));
            }
        }
        found
    }
}

/// A standard normal number (Box and Muller, 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random_range(0.0..1.0_f64)).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * rng.random_range(0.0..1.0_f64)).cos()
}

/// The level whose position is nearest, the first of equals.
fn nearest(positions: &[f64], at: f64) -> u16 {
    let distance = |level: &usize| (positions[*level] - at).abs();
    let level = (0..positions.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
    level.map_or(0, |level| u16::try_from(level).unwrap_or(u16::MAX))
}

/// Expected improvement of the time below `exp(best)`, where its logarithm is normal with this mean
/// and variance (Hutter, Hoos, Leyton-Brown, Murphy, GECCO 2009).
fn expected_improvement(belief: Posterior, best: f64) -> f64 {
    let Posterior { mean, variance } = belief;
    let deviation = variance.sqrt();
    if deviation < 1e-9 {
        return (best.exp() - mean.exp()).max(0.0);
    }
    let z = (best - mean) / deviation;
    let later = (0.5 * variance + mean).exp() * cumulative(z - deviation);
    (best.exp() * cumulative(z) - later).max(0.0)
}

impl Optimiser for Smac {
    fn ask(&mut self) -> Point {
        if self.history.len() >= STARTS {
            self.random_next = !self.random_next;
            if self.random_next
                && let Some(point) = self.propose()
            {
                return point;
            }
        }
        self.space.sample(&mut self.rng)
    }

    fn tell(&mut self, point: &Point, value: f64) {
        self.history.push(point, value);
    }

    fn best(&self) -> Option<Point> {
        self.history.best().map(|(point, _)| point.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_improvement_agrees_with_a_simulation() {
        let of = |mean, variance, best| expected_improvement(Posterior { mean, variance }, best);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mean, deviation, best) = (0.3, 0.5, 0.1_f64);
        let draws = 200_000;
        let sum: f64 = (0..draws)
            .map(|_| (best.exp() - (mean + deviation * normal(&mut rng)).exp()).max(0.0))
            .sum();
        let simulated = sum / f64::from(draws);
        let formula = of(mean, deviation * deviation, best);
        assert!((simulated - formula).abs() < 0.003, "{simulated} {formula}");
        assert_eq!(of(0.0, 0.0, 0.0), 0.0);
        assert!(of(-1.0, 0.0, 0.0) > 0.6);
    }
}
