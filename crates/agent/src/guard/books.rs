//! The books: what tuning cost the job, what it may cost, and how long an iteration is waited for.
//!
//! Regret is booked as it was seen, noise included, and with it the time that failures took. Where the
//! job's length is known all of it counts against the budget, a share of that length; where it is not, the
//! budget is for slow iterations, and failures are bounded by their number alone.

use super::{Bounds, Refusal};

/// A hang is called one after so many baseline iterations: an iteration with a straggler or a checkpoint
/// in it is slower, but not ten times.
const DEADLINE_ITERATIONS: f64 = 10.0;
/// Never sooner than this, microseconds: a pause of the system or of a file system is no hang.
const SHORTEST_DEADLINE_US: f64 = 2e6;
/// Never later than this, microseconds, unless iterations themselves are that long. PyTorch's watchdog
/// ends a job whose collective takes 10 minutes (`kProcessGroupNCCLDefaultTimeout`, ProcessGroupNCCL.hpp),
/// other back ends after 30 (`kProcessGroupDefaultTimeout`, Backend.hpp): two minutes leave time to roll
/// back before either.
pub(super) const LONGEST_DEADLINE_US: f64 = 120e6;
/// Baseline iterations that even a long one gets.
const FEWEST_DEADLINE_ITERATIONS: f64 = 2.0;

/// What was spent.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) iterations: u64,
    /// Sum of (time / baseline - 1) where positive, of iterations that ran.
    slowed_iterations: f64,
    /// What failures took, in baseline iterations.
    lost_iterations: f64,
    /// The part of it that restarts took.
    pub(super) restart_iterations: f64,
    pub(super) worst_ratio: f64,
    pub(super) baseline_us: Option<f64>,
    expected_iterations: Option<u64>,
}

impl Books {
    pub(super) fn expect_iterations(&mut self, iterations: Option<u64>) {
        self.expected_iterations = iterations;
    }

    /// Books an iteration; one that ran nothing but untuned NCCL costs no regret, whatever the noise made
    /// of it.
    pub(super) fn book(&mut self, iteration_us: f64, is_untuned: bool) {
        self.iterations += 1;
        if let Some(baseline_us) = self.baseline_us.filter(|_| !is_untuned) {
            let ratio = iteration_us / baseline_us;
            self.slowed_iterations += (ratio - 1.0).max(0.0);
            self.worst_ratio = self.worst_ratio.max(ratio);
        }
    }

    /// Books time in which the job did nothing, and gives it in iterations.
    pub(super) fn book_lost(&mut self, lost_us: f64) -> f64 {
        self.iterations += 1;
        let lost = self.baseline_us.map_or(0.0, |baseline| lost_us / baseline);
        self.lost_iterations += lost;
        lost
    }

    /// Books a restart that somebody asked for, with the iteration that it took to get warm where that
    /// adds to it, and gives it in iterations.
    pub(super) fn book_restart(&mut self, lost_us: f64) -> f64 {
        let lost = self.baseline_us.map_or(0.0, |baseline| lost_us / baseline);
        self.lost_iterations += lost;
        self.restart_iterations += lost;
        lost
    }

    /// How many times the budget has room for so long a pause, microseconds; as often as anybody likes where
    /// the job's length is not known.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    pub(super) fn affordable(&self, bounds: &Bounds, pause_us: f64) -> u32 {
        match (self.expected_iterations, self.baseline_us) {
            (Some(_), Some(baseline_us)) => {
                (self.left(bounds) / (pause_us / baseline_us)).max(0.0) as u32
            }
            _ => u32::MAX,
        }
    }

    /// All regret, iterations.
    pub(super) fn regret_iterations(&self) -> f64 {
        self.slowed_iterations + self.lost_iterations
    }

    /// What counts against the budget, iterations.
    fn against_budget(&self) -> f64 {
        match self.expected_iterations {
            Some(_) => self.regret_iterations(),
            None => self.slowed_iterations,
        }
    }

    /// The budget, iterations.
    #[allow(clippy::cast_precision_loss)] // counts of iterations, below 2^53
    pub(super) fn budget(&self, bounds: &Bounds) -> f64 {
        match self.expected_iterations {
            Some(n) => bounds.regret_share * n as f64,
            None => bounds.regret_budget_iterations,
        }
    }

    /// What is left of the budget, iterations; below zero where it was overdrawn.
    pub(super) fn left(&self, bounds: &Bounds) -> f64 {
        self.budget(bounds) - self.against_budget()
    }

    pub(super) fn budget_in_words(&self, bounds: &Bounds) -> String {
        let (spent, budget) = (self.against_budget(), self.budget(bounds));
        match self.expected_iterations {
            Some(n) => format!(
                "{spent:.2} of {budget:.1} iterations of regret spent, {:.1} % of the job's {n}",
                100.0 * bounds.regret_share
            ),
            None => format!(
                "{spent:.2} of {budget:.1} iterations of regret spent, the job's length being unknown"
            ),
        }
    }

    /// Whether so many iterations of regret more would be too much.
    pub(super) fn afford(&self, bounds: &Bounds, more: f64) -> Result<(), Refusal> {
        let (spent, budget) = (self.against_budget(), self.budget(bounds));
        if spent + more > budget {
            return Err(Refusal::RegretSpent {
                spent,
                more,
                budget,
            });
        }
        Ok(())
    }

    /// How long an iteration is waited for, microseconds.
    pub(super) fn deadline_us(&self) -> f64 {
        match self.baseline_us {
            Some(baseline_us) => (DEADLINE_ITERATIONS * baseline_us)
                .clamp(SHORTEST_DEADLINE_US, LONGEST_DEADLINE_US)
                .max(FEWEST_DEADLINE_ITERATIONS * baseline_us),
            None => LONGEST_DEADLINE_US,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(baseline_us: f64) -> Books {
        Books {
            baseline_us: Some(baseline_us),
            ..Books::default()
        }
    }

    #[test]
    fn the_deadline_is_far_below_the_watchdogs() {
        assert_eq!(Books::default().deadline_us(), LONGEST_DEADLINE_US);
        assert_eq!(books(1e3).deadline_us(), 2e6);
        assert_eq!(books(1e6).deadline_us(), 10e6);
        assert_eq!(books(30e6).deadline_us(), 120e6);
        assert_eq!(books(100e6).deadline_us(), 200e6);
    }

    #[test]
    fn the_budget_is_a_share_of_the_job_where_its_length_is_known() {
        let bounds = Bounds::default();
        let mut books = books(1e6);
        books.book(1.5e6, false);
        books.book(9e6, true);
        assert_eq!(books.book_lost(20e6), 20.0);
        assert_eq!(books.regret_iterations(), 20.5);
        assert!(books.afford(&bounds, 4.0).is_ok());
        assert!(books.afford(&bounds, 4.6).is_err());
        books.expect_iterations(Some(1000));
        assert!(books.afford(&bounds, 0.0).is_err());
        books.expect_iterations(Some(10_000));
        assert!(books.afford(&bounds, 79.0).is_ok());
        assert!(books.afford(&bounds, 80.0).is_err());
    }
}
