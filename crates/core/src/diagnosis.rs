//! What holds a call back, in one word with the figures behind it.
//!
//! The words and their data only; the thresholds and the judgement are the agent's.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EvidenceId, TaskKey};

/// What a call's time goes to. Which mechanisms are worth asking depends on it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Bottleneck {
    /// Steps one after the other; bytes hardly count.
    LatencyBound,
    /// Bytes over the links inside a node.
    IntraNodeLink,
    /// Bytes over the network between nodes.
    Network,
    /// The host threads that serve the network.
    ProxyCpu,
    /// The call and computation beside it share the GPU.
    SmContention,
    /// One rank comes late, and it is always the same one.
    Straggler,
    /// Ranks wait for each other, now for this one and now for that one.
    Skew,
    /// NCCL runs something else than it would choose by itself.
    Misconfiguration,
    /// The machine does not do what it can: nothing a tuner should work around.
    Fault,
    /// Nothing that is known tells.
    Unclear,
}

impl Bottleneck {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::LatencyBound,
        Self::IntraNodeLink,
        Self::Network,
        Self::ProxyCpu,
        Self::SmContention,
        Self::Straggler,
        Self::Skew,
        Self::Misconfiguration,
        Self::Fault,
        Self::Unclear,
    ];

    /// The word in files and on the screen.
    pub const fn word(self) -> &'static str {
        match self {
            Self::LatencyBound => "latency-bound",
            Self::IntraNodeLink => "intra-node-link",
            Self::Network => "network",
            Self::ProxyCpu => "proxy-cpu",
            Self::SmContention => "sm-contention",
            Self::Straggler => "straggler",
            Self::Skew => "skew",
            Self::Misconfiguration => "misconfiguration",
            Self::Fault => "fault",
            Self::Unclear => "unclear",
        }
    }
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A figure and the limit it was held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The limit beyond which it counts.
    pub limit: f64,
}

/// A class with what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// The key it is about; `None` for the whole job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<TaskKey>,
    /// What counts most.
    pub class: Bottleneck,
    /// What else holds, in the order of its weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Bottleneck>,
    /// One sentence with figures.
    pub because: String,
    /// The same figures as data.
    pub figures: Vec<Figure>,
    /// The observations behind them.
    pub evidence: Vec<EvidenceId>,
    /// How far beyond its limit the figure lies: 0 where nothing is known, 0.5 at the limit, towards
    /// 1 far beyond. Not a probability.
    pub confidence: f64,
    /// What to check, in this order; only where something is broken or set wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
}

impl Diagnosis {
    /// Whether one of these classes is among what was found.
    pub fn is_one_of(&self, classes: &[Bottleneck]) -> bool {
        classes.contains(&self.class) || self.also.iter().any(|also| classes.contains(also))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_files_agree() {
        for class in Bottleneck::ALL {
            let written = serde_json::to_value(class).unwrap();
            assert_eq!(written, class.word());
        }
    }
}
