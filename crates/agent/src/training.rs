//! What runs left as a training set: for each decision what was known before, what was decided, and what came of it.
//!
//! Made from run directories alone. The situation is built from the lines of the trace before the decision and from
//! what the model was sent before it answered; what came of it is read from the lines after, and kept in a part of
//! its own, so that nothing of the one can be learnt from the other. A decision is a round of candidates, whoever
//! proposed them, or the answer of a language model that was consulted. Environments that are raced over restarts, and
//! what a model makes of rules, are none of it.
//!
//! Context and workload by name, and nothing else of the machine: [`redact`] takes out what looks like a path, an
//! address, a name or a key, and says how often.

mod outcome;
pub mod read;
pub mod redact;
mod situation;

use std::collections::BTreeMap;

use ccl_core::{Candidate, Source, TraceEvent, TraceLine};
use serde::Serialize;
use serde_json::Value;

pub use self::outcome::{Became, CandidateOutcome, Followed, RunOutcome};
use self::read::RecordedRun;
pub use self::situation::{Heard, Said, Situation, Trial};

/// The version of a line's form; a reader refuses one it does not know.
pub const SCHEMA_VERSION: u32 = 1;

/// One decision: a line of the training set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run.
    pub run_id: String,
    /// Where its figures come from.
    pub source: Source,
    /// NCCL's version there.
    pub nccl_version: String,
    /// The line of the trace in which it was decided: everything in the situation is older.
    pub sequence: u64,
    /// What was known before.
    pub situation: Situation,
    /// What was decided.
    pub decision: Decided,
    /// What came of it.
    pub outcome: Became,
    /// How often something was taken out, by its kind.
    pub redacted: BTreeMap<String, u64>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decided {
    /// Candidates to try together, each with who proposed it and why.
    Round {
        /// Number of the round.
        round: u32,
        /// Why these, now.
        because: String,
        /// The candidates.
        candidates: Vec<Candidate>,
    },
    /// What a language model answered, in the form that was asked for.
    Answer {
        /// Number of the consultation.
        call: u32,
        /// The provider.
        provider: String,
        /// The model.
        model: String,
        /// What for.
        purpose: String,
        /// The answer.
        answer: Value,
    },
}

/// The decisions of a run, in order.
pub fn examples(run: &RecordedRun) -> Vec<Example> {
    let mut situation = Situation::of(run);
    let mut asked: BTreeMap<u32, Asked> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, line) in run.trace.iter().enumerate() {
        let after = run.trace.get(index + 1..).unwrap_or_default();
        let decision = match &line.event {
            TraceEvent::Decided {
                round,
                candidates,
                because,
            } => {
                let decision = Decided::Round {
                    round: *round,
                    because: because.clone(),
                    candidates: candidates.clone(),
                };
                Some((
                    situation.clone(),
                    decision,
                    outcome::of_candidates(candidates, after),
                ))
            }
            TraceEvent::LlmAsked {
                call,
                provider,
                model,
                purpose,
            } => {
                let when = Asked {
                    provider: provider.clone(),
                    model: model.clone(),
                    purpose: purpose.clone(),
                    situation: situation.clone(),
                };
                asked.insert(*call, when);
                None
            }
            TraceEvent::LlmAnswered {
                call, exchanges, ..
            } => {
                let when = asked.remove(call);
                when.and_then(|asked| asked.answered(*call, exchanges, run, after))
            }
            _ => None,
        };
        if let Some((situation, decision, outcome)) = decision {
            found.push(Example {
                schema_version: SCHEMA_VERSION,
                run_id: run.run_id.clone(),
                source: run.source,
                nccl_version: run.nccl_version.clone(),
                sequence: line.sequence,
                situation,
                decision,
                outcome,
                redacted: BTreeMap::new(),
            });
        }
        situation.take_in(&line.event);
    }
    found
}

/// A consultation that is under way.
struct Asked {
    provider: String,
    model: String,
    purpose: String,
    situation: Situation,
}

impl Asked {
    /// The consultation as a decision; none where its exchange is not there, or it was not about the search.
    fn answered(
        self,
        call: u32,
        exchanges: &[u32],
        run: &RecordedRun,
        after: &[TraceLine],
    ) -> Option<(Situation, Decided, Became)> {
        let exchange = run.exchanges.get(exchanges.last()?)?;
        let answer = exchange.answer.as_ref().ok()?.structured.clone()?;
        answer.get("decision")?;
        let outcome = outcome::of_answer(call, &answer, after);
        let situation = Situation {
            prompt: situation::said(&exchange.request.messages),
            ..self.situation
        };
        let decision = Decided::Answer {
            call,
            provider: self.provider,
            model: self.model,
            purpose: self.purpose,
            answer,
        };
        Some((situation, decision, outcome))
    }
}
