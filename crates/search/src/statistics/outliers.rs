//! Which samples are set aside, and why: warm-up, and values too far from the others.
//!
//! Reasons are data, so that a record can say what was left out of a figure. Nothing is set aside
//! without being asked: the comparisons and medians of this crate stand spikes as they are, and
//! what is set aside here is for figures that do not.

use std::fmt;

use super::interval::{median, median_absolute_deviation};
use super::pairs::robust_deviation;

/// Robust standard deviations beyond which a value is an outlier (Iglewicz and Hoaglin, How to
/// Detect and Handle Outliers, 1993, section 3.3: the modified Z-score).
const LIMIT: f64 = 3.5;

/// Samples of one batch when looking for the end of a warm-up, as in MSER-5 (White, "An Effective
/// Truncation Heuristic for Bias Reduction in Simulation Output", Simulation 1997).
const BATCH: usize = 5;

/// Fewest samples among which a warm-up, or earlier pairs among which an outlier, is looked for.
const FEWEST_SAMPLES: usize = 8;

/// Why a sample was set aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// It came before the times had settled.
    WarmUp {
        /// Its time over the settled median, minus 1; may be small or negative in the middle of a
        /// warm-up.
        slower_by: f64,
    },
    /// It is too far from the others.
    Outlier {
        /// Robust standard deviations of the log time (of a pair: the log ratio) from the middle.
        deviations: f64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WarmUp { slower_by } => write!(
                f,
                "warm-up: {:+.1} % beside the settled median",
                100.0 * slower_by
            ),
            Self::Outlier { deviations } => write!(
                f,
                "outlier: {deviations:.1} robust standard deviations from the middle, {LIMIT} allowed"
            ),
        }
    }
}

/// A sample that was set aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetAside {
    /// Which, from 0.
    pub index: usize,
    /// Why.
    pub reason: Reason,
}

/// The times do not settle within their first half: too few were taken.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the times have not settled within the first half of {samples} samples")]
pub struct NotSettled {
    /// Samples looked at.
    pub samples: usize,
}

/// The samples before the times had settled: those before the first that is itself within the
/// limit and begins a batch of five whose median is, the limit being 3.5 robust standard deviations
/// above the median of the second half (after Robinson, "A statistical process control approach to
/// selecting a warm-up period for a discrete-event simulation", European Journal of Operational
/// Research 2007). Only slower is warm-up. Positive times in any unit; fewer than eight say
/// nothing, and none is set aside. A drift that falls looks the same: 1 % of it costs one series in
/// ten a few samples. A fall that goes on to the end is not seen, its second half being as wide.
///
/// # Errors
///
/// [`NotSettled`] if no sample of the first half qualifies.
pub fn warm_up(times: &[f64]) -> Result<Vec<SetAside>, NotSettled> {
    let logs: Vec<f64> = times.iter().map(|t| t.ln()).collect();
    let half = logs.len() / 2;
    let settled = &logs[half..];
    let (Some(middle), true) = (median(settled), logs.len() >= FEWEST_SAMPLES) else {
        return Ok(Vec::new());
    };
    let deviation = robust_deviation(settled, middle).unwrap_or(0.0);
    let has_settled = |first: &usize| {
        let batch = &logs[*first..(first + BATCH).min(logs.len())];
        let is_within = |log: f64| log - middle <= LIMIT * deviation;
        is_within(logs[*first]) && median(batch).is_some_and(is_within)
    };
    let first = (0..=half).find(has_settled).ok_or(NotSettled {
        samples: times.len(),
    })?;
    let set_aside = |index: usize| SetAside {
        index,
        reason: Reason::WarmUp {
            slower_by: (logs[index] - middle).exp() - 1.0,
        },
    };
    Ok((0..first).map(set_aside).collect())
}

/// The times that are too far from the median of all, in either direction. Positive times in any
/// unit, of one configuration.
pub fn outliers(times: &[f64]) -> Vec<SetAside> {
    let logs: Vec<f64> = times.iter().map(|t| t.ln()).collect();
    let Some(middle) = median(&logs) else {
        return Vec::new();
    };
    let deviation = deviation_about(&logs, middle);
    let far = logs.iter().enumerate().filter_map(|(index, log)| {
        let reason = too_far(log - middle, deviation)?;
        Some(SetAside { index, reason })
    });
    far.collect()
}

