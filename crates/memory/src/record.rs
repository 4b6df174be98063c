//! What is kept beside rules, scores and surrogates, and the one enumeration of all of it: a line of an export.

use std::collections::BTreeMap;

use ccl_core::{
    Choice, ContextSignature, Evidence, Hypothesis, Interval, NcclVersion, Outcome, Source,
    TaskKey, Verdict,
};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Document, RuleRecord, ScoreRecord, SurrogateRecord};

/// A run, as its summary has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Its name.
    pub id: String,
    /// Where, NCCL's version included.
    pub context: ContextSignature,
    /// Where its figures come from.
    pub source: Source,
    /// How it ended.
    pub verdict: Verdict,
    /// Untuned over best on fresh pairs; above 1 is faster.
    pub speedup: Interval,
    /// What it was told: option and value.
    pub options: BTreeMap<String, String>,
    /// The day it began.
    pub started: Date,
}

/// One candidate, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialRecord {
    /// The run.
    pub run_id: String,
    /// Its number within the run, from 1.
    pub number: u32,
    /// The key.
    pub key: TaskKey,
    /// The choice.
    pub choice: Choice,
    /// What it was compared with, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Choice>,
    /// How it ended.
    pub outcome: Outcome,
    /// Time ratio candidate / incumbent, where it was timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Interval>,
    /// Pairs behind it.
    pub pairs: u32,
    /// What somebody expected of it, and why; `None` in the numeric lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypothesis: Option<Hypothesis>,
    /// Where the figures come from.
    pub source: Source,
}

/// What a run saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRecord {
    /// The run; the evidence's number is one within it.
    pub run_id: String,
    /// Where the run's figures come from. One of its observations may have another source, such as what the
    /// simulator expects of a real job, and then says so.
    pub source: Source,
    /// What was seen.
    pub evidence: Evidence,
}

/// How much of the differences one parameter explains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportanceRecord {
    /// Where.
    pub context: ContextSignature,
    /// The key.
    pub key: TaskKey,
    /// The parameter's name.
    pub parameter: String,
    /// Share of the variance it explains alone, 0..=1.
    pub share: f64,
    /// Choices that were evaluated for this.
    pub evaluations: u32,
    /// Where the evaluations come from.
    pub source: Source,
    /// The run.
    pub run_id: String,
}

/// Anything a store keeps: one line of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "record", rename_all = "lowercase")]
pub enum Record {
    /// A rule.
    Rule(Box<RuleRecord>),
    /// A run.
    Run(Box<RunRecord>),
    /// A candidate of a run.
    Trial(Box<TrialRecord>),
    /// What a run saw.
    Evidence(Box<EvidenceRecord>),
    /// What a mechanism's predictions are worth.
    Score(Box<ScoreRecord>),
    /// What was measured of a key's choices.
    Surrogate(Box<SurrogateRecord>),
    /// What a parameter matters.
    Importance(Box<ImportanceRecord>),
    /// A knowledge page.
    Document(Box<Document>),
}

/// What became of a rule that a run recalled and tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The rule's name.
    pub rule: String,
    /// Whether the run found what the rule says.
    pub holds: bool,
    /// The release it was tried with; the rule is known to hold there from then on, if it did.
    pub nccl_version: NcclVersion,
}

/// All that one run leaves, kept as a whole or not at all.
#[derive(Clone, Debug)]
pub struct Lessons {
    /// Where its figures come from. Nothing of another source is taken.
    pub source: Source,
    /// The day, for the rules' dates.
    pub today: Date,
    /// The run itself.
    pub run: Option<RunRecord>,
    /// Its candidates.
    pub trials: Vec<TrialRecord>,
    /// What it saw.
    pub evidence: Vec<EvidenceRecord>,
    /// Rules it came to. One that is known is confirmed and takes the newer figures.
    pub rules: Vec<RuleRecord>,
    /// What became of the rules it recalled.
    pub judgements: Vec<Judgement>,
    /// What the mechanisms' predictions came to; what is known of the same machine fades a little.
    pub scores: Vec<ScoreRecord>,
    /// What it measured; of a context and key the newest run takes the place of those before it.
    pub surrogates: Vec<SurrogateRecord>,
    /// What parameters matter; the newest run's stay.
    pub importances: Vec<ImportanceRecord>,
}

impl Lessons {
    /// Nothing yet.
    pub fn of(source: Source, today: Date) -> Self {
        Self {
            source,
            today,
            run: None,
            trials: Vec::new(),
            evidence: Vec::new(),
            rules: Vec::new(),
            judgements: Vec::new(),
            scores: Vec::new(),
            surrogates: Vec::new(),
            importances: Vec::new(),
        }
    }
}
