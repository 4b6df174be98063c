//! Medians and distribution-free intervals around them.
//!
//! Iteration times have heavy tails, so the summary is the median and its interval comes from
//! order statistics: it holds for every continuous distribution.

use ccl_core::Interval;

/// The median of the finite values; `None` of nothing. Even counts give the mean of the middle two.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if values.is_empty() {
        return None;
    }
    let (middle, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp);
    match lower {
        Some(lower) if !is_odd => Some(f64::midpoint(lower, *upper)),
        _ => Some(*upper),
    }
}

/// Finite values in ascending order.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The median with its 95 % interval for a fixed number of samples, by the sign test's order
/// statistics (Conover, Practical Nonparametric Statistics, section 3.2). Below six samples no
/// pair of order statistics reaches 95 %: the interval is then the whole range.
pub fn median_interval(values: &[f64]) -> Option<Interval> {
    let sorted = sorted(values);
    let median = median(&sorted)?;
    let n = sorted.len();
    let low = below_the_middle(n)?.saturating_sub(1);
    Some(Interval {
        median,
        ci95: [*sorted.get(low)?, *sorted.get(n - 1 - low)?],
    })
}

/// Largest k with 2 P(Binomial(n, 1/2) < k) <= 5 %.
#[allow(clippy::cast_precision_loss)] // sample counts
fn below_the_middle(n: usize) -> Option<usize> {
    let mut below = 0.0;
    let mut probability = 0.5_f64.powi(i32::try_from(n).ok()?);
    if n > 1000 {
        // Half to the power of n is soon no number any more, and the normal distribution as good.
        let half = n as f64 / 2.0;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below n
        return Some((half - 1.96 * half.sqrt() / 2.0_f64.sqrt()) as usize);
    }
    let mut k = 0;
    while k < n / 2 && 2.0 * (below + probability) <= 0.05 {
        below += probability;
        probability *= (n - k) as f64 / (k + 1) as f64;
        k += 1;
    }
    Some(k)
}

/// Robust relative standard deviation, by the median absolute deviation.
pub fn relative_noise(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    Some(median_absolute_deviation(values, middle)? / middle)
}

/// 1.4826 x the median distance from `centre`: the standard deviation of a normal distribution.
pub(super) fn median_absolute_deviation(values: &[f64], centre: f64) -> Option<f64> {
    let deviations: Vec<f64> = values.iter().map(|v| (v - centre).abs()).collect();
    Some(1.4826 * median(&deviations)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_textbook_one() {
        // n = 10: the second and the ninth value cover the median with 97.9 %.
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        let found = median_interval(&values).unwrap();
        assert_eq!((found.median, found.ci95), (5.5, [2.0, 9.0]));
        // n = 5: nothing reaches 95 %, so the range.
        let found = median_interval(&values[..5]).unwrap();
        assert_eq!(found.ci95, [1.0, 5.0]);
        assert!(median_interval(&[]).is_none());
    }

    #[test]
    fn the_median_is_that_of_the_sorted_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, f64::NAN, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[f64::INFINITY]), None);
    }

    #[test]
    fn noise_ignores_a_spike() {
        let mut values = vec![100.0, 101.0, 99.0, 100.5, 99.5, 100.2, 99.8];
        let quiet = relative_noise(&values).unwrap();
        values.push(1000.0);
        assert!(relative_noise(&values).unwrap() < 2.0 * quiet);
    }

    #[test]
    fn many_samples_have_an_interval_too() {
        for n in [1000_u16, 1001, 1500, 5000] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let [low, high] = median_interval(&values).unwrap().ci95;
            let width = 1.96 * f64::from(n).sqrt();
            assert!(
                (high - low - width).abs() < 4.0,
                "{n}: {low} to {high}, not {width}"
            );
        }
    }
}
