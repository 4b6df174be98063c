//! A paired comparison that also uses how large the differences are, for trials.
//!
//! Signs alone take eight straight wins at an error of 5 %. Where the noise of a pair is known from the
//! baseline, two pairs that differ by several times the noise say as much. The evidence is again
//! an e-process: the likelihood ratio of a normal mixture over effects against none (Robbins,
//! "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical
//! Statistics 1970; Howard et al. 2021, section 3.2, two-sided normal mixture), of log ratios over
//! their noise, clipped as Huber's robust test does ("A robust version of the probability ratio
//! test", Annals of Mathematical Statistics 1965), so that a spike is one pair and no more.
//!
//! "No difference" means that the log ratio is as likely above as below zero at every size, as it is
//! when two like halves take turns. It believes the noise it is told, and raises it when the pairs
//! are noisier. A verdict should not rest on that: verdicts are [`SequentialComparison`](super::SequentialComparison)'s, which
//! assumes nothing on the noise.

use ccl_core::Interval;

use super::pairs::{Decision, FUTILE_AFTER, Pairs, robust_deviation};

/// Standard deviations at which a difference is clipped.
const CLIP: f64 = 3.0;

/// Variance for which a clipped log ratio is sub-Gaussian when it is normal with variance 1 in
/// 98 % of pairs and anything symmetric in the others: the largest over x of
/// 2 ln(0.98 exp(x^2 / 2) + 0.02 cosh(3 x)) / x^2. A clipped normal value is a 1-Lipschitz function
/// of it, hence sub-Gaussian with variance 1 (Boucheron, Lugosi and Massart, Concentration
/// Inequalities, theorem 5.6).
const VARIANCE: f64 = 1.22;

/// Variance at which the mixture is tightest: a pair's, because the effects that matter to a trial
/// show in few pairs.
const TUNED_FOR: f64 = 1.0;

/// A decision takes two pairs at least, whatever the error allowed.
const FEWEST_PAIRS: u32 = 2;

/// One comparison of a candidate with an incumbent whose noise is known.
#[derive(Clone, Debug)]
pub struct ScaledComparison {
    alpha: f64,
    minimum_effect: f64,
    noise: f64,
    pairs: Pairs,
}

