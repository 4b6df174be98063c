//! What a run leaves to later ones: its rules and books, and what became of the rules it had heard.

use std::collections::BTreeMap;

use ccl_core::{Interval, Outcome, Verdict};
use ccl_memory::{EvidenceRecord, Judgement, Lessons, RuleRecord, RunRecord, TrialRecord};
use jiff::civil::Date;

use crate::summary::Summary;
use crate::tuner::{Tried, TuneOptions, Tuner};

impl Tuner<'_> {
    /// All that a run leaves; without a summary, for it ended early, only what made the job fail.
    pub fn lessons(&self, run_id: &str, summary: Option<&Summary>, today: Date) -> Lessons {
        let source = self.testbed.describe().source;
        let mut lessons = Lessons::of(source, today);
        lessons.rules = self.learnt().to_vec();
        let Some(summary) = summary else {
            return lessons;
        };
        lessons.run = Some(RunRecord {
            id: run_id.to_owned(),
            context: self.situation.context.clone(),
            source,
            verdict: summary.verdict,
            speedup: summary.speedup,
            options: in_words(&self.options),
            started: today,
        });
        let numbered = (1..).zip(&self.tried);
        let trial = |(number, tried): (u32, &Tried)| TrialRecord {
            run_id: run_id.to_owned(),
            number,
            key: tried.candidate.key,
            choice: tried.candidate.choice,
            against: tried.against,
            outcome: tried.outcome,
            ratio: tried.ratio,
            pairs: tried.pairs,
            hypothesis: tried.candidate.hypothesis.clone(),
            source,
        };
        lessons.trials = numbered.map(trial).collect();
        let evidence = self.situation.evidence.iter();
        let evidence = evidence.map(|evidence| EvidenceRecord {
            run_id: run_id.to_owned(),
            source,
            evidence: evidence.clone(),
        });
        lessons.evidence = evidence.collect();
        lessons.judgements = self.judgements(summary.verdict);
        lessons.scores = self.scores(run_id);
        lessons.surrogates = self.measured(run_id);
        lessons
    }

    /// What became of the rules of other places that were tried here. Where this run came to a rule of its own
    /// about the same, that says it already; a generalisation is confirmed where it was carried, and not by a rule that
    /// it rests on.
    fn judgements(&self, verdict: Verdict) -> Vec<Judgement> {
        let nccl_version = self.situation.context.nccl_version;
        let mut judgements = Vec::new();
        for recalled in &self.remembered.rules {
            let rule = &recalled.rule;
            let said = |new: &RuleRecord| {
                let is_own = new.generalised.is_none() && rule.generalised.is_none();
                is_own && new.context == rule.context && new.call() == rule.call()
            };
            let Some((_, choice)) = rule.call().filter(|_| !self.learnt().iter().any(said)) else {
                continue;
            };
            let is_it = |tried: &&Tried| {
                Some(tried.candidate.key) == recalled.key && tried.candidate.choice == choice
            };
            let Some(tried) = self.tried.iter().find(is_it) else {
                continue;
            };
            let holds = match tried.outcome {
                Outcome::Kept if verdict == Verdict::Faster && !self.is_home(rule, tried) => true,
                Outcome::Kept => continue,
                _ if self.refutes(rule, tried) => false,
                _ => continue,
            };
            judgements.push(Judgement {
                rule: rule.id(),
                holds,
                nccl_version,
            });
        }
        judgements
    }

    /// Whether a trial was one of those that a generalisation rests on, made again.
    fn is_home(&self, rule: &RuleRecord, tried: &Tried) -> bool {
        let again = self.rule_of(tried, rule.kind).id();
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

/// The options that say what a run could find.
fn in_words(options: &TuneOptions) -> BTreeMap<String, String> {
    let words = [
        ("budget", options.budget.to_string()),
        ("seed", options.seed.to_string()),
        ("restarts", options.restarts.to_string()),
        ("minimum_effect", options.minimum_effect.to_string()),
        ("watch_iterations", options.watch_iterations.to_string()),
    ];
    let named = words.map(|(name, value)| (name.to_owned(), value));
    BTreeMap::from(named)
}
