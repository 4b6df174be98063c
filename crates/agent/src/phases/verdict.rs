//! Where a claim comes from: the baseline before, and the comparison on fresh pairs after.
//!
//! Nothing that was measured while searching enters the verdict: whatever wins a search wins in
//! part by luck (the winner's curse), and only iterations run afterwards, best and untuned side by
//! side, are free of it.

use ccl_core::{Interval, TraceEvent, Verdict};
use ccl_search::{Decision, SequentialComparison, median, median_interval, relative_noise};

use super::offline::{bus_gbs, statement};
use crate::summary::Estimate;
use crate::tuner::{RunError, Tuner};

/// Iterations before the baseline that nobody looks at: allocations, connections, caches.
const WARM_UP: u32 = 1;

/// Most iterations a baseline takes, however much they differ.
const MOST_BASELINE: u32 = 16;
/// Baseline iterations that differ by less, as a share, agree.
const AGREEMENT: f64 = 0.03;

/// The upper end of an interval that has none; JSON knows no infinity.
const UNBOUNDED: f64 = 1e300;

/// Best against untuned.
pub(crate) struct Comparison {
    pub(crate) speedup: Interval,
    pub(crate) verdict: Verdict,
    pub(crate) pairs: u32,
    pub(super) untuned_us: Vec<f64>,
    pub(super) best_us: Vec<f64>,
}

