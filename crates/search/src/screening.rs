//! Which parameters are worth searching at all, by moving one at a time where a move is cheap: on
//! a simulator or a surrogate.
//!
//! [`one_at_a_time`] looks around one point, [`elementary_effects`] all over the space and can
//! therefore tell that an effect depends on the other parameters. Figures and a [`Verdict`] come
//! out; who drops what is the caller's business, with [`Pruning`](crate::Pruning) at hand.
//! Differences are in the unit of the function: hand in logarithms of times, and 0.01 is 1 %.

use std::collections::BTreeMap;

use rand::{Rng, RngExt};

use crate::space::{MixedSpace, Point, Scale};

/// An effect that varies by more than this share of its mean depends on the other parameters. Half
/// is where Garcia Sanchez et al. ("Application of sensitivity analysis in building energy
/// simulations", 2014) draw the line between monotonic and not.
const VARIES: f64 = 0.5;

/// What screening says of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some move of it changed the value by more than the threshold.
    Matters,
    /// So it does, and how much depends on the other parameters.
    Interacts,
    /// No move of it that was tried changed the value by more than the threshold.
    NoEffect,
    /// No move of it was tried: it did not exist, or has one level.
    NotTried,
}

/// How the value reacts to one parameter around one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Reaction {
    /// Index of the parameter.
    pub parameter: usize,
    /// For each level the value less that at the centre; empty where the parameter does not exist.
    /// `NaN` where neither could be evaluated.
    pub differences: Vec<f64>,
}

impl Reaction {
    /// The verdict around the centre; interactions cannot be seen from there.
    pub fn verdict(&self, threshold: f64) -> Verdict {
        if self.differences.len() < 2 {
            return Verdict::NotTried;
        }
        let largest = self.differences.iter().map(|d| d.abs()).fold(0.0, f64::max);
        if largest > threshold {
            Verdict::Matters
        } else {
            Verdict::NoEffect
        }
    }
}

/// Every level of every parameter that exists at `centre`, all others as there. What comes to exist
/// by a move has its middle level.
pub fn one_at_a_time(
    space: &MixedSpace,
    centre: &Point,
    mut evaluate: impl FnMut(&Point) -> f64,
) -> Vec<Reaction> {
    let middle: Vec<u16> = space.parameters().iter().map(|p| p.levels() / 2).collect();
    let at_centre = evaluate(centre);
    let reaction = |(parameter, levels): (usize, u16)| Reaction {
        parameter,
        differences: match centre.level(parameter) {
            None => Vec::new(),
            Some(now) => (0..levels)
                .map(|level| {
                    if level == now {
                        return 0.0;
                    }
                    evaluate(&space.with(centre, parameter, level, &middle)) - at_centre
                })
                .collect(),
        },
    };
    let levels = space.parameters().iter().map(|p| p.levels());
    levels.enumerate().map(reaction).collect()
}

/// Elementary effects of one parameter: what moves of it changed, all over the space.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Index of the parameter.
    pub parameter: usize,
    /// Number of moves.
    pub moves: usize,
    /// Mean of the changes, from the lower level to the higher (Morris's mu).
    pub mean: f64,
    /// Mean of their absolute values (Campolongo's mu*).
    pub mean_absolute: f64,
    /// Their standard deviation (Morris's sigma): curvature along the scale, differences between
    /// categories and interactions together.
    pub deviation: f64,
    /// Standard deviation among moves between the same two levels: interactions alone. `None`
    /// where no such move was made twice.
    pub interaction: Option<f64>,
    /// The largest absolute change; infinite if a move led to or from a failure.
    pub largest: f64,
}

impl Effect {
    /// The verdict over the whole space.
    pub fn verdict(&self, threshold: f64) -> Verdict {
        if self.moves == 0 {
            Verdict::NotTried
        } else if self.largest <= threshold {
            Verdict::NoEffect
        } else if self
            .interaction
            .is_some_and(|d| d > threshold.max(VARIES * self.mean_absolute))
        {
            Verdict::Interacts
        } else {
            Verdict::Matters
        }
    }

