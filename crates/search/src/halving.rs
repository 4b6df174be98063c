//! Choosing among a few candidates that are dear to switch to: knobs that cost a restart, and keys
//! that only whole iterations can judge.
//!
//! All candidates get a few iterations, the better half more, and so on (Karnin, Koren, Somekh,
//! 2013; Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
//! optimization", AISTATS 2016). Each is compared in pairs with what runs now, which
//! keeps drift out; one that is surely slower is dropped before its time is up. It does not run
//! anything, and does not know what a restart costs: one stretch of pairs is one restart there and one back.

use ccl_core::Interval;
use thiserror::Error;

use crate::statistics::{Decision, SequentialComparison};

/// Bounds of a race.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalvingOptions {
    /// Iterations in all. A pair takes two, one of the incumbent and one of the candidate.
    pub budget_iterations: u32,
    /// Largest candidate / incumbent of a candidate's first pair; beyond it is dropped at once.
    pub worst: f64,
    /// Largest chance that the race ends with a candidate that is not faster, over all of them.
    pub alpha: f64,
    /// Smallest effect, a share: smaller gains do not win.
    pub minimum_effect: f64,
}

/// Why there is no race.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HalvingError {
    /// There is not one pair for every candidate in every round.
    #[error("{budget} iterations are fewer than the {least} it takes to race {candidates}")]
    BudgetTooSmall {
        /// Iterations there are.
        budget: u32,
        /// Iterations it takes at least.
        least: u32,
        /// Candidates.
        candidates: usize,
    },
}

/// Pairs to take of one candidate without another in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Index of the candidate.
    pub candidate: usize,
    /// Pairs, at least one. Fewer if the candidate is out before.
    pub pairs: u32,
}

/// How a candidate stands. Ratios are candidate / incumbent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// In the race.
    In,
    /// Out: an iteration of it failed.
    Failed,
    /// Out: its first pair was beyond the bound.
    TooSlow {
        /// Ratio of the pair.
        ratio: f64,
    },
    /// Out: surely slower than the incumbent.
    Slower {
        /// Median ratio.
        ratio: f64,
    },
    /// Out: in the worse half of a round.
    Halved {
        /// Median ratio.
        ratio: f64,
    },
}

/// What a race ended with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// No candidate is surely faster.
    Incumbent,
    /// This one is.
    Candidate {
        /// Its index.
        candidate: usize,
        /// Candidate / incumbent with an interval at the race's error rate.
        ratio: Interval,
    },
}

#[derive(Clone, Debug)]
struct Runner {
    comparison: SequentialComparison,
    standing: Standing,
    /// Pairs left in this round.
    left: u32,
}

/// A race, ask and tell.
#[derive(Clone, Debug)]
pub struct Halving {
    runners: Vec<Runner>,
    worst: f64,
    pairs_left: u32,
    rounds_left: u32,
    iterations: u32,
}

impl Halving {
    /// A race of `candidates`, in ceil(log2 candidates) rounds but at least one.
    ///
    /// # Errors
    /// If the budget does not have a pair for every candidate in every round.
    pub fn new(candidates: usize, options: &HalvingOptions) -> Result<Self, HalvingError> {
        let rounds = candidates.next_power_of_two().ilog2().max(1);
        let count = u32::try_from(candidates).unwrap_or(u32::MAX);
        let least = count.saturating_mul(rounds).saturating_mul(2);
        if options.budget_iterations < least {
            return Err(HalvingError::BudgetTooSmall {
                budget: options.budget_iterations,
                least,
                candidates,
            });
        }
        // Each may be the one that wins by chance (Bonferroni).
        let alpha = options.alpha / f64::from(count.max(1));
        let runner = Runner {
            comparison: SequentialComparison::new(alpha, options.minimum_effect),
            standing: Standing::In,
            left: 0,
        };
        let mut race = Self {
            runners: vec![runner; candidates],
            worst: options.worst,
            pairs_left: options.budget_iterations / 2,
            rounds_left: rounds,
            iterations: 0,
        };
        race.allot();
        Ok(race)
    }

