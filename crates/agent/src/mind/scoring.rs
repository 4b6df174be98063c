//! Predicted against measured: what part of a promised gain came true.

use ccl_core::{Candidate, Interval, Outcome, TraceEvent};

use super::scored_as;
use crate::situation::KeyState;
use crate::tuner::{RunError, Tuner};

/// Smallest gain of a call that a prediction is held to: one that promises less promises only that
/// the call becomes faster.
const SMALLEST_PROMISE: f64 = 0.01;

/// The share of the promised gain that was measured, 0..=1: nothing where the call did not become
/// faster beyond the noise, whatever the prediction allowed for. `measured` is the ratio of the
/// iteration where computation runs beside the call.
pub fn realised_share(key: &KeyState, predicted_ratio: [f64; 2], measured: Interval) -> f64 {
    if measured.ci95[1] >= 1.0 {
        return 0.0;
    }
    let [low, high] = predicted_ratio;
    let middle = f64::midpoint(low, high);
    if 1.0 - middle < SMALLEST_PROMISE {
        return 1.0;
    }
    let promised = 1.0 - key.in_metric(middle);
    ((1.0 - measured.median) / promised).clamp(0.0, 1.0)
}

impl Tuner<'_> {
    /// Holds a judged candidate's prediction against what was measured. Trials that failed, or could
    /// not tell, say nothing about a mechanism.
    pub(crate) fn score(
        &mut self,
        candidate: &Candidate,
        outcome: Outcome,
        ratio: Option<Interval>,
    ) -> Result<(), RunError> {
        let (Some(hypothesis), Some(key)) =
            (&candidate.hypothesis, self.situation.key(candidate.key))
        else {
            return Ok(());
        };
        let realised = match (outcome, ratio) {
            (Outcome::RolledBackFailed, _) => return Ok(()),
            (Outcome::RolledBackCanary | Outcome::RolledBackIteration, _) => 0.0,
            (_, Some(ratio)) => realised_share(key, hypothesis.predicted_ratio, ratio),
            (_, None) => return Ok(()),
        };
        let mechanism = scored_as(candidate.proposer, hypothesis);
        self.rule_mind
            .score(&self.situation, key, mechanism, realised);
        let event = TraceEvent::MechanismScored {
            mechanism: mechanism.to_owned(),
            key: candidate.key,
            bottleneck: key.bottleneck(),
            realised,
            trust: self.rule_mind.trust(&self.situation, key, mechanism),
        };
        self.emit(event)
    }
}