    fn new(parameter: usize, changes: &BTreeMap<(u16, u16), Vec<f64>>) -> Self {
        let all: Vec<f64> = changes.values().flatten().copied().collect();
        let finite: Vec<f64> = all.iter().copied().filter(|c| c.is_finite()).collect();
        let count = finite.len().max(1) as f64;
        let mean = finite.iter().sum::<f64>() / count;
        let squares: f64 = finite.iter().map(|c| (c - mean).powi(2)).sum();
        let (mut within, mut freedom) = (0.0, 0.0);
        for same in changes.values() {
            let same: Vec<f64> = same.iter().copied().filter(|c| c.is_finite()).collect();
            let mean = same.iter().sum::<f64>() / same.len().max(1) as f64;
            within += same.iter().map(|c| (c - mean).powi(2)).sum::<f64>();
            freedom += same.len().saturating_sub(1) as f64;
        }
        Self {
            parameter,
            moves: all.len(),
            mean,
            mean_absolute: finite.iter().map(|c| c.abs()).sum::<f64>() / count,
            deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
            interaction: (freedom > 0.0).then(|| (within / freedom).sqrt()),
            largest: all.iter().map(|c| c.abs()).fold(0.0, f64::max),
        }
    }
}

/// Elementary effects over random trajectories (Morris, "Factorial sampling plans for preliminary
/// computational experiments", Technometrics 1991; Campolongo, Cariboni, Saltelli, 2007). Takes
/// `trajectories` times one more evaluation than there are parameters, or fewer; Morris uses 4 to
/// 10 trajectories.
///
/// As published: each trajectory moves every parameter once, in random order, an ordered one by
/// half of its levels. Three things are otherwise. A category moves to any other. A parameter that
/// does not exist where its turn comes makes no move, which says nothing, rather than one without
/// an effect, which would say something. Changes are not divided by the length of the move, so that
/// they compare with a threshold and among scales.
pub fn elementary_effects(
    space: &MixedSpace,
    trajectories: usize,
    mut evaluate: impl FnMut(&Point) -> f64,
    rng: &mut impl Rng,
) -> Vec<Effect> {
    let parameters = space.parameters();
    let mut changes = vec![BTreeMap::<(u16, u16), Vec<f64>>::new(); parameters.len()];
    for _ in 0..trajectories {
        let mut levels: Vec<u16> = parameters
            .iter()
            .map(|p| rng.random_range(0..p.levels().max(1)))
            .collect();
        let mut now = evaluate(&space.point(&levels));
        let mut order: Vec<usize> = (0..parameters.len()).collect();
        while !order.is_empty() {
            let index = order.swap_remove(rng.random_range(0..order.len()));
            let exists = space.point(&levels).level(index).is_some();
            let count = parameters[index].levels();
            if !exists || count < 2 {
                continue;
            }
            let from = levels[index];
            let to = match parameters[index].scale {
                Scale::Ordered(_) => half_way(from, count, rng),
                Scale::Categories(_) => (from + rng.random_range(1..count)) % count,
            };
            levels[index] = to;
            let then = evaluate(&space.point(&levels));
            let up = if to > from { then - now } else { now - then };
            // Between two failures nothing is known.
            if !up.is_nan() {
                let same = changes[index].entry((from.min(to), from.max(to)));
                same.or_default().push(up);
            }
            now = then;
        }
    }
    let effects = changes.iter().enumerate();
    effects.map(|(index, c)| Effect::new(index, c)).collect()
}

/// The level half of the levels away, up or down, whichever there is.
fn half_way(from: u16, count: u16, rng: &mut impl Rng) -> u16 {
    let step = count / 2;
    let up = from + step < count;
    let down = from >= step;
    if up && (!down || rng.random_bool(0.5)) {
        from + step
    } else {
        from.saturating_sub(step)
    }
}

#[cfg(test)]
mod tests;
