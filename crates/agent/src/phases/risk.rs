//! What is foreseen of a candidate before it runs: what the guard's risk model is told.

use ccl_core::Candidate;
use ccl_memory::RuleKind;

use crate::guard::{Foreseen, Refusal, Risk};
use crate::tuner::Tuner;

/// How far the time of a call outside the job may be off, as a share: two standard deviations of a ratio of
/// medians of a few calls.
const PROBE_SPREAD: f64 = 0.10;
/// How far the simulator's expectation of a ratio may be off, as a share, on a machine it has not seen.
const EXPECTATION_SPREAD: f64 = 0.30;

/// How many times as long a call may take, and who says so.
type Feared = (f64, &'static str);

impl Tuner<'_> {
    /// Lets the guard judge a candidate by what is known of it; where nothing is, its calls are timed
    /// outside the job.
    pub(super) fn assess(&mut self, candidate: &Candidate) -> Result<Risk, Refusal> {
        let outside = match self.is_told_of_calls(candidate) {
            true => None,
            false => self
                .expected_alone(candidate)
                .or_else(|| self.timed_alone(candidate)),
        };
        let foreseen = self.foreseen(candidate, outside);
        self.guard.check_candidate(candidate, &foreseen)
    }

    /// What the guard would say of a candidate by what is known already; nothing is timed for it.
    pub(crate) fn foresee(&self, candidate: &Candidate) -> Result<Risk, Refusal> {
        let outside = match self.is_told_of_calls(candidate) {
            true => None,
            false => self.expected_alone(candidate),
        };
        let foreseen = self.foreseen(candidate, outside);
        self.guard.rate(candidate, &foreseen)
    }

    /// How much longer a call may take, as far as anybody can tell before it runs: as it would outside the job,
    /// where that was asked, or as the key's model believes, or as the hypothesis fears.
    fn foreseen(&self, candidate: &Candidate, outside: Option<Feared>) -> Foreseen {
        let (key, choice) = (candidate.key, candidate.choice);
        let state = self.situation.key(key);
        let share = state.map_or(0.0, |k| k.observed.share);
        let overlapped = state.is_some_and(|k| k.facts.overlapped);
        // Two deviations above what the key's model believes, an earlier run heard or not: of the call, or of the iteration where
        // that is what it models.
        let model = self.models.get(&key);
        let is_informed = model.is_some_and(|m| m.is_informed());
        let believed = model.and_then(|m| m.feared(&choice)).map(f64::exp);
        let of_call = believed
            .filter(|_| !overlapped)
            .map(|ratio| (ratio, "as its key's model believes"));
        // A model that nobody told about the machine knows what was tried, and how far off it could be.
        let neighbours = model
            .filter(|_| !is_informed)
            .map(|m| m.worst(&choice).exp());
        let feared = || {
            let hypothesis = candidate.hypothesis.as_ref()?;
            Some((hypothesis.predicted_ratio[1], "as the hypothesis fears"))
        };
        let call_ratio = match (outside, neighbours) {
            (Some(outside), _) => Some(outside),
            (None, Some(worst)) => Some((worst, "as its neighbours allow for")),
            (None, None) => of_call.or_else(feared),
        };
        let was_good_before = self.remembered.rules.iter().any(|recalled| {
            let rule = &recalled.rule;
            rule.kind == RuleKind::Positive
                && rule.call() == Some((key, choice))
                && rule.context.is_related_to(&self.situation.context)
        });
        Foreseen {
            share,
            call_ratio,
            iteration_ratio: believed.filter(|_| overlapped && is_informed),
            was_good_before,
        }
    }

    /// Whether a model that knows the machine speaks of the candidate's calls: nothing else is asked then.
    fn is_told_of_calls(&self, candidate: &Candidate) -> bool {
        let state = self.situation.key(candidate.key);
        let overlapped = state.is_some_and(|k| k.facts.overlapped);
        let model = self.models.get(&candidate.key).filter(|_| !overlapped);
        model.is_some_and(|m| m.is_informed() && m.feared(&candidate.choice).is_some())
    }

    /// A candidate's calls beside the incumbent's, as the simulator expects them.
    fn expected_alone(&self, candidate: &Candidate) -> Option<Feared> {
        let state = self.situation.key(candidate.key)?;
        let expectation = self.expectation()?;
        let new = expectation.call_us(&state.facts, Some(candidate.choice))?;
        let now = expectation.call_us(&state.facts, state.incumbent)?;
        Some((
            new / now * (1.0 + EXPECTATION_SPREAD),
            "expected by the simulator",
        ))
    }

    /// The same, timed outside the job.
    fn timed_alone(&mut self, candidate: &Candidate) -> Option<Feared> {
        let key = candidate.key;
        let incumbent = self.situation.key(key).and_then(|k| k.incumbent);
        let (new, now) = self
            .probe_us(key, Some(candidate.choice))
            .zip(self.probe_us(key, incumbent))?;
        Some((new / now * (1.0 + PROBE_SPREAD), "timed outside the job"))
    }
}
