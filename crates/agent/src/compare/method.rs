//! The methods that are compared, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

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
}

impl Method {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 12] = [
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
        }
    }

    /// Whether others published it, as a whole, for tuning: what ours has to beat.
    pub fn is_published(self) -> bool {
        matches!(self, Self::AutoCcl | Self::Afnfa | Self::Tpe | Self::Smac)
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
