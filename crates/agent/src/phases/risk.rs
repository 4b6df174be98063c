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

impl Tuner<'_> {
    /// Lets the guard judge a candidate by what is known of it.
    pub(super) fn assess(&mut self, candidate: &Candidate) -> Result<Risk, Refusal> {
        let foreseen = self.foreseen(candidate);
        self.guard.check_candidate(candidate, &foreseen)
    }

    /// How much longer a call may take, as far as anybody can tell before it runs: as outside the
    /// job, or as the hypothesis fears, or as the simulator expects.
    fn foreseen(&mut self, candidate: &Candidate) -> Foreseen {
        let (key, choice) = (candidate.key, candidate.choice);
        let state = self.situation.key(key);
        let share = state.map_or(0.0, |k| k.observed.share);
        let incumbent = state.and_then(|k| k.incumbent);
        let overlapped = state.is_some_and(|k| k.facts.overlapped);
        // Two deviations above what the key's model believes: of the call, or of the iteration where
        // that is what it models.
        let believed = self.models.get(&key).and_then(|m| m.belief(&choice));
        let believed = believed.map(|b| (b.mean + 2.0 * b.variance.sqrt()).exp());
        let of_call = believed
            .filter(|_| !overlapped)
            .map(|ratio| (ratio, "as its key's model believes"));
        let probed = self
            .probe_us(key, Some(choice))
            .zip(self.probe_us(key, incumbent))
            .map(|(new, now)| (new / now * (1.0 + PROBE_SPREAD), "timed outside the job"));
        let state = self.situation.key(key);
        let expected = || {
            let expectation = self.expectation()?;
            let facts = &state?.facts;
            let new = expectation.call_us(facts, Some(choice))?;
            let now = expectation.call_us(facts, incumbent)?;
            Some((
                new / now * (1.0 + EXPECTATION_SPREAD),
                "expected by the simulator",
            ))
        };
        let feared = || {
            let hypothesis = candidate.hypothesis.as_ref()?;
            Some((hypothesis.predicted_ratio[1], "as the hypothesis fears"))
        };
        let was_good_before = self.remembered.iter().any(|rule| {
            rule.kind == RuleKind::Positive
                && rule.key == key
                && rule.choice == choice
                && rule.context.is_related_to(&self.situation.context)
        });
        Foreseen {
            share,
            call_ratio: of_call.or(probed).or_else(expected).or_else(feared),
            iteration_ratio: believed.filter(|_| overlapped),
            was_good_before,
        }
    }
}
