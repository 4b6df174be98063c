//! What is expected of a choice before it runs: by the key's model, and by the rules it has to keep.

use ccl_core::{Caller, Candidate, Configuration, ExportFormat, Lane, Policy, Proposer, export};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::{KeyName, Wanted};
use super::describe::rounded;
use super::{About, Cost, Tool, ToolError, Touches};
use crate::tuner::Tuner;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfKey {
    /// The task key.
    key: KeyName,
    /// What it would run.
    choice: Wanted,
}

pub(super) struct Predict;

#[derive(Serialize, JsonSchema)]
pub(super) struct Prediction {
    /// Expected time over what runs now, below 1 is faster: middle, and where it lies with 95 %; null where
    /// nothing is known.
    ratio: Option<[f64; 3]>,
    /// Chance that it is faster at all, 0 to 1.
    chance_faster: Option<f64>,
    /// What is compared: one call, or the iteration where computation runs beside the calls.
    of: &'static str,
    /// What the prediction rests on.
    rests_on: String,
}

impl Tool for Predict {
    type Arguments = OfKey;
    type Answer = Prediction;
    const ABOUT: About = About {
        name: "predict",
        description: "What the model of a task key expects of a choice, with its interval: a guess from all that \
                      was measured, and no measurement.",
        cost: Cost::Nothing,
        touches: Touches::Nothing,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, of: OfKey) -> Result<Prediction, ToolError> {
        let state = of.key.find(&tuner.situation)?;
        let choice = of.choice.choice();
        tuner
            .guard
            .check_choice(state.facts.key, &choice)
            .map_err(|refusal| ToolError::Refused(refusal.to_string()))?;
        let metric = match state.facts.overlapped {
            true => "iteration",
            false => "call",
        };
        let model = tuner.models.get(&state.facts.key);
        let belief = model.and_then(|m| m.belief(&choice));
        let measured = model.map_or(0, |m| m.measured().len());
        let rests_on = match model.and_then(|m| m.source()) {
            Some(source) => format!("{source}, and {measured} choices measured in this job"),
            None => format!("{measured} choices measured in this job"),
        };
        let bounds = belief.map(|b| {
            let wide = 1.96 * b.variance.sqrt();
            [b.mean, b.mean - wide, b.mean + wide].map(|log| rounded(log.exp()))
        });
        Ok(Prediction {
            ratio: bounds,
            chance_faster: belief.map(|b| rounded(b.chance_below(0.0))),
            of: metric,
            rests_on,
        })
    }
}

pub(super) struct CompileAndValidate;

#[derive(Serialize, JsonSchema)]
pub(super) struct Validated {
    /// Whether the guard would let it begin.
    passes: bool,
    /// The rule it breaks, if it does not.
    refused: Option<String>,
    /// How risky it is, and how its trial would therefore begin.
    risk: Option<String>,
    /// The policy that the plugin would read for it.
    policy: Option<String>,
}

impl Tool for CompileAndValidate {
    type Arguments = OfKey;
    type Answer = Validated;
    const ABOUT: About = About {
        name: "compile_and_validate",
        description: "Whether a choice can run on a task key at all, whether the guard would let it begin, how \
                      risky it is, and the policy it compiles to. Nothing is run.",
        cost: Cost::Nothing,
        touches: Touches::Nothing,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, of: OfKey) -> Result<Validated, ToolError> {
        let key = of.key.find(&tuner.situation)?.facts.key;
        let choice = of.choice.choice();
        let candidate = Candidate {
            id: 0,
            key,
            choice,
            lane: Lane::Hypothesis,
            proposer: Proposer::Llm,
            because: String::new(),
            hypothesis: None,
        };
        let refused = |reason: String| Validated {
            passes: false,
            refused: Some(reason),
            risk: None,
            policy: None,
        };
        let risk = match tuner.foresee(&candidate) {
            Ok(risk) => risk,
            Err(refusal) => return Ok(refused(refusal.to_string())),
        };
        let configuration = Configuration {
            policy: Policy::default().with_choice(key, Some(choice)),
            ..Configuration::default()
        };
        let compiled = match export(&configuration, ExportFormat::PolicyCsv, &tuner.run_id) {
            Ok(text) => text,
            Err(error) => return Ok(refused(error.to_string())),
        };
        Ok(Validated {
            passes: true,
            refused: None,
            risk: Some(risk.to_string()),
            policy: Some(compiled),
        })
    }
}
