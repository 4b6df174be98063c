//! The Parzen estimator of one parameter: a mixture of one kernel per evaluation and a flat prior,
//! as chances of its levels.

use rand::{Rng, RngExt};

use crate::normal::cumulative;
use crate::space::Scale;

/// Evaluations that keep their full weight: the 25 newest, in Optuna's `default_weights`.
const FRESH: usize = 25;

/// Chances of the levels of one parameter; each is positive and they sum to one.
pub(super) struct Density {
    chances: Vec<f64>,
}

impl Density {
    /// From the levels of some evaluations, oldest first.
    pub(super) fn new(scale: &Scale, observed: &[u16]) -> Self {
        let weights = weights(observed.len());
        let total: f64 = weights.iter().sum();
        let kernels = match scale {
            Scale::Ordered(positions) => ordered(positions, observed),
            Scale::Categories(count) => categories(*count, observed),
        };
        let levels = kernels.first().map_or(0, Vec::len);
        let mut chances = vec![0.0; levels];
        for (kernel, weight) in kernels.iter().zip(&weights) {
            for (chance, part) in chances.iter_mut().zip(kernel) {
                *chance += weight / total * part;
            }
        }
        Self { chances }
    }

    pub(super) fn chance(&self, level: u16) -> f64 {
        self.chances.get(usize::from(level)).copied().unwrap_or(0.0)
    }

    pub(super) fn draw(&self, rng: &mut impl Rng) -> u16 {
        let mut left: f64 = rng.random_range(0.0..1.0);
        let last = self.chances.len().saturating_sub(1);
        for (level, chance) in self.chances.iter().enumerate() {
            if left < *chance || level == last {
                return u16::try_from(level).unwrap_or(u16::MAX);
            }
            left -= chance;
        }
        0
    }
}

/// Weights of the evaluations, oldest first, and of the prior.
fn weights(count: usize) -> Vec<f64> {
    let old = count.saturating_sub(FRESH);
    let ramp = |index: usize| {
        let first = 1.0 / count as f64;
        // From 1/n to 1 over the old ones, both ends included.
        first + (1.0 - first) * index as f64 / old.saturating_sub(1).max(1) as f64
    };
    let mut weights: Vec<f64> = (0..count)
        .map(|index| if index < old { ramp(index) } else { 1.0 })
        .collect();
    weights.push(1.0);
    weights
}

/// Each kernel favours its category over a floor that all share.
fn categories(count: usize, observed: &[u16]) -> Vec<Vec<f64>> {
    let floor = 1.0 / (observed.len() + 1) as f64;
    let mut kernels: Vec<Vec<f64>> = Vec::with_capacity(observed.len() + 1);
    for &level in observed {
        let mut kernel = vec![floor; count];
        if let Some(chance) = kernel.get_mut(usize::from(level)) {
            *chance += 1.0;
        }
        let total: f64 = kernel.iter().sum();
        kernels.push(kernel.iter().map(|chance| chance / total).collect());
    }
    kernels.push(vec![1.0 / count as f64; count]);
    kernels
}

/// Each kernel is a normal distribution cut off at the ends of the scale and collected into bins,
/// as wide as the larger gap to the neighbouring kernels, within bounds.
fn ordered(positions: &[f64], observed: &[u16]) -> Vec<Vec<f64>> {
    let edges = edges(positions);
    let (Some(&low), Some(&high)) = (edges.first(), edges.last()) else {
        return Vec::new();
    };
    let mut centres: Vec<f64> = observed
        .iter()
        .map(|&level| positions[usize::from(level).min(positions.len() - 1)])
        .collect();
    centres.push(0.5 * (low + high));
    let widest = high - low;
    // "Magic clip": kernels may become narrower as there are more of them.
    let narrowest = widest / (1.0 + centres.len() as f64).min(100.0);
    let mut order: Vec<usize> = (0..centres.len()).collect();
    order.sort_by(|&a, &b| centres[a].total_cmp(&centres[b]));
    let mut widths = vec![widest; centres.len()];
    for (at, &kernel) in order.iter().enumerate() {
        let before = at.checked_sub(1).map(|i| centres[order[i]]);
        let after = order.get(at + 1).map(|&i| centres[i]);
        let gap = |other: Option<f64>| other.map_or(0.0, |o| (o - centres[kernel]).abs());
        // The ends of the scale are no neighbours, except of a kernel that has no other.
        widths[kernel] = match (before, after) {
            (None, None) => widest,
            _ => gap(before).max(gap(after)),
        };
    }
    // The prior is as wide as the scale.
    if let Some(prior) = widths.last_mut() {
        *prior = widest;
    }
    let kernel = |(centre, width): (&f64, &f64)| -> Vec<f64> {
        let width = width.clamp(narrowest, widest);
        let at = |edge: f64| cumulative((edge - centre) / width);
        let inside = at(high) - at(low);
        edges
            .windows(2)
            .map(|bin| ((at(bin[1]) - at(bin[0])) / inside).max(f64::MIN_POSITIVE))
            .collect()
    };
    centres.iter().zip(&widths).map(kernel).collect()
}

/// Where the bins of the levels meet: halfway, and as far outside at both ends.
fn edges(positions: &[f64]) -> Vec<f64> {
    let mut edges: Vec<f64> = positions.windows(2).map(|p| 0.5 * (p[0] + p[1])).collect();
    let (Some(&first), Some(&last)) = (positions.first(), positions.last()) else {
        return Vec::new();
    };
    let below = edges.first().map_or(0.5, |edge| edge - first);
    let above = edges.last().map_or(0.5, |edge| last - edge);
    edges.insert(0, first - below);
    edges.push(last + above);
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered_scale() -> Scale {
        Scale::Ordered((0..9).map(|n| f64::from(n) / 8.0).collect())
    }

    #[test]
    fn chances_sum_to_one_and_none_is_zero() {
        for scale in [ordered_scale(), Scale::Categories(9)] {
            for observed in [vec![], vec![0], vec![8; 60], vec![1, 7, 4, 4]] {
                let density = Density::new(&scale, &observed);
                let chances: Vec<f64> = (0..9).map(|level| density.chance(level)).collect();
                assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                assert!(chances.iter().all(|c| *c > 0.0));
            }
        }
    }

    #[test]
    fn what_was_observed_is_likelier_and_its_neighbours_only_on_a_scale() {
        let ordered = Density::new(&ordered_scale(), &[6, 6, 7]);
        assert!(ordered.chance(6) > ordered.chance(4));
        assert!(ordered.chance(4) > ordered.chance(0));
        let named = Density::new(&Scale::Categories(9), &[6, 6, 7]);
        assert!(named.chance(6) > named.chance(7));
        assert!((named.chance(5) - named.chance(0)).abs() < 1e-12);
    }

    #[test]
    fn old_evaluations_fade() {
        let weights = weights(50);
        assert_eq!(weights.len(), 51);
        assert!((weights[0] - 0.02).abs() < 1e-12);
        assert!((weights[24] - 1.0).abs() < 1e-12);
        assert!(weights[25..].iter().all(|w| *w == 1.0));
    }

    #[test]
    fn a_category_after_one_evaluation_has_the_chance_of_the_formula() {
        // Kernel (1 + 1/2) / 2 = 0.75 on the observed of two, prior 0.5, equal weights.
        let density = Density::new(&Scale::Categories(2), &[1]);
        assert!((density.chance(1) - 0.625).abs() < 1e-12);
    }
}
