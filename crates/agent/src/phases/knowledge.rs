//! What is known before and beside the measurements: knowledge, remembered rules, and the plan.

use ccl_core::{Hypothesis, TraceEvent};
use ccl_memory::{Change, KnowledgeError, Passage, Recalled, RuleRecord};

use crate::mind::Mind;
use crate::tuner::{RunError, Tuner};

/// Passages put before a mind.
const MOST_PASSAGES: usize = 6;
/// Steps of the plan that are written down.
const MOST_STEPS: usize = 12;
/// How much a remembered gain may miss on either side and still count as predicted.
const CARRIED_OVER: f64 = 0.05;
/// Where less than this of a rule's effect is to be expected, it is no reason to try anything.
const WORTH_HEARING: f64 = 0.5;

impl Tuner<'_> {
    /// Finds knowledge and rules for this situation and says which.
    pub(super) fn retrieve(&mut self) -> Result<(), RunError> {
        let cards = self.passages()?.into_iter().map(|p| p.id.clone()).collect();
        let rules = self.remembered.rules.iter().map(|r| r.rule.id());
        let failures = self.remembered.failures.iter().map(RuleRecord::id);
        let rules = rules.chain(failures).collect();
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

    /// Rules of earlier runs that say something about keys of this job: as they stand where nothing differs,
    /// and with less of their effect elsewhere. Those of neighbouring places come last: what is kept by their word
    /// may stand in the way of what is best here.
    pub(super) fn remembered_hypotheses(&self) -> Vec<Hypothesis> {
        let is_heard = |r: &&Recalled| self.hears_neighbours || !self.is_neighbour(r);
        let recalled = self.remembered.rules.iter().filter(is_heard);
        let hypothesis = |recalled: &Recalled| {
            let share = recalled.expected_share();
            let key = self.situation.key(recalled.key?)?;
            let rule = &recalled.rule;
            let (_, choice) = rule.call()?;
            let ratio = rule.ratio.filter(|_| share >= WORTH_HEARING)?;
            let here = |ratio: f64| ratio + (1.0 - share) * (1.0 - ratio);
            let differs = match share < 1.0 {
                true => format!("; {}", recalled.reasons),
                false => String::new(),
            };
            Some(Hypothesis {
                mechanism: "remembered".to_owned(),
                because: format!("{}, run {}{differs}", rule.statement(), rule.run_id),
                evidence: vec![key.evidence],
                key: key.facts.key,
                choice,
                predicted_ratio: [
                    here(ratio.ci95[0]) - CARRIED_OVER,
                    here(ratio.ci95[1]) + CARRIED_OVER,
                ],
                risk: "another time, another neighbour".to_owned(),
                refuted_by: "the gain of the earlier run does not come back".to_owned(),
            })
        };
        recalled.filter_map(hypothesis).collect()
    }

    /// What earlier runs left, in words, as a model is shown it: what helped first, by how much it has to do with
    /// this job.
    pub(crate) fn rules_in_words(&self) -> Vec<String> {
        let helped = self.remembered.by_score().into_iter().map(|recalled| {
            format!(
                "{} rule, run {}, score {:.2} ({}): {}",
                recalled.rule.kind.word(),
                recalled.rule.run_id,
                recalled.score,
                recalled.reasons,
                recalled.rule.statement(),
            )
        });
        let failures = self.remembered.failures.iter();
        let failed = failures.map(|rule| {
            format!(
                "{} rule, run {}: {}",
                rule.kind.word(),
                rule.run_id,
                rule.statement()
            )
        });
        let is_ours = |key| self.situation.key(key).is_some();
        let importances = self.remembered.importances.iter();
        let mattered = importances.filter(|i| is_ours(i.key)).map(|i| {
            format!(
                "on {} {} explained {:.0} % of the differences between {} choices, run {} ({})",
                i.key,
                i.parameter,
                100.0 * i.share,
                i.evaluations,
                i.run_id,
                i.source
            )
        });
        let guesses = self.remembered.priors.iter().map(|prior| {
            format!(
                "a guess from {} figures, which are none of this job's kind: {} ({})",
                prior.source, prior.statement, prior.reasons
            )
        });
        helped
            .chain(failed)
            .chain(mattered)
            .chain(guesses)
            .collect()
    }

    /// Variables of the whole job that helped in earlier runs, the surest first: name, value and why.
    pub(super) fn remembered_variables(&self) -> Vec<(String, String, String)> {
        let recalled = self.remembered.by_score().into_iter();
        let worth = recalled.filter(|r| r.expected_share() >= WORTH_HEARING);
        let variable = |recalled: &Recalled| match &recalled.rule.change {
            Change::Variable { name, value, .. } => {
                let rule = &recalled.rule;
                let because = format!(
                    "{}, run {}; {}",
                    rule.statement(),
                    rule.run_id,
                    recalled.reasons
                );
                Some((name.clone(), value.clone(), because))
            }
            Change::Call { .. } => None,
        };
        worth.filter_map(variable).collect()
    }

    /// Whether a rule was learnt of other calls than those it speaks about here, or with another release, or nobody came
    /// to it at all.
    fn is_neighbour(&self, recalled: &Recalled) -> bool {
        let rule = &recalled.rule;
        let same_calls = rule.call().map(|(key, _)| key) == recalled.key;
        let is_related = rule.context.is_related_to(&self.situation.context);
        rule.is_unconfirmed() || !(same_calls && is_related)
    }

    /// Nothing else is worth trying any more: rules of neighbouring places are heard from now on. Whether there
    /// are any, and so there may be something now.
    pub(super) fn hear_neighbours(&mut self) -> bool {
        let rules = &self.remembered.rules;
        let is_new = !self.hears_neighbours && rules.iter().any(|r| self.is_neighbour(r));
        self.hears_neighbours = true;
        is_new
    }
}