impl ScaledComparison {
    /// A comparison that errs with a chance of at most `alpha` / 2 in each direction however often
    /// it is looked at, and calls changes of less than `minimum_effect` (a share) no difference.
    /// `noise` is the standard deviation of a pair's log ratio, as
    /// [`pair_noise`](super::pair_noise) finds it.
    pub fn new(alpha: f64, minimum_effect: f64, noise: f64) -> Self {
        Self {
            alpha,
            minimum_effect,
            noise,
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

    /// Standard deviation of a pair's log ratio that is reckoned with: as said, or what the pairs
    /// show if that is more.
    pub fn noise(&self) -> f64 {
        let log_ratios = &self.pairs.log_ratios;
        let shown = self
            .pairs
            .median()
            .filter(|_| log_ratios.len() >= 2)
            .and_then(|middle| robust_deviation(log_ratios, middle));
        // Identical times have no noise, and something has to be divided by.
        shown.unwrap_or(0.0).max(self.noise).max(f64::EPSILON)
    }

    /// The ratio with an interval that holds at every moment, given the noise; `None` while there
    /// are too few pairs to bound it.
    pub fn ratio(&self) -> Option<Interval> {
        let middle = self.pairs.median()?;
        let noise = self.noise();
        let is_inside = |centre: f64| self.log_evidence(centre, noise) < (1.0 / self.alpha).ln();
        let bound = |direction: f64| {
            // Evidence does not grow further once every pair is clipped.
            let far = self
                .pairs
                .log_ratios
                .iter()
                .fold(0.0_f64, |far, r| far.max((r - middle).abs()))
                + 2.0 * CLIP * noise;
            let (mut inside, mut outside) = (middle, middle + direction * far);
            if is_inside(outside) {
                return None;
            }
            for _ in 0..50 {
                let between = f64::midpoint(inside, outside);
                if is_inside(between) {
                    inside = between;
                } else {
                    outside = between;
                }
            }
            Some(outside)
        };
        Some(Interval {
            median: middle.exp(),
            ci95: [bound(-1.0)?.exp(), bound(1.0)?.exp()],
        })
    }

    /// Where it stands now.
    pub fn decision(&self) -> Decision {
        let Some(middle) = self.pairs.median() else {
            return Decision::Continue;
        };
        if self.pairs() < FEWEST_PAIRS {
            return Decision::Continue;
        }
        let noise = self.noise();
        let faster = (1.0 - self.minimum_effect).ln();
        let slower = -faster;
        if self.log_evidence(0.0, noise) >= (1.0 / self.alpha).ln() {
            let sum = self.sum_of_clipped(0.0, noise);
            if sum < 0.0 && middle <= faster {
                return Decision::Faster;
            }
            if sum > 0.0 && middle >= slower {
                return Decision::Slower;
            }
        }
        let is_small = middle > faster && middle < slower;
        if is_small && self.pairs() >= self.futile_after(noise) {
            Decision::NoDifference
        } else {
            Decision::Continue
        }
    }

    /// Pairs after which the median's standard error, 1.2533 noise / sqrt(n) for a normal
    /// distribution, is half the smallest effect: an estimate below that effect will then hardly
    /// come to exceed it. [`FUTILE_AFTER`] at most.
    fn futile_after(&self, noise: f64) -> u32 {
        let pairs = (2.0 * 1.2533 * noise / self.minimum_effect).powi(2);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small and positive
        let pairs = pairs.min(f64::from(FUTILE_AFTER)).ceil() as u32;
        pairs.max(FEWEST_PAIRS)
    }

    fn sum_of_clipped(&self, centre: f64, noise: f64) -> f64 {
        self.pairs
            .log_ratios
            .iter()
            .map(|r| ((r - centre) / noise).clamp(-CLIP, CLIP))
            .sum()
    }

    /// Log of the evidence against `centre` being the middle of the log ratios.
    fn log_evidence(&self, centre: f64, noise: f64) -> f64 {
        let variance = VARIANCE * f64::from(self.pairs());
        let mixed = variance + TUNED_FOR;
        self.sum_of_clipped(centre, noise).powi(2) / (2.0 * mixed) - 0.5 * (mixed / TUNED_FOR).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::pair_noise;
    use crate::statistics::simulation::{Noise, share};

    /// Noise of a pair of iterations that vary by 0.6 % each.
    const PAIR: f64 = 0.006 * std::f64::consts::SQRT_2;

    fn run(mut noise: Noise, ratio: f64, said: f64, most: u32) -> ScaledComparison {
        let mut comparison = ScaledComparison::new(0.05, 0.0, said);
        for index in 0..most {
            let (incumbent, candidate) = noise.pair(index, ratio);
            comparison.push(incumbent, candidate);
            if matches!(comparison.decision(), Decision::Faster | Decision::Slower) {
                break;
            }
        }
        comparison
    }

    fn false_faster(runs: u32, noise: impl Fn(u64) -> Noise, said: f64) -> f64 {
        share(runs, |seed| {
            run(noise(seed), 1.0, said, 60).decision() == Decision::Faster
        })
    }

    #[test]
    fn the_variance_bounds_a_normal_value_with_two_percent_of_anything() {
        let bound = (1..=800)
            .map(|i| f64::from(i) / 100.0)
            .map(|x| 2.0 * (0.98 * (x * x / 2.0).exp() + 0.02 * (CLIP * x).cosh()).ln() / (x * x))
            .fold(0.0, f64::max);
        assert!((VARIANCE - 0.01..=VARIANCE).contains(&bound), "{bound}");
    }

    #[test]
    fn looking_after_every_pair_does_not_inflate_the_error() {
        // 0.2 % and 0.4 % over 20 000 seeds.
        let gaussian = false_faster(2000, |s| Noise::gaussian(s, 0.006), PAIR);
        let simulator = false_faster(2000, Noise::simulator, PAIR);
        assert!(gaussian <= 0.025, "{gaussian}");
        assert!(simulator <= 0.025, "{simulator}");
    }

    #[test]
    fn noise_that_is_understated_costs_a_known_part_of_the_error() {
        // 2.8 % and 3.4 % over 20 000 seeds: above alpha / 2, below alpha.
        let gaussian = false_faster(2000, |s| Noise::gaussian(s, 0.006), PAIR / 1.5);
        let simulator = false_faster(2000, Noise::simulator, PAIR / 1.5);
        assert!((0.015..=0.05).contains(&gaussian), "{gaussian}");
        assert!((0.015..=0.05).contains(&simulator), "{simulator}");
        // What the pairs show is all there is when nothing true was said.
        let unknown = false_faster(1000, |s| Noise::gaussian(s, 0.006), 0.0);
        assert!((0.05..=0.2).contains(&unknown), "{unknown}");
    }

    #[test]
    fn the_noise_of_eight_baseline_iterations_will_do() {
        let wrong = share(2000, |seed| {
            let mut noise = Noise::simulator(seed);
            let said = pair_noise(&noise.times(8)).unwrap();
            run(noise, 1.0, said, 60).decision() == Decision::Faster
        });
        assert!(wrong <= 0.025, "{wrong}");
    }

    #[test]
    fn clear_effects_take_two_pairs_and_small_ones_few() {
        let pairs = |effect: f64| {
            let runs = (0..500).map(|s| run(Noise::simulator(s), 1.0 - effect, PAIR, 200));
            let mut pairs: Vec<u32> = runs.map(|c| c.pairs()).collect();
            pairs.sort_unstable();
            (pairs[250], pairs[450])
        };
        for (effect, median, most) in [(0.1, 2, 3), (0.05, 2, 3), (0.03, 3, 5), (0.01, 11, 22)] {
            let found = pairs(effect);
            assert!(
                found.0 <= median && found.1 <= most,
                "{effect}: {found:?} pairs"
            );
        }
    }

    #[test]
    fn one_spike_is_one_pair() {
        let mut comparison = ScaledComparison::new(0.5, 0.0, PAIR);
        comparison.push(1.3, 1.0);
        assert_eq!(comparison.decision(), Decision::Continue);
        // Beside a spike, what the other pairs say still has to be said.
        let mut comparison = ScaledComparison::new(0.05, 0.0, PAIR);
        comparison.push(1.3, 1.0);
        comparison.push(1.0, 0.99);
        assert_eq!(comparison.decision(), Decision::Continue);
        assert!(comparison.noise() > 0.1, "{}", comparison.noise());
    }

    #[test]
    fn the_interval_covers_the_truth_at_every_moment() {
        let missed = share(500, |seed| {
            let mut noise = Noise::simulator(seed);
            let mut comparison = ScaledComparison::new(0.05, 0.0, PAIR);
            (0..40).any(|index| {
                let (incumbent, candidate) = noise.pair(index, 0.9);
                comparison.push(incumbent, candidate);
                let found = comparison.ratio();
                found.is_some_and(|r| r.ci95[0] > 0.9 || r.ci95[1] < 0.9)
            })
        });
        assert!(missed <= 0.05, "{missed}");
    }

    #[test]
    fn decision_and_interval_never_contradict_each_other() {
        for seed in 0..300 {
            for effect in [0.02, 0.1, -0.02] {
                let found = run(Noise::simulator(seed), 1.0 - effect, PAIR, 60);
                let [low, high] = found.ratio().unwrap().ci95;
                match found.decision() {
                    Decision::Faster => assert!(high <= 1.0, "{low} to {high}"),
                    Decision::Slower => assert!(low >= 1.0, "{low} to {high}"),
                    _ => assert!(low < 1.0 && high > 1.0, "{low} to {high}"),
                }
            }
        }
    }

    #[test]
    fn what_makes_no_difference_is_given_up_the_sooner_the_quieter_it_is() {
        let pairs = |noise: f64| {
            let mut comparison = ScaledComparison::new(0.05, 0.005, noise);
            while comparison.decision() == Decision::Continue {
                comparison.push(1.0, 1.0);
            }
            assert_eq!(comparison.decision(), Decision::NoDifference);
            comparison.pairs()
        };
        assert_eq!([pairs(0.0), pairs(0.003), pairs(0.0085)], [2, 3, 16]);
    }

    #[test]
    fn nonsense_is_no_pair() {
        let mut comparison = ScaledComparison::new(0.05, 0.0, PAIR);
        for (incumbent, candidate) in [(0.0, 1.0), (1.0, f64::NAN), (-1.0, -1.0)] {
            comparison.push(incumbent, candidate);
        }
        assert_eq!((comparison.pairs(), comparison.ratio()), (0, None));
        assert_eq!(comparison.decision(), Decision::Continue);
    }
}
