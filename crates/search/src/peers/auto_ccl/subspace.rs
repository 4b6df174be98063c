//! One implementation's subspace: random points, then coordinate descent with restarts.

use std::collections::{BTreeSet, VecDeque};

use rand::{Rng, RngExt};

use super::Values;
use crate::space::{MixedSpace, Point};

/// Probes in one direction: `TUNER_ACCESS_TOPK` of the published code.
const PROBES: usize = 3;
/// Descents, the first included: below `TUNER_RETRY`, 5.
const DESCENTS: usize = 4;
/// Step per relative gain.
const STEP_PER_GAIN: f64 = 0.8;
/// Draws for an unvisited point before the subspace counts as exhausted.
const DRAWS: usize = 1000;

/// The search of one subspace.
#[derive(Clone, Debug)]
pub(super) struct Subspace {
    space: MixedSpace,
    /// Levels of the implementation; of the resources level 0.
    levels: Vec<u16>,
    resources: Vec<usize>,
    visited: BTreeSet<Point>,
    pretrain_left: usize,
    train_left: usize,
    train: usize,
    descent: Option<Descent>,
    descents: usize,
    over: bool,
}

/// Where a descent stands.
#[derive(Clone, Debug)]
struct Descent {
    current: Point,
    /// Index into the resources, and direction.
    resource: usize,
    upwards: bool,
    /// Share of the points ahead to step over; `None` after no gain.
    step: Option<f64>,
    /// Directions without a gain since the last one.
    idle: usize,
    /// The last direction's probes; `None` before the first.
    probes: Option<Vec<Point>>,
}

impl Descent {
    fn from(start: Point) -> Self {
        Self {
            current: start,
            resource: 0,
            upwards: true,
            step: None,
            idle: 0,
            probes: None,
        }
    }

    /// Moves to the best probe if that is better; turns otherwise.
    fn learn(&mut self, values: &Values, resources: usize) {
        let Some(probes) = self.probes.take() else {
            return;
        };
        let now = values.value(&self.current);
        let best = probes
            .into_iter()
            .map(|point| (values.value(&point), point))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((value, point)) if value < now => {
                let gain = if now.is_finite() {
                    (now - value) / now
                } else {
                    0.0
                };
                self.step = Some(STEP_PER_GAIN * gain);
                self.idle = 0;
                self.current = point;
            }
            _ => {
                self.step = None;
                self.idle += 1;
                self.upwards = !self.upwards;
                if self.upwards {
                    self.resource = (self.resource + 1) % resources.max(1);
                }
            }
        }
    }
}

