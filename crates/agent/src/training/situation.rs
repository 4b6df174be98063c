//! What was known before a decision: put together line by line, so that it cannot hold what comes later.

use ccl_core::{
    Candidate, Configuration, ContextSignature, Diagnosis, Evidence, Interval, KeyObservation,
    Outcome, TraceEvent,
};
use ccl_llm::Message;
use ccl_memory::RuleRecord;
use serde::Serialize;
use serde_json::Value;

use super::read::RecordedRun;

/// What was known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Situation {
    /// Where, with the workload's name.
    pub context: ContextSignature,
    /// Most candidates that the run may try.
    pub budget: u32,
    /// The units of tuning, largest share first.
    pub keys: Vec<KeyObservation>,
    /// Untuned iteration time, milliseconds.
    pub baseline_ms: Option<Interval>,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// What holds keys back.
    pub diagnoses: Vec<Diagnosis>,
    /// What was set aside without a trial, and why.
    pub set_aside: Vec<String>,
    /// Names of passages that were retrieved.
    pub cards: Vec<String>,
    /// Rules of earlier runs.
    pub rules: Vec<Heard>,
    /// What runs now; nothing is untuned.
    pub running: Configuration,
    /// Candidates that ended.
    pub trials: Vec<Trial>,
    /// Candidates that were decided on and have not ended.
    pub on_trial: Vec<Candidate>,
    /// What a model was sent, in order, where one was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompt: Vec<Said>,
}

/// A rule of an earlier run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heard {
    /// `positive` or `avoid`.
    pub kind: &'static str,
    /// The rule in words, its interval and its mark included.
    pub statement: String,
    /// What it is worth here, 0..=1; `None` for what made a job fail.
    pub score: Option<f64>,
    /// Why so much.
    pub reasons: Option<String>,
}

/// A candidate that ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// The candidate.
    pub candidate: Candidate,
    /// Time ratio, candidate / incumbent, where it was timed.
    pub ratio: Option<Interval>,
    /// Pairs behind it.
    pub pairs: u32,
    /// How it ended; `None` where it was refused.
    pub outcome: Option<Outcome>,
    /// Why.
    pub because: String,
}

/// One message that a model was sent, or sent itself before it decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Said {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: &'static str,
    /// The words.
    pub text: String,
    /// Tools it called, with their arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<(String, Value)>,
}

impl Heard {
    fn of(rule: &RuleRecord, score: Option<f64>, reasons: Option<String>) -> Self {
        Self {
            kind: rule.kind.word(),
            statement: rule.statement(),
            score,
            reasons,
        }
    }
}

impl Situation {
    /// Before anything was seen.
    pub(super) fn of(run: &RecordedRun) -> Self {
        let helped = run.remembered.rules.iter();
        let helped = helped.map(|r| Heard::of(&r.rule, Some(r.score), Some(r.reasons.clone())));
        let failed = run
            .remembered
            .failures
            .iter()
            .map(|r| Heard::of(r, None, None));
        Self {
            context: run.context.clone(),
            budget: run.budget,
            keys: Vec::new(),
            baseline_ms: None,
            evidence: Vec::new(),
            diagnoses: Vec::new(),
            set_aside: Vec::new(),
            cards: Vec::new(),
            rules: helped.chain(failed).collect(),
            running: Configuration::default(),
            trials: Vec::new(),
            on_trial: Vec::new(),
            prompt: Vec::new(),
        }
    }

    /// Adds what a line of the trace tells.
    pub(super) fn take_in(&mut self, event: &TraceEvent) {
        match event {
            TraceEvent::TaskKeys { keys } => self.keys.clone_from(keys),
            TraceEvent::EvidenceGathered { evidence } => self.evidence.push(evidence.clone()),
            TraceEvent::Diagnosed { diagnosis } => self.diagnoses.push(diagnosis.clone()),
            TraceEvent::Pruned {
                key,
                dropped,
                because,
                ..
            } => self.set_aside.push(format!("{key}: {dropped}: {because}")),
            TraceEvent::TakenBack {
                key,
                restored,
                because,
                ..
            } => self
                .set_aside
                .push(format!("{key}: again {restored}: {because}")),
            TraceEvent::ScreenedOut {
                key,
                choices,
                because,
            } => {
                let choices = choices.join(", ");
                self.set_aside.push(format!("{key}: {choices}: {because}"));
            }
            TraceEvent::Retrieved { cards, .. } => self.cards.clone_from(cards),
            TraceEvent::BaselineMeasured { iteration_ms, .. } => {
                self.baseline_ms = Some(*iteration_ms)
            }
            TraceEvent::Decided { candidates, .. } => {
                self.on_trial.extend(candidates.iter().cloned())
            }
            TraceEvent::Incumbent { configuration, .. }
            | TraceEvent::RolledBack { configuration, .. } => {
                self.running = configuration.clone();
            }
            TraceEvent::Refused { candidate, reason } => {
                self.on_trial.retain(|c| c.id != candidate.id);
                self.trials.push(Trial {
                    candidate: candidate.clone(),
                    ratio: None,
                    pairs: 0,
                    outcome: None,
                    because: reason.clone(),
                });
            }
            TraceEvent::Measured {
                candidate,
                ratio,
                pairs,
                ..
            } => self.measured(*candidate, *ratio, *pairs),
            TraceEvent::Judged {
                candidate,
                outcome,
                because,
                ..
            } => self.judged(*candidate, *outcome, because),
            _ => {}
        }
    }

    /// The trial of a candidate that is under way.
    fn trial(&mut self, id: u32) -> Option<&mut Trial> {
        if let Some(index) = self.on_trial.iter().position(|c| c.id == id) {
            let candidate = self.on_trial.remove(index);
            self.trials.push(Trial {
                candidate,
                ratio: None,
                pairs: 0,
                outcome: None,
                because: String::new(),
            });
        }
        self.trials.iter_mut().rev().find(|t| t.candidate.id == id)
    }

    fn measured(&mut self, id: u32, ratio: Interval, pairs: u32) {
        if let Some(trial) = self.trial(id) {
            (trial.ratio, trial.pairs) = (Some(ratio), pairs);
        }
    }

    fn judged(&mut self, id: u32, outcome: Outcome, because: &str) {
        if let Some(trial) = self.trial(id) {
            trial.outcome = Some(outcome);
            because.clone_into(&mut trial.because);
        }
    }
}

/// A conversation as it is written down: no thoughts, and nothing that only its provider can read.
pub(super) fn said(messages: &[Message]) -> Vec<Said> {
    let plain = |role, text: &str| Said {
        role,
        text: text.to_owned(),
        calls: Vec::new(),
    };
    let each = messages.iter().map(|message| match message {
        Message::System { text } => plain("system", text),
        Message::User { text } => plain("user", text),
        Message::ToolResult { content, .. } => plain("tool", content),
        Message::Assistant(turn) => Said {
            calls: turn
                .calls
                .iter()
                .map(|c| (c.name.clone(), c.arguments.clone()))
                .collect(),
            ..plain("assistant", &turn.text)
        },
    });
    each.collect()
}
