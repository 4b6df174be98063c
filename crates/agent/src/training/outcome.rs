//! What came of a decision: read from the lines after it, and never part of what was known before.

use ccl_core::{
    Candidate, Choice, Interval, Outcome, Proposer, TaskKey, TraceEvent, TraceLine, Verdict,
};
use serde::Serialize;
use serde_json::Value;

use crate::tools::words;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Became {
    /// What became of each candidate; a hypothesis that was never tried has none.
    pub candidates: Vec<CandidateOutcome>,
    /// Whether a model was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed: Option<Followed>,
    /// How the run ended; `None` where it did not.
    pub run: Option<RunOutcome>,
}

/// What became of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateOutcome {
    /// Its number within the run.
    pub candidate: u32,
    /// The key.
    pub key: TaskKey,
    /// The choice.
    pub choice: Choice,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
    /// Measured time ratio, candidate / incumbent; `None` where it was not timed.
    pub ratio: Option<Interval>,
    /// Pairs behind it.
    pub pairs: u32,
    /// `call` or `iteration`.
    pub metric: Option<String>,
    /// How it ended; `None` where it was refused or the run ended before.
    pub outcome: Option<Outcome>,
    /// The judgement in a sentence.
    pub because: Option<String>,
    /// Whether the ratio fell into the predicted interval.
    pub as_predicted: Option<bool>,
}

/// Whose decision counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Followed {
    /// The model's or the rules'.
    pub mind: Proposer,
    /// Why.
    pub because: String,
}

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunOutcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Untuned / best on fresh pairs; above 1 is faster.
    pub speedup: Interval,
}

/// What became of a round.
pub(super) fn of_candidates(candidates: &[Candidate], after: &[TraceLine]) -> Became {
    let candidates = candidates.iter().map(|c| outcome(c, after)).collect();
    Became {
        candidates,
        followed: None,
        run: of_run(after),
    }
}

/// What became of a model's answer: of its hypotheses that were tried or refused, and whether it was followed.
pub(super) fn of_answer(call: u32, answer: &Value, after: &[TraceLine]) -> Became {
    let stated = answer.get("hypotheses").and_then(Value::as_array);
    let reasons: Vec<String> = stated.map_or_else(Vec::new, |all| {
        let because = |h: &Value| Some(words(h.get("because")?.as_str()?));
        all.iter().filter_map(because).collect()
    });
    let is_its = |c: &&Candidate| {
        let hypothesis = c.hypothesis.as_ref();
        c.proposer == Proposer::Llm && hypothesis.is_some_and(|h| reasons.contains(&h.because))
    };
    // Until it is asked again: then the same words may be another answer's.
    let own = after
        .iter()
        .take_while(|l| !matches!(l.event, TraceEvent::LlmAnswered { .. }));
    let mut tried: Vec<&Candidate> = Vec::new();
    for line in own {
        match &line.event {
            TraceEvent::Decided { candidates, .. } => {
                tried.extend(candidates.iter().filter(is_its))
            }
            TraceEvent::Refused { candidate, .. } if tried.iter().all(|c| c.id != candidate.id) => {
                tried.extend(Some(candidate).filter(is_its));
            }
            _ => {}
        }
    }
    let followed = after.iter().find_map(|line| match &line.event {
        TraceEvent::MindChosen {
            call: of,
            mind,
            because,
        } if *of == call => Some(Followed {
            mind: *mind,
            because: because.clone(),
        }),
        _ => None,
    });
    Became {
        candidates: tried.into_iter().map(|c| outcome(c, after)).collect(),
        followed,
        run: of_run(after),
    }
}

fn outcome(of: &Candidate, after: &[TraceLine]) -> CandidateOutcome {
    let mut became = CandidateOutcome {
        candidate: of.id,
        key: of.key,
        choice: of.choice,
        refused: None,
        ratio: None,
        pairs: 0,
        metric: None,
        outcome: None,
        because: None,
        as_predicted: None,
    };
    for line in after {
        match &line.event {
            TraceEvent::Refused { candidate, reason } if candidate.id == of.id => {
                became.refused = Some(reason.clone());
            }
            TraceEvent::Measured {
                candidate,
                ratio,
                pairs,
                metric,
            } if *candidate == of.id => {
                became.ratio = Some(*ratio);
                became.pairs = *pairs;
                became.metric = Some(metric.clone());
            }
            TraceEvent::Judged {
                candidate,
                outcome,
                because,
                as_predicted,
            } if *candidate == of.id => {
                became.outcome = Some(*outcome);
                became.because = Some(because.clone());
                became.as_predicted = *as_predicted;
            }
            _ => {}
        }
    }
    became
}

fn of_run(after: &[TraceLine]) -> Option<RunOutcome> {
    after.iter().rev().find_map(|line| match &line.event {
        TraceEvent::FinalComparison {
            speedup, verdict, ..
        } => Some(RunOutcome {
            verdict: *verdict,
            speedup: *speedup,
        }),
        _ => None,
    })
}
