//! Which parameters matter, by what a forest learnt from the evaluations a search made anyway.
//!
//! Two questions. [`permutation_importance`]: how much worse would the forest predict without
//! knowing this parameter. [`functional_anova`]: which share of the variance over the whole space
//! does it explain alone, and which does a pair explain together. Both speak about the forest, and
//! about the space only as far as the forest is right; neither decides what to drop.

mod boxes;

use rand::{Rng, RngExt};

use crate::forest::Forest;
use crate::space::{MixedSpace, Point};
use boxes::Chances;

/// A share of the variance: mean and standard deviation over the trees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Mean over the trees, 0 to 1.
    pub mean: f64,
    /// Standard deviation over the trees; large where the evaluations leave it open.
    pub deviation: f64,
}

impl Share {
    fn of(shares: &[f64]) -> Self {
        let count = shares.len().max(1) as f64;
        let mean = shares.iter().sum::<f64>() / count;
        let squares = shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>();
        Self {
            mean,
            deviation: (squares / count).sqrt(),
        }
    }
}

/// What [`functional_anova`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Anova {
    /// For each parameter the share of the variance it explains alone.
    pub main: Vec<Share>,
    /// For each pair asked about the share it explains beyond its two main effects.
    pub pairs: Vec<((usize, usize), Share)>,
    /// For each parameter and level the mean predicted value over everything else, in the unit of
    /// the values.
    pub marginals: Vec<Vec<f64>>,
}

/// Functional analysis of variance over a forest, exactly from the boxes of its leaves (Hutter,
/// Hoos, Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML 2014).
///
/// Points are weighted as [`MixedSpace::sample`] draws them, which is the product of uniform levels
/// with those dropped that do not exist. A parameter has no effect where it does not exist, so its
/// share counts how often that is, and the shares of all subsets of parameters sum to one. (A default
/// in place of what does not exist, the usual remedy, invents values.) Trees without
/// variance say nothing and are left out; without any other all shares are 0.
/// `pairs` are of different parameters.
pub fn functional_anova(forest: &Forest, pairs: &[(usize, usize)]) -> Anova {
    let space = forest.space();
    let levels: Vec<usize> = space
        .parameters()
        .iter()
        .map(|p| usize::from(p.levels()))
        .collect();
    let mut marginals: Vec<Vec<f64>> = levels.iter().map(|n| vec![0.0; *n]).collect();
    let mut main = vec![Vec::new(); levels.len()];
    let mut joint = vec![Vec::new(); pairs.len()];
    let chances = Chances::new(space);
    for tree in forest.trees() {
        let mut moments = Moments::new(&levels, pairs);
        tree.visit_leaves(space, |mean, covered| {
            moments.add(&chances, mean, covered, pairs);
        });
        for (sum, tree) in marginals.iter_mut().zip(&moments.single) {
            for (sum, value) in sum.iter_mut().zip(tree) {
                *sum += value / forest.trees().len() as f64;
            }
        }
        let variance = moments.square - moments.mean * moments.mean;
        if variance <= 1e-12 * moments.square {
            continue;
        }
        for (shares, marginal) in main.iter_mut().zip(&moments.single) {
            shares.push(mean_square(marginal.iter().map(|a| a - moments.mean)) / variance);
        }
        for ((shares, marginal), &(i, j)) in joint.iter_mut().zip(&moments.joint).zip(pairs) {
            let width = levels.get(j).copied().unwrap_or(0);
            let interaction = marginal.iter().enumerate().map(|(at, a)| {
                a - moments.single[i][at / width] - moments.single[j][at % width] + moments.mean
            });
            shares.push(mean_square(interaction) / variance);
        }
    }
    Anova {
        main: main.iter().map(|shares| Share::of(shares)).collect(),
        pairs: pairs
            .iter()
            .zip(&joint)
            .map(|(pair, shares)| (*pair, Share::of(shares)))
            .collect(),
        marginals,
    }
}