impl Subspace {
    pub(super) fn new(
        space: &MixedSpace,
        implementation: &[usize],
        levels: &[u16],
        pretrain: usize,
        train: usize,
    ) -> Self {
        let is_resource = |index: &usize| !implementation.contains(index);
        Self {
            resources: (0..space.dimensions()).filter(is_resource).collect(),
            space: space.clone(),
            levels: levels.to_vec(),
            visited: BTreeSet::new(),
            pretrain_left: pretrain,
            train_left: train,
            train,
            descent: None,
            descents: 0,
            over: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The points to evaluate next; none once it is over. `overall` is the best value anywhere.
    pub(super) fn next_round(
        &mut self,
        values: &Values,
        overall: Option<f64>,
        rng: &mut impl Rng,
    ) -> VecDeque<Point> {
        let mut round = VecDeque::new();
        while self.pretrain_left > 0 && !self.over {
            self.pretrain_left -= 1;
            round.extend(self.unvisited(rng));
        }
        if !round.is_empty() {
            return round;
        }
        if self.hopeless(values, overall) {
            self.over = true;
        }
        while !self.over && round.is_empty() && self.train_left > 0 {
            round.extend(self.step(values, rng));
        }
        round.truncate(self.train_left);
        self.train_left -= round.len();
        self.over |= round.is_empty();
        round
    }

    /// Whether it is too slow to be worth its remaining steps.
    fn hopeless(&self, values: &Values, overall: Option<f64>) -> bool {
        let done = self.train - self.train_left;
        let best = values.best(|point| self.visited.contains(point));
        let (Some((_, best)), Some(overall)) = (best, overall) else {
            return false;
        };
        (done as f64 > 0.1 * self.train as f64 && best > 1.5 * overall)
            || (done > 5 && best > 3.0 * overall)
    }

    /// One step of the descent: the probes of the next direction, possibly none.
    fn step(&mut self, values: &Values, rng: &mut impl Rng) -> Vec<Point> {
        match &mut self.descent {
            None => {
                let best = values.best(|point| self.visited.contains(point));
                let Some((best, _)) = best else {
                    self.over = true;
                    return Vec::new();
                };
                self.descent = Some(Descent::from(best.clone()));
                self.descents = 1;
            }
            Some(descent) => descent.learn(values, self.resources.len()),
        }
        let Some(descent) = &self.descent else {
            return Vec::new();
        };
        if descent.idle >= 2 * self.resources.len() {
            return self.restart(rng);
        }
        let probes = self.probes(descent);
        self.visited.extend(probes.iter().cloned());
        if let Some(descent) = &mut self.descent {
            descent.probes = Some(probes.clone());
        }
        probes
    }

    fn restart(&mut self, rng: &mut impl Rng) -> Vec<Point> {
        self.descents += 1;
        let start = self.unvisited(rng);
        match start {
            Some(start) if self.descents <= DESCENTS => {
                self.descent = Some(Descent::from(start.clone()));
                vec![start]
            }
            _ => {
                self.over = true;
                Vec::new()
            }
        }
    }

    /// Unvisited points ahead on the axis: of the nearest as many as the step says, the farthest.
    fn probes(&self, descent: &Descent) -> Vec<Point> {
        let Some(&resource) = self.resources.get(descent.resource) else {
            return Vec::new();
        };
        let Some(now) = descent.current.level(resource) else {
            return Vec::new();
        };
        let levels = self.space.parameters()[resource].levels();
        let ahead: Vec<u16> = if descent.upwards {
            (now.saturating_add(1)..levels).collect()
        } else {
            (0..now).rev().collect()
        };
        let ahead: Vec<Point> = ahead
            .into_iter()
            .map(|level| {
                self.space
                    .with(&descent.current, resource, level, &self.levels)
            })
            .filter(|point| !self.visited.contains(point))
            .collect();
        let share = descent.step.unwrap_or(0.0) * ahead.len() as f64;
        let reach = PROBES.max(share as usize).min(ahead.len());
        ahead[reach - PROBES.min(reach)..reach].to_vec()
    }

    /// A random point of the subspace that was not visited, and is from now on.
    fn unvisited(&mut self, rng: &mut impl Rng) -> Option<Point> {
        for _ in 0..DRAWS {
            let mut levels = self.levels.clone();
            for &resource in &self.resources {
                let count = self.space.parameters()[resource].levels();
                levels[resource] = rng.random_range(0..count.max(1));
            }
            let point = self.space.point(&levels);
            if self.visited.insert(point.clone()) {
                return Some(point);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::space::Parameter;

    #[test]
    fn the_step_follows_the_relative_gain_and_no_gain_turns() {
        let thirty: Vec<f64> = (0..30).map(f64::from).collect();
        let space = MixedSpace::new(vec![
            Parameter::categorical("algorithm", 1),
            Parameter::linear("channels", &thirty),
        ]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut values = Values::default();
        let mut subspace = Subspace::new(&space, &[0], &[0, 0], 0, 100);
        let start = space.point(&[0, 4]);
        values.0.insert(start.clone(), vec![10.0]);
        subspace.visited.insert(start.clone());
        subspace.descent = Some(Descent::from(start));

        let mut next = |told: &[f64]| -> Vec<u16> {
            let round = subspace.next_round(&values, Some(4.0), &mut rng);
            for (point, value) in round.iter().zip(told) {
                values.0.insert(point.clone(), vec![*value]);
            }
            round.iter().map(|p| p.level(1).unwrap()).collect()
        };
        assert_eq!(next(&[9.0, 7.0, 5.0]), [5, 6, 7], "the nearest at first");
        // Half is gained: 0.4 of the 22 points ahead of 7 are 8, of which the farthest three.
        assert_eq!(next(&[6.0, 6.0, 6.0]), [13, 14, 15]);
        assert_eq!(
            next(&[6.0, 6.0, 6.0]),
            [3, 2, 1],
            "back, past what was visited"
        );
    }
}
