//! Minds: given a situation, hypotheses worth a trial.
//!
//! The rule mind is deterministic and good on its own; the language model is asked as well and
//! never needed. Neither measures anything or touches the job: what they say is a candidate like
//! any other, validated, guarded, tried and scored.

pub mod mechanisms;

use ccl_core::{Hypothesis, TaskKey};

use crate::situation::Situation;
use mechanisms::MECHANISMS;

/// Something that proposes hypotheses.
pub trait Mind {
    /// Hypotheses for this situation, the most promising first: by predicted gain, weighted with
    /// the key's share of the iteration.
    fn propose(&self, situation: &Situation) -> Vec<Hypothesis>;
}

/// The rule mind: every mechanism, asked of every key.
///
/// A mechanism that was refuted on a key has no say on that key any more.
#[derive(Clone, Debug, Default)]
pub struct RuleMind {
    refuted: Vec<(String, TaskKey)>,
}

impl RuleMind {
    /// Remembers that a mechanism's prediction failed on a key.
    pub fn refute(&mut self, mechanism: &str, key: TaskKey) {
        self.refuted.push((mechanism.to_owned(), key));
    }
}

impl Mind for RuleMind {
    fn propose(&self, situation: &Situation) -> Vec<Hypothesis> {
        let mut found: Vec<(f64, Hypothesis)> = Vec::new();
        for key in &situation.keys {
            for mechanism in &MECHANISMS {
                let silenced =
                    |(name, k): &(String, TaskKey)| name == mechanism.name && *k == key.facts.key;
                if self.refuted.iter().any(silenced) {
                    continue;
                }
                let Some(hypothesis) = mechanism.hypothesis(situation, key) else {
                    continue;
                };
                if !key.is_open(&hypothesis.choice)
                    || found
                        .iter()
                        .any(|(_, h)| h.key == hypothesis.key && h.choice == hypothesis.choice)
                {
                    continue;
                }
                let [low, high] = hypothesis.predicted_ratio;
                let gain = key.observed.share * (1.0 - (low + high) / 2.0);
                found.push((gain, hypothesis));
            }
        }
        // Stable: equal gains keep the order of keys and mechanisms.
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.into_iter().map(|(_, h)| h).collect()
    }
}
