//! A reasoned guess that can be refuted: mechanism, evidence, change, predicted effect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Choice, EvidenceId, TaskKey};

/// What somebody expects a change to do, and why. Scored after the trial: predicted against
/// measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hypothesis {
    /// The mechanism's name (`pipeline-fill`, `sm-contention`, ...).
    pub mechanism: String,
    /// One sentence that explains it for this case.
    pub because: String,
    /// The observations it rests on.
    pub evidence: Vec<EvidenceId>,
    /// The key it changes.
    pub key: TaskKey,
    /// What that key would run.
    pub choice: Choice,
    /// Predicted call time, candidate / incumbent: the low and the high end.
    pub predicted_ratio: [f64; 2],
    /// What could go wrong.
    pub risk: String,
    /// The observation that would refute it.
    pub refuted_by: String,
}

/// What somebody would set before the job starts again: the process reads it once, so it is
/// reported and never tried while the job runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Advice {
    /// The mechanism's name.
    pub mechanism: String,
    /// One sentence that explains it for this case.
    pub because: String,
    /// The observations it rests on.
    pub evidence: Vec<EvidenceId>,
    /// The key whose calls it is about.
    pub key: TaskKey,
    /// The variable.
    pub variable: String,
    /// The value to try.
    pub value: String,
    /// Predicted call time, with / without: the low and the high end.
    pub predicted_ratio: [f64; 2],
    /// What could go wrong.
    pub risk: String,
    /// The observation that would refute it.
    pub refuted_by: String,
}
