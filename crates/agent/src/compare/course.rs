//! What happened in one run, in figures that no noise has touched, and what they amount to.

use std::time::Duration;

use ccl_core::Verdict;

use super::machine::Machine;

/// Beyond this share slower than NCCL's default a run ended worse than it.
const WORSE: f64 = 0.005;
/// A trial is slower than the default beyond what rounding makes of equal times.
const SLOWER: f64 = 1e-9;

/// A run as it went.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Noise-free time of each iteration over the default's, whatever ran in it, leases included.
    pub ratios: Vec<f64>,
    /// What was spent on calls timed outside the job, in iterations.
    pub probes: f64,
    /// Evaluations spent so far, and the noise-free time, microseconds, of what the method would run
    /// from then on; before the first, NCCL's default.
    pub recommended: Vec<(f64, f64)>,
    /// Candidates tried.
    pub candidates: u64,
    /// How a run of ours ended.
    pub verdict: Option<Verdict>,
    /// Time spent on deciding, and on how many decisions. The wall clock's, so never the same twice.
    pub thinking: Duration,
    /// Suggestions made in that time.
    pub suggestions: u64,
}

/// When a share above the oracle was reached, in evaluations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// For good.
    pub for_good: Option<f64>,
    /// For the first time.
    pub first: Option<f64>,
}

/// What a run amounts to.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Within 5 % of the oracle.
    pub to_5pct: Reached,
    /// Within 2 %.
    pub to_2pct: Reached,
    /// Sum over all iterations of (ratio - 1), where positive.
    pub regret_iterations: f64,
    /// The slowest iteration.
    pub worst_iteration_ratio: f64,
    /// Iterations slower than the default, as a share of those that ran something else.
    pub slower_share: f64,
    /// Time of what the run ended with, over the default's.
    pub end_ratio: f64,
    /// The same over the oracle's.
    pub end_over_oracle: f64,
    /// Iterations of the job.
    pub iterations: u64,
    /// What was spent outside the job, in iterations.
    pub probes: f64,
    /// Candidates tried.
    pub candidates: u64,
    /// How a run of ours ended.
    pub verdict: Option<Verdict>,
}

impl Course {
    /// Evaluations spent: iterations, and the worth of what ran outside the job.
    #[allow(clippy::cast_precision_loss)] // iterations
    pub fn evaluations(&self) -> f64 {
        self.ratios.len() as f64 + self.probes
    }

    /// Notes what the method would run from now on.
    pub fn recommend(&mut self, noise_free_us: f64) {
        let unchanged = self
            .recommended
            .last()
            .is_some_and(|(_, us)| us.to_bits() == noise_free_us.to_bits());
        if !unchanged {
            self.recommended.push((self.evaluations(), noise_free_us));
        }
    }

    /// What it would run after so many evaluations: noise-free microseconds.
    pub fn recommended_after(&self, evaluations: f64, default_us: f64) -> f64 {
        let before = self.recommended.iter().rev();
        let mut known = before.filter(|(at, _)| *at <= evaluations);
        known.next().map_or(default_us, |(_, us)| *us)
    }

    /// Evaluations until it would run something within this share of the oracle; nothing where that
    /// came after `budget` of them, or never.
    fn reached(&self, machine: &Machine, share: f64, budget: f64) -> Reached {
        let enough = |us: f64| us <= machine.oracle_us() * (1.0 + share);
        let start = std::iter::once((0.0, machine.default_us()));
        let (mut for_good, mut first) = (None, None);
        for (at, us) in start.chain(self.recommended.iter().copied()) {
            if !enough(us) {
                for_good = None;
            } else if for_good.is_none() {
                for_good = Some(at);
                first = first.or(for_good);
            }
        }
        let within = |at: &f64| *at <= budget;
        Reached {
            for_good: for_good.filter(within),
            first: first.filter(within),
        }
    }

    /// What it amounts to.
    #[allow(clippy::cast_precision_loss)] // iterations
    pub fn score(&self, machine: &Machine, budget: u32) -> Score {
        let budget = f64::from(budget);
        let end_us = self.recommended_after(f64::INFINITY, machine.default_us());
        // What ran is told from the default by its time: nothing else has exactly that.
        let changed = self
            .ratios
            .iter()
            .filter(|r| (**r - 1.0).abs() > SLOWER)
            .count();
        let slower = self.ratios.iter().filter(|r| **r > 1.0 + SLOWER).count();
        Score {
            to_5pct: self.reached(machine, 0.05, budget),
            to_2pct: self.reached(machine, 0.02, budget),
            regret_iterations: self.ratios.iter().map(|r| (r - 1.0).max(0.0)).sum(),
            worst_iteration_ratio: self.ratios.iter().copied().fold(1.0, f64::max),
            slower_share: slower as f64 / changed.max(1) as f64,
            end_ratio: end_us / machine.default_us(),
            end_over_oracle: end_us / machine.oracle_us(),
            iterations: self.ratios.len() as u64,
            probes: self.probes,
            candidates: self.candidates,
            verdict: self.verdict,
        }
    }
}

impl Score {
    /// Whether the run ended worse than it began, beyond half a percent.
    pub fn ended_worse(&self) -> bool {
        self.end_ratio > 1.0 + WORSE
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Draw;
    use super::super::suite::Suite;
    use super::*;

    #[test]
    fn a_run_is_within_reach_from_when_it_stays_there() {
        let suite = Suite::builtin().unwrap();
        let machine = Machine::draw(&suite.tasks[0], 0.12, 1, Draw::Judged).unwrap();
        let oracle = machine.oracle_us();
        assert!(machine.oracle_gain() > 0.05);
        let mut course = Course {
            ratios: vec![1.0, 1.5, 0.9, 0.9],
            ..Course::default()
        };
        for (at, over) in [(3.5, 1.01), (7.0, 1.30), (9.0, 1.015), (12.0, 1.04)] {
            course.recommended.push((at, over * oracle));
        }
        let score = course.score(&machine, 20);
        let reached = |first, for_good| Reached { for_good, first };
        assert_eq!(score.to_2pct, reached(Some(3.5), None));
        assert_eq!(score.to_5pct, reached(Some(3.5), Some(9.0)));
        assert_eq!(course.score(&machine, 8).to_5pct, reached(Some(3.5), None));
        assert!((score.regret_iterations - 0.5).abs() < 1e-12);
        assert!((score.slower_share - 1.0 / 3.0).abs() < 1e-12);
        assert!(!score.ended_worse());
        course.recommend(1.006 * machine.default_us());
        assert!(course.score(&machine, 20).ended_worse());
    }

    #[test]
    fn an_optimal_default_is_within_reach_before_anything_ran() {
        let suite = Suite::builtin().unwrap();
        let task = suite.tasks.iter().find(|t| t.default_is_optimal).unwrap();
        let machine = Machine::draw(task, 0.12, 1, Draw::Judged).unwrap();
        assert!(machine.oracle_gain() < super::super::machine::NOTHING_TO_GAIN);
        let score = Course::default().score(&machine, 20);
        assert_eq!(score.to_2pct.for_good, Some(0.0));
    }
}
