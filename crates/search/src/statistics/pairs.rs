//! What every comparison of pairs shares: the pairs, their noise, and where a comparison can stand.

use super::interval::{median, median_absolute_deviation};

/// Where a comparison stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not decided.
    Continue,
    /// The candidate's median is lower, beyond doubt and by more than the smallest effect.
    Faster,
    /// It is higher.
    Slower,
    /// Any difference is below what matters, or cannot be told from the noise.
    NoDifference,
}

/// Pairs after which a comparison whose estimate is below the smallest effect is given up.
pub(super) const FUTILE_AFTER: u32 = 16;

/// Logs of candidate / incumbent, in the order they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs {
    pub(super) log_ratios: Vec<f64>,
}

impl Pairs {
    /// Adds a pair; times in any unit, both the same. A pair without two positive, finite times
    /// is no pair.
    pub(super) fn push(&mut self, incumbent: f64, candidate: f64) {
        let log_ratio = (candidate / incumbent).ln();
        if log_ratio.is_finite() && incumbent > 0.0 {
            self.log_ratios.push(log_ratio);
        }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.log_ratios.len()).unwrap_or(u32::MAX)
    }

    /// Median of the log ratios.
    pub(super) fn median(&self) -> Option<f64> {
        median(&self.log_ratios)
    }
}

/// Standard deviation of the log ratio of two samples taken one after the other, from a series of
/// times of one configuration: robust against spikes, and blind to slow drift because only
/// successive samples are compared (von Neumann, "Distribution of the Ratio of the Mean Square
/// Successive Difference to the Variance", Annals of Mathematical Statistics 1941). A sample must be
/// what half a pair will be: a mean over fewer calls is noisier. `None` below three positive, finite
/// times.
pub fn pair_noise(times: &[f64]) -> Option<f64> {
    let steps: Vec<f64> = times
        .windows(2)
        .filter(|w| w.iter().all(|t| *t > 0.0 && t.is_finite()))
        .map(|w| (w[1] / w[0]).ln())
        .collect();
    robust_deviation(&steps, 0.0).filter(|_| steps.len() >= 2)
}

/// Standard deviation about `centre` by the median absolute deviation, with the factors of small
/// samples (Croux and Rousseeuw, "Time-Efficient Algorithms for Two Highly Robust Estimators of
/// Scale", COMPSTAT 1992, section 4). The factors are those of a centre that is the sample's
/// median; a known one needs less, and is overstated by them.
pub(super) fn robust_deviation(values: &[f64], centre: f64) -> Option<f64> {
    const SMALL: [f64; 8] = [1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107];
    #[allow(clippy::cast_precision_loss)] // sample counts
    let n = values.len() as f64;
    let factor = match values.len() {
        0 | 1 => 1.0,
        count => SMALL.get(count - 2).copied().unwrap_or(n / (n - 0.8)),
    };
    Some(factor * median_absolute_deviation(values, centre)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::simulation::{Noise, Stream};

    #[test]
    fn the_deviation_is_right_on_average_for_few_samples_too() {
        for n in [2, 3, 4, 5, 6, 7, 8, 9, 20] {
            let mut stream = Stream::new(n);
            let runs = 20_000;
            let mut sum = 0.0;
            for _ in 0..runs {
                let values: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
                sum += robust_deviation(&values, median(&values).unwrap()).unwrap();
            }
            let mean = sum / f64::from(runs);
            assert!((mean - 1.0).abs() < 0.03, "{n} samples: {mean}");
        }
    }

    #[test]
    fn pair_noise_sees_neither_drift_nor_spikes() {
        // 0.6 % of each half make 0.85 % of a pair; the simulator adds spikes and 1 % of drift.
        let times = Noise::simulator(3).times(4000);
        let found = pair_noise(&times).unwrap();
        assert!((found / 0.0085 - 1.0).abs() < 0.1, "{found}");
        assert_eq!(pair_noise(&[1.0, 1.1]), None);
    }
}
