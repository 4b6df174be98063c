//! What a comparison by sign can see: the effect that so many pairs show, and the pairs that an
//! effect takes.
//!
//! The chance that [`SequentialComparison`](super::SequentialComparison) says "faster" is computed
//! for that very test, its stopping and its smallest effect included, by following the counts of
//! wins from pair to pair (Armitage, McPherson and Rowe, "Repeated Significance Tests on
//! Accumulating Data", Journal of the Royal Statistical Society A 1969). The noise is taken to be
//! normal, but for spikes, which make a coin of a pair.

use super::pairs::FUTILE_AFTER;
use super::sequential::log_evidence;
use crate::normal::cumulative;

/// Pairs up to which a comparison is followed: more than anybody will wait for.
const MOST_PAIRS: u32 = 400;

/// The power of a comparison by sign under normal noise.
#[derive(Clone, Copy, Debug)]
pub struct SignTestPower {
    alpha: f64,
    minimum_effect: f64,
    noise: f64,
    spikes: f64,
}

/// How the log ratio of a pair falls: chances.
struct Chances {
    /// At or below the smallest effect.
    effective: f64,
    /// A win, but smaller.
    small: f64,
    /// No win.
    lost: f64,
}

impl SignTestPower {
    /// Of a comparison with this `alpha` and `minimum_effect` (a share), for pairs whose log ratio
    /// has the standard deviation `noise`, as [`pair_noise`](super::pair_noise) finds it, but for a
    /// share `spikes` of the pairs, which a spike decides for either side.
    pub fn new(alpha: f64, minimum_effect: f64, noise: f64, spikes: f64) -> Self {
        Self {
            alpha,
            minimum_effect,
            noise: noise.max(f64::EPSILON),
            spikes,
        }
    }

    /// The chance that a candidate that is faster by `effect` (a share of the incumbent's time) is
    /// called so after at most `pairs` pairs, 400 at most.
    pub fn power(&self, effect: f64, pairs: u32) -> f64 {
        self.called_faster(effect, pairs)
            .last()
            .copied()
            .unwrap_or(0.0)
    }

    /// The smallest effect, a share, that is found with a chance of `power` in `pairs` pairs; `None`
    /// if that many pairs show none with that chance.
    pub fn smallest_detectable_effect(&self, pairs: u32, power: f64) -> Option<f64> {
        let effect = |log_ratio: f64| 1.0 - (-log_ratio).exp();
        let (mut hidden, mut seen) = (0.0, -(1.0 - self.minimum_effect).ln() + 10.0 * self.noise);
        if self.power(effect(seen), pairs) < power {
            return None;
        }
        // Twenty halvings leave a hundred-thousandth of the noise.
        for _ in 0..20 {
            let between = f64::midpoint(hidden, seen);
            if self.power(effect(between), pairs) < power {
                hidden = between;
            } else {
                seen = between;
            }
        }
        Some(effect(seen))
    }

    /// Pairs after which `effect` (a share) is found with a chance of `power`; with one half, the
    /// median time to a decision. `None` if 400 pairs do not find it, or if it is so near the
    /// smallest effect that the comparison is given up too often.
    pub fn pairs_for(&self, effect: f64, power: f64) -> Option<u32> {
        let chances = self.called_faster(effect, MOST_PAIRS);
        let before = chances.iter().take_while(|c| **c < power).count();
        u32::try_from(before + 1)
            .ok()
            .filter(|_| before < chances.len())
    }

    /// The chance of having been called faster after 1, 2, ... pairs.
    fn called_faster(&self, effect: f64, pairs: u32) -> Vec<f64> {
        let chances = self.chances(effect);
        let most = pairs.min(MOST_PAIRS) as usize;
        let needed = (2.0 / self.alpha).ln();
        let mut boundary = 1;
        let mut called = Vec::with_capacity(most);
        let mut faster = 0.0;
        // The chance of being undecided with so many effective and so many small wins.
        let mut undecided = vec![vec![0.0; most + 1]; most + 1];
        undecided[0][0] = 1.0;
        for n in 1..=most {
            while boundary <= n && log_evidence(boundary, n) < needed {
                boundary += 1;
            }
            for effective in (0..=n).rev() {
                for small in (0..=n - effective).rev() {
                    let mut here = undecided[effective][small] * chances.lost;
                    if effective > 0 {
                        here += undecided[effective - 1][small] * chances.effective;
                    }
                    if small > 0 {
                        here += undecided[effective][small - 1] * chances.small;
                    }
                    // The median of an even number lies between the middle two: on either side.
                    let median_is_effective = match (2 * effective).cmp(&n) {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    };
                    let mut left = here;
                    if effective + small >= boundary {
                        faster += here * median_is_effective;
                        left -= here * median_is_effective;
                    }
                    if n >= FUTILE_AFTER as usize {
                        left = left.min(here * median_is_effective);
                    }
                    undecided[effective][small] = left;
                }
            }
            called.push(faster);
        }
        called
    }

