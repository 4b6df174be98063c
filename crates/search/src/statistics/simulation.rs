//! Noise for the simulations that show error rates.

use ccl_sim::noise::NoiseModel;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Seeded draws.
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(super) fn uniform(&mut self) -> f64 {
        self.0.random_range(f64::MIN_POSITIVE..1.0)
    }

    /// Standard normal (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Times of successive iterations whose undisturbed time is 1.
pub(super) struct Noise {
    model: NoiseModel,
    iteration: u64,
}

impl Noise {
    /// Log-normal, nothing else.
    pub(super) fn gaussian(seed: u64, deviation: f64) -> Self {
        let model = NoiseModel {
            seed,
            iteration: deviation,
            ..NoiseModel::none()
        };
        Self {
            model,
            iteration: 0,
        }
    }

    /// What `ccl_sim` does to iterations: log-normal 0.6 %, a spike of mean 30 % in a hundred,
    /// 1 % of drift. The cold start is left out, and the drift begins anywhere.
    pub(super) fn simulator(seed: u64) -> Self {
        Self {
            model: NoiseModel::typical(seed),
            iteration: 1 + seed % 60,
        }
    }

    pub(super) fn next(&mut self) -> f64 {
        self.iteration += 1;
        self.model.iteration_factor(self.iteration)
    }

    pub(super) fn times(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Incumbent and candidate, the latter `ratio` times as long, taking turns in going first.
    pub(super) fn pair(&mut self, index: u32, ratio: f64) -> (f64, f64) {
        let (first, second) = (self.next(), self.next());
        if index.is_multiple_of(2) {
            (first, ratio * second)
        } else {
            (second, ratio * first)
        }
    }
}

/// Share of `runs` seeds for which something holds.
pub(super) fn share(runs: u32, mut holds: impl FnMut(u64) -> bool) -> f64 {
    let count = (0..runs).filter(|seed| holds(u64::from(*seed))).count();
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(runs)
}
