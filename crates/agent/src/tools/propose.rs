//! Proposals: what somebody would try, written down with its reason. Nothing runs yet.

use ccl_core::{Caller, Hypothesis, Lane, Proposer};
use ccl_memory::visible;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::{Cited, KeyName, Wanted, key_of, rests_on};
use super::describe::rounded;
use super::{About, Cost, Tool, ToolError, Touches};
use crate::phases::{Proposal, Proposed};
use crate::situation::Situation;
use crate::tuner::Tuner;

/// Most proposals that wait at a time, and most of a language model's among them.
const MOST_WAITING: usize = 64;
const MOST_OF_MODEL: usize = 6;
/// Most characters of a sentence that somebody gives as a reason.
const MOST_WORDS: usize = 600;
/// Chance of being faster below which a language model's hypothesis is not worth its calls.
const HOPELESS: f64 = 0.02;
/// A call is never predicted to take less than this part of its time, or more than this many times.
const BELIEVABLE: [f64; 2] = [0.01, 100.0];

/// A hypothesis as somebody says it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stated {
    /// The task key.
    pub(crate) key: KeyName,
    /// What happens in the machine, as a short name.
    pub(crate) mechanism: String,
    /// Why it helps here, one sentence with figures.
    pub(crate) because: String,
    /// Ids of the evidence that the sentence rests on; at least one.
    pub(crate) evidence: Vec<Cited>,
    /// What the key would run.
    pub(crate) choice: Wanted,
    /// Predicted time of a call over the present one, below 1 is faster: low and high end.
    pub(crate) predicted_ratio: [f64; 2],
    /// What could go wrong.
    pub(crate) risk: String,
    /// The observation that would refute it.
    pub(crate) refuted_by: String,
}

impl Stated {
    /// As the rest of the program says it; what it names has to be there.
    ///
    /// # Errors
    /// A key or evidence that is not there, no evidence at all, or a ratio that is none.
    pub(crate) fn read(&self, situation: &Situation) -> Result<Hypothesis, ToolError> {
        let key = self.key.find(situation)?.facts.key;
        let evidence = rests_on("a hypothesis", &self.evidence, situation)?;
        Ok(Hypothesis {
            mechanism: words(&self.mechanism),
            because: words(&self.because),
            evidence,
            key,
            choice: self.choice.choice(),
            predicted_ratio: ratio(self.predicted_ratio)?,
            risk: words(&self.risk),
            refuted_by: words(&self.refuted_by),
        })
    }
}

/// A predicted ratio that can be one.
///
/// # Errors
/// One that cannot.
pub(crate) fn ratio(predicted: [f64; 2]) -> Result<[f64; 2], ToolError> {
    let ([low, high], [least, most]) = (predicted, BELIEVABLE);
    match least <= low && low <= high && high <= most {
        true => Ok(predicted),
        false => Err(ToolError::Arguments(format!(
            "predicted_ratio: {low} to {high} is no ratio from {least} to {most}, low end first"
        ))),
    }
}

