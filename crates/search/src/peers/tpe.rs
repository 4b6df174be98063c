//! The tree-structured Parzen estimator: models where good and bad evaluations lie, parameter by
//! parameter, and proposes what is most typical of the good ones.

mod density;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::optimiser::{History, Optimiser};
use crate::space::{MixedSpace, Point};
use density::Density;

/// Points drawn at random before anything is modelled: Optuna's `n_startup_trials`.
const STARTS: usize = 10;
/// Draws from the good density per parameter: Optuna's `n_ei_candidates`.
const CANDIDATES: usize = 24;
/// Most evaluations that count as good: the bound in Optuna's `default_gamma`.
const MOST_GOOD: usize = 25;

/// Bergstra, Bardenet, Bengio, Kégl, "Algorithms for hyper-parameter optimization", NIPS 2011, with
/// the settings and kernels of Optuna's `TPESampler` (Akiba et al., KDD 2019), its most used form.
///
/// As published: the best tenth of the evaluations, rounded up and at most 25, is good; of 24
/// draws from the density of the good ones that with the largest ratio of the good to the bad
/// density is taken, for each parameter by itself and in the order of the space, so that what does
/// not exist is neither drawn nor learnt from. Old evaluations fade as in Optuna.
///
/// Decided here: levels of an ordered parameter are bins between the midpoints of their positions,
/// which is Optuna's treatment of integers carried over to a grid. A failed evaluation is bad.
#[derive(Clone, Debug)]
pub struct Tpe {
    space: MixedSpace,
    history: History,
    rng: ChaCha8Rng,
}

impl Tpe {
    /// A search of this space.
    pub fn new(space: MixedSpace, seed: u64) -> Self {
        Self {
            space,
            history: History::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Points of the good and of the other evaluations, each in the order they were told.
    fn split(&self) -> (Vec<&Point>, Vec<&Point>) {
        let count = self.history.len();
        let good = count.div_ceil(10).min(MOST_GOOD);
        let mut order: Vec<usize> = (0..count).collect();
        let value = |index: usize| self.history.evaluations[index].1;
        order.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
        let mut is_good = vec![false; count];
        for &index in &order[..good] {
            is_good[index] = value(index).is_finite();
        }
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for ((point, _), is_good) in self.history.evaluations.iter().zip(is_good) {
            if is_good { &mut good } else { &mut bad }.push(point);
        }
        (good, bad)
    }

    fn propose(&mut self) -> Point {
        let (good, bad) = self.split();
        let mut levels: Vec<u16> = Vec::with_capacity(self.space.dimensions());
        let mut rng = self.rng.clone();
        for (index, parameter) in self.space.parameters().iter().enumerate() {
            // The levels chosen so far decide whether this one exists.
            levels.push(0);
            if self.space.point(&levels).level(index).is_none() {
                continue;
            }
            let of = |points: &[&Point]| -> Vec<u16> {
                points.iter().filter_map(|p| p.level(index)).collect()
            };
            let good = Density::new(&parameter.scale, &of(&good));
            let bad = Density::new(&parameter.scale, &of(&bad));
            let ratio = |level: u16| good.chance(level).ln() - bad.chance(level).ln();
            let mut best: Option<(u16, f64)> = None;
            for _ in 0..CANDIDATES {
                let level = good.draw(&mut rng);
                if best.is_none_or(|(_, most)| ratio(level) > most) {
                    best = Some((level, ratio(level)));
                }
            }
            levels[index] = best.map_or(0, |(level, _)| level);
        }
        self.rng = rng;
        self.space.point(&levels)
    }
}

impl Optimiser for Tpe {
    fn ask(&mut self) -> Point {
        if self.history.len() < STARTS {
            return self.space.sample(&mut self.rng);
        }
        self.propose()
    }

    fn tell(&mut self, point: &Point, value: f64) {
        self.history.push(point, value);
    }

    fn best(&self) -> Option<Point> {
        self.history.best().map(|(point, _)| point.clone())
    }
}
