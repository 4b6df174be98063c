//! How much faster one set of times is than another, and how much of that may be noise.

use serde::Serialize;

use crate::{median, median_interval};

/// Samples on both sides from which the intervals come from the samples alone: below six no order
/// statistics reach 95 % (see [`median_interval`]).
const ENOUGH_REPEATS: usize = 6;

/// What two measurements of the same thing may differ by, where repeats do not say.
///
/// The figures are the 95th percentile of |a - b| / max(a, b) over all pairs of recorded repeats
/// of one point, largest among the octaves of time from 64 us up. One node: 3.2 % in the octave of
/// 128 us (data set h100_cluster01, 4 and 8 H100, ten repeats of 6 points and more an octave).
/// Between nodes: 9.2 % in the octave of 64 us (polaris_a100_slingshot, a shared fabric, two
/// repeats and more of a point). Nothing below 64 us was recorded with repeats on one node;
/// launches and clocks do not become more regular because the call is short, so there the floor
/// keeps the microseconds it has at 64 us.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NoiseFloor {
    /// Share of the slower time, on one node.
    pub one_node: f64,
    /// Share of the slower time, between nodes.
    pub many_nodes: f64,
    /// Times below this, in microseconds, have the noise of this time.
    pub shortest_us: f64,
}

impl Default for NoiseFloor {
    fn default() -> Self {
        Self {
            one_node: 0.032,
            many_nodes: 0.092,
            shortest_us: 64.0,
        }
    }
}

impl NoiseFloor {
    /// Share of the slower of two times, 0 to below 1, that may be noise.
    pub fn share(&self, nodes: u32, slower_us: f64) -> f64 {
        let share = if nodes > 1 {
            self.many_nodes
        } else {
            self.one_node
        };
        (share * (self.shortest_us / slower_us).max(1.0)).clamp(0.0, 0.99)
    }
}

/// Where an interval comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseBasis {
    /// Repeats of both.
    Repeats,
    /// The floor, widened to the range of the repeats where there were a few.
    Floor,
}

/// Default time / choice time; above 1 the choice is faster.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speedup {
    /// Of the medians.
    pub median: f64,
    /// 95 % interval.
    pub ci95: [f64; 2],
    /// Where the interval comes from.
    pub basis: NoiseBasis,
}

impl Speedup {
    /// Of these times in microseconds; `None` where one side has none.
    pub fn of(default: &[f64], choice: &[f64], nodes: u32, floor: &NoiseFloor) -> Option<Self> {
        let (slow, fast) = (median_interval(default)?, median_interval(choice)?);
        let between = slow.median / fast.median;
        // Both intervals at their worst: wider than 95 %, never narrower.
        let range = [slow.ci95[0] / fast.ci95[1], slow.ci95[1] / fast.ci95[0]];
        if default.len().min(choice.len()) >= ENOUGH_REPEATS {
            return Some(Self {
                median: between,
                ci95: range,
                basis: NoiseBasis::Repeats,
            });
        }
        let kept = 1.0 - floor.share(nodes, median(default)?.max(median(choice)?));
        Some(Self {
            median: between,
            ci95: [range[0].min(between * kept), range[1].max(between / kept)],
            basis: NoiseBasis::Floor,
        })
    }

    /// Whether the choice is faster by more than the noise and by at least this share.
    pub fn beats(&self, least_gain: f64) -> bool {
        self.ci95[0] > 1.0 && self.median >= 1.0 + least_gain
    }

    /// The geometric mean of several; the bounds are averaged alike, which is wide: the noise of
    /// neighbouring sizes need not be independent.
    pub fn mean<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Option<Self> {
        let mean = |part: fn(&Self) -> f64| {
            let (sum, count) = all
                .clone()
                .fold((0.0, 0.0), |(s, n), one| (s + part(one).ln(), n + 1.0));
            (count > 0.0).then(|| f64::exp(sum / count))
        };
        Some(Self {
            median: mean(|s| s.median)?,
            ci95: [mean(|s| s.ci95[0])?, mean(|s| s.ci95[1])?],
            basis: all.clone().map(|s| s.basis).max()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_calls_keep_the_microseconds_of_the_floor() {
        let floor = NoiseFloor::default();
        assert!((floor.share(1, 1000.0) - 0.032).abs() < 1e-12);
        // 2.048 us of 40 us.
        assert!((floor.share(1, 40.0) * 40.0 - 2.048).abs() < 1e-9);
        assert!((floor.share(2, 1000.0) - 0.092).abs() < 1e-12);
        assert!(floor.share(2, 1e-3) < 1.0);
    }

    #[test]
    fn repeats_replace_the_floor_and_a_few_only_widen_it() {
        let floor = NoiseFloor::default();
        let default: Vec<f64> = (0..6).map(|i| 1020.0 + f64::from(i)).collect();
        let choice: Vec<f64> = (0..6).map(|i| 1000.0 + f64::from(i)).collect();
        let sure = Speedup::of(&default, &choice, 1, &floor).unwrap();
        assert_eq!(sure.basis, NoiseBasis::Repeats);
        assert!(sure.beats(0.01));
        let one = Speedup::of(&default[..1], &choice[..1], 1, &floor).unwrap();
        assert_eq!(one.basis, NoiseBasis::Floor);
        assert!(!one.beats(0.01), "2 % without repeats is inside the floor");
        let spread = Speedup::of(&[1000.0, 1300.0, 1310.0], &[1001.0], 1, &floor).unwrap();
        assert!(!spread.beats(0.01), "one repeat of three says the opposite");
        assert!(Speedup::of(&[], &choice, 1, &floor).is_none());
    }

    #[test]
    fn a_sure_gain_that_is_too_small_is_none() {
        let default = [1005.0; 8];
        let choice = [1000.0; 8];
        let found = Speedup::of(&default, &choice, 1, &NoiseFloor::default()).unwrap();
        assert!(found.ci95[0] > 1.0 && !found.beats(0.01));
    }
}
