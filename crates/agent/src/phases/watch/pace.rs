//! The pace of what is locked, and what a change of it is of.
//!
//! Between the comparisons with NCCL's own choices only time tells; their pairs tell what is of the locked
//! configuration from what is of the machine around both. What follows from it is not known here.

use ccl_core::ChangeOf;
use ccl_search::statistics::{Cause, CauseFinder, Finding, Sensitivity, Stage};

use super::{CHECK_EVERY, CHECK_PAIRS, LEAST_NOISE};

/// Changes of the pace that are not worth tuning for, as a share: drift and the error of the level.
const TOLERANCE: f64 = 0.03;
/// Watched iterations until the first false alarm, on average at least.
const RUN_LENGTH: f64 = 50_000.0;
/// Iterations a change has to last: a neighbour's job of a few minutes does not count.
const LASTING_AFTER: usize = 40;
/// Pairs for which the ratio to NCCL's own choices must have moved to be said to stay there: more than one
/// comparison has.
const RATIO_LASTING_AFTER: usize = 2 * CHECK_PAIRS as usize;

/// A change, and what it is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) of: ChangeOf,
    pub(super) stage: Stage,
    /// Iteration time of what is locked, microseconds, before and since; where the change is of its ratio
    /// to NCCL's own choices, at the pace that those had when it was locked.
    pub(super) before_us: f64,
    pub(super) since_us: f64,
    /// Iterations or pairs for which it has held.
    pub(super) held: usize,
}

/// What is locked, beside what it was when it was locked.
pub(super) struct Pace {
    finder: CauseFinder,
    /// Medians at the verdict, microseconds.
    locked_us: f64,
    untuned_us: f64,
    /// Whether the ratio to NCCL's own choices has moved, and neither came back nor stayed yet.
    ratio_has_moved: bool,
}

impl Pace {
    /// From the iteration times at the verdict, microseconds, and the noise of one iteration and of a pair
    /// of them, relative.
    pub(super) fn new(locked_us: f64, untuned_us: f64, noise: f64, noise_of_pair: f64) -> Self {
        let times = Sensitivity {
            noise: noise.max(LEAST_NOISE),
            tolerance: TOLERANCE,
            run_length: RUN_LENGTH,
            lasting_after: LASTING_AFTER,
        };
        #[allow(clippy::cast_precision_loss)] // a few hundred
        let pairs = Sensitivity {
            noise: noise_of_pair.max(LEAST_NOISE),
            // As many pairs as there are in so many iterations.
            run_length: RUN_LENGTH / CHECK_EVERY as f64 * f64::from(CHECK_PAIRS),
            lasting_after: RATIO_LASTING_AFTER,
            ..times
        };
        Self {
            finder: CauseFinder::new(times, pairs),
            locked_us,
            untuned_us,
            ratio_has_moved: false,
        }
    }

    /// An iteration of what is locked, with nothing to hold it against, microseconds.
    pub(super) fn alone(&mut self, locked_us: f64) -> Option<Seen> {
        let finding = self.finder.push_alone(locked_us / self.locked_us)?;
        Some(self.seen(finding))
    }

    /// An iteration of what is locked and one of NCCL's own choices beside it, microseconds.
    pub(super) fn pair(&mut self, locked_us: f64, untuned_us: f64) -> Vec<Seen> {
        let untuned = untuned_us / self.untuned_us;
        let found = self.finder.push_pair(locked_us / self.locked_us, untuned);
        found.into_iter().map(|f| self.seen(f)).collect()
    }

    fn seen(&mut self, finding: Finding) -> Seen {
        let change = finding.change;
        let of = match finding.cause {
            Cause::Candidate => {
                self.ratio_has_moved = change.stage == Stage::Began;
                ChangeOf::Candidate
            }
            // NCCL's own choices did not move with it.
            Cause::Interference if change.stage == Stage::Began && self.ratio_has_moved => {
                ChangeOf::Open
            }
            Cause::Interference => ChangeOf::Interference,
            Cause::Incumbent => ChangeOf::Incumbent,
            Cause::Open => ChangeOf::Open,
        };
        // The ratio is that of NCCL's own choices to what is locked.
        let us = |level: f64| match finding.cause {
            Cause::Candidate => self.locked_us / level,
            _ => self.locked_us * level,
        };
        Seen {
            of,
            stage: change.stage,
            before_us: us(change.from),
            since_us: us(change.to),
            held: change.held,
        }
    }
}

impl Seen {
    /// What follows from it.
    pub(super) fn because(&self) -> &'static str {
        match (self.of, self.stage) {
            (ChangeOf::Candidate, Stage::Passed) => {
                "beside NCCL's own choices the locked configuration is what it was again"
            }
            (ChangeOf::Candidate, Stage::Began | Stage::Lasting) => {
                "it is of the locked configuration alone: NCCL's own choices beside it did not change so"
            }
            (ChangeOf::Incumbent, _) | (_, Stage::Lasting) => {
                "it is there to stay: another configuration may be best now"
            }
            (_, Stage::Passed) => "it passed, so it was interference: nothing is to be done",
            (ChangeOf::Interference, Stage::Began) => {
                "NCCL's own choices seem to change with it: it is of the machine around both"
            }
            (ChangeOf::Open, Stage::Began) => {
                "it may pass; NCCL's own choices are measured beside it"
            }
        }
    }
}
