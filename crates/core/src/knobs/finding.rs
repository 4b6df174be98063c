//! One thing the check has to say about a setting.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It does something else than it seems to, or is dangerous.
    Warning,
    /// It is wrong: NCCL ignores it, reads another value, or fails.
    Error,
}

impl Severity {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Which rule found it: stable names for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// No variable of NCCL.
    UnknownName,
    /// A variable of another program that shares the prefix.
    ForeignName,
    /// Not of the type NCCL reads.
    WrongType,
    /// Outside the domain.
    OutOfRange,
    /// Set to nothing.
    Empty,
    /// This NCCL does not have it yet.
    NotYet,
    /// This NCCL has it no longer.
    Removed,
    /// Another variable took its place.
    Superseded,
    /// Means nothing on this platform.
    Meaningless,
    /// Dangerous.
    Hazard,
    /// Takes a choice away from NCCL for the whole job.
    Pinned,
    /// Contradicts or cancels another setting.
    Combination,
    /// Assigned more than once.
    Duplicate,
    /// Quotes that become part of the value.
    Quotes,
    /// A line this syntax does not read as meant.
    Syntax,
    /// A value that only a shell knows.
    NotChecked,
}

impl Rule {
    /// The name in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::UnknownName => "unknown-name",
            Self::ForeignName => "foreign-name",
            Self::WrongType => "wrong-type",
            Self::OutOfRange => "out-of-range",
            Self::Empty => "empty",
            Self::NotYet => "not-yet",
            Self::Removed => "removed",
            Self::Superseded => "superseded",
            Self::Meaningless => "meaningless",
            Self::Hazard => "hazard",
            Self::Pinned => "pinned",
            Self::Combination => "combination",
            Self::Duplicate => "duplicate",
            Self::Quotes => "quotes",
            Self::Syntax => "syntax",
            Self::NotChecked => "not-checked",
        }
    }
}

/// Which part of an assignment it points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The variable's name.
    Name,
    /// The value, from this byte of it on.
    Value(usize),
}

/// A finding about one variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which rule found it.
    pub rule: Rule,
    /// The variable; empty where a line names none.
    pub variable: String,
    /// Where in the assignment.
    pub place: Place,
    /// What is wrong. Values are quoted only where they cannot hold a secret.
    pub reason: String,
    /// What to do.
    pub fix: String,
    /// The other variables involved.
    pub related: Vec<String>,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        rule: Rule,
        variable: &str,
        place: Place,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            rule,
            variable: variable.to_owned(),
            place,
            reason: reason.into(),
            fix: fix.into(),
            related: Vec::new(),
        }
    }

    pub(super) fn related(mut self, names: &[&str]) -> Self {
        self.related = names.iter().map(|n| (*n).to_owned()).collect();
        self
    }
}
