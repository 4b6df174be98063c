//! One distilled rule: what was changed where, against what, and how it ended.

use std::fmt;

use ccl_core::{
    Choice, ChoicePattern, ContextSignature, EvidenceId, Interval, NcclVersion, Source, TaskKey,
};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::Generalisation;

/// What a rule says about its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// It was faster.
    Positive,
    /// It was slower, or failed.
    Avoid,
}

impl RuleKind {
    /// The word in files and events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Avoid => "avoid",
        }
    }
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// What the calls of one key run.
    Call {
        /// The key.
        key: TaskKey,
        /// The choice.
        choice: Choice,
        /// What it was compared with, as far as known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        against: Option<Choice>,
    },
    /// A variable of the whole job, read once when it starts.
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// The value it was compared with; `None` is unset.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        against: Option<String>,
    },
}

impl Change {
    /// What is changed, without what to: two rules about the same may contradict each other.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Call { key, .. } => key.to_string(),
            Self::Variable { name, .. } => name.clone(),
        }
    }

    /// What it is changed to, in words.
    pub(crate) fn value(&self) -> String {
        match self {
            Self::Call { choice, .. } => choice.to_string(),
            Self::Variable { value, .. } => value.clone(),
        }
    }

    /// What it was compared with, in words, as far as known.
    pub(crate) fn against(&self) -> Option<String> {
        match self {
            Self::Call { against, .. } => against.map(|c| c.to_string()),
            Self::Variable { against, .. } => {
                Some(against.clone().unwrap_or_else(|| "unset".to_owned()))
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { key, choice, .. } => write!(f, "{key} {choice}"),
            Self::Variable { name, value, .. } => write!(f, "{name}={value}"),
        }
    }
}

/// A failure of the job that a choice may have caused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureRecord {
    /// What was seen.
    pub symptom: String,
    /// How many choices may have caused it: 1 is certain.
    pub suspects: u32,
    /// What about this one may be the reason: nothing that one of these matches ran well before.
    pub explanations: Vec<ChoicePattern>,
}

/// Releases of NCCL, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRange {
    /// The oldest.
    pub from: NcclVersion,
    /// The newest.
    pub to: NcclVersion,
}

/// A rule with everything needed to judge whether it applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleRecord {
    /// What it says.
    pub kind: RuleKind,
    /// Where it was learnt; an empty workload is any.
    pub context: ContextSignature,
    /// What is changed.
    pub change: Change,
    /// Time ratio to what it was compared with, below 1 is faster; `None` when it failed before it could be
    /// timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Interval>,
    /// Pairs behind the ratio.
    pub pairs: u32,
    /// What the job suffered, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureRecord>,
    /// The mechanism that proposed it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// Where the figures come from.
    pub source: Source,
    /// The run that last came to it.
    pub run_id: String,
    /// What that run had seen when it tried it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceId>,
    /// Runs that came to this rule.
    pub wins: u32,
    /// Runs that tried it and found otherwise.
    #[serde(default)]
    pub losses: u32,
    /// Releases in which it is known to hold; `None` is that of the context alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<VersionRange>,
    /// The day a store first heard of it; the store says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Date>,
    /// The day a run last came to it or tried it; the store says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_use: Option<Date>,
    /// The last day on which it is recalled; `None` is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
    /// Who widened it, where it is no rule of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generalised: Option<Generalisation>,
}

impl RuleRecord {
    /// A rule that one run came to, without figures yet.
    pub fn new(
        kind: RuleKind,
        context: ContextSignature,
        change: Change,
        source: Source,
        run_id: &str,
    ) -> Self {
        Self {
            kind,
            context,
            change,
            ratio: None,
            pairs: 0,
            failure: None,
            mechanism: None,
            source,
            run_id: run_id.to_owned(),
            evidence: Vec::new(),
            wins: 1,
            losses: 0,
            versions: None,
            created: None,
            last_use: None,
            expires: None,
            generalised: None,
        }
    }

    /// The key and the choice, where it is about calls.
    pub fn call(&self) -> Option<(TaskKey, Choice)> {
        match self.change {
            Change::Call { key, choice, .. } => Some((key, choice)),
            Change::Variable { .. } => None,
        }
    }

    /// What the choice was compared with, where it is about calls and that is known.
    pub fn call_against(&self) -> Option<Choice> {
        match self.change {
            Change::Call { against, .. } => against,
            Change::Variable { .. } => None,
        }
    }

    /// The releases in which it is known to hold.
    pub fn known_versions(&self) -> VersionRange {
        let own = self.context.nccl_version;
        self.versions.unwrap_or(VersionRange { from: own, to: own })
    }

    /// Whether nobody measured it: widened by somebody, and no run came to the same yet.
    pub fn is_unconfirmed(&self) -> bool {
        self.generalised.as_ref().is_some_and(|g| !g.confirmed)
    }

    /// The name of the rule, the same in every run that comes to it.
    pub fn id(&self) -> String {
        let widened = match &self.generalised {
            Some(g) => format!("generalised by {}{}, ", g.by, g.reach),
            None => String::new(),
        };
        let place = crate::place::in_words(&self.context);
        format!("{widened}{}: {place}: {}", self.kind.word(), self.change)
    }

    /// The rule in a sentence.
    pub fn statement(&self) -> String {
        let against = self
            .change
            .against()
            .unwrap_or_else(|| "what ran".to_owned());
        let effect = match self.ratio {
            _ if self.failure.is_some() => self.failed_in_words(),
            Some(r) if r.median < 1.0 => format!(
                "{:.1} % faster [{:.1}, {:.1}] than {against} over {} pairs",
                100.0 * (1.0 - r.median),
                100.0 * (1.0 - r.ci95[1]),
                100.0 * (1.0 - r.ci95[0]),
                self.pairs
            ),
            Some(r) => format!(
                "{:.1} % slower than {against} over {} pairs",
                100.0 * (r.median - 1.0),
                self.pairs
            ),
            None if self.kind == RuleKind::Avoid => format!("failed where {against} ran"),
            None => format!("better than {against}"),
        };
        let generalised = self
            .generalised
            .as_ref()
            .map_or_else(String::new, |g| format!(", {}", g.in_words()));
        let value = self.change.value();
        let subject = self.change.subject();
        format!(
            "{value} on {subject}: {effect} ({}{generalised})",
            self.source
        )
    }

    fn failed_in_words(&self) -> String {
        self.failure.as_ref().map_or_else(String::new, |failure| {
            let sureness = match failure.suspects {
                0 | 1 => "for certain".to_owned(),
                n => format!("as one of {n} suspects"),
            };
            let symptom = &failure.symptom;
            format!("the job failed, {sureness}: {symptom}")
        })
    }
}
