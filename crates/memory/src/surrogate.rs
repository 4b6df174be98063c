//! What a run measured of one key's choices, kept so that a later run's model need not begin with nothing.
//!
//! Observations and not a fitted model: what they are worth on another day is the reader's to say. They
//! are figures of the run that made them, never of the one that reads them.

use ccl_core::{Choice, ContextSignature, Source, TaskKey};
use serde::{Deserialize, Serialize};

/// What was measured of one choice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The choice.
    pub choice: Choice,
    /// Logarithm of its time over untuned NCCL's.
    pub log_ratio: f64,
    /// Variance of that.
    pub variance: f64,
}

/// What one run measured of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurrogateRecord {
    /// Where.
    pub context: ContextSignature,
    /// The key.
    pub key: TaskKey,
    /// Whether it ran beside computation: the times are iterations' then, else calls'.
    pub overlapped: bool,
    /// What untuned NCCL ran there, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untuned: Option<Choice>,
    /// Each choice once; none that failed.
    pub observations: Vec<Measured>,
    /// Where the measurements came from.
    pub source: Source,
    /// The run.
    pub run_id: String,
}

impl SurrogateRecord {
    /// Its name in a store: one for each context and key.
    pub(crate) fn id(&self) -> String {
        format!("{}: {}", crate::place::in_words(&self.context), self.key)
    }

    /// Whether its figures may guide a run in `context` on a key that runs like this: the same calls of
    /// untuned NCCL to compare with, and where iterations were compared, the same job.
    pub fn applies_to(
        &self,
        context: &ContextSignature,
        key: TaskKey,
        overlapped: bool,
        untuned: Option<Choice>,
    ) -> bool {
        let is_there = match overlapped {
            true => self.context == *context,
            false => self.context.is_related_to(context),
        };
        is_there && (self.key, self.overlapped, self.untuned) == (key, overlapped, untuned)
    }
}