/// Sets pairs aside without taking sides.
///
/// The fate of a pair is settled when it comes, by the size of its log ratio beside those of the
/// pairs before it. Which half was faster is never looked at, so under "no difference" the signs
/// of what is kept remain fair coins, and a comparison of what is kept errs as seldom as one of
/// everything. The price: beside a large effect only still larger deviations are outliers.
#[derive(Clone, Debug, Default)]
pub struct PairScreen {
    log_ratios: Vec<f64>,
}

impl PairScreen {
    /// Looks at a pair of times in one unit; a reason to set it aside, if there is one. The first
    /// eight pairs are never set aside.
    pub fn push(&mut self, incumbent: f64, candidate: f64) -> Option<Reason> {
        let log_ratio = (candidate / incumbent).ln();
        let reason = (self.log_ratios.len() >= FEWEST_SAMPLES)
            .then(|| too_far(log_ratio, deviation_about(&self.log_ratios, 0.0)))
            .flatten();
        if log_ratio.is_finite() {
            self.log_ratios.push(log_ratio);
        }
        reason
    }
}

fn too_far(distance: f64, deviation: f64) -> Option<Reason> {
    let deviations = distance / deviation;
    (deviations.abs() > LIMIT).then_some(Reason::Outlier { deviations })
}

/// By the median absolute deviation, or by the mean one where more than half are the same
/// (Iglewicz and Hoaglin).
fn deviation_about(values: &[f64], centre: f64) -> f64 {
    let robust = median_absolute_deviation(values, centre).unwrap_or(0.0);
    if robust > 0.0 {
        return robust;
    }
    #[allow(clippy::cast_precision_loss)] // sample counts
    let count = values.len() as f64;
    1.2533 * values.iter().map(|v| (v - centre).abs()).sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::simulation::{Noise, share};
    use crate::statistics::{Decision, SequentialComparison};

    fn indices(found: &[SetAside]) -> Vec<usize> {
        found.iter().map(|s| s.index).collect()
    }

    fn cold(seed: u64, count: usize, factor: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut times = Noise::simulator(seed).times(count);
        for (index, time) in (0_u32..).zip(&mut times) {
            *time *= factor(f64::from(index));
        }
        times
    }

    #[test]
    fn a_cold_start_and_a_slow_approach_are_warm_up() {
        for count in [8, 20, 40, 100] {
            let first = |i: f64| if i < 1.0 { 1.4 } else { 1.0 };
            let exact = share(1000, |s| {
                warm_up(&cold(s, count, first)).is_ok_and(|f| indices(&f) == [0])
            });
            assert!(exact >= 0.85, "{count}: {exact}");
        }
        // 40 % that fall by a factor e every five iterations are within 2 % after 15.
        let mut lengths: Vec<usize> = (0..200)
            .map(|s| cold(s, 40, |i| 1.0 + 0.4 * (-i / 5.0).exp()))
            .map(|times| warm_up(&times).map_or(times.len(), |f| f.len()))
            .collect();
        lengths.sort_unstable();
        assert!(lengths[10] >= 9 && lengths[190] <= 20, "{lengths:?}");
    }

    #[test]
    fn settled_times_are_seldom_called_warm_up() {
        for (count, most, with_drift) in [(8, 0.06, 0.1), (20, 0.04, 0.1), (100, 0.01, 0.03)] {
            let warm = |noise: fn(u64) -> Noise| {
                share(2000, |s| warm_up(&noise(s).times(count)) != Ok(vec![]))
            };
            let steady = warm(|s| Noise::gaussian(s, 0.006));
            let drifting = warm(Noise::simulator);
            assert!(steady <= most, "{count}: {steady}");
            assert!(drifting <= with_drift, "{count} with drift: {drifting}");
        }
    }

    #[test]
    fn times_that_are_slow_for_half_of_the_series_have_not_settled() {
        let late = cold(1, 20, |i| if i < 11.0 { 1.4 } else { 1.0 });
        assert_eq!(warm_up(&late), Err(NotSettled { samples: 20 }));
        assert_eq!(warm_up(&[5.0, 1.0, 1.0]), Ok(vec![]));
        assert_eq!(warm_up(&[]), Ok(vec![]));
    }

    #[test]
    fn spikes_are_outliers_and_hardly_anything_else() {
        let flagged = |noise: fn(u64) -> Noise| -> usize {
            let found = (0..50).map(|s| outliers(&noise(s).times(200)).len());
            found.sum()
        };
        // Of 10 000 times a hundred have a spike, of which six are too small to matter.
        let spikes = flagged(Noise::simulator);
        assert!((80..=120).contains(&spikes), "{spikes}");
        // 3.5 standard deviations leave 0.05 % of normal values outside.
        let quiet = flagged(|s| Noise::gaussian(s, 0.006));
        assert!(quiet <= 20, "{quiet}");
    }

    #[test]
    fn equal_times_have_no_outliers_but_what_differs_from_them() {
        assert_eq!(outliers(&[1.0; 9]), []);
        let mut times = [1.0; 9];
        times[4] = 1.3;
        let found = outliers(&times);
        assert_eq!(indices(&found), [4]);
        assert_eq!(
            found[0].reason.to_string(),
            "outlier: 7.2 robust standard deviations from the middle, 3.5 allowed"
        );
        let warm = warm_up(&cold(1, 20, |i| if i < 1.0 { 1.4 } else { 1.0 })).unwrap();
        let said = warm[0].reason.to_string();
        assert!(said.starts_with("warm-up: +39.4 %"), "{said}");
    }

    /// Spikes in a tenth of the halves.
    fn spiky(noise: &mut Noise, index: u32) -> (f64, f64) {
        let spike = |time: f64, draw: f64| if draw < -1.28 { 1.3 * time } else { time };
        let (a, b) = noise.pair(index, 1.0);
        let mut deviate = || noise.next().ln() / 0.006;
        (spike(a, deviate()), spike(b, deviate()))
    }

    #[test]
    fn setting_pairs_aside_takes_no_side() {
        let (mut everything, mut kept, mut set_aside, mut wins) = (0, 0, 0, 0);
        let runs = 1000;
        let mut pairs = 0_u32;
        for seed in 0..runs {
            let mut noise = Noise::gaussian(seed, 0.006);
            let mut screen = PairScreen::default();
            let mut all = SequentialComparison::new(0.05, 0.0);
            let mut screened = all.clone();
            let (mut all_faster, mut screened_faster) = (false, false);
            for index in 0..48 {
                let (incumbent, candidate) = spiky(&mut noise, index);
                all.push(incumbent, candidate);
                all_faster |= all.decision() == Decision::Faster;
                if screen.push(incumbent, candidate).is_some() {
                    set_aside += 1;
                    continue;
                }
                pairs += 1;
                wins += u32::from(candidate < incumbent);
                screened.push(incumbent, candidate);
                screened_faster |= screened.decision() == Decision::Faster;
            }
            everything += u32::from(all_faster);
            kept += u32::from(screened_faster);
        }
        // 18 % of the pairs have a spike in one half alone, and eight of 48 are kept anyhow.
        let share = f64::from(set_aside) / f64::from(set_aside + pairs);
        assert!((0.12..=0.2).contains(&share), "{share}");
        let fair = f64::from(wins) / f64::from(pairs);
        assert!((fair - 0.5).abs() < 0.005, "{fair}");
        assert!(f64::from(kept) <= 0.025 * 1000.0, "{kept} of {runs}");
        assert!(kept <= everything + 10, "{kept} against {everything}");
    }

    #[test]
    fn exchanging_the_halves_sets_the_same_pairs_aside() {
        let (mut one, mut other) = (PairScreen::default(), PairScreen::default());
        let mut noise = Noise::gaussian(5, 0.006);
        let mut found = 0;
        for index in 0..200 {
            let (a, b) = spiky(&mut noise, index);
            let (forward, backward) = (one.push(a, b), other.push(b, a));
            assert_eq!(forward.is_some(), backward.is_some());
            found += usize::from(forward.is_some());
        }
        assert!(found > 10, "{found}");
    }
}
