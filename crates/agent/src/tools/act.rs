//! What changes the job: always through the guard, and always beside what ran before.

use ccl_core::{Caller, Interval, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::{Cited, KeyName, Nothing, cited, key_of, shortened};
use super::describe::rounded;
use super::evidence::{Ended, ended};
use super::{About, Cost, Tool, ToolError, Touches};
use crate::phases::{Proposal, Proposed};
use crate::tuner::Tuner;

/// Most iterations of one call.
const MOST_ITERATIONS: u32 = 64;

pub(super) struct Apply;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Numbers {
    /// Numbers of proposals.
    proposals: Vec<u32>,
    /// Why these, now.
    #[serde(default)]
    because: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Begun {
    /// Candidates that the guard let through, as far as they are decided by now.
    decided: Vec<Ended>,
    /// Those that are on their way: each iteration that `measure` runs tells more of them.
    running: Vec<Ended>,
    /// What the guard refused, and why.
    refused: Vec<String>,
}

impl Tool for Apply {
    type Arguments = Numbers;
    type Answer = Begun;
    const ABOUT: About = About {
        name: "apply",
        description: "Begins the trial of proposals: each passes the guard, or is refused, and gets a few leased \
                      calls beside the incumbent's. What proves faster is kept by itself.",
        cost: Cost::Iterations,
        touches: Touches::Job,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, numbers: Numbers) -> Result<Begun, ToolError> {
        may_go_on(tuner)?;
        let missing = numbers
            .proposals
            .iter()
            .find(|n| !tuner.proposals.iter().any(|p| p.number == **n));
        if let Some(number) = missing {
            return Err(ToolError::Arguments(format!(
                "there is no proposal {number}"
            )));
        }
        if numbers.proposals.is_empty() {
            return Err(ToolError::Arguments("proposals: none".to_owned()));
        }
        let left = tuner.options.budget.saturating_sub(tuner.counts.trials);
        if numbers.proposals.len() > left as usize {
            let reason = format!("{left} trials of the budget are left");
            return Err(ToolError::Refused(reason));
        }
        let is_meant = |number: u32| numbers.proposals.contains(&number);
        let (chosen, rest) = std::mem::take(&mut tuner.proposals)
            .into_iter()
            .partition(|p: &Proposal| is_meant(p.number));
        tuner.proposals = rest;
        let (before, refused_before) = (tuner.tried.len(), tuner.refusals.len());
        let because = match numbers.because.is_empty() {
            true => "somebody asked for it".to_owned(),
            false => shortened(&numbers.because),
        };
        for round in rounds(tuner, chosen) {
            tuner.try_round(round, because.clone())?;
        }
        Ok(Begun {
            decided: tuner.tried[before..].iter().map(ended).collect(),
            running: tuner.on_their_way(),
            refused: tuner.refusals[refused_before..].to_vec(),
        })
    }
}

/// Proposals in rounds that can be compared: of a key that is judged by the iteration one at a time, for an
/// iteration says nothing of two of its choices.
fn rounds(tuner: &Tuner<'_>, chosen: Vec<Proposal>) -> Vec<Vec<Proposed>> {
    let mut rounds: Vec<Vec<Proposed>> = Vec::new();
    for proposal in chosen {
        let what = proposal.what;
        let state = tuner.situation.key(what.key);
        let is_alone = state.is_some_and(|k| k.facts.overlapped);
        let has_room = |round: &&mut Vec<Proposed>| {
            !is_alone || round.iter().all(|other| other.key != what.key)
        };
        match rounds.iter_mut().find(has_room) {
            Some(round) => round.push(what),
            None => rounds.push(vec![what]),
        }
    }
    rounds
}

/// Why nothing may be tried any more, if so.
fn may_go_on(tuner: &Tuner<'_>) -> Result<(), ToolError> {
    if let Some((_, why)) = &tuner.broken {
        return Err(ToolError::Refused(why.clone()));
    }
    match (tuner.must_stop(), &tuner.asked_to_stop) {
        (Some((_, why)), _) => Err(ToolError::Refused(why)),
        (None, Some(why)) => Err(ToolError::Refused(format!("the run was stopped: {why}"))),
        (None, None) => Ok(()),
    }
}

pub(super) struct Measure;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HowMany {
    /// Iterations, 1 to 64; 8 without it.
    #[serde(default)]
    iterations: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Measured {
    /// Iterations that were run.
    iterations: u64,
    /// Candidates that were decided in them.
    decided: Vec<Ended>,
    /// Those that are still on their way.
    running: Vec<Ended>,
    /// Latest iterations of the incumbent alone, milliseconds; those of a trial are not among them.
    incumbent_ms: Vec<f64>,
}

impl Tool for Measure {
    type Arguments = HowMany;
    type Answer = Measured;
    const ABOUT: About = About {
        name: "measure",
        description: "Runs iterations of the job: candidates on their way are compared further, and what proves \
                      faster is kept; without any, the incumbent runs alone.",
        cost: Cost::Iterations,
        touches: Touches::Job,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, how: HowMany) -> Result<Measured, ToolError> {
        let before = (tuner.tried.len(), tuner.guard.iterations());
        for _ in 0..how.iterations.unwrap_or(8).clamp(1, MOST_ITERATIONS) {
            if tuner.is_interrupted() || tuner.guard.exhausted().is_some() {
                break;
            }
            tuner.go_on()?;
        }
        Ok(Measured {
            iterations: tuner.guard.iterations() - before.1,
            decided: tuner.tried[before.0..].iter().map(ended).collect(),
            running: tuner.on_their_way(),
            incumbent_ms: tuner.pace_us.iter().map(|us| rounded(us / 1e3)).collect(),
        })
    }
}

pub(super) struct CompareWithBaseline;

#[derive(Serialize, JsonSchema)]
pub(super) struct Compared {
    /// Untuned NCCL over the incumbent, above 1 is faster: median and 95 % interval of paired iterations.
    speedup: Interval,
    /// What that means.
    verdict: Verdict,
    /// Pairs behind it.
    pairs: u32,
    /// The evidence it became.
    evidence: String,
}

impl Tool for CompareWithBaseline {
    type Arguments = Nothing;
    type Answer = Compared;
    const ABOUT: About = About {
        name: "compare_with_baseline",
        description: "Compares what the job runs now with untuned NCCL on fresh iterations, side by side: the only \
                      figure that may be called a gain.",
        cost: Cost::Iterations,
        touches: Touches::Job,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, _: Nothing) -> Result<Compared, ToolError> {
        let found = tuner.compare_with_untuned()?;
        let seen = format!(
            "the incumbent is {:.3} times as fast as untuned NCCL [{:.3}, {:.3}], {} pairs",
            found.speedup.median, found.speedup.ci95[0], found.speedup.ci95[1], found.pairs
        );
        let evidence = tuner.observe(None, seen)?.to_string();
        Ok(Compared {
            speedup: found.speedup,
            verdict: found.verdict,
            pairs: found.pairs,
            evidence,
        })
    }
}

pub(super) struct RollBack;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfKey {
    /// The task key that goes back to NCCL's own choice; all of them without it.
    #[serde(default)]
    key: Option<KeyName>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Back {
    /// Keys that run NCCL's own choice again.
    keys: Vec<String>,
}

impl Tool for RollBack {
    type Arguments = OfKey;
    type Answer = Back;
    const ABOUT: About = About {
        name: "roll_back",
        description: "Gives one task key, or all, back to NCCL's own choices, at once. Candidates on their way end.",
        cost: Cost::Iterations,
        touches: Touches::Job,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, of: OfKey) -> Result<Back, ToolError> {
        let key = key_of(of.key.as_ref(), &tuner.situation)?;
        let keys = tuner.give_back(key)?;
        Ok(Back {
            keys: keys.iter().map(ToString::to_string).collect(),
        })
    }
}

pub(super) struct Stop;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// Why nothing more is worth trying.
    because: String,
    /// Ids of the evidence that it rests on.
    #[serde(default)]
    evidence: Vec<Cited>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Stopped {
    /// What happens now.
    then: &'static str,
}

impl Tool for Stop {
    type Arguments = Why;
    type Answer = Stopped;
    const ABOUT: About = About {
        name: "stop",
        description: "Ends the search: what is on its way ends undecided, and what was kept is compared with untuned \
                      NCCL once more.",
        cost: Cost::Nothing,
        touches: Touches::Job,
    };

    fn run(tuner: &mut Tuner<'_>, by: Caller, why: Why) -> Result<Stopped, ToolError> {
        cited(&why.evidence, &tuner.situation)?;
        if by == Caller::Llm {
            tuner.may_stop()?;
        }
        tuner.asked_to_stop = Some(shortened(&why.because));
        Ok(Stopped {
            then: "nothing more is tried; the verdict follows when the run is closed",
        })
    }
}
