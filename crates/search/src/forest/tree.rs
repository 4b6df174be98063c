//! One regression tree: every split sends a set of cells of one parameter to the left.
//!
//! Absence is a cell like the levels are, so a parameter that exists only under a condition needs
//! no default in its place. Where the observations of a node leave open on which side a cell
//! belongs, chance decides, tree by tree: the trees then disagree exactly where nothing was
//! observed, which is what the forest's variance is for (Hutter et al. 2014, section 4.3.2).

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
        let mut open = vec![(0, rows)];
        while let Some((node, rows)) = open.pop() {
            if rows.len() < options.least_split.max(2) {
                continue;
            }
            let Some(cut) = best_cut(table, &rows, options, rng) else {
                continue;
            };
            let sides = sides(&table.domains[cut.parameter], &cut, rng);
            let (left_rows, right_rows): (Vec<usize>, Vec<usize>) = rows
                .into_iter()
                .partition(|&row| sides[table.cell(row, cut.parameter)]);
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

/// The cut of the largest gain among a random part of the parameters that can be cut at all. A cut
/// without a gain is one too: behind it may lie what only two parameters together explain.
fn best_cut(
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
    let mut order: Vec<usize> = (0..table.domains.len()).collect();
    let wanted = (order.len() as f64 * options.parameter_share)
        .ceil()
        .max(1.0) as usize;
    let mut tried = 0;
    while tried < wanted && !order.is_empty() {
        let parameter = order.swap_remove(rng.random_range(0..order.len()));
        let domain = &table.domains[parameter];
        let mut groups = vec![(0.0, 0.0); domain.size];
        for &row in rows {
            let group = &mut groups[table.cell(row, parameter)];
            group.0 += 1.0;
            group.1 += table.values[row] - mean;
        }
        let orders = orders(domain, &groups);
        tried += usize::from(!orders.is_empty());
        for cells in orders {
            let (mut count, mut sum) = (0.0, 0.0);
            let mut at_best = None;
            let mut most = best.as_ref().map_or(f64::NEG_INFINITY, |b| b.gain);
            for at in 1..cells.len() {
                count += groups[cells[at - 1]].0;
                sum += groups[cells[at - 1]].1;
                // Centred values sum to zero: the right side has the negative sum.
                let gain = sum * sum / count + sum * sum / (rows.len() as f64 - count);
                if gain > most {
                    (most, at_best) = (gain, Some(at));
                }
            }
            if let Some(at) = at_best {
                best = Some(Cut {
                    parameter,
                    gain: most,
                    left: cells[..at].to_vec(),
                    right: cells[at..].to_vec(),
                });
            }
        }
    }
    best
}

/// The orders of the observed cells in which a cut may fall between any two; none where there is
/// nothing to cut. Ordered levels keep their order with absence at either end. Categories are
/// ordered by their means, which has the best of all subsets among its cuts (Breiman, Friedman,
/// Olshen, Stone, "Classification and Regression Trees", 1984, theorem 4.5).
fn orders(domain: &Domain, groups: &[(f64, f64)]) -> Vec<Vec<usize>> {
    let mut seen: Vec<usize> = (0..groups.len()).filter(|&c| groups[c].0 > 0.0).collect();
    if seen.len() < 2 {
        return Vec::new();
    }
    if domain.positions.is_none() {
        let mean = |c: usize| groups[c].1 / groups[c].0;
        seen.sort_by(|&a, &b| mean(a).total_cmp(&mean(b)));
        return vec![seen];
    }
    if seen[0] != 0 || seen.len() == 2 {
        return vec![seen];
    }
    let mut absent_last = seen.clone();
    absent_last.rotate_left(1);
    vec![seen, absent_last]
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