impl Tuner<'_> {
    /// Untuned NCCL, warm: the iteration time, and each key's calls and share.
    pub(super) fn measure_baseline(&mut self) -> Result<(), RunError> {
        let untuned = self.guard.approve_untuned();
        for _ in 0..WARM_UP {
            let sample = self.spend(&untuned)?.map_err(RunError::Baseline)?;
            self.cold_us = Some(sample.iteration_us);
        }
        let mut calls_us: Vec<Vec<f64>> = vec![Vec::new(); self.situation.keys.len()];
        // As many as asked for, and more until two of them agree: one spike is no baseline.
        for count in 0..MOST_BASELINE {
            let enough = count >= self.options.baseline_iterations.max(1);
            if enough && (count < 2 || two_agree(&self.baseline_us)) {
                break;
            }
            let sample = self.spend(&untuned)?.map_err(RunError::Baseline)?;
            for (state, seen) in self.situation.keys.iter().zip(&mut calls_us) {
                let key = sample.keys.iter().find(|k| k.key == state.facts.key);
                seen.extend(key.and_then(|k| median(&k.calls_us)));
            }
            self.baseline_us.push(sample.iteration_us);
        }
        self.pace_us.clone_from(&self.baseline_us);
        let iteration = estimate(&self.baseline_us);
        self.guard.set_baseline_us(iteration.median * 1e3);
        for (state, seen) in self.situation.keys.iter_mut().zip(&calls_us) {
            let Some(call_us) = median(seen) else {
                continue;
            };
            #[allow(clippy::cast_precision_loss)] // counts of calls
            let all_us = state.facts.calls as f64 * call_us;
            state.observed.bus_gbs = bus_gbs(&state.facts, call_us);
            state.observed.call_us = call_us;
            state.observed.share = all_us / (iteration.median * 1e3);
            state.signals.iteration_spread = relative_noise(seen);
        }
        self.situation
            .keys
            .sort_by(|a, b| b.observed.share.total_cmp(&a.observed.share));
        for index in 0..self.situation.keys.len() {
            let observed = self.situation.keys[index].observed.clone();
            let statement = statement(&observed, "in the job");
            let evidence = self.observe(Some(observed.key), statement)?;
            self.situation.keys[index].evidence = evidence;
        }
        self.emit(TraceEvent::BaselineMeasured {
            iteration_ms: Interval {
                median: iteration.median,
                ci95: iteration.ci95,
            },
            samples: iteration.samples,
            noise: relative_noise(&self.baseline_us).unwrap_or(0.0),
        })
    }

    /// Compares the incumbent with untuned NCCL on fresh iterations.
    pub(crate) fn compare_with_untuned(&mut self) -> Result<Comparison, RunError> {
        let mut found = Comparison {
            speedup: Interval {
                median: 1.0,
                ci95: [1.0, 1.0],
            },
            verdict: Verdict::NoDifference,
            pairs: 0,
            untuned_us: Vec::new(),
            best_us: Vec::new(),
        };
        if !self.incumbent.is_untuned() || self.environment.is_some() {
            self.run_pairs(&mut found)?;
        }
        let Comparison {
            speedup,
            verdict,
            pairs,
            ..
        } = found;
        self.emit(TraceEvent::FinalComparison {
            speedup,
            verdict,
            pairs,
        })?;
        Ok(found)
    }

    fn run_pairs(&mut self, found: &mut Comparison) -> Result<(), RunError> {
        let mut alpha = self.options.alpha;
        if let Some(best) = self.environment.take() {
            // What was found without a restart gets a chance of its own: the two share the level.
            alpha /= if self.incumbent.is_untuned() {
                1.0
            } else {
                2.0
            };
            if self.keep_environment(best, found, alpha)? || self.incumbent.is_untuned() {
                return Ok(());
            }
            found.untuned_us.clear();
            found.best_us.clear();
        }
        let mut comparison = SequentialComparison::new(alpha, self.options.minimum_effect);
        let untuned = self.guard.approve_untuned();
        let best = self.approved_incumbent()?;
        for pair in 0..self.options.final_pairs {
            if self.is_interrupted() {
                break;
            }
            // Which goes first changes from pair to pair, so that drift favours neither.
            let first_is_untuned = pair % 2 == 0;
            let order = if first_is_untuned {
                [&untuned, &best]
            } else {
                [&best, &untuned]
            };
            let [first, second] = order;
            let (Ok(first), Ok(second)) = (self.spend(first)?, self.spend(second)?) else {
                // A failed pair says nothing about speed; a configuration that fails never wins.
                comparison = SequentialComparison::new(alpha, 0.0);
                break;
            };
            let (old, new) = if first_is_untuned {
                (first, second)
            } else {
                (second, first)
            };
            comparison.push(old.iteration_us, new.iteration_us);
            found.untuned_us.push(old.iteration_us);
            found.best_us.push(new.iteration_us);
            if comparison.decision() != Decision::Continue {
                break;
            }
        }
        self.conclude(found, &comparison);
        Ok(())
    }

    /// What a comparison of untuned NCCL with the best says.
    pub(super) fn conclude(&self, found: &mut Comparison, comparison: &SequentialComparison) {
        found.pairs = comparison.pairs();
        found.speedup = match (comparison.ratio(), comparison.median_ratio()) {
            (Some(r), _) => Interval {
                median: 1.0 / r.median,
                ci95: [1.0 / r.ci95[1], 1.0 / r.ci95[0]],
            },
            // Too few pairs to bound it: the interval says just that.
            (None, middle) => Interval {
                median: 1.0 / middle.unwrap_or(1.0),
                ci95: [0.0, UNBOUNDED],
            },
        };
        // Figures that were taken once are no surer than what repeating them would show.
        let unsure = 1.0 + self.testbed.describe().resolution;
        let [low, high] = found.speedup.ci95;
        found.speedup.ci95 = [low / unsure, high * unsure];
        found.verdict = match comparison.decision() {
            Decision::Faster if found.speedup.ci95[0] > 1.0 => Verdict::Faster,
            Decision::Slower if found.speedup.ci95[1] < 1.0 => Verdict::Slower,
            _ => Verdict::NoDifference,
        };
    }
}

/// Whether two of the times differ by no more than baseline iterations do.
fn two_agree(times_us: &[f64]) -> bool {
    let mut sorted = times_us.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
    pairs.any(|(a, b)| b - a <= AGREEMENT * a)
}

/// Iteration times in microseconds as an estimate in milliseconds; one of them bounds nothing.
pub(super) fn estimate(times_us: &[f64]) -> Estimate {
    let interval = median_interval(times_us).filter(|_| times_us.len() > 1);
    let interval = interval.unwrap_or(Interval {
        median: median(times_us).unwrap_or(0.0),
        ci95: [0.0, UNBOUNDED],
    });
    let bound = |us: f64| if us < UNBOUNDED { us / 1e3 } else { us };
    Estimate {
        median: interval.median / 1e3,
        ci95: interval.ci95.map(bound),
        samples: u32::try_from(times_us.len()).unwrap_or(u32::MAX),
    }
}
