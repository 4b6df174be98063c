//! Uniform random search: what every other method must beat to be worth its code.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::optimiser::{History, Optimiser};
use crate::space::{MixedSpace, Point};

/// Points drawn level by level, with replacement, as in Bergstra and Bengio, "Random search for
/// hyper-parameter optimization", JMLR 2012. Nothing had to be decided.
#[derive(Clone, Debug)]
pub struct RandomSearch {
    space: MixedSpace,
    history: History,
    rng: ChaCha8Rng,
}

impl RandomSearch {
    /// A search of this space.
    pub fn new(space: MixedSpace, seed: u64) -> Self {
        Self {
            space,
            history: History::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }
}

impl Optimiser for RandomSearch {
    fn ask(&mut self) -> Point {
        self.space.sample(&mut self.rng)
    }

    fn tell(&mut self, point: &Point, value: f64) {
        self.history.push(point, value);
    }

    fn best(&self) -> Option<Point> {
        self.history.best().map(|(point, _)| point.clone())
    }
}
