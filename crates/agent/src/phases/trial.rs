//! One trial: several candidates leased inside the same iterations, each judged against the
//! incumbent calls beside it.
//!
//! A task key occurs thousands of times in a training iteration, so a candidate needs only a
//! small share of one iteration to be compared, and many candidates fit into the same one. Each
//! lease gives blocks of calls that ran next to blocks of incumbent calls: pairs, whatever the
//! machine did meanwhile. Keys whose calls hide behind computation are judged by the iteration
//! instead, because there a faster call can make a slower job.
//!
//! A contender starts with few calls and gets more as long as they do no harm. A failure ends whatever ran
//! in that iteration, and nothing that could share its cause is tried after it.

mod iterations;
mod leases;
mod shares;

use ccl_core::{Candidate, Interval, Outcome, TraceEvent};
use ccl_search::{Decision, ScaledComparison, pair_noise};

use crate::tuner::{RunError, Tried, Tuner};

/// Pairs after which a lease that is still undecided is given up.
const MOST_PAIRS: u32 = 48;
/// Pairs after which a lease is given up when what it would gain of the iteration is below
/// [`WORTH_PURSUING`].
const PAIRS_TO_SEE_VALUE: u32 = 4;
/// Share of the iteration that a candidate must promise to be pursued: a job's call that occurs
/// once an iteration costs two iterations a pair.
pub(super) const WORTH_PURSUING: f64 = 0.002;
/// Chance of keeping a candidate that is not better; a wrong one costs a little, and the final
/// comparison on fresh pairs does not depend on it.
const TRIAL_ALPHA: f64 = 0.05;

/// Relative noise of one call: what most of them show, and the comparison raises it where pairs show
/// more.
const CALL_NOISE: f64 = 0.05;
/// Relative noise of an iteration below which nobody should believe a short baseline.
const LEAST_ITERATION_NOISE: f64 = 0.006;

/// A candidate under comparison.
struct Contender {
    candidate: Candidate,
    /// The key's share of the iteration.
    share: f64,
    comparison: ScaledComparison,
    /// The value of a lease that took a key's only call, waiting for its partner.
    unpaired_us: Option<f64>,
    ended: Option<(Outcome, String)>,
    /// Its part of what it did together with others, as a share of the logarithm.
    part: f64,
    /// Why the guard did not let it run any more, before anything was seen of it.
    refused: Option<String>,
}

impl Contender {
    fn is_open(&self) -> bool {
        self.ended.is_none()
            && self.refused.is_none()
            && self.comparison.pairs() < MOST_PAIRS
            && self.is_worth_pursuing()
            && self.comparison.decision() == Decision::Continue
    }

    /// Whether the job failed with it.
    fn has_failed(&self) -> bool {
        let ended = self.ended.as_ref().map(|(outcome, _)| *outcome);
        let harmful = [Outcome::RolledBackFailed, Outcome::RolledBackCanary];
        self.refused.is_some() || ended.is_some_and(|outcome| harmful.contains(&outcome))
    }

    /// Whether nothing was said about it yet.
    fn is_undecided(&self) -> bool {
        self.ended.is_none() && self.refused.is_none()
    }

    /// It cannot be tried any further without risking more harm than a trial may do.
    fn end_as_too_risky(&mut self, has_run: bool) {
        let because = "more calls could do more harm than a trial may".to_owned();
        match has_run {
            false => self.refused = Some(because),
            true => self.ended = Some((Outcome::RolledBackNoDifference, because)),
        }
    }

    fn is_worth_pursuing(&self) -> bool {
        let gain = self.share * (1.0 - self.median().unwrap_or(0.0));
        self.comparison.pairs() < PAIRS_TO_SEE_VALUE || gain >= WORTH_PURSUING
    }

    fn median(&self) -> Option<f64> {
        self.comparison.median_ratio()
    }

    /// The logarithm of candidate over incumbent with its variance: that of a median of so many
    /// pairs (1.2533 deviations over the root of their number for a normal distribution).
    fn estimate(&self) -> Option<(f64, f64)> {
        let pairs = f64::from(self.comparison.pairs().max(1));
        let log_ratio = self.median()?.ln();
        let variance = (1.2533 * self.comparison.noise()).powi(2) / pairs;
        // Who did how much of what they did together is not known.
        let unknown = ((1.0 - self.part) * log_ratio).powi(2);
        Some((self.part * log_ratio, variance + unknown))
    }
}

