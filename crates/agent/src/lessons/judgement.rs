//! What became of the rules that a run had heard: it found the same, or otherwise, or nothing that counts.

use ccl_core::{Choice, Environment, Interval, Outcome, Verdict};
use ccl_memory::{Change, Judgement, Recalled, RuleRecord};

use crate::tuner::{Tried, Tuner};

impl Tuner<'_> {
    /// What became of the rules of other places that were tried here. Where this run came to a rule of its own
    /// about the same, that says it already; a generalisation is confirmed where it was carried, and not by a rule that
    /// it rests on.
    pub(super) fn judgements(&self, verdict: Verdict) -> Vec<Judgement> {
        let nccl_version = self.situation.context.nccl_version;
        let mut judgements = Vec::new();
        for recalled in &self.remembered.rules {
            let rule = &recalled.rule;
            if self.learnt().iter().any(|new| says_already(new, rule)) {
                continue;
            }
            let holds = match &rule.change {
                Change::Call { choice, .. } => self.holds_for_calls(recalled, *choice, verdict),
                Change::Variable { name, value, .. } => {
                    self.holds_for_job(rule, name, value, verdict)
                }
            };
            judgements.extend(holds.map(|holds| Judgement {
                rule: rule.id(),
                holds,
                nccl_version,
            }));
        }
        judgements
    }

    /// What became of a rule about calls; nothing where it was not tried, or that says nothing.
    fn holds_for_calls(
        &self,
        recalled: &Recalled,
        choice: Choice,
        verdict: Verdict,
    ) -> Option<bool> {
        let (rule, key) = (&recalled.rule, recalled.key?);
        let is_it = |tried: &&Tried| tried.candidate.key == key && tried.candidate.choice == choice;
        let tried = self.tried.iter().find(is_it)?;
        let here = Change::Call {
            key,
            choice,
            against: None,
        };
        match tried.outcome {
            Outcome::Kept => {
                (verdict == Verdict::Faster && !self.is_home(rule, here)).then_some(true)
            }
            _ => self.refutes(rule, tried).then_some(false),
        }
    }

    /// The same of a variable of the whole job, where it was raced against the value that it was learnt beside.
    fn holds_for_job(
        &self,
        rule: &RuleRecord,
        name: &str,
        value: &str,
        verdict: Verdict,
    ) -> Option<bool> {
        let is_it = |raced: &&(Environment, Outcome)| {
            let variables = &raced.0.variables;
            variables.len() == 1 && raced.0.get(name) == Some(value)
        };
        let (_, outcome) = self.raced.iter().find(is_it)?;
        let own = self
            .testbed
            .restart_terms()?
            .own
            .get(name)
            .map(str::to_owned);
        let is_same = matches!(&rule.change, Change::Variable { against, .. } if *against == own);
        match outcome {
            Outcome::Kept => {
                let is_new = !self.is_home(rule, rule.change.clone());
                (verdict == Verdict::Faster && is_new).then_some(true)
            }
            Outcome::RolledBackNoDifference => None,
            _ => is_same.then_some(false),
        }
    }

    /// Whether what came out here is one of the rules that a generalisation rests on, found again.
    fn is_home(&self, rule: &RuleRecord, here: Change) -> bool {
        let context = self.situation.context.clone();
        let again = RuleRecord::new(rule.kind, context, here, rule.source, &self.run_id).id();
        let generalised = rule.generalised.as_ref();
        generalised.is_some_and(|g| g.rests_on.contains(&again))
    }

    /// Whether a trial that did not win speaks against a rule. Beside something better than it was learnt beside, a rule
    /// need not win. A generalisation is heard late, beside what was found by then: it is wrong where, against what
    /// NCCL chooses itself, it surely gains less than it claims.
    fn refutes(&self, rule: &RuleRecord, tried: &Tried) -> bool {
        let lies_beside = |seen: Interval| rule.ratio.is_some_and(|r| seen.ci95[0] > r.ci95[1]);
        let is_same = tried.against == rule.call_against();
        match tried.outcome {
            // Undecided says nothing; an interval that lies beside the rule's says no.
            Outcome::RolledBackNoDifference if is_same => tried.ratio.is_some_and(lies_beside),
            _ if is_same => true,
            _ => {
                let of_untuned = self.against_untuned(tried);
                rule.generalised.is_some() && of_untuned.is_some_and(lies_beside)
            }
        }
    }

    /// The ratio of a trial to NCCL's own choice, by way of what was kept before it.
    fn against_untuned(&self, tried: &Tried) -> Option<Interval> {
        let untuned = self.testbed.untuned_choice(tried.candidate.key)?;
        let (mut ratio, mut against) = (tried.ratio?, tried.against?);
        for before in self.tried.iter().rev() {
            let is_it = before.candidate.key == tried.candidate.key
                && before.candidate.choice == against
                && before.outcome.is_kept();
            if against != untuned && is_it {
                let kept = before.ratio?;
                ratio = Interval {
                    median: ratio.median * kept.median,
                    ci95: [ratio.ci95[0] * kept.ci95[0], ratio.ci95[1] * kept.ci95[1]],
                };
                against = before.against?;
            }
        }
        (against == untuned).then_some(ratio)
    }
}

/// Whether a rule of this run says of the same what one says that it had heard. A generalisation is another rule than
/// those it was drawn from.
fn says_already(new: &RuleRecord, heard: &RuleRecord) -> bool {
    let are_own = new.generalised.is_none() && heard.generalised.is_none();
    let is_same = match (new.call(), heard.call()) {
        (None, None) => new.change == heard.change,
        (new, heard) => new == heard,
    };
    are_own && is_same && new.context == heard.context
}
