//! How a trial compares its pairs: calls by sign, because nothing is known of their noise; iterations by size
//! as well, because the baseline told theirs and each of them is dear.

use ccl_core::Interval;
use ccl_search::{Decision, ScaledComparison, SequentialComparison};

/// The pairs of one contender.
pub(super) enum Pairs {
    /// Of calls.
    BySign(SequentialComparison),
    /// Of iterations.
    BySize(ScaledComparison),
}

impl Pairs {
    pub(super) fn push(&mut self, incumbent: f64, candidate: f64) {
        match self {
            Self::BySign(pairs) => pairs.push(incumbent, candidate),
            Self::BySize(pairs) => pairs.push(incumbent, candidate),
        }
    }

    pub(super) fn pairs(&self) -> u32 {
        match self {
            Self::BySign(pairs) => pairs.pairs(),
            Self::BySize(pairs) => pairs.pairs(),
        }
    }

    pub(super) fn median_ratio(&self) -> Option<f64> {
        match self {
            Self::BySign(pairs) => pairs.median_ratio(),
            Self::BySize(pairs) => pairs.median_ratio(),
        }
    }

    pub(super) fn ratio(&self) -> Option<Interval> {
        match self {
            Self::BySign(pairs) => pairs.ratio(),
            Self::BySize(pairs) => pairs.ratio(),
        }
    }

    pub(super) fn decision(&self) -> Decision {
        match self {
            Self::BySign(pairs) => pairs.decision(),
            Self::BySize(pairs) => pairs.decision(),
        }
    }
}