impl Tuner<'_> {
    /// Tries candidates, judges them, and makes the best of each key its incumbent.
    pub(super) fn trial(&mut self, round: u32, candidates: Vec<Candidate>) -> Result<(), RunError> {
        let overlapped = candidates.iter().any(|c| {
            self.situation
                .key(c.key)
                .is_some_and(|k| k.facts.overlapped)
        });
        let new = |candidate: Candidate, this: &Self| Contender {
            share: this
                .situation
                .key(candidate.key)
                .map_or(0.0, |k| k.observed.share),
            candidate,
            comparison: this.comparison(this.pair_noise_of_iterations()),
            unpaired_us: None,
            ended: None,
            part: 1.0,
            refused: None,
        };
        let mut contenders: Vec<Contender> = candidates.into_iter().map(|c| new(c, self)).collect();
        let metric = if overlapped { "iteration" } else { "call" };
        if overlapped {
            self.compare_iterations(round, &mut contenders)?;
        } else {
            self.compare_leases(round, &mut contenders)?;
        }
        self.judge(contenders, metric)
    }

    /// A comparison of a trial, by pairs whose logarithm has this deviation.
    fn comparison(&self, noise: f64) -> ScaledComparison {
        ScaledComparison::new(TRIAL_ALPHA, self.options.minimum_effect, noise)
    }

    /// Deviation of the logarithm of two iterations' ratio, as far as the baseline tells.
    fn pair_noise_of_iterations(&self) -> f64 {
        let shown = pair_noise(&self.baseline_us).unwrap_or(0.0);
        shown.max(LEAST_ITERATION_NOISE * std::f64::consts::SQRT_2)
    }

    /// The same of two means over so many calls.
    #[allow(clippy::cast_precision_loss)] // counts of calls
    fn pair_noise_of_calls(&self, leased: f64, beside: f64) -> f64 {
        CALL_NOISE * (1.0 / leased.max(1.0) + 1.0 / beside.max(1.0)).sqrt()
    }

    /// Says how each contender ended; the fastest of a key that is faster becomes its incumbent.
    fn judge(&mut self, contenders: Vec<Contender>, metric: &str) -> Result<(), RunError> {
        let median = |c: &Contender| c.median().unwrap_or(f64::INFINITY);
        let winners: Vec<u32> = contenders
            .iter()
            .filter(|c| c.ended.is_none() && c.comparison.decision() == Decision::Faster)
            .filter(|_| !self.guard.is_over())
            .filter(|c| {
                !contenders.iter().any(|other| {
                    other.candidate.key == c.candidate.key
                        && other.ended.is_none()
                        && other.comparison.decision() == Decision::Faster
                        && (median(other), other.candidate.id) < (median(c), c.candidate.id)
                })
            })
            .map(|c| c.candidate.id)
            .collect();
        for contender in contenders {
            if let Some(reason) = contender.refused {
                self.counts.trials = self.counts.trials.saturating_sub(1);
                self.counts.refused += 1;
                let candidate = contender.candidate;
                self.emit(TraceEvent::Refused { candidate, reason })?;
                continue;
            }
            let ratio = contender.comparison.ratio();
            let pairs = contender.comparison.pairs();
            let won = winners.contains(&contender.candidate.id);
            let decision = contender.comparison.decision();
            let estimate = contender.estimate();
            let Contender {
                candidate, ended, ..
            } = contender;
            let (outcome, because) = ended.unwrap_or_else(|| match ratio {
                None if pairs == 0 => {
                    (Outcome::RolledBackFailed, "no pair could be measured".to_owned())
                }
                None => (
                    Outcome::RolledBackNoDifference,
                    format!("{pairs} pairs are too few to tell a difference from the noise"),
                ),
                Some(r) if won => (Outcome::Kept, faster(r, pairs)),
                Some(r) if decision == Decision::Faster && self.guard.is_over() => (
                    Outcome::RolledBackNoDifference,
                    format!("{}, but the job is back on NCCL's own choices", faster(r, pairs)),
                ),
                Some(r) if decision == Decision::Faster => (
                    Outcome::RolledBackNoDifference,
                    format!("{}, but another candidate of the key gained more", faster(r, pairs)),
                ),
                Some(r) if decision == Decision::Slower => (
                    Outcome::RolledBackSlower,
                    format!("{:.1} % slower over {pairs} pairs", 100.0 * (r.median - 1.0)),
                ),
                Some(r) => (
                    Outcome::RolledBackNoDifference,
                    format!(
                        "ratio {:.3} [{:.3}, {:.3}] over {pairs} pairs: no difference beyond the noise",
                        r.median, r.ci95[0], r.ci95[1]
                    ),
                ),
            });
            if let Some(ratio) = ratio {
                self.emit(TraceEvent::Measured {
                    candidate: candidate.id,
                    ratio,
                    pairs,
                    metric: metric.to_owned(),
                })?;
            }
            let predicted = candidate.hypothesis.as_ref().and_then(|h| {
                let key = self.situation.key(candidate.key)?;
                Some(h.predicted_ratio.map(|r| key.in_metric(r)))
            });
            let as_predicted = predicted
                .zip(ratio)
                .map(|([low, high], r)| r.ci95[1] >= low && r.ci95[0] <= high);
            self.emit(TraceEvent::Judged {
                candidate: candidate.id,
                outcome,
                because,
                as_predicted,
            })?;
            self.learn(&candidate, outcome, estimate);
            self.score(&candidate, outcome, ratio)?;
            self.file(candidate, outcome, ratio, pairs);
        }
        if !winners.is_empty() {
            self.pace_us.clear();
            let incumbent = self.approved_incumbent()?;
            self.testbed.settle(&incumbent)?;
        }
        Ok(())
    }

    /// Puts a judged candidate into the books.
    fn file(
        &mut self,
        candidate: Candidate,
        outcome: Outcome,
        ratio: Option<Interval>,
        pairs: u32,
    ) {
        let against = self.situation.key(candidate.key).and_then(|k| k.running());
        if outcome.is_kept() {
            self.incumbent.policy = self
                .incumbent
                .policy
                .with_choice(candidate.key, Some(candidate.choice));
            if let Some(key) = self.key_state_mut(candidate.key) {
                key.incumbent = Some(candidate.choice);
            }
        } else {
            self.counts.rolled_back += 1;
        }
        self.tried.push(Tried {
            candidate,
            against,
            outcome,
            ratio,
            pairs,
        });
    }
}

fn faster(ratio: Interval, pairs: u32) -> String {
    format!(
        "{:.1} % faster [{:.1}, {:.1}] over {pairs} pairs",
        100.0 * (1.0 - ratio.median),
        100.0 * (1.0 - ratio.ci95[1]),
        100.0 * (1.0 - ratio.ci95[0])
    )
}
