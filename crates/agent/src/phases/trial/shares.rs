//! What iterations say of a candidate that runs on a part of its key's calls.
//!
//! A share of the calls shifts the iteration by that share of what all of them would do, so that pairs of
//! iterations at growing shares estimate one thing: the iteration with all calls. The estimate is for
//! safety, not for a verdict: it leans towards harm, and single outliers hardly move it.

/// How much of a pair's effect counts upwards, in standard deviations: a spike is no evidence of that much.
const MOST_UP: f64 = 3.0;
/// And downwards: an incumbent's spike must not make a candidate look safe.
const MOST_DOWN: f64 = 1.0;
/// Standard deviations between the estimate and what is taken to be safe: there are many candidates, and one of
/// them is the luckiest.
const SAFE: f64 = 3.0;
/// Standard deviations by which it has to be slower to be given up.
const SURE: f64 = 2.0;

/// Pairs of iterations, incumbent and candidate on a share of the calls.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    /// Standard deviation of the ratio of two iterations.
    noise: f64,
    /// Sum of share^2 and of share * effect: least squares through the origin.
    squares: f64,
    products: f64,
    /// Pairs in a row that were slower by more than the noise.
    slower_in_a_row: u32,
}

impl Shares {
    /// None yet; `noise` is the relative standard deviation of one iteration.
    pub(super) fn new(noise: f64) -> Self {
        Self {
            noise: noise * std::f64::consts::SQRT_2,
            squares: 0.0,
            products: 0.0,
            slower_in_a_row: 0,
        }
    }

    /// Adds a pair, times in any unit.
    pub(super) fn push(&mut self, share: f64, incumbent: f64, candidate: f64) {
        let effect = candidate / incumbent - 1.0;
        if !effect.is_finite() {
            return;
        }
        self.slower_in_a_row = match effect > self.noise {
            true => self.slower_in_a_row + 1,
            false => 0,
        };
        let effect = effect.clamp(
            -MOST_DOWN * self.noise,
            MOST_UP * self.noise.max(share * 0.1),
        );
        self.squares += share * share;
        self.products += share * effect;
    }

    /// Upper bound of (iteration / incumbent's - 1) with all calls; `None` before the first pair.
    pub(super) fn upper(&self) -> Option<f64> {
        let (middle, spread) = self.estimate()?;
        Some(middle + SAFE * spread)
    }

    /// Whether it is slower, as sure as it has to be to give it up.
    pub(super) fn is_slower(&self) -> bool {
        let sure = self.estimate().is_some_and(|(m, s)| m > SURE * s);
        sure && self.slower_in_a_row >= 2
    }

    fn estimate(&self) -> Option<(f64, f64)> {
        let spread = self.noise / self.squares.sqrt();
        (self.squares > 0.0).then(|| (self.products / self.squares, spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_one_estimate_that_leans_to_harm() {
        let mut shares = Shares::new(0.005);
        assert_eq!(shares.upper(), None);
        // 40 % slower with all calls.
        shares.push(0.1, 1.0, 1.04);
        let first = shares.upper().unwrap();
        assert!(first > 0.3, "{first}");
        assert!(!shares.is_slower());
        shares.push(0.1, 1.0, 1.04);
        assert!(shares.is_slower());
    }

    #[test]
    fn a_spike_of_the_incumbent_does_not_make_a_candidate_safe() {
        let mut spiked = Shares::new(0.005);
        spiked.push(0.1, 1.5, 1.04);
        assert!(spiked.upper().unwrap() > 0.05);
        let mut slowed = Shares::new(0.005);
        slowed.push(1.0, 1.0, 1.5);
        slowed.push(1.0, 1.0, 1.0);
        assert!(!slowed.is_slower());
    }
}
