//! One distilled rule: what was tried where, against what, and how it ended.

use ccl_core::{Choice, ChoicePattern, ContextSignature, Interval, Source, TaskKey};
use serde::{Deserialize, Serialize};

/// What a rule says about its choice.
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

/// A failure of the job that a choice may have caused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// What was seen.
    pub symptom: String,
    /// How many choices may have caused it: 1 is certain.
    pub suspects: u32,
    /// What about this one may be the reason: nothing that one of these matches ran well before.
    pub explanations: Vec<ChoicePattern>,
}

/// A rule with everything needed to judge whether it applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleRecord {
    /// What it says.
    pub kind: RuleKind,
    /// Where it was learnt.
    pub context: ContextSignature,
    /// The key it is about.
    pub key: TaskKey,
    /// The choice.
    pub choice: Choice,
    /// What it was compared with, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Choice>,
    /// Time ratio to that, below 1 is faster; `None` when it failed before it could be timed.
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
    /// The run that last confirmed it.
    pub run_id: String,
    /// Runs that came to this rule.
    pub confirmed: u32,
}

impl RuleRecord {
    /// The name of the rule, the same in every run that comes to it.
    pub fn id(&self) -> String {
        let ContextSignature {
            gpu,
            nodes,
            ranks_per_node,
            nccl_version,
            workload,
            ..
        } = &self.context;
        format!(
            "{}: {gpu} {nodes}x{ranks_per_node} NCCL {nccl_version} {workload}: {} {}",
            self.kind.word(),
            self.key,
            self.choice
        )
    }

    /// The rule in a sentence.
    pub fn statement(&self) -> String {
        let against = self
            .against
            .map_or("what ran".to_owned(), |c| c.to_string());
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
            None => format!("failed where {against} ran"),
        };
        format!(
            "{} on {}: {effect} ({})",
            self.choice, self.key, self.source
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
