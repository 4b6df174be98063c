//! What a run hears of earlier ones before it begins: an input like any other, read once and written down with it.

use ccl_core::{ContextSignature, Source, TaskKey};
use ccl_memory::{
    ImportanceRecord, Memory, MemoryError, Prior, Query, Recalled, RuleKind, RuleRecord,
    ScoreRecord, SurrogateRecord,
};
use jiff::civil::Date;
use serde::Serialize;

/// Most rules that a run hears: more than it has trials for.
const MOST_RULES: usize = 500;
/// Most guesses of another source.
const MOST_PRIORS: usize = 10;

/// What earlier runs left for this one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Remembered {
    /// Changes that helped in places like this one, by name.
    pub rules: Vec<Recalled>,
    /// What made jobs fail on this machine.
    pub failures: Vec<RuleRecord>,
    /// What mechanisms' predictions were worth on this machine.
    pub scores: Vec<ScoreRecord>,
    /// What was measured of keys' choices on this machine.
    pub surrogates: Vec<SurrogateRecord>,
    /// Which parameters mattered on it.
    pub importances: Vec<ImportanceRecord>,
    /// What figures of another source say: guesses that minds are shown as such, and nothing that is tried for them.
    pub priors: Vec<Prior>,
}

impl Remembered {
    /// The rules, those first that have most to do with this job and are surest; equal ones by name.
    pub fn by_score(&self) -> Vec<&Recalled> {
        let mut rules: Vec<&Recalled> = self.rules.iter().collect();
        rules.sort_by(|a, b| b.score.total_cmp(&a.score));
        rules
    }

    /// Asks a memory what runs of this source left for a job with these keys.
    ///
    /// # Errors
    /// A memory that cannot be read.
    pub fn recall(
        memory: &mut dyn Memory,
        source: Source,
        context: &ContextSignature,
        keys: impl IntoIterator<Item = TaskKey>,
        today: Date,
    ) -> Result<Self, MemoryError> {
        let query = Query {
            context: context.clone(),
            keys: keys.into_iter().collect(),
            today,
            kind: Some(RuleKind::Positive),
            limit: MOST_RULES,
        };
        let mut rules = memory.recall(source, &query)?;
        let mut priors = Vec::new();
        for other in [Source::Measured, Source::Recorded, Source::Simulated] {
            if other != source {
                let few = Query {
                    limit: MOST_PRIORS,
                    ..query.clone()
                };
                priors.extend(memory.priors(other, &few)?);
            }
        }
        let mut failures = memory.failures(source, context)?;
        failures.retain(|rule| rule.expires.is_none_or(|last| today <= last));
        // Which of them is tried first is the arbiter's to say; equal ones keep this order.
        rules.sort_by_cached_key(|r| r.rule.id());
        Ok(Self {
            rules,
            failures,
            scores: memory.scores(source, context)?,
            surrogates: memory.surrogates(source, context)?,
            importances: memory.importances(source, context)?,
            priors,
        })
    }
}
