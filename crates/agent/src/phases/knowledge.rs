//! What is known before and beside the measurements: knowledge, remembered rules, and the plan.

use ccl_core::{Hypothesis, TraceEvent};
use ccl_memory::{KnowledgeError, Passage, RuleKind};

use crate::mind::Mind;
use crate::tuner::{RunError, Tuner};

/// Passages put before a mind.
const MOST_PASSAGES: usize = 6;
/// Steps of the plan that are written down.
const MOST_STEPS: usize = 12;
/// How much a remembered gain may miss on either side and still count as predicted.
const CARRIED_OVER: f64 = 0.05;

impl Tuner<'_> {
    /// Finds knowledge and rules for this situation and says which.
    pub(super) fn retrieve(&mut self) -> Result<(), RunError> {
        let cards = self.passages()?.into_iter().map(|p| p.id.clone()).collect();
        let rules = self
            .remembered
            .iter()
            .map(ccl_memory::RuleRecord::id)
            .collect();
        self.emit(TraceEvent::Retrieved { cards, rules })
    }

    /// The passages that answer the evidence best.
    pub(crate) fn passages(&self) -> Result<Vec<&Passage>, KnowledgeError> {
        let mut query: String = self
            .situation
            .evidence
            .iter()
            .map(|e| format!("{} ", e.statement))
            .collect();
        query.push_str(&format!(
            "{:?} channels chunk buffer",
            self.situation.cluster.intra.link
        ));
        let found = self.knowledge.search(&query, MOST_PASSAGES)?;
        Ok(found.hits.into_iter().map(|hit| hit.passage).collect())
    }

    /// Writes down what is going to be tried first, as far as that is known now.
    pub(super) fn plan(&mut self) -> Result<(), RunError> {
        let mut steps: Vec<String> = self
            .remembered_hypotheses()
            .into_iter()
            .map(|h| format!("{} on {}: remembered ({})", h.choice, h.key, h.because))
            .collect();
        steps.extend(
            self.rule_mind
                .propose(&self.situation)
                .into_iter()
                .map(|h| format!("{} on {}: {} ({})", h.choice, h.key, h.mechanism, h.because)),
        );
        steps.truncate(MOST_STEPS);
        let remembering = self
            .models
            .iter()
            .filter(|(_, model)| model.has_remembered());
        steps.extend(
            remembering
                .filter_map(|(key, model)| Some(format!("{key}: begin with {}", model.source()?))),
        );
        let points: u64 = self.models.values().map(|s| s.space().size()).sum();
        steps.push(format!(
            "then a search of {points} points, at most {} trials in all",
            self.options.budget
        ));
        self.emit(TraceEvent::Planned { steps })
    }

    /// Rules of earlier runs that say something about keys of this job.
    pub(super) fn remembered_hypotheses(&self) -> Vec<Hypothesis> {
        let context = &self.situation.context;
        self.remembered
            .iter()
            .filter(|r| r.kind == RuleKind::Positive && r.context.is_related_to(context))
            .filter_map(|rule| {
                let key = self.situation.key(rule.key)?;
                let ratio = rule.ratio?;
                Some(Hypothesis {
                    mechanism: "remembered".to_owned(),
                    because: format!("{}, run {}", rule.statement(), rule.run_id),
                    evidence: vec![key.evidence],
                    key: rule.key,
                    choice: rule.choice,
                    predicted_ratio: [ratio.ci95[0] - CARRIED_OVER, ratio.ci95[1] + CARRIED_OVER],
                    risk: "another time, another neighbour".to_owned(),
                    refuted_by: "the gain of the earlier run does not come back".to_owned(),
                })
            })
            .collect()
    }

    /// Rules that say something about keys of this job, in words, as a model is shown them.
    pub(crate) fn rules_in_words(&self) -> Vec<String> {
        let context = &self.situation.context;
        let related = self
            .remembered
            .iter()
            .filter(|r| r.context.is_related_to(context));
        related
            .filter(|r| self.situation.key(r.key).is_some())
            .map(|r| {
                format!(
                    "{} rule: {}, run {}",
                    r.kind.word(),
                    r.statement(),
                    r.run_id
                )
            })
            .collect()
    }
}