    fn chances(&self, effect: f64) -> Chances {
        let middle = (1.0 - effect).ln();
        let below = |bound: f64| {
            let quiet = cumulative((bound - middle) / self.noise);
            (1.0 - self.spikes) * quiet + 0.5 * self.spikes
        };
        let effective = below((1.0 - self.minimum_effect).ln());
        let won = below(0.0);
        Chances {
            effective,
            small: won - effective,
            lost: 1.0 - won,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::simulation::{Noise, share};
    use crate::statistics::{Decision, SequentialComparison};

    /// Noise of a pair of iterations that vary by 0.6 % each.
    const PAIR: f64 = 0.006 * std::f64::consts::SQRT_2;

    /// Pairs that the test itself takes to say "faster"; `None` if it says something else.
    fn pairs_taken(mut noise: Noise, effect: f64, most: u32) -> Option<u32> {
        let mut comparison = SequentialComparison::new(0.05, 0.005);
        for index in 0..most {
            let (incumbent, candidate) = noise.pair(index, 1.0 - effect);
            comparison.push(incumbent, candidate);
            if comparison.decision() != Decision::Continue {
                break;
            }
        }
        (comparison.decision() == Decision::Faster).then(|| comparison.pairs())
    }

    #[test]
    fn it_is_the_power_of_the_test_itself() {
        let gaussian = SignTestPower::new(0.05, 0.005, PAIR, 0.0);
        // One half in a hundred has a spike.
        let simulator = SignTestPower::new(0.05, 0.005, PAIR, 0.02);
        for (effect, pairs) in [(0.005, 40), (0.007, 40), (0.01, 12), (0.01, 40), (0.02, 8)] {
            let found = share(2000, |s| {
                pairs_taken(Noise::gaussian(s, 0.006), effect, pairs).is_some()
            });
            let expected = gaussian.power(effect, pairs);
            // Three standard errors of 2000 runs.
            assert!(
                (found - expected).abs() < 0.034,
                "{effect} in {pairs} pairs: {found}, not {expected}"
            );
            let found = share(2000, |s| {
                pairs_taken(Noise::simulator(s), effect, pairs).is_some()
            });
            let expected = simulator.power(effect, pairs);
            assert!(
                (found - expected).abs() < 0.05,
                "{effect} in {pairs} pairs with spikes: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn half_of_the_comparisons_have_decided_after_the_median_number_of_pairs() {
        let planned = SignTestPower::new(0.05, 0.005, PAIR, 0.0);
        for effect in [0.008, 0.01, 0.013] {
            let median = planned.pairs_for(effect, 0.5).unwrap();
            let within = |pairs: u32| {
                share(1000, |s| {
                    let taken = pairs_taken(Noise::gaussian(s, 0.006), effect, 200);
                    taken.is_some_and(|taken| taken <= pairs)
                })
            };
            assert!(within(median) >= 0.5 - 0.05, "{effect}: {median} pairs");
            assert!(within(median - 1) <= 0.5 + 0.05, "{effect}: {median} pairs");
        }
        // Eight straight wins are the least that decides, however large the effect.
        assert_eq!(planned.pairs_for(0.3, 0.5), Some(8));
        assert_eq!(planned.smallest_detectable_effect(7, 0.8), None);
        // At the smallest effect itself most comparisons are given up.
        assert_eq!(planned.pairs_for(0.005, 0.5), None);
    }

    #[test]
    fn the_smallest_detectable_effect_has_the_power_asked_for() {
        let planned = SignTestPower::new(0.05, 0.005, PAIR, 0.0);
        let mut last = f64::INFINITY;
        for pairs in [8, 12, 24, 40] {
            let effect = planned.smallest_detectable_effect(pairs, 0.8).unwrap();
            assert!((planned.power(effect, pairs) - 0.8).abs() < 1e-3);
            assert!(planned.pairs_for(effect, 0.8).unwrap() <= pairs);
            assert!(effect < last && effect > 0.005, "{effect} in {pairs} pairs");
            last = effect;
            let found = share(1000, |s| {
                pairs_taken(Noise::gaussian(s, 0.006), effect, pairs).is_some()
            });
            assert!((found - 0.8).abs() < 0.04, "{pairs} pairs: {found}");
        }
    }

    #[test]
    fn noise_that_nobody_has_seen_is_no_trouble() {
        let planned = SignTestPower::new(0.05, 0.005, 0.0, 0.0);
        assert_eq!(planned.pairs_for(0.01, 0.8), Some(8));
        assert_eq!(planned.pairs_for(0.001, 0.8), None);
    }
}
