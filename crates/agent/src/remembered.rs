//! What a run hears of earlier ones before it begins: an input like any other, read once and written down with it.

use ccl_core::{ContextSignature, Source, TaskKey};
use ccl_memory::{
    ImportanceRecord, Memory, MemoryError, Query, Recalled, RuleKind, RuleRecord, ScoreRecord,
    SurrogateRecord,
};
use jiff::civil::Date;
use serde::Serialize;

/// Most rules that a run hears: more than it has trials for.
const MOST_RULES: usize = 500;

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
}

impl Remembered {
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
        // Which of them is tried first is the arbiter's to say; equal ones keep this order.
        rules.sort_by_cached_key(|r| r.rule.id());
        Ok(Self {
            rules,
            failures: memory.failures(source, context)?,
            scores: memory.scores(source, context)?,
            surrogates: memory.surrogates(source, context)?,
            importances: memory.importances(source, context)?,
        })
    }
}
