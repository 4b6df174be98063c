//! What was seen, and how candidates ended.

use ccl_core::{Caller, Candidate, EvidenceId, Interval, Outcome, Source};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::{Cited, KeyName, key_of};
use super::describe::rounded;
use super::{About, Cost, Tool, ToolError, Touches};
use crate::tuner::{Tried, Tuner};

/// Most pieces of evidence in one answer, unless fewer are asked for.
const MOST_SEEN: usize = 40;

pub(super) struct QueryEvidence;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only of this task key, and of the whole job.
    #[serde(default)]
    key: Option<KeyName>,
    /// Only these.
    #[serde(default)]
    ids: Vec<Cited>,
    /// Only what has this word.
    #[serde(default)]
    containing: Option<String>,
    /// Most of them, the newest; at most 40.
    #[serde(default)]
    most: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Seen {
    /// The evidence, oldest first.
    evidence: Vec<One>,
    /// How many more there are.
    more: usize,
}

#[derive(Serialize, JsonSchema)]
struct One {
    /// Its id, to be cited.
    id: String,
    /// The task key it is about; null where it is about the whole job.
    key: Option<String>,
    /// What was seen, with figures.
    statement: String,
    /// Where the figures come from.
    source: Source,
}

impl Tool for QueryEvidence {
    type Arguments = Which;
    type Answer = Seen;
    const ABOUT: About = About {
        name: "query_evidence",
        description: "What was seen in this run, with ids to cite; of one task key, by id, or by a word.",
        cost: Cost::Nothing,
        touches: Touches::Nothing,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, which: Which) -> Result<Seen, ToolError> {
        let situation = &tuner.situation;
        let key = key_of(which.key.as_ref(), situation)?;
        for id in &which.ids {
            id.find(situation)?;
        }
        let word = which.containing.map(|word| word.to_lowercase());
        let asked = situation.evidence.iter().filter(|e| {
            let of_key = key.is_none() || e.key.is_none() || e.key == key;
            let of_ids = which.ids.is_empty() || which.ids.contains(&Cited(e.id.0));
            let of_word = |word: &String| e.statement.to_lowercase().contains(word);
            of_key && of_ids && word.as_ref().is_none_or(of_word)
        });
        let found: Vec<_> = asked.collect();
        let most = which.most.unwrap_or(MOST_SEEN).min(MOST_SEEN);
        let more = found.len().saturating_sub(most);
        let newest = found.into_iter().skip(more);
        Ok(Seen {
            evidence: newest
                .map(|e| One {
                    id: e.id.to_string(),
                    key: e.key.map(|key| key.to_string()),
                    statement: e.statement.clone(),
                    source: e.source,
                })
                .collect(),
            more,
        })
    }
}

pub(super) struct Explain;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    /// What became of this task key; of all without it.
    #[serde(default)]
    key: Option<KeyName>,
    /// Only what became of this candidate.
    #[serde(default)]
    candidate: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Told {
    /// What holds keys back, in a sentence each.
    diagnoses: Vec<String>,
    /// What was tried, in order.
    tried: Vec<Ended>,
    /// What is on its way.
    running: Vec<Ended>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Ended {
    /// Number of the candidate.
    pub(crate) candidate: u32,
    /// The key.
    pub(crate) key: String,
    /// What it runs.
    pub(crate) choice: String,
    /// Why it was tried.
    pub(crate) because: String,
    /// How it ended; null while it runs.
    pub(crate) outcome: Option<Outcome>,
    /// Time ratio, candidate / incumbent: median and 95 % interval; below 1 is faster.
    pub(crate) ratio: Option<[f64; 3]>,
    /// What was predicted of it: low and high end of the same ratio, for calls.
    pub(crate) predicted: Option<[f64; 2]>,
    /// Pairs behind the ratio.
    pub(crate) pairs: u32,
}

impl Tool for Explain {
    type Arguments = Whose;
    type Answer = Told;
    const ABOUT: About = About {
        name: "explain",
        description: "What was found and tried on a task key, or what became of one candidate, with intervals: \
                      predicted against measured.",
        cost: Cost::Nothing,
        touches: Touches::Nothing,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, about: Whose) -> Result<Told, ToolError> {
        let key = key_of(about.key.as_ref(), &tuner.situation)?;
        let is_meant = |c: &Candidate| {
            key.is_none_or(|k| k == c.key) && about.candidate.is_none_or(|id| id == c.id)
        };
        let of_key = |k: &&crate::situation::KeyState| key.is_none_or(|key| key == k.facts.key);
        let diagnosed = tuner.situation.keys.iter().filter(of_key).filter_map(|k| {
            let diagnosis = k.diagnosis.as_ref()?;
            let evidence: Vec<String> = diagnosis
                .evidence
                .iter()
                .map(EvidenceId::to_string)
                .collect();
            Some(format!(
                "{}: {} ({}; {})",
                k.facts.key,
                diagnosis.class,
                diagnosis.because,
                evidence.join(", ")
            ))
        });
        let tried = tuner.tried.iter().filter(|t| is_meant(&t.candidate));
        let told = Told {
            diagnoses: diagnosed.collect(),
            tried: tried.map(ended).collect(),
            running: tuner
                .on_their_way()
                .into_iter()
                .filter(|r| {
                    about.candidate.is_none_or(|id| id == r.candidate)
                        && key.is_none_or(|k| k.to_string() == r.key)
                })
                .collect(),
        };
        if let Some(id) = about.candidate
            && told.tried.is_empty()
            && told.running.is_empty()
        {
            return Err(ToolError::Arguments(format!("there is no candidate {id}")));
        }
        Ok(told)
    }
}

impl Ended {
    /// A candidate by what its trial shows, and how it ended where it did.
    pub(crate) fn of(
        candidate: &Candidate,
        outcome: Option<Outcome>,
        ratio: Option<Interval>,
        pairs: u32,
    ) -> Self {
        Self {
            candidate: candidate.id,
            key: candidate.key.to_string(),
            choice: candidate.choice.to_string(),
            because: candidate.because.clone(),
            outcome,
            ratio: ratio.map(|r| [r.median, r.ci95[0], r.ci95[1]].map(rounded)),
            predicted: candidate.hypothesis.as_ref().map(|h| h.predicted_ratio),
            pairs,
        }
    }
}

pub(super) fn ended(tried: &Tried) -> Ended {
    Ended::of(
        &tried.candidate,
        Some(tried.outcome),
        tried.ratio,
        tried.pairs,
    )
}
