//! The verdict where the best has an environment of its own: blocks of iterations with restarts between.
//!
//! Pairs cannot take turns there, for each turn is a restart. A block of untuned NCCL, two of the best, and one
//! more of untuned (ABBA): a drift that goes on in one direction makes as many pairs look faster as
//! slower, and both halves have to agree. What this cannot control for: a drift that turns within the four
//! blocks, and whatever differs from start to start (placement, what the machine's neighbours do, the
//! order in which connections are opened), of which two or four restarts are a small sample. Pairs of one
//! block share all that, so the interval holds for these starts and not for every start to come.

use ccl_core::{Configuration, Verdict};
use ccl_search::{Decision, SequentialComparison, median};

use super::restart::{Start, in_words};
use super::verdict::Comparison;
use crate::tuner::{RunError, Tuner};

/// Restarts of a comparison: there, back, and there again where the best won.
pub(super) const RESTARTS_OF_VERDICT: u32 = 3;
/// Pairs of a block: twelve in four blocks, enough for a verdict where all but one agree.
const PAIRS_OF_BLOCK: usize = 6;
/// Times the four blocks are run, where restarts are left.
const MOST_TURNS: u32 = 2;

/// How four blocks went.
enum Turn {
    /// All of them ran.
    Whole,
    /// The best is so slow that its second block need not be held against anything.
    Slower,
    /// A restart, an iteration, or somebody's patience ended before.
    Broken,
}

impl Tuner<'_> {
    /// Compares a configuration with untuned NCCL in blocks and says whether it is faster; it then is the
    /// incumbent, and the job runs it. Where it is not, the job is as it came.
    pub(super) fn keep_environment(
        &mut self,
        best: Configuration,
        found: &mut Comparison,
        alpha: f64,
    ) -> Result<bool, RunError> {
        let mut comparison = SequentialComparison::new(alpha, self.options.minimum_effect);
        let mut agree = true;
        for _ in 0..MOST_TURNS {
            match self.turn(&best, &mut comparison, found)? {
                Turn::Whole => agree &= halves_agree(found, self.options.minimum_effect),
                Turn::Slower => break,
                Turn::Broken => {
                    // What was broken off says nothing about speed.
                    comparison = SequentialComparison::new(alpha, 0.0);
                    break;
                }
            }
            let is_open = comparison.decision() == Decision::Continue && agree;
            let price_us = self.testbed.restart_terms().map_or(0.0, |t| t.price_us);
            if !is_open || self.guard.restarts_left(price_us) < RESTARTS_OF_VERDICT {
                break;
            }
        }
        self.conclude(found, &comparison);
        if found.verdict == Verdict::Faster && !agree {
            found.verdict = Verdict::NoDifference;
        }
        if found.verdict == Verdict::Faster {
            let because = format!("{} is faster: it stays", in_words(&best.environment));
            if let Start::Runs(_) = self.restart_with(&best, true, &because)? {
                self.incumbent = best;
                return Ok(true);
            }
            found.verdict = Verdict::NoDifference;
        }
        self.go_back("the environment is not clearly faster")?;
        Ok(false)
    }

    /// One block of untuned NCCL, two of the best, and another of untuned NCCL.
    fn turn(
        &mut self,
        best: &Configuration,
        comparison: &mut SequentialComparison,
        found: &mut Comparison,
    ) -> Result<Turn, RunError> {
        let untuned = self.guard.approve_untuned();
        let Some(before) = self.block(&untuned, PAIRS_OF_BLOCK)? else {
            return Ok(Turn::Broken);
        };
        if self.is_interrupted() {
            return Ok(Turn::Broken);
        }
        let because = format!("the final comparison of {}", in_words(&best.environment));
        let Start::Runs(approved) = self.restart_with(best, false, &because)? else {
            return Ok(Turn::Broken);
        };
        let mut halves = Vec::new();
        for _ in 0..2 {
            let Some(half) = self.block(&approved, PAIRS_OF_BLOCK)? else {
                return Ok(Turn::Broken);
            };
            halves.push(half);
            if slower(&before, &halves[0]) {
                push(comparison, found, &before, &halves[0]);
                return Ok(Turn::Slower);
            }
        }
        let because = "the other half of the final comparison";
        let Start::Runs(untuned) = self.restart_with(&Configuration::default(), false, because)?
        else {
            return Ok(Turn::Broken);
        };
        let Some(after) = self.block(&untuned, PAIRS_OF_BLOCK)? else {
            return Ok(Turn::Broken);
        };
        let is_whole = |block: &Vec<f64>| block.len() == PAIRS_OF_BLOCK;
        if ![&before, &after].into_iter().all(is_whole) || !halves.iter().all(is_whole) {
            return Ok(Turn::Broken);
        }
        for (old, new) in [before, after].iter().zip(&halves) {
            push(comparison, found, old, new);
        }
        Ok(Turn::Whole)
    }
}

/// Pairs two blocks, iteration by iteration.
fn push(comparison: &mut SequentialComparison, found: &mut Comparison, old: &[f64], new: &[f64]) {
    for (old_us, new_us) in old.iter().zip(new) {
        comparison.push(*old_us, *new_us);
        found.untuned_us.push(*old_us);
        found.best_us.push(*new_us);
    }
}

/// Whether every iteration of the best took longer than every one of untuned NCCL before it.
fn slower(old: &[f64], new: &[f64]) -> bool {
    let longest = old.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    !new.is_empty() && !old.is_empty() && new.iter().all(|us| *us > longest)
}

/// Whether the pairs of both halves of the last four blocks have a median that says faster: an effect that is
/// one way in the first and the other way in the second is drift.
fn halves_agree(found: &Comparison, minimum_effect: f64) -> bool {
    let ratios: Vec<f64> = found
        .best_us
        .iter()
        .zip(&found.untuned_us)
        .map(|(new, old)| new / old)
        .collect();
    let last = &ratios[ratios.len().saturating_sub(2 * PAIRS_OF_BLOCK)..];
    let says_faster = |half: &[f64]| median(half).is_some_and(|r| r <= 1.0 - minimum_effect);
    last.chunks(PAIRS_OF_BLOCK).all(says_faster)
}
