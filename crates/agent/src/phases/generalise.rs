//! A language model's last word: the run's rules in sentences, and where else they may hold.
//!
//! The rules are distilled by then, and stay as they are whatever comes of this. The job runs with what was found: where
//! there is one, it is waited for a short time and no longer.

use std::time::Duration;

use ccl_core::{Source, TraceEvent};
use ccl_memory::{RuleKind, RuleRecord};
use serde_json::Value;

use crate::mind::llm::Heard;
use crate::mind::llm::generalise::{self, Drawn};
use crate::tuner::{RunError, Tuner};

/// What a model is asked for.
const PURPOSE: &str = "phrase and generalise rules";
/// How long is waited at the end of a run on a job that goes on: nobody waits for the run but its user.
const LAST_PATIENCE: Duration = Duration::from_secs(20);

impl Tuner<'_> {
    /// What the model makes of rules that the verdict confirmed; none where nobody is there to ask.
    pub(super) fn generalise(&mut self, rules: &[RuleRecord]) -> Result<Vec<RuleRecord>, RunError> {
        let shown = generalise::shown(rules);
        let is_worth_it = shown.iter().any(|r| r.kind == RuleKind::Positive);
        let may_ask = self.options.hypothesis_lane && self.llm_mind.may_have_last_word();
        if !is_worth_it || !may_ask || self.is_interrupted() {
            return Ok(Vec::new());
        }
        let (provider, model) = self.llm_mind.names();
        let call = self.llm_mind.consultation() + 1;
        self.emit(TraceEvent::LlmAsked {
            call,
            provider,
            model: model.clone(),
            purpose: PURPOSE.to_owned(),
        })?;
        let text = generalise::pack(&shown);
        let schema = generalise::schema();
        self.llm_mind
            .consult(PURPOSE, generalise::SYSTEM, &text, Vec::new(), schema);
        let answer = self.last_word()?.and_then(|answer| {
            let drawn = generalise::draw(answer, &shown, &model);
            drawn.map_err(|error| {
                self.llm_mind.fail(error.to_string());
                error.to_string()
            })
        });
        let exchanges = self.llm_mind.exchanges();
        self.llm_mind.close();
        match answer {
            Ok(drawn) => {
                self.emit(TraceEvent::LlmAnswered {
                    call,
                    proposal: format!(
                        "{} rules phrased, {} generalisations, {} refused",
                        drawn.phrases.len(),
                        drawn.rules.len(),
                        drawn.refused.len()
                    ),
                    exchanges,
                })?;
                self.keep(call, &model, drawn)
            }
            Err(reason) => {
                self.emit(TraceEvent::LlmFailed {
                    call,
                    reason,
                    exchanges,
                })?;
                Ok(Vec::new())
            }
        }
    }

    /// The answer, or why there is none.
    fn last_word(&mut self) -> Result<Result<Value, String>, RunError> {
        let patience = match self.testbed.describe().source {
            Source::Measured => self.options.patience.min(LAST_PATIENCE),
            Source::Simulated | Source::Recorded => self.options.patience,
        };
        loop {
            return Ok(match self.llm_mind.listen(patience, self.interrupted)? {
                Heard::Again => continue,
                Heard::Decision(answer) => Ok(answer),
                Heard::Failed(reason) => Err(reason),
                Heard::Calls(_) => {
                    let reason = "it called tools where there are none".to_owned();
                    self.llm_mind.fail(reason.clone());
                    Err(reason)
                }
                Heard::Nothing => {
                    self.llm_mind.lose();
                    Err(self.why_unheard(patience))
                }
            });
        }
    }

    /// Writes down what was taken and what was not.
    fn keep(&mut self, call: u32, by: &str, drawn: Drawn) -> Result<Vec<RuleRecord>, RunError> {
        for (rule, words) in drawn.phrases {
            self.emit(TraceEvent::RulePhrased { call, rule, words })?;
        }
        for (what, why) in drawn.refused {
            let reason = why.to_string();
            self.emit(TraceEvent::GeneralisationRefused { call, what, reason })?;
        }
        for rule in &drawn.rules {
            let generalised = rule.generalised.as_ref();
            self.emit(TraceEvent::RuleGeneralised {
                id: rule.id(),
                by: by.to_owned(),
                rests_on: generalised.map_or_else(Vec::new, |g| g.rests_on.clone()),
                statement: rule.statement(),
            })?;
        }
        Ok(drawn.rules)
    }
}
