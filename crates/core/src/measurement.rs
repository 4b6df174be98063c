//! What was seen of a configuration, and whether it was seen or simulated.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a figure comes from. It travels with every result to the last line of the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A model computed it.
    Simulated,
    /// Somebody measured it earlier and wrote it down.
    Recorded,
    /// This run measured it on hardware.
    Measured,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Simulated => "simulated",
            Self::Recorded => "recorded",
            Self::Measured => "measured",
        })
    }
}

/// Repeated observations of one quantity under one configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// One value per repetition, in microseconds, in the order they were taken.
    pub samples_us: Vec<f64>,
    /// Where the values come from.
    pub source: Source,
}