/// A caller's sentence, on one line, with nothing hidden in it and no longer than a sentence is.
pub(crate) fn words(text: &str) -> String {
    let shown = visible(text).replace(char::is_control, " ");
    shown.trim().chars().take(MOST_WORDS).collect()
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Noted {
    /// The number of the proposal, for `apply`.
    proposal: u32,
    /// The key.
    key: String,
    /// What it would run.
    choice: String,
    /// Who proposed it, in a sentence.
    because: String,
    /// What it is expected to save, percent of the iteration, all that is known taken together.
    expected_saving_percent: f64,
}

fn noted(proposal: &Proposal) -> Noted {
    Noted {
        proposal: proposal.number,
        key: proposal.what.key.to_string(),
        choice: proposal.what.choice.to_string(),
        because: proposal.what.because.clone(),
        expected_saving_percent: rounded(100.0 * proposal.what.offer.saves),
    }
}

pub(super) struct ProposeHypothesis;

impl Tool for ProposeHypothesis {
    type Arguments = Stated;
    type Answer = Noted;
    const ABOUT: About = About {
        name: "propose_hypothesis",
        description: "Writes down a hypothesis: one task key, what it would run, why, on which evidence, what is \
                      predicted, and what would refute it. Refused at once where it cannot be.",
        cost: Cost::Nothing,
        touches: Touches::Notes,
    };

    fn run(tuner: &mut Tuner<'_>, by: Caller, stated: Stated) -> Result<Noted, ToolError> {
        let hypothesis = stated.read(&tuner.situation)?;
        Ok(noted(propose(tuner, by, hypothesis)?))
    }
}

/// Writes a hypothesis down; what cannot run is refused in the open, and not proposed again.
pub(crate) fn propose<'t>(
    tuner: &'t mut Tuner<'_>,
    by: Caller,
    hypothesis: Hypothesis,
) -> Result<&'t Proposal, ToolError> {
    let (key, choice) = (hypothesis.key, hypothesis.choice);
    if !tuner.is_untried(&hypothesis) {
        let reason = format!("{choice} was tried on {key} before, or refused");
        return Err(ToolError::Refused(reason));
    }
    let proposer = match by {
        Caller::Rules => Proposer::Rules,
        Caller::Person | Caller::Client => Proposer::Person,
        Caller::Llm => Proposer::Llm,
    };
    let what = tuner
        .explained_by(proposer, hypothesis)
        .ok_or_else(|| ToolError::Arguments(format!("nothing is known of {key}")))?;
    if let Err(refusal) = tuner.guard.check_choice(key, &choice) {
        let reason = refusal.to_string();
        tuner.refuse(what, reason.clone())?;
        return Err(ToolError::Refused(reason));
    }
    // A person may insist; a model's word does not outweigh what figures say against it.
    if proposer == Proposer::Llm
        && let Some(chance) = tuner.chance_of(key, &choice)
        && chance < HOPELESS
    {
        let reason = format!(
            "by what was measured and is expected of the machine the chance that it is faster is {:.1} %",
            100.0 * chance
        );
        tuner.refuse(what, reason.clone())?;
        return Err(ToolError::Refused(reason));
    }
    note(tuner, what)
}

pub(super) struct NumericSearch;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchOf {
    /// Only this task key; all without it.
    #[serde(default)]
    key: Option<KeyName>,
    /// Most proposals, 1 to 16; 4 without it.
    #[serde(default)]
    most: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Found {
    /// What the models would try next, most promising first.
    proposals: Vec<Noted>,
}

impl Tool for NumericSearch {
    type Arguments = SearchOf;
    type Answer = Found;
    const ABOUT: About = About {
        name: "numeric_search",
        description: "Asks the numeric search what it would try next in the pruned space, and writes that down as \
                      proposals.",
        cost: Cost::Nothing,
        touches: Touches::Notes,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, of: SearchOf) -> Result<Found, ToolError> {
        let key = key_of(of.key.as_ref(), &tuner.situation)?;
        let most = of.most.unwrap_or(4).clamp(1, 16);
        let mut found = tuner.searched();
        found.retain(|p| key.is_none_or(|k| k == p.key) && p.offer.lane == Lane::Numeric);
        found.sort_by(|a, b| b.offer.saves.total_cmp(&a.offer.saves));
        let mut proposals = Vec::new();
        for what in found.into_iter().take(most) {
            proposals.push(noted(note(tuner, what)?));
        }
        Ok(Found { proposals })
    }
}

/// Writes a proposal down, or finds the one that says the same already.
fn note<'t>(tuner: &'t mut Tuner<'_>, what: Proposed) -> Result<&'t Proposal, ToolError> {
    let is_same = |p: &Proposal| (p.what.key, p.what.choice) == (what.key, what.choice);
    let index = match tuner.proposals.iter().position(is_same) {
        Some(index) => index,
        None => {
            let is_its = |p: &&Proposal| p.what.proposer == Proposer::Llm;
            let (waiting, most) = match what.proposer {
                Proposer::Llm => (tuner.proposals.iter().filter(is_its).count(), MOST_OF_MODEL),
                _ => (tuner.proposals.len(), MOST_WAITING),
            };
            if waiting >= most {
                let reason = format!("{waiting} proposals wait already");
                return Err(ToolError::Refused(reason));
            }
            tuner.proposed += 1;
            tuner.proposals.push(Proposal {
                number: tuner.proposed,
                what,
            });
            tuner.proposals.len() - 1
        }
    };
    Ok(&tuner.proposals[index])
}
