//! A paired comparison that may be looked at after every pair.
//!
//! Each pair is one incumbent time and one candidate time taken side by side, so that drift and
//! neighbours hit both. Only the sign of log(candidate / incumbent) against a threshold is used:
//! no assumption on the noise but that pairs are independent and the median is what matters.
//! Looking often does not inflate errors, because the evidence is an e-process, a betting score
//! whose chance of ever exceeding 1/alpha under the null is at most alpha (Ville's inequality;
//! Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
//! sequences", Annals of Statistics 2021; Waudby-Smith and Ramdas, "Estimating means of bounded
//! random variables by betting", JRSS B 2024).

use ccl_core::Interval;

use super::interval::{median, sorted};
use super::pairs::{Decision, FUTILE_AFTER, Pairs};

/// One comparison of a candidate with an incumbent.
#[derive(Clone, Debug)]
pub struct SequentialComparison {
    alpha: f64,
    minimum_effect: f64,
    pairs: Pairs,
}

impl SequentialComparison {
    /// A comparison that errs with a chance of at most `alpha` in each direction however often it
    /// is looked at, and calls changes of less than `minimum_effect` (a share) no difference.
    pub fn new(alpha: f64, minimum_effect: f64) -> Self {
        Self {
            alpha,
            minimum_effect,
            pairs: Pairs::default(),
        }
    }

    /// Adds a pair; times in any unit, both the same. A pair without two positive, finite times
    /// is no pair.
    pub fn push(&mut self, incumbent: f64, candidate: f64) {
        self.pairs.push(incumbent, candidate);
    }

    /// Pairs taken.
    pub fn pairs(&self) -> u32 {
        self.pairs.count()
    }

    /// Median of candidate / incumbent so far.
    pub fn median_ratio(&self) -> Option<f64> {
        self.pairs.median().map(f64::exp)
    }

    /// The same with an interval that holds at every moment; `None` while there are too few pairs
    /// to bound it on both sides.
    pub fn ratio(&self) -> Option<Interval> {
        let sorted = sorted(&self.pairs.log_ratios);
        let n = sorted.len();
        // All but `outside` values lie on one side of a threshold: evidence that the median does
        // too, wrong with a chance of alpha / 2 over all time.
        let needed = (2.0 / self.alpha).ln();
        let outside = (0..=n / 2)
            .take_while(|&k| log_evidence(n - k, n) >= needed)
            .count();
        let last = outside.checked_sub(1)?;
        let (low, high) = (*sorted.get(last)?, *sorted.get(n - 1 - last)?);
        Some(Interval {
            median: median(&sorted)?.exp(),
            ci95: [low.exp(), high.exp()],
        })
    }

    /// Where it stands now.
    pub fn decision(&self) -> Decision {
        let log_ratios = &self.pairs.log_ratios;
        let n = log_ratios.len();
        let Some(middle) = self.pairs.median() else {
            return Decision::Continue;
        };
        let needed = (2.0 / self.alpha).ln();
        let below = log_ratios.iter().filter(|r| **r < 0.0).count();
        let above = log_ratios.iter().filter(|r| **r > 0.0).count();
        let faster = (1.0 - self.minimum_effect).ln();
        let slower = -faster;
        if log_evidence(below, n) >= needed && middle <= faster {
            return Decision::Faster;
        }
        if log_evidence(above, n) >= needed && middle >= slower {
            return Decision::Slower;
        }
        let inside = self.ratio().is_some_and(|r| {
            r.ci95[0] > 1.0 - self.minimum_effect && r.ci95[1] < 1.0 + self.minimum_effect
        });
        let futile = self.pairs() >= FUTILE_AFTER && middle > faster && middle < slower;
        if inside || futile {
            Decision::NoDifference
        } else {
            Decision::Continue
        }
    }
}

