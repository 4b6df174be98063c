//! What a language model decides, and what of it can be carried out.
//!
//! The schema is what the model is held to; what is read here is checked against the run: keys that exist, evidence
//! that exists, ratios that are ratios, variables that this release has. A decision that names what is not there is
//! refused as a whole, for the rest of it was made by somebody who sees things.

use ccl_core::knobs::{self, Domain};
use ccl_core::{Advice, EvidenceId, Hypothesis};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::guard::Guard;
use crate::mind::LANGUAGE_MODEL;
use crate::situation::Situation;
use crate::tools::{
    Cited, KeyName, Stated, ToolError, ratio, read, rests_on, schema_of, shortened, words,
};

/// Most hypotheses of one decision; a model that has more to say will be asked again.
const MOST_HYPOTHESES: usize = 6;
/// Most variables of one decision.
const MOST_VARIABLES: usize = 4;
/// Most characters of a value of a variable.
const MOST_VALUE: usize = 64;

/// A decision as the model writes it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// `try`: the hypotheses, in this order. `search`: nothing to explain, the numeric search goes on. `stop`:
    /// nothing more is worth trying.
    decision: What,
    /// Why, in one sentence with figures.
    because: String,
    /// Ids of the evidence that the sentence rests on; at least one.
    evidence: Vec<Cited>,
    /// What to try, the most promising first; empty unless the decision is `try`.
    #[serde(default)]
    hypotheses: Vec<Stated>,
    /// Variables that NCCL reads once, to be set before the job starts again; nothing of it is done to the
    /// running job.
    #[serde(default)]
    variables: Vec<Variable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum What {
    Try,
    Search,
    Stop,
}

/// A variable in a decision.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Variable {
    /// The task key whose calls it is about.
    key: KeyName,
    /// Its name, such as `NCCL_BUFFSIZE`.
    name: String,
    /// Its value.
    value: String,
    /// Why, one sentence with figures.
    because: String,
    /// Ids of the evidence that the sentence rests on; at least one.
    evidence: Vec<Cited>,
    /// Predicted time of a call with it over without, low and high end.
    predicted_ratio: [f64; 2],
    /// What could go wrong.
    risk: String,
    /// The observation that would refute it.
    refuted_by: String,
}

/// A decision that names nothing but what is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// To try these.
    Try(Vec<Hypothesis>),
    /// To leave it to the search.
    Search,
    /// To end it.
    Stop,
}

/// The same with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// Why.
    pub because: String,
    /// On which evidence.
    pub evidence: Vec<EvidenceId>,
    /// What could be set before the job starts again.
    pub advice: Vec<Advice>,
}

/// The schema that a decision is held to.
pub fn schema() -> Value {
    schema_of::<Answer>()
}

/// Reads a decision.
///
/// # Errors
/// What does not fit the schema, or names what is not there.
pub fn read_decision(
    answer: Value,
    situation: &Situation,
    guard: &Guard,
) -> Result<Decided, ToolError> {
    let answer: Answer = read(answer)?;
    let evidence = rests_on("a decision", &answer.evidence, situation)?;
    let hypotheses: Result<Vec<Hypothesis>, ToolError> = answer
        .hypotheses
        .iter()
        .take(MOST_HYPOTHESES)
        .map(|stated| stated.read(situation))
        .collect();
    let hypotheses = hypotheses?;
    let variables = answer.variables.iter().take(MOST_VARIABLES);
    let advice: Result<Vec<Advice>, ToolError> =
        variables.map(|v| v.read(situation, guard)).collect();
    let decision = match answer.decision {
        What::Try if hypotheses.is_empty() && answer.variables.is_empty() => {
            let reason = "hypotheses: none, and the decision is to try them".to_owned();
            return Err(ToolError::Arguments(reason));
        }
        What::Try => Decision::Try(hypotheses),
        What::Search => Decision::Search,
        What::Stop => Decision::Stop,
    };
    Ok(Decided {
        decision,
        because: words(&answer.because),
        evidence,
        advice: advice?,
    })
}

impl Variable {
    fn read(&self, situation: &Situation, guard: &Guard) -> Result<Advice, ToolError> {
        let key = self.key.find(situation)?.facts.key;
        let evidence = rests_on("a variable", &self.evidence, situation)?;
        let name = self.name.trim();
        let Some(knob) = knobs::find(name).filter(|knob| knob.name == name) else {
            let (nearest, name) = (knobs::nearest(name).0.name, shortened(name));
            return Err(ToolError::Refused(format!(
                "there is no variable {name:?}; the nearest is {nearest}"
            )));
        };
        // A path or a name of a library is nobody's to advise who may repeat what others planted.
        if matches!(knob.domain, Domain::Text(_)) {
            let reason = format!("{} takes any text: a person has to choose it", knob.name);
            return Err(ToolError::Refused(reason));
        }
        let value: String = words(&self.value).chars().take(MOST_VALUE).collect();
        guard
            .check_variable(knob.name, &value)
            .map_err(|refusal| ToolError::Refused(refusal.to_string()))?;
        Ok(Advice {
            mechanism: LANGUAGE_MODEL.to_owned(),
            because: words(&self.because),
            evidence,
            key,
            variable: knob.name.to_owned(),
            value,
            predicted_ratio: ratio(self.predicted_ratio)?,
            risk: words(&self.risk),
            refuted_by: words(&self.refuted_by),
        })
    }
}
