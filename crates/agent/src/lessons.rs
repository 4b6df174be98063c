//! What a run leaves to later ones: its rules and books, and what became of the rules it had heard.

mod judgement;

use std::collections::BTreeMap;

use ccl_core::TaskKey;
use ccl_memory::{EvidenceRecord, ImportanceRecord, Lessons, RunRecord, TrialRecord};
use jiff::ToSpan;
use jiff::civil::Date;

use crate::key_model::KeyModel;
use crate::summary::Summary;
use crate::tuner::{Tried, TuneOptions, Tuner};

/// Days that a rule is heard which no run comes to again: machines are repaired and rebuilt.
const KEPT_DAYS: i32 = 365;

impl Tuner<'_> {
    /// All that a run leaves; without a summary, for it ended early, only what made the job fail.
    pub fn lessons(&self, run_id: &str, summary: Option<&Summary>, today: Date) -> Lessons {
        let source = self.testbed.describe().source;
        let mut lessons = Lessons::of(source, today);
        lessons.rules = self.learnt().to_vec();
        for rule in &mut lessons.rules {
            rule.expires = today.checked_add(KEPT_DAYS.days()).ok();
        }
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
        lessons.importances = self.importances(run_id);
        lessons
    }

    /// What mattered on each key, by its trials.
    fn importances(&self, run_id: &str) -> Vec<ImportanceRecord> {
        let source = self.testbed.describe().source;
        let of_key = |(key, model): (&TaskKey, &KeyModel)| {
            let (effects, evaluations) = model.main_effects();
            let record = |(parameter, share)| ImportanceRecord {
                context: self.situation.context.clone(),
                key: *key,
                parameter,
                share,
                evaluations: u32::try_from(evaluations).unwrap_or(u32::MAX),
                source,
                run_id: run_id.to_owned(),
            };
            effects.into_iter().map(record).collect::<Vec<_>>()
        };
        self.models.iter().flat_map(of_key).collect()
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