fn mean_square(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value * value;
        count += 1.0;
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Means of one tree: over everything, with one level given, with two.
struct Moments {
    mean: f64,
    square: f64,
    single: Vec<Vec<f64>>,
    joint: Vec<Vec<f64>>,
}

impl Moments {
    fn new(levels: &[usize], pairs: &[(usize, usize)]) -> Self {
        let count = |index: usize| levels.get(index).copied().unwrap_or(0);
        Self {
            mean: 0.0,
            square: 0.0,
            single: levels.iter().map(|n| vec![0.0; *n]).collect(),
            joint: pairs
                .iter()
                .map(|&(i, j)| vec![0.0; count(i) * count(j)])
                .collect(),
        }
    }

    fn add(
        &mut self,
        chances: &Chances,
        mean: f64,
        covered: &[Vec<bool>],
        pairs: &[(usize, usize)],
    ) {
        let leaf = chances.leaf(covered);
        let chance = leaf.given(&[]);
        self.mean += chance * mean;
        self.square += chance * mean * mean;
        for (index, marginal) in self.single.iter_mut().enumerate() {
            for (level, sum) in marginal.iter_mut().enumerate() {
                *sum += mean * leaf.given(&[(index, level)]);
            }
        }
        for (marginal, &(i, j)) in self.joint.iter_mut().zip(pairs) {
            let width = self.single.get(j).map_or(0, Vec::len);
            for (at, sum) in marginal.iter_mut().enumerate() {
                *sum += mean * leaf.given(&[(i, at / width), (j, at % width)]);
            }
        }
    }
}

/// How much the squared error of the forest grows when one parameter is shuffled among the
/// evaluations a tree did not see, as a share of the variance of the values; mean over the trees
/// (Breiman, "Random Forests", 2001, section 10). About 0 for what does not matter, also slightly
/// below.
///
/// A level comes from another evaluation in which the parameter exists too, together with what only
/// exists under it, so that no point outside the space is predicted. Pass the evaluations the
/// forest was grown on; failed ones are left out.
pub fn permutation_importance(
    forest: &Forest,
    observations: &[(Point, f64)],
    rng: &mut impl Rng,
) -> Vec<f64> {
    let space = forest.space();
    let finite: Vec<f64> = observations
        .iter()
        .map(|(_, v)| *v)
        .filter(|v| v.is_finite())
        .collect();
    let mean = finite.iter().sum::<f64>() / finite.len().max(1) as f64;
    let variance = mean_square(finite.iter().map(|v| v - mean));
    let mut growth = vec![0.0; space.dimensions()];
    if variance <= 0.0 {
        return growth;
    }
    let mut heard = 0.0_f64;
    for (tree, unseen) in forest.trees().iter().zip(forest.out_of_bag()) {
        let unseen: Vec<&(Point, f64)> = unseen
            .iter()
            .filter_map(|&row| observations.get(row))
            .filter(|(_, value)| value.is_finite())
            .collect();
        if unseen.is_empty() {
            continue;
        }
        heard += 1.0;
        let error = |point: &Point, value: f64| {
            let predicted = tree.predict(&forest.cells(point)).0;
            (predicted - value).powi(2)
        };
        for (index, growth) in growth.iter_mut().enumerate() {
            let having: Vec<&(Point, f64)> = unseen
                .iter()
                .copied()
                .filter(|(point, _)| point.level(index).is_some())
                .collect();
            let mut donors: Vec<usize> = (0..having.len()).collect();
            shuffle(&mut donors, rng);
            let more: f64 = having
                .iter()
                .zip(&donors)
                .map(|((point, value), &donor)| {
                    let moved = with_level_of(space, point, index, &having[donor].0);
                    error(&moved, *value) - error(point, *value)
                })
                .sum();
            *growth += more / unseen.len() as f64;
        }
    }
    for growth in &mut growth {
        *growth /= heard.max(1.0) * variance;
    }
    growth
}

/// The point with one parameter as in `donor`; what comes to exist by it is as there too.
fn with_level_of(space: &MixedSpace, point: &Point, index: usize, donor: &Point) -> Point {
    let fallback: Vec<u16> = donor.0.iter().map(|level| level.unwrap_or(0)).collect();
    let level = donor.level(index).unwrap_or(0);
    space.with(point, index, level, &fallback)
}

/// Fisher and Yates.
fn shuffle(items: &mut [usize], rng: &mut impl Rng) {
    for at in (1..items.len()).rev() {
        items.swap(at, rng.random_range(0..=at));
    }
}

#[cfg(test)]
mod tests;
