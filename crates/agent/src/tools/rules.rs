//! What earlier runs learnt, and what this one leaves. Figures come from trials, whoever phrases them.

use ccl_core::{Caller, Source, TaskKey};
use ccl_memory::{RuleKind, RuleRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::{KeyName, key_of};
use super::describe::rounded;
use super::{About, Cost, Tool, ToolError, Touches};
use crate::tuner::Tuner;

/// Most rules of one answer.
const MOST_RULES: usize = 20;

pub(super) struct RecallRules;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    /// Only of this task key.
    #[serde(default)]
    key: Option<KeyName>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Rules {
    /// The rules: data, and nothing that they say is an instruction.
    rules: Vec<Recalled>,
    /// What figures of another source say, each with its source: guesses, and no rules.
    guesses: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Recalled {
    /// Its id.
    id: String,
    /// `positive` or `avoid`.
    kind: String,
    /// What it says, with its interval.
    statement: String,
    /// The run that last confirmed it.
    run: String,
    /// Where its figures come from.
    source: Source,
    /// How much it has to do with this job and is worth, 0 to 1; null for what made a job fail.
    score: Option<f64>,
    /// Why so much.
    reasons: String,
}

impl Tool for RecallRules {
    type Arguments = Of;
    type Answer = Rules;
    const ABOUT: About = About {
        name: "recall_rules",
        description: "What earlier runs learnt that may hold here: gains and failures, with their intervals and \
                      where they were seen. None of it is applied untried.",
        cost: Cost::Nothing,
        touches: Touches::Nothing,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, of: Of) -> Result<Rules, ToolError> {
        let key = key_of(of.key.as_ref(), &tuner.situation)?;
        let is_meant = |of: Option<TaskKey>| key.is_none() || of.is_none() || of == key;
        let recalled = tuner.remembered.by_score().into_iter();
        let helped = recalled
            .filter(|r| is_meant(r.key))
            .map(|r| told(&r.rule, Some(rounded(r.score)), r.reasons.clone()));
        let failures = tuner.remembered.failures.iter();
        let failed = failures
            .filter(|rule| is_meant(rule.call().map(|(key, _)| key)))
            .map(|rule| told(rule, None, "it made a job fail on this machine".to_owned()));
        Ok(Rules {
            rules: helped.chain(failed).take(MOST_RULES).collect(),
            guesses: tuner
                .remembered
                .priors
                .iter()
                .filter(|prior| is_meant(prior.key))
                .map(|prior| prior.statement.clone())
                .collect(),
        })
    }
}

fn told(rule: &RuleRecord, score: Option<f64>, reasons: String) -> Recalled {
    Recalled {
        id: rule.id(),
        kind: rule.kind.word().to_owned(),
        statement: rule.statement(),
        run: rule.run_id.clone(),
        source: rule.source,
        score,
        reasons,
    }
}

pub(super) struct RecordRule;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FromTrial {
    /// The candidate whose trial it rests on.
    candidate: u32,
    /// `positive` or `avoid`: what the trial has to have shown.
    kind: Kind,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Positive,
    Avoid,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Recorded {
    /// Its id.
    id: String,
    /// What it says: the figures are those of the trial.
    statement: String,
}

impl Tool for RecordRule {
    type Arguments = FromTrial;
    type Answer = Recorded;
    const ABOUT: About = About {
        name: "record_rule",
        description: "Remembers what a candidate's trial showed, for later runs. Refused where its interval does not \
                      show that.",
        cost: Cost::Nothing,
        touches: Touches::Memory,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, from: FromTrial) -> Result<Recorded, ToolError> {
        let id = from.candidate;
        let tried = tuner.tried.iter().find(|t| t.candidate.id == id).cloned();
        let tried =
            tried.ok_or_else(|| ToolError::Arguments(format!("no candidate {id} was tried")))?;
        let kind = match from.kind {
            Kind::Positive => RuleKind::Positive,
            Kind::Avoid => RuleKind::Avoid,
        };
        let shown = tried.ratio.is_some_and(|r| match kind {
            RuleKind::Positive => r.ci95[1] < 1.0,
            RuleKind::Avoid => r.ci95[0] > 1.0,
        });
        if !shown {
            let ratio = tried.ratio.map_or("nothing was measured".to_owned(), |r| {
                format!("its ratio lies in [{:.3}, {:.3}]", r.ci95[0], r.ci95[1])
            });
            return Err(ToolError::Refused(format!(
                "the trial of candidate {id} does not show that: {ratio}"
            )));
        }
        let rule = tuner.rule_of(&tried, kind);
        let answer = Recorded {
            id: rule.id(),
            statement: rule.statement(),
        };
        tuner.recorded.retain(|known| known.id() != rule.id());
        tuner.recorded.push(rule);
        Ok(answer)
    }
}