    /// The next pairs to take; `None` when the race is over.
    pub fn ask(&mut self) -> Option<Stretch> {
        loop {
            let next = (0..self.runners.len()).find(|&c| self.wants(c));
            if let Some(candidate) = next {
                let pairs = self.runners[candidate].left;
                return Some(Stretch { candidate, pairs });
            }
            if self.rounds_left <= 1 {
                return None;
            }
            self.halve();
            self.rounds_left -= 1;
            self.allot();
        }
    }

    /// One pair: iteration times of the incumbent and of the candidate, in the same unit. A
    /// candidate's iteration that failed is infinite. Where the candidate is out afterwards, the
    /// rest of its stretch need not be taken.
    pub fn tell(&mut self, candidate: usize, incumbent: f64, time: f64) -> Standing {
        let Some(runner) = self.runners.get_mut(candidate) else {
            return Standing::Failed;
        };
        self.iterations += 2;
        self.pairs_left = self.pairs_left.saturating_sub(1);
        runner.left = runner.left.saturating_sub(1);
        if runner.standing != Standing::In {
            return runner.standing;
        }
        let ratio = time / incumbent;
        if !time.is_finite() || time <= 0.0 {
            runner.standing = Standing::Failed;
        } else if ratio.is_finite() && ratio > 0.0 {
            let first = runner.comparison.pairs() == 0;
            runner.comparison.push(incumbent, time);
            if first && ratio > self.worst {
                runner.standing = Standing::TooSlow { ratio };
            } else if runner.comparison.decision() == Decision::Slower {
                let ratio = runner.ratio();
                runner.standing = Standing::Slower { ratio };
            }
        }
        runner.standing
    }

    /// How a candidate stands; `None` if there is none of this index.
    pub fn standing(&self, candidate: usize) -> Option<Standing> {
        self.runners.get(candidate).map(|r| r.standing)
    }

    /// Median of candidate / incumbent of a candidate so far; `None` before its first pair.
    pub fn ratio(&self, candidate: usize) -> Option<f64> {
        self.runners.get(candidate)?.comparison.median_ratio()
    }

    /// Iterations told, of incumbent and candidates.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// What the race would end with now: the fastest of those that are surely faster.
    pub fn outcome(&self) -> Outcome {
        let sure = self.runners.iter().enumerate().filter(|(_, runner)| {
            runner.standing == Standing::In && runner.comparison.decision() == Decision::Faster
        });
        let best = sure.min_by(|a, b| a.1.ratio().total_cmp(&b.1.ratio()));
        let interval = |(candidate, runner): (usize, &Runner)| {
            let ratio = runner.comparison.ratio()?;
            Some(Outcome::Candidate { candidate, ratio })
        };
        best.and_then(interval).unwrap_or(Outcome::Incumbent)
    }

    fn running(&self) -> Vec<usize> {
        let is_in = |c: &usize| self.runners[*c].standing == Standing::In;
        (0..self.runners.len()).filter(is_in).collect()
    }

    /// Whether more pairs of a candidate are worth their iterations.
    fn wants(&self, candidate: usize) -> bool {
        let runner = &self.runners[candidate];
        let alone = self.running().len() == 1;
        let decided = runner.comparison.decision() != Decision::Continue;
        runner.standing == Standing::In && runner.left > 0 && !(alone && decided)
    }

    /// Divides what is left among the rounds, and a round's part among the candidates; what a
    /// dropped one did not use goes to the others.
    fn allot(&mut self) {
        let running = self.running();
        // A single one has nobody to be compared with: what is left is its.
        if running.len() == 1 {
            self.rounds_left = 1;
        }
        let count = u32::try_from(running.len()).unwrap_or(u32::MAX).max(1);
        let each = self.pairs_left / (count * self.rounds_left.max(1));
        for candidate in running {
            self.runners[candidate].left = each;
        }
    }

    /// Drops the worse half, the later of equals.
    fn halve(&mut self) {
        let mut running = self.running();
        running.sort_by(|&a, &b| {
            let ratio = |c: usize| self.runners[c].ratio();
            ratio(a).total_cmp(&ratio(b))
        });
        let keep = running.len().div_ceil(2);
        for candidate in running.split_off(keep) {
            let ratio = self.runners[candidate].ratio();
            self.runners[candidate].standing = Standing::Halved { ratio };
        }
    }
}

impl Runner {
    /// Median ratio so far; infinite before the first pair.
    fn ratio(&self) -> f64 {
        self.comparison.median_ratio().unwrap_or(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests;
