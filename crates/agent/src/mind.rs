//! Minds: given a situation, hypotheses worth a trial.
//!
//! The rule mind is deterministic and good on its own; the language model is asked as well and
//! never needed. Neither measures anything or touches the job: what they say is a candidate like
//! any other, validated, guarded, tried and scored.

pub mod llm;
pub mod mechanisms;
mod scoring;
#[cfg(test)]
mod tests;

use ccl_core::{Advice, Hypothesis, Proposer, Source};
use ccl_memory::{ScoreBook, ScoreContext, ScoreRecord};

use crate::expectation::Expectation;
use crate::situation::{KeyState, Situation};
use mechanisms::{MECHANISMS, Mechanism, Said};
pub use scoring::realised_share;

/// A mechanism whose trust fell below this is not asked: four failures without a success, where
/// nothing was known before.
const SILENT_BELOW: f64 = 0.2;

/// The name under which all that a language model says is scored.
pub const LANGUAGE_MODEL: &str = "language-model";

/// Something that proposes hypotheses.
pub trait Mind {
    /// Hypotheses for this situation, the most promising first: by predicted gain, weighted with
    /// the key's share of the iteration.
    fn propose(&self, situation: &Situation) -> Vec<Hypothesis>;
}

/// The rule mind: every mechanism, asked of every key whose bottleneck it speaks to.
///
/// What its predictions are worth is learnt per context: a mechanism that keeps failing there has
/// no say there any more. A change that was tried on a key is never proposed for it again.
#[derive(Clone, Debug, Default)]
pub struct RuleMind {
    expectation: Option<Expectation>,
    scores: ScoreBook,
    is_silent: bool,
}

impl RuleMind {
    /// A mind that may know what the machine should do; it narrows predictions and never makes one.
    pub fn new(expectation: Option<Expectation>) -> Self {
        Self {
            expectation,
            ..Self::default()
        }
    }

    /// A mind whose mechanisms say nothing: what they are worth shows where they are missing.
    pub fn silent() -> Self {
        Self {
            is_silent: true,
            ..Self::default()
        }
    }

    /// Knows from now on what the machine should do, or no longer does.
    pub fn expect(&mut self, expectation: Option<Expectation>) {
        self.expectation = expectation;
    }

    /// Begins with what earlier runs found predictions to be worth.
    pub fn remember(&mut self, scores: Vec<ScoreRecord>) {
        self.scores = ScoreBook::new(scores);
    }

    /// What this run found them to be worth.
    pub fn scores(&self, source: Source, run_id: &str) -> Vec<ScoreRecord> {
        self.scores.own(source, run_id)
    }

    /// What a mechanism's word is worth on a key: the share of a predicted gain that comes true, as
    /// far as its past tells; one half without any.
    pub fn trust(&self, situation: &Situation, key: &KeyState, mechanism: &str) -> f64 {
        self.scores.trust(mechanism, &context_of(situation, key))
    }

    /// What part of its promises a hypothesis is believed, 0..=1: all of them until its mechanism has
    /// kept less than half of them there.
    pub fn credit(
        &self,
        situation: &Situation,
        proposer: Proposer,
        hypothesis: &Hypothesis,
    ) -> f64 {
        let key = situation.key(hypothesis.key);
        key.map_or(0.0, |key| {
            (2.0 * self.trust(situation, key, scored_as(proposer, hypothesis))).min(1.0)
        })
    }

    /// Adds what became of a prediction: the share of the promised gain that was measured, 0..=1.
    pub fn score(&mut self, situation: &Situation, key: &KeyState, mechanism: &str, realised: f64) {
        let context = context_of(situation, key);
        self.scores.add(mechanism, &context, realised);
    }

    /// What a hypothesis is expected to save, as a share of the iteration: the key's share, times
    /// the middle of what is predicted, times what the mechanism's word is worth there.
    pub fn expected_gain(
        &self,
        situation: &Situation,
        proposer: Proposer,
        hypothesis: &Hypothesis,
    ) -> f64 {
        let Some(key) = situation.key(hypothesis.key) else {
            return 0.0;
        };
        let [low, high] = hypothesis.predicted_ratio;
        let trust = self.trust(situation, key, scored_as(proposer, hypothesis));
        key.observed.share * (1.0 - (low + high) / 2.0) * trust
    }

    /// What could be set before the job starts again: the mechanisms that speak of variables which
    /// the process reads once.
    pub fn advise(&self, situation: &Situation) -> Vec<Advice> {
        let mut advice: Vec<Advice> = Vec::new();
        for said in self.ask(situation) {
            if let Said::Advice(one) = said
                && !advice.iter().any(|a| a.variable == one.variable)
            {
                advice.push(one);
            }
        }
        advice
    }

    /// Everything the mechanisms have to say, in the order of keys and mechanisms.
    fn ask<'a>(&'a self, situation: &'a Situation) -> impl Iterator<Item = Said> + 'a {
        situation.keys.iter().flat_map(move |key| {
            let context = context_of(situation, key);
            let is_heard =
                move |m: &&Mechanism| self.scores.trust(m.name, &context) >= SILENT_BELOW;
            let asked: &[Mechanism] = match self.is_silent {
                true => &[],
                false => &MECHANISMS,
            };
            asked
                .iter()
                .filter(|m| key.may_be_held_back_by(m.speaks_to))
                .filter(is_heard)
                .filter_map(move |m| m.say(situation, key, self.expectation.as_ref()))
        })
    }
}

/// The name under which a hypothesis is scored: its mechanism's. What a language model calls its ideas
/// is not a list anybody could keep, so all of them are scored as one.
pub fn scored_as(proposer: Proposer, hypothesis: &Hypothesis) -> &str {
    match proposer {
        Proposer::Llm => LANGUAGE_MODEL,
        _ => &hypothesis.mechanism,
    }
}

/// Where something said of a key belongs.
fn context_of(situation: &Situation, key: &KeyState) -> ScoreContext {
    ScoreContext {
        place: situation.context.clone(),
        collective: key.facts.key.collective,
        bottleneck: key.bottleneck(),
    }
}

impl Mind for RuleMind {
    fn propose(&self, situation: &Situation) -> Vec<Hypothesis> {
        let mut found: Vec<(f64, Hypothesis)> = Vec::new();
        for said in self.ask(situation) {
            let Said::Hypothesis(hypothesis) = said else {
                continue;
            };
            let is_open = situation
                .key(hypothesis.key)
                .is_some_and(|k| k.is_open(&hypothesis.choice));
            let is_new = !found
                .iter()
                .any(|(_, h)| h.key == hypothesis.key && h.choice == hypothesis.choice);
            if is_open && is_new {
                found.push((
                    self.expected_gain(situation, Proposer::Rules, &hypothesis),
                    hypothesis,
                ));
            }
        }
        // Stable: equal gains keep the order of keys and mechanisms.
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.into_iter().map(|(_, h)| h).collect()
    }
}
