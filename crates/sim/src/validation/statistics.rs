//! Quantiles and rank correlation.

use std::collections::BTreeMap;

use super::Compared;

/// The quantile of unsorted values, by linear interpolation; `None` without values.
pub(super) fn quantile(values: &[f64], at: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    #[allow(clippy::cast_precision_loss)] // a count of rows
    let position = at * last as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to `last`
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * position.fract())
}

/// Spearman's rank correlation of the times of one call's configurations, averaged over calls
/// with three and more of them, each weighted with its configurations.
pub(super) fn mean_rank_correlation(rows: &[&Compared]) -> Option<f64> {
    let mut calls: BTreeMap<String, Vec<&Compared>> = BTreeMap::new();
    for row in rows {
        let cell = &row.point.cell;
        let c = &cell.conditions;
        let key = format!(
            "{} {} {} {} {} {} {}",
            c.gpu,
            c.intra,
            c.network,
            c.concurrent_compute,
            cell.shape,
            cell.collective,
            cell.bytes
        );
        calls.entry(key).or_default().push(row);
    }
    let (mut sum, mut weight) = (0.0, 0.0);
    for rows in calls.values() {
        // What ran, not what it was called: two names of one configuration differ by noise alone.
        let mut ran: Vec<String> = rows.iter().map(|r| format!("{:?}", r.choice)).collect();
        ran.sort();
        ran.dedup();
        if ran.len() < 3 {
            continue;
        }
        let measured: Vec<f64> = rows.iter().map(|r| r.point.time_us).collect();
        let predicted: Vec<f64> = rows.iter().map(|r| r.predicted_us).collect();
        #[allow(clippy::cast_precision_loss)] // a count of rows
        let count = rows.len() as f64;
        if let Some(rho) = spearman(&measured, &predicted) {
            sum += count * rho;
            weight += count;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

/// Spearman's rank correlation; ties share their mean rank. `None` where one side does not vary.
fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    #[allow(clippy::cast_precision_loss)] // a count of rows
    let n = a.len() as f64;
    let mean = (n + 1.0) / 2.0;
    let dot = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    let scale = (dot(&a, &a) * dot(&b, &b)).sqrt();
    (scale > 0.0).then(|| dot(&a, &b) / scale)
}

fn ranks(values: &[f64]) -> Vec<f64> {
    #[allow(clippy::cast_precision_loss)] // a count of rows
    let rank = |v: f64| {
        let below = values.iter().filter(|w| **w < v).count() as f64;
        let same = values.iter().filter(|w| w.total_cmp(&v).is_eq()).count() as f64;
        below + (same + 1.0) / 2.0
    };
    values.iter().map(|v| rank(*v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&values, 0.5), Some(2.5));
        assert_eq!(quantile(&values, 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn rank_correlation_sees_order_only() {
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[10.0, 11.0, 12.0]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[12.0, 11.0, 10.0]), Some(-1.0));
        assert_eq!(spearman(&[1.0, 1.0], &[2.0, 3.0]), None);
        // Scipy: spearmanr([1, 2, 2, 3], [1, 3, 2, 4]) = 0.9487
        let tied = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 4.0]).unwrap();
        assert!((tied - 0.948_683).abs() < 1e-6);
    }
}