/// Log of the evidence of `wins` among `n` fair coins against "at most half": the mixture over a
/// uniform prior of the winning chance on (1/2, 1]. A sum of binomial tails gives it in closed
/// form: 2^n * 2 * B(wins + 1, losses + 1) * P(Beta > 1/2).
pub(super) fn log_evidence(wins: usize, n: usize) -> f64 {
    // Logs of the factorials up to (n + 1)!, so that every coefficient is three look-ups.
    let mut ln_factorial = vec![0.0_f64; n + 2];
    for k in 2..n + 2 {
        #[allow(clippy::cast_precision_loss)] // counts of pairs
        {
            ln_factorial[k] = ln_factorial[k - 1] + (k as f64).ln();
        }
    }
    let ln_choose = |n: usize, k: usize| ln_factorial[n] - ln_factorial[k] - ln_factorial[n - k];
    #[allow(clippy::cast_precision_loss)] // counts of pairs
    let coins = (n + 1) as f64;
    // P(Binomial(n + 1, 1/2) <= wins) equals P(Beta(wins + 1, losses + 1) > 1/2), and
    // B(wins + 1, losses + 1) is 1 / ((n + 1) C(n, wins)).
    let ln_two = std::f64::consts::LN_2;
    let tail: f64 = (0..=wins)
        .map(|k| (ln_choose(n + 1, k) - coins * ln_two).exp())
        .sum();
    coins * ln_two - coins.ln() - ln_choose(n, wins) + tail.min(1.0).ln()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn evidence_is_the_mixture_it_claims_to_be() {
        // Numerical integration of 2 * p^k (1-p)^(n-k) * 2^n over (1/2, 1).
        for (wins, n) in [(0, 1), (7, 7), (6, 8), (3, 9), (20, 24)] {
            let steps = 200_000;
            let sum: f64 = (0..steps)
                .map(|i| {
                    let p = 0.5 + (f64::from(i) + 0.5) * 0.5 / f64::from(steps);
                    2.0 * p.powi(wins) * (1.0 - p).powi(n - wins) * 2f64.powi(n)
                })
                .sum::<f64>()
                * 0.5
                / f64::from(steps);
            let found = log_evidence(wins as usize, n as usize).exp();
            assert!(
                (found / sum - 1.0).abs() < 1e-4,
                "{wins} of {n}: {found} against {sum}"
            );
        }
    }

    /// Heavy tails, a spread that changes, a drift shared by both halves of a pair.
    fn noisy_pair(rng: &mut ChaCha8Rng, step: u32, effect: f64, noise: f64) -> (f64, f64) {
        let mut one = || {
            let uniform: f64 = rng.random_range(-1.0..1.0);
            let spike: f64 = if rng.random_range(0.0..1.0) < 0.05 {
                rng.random_range(0.0..1.0)
            } else {
                0.0
            };
            1.0 + noise * uniform * (1.0 + f64::from(step % 7)) / 3.0 + spike
        };
        let drift = 1.0 + 0.01 * f64::from(step);
        (drift * one(), drift * one() * (1.0 - effect))
    }

    #[test]
    fn looking_after_every_pair_does_not_inflate_the_error() {
        let runs = 2000;
        let mut false_faster = 0;
        for seed in 0..runs {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut comparison = SequentialComparison::new(0.05, 0.0);
            for step in 0..60 {
                let (a, b) = noisy_pair(&mut rng, step, 0.0, 0.02);
                comparison.push(a, b);
                if comparison.decision() == Decision::Faster {
                    false_faster += 1;
                    break;
                }
            }
        }
        let rate = f64::from(false_faster) / f64::from(u32::try_from(runs).unwrap());
        assert!(rate <= 0.025, "{rate}");
    }

    #[test]
    fn the_interval_covers_the_truth_at_every_moment() {
        let runs = 500;
        let mut missed = 0;
        for seed in 0..runs {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut comparison = SequentialComparison::new(0.05, 0.0);
            let mut out = false;
            for step in 0..40 {
                let (a, b) = noisy_pair(&mut rng, step, 0.1, 0.03);
                comparison.push(a, b);
                let Some(found) = comparison.ratio() else {
                    continue;
                };
                out |= !(found.ci95[0] <= 0.9 && 0.9 <= found.ci95[1]);
            }
            missed += u32::from(out);
        }
        assert!(
            f64::from(missed) / runs as f64 <= 0.05,
            "{missed} of {runs}"
        );
    }

    #[test]
    fn a_clear_difference_takes_few_pairs() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut comparison = SequentialComparison::new(0.05, 0.005);
        for step in 0..60 {
            let (a, b) = noisy_pair(&mut rng, step, 0.2, 0.02);
            comparison.push(a, b);
            if comparison.decision() != Decision::Continue {
                break;
            }
        }
        assert_eq!(comparison.decision(), Decision::Faster);
        assert!(comparison.pairs() <= 12, "{}", comparison.pairs());
    }

    #[test]
    fn equal_times_are_no_difference_and_nonsense_is_no_pair() {
        let mut comparison = SequentialComparison::new(0.05, 0.005);
        comparison.push(0.0, 1.0);
        comparison.push(f64::NAN, 1.0);
        assert_eq!(comparison.pairs(), 0);
        for _ in 0..FUTILE_AFTER {
            comparison.push(1.0, 1.0);
        }
        assert_eq!(comparison.decision(), Decision::NoDifference);
    }
}
