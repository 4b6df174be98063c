//! AutoCCL: every implementation by itself, and in each a descent over its resources.

mod subspace;

use std::collections::{BTreeMap, VecDeque};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::optimiser::Optimiser;
use crate::space::{MixedSpace, Parameter, Point};
use subspace::Subspace;

/// Share of a point's repeats, the fastest ones, whose mean is its value.
const REPEATS_KEPT: f64 = 0.75;

/// How many evaluations it takes in all; the subspaces share them equally, with at least one each.
/// What a subspace that is left early does not use is lost, so a caller that counts evaluations
/// itself may give more than it will ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoCclSteps {
    /// Random ones, from whose best the descents start.
    pub pretrain: usize,
    /// Those of the descents.
    pub train: usize,
}

impl Default for AutoCclSteps {
    /// The defaults of the published code, `TUNER_PRETRAIN_STEPS` and `TUNER_TRAIN_STEPS`.
    fn default() -> Self {
        Self {
            pretrain: 20,
            train: 50,
        }
    }
}

/// Xu et al., "AutoCCL: automated collective communication tuning for accelerating distributed and
/// parallel DNN training", NSDI 2025, sections 4 and 5, and the code the authors published
/// (github.com/gbxu/autoccl, commit a0bf96b, `ext-tuner`), from which the figures below are.
///
/// As published: one search for each task, on the time of that task. Implementations (algorithm,
/// protocol, transport) split the space into subspaces, searched in turns; transport cannot be set
/// here. In each, a few random points, and a descent from their best over one resource (channels,
/// threads, chunk) and one direction at a time: three probes, the nearest at first, and after a
/// gain as far away as 0.8 of the relative gain is a share of the points left in that direction;
/// no gain turns to the other direction and then to the next resource; after all of them the
/// descent starts anew at a random point, three times at most. No point is evaluated twice. A
/// subspace is left early if its best is 1.5 times the best of all after a tenth of its descent,
/// or 3 times after five steps of it.
///
/// Decided here: the probes
/// lie on the axis through the current point, as the paper has it, where the code takes the nearest
/// unvisited points of the half-space in that direction; random points are drawn, where the code
/// walks its list in strides; "the best of all" is that of all subspaces, where the code waits for
/// a subspace to end; the count of directions without a gain begins anew with every restart. Once
/// the search is over it asks for its best point again and again, as the published tuner runs it.
#[derive(Clone, Debug)]
pub struct AutoCcl {
    subspaces: Vec<Subspace>,
    turn: usize,
    queue: VecDeque<Point>,
    values: Values,
    rng: ChaCha8Rng,
    space: MixedSpace,
}

/// What each point took, all repeats.
#[derive(Clone, Debug, Default)]
struct Values(BTreeMap<Point, Vec<f64>>);

impl Values {
    /// Mean of the fastest repeats; infinite for a point that was not evaluated.
    fn value(&self, point: &Point) -> f64 {
        let Some(repeats) = self.0.get(point) else {
            return f64::INFINITY;
        };
        let mut sorted = repeats.clone();
        sorted.sort_by(f64::total_cmp);
        let kept = (REPEATS_KEPT * sorted.len() as f64).ceil() as usize;
        sorted[..kept].iter().sum::<f64>() / kept as f64
    }

    /// The fastest of the evaluated points for which `wanted` holds, if any did not fail.
    fn best(&self, wanted: impl Fn(&Point) -> bool) -> Option<(&Point, f64)> {
        self.0
            .keys()
            .filter(|point| wanted(point))
            .map(|point| (point, self.value(point)))
            .filter(|(_, value)| value.is_finite())
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

impl AutoCcl {
    /// A search of the space of one task, in which `implementation` names the parameters that split
    /// it (algorithm and protocol); all others are resources.
    pub fn new(
        space: MixedSpace,
        implementation: &[usize],
        steps: AutoCclSteps,
        seed: u64,
    ) -> Self {
        let implementations = implementations(&space, implementation);
        let share = |steps: usize| (steps / implementations.len().max(1)).max(1);
        let subspaces = implementations
            .iter()
            .map(|levels| {
                let (pretrain, train) = (share(steps.pretrain), share(steps.train));
                Subspace::new(&space, implementation, levels, pretrain, train)
            })
            .collect();
        Self {
            subspaces,
            turn: 0,
            queue: VecDeque::new(),
            values: Values::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            space,
        }
    }

    /// Whether every subspace has had its steps or converged.
    pub fn is_over(&self) -> bool {
        self.queue.is_empty() && self.subspaces.iter().all(Subspace::is_over)
    }
}

/// Levels of every implementation, each with level 0 of the resources.
fn implementations(space: &MixedSpace, implementation: &[usize]) -> Vec<Vec<u16>> {
    let alone = |(index, parameter): (usize, &Parameter)| {
        if !implementation.contains(&index) {
            return Parameter::categorical(parameter.name.clone(), 1);
        }
        let mut parameter = parameter.clone();
        // What depends on a resource exists somewhere in every subspace.
        parameter.when = parameter
            .when
            .filter(|c| implementation.contains(&c.parameter));
        parameter
    };
    MixedSpace::new(space.parameters().iter().enumerate().map(alone).collect())
        .points(usize::MAX)
        .into_iter()
        .map(|point| point.0.iter().map(|level| level.unwrap_or(0)).collect())
        .collect()
}

impl Optimiser for AutoCcl {
    fn ask(&mut self) -> Point {
        for _ in 0..self.subspaces.len() {
            if !self.queue.is_empty() {
                break;
            }
            let overall = self.values.best(|_| true).map(|(_, value)| value);
            let subspace = &mut self.subspaces[self.turn];
            self.queue = subspace.next_round(&self.values, overall, &mut self.rng);
            self.turn = (self.turn + 1) % self.subspaces.len();
        }
        if let Some(point) = self.queue.pop_front() {
            return point;
        }
        self.best()
            .unwrap_or_else(|| self.space.sample(&mut self.rng))
    }

    fn tell(&mut self, point: &Point, value: f64) {
        let repeats = self.values.0.entry(point.clone()).or_default();
        repeats.push(value);
    }

    fn best(&self) -> Option<Point> {
        self.values.best(|_| true).map(|(point, _)| point.clone())
    }
}
