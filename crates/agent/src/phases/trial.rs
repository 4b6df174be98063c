//! Trials: candidates beside the incumbent, each judged by pairs of the two.
//!
//! A task key occurs thousands of times in a training iteration, so a candidate needs only a
//! small share of one iteration to be compared, and many candidates fit into the same one: the
//! [race](race). Keys whose calls hide behind computation are judged by the iteration instead
//! ([`iterations`]), because there a faster call can make a slower job.
//!
//! A contender starts with few calls and gets more as long as they do no harm. A failure ends whatever ran
//! in that iteration, and nothing that could share its cause is tried after it.

mod contender;
mod iterations;
mod leases;
mod race;
mod shares;

use ccl_core::{Candidate, Interval, Outcome, TraceEvent};
use ccl_search::{ScaledComparison, pair_noise};

pub(crate) use self::contender::Contender;
use self::contender::faster;
use crate::tuner::{RunError, Tried, Tuner};

/// Chance of keeping a candidate that is not better; a wrong one costs a little, and the final
/// comparison on fresh pairs does not depend on it.
const TRIAL_ALPHA: f64 = 0.05;
/// Relative noise of one call: what most of them show, and the comparison raises it where pairs show
/// more.
const CALL_NOISE: f64 = 0.05;
/// Relative noise of an iteration below which nobody should believe a short baseline.
const LEAST_ITERATION_NOISE: f64 = 0.006;

impl Tuner<'_> {
    /// Tries candidates that passed the guard: those beside computation until they are judged, the others
    /// enter the race and run one iteration of it.
    pub(super) fn trial(&mut self, round: u32, candidates: Vec<Candidate>) -> Result<(), RunError> {
        let is_overlapped = |c: &Candidate| {
            let key = self.situation.key(c.key);
            key.is_some_and(|k| k.facts.overlapped)
        };
        let (alone, racing): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_overlapped);
        for candidate in racing {
            let contender = self.contender(candidate);
            self.racing.push(contender);
        }
        if !alone.is_empty() {
            let mut contenders: Vec<Contender> =
                alone.into_iter().map(|c| self.contender(c)).collect();
            self.compare_iterations(round, &mut contenders)?;
            return self.judge_iterations(contenders);
        }
        self.race(round)
    }

    fn contender(&self, candidate: Candidate) -> Contender {
        let beside = self.situation.key(candidate.key).and_then(|k| k.incumbent);
        Contender::new(
            candidate,
            beside,
            self.comparison(self.pair_noise_of_iterations()),
        )
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

    /// Says how each contender of a trial by iterations ended; the fastest of a key that is faster becomes
    /// its incumbent.
    fn judge_iterations(&mut self, mut contenders: Vec<Contender>) -> Result<(), RunError> {
        let median = |c: &Contender| c.median().unwrap_or(f64::INFINITY);
        let is_beaten = |c: &Contender| {
            contenders.iter().any(|other| {
                other.candidate.key == c.candidate.key
                    && other.is_faster()
                    && (median(other), other.candidate.id) < (median(c), c.candidate.id)
            })
        };
        let winners: Vec<u32> = contenders
            .iter()
            .filter(|c| c.is_faster() && !self.guard.is_over() && !is_beaten(c))
            .map(|c| c.candidate.id)
            .collect();
        for contender in &mut contenders {
            if !contender.is_faster() {
                continue;
            }
            let is_winner = winners.contains(&contender.candidate.id);
            let why = contender
                .ratio()
                .map(|r| faster(r, contender.comparison.pairs()));
            let why = why.unwrap_or_default();
            contender.ended = Some(match is_winner {
                true => (Outcome::Kept, why),
                false if self.guard.is_over() => (
                    Outcome::RolledBackNoDifference,
                    format!("{why}, but the job is back on NCCL's own choices"),
                ),
                false => (
                    Outcome::RolledBackNoDifference,
                    format!("{why}, but another candidate of the key gained more"),
                ),
            });
        }
        self.close(contenders, "iteration")
    }

    /// Says how contenders ended, and puts them into the books; those that are kept become what their
    /// keys run.
    fn close(&mut self, mut contenders: Vec<Contender>, metric: &str) -> Result<(), RunError> {
        let is_kept = |c: &Contender| c.ended.as_ref().is_some_and(|(o, _)| o.is_kept());
        // All were held against what ran until now: it changes after the last of the others is told.
        contenders.sort_by_key(is_kept);
        let is_changed = contenders.iter().any(is_kept);
        for contender in contenders {
            self.close_one(contender, metric)?;
        }
        if is_changed {
            self.pace_us.clear();
            let incumbent = self.approved_incumbent()?;
            self.testbed.settle(&incumbent)?;
            self.report_incumbent()?;
        }
        Ok(())
    }

    fn close_one(&mut self, contender: Contender, metric: &str) -> Result<(), RunError> {
        if let Some(reason) = contender.refused {
            self.counts.trials = self.counts.trials.saturating_sub(1);
            self.counts.refused += 1;
            let candidate = contender.candidate;
            return self.emit(TraceEvent::Refused { candidate, reason });
        }
        let ratio = contender.ratio();
        let pairs = contender.comparison.pairs();
        let estimate = contender.estimate();
        let verdict = contender.verdict();
        let Contender {
            candidate, ended, ..
        } = contender;
        let (outcome, because) = ended.unwrap_or(verdict);
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
        // What was tried is evidence like anything else that was seen.
        let seen = format!(
            "candidate {}, {} on {}: {because}",
            candidate.id, candidate.choice, candidate.key
        );
        self.observe(Some(candidate.key), seen)?;
        self.emit(TraceEvent::Judged {
            candidate: candidate.id,
            outcome,
            because,
            as_predicted,
        })?;
        self.learn(&candidate, outcome, estimate, pairs);
        self.score(&candidate, outcome, ratio)?;
        self.file(candidate, outcome, ratio, pairs);
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
            if let Some(model) = self.models.get_mut(&candidate.key) {
                model.adopt(candidate.choice);
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
