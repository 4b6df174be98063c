//! Joins neighbouring sizes into windows, and says of the others why they stay as they are.

use ccl_core::Asked;

use super::curve::Curve;
use super::{Fit, FitOptions, FittedPoint, ProtocolModel, Speedup, Untouched, Why, Window, rows};

/// Adds what a curve says.
///
/// From the smallest size up, a window takes in the next size as long as one choice stays as good
/// as the best within the noise: that makes the fewest windows, and a best choice that alternates
/// between near-equals makes one window, not many.
pub(super) fn find(
    curve: &Curve,
    options: &FitOptions,
    protocol: ProtocolModel<'_>,
    found: &mut Fit,
) {
    let candidates: Vec<Vec<Asked>> = (0..curve.sizes.len()).map(|i| best(curve, i)).collect();
    let mut index = 0;
    while index < candidates.len() {
        let mut common = candidates[index].clone();
        if common.is_empty() {
            leave_alone(curve, index, found);
            index += 1;
            continue;
        }
        let mut last = index;
        while curve.joined(last) {
            let kept: Vec<Asked> = common
                .iter()
                .copied()
                .filter(|a| candidates[last + 1].contains(a))
                .collect();
            if kept.is_empty() {
                break;
            }
            common = kept;
            last += 1;
        }
        if let Some(asked) = pick(curve, &common, index, last, options) {
            found
                .windows
                .extend(window(curve, asked, index, last, protocol));
        }
        index = last + 1;
    }
}

/// The candidates at a size that are as good as the best one within the noise.
fn best(curve: &Curve, index: usize) -> Vec<Asked> {
    let able: Vec<(Asked, Speedup)> = curve
        .choices
        .keys()
        .filter(|&&a| curve.objection(a, index).is_none())
        .filter_map(|&a| Some((a, curve.at(a, index)?.speedup)))
        .collect();
    let most = able.iter().map(|(_, s)| s.median).fold(0.0, f64::max);
    able.into_iter()
        .filter(|(_, s)| s.ci95[1] >= most)
        .map(|(a, _)| a)
        .collect()
}

/// The choice that gains most over the window; among those that differ by less than a gain worth a
/// rule the one that pins least, so that NCCL keeps what need not be taken from it.
fn pick(
    curve: &Curve,
    common: &[Asked],
    first: usize,
    last: usize,
    options: &FitOptions,
) -> Option<Asked> {
    let gains: Vec<(Asked, f64)> = common
        .iter()
        .filter_map(|&a| Some((a, mean(curve, a, first, last)?.median)))
        .collect();
    let most = gains.iter().map(|(_, g)| *g).fold(0.0, f64::max);
    gains
        .into_iter()
        .filter(|(_, gain)| gain * (1.0 + options.least_gain) >= most)
        .min_by(|(a, x), (b, y)| a.pinned().cmp(&b.pinned()).then(y.total_cmp(x)))
        .map(|(asked, _)| asked)
}

fn mean(curve: &Curve, asked: Asked, first: usize, last: usize) -> Option<Speedup> {
    let all: Vec<Speedup> = (first..=last)
        .filter_map(|i| Some(curve.at(asked, i)?.speedup))
        .collect();
    Speedup::mean(all.iter())
}

fn window(
    curve: &Curve,
    asked: Asked,
    first: usize,
    last: usize,
    protocol: ProtocolModel<'_>,
) -> Option<Window> {
    let mut points = Vec::new();
    let mut choices = Vec::new();
    for index in first..=last {
        let measured = curve.at(asked, index)?;
        points.push(FittedPoint {
            bytes: curve.sizes[index],
            default_us: curve.default_us[index],
            choice_us: measured.time_us,
            speedup: measured.speedup,
        });
        choices.push((curve.sizes[index], measured.choice?));
    }
    Some(Window {
        key: curve.key.clone(),
        asked,
        speedup: mean(curve, asked, first, last)?,
        points,
        rows: rows::of(&curve.key, &choices, protocol),
    })
}

/// Notes a size without candidates; joins it to the one below where the reason is the same.
fn leave_alone(curve: &Curve, index: usize, found: &mut Fit) {
    let best = curve
        .choices
        .keys()
        .filter_map(|&a| Some((a, curve.at(a, index)?.speedup)))
        .max_by(|(_, x), (_, y)| x.median.total_cmp(&y.median));
    // The reason that came nearest to a window.
    let why = curve
        .choices
        .keys()
        .filter_map(|&a| curve.objection(a, index))
        .max()
        .unwrap_or(Why::OnlyDefault);
    let bytes = curve.sizes[index];
    let below = index.checked_sub(1).map(|i| curve.sizes[i]);
    match found.untouched.last_mut() {
        Some(previous)
            if previous.key == curve.key
                && previous.why == why
                && Some(previous.max_bytes) == below =>
        {
            previous.max_bytes = bytes;
            previous.sizes += 1;
            previous.best = [previous.best, best]
                .into_iter()
                .flatten()
                .max_by(|(_, x), (_, y)| x.median.total_cmp(&y.median));
        }
        _ => found.untouched.push(Untouched {
            key: curve.key.clone(),
            min_bytes: bytes,
            max_bytes: bytes,
            sizes: 1,
            why,
            best,
        }),
    }
}
