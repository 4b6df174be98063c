//! A whole setting of a job: process-level knobs and the per-call policy.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Policy;

/// Process-level knobs, name to value, as they would stand in the environment. Ordered, so that
/// the same setting is always the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Environment {
    /// `NCCL_...` to value.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// What a job runs with. The default is untuned NCCL: the baseline of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// Set before the process starts; a change costs a restart.
    #[serde(default)]
    pub environment: Environment,
    /// Asked per call; a change costs nothing.
    #[serde(default)]
    pub policy: Policy,
}

impl Configuration {
    /// Whether this is NCCL as it comes.
    pub fn is_untuned(&self) -> bool {
        self.environment.variables.is_empty() && self.policy.rules.is_empty()
    }
}
