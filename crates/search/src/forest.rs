//! A regression forest on the points of a mixed space: a mean and a variance anywhere, from a few
//! dozen evaluations, with no scale to be learnt and no trouble with categories or conditions.
//!
//! Bagged trees over random subsets of the parameters (Breiman, "Random Forests", 2001), with the
//! variance by the law of total variance over the trees (Hutter, Xu, Hoos, Leyton-Brown,
//! "Algorithm runtime prediction", 2014). It does not choose what to evaluate next,
//! and does not transform values: who wants logarithms hands in logarithms.

mod tree;

use rand::{Rng, RngExt};

use crate::space::{MixedSpace, Point, Scale};
use crate::surrogate::{Posterior, Surrogate};
use tree::Tree;

/// How a forest is grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForestOptions {
    /// Number of trees.
    pub trees: usize,
    /// Share of the parameters tried at a split, above 0 and at most 1.
    pub parameter_share: f64,
    /// Fewest observations a node needs to be split.
    pub least_split: usize,
    /// Whether each tree sees a sample drawn with replacement; all of them see everything
    /// otherwise.
    pub bagging: bool,
}

impl Default for ForestOptions {
    /// 32 trees; 5/6 of the parameters as in SMAC (Hutter, Hoos, Leyton-Brown, 2011);
    /// nodes of 3 are split, because a search has tens of evaluations and not thousands.
    fn default() -> Self {
        Self {
            trees: 32,
            parameter_share: 5.0 / 6.0,
            least_split: 3,
            bagging: true,
        }
    }
}

/// Observations as the trees see them. A cell is 0 where the parameter does not exist, and one more
/// than its level elsewhere.
pub(crate) struct Table {
    /// For each parameter the cells of all rows.
    columns: Vec<Vec<usize>>,
    values: Vec<f64>,
    domains: Vec<Domain>,
}

/// What a column of a [`Table`] may hold.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    /// Cells it can hold, the one for absence included.
    size: usize,
    /// Positions of the levels, where they are ordered.
    positions: Option<Vec<f64>>,
}

impl Table {
    fn new(space: &MixedSpace, observations: &[(Point, f64)], worst: f64) -> Self {
        let domains = domains(space);
        let column = |(index, domain): (usize, &Domain)| -> Vec<usize> {
            let points = observations.iter().map(|(point, _)| point);
            points.map(|point| domain.cell(point, index)).collect()
        };
        Self {
            columns: domains.iter().enumerate().map(column).collect(),
            values: observations.iter().map(|(_, v)| v.min(worst)).collect(),
            domains,
        }
    }
}

impl Domain {
    /// The cell of a point's parameter, inside the domain whatever the point.
    fn cell(&self, point: &Point, parameter: usize) -> usize {
        let cell = point
            .level(parameter)
            .map_or(0, |level| usize::from(level) + 1);
        cell.min(self.size - 1)
    }
}

fn domains(space: &MixedSpace) -> Vec<Domain> {
    let domain = |parameter: &crate::space::Parameter| Domain {
        size: usize::from(parameter.levels()) + 1,
        positions: match &parameter.scale {
            Scale::Ordered(positions) => Some(positions.clone()),
            Scale::Categories(_) => None,
        },
    };
    space.parameters().iter().map(domain).collect()
}

/// A forest grown on evaluations.
#[derive(Clone, Debug)]
pub struct Forest {
    space: MixedSpace,
    domains: Vec<Domain>,
    trees: Vec<Tree>,
    /// For each tree, the observations it did not see.
    out_of_bag: Vec<Vec<usize>>,
}

impl Forest {
    /// Grows a forest. Failed evaluations (infinite values) count as the largest finite value, so
    /// that they repel without swamping everything else. `None` without a finite value.
    pub fn fit(
        space: &MixedSpace,
        observations: &[(Point, f64)],
        options: &ForestOptions,
        rng: &mut impl Rng,
    ) -> Option<Self> {
        let finite = observations
            .iter()
            .map(|(_, v)| *v)
            .filter(|v| v.is_finite());
        let worst = finite.reduce(f64::max)?;
        let table = Table::new(space, observations, worst);
        let count = observations.len();
        let mut forest = Self {
            space: space.clone(),
            domains: domains(space),
            trees: Vec::with_capacity(options.trees),
            out_of_bag: Vec::with_capacity(options.trees),
        };
        for _ in 0..options.trees.max(1) {
            let rows: Vec<usize> = if options.bagging {
                (0..count).map(|_| rng.random_range(0..count)).collect()
            } else {
                (0..count).collect()
            };
            let mut seen = vec![false; count];
            for &row in &rows {
                seen[row] = true;
            }
            forest.trees.push(Tree::grow(&table, rows, options, rng));
            forest
                .out_of_bag
                .push((0..count).filter(|&row| !seen[row]).collect());
        }
        Some(forest)
    }

    /// The space it was grown on.
    pub fn space(&self) -> &MixedSpace {
        &self.space
    }

    pub(crate) fn cells(&self, point: &Point) -> Vec<usize> {
        let domains = self.domains.iter().enumerate();
        domains.map(|(index, d)| d.cell(point, index)).collect()
    }

    pub(crate) fn trees(&self) -> &[Tree] {
        &self.trees
    }

    pub(crate) fn out_of_bag(&self) -> &[Vec<usize>] {
        &self.out_of_bag
    }
}

impl Surrogate for Forest {
    /// Mean over the trees, and variance: the mean of the variances inside their leaves plus the
    /// variance between their means. Of what the forest was grown on: of logarithms if those were.
    fn predict(&self, point: &Point) -> Posterior {
        let cells = self.cells(point);
        let leaves: Vec<(f64, f64)> = self.trees.iter().map(|t| t.predict(&cells)).collect();
        let count = leaves.len().max(1) as f64;
        let mean = leaves.iter().map(|(m, _)| m).sum::<f64>() / count;
        let variance = leaves
            .iter()
            .map(|(m, v)| v + (m - mean) * (m - mean))
            .sum::<f64>()
            / count;
        Posterior { mean, variance }
    }
}

#[cfg(test)]
mod tests;
