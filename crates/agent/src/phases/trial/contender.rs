//! A candidate under comparison with the incumbent beside it.

use ccl_core::{Candidate, Choice, Interval, Outcome};
use ccl_search::{Decision, ScaledComparison};

/// Pairs after which a comparison that is still undecided is given up.
const MOST_PAIRS: u32 = 96;
/// A median of n normal values scatters this many times as much as one of them over the root of n.
const OF_MEDIAN: f64 = 1.2533;

/// One candidate, from its first call to its verdict.
pub(crate) struct Contender {
    pub(super) candidate: Candidate,
    /// What runs beside it, where that is not NCCL's own choice.
    pub(super) beside: Option<Choice>,
    pub(super) comparison: ScaledComparison,
    /// The value of a lease that took a key's only call, waiting for its partner.
    pub(super) unpaired_us: Option<f64>,
    /// Pairs that its key's model was told of.
    pub(super) told_pairs: u32,
    /// How it ended, and why.
    pub(super) ended: Option<(Outcome, String)>,
    /// Its part of what it did together with others, as a share of the logarithm.
    pub(super) part: f64,
    /// Why the guard did not let it run any more, before anything was seen of it.
    pub(super) refused: Option<String>,
}

impl Contender {
    pub(super) fn new(
        candidate: Candidate,
        beside: Option<Choice>,
        comparison: ScaledComparison,
    ) -> Self {
        Self {
            candidate,
            beside,
            comparison,
            unpaired_us: None,
            told_pairs: 0,
            ended: None,
            part: 1.0,
            refused: None,
        }
    }

    /// Whether more pairs would be of use.
    pub(super) fn is_open(&self) -> bool {
        self.is_undecided()
            && self.comparison.pairs() < MOST_PAIRS
            && self.comparison.decision() == Decision::Continue
    }

    /// Whether the job failed with it.
    pub(super) fn has_failed(&self) -> bool {
        let ended = self.ended.as_ref().map(|(outcome, _)| *outcome);
        let harmful = [Outcome::RolledBackFailed, Outcome::RolledBackCanary];
        self.refused.is_some() || ended.is_some_and(|outcome| harmful.contains(&outcome))
    }

    /// Whether nothing was said about it yet.
    pub(super) fn is_undecided(&self) -> bool {
        self.ended.is_none() && self.refused.is_none()
    }

    /// Whether its pairs alone tell that it is faster.
    pub(super) fn is_faster(&self) -> bool {
        self.is_undecided() && self.comparison.decision() == Decision::Faster
    }

    /// It cannot be tried any further without risking more harm than a trial may do.
    pub(super) fn end_as_too_risky(&mut self, has_run: bool) {
        let because = "more calls could do more harm than a trial may".to_owned();
        match has_run {
            false => self.refused = Some(because),
            true => self.ended = Some((Outcome::RolledBackNoDifference, because)),
        }
    }

    pub(super) fn median(&self) -> Option<f64> {
        self.comparison.median_ratio()
    }

    /// The logarithm of candidate over incumbent with its variance: that of a median of so many
    /// pairs of which one deviation is known.
    pub(super) fn estimate(&self) -> Option<(f64, f64)> {
        let pairs = f64::from(self.comparison.pairs().max(1));
        let log_ratio = self.median()?.ln();
        let variance = (OF_MEDIAN * self.comparison.noise()).powi(2) / pairs;
        // Who did how much of what they did together is not known.
        let unknown = ((1.0 - self.part) * log_ratio).powi(2);
        Some((self.part * log_ratio, variance + unknown))
    }

    /// Its ratio as measured: with an interval that holds whenever it is looked at, or, of too few pairs
    /// for one, by the noise that a pair is known to have.
    pub(super) fn ratio(&self) -> Option<Interval> {
        self.comparison.ratio().or_else(|| {
            let (middle, variance) = self.estimate()?;
            let wide = 1.96 * variance.sqrt();
            Some(Interval {
                median: middle.exp(),
                ci95: [(middle - wide).exp(), (middle + wide).exp()],
            })
        })
    }

    /// What can be said of its pairs alone.
    pub(super) fn verdict(&self) -> (Outcome, String) {
        let pairs = self.comparison.pairs();
        let Some(ratio) = self.ratio() else {
            let because = "no pair could be measured".to_owned();
            return (Outcome::RolledBackFailed, because);
        };
        match self.comparison.decision() {
            Decision::Slower => (
                Outcome::RolledBackSlower,
                format!(
                    "{:.1} % slower over {}",
                    100.0 * (ratio.median - 1.0),
                    of_pairs(pairs)
                ),
            ),
            Decision::Faster => (Outcome::RolledBackNoDifference, faster(ratio, pairs)),
            Decision::NoDifference | Decision::Continue => (
                Outcome::RolledBackNoDifference,
                format!(
                    "ratio {:.3} [{:.3}, {:.3}] over {}: no difference beyond the noise",
                    ratio.median,
                    ratio.ci95[0],
                    ratio.ci95[1],
                    of_pairs(pairs)
                ),
            ),
        }
    }
}

/// What is said of one that is faster.
pub(super) fn faster(ratio: Interval, pairs: u32) -> String {
    format!(
        "{:.1} % faster [{:.1}, {:.1}] over {}",
        100.0 * (1.0 - ratio.median),
        100.0 * (1.0 - ratio.ci95[1]),
        100.0 * (1.0 - ratio.ci95[0]),
        of_pairs(pairs)
    )
}

fn of_pairs(count: u32) -> String {
    match count {
        1 => "1 pair".to_owned(),
        n => format!("{n} pairs"),
    }
}
