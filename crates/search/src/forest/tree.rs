//! One regression tree: every split sends a set of cells of one parameter to the left.
//!
//! Absence is a cell like the levels are, so a parameter that exists only under a condition needs
//! no default in its place. Where the observations of a node leave open on which side a cell
//! belongs, chance decides, tree by tree: the trees then disagree exactly where nothing was
//! observed, which is what the forest's variance is for (Hutter et al. 2014).

use rand::{Rng, RngExt};

use super::{Domain, ForestOptions, Table};
use crate::space::MixedSpace;

#[derive(Clone, Copy, Debug)]
enum Node {
    Leaf {
        mean: f64,
        variance: f64,
    },
    Split {
        parameter: usize,
        /// Where the parameter's cells begin in [`Tree::goes_left`].
        cells: usize,
        left: usize,
        right: usize,
    },
}

/// A tree, and which cells its splits send left.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    goes_left: Vec<bool>,
}

/// The best way found to divide a node.
struct Cut {
    parameter: usize,
    gain: f64,
    left: Vec<usize>,
    right: Vec<usize>,
}

impl Tree {
    /// Grows a tree on these rows of the table; a row may occur several times.
    pub(super) fn grow(
        table: &Table,
        rows: Vec<usize>,
        options: &ForestOptions,
        rng: &mut impl Rng,
    ) -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            goes_left: Vec::new(),
        };
        tree.nodes.push(leaf(table, &rows));
        let mut scratch = Scratch::default();
        let mut open = vec![(0, rows)];
        while let Some((node, rows)) = open.pop() {
            if rows.len() < options.least_split.max(2) {
                continue;
            }
            let Some(cut) = scratch.best_cut(table, &rows, options, rng) else {
                continue;
            };
            let sides = sides(&table.domains[cut.parameter], &cut, rng);
            let column = &table.columns[cut.parameter];
            let (left_rows, right_rows): (Vec<usize>, Vec<usize>) =
                rows.into_iter().partition(|&row| sides[column[row]]);
            let left = tree.nodes.len();
            tree.nodes[node] = Node::Split {
                parameter: cut.parameter,
                cells: tree.goes_left.len(),
                left,
                right: left + 1,
            };
            tree.goes_left.extend(sides);
            tree.nodes.push(leaf(table, &left_rows));
            tree.nodes.push(leaf(table, &right_rows));
            open.push((left, left_rows));
            open.push((left + 1, right_rows));
        }
        tree
    }

    /// Mean and variance of the observations in the leaf of a point, given as cells.
    pub(crate) fn predict(&self, point: &[usize]) -> (f64, f64) {
        let mut node = 0;
        loop {
            match self.nodes[node] {
                Node::Leaf { mean, variance } => return (mean, variance),
                Node::Split {
                    parameter,
                    cells,
                    left,
                    right,
                } => {
                    let goes_left = self.goes_left[cells + point[parameter]];
                    node = if goes_left { left } else { right };
                }
            }
        }
    }

    /// Calls `visit` for every leaf with its mean and its box: for each parameter and cell whether
    /// the leaf covers it.
    pub(crate) fn visit_leaves(
        &self,
        space: &MixedSpace,
        mut visit: impl FnMut(f64, &[Vec<bool>]),
    ) {
        let whole = super::domains(space)
            .iter()
            .map(|domain| vec![true; domain.size])
            .collect::<Vec<_>>();
        let mut open = vec![(0, whole)];
        while let Some((node, covered)) = open.pop() {
            match self.nodes[node] {
                Node::Leaf { mean, .. } => visit(mean, &covered),
                Node::Split {
                    parameter,
                    cells,
                    left,
                    right,
                } => {
                    let mut other = covered.clone();
                    let mut this = covered;
                    for index in 0..this[parameter].len() {
                        let goes_left = self.goes_left[cells + index];
                        this[parameter][index] &= goes_left;
                        other[parameter][index] &= !goes_left;
                    }
                    open.push((right, other));
                    open.push((left, this));
                }
            }
        }
    }
}

fn leaf(table: &Table, rows: &[usize]) -> Node {
    let count = rows.len().max(1) as f64;
    let mean = rows.iter().map(|&row| table.values[row]).sum::<f64>() / count;
    let squares = rows.iter().map(|&row| (table.values[row] - mean).powi(2));
    Node::Leaf {
        mean,
        variance: squares.sum::<f64>() / count,
    }
}

/// Room for the search of a cut, kept from node to node.
#[derive(Default)]
struct Scratch {
    /// For each cell of a parameter the number of its observations and the sum of their values.
    groups: Vec<(f64, f64)>,
    /// The observed cells, in an order in which a cut may fall between any two.
    cells: Vec<usize>,
    parameters: Vec<usize>,
}

