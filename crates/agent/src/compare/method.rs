//! The methods that are compared, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::scripted::Script;

/// A way to tune.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Nothing: NCCL as it comes.
    NcclDefault,
    /// Points of the whole job drawn at random.
    Random,
    /// AutoCCL's search, one for each key.
    AutoCcl,
    /// AFNFA: random sample, forest, annealing; one choice for all keys.
    Afnfa,
    /// The tree-structured Parzen estimator on the whole job.
    Tpe,
    /// A forest with expected improvement on the whole job, in the manner of SMAC.
    Smac,
    /// A plain Gaussian process with expected improvement on the whole job.
    Gp,
    /// Ours: what the machine should do is known, and one earlier run is remembered, its rules and what it
    /// measured.
    Ours,
    /// The same without the earlier run.
    OursCold,
    /// Ours without explained candidates.
    OursNoHypotheses,
    /// Ours without the search.
    OursNoNumeric,
    /// Ours knowing nothing beforehand: neither the machine nor an earlier run.
    OursNoWarmStart,
    /// Ours with a mediocre language model, by script.
    OursWithLlm,
    /// The same without cards and pages before the model.
    OursWithLlmNoCards,
    /// The same without the earlier run.
    OursWithLlmNoRules,
    /// The same without the search.
    OursWithLlmNoNumeric,
    /// The mediocre model alone: no mechanisms, no search, no earlier run.
    LlmOnly,
    /// Ours with a language model that means harm, by script.
    OursWithAdversary,
}

impl Method {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 18] = [
        Self::NcclDefault,
        Self::Random,
        Self::AutoCcl,
        Self::Afnfa,
        Self::Tpe,
        Self::Smac,
        Self::Gp,
        Self::Ours,
        Self::OursCold,
        Self::OursNoHypotheses,
        Self::OursNoNumeric,
        Self::OursNoWarmStart,
        Self::OursWithLlm,
        Self::OursWithLlmNoCards,
        Self::OursWithLlmNoRules,
        Self::OursWithLlmNoNumeric,
        Self::LlmOnly,
        Self::OursWithAdversary,
    ];

    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::NcclDefault => "nccl-default",
            Self::Random => "random",
            Self::AutoCcl => "autoccl",
            Self::Afnfa => "afnfa",
            Self::Tpe => "tpe",
            Self::Smac => "smac",
            Self::Gp => "gp",
            Self::Ours => "ours",
            Self::OursCold => "ours-cold",
            Self::OursNoHypotheses => "ours-no-hypotheses",
            Self::OursNoNumeric => "ours-no-numeric",
            Self::OursNoWarmStart => "ours-no-warm-start",
            Self::OursWithLlm => "ours-llm",
            Self::OursWithLlmNoCards => "ours-llm-no-cards",
            Self::OursWithLlmNoRules => "ours-llm-no-rules",
            Self::OursWithLlmNoNumeric => "ours-llm-no-numeric",
            Self::LlmOnly => "llm-only",
            Self::OursWithAdversary => "ours-adversarial-llm",
        }
    }

    /// Whether others published it, as a whole, for tuning: what ours has to beat.
    pub fn is_published(self) -> bool {
        matches!(self, Self::AutoCcl | Self::Afnfa | Self::Tpe | Self::Smac)
    }

    /// The language model it has, if any.
    pub fn model(self) -> Option<Script> {
        match self {
            Self::OursWithLlm
            | Self::OursWithLlmNoCards
            | Self::OursWithLlmNoRules
            | Self::OursWithLlmNoNumeric
            | Self::LlmOnly => Some(Script::Mediocre),
            Self::OursWithAdversary => Some(Script::Adversarial),
            _ => None,
        }
    }

    /// Whether it remembers the same job once before.
    pub fn remembers(self) -> bool {
        let forgets = [
            Self::OursCold,
            Self::OursNoWarmStart,
            Self::OursWithLlmNoRules,
            Self::LlmOnly,
        ];
        self.is_ours() && !forgets.contains(&self)
    }

    /// Whether it is a whole run of this program's loop, whose end is a verdict.
    pub fn is_ours(self) -> bool {
        self >= Self::Ours
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No method of this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown method {0:?}")]
pub struct UnknownMethod(pub String);

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, UnknownMethod> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| UnknownMethod(name.to_owned()))
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