impl Scratch {
    /// The cut of the largest gain among a random part of the parameters that can be cut at all. A
    /// cut without a gain is one too: behind it may lie what only two parameters together explain.
    fn best_cut(
        &mut self,
        table: &Table,
        rows: &[usize],
        options: &ForestOptions,
        rng: &mut impl Rng,
    ) -> Option<Cut> {
        let mean = rows.iter().map(|&row| table.values[row]).sum::<f64>() / rows.len() as f64;
        let squares = rows.iter().map(|&row| (table.values[row] - mean).powi(2));
        // What rounding makes of equal values is nothing to be gained.
        if squares.sum::<f64>() <= 1e-24 * mean * mean {
            return None;
        }
        let mut best: Option<Cut> = None;
        let count = table.domains.len();
        self.parameters.clear();
        self.parameters.extend(0..count);
        let mut wanted = (count as f64 * options.parameter_share).ceil().max(1.0) as usize;
        while wanted > 0 && !self.parameters.is_empty() {
            let drawn = rng.random_range(0..self.parameters.len());
            let parameter = self.parameters.swap_remove(drawn);
            let domain = &table.domains[parameter];
            self.group(table, rows, parameter, mean);
            let orders = self.order(domain);
            wanted -= usize::from(orders > 0);
            for order in 0..orders {
                if order > 0 {
                    // Absence from the lower end to the upper.
                    self.cells.rotate_left(1);
                }
                let most = best.as_ref().map_or(f64::NEG_INFINITY, |b| b.gain);
                if let Some((at, gain)) = self.best_of_order(rows.len() as f64, most) {
                    best = Some(Cut {
                        parameter,
                        gain,
                        left: self.cells[..at].to_vec(),
                        right: self.cells[at..].to_vec(),
                    });
                }
            }
        }
        best
    }

    fn group(&mut self, table: &Table, rows: &[usize], parameter: usize, mean: f64) {
        self.groups.clear();
        self.groups
            .resize(table.domains[parameter].size, (0.0, 0.0));
        let column = &table.columns[parameter];
        for &row in rows {
            let group = &mut self.groups[column[row]];
            group.0 += 1.0;
            group.1 += table.values[row] - mean;
        }
        self.cells.clear();
        let seen = (0..self.groups.len()).filter(|&cell| self.groups[cell].0 > 0.0);
        self.cells.extend(seen);
    }

    /// Puts the observed cells in order and says how many orders are to be looked at: none where
    /// there is nothing to cut, two where absence may lie at either end of a scale. Categories are
    /// ordered by their means, which has the best of all subsets among its cuts (Breiman, Friedman,
    /// Olshen, Stone, "Classification and Regression Trees", 1984, theorem 4.5).
    fn order(&mut self, domain: &Domain) -> usize {
        if self.cells.len() < 2 {
            return 0;
        }
        if domain.positions.is_none() {
            let mean = |cell: usize| self.groups[cell].1 / self.groups[cell].0;
            self.cells.sort_by(|&a, &b| mean(a).total_cmp(&mean(b)));
        } else if self.cells[0] == 0 && self.cells.len() > 2 {
            return 2;
        }
        1
    }

    /// Where the order is best cut, with the gain, if that is more than `most`.
    fn best_of_order(&self, rows: f64, mut most: f64) -> Option<(usize, f64)> {
        let (mut count, mut sum, mut best) = (0.0, 0.0, None);
        for (at, &before) in (1..self.cells.len()).zip(&self.cells) {
            count += self.groups[before].0;
            sum += self.groups[before].1;
            // Centred values sum to zero: the right side has the negative sum.
            let gain = sum * sum / count + sum * sum / (rows - count);
            if gain > most {
                most = gain;
                best = Some((at, gain));
            }
        }
        best
    }
}

/// For every cell whether it goes left; what the node did not observe is decided here.
fn sides(domain: &Domain, cut: &Cut, rng: &mut impl Rng) -> Vec<bool> {
    let mut sides: Vec<bool> = (0..domain.size).map(|_| rng.random_bool(0.5)).collect();
    if let Some(positions) = &domain.positions {
        let position = |cell: &usize| cell.checked_sub(1).map(|level| positions[level]);
        let lower = cut.left.iter().filter_map(position).reduce(f64::max);
        let upper = cut.right.iter().filter_map(position).reduce(f64::min);
        let threshold = match (lower, upper) {
            (Some(lower), Some(upper)) => lower + (upper - lower) * rng.random_range(0.0..1.0),
            (Some(_), None) => f64::INFINITY,
            (None, _) => f64::NEG_INFINITY,
        };
        for (level, at) in positions.iter().enumerate() {
            sides[level + 1] = *at <= threshold;
        }
    }
    for &cell in &cut.left {
        sides[cell] = true;
    }
    for &cell in &cut.right {
        sides[cell] = false;
    }
    sides
}
